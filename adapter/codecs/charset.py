"""Character sets: from the names of MSH-18 (HL7 table 0211, and what feeds really send) to text.

Decoding comes before splitting, since the second byte of a GB 18030 or Big5 character can be ``|``, ``^``, ``~`` or
``\\``. Lines may be split before decoding: no character set known here has CR or LF (nor VT or FS, MLLP's bytes)
inside a multi-byte character. UTF-16 and UTF-32 have, so they cannot travel over MLLP and are not known.

Decisions:

- GB2312 and GBK are read as GB 18030, their superset: senders write the old names and send the newer characters.
- BIG-5 is read as code page 950, what systems in Taiwan mean by it.
- ``UNICODE`` alone is read as UTF-8, the one Unicode encoding that MLLP can carry.
- ASCII means seven bits: a byte above 0x7F is a fault, whatever it may look like.
- Control characters (NUL, C1) decode to themselves and are no fault. ISO 2022 escapes (``ESC $ B``) are one: they
  switch to a character set that is not known here, whose bytes would pass for ASCII letters and delimiters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

REPLACEMENT = "\ufffd"
_BOM = b"\xef\xbb\xbf"
_ISO_2022_ESCAPE = re.compile(rb"\x1b(?=[$()*+,\-./])")
_ISO_2022_ESCAPE_TEXT = re.compile(_ISO_2022_ESCAPE.pattern.decode("ascii"))
_ISO_8859 = re.compile(r"(?:ISO)?8859(?:1[013456]|[1-9])")
_SEGMENT_ID = re.compile(rb"[A-Z][A-Z0-9]{2}")
_SAME_AS = {
    "ascii": ("ASCII", "USASCII", "ISOIR6"),
    "utf-8": ("UNICODEUTF8", "UTF8", "UNICODE"),
    "gb18030": ("GB18030", "GB180302000", "GB180302005", "GB180302022", "GBK", "CP936", "GB2312", "GB231280"),
    "cp950": ("BIG5", "CP950"),
    "cp1252": ("CP1252", "WINDOWS1252"),
}
_CODECS = {name: codec for codec, names in _SAME_AS.items() for name in names}
_ISO_8859_CODECS = tuple(f"iso8859-{part}" for part in (*range(1, 12), *range(13, 17)))

#: Every codec that :func:`codec_of` can name, those that notice a wrong guess before those that take any byte.
CODECS = (*_SAME_AS, *_ISO_8859_CODECS)


@dataclass(frozen=True, slots=True)
class Fault:
    """The first byte of a line that does not decode.

    ``line`` counts from one, ``segment`` is the line's segment id ("" where it has none), ``offset`` counts the bytes
    of the line before it, a byte order mark apart. What was sent is not repeated here.
    """

    line: int
    segment: str
    offset: int


@dataclass(frozen=True, slots=True)
class Decoded:
    """Text, and the places where it cannot be believed: there it holds U+FFFD, line ends as they were sent."""

    text: str = field(repr=False)
    codec: str
    faults: tuple[Fault, ...] = ()


def codec_of(name: str) -> str | None:
    """The Python codec of a character set's name; ``None`` for an empty or unknown one.

    Case, spaces, ``-``, ``_`` and ``/`` make no difference. A codec of :data:`CODECS` names itself.
    """
    plain = re.sub(r"[\s\-_/]", "", name).upper()
    if _ISO_8859.fullmatch(plain):
        return "iso8859-" + plain.removeprefix("ISO").removeprefix("8859")
    return _CODECS.get(plain)


def lines(raw: bytes) -> list[bytes]:
    """Raw bytes split at CR, LF and CR LF, blank lines kept; safe before decoding (see above)."""
    return raw.splitlines()


def decode(raw: bytes, codec: str, alternates: tuple[str, ...] = ()) -> Decoded:
    """The text of a message; one :class:`Fault` for each line that does not decode. A UTF-8 byte order mark is dropped.

    ``alternates`` are the codecs of MSH-18's further repetitions. They count only beside ASCII, which says nothing of
    the bytes above 0x7F, and only where all those that read the message read the same text: any other mixture could
    pass off one character set's bytes as another's.
    """
    if raw.startswith(_BOM):
        raw = raw[len(_BOM) :]
    text = _strictly(raw, codec)
    if text is not None:
        return Decoded(text, codec)
    if codec == "ascii":
        readings: dict[str, str] = {}
        for alternate in alternates:
            text = _strictly(raw, alternate)
            if text is not None:
                readings.setdefault(text, alternate)
        if len(readings) == 1:
            return Decoded(*readings.popitem())
    return _with_faults(raw, codec)


def _strictly(raw: bytes, codec: str) -> str | None:
    if _ISO_2022_ESCAPE.search(raw):
        return None
    try:
        return raw.decode(codec)
    except UnicodeDecodeError:
        return None


def _with_faults(raw: bytes, codec: str) -> Decoded:
    # line by line, so that a broken character at the end of a segment cannot swallow the CR after it
    pieces, faults = [], []
    for number, line in enumerate(raw.splitlines(keepends=True), start=1):
        offset = _first_fault(line, codec)
        if offset is not None:
            segment = _SEGMENT_ID.match(line)
            faults.append(Fault(number, segment[0].decode("ascii") if segment else "", offset))
        body = line.rstrip(b"\r\n")  # an unfinished character would take the line's end with it
        text = _ISO_2022_ESCAPE_TEXT.sub(REPLACEMENT, body.decode(codec, "replace"))
        pieces.append(text + line[len(body) :].decode("ascii"))
    return Decoded("".join(pieces), codec, tuple(faults))


def _first_fault(line: bytes, codec: str) -> int | None:
    escape = _ISO_2022_ESCAPE.search(line)
    end = escape.start() if escape else len(line)
    try:
        line[:end].decode(codec)
    except UnicodeDecodeError as error:
        return error.start
    return end if escape else None
