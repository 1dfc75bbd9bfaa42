"""Trial.md section 7: assessments that a source sends are amended and chosen like results, beside those entered."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from itertools import permutations
from typing import Any

import pytest
from laboratory import EHR, LIS, PROTOCOL, WHO, cell, on, reasons, reported, row, table, understood
from test_score_rules import CHILD_PUGH_A, MELD_20, inputs, judged, laboratory, scored

from adapter.model import AssessmentCode, Coding, Decision, Derived, SelectionRow
from adapter.rules.codes import CodeMap
from adapter.rules.decided import readings
from adapter.rules.interpret import Context, Interpreted, interpret

ROWS = (
    AssessmentCode("ascites", "ASC", {"none": ("none", "无"), "mild": ("1",), "moderate_severe": ("2",)}, row="a[1]"),
    AssessmentCode("encephalopathy", "HE", {"none": ("0",), "grade_1_2": ("1", "2")}, row="a[2]"),
    AssessmentCode("dialysis", "HD", {"yes": ("Y",), "no": ("N",)}, row="a[3]"),
)
SITE, OTHER = replace(LIS, assessments=ROWS), replace(EHR, assessments=ROWS)
LAB = laboratory(CHILD_PUGH_A)


def sent(
    code: str, text: str, *, day: int | None = 28, source: Any = SITE, message: str = "", **more: Any
) -> Interpreted:
    """An assessment as a source sends it, a message of its own."""
    given = {"code": code, "system": "99L", "unit": "", "order": f"filler:{code}{day}", **more}
    taken = {} if "taken" in more else {"taken": None if day is None else on(day)}
    found = reported(text, **given, **taken)
    return understood(found, message=message or f"{code} {text} {day} {more}", source=source)


def child_pugh(*assessed: Interpreted, **more: Any) -> SelectionRow:
    return scored(*LAB, *assessed, endpoint="CHILD_PUGH", **more)


def took(derived: Derived, result: Interpreted) -> tuple[str, str | None, str | None, str | None, str | None]:
    told = row(derived, result)
    return told.outcome, told.endpoint, told.value, told.unit, told.visit


# --- one on its own -----------------------------------------------------------------------------------------------


def test_a_score_is_computed_from_what_a_source_sends() -> None:
    ascites = sent("ASC", "2", message="M-ASC")
    found = child_pugh(ascites, sent("HE", "1"))
    assert (found.value, found.status, found.reason) == ("8", "captured", None)
    assert inputs(found)["ascites"] == {
        "value": "moderate_severe",
        "unit": None,
        "collected_at": "2026-02-02",
        "why": None,
        "source": "lis",
        "message_id": "M-ASC",
        "inbox_id": ascites.origin.inbox_id,
        "locator": "OBX[1]",
    }


def test_an_assessment_is_placed_as_one_and_is_no_cell_of_the_table() -> None:
    ascites, early = sent("ASC", "1"), sent("HE", "0", day=-3)
    derived = table(ascites, early)
    assert took(derived, ascites) == ("placed", "ascites", "mild", None, "week-4")
    assert took(derived, early) == ("baseline", "encephalopathy", "none", None, None)
    assert row(derived, ascites).mapping == "a[1]"
    assert {s.endpoint for s in derived.selections}.isdisjoint({"ascites", "encephalopathy", "dialysis"})
    assert [(p.endpoint, p.chosen) for p in derived.placements] == [("ascites", True)]
    assert not derived.items


@pytest.mark.parametrize("text", ["none", "无"])
def test_a_listed_value_counts_though_elsewhere_it_says_that_there_is_no_result(text: str) -> None:
    assert took(table(result := sent("ASC", text)), result)[:3] == ("placed", "ascites", "none")


@pytest.mark.parametrize(("text", "status"), [("", "F"), ("not done", "F"), ("1", "X")])
def test_what_was_not_done_is_not_assessed(text: str, status: str) -> None:
    result = sent("ASC", text, status=status)
    assert took(table(result), result)[0] == "not_done"
    assert child_pugh(result, sent("HE", "0")).reason == "missing_input: ascites"


def test_a_value_that_is_not_listed_is_asked_and_no_score_is_guessed() -> None:
    result = sent("ASC", "a little")
    derived = table(*LAB, result, sent("HE", "0"))
    (item,) = derived.items
    assert (item.reason, item.endpoint, item.value_text) == ("unreadable_value", "ascites", "a little")
    assert (item.detail["rule"], item.detail["item"]) == ("unknown_assessment", "ascites")
    found = cell(derived, endpoint="CHILD_PUGH")
    assert (found.status, found.reason, found.open_items) == ("in_review", "input_in_review: ascites", (item.id,))
    assert cell(derived, endpoint="MELD").reason == "missing_input: CREA"


def test_without_a_day_it_is_asked_when_it_was() -> None:
    derived = table(result := sent("ASC", "1", day=None))
    assert (took(derived, result)[0], reasons(derived)) == ("held", ["missing_collection_time"])


def test_a_code_that_no_configuration_names_is_a_question_as_ever() -> None:
    for result in (understood(reported("1", code="ASC", system="99L")), sent("ASC2", "1")):
        assert row(table(result), result).reason == "unmapped_code"


def test_a_person_says_what_a_result_is_and_that_goes_first() -> None:
    result = sent("ASC", "35", unit="U/L")
    said = {"source": "lis", "study_id": "S-001", "results": result.key, "what": "analyte", "to": "ALT"}
    assert reread(result, said).analyte == "ALT"
    assert reread(result, said).number == 35


@pytest.mark.parametrize(("to", "kind"), [("mild", "value"), ("moderate_severe", "value"), ("severe", "held")])
def test_a_person_reads_what_the_configuration_does_not_list(to: str, kind: str) -> None:
    result = sent("ASC", "a little")
    said = {"source": "lis", "study_id": "S-001", "results": result.key, "what": "value", "to": to}
    found = reread(result, said)
    assert (found.kind, found.value) == (kind, to if kind == "value" else None)


def reread(result: Interpreted, said: dict[str, str]) -> Interpreted:
    """A result as it is read under a person's decision."""
    decision = Decision(1, "read_result", said, "coordinator", "2026-08-31T00:00:00+00:00", "seen")
    context = Context(PROTOCOL, SITE, CodeMap(SITE.codes), readings([decision], "lis"))
    return interpret(result.reported, result.origin, result.study_id, context)


