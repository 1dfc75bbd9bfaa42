"""Invented messages and rows for the tests of the store."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from adapter.model import Derived, Identifier, Participant, PlacementRow, ResultRow, ReviewItem, SelectionRow
from adapter.store import NewMessage, Store

TRIAL = "NCT00000001"
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TODAY = date(2026, 3, 1)
RULES = "rules-1"
WHO = "coordinator"


def open_store(path: Path, trial: str = TRIAL) -> Store:
    return Store.open(path, trial, create=True)


def new_message(
    control_id: str = "M1",
    *scopes: str,
    content: str = "",
    source: str = "lis",
    minutes: int = 0,
    notes: tuple[str, ...] = (),
) -> NewMessage:
    raw = f"MSH|^~\\&|||||||ORU^R01|{control_id}|P|2.5\r{content}".encode()
    return NewMessage(
        source=source,
        kind="hl7v2",
        message_control_id=control_id,
        raw=raw,
        sha256=hashlib.sha256(raw).hexdigest(),
        received_at=NOON + timedelta(minutes=minutes),
        study_ids=scopes or ("S01",),
        notes=notes,
    )


def participant(study_id: str = "S01", *values: str) -> Participant:
    return Participant(
        study_id=study_id,
        identifiers=tuple(Identifier(value, "NTCGH") for value in values or (f"000{study_id}",)),
        infused_at="2026-01-05",
        birth_date="1961-07-29",
        sex="F",
    )


_RESULT = ResultRow(
    inbox_id=1,
    locator="OBX[1]",
    study_id="S01",
    source="lis",
    message_control_id="M1",
    code="1742-6",
    code_system="LN",
    name="ALT",
    reported="42.10",
    reported_unit="U/L",
    status="F",
    outcome="placed",
    reason=None,
    rule="placed",
    endpoint="ALT",
    value="42.10",
    comparator=None,
    unit="U/L",
    collected_at="2026-02-02T08:00:00+08:00",
    visit="week-4",
    mapping="nct.toml row 3",
    conversion=None,
    order_number="filler:77",
    reported_at="2026-02-02T10:00:00+08:00",
    item=None,
    ruleset=RULES,
)


def result(inbox_id: int = 1, locator: str = "OBX[1]", **changes: object) -> ResultRow:
    return replace(_RESULT, inbox_id=inbox_id, locator=locator, **changes)  # type: ignore[arg-type]


def unmapped_result(inbox_id: int, code: str = "XALT", **changes: object) -> ResultRow:
    held = {"outcome": "held", "reason": "unmapped_code", "endpoint": None, "value": None, "visit": None}
    coded = {"code": code, "code_system": "L", "item": f"item-{code}"}
    return result(inbox_id, **{**held, **coded, **changes})  # type: ignore[arg-type]


def placement(inbox_id: int = 1, locator: str = "OBX[1]", *, chosen: bool = True, rank: int = 1) -> PlacementRow:
    why = "nearest_to_target" if chosen else "farther_from_target"
    return PlacementRow("S01", "week-4", "ALT", inbox_id, locator, rank, chosen, why)


_SELECTION = SelectionRow(
    study_id="S01",
    visit="week-4",
    endpoint="ALT",
    status="captured",
    reason=None,
    value="42.10",
    comparator=None,
    unit="U/L",
    flags=("outside_query_limits",),
    collected_at="2026-02-02T08:00:00+08:00",
    day_offset=0,
    source="lis",
    message_id="M1",
    inbox_id=1,
    locator="OBX[1]",
    open_items=(),
    ruleset=RULES,
)


def selection(**changes: object) -> SelectionRow:
    return replace(_SELECTION, **changes)  # type: ignore[arg-type]


def empty_cell(endpoint: str = "AST") -> SelectionRow:
    return SelectionRow(
        "S01", "week-4", endpoint, "empty", None, None, None, None, (), None, None, None, None, None, None, (), RULES
    )


_ITEM = ReviewItem(
    id="item-1",
    reason="missing_unit",
    study_id="S01",
    source="lis",
    code="1742-6",
    name="ALT",
    value_text="42.10",
    unit=None,
    collected_at="2026-02-02",
    message_id="M1",
    count=1,
    detail={"rule": "missing_unit", "code": "1742-6"},
    evidence="e1",
    results=((1, "OBX[1]"),),
)


def item(**changes: object) -> ReviewItem:
    return replace(_ITEM, **changes)  # type: ignore[arg-type]


def derived(
    *,
    study_id: str = "S01",
    results: tuple[ResultRow, ...] = (),
    placements: tuple[PlacementRow, ...] = (),
    selections: tuple[SelectionRow, ...] = (),
    items: tuple[ReviewItem, ...] = (),
    ignored: dict[int, dict[str, int]] | None = None,
    failed: frozenset[int] = frozenset(),
) -> Derived:
    return Derived(study_id, results, placements, selections, items, ignored or {}, failed)


def one_value(value: str = "42.10", inbox_id: int = 1, **more: object) -> Derived:
    """One result, placed and chosen."""
    return derived(
        results=(result(inbox_id, value=value, reported=value),),
        placements=(placement(inbox_id),),
        selections=(selection(value=value, inbox_id=inbox_id), empty_cell()),
        **more,  # type: ignore[arg-type]
    )


def apply(store: Store, what: Derived, *, minutes: int = 0, ruleset: str = RULES) -> bool:
    """Apply rows as if they had been derived from what the store holds now."""
    token = store.snapshot(what.study_id).token
    with store.write() as tx:
        return tx.apply(what, token, ruleset, TODAY, "adapter", NOON + timedelta(minutes=minutes))


def add(store: Store, *messages: NewMessage) -> list[int]:
    with store.write() as tx:
        return [added.inbox_id for added in tx.add_messages(messages)]
