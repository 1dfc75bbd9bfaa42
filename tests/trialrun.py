"""A small trial in a folder, for tests of the whole way: configuration, store, roster, a clock that stands still."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

from adapter.config import Config, load_config
from adapter.daemon import rulebook, screen_of
from adapter.model import Participant
from adapter.pipeline import Rulebook, Settler
from adapter.replay import MessageReport, replay_file, tell
from adapter.review.roster import read_roster
from adapter.rules.match import Roster
from adapter.rules.table import TableRow, table
from adapter.store import Store


class TrialRun:
    """One configuration with its store, seen as of one instant."""

    def __init__(self, config_path: Path, store_path: Path, now: datetime = datetime(2026, 9, 1, 4, 0, tzinfo=UTC)):
        self.now = now
        self.config: Config = replace(load_config(config_path), store_path=store_path)
        self.book: Rulebook = rulebook(self.config)
        self.store = Store.open(store_path, self.config.protocol.trial, create=True)
        self.settler = Settler(self.store, lambda: self.now, "test")

    def enrol(self, roster_csv: Path, ended: Iterable[tuple[str, date, str]] = ()) -> None:
        """Enrol a roster, and end the observation of some."""
        left = {study_id: (on, why) for study_id, on, why in ended}
        with self.store.write() as tx:
            for person in read_roster(roster_csv.read_text(encoding="utf-8").splitlines(keepends=True)):
                on, why = left.get(person.study_id, (None, None))
                tx.put_participant(replace(person, ended_on=on, ended_by=why), "test", "test", self.now)

    def put(self, person: Participant) -> None:
        with self.store.write() as tx:
            tx.put_participant(person, "test", "test", self.now)

    def screen(self, source: str):
        found = next(s for s in self.config.sources if s.name == source)
        return screen_of(found, Roster(self.store.participants()), self.config.protocol.timezone, gated=False)

    def replay(self, path: Path, source: str) -> list[MessageReport]:
        """A file through the pipeline, settled and told."""
        reports = replay_file(self.store, self.screen(source), path, self.now)
        self.settler.settle(self.book)
        tell(reports, self.store, self.book, self.now)
        return reports

    def table(self) -> dict[tuple[str, str, str], TableRow]:
        self.settler.settle(self.book)
        rows = table(
            self.config.protocol,
            self.store.participants(),
            self.store.selections(),
            self.now.date(),
            supporting=True,
        )
        return {(r.study_id, r.visit, r.endpoint): r for r in rows}

    def close(self) -> None:
        self.store.close()


def eventually(found: Callable[[], object], seconds: float = 30.0) -> object:
    """Ask again and again until the answer is true; what another process does cannot be injected."""
    import time

    deadline = time.monotonic() + seconds
    while True:
        with suppress(OSError):
            answer = found()
            if answer:
                return answer
        if time.monotonic() > deadline:
            raise AssertionError("it did not come about in time")
        time.sleep(0.02)
