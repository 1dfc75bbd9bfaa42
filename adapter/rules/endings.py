"""How each report ends: the one outcome of every result that was read, and its row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from adapter.model import Collected, Outcome, Protocol, Reason, ResultRow, Step
from adapter.rules.amend import Stands, amend
from adapter.rules.cells import Participation
from adapter.rules.decided import Said
from adapter.rules.interpret import Interpreted
from adapter.rules.queue import UNSCHEDULED, item_id, message_item_id
from adapter.rules.select import Candidate
from adapter.rules.windows import before_infusion, visit_of


@dataclass(frozen=True, slots=True)
class Ending:
    """The outcome of one result and the rule that decided it."""

    outcome: Outcome
    rule: str
    reason: Reason | None = None
    visit: str | None = None
    item: str | None = None
    step: Step | None = None
    final: bool = False


def without_taken_back(
    stands: Sequence[Stands], taken_back: Mapping[str, Said], endings: dict[str, Ending]
) -> list[Stands]:
    """The results that are left when those that a person took back end here.

    It was that report that was judged: one that comes later in its place is another, and stands. Of several that
    contradict each other the rest are left; a single one that is left stands.
    """
    left = []
    for result in stands:
        reports = result.conflict or (result.report,)
        kept = [r for r in reports if r.key not in taken_back]
        for report in (r for r in reports if r.key in taken_back):
            step = taken_back[report.key].step("taken_back")
            endings[report.key] = Ending(Outcome.TAKEN_BACK, "taken_back_by_person", step=step)
        if len(kept) == len(reports):
            left.append(result)
        elif kept and (rest := amend(kept)):
            left += [replace(rest[0], replaced=(*rest[0].replaced, *result.replaced)), *rest[1:]]
        else:
            for old in result.replaced:
                step = Step("superseded", {"by": result.report.origin.message_control_id})
                endings[old.key] = Ending(Outcome.SUPERSEDED, "superseded", step=step)
    return left


def contested_cells(
    stands: Iterable[Stands], infused: Collected | None, protocol: Protocol, study_id: str
) -> Mapping[tuple[str, str, str], list[Interpreted]]:
    """Reports of one result that contradict each other, by the cell (participant, visit, endpoint) they belong to."""
    cells: dict[tuple[str, str, str], list[Interpreted]] = {}
    for result in stands:
        if result.conflict:
            cells.setdefault(_cell_of(result, infused, protocol, study_id), []).extend(result.conflict)
    return cells


def end(
    stands: Iterable[Stands],
    candidates: Sequence[Candidate],
    infused: Collected | None,
    who: Participation,
    endings: dict[str, Ending],
) -> None:
    """The outcome of every report that the amendments saw, into ``endings`` by its key."""
    placed = {s.report.key: c for c in candidates for s in (c.stands, *c.also)}
    baseline = _baseline(candidates, infused)
    for result in stands:
        outcome = Outcome.TAKEN_BACK if result.report.kind == "takes_back" else Outcome.SUPERSEDED
        for old in result.replaced:
            step = Step(outcome.value, {"by": result.report.origin.message_control_id})
            endings[old.key] = Ending(outcome, outcome.value, step=step)
        for report in result.conflict:
            cell = _cell_of(result, infused, who.protocol, who.participant.study_id)
            item = item_id(who.protocol.trial, Reason.CONFLICTING_RESULTS, *cell)
            endings[report.key] = _held_ending(report, Reason.CONFLICTING_RESULTS, item)
        if not result.conflict:
            report, candidate = result.report, placed.get(result.report.key)
            ending = _ending(report, candidate, baseline, infused, who)
            endings[report.key] = replace(ending, final=candidate is not None and candidate.final)


def _cell_of(result: Stands, infused: Collected | None, protocol: Protocol, study_id: str) -> tuple[str, str, str]:
    visit = None
    dates = [r.collected.on for r in result.conflict if r.collected is not None]
    if infused is not None and dates:
        visit = visit_of((min(dates) - infused.on).days, protocol.visits)
    return study_id, visit.id if visit is not None else UNSCHEDULED, result.report.analyte or ""


def _held_ending(report: Interpreted, reason: Reason, item: str) -> Ending:
    step = Step("held", {"reason": reason})
    return Ending(Outcome.HELD, report.rule if report.reason == reason else reason, reason, item=item, step=step)


def _ending(
    report: Interpreted,
    candidate: Candidate | None,
    baseline: frozenset[str],
    infused: Collected | None,
    who: Participation,
) -> Ending:
    if report.kind == "held" and report.reason is not None:
        return _held_ending(report, report.reason, message_item_id(who.protocol.trial, report))
    if report.kind == "takes_back":
        return Ending(Outcome.TAKEN_BACK, "takes_back", step=Step("takes_back"))
    if report.kind == "no_result":
        return Ending(Outcome.NOT_DONE, "no_result")
    assert candidate is not None and report.kind == "value"
    if candidate.report.key in baseline:
        return Ending(Outcome.BASELINE, "baseline", step=Step("baseline"))
    if candidate.day is None or infused is None:
        return Ending(Outcome.UNSCHEDULED, "no_infusion_date", step=Step("no_infusion_date"))
    visit = visit_of(candidate.day, who.protocol.visits)
    facts = {"day": str(candidate.day), "visit": visit.id if visit else ""}
    if visit is None:
        return Ending(Outcome.UNSCHEDULED, "unscheduled", step=Step("unscheduled", facts))
    facts["offset"] = str(candidate.day - visit.target_day)
    return Ending(Outcome.PLACED, "placed", visit=visit.id, step=Step("placed", facts))


def _baseline(candidates: Sequence[Candidate], infused: Collected | None) -> frozenset[str]:
    """The last final result of each analyte before infusion."""
    if infused is None:
        return frozenset()
    last: dict[str, tuple[tuple[str, ...], str]] = {}
    for candidate in candidates:
        if candidate.final and before_infusion(candidate.collected, infused):
            at, report = candidate.collected, candidate.report
            said_at = report.issued or report.message_at
            rank = (
                at.on.isoformat(),
                at.at.isoformat() if at.at else "",
                said_at.text if said_at else "",
                *(report.reported.order_number, report.code.code, report.origin.source, report.key),
            )
            analyte = candidate.report.analyte or ""
            if analyte not in last or rank > last[analyte][0]:
                last[analyte] = (rank, candidate.report.key)
    return frozenset(key for _, key in last.values())


def result_row(result: Interpreted, ending: Ending, protocol: Protocol, ruleset: str) -> ResultRow:
    """What is stored of one result: texts as they are shown."""
    sent, said_at = result.reported, result.issued or result.message_at
    return ResultRow(
        inbox_id=result.origin.inbox_id,
        locator=sent.locator,
        study_id=result.study_id,
        source=result.origin.source,
        message_control_id=result.origin.message_control_id,
        code=result.code.code,
        code_system=result.code.system,
        name=result.code.name,
        reported=sent.value.shown,
        reported_unit=sent.units[0] if sent.units else "",
        status=sent.status or sent.order_status,
        outcome=ending.outcome,
        reason=ending.reason,
        rule=ending.rule,
        endpoint=result.analyte,
        value=result.value,
        comparator=result.comparator,
        unit=None if result.number is None else protocol.analytes[result.analyte or ""].unit,
        collected_at=result.collected.text if result.collected else None,
        visit=ending.visit,
        mapping=result.mapping,
        conversion=result.conversion,
        order_number=sent.order_number,
        reported_at=said_at.text if said_at else None,
        item=ending.item,
        ruleset=ruleset,
        final=ending.final,
        sent_unit=result.sent_unit,
        in_doubt=result.origin.trouble == Reason.IDENTITY_CONFLICT,
    )
