"""The trail: whatever is done to the file behind the program's back is found."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_samples import NOON, TRIAL, WHO, new_message, open_store

from adapter.store import AuditRecord, Store, StoreError, Transaction, genesis
from adapter.store.audit import chained_hash

COLUMNS = ("seq", "trial", "at", "who", "what", "subject", "old", "new", "why", "prev", "hash")
LENGTH = 6


def fill(store: Store, count: int = LENGTH) -> None:
    for n in range(count):
        with store.write() as tx:
            old = None if n == 0 else {"n": n - 1}
            tx.record("counted", f"step {n}", who=WHO, at=NOON, why="测试", old=old, new={"n": n})


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("audit") / "chain.db"
    with open_store(path) as store:
        fill(store)
    with open_store(path, "NCT00000002") as other:
        fill(other, 3)
    return path


@contextmanager
def tampered(chain: Path, folder: Path, *changes: tuple[str, tuple[object, ...]]) -> Iterator[Store]:
    """A copy of the chain whose rows somebody with the file in hand has changed, triggers or no triggers."""
    copy = folder / "copy.db"
    copy.write_bytes(chain.read_bytes())
    connection = sqlite3.connect(copy)
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    for sql, parameters in changes:
        assert connection.execute(sql, parameters).rowcount > 0
    connection.commit()
    connection.close()
    with Store.open(copy, TRIAL) as store:
        yield store


def insert(record: AuditRecord) -> tuple[str, tuple[object, ...]]:
    return (f"INSERT INTO audit ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})", astuple(record))


def records_of(chain: Path) -> list[AuditRecord]:
    with Store.open(chain, TRIAL) as store:
        return store.audit_records()


def rewritten(records: list[AuditRecord], start: int = 0) -> list[AuditRecord]:
    """The records with every hash from ``start`` on made to fit."""
    out = records[:start]
    for record in records[start:]:
        linked = replace(record, seq=len(out) + 1, prev=out[-1].hash if out else genesis(TRIAL))
        out.append(replace(linked, hash=chained_hash(linked)))
    return out


def test_an_untouched_chain_is_whole(chain: Path) -> None:
    with Store.open(chain, TRIAL) as store:
        verified = store.verify(store.head())
    assert (verified.ok, verified.records, verified.problems) == (True, LENGTH, ())
    assert verified.head == records_of(chain)[-1].hash


def test_an_empty_chain_has_a_head_of_its_own_trial(store: Store) -> None:
    assert store.head() == genesis(TRIAL) != genesis("NCT00000002")
    verified = store.verify(store.head())
    assert (verified.ok, verified.records, verified.head) == (True, 0, genesis(TRIAL))


def test_any_earlier_head_is_found_in_a_chain_that_went_on(store: Store) -> None:
    heads = [store.head()]
    for _ in range(3):
        fill(store, 1)
        heads.append(store.head())
    assert [store.verify(head).ok for head in heads] == [True] * 4


def test_a_chain_longer_than_one_read_is_verified_whole(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapter.store.audit._CHUNK", 2)
    fill(store, 5)
    assert (store.verify().ok, store.verify().records) == (True, 5)


ALTERED = {"seq": 99, "trial": "NCT00000009", "at": "2026-01-01T00:00:00.000000+00:00", "prev": "0" * 64}


@settings(max_examples=60, deadline=None)
@given(
    seq=st.integers(1, LENGTH),
    column=st.sampled_from(COLUMNS),
    to=st.one_of(st.text(st.characters(codec="utf-8"), max_size=20), st.none(), st.binary(max_size=8)),
)
def test_any_altered_field_of_any_record_is_found(
    chain: Path, tmp_path_factory: pytest.TempPathFactory, seq: int, column: str, to: str | bytes | None
) -> None:
    record = records_of(chain)[seq - 1]
    value = ALTERED.get(column, to)
    if value is None and column not in ("old", "new"):
        value = ""
    if value == getattr(record, column):
        return
    folder = tmp_path_factory.mktemp("altered")
    change = (f"UPDATE audit SET {column} = ? WHERE trial = ? AND seq = ?", (value, TRIAL, seq))
    with tampered(chain, folder, change) as store:
        # A last record that is gone from this trial's chain is a cut tail: for that a head must have been noted.
        assert not store.verify(record.hash if seq == LENGTH else None).ok


@pytest.mark.parametrize("seq", range(1, LENGTH))
def test_a_record_taken_out_is_found_and_named(chain: Path, tmp_path: Path, seq: int) -> None:
    with tampered(chain, tmp_path, ("DELETE FROM audit WHERE trial = ? AND seq = ?", (TRIAL, seq))) as store:
        verified = store.verify()
    assert not verified.ok
    assert any(f"record {seq + 1}: record {seq} before it is missing" in problem for problem in verified.problems)


def test_several_records_taken_out_are_named_together(chain: Path, tmp_path: Path) -> None:
    change = ("DELETE FROM audit WHERE trial = ? AND seq BETWEEN 2 AND 4", (TRIAL,))
    with tampered(chain, tmp_path, change) as store:
        assert any("record 5: records 2 to 4 are missing" in problem for problem in store.verify().problems)


@pytest.mark.parametrize("seq", [-1, 0, 0.5, 1.5, 2.5, LENGTH - 0.5, "between"])
def test_a_record_put_in_between_is_found_even_where_its_own_hash_is_right(
    chain: Path, tmp_path: Path, seq: float | str
) -> None:
    records = records_of(chain)
    before = [record for record in records if not isinstance(seq, str) and record.seq < seq]
    forged = replace(records[2], seq=seq, prev=before[-1].hash if before else genesis(TRIAL))  # type: ignore[arg-type]
    with tampered(chain, tmp_path, insert(replace(forged, hash=chained_hash(forged)))) as store:
        assert not store.verify().ok


@pytest.mark.parametrize("seq", range(1, LENGTH))
def test_an_altered_record_whose_hash_was_made_to_fit_is_found(chain: Path, tmp_path: Path, seq: int) -> None:
    altered = replace(records_of(chain)[seq - 1], why="another reason")
    sql = "UPDATE audit SET why = ?, hash = ? WHERE trial = ? AND seq = ?"
    with tampered(chain, tmp_path, (sql, (altered.why, chained_hash(altered), TRIAL, seq))) as store:
        problems = store.verify().problems
    assert problems == (f"record {seq + 1}: does not follow the record before it",)


@pytest.mark.parametrize("kept", range(LENGTH))
def test_a_cut_tail_is_found_by_a_head_noted_earlier_alone(chain: Path, tmp_path: Path, kept: int) -> None:
    noted = records_of(chain)[-1].hash
    with tampered(chain, tmp_path, ("DELETE FROM audit WHERE trial = ? AND seq > ?", (TRIAL, kept))) as store:
        assert store.verify().ok
        verified = store.verify(noted)
    assert (verified.ok, verified.records) == (False, kept)
    assert "noted earlier" in verified.problems[0]


@pytest.mark.parametrize("start", range(LENGTH))
def test_a_rewritten_chain_is_found_by_a_head_noted_earlier_alone(chain: Path, tmp_path: Path, start: int) -> None:
    records = records_of(chain)
    forged = [*records[:start], replace(records[start], who="somebody else"), *records[start + 1 :]]
    inserts = [insert(record) for record in rewritten(forged, start)]
    with tampered(chain, tmp_path, ("DELETE FROM audit WHERE trial = ?", (TRIAL,)), *inserts) as store:
        assert store.verify().ok
        assert not store.verify(records[-1].hash).ok


def test_another_trials_chain_is_not_this_ones(chain: Path, tmp_path: Path) -> None:
    changes = [
        ("DELETE FROM audit WHERE trial = ?", (TRIAL,)),
        ("UPDATE audit SET trial = ? WHERE trial = ?", (TRIAL, "NCT00000002")),
    ]
    with tampered(chain, tmp_path, *changes) as store:
        assert not store.verify().ok


def by_replace(tx_run: Callable[[str], object]) -> None:
    columns = ", ".join(COLUMNS)
    tx_run(f"INSERT OR REPLACE INTO audit ({columns}) SELECT {columns} FROM audit WHERE seq = 2")


def by_insert_in_between(tx_run: Callable[[str], object]) -> None:
    columns = ", ".join(COLUMNS)
    tx_run(f"INSERT INTO audit ({columns}) SELECT 1.5, {columns[5:]} FROM audit WHERE seq = 2")


@pytest.mark.parametrize("way", [by_replace, by_insert_in_between])
def test_the_file_itself_refuses_records_that_are_not_at_its_end(
    store: Store, way: Callable[[Callable[[str], object]], None]
) -> None:
    fill(store)
    with pytest.raises(StoreError, match="append-only"), store.write() as tx:
        way(tx._run)
    assert store.verify().ok


def test_a_transaction_that_is_undone_leaves_no_gap(store: Store) -> None:
    fill(store, 2)

    def break_off(tx: Transaction) -> None:
        tx.record("counted", "never", who=WHO, at=NOON, why="undone")
        raise RuntimeError("broken off")

    with pytest.raises(RuntimeError, match="broken off"), store.write() as tx:
        break_off(tx)
    with store.write() as tx:
        with pytest.raises(RuntimeError, match="broken off"), tx.part():
            break_off(tx)
        tx.record("counted", "after", who=WHO, at=NOON, why="kept")
    assert [record.seq for record in store.audit_records()] == [1, 2, 3]
    assert store.verify().ok


def test_two_connections_share_one_chain(store: Store, path: Path) -> None:
    with open_store(path) as other:
        for n in range(4):
            fill(store if n % 2 else other, 1)
    assert store.verify().records == 4
    assert store.verify().ok


def test_records_are_listed_by_subject_and_after_a_place(store: Store) -> None:
    with store.write() as tx:
        tx.add_messages([new_message()])
    fill(store, 3)
    assert [record.seq for record in store.audit_records(after=2)] == [3, 4]
    assert [record.seq for record in store.audit_records(subject="step 1")] == [3]
    assert [record.seq for record in store.audit_records(limit=2)] == [1, 2]
    fill(store, 1)
    with store.write() as tx:
        for n in range(1_200):
            tx.record("counted", f"more {n}", who=WHO, at=NOON, why="many")
    assert len(store.audit_records()) == 1_205
