"""The roster, what was received, what people decided, and what was read; nothing is decided here yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from adapter.model.common import Coding, PartialTime


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
