"""What every part of the store stands on: one trial on one engine, to read from; and a transaction on it, to write."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from adapter.store.engine import Engine, Row


class Reads:
    """One trial of one store. The parts of :class:`~adapter.store.store.Store` build on it."""

    def __init__(self, engine: Engine, trial: str, place: str) -> None:
        self._engine = engine
        self._place = place
        self.trial = trial

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.trial}>"

    def at_one_instant(self) -> AbstractContextManager[None]:
        """A block whose reads see one state of the store. A writer may wait for its end: nothing slow belongs in it."""
        return self._engine.reading()

    def _rows(self, sql: str, **parameters: Any) -> list[Row]:
        return self._engine.rows(sql, {"trial": self.trial, **parameters})

    def _row(self, sql: str, **parameters: Any) -> Row | None:
        rows = self._rows(sql, **parameters)
        return rows[0] if rows else None

    def _number(self, sql: str, **parameters: Any) -> int:
        """The one number a query gives."""
        return int(self._rows(sql, **parameters)[0][0])


class Writes(Reads):
    """A transaction on one trial. The parts of :class:`~adapter.store.store.Transaction` build on it.

    It reads what it has itself written; ``at`` is an instant with an offset wherever it is asked for.
    """

    def _run(self, sql: str, **parameters: Any) -> int:
        return self._engine.run(sql, {"trial": self.trial, **parameters})

    def _insert(self, sql: str, **parameters: Any) -> int:
        return self._engine.insert(sql, {"trial": self.trial, **parameters})
