"""Whole polls of a small trial: right after each change, nobody else touched, and one trial through two doors."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from fhir_server import FhirServer, coded, fhir_server, observation, parameters_of, patient
from poll_run import PollRun, person, polled

from adapter.rules.table import TableRow

INFUSED_ON = date(2026, 1, 5)
VISITS = {"week-4": 28, "week-12": 84, "week-24": 168}
UNITS = {"ALT": "U/L", "AST": "U/L", "ALP": "U/L", "TBIL": "umol/L", "ALB": "g/L", "PT": "s", "INR": "1"}
LOINC = dict(zip(UNITS, ("1742-6", "1920-8", "6768-6", "14631-6", "1751-7", "5902-2", "6301-6"), strict=True))
LOW = {"ALT": 20, "AST": 20, "ALP": 60, "TBIL": 20, "ALB": 30, "PT": 12, "INR": 1}
STRANGERS_VALUE = "98765.4321"
PEOPLE = {"S-001": "0012345", "S-002": "0067890", "S-003": "A-77", "S-004": "31415926"}


@dataclass(frozen=True)
class Planned:
    """One result of the trial, however it is sent."""

    study_id: str
    visit: str
    endpoint: str
    value: str
    number: int

    @property
    def taken(self) -> str:
        on = INFUSED_ON + timedelta(days=VISITS[self.visit] + self.number % 3)
        return f"{on.isoformat()}T08:{self.number % 60:02d}:00+08:00"

    def as_fhir(self, of: str) -> dict[str, Any]:
        unit = UNITS[self.endpoint]
        quantity = observation("", "", self.value)["valueQuantity"] | {"unit": unit, "code": unit}
        name, code = f"o{self.number}", coded(LOINC[self.endpoint])
        return observation(name, of, code=code, valueQuantity=quantity, effectiveDateTime=self.taken)

    def as_hl7(self) -> bytes:
        taken = self.taken.replace("-", "").replace("T", "").replace(":", "")
        lines = [
            f"MSH|^~\\&|LIS|H|A|T|{taken}||ORU^R01^ORU_R01|M{self.number}|P|2.5.1",
            f"PID|1||{PEOPLE[self.study_id]}^^^NTCGH",
            f"OBR|1||A{self.number}|PANEL|||{taken}",
            f"OBX|1|NM|{LOINC[self.endpoint]}^X^LN||{self.value}|{UNITS[self.endpoint]}|||||F",
        ]
        return "\r".join([*lines, ""]).encode()


def planned() -> list[Planned]:
    chance, found = random.Random(4), list[Planned]()
    for study_id in PEOPLE:
        for visit in VISITS:
            for endpoint, low in LOW.items():
                value = f"{low}.{chance.randrange(10)}0" if endpoint == "INR" else str(low + chance.randrange(10))
                found.append(Planned(study_id, visit, endpoint, value, len(found)))
    return found


PLAN = planned()


def enrol(run: PollRun) -> None:
    for study_id, number in PEOPLE.items():
        run.put(person(study_id, number, INFUSED_ON.isoformat()))


def names() -> dict[str, str]:
    return {study_id: f"pt{n}" for n, study_id in enumerate(PEOPLE)}


@pytest.fixture
def server() -> Iterator[FhirServer]:
    """The four among forty others, whose numbers resemble theirs and whose results are told apart by their value."""
    with fhir_server(page_size=5) as server:
        for study_id, name in names().items():
            server.put(patient(name, PEOPLE[study_id]))
        for n in range(40):
            server.put(patient(f"other{n}", f"00{n}12345"))
            for k in range(3):
                server.put(observation(f"x{n}-{k}", f"other{n}", STRANGERS_VALUE))
        yield server


def values(run: PollRun) -> dict[tuple[str, str, str], tuple[str | None, ...]]:
    """Of each measured cell everything but through which door it came."""

    def told(row: TableRow) -> tuple[str | None, ...]:
        return row.status, row.value_text, row.unit, row.comparator, row.collected_at

    return {key: told(row) for key, row in run.table().items() if key[2] in UNITS}


def texts(run: PollRun) -> dict[tuple[str, str, str], str | None]:
    return {key: told[1] for key, told in values(run).items()}


def test_the_table_is_right_after_each_poll_and_nobody_else_was_touched(server: FhirServer, tmp_path: Path):
    truth: dict[tuple[str, str, str], str | None] = {(p.study_id, p.visit, p.endpoint): p.value for p in PLAN}
    for plan in PLAN:
        server.put(plan.as_fhir(names()[plan.study_id]))
    asked = []
    with polled(tmp_path, server, "page_size = 5") as run:
        enrol(run)

        def right_after(hours: float, new: int) -> None:
            report = run.poll(hours=hours)
            asked.extend(server.asked)
            assert (report.errors, report.strangers, report.new) == ([], 0, new)
            assert texts(run) == truth
            assert run.reasons() == []

        right_after(0, len(PLAN))
        right_after(1, 0)

        picked = random.Random(7).sample(PLAN, 24)
        corrected, wrong, deleted, replaced = (picked[n::4] for n in range(4))
        for plan in corrected:
            quantity = plan.as_fhir("")["valueQuantity"]
            value = plan.value + "5" if "." in plan.value else plan.value + ".5"
            quantity = observation("", "", value)["valueQuantity"] | {k: quantity[k] for k in ("unit", "code")}
            server.change("Observation", f"o{plan.number}", status="corrected", valueQuantity=quantity)
            truth[plan.study_id, plan.visit, plan.endpoint] = value
        right_after(1, len(corrected))

        for plan in wrong:
            server.change("Observation", f"o{plan.number}", status="entered-in-error")
            truth[plan.study_id, plan.visit, plan.endpoint] = None
        right_after(1, len(wrong))

        gone = {plan.number for plan in deleted}
        for plan in deleted:
            server.delete("Observation", f"o{plan.number}")
        right_after(0, 0)
        for plan in deleted:
            truth[plan.study_id, plan.visit, plan.endpoint] = None
        right_after(25, len(gone))

        for plan in replaced:  # one wrong result withdrawn, its right one sent under another id
            server.change("Observation", f"o{plan.number}", status="entered-in-error")
            server.put({**plan.as_fhir(names()[plan.study_id]), "id": f"r{plan.number}"})
        right_after(1, 2 * len(replaced))
        kept = b"".join(m.raw for study_id in PEOPLE for m in run.store.received(study_id))

    said = "\n".join(a.target for a in asked)
    assert [number for number in PEOPLE.values() if number in said] == []
    assert {value for a in asked for name, value in parameters_of(a) if name == "patient"} == set(names().values())
    searched = {value.rpartition("|")[2] for a in asked for name, value in parameters_of(a) if name == "identifier"}
    assert searched == set(PEOPLE.values())
    everything = kept + b"".join(p.read_bytes() for p in tmp_path.glob("trial.db*"))
    assert [word for word in (STRANGERS_VALUE.encode(), b"Patient/other", b"Unmistakable") if word in everything] == []


def test_half_by_mllp_half_by_fhir_a_quarter_by_both_is_the_same_trial(server: FhirServer, tmp_path: Path):
    shuffled = random.Random(11).sample(PLAN, len(PLAN))
    quarter = len(PLAN) // 4
    by_fhir, by_hl7 = shuffled[: 2 * quarter], shuffled[quarter:]
    assert len(set(by_fhir) & set(by_hl7)) == quarter
    assert set(by_fhir) | set(by_hl7) == set(PLAN)
    lis = '[[source]]\nname = "lis"\nkind = "mllp"\nport = 0\nauthority = "NTCGH"'
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()

    def feed(run: PollRun, plans: list[Planned]) -> None:
        for plan in plans:
            path = tmp_path / f"{plan.number}.hl7"
            path.write_bytes(plan.as_hl7())
            assert [r.screened.fate for r in run.replay(path, "lis")] == ["accepted"]

    with polled(tmp_path / "one", server, more=lis) as one:
        enrol(one)
        feed(one, PLAN)
        expected = values(one)
    assert {told[0] for told in expected.values()} == {"captured"}
    for plan in by_fhir:
        server.put(plan.as_fhir(names()[plan.study_id]))
    with polled(tmp_path / "two", server, more=lis) as two:
        enrol(two)
        feed(two, by_hl7[: len(by_hl7) // 2])
        assert two.poll().new == len(by_fhir)
        feed(two, by_hl7[len(by_hl7) // 2 :])
        assert values(two) == expected
        assert two.reasons() == []
        assert {row.source for key, row in two.table().items() if key[2] in UNITS} == {"ehr", "lis"}


def test_two_doors_that_disagree_are_a_question(server: FhirServer, tmp_path: Path):
    plan = PLAN[0]
    server.put(Planned(plan.study_id, plan.visit, plan.endpoint, "99", plan.number).as_fhir("pt0"))
    lis = '[[source]]\nname = "lis"\nkind = "mllp"\nport = 0\nauthority = "NTCGH"'
    with polled(tmp_path, server, more=lis) as run:
        enrol(run)
        (tmp_path / "one.hl7").write_bytes(plan.as_hl7())
        run.replay(tmp_path / "one.hl7", "lis")
        run.poll()
        assert run.reasons() == ["conflicting_results"]
        assert values(run)[plan.study_id, plan.visit, plan.endpoint][:2] == ("in_review", None)
