"""Choosing among the candidates of a cell, and confirming the values of a visit."""

from __future__ import annotations

import json
from datetime import datetime

from adapter.model import Protocol, Reason, SelectionRow
from adapter.pipeline import Rulebook
from adapter.reprocess import rehearse
from adapter.review.desk import DecisionRefused
from adapter.review.proposal import Place, Proposal, key_of
from adapter.review.question import Question
from adapter.review.rows import marked
from adapter.rules.signing import fingerprints
from adapter.store import Store

Cell = tuple[str, str, str]  # study id, visit, endpoint


def choose(store: Store, book: Rulebook, at: datetime, cell: Cell, result: Place, kind: str = "choose") -> Proposal:
    """Let this result stand as the value of a cell, whatever the rule would choose."""
    study_id, visit, endpoint = cell
    if not any(s.endpoint == endpoint for s in _visit(store, book.protocol, study_id, visit)):
        text = marked("there is no cell {study_id} {visit} {endpoint} in the table of values")
        raise DecisionRefused(text, study_id=study_id, visit=visit, endpoint=endpoint)
    if book.protocol.analytes[endpoint].derived:
        text = marked("{endpoint} is computed; choose among the results of what it is computed from")
        raise DecisionRefused(text, endpoint=endpoint)
    found = [r for r in store.results(study_id) if (r.inbox_id, r.locator) == result]
    if not found or found[0].endpoint != endpoint or found[0].value is None:
        text = marked("{result} is no result of {study_id} for {endpoint} with a value")
        raise DecisionRefused(text, result=f"{result[0]}:{result[1]}", study_id=study_id, endpoint=endpoint)
    body = {"study_id": study_id, "visit": visit, "endpoint": endpoint, "result": key_of(store, found[0])}
    evidence = _evidence(store, book, at, kind, body, result)
    return Proposal(((kind, {**body, "evidence": evidence}),), frozenset({study_id}))


def _evidence(store: Store, book: Rulebook, at: datetime, kind: str, body: dict[str, str], result: Place) -> str:
    """What a choice is made on, in the rules' own words: they ask about a choice made on nothing, and say on what."""
    study_id, cell = body["study_id"], (body["visit"], body["endpoint"])
    proposal = Proposal(((kind, {**body, "evidence": ""}),))
    tried = proposal.as_if(store.decisions(), at.isoformat())
    for derived, _ in rehearse(store, book, at, decided=tried, scopes={study_id}).derived:
        chosen = [p for p in derived.placements if (p.visit, p.endpoint) == cell and p.chosen]
        same = [p for p in derived.placements if (p.visit, p.endpoint) == cell and p.rank in {c.rank for c in chosen}]
        asked = [i for i in derived.items if (i.visit, i.endpoint) == cell and i.reason == Reason.CHANGED_AFTER_CHOICE]
        if asked and result in {(p.inbox_id, p.locator) for p in same}:
            return asked[0].evidence
    text = marked(
        "{result} cannot stand for {endpoint} at {visit}: it is of another time, or another report has replaced it"
    )
    raise DecisionRefused(text, result=f"{result[0]}:{result[1]}", endpoint=body["endpoint"], visit=body["visit"])


def choose_for(question: Question) -> Proposal:
    """Which one of the results of an item is to stand."""
    if len(question.given.results) != 1:
        raise DecisionRefused(marked("say which one of the results of item {item} is to stand"), item=question.entry.id)
    return choose(question.store, question.book, question.at, _cell(question), next(iter(question.given.results)))


def accept_outside(question: Question) -> Proposal:
    """The result nearest to a window that was missed, or another one named, stands as its value."""
    place = next(iter(question.given.results or question.entry.item.results))
    return choose(question.store, question.book, question.at, _cell(question), place, "accept_outside")


def sign_off(store: Store, protocol: Protocol, study_id: str, visit: str) -> Proposal:
    """Confirm the values of a visit as they stand."""
    rows = _visit(store, protocol, study_id, visit)
    if not rows:
        raise DecisionRefused(marked("{study_id} has no visit {visit}"), study_id=study_id, visit=visit)
    asked = sorted({item for row in rows for item in row.open_items})
    if asked:
        one = marked("{study_id} {visit} has an open question ({item}); settle that first")
        several = marked("{study_id} {visit} has {count} open questions ({item} and others); settle those first")
        facts = {"study_id": study_id, "visit": visit, "item": asked[0], "count": len(asked)}
        raise DecisionRefused(one if len(asked) == 1 else several, **facts)
    body = {"study_id": study_id, "visit": visit, "cells": json.dumps(fingerprints(rows), sort_keys=True)}
    return Proposal((("sign_off", body),), frozenset({study_id}))


def sign_off_again(question: Question) -> Proposal:
    """Confirm what has changed since a visit was signed off."""
    study_id, visit = question.entry.item.study_id, question.entry.item.visit
    assert study_id is not None and visit is not None
    return sign_off(question.store, question.protocol, study_id, visit)


def _visit(store: Store, protocol: Protocol, study_id: str, visit: str) -> list[SelectionRow]:
    return [s for s in store.selections(study_id) if s.visit == visit and s.endpoint in protocol.analytes]


def _cell(question: Question) -> Cell:
    item = question.entry.item
    assert item.study_id is not None and item.visit is not None and item.endpoint is not None
    return item.study_id, item.visit, item.endpoint
