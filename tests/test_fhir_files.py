"""Files of FHIR through ``replay`` and ``explain``: Bundles, resources alone, NDJSON; and what is asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import redirect_stdout
from datetime import UTC, date, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from trialrun import TrialRun

from adapter.cli import main
from adapter.cli.feed import document
from adapter.codecs.fhir import compose, compose_deletion, compose_patients
from adapter.intake.screen import Fate
from adapter.intake.screen_fhir import FhirScreen, ResourceHeader, ScreenedResource, new_resource
from adapter.model import Identifier, Participant
from adapter.rules.match import Roster

SITUATIONS = Path(__file__).parents[1] / "fixtures" / "messages"
MAPPINGS = Path(__file__).parents[1] / "mappings"
CONFIG = f"""
[trial]
protocol = "{MAPPINGS / "nct06984497.toml"}"
timezone = "Asia/Shanghai"
[store]
url = "sqlite:///trial.db"
[[source]]
name = "ehr"
kind = "mllp"
port = 0
authority = "NTCGH"
authorities = {{ "urn:oid:1.2.3.4" = "NTCGH" }}
"""
PATIENT = {"resourceType": "Patient", "id": "p1", "identifier": [{"system": "urn:oid:1.2.3.4", "value": "0012345"}]}
AT = datetime(2026, 9, 1, 4, 0, tzinfo=UTC)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[TrialRun]:
    (tmp_path / "config.toml").write_text(CONFIG, encoding="utf-8")
    trial = TrialRun(tmp_path / "config.toml", tmp_path / "trial.db", AT)
    yield trial
    trial.close()


def alt(**changes: Any) -> dict[str, Any]:
    found = {
        "resourceType": "Observation",
        "id": "77",
        "meta": {"versionId": "1"},
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "1742-6"}]},
        "subject": {"reference": "Patient/p1"},
        "effectiveDateTime": "2026-02-02T08:00:00+08:00",
        "valueQuantity": {"value": 54, "unit": "U/L", "system": "http://unitsofmeasure.org", "code": "U/L"},
        **changes,
    }
    return {k: v for k, v in found.items() if v is not None}


def replayed(run: TrialRun, content: bytes | str | dict[str, Any], name: str = "file.json") -> list[dict[str, Any]]:
    path = run.config.path.parent / name
    if isinstance(content, dict):
        content = json.dumps(content)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return [document(r) for r in run.replay(path, "ehr")]


def bundle(*resources: dict[str, Any], **urls: dict[str, Any]) -> dict[str, Any]:
    entries = [{"resource": r} for r in resources]
    entries += [{"fullUrl": url.replace("_", ":"), "resource": r} for url, r in urls.items()]
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}


# --- situations ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(SITUATIONS.glob("*.fhir.json")), ids=lambda p: p.name.partition(".")[0])
def test_situation(path: Path, run: TrialRun):
    expected = json.loads(path.with_name(path.name.replace(".fhir.", ".expected.")).read_text(encoding="utf-8"))
    run.enrol(SITUATIONS / "roster.csv")
    messages = [document(r) for r in run.replay(path, "ehr")]
    cells = run.table()
    assert [m["outcome"] for m in messages] == [m["outcome"] for m in expected["messages"]]
    for found, wanted in zip(messages, expected["messages"], strict=True):
        results = {r["locator"]: {**r, "value": r["value_text"]} for r in found["results"]}
        for result in wanted.get("results", []):
            actual = results[result["locator"]]
            assert {name: actual[name] for name in result} == result, actual["steps"]
        assert len(results) == len(wanted.get("results", []))
    for cell, facts in expected["values"].items():
        row = cells[("S-001", *cell.split("/"))]
        found = {name: getattr(row, name) for name in facts}
        if "collected_at" in facts:
            found["collected_at"] = row.collected_at and row.collected_at[: len("2026-01-05")]
        assert found == facts, cell
    assert sorted(s.item.reason for s in run.store.open_items()) == expected["review"]


# --- files --------------------------------------------------------------------------------------------------------


def test_a_single_resource_names_its_patient_by_identifier(run: TrialRun):
    run.enrol(SITUATIONS / "roster.csv")
    subject = {"identifier": {"system": "urn:oid:1.2.3.4", "value": "0012345"}}
    (report,) = replayed(run, alt(subject=subject))
    assert (report["outcome"], report["type"], report["message_id"]) == (
        "accepted",
        "Observation",
        "Observation/77/_history/1",
    )
    (again,) = replayed(run, alt(subject=subject))
    assert again["outcome"] == "duplicate"
    (other,) = replayed(run, alt(subject=subject, valueQuantity={"value": 55}))
    assert (other["outcome"], other["detail"]) == (
        "accepted",
        "kept; what is held under the same version has other content",
    )


@pytest.mark.parametrize(
    ("subject", "outcome", "detail"),
    [
        (
            {"reference": "Patient/p9"},
            "refused",
            "Observation.subject names no Patient that can be read in this file",
        ),
        (None, "refused", "Observation.subject names no patient"),
        ({"display": "Invented"}, "refused", "Observation.subject names no patient"),
        ({"reference": "Device/1"}, "ignored", "Observation.subject is no patient"),
        (
            {"identifier": {"system": "urn:oid:9", "value": "0012345"}},
            "stranger",
            "no participant's: nothing of it is kept",
        ),
        (
            {"identifier": {"system": "urn:oid:1.2.3.4", "value": "12345"}},
            "stranger",
            "no participant's: nothing of it is kept",
        ),
    ],
)
def test_whose_patient_cannot_be_made_out_is_nobodys(run: TrialRun, subject, outcome, detail):
    run.enrol(SITUATIONS / "roster.csv")
    (report,) = replayed(run, alt(subject=subject))
    assert (report["outcome"], report["detail"], report["results"]) == (outcome, detail, [])
    assert run.store.inbox_counts() == {"pending": 0, "done": 0, "failed": 0}


def test_ndjson_is_read_line_by_line_and_a_bad_line_is_one(run: TrialRun):
    run.enrol(SITUATIONS / "roster.csv")
    lines = [
        json.dumps(PATIENT),
        '{"resourceType": "Obs',
        json.dumps(alt()),
        json.dumps(alt(id="78", status="cancelled")),
    ]
    reports = replayed(run, "\n".join(lines) + "\n", "file.ndjson")
    assert [r["outcome"] for r in reports] == ["ignored", "unreadable", "accepted", "accepted"]
    assert reports[1]["detail"] == "line 2: the text is not JSON"
    assert [r["results"][0]["outcome"] for r in reports[2:]] == ["placed", "not_done"]


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b'{"resourceType": "Bundle", "entry": [', "line 1, column 38: the text is not JSON"),
        (b'{"a": 1}', "the document: it is not a resource of FHIR: there is no resourceType"),
        (b"[1, 2]", "the document: it is not a resource of FHIR: there is no resourceType"),
        (b"\xef\xbb\xbf <Bundle/>", "FHIR is read as JSON, and this is XML"),
        (b'{"resourceType":"Bundle","type":"collection"}', "the file holds no resource"),
        (b'{"resourceType": "Observation", "id": "\xff"}', "byte 40: the bytes are not UTF-8"),
    ],
)
def test_a_file_of_which_nothing_can_be_read_is_one_object(run: TrialRun, content, detail):
    (report,) = replayed(run, content)
    assert (report["outcome"], report["detail"], report["message_id"]) == ("unreadable", detail, None)


def test_references_are_resolved_on_their_own_server(run: TrialRun):
    run.enrol(SITUATIONS / "roster.csv")
    stranger = {**PATIENT, "identifier": [{"system": "urn:oid:1.2.3.4", "value": "999"}]}
    urls = ("http://a/Patient/p1", stranger), ("http://b/Patient/p1", PATIENT)
    sent = [
        {"fullUrl": "http://a/Observation/1", "resource": alt(id="1")},
        {"fullUrl": "http://b/Observation/2", "resource": alt(id="2")},
        {"fullUrl": "http://a/Observation/3", "resource": alt(id="3", subject={"reference": "http://b/Patient/p1"})},
        {"fullUrl": "http://b/Observation/4", "resource": alt(id="4", subject={"reference": "http://c/Patient/p1"})},
    ]
    entries = [{"fullUrl": url, "resource": r} for url, r in urls] + sent
    reports = replayed(run, {"resourceType": "Bundle", "type": "collection", "entry": entries})
    assert [r["outcome"] for r in reports[2:]] == ["stranger", "accepted", "accepted", "refused"]


def test_a_transaction_names_its_resources_by_uuid(run: TrialRun):
    run.enrol(SITUATIONS / "roster.csv")
    nameless = {k: v for k, v in PATIENT.items() if k != "id"}
    specimen = {"resourceType": "Specimen", "type": {"text": "Ascites"}}
    observation = alt(id=None, subject={"reference": "urn:uuid:1"}, specimen={"reference": "urn:uuid:2"})
    reports = replayed(run, bundle(urn_uuid_1=nameless, urn_uuid_2=specimen, urn_uuid_3=observation))
    assert [r["outcome"] for r in reports] == ["ignored", "ignored", "accepted"]
    assert reports[2]["message_id"] == "urn:uuid:3"
    (result,) = reports[2]["results"]
    assert (result["outcome"], result["reason"]) == ("held", "wrong_specimen")


def test_nothing_of_strangers_is_left_behind(run: TrialRun, tmp_path: Path):
    run.enrol(SITUATIONS / "roster.csv")
    reports = replayed(run, bundle({**PATIENT, "identifier": [{"value": "77", "system": "urn:oid:1.2.3.4"}]}, alt()))
    assert [r["outcome"] for r in reports] == ["ignored", "stranger"]
    assert run.store.results() == []
    told = [{name: text for name, text in each.items() if name != "file"} for each in reports]
    assert "54" not in json.dumps(told)


def test_the_bytes_that_are_kept_are_those_that_were_sent(run: TrialRun):
    run.enrol(SITUATIONS / "roster.csv")
    sent = '{ "resourceType":"Observation",\t"id":"77", "status":"final","code":{"text":"谷丙"},'
    sent += '"subject":{"reference":"Patient/p1"} }'
    named = {**PATIENT, "name": [{"text": "Invented Name"}], "telecom": [{"value": "000"}]}
    entries = f'{{"resource":{json.dumps(named)}}},{{"resource":{sent}}}'
    content = f'{{"resourceType":"Bundle","type":"collection","entry":[{entries}]}}'
    replayed(run, content)
    (kept,) = run.store.received("S-001")
    assert sent.encode() in kept.raw
    assert b"Invented Name" not in kept.raw
    assert b"telecom" not in kept.raw
    assert kept.kind == "fhir"


def test_explain_tells_and_writes_nothing(run: TrialRun, tmp_path: Path):
    run.enrol(SITUATIONS / "roster.csv")
    path = tmp_path / "one.json"
    path.write_text(json.dumps(alt(subject={"reference": "Patient/unknown"}, status=None)), encoding="utf-8")
    before = (run.store.head(), run.store.inbox_counts())
    out = StringIO()
    with redirect_stdout(out), pytest.raises(SystemExit) as ended:
        main(["-c", str(run.config.path), "explain", str(path), "--as", "S-001", "--json"])
    (report,) = json.loads(out.getvalue())
    assert ended.value.code in (0, None)
    assert report["structure"] == ["Observation/77.status: is required and missing"]
    (result,) = report["results"]
    assert (result["locator"], result["outcome"], result["reason"]) == ("Observation/77", "held", "unreadable_message")
    assert (run.store.head(), run.store.inbox_counts()) == before


# --- whose it is, and what is asked ---------------------------------------------------------------------------------


def screen_for(*people: Participant, run: TrialRun) -> FhirScreen:
    for person in people:
        run.put(person)
    return FhirScreen(run.screen("ehr").source, Roster(run.store.participants()), "Asia/Shanghai")


def one(study_id: str = "S-001", **more: Any) -> Participant:
    return Participant(study_id, (Identifier("0012345", "NTCGH"),), infused_at="2026-01-05", **more)


def take(run: TrialRun, screened: ScreenedResource) -> None:
    with run.store.write() as tx:
        tx.add_messages([new_resource("ehr", screened, AT)])
    run.settler.settle(run.book)


def items(run: TrialRun) -> list[tuple[str, str]]:
    return [(s.item.reason, s.item.detail.get("field") or s.item.detail.get("why", "")) for s in run.store.open_items()]


def test_an_observation_about_somebody_else_is_not_kept(run: TrialRun):
    screened = screen_for(one(), run=run).judge(
        compose(PATIENT, json.dumps(alt(subject={"reference": "Patient/p2"})).encode()), AT
    )
    assert (screened.fate, screened.kept) == (Fate.STRANGER, b"")


def test_an_observation_about_somebody_else_is_asked_about_where_it_was_kept_all_the_same(run: TrialRun):
    run.put(one())
    kept = compose(PATIENT, json.dumps(alt(subject={"reference": "Patient/p2"})).encode())
    header = ResourceHeader("Observation", "Observation/77/_history/1")
    take(run, ScreenedResource(Fate.ACCEPTED, header, "kept", kept=kept, scopes=("S-001",)))
    assert items(run) == [("identity_conflict", "Observation.subject")]
    assert run.table()["S-001", "week-4", "ALT"].status == "in_review"


@pytest.mark.parametrize(
    ("effective", "fate"),
    [
        ("2026-02-01", Fate.ACCEPTED),
        ("2026-02-02T00:10:00+08:00", Fate.STRANGER),
        ("2026-02", Fate.STRANGER),
        (None, Fate.STRANGER),
    ],
)
def test_what_was_taken_from_the_withdrawal_on_is_a_strangers(run: TrialRun, effective, fate):
    screen = screen_for(one(ended_on=date(2026, 2, 2), ended_by="withdrawn"), run=run)
    screened = screen.judge(compose(PATIENT, json.dumps(alt(effectiveDateTime=effective)).encode()), AT)
    assert screened.fate == fate


def test_a_deletion_of_the_servers_takes_back_what_was_stored(run: TrialRun):
    screen = screen_for(one(), run=run)
    take(run, screen.judge(compose(PATIENT, json.dumps(alt()).encode()), AT))
    assert run.table()["S-001", "week-4", "ALT"].status == "captured"
    take(run, screen.judge(compose_deletion(PATIENT, "Observation/77", "2026-03-01T00:00:00Z"), AT))
    assert run.table()["S-001", "week-4", "ALT"].status == "missing"
    assert items(run) == []


def test_what_vanished_is_asked_and_stays(run: TrialRun):
    screen = screen_for(one(), run=run)
    take(run, screen.judge(compose(PATIENT, json.dumps(alt()).encode()), AT))
    take(run, screen.judge(compose_deletion(PATIENT, "Observation/77", status="404"), AT))
    assert run.table()["S-001", "week-4", "ALT"].value_text == "54"
    assert items(run) == [
        ("unreadable_message", "Observation/77: the server no longer has it, and does not say that it was deleted")
    ]


def test_several_patients_for_one_identifier_are_asked_about(run: TrialRun):
    screen = screen_for(one(), run=run)
    take(run, screen.judge(compose_patients([PATIENT, {**PATIENT, "id": "p2"}]), AT))
    assert items(run) == [("identity_conflict", "Patient.identifier, which several patients of the server carry")]


def test_a_patient_that_was_replaced_is_a_merge(run: TrialRun):
    run.enrol(SITUATIONS / "roster.csv")
    replaced = {**PATIENT, "link": [{"other": {"reference": "Patient/p2"}, "type": "replaced-by"}]}
    reports = replayed(run, bundle(replaced, alt()))
    assert [r["outcome"] for r in reports] == ["accepted", "accepted"]
    assert items(run) == [("identity_merge", "")]
    assert run.table()["S-001", "week-4", "ALT"].value_text == "54"


def test_two_participants_of_one_patient_are_asked_about(run: TrialRun):
    screen = screen_for(one(), Participant("S-002", (Identifier("77", "NTCGH"),)), run=run)
    both = {**PATIENT, "identifier": [*PATIENT["identifier"], {"value": "77"}]}
    screened = screen.judge(compose(both, json.dumps(alt()).encode()), AT)
    assert screened.scopes == ("S-001", "S-002", "@")
    take(run, screened)
    assert [reason for reason, _ in items(run)] == ["identity_conflict"]


def test_a_resource_that_no_longer_reads_is_asked_with_its_place_and_no_value(run: TrialRun):
    screen = screen_for(one(), run=run)
    broken = (
        b'{"resourceType":"Observation","id":"77","subject":{"reference":"Patient/p1"},"note":"Invented","note":"x"}'
    )
    take(run, screen.judge(compose(PATIENT, broken), AT))
    assert items(run) == [("unreadable_message", "Observation/77: an object gives one name twice")]
