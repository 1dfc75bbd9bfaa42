"""FHIR R4, R4B and R5: what is kept of one Observation into patient and results, the same nouns as HL7 v2 gives.

Whether the resource is valid (``fhir_check``) and what it says (``fhir_values``) are two questions: of an invalid one
the faults are named and what can be read is read, so that a person who is asked sees it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from adapter.codecs.fhir_bundle import (
    Entry,
    Page,
    compose,
    compose_deletion,
    compose_patients,
    reduce_patient,
    reduced,
    split_bundle,
    split_file,
)
from adapter.codecs.fhir_check import RELEASES, check, release_of
from adapter.codecs.fhir_json import Fault, Tree, object_of, objects_of, read_tree, text_of
from adapter.codecs.fhir_values import codings, effective_times, read_fhir_time, specimen_type, units, value
from adapter.model import Coding, Patient, PatientIdentifier, Reported, ReportedValue

__all__ = [
    "RELEASES",
    "Document",
    "Entry",
    "Fault",
    "Page",
    "compose",
    "compose_deletion",
    "compose_patients",
    "read_document",
    "reduce_patient",
    "reduced",
    "release_of",
    "split_bundle",
    "split_file",
]

_ENTERED_IN_ERROR = "entered-in-error"
_MOST_DIGITS = 18  # of a version; what is longer counts nothing


@dataclass(frozen=True, slots=True)
class Document:
    """What is kept of one Observation, read. ``faults`` are in the order of the resources and their elements."""

    control_id: str
    patients: tuple[Patient, ...] = field(repr=False)
    reported: tuple[Reported, ...]
    faults: tuple[Fault, ...] = ()
    of_another: bool = False  # Observation.subject names somebody else than the Patient beside it
    replaced: bool = False  # Patient.link says replaced-by: the hospital has merged two patients
    deleted: bool = False  # the server has deleted the resource; the one report takes it back
    vanished: bool = False  # the server does not have it and does not say that it was deleted

    @property
    def patient(self) -> Patient | None:
        """The one patient, or None where there is none or several."""
        return self.patients[0] if len(self.patients) == 1 else None

    @property
    def code_is_in_doubt(self) -> bool:
        """Whether a fault lies where it is said what was measured, or nowhere in particular."""
        return any("." not in fault.place or ".code" in fault.place for fault in self.faults)


def read_document(raw: bytes, release: str | None = None) -> Document | Fault:
    """Read one Bundle that :func:`compose` or a sister of it made. No bytes raise.

    ``release`` is R4, R4B or R5; None asks the Bundle itself, and where that is silent R4 or R5 will do.
    """
    page = split_bundle(raw)
    if isinstance(page, Fault):
        return page
    release = release or release_of(page.release)
    patients = [(entry, read_tree(entry.raw.decode())) for entry in page.of_type("Patient")]
    read = tuple(_patient(tree) for _, tree in patients)
    replaced = any(_is_replaced(tree) for _, tree in patients if not isinstance(tree, Fault))
    observations = page.of_type("Observation")
    gone = next((e for e in page.entries if not e.raw and e.resource_type == "Observation"), None)
    if observations:
        found = _observation(observations[0], [e for e, _ in patients], page.of_type("Specimen"), release, read)
        several = (Fault("Bundle.entry", "it holds several Observations"),) if len(observations) > 1 else ()
        return replace(found, replaced=replaced, faults=found.faults + several)
    if gone is not None:
        return _gone(gone, read, replaced)
    if not patients:
        return Fault("Bundle.entry", "it holds neither an Observation nor a Patient")
    return Document(patients[0][0].control_id, read, (), replaced=replaced)


def _observation(
    entry: Entry, patients: Sequence[Entry], specimens: Sequence[Entry], release: str | None, read: tuple[Patient, ...]
) -> Document:
    place = f"Observation/{entry.id}" if entry.id else "Observation"
    tree = read_tree(entry.raw.decode())
    if isinstance(tree, Fault):
        return Document(entry.control_id, read, (), (Fault(place, tree.why),))
    faults, trees = list(check(tree, release, place)), list[Tree]()
    for each in specimens:
        specimen, where = read_tree(each.raw.decode()), f"Specimen/{each.id}"
        faults += [Fault(where, specimen.why)] if isinstance(specimen, Fault) else check(specimen, release, where)
        trees += [] if isinstance(specimen, Fault) else [specimen]
    reported = tuple(_reported(tree, entry, place, _specimens(tree, trees)))
    return Document(entry.control_id, read, reported, tuple(faults), of_another=not _is_of(tree, patients, read))


def _gone(entry: Entry, patients: tuple[Patient, ...], replaced: bool) -> Document:
    """A deletion is read as entered-in-error of the resource: it has no value, no code, no time."""
    if entry.method != "DELETE":
        return Document(entry.control_id, patients, (), replaced=replaced, vanished=True)
    locator = f"Observation/{entry.id}"
    report = Reported(
        locator=locator,
        codings=(),
        value=ReportedValue("", ""),
        status=_ENTERED_IN_ERROR,
        order_number=f"fhir:{locator}",
        message_at=read_fhir_time(entry.last_modified),
        version=_version(entry.version_id),
    )
    return Document(entry.control_id, patients, (report,), replaced=replaced, deleted=True)


def _reported(observation: Tree, entry: Entry, place: str, specimens: tuple[Coding, ...]) -> Iterator[Reported]:
    """The Observation itself unless it only groups others, then each component (R4 10.1.4.5)."""
    components = objects_of(observation, "component")
    name = place if entry.id else (entry.full_url and f"Observation/{entry.full_url}")
    itself = value(observation)
    groups = bool(components) or bool(objects_of(observation, "hasMember"))
    stated = [] if groups and itself.plain == "" else [(place, observation)]
    stated += [(f"{place}#component[{n}]", component) for n, component in enumerate(components, 1)]
    for locator, part in stated:
        yield Reported(
            locator=locator,
            codings=codings(object_of(part, "code")),
            value=itself if part is observation else value(part),
            units=units(part),
            status=text_of(observation, "status"),
            order_number=f"fhir:{name}{locator.removeprefix(place)}" if name else "",
            specimens=specimens,
            times=effective_times(observation),
            issued=read_fhir_time(observation.get("issued")),
            message_at=read_fhir_time(object_of(observation, "meta").get("lastUpdated")),
            version=_version(entry.version_id),
        )


def _specimens(observation: Tree, included: Sequence[Tree]) -> tuple[Coding, ...]:
    """The types of the Specimens beside the Observation or contained in it; else the reference's stated display."""
    stated = objects_of(observation, "specimen")
    inside = [
        each
        for each in objects_of(observation, "contained")
        if each.get("resourceType") == "Specimen"
        and any(text_of(s, "reference") == f"#{text_of(each, 'id')}" for s in stated)
    ]
    found = [kind for each in (*included, *inside) if (kind := specimen_type(each)) is not None]
    named = [Coding("", display) for each in stated if (display := text_of(each, "display"))]
    return tuple(found or named)


