"""A payload (a frame, a file) into messages, and a message into the lines that may be kept.

Works on bytes: no known character set has CR or LF inside a character, so lines may be cut before decoding. Batches
are chapter 2.10.3: ``[FHS] { [BHS] { MSH ... } [BTS] } [FTS]``; several MSH without any are seen as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n|\Z)")
_BLANK = b"\xef\xbb\xbf\x0b\x1c \t"
# A header segment declares its delimiters: its separator, one to six of them, its separator again. Text that merely
# begins with the letters MSH does not.
_DECLARES = re.compile(rb"(MSH|FHS|BHS)([!-/:-@\[-`{-~])[!-/:-@\[-`{-~]{1,6}?(?:\2|\s|\Z)")
_NAME = re.compile(rb"([A-Z][A-Z0-9]{2})[ \t]*([^ \t]?)", re.DOTALL)
_ENVELOPE = {b"FHS", b"BHS", b"BTS", b"FTS"}
_HEADER = {b"MSH", b"SFT", b"UAC"}


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

    A line is a segment where its name is followed by the field separator of the last header segment, or by nothing.
    """
    found, separator = list[Line](), b"|"
    for match in _LINE.finditer(raw):
        line = match[0].lstrip(_BLANK)
        header, named = _DECLARES.match(line), _NAME.match(line)
        if header:
            separator = header[2]
            found.append(Line(header[1], match[0]))
        elif named and named[1] not in (b"MSH", b"FHS", b"BHS") and named[2] in (separator, b"\r", b"\n", b""):
            found.append(Line(named[1], match[0]))
        elif match[0]:
            found.append(Line(b"", match[0]))
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
    line = line.strip(_BLANK + b"\r\n")
    fields = line[4:].split(line[3:4]) if line[3:4] else []
    return int(fields[0]) if fields and fields[0].isdigit() else None


def keep_groups(raw: bytes, keep: Sequence[bool]) -> bytes:
    """The header and those patient groups (from a PID to the next) that ``keep`` names, in their own bytes."""
    kept, group, keeping = list[bytes](), -1, False
    for line in lines_of(raw):
        if line.name == b"PID":
            group += 1
            keeping = keep[group]
        if (group < 0 and _in_header(line, kept)) or (group >= 0 and keeping):
            kept.append(line.raw)
    return b"".join(kept)


def _in_header(line: Line, kept: Sequence[bytes]) -> bool:
    return line.name in _HEADER or (not line.name and bool(kept))


def keep_observations(raw: bytes, keep: set[int]) -> bytes:
    """The message without the OBX (counted from one) that are not in ``keep``, their notes, and orders left empty."""
    kept: list[bytes] = []
    for chunk in _order_chunks(raw):
        number_kept = [n in keep for n, _ in chunk if n]
        if number_kept and not any(number_kept):
            continue
        kept += [line for n, line in chunk if not n or n in keep]
    return b"".join(kept)


def _order_chunks(raw: bytes) -> Iterator[list[tuple[int, bytes]]]:
    """Lines in chunks that begin at PID, ORC or OBR; each with the number of the OBX it is of, 0 for none."""
    chunk, count, current, last = list[tuple[int, bytes]](), 0, 0, b""
    for line in lines_of(raw):
        begins = line.name in (b"PID", b"ORC") or (line.name == b"OBR" and last != b"ORC")
        if begins and chunk:
            yield chunk
            chunk = []
        if line.name == b"OBX":
            count += 1
            current = count
        elif line.name and line.name != b"NTE":
            current = 0
        chunk.append((current, line.raw))
        last = line.name or last
    yield chunk
