"""A score from the laboratory's messages to the trail: it follows its inputs, at their visit alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from trialrun import TrialRun

from adapter.model import Assessment

FOLDER = Path(__file__).parents[1] / "fixtures" / "messages"
CORRECTED = (FOLDER / "score-follows-corrected-creatinine.hl7").read_bytes()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[TrialRun]:
    trial = TrialRun(FOLDER / "config.toml", tmp_path / "trial.db")
    trial.enrol(FOLDER / "roster.csv")
    yield trial
    trial.close()


def replay(run: TrialRun, tmp_path: Path, *numbers: int) -> None:
    messages = [b"MSH" + rest for rest in CORRECTED.split(b"MSH")[1:]]
    for number in numbers:
        path = tmp_path / f"{number}.hl7"
        path.write_bytes(messages[number])
        run.replay(path, "lis")


def changes_of(run: TrialRun, cell: str) -> list[tuple[str | None, str | None]]:
    """The old and the new value of each change of a cell in the trail."""
    found = []
    for record in run.store.audit_records():
        if record.what == "value changed" and record.subject == cell:
            old, new = (json.loads(text) if text else {} for text in (record.old, record.new))
            found.append((old.get("value"), new.get("value")))
    return found


def test_correcting_one_creatinine_changes_meld_at_that_visit_alone_with_both_values_in_the_trail(
    run: TrialRun, tmp_path: Path
) -> None:
    replay(run, tmp_path, 0, 1)
    before = run.table()
    replay(run, tmp_path, 2)
    after = run.table()
    changed = {cell for cell, row in after.items() if row.value_text != before[cell].value_text}
    assert changed == {("S-001", "week-12", "CREA"), ("S-001", "week-12", "MELD")}
    assert (before["S-001", "week-12", "MELD"].value_text, after["S-001", "week-12", "MELD"].value_text) == ("10", "17")
    assert changes_of(run, "S-001 week-12 MELD")[-1] == ("10", "17")
    assert changes_of(run, "S-001 week-24 MELD")[-1] == (None, "10")
    assert run.store.verify().ok


def test_the_trail_keeps_what_each_version_of_a_score_was_computed_from(run: TrialRun, tmp_path: Path) -> None:
    replay(run, tmp_path, 0, 2)
    record = [r for r in run.store.audit_records() if r.subject == "S-001 week-12 MELD"][-1]
    old, new = json.loads(record.old or "{}"), json.loads(record.new or "{}")
    told = [(each["score"]["formula"], each["score"]["inputs"]["CREA"]["value"]) for each in (old, new)]
    assert told == [("MELD_UNOS", "88"), ("MELD_UNOS", "180")]


def test_an_assessment_gives_child_pugh_and_a_corrected_one_changes_it(run: TrialRun, tmp_path: Path) -> None:
    replay(run, tmp_path, 0)
    cell = ("S-001", "week-12", "CHILD_PUGH")
    assert run.table()[cell].reason == "missing_input: ascites, encephalopathy"

    def judge(ascites: str) -> None:
        with run.store.write() as tx:
            assessment = Assessment("S-001", date(2026, 3, 30), ascites=ascites, encephalopathy="none")
            tx.add_assessment(assessment, "test", "seen at the visit", run.now)

    judge("mild")
    row = run.table()[cell]
    assert (row.status, row.value_text) == ("captured", "8")
    assert row.score is not None
    assert (row.score["grade"], row.inputs["ascites"]) == (
        "B",
        {"value": "mild", "value_text": "mild", "unit": None, "collected_at": "2026-03-30", "why": None},
    )
    judge("none")
    assert run.table()[cell].value_text == "7"
    assert changes_of(run, "S-001 week-12 CHILD_PUGH")[-1] == ("8", "7")


def test_the_other_formulas_stand_beside_meld_in_its_row(run: TrialRun, tmp_path: Path) -> None:
    replay(run, tmp_path, 0)
    table = run.table()
    score = table["S-001", "week-12", "MELD"].score
    assert score is not None
    beside = score["beside"]
    assert isinstance(beside, dict)
    assert list(beside) == ["MELD_NA", "MELD_3_0"]
    assert not {endpoint for _, _, endpoint in table} & set(beside)
    assert all(each["value"] is not None and each["reason"] is None for each in beside.values())
