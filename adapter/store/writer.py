"""Group commit: one thread writes the inbox, and whatever waits shares one commit. Nobody waits for a timer.

A COMMIT whose fsync failed can still be there after a crash. "Not acknowledged" therefore means "perhaps stored", and
what the sender sends again may turn out to be a duplicate, which is acknowledged as one.
"""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from traceback import format_tb
from types import TracebackType
from typing import Self

from adapter.store.errors import StoreError, StoreUnavailable
from adapter.store.records import Added, NewMessage
from adapter.store.rows import utc_text
from adapter.store.store import Store

_LOG = logging.getLogger(__name__)
WHO = "adapter"
MAX_UNITS = 512  # in one commit: the first of a burst does not wait for all of it


@dataclass(frozen=True, slots=True)
class Trouble:
    """Since when nothing can be stored, and why, in words."""

    since: datetime
    cause: str


class RosterMoved(Exception):
    """The roster is no longer the one that the messages were screened by; nothing was stored. Screen them again."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    unit: tuple[NewMessage, ...]
    roster_version: int | None
    future: Future[list[Added]]


def _now() -> datetime:
    return datetime.now(UTC)


class Writer:
    """The thread that commits what intake keeps.

    ``open_store`` is called in that thread. Its first failure is raised by the constructor (a fault of the
    configuration). After a storage error every unit that waits fails, the store is closed, and no unit succeeds until
    it has been opened again and a commit has succeeded. Opening is tried when a unit is submitted, at most once in
    ``retry_seconds`` of ``monotonic``.
    """

    def __init__(
        self,
        open_store: Callable[[], Store],
        *,
        retry_seconds: float = 1.0,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._open_store = open_store
        self._retry_seconds = retry_seconds
        self._monotonic = monotonic
        self._now = now
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._submitting = threading.Lock()
        self._closing = False
        self._store: Store | None = None
        self._trouble: Trouble | None = None
        self._tried_at = 0.0
        self._reopenings = 0
        opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(opened,), name="store-writer", daemon=True)
        self._thread.start()
        opened.result()

    @property
    def trouble(self) -> Trouble | None:
        """Why nothing can be stored now; None where the last commit succeeded."""
        return self._trouble

    @property
    def reopenings(self) -> int:
        """How often storing began to work again after a storage error."""
        return self._reopenings

    def submit(self, unit: Sequence[NewMessage], *, roster_version: int | None = None) -> Future[list[Added]]:
        """Store the messages of one frame, all or none. The result is there when they are committed durably.

        The future fails with :class:`StoreUnavailable` where they are not, and with ``ValueError`` for messages that
        cannot be stored at all; the units that shared the commit are not touched by that. With ``roster_version`` it
        fails with :class:`RosterMoved` where the roster has another by then; an empty unit asks for that alone.
        """
        waiting = _Waiting(tuple(unit), roster_version, Future())
        with self._submitting:
            if self._closing:
                waiting.future.set_exception(StoreUnavailable("the store is closed; the program is ending", "closed"))
            else:
                self._queue.put(waiting)
        return waiting.future

    def close(self) -> None:
        """Commit what was submitted, then end the thread and close the store. Closing twice is nothing."""
        with self._submitting:
            if not self._closing:
                self._closing = True
                self._queue.put(None)
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- in the thread ------------------------------------------------------------------------------------------

    def _run(self, opened: Future[None]) -> None:
        try:
            self._store = self._open_store()
        except BaseException as error:
            opened.set_exception(error)
            return
        opened.set_result(None)
        ending = False
        while not ending:
            batch, ending = self._take()
            if batch:
                self._commit(batch)
        if self._store is not None:
            self._store.close()

    def _take(self) -> tuple[list[_Waiting], bool]:
        """Wait for one unit, then take all that wait with it. True where the writer is to end."""
        first = self._queue.get()
        batch: list[_Waiting] = []
        while first is not None:
            # One that was cancelled while it waited is left out; from here on it can no longer be cancelled.
            if first.future.set_running_or_notify_cancel():
                batch.append(first)
            if len(batch) >= MAX_UNITS:
                return batch, False
            try:
                first = self._queue.get_nowait()
            except queue.Empty:
                return batch, False
        return batch, True

    def _commit(self, batch: list[_Waiting]) -> None:
        try:
            store = self._working_store()
            done, refused = self._write(store, batch)
        except Exception as error:  # whatever it was, nobody may wait for ever and nothing may be answered positively
            self._fail(batch, error)
            return
        if self._trouble is not None:
            self._reopenings += 1
            self._trouble = None
        for waiting, added in done:
            waiting.future.set_result(added)
        for waiting, reason in refused:
            waiting.future.set_exception(reason)

    def _write(
        self, store: Store, batch: list[_Waiting]
    ) -> tuple[list[tuple[_Waiting, list[Added]]], list[tuple[_Waiting, Exception]]]:
        done: list[tuple[_Waiting, list[Added]]] = []
        refused: list[tuple[_Waiting, Exception]] = []
        with store.write() as transaction:
            if (trouble := self._trouble) is not None:
                # Also a write of its own: a batch of duplicates alone would prove nothing of the disk, and what a
                # failed commit left visible is durable only behind a commit that succeeds.
                since = {"since": utc_text(trouble.since), "cause": trouble.cause}
                transaction.record("store reopened", store.trial, who=WHO, at=self._now(), why="it failed", old=since)
            version = transaction.roster_version()
            for waiting in batch:
                if waiting.roster_version not in (None, version):
                    refused.append((waiting, RosterMoved()))
                    continue
                try:
                    with transaction.part():
                        added = transaction.add_messages(waiting.unit)
                except StoreUnavailable:
                    raise
                except Exception as error:  # a fault of this unit: the others are not to suffer for it
                    refused.append((waiting, error))
                else:
                    done.append((waiting, added))
        return done, refused

    def _working_store(self) -> Store:
        if self._store is None:
            waited = self._monotonic() - self._tried_at
            if waited < self._retry_seconds and self._trouble is not None:
                cause = self._trouble.cause
                raise StoreUnavailable(f"the store is closed after an error and not tried again yet: {cause}", cause)
            self._tried_at = self._monotonic()
            self._store = self._open_store()
        return self._store

    def _fail(self, batch: list[_Waiting], error: Exception) -> None:
        if isinstance(error, StoreError):
            words = str(error)
            cause = error.cause if isinstance(error, StoreUnavailable) else words
        else:
            # The words of an error that nobody foresaw may hold anything: its kind and its place have to do.
            cause = type(error).__name__
            words = f"the store failed ({cause}); see the log"
            _LOG.error("%s at:\n%s", words, "".join(format_tb(error.__traceback__)))
        if self._trouble is None:
            self._trouble = Trouble(self._now(), cause)
        if self._store is not None:
            self._tried_at = self._monotonic()
            store, self._store = self._store, None
            with suppress(sqlite3.Error):  # what cannot even be closed is not used again either
                store.close()
        for waiting in batch:
            waiting.future.set_exception(StoreUnavailable(words, cause))
