"""The geometry of the plots."""

from __future__ import annotations

from decimal import Decimal

import pytest

from adapter.model import Visit
from adapter.web.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Point, chart, value_ticks

VISITS = (Visit("week-4", "Week 4", 28, 7, 7), Visit("week-12", "Week 12", 84, 14, 14))


def point(day: int, value: str, kind: str = "chosen", comparator: str | None = None) -> Point:
    return Point(day, Decimal(value), kind, False, comparator, "")


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([], "0 1"),
        (["0"], "0 1"),
        (["178", "51"], "0 50 100 150 200"),
        (["1.16"], "0 0.5 1 1.5"),
        (["0.003"], "0 0.001 0.002 0.003"),
        (["5"], "0 1 2 3 4 5"),
        (["-3", "7"], "-4 -2 0 2 4 6 8"),
        (["12000"], "0 5000 10000 15000"),
    ],
)
def test_ticks_are_round_numbers_around_all_values(values: list[str], ticks: str):
    found = value_ticks([Decimal(v) for v in values])
    assert found == [Decimal(t) for t in ticks.split()]


def test_every_mark_lies_on_the_paper_also_far_before_infusion_and_after_the_last_window():
    drawn = chart("ALT", "U/L", [point(-300, "40"), point(0, "0"), point(28, "1200"), point(900, "3")], VISITS)
    for mark in drawn.marks:
        assert LEFT <= Decimal(mark.x) <= WIDTH - RIGHT
        assert TOP <= Decimal(mark.y) <= HEIGHT - BOTTOM


def test_a_point_on_a_visits_target_stands_on_its_line_and_one_at_the_edge_on_its_edge():
    drawn = chart("ALT", "U/L", [point(28, "40"), point(21, "40"), point(35, "40"), point(0, "1")], VISITS)
    at = {mark.point.day: mark.x for mark in drawn.marks}
    week_4 = drawn.windows[0]
    assert (at[28], at[21], at[0]) == (week_4.target, week_4.x, drawn.infusion)
    assert abs(Decimal(week_4.x) + Decimal(week_4.width) - Decimal(at[35])) <= Decimal("0.1")


def test_the_arrow_of_a_comparator_points_to_where_the_value_lies():
    drawn = chart("ALT", "U/L", [point(1, "5", comparator=c) for c in ("<", "<=", ">", ">=", None)], VISITS)
    assert [m.arrow for m in drawn.marks] == ["down", "down", "up", "up", ""]


def test_only_chosen_values_are_joined_and_lie_on_top():
    drawn = chart("ALT", "U/L", [point(84, "2"), point(30, "9", "other"), point(28, "1")], VISITS)
    assert [m.point.kind for m in drawn.marks] == ["other", "chosen", "chosen"]
    assert len(drawn.line.split()) == 2
    assert chart("ALT", "U/L", [point(28, "1"), point(30, "9", "other")], VISITS).line == ""


def test_plots_of_one_participant_have_one_axis_of_days():
    one = chart("ALT", "U/L", [point(28, "1")], VISITS, beside=[-40, 28, 300])
    other = chart("AST", "U/L", [point(-40, "1"), point(300, "2")], VISITS, beside=[28])
    assert (one.windows, one.days, one.infusion) == (other.windows, other.days, other.infusion)
