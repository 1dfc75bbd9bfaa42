"""Polling as hospital IT meets it: the daemon with two FHIR sources, ``poll``, ``status`` and ``check --connect``."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemonrun import DaemonRun
from fhir_peer import outcome
from fhir_server import FhirServer, fhir_server, observation, patient
from poll_run import config_of
from trialrun import eventually

ROSTER = "study_id,identifier,authority,infused_at,birth_date,sex\nS-001,0012345,NTCGH,2026-01-05,,\n"


@pytest.fixture
def server() -> Iterator[FhirServer]:
    with fhir_server() as server:
        server.put(patient("p1", "0012345"))
        server.put(patient("p2", "99"))
        server.put(observation("o1", "p1", "35"))
        yield server


def trial_in(folder: Path, base_url: str, *lines: str, more: str = "") -> DaemonRun:
    (folder / "config.toml").write_text(config_of(base_url, *lines, more=more), encoding="utf-8")
    (folder / "roster.csv").write_text(ROSTER, encoding="utf-8")
    run = DaemonRun(folder)
    run.run("init", str(folder))
    run.run("participants", "import", str(folder / "roster.csv"))
    return run


@pytest.fixture
def trial(server: FhirServer, tmp_path: Path) -> DaemonRun:
    assert server.peer is not None
    return trial_in(tmp_path, server.peer.base_url)


def value(run: DaemonRun) -> str | None:
    return next(r["value_text"] for r in run.ask("values") if (r["endpoint"], r["visit"]) == ("ALT", "week-4"))


def test_the_daemon_polls_by_its_schedule_and_a_source_in_trouble_stops_nobody(server: FhirServer, tmp_path: Path):
    assert server.peer is not None
    away = (
        '[[source]]\nname = "away"\nkind = "fhir"\nbase_url = "http://127.0.0.1:1/fhir"\n'
        'identifier_system = { NTCGH = "urn:oid:1.2.3.4" }\npoll_every = "1s"\n'
        '[source.auth]\nkind = "bearer"\npassword_env = "NOT_SET_ANYWHERE"\n'
        '[[source]]\nname = "lis"\nkind = "mllp"\nport = 0\nauthority = "NTCGH"\n'
    )
    with trial_in(tmp_path, server.peer.base_url, 'poll_every = "1s"', 'jitter = "1s"', more=away) as run:
        run.start()
        eventually(lambda: value(run) == "35")
        server.change("Observation", "o1", status="corrected", valueQuantity=observation("", "", "36")["valueQuantity"])
        eventually(lambda: value(run) == "36")
        ehr, gone, _ = run.ask("status")["sources"]
        assert (ehr["kind"], ehr["last_error"], ehr["counts"]) == ("fhir", None, {"accepted": 2})
        assert ehr["lag_seconds"] < 60
        assert ehr["watermark"].startswith("2026-03-01T00:00:0")
        assert ehr["next_run_at"] is not None
        assert (gone["last_success_at"], gone["lag_seconds"]) == (None, None)
        eventually(lambda: "there is no secret" in (run.ask("status")["sources"][1]["last_error"] or ""))
        said = run.run("status")
        assert "watermark" in said
        assert run.stop() == 0
        log = run.log.read_text()
        assert log.count("source away cannot be polled") == 1
        assert "0012345" not in log
        assert "skipped" not in log
    assert "0012345" not in server.urls()


def test_what_was_polled_a_moment_ago_is_not_polled_again_at_a_start(server: FhirServer, tmp_path: Path):
    assert server.peer is not None
    with trial_in(tmp_path, server.peer.base_url, 'poll_every = "1h"') as run:
        run.start()
        eventually(lambda: run.ask("status")["sources"][0]["last_success_at"] is not None)
        assert run.stop() == 0
        asked = len(server.asked)
        run.start()
        due = eventually(lambda: run.ask("status")["sources"][0]["next_run_at"])
        assert due > run.ask("status")["sources"][0]["last_success_at"]  # type: ignore[operator]
        assert run.stop() == 0
        assert len(server.asked) == asked


def test_poll_asks_now_and_tells_what_came(trial: DaemonRun, server: FhirServer):
    (report,) = trial.ask("poll", "ehr")
    assert (report["source"], report["participants"], report["new"], report["errors"]) == ("ehr", 1, 1, [])
    assert value(trial) == "35"
    (report,) = trial.ask("poll")
    assert (report["new"], report["duplicates"]) == (0, 1)
    server.put(observation("old", "p1", "22", effectiveDateTime="2025-06-01"))
    (report,) = trial.ask("poll", "--since", "2025-01-01")
    assert report["new"] == 1
    server.delete("Observation", "o1")
    trial.run("poll", "--sweep")
    assert value(trial) is None
    assert trial.run("poll").splitlines()[1].split() == ["ehr", "1", "2", "0", "1"]


def test_poll_tells_what_went_wrong_and_status_keeps_it(trial: DaemonRun, server: FhirServer):
    trial.run("poll")
    server.before = lambda asked: outcome(403, "forbidden") if "metadata" not in asked.target else None
    assert "HTTP 403" in json.loads(trial.run("poll", "--json", status=1))[0]["errors"][0]
    (source,) = trial.ask("status")["sources"]
    assert "HTTP 403" in source["last_error"]
    assert source["last_success_at"] < source["last_poll_at"]
    assert "HTTP 403" in trial.run("status")
    server.before = lambda _: None
    trial.run("poll")
    assert trial.ask("status")["sources"][0]["last_error"] is None


def test_only_fhir_sources_are_polled(trial: DaemonRun):
    trial.run("poll", "nobody", status=2)


def test_check_tries_the_server_and_asks_for_nobody(trial: DaemonRun, server: FhirServer):
    trial.run("check", "--connect")
    assert [a.path for a in server.asked] == ["/fhir/metadata"]
    server.before = lambda asked: outcome(401, "login")
    trial.run("check", "--connect", status=1)


def test_a_secret_that_is_missing_is_told_by_check_and_poll_and_by_nothing_else(server: FhirServer, tmp_path: Path):
    assert server.peer is not None
    more = '[source.auth]\nkind = "bearer"\npassword_env = "NOT_SET_ANYWHERE"'
    run = trial_in(tmp_path, server.peer.base_url, more=more)
    run.run("check")
    run.run("values")
    run.run("check", "--connect", status=1)
    assert "there is no secret" in json.loads(run.run("poll", "--json", status=1))[0]["errors"][0]
    assert server.asked == []


def test_sighup_names_each_source_and_setting_that_waits_for_the_next_start(server: FhirServer, tmp_path: Path):
    assert server.peer is not None
    base_url = server.peer.base_url
    lis = '[[source]]\nname = "lis"\nkind = "mllp"\nport = 0\nauthority = "NTCGH"\n'
    auth = '[source.auth]\nkind = "basic"\nuser = "u"\npassword_env = "NOT_SET_ANYWHERE"\n'
    first = config_of(base_url, more=lis)
    taken_over = config_of(base_url, 'timezone = "UTC"', more=f'{lis}ignore_types = ["ADT"]\n')
    others = config_of("http://127.0.0.1:1/fhir", 'poll_every = "2h"', more=f"{auth}{lis}max_connections = 7\n")
    renamed = config_of(base_url, more=lis.replace('"lis"', '"laboratory"'))
    with trial_in(tmp_path, base_url, more=lis) as run:
        run.start()
        for times, text in enumerate((taken_over, others, renamed, first), 1):
            run.config.write_text(text, encoding="utf-8")
            run.signal(signal.SIGHUP)
            eventually(lambda n=times: run.log.read_text().count("mappings were read again") == n)
        log = run.log.read_text()
    assert [line.partition("SIGHUP: ")[2] for line in log.splitlines() if "next start" in line] == [
        "source ehr: only the next start takes over base_url, poll_every, auth",
        "source lis: only the next start takes over max_connections",
        "source lis: only the next start takes over the whole source",
        "source laboratory: only the next start takes over the whole source",
    ]
