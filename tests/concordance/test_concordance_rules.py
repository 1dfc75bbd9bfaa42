"""When two numbers agree, what is found where they do not, and what the odd one fits."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from concordance_samples import held_against, in_review, ours, question, result, selected, sheet
from hypothesis import given
from hypothesis import strategies as st

import adapter.concordance
import adapter.words
from adapter.concordance import Comparison, compare
from adapter.concordance.nouns import KINDS
from adapter.concordance.rounding import agrees, rounded
from adapter.model import PlacementRow
from adapter.words import knows, say_step

WIDE = Context(prec=80)
numbers = st.decimals(min_value=0, max_value=10**6, places=4)


def kinds(found: Comparison) -> list[str]:
    return [each.kind for each in found.findings]


def rules(found: Comparison) -> list[str]:
    (finding,) = found.findings
    assert all(knows(step.rule) for step in finding.fits)
    return [step.rule for step in finding.fits]


# --- rounding -----------------------------------------------------------------------------------------------------


@given(ours=numbers, decimals=st.integers(0, 4))
def test_whatever_rounding_gives_agrees(ours: Decimal, decimals: int):
    step = Decimal(1).scaleb(-decimals)
    for rounding in (ROUND_HALF_UP, ROUND_HALF_EVEN):
        assert agrees(ours.quantize(step, rounding, WIDE), Fraction(ours))


@given(ours=numbers, decimals=st.integers(0, 4), away=st.sampled_from([-1, 1]))
def test_one_step_further_than_rounding_gives_does_not_agree(ours: Decimal, decimals: int, away: int):
    step = Decimal(1).scaleb(-decimals)
    allowed = {ours.quantize(step, rounding, WIDE) for rounding in (ROUND_HALF_UP, ROUND_HALF_EVEN)}
    beyond = max(allowed) + step if away > 0 else min(allowed) - step
    assert not agrees(beyond, Fraction(ours))


@given(ours=numbers, entered=numbers, factor=st.sampled_from(["17.104", "60", "88.42", "0.06"]))
def test_what_agrees_lies_within_half_a_step_and_what_lies_nearer_agrees(ours: Decimal, entered: Decimal, factor: str):
    value = Fraction(ours) / Fraction(factor)
    near = rounded(value, entered)
    assert agrees(near, value)
    assert abs(Fraction(near) - value) * 2 <= Fraction(1, 10**4)


@pytest.mark.parametrize(("entered", "expected"), [("2.2", True), ("2.3", True), ("2.1", False), ("2.4", False)])
def test_a_tie_may_be_rounded_up_or_to_the_even_digit(entered: str, expected: bool):
    assert agrees(Decimal(entered), Fraction("2.25")) is expected


def test_a_quotient_without_end_is_not_cut_before_it_is_compared():
    assert agrees(Decimal("0.33333333333333333333333333333333333333333"), Fraction(1, 3))
    assert not agrees(Decimal("0.33333333333333333333333333333333333333334"), Fraction(1, 3))


# --- one cell -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("endpoint", "value", "entered"),
    [
        ("TBIL", "35.9184", "2.1,mg/dL"),
        ("TBIL", "35.9", "2.10,mg/dL"),
        ("TBIL", "35.9184", "36,μmol/L"),
        ("ALB", "35.1", "3.51,g/dl"),
        ("ALT", "40", "40.0,IU/L"),
        ("ALT", "40", "0.67,ukat/L"),
        ("INR", "1.10", "1.1,"),
        ("INR", "1.10", "1.1,INR"),
        ("MELD", "21", "21,"),
        ("CHILD_PUGH", "8", "8,points"),
    ],
)
def test_a_rounded_number_in_a_known_unit_agrees(endpoint: str, value: str, entered: str):
    assert kinds(held_against(result(value, endpoint), f"{endpoint},{entered},")) == []


@pytest.mark.parametrize(
    ("endpoint", "value", "entered", "as_entered"),
    [("TBIL", "35.9184", "2.2,mg/dL", "2.1"), ("ALT", "40", "41,U/L", "40"), ("INR", "1.15", "1.17,", "1.15")],
)
def test_a_number_beyond_rounding_differs_and_ours_is_told_as_it_would_be_entered(
    endpoint: str, value: str, entered: str, as_entered: str
):
    found = held_against(result(value, endpoint), f"{endpoint},{entered},")
    assert kinds(found) == ["value_differs"]
    assert str(found.findings[0].rounded) == as_entered


def test_a_true_zero_is_a_value():
    zero = result("0", "TBIL")
    assert kinds(held_against(zero, "TBIL,0.0,umol/L,")) == []
    assert kinds(held_against(zero, "TBIL,0.1,umol/L,")) == ["value_differs"]
    assert kinds(held_against(zero, "TBIL,,umol/L,")) == ["only_here"]


@pytest.mark.parametrize("entered", ["5", "<=5", ">5"])
def test_another_comparator_is_a_finding_of_its_own(entered: str):
    assert kinds(held_against(result("5", comparator="<"), f"ALT,{entered},U/L,")) == ["comparator_differs"]
    assert kinds(held_against(result("5", comparator="<"), "ALT,<5,U/L,")) == []


def test_the_gravest_is_the_kind_and_the_rest_is_told_too():
    (finding,) = held_against(result("5", comparator="<"), "ALT,6,U/L,2026-02-03").findings
    assert (finding.kind, finding.also) == ("value_differs", ("comparator_differs", "date_differs"))


def test_dates_are_compared_where_both_sides_have_one():
    assert kinds(held_against(result("40"), "ALT,40,U/L,2026-02-02")) == []
    assert kinds(held_against(result("40"), "ALT,40,U/L,")) == []
    assert kinds(held_against(result("40"), "ALT,40,U/L,2026-02-03")) == ["date_differs"]


def test_the_date_of_a_score_is_not_compared():
    assert kinds(held_against(result("21", "MELD"), "MELD,21,,2026-02-20")) == []


@pytest.mark.parametrize(("endpoint", "unit"), [("PT", "%"), ("ALT", "mmol/L"), ("ALT", ""), ("TBIL", "")])
def test_an_unknown_unit_and_one_that_is_not_stated_are_not_guessed(endpoint: str, unit: str):
    assert kinds(held_against(result("40", endpoint), f"{endpoint},40,{unit},")) == ["unit_unknown"]


def test_a_value_on_one_side_alone_is_found_from_both():
    mine = ours(selected(result("40")), in_review("AST"), items=[question()])
    found = compare(mine, sheet("S-001,week-4,AST,30,U/L,", "S-001,week-4,ALT,,,"), sample=True)
    assert [(each.cell[2], each.kind) for each in found.findings] == [("ALT", "only_here"), ("AST", "only_there")]
    assert [item.id for item in found.findings[1].here.items] == ["q1"]


def test_a_value_on_neither_side_is_no_finding():
    found = compare(ours(in_review("AST")), sheet("S-001,week-4,AST,,U/L,"), sample=True)
    assert found.clean
    assert found.outcomes == {("S-001", "week-4", "AST"): "neither"}


def test_what_the_file_does_not_list_is_missing_from_it_unless_it_is_a_sample():
    mine = ours(selected(result("40")), selected(result("30", "AST")))
    rows = sheet("S-001,week-4,ALT,40,U/L,")
    assert kinds(compare(mine, rows)) == ["only_here"]
    assert kinds(compare(mine, rows, sample=True)) == []


def test_supporting_analytes_are_looked_at_where_the_file_lists_them_at_all():
    mine = ours(selected(result("88", "CREA")), selected(result("90", "CREA", "week-12")))
    assert kinds(compare(mine, sheet())) == []
    assert kinds(compare(mine, sheet("S-001,week-4,CREA,88,umol/L,"))) == ["only_here"]


def test_a_row_that_cannot_be_read_is_neither_an_agreement_nor_missing():
    found = compare(ours(selected(result("40"))), sheet("S-001,week-4,ALT,forty,U/L,"))
    assert found.findings == ()
    assert found.outcomes["S-001", "week-4", "ALT"] == "not_compared"
    assert not found.clean


def test_limits_are_no_numbers_to_take_the_difference_of():
    assert [p.difference for p in held_against(result("40"), "ALT,42,U/L,").pairs] == [Decimal(2)]
    assert [p.difference for p in held_against(result("0.5", "TBIL"), "TBIL,1,mg/dL,").pairs] == [Decimal("16.604")]
    assert held_against(result("5", comparator="<"), "ALT,5,U/L,").pairs == ()
    assert held_against(result("5"), "ALT,<5,U/L,").pairs == ()


# --- what it fits -------------------------------------------------------------------------------------------------

ANOTHER = {"inbox_id": 2, "message_control_id": "M2"}


@pytest.mark.parametrize(
    ("endpoint", "value", "entered", "expected"),
    [
        ("TBIL", "35.9184", "2.1,umol/L", "In mg/dL the number entered is the value here."),
        ("ALB", "35.1", "3.51,g/L", "In g/dL the number entered is the value here."),
        ("PT", "13.5", "135,s", "With its decimal point moved by 1 the number entered is the value here."),
        ("PT", "13.5", "0.135,s", "With its decimal point moved by 2 the number entered is the value here."),
        ("ALT", "54", "45,U/L", "With the digits 4 and 5 exchanged the number entered is the value here."),
        ("INR", "1.36", "1.63,", "With the digits 6 and 3 exchanged the number entered is the value here."),
        ("TBIL", "59.864", "3.5008,mg/dL", "They differ by less than a thousandth, as two conversion factors do."),
    ],
)
def test_a_slip_that_explains_the_number_is_told(endpoint: str, value: str, entered: str, expected: str):
    (finding,) = held_against(result(value, endpoint), f"{endpoint},{entered},").findings
    assert [say_step(step) for step in finding.fits] == [expected]


def test_another_factor_is_told_only_where_something_was_converted():
    assert rules(held_against(result("1000.5"), "ALT,1000.0,U/L,")) == []
    converted = result("59.864", "TBIL", conversion="TBIL mg/dL x 17.104", reported="3.5", reported_unit="mg/dL")
    assert rules(held_against(converted, "TBIL,59.85,umol/L,")) == ["fits_factor"]


@pytest.mark.parametrize("entered", ["4", "0"])
def test_a_single_digit_fits_too_much_to_be_told(entered: str):
    assert rules(held_against(result("40"), f"ALT,{entered},U/L,")) == []


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"outcome": "superseded", "status": "P"}, "fits_superseded"),
        ({"outcome": "taken_back"}, "fits_taken_back"),
        ({"outcome": "unscheduled", "visit": None}, "fits_unscheduled"),
        ({"outcome": "baseline", "visit": None}, "fits_baseline"),
        ({"outcome": "held", "visit": None, "reason": "implausible_value"}, "fits_held"),
        ({"visit": "week-12"}, "fits_other_visit"),
        ({}, "fits_candidate"),
    ],
)
def test_another_result_with_the_value_entered_is_named(fields: dict[str, object], rule: str):
    other = result("47", **(ANOTHER | fields))
    (finding,) = held_against(result("40"), "ALT,47,U/L,", other).findings
    (step,) = finding.fits
    assert step.rule == rule
    assert "lis M2 OBX[1], 2026-02-02T08:15:00+08:00" in say_step(step)


def test_of_a_candidate_the_reason_it_lost_is_told():
    row, other = result("40"), result("47", **ANOTHER)
    lost = PlacementRow("S-001", "week-4", "ALT", 2, "OBX[1]", 2, False, "farther_from_target")
    mine = ours(selected(row), results=(row, other), placements=(lost,))
    found = compare(mine, sheet("S-001,week-4,ALT,47,U/L,"), sample=True)
    assert rules(found) == ["fits_candidate", "candidate_farther_from_target"]


def test_of_several_results_the_one_of_the_day_entered_comes_first():
    early = result("47", **ANOTHER, outcome="superseded", collected_at="2026-01-30")
    late = result("47", **(ANOTHER | {"inbox_id": 3}), outcome="taken_back", collected_at="2026-02-05")
    found = held_against(result("40"), "ALT,47,U/L,2026-02-05", early, late)
    assert rules(found) == ["fits_taken_back", "fits_superseded"]


def test_a_result_with_another_comparator_is_not_what_was_entered():
    assert rules(held_against(result("40"), "ALT,47,U/L,", result("47", **ANOTHER, comparator="<"))) == []


def test_another_endpoint_of_the_visit_with_the_number_entered_is_named():
    mine = ours(selected(result("40")), selected(result("35", "AST", locator="OBX[2]")))
    found = compare(mine, sheet("S-001,week-4,ALT,35,U/L,"), sample=True)
    (finding,) = found.findings
    assert [say_step(step) for step in finding.fits] == ["The number entered is that of AST at week-4: 35 U/L."]


def test_another_formula_and_another_visit_of_a_score_are_named():
    mine = ours(
        selected(result("21", "MELD")),
        selected(result("24", "MELD_NA")),
        selected(result("27", "MELD", "week-12")),
    )
    assert rules(compare(mine, sheet("S-001,week-4,MELD,24,,"), sample=True)) == ["fits_endpoint"]
    assert rules(compare(mine, sheet("S-001,week-4,MELD,27,,"), sample=True)) == ["fits_endpoint"]


def test_a_result_that_waits_in_the_cells_question_is_named():
    waiting = result(None, reported="47", outcome="held", reason="missing_unit", item="q1", visit=None)
    elsewhere = replace(waiting, item="q2", inbox_id=9, message_control_id="M9")
    mine = ours(in_review(), results=(waiting, elsewhere), items=(question(),))
    found = compare(mine, sheet("S-001,week-4,ALT,47,U/L,"), sample=True)
    assert rules(found) == ["fits_held"]
    assert "lis M1 OBX[1]" in say_step(found.findings[0].fits[0])


@pytest.mark.parametrize(
    ("collected", "entered", "rule"),
    [
        ("2026-02-02T08:15:00+08:00", "2026-02-04", "fits_report_date"),
        ("2026-03-02T08:15:00+08:00", "2026-02-03", "fits_day_and_month"),
        ("2026-02-02T08:15:00+08:00", "2025-02-02", "fits_another_year"),
        ("2026-02-02T00:30:00+08:00", "2026-02-01", "fits_utc_date"),
    ],
)
def test_what_else_the_date_is_is_told(collected: str, entered: str, rule: str):
    assert rules(held_against(result("40", collected_at=collected), f"ALT,40,U/L,{entered}")) == [rule]


def test_an_equal_value_of_the_day_entered_is_named():
    other = result("40", **ANOTHER, collected_at="2026-02-05T08:00:00+08:00")
    assert rules(held_against(result("40"), "ALT,40,U/L,2026-02-05", other)) == ["fits_candidate"]


def test_there_is_a_sentence_for_everything_that_can_be_told_and_no_other():
    package = Path(adapter.concordance.__file__).parent
    source = "".join((package / name).read_text(encoding="utf-8") for name in ("fits.py", "document.py"))
    named = {f"compare_{kind}" for kind in KINDS} | set(re.findall(r'"((?:fits|compare)_[a-z_]+)"', source))
    words = Path(adapter.words.__file__).read_text(encoding="utf-8")
    assert len(named) > 20
    assert set(re.findall(r'"((?:fits|compare)_[a-z_]+)":', words)) == named


def test_an_unknown_unit_is_told_with_the_unit_that_would_fit():
    found = held_against(result("35.9184", "TBIL"), "TBIL,2.1,,")
    assert [say_step(step) for step in found.findings[0].fits] == ["In mg/dL the number entered is the value here."]
