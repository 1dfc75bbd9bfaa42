"""interface.md to the letter: names, JSON keys, exit statuses, and what a user who errs is told."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from daemonrun import DaemonRun
from invented import message

from adapter.rules import codes, derive, interpret, status, windows
from adapter.words import knows

FIXTURES = Path(__file__).parents[1] / "fixtures" / "messages"
PANEL = FIXTURES / "complete-panel.hl7"


@pytest.fixture
def trial(tmp_path: Path) -> DaemonRun:
    run = DaemonRun(tmp_path / "site")
    run.run("init", str(tmp_path / "site"))
    run.run("participants", "import", str(FIXTURES / "roster.csv"))
    return run


def words(run: DaemonRun, *arguments: str, status: int) -> str:
    """What a command says on standard error when it fails, as a process of its own."""
    done = subprocess.run(run.command(*arguments), capture_output=True, text=True, check=False)
    assert done.returncode == status, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done.stderr


def test_init_writes_a_configuration_that_check_finds_good_and_overwrites_nothing(trial: DaemonRun):
    config = trial.folder / "config.toml"
    config.write_text(config.read_text() + "\n# mine\n")
    trial.run("init", str(trial.folder))
    assert config.read_text().endswith("# mine\n")
    assert "good" in trial.run("check")
    assert "good" in trial.run("check", "--connect")
    assert (trial.folder / "trial.db").stat().st_mode & 0o777 == 0o600


def test_values_has_a_row_for_each_participant_visit_and_endpoint(trial: DaemonRun):
    trial.run("replay", str(PANEL))
    rows = trial.ask("values")
    assert len(rows) == 27
    assert [r["endpoint"] for r in rows[:9]] == ["ALT", "AST", "ALP", "TBIL", "ALB", "PT", "INR", "MELD", "CHILD_PUGH"]
    assert [r["visit"] for r in rows[::9]] == ["week-4", "week-12", "week-24"]
    promised = {
        "study_id",
        "visit",
        "target_date",
        "window",
        "endpoint",
        "status",
        "reason",
        "open_items",
        "value",
        "value_text",
        "comparator",
        "unit",
        "flags",
        "collected_at",
        "day_offset",
        "source",
        "message_id",
        "derived",
        "inputs",
    }
    assert promised <= rows[0].keys()
    assert rows[0]["target_date"] == "2026-02-02"
    assert rows[0]["window"] == ["2026-01-26", "2026-02-09"]
    scores = [r for r in rows if r["endpoint"] in ("MELD", "CHILD_PUGH")]
    assert {(r["derived"], r["unit"]) for r in scores} == {(True, "{score}")}
    found = next(r for r in scores if (r["visit"], r["endpoint"]) == ("week-4", "MELD"))
    assert (found["value"], found["status"], found["message_id"]) == (10, "captured", None)
    assert found["inputs"]["TBIL"]["value"] == 34.2
    assert found["inputs"]["TBIL"]["unit"] == "umol/L"
    assert {r["endpoint"] for r in trial.ask("values", "--all")} >= {"CREA", "NA"}


def test_a_number_keeps_its_decimals_in_json(trial: DaemonRun):
    trial.run("replay", str(FIXTURES / "inr-keeps-its-decimals.hl7"))
    text = trial.run("values", "--json")
    assert re.search(r'"value": 1\.10,\s+"value_text": "1\.10"', text)


def test_values_csv_is_read_back_by_the_csv_module(trial: DaemonRun):
    trial.run("replay", str(PANEL))
    rows = list(csv.DictReader(io.StringIO(trial.run("values", "--csv"))))
    assert len(rows) == 27
    assert rows[0]["value_text"] == str(trial.ask("values")[0]["value_text"])


def test_explain_writes_nothing_and_says_each_step(trial: DaemonRun):
    before = trial.ask("audit", "verify")["head"]
    (message,) = trial.ask("explain", str(PANEL))
    assert {"file", "message_id", "source", "type", "outcome", "detail", "results"} <= message.keys()
    assert message["outcome"] == "accepted"
    for result in message["results"]:
        assert {
            "locator", "code", "name", "reported", "reported_unit", "status", "study_id", "outcome", "endpoint",
            "value", "comparator", "unit", "collected_at", "visit", "reason", "steps",
        } <= result.keys()  # fmt: skip
        assert result["steps"]
    assert "OBX[1]" in trial.run("explain", str(PANEL))
    assert trial.ask("audit", "verify")["head"] == before
    assert trial.ask("status")["inbox"]["done"] == 0


def test_explain_takes_any_patient_for_a_participant_where_asked(trial: DaemonRun, tmp_path: Path):
    stranger = tmp_path / "stranger.hl7"
    stranger.write_bytes(PANEL.read_bytes().replace(b"0012345", b"5551212"))
    (message,) = trial.ask("explain", str(stranger))
    assert (message["outcome"], message["results"]) == ("stranger", [])
    (message,) = trial.ask("explain", str(stranger), "--as", "S-001")
    assert {r["study_id"] for r in message["results"]} == {"S-001"}
    assert "no participant" in words(trial, "explain", str(stranger), "--as", "S-404", status=1)


def test_explain_after_replay_calls_it_a_copy(trial: DaemonRun):
    trial.run("replay", str(PANEL))
    (message,) = trial.ask("replay", str(PANEL))
    assert message["outcome"] == "duplicate"


def test_replay_of_a_folder_tells_what_became_of_each_message(trial: DaemonRun, tmp_path: Path):
    folder = tmp_path / "feed"
    folder.mkdir()
    (folder / "1.hl7").write_bytes(PANEL.read_bytes())
    (folder / "2.hl7").write_bytes(PANEL.read_bytes().replace(b"0012345", b"5551212"))
    assert [m["outcome"] for m in trial.ask("replay", str(folder))] == ["accepted", "stranger"]


def test_a_file_of_which_nothing_can_be_read_is_one_object_and_status_one(trial: DaemonRun, tmp_path: Path):
    nothing = tmp_path / "nothing.txt"
    nothing.write_text("hello world")
    for command in ("explain", "replay"):
        (message,) = json.loads(trial.run(command, str(nothing), "--json", status=1))
        assert (message["outcome"], message["results"]) == ("unreadable", [])


def test_review_list_show_and_resolve(trial: DaemonRun):
    path = next(p for p in FIXTURES.glob("*.expected.json") if "unmapped_code" in json.loads(p.read_text())["review"])
    trial.run("replay", str(path.with_name(path.name.replace(".expected.json", ".hl7"))))
    item = next(q for q in trial.ask("review", "list") if q["reason"] == "unmapped_code")
    assert {
        "id", "reason", "study_id", "source", "code", "name", "value_text", "unit", "collected_at", "message_id",
        "count", "opened_at", "detail",
    } <= item.keys()  # fmt: skip
    assert trial.ask("review", "show", item["id"])["results"]
    assert item["id"] in trial.run("review", "show", item["id"])
    assert "MELD" in words(trial, "review", "resolve", item["id"], "--map", "MELDX", "--reason", "x", status=1)
    words(trial, "review", "resolve", item["id"], "--map", "ALT", status=2)
    words(trial, "review", "resolve", "nope", "--dismiss", "--reason", "x", status=1)
    trial.run("review", "resolve", item["id"], "--dismiss", "--reason", "not of the trial")
    assert item["id"] not in [q["id"] for q in trial.ask("review", "list")]


def test_the_roster_lists_study_ids_only(trial: DaemonRun):
    text = trial.run("participants", "list", "--json") + trial.run("participants", "list")
    assert "S-001" in text
    roster = next(csv.DictReader(FIXTURES.joinpath("roster.csv").read_text(encoding="utf-8").splitlines()))
    assert roster["identifier"] not in text
    assert not roster["birth_date"] or roster["birth_date"] not in text


@pytest.mark.parametrize("column", ["arm", "treatment", "name"])
def test_a_roster_with_a_column_the_format_does_not_know_is_refused(trial: DaemonRun, tmp_path: Path, column: str):
    bad = tmp_path / "roster.csv"
    bad.write_text(f"study_id,identifier,authority,infused_at,birth_date,sex,{column}\nS-9,1,NTCGH,,,,x\n")
    said = words(trial, "participants", "import", str(bad), status=1)
    assert f"no column '{column}'" in said
    assert "S-9" not in trial.run("participants", "list")


def test_a_roster_without_its_header_repeats_nothing_of_a_patient(trial: DaemonRun, tmp_path: Path):
    bad = tmp_path / "roster.csv"
    bad.write_text("S-9,0099887,NTCGH,2026-01-05,1961-02-03,F\n")
    said = words(trial, "participants", "import", str(bad), status=1)
    assert "header" in said
    assert not any(secret in said for secret in ("0099887", "1961-02-03"))


def test_every_bad_row_of_a_roster_is_named_and_none_is_taken(trial: DaemonRun, tmp_path: Path):
    bad = tmp_path / "roster.csv"
    bad.write_text(
        "study_id,identifier,authority,infused_at,birth_date,sex\n"
        "S-7,1,NTCGH,,,\nS-8,2,NTCGH,05/01/2026,,\nS-9,,NTCGH,,,X\nS-6,1,NTCGH,,,\n"
    )
    said = words(trial, "participants", "import", str(bad), status=1)
    assert [n for n in (3, 4, 5) if f"line {n}:" in said] == [3, 4, 5]
    assert "S-7" not in trial.run("participants", "list")


def test_a_withdrawal_and_a_correction_are_in_the_trail_without_an_identity(trial: DaemonRun):
    trial.run("participants", "update", "S-001", "--birth-date", "1961-07-08", "--reason", "typed wrong")
    trial.run(
        "participants", "withdraw", "S-001", "--on", "2026-03-01", "--reason", "consent withdrawn", "--by", "nurse"
    )
    text = json.dumps(trial.ask("audit", "show"))
    assert "consent withdrawn" in text
    assert "1961-07-08" not in text
    statuses = {r["visit"]: r["status"] for r in trial.ask("values")}
    assert (statuses["week-12"], statuses["week-24"]) == ("not_expected", "not_expected")


def test_an_end_that_has_not_come_is_refused(trial: DaemonRun):
    future = ("participants", "withdraw", "S-001", "--on", "2190-03-01", "--reason", "consent withdrawn")
    assert "lies in the future" in words(trial, *future, status=2)


def test_a_misspelt_authority_is_warned_of_and_the_participant_enrolled_all_the_same(trial: DaemonRun):
    def told(*arguments: str) -> str:
        return words(trial, "participants", *arguments, "--reason", "enrolled", status=0)

    said = told("add", "S-050", "--identifier", "5050", "--authority", "NTCHG")
    assert "assigning authority 'NTCHG'" in said
    assert "NTCGH" in said.partition("known are: ")[2]
    assert "5050" not in said
    assert told("add", "S-051", "--identifier", "5051", "--authority", "NTCGH") == ""
    assert "'ELSE'" in told("update", "S-051", "--identifier", "5052", "--authority", "ELSE")
    assert told("update", "S-051", "--sex", "F") == ""
    assert {"S-050", "S-051"} <= {each["study_id"] for each in trial.ask("participants", "list")}


def test_wrong_configuration_is_status_two_and_names_file_key_and_remedy(trial: DaemonRun):
    config = trial.folder / "config.toml"
    config.write_text(config.read_text().replace('kind = "mllp"', 'kind = "mllp"\nprot = 1'))
    said = words(trial, "check", status=2)
    assert "config.toml" in said
    assert "prot" in said
    assert "port" in said


def test_without_configuration_or_store_the_way_out_is_named(tmp_path: Path):
    run = DaemonRun(tmp_path)
    assert "lab-adapter init" in words(run, "values", status=2)
    run.run("init", str(tmp_path))
    (tmp_path / "trial.db").unlink()
    assert "lab-adapter init" in words(run, "values", status=1)


def test_output_that_nobody_reads_any_more_is_no_traceback(trial: DaemonRun):
    shell = f"{sys.executable} -m adapter -c {trial.config} values --all | head -1"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_every_rule_has_its_sentence():
    """Each ``Step`` and each reason that the rules name can be said."""
    named = set()
    for module in (codes, derive, interpret, status, windows):
        text = Path(module.__file__).read_text(encoding="utf-8")
        named |= set(re.findall(r'Step\(\s*"([a-z_]+)"', text)) | set(re.findall(r'_unknown\(\s*"([a-z_]+)"', text))
    assert len(named) > 20
    assert [rule for rule in named if not knows(rule)] == []


def test_nothing_that_was_sent_steers_a_terminal_or_forges_a_line(trial: DaemonRun, tmp_path: Path):
    said = "\x1b[2J\u009b1m\u202e\u2028\\X0A\\forged_line"
    hostile = tmp_path / "hostile.hl7"
    hostile.write_bytes(message("G%s^N%s^L 4%s 1 F 20260202").replace(b"%s", said.encode()))
    commands = [("explain", str(hostile)), ("replay", str(hostile)), ("review", "list"), ("review", "list", "--each")]
    commands += [("audit", "show"), ("values", "--all"), ("trace", "S-001", "week-4", "ALT")]
    for command in commands:
        for form in ((), ("--json",)):
            text = trial.run(*command, *form)
            unseen = {c for c in text.replace("\n", "") if not c.isprintable()}
            assert unseen == set(), command
            assert not re.search("^ *forged", text, re.MULTILINE), command
    (item,) = trial.ask("review", "list")
    assert "\x1b[2J" in item["code"]  # a script is given what was sent
    shown = trial.run("review", "show", item["id"])
    assert r"\x1b[2J\x9b1m\u202e" in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize("odd", ["one\ntwo", "\x1b[2J", "\u202egnorw"], ids=["a line end", "an escape", "a turn"])
def test_a_reason_that_could_deceive_who_reads_the_trail_is_refused(trial: DaemonRun, odd: str):
    change = ("participants", "update", "S-001", "--sex", "M")
    assert "cannot be seen" in words(trial, *change, "--reason", odd, status=2)
    assert "cannot be seen" in words(trial, *change, "--reason", "typed wrong", "--by", f"x{odd}", status=2)
    assert "cannot be seen" in words(trial, "review", "undo", "1", "--reason", odd, status=2)
    trial.run(*change, "--reason", "按病历更正　（见附页）")