# --- among others -------------------------------------------------------------------------------------------------


def test_the_nearest_to_the_target_counts_and_of_two_equally_near_the_later() -> None:
    sooner, nearer, later = sent("ASC", "none", day=24), sent("ASC", "1", day=27), sent("ASC", "2", day=29)
    encephalopathy = sent("HE", "0")
    assert inputs(child_pugh(sooner, nearer, encephalopathy))["ascites"]["value"] == "mild"
    for order in permutations((sooner, nearer, later, encephalopathy)):
        assert inputs(child_pugh(*order))["ascites"]["value"] == "moderate_severe"


@pytest.mark.parametrize(
    ("entered_on", "sent_on", "counts"),
    [(28, 29, "entered"), (26, 27, "sent"), (27, 27, "entered"), (27, 29, "sent"), (29, 27, "entered")],
)
def test_of_what_is_entered_and_what_is_sent_the_nearer_counts_and_on_one_day_the_entered(
    entered_on: int, sent_on: int, counts: str
) -> None:
    entry = judged(entered_on, ascites="mild")
    found = child_pugh(sent("ASC", "2", day=sent_on), sent("HE", "0"), assessments=[entry])
    assert inputs(found)["ascites"]["value"] == {"entered": "mild", "sent": "moderate_severe"}[counts]


def test_what_is_entered_leaves_open_is_taken_from_what_is_sent() -> None:
    found = child_pugh(sent("ASC", "1"), sent("HE", "2"), assessments=[judged(ascites="none")])
    assert (inputs(found)["ascites"]["value"], inputs(found)["encephalopathy"]["value"]) == ("none", "grade_1_2")
    assert "source" not in inputs(found)["ascites"]


def test_an_entry_answers_what_a_held_assessment_leaves_open() -> None:
    found = child_pugh(sent("ASC", "a little"), sent("HE", "0"), assessments=[judged(ascites="mild")])
    assert (found.value, found.status, len(found.open_items)) == ("6", "captured", 1)


def test_a_preliminary_one_gives_no_score_and_an_entry_goes_before_it() -> None:
    results = (sent("ASC", "1", status="P"), sent("HE", "0"))
    assert child_pugh(*results).reason == "provisional_input: ascites"
    assert child_pugh(*results, assessments=[judged(23, ascites="mild")]).value == "6"


