"""What is told of one cell: its result, candidates, messages, rules, decisions and history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from adapter.model import Decision, Outcome, ResultRow
from adapter.rules.table import TableRow

Place = tuple[int, str]  # inbox id and locator


@dataclass(frozen=True, slots=True)
class MappingTold:
    """The row that says what a code is. ``name`` is the row's own; ``decision`` is set where a person wrote it."""

    row: str
    name: str
    decision: int | None
    in_files: bool  # today's files (or decisions) still hold it


@dataclass(frozen=True, slots=True)
class ConversionTold:
    """The row of the unit table, its source and its worked example; those are None where today's files lack the row."""

    row: str
    source: str | None
    example: tuple[str, str] | None
    in_files: bool


@dataclass(frozen=True, slots=True)
class ResultTold:
    """One result that has to do with the cell. ``rank`` and ``why`` are those of a candidate, ``words`` say what
    became of it."""

    row: ResultRow
    rank: int | None
    chosen: bool
    why: str | None
    words: str
    steps: tuple[str, ...]
    collected_from: str | None  # the field that states the collection time
    collected_text: str | None  # as it was sent
    mapping: MappingTold | None
    conversion: ConversionTold | None

    @property
    def place(self) -> Place:
        """Where it stands."""
        return self.row.inbox_id, self.row.locator


@dataclass(frozen=True, slots=True)
class Erasure:
    """Who erased the bytes of a message, when and why."""

    at: str
    who: str
    why: str
    seq: int


@dataclass(frozen=True, slots=True)
class MessageTold:
    """One message of the inbox. ``sha256`` was noted when it came, ``found_sha256`` is of the bytes as they are."""

    inbox_id: int
    source: str
    kind: str
    message_id: str
    received_at: str
    bytes: int
    sha256: str
    found_sha256: str | None  # None: erased
    notes: tuple[str, ...]
    erased: Erasure | None

    @property
    def whole(self) -> bool | None:
        """Whether the bytes are those that came; None where they were erased."""
        return None if self.found_sha256 is None else self.found_sha256 == self.sha256


@dataclass(frozen=True, slots=True)
class InputTold:
    """One input of a score as it was used, and whence: the cell of a laboratory input, the entry of an assessed one."""

    name: str
    used: Mapping[str, object]
    status: str | None
    source: str | None
    message_id: str | None
    locator: str | None
    trace: tuple[str, str, str] | None  # the arguments of ``trace`` for it
    assessed: Mapping[str, str] | None  # who entered an assessed one, when and why


@dataclass(frozen=True, slots=True)
class RulesTold:
    """The mappings and rules that the cell was derived by. ``same`` where those of today's files are no others."""

    ruleset: str
    adopted_at: str | None
    protocol: str | None  # SHA-256 of the files of the protocol
    rules_version: str | None
    files: str
    same: bool


@dataclass(frozen=True, slots=True)
class DecisionTold:
    """A decision that touches the cell, in words."""

    decision: Decision
    words: str


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the cell, from the trail. ``old`` and ``new`` hold status, value, message and the like."""

    seq: int
    at: str
    who: str
    why: str
    old: Mapping[str, object] | None
    new: Mapping[str, object] | None


@dataclass(frozen=True, slots=True)
class Trace:
    """All that a cell follows from. ``follows`` is None where it could not be asked; ``verdict`` says which, in words.

    ``candidates`` are in the order of selection, ``beside`` what was held, replaced, taken back or just outside.
    """

    cell: TableRow
    result: ResultTold | None
    inputs: tuple[InputTold, ...]
    items: tuple[tuple[str, str, str], ...]  # id, reason, sentence
    candidates: tuple[ResultTold, ...]
    beside: tuple[ResultTold, ...]
    messages: tuple[MessageTold, ...]
    rules: RulesTold | None
    decisions: tuple[DecisionTold, ...]
    history: tuple[Change, ...]
    head: str
    follows: bool | None
    verdict: str

    @property
    def sound(self) -> bool:
        """Whether nothing that could be checked is wrong."""
        return self.follows is not False and all(m.whole is not False for m in self.messages)

    def message(self, inbox_id: int) -> MessageTold:
        """One of its messages."""
        return next(m for m in self.messages if m.inbox_id == inbox_id)

    @property
    def places(self) -> tuple[Place, ...]:
        """The results that make the cell: the one that is its value, else those that keep it from having one."""
        if self.result is not None:
            return (self.result.place,)
        told = (*self.candidates, *(r for r in self.beside if r.row.outcome == Outcome.HELD))
        return tuple(r.place for r in told)
