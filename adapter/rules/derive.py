"""The trial's sentence, said once: what was received of one participant becomes the rows of the endpoint table.

Deterministic: equal messages, roster entry, rules, decisions and day give equal rows, in whatever order the messages
came. Nothing vanishes: each result that was read ends in exactly one outcome, and that is asserted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from zoneinfo import ZoneInfo

from adapter.model import (
    Assessment,
    Collected,
    Decision,
    Derived,
    Outcome,
    Participant,
    PlacementRow,
    Protocol,
    Reason,
    ReviewItem,
    SelectionRow,
    Status,
    Step,
)
from adapter.rules.amend import Stands, amend, replaced_versions
from adapter.rules.assess import ANALYTES
from adapter.rules.cells import Loose, Participation, Settled, make_cell, settle
from adapter.rules.decided import in_force, taken_back
from adapter.rules.endings import Ending, contested_cells, end, result_row, without_taken_back
from adapter.rules.interpret import Interpreted, Origin
from adapter.rules.judged import judge
from adapter.rules.queue import (
    UNSCHEDULED,
    Dismissals,
    cell_item,
    message_item_id,
    message_items,
    whole_message_item,
)
from adapter.rules.scores import compute
from adapter.rules.select import Candidate, counted_once
from adapter.rules.signing import changed_since_sign_off
from adapter.rules.windows import infusion

RULES_VERSION = "2"  # raise it when the rules' code changes what a result becomes

_AFTER = {"withdrawn": "after_withdrawal", "died": "after_death", "transplanted": "after_transplantation"}


@dataclass(frozen=True, slots=True)
class ReadMessage:
    """One message of the inbox, its results interpreted for this participant.

    ``asked`` with ``facts`` is a question about the whole message. ``shadows`` are results that name two participants:
    they are asked about elsewhere, and here only hold up cells.
    """

    origin: Origin
    results: tuple[Interpreted, ...] = ()
    asked: Reason | None = None
    facts: Mapping[str, str] | None = None
    shadows: tuple[Interpreted, ...] = ()
    failed: bool = False


def derive(
    participant: Participant | None,
    messages: Sequence[ReadMessage],
    protocol: Protocol,
    decisions: Sequence[Decision],
    today: date,
    ruleset: str,
    assessments: Sequence[Assessment] = (),
) -> Derived:
    """All rows of one participant; ``participant`` None is for messages that name several, which give only items."""
    decisions = in_force(decisions)
    study_id = participant.study_id if participant is not None else ""
    who = participant if participant is not None else Participant("")
    own = [r for m in messages for r in m.results]
    shadows = [r for m in messages for r in m.shadows if after_end(r.collected, who) is None]
    endings: dict[str, Ending] = {}
    kept = _excluded(_newest(own, messages, endings), who, endings)
    stands = without_taken_back(amend(kept), taken_back(decisions), endings)
    last_said = {s.report.key: s.report for s in stands}
    own = [last_said.get(r.key, r) for r in own]
    infused = infusion(who.infused_at, ZoneInfo(protocol.timezone)) if participant is not None else None
    candidates = counted_once(_candidates(stands, infused))
    held = [s.report for s in stands if s.report.kind == "held" and not s.conflict]
    items = _message_items(held, messages, protocol.trial, who)
    contested = contested_cells(stands, infused, protocol, study_id)
    loose = _loose(items, contested, messages, protocol.trial)
    adrift = [each.item for each in loose if each.analyte is not None]
    dismissals = Dismissals.of(decisions)
    judged = Participation(
        who,
        protocol,
        infused.on if infused else None,
        today,
        decisions,
        dismissals,
        _dismissed((*items, *adrift), held, dismissals, protocol.trial),
        ruleset,
    )
    rows, placements, asked = list[SelectionRow](), list[PlacementRow](), list[ReviewItem]()
    if participant is not None:
        rows, placements, asked = _cells(candidates, [*held, *shadows], contested, loose, assessments, judged)
        asked += changed_since_sign_off(rows, judged)
    end(stands, candidates, infused, judged, endings)
    assert len(endings) == len({r.key for r in own}), "each result that was read has one outcome"
    told = [result_row(r, endings[r.key], protocol, ruleset) for r in sorted(own, key=_as_received)]
    return Derived(
        study_id=study_id,
        results=tuple(row for row in told if row.outcome != Outcome.IGNORED),
        placements=tuple(placements),
        selections=tuple(rows),
        items=tuple(i for i in {i.id: i for i in (*items, *adrift, *asked)}.values() if not dismissals.covers(i)),
        ignored=_ignored(own, endings),
        failed=frozenset(m.origin.inbox_id for m in messages if m.failed),
        steps=_steps(own, endings, placements),
        ignored_rows=tuple(row for row in told if row.outcome == Outcome.IGNORED),
    )


def _as_received(result: Interpreted) -> tuple[int, str]:
    return result.origin.inbox_id, result.key


def _newest(
    own: Sequence[Interpreted], messages: Iterable[ReadMessage], endings: dict[str, Ending]
) -> list[Interpreted]:
    """Older versions of a FHIR resource end here, before it is asked what the newest says; the rest goes on."""
    silent = [m.origin for m in messages if not m.results]  # it cannot be read, or only names other resources
    newer = replaced_versions(own, silent)
    for result in own:
        by = newer.get(result.key)
        if by is not None and result.kind != "ignored":
            outcome = Outcome.TAKEN_BACK if by.takes_back else Outcome.SUPERSEDED
            step = Step(outcome.value, {"by": by.message_control_id})
            endings[result.key] = Ending(outcome, outcome.value, step=step)
    return [result for result in own if result.key not in endings]


def _excluded(own: Iterable[Interpreted], who: Participant, endings: dict[str, Ending]) -> list[Interpreted]:
    """What the codes or the participant's end exclude is ignored by a named rule; the rest goes on."""
    kept = []
    for result in own:
        if result.kind == "ignored":
            endings[result.key] = Ending(Outcome.IGNORED, result.rule)
        elif (rule := after_end(result.collected, who)) is not None:
            endings[result.key] = Ending(Outcome.IGNORED, rule, step=Step(rule))
        else:
            kept.append(result)
    return kept


