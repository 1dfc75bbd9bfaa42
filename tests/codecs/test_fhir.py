"""One Observation of FHIR into results: what each element becomes, and what is said of one that is not valid."""

from __future__ import annotations

import copy
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter.codecs.fhir import (
    Document,
    Fault,
    compose,
    compose_deletion,
    compose_patients,
    read_document,
)
from adapter.model import Coding, Patient, PatientIdentifier, Precision, Reported

PATIENT = {
    "resourceType": "Patient",
    "id": "p1",
    "identifier": [{"system": "urn:oid:1.2.3", "value": "0012345"}, {"value": "77"}],
    "birthDate": "1970-03-14",
    "gender": "female",
}
UCUM = "http://unitsofmeasure.org"
ALT: dict[str, Any] = {
    "resourceType": "Observation",
    "id": "77",
    "meta": {"versionId": "3", "lastUpdated": "2026-02-03T04:05:06.789+08:00"},
    "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "1742-6", "display": "ALT"}], "text": "GPT"},
    "subject": {"reference": "Patient/p1"},
    "effectiveDateTime": "2026-02-02T08:00:00+08:00",
    "issued": "2026-02-02T10:00:00+08:00",
    "valueQuantity": {"value": 54, "unit": "U/L", "system": UCUM, "code": "U/L"},
}


def kept(changes: dict[str, Any] | None = None, *specimens: dict[str, Any], release: str | None = None) -> bytes:
    """What is kept of the ALT with elements replaced, or left out where the change is None."""
    resource = {k: v for k, v in {**ALT, **(changes or {})}.items() if v is not None}
    return compose(PATIENT, json.dumps(resource).encode(), [json.dumps(s).encode() for s in specimens], release=release)


def read(raw: bytes, release: str | None = None) -> Document:
    found = read_document(raw, release)
    assert isinstance(found, Document)
    return found


def report(changes: dict[str, Any] | None = None, *specimens: dict[str, Any]) -> Reported:
    (only,) = read(kept(changes, *specimens)).reported
    return only


def test_every_element_becomes_its_noun():
    document = read(kept())
    assert document.faults == ()
    assert document.control_id == "Observation/77/_history/3"
    assert document.patient == Patient(
        (PatientIdentifier("0012345", ("urn:oid:1.2.3",)), PatientIdentifier("77")), "1970-03-14", "female"
    )
    (alt,) = document.reported
    assert (alt.locator, alt.order_number, alt.sub_id) == ("Observation/77", "fhir:Observation/77", "")
    assert alt.codings == (Coding("1742-6", "ALT", "http://loinc.org"),)
    assert (alt.value.shown, alt.value.plain, alt.units, alt.status) == ("54", "54", ("U/L",), "final")
    assert [(t.address, t.text) for t in alt.times] == [("effectiveDateTime", "2026-02-02T08:00:00+08:00")]
    assert alt.issued is not None
    assert alt.message_at is not None
    assert alt.message_at.precision == Precision.FRACTION
    assert alt.version == 3
    assert "0012345" not in repr(document)


def number_of(text: str) -> Reported:
    raw = kept().replace(b'"value": 54', f'"value": {text}'.encode())
    (only,) = read(raw).reported
    return only


@pytest.mark.parametrize("text", ["1.10", "0", "0.0", "12.50", "-3", "1000000", "0.0000001"])
def test_a_quantity_keeps_its_decimals(text):
    found = number_of(text)
    assert (found.value.plain, found.value.shown) == (text, text)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=None, min_value="-1e30", max_value="1e30"))
def test_any_decimal_is_read_as_the_number_it_is(number):
    found = number_of(str(number)).value
    if abs(number.adjusted()) > 40:
        assert found.plain is None
    else:
        assert found.plain is not None
        assert "E" not in found.plain.upper()
        assert Decimal(found.plain) == number
        assert number.as_tuple().exponent > 0 or Decimal(found.plain).as_tuple() == number.as_tuple()


def test_an_exponent_is_written_out_and_a_monstrous_one_is_not():
    assert number_of("1.5e2").value.plain == "150"
    monstrous = number_of("1e999999").value
    assert (monstrous.plain, monstrous.fault) == (None, "the number is too large or too small to be a result")


@pytest.mark.parametrize("comparator", ["<", "<=", ">=", ">"])
def test_a_comparator_stays_with_its_number(comparator):
    found = report({"valueQuantity": {"value": 5, "comparator": comparator, "unit": "U/L"}})
    assert found.value.plain == f"{comparator}5"


