"""``reprocess`` as it is typed, and that no other command takes over changed mappings by the way."""

from __future__ import annotations

import importlib
import io
import json
import subprocess
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from daemonrun import DaemonRun

from adapter.cli.common import Session

commands = importlib.import_module("adapter.cli.main")  # the package names its function alike

FIXTURES = Path(__file__).parents[1] / "fixtures" / "messages"
NOW = datetime(2026, 9, 1, 4, 0, tzinfo=UTC)  # every window of the participant has closed
WEEK_12 = '[[visit]]\nid = "week-12"\nlabel = "Week 12"\ntarget_day = 84\nbefore_days = 14\nafter_days = 14\n'
REPROCESS = "`lab-adapter reprocess --dry-run` shows what would change, `lab-adapter reprocess` takes them over"


class Site:
    """A small trial in a folder, its commands typed at one instant."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.said = ""  # by the last command, on standard error
        patch.setattr(commands, "Session", lambda path: Session(path, now=lambda: NOW))

    def run(self, *arguments: str, status: int = 0) -> str:
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            commands.main(["-c", str(self.folder / "config.toml"), *arguments])
        self.said = err.getvalue()
        assert (ended.value.code or 0) == status, (out.getvalue(), self.said)
        return out.getvalue()

    def ask(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json"))

    def value(self, visit: str, endpoint: str) -> str | None:
        rows = {(r["visit"], r["endpoint"]): r["value_text"] for r in self.ask("values", "--all")}
        return rows[visit, endpoint]

    def head(self) -> str:
        return str(self.ask("audit", "verify")["head"])

    def change(self, old: str, new: str, name: str = "mappings/nct06984497.toml") -> None:
        path = self.folder / name
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1
        path.write_text(text.replace(old, new), encoding="utf-8")

    def target_earlier(self) -> None:
        """The target of week 12 two days earlier: on the day of the 40, three before that of the 60."""
        self.change(WEEK_12, WEEK_12.replace("84", "82"))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    found = Site(tmp_path / "site", monkeypatch)
    found.run("init", str(found.folder))
    found.run("participants", "import", str(FIXTURES / "roster.csv"))
    found.run("replay", str(FIXTURES / "nearest-to-the-target.hl7"))
    return found


def test_each_change_is_told_with_old_new_and_why_and_nothing_is_written(site: Site):
    site.target_earlier()
    head = site.head()
    (change,) = site.ask("reprocess", "--dry-run")
    assert (change["study_id"], change["visit"], change["endpoint"]) == ("S-001", "week-12", "ALT")
    shared = {"status": "captured", "reason": None, "comparator": None, "unit": "U/L", "flags": [], "source": "lis"}
    shared |= {"message_id": "H045"}
    assert change["old"] == {
        **shared,
        "value_text": "60",
        "collected_at": "2026-03-31T19:00:00+08:00",
        "day_offset": 1,
    }
    assert change["new"] == {
        **shared,
        "value_text": "40",
        "collected_at": "2026-03-28T08:00:00+08:00",
        "day_offset": 0,
    }
    assert change["why"] == "H045 OBX[3] is a candidate still, and another goes before it now (farther_from_target)."
    text = site.run("reprocess", "--dry-run")
    assert "60 U/L of 2026-03-31" in text
    assert "values: 1, results with another outcome: 0, review items opened: 0, closed: 0" in text
    assert "nothing was written" in text
    assert (site.head(), site.value("week-12", "ALT")) == (head, "60")


def test_it_is_done_once_and_the_second_time_nothing_changes(site: Site):
    site.target_earlier()
    assert "are in force" in site.run("reprocess", "--by", "nurse", "--reason", "amendment 2")
    assert site.value("week-12", "ALT") == "40"
    head = site.head()
    assert site.run("reprocess") == "nothing changes\n"
    assert site.ask("reprocess") == []
    assert site.head() == head
    (record,) = [r for r in site.ask("audit", "show") if r["what"] == "reprocessed"]
    assert (record["who"], record["why"]) == ("nurse", "amendment 2")


def test_looking_takes_over_no_changed_mappings_and_says_what_does(site: Site):
    site.target_earlier()
    head = site.head()
    for command in (["values"], ["review", "list"], ["values", "--json"]):
        site.run(*command)
        assert site.said.count(REPROCESS) == 1, command
    assert (site.head(), site.value("week-12", "ALT")) == (head, "60")
    site.run("reprocess")
    site.run("values")
    assert site.said == ""


def test_the_first_rules_are_adopted_at_once(site: Site):
    rules = site.ask("status")["rules"]
    assert rules["in_force"] == rules["configured"]
    assert [r["what"] for r in site.ask("audit", "show")].count("ruleset adopted") == 1


def test_what_is_decided_and_entered_meanwhile_is_kept_and_counts_with_the_next_rules(site: Site):
    site.run("replay", str(FIXTURES / "unmapped-local-code.hl7"))
    (item,) = site.ask("review", "list")
    site.target_earlier()
    assert site.ask("review", "resolve", item["id"], "--map", "ALT", "--reason", "the laboratory's list")["cells"] == []
    assert site.said.count(REPROCESS) == 1
    site.run("participants", "update", "S-001", "--infused-at", "2026-01-06", "--reason", "typed wrong")
    assert REPROCESS in site.said
    assert site.value("week-4", "ALT") is None
    site.run("reprocess")
    assert site.value("week-4", "ALT") == "41"  # day 28 of the infusion that was corrected
    assert site.ask("review", "list") == []


def test_a_message_that_is_brought_in_is_derived_by_the_files_rules(site: Site):
    site.target_earlier()
    site.run("replay", str(FIXTURES / "bilirubin-in-mg-dl.hl7"))
    assert (site.said, site.value("week-12", "ALT"), site.value("week-4", "TBIL")) == ("", "40", "20.5248")


def test_another_infusion_date_can_be_tried(site: Site):
    def tried(on: str) -> dict[tuple[str, str], tuple[str, str | None, str]]:
        found = site.ask("reprocess", "--dry-run", "--infused", f"S-001={on}")
        return {(c["visit"], c["endpoint"]): (c["new"]["status"], c["new"]["value_text"], c["why"]) for c in found}

    assert tried("2026-01-05") == {}
    assert tried("2026-03-02") == {
        ("week-4", "ALT"): ("captured", "60", "H045 OBX[3] lies in the window of week-4 now; before: week-12."),
        ("week-12", "ALT"): ("missing", None, "H045 OBX[3] lies in the window of week-4 now; before: week-12."),
    }
    assert tried("")["week-12", "ALT"] == ("pending", None, "H045 OBX[3] is unscheduled now; before: week-12.")
    assert "2026-03-02" not in site.run("participants", "list")


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--infused", "S-001=2026-01-06"], 2, "--infused needs --dry-run"),
        (["--dry-run", "--infused", "S-001=5 January"], 2, "S-001=2026-01-05"),
        (["--dry-run", "--infused", "2026-01-06"], 2, "S-001=2026-01-05"),
        (["--dry-run", "--infused", "S-404=2026-01-06"], 1, "there is no participant S-404"),
    ],
)
def test_what_cannot_be_tried_is_refused_with_what_to_write(site: Site, arguments: list[str], status: int, said: str):
    site.run("reprocess", *arguments, status=status)
    assert said in site.said


def test_a_visit_that_the_protocol_drops_ends_its_values(site: Site):
    site.change(WEEK_12, "")
    (change,) = site.ask("reprocess")
    assert (change["old"]["value_text"], change["new"]) == ("60", None)
    assert change["why"] == "H045 OBX[3] is unscheduled now; before: week-12."
    site.change('[[visit]]\nid = "week-24"', f'{WEEK_12}\n[[visit]]\nid = "week-24"')
    (change,) = site.ask("reprocess")
    assert (change["old"], change["new"]["value_text"]) == (None, "60")
    assert change["why"] == "H045 OBX[3] lies in the window of week-12 now; before: unscheduled."


def test_beside_a_daemon_with_other_rules_it_only_shows(tmp_path: Path):
    with DaemonRun(tmp_path / "site") as daemon:
        site = daemon.folder
        daemon.run("init", str(site))
        (site / "config.toml").write_text((site / "config.toml").read_text().replace("port = 2575", "port = 0"))
        daemon.run("participants", "import", str(FIXTURES / "roster.csv"))
        daemon.run("replay", str(FIXTURES / "nearest-to-the-target.hl7"))
        daemon.start()
        assert daemon.run("reprocess") == "nothing changes\n"  # its rules are the files'
        protocol = site / "mappings" / "nct06984497.toml"
        protocol.write_text(protocol.read_text().replace("target_day = 84", "target_day = 82"))
        before = daemon.ask("status")["rules"]["in_force"]
        assert [c["new"]["value_text"] for c in daemon.ask("reprocess", "--dry-run")] == ["40"]
        done = subprocess.run(daemon.command("reprocess"), capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert "send it SIGHUP" in done.stderr
        assert daemon.ask("status")["rules"]["in_force"] == before