def after_end(collected: Collected | None, who: Participant) -> str | None:
    """The rule that excludes a result taken on or after the end of observation; after a withdrawal undated ones too."""
    if who.ended_on is None or who.ended_by is None:
        return None
    if collected is None:
        return _AFTER["withdrawn"] if who.ended_by == "withdrawn" else None
    return _AFTER[who.ended_by] if collected.on >= who.ended_on else None


def _candidates(stands: Iterable[Stands], infused: Collected | None) -> list[Candidate]:
    found = []
    for result in stands:
        for report in result.conflict or (result.report,):
            collected = report.collected
            if report.kind == "value" and collected is not None:
                day = None if infused is None else (collected.on - infused.on).days
                if result.conflict:
                    final = report.status != Status.PROVISIONAL
                    found.append(Candidate(Stands(report, final), collected, day, final, contested=True))
                else:
                    found.append(Candidate(result, collected, day, result.final))
    return found


def _message_items(
    held: Sequence[Interpreted], messages: Iterable[ReadMessage], trial: str, who: Participant
) -> list[ReviewItem]:
    """The items of messages: for the results each reason holds, and for messages that are asked about as a whole."""
    items = {item.id: item for item in message_items(trial, held)}
    still_held = {r.key for r in held}
    for message in messages:
        if message.asked is not None and not _answered(message, still_held, who):
            whole = whole_message_item(trial, message.asked, message.origin, who.study_id, **(message.facts or {}))
            known = items.get(whole.id, whole)
            items[whole.id] = replace(known, detail={**known.detail, **whole.detail})
    return list(items.values())


def _answered(message: ReadMessage, held: Collection[str], who: Participant) -> bool:
    """Whether nothing that an unreadable message seems to say is open: all of it was replaced, or is after the end.

    One without any result is undated, and what is undated is not a withdrawn participant's.
    """
    if message.asked != Reason.UNREADABLE_MESSAGE:
        return False
    if not message.results:
        return after_end(None, who) is not None
    counted = [r for r in message.results if after_end(r.collected, who) is None]
    said = [r.key for r in counted if r.kind != "ignored"]
    return not counted or (bool(said) and not any(key in held for key in said))


