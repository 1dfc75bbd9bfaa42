"""What a poll asks, keeps and remembers, against a small FHIR server over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from fhir_peer import Scripted, outcome
from fhir_server import FhirServer, coded, fhir_server, observation, parameters_of, patient
from poll_run import PollRun, person, polled

from adapter.model import Identifier, Participant


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


# --- what is asked ------------------------------------------------------------------------------------------------


def test_a_result_of_the_server_becomes_a_value(run: PollRun):
    report = run.poll()
    assert (report.participants, report.new, report.errors) == (1, 1, [])
    assert report.requests == len(run.server.asked) == 4
    assert run.value() == "35"
    assert held(run) == ["Observation/o1/_history/1"]


def test_decimals_stay_as_they_were_sent(run: PollRun):
    run.server.put(
        observation(
            "o2",
            "p1",
            "1.10",
            code=coded("6301-6"),
            valueQuantity=observation("", "", "1.10")["valueQuantity"] | {"unit": "1", "code": "1"},
        )
    )
    run.poll()
    assert run.value(endpoint="INR") == "1.10"


def test_no_identifier_stands_in_a_url_and_nobody_else_is_asked_for(run: PollRun):
    run.poll()
    assert "0012345" not in run.server.urls()
    assert [dict(parameters_of(a)).get("identifier") for a in run.server.asked if "_search" in a.target] == [
        "urn:oid:1.2.3.4|0012345"
    ]
    assert {s["patient"] for s in run.server.searches()} == {"p1"}


def test_the_first_question_begins_before_the_infusion(run: PollRun):
    run.poll()
    dated, undated = run.server.searches()
    assert (dated["category"], dated["date"]) == ("laboratory", "ge2025-12-06")
    assert "_lastUpdated" not in dated
    assert (undated["category"], undated["_lastUpdated"]) == ("laboratory", "ge2025-12-05")
    assert "date" not in undated


@pytest.mark.parametrize("unsupported", [(), ("_lastUpdated",), ("date",), ("_lastUpdated", "date")])
def test_an_undated_result_from_before_the_first_question_is_a_question_and_not_lost(
    server: FhirServer, tmp_path: Path, unsupported
):
    server.unsupported = unsupported
    server.put(observation("undated", "p1", "41", code=coded("1920-8"), effectiveDateTime=None))
    server.now += timedelta(days=1)
    server.put(observation("later", "p1", "36", effectiveDateTime="2026-02-03"))
    with polled(tmp_path, server) as run:
        run.put(person())
        report = run.poll()
        assert (report.new, report.duplicates, report.errors) == (3, 0, [])
        assert run.reasons() == ["missing_collection_time"]


def test_what_was_last_updated_before_its_date_is_found_by_its_date(run: PollRun):
    run.server.now = datetime(2025, 11, 1, tzinfo=UTC)
    run.server.put(observation("ahead", "p1", "41", code=coded("1920-8")))
    run.poll()
    assert run.value(endpoint="AST") == "41"


def test_later_questions_begin_at_the_watermark_with_an_overlap(run: PollRun):
    run.poll()
    newest = run.server.versions["Observation", "o1"][-1].updated_at
    run.poll()
    (asked,) = run.server.searches()
    at = newest - timedelta(minutes=10)
    assert asked["_lastUpdated"] == f"ge{at.isoformat(timespec='milliseconds').replace('+00:00', 'Z')}"
    assert "date" not in asked


def test_with_nothing_new_one_request_is_enough(run: PollRun):
    run.poll()
    run.server.now += timedelta(hours=1)
    run.server.put(observation("newer", "p1", effectiveDateTime="2026-02-03"))
    run.poll()
    report = run.poll()
    assert (report.new, report.duplicates, report.requests) == (0, 1, 1)


def test_while_there_is_no_infusion_the_question_begins_before_today_and_again_when_it_is_known(run: PollRun):
    run.put(person("S-001", infused_at=None))
    run.poll()
    assert run.server.searches()[0]["date"] == "ge2026-08-02"
    assert run.value() is None
    run.put(person("S-001", infused_at="2026-01-05T10:00+08:00"))
    run.poll()
    assert run.server.searches()[0]["date"] == "ge2025-12-06"
    assert run.value() == "35"


def test_a_server_without_any_result_yet_is_asked_from_its_own_clock_on(run: PollRun):
    run.server.delete("Observation", "o1")
    run.poll()
    run.server.now += timedelta(minutes=30)
    run.server.put(observation("o2", "p1", "36"))
    run.poll()
    assert "_lastUpdated" in run.server.searches()[0]
    assert run.value() == "36"


def test_a_result_with_an_old_date_that_comes_late_is_found(run: PollRun):
    run.poll()
    run.server.put(observation("late", "p1", "41", effectiveDateTime="2026-02-01T08:00:00+08:00"))
    assert run.poll().new == 1


def test_another_identifier_of_the_roster_asks_from_the_start(run: PollRun):
    run.poll()
    with run.store.write() as tx:
        tx.put_participant(
            Participant("S-001", (Identifier("0012345", "NTCGH"), Identifier("X-1", "NTCGH")), "2026-01-05"),
            "test",
            "test",
            run.now,
        )
    run.poll()
    assert "date" in run.server.searches()[0]
    assert sum("_search" in a.target for a in run.server.asked) == 2


def test_grown_mappings_ask_from_the_start(server: FhirServer, tmp_path: Path):
    codes = tmp_path / "codes.toml"
    codes.write_text("", encoding="utf-8")
    with polled(tmp_path, server, 'codes = "codes.toml"') as run:
        run.put(person())
        run.poll()
    codes.write_text('[[code]]\ncode = "GPT"\nanalyte = "ALT"\n', encoding="utf-8")
    with polled(tmp_path, server, 'codes = "codes.toml"') as run:
        report = run.poll()
        assert "date" in run.server.searches()[0]
        assert (report.new, report.duplicates) == (0, 1)


def test_since_asks_from_a_day_on_and_remembers_nothing(run: PollRun):
    run.poll()
    before = run.store.poll_state("ehr", "S-001")
    run.server.put(observation("old", "p1", "22", effectiveDateTime="2025-06-01"))
    run.poll(since=date(2025, 1, 1))
    assert run.server.searches()[0]["date"] == "ge2025-01-01"
    assert "Observation/old/_history/1" in held(run)
    assert run.store.poll_state("ehr", "S-001") == before


def test_a_list_of_codes_is_asked_for_where_the_site_wants_it(server: FhirServer, tmp_path: Path):
    lines = ('only_codes = ["http://loinc.org|1742-6"]', 'category = ""')
    server.put(observation("ggt", "p1", code=coded("2324-2")))
    with polled(tmp_path, server, *lines) as run:
        run.put(person())
        run.poll()
        assert {asked["code"] for asked in server.searches()} == {"http://loinc.org|1742-6"}
        assert not any("category" in asked for asked in server.searches())
        assert held(run) == ["Observation/o1/_history/1"]


def test_the_withdrawn_are_not_asked_for_and_the_dead_are(run: PollRun):
    run.put(person("S-002", "99", ended_by="withdrawn", ended_on=date(2026, 3, 1)))
    run.server.put(patient("p3", "77"))
    run.put(person("S-003", "77", ended_by="died", ended_on=date(2026, 3, 1)))
    report = run.poll()
    assert report.participants == 2
    assert {s["patient"] for s in run.server.searches()} == {"p1", "p3"}
    assert held(run, "S-002") == []


def test_one_who_withdraws_while_the_poll_goes_on_is_not_asked_for_any_more(run: PollRun):
    run.put(person("S-002", "99"))

    def withdraw() -> None:
        run.put(person("S-002", "99", ended_by="withdrawn", ended_on=date(2026, 1, 1)))

    run.poller().poll(advance=withdraw)
    assert {s["patient"] for s in run.server.searches()} == {"p1"}


def test_a_roster_that_moves_under_a_page_is_screened_by_anew(run: PollRun):
    """Withdrawn between the search and its commit: what is dated after that is a stranger's."""

    original = run.store.write

    def write():  # the roster moves just before the page is committed
        if run.server.searches() and run.store.participant("S-001").ended_by is None:  # type: ignore[union-attr]
            with original() as tx:
                ended = person("S-001", ended_by="withdrawn", ended_on=date(2026, 2, 1))
                tx.put_participant(ended, "test", "test", run.now)
        return original()

    run.store.write = write  # type: ignore[method-assign]
    report = run.poll()
    assert (report.new, report.strangers) == (0, 1)
    assert held(run) == []


