"""One invented participant's results and table, and files that somebody entered by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from adapter.concordance import Comparison, Ours, Sheet, compare, read_sheet
from adapter.mappings import load_protocol
from adapter.model import Participant, PlacementRow, ResultRow, ReviewItem, SelectionRow

PROTOCOL = load_protocol(Path(__file__).parents[2] / "mappings" / "nct06984497.toml")
TODAY = date(2026, 9, 1)
PEOPLE = (Participant("S-001", infused_at="2026-01-05"), Participant("S-002", infused_at="2026-01-12"))
HEADER = "study_id,visit,endpoint,value,unit,date"


def result(value: str | None, endpoint: str = "ALT", visit: str | None = "week-4", **fields: object) -> ResultRow:
    """A result in the protocol's unit, reported as it is unless ``fields`` say otherwise."""
    unit = PROTOCOL.analytes[endpoint].unit
    row = ResultRow(
        inbox_id=1,
        locator="OBX[1]",
        study_id="S-001",
        source="lis",
        message_control_id="M1",
        code="C1",
        code_system="LN",
        name="",
        reported=value or "",
        reported_unit=unit,
        status="F",
        outcome="placed",
        reason=None,
        rule="placed",
        endpoint=endpoint,
        value=value,
        comparator=None,
        unit=unit,
        collected_at="2026-02-02T08:15:00+08:00",
        visit=visit,
        mapping="loinc.toml: row",
        conversion=f"{endpoint} {unit} x 1",
        order_number="filler:1",
        reported_at="2026-02-04T11:00:00+08:00",
        item=None,
        ruleset="r1",
    )
    return replace(row, **fields)  # type: ignore[arg-type]


def selected(row: ResultRow, **fields: object) -> SelectionRow:
    """The cell whose value is this result."""
    cell = SelectionRow(
        study_id=row.study_id,
        visit=row.visit or "week-4",
        endpoint=row.endpoint or "",
        status="captured",
        reason=None,
        value=row.value,
        comparator=row.comparator,
        unit=row.unit,
        flags=(),
        collected_at=row.collected_at,
        day_offset=0,
        source=row.source,
        message_id=row.message_control_id,
        inbox_id=row.inbox_id,
        locator=row.locator,
        open_items=(),
        ruleset="r1",
    )
    return replace(cell, **fields)  # type: ignore[arg-type]


def in_review(endpoint: str = "ALT", visit: str = "week-4", reason: str = "missing_unit") -> SelectionRow:
    """A cell that waits for the answer to one question."""
    nothing = {"value": None, "collected_at": None, "source": None, "message_id": None}
    asked = {"status": "in_review", "reason": reason, "inbox_id": None, "locator": None, "open_items": ("q1",)}
    return selected(result("1", endpoint, visit), **nothing, **asked)


def question(reason: str = "missing_unit") -> ReviewItem:
    """What is asked of such a cell."""
    nothing = dict.fromkeys(("source", "code", "name", "value_text", "unit", "collected_at", "message_id"))
    return ReviewItem(
        id="q1", reason=reason, study_id="S-001", count=1, detail={"rule": reason, "analyte": "ALT"}, **nothing
    )  # type: ignore[arg-type]


def ours(
    *cells: SelectionRow,
    results: Sequence[ResultRow] = (),
    placements: Sequence[PlacementRow] = (),
    items: Sequence[ReviewItem] = (),
) -> Ours:
    return Ours.of(PROTOCOL, PEOPLE, cells, results, placements, items, TODAY)


def sheet(*rows: str, header: str = HEADER) -> Sheet:
    """A file of these rows."""
    return read_sheet("\n".join((header, *rows)).encode(), PROTOCOL, [p.study_id for p in PEOPLE])


def held_against(row: ResultRow, entered: str, *others: ResultRow, **cell: object) -> Comparison:
    """One value of the table against one row, ``S-001`` and the visit left out: ``ALT,40,U/L,2026-02-02``."""
    mine = ours(selected(row, **cell), results=(row, *others))
    return compare(mine, sheet(f"S-001,{row.visit},{entered}"), sample=True)
