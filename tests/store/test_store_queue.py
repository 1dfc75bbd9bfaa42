"""The queue: items open, change, close and reopen, and the trail says so without what a laboratory wrote."""

from __future__ import annotations

import json
from dataclasses import replace

from store_samples import NOON, RULES, add, apply, derived, item, new_message, result, unmapped_result

from adapter.model import ReviewItem
from adapter.store import Store


def records_of_items(store: Store) -> list[tuple[str, str]]:
    return [(record.what, record.subject) for record in store.audit_records() if "review item" in record.what]


def test_an_item_opens_closes_and_reopens_with_its_first_instant(store: Store) -> None:
    add(store, new_message())
    apply(store, derived(items=(item(),)))
    (opened,) = store.open_items()
    assert (opened.state, opened.scope, opened.opened_at) == ("open", "S01", "2026-03-01T12:00:00.000000+00:00")
    apply(store, derived(), minutes=1)
    assert store.open_items() == []
    closed = store.item("item-1")
    assert closed is not None
    assert (closed.state, closed.closed_at) == ("closed", "2026-03-01T12:01:00.000000+00:00")
    apply(store, derived(items=(item(count=2),)), minutes=2)
    assert store.open_items() == [replace(opened, item=item(count=2))]
    assert records_of_items(store) == [
        ("review item opened", "item item-1"),
        ("review item closed", "item item-1"),
        ("review item reopened", "item item-1"),
    ]


def test_an_item_that_grows_stays_the_same_question(store: Store) -> None:
    add(store, new_message())
    apply(store, derived(items=(item(),)))
    grown = item(count=3, evidence="e3", detail={"rule": "missing_unit", "more": "yes"}, results=((1, "OBX[2]"),))
    apply(store, derived(items=(grown,)), minutes=9)
    (stored,) = store.open_items()
    assert stored.item == grown
    assert stored.opened_at == "2026-03-01T12:00:00.000000+00:00"
    assert len(records_of_items(store)) == 1


def test_the_longest_open_item_comes_first(store: Store) -> None:
    add(store, new_message(), new_message("M2", "S02"))
    apply(store, derived(items=(item(id="b"),)))
    apply(store, derived(study_id="S02", items=(item(id="a", study_id="S02"),)), minutes=1)
    assert [stored.item.id for stored in store.open_items()] == ["b", "a"]
    assert store.open_count() == 2


def test_one_question_of_two_participants_is_asked_once(store: Store) -> None:
    add(store, new_message("M1", "S01", "S02"))
    conflict = item(id="c", reason="identity_conflict", study_id=None)
    apply(store, derived(items=(conflict,)))
    apply(store, derived(study_id="S02", items=(conflict,)))
    assert [stored.item for stored in store.open_items()] == [conflict]
    assert store.open_count() == 1
    apply(store, derived())
    stored = store.item("c")
    assert stored is not None
    assert (stored.state, stored.scope) == ("open", "S02")


def test_the_trail_does_not_repeat_what_a_laboratory_wrote(store: Store) -> None:
    add(store, new_message())
    wrote = {"name": "ALT of JANE", "value_text": "see JANE", "detail": {"text": "JANE"}}
    apply(store, derived(items=(item(**wrote),)))
    apply(store, derived())
    opened, closed = (record for record in store.audit_records() if "review item" in record.what)
    assert json.loads(opened.new or "")["reason"] == "missing_unit"
    assert opened.new == closed.old
    assert "JANE" not in repr(opened) + repr(closed)


def test_an_unknown_item_is_none(store: Store) -> None:
    assert store.item("nothing") is None


def test_unmapped_codes_are_gathered_over_participants(store: Store) -> None:
    first, second, third = add(store, new_message("M1"), new_message("M2", "S02"), new_message("M3", "S01", "S02"))
    mine = (
        unmapped_result(first, name="ALT (old)", message_control_id="M1"),
        unmapped_result(first, "XAST", locator="OBX[2]", name="AST"),
        unmapped_result(first, "XCK", locator="OBX[3]", item=None),
        result(first, "OBX[4]"),
        unmapped_result(third, message_control_id="M3"),
    )
    theirs = (
        unmapped_result(second, study_id="S02", name="ALT (new)", message_control_id="M2"),
        unmapped_result(third, study_id="S02", message_control_id="M3"),
    )
    apply(store, derived(results=mine))
    apply(store, derived(study_id="S02", results=theirs))
    alt, ast = store.unmapped()
    assert (alt.source, alt.code, alt.code_system, alt.name) == ("lis", "XALT", "L", "ALT")
    assert (alt.count, alt.message_control_id) == (3, "M1")
    assert alt.results == ((first, "OBX[1]"), (second, "OBX[1]"), (third, "OBX[1]"))
    assert (ast.code, ast.count) == ("XAST", 1)
    apply(store, derived())
    apply(store, derived(study_id="S02"))
    assert store.unmapped() == []


def test_questions_about_codes_open_and_close_beside_those_of_participants(store: Store) -> None:
    def put(*items: ReviewItem) -> bool:
        with store.write() as tx:
            return tx.apply_trial_items(items, RULES, "adapter", NOON)

    add(store, new_message())
    apply(store, derived(items=(item(),)))
    code = item(id="code-1", reason="unmapped_code", study_id=None, count=4, group="resembles none")
    assert put(code)
    assert not put(code)
    assert {stored.item.id for stored in store.open_items()} == {"item-1", "code-1"}
    apply(store, derived(items=(item(),)))
    assert put()
    assert [stored.item.id for stored in store.open_items()] == ["item-1"]
