"""Signing off: a person confirms the values of a visit; whatever changes one of them afterwards asks again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace

from adapter.model import Decision, Reason, ReviewItem, SelectionRow
from adapter.rules.cells import Participation
from adapter.rules.queue import cell_item, evidence_of


def fingerprints(rows: Iterable[SelectionRow]) -> dict[str, str]:
    """What was confirmed of each cell of a visit: its value, or that there is none."""
    return {row.endpoint: _fingerprint(row) for row in rows}


def _fingerprint(row: SelectionRow) -> str:
    said = (row.status, row.value, row.comparator, row.unit, row.collected_at)
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]


def signed_off(decisions: Iterable[Decision], study_id: str) -> Mapping[str, Decision]:
    """The last sign-off in force of each visit of a participant."""
    made = [d for d in decisions if d.kind == "sign_off" and d.body["study_id"] == study_id]
    return {d.body["visit"]: d for d in made}


def changed_cells(decision: Decision, rows: Iterable[SelectionRow]) -> list[str]:
    """The endpoints whose value is no longer the one that was confirmed."""
    now, confirmed = fingerprints(rows), json.loads(decision.body["cells"])
    return [endpoint for endpoint, said in now.items() if confirmed.get(endpoint) != said]


def changed_since_sign_off(rows: Iterable[SelectionRow], who: Participation) -> list[ReviewItem]:
    """A question for each visit that changed after somebody signed it off."""
    by_visit: dict[str, list[SelectionRow]] = {}
    for row in rows:
        by_visit.setdefault(row.visit, []).append(row)
    items = []
    for visit, decision in signed_off(who.decisions, who.participant.study_id).items():
        changed = changed_cells(decision, by_visit.get(visit, []))
        if changed:
            subject = (who.participant.study_id, visit, "")
            item = cell_item(who.protocol.trial, Reason.CHANGED_AFTER_CHOICE, subject, [])
            detail = {**item.detail, "rule": "changed_after_sign_off", "endpoints": ", ".join(changed)}
            now = fingerprints(by_visit[visit])
            items.append(replace(item, endpoint=None, detail=detail, evidence=evidence_of(now.values())))
    return items
