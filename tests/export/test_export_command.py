"""``lab-adapter export``: what it writes, what it refuses, what the trail says, and that nobody else pays for it."""

from __future__ import annotations

import hashlib
import importlib
import io
import json
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from adapter.cli.common import Session
from adapter.export.terms import FILE, load_terms
from adapter.mappings import MappingError
from adapter.store import Store
from tests.daemonrun import DaemonRun
from tests.export.exporting import MAPPINGS, read_json
from tests.rules.laboratory import PROTOCOL

FIXTURES = Path(__file__).parents[2] / "fixtures" / "messages"
commands = importlib.import_module("adapter.cli.main")  # the package names its function alike
FORMATS = ["csv", "sdtm", "dataset-json"]
NOW = datetime(2026, 9, 1, 4, 0, tzinfo=UTC)


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DaemonRun:
    """A trial of one participant with a complete panel, whose windows have all closed."""
    monkeypatch.setattr(commands, "Session", lambda path: Session(path, now=lambda: NOW))
    run = DaemonRun(tmp_path / "site")
    run.run("init", str(tmp_path / "site"))
    run.run("participants", "import", str(FIXTURES / "roster.csv"))
    run.run("replay", str(FIXTURES / "complete-panel.hl7"))
    return run


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name != "manifest.json"}


