"""Group commit: what waits shares a commit, a frame is all or none, and after a storage error nothing is answered yes
until storing works again."""

from __future__ import annotations

import multiprocessing
import resource
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from store_samples import NOON, TRIAL, WHO, new_message, open_store, participant

from adapter.store import Added, RosterMoved, Store, StoreMissing, StoreUnavailable, Writer, engine

RETRY_SECONDS = 5.0


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


class Opener:
    """Opens the store in the writer's thread, on a disk with room for ``spare_pages`` more where that is set."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.spare_pages: int | None = None
        self.opened = 0
        self.statements: list[str] = []

    def __call__(self) -> Store:
        self.opened += 1
        store = Store.open(self.path, TRIAL)
        connection = store._engine._connection
        if self.spare_pages is not None:
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            connection.execute(f"PRAGMA max_page_count = {pages + self.spare_pages}")
        connection.set_trace_callback(self.statements.append)
        return store


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def opener(path: Path) -> Opener:
    open_store(path).close()
    return Opener(path)


@pytest.fixture
def start(opener: Opener, clock: Clock) -> Iterator[Callable[[], Writer]]:
    started: list[Writer] = []

    def start_writer() -> Writer:
        started.append(Writer(opener, retry_seconds=RETRY_SECONDS, monotonic=clock, now=lambda: NOON))
        return started[-1]

    yield start_writer
    for writer in started:
        writer.close()


@pytest.fixture
def writer(start: Callable[[], Writer]) -> Writer:
    return start()


def control_ids(path: Path) -> list[str]:
    with Store.open(path, TRIAL) as store:
        return [message.message_control_id for message in store.received("S01")]


def held_back(path: Path, submit: Callable[[], list[Future[list[Added]]]]) -> list[Future[list[Added]]]:
    """Submit while another connection of this process holds the turn, so that all of it waits together."""
    with Store.open(path, TRIAL) as other, other.write():
        return submit()


def test_a_unit_is_stored_when_its_future_is_done(writer: Writer, path: Path) -> None:
    added = writer.submit([new_message("M1"), new_message("M2")]).result()
    assert [each.duplicate for each in added] == [False, False]
    assert control_ids(path) == ["M1", "M2"]
    (again,) = writer.submit([new_message("M1")]).result()
    assert (again.duplicate, again.inbox_id) == (True, added[0].inbox_id)
    assert (writer.trouble, writer.reopenings) == (None, 0)


def test_what_waits_shares_one_commit(writer: Writer, opener: Opener, path: Path) -> None:
    opener.statements.clear()
    wait(held_back(path, lambda: [writer.submit([new_message(f"M{n}")]) for n in range(20)]))
    # The first may have been taken before the others came; those wait together.
    assert 1 <= opener.statements.count("COMMIT") <= 2
    assert len(control_ids(path)) == 20


def test_a_unit_that_cannot_be_stored_fails_alone_and_whole(writer: Writer, path: Path) -> None:
    broken = replace(new_message("M3"), received_at=datetime(2026, 3, 1))

    def submit() -> list[Future[list[Added]]]:
        return [
            writer.submit([new_message("M1")]),
            writer.submit([new_message("M2"), broken]),
            writer.submit([new_message("M4")]),
        ]

    first, second, third = held_back(path, submit)
    assert len(first.result()) == len(third.result()) == 1
    with pytest.raises(ValueError, match="offset"):
        second.result()
    assert control_ids(path) == ["M1", "M4"]
    assert writer.trouble is None
    with Store.open(path, TRIAL) as store:
        assert store.verify().ok


def test_what_was_screened_by_an_earlier_roster_is_not_stored(writer: Writer, path: Path) -> None:
    with Store.open(path, TRIAL) as store:
        screened_by = store.roster_version()
        assert len(writer.submit([new_message("M1")], roster_version=screened_by).result()) == 1
        with store.write() as tx:
            tx.put_participant(participant(), WHO, "consent signed", NOON)
        now = store.roster_version()

    def submit() -> list[Future[list[Added]]]:
        return [
            writer.submit([new_message("M2")], roster_version=screened_by),
            writer.submit([new_message("M3")], roster_version=now),
            writer.submit([], roster_version=screened_by),
            writer.submit([], roster_version=now),
        ]

    early, timely, early_stranger, timely_stranger = held_back(path, submit)
    for future in (early, early_stranger):
        with pytest.raises(RosterMoved):
            future.result()
    assert len(timely.result()) == 1
    assert timely_stranger.result() == []
    assert control_ids(path) == ["M1", "M3"]
    assert writer.trouble is None


def test_a_unit_cancelled_while_it_waits_is_not_stored(writer: Writer, path: Path) -> None:
    def submit() -> list[Future[list[Added]]]:
        futures = [writer.submit([new_message(f"M{n}")]) for n in range(3)]
        futures[2].cancel()
        return futures

    first, second, third = held_back(path, submit)
    first.result()
    second.result()
    assert third.cancelled() == ("M2" not in control_ids(path))


def test_closing_commits_what_was_submitted(start: Callable[[], Writer], path: Path) -> None:
    writer = start()
    futures = held_back(path, lambda: [writer.submit([new_message(f"M{n}")]) for n in range(50)])
    writer.close()
    writer.close()
    assert all(len(future.result(0)) == 1 for future in futures)
    assert len(control_ids(path)) == 50
    with pytest.raises(StoreUnavailable, match="closed"):
        writer.submit([new_message("late")]).result(0)


def test_a_store_that_cannot_be_opened_at_the_start_is_told_at_once(path: Path) -> None:
    with pytest.raises(StoreMissing, match="lab-adapter init"):
        Writer(lambda: Store.open(path, TRIAL))


BIG = "x" * 200_000


def test_on_a_full_disk_all_who_wait_fail_and_nothing_is_stored(
    start: Callable[[], Writer], opener: Opener, path: Path
) -> None:
    opener.spare_pages = 20
    writer = start()
    writer.submit([new_message("M0")]).result()

    def submit() -> list[Future[list[Added]]]:
        return [
            writer.submit([new_message("M1"), new_message("M2", content=BIG)]),
            *(writer.submit([new_message(f"M{n}")]) for n in range(3, 9)),
        ]

    for future in held_back(path, submit):
        with pytest.raises(StoreUnavailable, match=r"full|not tried again yet"):
            future.result()
    assert control_ids(path) == ["M0"]
    trouble = writer.trouble
    assert trouble is not None
    assert (trouble.since, trouble.cause) == (NOON, "database or disk is full")


def test_after_a_storage_error_nothing_is_answered_yes_until_a_reopened_store_has_committed(
    start: Callable[[], Writer], opener: Opener, clock: Clock, path: Path
) -> None:
    opener.spare_pages = 20
    writer = start()
    with pytest.raises(StoreUnavailable, match="free space"):
        writer.submit([new_message("M1", content=BIG)]).result()
    clock.seconds += RETRY_SECONDS - 0.1
    with pytest.raises(StoreUnavailable, match="not tried again yet"):
        writer.submit([new_message("M2")]).result()
    assert opener.opened == 1

    clock.seconds += 0.2  # due, and the disk is still full
    opener.spare_pages = 0
    with pytest.raises(StoreUnavailable, match="free space"):
        writer.submit([new_message("M2", content=BIG)]).result()
    assert (opener.opened, writer.reopenings) == (2, 0)
    with pytest.raises(StoreUnavailable, match="not tried again yet"):
        writer.submit([new_message("M2")]).result()
    assert opener.opened == 2

    clock.seconds += RETRY_SECONDS
    opener.spare_pages = None
    assert len(writer.submit([new_message("M2")]).result()) == 1
    assert (opener.opened, writer.reopenings, writer.trouble) == (3, 1, None)
    assert control_ids(path) == ["M2"]
    with Store.open(path, TRIAL) as store:
        assert [record.what for record in store.audit_records()] == ["store reopened", "received"]
        assert store.verify().ok


def test_a_duplicate_alone_is_not_answered_yes_before_a_commit_has_succeeded(
    start: Callable[[], Writer], opener: Opener, clock: Clock, path: Path
) -> None:
    # What a commit whose fsync failed left visible would look like a duplicate and not be durable.
    opener.spare_pages = 20
    writer = start()
    writer.submit([new_message("M1")]).result()
    with pytest.raises(StoreUnavailable):
        writer.submit([new_message("M2", content=BIG)]).result()
    clock.seconds += RETRY_SECONDS
    opener.spare_pages = None
    opener.statements.clear()
    (again,) = writer.submit([new_message("M1")]).result()
    assert again.duplicate
    assert any("INSERT INTO audit" in statement for statement in opener.statements)


def test_a_store_that_is_gone_is_named_and_nothing_is_created_in_its_place(
    start: Callable[[], Writer], opener: Opener, clock: Clock, path: Path
) -> None:
    opener.spare_pages = 20
    writer = start()
    with pytest.raises(StoreUnavailable):
        writer.submit([new_message("M1", content=BIG)]).result()
    clock.seconds += RETRY_SECONDS
    path.unlink()
    with pytest.raises(StoreUnavailable, match="there is no store"):
        writer.submit([new_message("M1")]).result()
    assert not path.exists()


def test_a_lock_that_is_held_too_long_is_a_storage_error_that_passes(
    start: Callable[[], Writer], clock: Clock, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_SECONDS", 0.05)
    writer = start()
    with Store.open(path, TRIAL) as other, other.write(), pytest.raises(StoreUnavailable, match="holds"):
        writer.submit([new_message("M1")]).result()
    clock.seconds += RETRY_SECONDS
    assert len(writer.submit([new_message("M1")]).result()) == 1


def test_an_error_nobody_foresaw_fails_the_unit_and_its_words_are_told_to_nobody(
    writer: Writer, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    words = "of a patient named JANE"

    def refuse(store: Store) -> object:
        raise RuntimeError(words)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "write", refuse)
        with pytest.raises(StoreUnavailable, match="RuntimeError") as failed:
            writer.submit([new_message("M1")]).result()
    assert "JANE" not in str(failed.value) + str(writer.trouble) + caplog.text
    assert "in refuse" in caplog.text
    clock.seconds += RETRY_SECONDS
    assert len(writer.submit([new_message("M1")]).result()) == 1


def fill_a_real_disk(path: Path, answers: multiprocessing.connection.Connection) -> None:
    """In a process of its own: a limit of the kernel on how long a file may be, that is lifted later."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    clock = Clock()
    writer = Writer(lambda: Store.open(path, TRIAL), retry_seconds=RETRY_SECONDS, monotonic=clock)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 40_000, hard))
    stored, failed = [], []
    for n in range(20):
        try:
            writer.submit([new_message(f"M{n}", content="x" * 5_000)]).result()
            stored.append(f"M{n}")
        except StoreUnavailable:
            failed.append(f"M{n}")
    trouble = writer.trouble
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    clock.seconds += RETRY_SECONDS
    for name in failed:
        writer.submit([new_message(name, content="x" * 5_000)]).result()
    answers.send((stored, failed, trouble, writer.trouble, writer.reopenings))
    writer.close()


def test_a_disk_that_is_really_full_loses_nothing_acknowledged(path: Path) -> None:
    open_store(path).close()
    receiving, sending = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("spawn").Process(target=fill_a_real_disk, args=(path, sending))
    child.start()
    sending.close()
    with receiving:
        stored, failed, trouble, after, reopenings = receiving.recv()
    child.join()
    assert child.exitcode == 0
    assert stored
    assert failed
    assert (trouble is not None, after, reopenings) == (True, None, 1)
    with Store.open(path, TRIAL) as store:
        assert store.integrity_problems() == []
        assert store.verify().ok
    assert sorted(control_ids(path)) == sorted(stored + failed)
