"""How the derived nouns of ``adapter.model`` become rows and come back: one column for each field, texts as they are,
tuples and mappings as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from functools import cached_property
from operator import attrgetter
from typing import Any, Generic, TypeVar

from adapter.model import PlacementRow, ResultRow, ReviewItem, SelectionRow
from adapter.store.engine import Row

T = TypeVar("T")


def utc_text(at: datetime) -> str:
    """An instant as the store writes it: ISO 8601 in UTC, always with microseconds, so that texts sort as instants.

    Raises ``ValueError`` for a time without an offset.
    """
    if at.utcoffset() is None:
        raise ValueError("a time without an offset is no instant; give one with a time zone")
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def as_json(content: Any) -> str:
    """JSON in one spelling: sorted keys, no spaces, so that equal contents are equal texts."""
    return _JSON.encode(content)


def _plain(content: Any) -> Any:
    if isinstance(content, Mapping):
        return dict(content)
    raise TypeError(f"{type(content).__name__} is no JSON")


_JSON = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=_plain)


def _texts(text: str) -> tuple[str, ...]:
    return () if text == "[]" else tuple(json.loads(text))  # most are empty, and the board reads thousands


def _score(text: str) -> Any:
    return None if text == "null" else json.loads(text)


def _locations(text: str) -> tuple[tuple[int, str], ...]:
    return tuple((inbox_id, locator) for inbox_id, locator in json.loads(text))


@dataclass(frozen=True)
class Shape(Generic[T]):
    """A dataclass and its table. ``key`` names a row within its scope; ``order`` is how rows are listed; ``readers``
    bring back the columns that are not stored as the field holds them."""

    noun: type[T]
    table: str
    key: tuple[str, ...]
    order: tuple[str, ...]
    readers: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The fields of the dataclass, in their order."""
        return tuple(each.name for each in fields(self.noun))  # type: ignore[arg-type]

    @cached_property
    def _values(self) -> Callable[[T], Row]:
        return attrgetter(*self.columns)

    @cached_property
    def _key_positions(self) -> tuple[int, ...]:
        return tuple(self.columns.index(name) for name in self.key)

    @cached_property
    def _read_positions(self) -> tuple[tuple[int, Callable[[Any], Any]], ...]:
        return tuple((self.columns.index(name), reader) for name, reader in self.readers.items())

    def row(self, noun: T) -> Row:
        """The row of a noun, column by column."""
        if not self.readers:
            return self._values(noun)
        values = list(self._values(noun))
        for position, _ in self._read_positions:
            value = values[position]
            values[position] = int(value) if isinstance(value, bool) else as_json(value)
        return tuple(values)

    def noun_of(self, row: Row) -> T:
        """The noun of a row."""
        values = list(row)
        for position, reader in self._read_positions:
            values[position] = reader(values[position])
        return self.noun(*values)

    def key_of(self, row: Row) -> Row:
        """The part of a row that names it within its scope."""
        return tuple(row[position] for position in self._key_positions)

    def named(self, row: Row) -> dict[str, Any]:
        """A row as the parameters of a statement."""
        return dict(zip(self.columns, row, strict=True))


RESULTS = Shape(
    ResultRow, "results", ("inbox_id", "locator"), ("scope", "inbox_id", "locator"), {"final": bool, "in_doubt": bool}
)
PLACEMENTS = Shape(
    PlacementRow,
    "placements",
    ("visit", "endpoint", "inbox_id", "locator"),
    ("scope", "visit", "endpoint", "rank", "inbox_id", "locator"),
    {"chosen": bool},
)
SELECTIONS = Shape(
    SelectionRow,
    "selections",
    ("visit", "endpoint"),
    ("scope", "visit", "endpoint"),
    {"flags": _texts, "open_items": _texts, "score": _score},
)
ITEMS = Shape(ReviewItem, "review_items", ("id",), ("opened_at", "id"), {"detail": json.loads, "results": _locations})