def _loose(
    items: Iterable[ReviewItem],
    contested: Mapping[tuple[str, str, str], list[Interpreted]],
    messages: Iterable[ReadMessage],
    trial: str,
) -> list[Loose]:
    """What is asked without knowing the visit: messages that cannot be read at all, contradictions of no visit."""
    received = {m.origin.sha256: m.origin.received_at for m in messages}
    found = [
        Loose(item, None, received[item.detail["sha256"]])
        for item in items
        if item.reason == Reason.UNREADABLE_MESSAGE and not item.results
    ]
    for cell, results in contested.items():
        if cell[1] == UNSCHEDULED:
            item = cell_item(trial, Reason.CONFLICTING_RESULTS, cell, results)
            undated = [r.origin.received_at for r in results if r.collected is None]
            found.append(Loose(item, cell[2], max(undated, default=None)))
    return found


def _dismissed(
    items: Iterable[ReviewItem], held: Iterable[Interpreted], dismissals: Dismissals, trial: str
) -> frozenset[str]:
    """The questions of messages that a person dismissed. Those about codes are of all participants, and not of them."""
    codes = {message_item_id(trial, r) for r in held if r.reason == Reason.UNMAPPED_CODE}
    return frozenset({i.id for i in items if dismissals.covers(i)} | (codes & dismissals.named))


def _cells(
    candidates: Sequence[Candidate],
    held: Sequence[Interpreted],
    contested: Mapping[tuple[str, str, str], list[Interpreted]],
    loose: Sequence[Loose],
    assessments: Sequence[Assessment],
    who: Participation,
) -> tuple[list[SelectionRow], list[PlacementRow], list[ReviewItem]]:
    rows, placements, items = list[SelectionRow](), list[PlacementRow](), list[ReviewItem]()
    for visit in who.protocol.visits:
        settled = dict[str, Settled]()
        for analyte in (*who.protocol.analytes.values(), *ANALYTES.values()):
            cell = make_cell(visit, analyte, candidates, held, who)
            cell.contested = contested.get((who.participant.study_id, visit.id, analyte.id), [])
            cell.loose = [each.item for each in loose if each.might_be_of(visit, analyte, who)]
            settled[analyte.id] = settle(cell, who)
        measured = {a.id: settled[a.id] for a in who.protocol.analytes.values() if not a.derived}
        judged = {item: judge(item, assessments, settled[item], visit, who) for item in ANALYTES}
        for id, each in settled.items():
            row, asked, placed = each.row, each.items, each.placements
            if id not in measured and id not in judged:
                row, asked = compute(who.protocol.analytes[id], visit, measured, judged, each, who)
                placed = [_beside(p) for p in each.placements]
            if id not in judged:  # an assessment is an input of the scores, and no cell of the table
                rows.append(row)
            items += asked
            placements += placed
    return rows, placements, items


def _beside(placement: PlacementRow) -> PlacementRow:
    """A reported score stands beside the computed one; that it is a copy, contradicted or preliminary is still said."""
    kept = placement.why in ("same_result_through_two_sources", "conflicting_results", "preliminary")
    return replace(placement, chosen=False, why=placement.why if kept else "score_is_computed")


def _ignored(own: Iterable[Interpreted], endings: Mapping[str, Ending]) -> dict[int, dict[str, int]]:
    counts: dict[int, Counter[str]] = {}
    for result in own:
        ending = endings[result.key]
        if ending.outcome == Outcome.IGNORED:
            counts.setdefault(result.origin.inbox_id, Counter())[ending.rule] += 1
    return {inbox_id: dict(sorted(counted.items())) for inbox_id, counted in counts.items()}


def _steps(
    own: Iterable[Interpreted], endings: Mapping[str, Ending], placements: Iterable[PlacementRow]
) -> dict[tuple[int, str], tuple[Step, ...]]:
    """The story of each result, its last sentence being whether it was chosen."""
    steps = {}
    for result in own:
        ending = endings[result.key].step
        steps[result.origin.inbox_id, result.reported.locator] = (*result.steps, *([ending] if ending else []))
    for row in placements:
        told = steps.get((row.inbox_id, row.locator), ())
        facts = {"visit": row.visit, "endpoint": row.endpoint, "rank": str(row.rank)}
        steps[row.inbox_id, row.locator] = (*told, Step(f"candidate_{row.why}", facts))
    return steps
