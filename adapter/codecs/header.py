"""The message header, read from raw bytes (HL7 v2.5.1 chapter 2: 2.5.4 delimiters, 2.15.9 MSH).

MSH-18 names the character set of the whole message, itself included, and in GB 18030 or Big5 the second byte of a
character in MSH-3 to MSH-6 can look like a delimiter. So a character set is believed where it agrees with itself: MSH
decoded by it names it in MSH-18.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass

from adapter.codecs.charset import CODECS, codec_of
from adapter.codecs.hl7v2 import Delimiters

_MSH = re.compile(rb"(?:\A|[\r\n])(?:\xef\xbb\xbf|[\x0b\x1c \t])*(MSH)(?=[!-/:-@\[-`{-~])")
_LINE_END = re.compile(rb"[\r\n]")
_MAX_LINE_BYTES = 64 * 1024  # no MSH is longer; what lies beyond is not searched for MSH-18
_LAST_FIELD = 21  # MSH-21, message profile identifier, ends the v2.5.1 segment


@dataclass(frozen=True, slots=True)
class Header:
    """One MSH segment. Texts are as sent, escapes included; "" is what was not sent.

    ``charset`` is ``None`` where MSH-18 names a character set that is not known or contradicts itself. ``notes`` are
    sentences about what was tolerated; they repeat nothing that was sent in a field.
    """

    field_separator: str  # MSH-1
    encoding_characters: str  # MSH-2
    component: str
    repetition: str
    escape: str
    subcomponent: str
    sending_application: str  # MSH-3
    sending_facility: str  # MSH-4
    receiving_application: str  # MSH-5
    receiving_facility: str  # MSH-6
    message_at: str  # MSH-7
    message_type: str  # MSH-9.1
    trigger_event: str  # MSH-9.2
    message_structure: str  # MSH-9.3
    message_control_id: str  # MSH-10
    processing_id: str  # MSH-11.1
    version: str  # MSH-12.1
    # where a segment end was lost these hold the next segment, the patient's: kept out of repr
    accept_ack: str = dataclasses.field(repr=False)  # MSH-15
    application_ack: str = dataclasses.field(repr=False)  # MSH-16
    charset_names: tuple[str, ...] = dataclasses.field(repr=False)  # MSH-18, all repetitions, empty ones too
    charset: str | None  # Python codec
    alternates: tuple[str, ...]  # codecs of the other repetitions of MSH-18, known ones only
    notes: tuple[str, ...]
    fields: tuple[str, ...] = dataclasses.field(repr=False)  # MSH-1 to MSH-21, as far as they were sent

    @property
    def delimiters(self) -> Delimiters:
        """The five of MSH-1 and MSH-2 together."""
        return Delimiters(self.field_separator, self.component, self.repetition, self.escape, self.subcomponent)

    def field(self, position: int) -> str:
        """MSH-``position`` (1 to 21) as sent, "" where it was not."""
        return _at(self.fields, position)


@dataclass(frozen=True, slots=True)
class HeaderFault:
    """Why there is no header to read: where (segment, its sequence, field), a code of HL7 table 0357, and words.

    The words hold nothing of what was sent.
    """

    segment: str
    sequence: int
    field: int
    code: str
    text: str


def read_header(raw: bytes, default_charset: str) -> Header | HeaderFault:
    """The header of one message, or why it cannot be read; no bytes raise.

    A byte order mark, blank lines and lines of text before MSH are passed over. ``default_charset`` (a name that
    :func:`~adapter.codecs.charset.codec_of` knows, else ``ValueError``) counts where MSH-18 is empty.
    """
    default = codec_of(default_charset)
    if default is None:
        raise ValueError(f"default_charset {default_charset!r} is not a known character set; use a name like utf-8")
    found = _MSH.search(raw)
    if found is None:
        return HeaderFault("MSH", 1, 0, "100", "No MSH segment was found")
    line = line_at(raw, found.start(1))
    declared = read_delimiters(line, "MSH")
    if isinstance(declared, HeaderFault):
        return declared
    delimiters, notes = declared
    if raw[: found.start(1)].strip(b"\xef\xbb\xbf\x0b\x1c \t\r\n"):
        notes.append("Text stands before MSH")
    return _header(line, delimiters, default, notes)


def line_at(raw: bytes, start: int) -> bytes:
    """The line that begins at ``start``, without its end, cut at 64 KiB."""
    end = _LINE_END.search(raw, start, start + _MAX_LINE_BYTES)
    return raw[start : end.start() if end else start + _MAX_LINE_BYTES]


def read_delimiters(line: bytes, segment: str) -> tuple[Delimiters, list[str]] | HeaderFault:
    r"""The delimiters that a header segment's first two fields declare (2.5.4), and notes of what was tolerated.

    Beside ``^~\&`` and v2.7's ``^~\&#`` (the truncation character is nobody's delimiter) these are read: fewer
    characters, the others being absent; ``^~&``, a lost backslash; ``^~\\&``, a doubled one. Delimiters are printable
    ASCII, no letters, digits or blanks, and all different; anything else is a fault of field 1 or 2.
    """
    separator = line[3:4]
    if not _is_delimiter(separator.decode("latin-1")):
        return HeaderFault(segment, 1, 1, "102", f"{segment}-1 is not a field separator")
    sent = line[4:].split(separator, 1)[0].decode("latin-1").rstrip(" ")
    if not sent:
        return HeaderFault(segment, 1, 2, "101", f"{segment}-2 is empty: no encoding characters")
    notes = []
    characters = sent
    if len(sent) >= 4 and sent[2] == sent[3]:
        characters = sent[:3] + sent[4:]
        notes.append(f"{segment}-2 has its escape character twice")
    if len(characters) > 5 or not all(map(_is_delimiter, characters)):
        return HeaderFault(segment, 1, 2, "102", f"{segment}-2 does not hold encoding characters")
    if len(set(characters)) < len(characters):
        return HeaderFault(segment, 1, 2, "102", f"{segment}-2 uses one character for two purposes")
    component, repetition, escape, subcomponent = (*characters[:4], "", "", "")[:4]
    if characters in ("^~&", "^~&#"):
        escape, subcomponent = "", "&"
        notes.append(f"{segment}-2 has lost its escape character")
    elif len(characters) < 4:
        notes.append(f"{segment}-2 has fewer than four characters")
    return Delimiters(separator.decode("ascii"), component, repetition, escape, subcomponent), notes


def _is_delimiter(character: str) -> bool:
    return "!" <= character <= "~" and not character.isalnum()


def _header(line: bytes, delimiters: Delimiters, default: str, notes: list[str]) -> Header:
    fields, agrees = _read_fields(line, delimiters, default)
    names = _charset_names(fields, delimiters)
    declared = _declared(names)
    charset = default if not declared else declared[0] if agrees else None
    if None in declared:
        notes.append("MSH-18 names a character set that is not known")
    elif not agrees and declared:
        notes.append("MSH-18 names a character set in which it cannot be read")
    event = (*_at(fields, 9).split(delimiters.component), "", "", "")
    version = _at(fields, 12).split(delimiters.component)[0].strip()
    notes.extend(f"MSH-{position} is empty" for position in (9, 10, 12) if not _at(fields, position).strip())
    return Header(
        field_separator=delimiters.field,
        encoding_characters=_at(fields, 2),
        component=delimiters.component,
        repetition=delimiters.repetition,
        escape=delimiters.escape,
        subcomponent=delimiters.subcomponent,
        sending_application=_at(fields, 3),
        sending_facility=_at(fields, 4),
        receiving_application=_at(fields, 5),
        receiving_facility=_at(fields, 6),
        message_at=_at(fields, 7),
        message_type=event[0].strip(),
        trigger_event=event[1].strip(),
        message_structure=event[2].strip(),
        message_control_id=_at(fields, 10),
        processing_id=_at(fields, 11).split(delimiters.component)[0].strip(),
        version=version,
        accept_ack=_at(fields, 15).strip(),
        application_ack=_at(fields, 16).strip(),
        charset_names=names,
        charset=charset,
        alternates=tuple(codec for codec in declared[1:] if codec is not None),
        notes=tuple(notes),
        fields=fields,
    )


def _read_fields(line: bytes, delimiters: Delimiters, default: str) -> tuple[tuple[str, ...], bool]:
    """MSH-1 to MSH-21, and whether the character set they were decoded by is one that they name."""
    if line.isascii():  # every known character set reads it alike
        fields = _split(line.decode("ascii"), delimiters.field)
        return fields, None not in _declared(_charset_names(fields, delimiters))[:1]
    for errors in ("strict", "replace"):
        for codec in dict.fromkeys((default, *CODECS)):
            try:
                fields = _split(line.decode(codec, errors), delimiters.field)
            except UnicodeDecodeError:
                continue
            if codec in _declared(_charset_names(fields, delimiters)):
                return fields, True
    return _split(line.decode(default, "replace"), delimiters.field), False


def _split(line: str, separator: str) -> tuple[str, ...]:
    return (separator, *line.split(separator, _LAST_FIELD)[1:_LAST_FIELD])


def _at(fields: tuple[str, ...], position: int) -> str:
    return fields[position - 1] if position <= len(fields) else ""


def _charset_names(fields: tuple[str, ...], delimiters: Delimiters) -> tuple[str, ...]:
    sent = _at(fields, 18).strip()
    if sent in ("", '""'):
        return ()
    names = sent.split(delimiters.repetition) if delimiters.repetition else [sent]
    return tuple(name.strip() for name in names)


def _declared(names: tuple[str, ...]) -> list[str | None]:
    # an empty first repetition is the standard's default, ASCII (2.15.9.18); an empty further one is nothing
    return [codec_of(name or "ASCII") for place, name in enumerate(names) if name or place == 0]
