"""trial.md section 8: the review queue."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from laboratory import (
    EHR,
    INFUSED_ON,
    LIS,
    PROTOCOL,
    RECEIVED_AT,
    TODAY,
    WHO,
    cell,
    on,
    reasons,
    reported,
    row,
    table,
    understood,
)

from adapter.model import Decision, Derived, Reason, ReviewItem
from adapter.rules.derive import ReadMessage, derive
from adapter.rules.interpret import Interpreted, Origin
from adapter.rules.queue import Dismissals, UnmappedCode, message_item_id, unmapped_items

UNREADABLE = Origin(7, "lis", "M7", "ab" * 32, RECEIVED_AT)


def in_one_message(*results: Interpreted, asked: Reason | None = None, **more: object) -> Derived:
    """The rows of one message that holds these results."""
    origin = replace(results[0].origin, trouble=asked)
    own = tuple(replace(r, origin=origin) for r in results)
    return derive(WHO, [ReadMessage(origin, own, asked, **more)], PROTOCOL, (), TODAY, "rules")  # type: ignore[arg-type]


def dismissal(item: ReviewItem) -> Decision:
    return Decision(1, "dismiss_item", {"item": item.id, "evidence": item.evidence}, "anyone", "2026-09-01", "a reason")


def unmapped(code: str = "X9", source: str = "lis", name: str = "", suggestion: str | None = None) -> ReviewItem:
    return unmapped_items("T", [UnmappedCode(source, code, "L", name, "M1", ((1, "OBX[1]"),), suggestion)])[0]


def test_an_item_is_of_one_reason_and_one_message_and_lists_the_results_it_holds():
    first = understood(reported("30", unit="", locator="OBX[1]"))
    second = understood(reported("31", unit="", code="1920-8", locator="OBX[2]"))
    third = understood(reported("1,2", code="6768-6", locator="OBX[3]"))
    derived = in_one_message(first, second, third)
    assert {(i.reason, i.count) for i in derived.items} == {("missing_unit", 2), ("unreadable_value", 1)}
    listed = {locator for i in derived.items for _, locator in i.results}
    assert listed == {"OBX[1]", "OBX[2]", "OBX[3]"}
    assert {r.item for r in derived.results} == {i.id for i in derived.items}


def test_the_same_reason_in_another_message_is_another_item():
    a, b = understood(reported(unit=""), message="a"), understood(reported(unit="", order="filler:B"), message="b")
    assert [i.count for i in table(a, b).items] == [1, 1]


def test_a_question_about_a_message_and_the_results_it_holds_is_one_item():
    result = understood(reported())
    for asked in (Reason.IDENTITY_CONFLICT, Reason.UNREADABLE_MESSAGE):
        held = replace(result, kind="held", reason=asked, rule=f"message_{asked}")
        (item,) = in_one_message(held, asked=asked, facts={"field": "PID-7"}).items
        assert (item.reason, item.count, item.detail["field"]) == (asked, 1, "PID-7")


def test_an_identity_conflict_names_the_field_and_never_what_it_holds():
    held = replace(understood(reported()), kind="held", reason=Reason.IDENTITY_CONFLICT)
    (item,) = in_one_message(held, asked=Reason.IDENTITY_CONFLICT, facts={"field": "PID-8"}).items
    assert item.detail["field"] == "PID-8"
    assert set(item.detail) <= {"rule", "field", "sha256", "endpoint"}


def test_unmapped_code_is_of_a_source_and_code_however_many_results_carry_it():
    a = understood(reported(code="X9", system="L"), message="a")
    b = understood(reported(code="X9", system="L", order="filler:B", taken=on(84)), message="b")
    other_code = understood(reported(code="X8", system="L"), message="c")
    other_source = understood(reported(code="X9", system="L"), source=EHR)
    names = [message_item_id("T", r) for r in (a, b, other_code, other_source)]
    assert names[0] == names[1]
    assert len(set(names)) == 3
    derived = table(a, b)
    assert derived.items == ()  # asked once for the whole trial, not by each participant
    assert {row(derived, r).item for r in (a, b)} == {message_item_id(PROTOCOL.trial, a)}


def test_unmapped_code_counts_its_results_and_suggests():
    results = ((1, "OBX[1]"), (2, "OBX[4]"))
    (item,) = unmapped_items("T", [UnmappedCode("lis", "X9", "L", "谷丙转氨酶", "M1", results, "ALT")])
    assert (item.count, item.suggestion, item.group, item.code, item.results) == (2, "ALT", None, "X9", results)


def test_codes_that_resemble_no_endpoint_are_one_group_of_their_source():
    assert unmapped("X1").group == unmapped("X2").group is not None
    assert unmapped("X1").group != unmapped("X1", source="ehr").group
    assert unmapped("X3", suggestion="ALT").group is None


def test_conflicting_results_is_of_a_participant_visit_and_endpoint():
    a, b = reported("30", taken=on(28, "0830")), reported("31", taken=on(28, "0830"), order="filler:B")
    third = reported("32", taken=on(28, "0830"), order="filler:C")
    derived = table(*(understood(r, message=str(n)) for n, r in enumerate((a, b, third))))
    (item,) = derived.items
    assert (item.reason, item.study_id, item.visit, item.endpoint, item.count) == (
        "conflicting_results",
        "S-001",
        "week-4",
        "ALT",
        3,
    )


def test_a_contradiction_of_unknown_date_leaves_in_review_what_had_opened_when_it_came():
    early = datetime(2026, 2, 3, 4, 0, tzinfo=UTC)
    pair = [
        understood(reported(v, taken=None, locator=f"OBX[{v}]"), message="one", received_at=early) for v in ("30", "31")
    ]
    derived = table(*pair)
    assert [cell(derived, v).status for v in ("week-4", "week-12", "week-24")] == ["in_review", "empty", "empty"]
    assert [(i.reason, i.count) for i in derived.items] == [("conflicting_results", 2)]


def test_a_contradiction_on_an_unscheduled_day_leaves_no_cell_in_review():
    pair = [understood(reported(v, taken=on(50), locator=f"OBX[{v}]"), message="one") for v in ("30", "31")]
    derived = table(*pair)
    assert reasons(derived) == ["conflicting_results"]
    assert {c.status for c in derived.selections} == {"empty"}


def test_window_missed_is_of_a_participant_visit_and_endpoint():
    derived = table(understood(reported(taken=on(38))), understood(reported(code="1920-8", taken=on(38))))
    assert [(i.reason, i.study_id, i.visit, i.endpoint) for i in derived.items] == [
        ("window_missed", "S-001", "week-4", "ALT"),
        ("window_missed", "S-001", "week-4", "AST"),
    ]


def test_window_missed_never_proposes_a_result_that_is_itself_contradicted():
    pair = [understood(reported(v, taken=on(38), locator=f"OBX[{v}]"), message="one") for v in ("30", "31")]
    assert reasons(table(*pair)) == ["conflicting_results"]
    sound = understood(reported("40", taken=on(41), order="filler:B"))
    missed = next(i for i in table(*pair, sound).items if i.reason == "window_missed")
    assert missed.value_text == "40"


def test_changed_after_choice_is_of_a_participant_visit_and_endpoint():
    result = understood(reported())
    body = {"study_id": "S-001", "visit": "week-4", "endpoint": "ALT", "result": result.key, "evidence": "before"}
    made = Decision(1, "choose", body, "anyone", "2026-09-01", "a reason")
    (item,) = table(result, decisions=[made]).items
    assert (item.reason, item.study_id, item.visit, item.endpoint) == ("changed_after_choice", "S-001", "week-4", "ALT")


@pytest.mark.parametrize(
    ("result", "visits"),
    [
        (reported(unit="", taken=on(28)), ["week-4"]),
        (reported(unit="", taken=on(50)), []),
        (reported(unit="", taken=on(-3)), []),
        (reported(taken=None), ["week-4", "week-12", "week-24"]),
    ],
)
def test_a_cell_is_in_review_when_a_held_result_dated_in_its_window_or_undated_could_be_of_it(result, visits):
    derived = table(understood(result))
    assert [c.visit for c in derived.selections if c.status == "in_review"] == visits


def test_an_undated_result_cannot_be_of_a_window_that_had_not_opened_when_it_came():
    held = understood(reported(taken=None), received_at=datetime(2026, 2, 3, 4, 0, tzinfo=UTC))
    assert [c.visit for c in table(held).selections if c.status == "in_review"] == ["week-4"]


def test_a_cell_with_a_usable_value_is_not_in_review_and_counts_what_is_open():
    derived = table(understood(reported("30")), understood(reported(unit="", order="filler:B")))
    assert (cell(derived).status, len(cell(derived).open_items)) == ("captured", 1)


def test_a_held_result_is_of_the_endpoints_it_could_be_alone():
    derived = table(understood(reported(code="X9", system="L", name="谷丙转氨酶")))
    assert [(c.visit, c.endpoint) for c in derived.selections if c.status == "in_review"] == [("week-4", "ALT")]
    assert not [c for c in table(understood(reported(code="X9", system="L"))).selections if c.status == "in_review"]


@pytest.mark.parametrize("ended_by", ["died", "transplanted"])
def test_an_undated_result_cannot_be_of_a_window_after_the_end_of_observation(ended_by):
    undated = understood(reported(taken=None))
    before_the_window = replace(WHO, ended_on=date(2026, 1, 26), ended_by=ended_by)
    within_it = replace(WHO, ended_on=date(2026, 1, 27), ended_by=ended_by)
    assert [c.visit for c in table(undated, who=before_the_window).selections if c.status == "in_review"] == []
    assert [c.visit for c in table(undated, who=within_it).selections if c.status == "in_review"] == ["week-4"]


def test_a_message_of_which_nothing_can_be_read_leaves_every_open_cell_in_review():
    message = ReadMessage(UNREADABLE, asked=Reason.UNREADABLE_MESSAGE, facts={"why": "line 3"})
    derived = derive(WHO, [message], PROTOCOL, (), TODAY, "rules")
    assert reasons(derived) == ["unreadable_message"]
    assert {c.status for c in derived.selections if c.endpoint == "ALT"} == {"in_review"}
    early = replace(message, origin=replace(UNREADABLE, received_at=datetime(2026, 2, 3, tzinfo=UTC)))
    found = derive(WHO, [early], PROTOCOL, (), TODAY, "rules")
    assert [c.visit for c in found.selections if c.endpoint == "ALT" and c.status == "in_review"] == ["week-4"]


def test_an_unreadable_message_whose_every_result_was_replaced_is_no_question():
    garbled = replace(
        understood(reported("30"), message="garbled"), kind="held", reason=Reason.UNREADABLE_MESSAGE, number=None
    )
    origin = replace(garbled.origin, trouble=Reason.UNREADABLE_MESSAGE)
    asked = ReadMessage(origin, (replace(garbled, origin=origin),), Reason.UNREADABLE_MESSAGE, {"why": "line 3"})
    again = understood(reported("31", sent="20260831130000"), message="again")
    assert reasons(derive(WHO, [asked], PROTOCOL, (), TODAY, "rules")) == ["unreadable_message"]
    derived = derive(WHO, [asked, ReadMessage(again.origin, (again,))], PROTOCOL, (), TODAY, "rules")
    assert (derived.items, cell(derived).value, cell(derived, endpoint="AST").status) == ((), "31", "empty")


def test_what_is_asked_elsewhere_only_holds_up_the_cell():
    of_two = replace(understood(reported()), study_id="", kind="held", reason=Reason.IDENTITY_CONFLICT)
    sound = understood(reported("40", code="1920-8"), message="other")
    message = ReadMessage(of_two.origin, (replace(sound, origin=of_two.origin),), shadows=(of_two,))
    derived = derive(WHO, [message], PROTOCOL, (), TODAY, "rules")
    assert (derived.items, cell(derived).status, cell(derived, endpoint="AST").value) == ((), "in_review", "40")
    assert cell(derived).open_items == (message_item_id(PROTOCOL.trial, of_two),)


def test_an_items_id_survives_a_rebuild():
    """A hash of trial, reason and subject: neither the inbox's numbers nor the order of arrival are in it."""
    results = [understood(reported(unit="")), understood(reported(taken=on(97), code="1920-8"), message="b")]
    renumbered = [replace(r, origin=replace(r.origin, inbox_id=n)) for n, r in enumerate(results, start=500)]
    assert {i.id for i in table(*results).items} == {i.id for i in table(*reversed(renumbered)).items}


