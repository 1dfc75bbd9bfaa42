"""How far polled sources were asked: what is remembered, and that an older store learns to remember it."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from store_samples import NOON, TRIAL, WHO, add, new_message, open_store, participant

from adapter.store import PollRecord, PollState, Store, StoreError, schema

STATE = PollState(
    "q1", "Patient/12", "2025-12-06", "2026-03-01T00:00:14.000000+00:00", "2026-03-01T12:00:00.000000+00:00"
)


def enrol(store: Store, *study_ids: str, **changes: object) -> None:
    with store.write() as tx:
        for study_id in study_ids:
            tx.put_participant(replace(participant(study_id), **changes), WHO, "test", NOON)  # type: ignore[arg-type]


def put(store: Store, study_id: str, state: PollState, source: str = "ehr") -> None:
    with store.write() as tx:
        tx.put_poll_state(source, study_id, state)


def test_what_was_asked_is_remembered_for_each_source_and_participant(store: Store) -> None:
    enrol(store, "S01", "S02")
    assert store.poll_state("ehr", "S01") is None
    put(store, "S01", STATE)
    put(store, "S01", replace(STATE, watermark="2026-03-02T00:00:00.000000+00:00"))
    assert store.poll_state("ehr", "S01") == replace(STATE, watermark="2026-03-02T00:00:00.000000+00:00")
    assert store.poll_state("ehr", "S02") is None
    assert store.poll_state("other", "S01") is None


def test_who_is_not_of_the_roster_is_not_remembered(store: Store) -> None:
    with pytest.raises(StoreError):
        put(store, "S99", STATE)


def test_the_reference_of_a_patient_is_not_shown() -> None:
    assert "12" not in repr(replace(STATE, watermark=None, last_sweep_at=None, asked_from=None))


def test_a_poll_that_failed_keeps_the_last_success_and_one_that_succeeds_forgets_the_error(store: Store) -> None:
    assert store.poll_record("ehr") == PollRecord()
    times = [NOON + timedelta(minutes=n) for n in range(3)]
    with store.write() as tx:
        tx.poll_begun("ehr", times[0])
        tx.poll_succeeded("ehr", times[0])
    with store.write() as tx:
        tx.poll_begun("ehr", times[1])
        tx.poll_failed("ehr", "the server is away")
    found = store.poll_record("ehr")
    assert (found.last_poll_at, found.last_success_at) == (
        "2026-03-01T12:01:00.000000+00:00",
        "2026-03-01T12:00:00.000000+00:00",
    )
    assert found.last_error == "the server is away"
    with store.write() as tx:
        tx.poll_begun("ehr", times[2])
        tx.poll_succeeded("ehr", times[2])
    assert store.poll_record("ehr").last_error is None
    assert store.poll_record("other") == PollRecord()


def test_the_watermark_of_a_source_is_the_earliest_of_whom_it_is_asked_for(store: Store) -> None:
    enrol(store, "S01", "S02", "S03")
    with store.write() as tx:
        tx.poll_begun("ehr", NOON)
    for day, study_id in enumerate(("S01", "S02", "S03"), 1):
        put(store, study_id, replace(STATE, watermark=f"2026-03-0{day}T00:00:00.000000+00:00"))
    assert store.poll_record("ehr").watermark == "2026-03-01T00:00:00.000000+00:00"
    enrol(store, "S01", ended_by="withdrawn", ended_on=NOON.date())
    assert store.poll_record("ehr").watermark == "2026-03-02T00:00:00.000000+00:00"


def test_what_is_held_of_a_source_is_known_by_control_id_and_hash(store: Store) -> None:
    for message in (new_message("M1"), new_message("M2", "S02"), new_message("M3", source="other")):
        add(store, message)
    assert store.held_messages("lis", "hl7v2", "S01") == {("M1", new_message("M1").sha256)}
    assert store.held_messages("lis", "fhir", "S01") == set()


def test_polls_leave_no_record_in_the_trail_and_derive_nothing_again(store: Store) -> None:
    enrol(store, "S01")
    head, dirty = store.head(), store.dirty("r", NOON.date())
    put(store, "S01", STATE)
    with store.write() as tx:
        tx.poll_begun("ehr", NOON)
        tx.poll_failed("ehr", "words")
    assert (store.head(), store.dirty("r", NOON.date())) == (head, dirty)


def test_a_store_of_version_1_is_migrated_with_everything_in_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
        with open_store(path) as store:
            enrol(store, "S01")
            add(store, new_message())
            head = store.head()
    connection = sqlite3.connect(path)
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    connection.close()
    assert not tables & {"poll_states", "polls"}
    with Store.open(path, TRIAL) as store:
        assert store.describe()["schema_version"] == len(schema.MIGRATIONS)
        assert store.head() == head
        assert [m.message_control_id for m in store.received("S01")] == ["M1"]
        put(store, "S01", STATE)
        assert store.poll_state("ehr", "S01") == STATE
        assert store.verify().ok
