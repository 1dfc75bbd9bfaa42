"""What changes and vanishes on the server: corrections, entered in error, deletions, and what is only not there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fhir_peer import Scripted, outcome
from fhir_server import FhirServer, coded, fhir_server, observation, patient
from poll_run import PollRun, person, polled


@pytest.fixture(params=[True, False], ids=["with history", "without history"])
def server(request: pytest.FixtureRequest) -> Iterator[FhirServer]:
    with fhir_server(has_history=request.param) as server:
        server.put(patient("p1", "0012345"))
        server.put(patient("p2", "99"))
        server.put(observation("o1", "p1", "35"))
        yield server


@pytest.fixture
def run(server: FhirServer, tmp_path: Path) -> Iterator[PollRun]:
    with polled(tmp_path, server) as run:
        run.put(person())
        run.poll()
        assert run.value() == "35"
        yield run


def quantity(value: str) -> object:
    return observation("", "", value)["valueQuantity"]


def test_a_correction_replaces_whatever_its_status_says(run: PollRun):
    run.server.change("Observation", "o1", valueQuantity=quantity("36"))
    run.poll()
    assert run.value() == "36"
    run.server.change("Observation", "o1", status="preliminary", valueQuantity=quantity("37"))
    run.poll()
    assert run.value() == "37"


def test_entered_in_error_takes_back(run: PollRun):
    run.server.change("Observation", "o1", status="entered-in-error")
    run.poll()
    assert run.value() is None
    assert run.reasons() == []


def test_a_version_with_another_code_or_date_replaces_too(run: PollRun):
    run.server.change("Observation", "o1", code=coded("2324-2"))  # GGT, none of the protocol's
    run.poll()
    assert run.value() is None
    run.server.change("Observation", "o1", code=coded("1742-6"), effectiveDateTime="2026-02-05")
    run.poll()
    assert run.value() == "35"
    assert run.reasons() == []
    rows = [(r.message_control_id[-1], r.outcome) for r in run.store.results("S-001")]
    assert sorted(rows) == [("1", "superseded"), ("3", "placed")]


def test_a_version_that_only_names_others_replaces_too(run: PollRun):
    run.server.put(observation("m1", "p1", "61", code=coded("1920-8")))
    members = [{"reference": "Observation/m1"}]
    run.server.change("Observation", "o1", valueQuantity=None, hasMember=members)
    run.poll()
    assert (run.value(), run.value(endpoint="AST")) == (None, "61")
    assert run.reasons() == []


def test_a_version_that_is_held_replaces_and_the_cell_is_in_review(run: PollRun):
    run.server.change("Observation", "o1", valueQuantity=None, valueString="about forty")
    run.poll()
    assert run.value() is None
    assert run.table()["S-001", "week-4", "ALT"].status == "in_review"


def test_a_deletion_is_found_by_the_sweep_and_takes_back(run: PollRun):
    run.server.delete("Observation", "o1")
    run.poll()
    assert run.value() == "35"
    run.poll(hours=25)
    assert run.value() is None
    assert run.reasons() == []
    assert [r.outcome for r in run.store.results("S-001")] == ["taken_back", "taken_back"]
    assert run.poll(sweep=True).new == 0


def test_each_is_swept_once_a_day_at_a_moment_of_their_own(run: PollRun):
    numbers = [f"N-{n}" for n in range(24)]
    for n, number in enumerate(numbers):
        run.server.put(patient(f"q{n}", number))
        run.put(person(f"S-1{n:02}", number))

    def swept(hours: int) -> list[str]:
        """Who is looked for anew by a poll so many hours later."""
        assert run.poll(hours=hours).errors == []
        return [a.form["identifier"].rpartition("|")[2] for a in run.server.asked if a.path.endswith("Patient/_search")]

    assert swept(0) == numbers
    days = [[swept(3) for _ in range(8)] for _ in range(2)]
    assert days[0] == days[1]
    assert sorted(number for each in days[0] for number in each) == sorted(["0012345", *numbers])
    assert max(len(each) for each in days[0]) <= 6


def test_deleted_with_all_its_components(run: PollRun):
    parts = [{"code": coded(code), "valueQuantity": quantity("41")} for code in ("1920-8", "6768-6")]
    run.server.put(observation("panel", "p1", code=coded("24325-3"), valueQuantity=None, component=parts))
    run.poll()
    assert (run.value(endpoint="AST"), run.value(endpoint="ALP")) == ("41", "41")
    run.server.change("Observation", "panel", component=parts[:1])
    run.poll()
    assert (run.value(endpoint="AST"), run.value(endpoint="ALP")) == ("41", None)
    run.server.delete("Observation", "panel")
    run.poll(sweep=True)
    assert (run.value(endpoint="AST"), run.value()) == (None, "35")


def test_one_that_is_made_anew_after_its_deletion_counts(run: PollRun):
    run.server.delete("Observation", "o1")
    run.poll(sweep=True)
    run.server.put(observation("o1", "p1", "44"))
    run.poll()
    assert run.value() == "44"
    run.server.delete("Observation", "o1")
    run.poll(sweep=True)
    assert run.value() is None


def test_what_is_only_not_there_is_asked_and_the_value_stays(run: PollRun):
    run.server.delete("Observation", "o1")
    run.server.forgets = True
    run.poll(sweep=True)
    assert run.value() == "35"
    assert run.reasons() == ["unreadable_message"]
    assert run.poll(sweep=True).new == 0
    assert run.reasons() == ["unreadable_message"]


def test_what_has_become_somebody_elses_is_asked_and_nothing_of_it_is_kept(run: PollRun):
    run.server.change("Observation", "o1", subject={"reference": "Patient/p2"}, valueQuantity=quantity("777"))
    run.poll(sweep=True)
    assert run.reasons() == ["unreadable_message"]
    assert b"777" not in b"".join(m.raw for m in run.store.received("S-001"))


def test_what_lost_its_category_is_read_and_stands(run: PollRun):
    run.server.change("Observation", "o1", category=None, valueQuantity=quantity("36"))
    run.poll()
    assert run.value() == "35"
    run.poll(sweep=True)
    assert run.value() == "36"
    assert run.reasons() == []


def test_a_member_of_a_panel_that_is_taken_back_and_valid_again_stands(run: PollRun):
    run.server.put(observation("m1", "p1", "61", category=None, code=coded("1920-8")))
    members = [{"reference": "Observation/m1"}]
    run.server.put(observation("panel", "p1", code=coded("24325-3"), valueQuantity=None, hasMember=members))
    run.poll()
    for status, told in (("entered-in-error", None), ("final", "61")):
        run.server.change("Observation", "m1", status=status)
        run.poll(sweep=True)
        assert run.value(endpoint="AST") == told
    run.server.change("Observation", "m1", subject={"reference": "Patient/p2"})
    run.poll(sweep=True)
    assert run.reasons() == ["unreadable_message"]
    run.server.delete("Observation", "m1")
    run.poll(sweep=True)
    assert run.value(endpoint="AST") is None


def test_one_that_may_not_be_read_is_told_and_the_others_are_looked_for(run: PollRun):
    run.server.put(observation("o2", "p1", "36", effectiveDateTime="2026-02-03"))
    run.poll()
    run.server.delete("Observation", "o1")
    run.server.delete("Observation", "o2")
    run.server.before = lambda asked: outcome(403, "forbidden") if asked.path.endswith("/Observation/o1") else None
    report = run.poll(sweep=True)
    assert len(report.errors) == 1
    assert report.new == 1
    assert run.value() == "35"
    run.server.before = lambda _: None
    run.poll(hours=25)
    assert run.value() is None


def test_a_sweep_that_breaks_off_is_made_again(run: PollRun):
    run.server.delete("Observation", "o1")
    run.server.before = lambda asked: Scripted(503) if asked.path.endswith("/Observation/o1") else None
    assert run.poll(hours=25).errors
    run.server.before = lambda _: None
    run.poll()
    assert run.value() is None
