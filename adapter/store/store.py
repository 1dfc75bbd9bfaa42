"""The store as the rest of the program knows it: one object to read from, one transaction at a time to write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from adapter.store import statements
from adapter.store.accounts import AccountReads, AccountWrites
from adapter.store.assessments import AssessmentWrites
from adapter.store.audit import AuditReads
from adapter.store.derived import DerivedReads, DerivedWrites
from adapter.store.engine import Engine
from adapter.store.errors import StoreMissing
from adapter.store.inbox import InboxWrites
from adapter.store.polls import PollReads, PollWrites
from adapter.store.roster import RosterWrites
from adapter.store.schema import migrate


class Transaction(InboxWrites, RosterWrites, AssessmentWrites, DerivedWrites, PollWrites, AccountWrites):
    """All that can be written, within :meth:`Store.write`; what it reads holds what it has written.

    ``part()`` is a block within it that is undone alone where it raises.
    """


class Store(AuditReads, DerivedReads, PollReads, AccountReads):
    """One trial in one SQLite file. A store is used by the thread that opened it; other threads open their own.

    Writers of one process take turns, other processes are waited for (30 seconds); then, and where the disk fails,
    :class:`~adapter.store.errors.StoreUnavailable` is raised. Reads are whole when they return: no lock is held while
    a caller looks at them.
    """

    @classmethod
    def open(cls, path: Path, trial: str, *, create: bool = False) -> Self:
        """Open the store at ``path``; with ``create`` make the file, and the trial's place in it, where missing.

        Raises :class:`~adapter.store.errors.StoreMissing` (no file, or no such trial in it),
        :class:`~adapter.store.errors.NotAStore` (another file, a newer schema) or another ``StoreError``.
        """
        path = path.resolve()
        engine = Engine.open(path, create=create)
        try:
            migrate(engine, str(path), create=create)
            store = cls(engine, trial, str(path))
            store._enter_trial(create)
        except BaseException:
            engine.close()
            raise
        return store

    def close(self) -> None:
        """Close it. An open transaction is rolled back; closing twice is nothing."""
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """A transaction: committed, durably, when the block ends; nothing of it where the block raises.

        Raises :class:`~adapter.store.errors.StoreUnavailable` where it cannot begin or commit; then it is *perhaps*
        stored (see there).
        """
        with self._engine.writing():
            yield Transaction(self._engine, self.trial, self._place)

    def describe(self) -> dict[str, Any]:
        """What ``status`` says: kind, versions, journal mode, syncs, whether this SQLite's WAL is sound."""
        return self._engine.describe()

    def integrity_problems(self) -> list[str]:
        """What the database engine finds wrong with the file; empty where nothing is. Reads all of it."""
        return self._engine.integrity_problems()

    def _enter_trial(self, create: bool) -> None:
        if self._row(statements.TRIAL_KNOWN) is not None:
            return
        if not create:
            raise StoreMissing(f"{self._place}: the store holds no trial {self.trial}; run lab-adapter init")
        with self._engine.writing():
            self._engine.run(statements.TRIAL_ADD, {"trial": self.trial})
