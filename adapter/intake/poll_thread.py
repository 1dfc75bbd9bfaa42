"""The thread in which one FHIR source is polled: woken by the schedule, one poll at a time, whatever else happens.

Woken while it polls, it polls once more afterwards, however often it was woken: a missed poll is made up once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime

from adapter.config_fhir import FhirIntake
from adapter.intake.fhir_client import FhirClient, FhirError
from adapter.intake.poll_endpoint import endpoint_of
from adapter.intake.poll_patient import PollReport, PollStopped
from adapter.intake.poll_question import Questions
from adapter.intake.poller import Poller
from adapter.model import Protocol, SourceRules
from adapter.store import Store, StoreError

log = logging.getLogger(__name__)


class PollThread(threading.Thread):
    """Polls one source when it is woken. ``trouble`` says in words what is wrong with it, None where nothing is."""

    def __init__(
        self,
        rules: SourceRules,
        intake: FhirIntake,
        protocol: Protocol,
        open_store: Callable[[], Store],
        *,
        now: Callable[[], datetime],
        stored: Callable[[], None],
    ) -> None:
        super().__init__(name=f"poll-{rules.name}", daemon=True)
        self.source = rules.name
        self.trouble: str | None = None
        self.polling = False
        self._rules = rules
        self._intake = intake
        self._protocol = protocol
        self._open_store = open_store
        self._now = now
        self._stored = stored
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._client: FhirClient | None = None
        self._questions = Questions(rules.name, intake)
        self._absent: list[str] = []

    def wake(self) -> None:
        """Poll now, or once more when this poll is done."""
        self._woken.set()

    def use(self, rules: SourceRules, protocol: Protocol) -> None:
        """Poll by other mappings from the next poll on."""
        self._rules, self._protocol = rules, protocol

    def stop(self) -> None:
        """End after the page that is being asked for; what was committed stays."""
        self._stopping.set()
        self._woken.set()

    def run(self) -> None:
        """The thread's life."""
        while True:
            self._woken.wait()
            self._woken.clear()
            if self._stopping.is_set():
                break
            self.polling = True
            self._poll()
            self.polling = False
        self._hang_up()

    def _poll(self) -> None:
        """One poll. What goes wrong is told once when it begins and once when it is over."""
        try:
            with self._open_store() as store:
                report = self._poller(store).poll()
        except PollStopped:
            return
        except (FhirError, StoreError) as error:
            self._hang_up()
            self._tell(str(error))
        except Exception as error:  # a defect of ours: the other sources and the feed go on, and this is tried again
            self._hang_up()
            self._tell(f"{type(error).__name__} in the poller")
        else:
            self._tell_of(report)

    def _tell_of(self, report: PollReport) -> None:
        if report.errors:
            self._hang_up()  # a secret or certificate that was put right is fetched anew
            self._tell(report.errors[0])
        elif not report.stopped:
            self._tell(None)
            if report.not_found != self._absent:
                self._absent = report.not_found
                if report.not_found:
                    log.warning("source %s: the server has no patient for %s", self.source, ", ".join(self._absent))

    def _tell(self, trouble: str | None) -> None:
        if trouble is not None and self.trouble is None:
            log.error("source %s cannot be polled: %s", self.source, trouble)
        elif trouble is None and self.trouble is not None:
            log.info("source %s is polled again", self.source)
        self.trouble = trouble

    def _poller(self, store: Store) -> Poller:
        if self._client is None:
            self._client = FhirClient(endpoint_of(self.source, self._intake), sleep=self._sleep, now=self._now)
        return Poller(
            self._rules,
            self._intake,
            self._protocol,
            self._client,
            store,
            now=self._now,
            stored=self._stored,
            stop=self._stopping.is_set,
            questions=self._questions,
        )

    def _sleep(self, seconds: float) -> None:
        """Wait between two tries; where the program ends meanwhile, there is no other."""
        if self._stopping.wait(seconds):
            raise PollStopped

    def _hang_up(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
