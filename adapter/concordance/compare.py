"""The comparison, cell by cell.

A value agrees where ours, in the unit entered and rounded to the decimals entered, is the number entered, and the
comparators are equal (:mod:`rounding`). Dates are compared where both sides have one; a score has no collection time of
its own, so that its date is not compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from adapter.concordance.fits import fits, unit_of
from adapter.concordance.nouns import (
    AGREES,
    KINDS,
    NEITHER,
    NOT_COMPARED,
    Cell,
    Entry,
    Finding,
    Here,
    Ours,
    Pair,
    Sheet,
)
from adapter.concordance.rounding import agrees, rounded
from adapter.rules.units import convert


@dataclass(frozen=True, slots=True)
class Comparison:
    """What became of every cell that was looked at, what was found, and the pairs of numbers for the statistics."""

    ours: Ours
    sheet: Sheet
    outcomes: Mapping[Cell, str]  # one of KINDS, or agrees, neither, not_compared
    findings: tuple[Finding, ...]
    pairs: tuple[Pair, ...]

    @property
    def clean(self) -> bool:
        """Whether both sides say the same, and every row could be read."""
        return not self.findings and not self.sheet.bad_rows


def compare(ours: Ours, sheet: Sheet, *, sample: bool = False) -> Comparison:
    """Hold the table against a file, in the table's order.

    A cell that the file does not list is missing from it, unless the file is a ``sample``. Supporting analytes are
    looked at where the file lists them at all: an entry form rarely does.
    """
    entries = {entry.cell: entry for entry in sheet.entries}
    listed = {endpoint for _, _, endpoint in sheet.cells}
    outcomes, findings, pairs = dict[Cell, str](), list[Finding](), list[Pair]()
    for cell, here in ours.cells.items():
        entry = entries.get(cell)
        if cell in sheet.unusable:
            outcomes[cell] = NOT_COMPARED
            continue
        if entry is None and (sample or (ours.protocol.analytes[cell[2]].supporting and cell[2] not in listed)):
            continue
        found = judge(cell, entry, here, ours)
        if isinstance(found, Finding):
            findings.append(found)
        outcomes[cell] = found.kind if isinstance(found, Finding) else found
        if entry is not None:
            pairs += _pair(entry, here, ours, outcomes[cell] in (AGREES, "date_differs"))
    return Comparison(ours, sheet, outcomes, tuple(findings), tuple(pairs))


def judge(cell: Cell, entry: Entry | None, here: Here, ours: Ours) -> Finding | str:
    """What is found of one cell, or ``agrees``, or ``neither`` where no side has a value."""
    if entry is None or entry.number is None:
        return NEITHER if here.row.value is None else Finding(cell, "only_here", here, entry)
    if here.row.value is None:
        return Finding(cell, "only_there", here, entry, fits=fits(cell, entry, here, ours, "only_there"))
    unit = unit_of(entry.unit, ours.protocol.analytes[cell[2]], ours.protocol)
    if unit is None:
        return Finding(cell, "unit_unknown", here, entry, fits=fits(cell, entry, here, ours, "unit_unknown"))
    value = Fraction(here.row.value) / Fraction(unit.factor)
    differs = {
        "value_differs": not agrees(entry.number, value),
        "comparator_differs": entry.comparator != here.row.comparator,
        "date_differs": _other_day(entry, here),
    }
    kinds = [kind for kind in KINDS if differs.get(kind)]
    if not kinds:
        return AGREES
    found = fits(cell, entry, here, ours, kinds[0])
    return Finding(cell, kinds[0], here, entry, tuple(kinds[1:]), rounded(value, entry.number), found)


def _other_day(entry: Entry, here: Here) -> bool:
    if entry.on is None or here.row.collected_at is None or here.row.derived:
        return False
    return entry.on != date.fromisoformat(here.row.collected_at[:10])


def _pair(entry: Entry, here: Here, ours: Ours, agreed: bool) -> list[Pair]:
    """The two numbers, where both sides have one and neither is a limit."""
    unit = unit_of(entry.unit, ours.protocol.analytes[entry.cell[2]], ours.protocol)
    if entry.number is None or here.row.value is None or unit is None:
        return []
    if entry.comparator is not None or here.row.comparator is not None:
        return []
    return [Pair(entry.cell, convert(entry.number, unit), here.row.value, agreed)]
