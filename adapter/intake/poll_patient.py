"""Who a participant is on a FHIR server: the one Patient that carries an identifier of the roster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from adapter.codecs.fhir import Entry, Fault, Page, reduced, split_bundle
from adapter.codecs.fhir_json import object_of, objects_of, read_tree, text_of
from adapter.config_fhir import FhirIntake
from adapter.intake.fhir_client import FhirClient, FhirError, RawPage, Reply
from adapter.model import Participant


class PollStopped(Exception):
    """The program is ending; what was committed stays, and the rest is asked next time."""


class PatientMoved(Exception):
    """The patient of the remembered reference is no longer there, or no longer the participant's."""


@dataclass(slots=True)
class PollReport:
    """What a poll did.

    ``requests`` were answered, the retried and those for tokens apart; ``participants`` were asked whole; ``errors``
    are in words, and name nobody but by study id.
    """

    requests: int = 0
    participants: int = 0
    new: int = 0
    duplicates: int = 0
    strangers: int = 0
    not_found: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Asking:
    """The client of one poll; what it is asked is counted, and ends where the program does."""

    client: FhirClient
    base_url: str
    report: PollReport
    stop: Callable[[], bool]

    def pages(self, pages: Iterable[RawPage]) -> Iterator[RawPage]:
        """The pages of an answer, one by one."""
        for page in pages:
            self.report.requests += 1
            self.check_stop()
            yield page

    def read(self, reference: str) -> Reply:
        """One resource."""
        self.check_stop()
        reply = self.client.read(reference)
        self.report.requests += 1
        return reply

    def split(self, raw: RawPage, what: str) -> Page:
        """The entries of a page. Raises FhirError where it is none."""
        page = split_bundle(raw.body)
        if isinstance(page, Fault):
            cause = f"a page cannot be read ({page.text})"
            raise FhirError(f"{self.base_url}: {what}", cause, "ask those who run the server")
        return page

    def check_stop(self) -> None:
        """Raises :class:`PollStopped` where the program is ending."""
        if self.stop():
            raise PollStopped


def wanted_of(person: Participant, intake: FhirIntake) -> list[dict[str, str]]:
    """The participant's identifiers under the systems by which the server knows their authorities."""
    systems = intake.systems
    return [
        {"system": systems[i.authority], "value": i.value.strip()} for i in person.identifiers if i.authority in systems
    ]


def find_patients(asking: Asking, wanted: Iterable[Mapping[str, str]]) -> dict[str, Mapping[str, object]]:
    """The Patients that carry one of the identifiers, reduced, by reference (``Patient/12``).

    One that was merged into another of those found is that other one.
    """
    found: dict[str, Mapping[str, object]] = {}
    for identifier in wanted:
        for raw in asking.pages(asking.client.find_patients(identifier["system"], identifier["value"])):
            for entry in asking.split(raw, "search of Patient").of_type("Patient"):
                patient = _reduced(entry)
                if patient is not None and carries(patient, [identifier]):
                    found[f"Patient/{entry.id}"] = patient
                else:  # a server may pass over what it was asked
                    asking.report.strangers += 1
    return {name: p for name, p in found.items() if not replaced_by(p) & (found.keys() - {name})}


def names_identity(reference: str, person: Participant) -> bool:
    """Whether the id of a Patient is or holds an identifier of the participant, leading zeros apart."""
    numbers = [i.value.strip() for i in person.identifiers]
    return any((number.lstrip("0") or number) in reference.rpartition("/")[2] for number in numbers)


def read_patient(
    asking: Asking, reference: str, wanted: Sequence[Mapping[str, str]], *, by_search: bool
) -> Mapping[str, object]:
    """The Patient of a reference, reduced; ``by_search`` where no URL may hold the reference.

    Raises :class:`PatientMoved` where it is not the participant's any more.
    """
    if by_search:
        found = find_patients(asking, wanted)
        if list(found) != [reference] or replaced_by(found[reference]):
            raise PatientMoved
        return found[reference]
    reply = asking.read(reference)
    tree = read_tree(reply.body.decode("utf-8", "replace")) if reply.status == 200 else None
    if tree is None or isinstance(tree, Fault):
        raise PatientMoved
    patient = reduced(tree)
    if not carries(patient, wanted) or replaced_by(patient):
        raise PatientMoved
    return patient


def carries(patient: Mapping[str, object], wanted: Iterable[Mapping[str, str]]) -> bool:
    """Whether a Patient has one of the identifiers, system and value alike."""
    stated = objects_of(patient, "identifier")
    return any(each == one for each in stated for one in wanted)


def replaced_by(patient: Mapping[str, object]) -> set[str]:
    """The references of the patients into which this one was merged (Patient.link, R4 8.1.2)."""
    links = (x for x in objects_of(patient, "link") if text_of(x, "type") == "replaced-by")
    return {"/".join(text_of(object_of(x, "other"), "reference").split("/")[-2:]) for x in links}


def _reduced(entry: Entry) -> Mapping[str, object] | None:
    tree = read_tree(entry.raw.decode())
    return None if isinstance(tree, Fault) or not entry.id else reduced(tree)
