"""The inbox: kept once, found by participant, recorded without content, erased where it is another person's."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from store_samples import (
    NOON,
    TRIAL,
    WHO,
    add,
    apply,
    derived,
    item,
    new_message,
    one_value,
    open_store,
    result,
)

from adapter.model import Received
from adapter.store import UNASSIGNED, Store, StoreError


def test_a_message_comes_back_byte_for_byte(store: Store) -> None:
    message = replace(new_message(), raw=bytes(range(256)))
    (inbox_id,) = add(store, message)
    assert store.message(inbox_id) == Received(
        id=inbox_id,
        trial=TRIAL,
        source="lis",
        kind="hl7v2",
        message_control_id="M1",
        sha256=message.sha256,
        raw=bytes(range(256)),
        received_at=NOON,
        study_ids=("S01",),
    )
    assert store.received("S01") == [store.message(inbox_id)]


def test_the_same_message_again_changes_nothing(store: Store, path: Path) -> None:
    with store.write() as tx:
        (first,) = tx.add_messages([new_message()])
    trail, scopes = store.audit_records(), store.snapshot("S01").token
    with store.write() as tx:
        (again,) = tx.add_messages([new_message(minutes=5, notes=("sent again",))])
    assert (first.duplicate, again.duplicate, again.inbox_id) == (False, True, first.inbox_id)
    assert store.audit_records() == trail
    assert store.snapshot("S01").token == scopes
    assert [message.received_at for message in store.received("S01")] == [NOON]


def test_the_same_message_twice_in_one_frame_is_kept_once(store: Store) -> None:
    with store.write() as tx:
        added = tx.add_messages([new_message(), new_message("M2"), new_message()])
    assert [each.duplicate for each in added] == [False, False, True]
    assert added[0].inbox_id == added[2].inbox_id


def test_the_same_control_id_with_other_content_is_kept_and_noted(store: Store) -> None:
    with store.write() as tx:
        added = tx.add_messages([new_message(), new_message(content="OBX|1", notes=("lf_line_ends",))])
    assert [each.duplicate for each in added] == [False, False]
    assert [each.same_control_id_other_content for each in added] == [False, True]
    assert store.message_notes(added[1].inbox_id) == ("lf_line_ends", "same_control_id_other_content")


def test_messages_without_a_control_id_are_not_taken_for_one_another(store: Store) -> None:
    with store.write() as tx:
        added = tx.add_messages([new_message(""), new_message("", content="OBX|1")])
    assert [each.same_control_id_other_content for each in added] == [False, False]


def test_another_source_may_use_the_same_control_id(store: Store) -> None:
    with store.write() as tx:
        added = tx.add_messages([new_message(), new_message(source="ehr"), new_message(source="ehr", content="OBX|1")])
    assert [(each.duplicate, each.same_control_id_other_content) for each in added] == [
        (False, False),
        (False, False),
        (False, True),
    ]


def test_a_message_of_two_participants_is_both_of_theirs(store: Store) -> None:
    (inbox_id,) = add(store, new_message("M1", "S02", "S01"))
    assert [message.id for message in store.received("S01")] == [inbox_id]
    assert [message.study_ids for message in store.received("S02")] == [("S01", "S02")]


def test_a_message_of_nobody_single_is_found_as_unassigned_and_has_no_study_id(store: Store) -> None:
    (inbox_id,) = add(store, new_message("M1", UNASSIGNED))
    (found,) = store.received(UNASSIGNED)
    assert (found.id, found.study_ids) == (inbox_id, ())


def test_a_message_that_belongs_to_no_scope_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="UNASSIGNED"):
        add(store, replace(new_message(), study_ids=()))
    assert store.audit_records() == []


def test_an_instant_without_an_offset_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="offset"):
        add(store, replace(new_message(), received_at=datetime(2026, 3, 1)))


def test_messages_come_in_the_order_they_were_stored(store: Store) -> None:
    ids = add(store, *(new_message(f"M{9 - n}", minutes=-n) for n in range(5)))
    assert [message.id for message in store.received("S01")] == ids == sorted(ids)


def test_the_trail_says_that_a_message_came_and_nothing_of_its_content(store: Store) -> None:
    message = new_message(content="PID|1||0012345^^^NTCGH||DOE^JANE")
    (inbox_id,) = add(store, message)
    (record,) = store.audit_records()
    assert (record.who, record.what, record.at) == ("source:lis", "received", NOON.isoformat(timespec="microseconds"))
    assert record.subject == f"message M1 sha256 {message.sha256}"
    assert record.new is not None
    assert json.loads(record.new) == {"inbox_id": inbox_id, "kind": "hl7v2", "notes": [], "scopes": ["S01"]}
    assert not any(secret in "".join(map(str, [record])) for secret in ("DOE", "0012345"))


def test_a_message_is_pending_until_it_is_derived_for_all_its_participants(store: Store) -> None:
    (both,) = add(store, new_message("M1", "S01", "S02"))
    assert store.inbox_counts() == {"pending": 1, "done": 0, "failed": 0}
    assert apply(store, derived(study_id="S01"))
    assert store.inbox_counts() == {"pending": 1, "done": 0, "failed": 0}
    assert apply(store, derived(study_id="S02"))
    assert store.inbox_counts() == {"pending": 0, "done": 1, "failed": 0}
    add(store, new_message("M2", "S01"))
    assert apply(store, derived(study_id="S01", failed=frozenset({both})))
    assert store.inbox_counts() == {"pending": 0, "done": 1, "failed": 1}
    assert [message.failed for message in store.received("S01")] == [True, False]


def test_what_named_rules_ignored_is_kept_for_each_message(store: Store) -> None:
    first, second = add(store, new_message("M1", "S01", "S02"), new_message("M2"))
    apply(store, derived(ignored={first: {"other_loinc": 3, "no_result": 1}}))
    apply(store, derived(study_id="S02", ignored={first: {"other_loinc": 2}}))
    assert store.ignored(first) == {"other_loinc": 5, "no_result": 1}
    assert store.ignored(second) == {}


def test_erased_bytes_are_in_no_file_and_the_trail_says_that_they_were_erased(store: Store, path: Path) -> None:
    (inbox_id,) = add(store, new_message(content="PID|1||7654321^^^NTCGH"))
    texts = {"reported": "SECRET-TEXT", "value": "99.87"}
    held = item(results=((inbox_id, "OBX[1]"),), value_text="SECRET-TEXT", detail={"text": "SECRET-TEXT"})
    apply(store, derived(results=(result(inbox_id, **texts),), items=(held,)))
    with store.write() as tx:
        tx.erase_raw(inbox_id, WHO, "another person's", NOON)
    message = store.message(inbox_id)
    assert message is not None
    assert message.raw == b""
    record = store.audit_records()[-1]
    assert (record.what, record.who, record.why) == ("bytes erased", WHO, "another person's")
    everything = b"".join(each.read_bytes() for each in path.parent.iterdir())
    assert [secret for secret in (b"7654321", b"SECRET-TEXT", b"99.87") if secret in everything] == []
    assert store.snapshot("S01").token.epoch > 0
    assert store.dirty("rules-1", NOON.date()) == ["S01"]


def test_a_copy_of_an_erased_message_is_still_a_copy(store: Store) -> None:
    (inbox_id,) = add(store, new_message())
    with store.write() as tx:
        tx.erase_raw(inbox_id, WHO, "another person's", NOON)
        (again,) = tx.add_messages([new_message()])
    assert again.duplicate
    message = store.message(inbox_id)
    assert message is not None
    assert message.raw == b""


def test_a_message_that_is_not_there_cannot_be_erased(store: Store) -> None:
    with pytest.raises(StoreError, match="no such message"), store.write() as tx:
        tx.erase_raw(77, WHO, "another person's", NOON)


def test_counters_add_up_and_the_last_message_does_not_go_back(store: Store) -> None:
    with store.write() as tx:
        tx.add_counters("lis", {"strangers": 2, "accepted": 1}, NOON)
        tx.add_counters("lis", {"strangers": 3}, NOON - timedelta(hours=1))
        tx.add_counters("ehr", {"strangers": 1})
    assert store.counters("lis").counts == {"strangers": 5, "accepted": 1}
    assert store.counters("lis").last_message_at == NOON.isoformat(timespec="microseconds")
    assert store.counters("ehr").last_message_at is None
    assert store.audit_records() == []


def test_two_trials_in_one_file_do_not_see_each_other(store: Store, path: Path) -> None:
    (mine,) = add(store, new_message())
    apply(store, one_value(inbox_id=mine))
    with open_store(path, "NCT00000002") as other:
        assert other.message(mine) is None
        assert (other.received("S01"), other.selections(), other.audit_records()) == ([], [], [])
        with other.write() as tx:
            (added,) = tx.add_messages([new_message()])
        assert not added.duplicate
        assert other.verify().ok
    assert len(store.received("S01")) == 1
    assert store.verify().ok


def test_nothing_of_a_message_is_in_its_repr() -> None:
    assert "ORU" not in repr(new_message())
