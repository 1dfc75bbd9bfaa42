"""One participant and one server: what is known of them there that is not stored yet, and what has vanished.

Nobody else is asked for, and what a server sends of somebody else all the same is not kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime

from adapter.codecs.fhir import Entry, Fault, compose, compose_deletion, compose_patients, split_file
from adapter.codecs.fhir_json import Tree, object_of, objects_of, read_tree, text_of
from adapter.config_fhir import FhirIntake
from adapter.intake.fhir_client import FhirError, RawPage, Reply
from adapter.intake.poll_keeper import Held, Keeper
from adapter.intake.poll_patient import (
    Asking,
    PatientMoved,
    find_patients,
    names_identity,
    read_patient,
    replaced_by,
    wanted_of,
)
from adapter.intake.poll_question import Parameters, Questions
from adapter.model import Participant
from adapter.store import PollState
from adapter.store.rows import utc_text

_DEEPEST_PANEL = 5
_NEVER = "9999"


@dataclass(frozen=True, slots=True)
class Occasion:
    """When and how much is asked. ``since``: everything dated from that day on, and nothing is noted of it."""

    now: datetime
    since: date | None = None
    sweep: bool = False


@dataclass(frozen=True, slots=True)
class Server:
    """What does not change from participant to participant. ``release`` is R4, R4B or R5."""

    intake: FhirIntake
    asking: Asking
    questions: Questions
    keeper: Keeper
    release: str
    has_history: bool


@dataclass(slots=True)
class Inquiry:
    """What one poll asks for one participant. ``question`` is its fingerprint, ``start`` the first day."""

    server: Server
    person: Participant
    question: str
    start: date
    occasion: Occasion
    _patient: str = ""
    _reduced: Mapping[str, object] | None = None
    _seen: set[str] = field(default_factory=set)
    _members: set[str] = field(default_factory=set)
    _specimens: list[Entry] = field(default_factory=list)
    _unread: set[str] = field(default_factory=set)
    _is_whole: bool = True  # nothing was refused that has to be asked for again
    _held: Held | None = None

    def ask(self) -> None:
        """Ask, store, and note how far it went. Raises FhirError; what was committed by then stays."""
        state = self._state()
        try:
            self._ask(state)
        except PatientMoved:
            self._reduced, self._held = None, None
            self._ask(None)

    def _state(self) -> PollState | None:
        """What is remembered, unless another question was asked then or one from a later day on."""
        known = self.server.keeper.state(self.person.study_id)
        if known is None or known.question != self.question or known.patient is None:
            return None
        if self.occasion.since is None and (known.asked_from or _NEVER) > self.start.isoformat():
            return None
        return known

    def _ask(self, state: PollState | None) -> None:
        swept_at = None if state is None else state.last_sweep_at
        sweep = self.occasion.sweep or self._sweep_is_due(swept_at)
        whole = sweep or self.occasion.since is not None
        found = self._find() if whole or state is None else state.patient
        if found is None:
            return
        self._patient = found
        watermark = self._observations(None if whole else state, compare=whole)
        self._panels(compare=whole)
        if self.occasion.since is not None:
            return
        if sweep:
            self._look_for_vanished()
        if self._is_whole:
            self.server.keeper.note(self.person.study_id, self._next_state(state, watermark, sweep=sweep))

    def _sweep_is_due(self, swept_at: str | None) -> bool:
        """Once in each interval, everybody at a moment of their own, so that they are never due all at once."""
        if swept_at is None:
            return True
        seconds = self.server.intake.sweep_every_seconds
        digest = hashlib.sha256(self.person.study_id.encode()).digest()
        own_moment = int.from_bytes(digest[:8], "big") % seconds

        def interval_of(at: datetime) -> int:
            return (int(at.timestamp()) - own_moment) // seconds

        return interval_of(self.occasion.now) > interval_of(datetime.fromisoformat(swept_at))

    def _next_state(self, state: PollState | None, watermark: datetime | None, *, sweep: bool) -> PollState:
        known = state if state is not None and state.patient == self._patient else PollState(self.question)
        marks = [known.watermark, None if watermark is None else utc_text(watermark)]
        return replace(
            known,
            patient=self._patient,
            asked_from=min(known.asked_from or _NEVER, self.start.isoformat()),
            watermark=max((mark for mark in marks if mark is not None), default=None),
            last_sweep_at=utc_text(self.occasion.now) if sweep else known.last_sweep_at,
        )

    # --- who it is ----------------------------------------------------------------------------------------------

    def _find(self) -> str | None:
        """The reference of the one Patient that carries the participant's identifiers.

        Several, or one that was merged into another, are kept as a question; nothing is asked until it is settled.
        """
        asking = self.server.asking
        found = find_patients(asking, wanted_of(self.person, self.server.intake))
        if not found:
            asking.report.not_found.append(self.person.study_id)
            return None
        name, patient = next(iter(found.items()))
        if len(found) > 1 or replaced_by(patient):
            self._keep([compose_patients([found[each] for each in sorted(found)])])
            return None
        self._reduced = patient
        return name

    def _who(self) -> Mapping[str, object]:
        """The participant's Patient, reduced; read only when something new is to be kept with it."""
        if self._reduced is None:
            wanted = wanted_of(self.person, self.server.intake)
            hidden = names_identity(self._patient, self.person)
            self._reduced = read_patient(self.server.asking, self._patient, wanted, by_search=hidden)
        return self._reduced

    # --- what is known of them ----------------------------------------------------------------------------------

    def _observations(self, state: PollState | None, *, compare: bool) -> datetime | None:
        """Store what is new, page by page; up to when the server's updates are stored then, None if it does not say.

        ``compare``: also what is held under the same version is looked at again, for its Patient may have changed.
        """
        latest: datetime | None = None
        answered_at: datetime | None = None
        told = set[str]()  # what both questions find, or two pages of a server whose results move meanwhile
        for number, (asked, raw) in enumerate(self._answers(state)):
            page = self.server.asking.split(raw, "search of Observation")
            answered_at = raw.server_date if number == 0 else answered_at
            self._specimens += page.of_type("Specimen")
            documents = list[bytes]()
            for entry in page.of_type("Observation"):
                updated_at = _instant(entry.last_updated)
                latest = max((at for at in (latest, updated_at) if at is not None), default=None)
                if entry.id and entry.control_id in told:
                    continue
                told.add(entry.control_id)
                self._seen.add(f"Observation/{entry.id}")
                documents += self._documents(entry, asked, compare=compare)
            self._keep(documents)
        if latest is None:
            return answered_at if state is None else None
        # What was updated while the pages came is asked for once more.
        return min(latest, answered_at or self.occasion.now)

    def _answers(self, state: PollState | None) -> Iterator[tuple[Parameters, RawPage]]:
        """The pages of what is new, each with its question; where there is no state, of all there is, dated or not.

        Assessments come after the results where they need a question of their own.
        """
        for undated in (False, True) if state is None else (False,):
            yield from self._answered(state, undated=undated)
            if self.server.questions.leave_assessments:
                yield from self._answered(state, undated=undated, assessments=True)

    def _answered(
        self, state: PollState | None, *, undated: bool, assessments: bool = False
    ) -> Iterator[tuple[Parameters, RawPage]]:
        """The pages that answer one question, put in such words as the server understands."""
        asking, questions = self.server.asking, self.server.questions
        by_post = names_identity(self._patient, self.person)
        while True:
            asked = questions.about(self._patient, self.start, state, undated=undated, assessments=assessments)
            try:
                pages = asking.pages(asking.client.observations(asked, by_post=by_post))
                first = next(pages, None)
            except FhirError as error:
                if not questions.leave_out(error, asked):
                    raise
                continue
            if first is not None:
                yield asked, first
            yield from ((asked, page) for page in pages)
            return

    def _documents(self, entry: Entry, asked: Parameters | None, *, compare: bool) -> Iterator[bytes]:
        """What is to be kept of an Observation: nothing where it is held, somebody else's or not what was asked."""
        tree = read_tree(entry.raw.decode())
        known: Tree = {} if isinstance(tree, Fault) else tree
        report = self.server.asking.report
        if self._is_of_another(known):
            report.strangers += 1
            return
        is_wanted = asked is None or self.server.questions.asks_for(known, asked, self.start)
        if not is_wanted and f"Observation/{entry.id}" not in self._already().versions:
            return  # a version of what is held is wanted, whatever it has become
        self._members |= set(_references(known, "hasMember", "Observation"))
        if not compare and entry.version_id and entry.control_id in self._already().control_ids:
            report.duplicates += 1
            return
        specimens = [raw for name in _references(known, "specimen", "Specimen") for raw in self._specimen(name)]
        composed = compose(self._who(), entry.raw, specimens, release=self.server.release)
        if self._already().holds(composed):
            report.duplicates += 1
        else:
            yield composed

    def _is_of_another(self, observation: Tree) -> bool:
        """Whether the subject is another resource of the server; what is said otherwise is for the screen to judge."""
        subject = text_of(object_of(observation, "subject"), "reference").partition("/_history/")[0]
        named = "/".join(subject.split("/")[-2:])
        return bool(subject) and named != self._patient and not subject.startswith(("urn:", "#"))

    def _specimen(self, name: str) -> Iterator[bytes]:
        """The Specimen of a reference: from the page, else read; one that may not be read is as if not stated."""
        found = next((each for each in self._specimens if each.is_named_by(name)), None)
        if found is None and name not in self._unread:
            try:
                reply = self.server.asking.read(name)
            except FhirError as error:
                if error.status != 403:
                    raise
                self.server.questions.may_not_read("Specimen", error)
                reply = None
            found = None if reply is None else _only(reply.body, "Specimen")
            if found is None:
                self._unread.add(name)
            else:
                self._specimens.append(found)
        if found is not None:
            yield found.raw

    def _panels(self, *, compare: bool) -> None:
        """Members of panels that the search did not give: they are results of their own, and may lack a category.

        ``compare``: those that are held are read again too.
        """
        for _ in range(_DEEPEST_PANEL):
            left = {name for name in self._members - self._seen if compare or name not in self._already().versions}
            self._members = set()
            if not left:
                return
            for name in sorted(left):
                reply, before = self._look_at(name), self.server.asking.report.strangers
                entry = None if reply is None else _only(reply.body, "Observation")
                documents = [] if entry is None else list(self._documents(entry, None, compare=True))
                if entry is not None and self.server.asking.report.strangers == before:
                    self._seen.add(name)
                self._keep(documents)

    def _look_for_vanished(self) -> None:
        """What stands here and was not in the answer: taken back where the server says that it deleted it.

        What is only not there any more, or has become somebody else's, is a question to a person.
        """
        asking = self.server.asking
        for name in sorted(self.server.keeper.standing(self.person.study_id) - self._seen):
            reply = self._look_at(name)
            if reply is None:
                continue
            before = asking.report.strangers
            entry = _only(reply.body, "Observation") if reply.status == 200 else None
            documents = [] if entry is None else list(self._documents(entry, None, compare=True))
            if reply.status != 200 or asking.report.strangers > before:
                documents = [self._gone(name, reply.status, reply.last_modified)]
            self._keep([each for each in documents if not self._already().holds(each)])

    def _gone(self, name: str, status: int, modified_at: datetime | None) -> bytes:
        if status != 410:
            return compose_deletion(self._who(), name, status="404")
        asking = self.server.asking
        modified = "" if modified_at is None else modified_at.astimezone(UTC).isoformat()
        for raw in asking.pages(asking.client.history(name)) if self.server.has_history else ():
            page = asking.split(raw, "history of Observation")
            deletion = next((e for e in page.entries if e.method == "DELETE" and name == f"Observation/{e.id}"), None)
            if deletion is not None:
                modified = deletion.last_modified or modified
                return compose_deletion(self._who(), name, modified, version_id=deletion.version_id)
        # It is at least the version that is held that was deleted; one that is made anew has a higher one.
        numbers = [int(each) for each in self._already().versions.get(name, ()) if each.isdigit()]
        last = str(max(numbers)) if numbers else ""
        return compose_deletion(self._who(), name, modified, version_id=last)

    # --- reading and keeping ------------------------------------------------------------------------------------

    def _look_at(self, name: str) -> Reply | None:
        """One Observation; None where the server refuses it, which does not keep the others from being looked at."""
        try:
            return self.server.asking.read(name)
        except FhirError as error:
            if error.transient or error.status == 401:
                raise
            self.server.asking.report.errors.append(f"{self.person.study_id}: {error}")
            self._is_whole = False
            return None

    def _already(self) -> Held:
        """What is held, as it was before this participant was asked for."""
        if self._held is None:
            self._held = self.server.keeper.held(self.person.study_id)
        return self._held

    def _keep(self, documents: list[bytes]) -> None:
        kept = self.server.keeper.keep(documents)
        report = self.server.asking.report
        report.new += kept.new
        report.duplicates += kept.duplicates
        report.strangers += kept.strangers


def _instant(text: str) -> datetime | None:
    """An instant (R4 2.24.0.1); None where it is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.utcoffset() is not None else None


def _references(resource: Tree, element: str, resource_type: str) -> list[str]:
    """What an element refers to on a server: ``Specimen/3``, whatever stands before and behind it."""
    stated = [text_of(each, "reference").partition("/_history/")[0] for each in objects_of(resource, element)]
    named = ["/".join(each.split("/")[-2:]) for each in stated]
    return [each for each in named if each.startswith(f"{resource_type}/")]


def _only(body: bytes, resource_type: str) -> Entry | None:
    found = [each for each in split_file(body) if isinstance(each, Entry) and each.resource_type == resource_type]
    return found[0] if len(found) == 1 else None
