"""trial.md section 1: the participant."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from laboratory import LIS, WHO, cell, on, reported, row, table, understood

from adapter.model import Identifier, Participant, Patient, PatientIdentifier
from adapter.rules.match import Roster, contradiction

ENROLLED = Participant("S-001", (Identifier("0012345", "NTCGH"), Identifier("77", "CARD")))
ROSTER = Roster([ENROLLED, Participant("S-002", (Identifier("900", "NTCGH"),))])


def patient(value: str, *authorities: str) -> Patient:
    return Patient((PatientIdentifier(value, authorities),))


def test_an_identifier_must_equal_character_for_character_after_trimming():
    assert ROSTER.match(patient(" 0012345 ", "NTCGH"), LIS).study_ids == ("S-001",)
    assert ROSTER.match(patient("12345", "NTCGH"), LIS).study_ids == ()
    assert ROSTER.match(patient("00123456", "NTCGH"), LIS).study_ids == ()


def test_the_same_number_under_another_authority_is_another_person():
    assert ROSTER.match(patient("0012345", "OTHER"), LIS).study_ids == ()
    assert ROSTER.match(patient("77", "NTCGH"), LIS).study_ids == ()


def test_a_missing_authority_means_the_sources_configured_one():
    assert ROSTER.match(patient("0012345"), LIS).study_ids == ("S-001",)
    assert ROSTER.match(patient("77"), LIS).study_ids == ()


def test_namespace_or_universal_id_may_be_the_rosters_authority():
    assert ROSTER.match(patient("0012345", "HIS", "NTCGH"), LIS).study_ids == ("S-001",)


def test_the_sources_configuration_can_name_two_authorities_as_one():
    source = replace(LIS, authorities={"1.2.3.4": "NTCGH"})
    assert ROSTER.match(patient("0012345", "1.2.3.4"), source).study_ids == ("S-001",)
    assert ROSTER.match(patient("0012345", "1.2.3.5"), source).study_ids == ()


def test_one_matching_repetition_is_enough():
    several = Patient((PatientIdentifier("1", ("X",)), PatientIdentifier("900", ("NTCGH",))))
    assert ROSTER.match(several, LIS).study_ids == ("S-002",)


def test_a_message_without_a_readable_patient_is_nobodys():
    assert ROSTER.match(None, LIS).nobody
    assert ROSTER.match(Patient(), LIS).nobody
    assert ROSTER.match(Patient(unreadable=True), LIS).nobody
    assert not ROSTER.match(patient("555", "NTCGH"), LIS).nobody


def test_two_roster_participants_matching_one_message_are_both_named():
    both = Patient((PatientIdentifier("0012345", ()), PatientIdentifier("900", ())))
    assert ROSTER.match(both, LIS).study_ids == ("S-001", "S-002")


@pytest.mark.parametrize(
    ("birth_date", "sex", "field"),
    [
        ("19700102", "M", None),
        ("19700103", "M", "PID-7"),
        ("197001021530", "1", None),
        ("1970", "男", None),
        ("1971", "", "PID-7"),
        ("", "F", "PID-8"),
        ("", "U", None),
        ("", "2", "PID-8"),
    ],
)
def test_a_birth_date_or_sex_that_contradicts_the_roster_names_the_field(birth_date, sex, field):
    known = replace(ENROLLED, birth_date="1970-01-02", sex="M")
    assert contradiction(known, Patient(birth_date=birth_date, sex=sex)) == field


def test_where_the_roster_has_no_birth_date_nothing_contradicts_it():
    assert contradiction(ENROLLED, Patient(birth_date="19991231", sex="F")) is None


def test_a_participants_repr_shows_no_identity():
    shown = repr(replace(ENROLLED, birth_date="1970-01-02", sex="M"))
    assert not any(word in shown for word in ("0012345", "1970", "'M'"))


def test_results_from_the_withdrawal_date_on_are_excluded_and_undated_ones_too():
    withdrawn = replace(WHO, ended_on=date(2026, 2, 4), ended_by="withdrawn")
    before, after = understood(reported(taken=on(28))), understood(reported("50", taken=on(30), order="B"))
    undated = understood(reported("60", taken=None, order="C"))
    derived = table(before, after, undated, who=withdrawn)
    assert cell(derived).value == "35"
    assert derived.ignored == {
        after.origin.inbox_id: {"after_withdrawal": 1},
        undated.origin.inbox_id: {"after_withdrawal": 1},
    }
    assert not derived.items


def test_what_was_collected_before_the_withdrawal_counts_whenever_it_arrives():
    withdrawn = replace(WHO, ended_on=date(2026, 2, 4), ended_by="withdrawn")
    late = understood(reported(taken=on(29, "235959")))
    assert row(table(late, who=withdrawn), late).outcome == "placed"


@given(st.text(max_size=12), st.text(max_size=12))
def test_matching_never_confuses_two_numbers(first, second):
    roster = Roster([Participant("A", (Identifier(first, "X"),))])
    matched = roster.match(patient(second, "X"), LIS).study_ids
    assert (matched == ("A",)) == (first.strip() == second.strip())
