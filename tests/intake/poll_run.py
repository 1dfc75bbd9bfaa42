"""A trial that is polled: the small FHIR server, the poller on it, and what comes of it in the table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from fhir_peer import Clock
from fhir_server import FhirServer
from trialrun import TrialRun

from adapter.intake.fhir_client import FhirClient
from adapter.intake.poll_endpoint import endpoint_of
from adapter.intake.poll_question import Questions
from adapter.intake.poller import Poller, PollReport
from adapter.model import Identifier, Participant
from adapter.pipeline import Settler
from adapter.store import Store

MAPPINGS = Path(__file__).parents[2] / "mappings"
SYSTEM = "urn:oid:1.2.3.4"
NOW = datetime(2026, 9, 1, 4, 0, tzinfo=UTC)


def config_of(base_url: str, *lines: str, trial: str = "", more: str = "") -> str:
    added = "\n".join(lines)
    return f"""
[trial]
protocol = "{MAPPINGS / "nct06984497.toml"}"
timezone = "Asia/Shanghai"
{trial}
[store]
url = "sqlite:///trial.db"
[[source]]
name = "ehr"
kind = "fhir"
base_url = "{base_url}"
identifier_system = {{ NTCGH = "{SYSTEM}" }}
{added}
{more}
"""


def person(study_id: str = "S-001", number: str = "0012345", infused_at: str | None = "2026-01-05", **more: Any):
    return Participant(study_id, (Identifier(number, "NTCGH"),), infused_at, **more)


class PollRun(TrialRun):
    """A trial with one FHIR source. ``poll`` polls and derives, by a clock that the test moves."""

    def __init__(self, folder: Path, server: FhirServer, *lines: str, **config: str) -> None:
        assert server.peer is not None
        path = folder / "config.toml"
        path.write_text(config_of(server.peer.base_url, *lines, **config), encoding="utf-8")
        super().__init__(path, folder / "trial.db", NOW)
        self.server = server
        self.clock = Clock(NOW)
        self.limits: dict[str, Any] = {}  # tighter than a configuration can say
        self.client: FhirClient | None = None
        self.questions: Questions | None = None

    def poller(self, **options: Any) -> Poller:
        source = next(s for s in self.config.sources if s.fhir is not None)
        assert source.fhir is not None
        if self.client is None:
            clock = self.clock
            self.client = FhirClient(
                replace(endpoint_of(source.name, source.fhir), **self.limits),
                sleep=clock.sleep,
                now=clock.now,
                monotonic=clock.monotonic,
                random=lambda: 1.0,
            )
            self.questions = Questions(source.name, source.fhir)
        options = {"now": lambda: self.now, "questions": self.questions, **options}
        return Poller(source.rules, source.fhir, self.config.protocol, self.client, self.store, **options)

    def poll(self, since: date | None = None, *, sweep: bool = False, hours: float = 0.0, **options: Any) -> PollReport:
        """Poll, some hours later, and derive what came."""
        self.now += timedelta(hours=hours)
        assert self.server.peer is not None
        self.server.peer.asked.clear()
        report = self.poller(**options).poll(since, sweep=sweep)
        self.settler.settle(self.book)
        return report

    def restart(self) -> None:
        """Lose everything that is not in the store, as a program does that is killed."""
        if self.client is not None:
            self.client.close()
        self.client = self.questions = None
        self.store.close()
        self.store = Store.open(self.config.store_path, self.config.protocol.trial)
        self.settler = Settler(self.store, lambda: self.now, "test")

    def value(self, study_id: str = "S-001", endpoint: str = "ALT", visit: str = "week-4") -> str | None:
        row = self.table()[study_id, visit, endpoint]
        return None if row.value_text is None else f"{row.comparator or ''}{row.value_text}"

    def reasons(self) -> list[str]:
        return sorted(i.item.reason for i in self.store.open_items())

    def close(self) -> None:
        if self.client is not None:
            self.client.close()
        super().close()


@contextmanager
def polled(folder: Path, server: FhirServer, *lines: str, **config: str) -> Iterator[PollRun]:
    run = PollRun(folder, server, *lines, **config)
    try:
        yield run
    finally:
        run.close()
