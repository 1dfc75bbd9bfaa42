"""Where the pure rooms meet what is stored: a message of the inbox becomes what the rules speak of.

``read_message`` is the way of one message up to the rules, ``derive_scope`` the way of one participant through them.
Both are functions of their arguments; daemon, replay and explain all come through here.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from zoneinfo import ZoneInfo

from adapter.codecs.fhir import Document, Fault, read_document
from adapter.codecs.header import HeaderFault
from adapter.codecs.message import open_message
from adapter.codecs.oru import PatientResults, read_results
from adapter.intake.screen import MERGES
from adapter.model import Assessment, Decision, Derived, Participant, Protocol, Reason, Received, SourceRules
from adapter.rules.codes import LOINC, CodeMap, decided_rows, suggest
from adapter.rules.decided import in_force, readings
from adapter.rules.derive import ReadMessage, derive
from adapter.rules.interpret import Context, Interpreted, Origin, interpret
from adapter.rules.match import Roster, contradiction
from adapter.rules.queue import Dismissals, UnmappedCode, unmapped_items
from adapter.store import UNASSIGNED, Snapshot, Store, Token, Transaction, Unmapped

log = logging.getLogger(__name__)

_SCOPES_AT_A_TIME = 16
_FHIR_FIELDS = {"PID-7": "Patient.birthDate", "PID-8": "Patient.gender"}  # what HL7 v2 calls them
_VANISHED = "the server no longer has it, and does not say that it was deleted"


@dataclass(frozen=True, slots=True)
class Rulebook:
    """Protocol and sources under the name (``ruleset``) that each value is stored with."""

    protocol: Protocol
    sources: Mapping[str, SourceRules]
    ruleset: str
    body: str = "{}"  # the JSON that the name is a hash of

    def contexts(self, decisions: Iterable[Decision]) -> Mapping[str, Context]:
        """What reading each source's results needs, people's decisions on codes included."""
        made, decided = in_force(decisions), list[Mapping[str, str]]()
        for decision in made:
            if decision.kind in ("map_code", "dismiss_code"):
                decided.append({**decision.body, "row": f"decision {decision.id}"})
        return {
            name: Context(
                self.protocol, source, CodeMap(source.codes, decided_rows(decided, name)), readings(made, name)
            )
            for name, source in self.sources.items()
        }


def derive_scope(
    scope: str,
    messages: Sequence[Received],
    roster: Roster,
    book: Rulebook,
    decisions: Sequence[Decision],
    today: date,
    *,
    assessments: Sequence[Assessment] = (),
    forced: frozenset[int] = frozenset(),
) -> Derived:
    """All rows of one scope: a participant, or ``@`` for the messages that name several.

    The messages (by id) of ``forced`` are taken for the scope's participant, whoever they name.
    """
    contexts = book.contexts(decisions)
    read = [read_message(m, scope, roster, contexts, forced=m.id in forced) for m in messages]
    return _rows(scope, read, roster, book, decisions, today, assessments)


def derive_snapshot(snapshot: Snapshot, roster: Roster, book: Rulebook, today: date) -> Derived:
    """All rows of a snapshot's scope, by the roster given."""
    scope, decisions = snapshot.token.scope, snapshot.decisions
    assessments = snapshot.assessments
    return derive_scope(scope, snapshot.messages, roster, book, decisions, today, assessments=assessments)


def ask_about_codes(tx: Transaction, book: Rulebook, who: str, at: datetime) -> None:
    """Questions about a source's codes are of all participants together."""
    items = unmapped_items(book.protocol.trial, [_unmapped(each, book.protocol) for each in tx.unmapped()])
    dismissals = Dismissals.of(in_force(tx.decisions()))
    tx.apply_trial_items([item for item in items if not dismissals.covers(item)], book.ruleset, who, at)


