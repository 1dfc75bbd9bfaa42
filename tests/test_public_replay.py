"""Public HL7 v2 messages written by others, through ``explain`` and ``replay`` as a user runs them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from datetime import date, timedelta
from io import StringIO
from pathlib import Path

import pytest
from trialrun import TrialRun

from adapter.cli import main
from adapter.cli.feed import document
from adapter.codecs.envelope import split_payload
from adapter.codecs.message import Opened, open_message
from adapter.codecs.oru import read_results
from adapter.model import Identifier, Participant
from adapter.rules.windows import collection_time

pytestmark = [pytest.mark.shared, pytest.mark.timeout(300)]

SHARED = Path(__file__).parents[2] / "shared" / "data" / "hl7v2"
FILES = sorted(p for p in SHARED.rglob("*") if p.is_file()) if SHARED.is_dir() else []
MAPPINGS = Path(__file__).parents[1] / "mappings"
CONFIG = f"""
[trial]
protocol = "{MAPPINGS / "nct06984497.toml"}"
[store]
url = "sqlite:///trial.db"
[[source]]
name = "lis"
kind = "mllp"
port = 0
authority = "HOSPITAL"
charset = "iso-8859-1"
timezone = "America/New_York"
"""
ENDS = {"placed", "unscheduled", "baseline", "held", "ignored", "taken_back", "not_done", "superseded"}


@pytest.fixture
def run(tmp_path: Path) -> Iterator[TrialRun]:
    (tmp_path / "config.toml").write_text(CONFIG, encoding="utf-8")
    trial = TrialRun(tmp_path / "config.toml", tmp_path / "trial.db")
    yield trial
    trial.close()


def people_of(path: Path, run: TrialRun) -> list[Participant]:
    """Every patient of a file as a participant, infused 28 days before the first collection date there is."""
    found: dict[tuple[str, str], Participant] = {}
    screen = run.screen("lis")
    for raw in split_payload(path.read_bytes()).messages:
        opened = open_message(raw, "iso8859-1")
        if not isinstance(opened, Opened):
            continue
        h = opened.header
        for group in read_results(opened.text, opened.delimiters, h.trigger_event, h.message_at):
            if group.patient is None or not group.patient.identifiers:
                continue
            first = group.patient.identifiers[0]
            authority = first.authorities[0] if first.authorities else "HOSPITAL"
            times = [collection_time(r, screen.source, _zone(run), run.now).collected for r in group.results]
            dates = sorted(t.on for t in times if t is not None)
            infused = (dates[0] if dates else date(2026, 1, 5)) - timedelta(days=28)
            key = (first.value.strip(), authority)
            if infused.year > 1800:
                found.setdefault(
                    key,
                    Participant(f"S-{len(found) + 1:03d}", (Identifier(*key),), infused_at=infused.isoformat()),
                )
    return list(found.values())


def _zone(run: TrialRun):
    from zoneinfo import ZoneInfo

    return ZoneInfo(run.config.protocol.timezone)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(SHARED).as_posix())
def test_replay_ends_every_result(path: Path, run: TrialRun):
    people = people_of(path, run)
    for person in people:
        run.put(person)
    reports = [document(r) for r in run.replay(path, "lis")]
    assert reports, "a file gives at least one object"
    accepted_codes = {code for code, rows in run.config.protocol.loinc.items() for row in rows if row.kind == "accept"}
    for report in reports:
        for result in report["results"]:
            assert result["outcome"] in ENDS
            assert (result["reason"] is not None) == (result["outcome"] in ("held", "ignored"))
            assert result["steps"]
            if result["code"] in accepted_codes:
                assert result["outcome"] != "ignored"
                assert (result["value"] is not None) or result["outcome"] in ("held", "not_done", "taken_back")
    held = sum(len(r["results"]) for r in reports if r["outcome"] in ("accepted", "duplicate"))
    stored = len(run.store.results())
    assert stored <= held


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(SHARED).as_posix())
def test_explain_tells_without_a_traceback_and_writes_nothing(path: Path, run: TrialRun):
    run.put(Participant("S-001", (Identifier("x", "HOSPITAL"),), infused_at="2026-01-05"))
    before = (run.store.head(), run.store.inbox_counts())
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main(["-c", str(run.config.path), "explain", str(path), "--as", "S-001", "--json"])
    assert ended.value.code in (0, 1, None), err.getvalue()
    assert "the program itself failed" not in err.getvalue()
    for report in json.loads(out.getvalue()):
        assert {"file", "message_id", "source", "type", "outcome", "detail", "results"} <= report.keys()
        if report["outcome"] == "accepted":
            assert {r["outcome"] for r in report["results"]} <= ENDS
    assert (run.store.head(), run.store.inbox_counts()) == before


def test_a_stranger_in_every_public_file_leaves_nothing_behind(run: TrialRun):
    run.put(Participant("S-001", (Identifier("no such number", "HOSPITAL"),)))
    for path in FILES:
        for report in run.replay(path, "lis"):
            assert report.results == []
    assert run.store.inbox_counts() == {"pending": 0, "done": 0, "failed": 0}
    assert run.store.results() == []
