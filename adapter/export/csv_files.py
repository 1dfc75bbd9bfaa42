"""CSV (RFC 4180, UTF-8): every value, and every candidate with why it was or was not chosen.

Each file comes twice. ``NAME.csv`` is for programs and holds each text as it is. ``NAME.spreadsheet.csv`` is for
people: a spreadsheet takes ``1751-7`` for a date, ``0012`` for a number and ``=1+1`` for a formula. There every cell
that is neither empty nor a plain number begins with an apostrophe; taking one off each such cell gives ``NAME.csv``.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from adapter.export.state import State, original, place
from adapter.model import Reason, ResultRow, Step
from adapter.words import say_step

_BOM = "\ufeff"  # by it a spreadsheet knows UTF-8
# As a spreadsheet would write it again: no sign but minus, no leading or trailing zeros, and it keeps 15 digits.
_PLAIN = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?", re.ASCII)
_MOST_DIGITS = 15

VALUES = (
    "study_id",
    "visit",
    "target_date",
    "endpoint",
    "status",
    "comparator",
    "value",
    "unit",
    "collected_at",
    "day_offset",
    "flags",
    "reason",
    "open_items",
    "source",
    "stored_at",
    "formula",
    "inputs",
    "points",
    "grade",
    "ruleset",
)
CANDIDATES = (
    "study_id",
    "endpoint",
    "visit",
    "rank",
    "chosen",
    "why",
    "why_in_words",
    "outcome",
    "reason",
    "comparator",
    "value",
    "unit",
    "reported",
    "reported_unit",
    "status",
    "code",
    "code_system",
    "name",
    "collected_at",
    "reported_at",
    "source",
    "stored_at",
    "mapping",
    "conversion",
    "review_item",
    "ruleset",
)


@dataclass(frozen=True, slots=True)
class Table:
    """A file's name without its ending, its columns and rows; what is not there is empty."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[Mapping[str, object], ...]


def tables(state: State) -> list[Table]:
    """The values and the candidates."""
    return [
        Table("values", VALUES, tuple(_values(state))),
        Table("candidates", CANDIDATES, tuple(_candidates(state))),
    ]


def csv_file(table: Table) -> bytes:
    """The file for programs."""
    return _written(table, [_texts(table, row) for row in table.rows]).encode()


def spreadsheet_file(table: Table) -> bytes:
    """The file for spreadsheets."""
    return (_BOM + _written(table, [[_guarded(text) for text in _texts(table, row)] for row in table.rows])).encode()


def _written(table: Table, rows: Sequence[Sequence[str]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(table.columns)
    writer.writerows(rows)
    return out.getvalue()


def _texts(table: Table, row: Mapping[str, object]) -> list[str]:
    return ["" if row[name] is None else str(row[name]) for name in table.columns]


def _guarded(text: str) -> str:
    plain = _PLAIN.fullmatch(text) is not None and sum(c.isdigit() for c in text) <= _MOST_DIGITS
    return text if plain or not text else f"'{text}"


# --- rows ---------------------------------------------------------------------------------------------------------


def _values(state: State) -> Iterator[dict[str, object]]:
    """One row for each value: participant, visit and analyte, in the order of the table."""
    stored = {(r.inbox_id, r.locator): place(r) for r in state.results}
    for cell in state.cells:
        selection = state.selection.get((cell.study_id, cell.visit, cell.endpoint))
        score = {} if selection is None or selection.score is None else selection.score
        chosen = None if selection is None else (selection.inbox_id, selection.locator)
        yield {
            "study_id": cell.study_id,
            "visit": cell.visit,
            "target_date": cell.target_date,
            "endpoint": cell.endpoint,
            "status": cell.status,
            "comparator": cell.comparator,
            "value": cell.value_text,
            "unit": cell.unit,
            "collected_at": cell.collected_at,
            "day_offset": cell.day_offset,
            "flags": " ".join(cell.flags),
            "reason": cell.reason,
            "open_items": cell.open_items,
            "source": cell.source,
            "stored_at": stored.get(chosen) if chosen is not None else None,  # type: ignore[arg-type]
            "formula": score.get("formula"),
            "inputs": _json(_inputs(score.get("inputs"))),
            "points": _json(score.get("points")),
            "grade": score.get("grade"),
            "ruleset": cell.ruleset,
        }


def _inputs(inputs: object) -> object:
    """What a score was computed from, without the hospital's own numbers of messages and resources."""
    if not isinstance(inputs, Mapping):
        return None
    hidden = ("message_id", "locator", "inbox_id")
    return {name: {key: told for key, told in each.items() if key not in hidden} for name, each in inputs.items()}


def _json(content: object) -> str | None:
    if content is None:
        return None
    return json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _candidates(state: State) -> Iterator[dict[str, object]]:
    """One row for each result of a participant and, of those in a window, its rank and why it was or was not chosen."""
    enrolled = {p.study_id for p in state.participants}
    rows = [
        _of_somebody(result)
        if result.in_doubt or result.reason == Reason.IDENTITY_CONFLICT
        else _candidate(state, result)
        for result in state.results
        if result.study_id in enrolled
    ]
    visits = {id: number for id, (number, _) in state.visits.items()}

    def order(row: dict[str, object]) -> tuple[object, ...]:
        visit, rank = row["visit"], row["rank"]
        at = visits.get(str(visit), 0), rank if isinstance(rank, int) else 0
        return (row["study_id"], row["endpoint"] or "", *at, row["collected_at"] or "", str(row["stored_at"]))

    yield from sorted(rows, key=order)


def _of_somebody(result: ResultRow) -> dict[str, object]:
    """A result whose message contradicts the roster may be another person's: that there is one is all that is said."""
    told = {
        "study_id": result.study_id,
        "outcome": str(result.outcome),
        "reason": result.reason,
        "source": result.source,
        "stored_at": place(result),
        "review_item": result.item,
        "ruleset": result.ruleset,
    }
    return {name: told.get(name) for name in CANDIDATES}


def _candidate(state: State, result: ResultRow) -> dict[str, object]:
    placement = state.placed.get((result.inbox_id, result.locator))
    visit = result.visit if placement is None else placement.visit
    facts = {"visit": visit or "", "endpoint": result.endpoint or "", "rank": ""}
    return {
        "study_id": result.study_id,
        "endpoint": result.endpoint,
        "visit": visit,
        "rank": None if placement is None else placement.rank,
        "chosen": None if placement is None else "yes" if placement.chosen else "no",
        "why": None if placement is None else placement.why,
        "why_in_words": None if placement is None else say_step(Step(f"candidate_{placement.why}", facts)),
        "outcome": str(result.outcome),
        "reason": result.reason,
        "comparator": result.comparator,
        "value": result.value,
        "unit": result.unit,
        # Any other text may name a person: it stays in the store.
        "reported": result.reported if original(result, state.protocol) is not None else None,
        "reported_unit": result.reported_unit,
        "status": result.status,
        "code": result.code,
        "code_system": result.code_system,
        "name": result.name,
        "collected_at": result.collected_at,
        "reported_at": result.reported_at,
        "source": result.source,
        "stored_at": place(result),
        "mapping": result.mapping,
        "conversion": result.conversion,
        "review_item": result.item,
        "ruleset": result.ruleset,
    }
