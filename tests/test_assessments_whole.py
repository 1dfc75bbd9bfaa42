"""Assessments from end to end: entered by hand or sent as results, into the score of their visit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from daemonrun import DaemonRun

FIXTURES = Path(__file__).parents[1] / "fixtures" / "messages"
PANEL = FIXTURES / "complete-panel.hl7"
SENT = """
[[source.assessment]]
item = "ascites"
code = "ASC"
values = { none = ["none"], mild = ["1"], moderate_severe = ["2", "3"] }

[[source.assessment]]
item = "encephalopathy"
code = "HE"
system = "99HE"
values = { none = ["N"], grade_1_2 = ["G1"] }
"""


@pytest.fixture
def trial(tmp_path: Path) -> DaemonRun:
    run = DaemonRun(tmp_path / "site")
    run.run("init", str(tmp_path / "site"))
    run.run("participants", "import", str(FIXTURES / "roster.csv"))
    run.config.write_text(run.config.read_text(encoding="utf-8") + SENT, encoding="utf-8")
    run.run("replay", str(PANEL))
    return run


def message(trial: DaemonRun, control_id: str, *results: str) -> str:
    """A message of the panel's patient whose results are OBX-2 to OBX-5, as a file."""
    head = PANEL.read_text(encoding="utf-8").replace("\r", "\n").splitlines()[:3]
    head[0] = head[0].replace("H000", control_id)
    head[2] = head[2].replace("L-1", control_id)
    observations = [f"OBX|{n}|{result}||||||F" for n, result in enumerate(results, 1)]
    path = trial.folder / f"{control_id}.hl7"
    path.write_bytes("\r".join([*head, *observations, ""]).encode())
    return str(path)


def child_pugh(trial: DaemonRun) -> dict[str, Any]:
    (row,) = [r for r in trial.ask("values") if (r["visit"], r["endpoint"]) == ("week-4", "CHILD_PUGH")]
    return row


def test_an_entered_assessment_gives_the_score_and_its_correction_another(trial: DaemonRun):
    assert child_pugh(trial)["reason"] == "missing_input: ascites, encephalopathy"
    entry = ("assess", "add", "S-001", "--on", "2026-02-02", "--encephalopathy", "none")
    trial.run(*entry, "--ascites", "mild")
    assert (child_pugh(trial)["value"], child_pugh(trial)["score"]["grade"]) == (8, "B")
    trial.run(*entry, "--ascites", "moderate_severe", "--reason", "the report came later")
    assert child_pugh(trial)["value"] == 9
    assert child_pugh(trial)["inputs"]["ascites"]["value"] == "moderate_severe"
    trial.run("assess", "add", "S-001", "--on", "2026-02-02", "--reason", "another's")
    assert child_pugh(trial)["reason"] == "missing_input: ascites, encephalopathy"


def test_an_assessment_that_is_sent_gives_the_score_and_names_its_message(trial: DaemonRun):
    path = message(trial, "A1", "CWE|ASC^腹水^99L||none^无^99L", "IS|HE^^99HE||G1")
    told = trial.ask("explain", path)[0]["results"]
    assert [(r["outcome"], r["endpoint"], r["value"], r["value_text"], r["visit"]) for r in told] == [
        ("placed", "ascites", None, "none", "week-4"),
        ("placed", "encephalopathy", None, "grade_1_2", "week-4"),
    ]
    text = trial.run("explain", path)
    assert "OBX[1] ASC: placed ascites week-4 none\n" in text
    assert "says that ASC is an assessment of ascites (assessment[1])" in text
    trial.run("replay", path)
    row = child_pugh(trial)
    assert (row["value"], row["inputs"]["encephalopathy"]["message_id"]) == (8, "A1")


def test_a_value_that_nobody_explained_is_asked_and_can_be_said(trial: DaemonRun):
    trial.run("replay", message(trial, "A1", "ST|ASC^^99L||a little", "IS|HE^^99HE||N"))
    (item,) = trial.ask("review", "list")
    assert (item["reason"], item["study_id"], item["value_text"]) == ("unreadable_value", "S-001", "a little")
    assert "none that the source's configuration lists for ascites" in item["detail"]
    row = child_pugh(trial)
    assert (row["status"], row["reason"], row["open_items"]) == ("in_review", "input_in_review: ascites", 1)
    trial.run("assess", "add", "S-001", "--on", "2026-02-02", "--ascites", "mild")
    assert child_pugh(trial)["value"] == 8


def test_trace_names_the_message_of_a_sent_assessment_and_not_who_entered_another_item_of_that_day(trial: DaemonRun):
    trial.run("replay", message(trial, "A1", "IS|HE^^99HE||G1"))
    trial.run("assess", "add", "S-001", "--on", "2026-02-02", "--ascites", "mild", "--by", "trial nurse")
    told = {i["name"]: i for i in trial.ask("trace", "S-001", "week-4", "CHILD_PUGH")["inputs"]}
    assert (told["encephalopathy"]["message_id"], told["encephalopathy"]["assessed"]) == ("A1", None)
    assert told["ascites"]["assessed"]["who"] == "trial nurse"


def test_no_number_of_the_hospital_leaves_with_the_inputs_of_a_score(trial: DaemonRun):
    trial.run("replay", message(trial, "CTRL77", "IS|HE^^99HE||G1"))
    trial.run("export", "csv", "--out", str(trial.folder / "out"))
    assert all("CTRL77" not in path.read_text(encoding="utf-8") for path in (trial.folder / "out").iterdir())
