"""Every decision that was made, whether it is in force, and taking it back by another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from starlette.exceptions import HTTPException
from starlette.responses import Response

from adapter import labels
from adapter.model import Decision
from adapter.review.proposal import Proposal, together
from adapter.rules.decided import undone
from adapter.web.access import Role
from adapter.web.moved import visit_label
from adapter.web.page import Page, serve
from adapter.web.settling import Answer, decided, settling, texts
from adapter.web.times import local_time

_MOST = 100
_MOST_DIGITS = 10
_SIGN_OFF = "sign_off"


def show_decisions(page: Page) -> Response:
    """The decisions, the newest first, a page of them at a time."""
    made = page.store.decisions()
    asked = page.request.query_params.get("from", "")
    start = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < _MOST_DIGITS else 0
    newest = list(reversed(made))
    return page.render(
        "decisions.html",
        decisions=newest[start : start + _MOST],
        count=len(made),
        start=start,
        most=_MOST,
        gone=undone(made),
        undone_by=_undone_by(made),
        decided=partial(decided, page),
        visit_label=partial(visit_label, page),
        local_time=local_time,
        zone=page.config.protocol.timezone,
    )


def _undone_by(made: Sequence[Decision]) -> Mapping[int, int]:
    gone = undone(made)
    return {int(d.body["decision"]): d.id for d in made if d.kind == "undo" and d.id not in gone}


def show_decision(page: Page) -> Response:
    """One decision: what, who, when, why, and the way back."""
    asked = page.request.path_params["decision_id"]
    if not (asked.isascii() and asked.isdigit() and len(asked) < _MOST_DIGITS):
        raise HTTPException(404)
    return _one(page, int(asked))


def _one(page: Page, decision_id: int, failed: str | None = None) -> Response:
    made = page.store.decisions()
    found = next((each for each in made if each.id == decision_id), None)
    if found is None:
        raise HTTPException(404)
    return page.render(
        "decision.html",
        status=200 if failed is None else 409,
        failed=failed,
        decision=found,
        told=decided(page, found.kind, found.body),
        facts=_facts(found),
        gone=found.id in undone(made),
        undone_by=_undone_by(made).get(found.id),
        may_undo=may_undo(page, found, made),
        labels=labels,
        local_time=local_time,
        zone=page.config.protocol.timezone,
    )


def _facts(decision: Decision) -> list[tuple[str, str]]:
    """What a decision names: results by their places, nothing that only a program reads."""
    found = []
    for name, text in decision.body.items():
        if name in {"results", "result"}:
            found += [(name, "/".join((source, place))) for source, _, place in results_named(decision)]
        elif name not in {"evidence", "cells", "gained"} and text:
            found.append((name, text))
    return found[:50]


def results_named(decision: Decision) -> list[tuple[str, str, str]]:
    """The results that a decision names, across rebuilds: source, hash of the message, place in it."""
    text = decision.body.get("results") or decision.body.get("result") or ""
    keys = [line.split("/", 2) for line in text.split("\n")]
    return [(key[0], key[1], key[2]) for key in keys if len(key) == 3]


def may_undo(page: Page, decision: Decision, made: Sequence[Decision]) -> bool:
    """Whether the caller can take a decision back, as far as it can be: erased bytes are gone, and so is an undoing."""
    lasting = decision.id in undone(made) or decision.kind == "refuse_identity"
    return not lasting and page.may(_needed(decision, made))


def _needed(decision: Decision, made: Sequence[Decision]) -> Role:
    """Who may undo it: a sign-off is a data manager's, and so is taking it back."""
    by_id, first = {each.id: each for each in made}, decision
    while first.kind == "undo":
        first = by_id[int(first.body["decision"])]
    return Role.DATA_MANAGER if first.kind == _SIGN_OFF else Role.COORDINATOR


def undo(page: Page) -> Response:
    """Take decisions back: what that would change, and confirmed, the decisions that do it."""
    made = page.store.decisions()
    by_id = {str(each.id): each for each in made}
    found = [by_id[text] for text in dict.fromkeys(texts(page, "decision")) if text in by_id]
    if not found:
        raise HTTPException(404)
    if not all(page.may(_needed(each, made)) for each in found):
        return _one(page, found[0].id, page.say("A sign-off is taken back by a data manager."))
    answer = Answer(
        page.say("Take back decision {id}", id=", ".join(str(each.id) for each in found)),
        [decided(page, each.kind, each.body) for each in found[:10]],
        page.path("undo"),
        page.path("decision", decision_id=found[0].id),
    )

    def propose() -> Proposal:
        return together([page.desk.undo(each.id) for each in found])

    return settling(page, answer, propose, lambda why: _one(page, found[0].id, why))


ROUTES = [
    serve("/decisions", show_decisions, "decisions"),
    serve("/decisions/undo", undo, "undo", role=Role.COORDINATOR, methods=("POST",)),
    serve("/decisions/{decision_id}", show_decision, "decision"),
]