def test_who_has_no_identifier_of_this_server_is_not_asked_for(run: PollRun):
    run.put(Participant("S-009", (Identifier("5", "ELSEWHERE"),), "2026-01-05"))
    assert run.poll().participants == 1


# --- specimens and panels -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("unsupported", [(), ("_include",)])
def test_the_specimen_is_kept_with_the_result_included_or_read(server: FhirServer, tmp_path: Path, unsupported):
    server.unsupported, server.admits_it = unsupported, True
    urine = {"coding": [{"system": "http://snomed.info/sct", "code": "122575003", "display": "Urine specimen"}]}
    server.put({"resourceType": "Specimen", "id": "s1", "type": urine, "subject": {"reference": "Patient/p1"}})
    server.change("Observation", "o1", specimen={"reference": "Specimen/s1"})
    with polled(tmp_path, server) as run:
        run.put(person())
        run.poll()
        assert run.value() is None
        assert run.reasons() == ["wrong_specimen"]
        assert run.poll(sweep=True).new == 0


def test_a_specimen_that_may_not_be_read_is_said_once_and_left_out(run: PollRun, caplog: pytest.LogCaptureFixture):
    run.server.unsupported, run.server.admits_it, run.server.forbidden = ("_include",), True, ("Specimen",)
    run.server.change("Observation", "o1", specimen={"reference": "Specimen/s1"})
    run.poll()
    run.poll(sweep=True)
    assert run.value() == "35"
    assert sum("Specimen is left out" in r.getMessage() for r in caplog.records) == 1


