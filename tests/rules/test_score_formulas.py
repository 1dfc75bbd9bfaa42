"""trial.md section 7: the published formulas, held against published cases and against their own logic."""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Callable, Iterator, Mapping
from decimal import MAX_EMAX, MIN_EMIN, ROUND_DOWN, Context, Decimal, Inexact, Rounded, localcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.rules import formulas
from adapter.rules.formulas import meld, meld_3_0, meld_na

HERE = Path(__file__).parent
TERMINOLOGY = HERE / "../../../shared/terminology.toml"
PUBLISHED = tomllib.loads((HERE / "score_vectors.toml").read_text("utf-8"))
ASCITES = ("none", "mild", "moderate_severe")
ENCEPHALOPATHY = ("none", "grade_1_2", "grade_3_4")
NUMBERS = ("bilirubin", "inr", "creatinine", "sodium", "albumin")


def child_pugh(case: Mapping[str, str]) -> int:
    """The total of one case in mg/dL and g/dL."""
    return (
        formulas.bilirubin_points(Decimal(case["bilirubin"]), "mg/dL")
        + formulas.albumin_points(Decimal(case["albumin"]), "g/dL")
        + formulas.inr_points(Decimal(case["inr"]))
        + formulas.ascites_points(case["ascites"])
        + formulas.encephalopathy_points(case["encephalopathy"])
    )


def melds(case: Mapping[str, Any], score: str) -> int:
    """One of the MELD formulas over a case whose numbers are texts."""
    number = {name: Decimal(text) for name, text in case.items() if name in NUMBERS}
    first, dialysis = [number["bilirubin"], number["inr"], number["creatinine"]], bool(case.get("dialysis"))
    if score == "MELD":
        return meld(*first, dialysis=dialysis)
    if score == "MELDNA_OPTN2016":
        return meld_na(*first, number["sodium"], dialysis=dialysis)
    assert score == "MELD3"
    return meld_3_0(*first, number["sodium"], number["albumin"], female=case["female"], dialysis=dialysis)


# --- published cases ----------------------------------------------------------------------------------------------


def called(vector: Mapping[str, Any]) -> str:
    return f"{vector['score']}: {vector['source']}"


@pytest.mark.parametrize("vector", PUBLISHED["vector"], ids=called)
def test_a_published_case_comes_out_as_published(vector: dict[str, Any]) -> None:
    case = {**vector, "bilirubin": vector["bili"], "creatinine": vector.get("creat", "1")}
    if vector["score"] == "CHILDPUGH":
        case["ascites"], case["encephalopathy"] = ASCITES[vector["ascites"] - 1], ENCEPHALOPATHY[vector["enceph"] - 1]
        assert child_pugh(case) == vector["expected"]
    else:
        assert melds(case, vector["score"]) == vector["expected"]


@pytest.mark.skipif(not TERMINOLOGY.is_file(), reason="there is no ../shared/terminology.toml beside the checkout")
def test_the_published_cases_are_those_of_the_terminology() -> None:
    assert tomllib.loads(TERMINOLOGY.read_text("utf-8"))["vector"] == PUBLISHED["vector"]


def public_cases() -> Iterator[tuple[str, str, dict[str, Any], str]]:
    """Each case of the public repository: its id, its score, its inputs and what the repository says."""
    for score, table in PUBLISHED["public"].items():
        for row in csv.DictReader(table.strip().splitlines()):
            said = ",".join(row[name] for name in ("expected", "class") if name in row)
            case = {**row, "dialysis": row.get("dialysis") == "true", "female": row.get("sex") == "female"}
            yield row["id"], score, case, said


def computed(score: str, case: Mapping[str, Any]) -> str:
    if score != "CHILDPUGH":
        return str(melds(case, score))
    total = child_pugh(case)
    return f"{total},{formulas.child_pugh_class(total)}"


PUBLIC = list(public_cases())
WRONG: dict[str, dict[str, str]] = PUBLISHED["wrong"]


@pytest.mark.parametrize(
    ("score", "case", "said"), [pytest.param(s, c, e, id=i) for i, s, c, e in PUBLIC if i not in WRONG]
)
def test_a_case_of_the_public_repository_comes_out_as_it_says(score: str, case: dict[str, Any], said: str) -> None:
    assert computed(score, case) == said


@pytest.mark.parametrize(
    ("score", "case", "said", "rule"),
    [
        pytest.param(
            s, c, e, WRONG[i]["rule"], id=f"{i} says {e}, the rule gives {WRONG[i]['rule']}: {WRONG[i]['why']}"
        )
        for i, s, c, e in PUBLIC
        if i in WRONG
    ],
)
def test_a_case_of_the_public_repository_that_is_wrong_is_not_followed(
    score: str, case: dict[str, Any], said: str, rule: str
) -> None:
    assert computed(score, case) == rule != said


