"""Polls one FHIR source: for each participant that is enrolled and not withdrawn, and for nobody else.

A plain object: client, store and clock are given, and whoever calls :meth:`Poller.poll` decides when. Whatever goes
wrong with one participant does not keep the others from being asked; what was not asked whole is asked again, for the
watermark moves only when all that was answered is stored.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from adapter.config_fhir import FhirIntake
from adapter.intake.fhir_client import FhirClient, FhirError
from adapter.intake.poll_inquiry import Inquiry, Occasion, Server
from adapter.intake.poll_keeper import Keeper, RosterUnsettled
from adapter.intake.poll_patient import Asking, PollReport, PollStopped
from adapter.intake.poll_question import Questions, fingerprint, first_day
from adapter.model import Participant, Protocol, SourceRules
from adapter.store import Store

__all__ = ["PollReport", "PollStopped", "Poller"]

log = logging.getLogger(__name__)

_MOST_TROUBLES = 3  # participants after each other whom a server in trouble is asked for in vain
_LONGEST_SILENCE = timedelta(hours=1)  # a feed does not stand still because a server names next year


class Poller:
    """One source in one thread. ``stored`` is called after each commit that added something.

    ``questions``: what was learned of the server by an earlier poller of this source.
    """

    def __init__(
        self,
        rules: SourceRules,
        intake: FhirIntake,
        protocol: Protocol,
        client: FhirClient,
        store: Store,
        *,
        now: Callable[[], datetime],
        stored: Callable[[], None] = lambda: None,
        stop: Callable[[], bool] = lambda: False,
        questions: Questions | None = None,
    ) -> None:
        self._rules = rules
        self._intake = intake
        self._protocol = protocol
        self._client = client
        self._store = store
        self._now = now
        self._stop = stop
        self._keeper = Keeper(rules, protocol, store, now, stored)
        self._questions = questions or Questions(rules.name, intake)

    def asked(self) -> list[Participant]:
        """Whom the source is asked for, those that it failed for last time at the end."""
        people = [
            person
            for person in self._store.participants()
            if person.ended_by != "withdrawn" and any(i.authority in self._intake.systems for i in person.identifiers)
        ]
        return sorted(people, key=lambda person: person.study_id in self._questions.failed)

    def poll(
        self, since: date | None = None, *, sweep: bool = False, advance: Callable[[], None] = lambda: None
    ) -> PollReport:
        """Ask for everybody once; what the server said wrong is in the report.

        ``since``: everything dated from that day on, whatever was asked before. ``sweep``: also look for what has
        vanished from the server, which is otherwise done at its interval. ``advance`` is called after each participant.
        Raises StoreUnavailable, and :class:`PollStopped` never: the report says so.
        """
        report = PollReport()
        at = self._now()
        with self._store.write() as tx:
            tx.poll_begun(self._rules.name, at)
        self._keeper.reload()
        try:
            self._leave_alone(at)
            self._ask_all(self._server(report), Occasion(at, since, sweep), advance)
        except PollStopped:
            report.stopped = True
        except FhirError as error:
            self._note_busy(error)
            report.errors.append(str(error))
        if report.errors:
            more = f" (and {len(report.errors) - 1} more)" if len(report.errors) > 1 else ""
            with self._store.write() as tx:
                tx.poll_failed(self._rules.name, report.errors[0] + more)
        elif not report.stopped:
            with self._store.write() as tx:
                tx.poll_succeeded(self._rules.name, self._now())
        return report

    def _note_busy(self, error: FhirError) -> None:
        """Remember until when the server wants to be left alone (Retry-After), or for as long as it is heeded."""
        if error.retry_at is not None:
            self._questions.busy_until = min(error.retry_at, self._now() + _LONGEST_SILENCE)

    def _leave_alone(self, at: datetime) -> None:
        until = self._questions.busy_until
        if until is not None and at < until:
            cause = f"the server does not want to be asked before {until.isoformat(timespec='seconds')}"
            raise FhirError(self._intake.base_url, cause, "it is asked again then")

    def _server(self, report: PollReport) -> Server:
        """The server as its CapabilityStatement has it; one whose release is configured may do without."""
        asking = Asking(self._client, self._intake.base_url, report, self._stop)
        release, has_history = self._intake.fhir_version or "", False
        try:
            capability = self._client.capability()
        except FhirError as error:
            if error.transient or error.status == 401 or not release:
                raise
        else:
            release, has_history = capability.fhir_version, capability.supports_history
            report.requests += self._questions.learn(capability)  # the client asks for it once
        return Server(self._intake, asking, self._questions, self._keeper, release, has_history)

    def _ask_all(self, server: Server, occasion: Occasion, advance: Callable[[], None]) -> None:
        report, troubles = server.asking.report, 0
        for person in self.asked():
            server.asking.check_stop()
            try:
                self._ask(server, person.study_id, occasion)
            except FhirError as error:
                report.errors.append(f"{person.study_id}: {error}")
                self._questions.failed.add(person.study_id)
                troubles = troubles + 1 if error.transient else 0
                self._note_busy(error)
                if error.status == 401 or error.retry_at is not None or troubles == _MOST_TROUBLES:
                    return  # the others would fare no better, and the server is not to be pressed
            except RosterUnsettled:
                report.errors.append(f"{person.study_id}: the roster changed while it was asked; it is asked again")
                self._questions.failed.add(person.study_id)
            else:
                troubles = 0
                report.participants += 1
                self._questions.failed.discard(person.study_id)
            advance()

    def _ask(self, server: Server, study_id: str, occasion: Occasion) -> None:
        person = self._store.participant(study_id)
        if person is None or person.ended_by == "withdrawn":
            return  # since the poll began
        today = occasion.now.astimezone(ZoneInfo(self._protocol.timezone)).date()
        question = fingerprint(self._intake, self._rules, self._protocol, person)
        start = occasion.since or first_day(person, self._intake.lookback_days, today)
        Inquiry(server, person, question, start, occasion).ask()
