"""LB and SUPPLB by SDTMIG 3.4: what is in, what is not, and in whose words."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from adapter.export import laboratory
from tests.export.exporting import PERSON, datasets, of_test, rows, state_of
from tests.rules.laboratory import EHR, on, reported, understood

BILIRUBIN = {"code": "1975-2", "unit": "mg/dL"}


def one(*results, testcd="ALT", **more):
    (found,) = of_test(state_of(*results, **more), testcd)
    return found


def test_a_result_is_told_as_it_was_reported_and_in_the_standard_unit():
    found = one(understood(reported("1.20", **BILIRUBIN, taken=on(28, "0815"))), testcd="BILI")
    assert (found["LBORRES"], found["LBORRESU"]) == ("1.20", "mg/dL")
    assert (found["LBSTRESC"], found["LBSTRESN"], found["LBSTRESU"]) == ("20.52480", Decimal("20.52480"), "umol/L")
    assert (found["LBTEST"], found["LBCAT"], found["LBLOINC"]) == ("Bilirubin", "CHEMISTRY", "1975-2")


def test_a_value_below_the_limit_keeps_its_comparator_and_has_no_number():
    found = one(understood(reported("<0.3", **BILIRUBIN)), testcd="BILI")
    assert (found["LBORRES"], found["LBSTRESC"], found["LBSTRESN"]) == ("<0.3", "<5.1312", None)


def test_full_width_signs_are_written_in_ascii_for_a_transport_file_holds_no_others():
    found = one(understood(reported("＜５")))
    assert (found["LBORRES"], found["LBSTRESC"]) == ("<5", "<5")
    assert one(understood(reported("≥40")))["LBORRES"] == ">=40"


@pytest.mark.parametrize(("unit", "term"), [("IU/L", "IU/L"), ("u/L", "U/L"), ("ukat/L", "ukat/L"), ("kU/L", "U/mL")])
def test_a_unit_is_told_by_cdiscs_term_for_what_was_sent(unit: str, term: str):
    found = one(understood(reported("2", unit=unit)))
    assert (found["LBORRESU"], found["LBSTRESU"]) == (term, "U/L")


def test_a_pure_number_has_no_unit_and_seconds_are_s():
    inr = one(understood(reported("1.10", code="6301-6", unit="{INR}")), testcd="INR")
    assert (inr["LBORRESU"], inr["LBSTRESC"], inr["LBSTRESU"]) == (None, "1.10", None)
    pt = one(understood(reported("13.1", code="5902-2", unit="秒")), testcd="PT")
    assert (pt["LBORRESU"], pt["LBSTRESU"], pt["LBCAT"]) == ("s", "s", "COAGULATION")


def test_the_specimen_is_what_the_loinc_code_says_and_nothing_where_it_says_several():
    assert one(understood(reported()))["LBSPEC"] == "SERUM OR PLASMA"
    assert one(understood(reported("1.1", code="34714-6", unit="1")), testcd="INR")["LBSPEC"] == "BLOOD"
    assert one(understood(reported("1.1", code="38875-1", unit="1")), testcd="INR")["LBSPEC"] is None
    assert one(understood(reported(code="ALT", system="L")))["LBSPEC"] is None


def test_a_local_code_is_no_loinc_code():
    assert one(understood(reported(code="ALT", system="L")))["LBLOINC"] is None


@pytest.mark.parametrize(
    ("taken", "dtc"),
    [
        (on(28), "2026-02-02"),
        (on(28, "0815"), "2026-02-02T08:15+08:00"),
        (on(28, "081530"), "2026-02-02T08:15:30+08:00"),
        (on(28, "2330-0500"), "2026-02-03T12:30+08:00"),
    ],
)
def test_the_time_has_the_precision_it_was_sent_with_in_the_trials_zone(taken: str, dtc: str):
    assert one(understood(reported(taken=taken)))["LBDTC"] == dtc


@pytest.mark.parametrize(("day", "study_day"), [(-1, -1), (0, 1), (1, 2), (28, 29)])
def test_there_is_no_study_day_zero(day: int, study_day: int):
    assert one(understood(reported(taken=on(day))))["LBDY"] == study_day


def test_every_final_result_is_in_and_the_visits_value_is_flagged():
    chosen = understood(reported("40", taken=on(28), order="filler:A"))
    lost = understood(reported("50", taken=on(31), order="filler:B"), message="M2")
    unscheduled = understood(reported("60", taken=on(50), order="filler:C"), message="M3")
    state = state_of(chosen, lost, unscheduled)
    found = of_test(state, "ALT")
    assert [(r["LBORRES"], r["VISITNUM"], r["VISIT"], r["VISITDY"]) for r in found] == [
        ("40", 1, "WEEK 4", 29),
        ("50", 1, "WEEK 4", 29),
        ("60", None, None, None),
    ]
    (flag,) = rows(state, "SUPPLB")
    assert (flag["IDVAR"], flag["IDVARVAL"]) == ("LBSEQ", str(found[0]["LBSEQ"]))
    assert (flag["QNAM"], flag["QVAL"], flag["QEVAL"]) == ("LBSELFL", "Y", None)


def test_the_last_final_result_before_infusion_is_flagged_as_that():
    before = understood(reported("40", taken=on(-9), order="filler:A"))
    last = understood(reported("50", taken=on(-2), order="filler:B"), message="M2")
    assert [(r["LBORRES"], r["LBLOBXFL"]) for r in of_test(state_of(before, last), "ALT")] == [
        ("40", None),
        ("50", "Y"),
    ]


@pytest.mark.parametrize("taken", [on(28), on(50), on(-2)])
def test_a_preliminary_result_is_not_in(taken: str):
    state = state_of(understood(reported(status="P", taken=taken)))
    assert of_test(state, "ALT") == []


def test_a_preliminary_one_beside_a_final_one_is_not_in():
    final = understood(reported("40", order="filler:A"))
    other = understood(reported("50", status="P", order="filler:B", taken=on(27)), message="M2")
    assert one(final, other)["LBORRES"] == "40"


def test_what_was_corrected_or_taken_back_is_not_in():
    first = understood(reported("40"))
    corrected = understood(reported("45", status="C"), message="M2")
    assert one(first, corrected)["LBORRES"] == "45"
    deleted = understood(reported("45", status="D"), message="M2")
    assert of_test(state_of(first, deleted), "ALT") == []


def test_results_that_contradict_each_other_wait_for_their_answer():
    taken = on(28, "0815")
    one_way = understood(reported("40", taken=taken, order="filler:A"))
    another = understood(reported("50", taken=taken, order="filler:B"), message="M2")
    state = state_of(one_way, another)
    assert [r for r in rows(state, "LB") if r["LBTESTCD"] == "ALT" and r["VISITNUM"] == 1] == []


@pytest.mark.parametrize("day", [28, 50, -2])
def test_the_same_result_through_two_sources_is_in_once(day: int):
    first = understood(reported("40", taken=on(day, "0815")))
    again = understood(reported("40.0", taken=on(day, "081530"), order="fhir:Observation/7"), message="M2", source=EHR)
    state = state_of(first, replace(again, status=first.status))
    assert len(of_test(state, "ALT")) == 1


def test_results_of_one_day_with_different_times_are_two():
    first = understood(reported("40", taken=on(50, "0815"), order="filler:A"))
    second = understood(reported("40", taken=on(50, "1815"), order="filler:B"), message="M2")
    assert len(of_test(state_of(first, second), "ALT")) == 2


def test_after_the_window_has_closed_what_is_missing_is_not_done_and_why():
    missing = [r for r in rows(state_of(), "LB") if r["VISITNUM"] == 1]
    assert {r["LBTESTCD"] for r in missing} == {"ALT", "AST", "ALP", "BILI", "ALB", "PT", "INR"}
    for row in missing:
        assert (row["LBSTAT"], row["LBORRES"], row["LBSTRESC"], row["LBDTC"]) == ("NOT DONE", None, None, None)
        assert row["LBREASND"] == "No result was received before the window of the visit closed."


def test_what_is_pending_or_not_expected_any_longer_is_no_record():
    assert rows(state_of(today=date(2026, 2, 9)), "LB") == []
    ended = replace(PERSON, ended_on=date(2026, 1, 20), ended_by="died")
    assert rows(state_of(who=ended), "LB") == []


def test_what_the_laboratory_could_not_do_is_not_done_in_its_words_and_on_its_day():
    state = state_of(understood(reported("haemolysed", taken=on(27))))
    (row,) = [r for r in rows(state, "LB") if (r["LBTESTCD"], r["VISITNUM"]) == ("ALT", 1)]
    assert (row["LBSTAT"], row["LBDTC"], row["LBDY"]) == ("NOT DONE", "2026-02-01", 28)
    assert row["LBREASND"] == "The laboratory reported that there is no result."


def test_an_open_question_is_neither_a_result_nor_not_done():
    state = state_of(understood(reported("40", unit="")))
    assert [r for r in rows(state, "LB") if (r["LBTESTCD"], r["VISITNUM"]) == ("ALT", 1)] == []


def test_records_are_counted_from_one_within_a_participant_in_the_order_of_their_tests():
    found = rows(state_of(understood(reported("40"))), "LB")
    assert [r["LBSEQ"] for r in found] == list(range(1, len(found) + 1))
    assert [r["LBTESTCD"] for r in found] == sorted(r["LBTESTCD"] for r in found)


def test_a_record_names_where_its_bytes_are_and_no_identifier_of_the_hospital():
    sent = understood(reported("40", order="filler:SECRET", locator="OBX[3]"))
    assert one(sent)["LBSPID"] == f"{sent.origin.inbox_id} OBX[3]"
    resource = understood(reported("40", locator="Observation/SECRET#component[1]"), source=EHR)
    assert one(resource)["LBSPID"] == f"{resource.origin.inbox_id} component[1]"


def test_the_order_in_which_results_came_decides_nothing():
    found = [understood(reported(str(n), taken=on(20 + n), order=f"filler:{n}"), message=f"M{n}") for n in range(12)]
    assert datasets(state_of(*found)) == datasets(state_of(*reversed(found)))


def test_every_flag_of_a_value_has_a_qualifier():
    rules = Path(__file__).parents[2] / "adapter/rules/cells.py"
    flags = set(re.findall(r'flags\.append\("(\w+)"\)', rules.read_text(encoding="utf-8")))
    assert flags == set(laboratory.FLAGS)
    for name, label in (laboratory.CHOSEN, *laboratory.FLAGS.values()):
        assert re.fullmatch("[A-Z][A-Z0-9]{0,7}", name)
        assert len(label) <= 40
