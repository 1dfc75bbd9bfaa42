"""The file: whose it is, who may read it, by which journal and syncs it is written, and how transactions end."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from store_samples import NOON, TRIAL, WHO, add, new_message, open_store, participant

from adapter.store import (
    NotAStore,
    Store,
    StoreError,
    StoreMissing,
    StoreUnavailable,
    Transaction,
    engine,
    schema,
    wal_is_sound,
)


@pytest.mark.parametrize(
    ("version", "sound"),
    [
        ((3, 6, 23), True),
        ((3, 7, 0), False),
        ((3, 40, 1), False),
        ((3, 44, 5), False),
        ((3, 44, 6), True),
        ((3, 45, 0), False),
        ((3, 50, 6), False),
        ((3, 50, 7), True),
        ((3, 51, 0), False),
        ((3, 51, 2), False),
        ((3, 51, 3), True),
        ((3, 52, 0), True),
        ((4, 0, 0), True),
    ],
)
def test_wal_is_used_only_where_its_reset_bug_is_repaired(version: tuple[int, int, int], sound: bool) -> None:
    assert wal_is_sound(version) is sound


def test_a_missing_store_names_the_command_that_makes_it(path: Path) -> None:
    with pytest.raises(StoreMissing, match="lab-adapter init"):
        Store.open(path, TRIAL)
    assert not path.exists()


def test_an_empty_file_is_a_store_only_once_it_is_created(path: Path) -> None:
    path.touch(0o600)
    with pytest.raises(StoreMissing, match="lab-adapter init"):
        Store.open(path, TRIAL)
    open_store(path).close()
    Store.open(path, TRIAL).close()


def test_a_trial_the_store_does_not_hold_is_not_begun_by_a_typing_error(path: Path) -> None:
    open_store(path).close()
    with pytest.raises(StoreMissing, match="NCT99999999"):
        Store.open(path, "NCT99999999")


def test_a_file_that_is_no_database_is_left_alone(path: Path) -> None:
    path.write_bytes(b"study_id,identifier\n" * 100)
    path.chmod(0o600)
    before = path.read_bytes()
    with pytest.raises(NotAStore, match="not an SQLite database"):
        Store.open(path, TRIAL, create=True)
    assert path.read_bytes() == before


def test_another_programs_database_is_left_alone(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE other (a)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(NotAStore, match="another program's"):
        Store.open(path, TRIAL, create=True)
    assert path.read_bytes() == before


def test_a_folder_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(NotAStore, match="not a regular file"):
        Store.open(tmp_path, TRIAL, create=True)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="look at its folder"):
        Store.open(tmp_path / "nowhere" / "trial.db", TRIAL, create=True)


def test_a_newer_schema_is_refused(path: Path) -> None:
    open_store(path).close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {len(schema.MIGRATIONS) + 1}")
    connection.close()
    with pytest.raises(NotAStore, match="install the newer version"):
        Store.open(path, TRIAL)


def test_migrating_twice_is_nothing(path: Path) -> None:
    with open_store(path) as store:
        add(store, new_message())
    before = path.read_bytes()
    with open_store(path) as store:
        assert store.describe()["schema_version"] == len(schema.MIGRATIONS)
    assert path.read_bytes() == before


@pytest.mark.parametrize("version", range(1, len(schema.MIGRATIONS) + 1))
def test_every_earlier_schema_becomes_the_newest(path: Path, version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:version])
        open_store(path).close()
    with Store.open(path, TRIAL) as store:
        assert store.describe()["schema_version"] == len(schema.MIGRATIONS)
        add(store, new_message())


def test_a_migration_that_fails_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_store(path).close()

    def broken(database: object) -> None:
        database.execute("CREATE TABLE half (a)")  # type: ignore[attr-defined]
        raise RuntimeError("broken off")

    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, broken))
        with pytest.raises(RuntimeError, match="broken off"):
            Store.open(path, TRIAL)
    with Store.open(path, TRIAL) as store:
        assert "half" not in store._engine.database.table_names()


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_umask")
@pytest.mark.parametrize("sound", [False, True])
def test_every_file_of_the_store_is_its_owners_alone(path: Path, sound: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "wal_is_sound", lambda version: sound)
    with open_store(path) as store, store.write() as tx:
        tx.add_messages([new_message()])
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    suffixes = ("", "-wal", "-shm") if sound else ("", "-journal")
    assert modes == {path.name + suffix: 0o600 for suffix in suffixes}


def test_a_mode_that_was_too_wide_is_repaired_and_told(path: Path) -> None:
    open_store(path).close()
    path.chmod(0o644)
    with Store.open(path, TRIAL) as store:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert store.describe()["mode_repaired_from"] == "0644"
    with Store.open(path, TRIAL) as store:
        assert store.describe()["mode_repaired_from"] is None


@pytest.mark.parametrize(("sound", "journal", "synchronous"), [(False, "delete", "EXTRA"), (True, "wal", "FULL")])
def test_a_commit_survives_power_loss_in_either_journal(
    path: Path, sound: bool, journal: str, synchronous: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "wal_is_sound", lambda version: sound)
    with open_store(path) as store:
        described = store.describe()
        settings = {
            name: store._rows(f"PRAGMA {name}")[0][0]
            for name in ("mmap_size", "secure_delete", "foreign_keys", "trusted_schema", "temp_store")
        }
    assert (described["journal_mode"], described["synchronous"]) == (journal, synchronous)
    assert (described["kind"], described["wal_sound"]) == ("sqlite", sound)
    assert described["sqlite_version"] == sqlite3.sqlite_version
    assert settings == {"mmap_size": 0, "secure_delete": 1, "foreign_keys": 1, "trusted_schema": 0, "temp_store": 2}


def test_a_wal_store_is_taken_out_of_wal_where_wal_is_unsound(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(engine, "wal_is_sound", lambda version: True)
        with open_store(path) as store:
            add(store, new_message())
    monkeypatch.setattr(engine, "wal_is_sound", lambda version: False)
    with Store.open(path, TRIAL) as store:
        assert store.describe()["journal_mode"] == "delete"
        assert len(store.received("S01")) == 1


def test_a_wal_store_that_another_holds_open_is_refused_where_wal_is_unsound(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_SECONDS", 0.05)
    with monkeypatch.context() as patch:
        patch.setattr(engine, "wal_is_sound", lambda version: True)
        holder = open_store(path)
    with holder:
        monkeypatch.setattr(engine, "wal_is_sound", lambda version: False)
        with pytest.raises(StoreError, match=r"stop every other process|another process holds it"):
            Store.open(path, TRIAL)


def test_a_store_in_the_rollback_journal_stays_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Another process may have it open with a library whose WAL is unsound.
    with monkeypatch.context() as patch:
        patch.setattr(engine, "wal_is_sound", lambda version: False)
        open_store(path).close()
    monkeypatch.setattr(engine, "wal_is_sound", lambda version: True)
    with Store.open(path, TRIAL) as store:
        assert store.describe()["journal_mode"] == "delete"


def test_a_block_that_raises_writes_nothing(store: Store) -> None:
    def break_off(tx: Transaction) -> None:
        tx.add_messages([new_message()])
        tx.put_participant(participant(), WHO, "enrolled", NOON)
        raise RuntimeError("broken off")

    with pytest.raises(RuntimeError, match="broken off"), store.write() as tx:
        break_off(tx)
    assert (store.received("S01"), store.participants(), store.audit_records()) == ([], [], [])


def test_a_transaction_reads_what_it_has_written_and_others_do_not(store: Store, path: Path) -> None:
    with Store.open(path, TRIAL) as other, store.write() as tx:
        tx.add_messages([new_message()])
        assert len(tx.received("S01")) == 1
        assert len(store.received("S01")) == 1
        assert other.received("S01") == []


def test_a_transaction_within_a_transaction_is_refused_at_once(store: Store, path: Path) -> None:
    with Store.open(path, TRIAL) as other, store.write():
        with pytest.raises(StoreError, match="within a transaction already"), store.write():
            pass
        with pytest.raises(StoreError, match="within a transaction already"), other.write():
            pass


def test_a_store_is_used_by_the_thread_that_opened_it(store: Store) -> None:
    raised: list[BaseException] = []

    def use() -> None:
        try:
            store.participants()
        except sqlite3.ProgrammingError as error:
            raised.append(error)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert len(raised) == 1


def test_a_writer_of_another_process_is_waited_for_and_then_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_SECONDS", 0.05)
    holder = sqlite3.connect(path, isolation_level=None)  # a connection that takes no turns, as another process's
    try:
        with open_store(path) as store:
            holder.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable, match="another process holds it"), store.write():
                pass
            holder.execute("ROLLBACK")
            assert len(add(store, new_message())) == 1
    finally:
        holder.close()


def test_a_reader_of_another_process_that_blocks_the_commit_leaves_nothing_behind(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_SECONDS", 0.05)
    with open_store(path) as store:
        reader = sqlite3.connect(path, isolation_level=None)
        try:
            reader.execute("BEGIN")
            reader.execute("SELECT COUNT(*) FROM inbox").fetchall()
            with pytest.raises(StoreUnavailable, match="another process holds it"), store.write() as tx:
                tx.add_messages([new_message()])
            reader.execute("COMMIT")
            assert store.received("S01") == []
            assert len(add(store, new_message())) == 1
        finally:
            reader.close()


def test_a_whole_file_has_no_integrity_problems_and_an_orphan_is_one(path: Path) -> None:
    with open_store(path) as store:
        (inbox_id,) = add(store, new_message())
        assert store.integrity_problems() == []
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM inbox WHERE id = ?", (inbox_id,))
    connection.commit()
    connection.close()
    with Store.open(path, TRIAL) as store:
        assert any("inbox" in problem for problem in store.integrity_problems())


def test_the_words_of_a_full_disk_name_place_cause_and_remedy(path: Path) -> None:
    with open_store(path) as store:
        pages = store._rows("PRAGMA page_count")[0][0]
        store._rows(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreUnavailable, match=r"trial\.db: .*full.*free space"):
            add(store, new_message(content="x" * 100_000))
        assert store.received("S01") == []
