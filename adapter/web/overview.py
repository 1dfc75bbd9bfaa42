"""What the board shows: each cell of the trial in short, how much there is of what, and what the coming days ask."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from adapter.labels import OUTSIDE
from adapter.model import Analyte, Participant, Protocol, SelectionRow, Visit
from adapter.rules.table import TableRow, status_of_empty, table
from adapter.rules.windows import infusion, window
from adapter.store import CellState

PEOPLE_ON_A_PAGE = 50
SOON_DAYS = 14  # how far ahead the board looks


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the board is narrowed to; "" is everything."""

    status: str = ""
    visit: str = ""
    endpoint: str = ""
    study_id: str = ""

    def __bool__(self) -> bool:
        return any((self.status, self.visit, self.endpoint, self.study_id))


@dataclass(frozen=True, slots=True)
class VisitOf:
    """One visit of one participant: its days, and what each endpoint's cell is called."""

    study_id: str
    visit: Visit
    days: tuple[date, date, date] | None  # target, first and last
    cells: Mapping[str, str]  # endpoint to status
    outside: frozenset[str]  # endpoints whose value lies outside the window

    def count(self, *statuses: str) -> int:
        """How many cells are called one of these."""
        return sum(status in statuses for status in self.cells.values())

    def of(self, *statuses: str) -> list[str]:
        """The endpoints whose cell is called one of these."""
        return [endpoint for endpoint, status in self.cells.items() if status in statuses]

    def has(self, *statuses: str) -> bool:
        """Whether a cell is called one of these."""
        return not set(statuses).isdisjoint(self.cells.values())

    @property
    def expected(self) -> bool:
        """Whether anything is expected of it still."""
        return set(self.cells.values()) != {"not_expected"}


@dataclass(frozen=True, slots=True)
class Due:
    """What the coming days ask: windows about to close, windows about to open, and those that closed with a gap."""

    closing: tuple[VisitOf, ...]
    opening: tuple[VisitOf, ...]
    overdue: tuple[VisitOf, ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """The whole trial in short, and the participants that are wanted, in the order of their study ids."""

    visits: tuple[VisitOf, ...]
    counts: Mapping[tuple[str, str], int]  # by visit and status; OUTSIDE is counted beside the value's status
    found: tuple[str, ...]
    due: Due


def endpoints_of(protocol: Protocol) -> list[Analyte]:
    """The columns of the board."""
    return [a for a in protocol.analytes.values() if not a.supporting]


def overview(
    protocol: Protocol, people: Sequence[Participant], states: Iterable[CellState], today: date, wanted: Wanted
) -> Overview:
    """The trial as it stands today."""
    visits = tuple(_visits(protocol, people, states, today))
    counts = Counter[tuple[str, str]]()
    for each in visits:
        for status, n in Counter(each.cells.values()).items():
            counts[each.visit.id, status] += n
        counts[each.visit.id, OUTSIDE] += len(each.outside)
    found = dict.fromkeys(v.study_id for v in visits if _is_wanted(v, wanted))
    return Overview(visits, counts, tuple(found), _due(visits, today))


def _visits(
    protocol: Protocol, people: Iterable[Participant], states: Iterable[CellState], today: date
) -> Iterator[VisitOf]:
    """Each visit of each participant. Thousands of participants are tens of thousands of cells: nothing is asked of a
    cell here that can be asked of its visit."""
    shown, zone = [a.id for a in endpoints_of(protocol)], ZoneInfo(protocol.timezone)
    filled, outside = _known(states)
    for person in people:
        infused = infusion(person.infused_at, zone)
        for visit in protocol.visits:
            days = None if infused is None else window(visit, infused.on)
            cells = dict.fromkeys(shown, status_of_empty(person, days, today))
            key = (person.study_id, visit.id)
            cells.update(filled.get(key, {}))
            yield VisitOf(person.study_id, visit, days, cells, frozenset(outside.get(key, ())))


def _known(
    states: Iterable[CellState],
) -> tuple[Mapping[tuple[str, str], dict[str, str]], Mapping[tuple[str, str], list[str]]]:
    """By participant and visit: the status of each endpoint that has one, and those outside their window."""
    filled = defaultdict[tuple[str, str], dict[str, str]](dict)
    outside = defaultdict[tuple[str, str], list[str]](list)
    for study_id, visit, endpoint, status, out in states:
        filled[study_id, visit][endpoint] = status
        if out:
            outside[study_id, visit].append(endpoint)
    return filled, outside


def shows(visit: VisitOf, wanted: Wanted) -> bool:
    """Whether a visit has a cell that is wanted."""
    if wanted.visit not in ("", visit.visit.id):
        return False
    return wanted.status == "" or any(
        is_match(status, endpoint in visit.outside, wanted)
        for endpoint, status in visit.cells.items()
        if wanted.endpoint in ("", endpoint)
    )


def is_match(status: str, outside: bool, wanted: Wanted) -> bool:
    """Whether a cell is one of those that the status asked for means."""
    return wanted.status == status or (wanted.status == OUTSIDE and outside)


def _is_wanted(visit: VisitOf, wanted: Wanted) -> bool:
    return wanted.study_id.casefold() in visit.study_id.casefold() and shows(visit, wanted)


def _due(visits: Iterable[VisitOf], today: date) -> Due:
    closing, opening, overdue = list[VisitOf](), list[VisitOf](), list[VisitOf]()
    soon = today + timedelta(days=SOON_DAYS)
    for each in visits:
        if each.days is None or not each.expected:
            continue
        _, first, last = each.days
        if first <= today <= last <= soon and each.has("pending", "in_review", "provisional"):
            closing.append(each)
        elif today < first <= soon:
            opening.append(each)
        elif last < today and each.has("missing", "in_review", "provisional"):
            overdue.append(each)
    return Due(
        tuple(sorted(closing, key=lambda v: _days(v)[2])),
        tuple(sorted(opening, key=lambda v: _days(v)[1])),
        tuple(sorted(overdue, key=lambda v: _days(v)[2], reverse=True)),
    )


def standing(days: tuple[date, date, date] | None, today: date) -> str:
    """What a visit's window is today: unknown, coming, open or closed. ``days`` are target, first and last."""
    if days is None:
        return "unknown"
    return "coming" if today < days[1] else "closed" if days[2] < today else "open"


def _days(visit: VisitOf) -> tuple[date, date, date]:
    assert visit.days is not None
    return visit.days


def rows_of(
    protocol: Protocol, people: Iterable[Participant], selections: Iterable[SelectionRow], today: date
) -> Mapping[tuple[str, str], Mapping[str, TableRow]]:
    """The cells of a page's participants: by participant and visit, by endpoint."""
    found: dict[tuple[str, str], dict[str, TableRow]] = {}
    for row in table(protocol, people, selections, today):
        found.setdefault((row.study_id, row.visit), {})[row.endpoint] = row
    return found
