"""Decoded HL7 v2 text into segments, fields, components (HL7 chapter 2, sections 2.5 to 2.7).

Tolerant of what real feeds do: CR, LF and CR LF end a segment alike, blank lines count for nothing, a line that
cannot be a segment continues the one before it (a bare CR inside a text field), and text before MSH is passed over.
Positions are the standard's, counted from one; what was not sent reads as the empty string. Time and memory grow with
the text, not with its square, whatever it holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_LINE_END = re.compile(r"\r\n|\r|\n")
# What begins a line must be what begins it in envelope.py, which cuts the same lines as bytes.
_NAME = re.compile(r"([A-Z][A-Z0-9]{2})[ \t]*(.?)", re.DOTALL)
_BLANK = "\x0b\x1c \t"
_PADDING = "\x00\x1a\ufeff"  # NUL, and the end of file of old systems, after the last segment
_ESCAPED_HEX = re.compile(r"X((?:[0-9A-Fa-f]{2})+)")
_LAYOUT = re.compile(r"\.(?:(br|sp|ce)|fi|nf|in|ti|sk)[ ]*[+-]?[0-9]*")
NULL = '""'  # HL7's explicit null (chapter 2.5.3.3): "delete what you have"


@dataclass(frozen=True, slots=True)
class Delimiters:
    """The five characters of MSH-1 and MSH-2 (chapter 2.5.4); an empty string is one that was not sent."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment. ``number`` counts the segments of this name from one, as ERL and our locators do."""

    name: str
    number: int
    fields: tuple[str, ...]  # fields[0] is the name; MSH is shifted so that fields[1] is MSH-1
    delimiters: Delimiters

    def field(self, position: int) -> str:
        """The field as sent, repetitions and escapes included; "" where it was not sent."""
        return self.fields[position] if position < len(self.fields) else ""

    def repetitions(self, position: int) -> tuple[str, ...]:
        """The repetitions of a field that are not empty, as sent."""
        text = self.field(position)
        separator = self.delimiters.repetition
        if not separator or separator not in text:
            return (text,) if text else ()
        return tuple(part for part in text.split(separator) if part)

    def text(self, position: int, component: int = 1, subcomponent: int = 1) -> str:
        """The unescaped, trimmed text of one (sub)component of the first repetition; HL7's null reads as ""."""
        repetitions = self.repetitions(position)
        return self.part(repetitions[0], component, subcomponent) if repetitions else ""

    def part(self, repetition: str, component: int = 1, subcomponent: int = 1) -> str:
        """The same of a repetition in hand."""
        piece = pick(repetition, self.delimiters.component, component)
        piece = pick(piece, self.delimiters.subcomponent, subcomponent).strip()
        return "" if piece == NULL else unescape(piece, self.delimiters).strip()

    def components(self, repetition: str) -> tuple[str, ...]:
        """All components of a repetition, unescaped and trimmed, subcomponents left together."""
        separator = self.delimiters.component
        pieces = repetition.split(separator) if separator else [repetition]
        return tuple("" if p.strip() == NULL else unescape(p, self.delimiters).strip() for p in pieces)


def pick(text: str, separator: str, position: int) -> str:
    """The piece at a position counted from one; without a separator the whole text is piece one."""
    if not separator:
        return text if position == 1 else ""
    pieces = text.split(separator, position)
    return pieces[position - 1] if position <= len(pieces) else ""


def split(text: str, delimiters: Delimiters) -> tuple[Segment, ...]:
    """All segments of one decoded message, MSH first. What stands before MSH is not part of it."""
    counts: dict[str, int] = {}
    segments = []
    for line in _joined_lines(text, delimiters.field):
        fields = line.split(delimiters.field)
        name = fields[0] = line[:3]  # a line that continues a bare name is no part of it
        if name == "MSH":
            fields.insert(1, delimiters.field)
        counts[name] = counts.get(name, 0) + 1
        segments.append(Segment(name, counts[name], tuple(fields), delimiters))
    return tuple(segments)


def _joined_lines(text: str, separator: str) -> Iterator[str]:
    current: list[str] = []
    for raw_line in _LINE_END.split(text):
        line = raw_line.lstrip(_BLANK)
        named = _NAME.match(line)
        if not current:
            line = line.lstrip(_BLANK + "\ufeff")
            if line.startswith("MSH" + separator):
                current = [line]
        elif named and named[2] in (separator, "") and (named[1] != "MSH" or line[3:4] == separator):
            yield "\n".join(current)
            current = [named[1] + line[named.start(2) :]]
        elif line.strip(_BLANK + _PADDING):
            current.append(raw_line)
    if current:
        yield "\n".join(current)


def unescape(text: str, delimiters: Delimiters) -> str:
    r"""Chapter 2.7: ``\F\ \S\ \T\ \R\ \E\ \P\``, ``\Xdd..\`` of ASCII, ``\.br\`` and the other layout commands.

    Highlighting is dropped; an escape that is not known (``\Cxxyy\``, ``\Zdd\``) stays as it was sent.
    """
    escape = delimiters.escape
    if not escape or escape not in text:
        return text
    known = {
        "F": delimiters.field,
        "S": delimiters.component,
        "T": delimiters.subcomponent,
        "R": delimiters.repetition,
        "E": escape,
        "P": "#",
        "H": "",
        "N": "",
    }
    pieces = text.split(escape)
    out = [pieces[0]]
    place = 1
    while place < len(pieces):
        name = pieces[place]
        closed = place + 1 < len(pieces)
        meant = _meaning(name, known) if closed else None
        if meant is None:
            out += (escape, name)
            place += 1
        else:
            out += (meant, pieces[place + 1])
            place += 2
    return "".join(out)


def _meaning(name: str, known: Mapping[str, str]) -> str | None:
    if name in known:
        return known[name]
    if layout := _LAYOUT.fullmatch(name):
        return "\n" if layout[1] else " "
    return _hex_text(name)


def _hex_text(name: str) -> str | None:
    match = _ESCAPED_HEX.fullmatch(name)
    if not match:
        return None
    sent = bytes.fromhex(match[1])
    return sent.decode("ascii") if sent.isascii() else None
