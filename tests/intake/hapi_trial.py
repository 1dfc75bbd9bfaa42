"""A whole invented trial as FHIR resources on a real server, among strangers; its truth is planned before them."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from daemonrun import DaemonRun
from servers.hapi.hospital import Hospital, Resource

from fixtures.feed.hospitals import FACTORS, LOINC_NAMES, MASS_LOINC
from fixtures.feed.nouns import UNITS
from fixtures.generator import CellTruth, Ended, RosterRow, generate

Cell = tuple[str, str, str]

MAPPINGS = Path(__file__).parents[2] / "mappings"
TODAY = datetime.now(UTC).date()
FEED = generate(11, infusion_start=TODAY - timedelta(days=405))
STRANGERS_VALUE = "98765.4321"
_UNREADABLE = "1,234"
_PANELS = 4  # one participant in so many has results in panels, some of them without a category of their own
_LABORATORY = [
    {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]}
]
_VITAL_SIGNS = [{"coding": [{**_LABORATORY[0]["coding"][0], "code": "vital-signs"}]}]


@dataclass(frozen=True)
class Result:
    """One result of the plan, however it is sent; ``number`` tells it from the others."""

    cell: CellTruth
    number: int

    @property
    def key(self) -> Cell:
        return self.cell.study_id, self.cell.visit, self.cell.endpoint

    @property
    def reported(self) -> tuple[str, str, str]:
        """LOINC code, number and unit: some of them as mass, as a laboratory of another country would."""
        cell = self.cell
        code, unit, number = LOINC_NAMES[cell.endpoint][0], UNITS[cell.endpoint], cell.value_text or ""
        for mass in ("mg/dL", "g/dL"):
            factor = FACTORS.get((cell.endpoint, mass))
            if factor is not None and number and cell.comparator is None:
                value = Decimal(number)
                places = Decimal((0, (1,), int(value.as_tuple().exponent) - int(factor.as_tuple().exponent)))
                found = f"{(value / factor).quantize(places):f}"
                if f"{Decimal(found) * factor:f}" == number:
                    return MASS_LOINC[cell.endpoint], found, mass
        return code, number, unit

    @property
    def loinc(self) -> str:
        return LOINC_NAMES[self.cell.endpoint][0]

    @property
    def taken_at(self) -> str:
        return f"{self.cell.collected_on}T08:{self.number % 60:02d}:00+08:00"

    def as_fhir(self, patient: str, **changes: Any) -> Resource:
        code, number, unit = self.reported
        value: Resource = {"valueString": _UNREADABLE}
        if self.cell.status != "in_review":
            comparator = {"comparator": self.cell.comparator} if self.cell.comparator else {}
            value = {"valueQuantity": quantity(number, unit) | comparator}
        status = "preliminary" if self.cell.status == "provisional" else "final"
        return observation(patient, code, self.taken_at, status=status, **value, **changes)

    def as_hl7(self, identifier: str) -> bytes:
        code, number, unit = self.reported
        taken = self.taken_at.translate(str.maketrans("", "", "-:T"))
        kind, value = ("SN", f"{self.cell.comparator}^{number}") if self.cell.comparator else ("NM", number)
        if self.cell.status == "in_review":
            kind, value = "ST", _UNREADABLE
        status = "P" if self.cell.status == "provisional" else "F"
        lines = [
            f"MSH|^~\\&|LIS|H|A|T|{taken}||ORU^R01^ORU_R01|M{self.number}|P|2.5.1",
            f"PID|1||{identifier}^^^NTCGH",
            f"OBR|1||A{self.number}|PANEL|||{taken}",
            f"OBX|1|{kind}|{code}^X^LN||{value}|{unit}|||||{status}",
        ]
        return "\r".join([*lines, ""]).encode()


def quantity(number: str, unit: str) -> Resource:
    return {"value": Decimal(number), "unit": unit, "system": "http://unitsofmeasure.org", "code": unit}


def observation(patient: str, code: str, taken_at: str, **more: Any) -> Resource:
    """A final laboratory Observation; None takes an element out."""
    found = {
        "resourceType": "Observation",
        "status": "final",
        "category": _LABORATORY,
        "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
        "subject": {"reference": patient},
        "effectiveDateTime": taken_at,
        **more,
    }
    return {name: each for name, each in found.items() if each is not None}


class Plan:
    """The trial, or some of its participants: who they are, their results, and what the table must hold."""

    def __init__(self, participants: int) -> None:
        known = sorted({row.study_id for row in FEED.roster})[:participants]
        self.roster = [row for row in FEED.roster if row.study_id in known]
        self.ended = [each for each in FEED.ended if each.study_id in known]
        cells = [cell for cell in FEED.truth if cell.study_id in known]
        self.truth: dict[Cell, CellTruth] = {(c.study_id, c.visit, c.endpoint): c for c in cells}
        self._after_withdrawal = {key: c for key, c in self.truth.items() if self._is_withdrawn(c)}
        self.truth |= {key: replace(c, status="missing") for key, c in self._after_withdrawal.items()}
        sent = [_dated(cell) for cell in cells if cell.status in ("captured", "provisional", "in_review")]
        self.results = [Result(cell, number) for number, cell in enumerate(sent)]

    @property
    def withdrawn(self) -> list[Ended]:
        return [each for each in self.ended if each.why == "withdrawn"]

    def _is_withdrawn(self, cell: CellTruth) -> bool:
        return cell.status == "not_expected" and cell.study_id in {each.study_id for each in self.withdrawn}

    def withdraw(self, run: DaemonRun) -> None:
        """Those who withdraw do so now, when what was collected before is stored."""
        for each in self.withdrawn:
            end(run, each)
        self.truth |= self._after_withdrawal

    def identifier(self, study_id: str) -> str:
        """The number under NTCGH, the authority that has one for everybody."""
        return next(r.identifier for r in self.roster if (r.study_id, r.authority) == (study_id, "NTCGH"))

    def infused_on(self, study_id: str) -> date | None:
        stated = next(row.infused_at for row in self.roster if row.study_id == study_id)
        return date.fromisoformat(stated[:10]) if stated else None

    def now(self, result: Result, value_text: str | None) -> None:
        """From now on the truth of the result's cell is another value; None: there is none any more."""
        planned = self.truth[result.key]
        if value_text is None:
            cell = replace(planned, status="missing", value_text=None, comparator=None, flags=())
        else:
            flags = result.cell.flags if value_text == result.cell.value_text else ()
            cell = replace(result.cell, value_text=value_text, flags=flags)
        self.truth[result.key] = cell

    def wrong(self, run: DaemonRun) -> list[object]:
        """The cells of a table that are not as planned, and those that nobody planned or that are not there."""
        rows = {(row["study_id"], row["visit"], row["endpoint"]): row for row in run.ask("values", "--all")}
        scores = {key for key in rows if key[2] in ("MELD", "CHILD_PUGH")}
        found: list[object] = [*(rows.keys() - scores ^ self.truth.keys())]
        for key, cell in self.truth.items():
            row = rows[key]
            told = (row["status"], row["value_text"], row["comparator"], (row["collected_at"] or "")[:10] or None)
            on = str(cell.collected_on) if cell.value_text is not None else None
            if told != (cell.status_on(TODAY), cell.value_text, cell.comparator, on):
                found.append((cell, told))
            if not set(cell.flags) <= set(row["flags"]):
                found.append((cell, row["flags"]))
        return found

    def wrong_in_queue(self, run: DaemonRun, sent: Iterable[Result]) -> list[object]:
        """What stands in the queue or is missing there; each result sent that cannot be read is to be asked about."""
        asked = Counter((i["reason"], i["study_id"], i["code"]) for i in run.ask("review", "list", "--each"))
        held = (r for r in sent if r.cell.status == "in_review")
        planned = Counter(("unreadable_value", r.cell.study_id, r.loinc) for r in held)
        return [*(asked - planned), *(planned - asked)]