def _rows(
    scope: str,
    read: Sequence[ReadMessage],
    roster: Roster,
    book: Rulebook,
    decisions: Sequence[Decision],
    today: date,
    assessments: Sequence[Assessment],
) -> Derived:
    participant = roster.participants.get(scope)
    derived = derive(participant, read, book.protocol, decisions, today, book.ruleset, assessments)
    return replace(derived, study_id=scope)


def read_message(
    received: Received, scope: str, roster: Roster, contexts: Mapping[str, Context], *, forced: bool = False
) -> ReadMessage:
    """One message as it concerns one scope. ``forced`` takes its patient for the scope's participant, unasked.

    A message that makes the program itself fail is set aside with its reason, and the others go on.
    """
    origin = Origin(received.id, received.source, received.message_control_id, received.sha256, received.received_at)
    try:
        return _read(received, origin, scope, roster, contexts, forced)
    except Exception as error:  # the one place where a defect of ours must not stop everybody else's messages
        log.error("message %d could not be read: %s in the reader", received.id, type(error).__name__)
        return ReadMessage(origin, asked=Reason.UNREADABLE_MESSAGE, facts={"why": "the reader failed"}, failed=True)


def _read(
    received: Received, origin: Origin, scope: str, roster: Roster, contexts: Mapping[str, Context], forced: bool
) -> ReadMessage:
    context = contexts.get(received.source)
    if context is None:
        why = f"source {received.source} is no longer in the configuration"
        return ReadMessage(origin, asked=Reason.UNREADABLE_MESSAGE, facts={"why": why})
    if not received.raw or origin.sha256 in context.readings.refused:
        return ReadMessage(origin)  # it is another person's, its bytes were erased, and the trail says so
    reading = _Reading(origin, scope, received.study_ids, roster, context, forced)
    if received.kind == "fhir":
        document = read_document(received.raw)
        if isinstance(document, Fault):
            return ReadMessage(origin, asked=Reason.UNREADABLE_MESSAGE, facts={"why": document.text})
        return reading.of_document(document)
    opened = open_message(received.raw, context.source.charset)
    if isinstance(opened, HeaderFault):
        return ReadMessage(origin, asked=Reason.UNREADABLE_MESSAGE, facts={"why": opened.text})
    if (opened.header.message_type, opened.header.trigger_event) in MERGES:
        if origin.sha256 in context.readings.answered:
            return ReadMessage(origin)
        return ReadMessage(origin, asked=Reason.IDENTITY_MERGE)
    groups = read_results(
        opened.text,
        opened.delimiters,
        opened.header.trigger_event,
        opened.header.message_at,
        context.source.identifier_fields,
    )
    return reading.of(groups, opened.fault)


