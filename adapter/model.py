"""The nouns. Frozen records that every room of the house speaks; no behaviour beyond what a noun knows of itself.

A number that was reported is a :class:`~decimal.Decimal` beside its unit; a time keeps the precision and the offset
it was sent with. Bad data is a value here (:class:`Held` reasons), never an exception.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import IntEnum, StrEnum


class Precision(IntEnum):
    """How much of a time was sent (HL7 v2 DTM, chapter 2A.3.22; FHIR dateTime)."""

    YEAR = 1
    MONTH = 2
    DAY = 3
    HOUR = 4
    MINUTE = 5
    SECOND = 6
    FRACTION = 7


@dataclass(frozen=True, slots=True)
class PartialTime:
    """A time as it was sent. ``local`` is the wall clock; parts that were not sent are 1 or 0."""

    text: str
    local: datetime
    precision: Precision
    offset: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Collected:
    """When a specimen was taken: the calendar date in the trial's time zone, and the instant if one was sent."""

    on: date
    at: datetime | None
    precision: Precision

    @property
    def text(self) -> str:
        """ISO 8601: a date, or a time with its offset at the precision that was sent."""
        if self.at is None:
            return self.on.isoformat()
        spec = {Precision.HOUR: "minutes", Precision.MINUTE: "minutes", Precision.SECOND: "seconds"}
        return self.at.isoformat(timespec=spec.get(self.precision, "milliseconds"))


class Reason(StrEnum):
    """Why a person is asked (trial.md section 8). The value is what scripts see."""

    UNMAPPED_CODE = "unmapped_code"
    CODE_CONFLICT = "code_conflict"
    WRONG_SPECIMEN = "wrong_specimen"
    UNREADABLE_VALUE = "unreadable_value"
    MISSING_UNIT = "missing_unit"
    UNKNOWN_UNIT = "unknown_unit"
    IMPLAUSIBLE_VALUE = "implausible_value"
    MISSING_COLLECTION_TIME = "missing_collection_time"
    IMPLAUSIBLE_TIME = "implausible_time"
    UNKNOWN_STATUS = "unknown_status"
    CONFLICTING_RESULTS = "conflicting_results"
    WINDOW_MISSED = "window_missed"
    CHANGED_AFTER_CHOICE = "changed_after_choice"
    SCORE_MISMATCH = "score_mismatch"
    IDENTITY_CONFLICT = "identity_conflict"
    IDENTITY_MERGE = "identity_merge"
    UNREADABLE_MESSAGE = "unreadable_message"


class Outcome(StrEnum):
    """What became of one result. Each result that was read has exactly one."""

    PLACED = "placed"
    UNSCHEDULED = "unscheduled"
    BASELINE = "baseline"
    HELD = "held"
    IGNORED = "ignored"
    TAKEN_BACK = "taken_back"
    NOT_DONE = "not_done"
    SUPERSEDED = "superseded"


class Status(StrEnum):
    """A report's status reduced to what the rules ask (trial.md section 6)."""

    PROVISIONAL = "provisional"
    FINAL = "final"
    CORRECTED = "corrected"
    CONFIRMS = "confirms"  # OBX-11 U: makes a stored preliminary final, carries no value
    TAKES_BACK = "takes_back"
    NOT_DONE = "not_done"


@dataclass(frozen=True, slots=True)
class Step:
    """One sentence of the explanation: the rule that spoke and the facts it spoke of. ``words.py`` says it."""

    rule: str
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Coding:
    """A code with its name and system (HL7 v2 CWE triplet; FHIR Coding)."""

    code: str
    name: str = ""
    system: str = ""


# --- the protocol and the mappings, as the rules read them -------------------------------------------------------


@dataclass(frozen=True, slots=True)
class UnitRow:
    """``number in ucum`` times ``factor`` is the number in the analyte's unit. ``source`` cites it."""

    ucum: str
    factor: Decimal
    source: str = ""


@dataclass(frozen=True, slots=True)
class Analyte:
    """An endpoint or a supporting analyte. Derived endpoints (scores) have no limits, units or names."""

    id: str
    label: str
    unit: str
    supporting: bool = False
    derived: bool = False
    dimensionless: bool = False
    hard_min: Decimal | None = None
    hard_max: Decimal | None = None
    query_min: Decimal | None = None
    query_max: Decimal | None = None
    units: Mapping[str, UnitRow] = field(default_factory=dict)  # by UCUM code
    unit_aliases: Mapping[str, str] = field(default_factory=dict)  # text as sent -> UCUM, of this analyte alone
    names: tuple[str, ...] = ()  # names and mnemonics that suggest this analyte to a coordinator
    not_names: tuple[str, ...] = ()  # names that contain one of ``names`` and mean something else


@dataclass(frozen=True, slots=True)
class LoincRow:
    """One row of a value set. ``kind`` is ``accept``, ``conditional`` or ``deny``; ``row`` names it in the file."""

    code: str
    kind: str
    analyte: str
    name: str = ""
    why: str = ""
    ucum: str = ""
    row: str = ""


@dataclass(frozen=True, slots=True)
class Visit:
    """A protocol visit: its target in days after infusion and how far a result may lie from it, both ends included."""

    id: str
    label: str
    target_day: int
    before_days: int
    after_days: int


