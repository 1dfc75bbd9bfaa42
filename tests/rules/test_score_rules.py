"""Trial.md section 7: scores from the values of one visit, or none and the reason named."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from laboratory import INFUSED_ON, PROTOCOL, WHO, cell, on, reasons, reported, row, table, understood

from adapter.model import Assessment, Derived, ScoreRules, SelectionRow
from adapter.rules.interpret import Interpreted

CODES = {
    "TBIL": ("1975-2", "mg/dL"),
    "INR": ("6301-6", ""),
    "CREA": ("2160-0", "mg/dL"),
    "NA": ("2951-2", "mmol/L"),
    "ALB": ("1751-7", "g/dL"),
    "PT": ("5902-2", "s"),
}
WOMAN, MAN = replace(WHO, sex="F"), replace(WHO, sex="M")
MELD_20 = {"TBIL": "4.2", "INR": "1.2", "CREA": "1.9"}  # ameld's first case
CHILD_PUGH_A = {"TBIL": "1.5", "ALB": "3.8", "INR": "1.2"}


def sent(analyte: str, value: str, *, day: int = 28, **more: Any) -> Interpreted:
    """A result of one input, a message of its own."""
    code, unit = CODES[analyte]
    given = {"code": code, "unit": unit, "taken": on(day), "order": f"filler:{analyte}", **more}
    return understood(reported(value, **given), message=f"{analyte} {day} {value} {more}")


def laboratory(values: dict[str, str], **more: Any) -> list[Interpreted]:
    return [sent(analyte, value, **more) for analyte, value in values.items()]


def judged(day: int = 28, **items: str) -> Assessment:
    return Assessment(WHO.study_id, INFUSED_ON + timedelta(days=day), **items)


WELL = judged(ascites="none", encephalopathy="none")


def scored(*results: Interpreted, endpoint: str = "MELD", **more: Any) -> SelectionRow:
    return cell(table(*results, **more), endpoint=endpoint)


def inputs(row: SelectionRow) -> Any:
    assert row.score is not None
    return row.score["inputs"]


# --- MELD ---------------------------------------------------------------------------------------------------------


def test_meld_is_computed_from_bilirubin_inr_and_creatinine_of_the_same_visit() -> None:
    found = scored(*laboratory(MELD_20))
    assert (found.value, found.status, found.unit, found.reason) == ("20", "captured", "{score}", None)
    assert (found.collected_at, found.day_offset, found.source, found.message_id) == ("2026-02-02", 0, None, None)


def test_a_score_keeps_its_inputs_its_formula_and_its_settings() -> None:
    found = scored(*laboratory(MELD_20))
    assert found.score is not None
    assert found.score["formula"] == "MELD_UNOS"
    assert found.score["settings"] == {"max_days_apart": "2"}
    assert inputs(found)["TBIL"] == {
        "value": "71.8368",
        "comparator": None,
        "unit": "umol/L",
        "reported": "4.2",
        "reported_unit": "mg/dL",
        "collected_at": "2026-02-02",
        "why": None,
    }
    assert list(inputs(found)) == ["TBIL", "INR", "CREA", "dialysis"]


def test_values_of_another_visit_are_no_inputs() -> None:
    results = laboratory({"TBIL": "4.2", "INR": "1.2"}) + laboratory({"CREA": "1.9"}, day=84)
    derived = table(*results)
    assert cell(derived, endpoint="MELD").reason == "missing_input: CREA"
    assert cell(derived, "week-12", "MELD").reason == "missing_input: TBIL, INR"


def test_the_other_formulas_are_kept_where_their_inputs_exist() -> None:
    derived = table(*laboratory({**MELD_20, "NA": "125"}), who=WOMAN)
    assert cell(derived, endpoint="MELD_NA").value == "28"
    assert cell(derived, endpoint="MELD_3_0").reason == "missing_input: ALB"
    derived = table(*laboratory({"TBIL": "2.5", "INR": "1.0", "CREA": "1.2", "NA": "131", "ALB": "3.8"}), who=WOMAN)
    assert cell(derived, endpoint="MELD_3_0").value == "17"


def test_which_meld_the_endpoint_is_the_protocol_says() -> None:
    protocol = replace(
        PROTOCOL,
        analytes={**PROTOCOL.analytes, "MELD": replace(PROTOCOL.analytes["MELD"], formula="MELD_NA")},
    )
    found = scored(*laboratory({**MELD_20, "NA": "125"}), protocol=protocol)
    assert found.value == "28"
    assert found.score is not None
    assert found.score["formula"] == "MELD_NA"


def test_meld_3_needs_the_sex_and_names_it_where_the_roster_has_none() -> None:
    values = {"TBIL": "2.5", "INR": "1.0", "CREA": "1.2", "NA": "131", "ALB": "3.8"}
    assert scored(*laboratory(values), endpoint="MELD_3_0").reason == "missing_input: sex"
    assert scored(*laboratory(values), endpoint="MELD_3_0", who=MAN).value == "16"


def test_dialysis_counts_where_it_was_assessed() -> None:
    values = {"TBIL": "2.0", "INR": "2.0", "CREA": "1.0"}
    found = scored(*laboratory(values), assessments=[judged(dialysis="yes")])
    assert (found.value, found.flags) == ("30", ())
    assert inputs(found)["dialysis"] == {"value": "yes", "unit": None, "collected_at": "2026-02-02", "why": None}
    assert scored(*laboratory(values), assessments=[judged(dialysis="no")]).value == "17"


def test_dialysis_that_was_not_assessed_counts_as_none_and_says_so() -> None:
    found = scored(*laboratory(MELD_20), assessments=[judged(84, dialysis="yes"), WELL])
    assert (found.value, found.flags) == ("20", ("dialysis_not_assessed",))


# --- Child-Pugh ---------------------------------------------------------------------------------------------------


def child_pugh(values: dict[str, str], *assessments: Assessment, **more: Any) -> SelectionRow:
    return scored(*laboratory(values, **more), endpoint="CHILD_PUGH", assessments=assessments)


def test_child_pugh_is_computed_from_bilirubin_albumin_inr_and_what_was_assessed() -> None:
    found = child_pugh(CHILD_PUGH_A, WELL)
    assert (found.value, found.status) == ("5", "captured")
    assert found.score is not None
    points = {"TBIL": 1, "ALB": 1, "INR": 1, "ascites": 1, "encephalopathy": 1}
    assert (found.score["points"], found.score["grade"]) == (points, "A")
    sick = judged(ascites="mild", encephalopathy="grade_1_2")
    found = child_pugh({"TBIL": "2.5", "ALB": "3.0", "INR": "2.0"}, sick)
    assert found.score is not None
    assert (found.value, found.score["grade"]) == ("10", "C")


def test_the_cut_offs_are_those_of_the_unit_reported() -> None:
    def bilirubin(value: str, unit: str) -> object:
        results = [sent("TBIL", value, unit=unit), *laboratory({"ALB": "3.8", "INR": "1.2"})]
        found = scored(*results, endpoint="CHILD_PUGH", assessments=[WELL])
        assert found.score is not None
        return found.score["points"]["TBIL"]  # type: ignore[index]

    assert [bilirubin(v, "mg/dL") for v in ("1.99", "2.0", "3.0", "3.01")] == [1, 2, 2, 3]
    assert [bilirubin(v, "umol/L") for v in ("33.9", "34", "34.2", "51", "51.1")] == [1, 2, 2, 2, 3]
    assert [bilirubin(v, "mg/L") for v in ("19.9", "20", "30", "30.1")] == [1, 2, 2, 3]
    # 51.2 umol/L is 2.993 mg/dL, and 3.0 mg/dL is 51.312 umol/L: converted, each would score otherwise.
    assert (bilirubin("51.2", "umol/L"), bilirubin("3.0", "mg/dL")) == (3, 2)


def test_prothrombin_time_by_its_prolongation_where_the_protocol_says_so() -> None:
    rules = ScoreRules(clotting="PT", pt_control=Decimal("12.0"))
    results = laboratory({"TBIL": "1.5", "ALB": "3.8", "PT": "16.0"})
    found = scored(*results, endpoint="CHILD_PUGH", assessments=[WELL], protocol=replace(PROTOCOL, scores=rules))
    assert found.score is not None
    assert found.score["points"]["PT"] == 2  # type: ignore[index]
    assert found.score["settings"] == {"max_days_apart": "2", "clotting": "PT", "pt_control": "12.0"}


def test_the_assessment_nearest_to_the_target_within_the_window_counts_item_by_item() -> None:
    far = judged(33, ascites="moderate_severe", encephalopathy="grade_3_4")
    near = judged(27, ascites="mild")
    outside = judged(37, ascites="none", encephalopathy="none")
    found = child_pugh(CHILD_PUGH_A, outside, far, near)
    assert (inputs(found)["ascites"]["value"], inputs(found)["encephalopathy"]["value"]) == ("mild", "grade_3_4")


def test_of_two_assessments_equally_far_from_the_target_the_later_counts() -> None:
    found = child_pugh(CHILD_PUGH_A, judged(30, ascites="mild", encephalopathy="none"), judged(26, ascites="none"))
    assert inputs(found)["ascites"] == {"value": "mild", "unit": None, "collected_at": "2026-02-04", "why": None}


def test_an_assessment_that_is_missing_is_named() -> None:
    assert child_pugh(CHILD_PUGH_A).reason == "missing_input: ascites, encephalopathy"
    assert child_pugh(CHILD_PUGH_A, judged(ascites="none")).reason == "missing_input: encephalopathy"


def test_an_assessment_on_or_after_the_end_of_observation_does_not_count() -> None:
    left = replace(WHO, ended_on=INFUSED_ON + timedelta(days=28), ended_by="withdrawn")
    early = laboratory(CHILD_PUGH_A, day=26)
    found = scored(*early, endpoint="CHILD_PUGH", who=left, assessments=[WELL])
    assert found.reason == "missing_input: ascites, encephalopathy"


# --- no score, and the reason named -------------------------------------------------------------------------------


def test_a_missing_input_is_named_and_never_guessed() -> None:
    found = scored(*laboratory({"TBIL": "4.2", "CREA": "1.9"}))
    assert (found.value, found.status, found.reason) == (None, "empty", "missing_input: INR")
    assert inputs(found)["INR"]["why"] == "missing"


def test_an_undecided_input_leaves_the_score_in_review_with_its_question() -> None:
    held = sent("CREA", "1,9")
    derived = table(*laboratory({"TBIL": "4.2", "INR": "1.2"}), held)
    found = cell(derived, endpoint="MELD")
    assert (found.value, found.status, found.reason) == (None, "in_review", "input_in_review: CREA")
    assert found.open_items == cell(derived, endpoint="CREA").open_items != ()


def test_a_question_cannot_give_a_score_that_lacks_another_input() -> None:
    found = scored(*laboratory({"TBIL": "4.2"}), sent("CREA", "1,9"))
    assert (found.status, found.reason) == ("empty", "missing_input: INR")
    assert inputs(found)["CREA"]["why"] == "in_review"


def test_a_provisional_input_gives_no_score() -> None:
    found = scored(*laboratory({"TBIL": "4.2", "INR": "1.2"}), sent("CREA", "1.9", status="P"))
    assert (found.value, found.reason) == (None, "provisional_input: CREA")


@pytest.mark.parametrize(("day", "reason"), [(30, None), (31, "inputs_too_far_apart: TBIL, INR, CREA")])
def test_laboratory_inputs_more_than_two_days_apart_give_no_score(day: int, reason: str | None) -> None:
    found = scored(*laboratory({"TBIL": "4.2", "INR": "1.2"}), sent("CREA", "1.9", day=day))
    assert found.reason == reason
    assert found.value == (None if reason else "20")
    assert found.collected_at == (None if reason else "2026-02-04")


def test_days_apart_are_of_the_inputs_of_that_score_alone() -> None:
    results = [*laboratory(MELD_20), sent("NA", "125", day=31)]
    assert scored(*results).value == "20"
    assert scored(*results, endpoint="MELD_NA").reason == "inputs_too_far_apart: TBIL, INR, CREA, NA"


@pytest.mark.parametrize(
    ("bilirubin", "creatinine", "value", "reason"),
    [
        ("<1.0", "1.9", "15", None),  # counts as 1.0 whatever it was
        ("<0.5", "1.9", "15", None),
        ("<2.5", "1.9", None, "undecided_input: TBIL"),
        ("4.2", ">4.0", "27", None),  # counts as 4.0 whatever it was
        ("4.2", ">3.9", "27", None),  # 3.9 and 4.0 round alike
        ("4.2", ">1.9", None, "undecided_input: CREA"),
        ("<1.5", ">4.0", None, "undecided_input: TBIL"),
        (">30", "4.0", None, "undecided_input: TBIL"),
    ],
)
def test_an_input_with_a_comparator_counts_where_the_score_is_the_same_whatever_it_was(
    bilirubin: str, creatinine: str, value: str | None, reason: str | None
) -> None:
    found = scored(*laboratory({"TBIL": bilirubin, "INR": "1.2", "CREA": creatinine}))
    assert (found.value, found.reason) == (value, reason)


@pytest.mark.parametrize(
    ("bilirubin", "total"),
    [("<2", 5), ("<2.0", 5), ("<=2", None), ("<2.1", None), (">=2", None), (">3", 7), (">=3", None), (">2.9", None)],
)
def test_a_comparator_that_leaves_the_points_undecided_gives_no_child_pugh(bilirubin: str, total: int | None) -> None:
    found = child_pugh({**CHILD_PUGH_A, "TBIL": bilirubin}, WELL)
    assert found.value == (None if total is None else str(total))
    assert found.reason == (None if total else "undecided_input: TBIL")


def test_an_input_accepted_outside_its_window_is_said_of_the_score() -> None:
    far = sent("CREA", "1.9", day=36)
    results = [*laboratory({"TBIL": "4.2", "INR": "1.2"}, day=35), far]
    from adapter.model import Decision

    body = {"study_id": WHO.study_id, "visit": "week-4", "endpoint": "CREA", "result": far.key, "evidence": ""}
    derived = table(*results, decisions=[Decision(1, "accept_outside", body, "A", "2026-03-01", "agreed")])
    found = cell(derived, endpoint="MELD")
    assert (found.value, found.flags) == ("20", ("dialysis_not_assessed", "input_outside_window"))


# --- an input changes ---------------------------------------------------------------------------------------------


def test_when_an_input_is_corrected_so_is_the_score_and_at_that_visit_alone() -> None:
    both = [*laboratory(MELD_20), *laboratory(MELD_20, day=84)]
    before, after = table(*both), table(*both, sent("CREA", "3.0", status="C"))
    assert (cell(before, endpoint="MELD").value, cell(after, endpoint="MELD").value) == ("20", "24")
    assert cell(before, "week-12", "MELD") == cell(after, "week-12", "MELD")


def test_when_an_input_is_taken_back_the_score_goes_too() -> None:
    found = scored(*laboratory(MELD_20), sent("CREA", "1.9", status="D", sent="20260901120000"))
    assert (found.value, found.reason) == (None, "missing_input: CREA")


# --- reported scores ----------------------------------------------------------------------------------------------


def said(value: str, code: str = "44760-7", day: int = 28, **more: Any) -> Interpreted:
    given = {"code": code, "unit": "{score}", "taken": on(day), "order": f"filler:{code}", **more}
    return understood(reported(value, **given), message=f"{code} {value} {day}")


def test_a_score_that_arrives_as_a_result_is_stored_beside_the_derived_one() -> None:
    result = said("20")
    derived = table(*laboratory(MELD_20), result)
    found = cell(derived, endpoint="MELD")
    assert found.value == "20"
    assert found.score is not None
    assert found.score["reported"]["value"] == "20"  # type: ignore[index]
    assert (row(derived, result).outcome, row(derived, result).endpoint) == ("placed", "MELD")
    assert reasons(derived) == []
    placed = [p for p in derived.placements if p.endpoint == "MELD"]
    assert [(p.chosen, p.why) for p in placed] == [(False, "score_is_computed")]


def test_where_a_reported_score_differs_it_is_asked() -> None:
    derived = table(*laboratory(MELD_20), said("21"))
    found = cell(derived, endpoint="MELD")
    assert (found.value, found.status) == ("20", "captured")
    assert reasons(derived) == ["score_mismatch"]
    item = derived.items[0]
    assert (item.visit, item.endpoint, item.value_text, item.detail["computed"]) == ("week-4", "MELD", "21", "20")
    assert found.open_items == (item.id,)


def test_a_reported_score_never_stands_in_for_one_that_cannot_be_computed() -> None:
    found = scored(said("21"))
    assert (found.value, found.status, found.reason) == (None, "empty", "missing_input: TBIL, INR, CREA")
    assert found.score is not None
    assert found.score["reported"]["value"] == "21"  # type: ignore[index]


def test_a_reported_score_is_compared_with_the_formula_of_its_code() -> None:
    results = laboratory({**MELD_20, "NA": "125"})
    assert reasons(table(*results, said("28", "100348-2"))) == []
    assert reasons(table(*results, said("20", "100348-2"))) == ["score_mismatch"]
    assert reasons(table(*results, said("5", "98152-2"))) == []  # Child-Pugh cannot be computed: nothing to differ from


def test_a_mismatch_that_was_settled_is_asked_again_when_the_score_changes() -> None:
    from adapter.model import Decision

    first = table(*laboratory(MELD_20), said("21"))
    body = {"item": first.items[0].id, "evidence": first.items[0].evidence}
    settled = [Decision(1, "dismiss_item", body, "A", "2026-03-01", "the laboratory rounds otherwise")]
    assert reasons(table(*laboratory(MELD_20), said("21"), decisions=settled)) == []
    corrected = sent("CREA", "3.0", status="C")
    assert reasons(table(*laboratory(MELD_20), corrected, said("21"), decisions=settled)) == ["score_mismatch"]


def test_no_window_is_missed_for_a_score() -> None:
    derived = table(said("21", day=40), today=date(2026, 9, 1))
    assert reasons(derived) == []


def every_score(derived: Derived) -> list[SelectionRow]:
    return [s for s in derived.selections if PROTOCOL.analytes[s.endpoint].derived]


def test_without_an_infusion_date_there_is_no_score() -> None:
    derived = table(*laboratory(MELD_20), who=replace(WHO, infused_at=None), assessments=[WELL])
    assert {s.value for s in every_score(derived)} == {None}