def _dated(cell: CellTruth) -> CellTruth:
    """A cell in review has no value, but what is sent for it was taken some day: the first of its window."""
    if cell.collected_on is None and cell.window is not None:
        return replace(cell, collected_on=cell.window[0])
    return cell


class FhirTrial:
    """The plan's participants as patients of a server, each of their authorities under a system of this trial alone."""

    def __init__(self, plan: Plan, hospital: Hospital, arc: str) -> None:
        self.plan = plan
        self.hospital = hospital
        authorities = sorted({row.authority for row in plan.roster})
        self.systems = {authority: f"urn:oid:{arc}.{n}" for n, authority in enumerate(authorities, 1)}
        study_ids = sorted({row.study_id for row in plan.roster})
        self.patients = dict(zip(study_ids, hospital.put(map(self._patient, study_ids)), strict=True))
        self._in_panels = set(study_ids[::_PANELS])
        self.names: dict[int, str] = {}  # of results: their Observation, by their number
        self.unwanted: set[str] = set()  # Observations that nobody asks for

    def _patient(self, study_id: str) -> Resource:
        rows = [row for row in self.plan.roster if row.study_id == study_id]
        gender = {"M": "male", "F": "female"}.get(rows[0].sex)
        return {
            "resourceType": "Patient",
            "identifier": [{"system": self.systems[r.authority], "value": r.identifier} for r in rows],
            **({"birthDate": rows[0].birth_date} if rows[0].birth_date else {}),
            **({"gender": gender} if gender else {}),
        }

    def send(self, results: Iterable[Result]) -> None:
        """Results with their specimens; those of some participants lie in panels."""
        chosen = list(results)
        specimens = self.hospital.put(self._specimen(each) for each in chosen)
        waiting = []
        for each, specimen in zip(chosen, specimens, strict=True):
            bare = {"category": None} if each.cell.study_id in self._in_panels and each.cell.endpoint == "AST" else {}
            patient = self.patients[each.cell.study_id]
            waiting.append(each.as_fhir(patient, specimen={"reference": specimen}, **bare))
        self.names |= dict(zip((each.number for each in chosen), self.hospital.put(waiting), strict=True))
        panels: dict[tuple[str, str], list[Result]] = {}
        for each in chosen:
            if each.cell.study_id in self._in_panels:
                panels.setdefault((each.cell.study_id, each.cell.visit), []).append(each)
        self.hospital.put(self._panel(members) for members in panels.values())

    def in_no_panel(self) -> list[Result]:
        """What may be deleted: a server keeps what another resource refers to."""
        return [r for r in self.plan.results if r.cell.study_id not in self._in_panels]

    def _specimen(self, result: Result) -> Resource:
        code = {"system": "http://terminology.hl7.org/CodeSystem/v2-0487", "code": "SER"}
        return {
            "resourceType": "Specimen",
            "type": {"coding": [code]},
            "subject": {"reference": self.patients[result.cell.study_id]},
        }

    def _panel(self, members: list[Result]) -> Resource:
        references = [{"reference": self.names[each.number]} for each in members]
        first = members[0]
        return observation(self.patients[first.cell.study_id], "24325-3", first.taken_at, hasMember=references)

    def send_what_is_no_endpoint(self) -> None:
        """Of each participant: a baseline, one between visits, another code; a vital sign, and one of years before."""
        wanted, unwanted = list[Resource](), list[Resource]()
        for study_id, patient in self.patients.items():
            infused_on = self.plan.infused_on(study_id)
            on = infused_on or TODAY - timedelta(days=10)
            value = {"valueQuantity": quantity("77", "U/L")}
            days = [("1742-6", -3), ("2324-2", -2), *([("1742-6", 50), ("2324-2", 28)] if infused_on else [])]
            for code, day in days:
                wanted.append(observation(patient, code, f"{on + timedelta(days=day)}T07:00:00+08:00", **value))
            rate = {"valueQuantity": quantity("77", "/min"), "category": _VITAL_SIGNS}
            unwanted.append(observation(patient, "8867-4", f"{on}T07:00:00+08:00", **rate))
            unwanted.append(observation(patient, "1742-6", f"{on - timedelta(days=800)}T07:00:00+08:00", **value))
        self.hospital.put(wanted)
        self.unwanted |= {*self.hospital.put(unwanted)}

    def wanted(self) -> set[str]:
        """What the hospital has of the participants by now and the adapter has to ask for."""
        patients = {*self.patients.values()}
        observations = {n: r for n, r in self.hospital.resources.items() if n.startswith("Observation/")}
        return {n for n, r in observations.items() if r["subject"]["reference"] in patients} - self.unwanted

    def send_strangers(self, count: int) -> list[bytes]:
        """Other patients with results, some with almost a participant's number; by what bytes they are known."""
        alike = [{"system": "urn:oid:2.999.99", "value": row.identifier} for row in self.plan.roster]
        alike += [
            {"system": self.systems[row.authority], "value": row.identifier.lstrip("0")}
            for row in self.plan.roster
            if row.identifier.startswith("0")
        ]
        patients, results = [], []
        for n in range(count):
            own = {"system": self.systems["NTCGH"], "value": f"QZ97{n:05d}"}
            name = {"id": f"qzp-{n:05d}", "name": [{"family": f"Qzfamily{n:05d}"}]}
            stated = [alike[n]] if n < len(alike) else [own]
            patients.append({"resourceType": "Patient", "identifier": stated, **name})
            of_them = Result(self.plan.results[n % len(self.plan.results)].cell, n)
            result = observation(f"Patient/{name['id']}", "1742-6", of_them.taken_at)
            results.append(result | {"id": f"qzo-{n:05d}", "valueQuantity": quantity(STRANGERS_VALUE, "U/L")})
        self.hospital.put(patients)
        self.hospital.put(results)
        return [b"qzp-", b"qzo-", b"Qzfamily", b"QZ97", STRANGERS_VALUE.encode()]


