"""What was entered by hand, what stands here, and what is found where the two are held together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from adapter.model import Participant, PlacementRow, Protocol, ResultRow, ReviewItem, SelectionRow, Step
from adapter.rules.table import TableRow, table

Cell = tuple[str, str, str]
"""Participant, visit and endpoint."""

AGREES, NEITHER, NOT_COMPARED = "agrees", "neither", "not_compared"
KINDS = ("value_differs", "comparator_differs", "date_differs", "unit_unknown", "only_here", "only_there")
"""What can be found of a cell, the gravest of those that hold of a value first."""

COMPARED = (AGREES, "value_differs", "comparator_differs", "date_differs")
"""What became of a cell that has a value on both sides and a unit to compare them in."""


def unit_said(unit: str) -> str:
    """A unit as it follows its number; that of pure numbers and scores is not said."""
    return "" if unit in ("", "1", "{score}") else f" {unit}"


class SheetError(Exception):
    """A file that cannot be read at all; it says why and what to do."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be compared: its line, what is wrong, what to write instead. What it holds is not repeated."""

    line: int
    cause: str
    remedy: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.cause}; {self.remedy}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One row that was entered by hand. ``number`` None: the row says that there is no value."""

    line: int
    cell: Cell
    number: Decimal | None
    comparator: str | None
    unit: str
    on: date | None

    @property
    def decimals(self) -> int:
        """How many decimals were entered: what our value is rounded to."""
        exponent = 0 if self.number is None else self.number.as_tuple().exponent
        assert isinstance(exponent, int)
        return -exponent


@dataclass(frozen=True, slots=True)
class Sheet:
    """A file entered by hand. ``unusable``: cells that it names, in rows that cannot be compared."""

    entries: tuple[Entry, ...]
    bad_rows: tuple[BadRow, ...]
    unusable: frozenset[Cell] = frozenset()

    @property
    def cells(self) -> frozenset[Cell]:
        """Every cell that it names."""
        return self.unusable | {entry.cell for entry in self.entries}


@dataclass(frozen=True, slots=True)
class Here:
    """Our side of one cell: its row of the table, the result it is, and the open questions that could change it."""

    row: TableRow
    selection: SelectionRow | None
    result: ResultRow | None
    items: tuple[ReviewItem, ...]


@dataclass(frozen=True, slots=True)
class Ours:
    """The whole of our side: the table as it is seen on a day, and everything else that was received."""

    protocol: Protocol
    cells: Mapping[Cell, Here]
    selections: Mapping[Cell, SelectionRow]
    results: Mapping[str, tuple[ResultRow, ...]]  # by participant
    placements: Mapping[tuple[Cell, int, str], str]  # of a candidate (cell, inbox id, locator): why it was (not) chosen

    @classmethod
    def of(
        cls,
        protocol: Protocol,
        participants: Iterable[Participant],
        selections: Iterable[SelectionRow],
        results: Iterable[ResultRow],
        placements: Iterable[PlacementRow],
        items: Iterable[ReviewItem],
        today: date,
    ) -> Ours:
        """Put it together from what the store holds."""
        selected = {(s.study_id, s.visit, s.endpoint): s for s in selections}
        by_person: dict[str, list[ResultRow]] = {}
        for each in results:
            by_person.setdefault(each.study_id, []).append(each)
        located = {(r.study_id, r.inbox_id, r.locator): r for rows in by_person.values() for r in rows}
        asked = {item.id: item for item in items}
        cells = {}
        for row in table(protocol, participants, selected.values(), today, supporting=True):
            cell = (row.study_id, row.visit, row.endpoint)
            chosen = selected.get(cell)
            result: ResultRow | None = None
            if chosen is not None and chosen.inbox_id is not None and chosen.locator is not None:
                result = located.get((chosen.study_id, chosen.inbox_id, chosen.locator))
            questions = () if chosen is None else tuple(asked[i] for i in chosen.open_items if i in asked)
            cells[cell] = Here(row, chosen, result, questions)
        return cls(
            protocol=protocol,
            cells=cells,
            selections=selected,
            results={study_id: tuple(rows) for study_id, rows in by_person.items()},
            placements={((p.study_id, p.visit, p.endpoint), p.inbox_id, p.locator): p.why for p in placements},
        )


@dataclass(frozen=True, slots=True)
class Finding:
    """One cell in which the two sides are not the same.

    ``kind`` is the gravest of what was found, ``also`` the rest. ``rounded`` is our value in the entered unit at the
    entered decimals. ``fits`` are the facts that what was entered agrees with: no verdict, a place to look.
    """

    cell: Cell
    kind: str
    here: Here
    entry: Entry | None = None
    also: tuple[str, ...] = ()
    rounded: Decimal | None = None
    fits: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Pair:
    """Two numbers of one cell in the protocol's unit, neither with a comparator."""

    cell: Cell
    entered: Decimal
    ours: Decimal
    agrees: bool

    @property
    def difference(self) -> Decimal:
        """Entered minus ours."""
        return self.entered - self.ours
