"""A payload (a frame, a file) into messages, and a message into the lines that may be kept.

Works on bytes: no known character set has CR or LF inside a character, so lines may be cut before decoding. Batches
are chapter 2.10.3: ``[FHS] { [BHS] { MSH ... } [BTS] } [FTS]``; several MSH without any are seen as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n|\Z)")
_BLANK = re.compile(rb"\A(?:\xef\xbb\xbf|[\x0b\x1c \t])+")
# A header segment declares its delimiters: its separator, one to six of them, its separator again. Text that merely
# begins with the letters MSH does not.
_DECLARES = re.compile(rb"(MSH|FHS|BHS)([!-/:-@\[-`{-~])[!-/:-@\[-`{-~]{1,6}?(?:\2|\s|\Z)")
_NAME = re.compile(rb"([A-Z][A-Z0-9]{2})[ \t]*([^ \t]?)", re.DOTALL)
_OUL = re.compile(rb"OUL.R2([234])")
_ENVELOPE = {b"FHS", b"BHS", b"BTS", b"FTS"}
_HEADER = {b"MSH", b"SFT", b"UAC"}
_OF_AN_OBSERVATION = {b"NTE", b"PRT", b"TCD", b"SID", b"INV"}  # what follows an OBX and speaks of it


@dataclass(frozen=True, slots=True)
class Payload:
    """The messages of a payload. ``batch``: it had FHS or BHS. ``fault``: BTS-1 counts other messages than came."""

    messages: tuple[bytes, ...] = field(repr=False)
    batch: bool = False
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One physical line with its end; ``name`` is its segment id, b"" for a line that continues the one before."""

    name: bytes
    raw: bytes = field(repr=False)


def lines_of(raw: bytes) -> tuple[Line, ...]:
    """Every line of a payload, blank ones included; joined they are the payload again.

    A line is a segment where its name is followed by the field separator of the last header segment, or by nothing,
    as in :func:`adapter.codecs.hl7v2.split`. Nothing before the first header segment is one. ``MSH`` with that
    separator begins a message even where it declares no delimiters: a header that is broken is refused, never taken
    for text of the message before it.
    """
    found, separator = list[Line](), b""
    for match in _LINE.finditer(raw):
        if not match[0]:
            break
        line = _BLANK.sub(b"", match[0])
        header, named = _DECLARES.match(line), _NAME.match(line)
        name = b""
        if header:
            separator, name = header[2], header[1]
        elif named and separator and named[2] in (separator, b"\r", b"\n", b""):
            name = named[1]
        if not header and name in (b"MSH", b"FHS", b"BHS") and (name != b"MSH" or line[3:4] != separator):
            name = b""
        found.append(Line(name, match[0]))
    return tuple(found)


def split_payload(raw: bytes) -> Payload:
    """Messages begin at MSH. Text before the first MSH stays with it; without any MSH the payload is one message."""
    messages: list[list[bytes]] = []
    lead: list[bytes] = []
    batch, counts = False, list[int]()
    in_batch = 0
    for line in lines_of(raw):
        if line.name == b"MSH":
            messages.append([*lead, line.raw])
            lead, in_batch = [], in_batch + 1
        elif line.name in _ENVELOPE:
            batch = True
            if line.name == b"BHS":
                in_batch = 0
            elif line.name == b"BTS" and (stated := _count(line.raw)) is not None:
                counts.append(stated - in_batch)
            lead = []
        elif messages:
            messages[-1].append(line.raw)
        else:
            lead.append(line.raw)
    if not messages:
        return Payload((raw,), batch=False)
    fault = "BTS-1 counts other messages than the batch holds" if any(counts) else None
    return Payload(tuple(b"".join(m) for m in messages), batch, fault)


def _count(line: bytes) -> int | None:
    stated = re.match(rb"\s*BTS[^0-9A-Za-z]([0-9]{1,9})(?![0-9])", line)
    return int(stated[1]) if stated else None


def keep_groups(raw: bytes, keep: Sequence[bool]) -> bytes:
    """The header and those patient groups (from a PID to the next) that ``keep`` names, in their own bytes.

    Text before MSH is not kept. Raises ValueError where ``keep`` is not of as many groups as the message has.
    """
    kept, group, keeping = list[bytes](), -1, False
    for line in lines_of(raw):
        if line.name == b"PID":
            group += 1
            keeping = group < len(keep) and keep[group]
        elif group < 0 and line.name:
            keeping = line.name in _HEADER
        if keeping:
            kept.append(line.raw)
    if group + 1 != len(keep):
        raise ValueError(f"keep is of {len(keep)} patient groups, the message has {group + 1}")
    return b"".join(kept)


@dataclass(slots=True)
class _Block:
    """A stretch of lines that stays or goes: the header, a patient, a specimen with orders after it, an order."""

    kind: bytes  # PID (the header's too), SPM or ORC
    lines: list[tuple[int, bytes]] = field(default_factory=list, repr=False)  # and the number of its OBX, else 0
    last: bytes = b""  # OBR, SPM or OBX
    has_request: bool = False  # it has an OBR
    has_order: bool = False  # an order of this specimen stays

    def without(self, keep: set[int]) -> list[bytes]:
        """What stays of it; a specimen or an order only with an OBX that does."""
        kept = [line for number, line in self.lines if not number or number in keep]
        stays = self.has_order or any(number in keep for number, _ in self.lines)
        lone = self.kind == b"ORC" and not self.has_request  # an ORC astray; what follows might read otherwise
        return kept if stays or lone or self.kind == b"PID" else []


def keep_observations(raw: bytes, keep: set[int]) -> bytes:
    """The message with no OBX (counted from one) but those in ``keep``, in its own bytes.

    An OBX goes with its notes and performers, an order or a specimen with the last of its OBX.
    """
    blocks = list(_blocks(raw))
    specimen: _Block | None = None
    for block in blocks:
        if block.kind == b"PID":
            specimen = None
        elif block.kind == b"SPM":
            specimen = block
        elif specimen is not None and block.without(keep):
            specimen.has_order = True
    return b"".join(line for block in blocks for line in block.without(keep))


def _blocks(raw: bytes) -> Iterator[_Block]:
    block, count, current = _Block(b"PID"), 0, 0
    oul = by_event = precedes = False
    for line in lines_of(raw):
        if line.name == b"MSH":
            event = _OUL.search(line.raw)
            oul, by_event = event is not None, event is not None and event[1] != b"4"
        if line.name in (b"MSH", b"PID"):
            precedes = by_event
        kind = _begins(line.name, block, precedes=precedes, oul=oul)
        if kind:
            yield block
            block = _Block(kind)
            precedes = precedes or kind == b"SPM"
        if line.name == b"OBX":
            count += 1
            current = count
        elif line.name and line.name not in _OF_AN_OBSERVATION:
            current = 0
        if line.name in (b"OBR", b"SPM", b"OBX"):
            block.last = line.name
            block.has_request = block.has_request or line.name == b"OBR"
        block.lines.append((current, line.raw))
    yield block


def _begins(name: bytes, block: _Block, *, precedes: bool, oul: bool) -> bytes | None:
    """The kind of block that a segment begins, or None: as ``oru`` groups them, so that what stays reads as before.

    ``precedes``: specimens stand before their orders. ``oul``: ORC stands after its OBR and begins nothing.
    """
    if name == b"PID":
        return b"PID"
    if name == b"SPM" and (precedes or not block.has_request):
        return None if block.last == b"SPM" else b"SPM"
    if name == b"ORC" and not oul:
        return b"ORC"
    if name == b"OBR" and (oul or block.kind != b"ORC" or block.has_request):
        return b"ORC"
    return None