def test_another_trial_or_another_source_is_another_item():
    result, same = understood(reported(unit="")), understood(reported(unit=""), source=EHR)
    names = {message_item_id("T1", result), message_item_id("T2", result), message_item_id("T1", same)}
    assert len(names) == 3


def test_a_dismissed_item_is_closed_and_its_cell_no_longer_in_review():
    held = understood(reported(unit=""))
    (item,) = table(held).items
    derived = table(held, decisions=[dismissal(item)])
    assert (derived.items, cell(derived).status, cell(derived).reason) == ((), "empty", "missing_unit")
    assert row(derived, held).outcome == "held"


def test_a_dismissal_counts_for_the_results_that_were_there():
    first, second = reported(unit="", locator="OBX[1]"), reported(unit="", code="1920-8", locator="OBX[2]")
    (alone,) = in_one_message(understood(first)).items
    both = in_one_message(understood(first), understood(second)).items[0]
    assert alone.reason == both.reason
    assert not Dismissals.of([dismissal(alone)]).covers(replace(both, id=alone.id))


def test_a_dismissed_code_stays_dismissed_whatever_carries_it_later():
    nameless = unmapped(code="", name="ALT", suggestion="ALT")
    later = replace(nameless, evidence="other", count=9)
    assert Dismissals.of([dismissal(nameless)]).covers(later)
    held = understood(reported(code="", system="", name="ALT"))
    assert cell(table(held)).status == "in_review"
    asked = replace(nameless, id=message_item_id(PROTOCOL.trial, held))
    assert cell(table(held, decisions=[dismissal(asked)])).status == "empty"


def test_an_item_says_nothing_that_was_not_reported():
    held = understood(reported("35", unit="", name="ALT"), source=LIS)
    (item,) = table(held).items
    assert (item.study_id, item.source, item.code, item.name, item.value_text, item.unit, item.message_id) == (
        "S-001",
        "lis",
        "1742-6",
        "ALT",
        "35",
        None,
        "M1",
    )
    assert item.collected_at == str(INFUSED_ON.replace(month=2, day=2))
