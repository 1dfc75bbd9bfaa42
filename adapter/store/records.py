"""What goes into the store and comes out of it, where ``adapter.model`` has no noun for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from adapter.model import Assessment, Decision, Participant, Received, ResultRow, ReviewItem, SelectionRow

UNASSIGNED = "@"  # the scope of messages that belong to no single participant
CODES = "@codes"  # the scope of questions about a source's codes, across participants


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to be kept. ``study_ids`` are the scopes it belongs to: participants, or :data:`UNASSIGNED`."""

    source: str
    kind: str  # hl7v2 | fhir
    message_control_id: str
    raw: bytes = field(repr=False)
    sha256: str
    received_at: datetime  # with an offset
    study_ids: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Added:
    """What became of a :class:`NewMessage`; a duplicate carries the id of the message it repeats."""

    inbox_id: int
    duplicate: bool
    same_control_id_other_content: bool


@dataclass(frozen=True, slots=True)
class Counters:
    """What was counted of a source, and when its last message came (ISO 8601, UTC)."""

    counts: Mapping[str, int]
    last_message_at: str | None


@dataclass(frozen=True, slots=True)
class PollState:
    """How far a polled source has been asked for one participant.

    ``question`` is the fingerprint of what was asked, ``asked_from`` the first day of it. Everything that the server
    updated up to ``watermark`` is stored. Instants are ISO 8601 in UTC.
    """

    question: str
    patient: str | None = field(default=None, repr=False)  # the reference, such as Patient/12
    asked_from: str | None = None
    watermark: str | None = None
    last_sweep_at: str | None = None


@dataclass(frozen=True, slots=True)
class PollRecord:
    """When a source was last polled and last answered everything, and what went wrong since; ISO 8601, UTC.

    ``watermark`` is the earliest of its participants': up to there everybody's results are stored.
    """

    last_poll_at: str | None = None
    last_success_at: str | None = None
    last_error: str | None = None
    watermark: str | None = None


@dataclass(frozen=True, slots=True)
class Ruleset:
    """A version of mappings and rules that was adopted, and when (ISO 8601, UTC)."""

    id: str
    body: Mapping[str, object]
    adopted_at: str


@dataclass(frozen=True, slots=True)
class Token:
    """What a snapshot was taken of: how many messages, which state of roster and decisions, and which derivation."""

    scope: str
    inbox_ids: tuple[int, ...]
    epoch: int
    global_epoch: int
    applied: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The inputs of one scope at one instant. ``participant`` is None for :data:`UNASSIGNED`."""

    token: Token
    participant: Participant | None = field(repr=False)
    messages: tuple[Received, ...]
    decisions: tuple[Decision, ...]
    assessments: tuple[Assessment, ...]  # those that stand


@dataclass(frozen=True, slots=True)
class Standing:
    """The inputs of a scope and what is derived of it, at one instant.

    ``pending`` are the messages (inbox ids) that were never derived, ``asked`` the ids of the open review items.
    """

    snapshot: Snapshot
    pending: frozenset[int]
    results: tuple[ResultRow, ...]
    selections: tuple[SelectionRow, ...]
    asked: frozenset[str]


@dataclass(frozen=True, slots=True)
class StoredItem:
    """A review item with its life: ``state`` is ``open`` or ``closed``; ``opened_at`` is that of the first opening."""

    item: ReviewItem
    scope: str
    state: str
    opened_at: str
    closed_at: str | None


# A cell that is not empty: study id, visit, endpoint, status, and 1 where its value lies outside the window.
CellState = tuple[str, str, str, str, int]


@dataclass(frozen=True, slots=True)
class SelectionVersion:
    """One version of a cell, counting from audit record ``from_seq`` until ``ended_seq``; the current one has none."""

    row: SelectionRow
    from_seq: int
    ended_seq: int | None
    at: str
    who: str
    why: str


@dataclass(frozen=True, slots=True)
class Unmapped:
    """A code that nobody has mapped or dismissed, over all participants. ``name`` and message are the first one's."""

    source: str
    code: str
    code_system: str
    name: str
    count: int
    results: tuple[tuple[int, str], ...]
    message_control_id: str


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One link of the chain. ``old`` and ``new`` are JSON or None; ``hash`` covers all else, ``prev`` included."""

    seq: int
    trial: str
    at: str
    who: str
    what: str
    subject: str
    old: str | None
    new: str | None
    why: str
    prev: str
    hash: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What became of recomputing the chain: how many records, the last hash, and each problem in words."""

    ok: bool
    records: int
    head: str
    problems: tuple[str, ...]
