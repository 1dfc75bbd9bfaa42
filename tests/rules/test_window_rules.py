"""trial.md section 4: the time and the window."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from laboratory import INFUSED_ON, LIS, PROTOCOL, WHO, cell, on, reasons, reported, row, table, understood

from adapter.codecs.times import read_time
from adapter.model import Collected, Precision
from adapter.rules.windows import before_infusion, infusion, same_time, seen_in, visit_of, window

SHANGHAI = ZoneInfo("Asia/Shanghai")


def taken(*times: tuple[str, str], source=LIS, **more):
    return understood(reported(times=times, **more), source=source)


def test_spm_17_goes_before_obr_7_before_obx_14():
    late, middle, early = ("OBX-14", on(30)), ("OBR-7", on(29)), ("SPM-17", on(28))
    assert taken(late, middle, early).collected.on == INFUSED_ON + timedelta(days=28)
    assert taken(late, middle).collected.on == INFUSED_ON + timedelta(days=29)
    assert taken(late).collected.on == INFUSED_ON + timedelta(days=30)


def test_the_order_of_the_fields_is_a_setting_of_the_source():
    source = replace(LIS, collection_time=("OBX-14", "OBR-7"))
    assert taken(("OBR-7", on(29)), ("OBX-14", on(30)), source=source).collected.on == INFUSED_ON + timedelta(days=30)
    assert taken(("SPM-17", on(28)), source=source).reason == "missing_collection_time"


def test_the_time_of_the_message_or_report_never_stands_in():
    held = understood(reported(taken=None, issued=on(28), sent=on(28)))
    derived = table(held)
    assert reasons(derived) == ["missing_collection_time"]
    assert cell(derived).status == "in_review"


@pytest.mark.parametrize("text", ["2026", "202602"])
def test_less_than_a_day_is_too_coarse(text):
    assert understood(reported(taken=text)).reason == "missing_collection_time"


def test_a_coarse_time_is_passed_over_for_one_that_agrees_with_it():
    assert taken(("SPM-17", "2026"), ("OBR-7", on(28))).collected.on == INFUSED_ON + timedelta(days=28)
    assert taken(("SPM-17", "2025"), ("OBR-7", on(28))).reason == "missing_collection_time"


def test_a_day_is_enough():
    assert cell(table(understood(reported(taken=on(28))))).collected_at == "2026-02-02"


def test_precision_is_kept_as_it_was_sent():
    assert cell(table(understood(reported(taken=on(28, "0830"))))).collected_at == "2026-02-02T08:30+08:00"
    assert cell(table(understood(reported(taken=on(28, "083015.250"))))).collected_at == "2026-02-02T08:30:15.250+08:00"


def test_over_a_day_after_its_receipt_is_implausible():
    received = datetime(2026, 2, 1, 4, 0, tzinfo=UTC)
    assert understood(reported(taken="20260202"), received_at=received).kind == "value"
    assert understood(reported(taken="20260203"), received_at=received).reason == "implausible_time"
    assert understood(reported(taken="202602021200+0800"), received_at=received).kind == "value"
    assert understood(reported(taken="202602021201+0800"), received_at=received).reason == "implausible_time"


def test_a_time_with_an_offset_is_seen_in_the_trials_time_zone():
    late_in_new_york = understood(reported(taken="202602021900-0500"))
    assert late_in_new_york.collected.on == date(2026, 2, 3)
    assert late_in_new_york.collected.text == "2026-02-03T08:00+08:00"


def test_a_time_without_an_offset_is_in_the_sources_time_zone():
    source = replace(LIS, timezone="UTC")
    assert understood(reported(taken="202602021700"), source=source).collected.on == date(2026, 2, 3)
    assert understood(reported(taken="202602021700")).collected.on == date(2026, 2, 2)


def test_a_date_alone_is_that_calendar_date_wherever_it_was_sent():
    assert understood(reported(taken="20260202"), source=replace(LIS, timezone="UTC")).collected.on == date(2026, 2, 2)


def test_offset_from_msh7_is_used_where_the_site_means_the_standards_rule():
    source = replace(LIS, offset_from_msh7=True)
    sent = "20260831120000-0500"
    assert understood(reported(taken="202602021900", sent=sent), source=source).collected.on == date(2026, 2, 3)
    assert understood(reported(taken="202602021900", sent=sent)).collected.on == date(2026, 2, 2)


def test_two_specimens_with_different_times_leave_the_time_unknown():
    assert taken(("SPM-17", on(28)), ("SPM-17", on(29))).reason == "missing_collection_time"
    assert taken(("SPM-17", on(28)), ("SPM-17", on(28))).kind == "value"


@pytest.mark.parametrize(
    ("day", "visit"),
    [
        (0, None),
        (20, None),
        (21, "week-4"),
        (28, "week-4"),
        (35, "week-4"),
        (36, None),
        (69, None),
        (70, "week-12"),
        (98, "week-12"),
        (99, None),
        (154, "week-24"),
        (182, "week-24"),
        (183, None),
        (-28, None),
    ],
)
def test_both_ends_of_a_window_are_included(day, visit):
    found = visit_of(day, PROTOCOL.visits)
    assert (found.id if found else None) == visit


def test_equally_near_is_the_earlier_visit():
    wide = tuple(replace(v, before_days=60, after_days=60) for v in PROTOCOL.visits)
    assert visit_of(56, wide).id == "week-4"
    assert visit_of(57, wide).id == "week-12"


@given(st.integers(-400, 400))
def test_each_day_belongs_to_at_most_one_visit(day):
    infused = date(2026, 1, 5)
    inside = []
    for visit in PROTOCOL.visits:
        _, first, last = window(visit, infused)
        if first <= infused + timedelta(days=day) <= last:
            inside.append(visit)
    found = visit_of(day, PROTOCOL.visits)
    assert inside == ([found] if found else [])


def test_days_are_differences_of_local_calendar_dates():
    infused_late = replace(WHO, infused_at="2026-01-05T23:30:00+08:00")
    derived = table(understood(reported(taken=on(21, "0001"))), who=infused_late)
    assert (cell(derived).status, cell(derived).day_offset) == ("captured", -7)


def test_a_result_outside_every_window_is_unscheduled_and_not_in_the_queue():
    derived = table(result := understood(reported(taken=on(50))))
    assert row(derived, result).outcome == "unscheduled"
    assert not derived.items


def test_without_an_infusion_date_results_are_kept_and_aligned_when_it_comes():
    result = understood(reported())
    waiting = table(result, who=replace(WHO, infused_at=None))
    assert (row(waiting, result).outcome, cell(waiting).status) == ("unscheduled", "empty")
    assert cell(table(result)).value == "35"


def test_the_last_final_result_before_infusion_is_the_baseline():
    old, last = understood(reported("30", taken=on(-9))), understood(reported("31", taken=on(-1), order="B"))
    provisional = understood(reported("32", taken=on(0), order="C", status="P"))
    derived = table(old, last, provisional)
    assert [row(derived, r).outcome for r in (old, last, provisional)] == ["unscheduled", "baseline", "unscheduled"]


def test_the_day_of_infusion_counts_as_before_unless_both_times_say_otherwise():
    at_noon = infusion("2026-01-05T12:00:00+08:00", SHANGHAI)
    date_only = infusion("2026-01-05", SHANGHAI)
    after = seen_in(read_time("202601051300"), SHANGHAI, SHANGHAI)
    assert before_infusion(seen_in(read_time("20260105"), SHANGHAI, SHANGHAI), at_noon)
    assert before_infusion(after, date_only)
    assert not before_infusion(after, at_noon)


def test_a_missed_window_proposes_the_nearest_result_within_twice_its_tolerance():
    near, nearer = understood(reported("41", taken=on(40))), understood(reported("42", taken=on(38), order="B"))
    derived = table(near, nearer)
    (item,) = derived.items
    assert (item.reason, item.visit, item.endpoint, item.value_text) == ("window_missed", "week-4", "ALT", "42")
    assert (cell(derived).status, cell(derived).reason, cell(derived).open_items) == (
        "in_review",
        "window_missed",
        (item.id,),
    )


def test_a_missed_window_proposes_final_before_preliminary():
    near = understood(reported("41", taken=on(36), status="P"))
    farther = understood(reported("42", taken=on(41), order="B"))
    assert table(near, farther).items[0].value_text == "42"


@pytest.mark.parametrize(("day", "asked"), [(13, False), (14, True), (20, True), (36, True), (42, True), (43, False)])
def test_twice_the_tolerance_is_the_limit(day, asked):
    assert bool(table(understood(reported(taken=on(day)))).items) == asked


def test_a_window_is_not_missed_before_it_has_closed():
    early = understood(reported(taken=on(20)), received_at=datetime(2026, 1, 26, tzinfo=UTC))
    last_day = INFUSED_ON + timedelta(days=35)
    assert not table(early, today=last_day).items
    assert reasons(table(early, today=last_day + timedelta(days=1))) == ["window_missed"]


def test_a_window_with_a_result_in_it_was_not_missed():
    assert not table(understood(reported(taken=on(36))), understood(reported(taken=on(35), order="B"))).items


def test_a_result_before_infusion_is_never_proposed():
    soon = tuple(replace(v, target_day=5) if v.id == "week-4" else v for v in PROTOCOL.visits)
    assert not table(understood(reported(taken=on(-5))), protocol=replace(PROTOCOL, visits=soon)).items


def test_supporting_analytes_raise_no_window_missed():
    assert not table(understood(reported("80", code="14682-9", unit="umol/L", taken=on(36)))).items


def test_the_infusion_date_corrected_later_aligns_everything_again():
    result = understood(reported(taken=on(28)))
    moved = table(result, who=replace(WHO, infused_at="2025-12-25"))
    assert (row(moved, result).outcome, cell(moved).status) == ("unscheduled", "in_review")
    assert cell(table(result)).status == "captured"


def test_a_date_alone_equals_a_time_of_that_day_only_across_sources():
    day = Collected(date(2026, 2, 2), None, Precision.DAY)
    time = seen_in(read_time("202602020800"), SHANGHAI, SHANGHAI)
    assert same_time(day, time, dates_match_times=True)
    assert not same_time(day, time, dates_match_times=False)
    assert same_time(time, seen_in(read_time("20260202080030"), SHANGHAI, SHANGHAI), dates_match_times=False)


@given(st.text(max_size=24))
def test_every_text_is_a_time_or_none_and_never_raises(text):
    found = read_time(text)
    if found is not None and found.precision >= Precision.DAY:
        assert seen_in(found, SHANGHAI, ZoneInfo("America/New_York")).on is not None


@given(
    st.datetimes(datetime(1900, 1, 1), datetime(2900, 1, 1)),
    st.sampled_from(["%Y%m%d", "%Y%m%d%H%M", "%Y%m%d%H%M%S"]),
)
def test_a_time_written_is_the_time_read(moment, form):
    text = moment.strftime(form)
    assert read_time(text).local.strftime(form) == text
