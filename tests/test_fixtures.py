"""Every clinical situation of ``fixtures/messages``: the message beside what must come of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from trialrun import TrialRun

from adapter.cli.feed import document

FOLDER = Path(__file__).parents[1] / "fixtures" / "messages"
SITUATIONS = sorted(FOLDER.glob("*.hl7"))


def test_every_situation_has_its_expected_results():
    assert SITUATIONS
    assert [p.with_suffix(".expected.json").exists() for p in SITUATIONS].count(False) == 0


@pytest.mark.parametrize("path", SITUATIONS, ids=lambda p: p.stem)
def test_situation(path: Path, tmp_path: Path):
    expected = json.loads(path.with_suffix(".expected.json").read_text(encoding="utf-8"))
    run = TrialRun(FOLDER / "config.toml", tmp_path / "trial.db")
    try:
        run.enrol(FOLDER / "roster.csv")
        messages = [document(r) for r in run.replay(path, expected.get("source", "lis"))]
        cells = run.table()
        reasons = sorted(s.item.reason for s in run.store.open_items())
    finally:
        run.close()
    assert len(messages) == len(expected["messages"])
    for found, wanted in zip(messages, expected["messages"], strict=True):
        _same(found, wanted)
    for cell, facts in expected.get("values", {}).items():
        visit, endpoint = cell.split("/")
        row = cells["S-001", visit, endpoint]
        found = {name: _plain(getattr(row, name)) for name in facts}
        if "collected_at" in facts:
            found["collected_at"] = row.collected_at and row.collected_at[: len("2026-01-05")]
        assert found == {name: _plain(value) for name, value in facts.items()}, cell
    assert reasons == sorted(expected["review"])


def _same(found: dict, wanted: dict) -> None:
    if "outcome" in wanted:
        assert (found["outcome"], found["detail"]) == (wanted["outcome"], found["detail"])
    results = {r["locator"]: r for r in found["results"]}
    for result in wanted.get("results", []):
        actual = results[result["locator"]]
        actual["value"] = actual["value_text"]  # every decimal as it was sent
        shown = {name: _plain(actual[name]) for name in result}
        assert shown == {name: _plain(value) for name, value in result.items()}, actual["steps"]


def _plain(value: object) -> object:
    """Numbers as texts without trailing zeros, tuples as lists: what JSON can say."""
    from decimal import Decimal

    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, Decimal | int | float) and not isinstance(value, bool):
        return format(Decimal(str(value)).normalize(), "f")
    return value