@pytest.mark.parametrize(
    ("changes", "plain", "shown"),
    [
        ({"valueInteger": 7}, "7", "7"),
        ({"valueString": " <5.0 "}, "<5.0", "<5.0"),
        ({"valueString": "haemolysed"}, "haemolysed", "haemolysed"),
        ({"valueCodeableConcept": {"text": "溶血"}}, "溶血", "溶血"),
        ({}, "", ""),
        ({"dataAbsentReason": {"text": "specimen clotted"}}, "", "specimen clotted"),
        ({"dataAbsentReason": {"coding": [{"code": "not-performed"}]}}, "", "not-performed"),
        ({"valueQuantity": {"unit": "U/L"}, "dataAbsentReason": {"text": "lost"}}, "", "lost"),
        ({"valueQuantity": {"value": 5, "comparator": "ad"}}, None, "ad5"),
        ({"valueQuantity": {"value": 5}, "dataAbsentReason": {"text": "lost"}}, None, "5"),
        ({"valueCodeableConcept": {"text": "grade 2"}}, None, "grade 2"),
        ({"valueRange": {"low": {"value": 1}}}, None, '{"low": {"value": 1}}'),
        ({"valueRatio": {"numerator": {"value": 1}}}, None, '{"numerator": {"value": 1}}'),
        ({"valueBoolean": True}, None, "true"),
        ({"valueInteger": True}, None, "true"),
        ({"valueString": "5", "valueInteger": 5}, None, ""),
    ],
)
def test_each_kind_of_value(changes, plain, shown):
    found = report({"valueQuantity": None, **changes}).value
    assert (found.plain, found.shown) == (plain, shown)
    assert bool(found.fault) == (plain is None)


@pytest.mark.parametrize(
    ("quantity", "units"),
    [
        ({"unit": "IU/L", "code": "[IU]/L", "system": UCUM}, ("[IU]/L", "IU/L")),
        ({"unit": "IU/L", "code": "U/L"}, ("U/L", "IU/L")),
        ({"unit": "IU/L", "code": "4711", "system": "http://hospital.example/units"}, ("IU/L",)),
        ({"code": "U/L", "system": UCUM}, ("U/L",)),
        ({}, ()),
    ],
)
def test_units_are_the_ucum_code_and_the_printed_unit(quantity, units):
    assert report({"valueQuantity": {"value": 5, **quantity}}).units == units


@pytest.mark.parametrize(
    ("changes", "address", "precision"),
    [
        ({"effectiveDateTime": "2026"}, "effectiveDateTime", Precision.YEAR),
        ({"effectiveDateTime": "2026-02"}, "effectiveDateTime", Precision.MONTH),
        ({"effectiveDateTime": "2026-02-02"}, "effectiveDateTime", Precision.DAY),
        ({"effectiveInstant": "2026-02-02T08:00:00.5Z"}, "effectiveInstant", Precision.FRACTION),
        ({"effectivePeriod": {"start": "2026-02-02T08:00:00Z", "end": "2026-02-03"}}, "effectivePeriod.start", 6),
        ({"effectiveDateTime": "2026-02-30"}, "effectiveDateTime", None),
        ({"effectiveDateTime": 20260202}, "effectiveDateTime", None),
    ],
)
def test_each_time_of_collection(changes, address, precision):
    (stated,) = report({"effectiveDateTime": None, **changes}).times
    assert stated.address == address
    assert (None if stated.time is None else stated.time.precision) == precision


@pytest.mark.parametrize(
    "changes", [{}, {"effectivePeriod": {"end": "2026-02-02"}}, {"effectiveTiming": {"code": {"text": "AM"}}}]
)
def test_nothing_stands_in_for_a_missing_time_of_collection(changes):
    assert report({"effectiveDateTime": None, **changes}).times == ()


def test_codes_are_kept_with_their_systems_and_a_text_alone_is_a_name():
    codings = [{"system": "urn:lis", "code": "GPT"}, {"system": "http://loinc.org", "code": "1742-6"}]
    found = report({"code": {"coding": codings, "text": "谷丙转氨酶"}}).codings
    assert found == (Coding("GPT", "谷丙转氨酶", "urn:lis"), Coding("1742-6", "谷丙转氨酶", "http://loinc.org"))
    assert report({"code": {"text": "谷丙转氨酶"}}).codings == (Coding("", "谷丙转氨酶"),)


PANEL = {
    "valueQuantity": None,
    "code": {"text": "coagulation"},
    "component": [
        {"code": {"text": "PT"}, "valueQuantity": {"value": 13.2, "unit": "s"}},
        {"code": {"text": "INR"}, "dataAbsentReason": {"text": "clotted"}},
    ],
}
SERUM = {
    "resourceType": "Specimen",
    "id": "s1",
    "type": {"coding": [{"system": "urn:x", "code": "1"}, {"system": "http://snomed.info/sct", "code": "119364003"}]},
}


def test_a_panel_gives_its_components_and_is_no_result():
    first, second = read(kept(PANEL)).reported
    assert (first.locator, second.locator) == ("Observation/77#component[1]", "Observation/77#component[2]")
    assert (first.order_number, first.value.plain, first.units) == ("fhir:Observation/77#component[1]", "13.2", ("s",))
    assert (second.value.plain, second.value.shown) == ("", "clotted")
    for each in (first, second):
        assert (each.status, each.version, len(each.times)) == ("final", 3, 1)


def test_a_panel_of_members_gives_nothing_of_its_own():
    assert read(kept({"valueQuantity": None, "hasMember": [{"reference": "Observation/78"}]})).reported == ()
    assert len(read(kept({"hasMember": [{"reference": "Observation/78"}]})).reported) == 1