def trial_on(trial: FhirTrial, base_url: str, folder: Path, *lines: str) -> DaemonRun:
    """A folder with the trial's roster and a configuration that names its server, initialised and enrolled."""
    plan = trial.plan
    known = ", ".join(f'{authority} = "{system}"' for authority, system in trial.systems.items())
    sections = [
        f'[trial]\nprotocol = {json.dumps(str(MAPPINGS / "nct06984497.toml"))}\ntimezone = "Asia/Shanghai"\n',
        '[store]\nurl = "sqlite:///trial.db"\n',
        f'[[source]]\nname = "ehr"\nkind = "fhir"\nbase_url = "{base_url}"\nidentifier_system = {{ {known} }}',
        *lines,
    ]
    (folder / "config.toml").write_text("\n".join(sections), encoding="utf-8")
    with (folder / "roster.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow([field.name for field in fields(RosterRow)])
        rows.writerows(astuple(row) for row in plan.roster)
    run = DaemonRun(folder)
    run.run("init", str(folder))
    run.run("participants", "import", str(folder / "roster.csv"))
    for each in plan.ended:
        if each.why != "withdrawn":
            end(run, each)
    return run


def end(run: DaemonRun, each: Ended) -> None:
    """Note that somebody has left the trial."""
    because = ("--because", each.why, "--reason", "planned")
    run.run("participants", "withdraw", each.study_id, "--on", each.ended_on.isoformat(), *because)