@dataclass(frozen=True, slots=True)
class _Reading:
    """The groups of one message, judged for one scope."""

    origin: Origin
    scope: str
    study_ids: tuple[str, ...]  # whose the message was when it was kept
    roster: Roster
    context: Context
    forced: bool

    def of(self, groups: Sequence[PatientResults], fault: str | None, contradicted: str | None = None) -> ReadMessage:
        """``fault`` is why the message is not to be believed, ``contradicted`` the field that names another person."""
        matched = [(g, self._match(g)) for g in groups]
        several = [g for g, ids in matched if len(ids) > 1 and self.scope in (*ids, UNASSIGNED)]
        if self.scope == UNASSIGNED:
            return self._of_several(several)
        shadows = self._results(several, Reason.IDENTITY_CONFLICT, "")
        mine = [g for g, ids in matched if ids == (self.scope,)]
        if not mine and not several:  # the roster has changed since it was kept: it names this participant no longer
            rest = [g for g, ids in matched if not set(ids) & set(self.study_ids)]
            facts = {"rule": "message_names_nobody"}
            return self._asked(rest, Reason.IDENTITY_CONFLICT, facts) if rest else ReadMessage(self.origin)
        participant = self.roster.participants[self.scope]
        fields = [f for g in mine if (f := self._contradicts(participant, g) or contradicted)]
        if fields and not self.forced and not self._confirmed:
            return self._asked(mine, Reason.IDENTITY_CONFLICT, {"field": fields[0]}, shadows)
        if mine and fault is not None:
            return self._asked(mine, Reason.UNREADABLE_MESSAGE, {"why": fault}, shadows)
        return ReadMessage(self.origin, self._results(mine, None, self.scope), shadows=shadows)

    @property
    def _confirmed(self) -> bool:
        """Whether a person said that this message is this participant's."""
        return self.context.readings.identities.get(self.origin.sha256) == self.scope

    def _match(self, group: PatientResults) -> tuple[str, ...]:
        if self.forced:
            return (self.scope,)
        found = self.roster.match(group.patient, self.context.source).study_ids
        said = self.context.readings.identities.get(self.origin.sha256)
        return (said,) if said is not None and (said in found or not found) else found

    def _asked(
        self,
        groups: Sequence[PatientResults],
        reason: Reason,
        facts: Mapping[str, str],
        shadows: tuple[Interpreted, ...] = (),
    ) -> ReadMessage:
        """The whole message is in question; its results are held until it is answered."""
        results = self._results(groups, reason, self.scope)
        return ReadMessage(self.origin, results, reason, facts, shadows)

    def of_document(self, document: Document) -> ReadMessage:
        """What is kept of one FHIR resource, judged for this scope."""
        # Several Patients of the server for one participant: the first carries the results, each is matched.
        results = [document.reported, *(() for _ in document.patients[1:])]
        groups = [PatientResults(p, r) for p, r in zip(document.patients or (None,), results, strict=True)]
        contradicted = None
        if len(document.patients) > 1:
            contradicted = "Patient.identifier, which several patients of the server carry"
        elif document.of_another:
            contradicted = "Observation.subject"
        read = self.of(groups, self._fault_of(document), contradicted)
        if read.asked is not None:
            facts = {name: _FHIR_FIELDS.get(fact, fact) for name, fact in (read.facts or {}).items()}
            return replace(read, facts=facts)
        answered = self.origin.sha256 in self.context.readings.answered
        if document.replaced and not document.reported and not self.forced and not answered:
            return ReadMessage(self.origin, asked=Reason.IDENTITY_MERGE)
        if document.deleted:  # it says which resource is gone, and nothing of what that resource said
            gone = [replace(r, kind="takes_back", reason=None, rule="takes_back", steps=()) for r in read.results]
            return replace(read, results=tuple(gone))
        return read

    def _fault_of(self, document: Document) -> str | None:
        """Why a resource is not to be believed; nothing of one that is no endpoint's whatever else is wrong with it."""
        if document.vanished:
            return f"{document.control_id}: {_VANISHED}"
        if not document.faults:
            return None
        results = self._results([PatientResults(None, document.reported)], None, "")
        if results and not document.code_is_in_doubt and all(r.kind == "ignored" for r in results):
            return None
        return document.faults[0].text

    def _of_several(self, groups: Sequence[PatientResults]) -> ReadMessage:
        """The groups that name several participants; by today's roster there may be none left."""
        if not groups:
            return ReadMessage(self.origin)
        facts = {"rule": "message_names_several"}
        results = self._results(groups, Reason.IDENTITY_CONFLICT, "")
        return ReadMessage(self.origin, results, Reason.IDENTITY_CONFLICT, facts)

    def _results(
        self, groups: Sequence[PatientResults], trouble: Reason | None, study_id: str
    ) -> tuple[Interpreted, ...]:
        origin = self.origin if trouble is None else replace(self.origin, trouble=trouble)
        return tuple(interpret(r, origin, study_id, self.context) for g in groups for r in g.results)

    def _contradicts(self, participant: Participant, group: PatientResults) -> str | None:
        return contradiction(participant, group.patient) if group.patient is not None else None


