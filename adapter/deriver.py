"""The thread that derives: it meets those who receive in the inbox only, and gives way to them."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime

from adapter.config import Config
from adapter.intake.door import Door
from adapter.pipeline import Rulebook, Settler
from adapter.store import Store, StoreError

log = logging.getLogger(__name__)

WHO = "adapter"
DRAIN_SECONDS = 20.0
_RETRY_SECONDS = 2.0
_QUIET_SECONDS = 0.005
_GIVES_WAY = 20  # times in a row: a feed that never pauses slows deriving down and does not stop it


class Deriver(threading.Thread):
    """Derives whenever it is woken. It ends by itself when told to stop, what it was at being finished."""

    def __init__(self, config: Config, book: Rulebook, now: Callable[[], datetime]) -> None:
        super().__init__(name="deriver", daemon=True)
        self._config = config
        self._now = now
        self.book = book
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._doors: Mapping[str, Door] = {}
        self._written: dict[str, Counter[str]] = {}
        self._deadline: float | None = None
        self._seen = 0
        self._settler: Settler | None = None
        self.trouble: str | None = None

    @property
    def stuck(self) -> list[str]:
        """Participants that a defect of the rules keeps from being derived; their values are of before."""
        return sorted(self._settler.stuck) if self._settler is not None else []

    def wake(self) -> None:
        """There is something to derive."""
        self._woken.set()

    def use(self, book: Rulebook) -> None:
        """Derive by other rules from now on."""
        self.book = book
        self.wake()

    def count(self, doors: Mapping[str, Door]) -> None:
        """The doors whose counts are written down beside the derivation."""
        self._doors = doors

    def stop(self) -> None:
        """Finish what is pending, within the time for draining, then end. What is left is derived at the next start."""
        self._deadline = time.monotonic() + DRAIN_SECONDS
        self._stopping.set()
        self.wake()
        self.join()

    def run(self) -> None:
        """The thread's life: a store of its own, opened again after it failed."""
        while not self._stopping.is_set():
            try:
                with Store.open(self._config.store_path, self._config.protocol.trial) as store:
                    self._work(store)
            except Exception as error:  # whatever it is, the feed goes on and deriving is tried again
                cause = str(error) if isinstance(error, StoreError) else f"{type(error).__name__} in the deriver"
                if self.trouble is None:
                    log.error("deriving stands still: %s", cause)
                self.trouble = cause
                self._stopping.wait(_RETRY_SECONDS)

    def _work(self, store: Store) -> None:
        settler = Settler(store, self._now, WHO)
        self._settler = settler
        while True:
            self._woken.clear()
            ending = self._stopping.is_set()
            settler.settle(self.book, stop=self._gives_way_or_ends)
            self._write_counts(store)
            if self.trouble is not None:
                log.info("deriving goes on")
                self.trouble = None
            if ending:
                return
            self._woken.wait()

    def _gives_way_or_ends(self) -> bool:
        """Before each step: whoever waits for an acknowledgement goes first. True where the time for draining is up."""
        for _ in range(_GIVES_WAY):
            answered = sum(door.counts.total() for door in self._doors.values())
            if answered == self._seen:
                break
            self._seen = answered
            self._stopping.wait(_QUIET_SECONDS)
        return self._deadline is not None and time.monotonic() > self._deadline

    def _write_counts(self, store: Store) -> None:
        """The doors only ever count up, so what is new is a difference, whichever thread counts meanwhile."""
        for name, door in self._doors.items():
            seen, written = Counter(door.counts), self._written.setdefault(name, Counter())
            if seen != written:
                with store.write() as tx:
                    tx.add_counters(name, seen - written, door.last_message_at)
                self._written[name] = seen
