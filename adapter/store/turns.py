"""Who of this process may hold the database: one at a time, in the order of asking.

SQLite's busy handler polls with growing sleeps and promises no order. Threads of one process wait here instead, where
a waiter is woken the moment its turn comes; only other processes are left to the busy handler.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from weakref import WeakValueDictionary


class Turns:
    """A first-come, first-served lock that knows its holder.

    ``threading.Lock`` lets a thread that releases and asks again in a loop overtake all who wait; a writer that
    commits without pause would starve every reader.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self._holder: int | None = None

    @property
    def mine(self) -> bool:
        """Whether the calling thread holds the turn."""
        return self._holder == threading.get_ident()

    @contextmanager
    def held(self, timeout_seconds: float) -> Iterator[bool]:
        """Hold the turn within the block. Yields False where it did not come within ``timeout_seconds``."""
        got = self._take(timeout_seconds)
        try:
            yield got
        finally:
            if got:
                self._pass_on()

    def _take(self, timeout_seconds: float) -> bool:
        with self._guard:
            if self._holder is None:
                self._holder = threading.get_ident()
                return True
            called = threading.Event()
            self._waiting.append(called)
        try:
            called.wait(timeout_seconds)
        except BaseException:
            self._leave(called)
            raise
        return self._sit_down(called)

    def _sit_down(self, called: threading.Event) -> bool:
        with self._guard:
            if not called.is_set():
                self._waiting.remove(called)
                return False
            self._holder = threading.get_ident()
            return True

    def _leave(self, called: threading.Event) -> None:
        if self._sit_down(called):
            self._pass_on()

    def _pass_on(self) -> None:
        with self._guard:
            if self._waiting:
                # Still held, by nobody yet: who was called takes it, and nobody else can slip in before.
                self._holder = 0
                self._waiting.popleft().set()
            else:
                self._holder = None


_BY_PATH: WeakValueDictionary[Path, Turns] = WeakValueDictionary()
_BY_PATH_GUARD = threading.Lock()


def turns_at(path: Path) -> Turns:
    """The turns of the database at ``path`` (resolved), shared by every connection of this process."""
    with _BY_PATH_GUARD:
        turns = _BY_PATH.get(path)
        if turns is None:
            turns = _BY_PATH[path] = Turns()
        return turns
