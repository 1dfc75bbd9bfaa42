"""Whether a resource is valid, and by which release: faults name the element and hold nothing that was sent."""

from __future__ import annotations

import pytest
from test_fhir import PATIENT, SERUM, kept, read

from adapter.codecs.fhir import Fault, compose, release_of


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"status": None}, "Observation/77.status: is required and missing"),
        ({"code": None}, "Observation/77.code: is required and missing"),
        ({"context": {}}, "Observation/77.context: is no element of this release of FHIR"),
        ({"category": {"text": "x"}}, "Observation/77.category: is not of the type that FHIR gives it"),
        ({"effectiveDateTime": "2026-02-02T08:00:00"}, "Observation/77.effectiveDateTime: does not have the form"),
        ({"effectiveDateTime": "2026-02-30"}, "Observation/77.effectiveDateTime: does not have the form"),
        ({"valueQuantity": {"value": "Invented"}}, "Observation/77.valueQuantity.value: does not have the form"),
        ({"valueString": "Invented"}, "Observation/77: does not have the form"),
        (
            {"component": [{"code": {"text": "x"}}, {"valueInteger": 1}]},
            "Observation/77.component[2].code: is required",
        ),
        ({"contained": [{"resourceType": "Invented"}]}, "Observation/77: it holds a resource that FHIR does not know"),
        ({"Invented name of a person": 1}, "Observation/77.(an element): is no element of this release of FHIR"),
        ({"effectivePeriod": {"start": "2026"}}, "Observation/77: does not have the form that FHIR asks"),
    ],
)
def test_what_is_not_valid_is_named_by_its_place_and_read_all_the_same(changes, words):
    document = read(kept(changes))
    assert document.faults[0].text.startswith(words)
    assert not any("Invented" in fault.text for fault in document.faults)
    assert document.reported


def test_a_resource_that_is_no_readable_json_keeps_its_name():
    document = read(compose(PATIENT, b'{"resourceType":"Observation","id":"77","valueInteger":NaN}'))
    assert document.faults == (Fault("Observation/77", "NaN is no number of JSON"),)
    assert (document.control_id, document.reported, document.code_is_in_doubt) == ("Observation/77", (), True)


def test_a_specimen_that_is_not_valid_is_a_fault_too():
    document = read(kept({"specimen": {"reference": "Specimen/s1"}}, {**SERUM, "type": 3}))
    assert [f.place for f in document.faults] == ["Specimen/s1.type"]


R5_ONLY = {"triggeredBy": [{"observation": {"reference": "Observation/1"}, "type": "reflex"}]}
R5_VALUE = {"valueQuantity": None, "valueReference": {"reference": "MolecularSequence/1"}}
SAMPLED = {"origin": {"value": 0}, "dimensions": 1, "data": "1"}
R4_SAMPLES = {"valueQuantity": None, "valueSampledData": {**SAMPLED, "period": 10}}
R5_SAMPLES = {"valueQuantity": None, "valueSampledData": {**SAMPLED, "interval": 10, "intervalUnit": "ms"}}


@pytest.mark.parametrize(
    ("changes", "valid_in"),
    [
        ({}, {"R4", "R4B", "R5"}),
        (R5_ONLY, {"R5"}),
        (R5_VALUE, {"R5"}),
        (R5_SAMPLES, {"R5"}),
        (R4_SAMPLES, {"R4", "R4B"}),
    ],
)
def test_the_release_decides_what_is_valid(changes, valid_in):
    for release in ("R4", "R4B", "R5"):
        asked, stated = read(kept(changes), release), read(kept(changes, release=release))
        assert (asked.faults == ()) == (stated.faults == ()) == (release in valid_in), release
    assert read(kept(changes)).faults == (), "where no release is known either will do"


def test_a_specimen_of_r5_is_read_by_its_release():
    specimen = {**SERUM, "collection": {"bodySite": {"concept": {"text": "arm"}}}}
    assert read(kept({}, specimen), "R5").faults == ()
    assert [f.place for f in read(kept({}, specimen), "R4").faults] == ["Specimen/s1.collection.bodySite.concept"]


@pytest.mark.parametrize(
    ("version", "release"),
    [
        ("4.0.1", "R4"),
        ("4.0", "R4"),
        ("4.3.0", "R4B"),
        ("5.0.0", "R5"),
        ("R5", "R5"),
        ("3.0.2", None),
        ("", None),
        ("5", None),
    ],
)
def test_the_release_of_a_version(version, release):
    assert release_of(version) == release
