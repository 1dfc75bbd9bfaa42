"""trial.md section 5: one value for each participant, visit and endpoint."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laboratory import EHR, LIS, WHO, cell, on, reasons, reported, row, table, understood

from adapter.model import Decision
from adapter.rules.interpret import Interpreted


def result(value: str, **more) -> Interpreted:
    """A result of its own order, named by its value."""
    return understood(reported(value, **{"order": f"filler:{value}", **more}), message=f"M{value}")


def chosen(*results: Interpreted) -> str | None:
    return cell(table(*results)).value


def why(*results: Interpreted) -> dict[str, str]:
    by_message = {r.origin.inbox_id: r.reported.value.shown for r in results}
    return {by_message[p.inbox_id]: p.why for p in table(*results).placements if p.endpoint == "ALT"}


def test_final_goes_before_preliminary():
    a, b = result("30", status="P", taken=on(28)), result("31", taken=on(35))
    assert chosen(a, b) == "31"
    assert why(a, b) == {"31": "chosen", "30": "preliminary"}


def test_a_preliminary_alone_gives_a_provisional_value():
    assert cell(table(result("30", status="P"))).status == "provisional"


def test_the_smallest_distance_in_days_from_the_target():
    a, b = result("30", taken=on(30)), result("31", taken=on(27))
    assert why(a, b) == {"31": "chosen", "30": "farther_from_target"}


def test_the_later_date_when_two_are_equally_far():
    a, b = result("30", taken=on(26)), result("31", taken=on(30))
    assert why(a, b) == {"31": "chosen", "30": "earlier_date"}


def test_on_the_same_date_the_later_collection_time():
    a, b = result("30", taken=on(28, "0900")), result("31", taken=on(28, "1500"))
    assert why(a, b) == {"31": "chosen", "30": "earlier_time"}


def test_a_date_alone_comes_before_any_time_of_that_day():
    a, b = result("30", taken=on(28)), result("31", taken=on(28, "0000"))
    assert why(a, b) == {"31": "chosen", "30": "earlier_time"}


def test_then_the_later_report():
    a = result("30.0", taken=on(28, "0900"), sent="20260301")
    b = result("30", taken=on(28, "0900"), sent="20260302")
    assert why(a, b) == {"30": "chosen", "30.0": "earlier_report"}


def test_then_order_number_code_and_source_so_that_arrival_never_decides():
    a, b = result("30", order="filler:A"), result("30.0", order="filler:B")
    assert why(a, b) == {"30": "chosen", "30.0": "order_number"}
    c, d = result("30", order="", code="1742-6"), result("30.0", order="", code="1743-4", sub_id="2")
    assert why(c, d) == {"30": "chosen", "30.0": "order_number"}


def test_everything_else_stays_visible_as_a_candidate_with_its_reason():
    results = [result("30", taken=on(28)), result("31", taken=on(29)), result("32", taken=on(24), status="P")]
    ranks = sorted((p.rank, p.chosen) for p in table(*results).placements)
    assert ranks == [(1, True), (2, False), (3, False)]


def choice(result_: Interpreted, evidence: str, kind: str = "choose") -> Decision:
    body = {
        "study_id": "S-001",
        "visit": "week-4",
        "endpoint": "ALT",
        "result": result_.key,
        "evidence": evidence,
    }
    return Decision(1, kind, body, "anyone", "2026-09-01", "a reason")


def evidence_for(*results: Interpreted, chosen_one: Interpreted) -> str:
    """What the desk records: the fingerprint on which the choice is made, as the item would carry it."""
    derived = table(*results, decisions=[choice(chosen_one, "not yet")])
    return next(i.evidence for i in derived.items if i.reason == "changed_after_choice")


def test_a_persons_choice_stands():
    a, b = result("30", taken=on(28)), result("31", taken=on(29))
    made = choice(b, evidence_for(a, b, chosen_one=b))
    derived = table(a, b, decisions=[made])
    assert (cell(derived).value, cell(derived).flags, derived.items) == ("31", ("chosen_by_person",), ())


def test_what_would_later_have_changed_a_choice_asks_again():
    a, b = result("30", taken=on(27)), result("31", taken=on(29))
    made = choice(a, evidence_for(a, b, chosen_one=a))
    better = result("32", taken=on(28))
    derived = table(a, b, better, decisions=[made])
    assert (cell(derived).value, reasons(derived)) == ("30", ["changed_after_choice"])
    worse = result("33", taken=on(24))
    assert not table(a, b, worse, decisions=[made]).items


def test_a_chosen_result_that_is_corrected_asks_again():
    a, b = result("30", taken=on(27)), result("31", taken=on(29))
    made = choice(a, evidence_for(a, b, chosen_one=a))
    corrected = understood(reported("39", taken=on(27), order="filler:30", status="C"), message="later")
    derived = table(a, b, corrected, decisions=[made])
    assert (cell(derived).value, reasons(derived)) == ("39", ["changed_after_choice"])


def test_a_chosen_result_that_is_taken_back_leaves_no_value_and_asks():
    a, b = result("30", taken=on(27)), result("31", taken=on(29))
    made = choice(a, evidence_for(a, b, chosen_one=a))
    gone = understood(reported("30", taken=on(27), order="filler:30", status="D"), message="later")
    derived = table(a, b, gone, decisions=[made])
    assert (cell(derived).status, reasons(derived)) == ("in_review", ["changed_after_choice"])


def test_an_accepted_value_outside_its_window_is_marked_so():
    late = result("41", taken=on(38))
    made = choice(late, evidence_for(late, chosen_one=late), kind="accept_outside")
    found = cell(table(late, decisions=[made]))
    assert (found.value, found.day_offset, "outside_window" in found.flags) == ("41", 10, True)


def test_the_same_result_through_two_sources_counts_once_and_says_so():
    lis = understood(reported("30", taken=on(28, "0830")), source=LIS)
    ehr = understood(reported("30.0", taken=on(28, "083010"), order="filler:E9"), source=EHR)
    derived = table(lis, ehr)
    assert "same_result_through_two_sources" in cell(derived).flags
    assert [p.chosen for p in derived.placements] == [True, False]
    assert not derived.items


def test_equal_numbers_of_two_analytes_through_two_sources_are_two_results():
    alt = understood(reported("30", code="1742-6"), source=LIS)
    ast = understood(reported("30", code="1920-8", order="filler:E9"), source=EHR)
    derived = table(alt, ast)
    assert [cell(derived, endpoint=name).value for name in ("ALT", "AST")] == ["30", "30"]
    assert not any("same_result_through_two_sources" in found.flags for found in derived.selections)


def test_through_two_sources_a_date_alone_is_the_same_as_a_time_of_that_day():
    lis = understood(reported("30", taken=on(28)), source=LIS)
    ehr = understood(reported("30", taken=on(28, "083010")), source=EHR)
    found = cell(table(lis, ehr))
    assert (found.collected_at, "same_result_through_two_sources" in found.flags) == ("2026-02-02T08:30:10+08:00", True)


@pytest.mark.parametrize("other", [LIS, EHR])
def test_same_time_with_different_values_is_asked_and_the_cell_has_no_value(other):
    a = understood(reported("30", taken=on(28, "0830")), message="a")
    b = understood(reported("31", taken=on(28, "0830"), order="filler:Z"), source=other, message="b")
    derived = table(a, b)
    assert (cell(derived).status, cell(derived).reason, cell(derived).value) == (
        "in_review",
        "conflicting_results",
        None,
    )
    assert [i.count for i in derived.items] == [2]
    assert {row(derived, r).outcome for r in (a, b)} == {"placed"}


def test_a_conflict_that_does_not_touch_the_chosen_one_leaves_the_value():
    best = result("29", taken=on(28))
    a, b = result("30", taken=on(30, "0830")), result("31", taken=on(30, "0830"))
    derived = table(best, a, b)
    assert (cell(derived).status, cell(derived).value, reasons(derived)) == (
        "captured",
        "29",
        ["conflicting_results"],
    )
    assert len(cell(derived).open_items) == 1


def test_equal_values_of_one_source_at_one_time_are_no_conflict():
    assert not table(result("30", order="filler:A"), result("30.0", order="filler:B")).items


def test_a_dismissed_conflict_stays_settled_until_something_new_comes():
    a, b = result("30", taken=on(28, "0830")), result("31", taken=on(28, "0830"))
    (item,) = table(a, b).items
    dismissed = Decision(1, "dismiss_item", {"item": item.id, "evidence": item.evidence}, "x", "2026-09-01", "why")
    settled = table(a, b, decisions=[dismissed])
    assert (settled.items, cell(settled).status, cell(settled).reason) == ((), "empty", "conflicting_results")
    third = result("32", taken=on(28, "0830"))
    assert reasons(table(a, b, third, decisions=[dismissed])) == ["conflicting_results"]


def test_after_death_or_transplantation_a_result_is_no_candidate():
    for ended_by in ("died", "transplanted"):
        who = replace(WHO, ended_on=date(2026, 2, 1), ended_by=ended_by)
        assert cell(table(result("30"), who=who)).status == "empty"


some_results = st.lists(
    st.builds(
        lambda value, day, clock, status, source, order: understood(
            reported(str(value), taken=on(day, clock), status=status, order=f"filler:{order}"),
            source=source,
            message=f"{value} {day} {clock} {status} {order}",
        ),
        st.integers(20, 24),
        st.integers(26, 30),
        st.sampled_from(["", "0830", "0930"]),
        st.sampled_from("PFC"),
        st.sampled_from([LIS, EHR]),
        st.integers(1, 4),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda r: r.key,
)


@settings(max_examples=150)
@given(some_results, st.randoms(use_true_random=False))
def test_selection_does_not_depend_on_the_order_of_candidates(results, random):
    shuffled = list(results)
    random.shuffle(shuffled)
    assert table(*results) == table(*shuffled)


@settings(max_examples=150)
@given(some_results)
def test_a_cell_has_a_value_or_a_reason_never_both(results):
    for found in table(*results).selections:
        assert (found.value is None) == (found.reason is not None)
        assert (found.status in ("captured", "provisional")) == (found.value is not None)
        assert found.value is not None or (found.status == "in_review") == bool(found.open_items)


def test_every_order_of_three_tied_results_chooses_the_same():
    results = [result("30", taken=on(27)), result("31", taken=on(29)), result("32", taken=on(29, "1200"))]
    assert {chosen(*order) for order in permutations(results)} == {"32"}
