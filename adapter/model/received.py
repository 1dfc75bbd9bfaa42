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

    ``map_code``          source, code, system, analyte, unit (optional)
    ``dismiss_code``      source, code, system
    ``accept_unit``       source, code, system, sent (empty: none was), unit
    ``map_status``        source, sent (empty: none was), status (of table 0085)
    ``accept_specimen``   source, specimen
    ``read_result``       source, study_id, results (keys, a line each), what (rules/decided.py), to
    ``take_back``         source, study_id, results
    ``choose``            study_id, visit, endpoint, result (its key), evidence
    ``accept_outside``    study_id, visit, endpoint, result (its key), evidence
    ``confirm_identity``  source, sha256, participant: whose the message is
    ``refuse_identity``   source, sha256: another person's; its bytes are erased
    ``merge_identity``    source, sha256, participant, gained: the roster has gained the surviving identifiers, named by
                          their places in the message
    ``retry``             source, sha256
    ``dismiss_item``      item, evidence
    ``sign_off``          study_id, visit, cells (JSON: each endpoint's fingerprint)
    ``undo``              decision (its id), and what names the scope of that
    """

    id: int
    kind: str
    body: Mapping[str, str]
    who: str
    at: str
    why: str


@dataclass(frozen=True, slots=True)
class Assessment:
    """What a clinician judged of a participant on a day, as entered. None: not assessed.

    ``ascites`` is none, mild or moderate_severe; ``encephalopathy`` none, grade_1_2 or grade_3_4; ``dialysis`` (twice
    or more in the week before) yes or no.
    """

    study_id: str
    assessed_on: date
    ascites: str | None = None
    encephalopathy: str | None = None
    dialysis: str | None = None
    id: int = 0
    who: str = ""
    at: str = ""
    why: str = ""


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
    """OBX-5 as sent. ``plain`` is the one text that may hold a number, or None with the ``fault`` that forbids it.

    ``coded`` is what a coded value says beside that: its codes and texts, each as sent.
    """

    shown: str
    plain: str | None
    fault: str = ""
    coded: tuple[str, ...] = ()


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