def refused(run: DaemonRun, *arguments: str, status: int = 1) -> str:
    """What is said of an export that is not made."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        commands.main(["-c", str(run.config), *arguments])
    assert (ended.value.code, out.getvalue()) == (status, ""), err.getvalue()
    assert "please report" not in err.getvalue()
    return err.getvalue()


@pytest.mark.parametrize(
    ("format", "names"),
    [
        ("csv", ["candidates.csv", "candidates.spreadsheet.csv", "values.csv", "values.spreadsheet.csv"]),
        ("sdtm", ["dm.xpt", "lb.xpt", "rs.xpt", "supplb.xpt", "supprs.xpt", "sv.xpt"]),
        ("dataset-json", ["dm.json", "lb.json", "rs.json", "supplb.json", "supprs.json", "sv.json"]),
    ],
)
def test_the_folder_holds_the_files_and_a_manifest_of_them(
    trial: DaemonRun, tmp_path: Path, format: str, names: list[str]
):
    out = tmp_path / "deep" / "out"
    trial.run("export", format, "--out", str(out))
    assert sorted(contents(out)) == names
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert {f["name"]: f["sha256"] for f in manifest["files"]} == {
        name: hashlib.sha256(content).hexdigest() for name, content in contents(out).items()
    }
    assert all(f["rows"] > 0 for f in manifest["files"])
    assert [path.stat().st_mode & 0o077 for path in out.iterdir()] == [0] * (len(names) + 1)


def test_the_manifest_says_by_which_rules_from_which_trail_who_and_when(trial: DaemonRun, tmp_path: Path):
    before = trial.ask("audit", "verify")
    manifest = trial.ask("export", "sdtm", "--out", str(tmp_path / "out"), "--by", "wang")
    assert manifest == json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["trail"] == {"records": before["records"], "head": before["head"]}
    assert (manifest["made_by"], manifest["made_at"]) == ("wang", "2026-09-01T04:00:00+00:00")
    assert (manifest["trial"], manifest["format"], manifest["as_of"]) == ("NCT06984497", "sdtm", "2026-09-01")
    assert manifest["sdtm_terms"] == hashlib.sha256((MAPPINGS / FILE).read_bytes()).hexdigest()
    assert sum(manifest["cells"].values()) == 33
    assert re.fullmatch("[0-9a-f]{64}", manifest["mappings"])
    (ruleset,) = {row["ruleset"] for row in trial.ask("values") if row["ruleset"]}
    assert manifest["ruleset"] == ruleset


def test_an_export_is_recorded_with_the_hashes_of_its_files(trial: DaemonRun, tmp_path: Path):
    manifest = trial.ask("export", "csv", "--out", str(tmp_path / "out"), "--by", "wang")
    record = trial.ask("audit", "show", "--limit", "1")[0]
    assert (record["what"], record["subject"], record["who"]) == ("exported", "csv", "wang")
    assert json.loads(record["new"])["files"] == manifest["files"]
    assert trial.ask("audit", "verify")["ok"]


@pytest.mark.parametrize("format", FORMATS)
def test_made_again_the_files_are_the_same_although_the_trail_has_grown(trial: DaemonRun, tmp_path: Path, format: str):
    trial.run("export", format, "--out", str(tmp_path / "first"))
    trial.run("export", "csv", "--out", str(tmp_path / "between"))
    trial.run("export", format, "--out", str(tmp_path / "second"))
    assert contents(tmp_path / "first") == contents(tmp_path / "second")


def test_made_again_into_the_same_folder_it_leaves_the_files_and_says_so(trial: DaemonRun, tmp_path: Path):
    out = tmp_path / "out"
    trial.run("export", "sdtm", "--out", str(out), "--by", "wang")
    before = {p.name: p.stat().st_mtime_ns for p in out.iterdir() if p.name != "manifest.json"}
    assert "there already" in trial.run("export", "sdtm", "--out", str(out), "--by", "li")
    assert {p.name: p.stat().st_mtime_ns for p in out.iterdir() if p.name != "manifest.json"} == before
    assert json.loads((out / "manifest.json").read_text(encoding="utf-8"))["made_by"] == "li"


def test_a_new_value_changes_the_files_and_their_time(trial: DaemonRun, tmp_path: Path):
    trial.run("export", "dataset-json", "--out", str(tmp_path / "first"))
    trial.run("replay", str(FIXTURES / "nearest-to-the-target.hl7"))
    trial.run("export", "dataset-json", "--out", str(tmp_path / "second"))
    first, second = (read_json((tmp_path / name / "lb.json").read_bytes()) for name in ("first", "second"))
    assert len([r for r in second if r["LBSTRESC"]]) == len([r for r in first if r["LBSTRESC"]]) + 3


def test_a_folder_that_holds_anything_else_is_left_alone(trial: DaemonRun, tmp_path: Path):
    out = tmp_path / "out"
    trial.run("export", "sdtm", "--out", str(out))
    trial.run("replay", str(FIXTURES / "nearest-to-the-target.hl7"))
    head, kept = trial.ask("audit", "verify")["head"], contents(out)
    said = refused(trial, "export", "sdtm", "--out", str(out))
    assert "lb.xpt" in said
    assert "folder of its own" in said
    assert "manifest of another export" in refused(trial, "export", "csv", "--out", str(only_manifest(out, tmp_path)))
    assert contents(out) == kept
    assert trial.ask("audit", "verify")["head"] == head


def only_manifest(out: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "bare"
    folder.mkdir()
    (folder / "manifest.json").write_bytes((out / "manifest.json").read_bytes())
    return folder


def test_a_file_in_the_place_of_the_folder_is_left_alone(trial: DaemonRun, tmp_path: Path):
    (tmp_path / "taken").write_text("mine")
    assert "is no folder" in refused(trial, "export", "csv", "--out", str(tmp_path / "taken"))
    assert (tmp_path / "taken").read_text() == "mine"


def test_what_cannot_be_written_is_not_recorded(trial: DaemonRun, tmp_path: Path):
    (tmp_path / "file").write_text("")
    head = trial.ask("audit", "verify")["head"]
    assert str(tmp_path / "file") in refused(trial, "export", "csv", "--out", str(tmp_path / "file" / "below"))
    assert trial.ask("audit", "verify")["head"] == head


def test_another_format_or_no_folder_is_wrong_usage(trial: DaemonRun):
    assert "csv" in refused(trial, "export", "excel", "--out", "x", status=2)
    assert "--out" in refused(trial, "export", "csv", status=2)


def test_values_by_other_mappings_than_the_files_hold_are_not_exported(trial: DaemonRun, tmp_path: Path):
    trial.config.write_text(trial.config.read_text().replace("port = 2575", "port = 0"))
    trial.start()
    try:
        protocol = trial.folder / "mappings" / "nct06984497.toml"
        protocol.write_text(protocol.read_text(encoding="utf-8") + "# another\n", encoding="utf-8")
        assert "by other mappings" in refused(trial, "export", "csv", "--out", str(tmp_path / "out"))
        assert not (tmp_path / "out").exists()
    finally:
        trial.close()


# --- the terms ----------------------------------------------------------------------------------------------------


def terms_without(tmp_path: Path, pattern: str, into: str = "") -> list[str]:
    """What is said of the terms with a part of them taken out."""
    text = (MAPPINGS / FILE).read_text(encoding="utf-8")
    changed = re.sub(pattern, into, text, count=1, flags=re.MULTILINE)
    assert changed != text
    (tmp_path / FILE).write_text(changed, encoding="utf-8")
    with pytest.raises(MappingError) as wrong:
        load_terms(tmp_path / "trial.toml", PROTOCOL)
    return str(wrong.value).splitlines()


@pytest.mark.parametrize(
    ("pattern", "into", "said"),
    [
        (r"^\[test\.NA\]\n(.+\n){3}", "", "test: NA is not named; add [test.NA]"),
        (r'^"meq/L".*\n', "", 'unit: "meq/L" of NA is not named; add "meq/L" = "CDISC\'s unit"'),
        (r"^INR = .*\n", "", "score.CHILD_PUGH.item: INR is not named; add INR = { testcd = "),
        (r"^\[score\.MELD_NA\]\n(.+\n){3}", "", "score: MELD_NA is not named; add [score.MELD_NA]"),
        ('testcd = "BILI"', 'testcd = "BILIRUBIN"', "test.TBIL.testcd: 'BILIRUBIN' is not up to 8 capitals"),
        ('country = "CHN"', 'country = "China"', "study.country: 'China' is not a country of ISO 3166-1"),
        ('category = "MELD"', 'category = "评分"', "score.MELD_UNOS.category: '评分' is not up to 200 characters"),
        ('site = "NTCGH"', 'sight = "NTCGH"', 'study.sight: is not a known key; write "site"'),
    ],
)
def test_what_the_terms_lack_is_named_with_its_place_and_remedy(tmp_path: Path, pattern: str, into: str, said: str):
    lines = terms_without(tmp_path, pattern, into)
    assert any(f"{tmp_path / FILE}: {said}" in line for line in lines), lines


def test_a_trial_without_terms_is_told_which_file_to_write(trial: DaemonRun, tmp_path: Path):
    (trial.folder / "mappings" / FILE).unlink()
    said = refused(trial, "export", "sdtm", "--out", str(tmp_path / "out"), status=2)
    assert FILE in said
    trial.run("export", "csv", "--out", str(tmp_path / "out"))


# --- what it costs others -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "loads",
    [
        "from adapter.cli import main; main(['--help'])",
        "from adapter.cli import main; main(['export', '--help'])",
        "import adapter.daemon, adapter.demo, adapter.cli.main",
    ],
)
def test_only_an_export_loads_what_its_writers_need(loads: str):
    heavy = "{'pandas', 'pyreadstat', 'numpy'}"
    asked = f"import atexit, sys; atexit.register(lambda: print(sorted({heavy} & set(sys.modules))));"
    done = subprocess.run([sys.executable, "-c", asked + loads], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_last_change_is_no_export_and_no_look(tmp_path: Path):
    times: list[Any] = []
    with Store.open(tmp_path / "trial.db", "T1", create=True) as store:
        assert store.last_change() == (0, None)
        for hour, what in enumerate(("participant enrolled", "exported", "raw bytes shown", "store reopened")):
            with store.write() as tx:
                tx.record(what, "x", who="test", at=NOW.replace(hour=hour), why="test")
            times.append(store.last_change())
    assert [records for records, _ in times] == [1, 2, 3, 4]
    assert {at for _, at in times} == {"2026-09-01T00:00:00.000000+00:00"}
