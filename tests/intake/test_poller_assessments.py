"""Assessments that a FHIR server holds: asked for by their codes, beside the results of the laboratory."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from fhir_server import FhirServer, coded, fhir_server, observation, patient
from poll_run import PollRun, person, polled

ASCITES = """
[[source.assessment]]
item = "ascites"
code = "ASC"
system = "urn:site"
values = { none = ["0"], mild = ["1"], moderate_severe = ["2"] }

[[source.assessment]]
item = "dialysis"
code = "DIAL"
values = { yes = ["true"], no = ["false"] }
"""
SURVEY = [{"coding": [{"code": "survey"}]}]


def assessment(name: str, code: str = "ASC", **changes: Any) -> dict[str, Any]:
    changes = {"valueInteger": 1, "code": coded(code, "urn:site"), "category": SURVEY, **changes}
    return observation(name, "p1", valueQuantity=None, **changes)


@pytest.fixture
def server() -> Iterator[FhirServer]:
    with fhir_server() as server:
        server.put(patient("p1", "0012345"))
        server.put(observation("o1", "p1", "35"))
        server.put(assessment("a1"))
        server.put(assessment("d1", "DIAL", valueInteger=None, valueBoolean=True))
        server.put(assessment("other", "PAIN"))
        yield server


def running(folder: Path, server: FhirServer, *lines: str, more: str = ASCITES) -> Any:
    return polled(folder, server, *lines, more=more)


def held(run: PollRun) -> list[str]:
    return sorted(m.message_control_id.split("/")[1] for m in run.store.received("S-001"))


def test_assessments_are_asked_for_by_their_codes_whatever_their_category(server: FhirServer, tmp_path: Path):
    with running(tmp_path, server) as run:
        run.put(person())
        report = run.poll()
        assert held(run) == ["a1", "d1", "o1"]
        results, assessments, *undated = run.server.searches()
        assert (results["category"], "code" in results) == ("laboratory", False)
        assert (assessments["code"], "category" in assessments) == ("urn:site|ASC,DIAL", False)
        assert assessments["date"] == results["date"]
        assert [("date" in each, each["_lastUpdated"]) for each in undated] == [(False, "ge2025-12-05")] * 2
        assert (report.new, report.errors) == (3, [])


def test_what_is_new_of_them_is_asked_for_from_the_same_watermark_on(server: FhirServer, tmp_path: Path):
    with running(tmp_path, server) as run:
        run.put(person())
        run.poll()
        server.change("Observation", "a1", valueInteger=2)
        report = run.poll()
        results, assessments = run.server.searches()
        assert assessments["_lastUpdated"] == results["_lastUpdated"]
        assert (report.new, held(run)) == (1, ["a1", "a1", "d1", "o1"])


def test_an_update_between_the_two_questions_is_found_by_the_next_poll(server: FhirServer, tmp_path: Path):
    with running(tmp_path, server, 'overlap = "1s"') as run:
        run.put(person())

        def meanwhile(asked: Any) -> None:
            if dict(asked.form).get("code") or dict(asked.query).get("code"):
                server.before = lambda _: None
                server.put(observation("o2", "p1", "36", effectiveDateTime="2026-02-03"))
                server.put(assessment("a2", effectiveDateTime="2026-02-03"))

        run.poll()
        server.before = meanwhile
        run.poll()
        assert held(run) == ["a1", "a2", "d1", "o1"]
        run.poll()
        assert held(run) == ["a1", "a2", "d1", "o1", "o2"]


def test_one_that_answers_both_questions_is_kept_once(server: FhirServer, tmp_path: Path):
    server.put(assessment("a1", category=[{"coding": [{"code": "laboratory"}]}]))
    with running(tmp_path, server) as run:
        run.put(person())
        run.poll()
        assert held(run) == ["a1", "d1", "o1"]


@pytest.mark.parametrize(("more", "line"), [("", 'category = "laboratory"'), (ASCITES, 'category = ""')])
def test_where_the_first_question_reaches_them_or_there_are_none_it_is_the_only_one(
    server: FhirServer, tmp_path: Path, more: str, line: str
):
    with running(tmp_path, server, line, more=more) as run:
        run.put(person())
        run.poll()
        assert ["code" in asked for asked in run.server.searches()] == [False, False]  # dated, and undated


def test_a_list_of_codes_does_not_hide_them(server: FhirServer, tmp_path: Path):
    with running(tmp_path, server, 'only_codes = ["1742-6"]', 'category = ""') as run:
        run.put(person())
        run.poll()
        assert [asked["code"] for asked in run.server.searches()] == ["1742-6", "urn:site|ASC,DIAL"] * 2
        assert held(run) == ["a1", "d1", "o1"]


@pytest.mark.parametrize("admits_it", [True, False])
@pytest.mark.parametrize("unsupported", [("code",), ("category",), ("code", "category"), ("_lastUpdated", "code")])
def test_what_a_server_cannot_filter_is_filtered_here(
    server: FhirServer, tmp_path: Path, unsupported: tuple[str, ...], admits_it: bool
):
    server.unsupported, server.admits_it = unsupported, admits_it
    with running(tmp_path, server) as run:
        run.put(person())
        for _ in range(2):
            assert run.poll().errors == []
        assert held(run) == ["a1", "d1", "o1"]


def test_one_that_was_deleted_is_found_by_the_sweep_and_none_is_taken_for_vanished(server: FhirServer, tmp_path: Path):
    with running(tmp_path, server) as run:
        run.put(person())
        run.poll()
        run.poll(sweep=True)
        assert held(run) == ["a1", "d1", "o1"]
        server.delete("Observation", "a1")
        run.poll(sweep=True)
        assert held(run) == ["a1", "a1", "d1", "o1"]


def test_another_list_of_codes_is_another_question(server: FhirServer, tmp_path: Path):
    with running(tmp_path, server, more="") as run:
        run.put(person())
        run.poll()
        assert held(run) == ["o1"]
    with running(tmp_path, server) as run:
        run.poll()
        assert [("date" in asked) for asked in run.server.searches()] == [True, True, False, False]
        assert held(run) == ["a1", "d1", "o1"]


def test_what_the_server_holds_is_an_input_of_the_score(server: FhirServer, tmp_path: Path):
    for name, code, value, unit in (
        ("b", "1975-2", "1.5", "mg/dL"),
        ("l", "1751-7", "3.8", "g/dL"),
        ("i", "6301-6", "1.2", "1"),
    ):
        quantity = {"value": Decimal(value), "unit": unit, "system": "http://unitsofmeasure.org", "code": unit}
        server.put(observation(name, "p1", code=coded(code), valueQuantity=quantity))
    concept = {"coding": [{"system": "http://snomed.info/sct", "code": "260413007", "display": "None"}]}
    server.put(assessment("h1", "HE", valueInteger=None, valueCodeableConcept=concept))
    encephalopathy = """
[[source.assessment]]
item = "encephalopathy"
code = "HE"
values = { none = ["260413007"] }
"""
    with running(tmp_path, server, more=ASCITES + encephalopathy) as run:
        run.put(person())
        run.poll()
        assert run.value(endpoint="CHILD_PUGH") == "6"
        server.change("Observation", "a1", valueInteger=2, status="corrected")
        run.poll()
        assert run.value(endpoint="CHILD_PUGH") == "7"
        server.change("Observation", "a1", status="entered-in-error")
        run.poll()
        assert run.value(endpoint="CHILD_PUGH") is None
        assert run.reasons() == []
