"""``make bench-poll``: what a poll of many participants costs, on a real FHIR server (HAPI) on this machine.

For each number of participants a server of its own, filled with nothing but their results, and a store of its own.
``README.md`` here says how to read the lines. Exit status 1 where a poll did not find what it had to find.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from servers.hapi import hapi_server, what_is_missing
from servers.hapi.hospital import Hospital, Resource

from adapter.config import load_config
from adapter.config_fhir import FhirIntake
from adapter.daemon import rulebook
from adapter.intake.fhir_client import FhirClient
from adapter.intake.poll_endpoint import endpoint_of
from adapter.intake.poll_question import Questions
from adapter.intake.poller import Poller
from adapter.model import Identifier, Participant
from adapter.pipeline import Settler
from adapter.store import Store

ROOT = Path(__file__).resolve().parents[1]
SYSTEM = "urn:oid:2.999.1"
AUTHORITY = "NTCGH"
INFUSED_ON = date(2026, 1, 5)
_VISITS = (28, 84, 168)
_LOINC = {
    "1742-6": ("40", "U/L"),
    "1920-8": ("48", "U/L"),
    "6768-6": ("131", "U/L"),
    "14631-6": ("34.2", "umol/L"),
    "61151-7": ("31.5", "g/L"),
    "5902-2": ("16.4", "s"),
    "6301-6": ("1.42", "1"),
    "14682-9": ("88", "umol/L"),
    "2951-2": ("137", "mmol/L"),
}
_CATEGORY = {"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}
_CONFIG = """
[trial]
protocol = {protocol}
timezone = "Asia/Shanghai"

[store]
url = "sqlite:///trial.db"

