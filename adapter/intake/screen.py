"""What may be kept: every payload is held against the roster before anything of it touches the disk (trial.md 1).

Pure but for the roster it is given. A stranger's message leaves here as an outcome and a count, nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Protocol as Shape
from zoneinfo import ZoneInfo

from adapter.codecs.ack import Refusal, is_acknowledgement, refusal_of
from adapter.codecs.envelope import keep_groups, keep_observations, lines_of, split_payload
from adapter.codecs.header import Header, HeaderFault
from adapter.codecs.hl7v2 import split
from adapter.codecs.message import Opened, open_message
from adapter.codecs.oru import read_merges, read_patients, read_results
from adapter.model import Patient, SourceRules
from adapter.rules.derive import after_end
from adapter.rules.match import Match, Roster
from adapter.rules.windows import collection_time
from adapter.store.records import UNASSIGNED

MERGES = {("ADT", "A34"), ("ADT", "A40")}
TAKEN = {
    "ORU": ("R01", "R30", "R31", "R32"),
    "OUL": ("R22", "R23", "R24"),
    "ADT": ("A34", "A40"),
}
_NO_PATIENT = "There is no PID segment"
_UNREADABLE_PATIENT = "PID-3 holds no identifier that can be read"


class Fate(StrEnum):
    """What becomes of a message at the door; the words of ``replay --json``."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    STRANGER = "stranger"
    IGNORED = "ignored"
    REFUSED = "refused"
    UNREADABLE = "unreadable"


class Gate(Shape):
    """What a source takes; ``None`` in its place asks for nothing (replay, explain)."""

    @property
    def versions(self) -> Sequence[str]:
        """MSH-12.1 that are taken; an empty one always is."""

    @property
    def processing_ids(self) -> Sequence[str]:
        """MSH-11.1 that are taken, "" for an empty one."""


@dataclass(frozen=True, slots=True)
class Screened:
    """One message at the door. ``kept`` is what may be stored, ``scopes`` whose it is; both empty but if accepted."""

    fate: Fate
    header: Header | None
    detail: str
    refusal: Refusal | None = None
    nobody: bool = False
    kept: bytes = field(default=b"", repr=False)
    scopes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        """Of the kept bytes."""
        return hashlib.sha256(self.kept).hexdigest()


