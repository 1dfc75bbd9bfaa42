"""The thread that polls one source: woken, never twice at a time, in trouble and out of it, told to end."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fhir_peer import Asked, Scripted, outcome
from fhir_server import FhirServer, fhir_server, observation, patient
from poll_run import NOW, PollRun, person, polled
from trialrun import eventually

from adapter.intake.poll_thread import PollThread
from adapter.store import Store, StoreUnavailable


@pytest.fixture
def server() -> Iterator[FhirServer]:
    with fhir_server() as server:
        server.put(patient("p1", "0012345"))
        server.put(observation("o1", "p1"))
        yield server


@pytest.fixture
def run(server: FhirServer, tmp_path: Path) -> Iterator[PollRun]:
    with polled(tmp_path, server, 'fhir_version = "R4"') as run:
        run.put(person())
        yield run


class Polling:
    """A poll thread on a run's configuration; ``polls`` counts the stores that it opened."""

    def __init__(self, run: PollRun) -> None:
        (source,) = run.config.sources
        assert source.fhir is not None
        self.run = run
        self.polls = 0
        self.stored = threading.Event()
        self.thread = PollThread(
            source.rules,
            source.fhir,
            run.config.protocol,
            self.open_store,
            now=lambda: NOW,
            stored=self.stored.set,
        )

    def open_store(self) -> Store:
        self.polls += 1
        return Store.open(self.run.config.store_path, self.run.config.protocol.trial)

    def once(self) -> None:
        """Wake it, and wait until it has polled."""
        before = self.polls
        self.thread.wake()
        eventually(lambda: self.polls > before and not self.thread.polling)


@pytest.fixture
def polling(run: PollRun) -> Iterator[Polling]:
    polling = Polling(run)
    polling.thread.start()
    yield polling
    polling.thread.stop()
    polling.thread.join(20)
    assert not polling.thread.is_alive()


def test_woken_it_polls_and_says_that_something_came(polling: Polling):
    polling.once()
    assert polling.stored.wait(10)
    assert len(polling.run.store.received("S-001")) == 1
    assert polling.thread.trouble is None


def test_woken_often_while_it_polls_it_polls_once_more(polling: Polling):
    arrived, go_on = threading.Event(), threading.Event()

    def wait(asked: Asked) -> None:
        arrived.set()
        go_on.wait(20)

    polling.run.server.before = wait
    polling.thread.wake()
    assert arrived.wait(20)
    for _ in range(5):
        polling.thread.wake()
    go_on.set()
    eventually(lambda: polling.polls == 2 and not polling.thread.polling)
    assert polling.polls == 2


def test_trouble_is_told_once_when_it_begins_and_once_when_it_is_over(
    polling: Polling, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO, "adapter")
    polling.run.server.before = lambda asked: outcome(403, "forbidden")
    for _ in range(3):
        polling.once()
    assert "HTTP 403" in (polling.thread.trouble or "")
    polling.run.server.before = lambda _: None
    for _ in range(2):
        polling.once()
    said = [r.getMessage() for r in caplog.records]
    assert [s for s in said if "cannot be polled" in s] == [
        f"source ehr cannot be polled: {said[0].partition(': ')[2]}"
    ]
    assert said.count("source ehr is polled again") == 1
    assert polling.thread.trouble is None
    assert not any("0012345" in s for s in said)


def test_a_store_in_trouble_and_a_defect_are_told_and_tried_again(
    polling: Polling, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def fails(error: Exception):
        def open_store() -> Store:
            polling.polls += 1
            raise error

        return open_store

    for error, words in (
        (StoreUnavailable("the disk is full", "full"), "the disk is full"),
        (KeyError("0012345"), "KeyError"),
    ):
        monkeypatch.setattr(polling.thread, "_open_store", fails(error))
        polling.once()
        assert words in (polling.thread.trouble or "")
    assert "0012345" not in caplog.text
    monkeypatch.setattr(polling.thread, "_open_store", polling.open_store)
    polling.once()
    assert polling.thread.trouble is None


def test_a_secret_that_is_missing_is_trouble_and_no_end(run: PollRun, tmp_path: Path):
    path = run.config.path
    path.write_text(path.read_text("utf-8") + '[source.auth]\nkind = "bearer"\npassword_file = "token"\n', "utf-8")
    again = PollRun(tmp_path, run.server, "", more='[source.auth]\nkind = "bearer"\npassword_file = "token"')
    polling = Polling(again)
    polling.thread.start()
    try:
        polling.once()
        assert "password_file" in (polling.thread.trouble or "")
        (tmp_path / "token").write_text("t0ken", "utf-8")
        polling.once()
        assert polling.thread.trouble is None
        assert {a.headers.get("Authorization") for a in run.server.asked} == {"Bearer t0ken"}
    finally:
        polling.thread.stop()
        polling.thread.join(20)
        again.close()


def test_who_is_not_on_the_server_is_named_once(polling: Polling, caplog: pytest.LogCaptureFixture):
    polling.run.put(person("S-002", "404"))
    for _ in range(3):
        polling.once()
    assert [r.getMessage() for r in caplog.records] == ["source ehr: the server has no patient for S-002"]


def test_told_to_end_while_it_waits_for_the_server_it_ends(run: PollRun):
    """The server asks for patience for an hour; the thread is not to wait for that."""
    arrived = threading.Event()

    def busy(asked: Asked) -> Scripted:
        arrived.set()
        return Scripted(503, headers={"Retry-After": "200"})

    run.server.before = busy
    polling = Polling(run)
    polling.thread.start()
    polling.thread.wake()
    assert arrived.wait(20)
    polling.thread.stop()
    polling.thread.join(20)
    assert not polling.thread.is_alive()
    assert run.store.poll_record("ehr").last_error is None
