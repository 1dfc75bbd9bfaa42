"""What is derived: rows whose texts are stored and shown as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from adapter.model.common import Step


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One OBX (or FHIR value) of one message and what became of it. Texts only: what is stored is what is shown."""

    inbox_id: int
    locator: str
    study_id: str
    source: str
    message_control_id: str
    code: str
    code_system: str
    name: str
    reported: str
    reported_unit: str
    status: str
    outcome: str
    reason: str | None
    rule: str  # the rule that decided the outcome
    endpoint: str | None
    value: str | None
    comparator: str | None
    unit: str | None
    collected_at: str | None
    visit: str | None
    mapping: str | None  # the row of the mappings that named the endpoint
    conversion: str | None  # the unit row that was used
    order_number: str
    reported_at: str | None
    item: str | None  # the review item that holds it
    ruleset: str
    final: bool = False  # whether its value stands and is no preliminary one
    sent_unit: str | None = None  # UCUM: the unit that the number was sent in
    in_doubt: bool = False  # its message contradicts the roster: it may be another person's


@dataclass(frozen=True, slots=True)
class PlacementRow:
    """One candidate of one cell: its place in the order of selection and why it was or was not chosen."""

    study_id: str
    visit: str
    endpoint: str
    inbox_id: int
    locator: str
    rank: int
    chosen: bool
    why: str


@dataclass(frozen=True, slots=True)
class SelectionRow:
    """The value of one cell (participant, visit, endpoint), or why there is none.

    ``status`` is ``captured``, ``provisional``, ``in_review`` or ``empty``; what an empty cell is called depends on
    the day it is looked at (pending, missing) and on the participant (not_expected).
    """

    study_id: str
    visit: str
    endpoint: str
    status: str
    reason: str | None
    value: str | None
    comparator: str | None
    unit: str | None
    flags: tuple[str, ...]
    collected_at: str | None
    day_offset: int | None
    source: str | None
    message_id: str | None
    inbox_id: int | None
    locator: str | None
    open_items: tuple[str, ...]
    ruleset: str
    score: Mapping[str, object] | None = None  # of a derived cell: formula, inputs, settings, points (rules/scores.py)


@dataclass(frozen=True, slots=True)
class ReviewItem:
    """A question to the coordinator. ``id`` is a hash of trial, reason and subject: it survives a rebuild."""

    id: str
    reason: str
    study_id: str | None
    source: str | None
    code: str | None
    name: str | None
    value_text: str | None
    unit: str | None
    collected_at: str | None
    message_id: str | None
    count: int
    detail: Mapping[str, str]  # facts for the sentence; ``rule`` names it
    visit: str | None = None
    endpoint: str | None = None
    suggestion: str | None = None
    evidence: str = ""  # fingerprint of the results it holds: a dismissal counts for these alone
    results: tuple[tuple[int, str], ...] = ()  # inbox id and locator of each result it holds
    group: str | None = None  # unmapped codes that resemble no endpoint share one group


@dataclass(frozen=True, slots=True)
class Derived:
    """Everything the rules say of one participant. Equal inputs give equal rows, whatever the order of arrival."""

    study_id: str
    results: tuple[ResultRow, ...]
    placements: tuple[PlacementRow, ...]
    selections: tuple[SelectionRow, ...]
    items: tuple[ReviewItem, ...]
    ignored: Mapping[int, Mapping[str, int]]  # by inbox id: how many results each named rule ignored
    failed: frozenset[int] = frozenset()  # messages that could not be read at all
    steps: Mapping[tuple[int, str], tuple[Step, ...]] = field(default_factory=dict, compare=False, repr=False)
    ignored_rows: tuple[ResultRow, ...] = field(default=(), compare=False, repr=False)  # told, never stored