def test_all_hundred_public_cases_are_there_and_eight_are_wrong() -> None:
    assert len(PUBLIC) == 100
    assert set(WRONG) <= {name for name, *_ in PUBLIC}
    assert len(WRONG) == 8


# --- rounding -------------------------------------------------------------------------------------------------------

ONES = (Decimal(1), Decimal(1), Decimal(1))


@pytest.mark.parametrize(
    ("sodium", "albumin", "female", "exactly", "score"),
    [
        ("133", "2.3", False, "11.5", 12),
        ("132.5", "2.7", True, "12.5", 13),
        ("126", "2.7", False, "16.5", 17),
        ("125", "1.7", True, "20.5", 21),
    ],
)
def test_a_meld_3_0_exactly_between_two_whole_numbers_is_rounded_up(
    sodium: str, albumin: str, female: bool, exactly: str, score: int
) -> None:
    by_hand = Decimal("0.82") * (137 - Decimal(sodium)) + Decimal("1.85") * (Decimal("3.5") - Decimal(albumin)) + 6
    assert by_hand + (Decimal("1.33") if female else 0) == Decimal(exactly)
    assert meld_3_0(*ONES, Decimal(sodium), Decimal(albumin), female=female) == score


def test_meld_na_starts_from_the_meld_that_was_rounded() -> None:
    # MELD(i) is 11.64 before it is rounded: above 11 either way, and 17 would come of it.
    assert meld_na(Decimal("2.5"), Decimal("1.0"), Decimal("1.2"), Decimal(131)) == 18


def test_a_meld_that_is_rounded_down_to_11_has_no_term_for_sodium() -> None:
    # 3.78 ln 3.78 + 6.43 is 11.456, 3.78 ln 3.83 + 6.43 is 11.506.
    below, above = Decimal("3.78"), Decimal("3.83")
    assert (meld(below, *ONES[1:]), meld(above, *ONES[1:])) == (11, 12)
    assert meld_na(below, *ONES[1:], Decimal(125)) == 11
    assert meld_na(above, *ONES[1:], Decimal(125)) == 23


# --- properties -----------------------------------------------------------------------------------------------------


def numbers(least: str, most: str) -> st.SearchStrategy[Decimal]:
    return st.decimals(Decimal(least), Decimal(most), places=2)


# Rather low than high: at 40 a property says nothing.
CASE = st.fixed_dictionaries(
    {
        "bilirubin": numbers("0", "4") | numbers("0", "60"),
        "inr": numbers("0", "2") | numbers("0", "4"),
        "creatinine": numbers("0", "2") | numbers("0", "5"),
        "sodium": numbers("115", "145"),
        "albumin": numbers("0.5", "5"),
        "female": st.booleans(),
        "dialysis": st.booleans(),
    }
)
Case = dict[str, Any]
FORMULAS: dict[str, tuple[Callable[..., int], tuple[str, ...]]] = {
    "meld": (meld, ("bilirubin", "inr", "creatinine", "dialysis")),
    "meld_na": (meld_na, ("bilirubin", "inr", "creatinine", "sodium", "dialysis")),
    "meld_3_0": (meld_3_0, ("bilirubin", "inr", "creatinine", "sodium", "albumin", "female", "dialysis")),
}
EACH_FORMULA = pytest.mark.parametrize("formula", FORMULAS)


def scored(formula: str, case: Case, **changes: Any) -> int:
    function, names = FORMULAS[formula]
    return function(**{name: value for name, value in {**case, **changes}.items() if name in names})


@EACH_FORMULA
@given(case=CASE)
def test_a_meld_is_a_whole_number_from_6_to_40(formula: str, case: Case) -> None:
    score = scored(formula, case)
    assert type(score) is int
    assert 6 <= score <= 40


@EACH_FORMULA
@pytest.mark.parametrize(
    "wild",
    [
        {"bilirubin": Decimal("1E+100"), "inr": Decimal("1E+100"), "creatinine": Decimal("1E+100")},
        {"bilirubin": Decimal(0), "inr": Decimal(0), "creatinine": Decimal(0)},
        {"bilirubin": Decimal(-1), "sodium": Decimal(-1), "albumin": Decimal(-1)},
        {"sodium": Decimal("1E+100"), "albumin": Decimal("1E+100")},
        {"sodium": Decimal("124." + "9" * 58), "bilirubin": Decimal("1." + "0" * 58 + "1")},
    ],
)
def test_any_number_at_all_gives_a_meld_from_6_to_40(formula: str, wild: dict[str, Decimal]) -> None:
    case = {name: Decimal(2) for name in NUMBERS} | {"female": True}
    assert 6 <= scored(formula, case, **wild) <= 40