def test_members_of_a_panel_that_the_search_did_not_give_are_read(run: PollRun):
    run.server.put(observation("m1", "p1", "61", category=None, code=coded("1920-8")))
    run.server.put(observation("m2", "p2", "62", category=None, code=coded("1920-8")))
    members = [{"reference": "Observation/m1"}, {"reference": "Observation/m2"}, {"reference": "Observation/gone"}]
    run.server.put(observation("panel", "p1", code=coded("24325-3"), valueQuantity=None, hasMember=members))
    run.poll()
    assert run.value(endpoint="AST") == "61"
    assert "Observation/m2/_history/1" not in held(run)
    report = run.poll()
    assert [a.path for a in run.server.asked if "/m1" in a.path] == []
    assert report.new == 0


def test_a_member_that_is_refused_is_told_and_read_once_it_may_be(run: PollRun):
    run.server.put(observation("m1", "p1", "61", category=None, code=coded("1920-8")))
    members = [{"reference": "Observation/m1"}]
    run.server.put(observation("panel", "p1", code=coded("24325-3"), valueQuantity=None, hasMember=members))
    run.server.now += timedelta(hours=1)
    run.server.put(observation("newer", "p1", "36", effectiveDateTime="2026-02-03"))
    run.server.before = lambda asked: outcome(403, "forbidden") if asked.path.endswith("/m1") else None
    assert len(run.poll().errors) == 1
    assert run.value() == "35"
    run.server.before = lambda _: None
    assert run.poll().errors == []
    assert run.value(endpoint="AST") == "61"


def test_members_that_were_left_unread_by_a_poll_that_broke_off_are_read_by_the_next(run: PollRun):
    run.server.put(observation("m1", "p1", "61", category=None, code=coded("1920-8")))
    members = [{"reference": "Observation/m1"}]
    run.server.put(observation("panel", "p1", code=coded("24325-3"), valueQuantity=None, hasMember=members))
    run.server.before = lambda asked: Scripted(503) if asked.path.endswith("/m1") else None
    assert run.poll().errors
    run.server.before = lambda _: None
    run.poll()
    assert run.value(endpoint="AST") == "61"
