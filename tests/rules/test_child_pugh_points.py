"""trial.md section 7: the points of Child-Pugh, at each cut-off of each unit."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Context, Decimal, Inexact, Rounded, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.rules import formulas

ASCITES = ("none", "mild", "moderate_severe")
ENCEPHALOPATHY = ("none", "grade_1_2", "grade_3_4")
NUMBERS = st.decimals(0, 80, places=2)


@pytest.mark.parametrize(
    ("unit", "one", "two", "three"),
    [
        ("mg/dL", ["0", "1.99", "1.9999999"], ["2", "2.0", "2.00", "2.5", "3", "3.0"], ["3.0000001", "3.01", "40"]),
        ("mg/L", ["19.9", "19.999999"], ["20", "20.0", "30", "30.0"], ["30.000001", "30.1"]),
        ("umol/L", ["33.9", "33.999999"], ["34", "34.0", "34.2", "51", "51.0"], ["51.000001", "51.1"]),
        ("mmol/L", ["0.0339", "0.033999999"], ["0.034", "0.0340", "0.051"], ["0.051000001", "0.0511"]),
    ],
)
def test_bilirubin_scores_by_the_cut_offs_of_its_unit_and_two_on_them(
    unit: str, one: list[str], two: list[str], three: list[str]
) -> None:
    for points, texts in enumerate((one, two, three), 1):
        assert [formulas.bilirubin_points(Decimal(text), unit) for text in texts] == [points] * len(texts)


@pytest.mark.parametrize(
    ("reported", "unit", "points", "converted", "into", "would_score"),
    [
        ("34.2", "umol/L", 2, "1.9995", "mg/dL", 1),
        ("51.2", "umol/L", 3, "2.9934", "mg/dL", 2),
        ("2.0", "mg/dL", 2, "34.208", "umol/L", 2),
        ("1.99", "mg/dL", 1, "34.03696", "umol/L", 2),
        ("3.0", "mg/dL", 2, "51.312", "umol/L", 3),
    ],
)
def test_converting_bilirubin_first_would_move_it_across_the_line(
    reported: str, unit: str, points: int, converted: str, into: str, would_score: int
) -> None:
    assert formulas.bilirubin_points(Decimal(reported), unit) == points
    assert formulas.bilirubin_points(Decimal(converted), into) == would_score


@pytest.mark.parametrize(
    ("unit", "one", "two", "three"),
    [
        ("g/dL", ["6", "3.51", "3.5000001"], ["3.5", "3.50", "3.0", "2.8", "2.80"], ["2.7999999", "2.79", "0"]),
        ("g/L", ["60", "35.1", "35.000001"], ["35", "35.0", "30", "28", "28.0"], ["27.999999", "27.9", "0"]),
    ],
)
def test_albumin_scores_one_above_its_higher_cut_off_and_three_below_its_lower(
    unit: str, one: list[str], two: list[str], three: list[str]
) -> None:
    for points, texts in enumerate((one, two, three), 1):
        assert [formulas.albumin_points(Decimal(text), unit) for text in texts] == [points] * len(texts)


@pytest.mark.parametrize(
    ("points_of", "one", "two", "three"),
    [
        (formulas.inr_points, ["0.9", "1.69", "1.6999999"], ["1.7", "1.70", "2.3", "2.30"], ["2.3000001", "2.31", "9"]),
        (formulas.pt_prolongation_points, ["-1", "0", "3.9999"], ["4", "4.0", "5", "6", "6.0"], ["6.0001", "60"]),
    ],
    ids=["INR", "PT prolongation"],
)
def test_clotting_scores_two_between_its_cut_offs_and_on_them(
    points_of: Callable[[Decimal], int], one: list[str], two: list[str], three: list[str]
) -> None:
    for points, texts in enumerate((one, two, three), 1):
        assert [points_of(Decimal(text)) for text in texts] == [points] * len(texts)


def test_what_was_assessed_scores_by_its_grade() -> None:
    assert [formulas.ascites_points(text) for text in ASCITES] == [1, 2, 3]
    assert [formulas.encephalopathy_points(text) for text in ENCEPHALOPATHY] == [1, 2, 3]


def test_the_classes_divide_the_totals_at_6_and_9() -> None:
    assert "".join(formulas.child_pugh_class(total) for total in range(5, 16)) == "AABBBCCCCCC"


@given(number=NUMBERS, more=NUMBERS)
def test_more_bilirubin_or_inr_never_scores_less_and_more_albumin_never_more(number: Decimal, more: Decimal) -> None:
    for unit in ("mg/dL", "mg/L", "umol/L", "mmol/L"):
        assert formulas.bilirubin_points(number + more, unit) >= formulas.bilirubin_points(number, unit)
    for unit in ("g/dL", "g/L"):
        assert formulas.albumin_points(number + more, unit) <= formulas.albumin_points(number, unit)
    for points_of in (formulas.inr_points, formulas.pt_prolongation_points):
        assert points_of(number + more) >= points_of(number)


@given(number=NUMBERS)
def test_points_are_the_same_in_units_that_differ_by_powers_of_ten(number: Decimal) -> None:
    bilirubin, albumin = formulas.bilirubin_points, formulas.albumin_points
    assert bilirubin(number, "mg/dL") == bilirubin(number * 10, "mg/L")
    assert bilirubin(number, "umol/L") == bilirubin(number / 1000, "mmol/L")
    assert albumin(number, "g/dL") == albumin(number * 10, "g/L")


def test_points_do_not_depend_on_the_callers_decimal_context() -> None:
    with localcontext(Context(1, traps=[Inexact, Rounded])):
        assert formulas.bilirubin_points(Decimal("3.0001"), "mg/dL") == 3
        assert formulas.albumin_points(Decimal("2.7999"), "g/dL") == 3
        assert formulas.inr_points(Decimal("1.6999")) == 1


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        (
            lambda: formulas.bilirubin_points(Decimal(2), "g/L"),
            "bilirubin in 'g/L': give it in mg/dL, mg/L, umol/L, mmol/L",
        ),
        (lambda: formulas.albumin_points(Decimal(40), "umol/L"), "albumin in 'umol/L': give it in g/dL, g/L"),
        (lambda: formulas.ascites_points("severe"), "ascites 'severe': give one of none, mild, moderate_severe"),
        (lambda: formulas.encephalopathy_points(""), "encephalopathy '': give one of none, grade_1_2, grade_3_4"),
    ],
    ids=["bilirubin", "albumin", "ascites", "encephalopathy"],
)
def test_a_unit_or_a_grade_without_points_is_named(asked: Callable[[], int], named: str) -> None:
    with pytest.raises(ValueError, match="Child-Pugh") as refused:
        asked()
    assert named in str(refused.value)
