"""What a deviating entry agrees with: another result, another unit, our value with its digits otherwise.

Each is a fact about the numbers and no verdict. Those that fit short numbers by chance are not told of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

from adapter.concordance.nouns import Cell, Entry, Here, Ours, unit_said
from adapter.concordance.rounding import agrees
from adapter.model import Analyte, Outcome, Protocol, ReportedValue, ResultRow, Step, UnitRow
from adapter.rules.units import unit_row
from adapter.rules.values import Number, read_value

_MOST = 6  # facts told of one cell
_ENOUGH_DIGITS = 2  # a single digit fits too much by chance
_OTHER_FACTOR = Fraction(1, 1000)  # 17.1 for 17.104 and 88.4 for 88.42 differ by less
_SHIFTS = (-1, 1, -2, 2, -3, 3)
_BY_OUTCOME = {
    Outcome.SUPERSEDED: "fits_superseded",
    Outcome.TAKEN_BACK: "fits_taken_back",
    Outcome.UNSCHEDULED: "fits_unscheduled",
    Outcome.BASELINE: "fits_baseline",
    Outcome.HELD: "fits_held",
}


def unit_of(text: str, analyte: Analyte, protocol: Protocol) -> UnitRow | None:
    """The unit entered. An empty one is known where there is none to state: of a pure number and of a score."""
    if text:
        return unit_row(text, analyte, protocol)
    return UnitRow(analyte.unit, Decimal(1)) if analyte.dimensionless or analyte.derived else None


def fits(cell: Cell, entry: Entry, here: Here, ours: Ours, kind: str) -> tuple[Step, ...]:
    """What an entry with a number agrees with, by the kind of finding; what says most comes first."""
    if entry.number is None:
        return ()
    odd = _Odd(cell, entry, entry.number, here, ours)
    found: dict[str, Step] = {}
    for step in odd.facts(kind):
        found.setdefault(f"{step.rule} {sorted(step.facts.items())}", step)
    return tuple(found.values())[:_MOST]


@dataclass(frozen=True, slots=True)
class _Odd:
    """One entry that deviates, and all that it is held against."""

    cell: Cell
    entry: Entry
    number: Decimal
    here: Here
    ours: Ours

    @property
    def analyte(self) -> Analyte:
        return self.ours.protocol.analytes[self.cell[2]]

    @property
    def unit(self) -> UnitRow | None:
        return unit_of(self.entry.unit, self.analyte, self.ours.protocol)

    @property
    def telling(self) -> bool:
        """Whether the number is long enough not to fit by chance."""
        return len(self.number.as_tuple().digits) >= _ENOUGH_DIGITS and self.number != 0

    @property
    def value(self) -> Fraction:
        """Our value in the protocol's unit."""
        assert self.here.row.value is not None
        return Fraction(self.here.row.value)

    def facts(self, kind: str) -> Iterator[Step]:
        """All that fits, for one kind of finding."""
        if kind == "unit_unknown":
            yield from self.units()
        elif kind == "date_differs":
            yield from self.results(of_that_day=True)
            yield from self.days()
        elif kind == "only_there":
            yield from self.waiting()
            yield from self.results()
            yield from self.neighbours()
        elif kind == "value_differs":
            units = list(self.units())
            yield from units
            yield from self.results()
            yield from () if units else self.digits()
            yield from self.neighbours()
            yield from self.factor()

    def units(self) -> Iterator[Step]:
        """Units in which the number entered would be ours."""
        mine = self.unit.factor if self.unit is not None else None
        told = {mine}
        for row in self.analyte.units.values():
            if self.telling and row.factor not in told and agrees(self.number, self.value / Fraction(row.factor)):
                told.add(row.factor)
                yield Step("fits_unit", {"unit": row.ucum})

    def results(self, *, of_that_day: bool = False) -> Iterator[Step]:
        """Other results of the participant and endpoint with the value entered, those of the day entered first."""
        chosen = None if self.here.result is None else (self.here.result.inbox_id, self.here.result.locator)
        factor = Fraction(1 if self.unit is None else self.unit.factor)
        found = [
            row
            for row in self.ours.results.get(self.cell[0], ())
            if row.endpoint == self.cell[2]
            and (row.inbox_id, row.locator) != chosen
            and row.value is not None
            and row.comparator == self.entry.comparator
            and (not of_that_day or _day_of(row.collected_at) == self.entry.on)
            and agrees(self.number, Fraction(row.value) / factor)
        ]
        for row in sorted(found, key=lambda row: _day_of(row.collected_at) != self.entry.on):
            yield from self.result(row)

    def result(self, row: ResultRow) -> Iterator[Step]:
        """Which result it is, and why it is not the value."""
        facts = {"where": _where(row), "reason": row.reason or "", "status": row.status}
        facts |= {"visit": row.visit or "", "endpoint": self.cell[2]}
        if row.outcome != Outcome.PLACED:
            rule = _BY_OUTCOME.get(Outcome(row.outcome))
            if rule is not None:
                yield Step(rule, facts)
        elif row.visit != self.cell[1]:
            yield Step("fits_other_visit", facts)
        else:
            yield Step("fits_candidate", facts)
            why = self.ours.placements.get((self.cell, row.inbox_id, row.locator))
            if why is not None:
                yield Step(f"candidate_{why}", facts)

    def waiting(self) -> Iterator[Step]:
        """Results held in the cell's open questions whose number, as reported, is the one entered."""
        asked = {item.id for item in self.here.items}
        for row in self.ours.results.get(self.cell[0], ()):
            if row.item in asked and row.value is None:
                found = read_value(ReportedValue(row.reported, row.reported), self.ours.protocol)
                if isinstance(found, Number) and found.number == self.number:
                    yield Step("fits_held", {"where": _where(row), "reason": row.reason or ""})

    def digits(self) -> Iterator[Step]:
        """Our value with the decimal point elsewhere, or with two neighbouring digits exchanged."""
        if self.unit is None or not self.telling:
            return
        value = self.value / Fraction(self.unit.factor)
        for shift in _SHIFTS:
            if agrees(self.number.scaleb(shift), value):
                yield Step("fits_decimal_point", {"places": str(abs(shift))})
        sign, digits, _ = self.number.as_tuple()
        for n, (first, second) in enumerate(pairwise(digits)):
            exchanged = Decimal((sign, (*digits[:n], second, first, *digits[n + 2 :]), -self.entry.decimals))
            if first != second and agrees(exchanged, value):
                yield Step("fits_exchanged_digits", {"first": str(first), "second": str(second)})

    def neighbours(self) -> Iterator[Step]:
        """Other endpoints of the visit, and of a score the other visits and formulas, with the number entered."""
        if not self.telling:
            return
        study_id, visit, endpoint = self.cell
        for (who, when, what), selection in self.ours.selections.items():
            same_visit = when == visit and what != endpoint
            same_score = when != visit and what == endpoint and self.analyte.derived
            if who != study_id or selection.value is None or not (same_visit or same_score):
                continue
            analyte = self.ours.protocol.analytes.get(what)
            if analyte is not None and self.number in self.numbers_of((who, when, what), selection.value):
                value = f"{selection.value}{unit_said(analyte.unit)}"
                yield Step("fits_endpoint", {"endpoint": what, "visit": when, "value": value})

    def numbers_of(self, cell: Cell, value: str) -> set[Decimal]:
        """The number of a cell as it stands in the table, and as it stood in the report."""
        here = self.ours.cells.get(cell)
        told = {Decimal(value)}
        if here is not None and here.result is not None:
            found = read_value(ReportedValue(here.result.reported, here.result.reported), self.ours.protocol)
            told |= {found.number} if isinstance(found, Number) else set()
        return told

    def factor(self) -> Iterator[Step]:
        """Whether the difference is one that another conversion factor makes."""
        result, unit = self.here.result, self.unit
        if unit is None or not self.value:
            return
        converted = unit.factor != 1 or (result is not None and not (result.conversion or " x 1").endswith(" x 1"))
        apart = abs(Fraction(self.number) * Fraction(unit.factor) - self.value) / abs(self.value)
        if converted and apart < _OTHER_FACTOR:
            yield Step("fits_factor")

    def days(self) -> Iterator[Step]:
        """What else the date entered is."""
        on, result = self.entry.on, self.here.result
        collected = self.here.row.collected_at
        if on is None or collected is None:
            return
        mine = date.fromisoformat(collected[:10])
        if result is not None and _day_of(result.reported_at) == on:
            yield Step("fits_report_date")
        if (on.year, on.month, on.day) == (mine.year, mine.day, mine.month):
            yield Step("fits_day_and_month")
        if on.year != mine.year and (on.month, on.day) == (mine.month, mine.day):
            yield Step("fits_another_year")
        if len(collected) > len("2026-02-02") and datetime.fromisoformat(collected).astimezone(UTC).date() == on:
            yield Step("fits_utc_date")


def _where(row: ResultRow) -> str:
    time = row.collected_at or "undated"
    return f"{row.source} {row.message_control_id} {row.locator}, {time}"


def _day_of(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text[:10])
