"""The cells of one participant: each visit and endpoint has a value, or the reason why it has none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from adapter.model import (
    Analyte,
    Decision,
    Participant,
    PlacementRow,
    Protocol,
    Reason,
    ReviewItem,
    SelectionRow,
    Visit,
)
from adapter.rules.interpret import Interpreted
from adapter.rules.queue import Dismissals, cell_item, message_item_id
from adapter.rules.select import Candidate, Selection, fingerprint, order, select, why_lost
from adapter.rules.windows import near_miss, visit_of, window


@dataclass(frozen=True, slots=True)
class Participation:
    """What the cells of one participant are judged by. ``infused_on`` None: no windows yet."""

    participant: Participant
    protocol: Protocol
    infused_on: date | None
    today: date
    decisions: Sequence[Decision]
    dismissals: Dismissals
    dismissed: frozenset[str]  # message items that a person dismissed as they stand
    ruleset: str

    def decided(self, visit: Visit, analyte: Analyte) -> Decision | None:
        """The last choice a person made for a cell."""
        mine = (self.participant.study_id, visit.id, analyte.id)
        made = [
            d
            for d in self.decisions
            if d.kind in ("choose", "accept_outside")
            and (d.body["study_id"], d.body["visit"], d.body["endpoint"]) == mine
        ]
        return made[-1] if made else None

    def may_hold(self, visit: Visit, received_at: datetime) -> bool:
        """Whether an undated result that came then can be of a visit: its window opened by then, before the end."""
        if self.infused_on is None:
            return False
        _, opens_on, _ = window(visit, self.infused_on)
        ended_on = self.participant.ended_on
        if ended_on is not None and ended_on <= opens_on:
            return False
        received_on = received_at.astimezone(ZoneInfo(self.protocol.timezone)).date()
        return received_on + timedelta(days=1) >= opens_on


@dataclass(frozen=True, slots=True)
class Loose:
    """A question that knows no visit: of one analyte or (None) of all; ``received_at`` None where it is dated."""

    item: ReviewItem
    analyte: str | None
    received_at: datetime | None

    def might_be_of(self, visit: Visit, analyte: Analyte, who: Participation) -> bool:
        """Whether its answer could give a cell its value."""
        return (
            self.analyte in (None, analyte.id)
            and self.received_at is not None
            and who.may_hold(visit, self.received_at)
        )


@dataclass(slots=True)
class Cell:
    """One cell being made up: what it may hold and what holds it up."""

    visit: Visit
    analyte: Analyte
    selection: Selection
    near: list[Candidate] = field(default_factory=list)
    held: list[Interpreted] = field(default_factory=list)
    contested: list[Interpreted] = field(default_factory=list)
    loose: list[ReviewItem] = field(default_factory=list)  # questions that know no visit and might be of this one


@dataclass(frozen=True, slots=True)
class Settled:
    """One cell, settled: its row, what was chosen, its candidates with the reason each was or was not, what it asks."""

    row: SelectionRow
    chosen: Candidate | None
    placements: list[PlacementRow]
    items: list[ReviewItem]
    contested_on: date | None = None  # the day of the result that would be chosen, were it not contradicted

    @property
    def report(self) -> Interpreted | None:
        """The report whose value stands."""
        return None if self.chosen is None else self.chosen.report

    @property
    def collected_on(self) -> date:
        """The day that the chosen result was taken."""
        assert self.chosen is not None
        return self.chosen.collected.on


def could_fall(result: Interpreted, cell: Cell, who: Participation) -> bool:
    """Whether a held result might give this cell its value: dated in the window, or undated and taken by then."""
    if cell.analyte.id not in result.could_be or who.infused_on is None:
        return False
    if result.collected is None:
        return who.may_hold(cell.visit, result.origin.received_at)
    return visit_of((result.collected.on - who.infused_on).days, who.protocol.visits) == cell.visit


def make_cell(
    visit: Visit, analyte: Analyte, candidates: Sequence[Candidate], held: Sequence[Interpreted], who: Participation
) -> Cell:
    """The candidates and the holds of one cell."""
    visits = who.protocol.visits
    mine = [c for c in candidates if c.report.analyte == analyte.id and c.day is not None]
    inside = [c for c in mine if visit_of(c.day or 0, visits) == visit]
    near = [c for c in mine if not c.contested and near_miss(c.day or 0, visits) == visit]
    cell = Cell(visit, analyte, select(inside, visit), sorted(near, key=lambda c: order(c, visit)))
    cell.held = [r for r in held if could_fall(r, cell, who)]
    return cell


def settle(cell: Cell, who: Participation) -> Settled:
    """Choose, and ask what must be asked."""
    decision = who.decided(cell.visit, cell.analyte)
    chosen, items = _choice(cell, decision, who)
    open_items = [i for i in items if not who.dismissals.covers(i)]
    trial = who.protocol.trial
    asked = {i.id for i in (*open_items, *cell.loose)} | {message_item_id(trial, r) for r in cell.held}
    asked -= who.dismissed
    if chosen is None and not asked:
        missed = _window_missed(cell, who)
        if missed is not None:
            items = [*items, missed]
            open_items = [] if who.dismissals.covers(missed) else [missed]
            asked = {i.id for i in open_items}
    row = _row(cell, chosen, decision, sorted(asked), _first_reason(cell, open_items, items), who)
    first = cell.selection.first
    contested_on = first.collected.on if chosen is None and first is not None else None
    return Settled(row, chosen, _placements(cell, chosen, decision, who), items, contested_on)


def _choice(cell: Cell, decision: Decision | None, who: Participation) -> tuple[Candidate | None, list[ReviewItem]]:
    """The candidate chosen, by the rule or by a person, and the questions that the candidates raise."""
    subject = (who.participant.study_id, cell.visit.id, cell.analyte.id)
    first, items = cell.selection.first, list[ReviewItem]()
    if decision is None:
        results = {r.key: r for r in (*(c.report for c in cell.selection.in_conflict), *cell.contested)}
        if results:
            items.append(cell_item(who.protocol.trial, Reason.CONFLICTING_RESULTS, subject, list(results.values())))
        return (None if cell.selection.undecided else first), items
    pool = [*cell.selection.ordered, *cell.near]
    chosen = next((c for c in pool if c.holds(decision.body["result"])), None)
    now = fingerprint(first, chosen)
    if now != decision.body["evidence"]:
        seen = [c.report for c in (first, chosen) if c is not None]
        item = cell_item(who.protocol.trial, Reason.CHANGED_AFTER_CHOICE, subject, seen)
        items.append(replace(item, evidence=now))
    return chosen, items


def _window_missed(cell: Cell, who: Participation) -> ReviewItem | None:
    """Closed with nothing in it, while an unscheduled result lies within twice the tolerance: propose the nearest."""
    if who.infused_on is None or cell.selection.ordered or not cell.near:
        return None
    if cell.analyte.supporting or cell.analyte.derived:  # nobody is asked for what the table does not wait for
        return None
    target, _, last = window(cell.visit, who.infused_on)
    if who.today <= last or (who.participant.ended_on is not None and who.participant.ended_on <= target):
        return None
    nearest = cell.near[0]
    subject = (who.participant.study_id, cell.visit.id, cell.analyte.id)
    distance = (nearest.day or 0) - cell.visit.target_day
    return cell_item(
        who.protocol.trial,
        Reason.WINDOW_MISSED,
        subject,
        [nearest.report],
        result=nearest.report.key,
        days=str(distance),
    )


def _first_reason(cell: Cell, open_items: Sequence[ReviewItem], items: Sequence[ReviewItem]) -> str | None:
    """Why there is no value, the most pressing first: what is open, else what was dismissed, else what was not done."""
    for item in open_items:
        return item.reason
    for result in sorted(cell.held, key=lambda r: (r.collected is None, r.key)):
        return str(result.reason)
    for item in (*cell.loose, *items):
        return item.reason
    return None


def _row(
    cell: Cell,
    chosen: Candidate | None,
    decision: Decision | None,
    asked: Sequence[str],
    reason: str | None,
    who: Participation,
) -> SelectionRow:
    empty = SelectionRow(
        study_id=who.participant.study_id,
        visit=cell.visit.id,
        endpoint=cell.analyte.id,
        status="in_review" if asked else "empty",
        reason=reason or "no_result",
        value=None,
        comparator=None,
        unit=cell.analyte.unit,
        flags=(),
        collected_at=None,
        day_offset=None,
        source=None,
        message_id=None,
        inbox_id=None,
        locator=None,
        open_items=tuple(asked),
        ruleset=who.ruleset,
    )
    if chosen is None:
        return empty
    report = chosen.report
    assert report.value is not None and chosen.day is not None
    return replace(
        empty,
        status="captured" if chosen.final else "provisional",
        reason=None,
        value=report.value,
        comparator=report.comparator,
        flags=tuple(_flags(cell, chosen, decision)),
        collected_at=chosen.collected.text,
        day_offset=chosen.day - cell.visit.target_day,
        source=report.origin.source,
        message_id=report.origin.message_control_id,
        inbox_id=report.origin.inbox_id,
        locator=report.reported.locator,
    )


def _flags(cell: Cell, chosen: Candidate, decision: Decision | None) -> list[str]:
    flags = []
    if all(c is not chosen for c in cell.selection.ordered):
        flags.append("outside_window")
    if chosen.report.outside_query_limits:
        flags.append("outside_query_limits")
    if chosen.also:
        flags.append("same_result_through_two_sources")
    if chosen.report.read_by_person:
        flags.append("read_by_person")
    if decision is not None:
        flags.append("chosen_by_person")
    return flags


def _placements(
    cell: Cell, chosen: Candidate | None, decision: Decision | None, who: Participation
) -> list[PlacementRow]:
    candidates = list(cell.selection.ordered)
    if chosen is not None and all(c is not chosen for c in candidates):
        candidates.append(chosen)
    rows = []
    for rank, candidate in enumerate(candidates, start=1):
        if candidate is chosen:
            why = "chosen_by_person" if decision is not None else "chosen"
        elif chosen is None or (decision is None and any(c is candidate for c in cell.selection.in_conflict)):
            why = "conflicting_results"
        elif decision is not None:
            why = "another_chosen_by_person"
        else:
            why = why_lost(candidate, chosen, cell.visit)
        for n, stands in enumerate((candidate.stands, *candidate.also)):
            report = stands.report
            rows.append(
                PlacementRow(
                    study_id=who.participant.study_id,
                    visit=cell.visit.id,
                    endpoint=cell.analyte.id,
                    inbox_id=report.origin.inbox_id,
                    locator=report.reported.locator,
                    rank=rank,
                    chosen=candidate is chosen and n == 0,
                    why=why if n == 0 else "same_result_through_two_sources",
                )
            )
    return rows
