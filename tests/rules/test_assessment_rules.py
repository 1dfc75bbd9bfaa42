"""What a source sends of a clinician's assessment: by the codes and values its configuration names, and no others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from adapter.codecs.fhir_values import value as fhir_value
from adapter.codecs.hl7v2 import Delimiters
from adapter.codecs.oru import read_results
from adapter.model import AssessmentCode, Coding, ReportedValue
from adapter.rules.assess import ITEMS, assessed, assessment_of

ASCITES = AssessmentCode(
    "ascites", "ASC", {"none": ("0", "无", "260413007"), "mild": ("1", "slight"), "moderate_severe": ("2", "3")}
)
ENCEPHALOPATHY = AssessmentCode("encephalopathy", "ASC", {"none": ("0",)}, system="99HE")
DIALYSIS = AssessmentCode("dialysis", "D-1", {"yes": ("true", "Y"), "no": ("false", "N")}, system="http://loinc.org")
ROWS = (ASCITES, ENCEPHALOPATHY, DIALYSIS)


def sent(kind: str, text: str) -> ReportedValue:
    """OBX-5 as HL7 v2 sends it."""
    message = "\r".join(("MSH|^~\\&|LIS", "PID|1||1", f"OBX|1|{kind}|ASC||{text}"))
    return read_results(message, Delimiters(), "R01", "")[0].results[0].value


def test_the_items_are_those_of_the_interface() -> None:
    assert ITEMS == {
        "ascites": ("none", "mild", "moderate_severe"),
        "encephalopathy": ("none", "grade_1_2", "grade_3_4"),
        "dialysis": ("yes", "no"),
    }


@pytest.mark.parametrize(
    ("codings", "row"),
    [
        ([Coding("ASC")], ASCITES),
        ([Coding("ASC", "腹水", "99LAB")], ASCITES),
        ([Coding("ASC", "", "99HE")], ENCEPHALOPATHY),
        ([Coding("1742-6", "", "LN"), Coding("ASC", "", "L")], ASCITES),
        ([Coding("D-1", "", "http://loinc.org")], DIALYSIS),
        ([Coding("D-1", "", "LN")], DIALYSIS),
        ([Coding("D-1")], None),
        ([Coding("asc")], None),
        ([Coding("ASC2")], None),
        ([Coding("", "ASC")], None),
        ([], None),
    ],
)
def test_the_code_alone_says_what_is_assessed(codings: list[Coding], row: AssessmentCode | None) -> None:
    assert assessment_of(codings, ROWS) is row
    assert assessment_of(codings, ()) is None


@pytest.mark.parametrize(
    ("kind", "text", "meant"),
    [
        ("ST", "1", "mild"),
        ("NM", "3", "moderate_severe"),
        ("ST", " 无 ", "none"),
        ("IS", "2", "moderate_severe"),
        ("ID", "0", "none"),
        ("CWE", "1", "mild"),
        ("CWE", "260413007^None^SCT", "none"),
        ("CWE", "99^slight^L", "mild"),
        ("CE", "X^Y^L^2^Z^M", "moderate_severe"),
        ("CWE", "1^slight^L", "mild"),
        ("CWE", "0^slight^L", None),
        ("CWE", "99^none^L", None),
        ("ST", "Slight", None),
        ("ST", "1.0", None),
        ("ST", "1 2", None),
        ("SN", "^1", "mild"),
        ("SN", ">^1", None),
        ("ST", "1~2", None),
        ("ST", "", None),
        ("ED", "^1", None),
    ],
)
def test_a_value_of_hl7_v2_means_what_the_source_says_of_it_and_nothing_else(
    kind: str, text: str, meant: str | None
) -> None:
    assert assessed(sent(kind, text), ASCITES) == meant


SNOMED = {"system": "http://snomed.info/sct", "code": "260413007", "display": "None"}
LOCAL = {"system": "urn:site", "code": "L-0"}


@pytest.mark.parametrize(
    ("stated", "meant"),
    [
        ({"valueCodeableConcept": {"coding": [SNOMED]}}, "none"),
        ({"valueCodeableConcept": {"coding": [LOCAL, SNOMED], "text": "no ascites"}}, "none"),
        ({"valueCodeableConcept": {"coding": [LOCAL], "text": "slight"}}, "mild"),
        ({"valueCodeableConcept": {"coding": [{**LOCAL, "display": "slight"}], "text": "grade 1"}}, "mild"),
        ({"valueCodeableConcept": {"text": "slight"}}, "mild"),
        ({"valueCodeableConcept": {"coding": [SNOMED], "text": "slight"}}, None),
        ({"valueCodeableConcept": {"coding": [LOCAL]}}, None),
        ({"valueString": "slight"}, "mild"),
        ({"valueInteger": 2}, "moderate_severe"),
        ({"valueBoolean": True}, None),
        ({"valueInteger": 1, "valueString": "1"}, None),
        ({"valueInteger": 1, "dataAbsentReason": {"text": "unknown"}}, None),
        ({"dataAbsentReason": {"text": "slight"}}, None),
    ],
)
def test_a_value_of_fhir_means_what_the_source_says_of_it_and_nothing_else(
    stated: Mapping[str, Any], meant: str | None
) -> None:
    assert assessed(fhir_value(stated), ASCITES) == meant


@pytest.mark.parametrize(("stated", "meant"), [(True, "yes"), (False, "no"), ("Y", None)])
def test_true_and_false_are_values_too(stated: object, meant: str | None) -> None:
    assert assessed(fhir_value({"valueBoolean": stated}), DIALYSIS) == meant