def test_a_correction_replaces_it_and_a_deletion_takes_it_back() -> None:
    first, encephalopathy = sent("ASC", "1"), sent("HE", "0")
    corrected = sent("ASC", "2", status="C", message="later")
    deleted = sent("ASC", "", status="D", message="last")
    assert child_pugh(first, corrected, encephalopathy).value == "7"
    assert child_pugh(first, corrected, deleted, encephalopathy).reason == "missing_input: ascites"
    held = sent("ASC", "a little", status="C", message="held")
    assert child_pugh(first, held, encephalopathy).reason == "input_in_review: ascites"


def test_the_same_through_two_sources_counts_once() -> None:
    derived = table(*LAB, sent("ASC", "1"), sent("ASC", "1", source=OTHER), sent("HE", "0"))
    assert cell(derived, endpoint="CHILD_PUGH").value == "6"
    assert not derived.items


def test_equal_values_of_two_items_are_two_assessments() -> None:
    ascites, encephalopathy = sent("ASC", "none"), sent("HE", "0", source=OTHER)
    found = inputs(child_pugh(ascites, encephalopathy))
    assert (found["ascites"]["value"], found["encephalopathy"]["value"]) == ("none", "none")


@pytest.mark.parametrize("source", [SITE, OTHER])
def test_two_values_of_one_time_are_asked_and_give_no_score(source: Any) -> None:
    other = sent("ASC", "2", source=source, order="filler:Z", message="other")
    derived = table(*LAB, sent("ASC", "1"), other, sent("HE", "0"))
    (item,) = derived.items
    assert (item.reason, item.visit, item.endpoint, item.count) == ("conflicting_results", "week-4", "ascites", 2)
    found = cell(derived, endpoint="CHILD_PUGH")
    assert (found.reason, found.open_items) == ("input_in_review: ascites", (item.id,))


def test_two_reports_of_one_assessment_that_contradict_each_other_are_asked() -> None:
    derived = table(sent("ASC", "1", message="a"), sent("ASC", "2", message="b"))
    assert [(i.reason, i.endpoint) for i in derived.items] == [("conflicting_results", "ascites")]
    assert {r.outcome for r in derived.results} == {"held"}


def test_dialysis_counts_where_it_is_sent_and_is_waited_for_where_it_is_held() -> None:
    meld = laboratory(MELD_20)
    assert scored(*meld).flags == ("dialysis_not_assessed",)
    assert scored(*meld, sent("HD", "N")).value == "20"
    assert (scored(*meld, sent("HD", "Y")).value, scored(*meld, sent("HD", "Y")).flags) == ("27", ())
    assert scored(*meld, sent("HD", "perhaps")).reason == "input_in_review: dialysis"
    assert scored(*meld, sent("HD", "Y", status="P")).reason == "provisional_input: dialysis"


def test_from_the_end_of_observation_on_it_is_ignored() -> None:
    withdrawn = replace(WHO, ended_on=date(2026, 2, 2), ended_by="withdrawn")
    derived = table(sent("ASC", "1"), sent("ASC", "none", day=27), who=withdrawn)
    assert [r.outcome for r in derived.results] == ["placed"]
    assert [dict(each) for each in derived.ignored.values()] == [{"after_withdrawal": 1}]


def test_outside_every_window_it_is_unscheduled_and_nobody_is_asked_to_accept_it() -> None:
    derived = table(result := sent("ASC", "1", day=37), today=date(2026, 9, 1))
    assert took(derived, result)[0] == "unscheduled"
    assert not derived.items


def test_a_code_beside_the_assessments_own_changes_nothing() -> None:
    both = [Coding("X-1", "ascites", "99Z"), Coding("ASC", "", "99L")]
    assert took(table(result := sent("ASC", "1", codings=both)), result)[:3] == ("placed", "ascites", "mild")


def test_what_was_received_at_the_target_and_contradicts_itself_is_not_passed_over_for_what_is_farther() -> None:
    one, other = sent("ASC", "2", order="filler:A"), sent("ASC", "1", order="filler:B")
    entered = [judged(30, ascites="none", encephalopathy="none")]
    found = child_pugh(one, other, assessments=entered)
    assert (found.value, found.status, found.reason) == (None, "in_review", "input_in_review: ascites")
    nearer = [judged(28, ascites="none", encephalopathy="none")]
    assert child_pugh(one, other, assessments=nearer).value == "5"  # entered on that very day: a person looked at it
