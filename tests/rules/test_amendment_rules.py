"""trial.md section 6: changes."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laboratory import LIS, cell, on, reasons, reported, row, table, understood

from adapter.model import Status
from adapter.rules.status import status_of

EARLY, LATE, LATER = "20260203080000", "20260203090000", "20260203100000"


def report(value: str, status: str = "F", **more):
    """One report of order A1, named by value, status and when it was sent."""
    return understood(reported(value, status=status, **more), message=f"{value}{status}{more.get('sent', '')}")


def stands(*reports):
    """Status and value of the cell, the same for every order of arrival."""
    found = {(cell(table(*order)).status, cell(table(*order)).value) for order in permutations(reports)}
    assert len(found) == 1
    return found.pop()


@pytest.mark.parametrize(
    ("codes", "status"),
    [
        ("PRSI", Status.PROVISIONAL),
        ("FV", Status.FINAL),
        ("CA", Status.CORRECTED),
        ("U", Status.CONFIRMS),
        ("DW", Status.TAKES_BACK),
        ("XNO", Status.NOT_DONE),
    ],
)
def test_obx_11_is_read_by_table_0085(codes, status):
    for code in codes:
        assert status_of(code, "", {})[0] == status


@pytest.mark.parametrize(
    ("codes", "status"),
    [
        ("APR", Status.PROVISIONAL),
        ("F", Status.FINAL),
        ("C", Status.CORRECTED),
        ("IOSXYZ", Status.NOT_DONE),
    ],
)
def test_an_empty_obx_11_leaves_it_to_obr_25_by_table_0123(codes, status):
    for code in codes:
        assert status_of("", code, {})[0] == status


def test_obx_11_beats_obr_25():
    assert status_of("P", "F", {})[0] == Status.PROVISIONAL


@pytest.mark.parametrize("code", ["B", "0", "2", "f", "final", "ResultStatus1", ""])
def test_a_status_nobody_knows_is_the_source_maps_or_reviews(code):
    assert status_of(code, "", {})[0] is None
    assert status_of(code, "", {code: "F"})[0] == Status.FINAL
    assert reasons(table(report("30", code))) == ["unknown_status"]


def test_the_sources_map_does_not_change_what_the_table_says():
    assert status_of("P", "", {"P": "F"})[0] == Status.PROVISIONAL


def test_final_replaces_preliminary_whichever_comes_first():
    assert stands(report("30", "P", sent=LATE), report("31", "F", sent=EARLY)) == ("captured", "31")


def test_a_correction_replaces_whenever_it_comes():
    for status in "CA":
        assert stands(report("30", "F", sent=LATE), report("31", status, sent=EARLY)) == ("captured", "31")


def test_an_original_sent_again_after_its_correction_changes_nothing():
    resent = report("30", "F", sent=LATER)
    assert stands(report("30", "F", sent=EARLY), report("31", "C", sent=LATE), resent) == ("captured", "31")


def test_u_makes_the_stored_preliminary_final_and_its_value_is_unread():
    assert stands(report("30", "P", sent=EARLY), report("99", "U", sent=LATE)) == ("captured", "30")


def test_u_makes_final_what_stood_when_it_was_said():
    """A preliminary sent after it does not become final by it, nor replace what did."""
    first, later = report("30", "P", sent=EARLY), report("31", "P", sent=LATER)
    assert stands(first, report("", "U", sent=LATE), later) == ("captured", "30")
    assert stands(first, later, report("", "U", sent=LATER)) == ("captured", "31")
    again = report("", "U", sent="20260203110000")
    assert stands(first, report("", "U", sent=LATE), later, again) == ("captured", "31")


def test_u_after_a_final_or_a_correction_changes_nothing():
    confirmed = report("", "U", sent=LATER)
    assert stands(report("30", "P", sent=EARLY), report("31", "F", sent=LATE), confirmed) == ("captured", "31")
    assert stands(report("31", "C", sent=EARLY), report("30", "P", sent=LATE), confirmed) == ("captured", "31")


def test_u_is_told_in_the_words_of_the_result_that_it_makes_final():
    preliminary = report("30", "P", sent=EARLY)
    derived = table(preliminary, report("", "U", sent=LATE))
    told = derived.steps[preliminary.origin.inbox_id, preliminary.reported.locator]
    assert "confirmed_final" in [step.rule for step in told]


def test_u_without_any_stored_result_is_asked():
    assert reasons(table(report("99", "U"))) == ["unreadable_value"]


def test_d_and_w_take_back_what_was_stored():
    for status in "DW":
        assert stands(report("30", "F", sent=EARLY), report("", status, sent=LATE)) == ("empty", None)
        assert stands(report("30", "C", sent=LATE), report("", status, sent=EARLY)) == ("empty", None)


def test_x_n_and_o_are_not_done_and_rank_with_final():
    for status in "XNO":
        assert stands(report("30", "P", sent=LATE), report("", status, sent=EARLY)) == ("empty", None)
        assert stands(report("30", "F", sent=LATE), report("", status, sent=EARLY)) == ("captured", "30")
        assert stands(report("30", "F", sent=EARLY), report("", status, sent=LATE)) == ("empty", None)


def test_the_later_by_obr_22_stands_where_both_have_it():
    corrected, final = report("31", "C", issued=EARLY), report("30", "F", issued=LATE)
    assert stands(corrected, final) == ("captured", "30")


def test_a_preliminary_or_final_never_replaces_a_correction_on_msh_7_alone():
    assert stands(report("31", "C", sent=EARLY), report("30", "F", sent=LATER), report("29", "P", sent=LATER)) == (
        "captured",
        "31",
    )


def test_within_one_status_the_later_by_msh_7_stands():
    assert stands(report("30", "F", sent=EARLY), report("31", "F", sent=LATE)) == ("captured", "31")


def test_still_equal_with_different_values_is_asked_and_neither_stands():
    a, b = report("30", "F", sent=EARLY), report("31", "F", sent=EARLY)
    assert stands(a, b) == ("in_review", None)
    derived = table(a, b)
    assert [(i.reason, i.count, i.visit) for i in derived.items] == [("conflicting_results", 2, "week-4")]
    assert {row(derived, r).outcome for r in (a, b)} == {"held"}


def test_still_equal_with_equal_values_is_one_result():
    assert stands(report("30", "F", sent=EARLY), report("30.0", "F", sent=EARLY))[0] == "captured"


def test_two_different_values_of_one_observation_in_one_message_are_asked():
    a = understood(reported("30", locator="OBX[1]"), message="one")
    b = understood(reported("31", locator="OBX[2]"), message="one")
    assert reasons(table(a, b)) == ["conflicting_results"]


def test_reports_whose_times_and_statuses_contradict_each_other_are_asked():
    """By OBR-22 a stands over c, by status c over b and b over a: nothing may be said to stand."""
    a = report("30", "P", issued=LATE)
    b = report("31", "F")
    c = report("32", "C", issued=EARLY)
    assert stands(a, b, c) == ("in_review", None)


def test_another_order_number_is_another_result():
    derived = table(a := report("30"), b := report("31", order="filler:B2", taken=on(29)))
    assert {row(derived, r).outcome for r in (a, b)} == {"placed"}


def test_another_sub_id_is_another_result():
    derived = table(a := report("30", sub_id="1"), b := report("30", sub_id="2", taken=on(28)))
    assert {row(derived, r).outcome for r in (a, b)} == {"placed"}


def test_a_placers_number_is_not_a_fillers():
    derived = table(a := report("30", order="placer:A1"), b := report("30", order="filler:A1", taken=on(29)))
    assert {row(derived, r).outcome for r in (a, b)} == {"placed"}


def test_without_an_order_number_the_collection_time_makes_the_result():
    a = report("30", "P", order="", taken=on(28, "0830"))
    b = report("31", "F", order="", taken=on(28, "0830"))
    c = report("32", "F", order="", taken=on(28, "0900"))
    derived = table(a, b, c)
    assert [row(derived, r).outcome for r in (a, b, c)] == ["superseded", "placed", "placed"]


def test_a_sample_number_used_again_on_another_date_is_another_result():
    derived = table(a := report("30", taken=on(28)), b := report("31", taken=on(84)))
    assert (cell(derived).value, cell(derived, "week-12").value) == ("30", "31")
    assert {row(derived, r).outcome for r in (a, b)} == {"placed"}


def test_a_correction_of_the_collection_date_is_of_the_same_result():
    derived = table(a := report("30", taken=on(28)), report("31", "C", taken=on(84)))
    assert (row(derived, a).outcome, cell(derived).value, cell(derived, "week-12").value) == ("superseded", None, "31")


def test_a_correction_of_which_nothing_says_what_it_corrects_leaves_none_standing():
    first, second = report("30", taken=on(28)), report("31", taken=on(84))
    correction = report("32", "C", taken=on(29))
    derived = table(first, second, correction)
    assert (cell(derived).value, cell(derived, "week-12").value) == (None, None)
    assert set(reasons(derived)) == {"conflicting_results"}


def test_a_correction_that_is_itself_held_still_replaces():
    derived = table(original := report("30"), held := report("31", "C", unit=""))
    assert (row(derived, original).outcome, row(derived, held).outcome) == ("superseded", "held")
    assert (cell(derived).status, cell(derived).value) == ("in_review", None)


def test_a_held_correction_without_a_collection_time_leaves_the_cell_in_review():
    derived = table(report("30"), report("31", "C", taken=None))
    assert (cell(derived).status, cell(derived).reason) == ("in_review", "missing_collection_time")


def test_an_item_whose_result_was_replaced_closes_itself():
    held = report("30", "P", unit="")
    assert reasons(table(held)) == ["missing_unit"]
    assert not table(held, report("31", "F")).items


def test_reports_of_two_sources_are_never_one_result():
    from laboratory import EHR

    a, b = report("30", "P"), understood(reported("31", taken=on(29)), source=EHR)
    assert {row(table(a, b), r).outcome for r in (a, b)} == {"placed"}


def test_every_version_stays_with_its_outcome():
    reports = [report("30", "P"), report("31", "F"), report("32", "C")]
    assert sorted(r.outcome for r in table(*reports).results) == ["placed", "superseded", "superseded"]


reports_of_one_result = st.lists(
    st.builds(
        lambda value, status, sent, issued, unit, taken: understood(
            reported(str(value), status=status, sent=sent, issued=issued, unit=unit, taken=taken),
            message=f"{value}{status}{sent}{issued}{unit}{taken}",
        ),
        st.integers(30, 33),
        st.sampled_from("PFCDXU0"),
        st.sampled_from([EARLY, LATE, LATER, None]),
        st.sampled_from([EARLY, LATE, None]),
        st.sampled_from(["U/L", ""]),
        st.sampled_from([on(28), on(28, "0830"), on(30), None]),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda r: r.key,
)


@settings(max_examples=300)
@given(reports_of_one_result, st.randoms(use_true_random=False))
def test_the_order_of_arrival_of_all_versions_of_a_result_does_not_matter(reports, random):
    shuffled = list(reports)
    random.shuffle(shuffled)
    assert table(*reports) == table(*shuffled)


@settings(max_examples=300)
@given(reports_of_one_result)
def test_nothing_vanishes(reports):
    derived = table(*reports)
    ignored = sum(n for counts in derived.ignored.values() for n in counts.values())
    assert len(derived.results) + ignored == len(reports)
    held = [r for r in derived.results if r.outcome == "held"]
    assert all(any(r.item == i.id for i in derived.items) for r in held)


def test_of_equal_reports_the_one_that_says_when_the_specimen_was_taken_stands():
    dated = understood(reported("31", unit=""), message="dated")
    undated = understood(reported("31", unit="", taken=None), message="undated")
    (expected,) = table(dated).items
    for later in (dated, undated):
        copy = understood(later.reported, message=f"0 copy of {later.origin.message_control_id}", source=LIS)
        (item,) = table(dated, undated, copy).items
        assert item.collected_at == expected.collected_at is not None


@settings(max_examples=200)
@given(reports_of_one_result)
def test_a_copy_of_every_report_changes_nothing(reports):
    """The same reports re-exported under other control ids, a day later in nothing but their number."""
    again = [understood(r.reported, message="copy of " + r.origin.message_control_id, source=LIS) for r in reports]
    once, twice = table(*reports), table(*reports, *again)
    assert [(c.status, c.value) for c in once.selections] == [(c.status, c.value) for c in twice.selections]
