"""Where a message departs from the standard's own structure, in sentences for ``explain``. No rule depends on it.

hl7apy's tables say what each version expects: segments and groups of each message structure (HL7 chapters 3 and 7),
fields of each segment, which of them are required and which may repeat. Its parser and validator are not used: they
lose or refuse much of what is real, stop at the first finding and quote values. What is found here is said of places
alone; nothing that was sent in a field is repeated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from adapter.codecs.header import HeaderFault, read_header
from adapter.codecs.hl7v2 import Segment, split

_Reference = tuple[Any, ...]  # hl7apy's: (kind, children, ...), a child (name, reference, (least, most), kind)
_Find = Callable[[str, str, str], _Reference]

_ASSUMED_VERSION = "2.5.1"
# HL7 table 0354: the structure that several events share
_STRUCTURES = {"ADT_A34": "ADT_A30", "ADT_A40": "ADT_A39", "ORU_R31": "ORU_R30", "ORU_R32": "ORU_R30"}
_SEGMENT, _GROUP = "SEG", "GRP"
_PLACES_NAMED = 3
_VERSION = re.compile(r"[0-9]\.[0-9](?:\.[0-9])?")
_STRUCTURE = re.compile(r"[A-Z]{3}_[A-Z][0-9]{2}")


def structure_report(text: str, version: str) -> tuple[str, ...]:
    """What the standard of this version would object to in one decoded message; empty where it would not.

    Looks at segments (unknown, out of place, missing, too many) and fields (missing, repeated, too many); Z segments
    may stand anywhere. Without a version 2.5.1 is taken. Never raises: what hl7apy has no tables for is a sentence.
    """
    header = read_header(text.encode("utf-8", "replace"), "utf-8")
    segments = () if isinstance(header, HeaderFault) else split(text, header.delimiters)
    if isinstance(header, HeaderFault) or not segments:
        why = header.text if isinstance(header, HeaderFault) else "No MSH segment was found"
        return (f"The structure cannot be looked at: {why}.",)
    said = [] if version else [f"MSH-12 names no version; the message is held against {_ASSUMED_VERSION}."]
    version = version or _ASSUMED_VERSION
    try:
        from hl7apy import load_library, load_reference  # a fortieth of a second, which only explain spends

        load_library(version)
    except Exception:  # hl7apy raises many things; a version without tables is what each of them means here
        named = f"version {version}" if _VERSION.fullmatch(version) else "the version that MSH-12 names"
        return (f"hl7apy has no tables for {named}: the structure cannot be looked at.",)
    return (*said, *_segment_findings(segments, version, load_reference), *_fields(segments, version, load_reference))


# --- segments -----------------------------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class _Group:
    """One occurrence of a group while segments are put in their places."""

    name: str
    children: Sequence[_Reference]
    parent: _Group | None = None
    at: int = 0  # the child that was filled last
    counts: dict[int, int] = field(default_factory=dict)  # by child: a name may stand at two places
    choice: bool = False

    def missing(self) -> Iterator[str]:
        """The required children that did not come; of a choice there are none."""
        for at, (name, _, (least, _), _) in enumerate(() if self.choice else self.children):
            if self.counts.get(at, 0) < least:
                yield f"{_bare(name, self.root)} is required in {_bare(self.name, self.root)} and missing"

    @property
    def root(self) -> str:
        """The name of the message structure."""
        return self.name if self.parent is None else self.parent.root


def _segment_findings(segments: Sequence[Segment], version: str, find: _Find) -> Iterator[str]:
    asked = _structure_names(segments[0])
    found = ((name, reference) for name in asked if (reference := _look_up(find, name, "Message", version)))
    name, reference = next(found, ("", None))
    if reference is None:
        named = f"the structure {asked[0]}" if asked else "the type that MSH-9 names"
        yield f"hl7apy has no table of {named} in version {version}: the order of its segments cannot be looked at."
        return
    here = root = _Group(name, reference[1], choice=reference[0] == "choice")
    known = set(_names(reference))
    groups = [root]
    findings = dict[str, list[str]]()
    for segment in segments:
        if segment.name.startswith("Z"):
            continue
        place = f"{segment.name}[{segment.number}]"
        if segment.name not in known:
            findings.setdefault(f"{segment.name} is no segment of {name} in version {version}", []).append(place)
            continue
        taken = _put(segment.name, here, groups, strict=True) or _put(segment.name, here, groups, strict=False)
        if taken is None:
            findings.setdefault(f"{segment.name} stands where {name} does not expect it", []).append(place)
        else:
            here = taken
    for group in groups:
        for sentence in group.missing():
            findings.setdefault(sentence, []).append("")
    yield from _said(findings)


def _structure_names(msh: Segment) -> list[str]:
    """MSH-9.3, else what MSH-9.1 and MSH-9.2 mean; only what looks like a structure."""
    event = f"{msh.text(9, 1)}_{msh.text(9, 2) or 'R01'}"
    names = (msh.text(9, 3), event, _STRUCTURES.get(event, ""))
    return [name for name in dict.fromkeys(names) if _STRUCTURE.fullmatch(name)]


def _look_up(find: _Find, name: str, kind: str, version: str) -> _Reference | None:
    try:
        found = find(name, kind, version)
    except Exception:  # ChildNotFound, KeyError and others: there is no such table
        return None
    return found if _sound(found) else None


def _sound(reference: _Reference) -> bool:
    # withdrawn segments have a table without rows, and ORM_O01 of version 2.1 is broken
    return len(reference) > 1 and all(len(row) == 4 and (row[3] != _GROUP or _sound(row[1])) for row in reference[1])


def _names(reference: _Reference) -> Iterator[str]:
    """Every segment that a structure knows, wherever it stands."""
    for name, inner, _, kind in reference[1]:
        if kind == _GROUP:
            yield from _names(inner)
        else:
            yield name


def _beginnings(reference: _Reference) -> Iterator[str]:
    """The segments that a group can begin with, where nothing that it requires is left out."""
    for name, inner, (least, _), kind in reference[1]:
        if kind == _GROUP:
            yield from _beginnings(inner)
        else:
            yield name
        if least > 0 and reference[0] != "choice":
            return


def _put(name: str, here: _Group, groups: list[_Group], *, strict: bool) -> _Group | None:
    """The group that takes the next segment: the innermost open one, else one around it; None if none does.

    ``strict`` leaves out nothing that is required on the way there.
    """
    group: _Group | None = here
    while group is not None:
        for at in range(group.at, len(group.children)):
            child, inner, (least, most), kind = group.children[at]
            count = group.counts.get(at, 0)
            if most == -1 or count < most:
                names = _beginnings(inner) if strict else _names(inner)
                takes = names if kind == _GROUP else (child,)
                if name in takes:
                    group.at, group.counts[at] = at, count + 1
                    if kind == _SEGMENT:
                        return group
                    opened = _Group(child, inner[1], group, choice=inner[0] == "choice")
                    groups.append(opened)
                    return _put(name, opened, groups, strict=strict)
            if strict and count < least and not group.choice:
                break
        group = group.parent
    return None


def _bare(name: str, root: str) -> str:
    return name.removeprefix(f"{root}_")


# --- fields -------------------------------------------------------------------------------------------------------


def _fields(segments: Sequence[Segment], version: str, find: _Find) -> Iterator[str]:
    tables: dict[str, _Reference | None] = {}
    findings = dict[str, list[str]]()
    for segment in segments:
        if segment.name not in tables:
            tables[segment.name] = _look_up(find, segment.name, "Segment", version)
        table = tables[segment.name]
        if table is None or segment.name.startswith("Z"):
            continue
        for sentence in _field_findings(segment, table, version):
            findings.setdefault(sentence, []).append(f"{segment.name}[{segment.number}]")
    yield from _said(findings)


def _field_findings(segment: Segment, table: _Reference, version: str) -> Iterator[str]:
    for child, reference, (least, most), _ in table[1]:
        position = int(child.rpartition("_")[2])
        words = f" ({reference[3].replace('_', ' ').lower()})" if reference else ""  # a few tables lack a name
        address = f"{segment.name}-{position}{words}"
        sent = segment.field(position).strip()
        if not sent:
            if least > 0:
                yield f"{address} is required and empty"
        elif most == 0:
            yield f"{address} is no longer used in version {version}"
        elif most > 0 and address[:6] != "MSH-2 " and len(segment.repetitions(position)) > most:
            yield f"{address} repeats more often than version {version} allows"
    known = len(table[1])
    if any(text.strip() for text in segment.fields[known + 1 :]):
        yield f"{segment.name} has more than the {known} fields of version {version}"


def _said(findings: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for sentence, places in findings.items():
        named = [place for place in places if place]
        more = len(named) - _PLACES_NAMED
        where = f": {', '.join(named[:_PLACES_NAMED])}" if named else ""
        times = f" ({len(places)} times)" if len(places) > 1 and not named else ""
        yield f"{sentence}{where}{f' and {more} more' if more > 0 else ''}{times}."
