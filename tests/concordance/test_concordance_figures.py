"""The statistics against published numbers."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.concordance.figures import differences, interval, percent, shown, tally
from adapter.concordance.nouns import Pair
from adapter.concordance.pictures import bland_altman


def pair(entered: str | Decimal, ours: str | Decimal) -> Pair:
    return Pair(("S-001", "week-4", "ALT"), Decimal(entered), Decimal(ours), entered == ours)


@pytest.mark.parametrize(
    ("part", "whole", "low", "high"),
    [(81, 263, "25.5", "36.6"), (15, 148, "6.2", "16.0"), (0, 20, "0.0", "16.1"), (1, 29, "0.6", "17.2")],
)
def test_the_interval_is_that_of_newcombes_examples(part: int, whole: int, low: str, high: str):
    """Newcombe, Statistics in Medicine 1998; 17: 857-872, table I, method 3, there to four decimals."""
    assert interval(part, whole) == (Decimal(low), Decimal(high))


@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_holds_the_share_and_stays_within_0_and_100(counted: tuple[int, int]):
    low, high = interval(*counted) or pytest.fail("something was counted")
    share = Decimal(100 * counted[0]) / counted[1]
    assert 0 <= low <= share + Decimal("0.05")
    assert share - Decimal("0.05") <= high <= 100
    assert (high == 100) or counted[0] < counted[1]


def test_nothing_counted_has_no_share():
    assert percent(0, 0) is None
    assert interval(0, 0) is None
    assert differences([]) is None


def test_a_share_is_0_or_100_only_where_it_is_exactly_so():
    assert percent(2999, 3000) == Decimal("99.9")
    assert percent(1, 3000) == Decimal("0.1")
    assert (percent(0, 3000), percent(3000, 3000)) == (Decimal("0.0"), Decimal("100.0"))


def test_the_limits_of_agreement_are_those_of_bland_and_altman():
    """Lancet 1986; i: 307-310: peak flow by two meters, mean difference -2.1 l/min, standard deviation 38.8."""
    wright = (494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427)
    mini = (512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451)
    found = differences([pair(Decimal(w), Decimal(m)) for w, m in zip(wright, mini, strict=True)])
    assert found is not None
    assert (found.mean.quantize(Decimal("0.1")), found.deviation and found.deviation.quantize(Decimal("0.1"))) == (
        Decimal("-2.1"),
        Decimal("38.8"),
    )
    assert (found.low, found.high) == (Decimal("-78.1"), Decimal("73.86"))


def test_one_pair_has_a_difference_and_no_limits():
    found = differences([pair("42", "40")])
    assert found is not None
    assert (found.n, found.mean, found.deviation, found.low) == (1, Decimal(2), None, None)


@pytest.mark.parametrize(
    ("number", "expected"), [("-0.000", "0"), ("12345.678", "12350"), ("0.0123456", "0.01235"), ("2.50", "2.5")]
)
def test_a_computed_number_is_shown_short_and_without_exponent(number: str, expected: str):
    assert str(shown(Decimal(number))) == expected


def test_what_was_entered_covered_and_compared_is_counted_from_what_became_of_each_cell():
    counted = tally(["agrees", "agrees", "value_differs", "unit_unknown", "only_here", "only_there", "neither"])
    assert (counted.looked_at, counted.entered, counted.covered, counted.compared, counted.agree) == (7, 5, 4, 3, 2)


@given(st.lists(st.tuples(*[st.decimals(0, 5000, places=2)] * 2), min_size=1, max_size=30))
def test_every_point_and_line_of_a_picture_lies_within_its_frame(numbers: list[tuple[Decimal, Decimal]]):
    picture = bland_altman("ALT", "U/L", [pair(*each) for each in numbers])
    assert picture is not None
    left, top, right, bottom = picture.frame
    xs = [p.x for p in picture.points] + [mark.at for mark in picture.across]
    ys = (
        [p.y for p in picture.points] + [mark.at for mark in picture.up] + [picture.zero, picture.mean, *picture.limits]
    )
    assert all(left <= Decimal(x) <= right for x in xs)
    assert all(top <= Decimal(y) <= bottom for y in ys)
    assert 1 <= len(picture.up) <= 7
    assert len({mark.text for mark in picture.up}) == len(picture.up)