def test_a_value_beside_components_is_a_result_too():
    component = [{"code": {"text": "x"}, "valueInteger": 1}]
    assert [r.locator for r in read(kept({"component": component})).reported] == [
        "Observation/77",
        "Observation/77#component[1]",
    ]


def test_the_specimen_is_its_type_in_a_system_that_is_listed():
    found = report({"specimen": {"reference": "Specimen/s1"}}, SERUM).specimens
    assert found == (Coding("119364003", "", "http://snomed.info/sct"),)


def test_a_contained_specimen_and_a_display_alone_are_specimens():
    inside = {**SERUM, "type": {"text": "Ascites"}}
    assert report({"contained": [inside], "specimen": {"reference": "#s1"}}).specimens == (Coding("", "Ascites"),)
    assert report({"contained": [inside], "specimen": {"reference": "Specimen/9"}}).specimens == ()
    assert report({"specimen": {"display": "Serum"}}).specimens == (Coding("", "Serum"),)


@pytest.mark.parametrize(
    ("subject", "another"),
    [
        ({"reference": "Patient/p1"}, False),
        ({"reference": "http://server/fhir/Patient/p1"}, False),
        ({"identifier": {"system": "urn:oid:1.2.3", "value": "0012345"}}, False),
        ({"identifier": {"system": "urn:oid:1.2.3", "value": "12345"}}, True),
        ({"identifier": {"value": "0012345"}}, True),
        ({"reference": "Patient/p2"}, True),
        ({"reference": "Group/p1"}, True),
        ({"display": "Invented"}, True),
        (None, True),
    ],
)
def test_the_subject_is_the_patient_beside_it_or_another(subject, another):
    assert read(kept({"subject": subject})).of_another is another


@pytest.mark.parametrize(("text", "version"), [("3", 3), ("0", 0), ("a1b2", None), ("1" * 19, None), ("٣", None)])
def test_a_version_counts_where_it_is_a_number(text, version):
    assert report({"meta": {"versionId": text}}).version == version


def test_without_an_id_there_is_no_order_number_but_the_page_may_name_it():
    raw = json.dumps({k: v for k, v in ALT.items() if k != "id"}).encode()
    (nameless,) = read(compose(PATIENT, raw)).reported
    assert (nameless.locator, nameless.order_number) == ("Observation", "")
    document = read(compose(PATIENT, raw, observation_url="urn:uuid:1-2"))
    assert (document.control_id, document.reported[0].order_number) == ("urn:uuid:1-2", "fhir:Observation/urn:uuid:1-2")


def test_a_deletion_takes_the_resource_back():
    document = read(compose_deletion(PATIENT, "Observation/77", "2026-03-01T00:00:00Z", version_id="4"))
    (gone,) = document.reported
    assert document.deleted
    assert (gone.locator, gone.order_number, gone.status) == (
        "Observation/77",
        "fhir:Observation/77",
        "entered-in-error",
    )
    assert (gone.version, gone.codings, gone.times) == (4, (), ())
    asked = read(compose_deletion(PATIENT, "Observation/77", status="404"))
    assert (asked.vanished, asked.deleted, asked.reported) == (True, False, ())


def test_patients_alone_are_a_question():
    replaced = {**PATIENT, "link": [{"other": {"reference": "Patient/p2"}, "type": "replaced-by"}]}
    document = read(compose_patients([replaced]))
    assert (document.replaced, document.reported, document.control_id) == (True, (), "Patient/p1")
    assert not read(compose_patients([{**replaced, "link": [{"type": "replaces"}]}])).replaced
    assert len(read(compose_patients([PATIENT, replaced])).patients) == 2
    assert read(compose_patients([PATIENT, replaced])).patient is None


def test_an_identifier_that_cannot_be_read_is_said():
    document = read(compose({**PATIENT, "identifier": [{"system": "urn:x"}]}, json.dumps(ALT).encode()))
    assert document.patient == Patient((), "1970-03-14", "female", unreadable=True)


JUNK = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.builds(list)
    | st.builds(dict)
    | st.builds(lambda: [{}, 3, None])
)


@settings(max_examples=300)
@given(st.data())
def test_no_element_of_any_shape_raises(data):
    resource = copy.deepcopy(
        {**ALT, "component": [{"code": {"text": "x"}, "valueInteger": 1}], "specimen": {"display": "x"}}
    )
    for _ in range(data.draw(st.integers(1, 3))):
        node: Any = resource
        while True:
            key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
            if not isinstance(node[key], dict | list) or not node[key] or data.draw(st.booleans()):
                break
            node = node[key]
        node[key] = data.draw(JUNK)
    document = read_document(compose(PATIENT, json.dumps(resource).encode(), [json.dumps(resource).encode()]))
    assert isinstance(document, Document | Fault)
    if isinstance(document, Document):
        assert all(r.locator for r in document.reported)


@given(st.binary(max_size=80))
def test_no_bytes_raise(raw):
    assert isinstance(read_document(raw), Fault)
    assert isinstance(read_document(compose(PATIENT, raw)), Document | Fault)