@dataclass(frozen=True, slots=True)
class Screen:
    """One source's door: its rules, what it takes, the roster of the moment, the trial's time zone."""

    source: SourceRules
    roster: Roster
    timezone: str
    gate: Gate | None = None
    ignore_types: tuple[str, ...] = ()
    nobody_is_fine: bool = False
    as_participant: str | None = None  # explain: takes every patient for this one

    def look(self, payload: bytes, received_at: datetime) -> tuple[list[Screened], bool]:
        """Every message of a payload and whether it is a batch. A batch is taken whole or not at all."""
        parts = split_payload(payload)
        screened = [self._message(raw, received_at) for raw in parts.messages]
        failed = parts.fault or (parts.batch and any(s.refusal for s in screened))
        if failed:
            text = parts.fault or "Another message of this batch was not taken; none of it was"
            screened = [s if s.refusal else _put_back(s, text) for s in screened]
        return screened, parts.batch

    def _message(self, raw: bytes, received_at: datetime) -> Screened:
        opened = open_message(raw, self.source.charset)
        if isinstance(opened, HeaderFault):
            return Screened(Fate.UNREADABLE, None, opened.text, refusal_of(opened))
        header = opened.header
        if is_acknowledgement(header, "" if header.message_type else _second_segment(raw)):
            return Screened(Fate.IGNORED, header, "an acknowledgement is not answered")
        kind = (header.message_type, header.trigger_event)
        if kind not in MERGES and _listed(kind, self.ignore_types):
            return Screened(Fate.IGNORED, header, f"message type {'^'.join(kind)} is to be ignored")
        refusal = self._refusal(header)
        if refusal is not None:
            return Screened(Fate.REFUSED, header, refusal.text, refusal)
        if opened.faults and not _same_patients(opened, raw):
            return self._nobody(header, "A character without its end hides where a patient begins")
        found = self._merge(opened, raw) if kind in MERGES else self._results(opened, raw, received_at)
        return replace(found, notes=header.notes) if found.fate == Fate.ACCEPTED else found

    def _refusal(self, header: Header) -> Refusal | None:
        events = TAKEN.get(header.message_type)
        if events is None:
            code = "200" if header.message_type else "101"
            return Refusal("reject", code, "This message type is not taken here", "MSH", 1, 9, 1)
        if header.trigger_event not in events and (header.message_type, header.trigger_event) != ("ORU", ""):
            return Refusal("reject", "201", "This trigger event is not taken here", "MSH", 1, 9, 2)
        if self.gate is None:
            return None
        if header.processing_id not in self.gate.processing_ids:
            return Refusal("reject", "202", "This processing id is not taken here", "MSH", 1, 11, 1)
        if header.version and header.version not in self.gate.versions:
            return Refusal("reject", "203", "This version is not taken here", "MSH", 1, 12, 1)
        return None

    def _results(self, opened: Opened, raw: bytes, received_at: datetime) -> Screened:
        header = opened.header
        patients = read_patients(opened.text, opened.delimiters, self.source.identifier_fields)
        named = [p for p in patients if p is not None]
        matches = [self._match(p) for p in named]
        if self.as_participant is not None:
            return _accepted(header, raw, [Match((self.as_participant,))])
        if not any(m.study_ids for m in matches):
            if not named or any(m.nobody for m in matches):
                return self._nobody(header, _UNREADABLE_PATIENT if named else _NO_PATIENT)
            return _stranger(header)
        keep = [bool(m.study_ids) for m in matches]
        left = [self._has_left(m) for m in matches]
        theirs = self._theirs(opened, matches, received_at) if any(left) else [[] for _ in matches]
        keep = [k and (not gone or any(group)) for k, gone, group in zip(keep, left, theirs, strict=True)]
        if not any(keep):
            return _stranger(header)
        kept = raw if all(keep) and len(named) == len(patients) else keep_groups(raw, keep)
        results = [mine for group, stays in zip(theirs, keep, strict=True) if stays for mine in group]
        if not all(results):
            kept = keep_observations(kept, {number for number, mine in enumerate(results, start=1) if mine})
        return _accepted(header, kept, [m for m, stays in zip(matches, keep, strict=True) if stays])

    def _has_left(self, match: Match) -> bool:
        """Whether a patient is a participant who has withdrawn."""
        who = [self.roster.participants[s] for s in match.study_ids]
        return bool(who) and all(p.ended_by == "withdrawn" for p in who)

    def _theirs(self, opened: Opened, matches: Sequence[Match], received_at: datetime) -> list[list[bool]]:
        """For each patient which of the results are a participant's: of one who has left, those from before.

        From the withdrawal date on they are a stranger's, undated ones too.
        """
        fields, zone = self.source.identifier_fields, ZoneInfo(self.timezone)
        header = opened.header
        groups = read_results(opened.text, opened.delimiters, header.trigger_event, header.message_at, fields)
        found = []
        for group, match in zip((g for g in groups if g.patient is not None), matches, strict=True):
            who = [self.roster.participants[s] for s in match.study_ids]
            if self._has_left(match):
                times = [collection_time(r, self.source, zone, received_at).collected for r in group.results]
                found.append([any(after_end(at, p) is None for p in who) for at in times])
            else:
                found.append([True] * len(group.results))
        return found

    def _merge(self, opened: Opened, raw: bytes) -> Screened:
        header = opened.header
        merges = read_merges(opened.text, opened.delimiters, self.source.identifier_fields)
        patients: list[Patient] = [p for m in merges for p in (m.surviving, m.prior)]
        if not patients:
            return self._nobody(header, _NO_PATIENT)
        matches = [self._match(p) for p in patients]
        if not any(m.study_ids for m in matches):
            unknown = any(m.nobody for m in matches[::2])  # whom the merge leaves, that is PID
            return self._nobody(header, _UNREADABLE_PATIENT) if unknown else _stranger(header)
        touched = [any(m.study_ids for m in matches[n : n + 2]) for n in range(0, len(matches), 2)]
        return _accepted(header, raw if all(touched) else keep_groups(raw, touched), matches)

    def _match(self, patient: Patient | None) -> Match:
        if self.as_participant is not None:
            return Match((self.as_participant,))
        return self.roster.match(patient, self.source)

    def _nobody(self, header: Header, text: str) -> Screened:
        if self.nobody_is_fine:
            return Screened(Fate.IGNORED, header, text, nobody=True)
        return Screened(Fate.REFUSED, header, text, Refusal("error", "101", text, "PID", 1, 3), nobody=True)


def _accepted(header: Header, kept: bytes, matches: Sequence[Match]) -> Screened:
    study_ids = tuple(sorted({s for m in matches for s in m.study_ids}))
    several = any(len(m.study_ids) > 1 for m in matches)
    scopes = (*study_ids, UNASSIGNED) if several else study_ids
    return Screened(Fate.ACCEPTED, header, "kept", kept=kept, scopes=scopes)


def _stranger(header: Header) -> Screened:
    return Screened(Fate.STRANGER, header, "no participant's: nothing of it is kept")


def _same_patients(opened: Opened, raw: bytes) -> bool:
    """Whether text and bytes hold as many patients: the text says whose a group is, the bytes are what is cut."""
    in_text = sum(segment.name == "PID" for segment in split(opened.text, opened.delimiters))
    return in_text == sum(line.name == b"PID" for line in lines_of(raw))


def _second_segment(raw: bytes) -> str:
    """The segment after MSH: an acknowledgement without MSH-9 is known by its MSA."""
    names = [line.name for line in lines_of(raw) if line.name]
    return names[1].decode("ascii") if len(names) > 1 else ""


def _put_back(screened: Screened, text: str) -> Screened:
    return Screened(Fate.REFUSED, screened.header, text, Refusal("reject", "207", text))


def _listed(kind: tuple[str, str], types: Sequence[str]) -> bool:
    return kind[0] in types or "^".join(kind) in types
