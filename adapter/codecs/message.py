"""One message opened: its header, its text, and the places where the text cannot be believed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from adapter.codecs.charset import Fault, codec_of, decode
from adapter.codecs.header import Header, HeaderFault, read_header
from adapter.codecs.hl7v2 import Delimiters

_BOM = b"\xef\xbb\xbf"
_LINE_BEGINS_WITH_BOM = re.compile(rb"((?:\A|[\r\n])[\x0b\x1c \t]*)(?:\xef\xbb\xbf[\x0b\x1c \t]*)+")


@dataclass(frozen=True, slots=True)
class Opened:
    """A message whose header can be read. With ``fault`` (place and cause, in words) its text may hold U+FFFD."""

    header: Header
    text: str = field(repr=False)
    faults: tuple[Fault, ...] = ()
    unknown_charset: bool = False

    @property
    def delimiters(self) -> Delimiters:
        """MSH-1 and MSH-2."""
        return self.header.delimiters

    @property
    def fault(self) -> str | None:
        """Why the text is not to be believed, or None: a character set nobody knows, or bytes that are not of it."""
        if self.unknown_charset:
            return "MSH-18 names a character set that is not known"
        if self.faults:
            first = self.faults[0]
            where = f"line {first.line}{f' ({first.segment})' if first.segment else ''}"
            return f"{where}, byte {first.offset + 1}: the bytes are not of the character set {self.header.charset}"
        return None


def open_message(raw: bytes, default_charset: str) -> Opened | HeaderFault:
    """Decode one message by its MSH-18, else by the source's character set. No bytes raise."""
    header = read_header(raw, default_charset)
    if isinstance(header, HeaderFault):
        return header
    codec = header.charset or codec_of(default_charset) or "ascii"
    if _BOM in raw:  # files put together from files; in GB 18030 it would swallow the first letter of its line
        raw = _LINE_BEGINS_WITH_BOM.sub(rb"\1", raw)
    decoded = decode(raw, codec, header.alternates)
    return Opened(header, decoded.text, decoded.faults, unknown_charset=header.charset is None)