@EACH_FORMULA
@pytest.mark.parametrize("name", ["bilirubin", "inr", "creatinine"])
@given(case=CASE, more=numbers("0", "20"))
def test_more_bilirubin_inr_or_creatinine_never_lowers_a_meld(
    formula: str, name: str, case: Case, more: Decimal
) -> None:
    assert scored(formula, case, **{name: case[name] + more}) >= scored(formula, case)


@given(case=CASE, less=numbers("0", "20"))
def test_less_sodium_never_lowers_meld_na(case: Case, less: Decimal) -> None:
    assert scored("meld_na", case, sodium=case["sodium"] - less) >= scored("meld_na", case)


@given(case=CASE)
def test_meld_na_is_never_below_meld_and_equals_it_up_to_11_or_with_enough_sodium(case: Case) -> None:
    plain, with_sodium = scored("meld", case), scored("meld_na", case)
    assert with_sodium >= plain
    if plain <= 11 or case["sodium"] >= 137:
        assert with_sodium == plain


@given(case=CASE, less=numbers("0", "20"))
def test_less_sodium_never_lowers_meld_3_0_up_to_30_46_of_bilirubin_and_never_raises_it_from_30_47_on(
    case: Case, less: Decimal
) -> None:
    lower, higher = scored("meld_3_0", case, sodium=case["sodium"] - less), scored("meld_3_0", case)
    assert lower >= higher if case["bilirubin"] <= Decimal("30.46") else lower <= higher


@given(case=CASE, less=numbers("0", "3"))
def test_less_albumin_never_lowers_meld_3_0_up_to_2_74_of_creatinine_and_never_raises_it_from_2_75_on(
    case: Case, less: Decimal
) -> None:
    lower, higher = scored("meld_3_0", case, albumin=case["albumin"] - less), scored("meld_3_0", case)
    below = case["creatinine"] <= Decimal("2.74") and not case["dialysis"]
    assert lower >= higher if below else lower <= higher


def test_low_sodium_lowers_meld_3_0_where_bilirubin_is_very_high_and_low_albumin_where_creatinine_is() -> None:
    case = {"bilirubin": Decimal(60), "inr": Decimal(1), "creatinine": Decimal(1), "female": False}
    case |= {"sodium": Decimal(137), "albumin": Decimal("3.5")}
    assert (scored("meld_3_0", case), scored("meld_3_0", case, sodium=Decimal(125))) == (25, 23)
    case |= {"bilirubin": Decimal(1), "inr": Decimal("1.04"), "creatinine": Decimal(3)}
    assert (scored("meld_3_0", case), scored("meld_3_0", case, albumin=Decimal("1.5"))) == (19, 18)


@given(case=CASE)
def test_meld_3_0_gives_a_woman_one_or_two_points_more_below_the_limit(case: Case) -> None:
    man, woman = scored("meld_3_0", case, female=False), scored("meld_3_0", case, female=True)
    assert woman - man in ((1, 2) if woman < 40 else (0, 1, 2))


@EACH_FORMULA
@given(case=CASE)
def test_dialysis_counts_as_the_highest_creatinine_whatever_was_measured(formula: str, case: Case) -> None:
    most = Decimal(3) if formula == "meld_3_0" else Decimal(4)
    assert scored(formula, case, dialysis=True) == scored(formula, case, creatinine=most, dialysis=False)


@EACH_FORMULA
@given(case=CASE)
def test_an_input_beyond_its_limit_counts_as_the_limit(formula: str, case: Case) -> None:
    most = Decimal(3) if formula == "meld_3_0" else Decimal(4)
    within = {name: max(case[name], Decimal(1)) for name in ("bilirubin", "inr", "creatinine")}
    within["creatinine"] = min(within["creatinine"], most)
    within["sodium"] = min(max(case["sodium"], Decimal(125)), Decimal(137))
    within["albumin"] = min(max(case["albumin"], Decimal("1.5")), Decimal("3.5"))
    assert scored(formula, case, **within) == scored(formula, case)


@EACH_FORMULA
@given(case=CASE, precision=st.integers(1, 9))
def test_a_meld_is_the_same_whatever_the_callers_decimal_context(formula: str, case: Case, precision: int) -> None:
    expected = scored(formula, case)
    strict = Context(precision, ROUND_DOWN, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=[Inexact, Rounded])
    with localcontext(strict):
        assert scored(formula, case) == expected
