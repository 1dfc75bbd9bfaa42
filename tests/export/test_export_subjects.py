"""DM and SV by SDTMIG 3.4: who takes part, without arm and identity, and when they were seen."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from adapter.export.variables import DM
from tests.export.exporting import PERSON, rows, state_of
from tests.rules.laboratory import on, reported, understood


def dm(**changes):
    (row,) = rows(state_of(who=replace(PERSON, **changes)), "DM")
    return row


def sv(state):
    return {row["VISIT"]: row for row in rows(state, "SV")}


def test_the_infusion_is_the_reference_start_and_the_first_treatment():
    row = dm(infused_at="2026-01-05")
    assert (row["RFSTDTC"], row["RFXSTDTC"]) == ("2026-01-05", "2026-01-05")
    assert (row["USUBJID"], row["SUBJID"], row["SITEID"]) == ("NCT06984497-S-001", "S-001", "NTCGH")
    assert row["COUNTRY"] == "CHN"


def test_an_infusion_at_a_time_is_told_in_the_trials_zone():
    assert dm(infused_at="2026-01-04T23:30Z")["RFSTDTC"] == "2026-01-05T07:30:00+08:00"


def test_whoever_is_not_infused_yet_has_no_reference_start_and_no_age():
    row = dm(infused_at=None)
    assert [row[name] for name in ("RFSTDTC", "RFXSTDTC", "AGE", "AGEU")] == [None] * 4


def test_there_is_no_variable_of_an_arm_and_none_of_an_identity():
    names = {v.name for v in DM.variables}
    assert [name for name in names if "ARM" in name] == []
    assert "BRTHDTC" not in names


@pytest.mark.parametrize(
    ("birth_date", "age"), [("1961-01-05", 65), ("1961-01-06", 64), ("1960-02-29", 65), (None, None)]
)
def test_age_is_whole_years_on_the_day_of_infusion(birth_date: str | None, age: int | None):
    row = dm(birth_date=birth_date)
    assert (row["AGE"], row["AGEU"]) == (age, None if age is None else "YEARS")


@pytest.mark.parametrize(("sex", "term"), [("F", "F"), ("M", "M"), (None, "U")])
def test_a_sex_that_is_not_known_is_u(sex: str | None, term: str):
    assert dm(sex=sex)["SEX"] == term


@pytest.mark.parametrize(("why", "death", "flag"), [("died", "2026-03-01", "Y"), ("withdrawn", None, None)])
def test_the_end_of_participation_is_told_and_of_a_death_its_date(why: str, death: str | None, flag: str | None):
    row = dm(ended_on=date(2026, 3, 1), ended_by=why)
    assert (row["RFENDTC"], row["RFPENDTC"]) == ("2026-03-01", "2026-03-01")
    assert (row["DTHDTC"], row["DTHFL"]) == (death, flag)


def test_a_visit_lasts_from_its_first_to_its_last_collection():
    early = understood(reported("40", taken=on(26, "0800"), order="filler:A"))
    late = understood(reported("35.1", code="1751-7", unit="g/L", taken=on(30, "2300"), order="filler:B"), message="M2")
    row = sv(state_of(early, late))["WEEK 4"]
    assert (row["VISITNUM"], row["VISITDY"], row["SVPRESP"], row["SVOCCUR"]) == (1, 29, "Y", "Y")
    assert (row["SVSTDTC"], row["SVENDTC"]) == ("2026-01-31", "2026-02-04")
    assert (row["SVSTDY"], row["SVENDY"]) == (27, 31)


def test_a_visit_whose_window_closed_with_nothing_did_not_occur_as_far_as_is_known():
    row = sv(state_of())["WEEK 12"]
    assert (row["SVOCCUR"], row["SVSTDTC"]) == ("N", None)
    assert row["SVREASOC"] == "No laboratory result was received in the window of the visit."


def test_a_visit_that_is_still_to_come_is_no_record():
    assert rows(state_of(today=date(2026, 1, 20)), "SV") == []


def test_a_visit_of_which_all_is_in_question_is_left_open():
    row = sv(state_of(understood(reported("40", unit=""))))["WEEK 4"]
    assert (row["SVOCCUR"], row["SVREASOC"]) == (None, None)


def test_an_unscheduled_result_makes_no_visit():
    state = state_of(understood(reported("40", taken=on(50))), today=date(2026, 3, 1))
    assert set(sv(state)) == {"WEEK 4"}
