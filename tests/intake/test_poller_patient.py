"""Who a participant is on the server: found by an identifier, merged, moved, and never named in a URL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fhir_server import FhirServer, coded, fhir_server, observation, patient
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


def test_a_participant_whom_the_server_does_not_know_is_named_and_asked_for_again(run: PollRun):
    run.put(person("S-004", "404"))
    assert run.poll().not_found == ["S-004"]
    run.server.put(patient("p4", "404"))
    assert run.poll().not_found == []


def test_two_patients_with_one_identifier_are_a_question_and_neither_is_asked_for(run: PollRun):
    run.server.put(patient("p9", "0012345"))
    run.poll()
    assert run.server.searches() == []
    assert run.reasons() == ["identity_conflict"]
    assert run.poll().new == 0
    assert run.reasons() == ["identity_conflict"]


def test_a_merged_patient_is_a_question(run: PollRun):
    run.server.change("Patient", "p1", link=[{"other": {"reference": "Patient/p2"}, "type": "replaced-by"}])
    run.poll()
    assert run.server.searches() == []
    assert run.reasons() == ["identity_merge"]


def test_where_both_of_two_merged_patients_are_found_the_surviving_one_is_asked_for(run: PollRun):
    run.server.put(patient("p9", "0012345"))
    run.server.change("Patient", "p1", link=[{"other": {"reference": "Patient/p9"}, "type": "replaced-by"}])
    run.poll()
    assert {s["patient"] for s in run.server.searches()} == {"p9"}
    assert run.reasons() == []


def test_a_patient_that_was_deleted_is_looked_for_again(run: PollRun):
    run.poll()
    run.server.delete("Patient", "p1")
    run.server.put(patient("p9", "0012345"))
    run.server.put(observation("o9", "p9", "48", effectiveDateTime="2026-02-03"))
    run.poll(hours=25)
    assert {s["patient"] for s in run.server.searches()} == {"p9"}
    assert "Observation/o9/_history/1" in held(run)


def test_a_patient_that_lost_the_identifier_brings_nothing_new(run: PollRun):
    run.poll()
    run.server.change("Patient", "p1", identifier=[{"system": "urn:oid:1.2.3.4", "value": "other"}])
    run.server.put(observation("o2", "p1", "50"))
    report = run.poll()
    assert (report.new, report.not_found) == (0, ["S-001"])


def test_a_patient_that_contradicts_the_roster_is_a_question(run: PollRun):
    run.put(person("S-001", birth_date="1970-01-01"))
    run.server.change("Patient", "p1", birthDate="1980-01-01")
    run.poll()
    assert run.value() is None
    assert run.reasons() == ["identity_conflict"]


def test_a_server_that_answers_with_everybody_is_not_believed(run: PollRun):
    run.server.everybody = True
    report = run.poll()
    assert report.strangers == 2  # a patient and an observation
    assert held(run) == ["Observation/o1/_history/1"]
    content = b"".join(m.raw for m in run.store.received("S-001"))
    assert b"strange" not in content
    assert b"Unmistakable" not in content


@pytest.mark.parametrize("name", ["0012345", "12345", "NTCGH-0012345", "card-ID-77"])
def test_a_patient_whose_id_holds_an_identifier_is_asked_for_by_post(run: PollRun, name: str):
    run.put(Participant("S-001", (Identifier("0012345", "NTCGH"), Identifier("ID-77", "ELSEWHERE")), "2026-01-05"))
    run.server.delete("Patient", "p1")
    run.server.put(patient(name, "0012345"))
    run.server.put(observation("o2", name, "41"))
    run.server.page_size = 1
    urls = ""
    for value in ("42", "43", "44"):
        assert run.poll().errors == []
        run.server.change("Observation", "o2", valueQuantity=observation("", "", value)["valueQuantity"])
        urls += run.server.urls()
    run.server.put(observation("o3", name, "61", code=coded("1920-8")))
    assert run.poll(sweep=True).errors == []
    assert (run.value(), run.value(endpoint="AST")) == ("44", "61")
    assert name not in urls + run.server.urls()


def test_a_patient_whose_id_holds_the_identifier_and_who_has_moved_is_looked_for_again(run: PollRun):
    run.server.delete("Patient", "p1")
    run.server.put(patient("0012345", "0012345"))
    run.poll()
    run.server.change("Patient", "0012345", identifier=[])
    run.server.put(patient("p9", "0012345"))
    run.server.put(observation("o2", "0012345", "41"))
    run.server.put(observation("o9", "p9", "61", code=coded("1920-8")))
    assert run.poll().errors == []
    assert (run.value(), run.value(endpoint="AST")) == (None, "61")