@dataclass(frozen=True, slots=True)
class Protocol:
    """One trial as data. ``fingerprint`` is the SHA-256 of all files it was read from."""

    trial: str
    title: str
    timezone: str
    analytes: Mapping[str, Analyte]  # in the protocol's order: endpoints first, supporting analytes after
    visits: tuple[Visit, ...]  # in the order of target_day
    loinc: Mapping[str, tuple[LoincRow, ...]]  # by code; a denied code may stand under several analytes
    unit_aliases: Mapping[str, str]  # text as sent -> UCUM, for every analyte
    no_result_texts: tuple[str, ...]  # casefolded texts that say there is no result
    no_result_words: tuple[str, ...]  # casefolded words; a text without a digit holding one says the same
    specimens: frozenset[str]  # casefolded codes and names that are blood, serum or plasma
    conditional_codes: frozenset[str]  # conditional LOINC codes that the setting enables
    fingerprint: str


@dataclass(frozen=True, slots=True)
class CodeRow:
    """One row of a source's code map, from its file or from a decision. ``analyte`` None means ignored."""

    code: str
    analyte: str | None
    system: str | None = None
    unit: str | None = None
    name: str = ""
    row: str = ""  # where it stands: file and row, or the decision's id


@dataclass(frozen=True, slots=True)
class SourceRules:
    """What the configuration says of one source, as far as reading and the rules need it."""

    name: str
    authority: str
    charset: str
    timezone: str
    authorities: Mapping[str, str] = field(default_factory=dict)  # as sent -> the roster's name for it
    identifier_fields: tuple[str, ...] = ("PID-3",)
    collection_time: tuple[str, ...] = ("SPM-17", "OBR-7", "OBX-14")
    offset_from_msh7: bool = False
    status_map: Mapping[str, str] = field(default_factory=dict)  # as sent ("" for none) -> a code of table 0085
    codes: tuple[CodeRow, ...] = ()


# --- the roster ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Identifier:
    """A patient identifier of the roster. Never shown by its ``repr``."""

    value: str = field(repr=False)
    authority: str


@dataclass(frozen=True, slots=True)
class Participant:
    """One enrolled person. ``infused_at`` is a date or a time with offset, as entered (ISO 8601)."""

    study_id: str
    identifiers: tuple[Identifier, ...] = field(repr=False, default=())
    infused_at: str | None = None
    birth_date: str | None = field(repr=False, default=None)
    sex: str | None = field(repr=False, default=None)
    ended_on: date | None = None
    ended_by: str | None = None  # withdrawn, died, transplanted


# --- what was received --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Received:
    """A message of the inbox: the bytes that were kept and what is known without reading them."""

    id: int  # the inbox row; 0 where nothing is written (explain)
    trial: str
    source: str
    kind: str  # hl7v2 | fhir
    message_control_id: str
    sha256: str
    raw: bytes = field(repr=False)
    received_at: datetime
    study_ids: tuple[str, ...] = ()
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person decided: an input of the rules. ``body`` depends on ``kind``:

    ``map_code``        source, code, system, analyte, unit (optional)
    ``dismiss_code``    source, code, system
    ``dismiss_item``    item, evidence
    ``choose``          study_id, visit, endpoint, result (its key), evidence
    ``accept_outside``  study_id, visit, endpoint, result (its key)
    """

    id: int
    kind: str
    body: Mapping[str, str]
    who: str
    at: str
    why: str


# --- what was read ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PatientIdentifier:
    """One repetition of PID-3 (CX, chapter 2A.3.14): the number and every name its authority was given."""

    value: str = field(repr=False)
    authorities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Patient:
    """Whom a message speaks of, as far as the match needs it. ``unreadable``: an identifier that does not decode."""

    identifiers: tuple[PatientIdentifier, ...] = field(repr=False, default=())
    birth_date: str = field(repr=False, default="")
    sex: str = field(repr=False, default="")
    unreadable: bool = False


@dataclass(frozen=True, slots=True)
class ReportedValue:
    """OBX-5 as sent. ``plain`` is the one text that may hold a number, or None with the ``fault`` that forbids it."""

    shown: str
    plain: str | None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class StatedTime:
    """A time of collection as one field states it; ``time`` is None where the text is no time."""

    address: str  # SPM-17, OBR-7, OBX-14, effectiveDateTime
    text: str
    time: PartialTime | None


@dataclass(frozen=True, slots=True)
class Reported:
    """One result as the laboratory reported it, the same for HL7 v2 and FHIR. Nothing is decided yet."""

    locator: str
    codings: tuple[Coding, ...]
    value: ReportedValue
    units: tuple[str, ...] = ()
    status: str = ""  # OBX-11
    order_status: str = ""  # OBR-25
    sub_id: str = ""  # OBX-4
    order_number: str = ""  # "filler:..." from OBR-3, else "placer:..." from OBR-2; "fhir:" and the locator
    specimens: tuple[Coding, ...] = ()
    times: tuple[StatedTime, ...] = ()
    issued: PartialTime | None = None  # OBR-22; Observation.issued
    message_at: PartialTime | None = None  # MSH-7; meta.lastUpdated
    version: int | None = None  # meta.versionId, where it is a number


# --- what is derived ----------------------------------------------------------------------------------------------


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