class Settler:
    """Brings what is derived up to what was received: participant by participant, message by message.

    One for each thread that derives; it keeps what it has read, as long as roster, rules and decisions stay the same.
    """

    _MOST_KEPT = 20_000

    def __init__(self, store: Store, now: Callable[[], datetime], who: str) -> None:
        self._store = store
        self._now = now
        self._who = who
        self._known: object = None
        self._read: dict[tuple[str, int], ReadMessage] = {}
        self.stuck: dict[str, Token] = {}  # scopes that a defect of ours keeps from being derived, until they change

    def settle(self, book: Rulebook, *, stop: Callable[[], bool] = lambda: False) -> int:
        """Derive every scope that is not up to date, until none is left or ``stop`` says so; how many steps it took.

        ``stop`` is asked before each step, and may take its time: whoever is to go first goes then.
        Raises StoreUnavailable; what was committed by then stays.
        """
        steps = 0
        self.adopt(book)
        while not stop():
            today = self._today(book)
            scopes = self._store.dirty(book.ruleset, today, limit=_SCOPES_AT_A_TIME + len(self.stuck))
            derived = self._derive(scopes, book, today, stop)
            if not derived:
                break
            steps += derived
        if self._store.codes_are_dirty(book.ruleset):
            with self._store.write() as tx:
                ask_about_codes(tx, book, self._who, self._now())
        return steps

    def adopt(self, book: Rulebook) -> bool:
        """Put the rulebook into force where another is; everything is then derived again, and the trail says so."""
        current = self._store.ruleset()
        if current is not None and current.id == book.ruleset:
            return False
        with self._store.write() as tx:
            return tx.adopt_ruleset(book.ruleset, json.loads(book.body), self._who, self._now())

    def _today(self, book: Rulebook) -> date:
        return self._now().astimezone(ZoneInfo(book.protocol.timezone)).date()

    def _derive(self, scopes: Sequence[str], book: Rulebook, today: date, stop: Callable[[], bool]) -> int:
        """One step of each scope, each in a commit of its own: intake waits for its turn to commit between two of them.

        How many there were. Where the roster changes meanwhile, the rest is left to the next round.
        """
        version = self._store.roster_version()
        roster = Roster(self._store.participants())
        done = 0
        for scope in scopes:
            if done and stop():
                break
            snapshot = self._store.snapshot(scope, stepwise=True)
            if self.stuck.get(scope) == snapshot.token:
                continue
            contexts = book.contexts(snapshot.decisions)
            self._forget_unless((version, book.ruleset, tuple(d.id for d in snapshot.decisions)))
            try:
                read = [self._reading(message, scope, roster, contexts) for message in snapshot.messages]
                rows = _rows(scope, read, roster, book, snapshot.decisions, today, snapshot.assessments)
            except Exception as error:  # one participant's trouble must not stop the others
                self.stuck[scope] = snapshot.token
                log.error("%s could not be derived: %s in the rules", scope, type(error).__name__)
                continue
            self.stuck.pop(scope, None)
            done += 1
            with self._store.write() as tx:
                if tx.roster_version() != version:  # what was matched by the old roster is not written
                    break
                tx.apply(rows, snapshot.token, book.ruleset, today, self._who, self._now())
        return done

    def _reading(self, message: Received, scope: str, roster: Roster, contexts: Mapping[str, Context]) -> ReadMessage:
        found = self._read.get((scope, message.id))
        if found is None:
            found = self._read[scope, message.id] = read_message(message, scope, roster, contexts)
        return found

    def _forget_unless(self, known: object) -> None:
        if self._known != known or len(self._read) > self._MOST_KEPT:
            self._known = known
            self._read.clear()


def _unmapped(found: Unmapped, protocol: Protocol) -> UnmappedCode:
    conditional = [row.analyte for row in protocol.loinc.get(found.code, ()) if found.code_system == LOINC]
    suggestion = conditional[0] if conditional else suggest(protocol, found.code, found.name)
    return UnmappedCode(
        found.source,
        found.code,
        found.code_system,
        found.name,
        found.message_control_id,
        found.results,
        suggestion,
    )