def _patient(tree: dict[str, Any] | Fault) -> Patient:
    """identifier, birthDate and gender of a Patient. A system is the authority; none means the source's own."""
    if isinstance(tree, Fault):
        return Patient(unreadable=True)
    stated = objects_of(tree, "identifier")
    found = [_identifier(each) for each in stated]
    readable = tuple(i for i in found if i.value)
    return Patient(readable, text_of(tree, "birthDate"), text_of(tree, "gender"), unreadable=len(readable) < len(found))


def _identifier(stated: Tree) -> PatientIdentifier:
    system = text_of(stated, "system")
    return PatientIdentifier(text_of(stated, "value"), (system,) if system else ())


def _is_replaced(patient: Tree) -> bool:
    return any(text_of(link, "type") == "replaced-by" for link in objects_of(patient, "link"))


def _is_of(observation: Tree, entries: Sequence[Entry], patients: Sequence[Patient]) -> bool:
    """Whether Observation.subject names the Patient beside it, by reference or by identifier."""
    subject = object_of(observation, "subject")
    if any(entry.is_named_by(text_of(subject, "reference")) for entry in entries):
        return True
    stated = _identifier(object_of(subject, "identifier"))
    return bool(stated.value) and any(stated in patient.identifiers for patient in patients)


def _version(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS else None
