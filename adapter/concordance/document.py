"""The comparison as one JSON object; text and page are made from the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from adapter.concordance.compare import Comparison
from adapter.concordance.figures import Differences, Tally, differences, interval, percent, tally
from adapter.concordance.nouns import KINDS, Entry, Finding, Here, Pair, unit_said
from adapter.rules.units import plain
from adapter.words import say, say_step

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Occasion:
    """What was compared, and when it was seen."""

    file: str
    seen_on: date
    ruleset: str


def document(found: Comparison, occasion: Occasion) -> Document:
    """The whole of it: ``summary``, ``by_endpoint``, ``by_participant``, ``findings``, ``bad_rows``."""
    protocol = found.ours.protocol
    endpoints = [a for a in protocol.analytes.values() if any(cell[2] == a.id for cell in found.outcomes)]
    people = dict.fromkeys(cell[0] for cell in found.outcomes)
    return {
        "summary": {
            "file": occasion.file,
            "trial": protocol.trial,
            "seen_on": occasion.seen_on.isoformat(),
            "ruleset": occasion.ruleset,
            **_counts(tally(found.outcomes.values())),
            "bad_rows": len(found.sheet.bad_rows),
        },
        "by_endpoint": [
            {
                "endpoint": analyte.id,
                "unit": analyte.unit,
                **_counts(tally(_of(found, 2, analyte.id))),
                "differences": _differences(differences(_pairs(found, analyte.id))),
            }
            for analyte in endpoints
        ],
        "by_participant": [{"study_id": who, **_counts(tally(_of(found, 0, who)))} for who in people],
        "findings": [_finding(each) for each in found.findings],
        "bad_rows": [{"line": r.line, "cause": r.cause, "remedy": r.remedy} for r in found.sheet.bad_rows],
    }


def _of(found: Comparison, part: int, name: str) -> Iterable[str]:
    return (outcome for cell, outcome in found.outcomes.items() if cell[part] == name)


def _pairs(found: Comparison, endpoint: str) -> list[Pair]:
    return [pair for pair in found.pairs if pair.cell[2] == endpoint]


def _counts(counted: Tally) -> Document:
    return {
        "cells": counted.looked_at,
        "entered": counted.entered,
        "covered": counted.covered,
        "covered_percent": percent(counted.covered, counted.entered),
        "compared": counted.compared,
        "agree": counted.agree,
        "agree_percent": percent(counted.agree, counted.compared),
        "agree_interval_95": interval(counted.agree, counted.compared),
        **{kind: counted.outcomes[kind] for kind in KINDS},
        "without_value": counted.without_value,
        "not_compared": counted.not_compared,
    }


def _differences(found: Differences | None) -> Document | None:
    if found is None:
        return None
    return {
        "n": found.n,
        "mean": found.mean,
        "standard_deviation": found.deviation,
        "limits_of_agreement": None if found.low is None else [found.low, found.high],
    }


# --- one finding --------------------------------------------------------------------------------------------------


def _finding(found: Finding) -> Document:
    study_id, visit, endpoint = found.cell
    return {
        "study_id": study_id,
        "visit": visit,
        "endpoint": endpoint,
        "kind": found.kind,
        "also": list(found.also),
        "line": None if found.entry is None else found.entry.line,
        "entered": None if found.entry is None else _entered(found.entry),
        "here": _here(found.here, found.rounded),
        "detail": _said(found),
        "fits": [{"rule": step.rule, "detail": say_step(step)} for step in found.fits],
    }


def _entered(entry: Entry) -> Document:
    return {
        "value": entry.number,
        "value_text": None if entry.number is None else plain(entry.number),
        "comparator": entry.comparator,
        "unit": entry.unit or None,
        "date": None if entry.on is None else entry.on.isoformat(),
    }


def _here(here: Here, rounded: Decimal | None) -> Document:
    """Our side, and where it is from: a result of a message, or the values that a score was computed from."""
    row, result, chosen = here.row, here.result, here.selection
    return {
        "status": row.status,
        "reason": row.reason,
        "value": row.value,
        "value_text": row.value_text,
        "comparator": row.comparator,
        "unit": row.unit,
        "as_entered": None if rounded is None else plain(rounded),
        "collected_at": row.collected_at,
        "day_offset": row.day_offset,
        "flags": list(row.flags),
        "source": row.source,
        "message_id": row.message_id,
        "inbox_id": None if chosen is None else chosen.inbox_id,
        "locator": None if chosen is None else chosen.locator,
        "reported": None if result is None else result.reported,
        "reported_unit": None if result is None else result.reported_unit,
        "reported_status": None if result is None else result.status,
        "mapping": None if result is None else result.mapping,
        "conversion": None if result is None else result.conversion,
        "ruleset": row.ruleset,
        "score": None if chosen is None or chosen.score is None else _score(chosen.score),
        "open_items": [
            {"id": item.id, "reason": str(item.reason), "detail": say(item.detail["rule"], item.detail)}
            for item in here.items
        ],
    }


def _score(score: Mapping[str, Any]) -> Document:
    """Formula and inputs; the sex is of the person and not of the visit, and stays where it is kept."""
    inputs = {name: each for name, each in score["inputs"].items() if name != "sex"}
    return {"formula": score["formula"], "inputs": inputs}


def _said(found: Finding) -> str:
    """The finding in sentences."""
    entry, row = found.entry, found.here.row
    facts = {
        "endpoint": found.cell[2],
        "entered": ""
        if entry is None or entry.number is None
        else number_said(entry.comparator, entry.number, entry.unit),
        "here": "" if row.value is None else number_said(row.comparator, row.value, row.unit),
        "as_entered": "" if found.rounded is None else plain(found.rounded),
        "unit": "" if entry is None else entry.unit,
        "entered_on": "" if entry is None or entry.on is None else entry.on.isoformat(),
        "collected": row.collected_at or "",
        "status": row.status,
        "reason": row.reason or "",
    }
    rules = [f"compare_{kind}" for kind in (found.kind, *found.also)]
    if found.kind == "value_differs" and found.rounded == row.value:
        rules[0] = "compare_value_is_another"
    elif found.kind == "only_here" and entry is None:
        rules[0] = "compare_not_in_file"
    elif found.kind == "unit_unknown" and entry is not None and not entry.unit:
        rules[0] = "compare_no_unit"
    return " ".join(say(rule, facts) for rule in rules)


def number_said(comparator: str | None, number: Decimal, unit: str) -> str:
    """A number with its comparator and unit."""
    return f"{comparator or ''}{plain(number)}{unit_said(unit)}"


def origin_said(here: Mapping[str, Any]) -> str:
    """Where a value of ours is from, in short: its message and place, or what a score was computed from."""
    if here["message_id"] is not None:
        reported = " ".join(filter(None, (here["reported"], here["reported_unit"])))
        return f"{here['source']} {here['message_id']} {here['locator']} “{reported}”, {here['collected_at']}"
    if here["score"] is None:
        return ""
    given = (
        f"{name} {each.get('comparator') or ''}{each['value']} {each['unit'] or ''}".rstrip()
        for name, each in here["score"]["inputs"].items()
        if each["value"] is not None
    )
    return f"{here['score']['formula']}: {', '.join(given)}"
