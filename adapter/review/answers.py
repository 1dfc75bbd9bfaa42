"""What each reason of the queue can be answered with (trial.md section 8), and the answers about codes and results.

An answer about a cause (a code, a unit, a status, a specimen of a source) is given once and holds for all that comes by
it, received already or later; one about a result is of that result alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adapter.model import Reason, ResultRow
from adapter.review import filled
from adapter.review.desk import DecisionRefused, Entry
from adapter.review.proposal import Proposal, concerned
from adapter.review.question import Question, of_results
from adapter.review.rows import marked
from adapter.rules.queue import UNSCHEDULED
from adapter.store import Store

# The likeliest first.
ACTIONS: Mapping[str, tuple[str, ...]] = {
    Reason.UNMAPPED_CODE: ("map", "dismiss"),
    Reason.CODE_CONFLICT: ("say_analyte", "dismiss"),
    Reason.WRONG_SPECIMEN: ("dismiss", "accept_specimen", "say_specimen"),  # a wrong value looks right
    Reason.UNREADABLE_VALUE: ("say_value", "dismiss"),
    Reason.MISSING_UNIT: ("accept_unit", "say_unit", "dismiss"),
    Reason.UNKNOWN_UNIT: ("accept_unit", "say_unit", "dismiss"),
    Reason.IMPLAUSIBLE_VALUE: ("say_plausible", "say_value", "say_unit", "take_back", "dismiss"),
    Reason.MISSING_COLLECTION_TIME: ("say_collected_at", "dismiss"),
    Reason.IMPLAUSIBLE_TIME: ("say_collected_at", "dismiss"),
    Reason.UNKNOWN_STATUS: ("map_status", "say_status", "dismiss"),
    Reason.CONFLICTING_RESULTS: ("choose", "take_back", "dismiss"),
    Reason.WINDOW_MISSED: ("accept_outside", "dismiss"),
    Reason.CHANGED_AFTER_CHOICE: ("choose", "sign_off", "dismiss"),
    Reason.SCORE_MISMATCH: ("dismiss",),
    Reason.IDENTITY_CONFLICT: ("confirm_identity", "refuse_identity"),
    Reason.IDENTITY_MERGE: ("merge_identity", "dismiss"),
    Reason.UNREADABLE_MESSAGE: ("retry", "dismiss"),
}


def actions_of(entry: Entry) -> tuple[str, ...]:
    """What this very entry can be answered with, the likeliest first."""
    item = entry.item
    impossible = set[str]()
    if item.reason == Reason.UNMAPPED_CODE and (len(entry.members) > 1 or item.code is None):
        impossible.add("map")
    if item.reason == Reason.CONFLICTING_RESULTS and item.visit == UNSCHEDULED:
        impossible.add("choose")
    if item.reason == Reason.CHANGED_AFTER_CHOICE:  # a visit that was signed off, or a choice for a cell
        impossible.add("choose" if item.endpoint is None else "sign_off")
    return tuple(action for action in ACTIONS.get(item.reason, ()) if action not in impossible)


def words_of(entry: Entry, action: str) -> tuple[str, Mapping[str, str]]:
    """The sentence (its rule and facts) that says what an answer records."""
    item = entry.item
    facts = {
        "source": item.source or "",
        "code": item.code or "",
        "unit": item.unit or "",
        "specimen": item.detail.get("specimen", ""),
        "status": item.detail.get("code", ""),
        "visit": item.visit or "",
        "endpoint": item.endpoint or "",
        "participant": item.study_id or "",
    }
    for_good = action == "dismiss" and item.reason == Reason.UNMAPPED_CODE
    return f"answer_{action}{'_code' if for_good else ''}", facts


def map_code(question: Question) -> Proposal:
    """Say what a source's code is. Every result that carries it follows, those already received included."""
    item, given = question.entry.item, question.given
    body = {
        "source": question.source,
        "code": item.code or "",
        "system": item.detail.get("system", ""),
        "analyte": filled.analyte(question.protocol, given.text),
    }
    if given.unit is not None:
        body["unit"] = filled.unit(question.protocol, given.unit, [given.text])
    return Proposal((("map_code", body),), concerned(question.store, "map_code", body))


def dismiss(question: Question) -> Proposal:
    """Settle an entry without a value: a code for good, any other item for the results it holds now."""
    made = list[tuple[str, Mapping[str, str]]]()
    for member in question.entry.members:
        item = member.item
        if item.reason == Reason.UNMAPPED_CODE and item.code is not None and item.source is not None:
            code = {"source": item.source, "code": item.code, "system": item.detail.get("system", "")}
            made.append(("dismiss_code", code))
        else:
            made.append(("dismiss_item", {"item": item.id, "evidence": item.evidence}))
    return Proposal(tuple(made), _concerned(question.store, made))


def say(question: Question, what: str) -> Proposal:
    """Say of single results what the laboratory did not, or in a way that cannot be read."""
    rows, text = question.rows(), question.given.text.strip()
    protocol = question.protocol
    if what == "analyte":
        to = filled.analyte(protocol, text)
    elif what == "unit":
        to = filled.unit(protocol, text, _analytes(rows))
    elif what == "status":
        to = filled.status(text)
    elif what == "collected_at":
        to = filled.collected_at(text, question.now)
    elif what == "value":
        to = filled.value(protocol, text, rows)
    else:
        to = "yes"
    return of_results(question.store, "read_result", rows, what=what, to=to)


def accept_unit(question: Question) -> Proposal:
    """What a source sends as unit with a code means a unit that is known."""
    rows = question.rows()
    unit = filled.unit(question.protocol, question.given.text, _analytes(rows))
    causes = dict.fromkeys((r.source, r.code, r.code_system, r.reported_unit) for r in rows)
    made = [
        ("accept_unit", {"source": source, "code": code, "system": system, "sent": sent, "unit": unit})
        for source, code, system, sent in causes
    ]
    return Proposal(tuple(made), _concerned(question.store, made))


def accept_specimen(question: Question) -> Proposal:
    """What a source calls a specimen is blood, serum or plasma."""
    body = {"source": question.source, "specimen": question.entry.item.detail["specimen"]}
    return Proposal((("accept_specimen", body),), concerned(question.store, "accept_specimen", body))


def map_status(question: Question) -> Proposal:
    """What a source sends as status means one of table 0085."""
    status = filled.status(question.given.text)
    sent = dict.fromkeys((r.source, r.status) for r in question.rows())
    made = [("map_status", {"source": source, "sent": said, "status": status}) for source, said in sent]
    return Proposal(tuple(made), _concerned(question.store, made))


def take_back(question: Question) -> Proposal:
    """Results no longer stand; what comes in their place later does."""
    rows = question.rows()
    if len(rows) > 1 and not question.given.results:
        raise DecisionRefused(marked("say which of the results of item {item} is taken back"), item=question.entry.id)
    return of_results(question.store, "take_back", rows)


def _analytes(rows: list[ResultRow]) -> list[str]:
    return sorted({r.endpoint or "" for r in rows})


def _concerned(store: Store, made: Sequence[tuple[str, Mapping[str, str]]]) -> frozenset[str] | None:
    found = frozenset[str]()
    for kind, body in made:
        scopes = concerned(store, kind, body)
        if scopes is None:
            return None
        found |= scopes
    return found
