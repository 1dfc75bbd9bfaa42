"""Several processes and threads on one store: each write is whole, none is lost, the chain is one."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from pathlib import Path

import pytest
from store_samples import NOON, RULES, TODAY, TRIAL, WHO, new_message, one_value, open_store, participant

from adapter.store import Store, engine
from adapter.store.turns import Turns

SPAWN = multiprocessing.get_context("spawn")


def write_many(path: Path, name: str, count: int) -> None:
    with Store.open(path, TRIAL) as store:
        for n in range(count):
            with store.write() as tx:
                tx.add_messages([new_message(f"{name}-{n}"), new_message("shared", content=str(n))])
                tx.add_counters("lis", {"accepted": 1})


def test_two_processes_write_at_once_and_nothing_is_lost(path: Path) -> None:
    open_store(path).close()
    children = [SPAWN.Process(target=write_many, args=(path, name, 40)) for name in ("a", "b")]
    for child in children:
        child.start()
    write_many(path, "c", 40)
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0]
    with Store.open(path, TRIAL) as store:
        kept = [message.message_control_id for message in store.received("S01")]
        assert len(kept) == 3 * 40 + 40
        assert kept.count("shared") == 40
        assert store.counters("lis").counts == {"accepted": 120}
        assert (store.verify().ok, store.verify().records) == (True, 160)
        assert store.integrity_problems() == []


def create(path: Path, gate: multiprocessing.synchronize.Barrier) -> None:
    gate.wait()
    with Store.open(path, TRIAL, create=True) as store, store.write() as tx:
        tx.record("opened", str(os.getpid()), who=WHO, at=NOON, why="created")


def test_several_processes_create_one_store(path: Path) -> None:
    gate = SPAWN.Barrier(4)
    children = [SPAWN.Process(target=create, args=(path, gate)) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0] * 4
    with Store.open(path, TRIAL) as store:
        assert (store.verify().ok, store.verify().records) == (True, 4)


def write_until_killed(path: Path, answers: multiprocessing.connection.Connection) -> None:
    with Store.open(path, TRIAL) as store:
        for n in range(100_000):
            with store.write() as tx:
                tx.add_messages([new_message(f"M{n}", content="x" * 3_000)])
            answers.send(n)


@pytest.mark.parametrize("after", [0, 3, 17])
def test_a_killed_process_leaves_every_commit_that_returned(path: Path, after: int) -> None:
    open_store(path).close()
    receiving, sending = multiprocessing.Pipe(duplex=False)
    child = SPAWN.Process(target=write_until_killed, args=(path, sending))
    child.start()
    sending.close()
    with receiving:
        acknowledged = [receiving.recv() for _ in range(after + 1)]
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        while True:
            try:
                acknowledged.append(receiving.recv())
            except EOFError:
                break
    child.join()
    with Store.open(path, TRIAL) as store:
        kept = [message.message_control_id for message in store.received("S01")]
        assert store.verify().ok
        assert store.integrity_problems() == []
    # One more than was answered may be there: its commit was done, its answer not yet sent.
    assert len(kept) - len(acknowledged) in (0, 1)
    assert kept == [f"M{n}" for n in range(len(kept))]


@pytest.mark.parametrize("sound", [False, True])
def test_threads_that_read_write_and_derive_do_not_meet(
    path: Path, sound: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "wal_is_sound", lambda version: sound)
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_SECONDS", 60.0)
    open_store(path).close()
    faults: list[BaseException] = []

    def guarded(work: object) -> None:
        try:
            work()  # type: ignore[operator]
        except BaseException as error:
            faults.append(error)

    def derive() -> None:
        with Store.open(path, TRIAL) as store:
            for n in range(30):
                snapshot = store.snapshot("S01")
                inbox_id = snapshot.messages[0].id
                with store.write() as tx:
                    tx.apply(one_value(str(n), inbox_id), snapshot.token, RULES, TODAY, "adapter", NOON)

    def read() -> None:
        with Store.open(path, TRIAL) as store:
            for _ in range(100):
                # What a reader sees is of one instant: a value is there with its result, never without.
                with store._engine.reading():
                    assert [row.value for row in store.results()] == [
                        row.value for row in store.selections() if row.endpoint == "ALT"
                    ]
                store.participants()

    def enrol() -> None:
        with Store.open(path, TRIAL) as store:
            for n in range(20):
                with store.write() as tx:
                    tx.put_participant(participant(f"S{n:02}"), WHO, "consent signed", NOON)

    write_many(path, "first", 1)
    works = [derive, read, enrol, lambda: write_many(path, "t", 30)]
    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    with Store.open(path, TRIAL) as store:
        assert store.verify().ok
        assert len(store.participants()) == 20
        assert len(store.received("S01")) == 2 + 30 + 29  # "shared" with content 0 came first and once


def test_turns_come_in_the_order_of_asking() -> None:
    turns, order = Turns(), list[int]()

    def take(n: int) -> None:
        with turns.held(60) as got:
            assert got
            order.append(n)

    threads = [threading.Thread(target=take, args=(n,)) for n in range(5)]
    with turns.held(60):
        for n, thread in enumerate(threads):
            thread.start()
            while len(turns._waiting) <= n:
                pass
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4]


def test_a_turn_that_does_not_come_is_given_up_and_the_next_is_not_lost() -> None:
    turns, got = Turns(), list[bool]()

    def give_up() -> None:
        with turns.held(0.01) as mine:
            got.append(mine)

    with turns.held(60) as mine:
        assert (mine, turns.mine) == (True, True)
        thread = threading.Thread(target=give_up)
        thread.start()
        thread.join()
    assert (got, turns.mine) == ([False], False)
    with turns.held(0) as mine:
        assert mine