[[source]]
name = "ehr"
kind = "fhir"
base_url = "{base_url}"
identifier_system = {{ {authority} = "{system}" }}
"""


@dataclass(frozen=True)
class Line:
    """One poll. ``derived_seconds``: from its end until all values were in the store; None where that was left out."""

    participants: int
    words: str
    requests: int
    seconds: float
    new: int
    sent_again: int
    derived_seconds: float | None

    @property
    def per_request(self) -> float:
        """Milliseconds."""
        return self.seconds * 1000 / self.requests


def fill(hospital: Hospital, participants: int) -> None:
    """Each participant with a Patient and nine analytes at three visits, one visit after the other."""
    people = hospital.put(
        {"resourceType": "Patient", "identifier": [{"system": SYSTEM, "value": f"E{n:06d}"}]}
        for n in range(participants)
    )
    for day in _VISITS:
        hospital.put(each for patient in people for each in _panel(patient, INFUSED_ON + timedelta(days=day)))


def _panel(patient: str, on: date) -> Iterator[Resource]:
    for code, (number, unit) in _LOINC.items():
        quantity = {"value": Decimal(number), "unit": unit, "system": "http://unitsofmeasure.org", "code": unit}
        yield {
            "resourceType": "Observation",
            "status": "final",
            "category": [{"coding": [_CATEGORY]}],
            "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
            "subject": {"reference": patient},
            "effectiveDateTime": f"{on}T08:00:00+08:00",
            "valueQuantity": quantity,
        }


class Trial:
    """A store with a roster, and the poller on it as the daemon has one: client and questions live on."""

    def __init__(self, folder: Path, base_url: str, participants: int) -> None:
        path = folder / "config.toml"
        protocol = json.dumps(str(ROOT / "mappings" / "nct06984497.toml"))
        settings = {"protocol": protocol, "base_url": base_url, "authority": AUTHORITY, "system": SYSTEM}
        path.write_text(_CONFIG.format(**settings), encoding="utf-8")
        self.config = load_config(path)
        (self.source,) = self.config.sources
        assert self.source.fhir is not None
        self.intake: FhirIntake = self.source.fhir
        self.participants = participants
        self.store = Store.open(folder / "trial.db", self.config.protocol.trial, create=True)
        self.settler = Settler(self.store, lambda: datetime.now(UTC), "bench")
        self.client = FhirClient(endpoint_of("ehr", self.intake))
        self.questions = Questions("ehr", self.intake)
        with self.store.write() as tx:
            for n in range(participants):
                who = (Identifier(f"E{n:06d}", AUTHORITY),)
                tx.put_participant(
                    Participant(f"P{n:05d}", who, INFUSED_ON.isoformat()), "bench", "bench", datetime.now(UTC)
                )

    def close(self) -> None:
        """Hang up and close the store."""
        self.client.close()
        self.store.close()

    def poll(self, words: str, *, later: timedelta = timedelta(), derive: bool = True) -> Line:
        """One poll, by a clock that is set forward where a sweep is to be due, and deriving after it."""
        poller = Poller(
            self.source.rules,
            self.intake,
            self.config.protocol,
            self.client,
            self.store,
            now=lambda: datetime.now(UTC) + later,
            questions=self.questions,
        )
        began = time.monotonic()
        report = poller.poll()
        polled = time.monotonic()
        if derive:
            self.settler.settle(rulebook(self.config))
        derived = time.monotonic() - polled if derive else None
        if report.errors or report.participants != self.participants:
            raise SystemExit(f"bench: {words}: {report.errors}")
        return Line(self.participants, words, report.requests, polled - began, report.new, report.duplicates, derived)


def measured(participants: int, *, derive: bool) -> Iterator[Line]:
    """The polls of one number of participants."""
    with hapi_server("R4") as base_url, closing(Hospital(base_url)) as hospital:
        fill(hospital, participants)
        with (
            tempfile.TemporaryDirectory(prefix="lab-adapter-bench-") as place,
            closing(Trial(Path(place), base_url, participants)) as trial,
        ):
            everything = participants * len(_VISITS) * len(_LOINC)
            yield _expected(trial.poll("everything new", derive=derive), everything)
            yield _expected(trial.poll("nothing new", derive=derive), 0)
            yield _expected(trial.poll("nothing new, again", derive=derive), 0)
            yield _expected(trial.poll("nothing new, a sweep due", later=timedelta(days=2), derive=derive), 0)


def _expected(line: Line, new: int) -> Line:
    if line.new != new:
        raise SystemExit(f"bench: {line.words}: {line.new} new results, not {new}")
    return line


def machine() -> dict[str, Any]:
    """What the numbers depend on."""
    return {
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load_average": os.getloadavg()[0],
    }


_ROW = "{:>12}  {:<26} {:>9} {:>8} {:>11} {:>7} {:>11} {:>10}"
_HEADER = ("participants", "poll", "requests", "seconds", "ms/request", "new", "sent again", "derived s")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Polls a HAPI FHIR server for many participants.")
    parser.add_argument("--participants", type=int, nargs="+", default=[32, 1000])
    parser.add_argument("--polls-only", action="store_true", help="derive nothing: a thousand take a while")
    parser.add_argument("--json", action="store_true", dest="as_json")
    chosen = parser.parse_args()
    missing = what_is_missing()
    if missing is not None:
        sys.exit(f"bench: {missing}")
    where = machine()
    lines = []
    if not chosen.as_json:
        print(", ".join(f"{name} {value}" for name, value in where.items()))
        print(_ROW.format(*_HEADER))
    for participants in chosen.participants:
        for line in measured(participants, derive=not chosen.polls_only):
            lines.append(line)
            if not chosen.as_json:
                times = (f"{line.seconds:.1f}", f"{line.per_request:.1f}")
                derived = "" if line.derived_seconds is None else f"{line.derived_seconds:.1f}"
                told = (line.requests, *times, line.new, line.sent_again, derived)
                print(_ROW.format(participants, line.words, *told), flush=True)
    if chosen.as_json:
        print(json.dumps({"machine": where, "lines": [asdict(line) for line in lines]}))


if __name__ == "__main__":
    main()
