"""Times with their precision, codes, and the words for reasons, outcomes and statuses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
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
