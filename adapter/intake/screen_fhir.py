"""What may be kept of FHIR: every resource is held against the roster before anything of it touches the disk.

A file is taken apart here and each Observation joined with its Patient and its Specimens; a poller, which knows whom
it asked for, brings them together itself. Both then come through :meth:`FhirScreen.judge`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from adapter.codecs.fhir import (
    Document,
    Entry,
    Fault,
    compose,
    compose_deletion,
    compose_patients,
    read_document,
    reduced,
    split_file,
)
from adapter.codecs.fhir_json import Tree, object_of, objects_of, read_tree, text_of
from adapter.intake.screen import Fate
from adapter.model import SourceRules
from adapter.rules.derive import after_end
from adapter.rules.match import Match, Roster
from adapter.rules.windows import collection_time
from adapter.store.records import UNASSIGNED, Added, NewMessage

_NOT_A_PATIENT = ("Group", "Device", "Location", "Organization", "Procedure", "Practitioner", "Medication", "Substance")


@dataclass(frozen=True, slots=True)
class ResourceHeader:
    """What a resource is called, in the place where HL7 v2 has its header."""

    message_type: str  # Observation
    message_control_id: str  # Observation/77/_history/3
    trigger_event: str = ""


@dataclass(frozen=True, slots=True)
class ScreenedResource:
    """One resource at the door. ``kept`` is the Bundle that may be stored, ``scopes`` whose it is."""

    fate: Fate
    header: ResourceHeader | None
    detail: str
    nobody: bool = False
    kept: bytes = field(default=b"", repr=False)
    scopes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        """Of the kept bytes."""
        return hashlib.sha256(self.kept).hexdigest()


def looks_like_fhir(content: bytes) -> bool:
    """Whether a file is JSON (or FHIR's XML) rather than HL7 v2, by its first character."""
    return content[:4096].removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[", b"<")


def new_resource(source: str, screened: ScreenedResource, at: datetime) -> NewMessage:
    """What is stored of an accepted resource."""
    assert screened.header is not None
    return NewMessage(
        source=source,
        kind="fhir",
        message_control_id=screened.header.message_control_id,
        raw=screened.kept,
        sha256=screened.sha256,
        received_at=at,
        study_ids=screened.scopes,
        notes=screened.notes,
    )


def resource_told(screened: ScreenedResource, added: Added) -> ScreenedResource:
    """A resource as the store knows it: new, or a version it holds already."""
    if added.duplicate:
        return replace(screened, fate=Fate.DUPLICATE, detail="this version is already held; nothing changes")
    if added.same_control_id_other_content:
        return replace(screened, detail="kept; what is held under the same version has other content")
    return screened


@dataclass(frozen=True, slots=True)
class FhirScreen:
    """One source's door for FHIR: its rules, the roster of the moment, the trial's time zone."""

    source: SourceRules
    roster: Roster
    timezone: str
    as_participant: str | None = None  # explain: takes every patient for this one

    def look(self, content: bytes, received_at: datetime) -> list[ScreenedResource]:
        """Every resource of a file: a Bundle, a resource alone, or NDJSON, in the order they stand there."""
        if content.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"<":
            return [_unreadable("FHIR is read as JSON, and this is XML")]
        found = split_file(content)
        if not found:
            return [_unreadable("the file holds no resource")]
        together = _Together([each for each in found if isinstance(each, Entry)])
        return [
            _unreadable(each.text) if isinstance(each, Fault) else self._entry(each, together, received_at)
            for each in found
        ]

    def judge(self, kept: bytes, received_at: datetime) -> ScreenedResource:
        """One Bundle as :func:`~adapter.codecs.fhir.compose` makes it: whose it is, and whether it may be kept."""
        document = read_document(kept)
        if isinstance(document, Fault):
            return _unreadable(document.text)
        kind = "Patient" if document.control_id.startswith("Patient/") else "Observation"
        header = ResourceHeader(kind, document.control_id)
        if self.as_participant is not None:
            return ScreenedResource(Fate.ACCEPTED, header, "kept", kept=kept, scopes=(self.as_participant,))
        if document.of_another:
            return ScreenedResource(Fate.STRANGER, header, "its subject is not the patient it was asked for")
        matches = [self.roster.match(patient, self.source) for patient in document.patients]
        study_ids = tuple(sorted({s for m in matches for s in m.study_ids}))
        if not study_ids:
            return _nobodys(header, document, matches)
        if self._is_after_withdrawal(document, study_ids, received_at):
            return _stranger(header)
        several = any(len(m.study_ids) > 1 for m in matches)
        scopes = (*study_ids, UNASSIGNED) if several else study_ids
        return ScreenedResource(Fate.ACCEPTED, header, "kept", kept=kept, scopes=scopes)

    def _is_after_withdrawal(self, document: Document, study_ids: Sequence[str], received_at: datetime) -> bool:
        """A withdrawn participant's results from that date on are a stranger's, undated ones too."""
        people = [self.roster.participants[s] for s in study_ids]
        if any(p.ended_by != "withdrawn" for p in people):
            return False
        zone = ZoneInfo(self.timezone)
        dates = [collection_time(r, self.source, zone, received_at).collected for r in document.reported]
        return all(after_end(on, p) for on in dates or [None] for p in people)

    def _entry(self, entry: Entry, together: _Together, received_at: datetime) -> ScreenedResource:
        header = ResourceHeader(entry.resource_type, entry.control_id)
        if entry.resource_type == "Patient" and entry.raw:
            return self._patient(entry, header, together, received_at)
        if entry.resource_type != "Observation":
            return ScreenedResource(Fate.IGNORED, header, f"{_called(entry)} holds no result that is read here")
        if not entry.raw and not (entry.method == "DELETE" and entry.status):  # asked for, not done
            return ScreenedResource(Fate.IGNORED, header, "An entry without a resource")
        patient = together.patient_of(entry)
        if patient is None and self.as_participant is not None:
            patient = Subject({"resourceType": "Patient"})
        if patient is None:
            return ScreenedResource(*together.why_nobody(entry, header), nobody=True)
        if not entry.raw:
            kept = compose_deletion(
                patient.reduced,
                f"Observation/{entry.id}",
                entry.last_modified,
                version_id=entry.version_id,
            )
        else:
            kept = compose(
                patient.reduced,
                entry.raw,
                together.specimens_of(entry),
                patient_url=patient.full_url,
                observation_url="" if entry.id else entry.full_url,
            )
        return replace(self.judge(kept, received_at), header=header)

    def _patient(
        self, entry: Entry, header: ResourceHeader, together: _Together, received_at: datetime
    ) -> ScreenedResource:
        """A Patient is read with its Observations; one that the hospital has merged into another is a question."""
        read = Fate.IGNORED, header, "read with the Observations that name it"
        patient = together.subject(entry)
        links = patient.reduced.get("link") if patient is not None else None
        if patient is None or not any(text_of(x, "type") == "replaced-by" for x in objects_of({"link": links}, "link")):
            return ScreenedResource(*read)
        judged = self.judge(compose_patients([patient.reduced]), received_at)
        return replace(judged, header=header) if judged.fate == Fate.ACCEPTED else ScreenedResource(*read)


@dataclass(frozen=True, slots=True)
class Subject:
    """A Patient, reduced, and the ``fullUrl`` it may be named by."""

    reduced: Mapping[str, object] = field(repr=False)
    full_url: str = ""


class _Together:
    """The resources of one file, by what they are named by."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._by_name: dict[str, Entry] = {}
        self._trees: dict[int, Tree] = {}
        self._faults: dict[int, Fault] = {}
        for entry in entries:
            if entry.raw and entry.resource_type in ("Patient", "Specimen", "Observation"):
                names = [f"{entry.resource_type}/{entry.id}", f"urn:uuid:{entry.id}"] if entry.id else []
                for name in (*names, entry.full_url):
                    self._by_name.setdefault(name, entry)

    def patient_of(self, entry: Entry) -> Subject | None:
        """The Patient of an Observation: in the same file, contained in it, or its identifier alone."""
        if not entry.raw:  # a deletion names no patient; another version of the resource in the file does
            other = self._by_name.get(f"Observation/{entry.id}")
            return self.patient_of(other) if other is not None else None
        tree = self._tree(entry)
        subject = object_of(tree, "subject")
        reference = text_of(subject, "reference")
        named = self._named(entry, reference, "Patient")
        if named is not None:
            return self.subject(named)
        for inside in objects_of(tree, "contained"):
            if inside.get("resourceType") == "Patient" and reference == f"#{text_of(inside, 'id')}":
                return Subject(reduced(inside))
        stated = object_of(subject, "identifier")
        if not text_of(stated, "value"):
            return None
        return Subject(reduced({"identifier": [stated], "id": _patient_id(reference)}))

    def subject(self, entry: Entry) -> Subject | None:
        """A Patient of the file, reduced; None where its JSON cannot be read."""
        tree = self._tree(entry)
        return Subject(reduced(tree), entry.full_url) if tree else None

    def specimens_of(self, entry: Entry) -> list[bytes]:
        """The Specimens of the file that an Observation names."""
        named = objects_of(self._tree(entry), "specimen")
        found = [self._named(entry, text_of(each, "reference"), "Specimen") for each in named]
        return [each.raw for each in found if each is not None]

    def why_nobody(self, entry: Entry, header: ResourceHeader) -> tuple[Fate, ResourceHeader, str]:
        """An Observation about a device or a group is none of ours; one whose patient is not here is nobody's."""
        if not entry.raw:
            return Fate.REFUSED, header, "The file does not say whose the deleted Observation was"
        if (fault := self._faults.get(id(entry))) is not None:
            return Fate.UNREADABLE, header, f"{entry.resource_type}/{entry.id}: {fault.why}"
        subject = object_of(self._tree(entry), "subject")
        kind = (text_of(subject, "type") or text_of(subject, "reference").split("/")[-2:][0]) if subject else ""
        if kind in _NOT_A_PATIENT:
            return Fate.IGNORED, header, "Observation.subject is no patient"
        if text_of(subject, "reference"):
            return (
                Fate.REFUSED,
                header,
                "Observation.subject names no Patient that can be read in this file",
            )
        return Fate.REFUSED, header, "Observation.subject names no patient"

    def _named(self, entry: Entry, reference: str, resource_type: str) -> Entry | None:
        """The resource that a reference within ``entry`` names (R4 2.36.4.1): an id counts on its own server alone."""
        bare = reference.partition("/_history/")[0]
        own = f"{entry.resource_type}/{entry.id}"
        base = entry.full_url.removesuffix(own) if entry.id and entry.full_url.endswith(own) else ""
        found = self._by_name.get(bare if ":" in bare else base + bare) or self._by_name.get(bare)
        if found is None and ":" in bare:
            found = self._by_name.get("/".join(bare.split("/")[-2:]))
            found = None if found is not None and "://" in found.full_url else found
        return found if bare and found is not None and found.resource_type == resource_type else None

    def _tree(self, entry: Entry) -> Tree:
        """What can be read of a resource; of one that cannot, nothing."""
        if id(entry) not in self._trees:
            tree = read_tree(entry.raw.decode())
            if isinstance(tree, Fault):
                self._faults[id(entry)], tree = tree, {}
            self._trees[id(entry)] = tree
        return self._trees[id(entry)]


def _nobodys(header: ResourceHeader, document: Document, matches: Sequence[Match]) -> ScreenedResource:
    if document.patients and not any(m.nobody for m in matches):
        return _stranger(header)
    text = "Patient.identifier holds nothing that can be read" if document.patients else "There is no Patient"
    return ScreenedResource(Fate.REFUSED, header, text, nobody=True)


def _stranger(header: ResourceHeader) -> ScreenedResource:
    return ScreenedResource(Fate.STRANGER, header, "no participant's: nothing of it is kept")


def _unreadable(text: str) -> ScreenedResource:
    return ScreenedResource(Fate.UNREADABLE, None, text)


def _called(entry: Entry) -> str:
    return f"A resource of type {entry.resource_type}" if entry.resource_type else "An entry without a resource"


def _patient_id(reference: str) -> str:
    parts = reference.partition("/_history/")[0].split("/")
    return parts[-1] if len(parts) > 1 and parts[-2] == "Patient" else ""
