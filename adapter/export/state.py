"""What an export is made from, read at one instant: the trial's rows, and how far the trail had come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cached_property
from zoneinfo import ZoneInfo

from adapter.model import (
    Collected,
    Outcome,
    Participant,
    PlacementRow,
    Protocol,
    ReportedValue,
    ResultRow,
    SelectionRow,
    SourceRules,
    Visit,
)
from adapter.rules.table import TableRow, table
from adapter.rules.units import plain
from adapter.rules.values import Number, read_value
from adapter.rules.windows import infusion
from adapter.store import Store

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)  # nothing was ever recorded
_STANDS = (Outcome.PLACED, Outcome.UNSCHEDULED, Outcome.BASELINE)
_NOT_FINAL = ("preliminary", "conflicting_results")  # why a candidate was not chosen: it is not settled, or not yet


@dataclass(frozen=True, slots=True)
class Subject:
    """One participant as the datasets name them, with their day of infusion in the trial's time zone."""

    participant: Participant
    usubjid: str
    infused: Collected | None

    def day(self, on: date) -> int | None:
        """The study day: the day of infusion is 1, the day before it -1 (SDTMIG 3.4, 4.4.4)."""
        if self.infused is None:
            return None
        days = (on - self.infused.on).days
        return days + 1 if days >= 0 else days


@dataclass(frozen=True)
class State:
    """The trial at one instant, seen on one day. ``changed_at`` is when its data last changed."""

    protocol: Protocol
    sources: Mapping[str, SourceRules]
    today: date
    participants: Sequence[Participant] = field(repr=False)
    selections: Sequence[SelectionRow] = field(repr=False)
    results: Sequence[ResultRow] = field(repr=False)
    placements: Sequence[PlacementRow] = field(repr=False)
    head: str
    records: int
    changed_at: datetime

    @cached_property
    def subjects(self) -> tuple[Subject, ...]:
        """The participants by study id."""
        zone = ZoneInfo(self.protocol.timezone)
        return tuple(
            Subject(p, f"{self.protocol.trial}-{p.study_id}", infusion(p.infused_at, zone))
            for p in sorted(self.participants, key=lambda p: p.study_id)
        )

    @cached_property
    def cells(self) -> tuple[TableRow, ...]:
        """The endpoint table with the supporting analytes, as of ``today``."""
        return tuple(table(self.protocol, self.participants, self.selections, self.today, supporting=True))

    @cached_property
    def selection(self) -> Mapping[tuple[str, str, str], SelectionRow]:
        """Each cell's row by participant, visit and analyte; the formulas that stand beside an endpoint too."""
        return {(s.study_id, s.visit, s.endpoint): s for s in self.selections}

    @cached_property
    def visits(self) -> Mapping[str, tuple[int, Visit]]:
        """Each visit and its number, counted from 1 in the order of the targets."""
        return {visit.id: (number, visit) for number, visit in enumerate(self.protocol.visits, start=1)}

    @cached_property
    def placed(self) -> Mapping[tuple[int, str], PlacementRow]:
        """What became of each candidate, by its message and locator."""
        return {(p.inbox_id, p.locator): p for p in self.placements}

    def standing(self, subject: Subject) -> Iterator[tuple[ResultRow, PlacementRow | None]]:
        """The final results of a participant about which nothing is open, each counted once, with its place if any."""
        found = list[tuple[ResultRow, PlacementRow | None]]()
        mine = [r for r in self.results if r.study_id == subject.participant.study_id]
        for result in sorted(mine, key=_as_named):
            placement = self.placed.get((result.inbox_id, result.locator))
            if not self._counts(result, placement):
                continue
            # Two sources of a result that no visit chose between: the selection has told those of a visit apart.
            if placement is not None or not any(_same_through_two_sources(result, other) for other, _ in found):
                found.append((result, placement))
        yield from found

    def _counts(self, result: ResultRow, placement: PlacementRow | None) -> bool:
        if result.outcome not in _STANDS or result.value is None or result.collected_at is None or result.in_doubt:
            return False
        if result.endpoint not in self.protocol.analytes:
            return False  # an assessment that a source sent: it is told where it is the input of a score
        if placement is not None and placement.why != "score_is_computed":
            cell = self.selection[placement.study_id, placement.visit, placement.endpoint]
            if placement.chosen:
                return cell.status == "captured"
            settled = cell.status == "captured" and result.final and placement.why not in _NOT_FINAL
            return settled and placement.why != "same_result_through_two_sources"
        return result.final


def read_state(store: Store, protocol: Protocol, sources: Mapping[str, SourceRules], today: date) -> State:
    """The trial as it is stored now. Raises StoreUnavailable."""
    with store.at_one_instant():
        people = store.participants()
        records, changed_at = store.last_change()
        return State(
            protocol,
            sources,
            today,
            people,
            store.selections(),
            store.results(),
            [p for person in people for p in store.placements(person.study_id)],
            store.head(),
            records,
            _NEVER if changed_at is None else datetime.fromisoformat(changed_at),
        )


def original(result: ResultRow, protocol: Protocol) -> str | None:
    """What the laboratory reported where that was read as one number, in ASCII; None where it is any other text."""
    found = read_value(ReportedValue(result.reported, result.reported), protocol)
    if not isinstance(found, Number):
        return None
    sent = result.reported.strip()
    return sent if sent.isascii() and sent.isprintable() else f"{found.comparator or ''}{plain(found.number)}"


def place(result: ResultRow) -> str:
    """Where a result is stored: its message of the inbox and its place there, with no identifier of the hospital."""
    resource, _, component = result.locator.partition("#")
    within = component if "/" in resource else result.locator  # a FHIR resource's id is the hospital's
    return f"{result.inbox_id} {within}".rstrip()


def _as_named(result: ResultRow) -> tuple[str, ...]:
    return (result.endpoint or "", result.collected_at or "", result.source, result.code, result.locator)


def _same_through_two_sources(a: ResultRow, b: ResultRow) -> bool:
    """Equal in analyte and value, from two sources, at the coarser precision of their times (trial.md section 6)."""
    if a.source == b.source or a.endpoint != b.endpoint or a.comparator != b.comparator:
        return False
    if Decimal(a.value or "0") != Decimal(b.value or "0"):
        return False
    first, second = _clock(a), _clock(b)
    return first.startswith(second) or second.startswith(first)


def _clock(result: ResultRow) -> str:
    """The collection time without its offset, which is the trial's in all of them."""
    at = result.collected_at or ""
    return at if len(at) == len("2026-01-05") else at[: -len("+08:00")]
