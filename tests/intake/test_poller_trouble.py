"""Servers as they are: parameters they do not know, answers that fail, and a store that takes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from fhir_peer import Asked, Scripted, outcome
from fhir_server import FhirServer, coded, fhir_server, observation, patient
from poll_run import PollRun, person, polled

from adapter.store import StoreUnavailable


@pytest.fixture
def server() -> Iterator[FhirServer]:
    with fhir_server() as server:
        server.put(patient("p1", "0012345"))
        server.put(patient("p2", "99"))
        server.put(observation("o1", "p1", "35"))
        server.put(observation("strange", "p2", "99"))
        yield server


@pytest.fixture
def run(server: FhirServer, tmp_path: Path) -> Iterator[PollRun]:
    with polled(tmp_path, server) as run:
        run.put(person())
        yield run


def held(run: PollRun, study_id: str = "S-001") -> list[str]:
    return [m.message_control_id for m in run.store.received(study_id)]


# --- what a server cannot do --------------------------------------------------------------------------------------


@pytest.mark.parametrize("admits_it", [True, False])
@pytest.mark.parametrize("unsupported", [("_lastUpdated",), ("_lastUpdated", "date"), ("category",), ("_include",)])
def test_what_a_server_cannot_filter_is_asked_otherwise_and_said_once(
    server: FhirServer, tmp_path: Path, caplog: pytest.LogCaptureFixture, unsupported, admits_it
):
    server.unsupported, server.admits_it = unsupported, admits_it
    server.put(observation("old", "p1", "22", effectiveDateTime="2024-01-01"))
    server.put(observation("pulse", "p1", "70", category=[{"coding": [{"code": "vital-signs"}]}]))
    with polled(tmp_path, server) as run:
        run.put(person())
        assert run.poll().errors == []
        server.change("Observation", "o1", valueQuantity=observation("", "", "36")["valueQuantity"])
        assert run.poll().errors == []
        assert run.poll().errors == []
        assert run.value() == "36"
        assert held(run) == ["Observation/o1/_history/1", "Observation/o1/_history/2"]
    for parameter in unsupported:
        assert sum(f"does not support {parameter} " in r.getMessage() for r in caplog.records) == 1, parameter


def test_codes_are_filtered_here_where_the_server_cannot(server: FhirServer, tmp_path: Path):
    server.unsupported = ("code",)
    server.put(observation("ggt", "p1", code=coded("2324-2")))
    with polled(tmp_path, server, 'only_codes = ["1742-6"]') as run:
        run.put(person())
        run.poll()
        assert held(run) == ["Observation/o1/_history/1"]


def test_a_resource_that_is_not_valid_does_not_sink_its_page(run: PollRun):
    run.server.put(observation("bad", "p1", "61", code=coded("1920-8"), interpretation="high"))
    run.poll()
    assert (run.value(), run.value(endpoint="AST")) == ("35", None)
    assert run.reasons() == ["unreadable_message"]


# --- trouble ------------------------------------------------------------------------------------------------------


def test_a_page_that_fails_moves_no_watermark_and_nothing_is_lost(run: PollRun):
    run.server.page_size = 2
    for n in range(5):
        run.server.put(observation(f"n{n}", "p1", f"4{n}", effectiveDateTime=f"2026-02-0{n + 3}"))
    run.server.before = lambda asked: Scripted(500) if "_getpages=p3" in asked.target else None
    report = run.poll()
    assert report.errors
    assert report.new == 4
    assert run.store.poll_state("ehr", "S-001") is None
    record = run.store.poll_record("ehr")
    assert record.last_success_at is None
    assert "HTTP 500" in (record.last_error or "")
    run.server.before = lambda _: None
    report = run.poll()
    assert (report.new, report.duplicates, report.errors) == (2, 4, [])
    assert run.store.poll_record("ehr").last_error is None


def test_what_is_updated_while_the_pages_come_is_found_by_the_next_poll(run: PollRun):
    run.poll()
    run.server.page_size = 1
    for n in range(2):
        run.server.now += timedelta(hours=1)
        run.server.put(observation(f"n{n}", "p1", f"4{n}", effectiveDateTime=f"2026-02-0{n + 3}"))

    def meanwhile(asked: Asked) -> None:
        if "_getpages" in asked.target and run.server.current("Observation", "late") is None:
            run.server.now += timedelta(hours=1)
            run.server.put(observation("late", "p1", "61", code=coded("1920-8")))
            run.server.now += timedelta(hours=1)

    run.server.before = meanwhile
    run.poll()
    assert run.value(endpoint="AST") is None
    run.poll()
    assert run.value(endpoint="AST") == "61"


def test_one_participants_trouble_does_not_keep_the_others_from_being_asked_for(run: PollRun):
    run.put(person("S-002", "99"))
    run.server.before = lambda asked: outcome(422, "processing") if "patient=p1" in asked.target else None
    report = run.poll()
    assert (report.participants, len(report.errors)) == (1, 1)
    assert report.errors[0].startswith("S-001: ")
    assert run.value("S-002") == "99"


def test_a_server_that_is_down_is_not_pressed_and_who_failed_comes_last_next_time(run: PollRun):
    for n in range(2, 7):
        run.server.put(patient(f"q{n}", f"n{n}"))
        run.put(person(f"S-00{n}", f"n{n}"))
    run.server.before = lambda asked: Scripted(503) if asked.path != "/fhir/metadata" else None
    report = run.poll()
    assert len(report.errors) == 3
    assert [p.study_id for p in run.poller().asked()] == ["S-004", "S-005", "S-006", "S-001", "S-002", "S-003"]


def test_a_server_that_names_a_time_is_asked_by_nobody_before_it(run: PollRun):
    run.put(person("S-002", "99"))
    until = run.clock.now() + timedelta(minutes=20)
    busy = Scripted(503, headers={"Retry-After": format_datetime(until, usegmt=True)})
    run.server.before = lambda asked: busy if asked.path != "/fhir/metadata" else None
    assert len(run.poll().errors) == 1
    run.server.before = lambda _: None
    assert "does not want to be asked before 2026-09-01T04:20:00" in run.poll(hours=0.3).errors[0]
    assert run.server.asked == []
    assert run.poll(hours=0.1).errors == []
    assert run.value() == "35"


def test_a_server_that_wants_to_be_left_alone_for_a_day_is_asked_after_an_hour(run: PollRun):
    busy = Scripted(503, headers={"Retry-After": "86400"})
    run.server.before = lambda asked: busy if asked.path != "/fhir/metadata" else None
    assert len(run.poll().errors) == 1
    run.server.before = lambda _: None
    assert len(run.poll(hours=0.9).errors) == 1
    assert run.server.asked == []
    assert run.poll(hours=0.2).errors == []


def test_a_refused_sign_in_ends_the_poll_at_once(run: PollRun):
    run.put(person("S-002", "99"))
    run.server.before = lambda asked: outcome(401, "login") if asked.path != "/fhir/metadata" else None
    assert len(run.poll().errors) == 1


def test_without_a_capability_statement_a_configured_release_will_do(server: FhirServer, tmp_path: Path):
    server.before = lambda asked: outcome(404, "not-found") if asked.path == "/fhir/metadata" else None
    with polled(tmp_path, server, 'fhir_version = "R4"') as run:
        run.put(person())
        run.poll()
        assert run.value() == "35"
    second = tmp_path / "second"
    second.mkdir()
    with polled(second, server) as run:
        run.put(person())
        assert len(run.poll().errors) == 1
        assert held(run) == []


def test_a_store_that_takes_nothing_loses_nothing(run: PollRun, monkeypatch: pytest.MonkeyPatch):
    original = run.store.write
    writes = []

    def full():
        writes.append(1)
        if len(writes) > 1:
            raise StoreUnavailable("the disk is full", "full")
        return original()

    with monkeypatch.context() as patch:
        patch.setattr(run.store, "write", full)
        with pytest.raises(StoreUnavailable):
            run.poll()
    assert held(run) == []
    run.poll()
    assert run.value() == "35"


def test_it_ends_after_the_page_in_hand(run: PollRun):
    run.server.page_size = 1
    for n in range(4):
        run.server.put(observation(f"n{n}", "p1", effectiveDateTime=f"2026-02-0{n + 3}"))
    asked = run.server
    report = run.poll(stop=lambda: len(asked.asked) > 4)
    assert report.stopped
    assert report.errors == []
    assert 0 < report.new < 5
    assert run.poll().new == 5 - report.new
