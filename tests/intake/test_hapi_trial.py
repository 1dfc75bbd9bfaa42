"""A whole trial on a HAPI FHIR server among thousands of other patients, polled through a proxy that remembers all."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from daemonrun import DaemonRun
from hapi_trial import UNITS, FhirTrial, Hospital, Plan, Result, quantity, trial_on
from recording_proxy import Exchange, recording
from servers import require
from servers.hapi import hapi_server, what_is_missing
from trialrun import eventually

pytestmark = [pytest.mark.real, pytest.mark.timeout(1800)]

PAGE_SIZE = 20
SEARCHES = ("metadata", "Patient/_search", "Observation", "/fhir")  # the last: further pages
# The shortest overlap: a later poll is to find what is new by the watermark, not by asking for everything again.
CONFIG = (f"page_size = {PAGE_SIZE}", 'overlap = "1s"')


@dataclass(frozen=True)
class Size:
    """How many are in the trial, and how many are not."""

    release: str
    participants: int
    strangers: int


@dataclass
class Story:
    """What was found when everything had happened."""

    trial: FhirTrial
    run: DaemonRun
    tell_tales: list[bytes]
    wanted_first: int
    exchanges: list[Exchange] = field(default_factory=list)
    reports: dict[str, Any] = field(default_factory=dict)
    wrong: dict[str, list[object]] = field(default_factory=dict)
    after_withdrawal: list[Exchange] = field(default_factory=list)

    @property
    def own(self) -> set[str]:
        """The participants' resources: no stranger's."""
        return {name for name in self.trial.hospital.resources if "/qz" not in name}

    def poll(self, after: str, *options: str) -> None:
        """Poll, and hold table and queue against the plan."""
        (self.reports[after],) = self.run.ask("poll", *options)
        plan = self.trial.plan
        self.wrong[after] = plan.wrong(self.run) + plan.wrong_in_queue(self.run, plan.results)


@pytest.fixture(scope="module", params=[Size("R4", 32, 2000), Size("R5", 8, 100)], ids=["R4", "R5"])
def size(request: pytest.FixtureRequest) -> Size:
    return request.param


@pytest.fixture(scope="module")
def hospital(size: Size) -> Iterator[Hospital]:
    require(what_is_missing())
    with hapi_server(size.release) as base_url, closing(Hospital(base_url)) as hospital:
        yield hospital


@pytest.fixture(scope="module")
def story(size: Size, hospital: Hospital, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """First everything but a few results that come later, then one kind of change after the other."""
    plan = Plan(size.participants)
    trial = FhirTrial(plan, hospital, "2.999.1")
    tell_tales = trial.send_strangers(size.strangers)
    trial.send_what_is_no_endpoint()
    captured = [each for each in trial.in_no_panel() if each.cell.status == "captured"]
    picked = random.Random(7).sample(captured, 40)
    late, corrected, wrong, deleted, replaced = (picked[n::5] for n in range(5))
    trial.send(each for each in plan.results if each not in late)
    with recording(hospital.base_url) as proxy:
        folder = tmp_path_factory.mktemp(size.release)
        run = trial_on(trial, proxy.base_url, folder, *CONFIG)
        story = Story(trial, run, tell_tales, len(trial.wanted()), proxy.exchanges)
        changes(story, late, corrected, wrong, deleted, replaced)
        before = len(proxy.exchanges)
        plan.withdraw(run)
        story.poll("withdrawals")
        story.after_withdrawal = proxy.exchanges[before:]
        return story


def changes(
    story: Story,
    late: list[Result],
    corrected: list[Result],
    wrong: list[Result],
    deleted: list[Result],
    replaced: list[Result],
) -> None:
    """What a hospital does to results that were sent, with a poll after each."""
    trial, plan, hospital = story.trial, story.trial.plan, story.trial.hospital
    for each in late:
        plan.now(each, None)
    story.poll("the first poll")
    story.poll("nothing")

    trial.send(late)
    for each in late:
        plan.now(each, each.cell.value_text)
    story.poll("new results")

    for each in corrected:
        value, unit = f"{Decimal(each.cell.value_text or '') + 1}", UNITS[each.cell.endpoint]
        comparator = {"comparator": each.cell.comparator} if each.cell.comparator else {}
        code = {"coding": [{"system": "http://loinc.org", "code": each.loinc}]}
        changed = {"valueQuantity": quantity(value, unit) | comparator, "code": code}
        hospital.change(trial.names[each.number], status="corrected", **changed)
        plan.now(each, value)
    story.poll("corrections")

    for each in wrong:
        hospital.change(trial.names[each.number], status="entered-in-error")
        plan.now(each, None)
    story.poll("results entered in error")

    for each in deleted:
        hospital.delete(trial.names[each.number])
    story.poll("deletions, which no search shows")
    for each in deleted:
        plan.now(each, None)
    story.poll("a sweep", "--sweep")

    for each in replaced:  # one taken back, and the right one sent under another id
        hospital.change(trial.names[each.number], status="entered-in-error")
    trial.send(replaced)
    story.poll("results made anew")


def test_the_table_and_the_queue_are_as_planned_after_each_change(story: Story):
    assert {after: wrong for after, wrong in story.wrong.items() if wrong} == {}
    assert len(story.wrong) == 9


def test_each_poll_found_what_was_new_and_nothing_else(story: Story):
    found = {after: report["new"] for after, report in story.reports.items()}
    assert found == {
        "the first poll": story.wanted_first,
        "nothing": 0,
        "new results": 8,
        "corrections": 8,
        "results entered in error": 8,
        "deletions, which no search shows": 0,
        "a sweep": 8,
        "results made anew": 16,
        "withdrawals": 0,
    }
    assert [report["errors"] + report["not_found"] for report in story.reports.values()] == [[]] * 9
    assert {report["strangers"] for report in story.reports.values()} == {0}


def test_nobody_but_the_participants_was_asked_for(story: Story):
    trial = story.trial
    known = {name.partition("/")[2] for name in trial.patients.values()}
    asked = [parameter for exchange in story.exchanges for parameter in exchange.parameters]
    assert {value for name, value in asked if name == "patient"} == known
    identifiers = {f"{trial.systems[row.authority]}|{row.identifier}" for row in trial.plan.roster}
    assert {value for name, value in asked if name == "identifier"} == identifiers
    read = {each for each in (e.path.removeprefix("/fhir/") for e in story.exchanges) if each not in SEARCHES}
    assert read
    assert {each.removesuffix("/_history") for each in read} <= story.own


def test_nothing_of_other_patients_came_back(story: Story):
    for exchange in story.exchanges:
        said = exchange.target.encode() + exchange.form.encode() + exchange.answer
        assert [word for word in story.tell_tales if word in said] == [], exchange.path
        for resource in resources_in(json.loads(exchange.answer)):
            if resource["resourceType"] in ("Patient", "Observation", "Specimen"):
                assert f"{resource['resourceType']}/{resource['id']}" in story.own
                assert resource.get("subject", {}).get("reference", "") in {"", *story.trial.patients.values()}


def resources_in(tree: Any) -> Iterator[dict[str, Any]]:
    yield tree
    for entry in tree.get("entry", []):
        if "resource" in entry:
            yield from resources_in(entry["resource"])


def test_no_identifier_stands_in_a_url(story: Story):
    said = "\n".join(exchange.target for exchange in story.exchanges)
    assert [row.study_id for row in story.trial.plan.roster if row.identifier in said] == []
    assert "QZ97" not in said


def test_pages_are_of_the_size_asked_for_and_were_all_fetched(story: Story):
    searches = [e for e in story.exchanges if e.path == "/fhir/Observation"]
    assert {dict(e.parameters)["_count"] for e in searches} == {str(PAGE_SIZE)}
    further = [e for e in story.exchanges if "_getpages" in e.target]
    assert len(further) > len(story.trial.patients)
    matches = [
        sum(entry["search"]["mode"] == "match" for entry in json.loads(e.answer).get("entry", []))
        for e in (*searches, *further)
    ]
    assert max(matches) == PAGE_SIZE


def test_no_byte_of_a_stranger_is_in_any_file_of_the_store(story: Story):
    kept = list(story.run.folder.glob("trial.db*"))
    assert story.run.folder / "trial.db" in kept
    for path in kept:
        content = path.read_bytes()
        assert [word for word in story.tell_tales if word in content] == [], path.name


def test_those_who_withdrew_are_asked_for_no_more(story: Story):
    left = {story.trial.patients[each.study_id].partition("/")[2] for each in story.trial.plan.withdrawn}
    asked = {value for e in story.after_withdrawal for name, value in e.parameters if name == "patient"}
    assert left
    assert asked == {name.partition("/")[2] for name in story.trial.patients.values()} - left


def test_half_by_mllp_half_by_fhir_a_quarter_by_both_is_the_same_trial(size: Size, hospital: Hospital, tmp_path: Path):
    plan = Plan(size.participants)
    trial = FhirTrial(plan, hospital, "2.999.2")
    shuffled = random.Random(11).sample(plan.results, len(plan.results))
    quarter = len(plan.results) // 4
    by_fhir, by_hl7 = shuffled[: 2 * quarter], shuffled[quarter:]
    trial.send(by_fhir)
    lis = '[[source]]\nname = "lis"\nkind = "mllp"\nport = 0\nauthority = "NTCGH"'
    lines = (*CONFIG, 'poll_every = "5s"', 'jitter = "1s"', lis)
    with trial_on(trial, hospital.base_url, tmp_path, *lines) as run:
        run.start()
        for each in by_hl7:
            (answer,) = run.send("lis", each.as_hl7(plan.identifier(each.cell.study_id)))
            assert answer.code == "AA"
        eventually(lambda: plan.wrong(run) == [], seconds=300)
        assert plan.wrong_in_queue(run, by_fhir + by_hl7) == []
        plan.withdraw(run)
        eventually(lambda: plan.wrong(run) == [], seconds=300)
        assert {row["source"] for row in run.ask("values", "--all") if row["source"]} == {"ehr", "lis"}
        assert run.stop() == 0
    said = run.log.read_text()
    assert [row.study_id for row in plan.roster if row.identifier in said] == []
