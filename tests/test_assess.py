"""What a coordinator enters of clinicians' assessments: one at a time, from a file, and corrected."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr
from datetime import date, timedelta
from pathlib import Path

import pytest
from daemonrun import DaemonRun

from adapter.cli import main

FIXTURES = Path(__file__).parents[1] / "fixtures" / "messages"
HEADER = "study_id,assessed_on,ascites,encephalopathy,dialysis\n"
ITEMS = ("ascites", "encephalopathy", "dialysis")


@pytest.fixture
def trial(tmp_path: Path) -> DaemonRun:
    run = DaemonRun(tmp_path / "site")
    run.run("init", str(tmp_path / "site"))
    run.run("participants", "import", str(FIXTURES / "roster.csv"))
    run.run("participants", "add", "S-002", "--identifier", "77", "--authority", "NTCGH")
    return run


def words(trial: DaemonRun, *arguments: str, status: int) -> str:
    """What a command says on standard error when it fails."""
    said = io.StringIO()
    with redirect_stderr(said), pytest.raises(SystemExit) as ended:
        main(["-c", str(trial.config), *arguments])
    assert ended.value.code == status, said.getvalue()
    return said.getvalue()


def file(trial: DaemonRun, *rows: str, header: str = HEADER) -> str:
    path = trial.folder / "assessments.csv"
    path.write_text(header + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    return str(path)


def standing(trial: DaemonRun, *arguments: str) -> list[tuple[object, ...]]:
    rows = trial.ask("assess", "list", *arguments)
    return [(row["study_id"], row["assessed_on"], *(row[item] for item in ITEMS)) for row in rows]


# --- one at a time ------------------------------------------------------------------------------------------------


def test_an_assessment_is_entered_and_listed_with_who_entered_it_and_why(trial: DaemonRun):
    trial.run("assess", "add", "S-001", "--on", "2026-02-02", "--ascites", "mild", "--dialysis", "no", "--by", "nurse")
    (row,) = trial.ask("assess", "list")
    assert row.keys() == {"study_id", "assessed_on", *ITEMS, "who", "at", "why", "stands"}
    assert standing(trial) == [("S-001", "2026-02-02", "mild", None, "no")]
    assert (row["who"], row["why"], row["stands"]) == ("nurse", "entered", True)
    assert "mild" in trial.run("assess", "list", "S-001")
    assert standing(trial, "S-002") == []


def test_what_is_left_out_of_a_correction_was_not_assessed_and_the_reason_is_asked_for(trial: DaemonRun):
    trial.run("assess", "add", "S-001", "--on", "2026-02-02", "--ascites", "mild")
    correction = ("assess", "add", "S-001", "--on", "2026-02-02", "--dialysis", "yes")
    said = words(trial, *correction, status=1)
    assert "ascites mild becomes not assessed, dialysis not assessed becomes yes" in said
    assert "--reason" in said
    assert "--reason" in words(trial, *correction, "--reason", " ", status=1)
    assert standing(trial) == [("S-001", "2026-02-02", "mild", None, None)]
    assert "is corrected" in trial.run(*correction, "--reason", "read the wrong line")
    assert standing(trial) == [("S-001", "2026-02-02", None, None, "yes")]


def test_every_version_stays_and_says_whether_it_stands(trial: DaemonRun):
    trial.run("assess", "add", "S-001", "--on", "2026-02-02", "--ascites", "mild")
    trial.run("assess", "add", "S-001", "--on", "2026-02-02", "--ascites", "none", "--reason", "read again")
    assert "is taken back" in trial.run("assess", "add", "S-001", "--on", "2026-02-02", "--reason", "another's")
    assert standing(trial) == []
    versions = trial.ask("assess", "list", "--all-versions")
    assert [(row["ascites"], row["why"], row["stands"]) for row in versions] == [
        ("mild", "entered", False),
        ("none", "read again", False),
        (None, "another's", False),
    ]
    assert "read again" in trial.run("assess", "list", "--all-versions")
    trail = json.dumps(trial.ask("audit", "show"))
    assert [what in trail for what in ("assessed", "assessment corrected", "assessment taken back")] == [True] * 3


def test_the_same_again_changes_nothing_and_needs_no_reason(trial: DaemonRun):
    entry = ("assess", "add", "S-001", "--on", "2026-02-02", "--ascites", "mild")
    trial.run(*entry)
    head = trial.ask("audit", "verify")["head"]
    assert "nothing changed" in trial.run(*entry)
    assert trial.ask("audit", "verify")["head"] == head


def test_an_entry_that_says_nothing_is_wrong_usage(trial: DaemonRun):
    assert "--ascites" in words(trial, "assess", "add", "S-001", "--on", "2026-02-02", status=2)
    assert "moderate_severe" in words(
        trial, "assess", "add", "S-001", "--on", "2026-02-02", "--ascites", "severe", status=2
    )


@pytest.mark.parametrize(
    ("study_id", "on", "cause"),
    [
        ("S-404", "2026-02-02", "names no participant"),
        ("S-001", "2.2.2026", "is no date"),
        ("S-001", "2026-02-30", "is no date"),
        ("S-001", (date.today() + timedelta(days=3)).isoformat(), "in the future"),
    ],
    ids=["unknown participant", "no date", "no day of the calendar", "future"],
)
def test_what_cannot_be_is_refused_with_its_remedy(trial: DaemonRun, study_id: str, on: str, cause: str):
    said = words(trial, "assess", "add", study_id, "--on", on, "--ascites", "mild", status=1)
    assert cause in said
    assert "write" in said
    assert "S-404" not in said
    assert standing(trial) == []


def test_before_infusion_may_be_assessed_and_after_a_withdrawal_not(trial: DaemonRun):
    trial.run("participants", "withdraw", "S-001", "--on", "2026-03-01", "--reason", "consent withdrawn")
    trial.run("assess", "add", "S-001", "--on", "2026-01-01", "--ascites", "none")
    trial.run("assess", "add", "S-001", "--on", "2026-02-28", "--ascites", "mild")
    assert "was withdrawn" in words(
        trial, "assess", "add", "S-001", "--on", "2026-03-01", "--ascites", "mild", status=1
    )
    assert [row[1] for row in standing(trial)] == ["2026-01-01", "2026-02-28"]


def test_what_was_entered_before_the_withdrawal_was_known_can_be_taken_back(trial: DaemonRun):
    trial.run("assess", "add", "S-001", "--on", "2026-03-05", "--ascites", "mild")
    trial.run("participants", "withdraw", "S-001", "--on", "2026-03-01", "--reason", "consent withdrawn")
    trial.run("assess", "add", "S-001", "--on", "2026-03-05", "--reason", "withdrawn by then")
    assert standing(trial) == []


def test_the_list_of_somebody_who_is_not_enrolled_is_refused(trial: DaemonRun):
    assert "participants list" in words(trial, "assess", "list", "S-404", status=1)


# --- from a file --------------------------------------------------------------------------------------------------


def test_a_file_is_entered_whole_and_counted(trial: DaemonRun):
    path = file(trial, "S-001,2026-02-02,mild,none,no", "", "S-002,2026-02-03,,grade_1_2,", "S-002,2026-02-04,,,")
    assert "3 assessments in the file, 2 new, 0 corrected, 1 unchanged" in trial.run("assess", "import", path)
    assert standing(trial) == [
        ("S-001", "2026-02-02", "mild", "none", "no"),
        ("S-002", "2026-02-03", None, "grade_1_2", None),
    ]
    head = trial.ask("audit", "verify")["head"]
    assert "0 new, 0 corrected, 3 unchanged" in trial.run("assess", "import", path)
    assert trial.ask("audit", "verify")["head"] == head


def test_a_file_as_a_spreadsheet_saves_it_is_read(trial: DaemonRun):
    path = Path(file(trial))
    path.write_bytes(
        b"\xef\xbb\xbf" + HEADER.replace("\n", "\r\n").encode() + b'"S-001",2026-02-02, mild ,,\r\n,,,,\r\n'
    )
    trial.run("assess", "import", str(path))
    assert standing(trial) == [("S-001", "2026-02-02", "mild", None, None)]


def test_every_bad_row_is_named_with_its_remedy_and_none_is_taken(trial: DaemonRun):
    path = file(
        trial,
        "S-001,2026-02-02,mild,none,no",
        "S-404,2026-02-02,mild,,",
        "S-001,02/03/2026,mild,,",
        "S-001,2026-02-04,a little,,",
        "S-001,2026-02-05,,1,maybe",
        "S-001,2026-02-06,mild,",
        "S-001,2026-02-02,none,,",
        "S-002,2099-01-01,none,,",
    )
    said = words(trial, "assess", "import", path, status=1).splitlines()
    assert [line.removeprefix("lab-adapter: ").split(":")[0] for line in said] == [
        f"line {number}" for number in (3, 4, 5, 6, 6, 7, 8, 9)
    ]
    assert "none, mild or moderate_severe" in said[2]
    assert "yes or no" in said[4]
    assert "stands in line 2 already" in said[6]
    assert not any(held in line for line in said for held in ("S-404", "a little", "maybe"))
    assert standing(trial) == []


@pytest.mark.parametrize("column", ["arm", "route", "treatment", "notes"])
def test_a_column_the_format_does_not_know_is_refused(trial: DaemonRun, column: str):
    header = HEADER.strip() + f",{column}\n"
    said = words(trial, "assess", "import", file(trial, "S-001,2026-02-02,mild,,,x", header=header), status=1)
    assert f"no column '{column}'" in said
    assert standing(trial) == []


@pytest.mark.parametrize(
    ("header", "cause"),
    [
        ("S-001,2026-02-02,mild,none,no\n", "header is missing"),
        ("study_id,assessed_on,ascites,encephalopathy\n", "lacks dialysis"),
        ("study_id,assessed_on,encephalopathy,ascites,dialysis\n", "another order"),
        ("", "header is missing"),
    ],
    ids=["none", "one column short", "another order", "empty file"],
)
def test_a_file_without_its_header_is_refused(trial: DaemonRun, header: str, cause: str):
    said = words(trial, "assess", "import", file(trial, header=header), status=1)
    assert cause in said
    assert "study_id,assessed_on,ascites,encephalopathy,dialysis" in said


def test_a_file_that_is_no_utf_8_says_how_to_save_it(trial: DaemonRun):
    path = trial.folder / "assessments.csv"
    path.write_bytes(HEADER.encode() + "S-001,2026-02-02,无,,\n".encode("gbk"))
    assert "UTF-8" in words(trial, "assess", "import", str(path), status=1)


def test_rows_that_correct_are_named_until_somebody_says_why(trial: DaemonRun):
    trial.run("assess", "import", file(trial, "S-001,2026-02-02,mild,,", "S-002,2026-02-03,none,,"))
    path = file(trial, "S-001,2026-02-02,none,,", "S-001,2026-02-09,none,,", "S-002,2026-02-03,,,")
    said = words(trial, "assess", "import", path, status=1)
    assert "line 2: S-001 on 2026-02-02 stands with other items: ascites mild becomes none" in said
    assert "line 4: S-002 on 2026-02-03 stands with other items: ascites none becomes not assessed" in said
    assert "line 3" not in said
    assert len(standing(trial)) == 2
    told = trial.run("assess", "import", path, "--reason", "source data verified")
    assert "1 new, 2 corrected, 0 unchanged" in told
    assert standing(trial) == [("S-001", "2026-02-02", "none", None, None), ("S-001", "2026-02-09", "none", None, None)]


def test_a_dry_run_says_what_would_change_and_changes_nothing(trial: DaemonRun):
    trial.run("assess", "add", "S-001", "--on", "2026-02-02", "--ascites", "mild")
    head = trial.ask("audit", "verify")["head"]
    path = file(trial, "S-001,2026-02-02,none,,", "S-002,2026-02-03,none,,")
    told = trial.run("assess", "import", path, "--dry-run")
    assert "line 2: S-001 on 2026-02-02 stands with other items: ascites mild becomes none" in told
    assert "1 new, 1 corrected, 0 unchanged" in told
    assert trial.ask("audit", "verify")["head"] == head
    assert standing(trial) == [("S-001", "2026-02-02", "mild", None, None)]
