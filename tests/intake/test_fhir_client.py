"""What the client asks a FHIR server, and which pages it follows: on a real HTTP server."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from fhir_peer import Scripted, asking, gzipped, outcome, page, resource, serving

from adapter.intake.fhir_client import FhirClient, FhirError
from adapter.intake.fhir_settings import FhirEndpoint

SYSTEM = "urn:oid:1.2.3.4"
PATIENTS = resource({"resourceType": "Bundle", "type": "searchset", "entry": []})
LAST_UPDATED = [("patient", "Patient/7"), ("_lastUpdated", "ge2026-02-01T00:00:00Z"), ("category", "laboratory")]


def ids(client: FhirClient) -> list[list[str]]:
    pages = client.observations([("patient", "Patient/7")])
    return [[entry["resource"]["id"] for entry in json.loads(one.body).get("entry", [])] for one in pages]


# --- searches ----------------------------------------------------------------------------------------------------


def test_a_patient_is_searched_by_post_and_the_identifier_stands_in_no_url() -> None:
    with serving(PATIENTS) as peer, asking(peer) as client:
        (found,) = client.find_patients(SYSTEM, "00123")
        (asked,) = peer.asked
        assert found.body == PATIENTS.body
        assert (asked.method, asked.target) == ("POST", "/fhir/Patient/_search")
        assert asked.form == {"identifier": f"{SYSTEM}|00123", "_count": "100"}
        assert asked.headers["Content-Type"] == "application/x-www-form-urlencoded"
        assert asked.headers["Accept"] == "application/fhir+json"
        assert asked.headers["Prefer"] == "handling=strict"


def test_observations_are_searched_by_post_where_no_url_may_name_the_patient() -> None:
    with serving(page("a")) as peer, asking(peer) as client:
        assert len(list(client.observations([("patient", "00123"), ("date", "ge2026-01-01")], by_post=True))) == 1
        (asked,) = peer.asked
        assert (asked.method, asked.target) == ("POST", "/fhir/Observation/_search")
        assert asked.form == {"patient": "00123", "date": "ge2026-01-01", "_count": "100"}


def test_a_patient_is_searched_by_get_only_where_the_settings_say_so() -> None:
    with serving(PATIENTS) as peer, asking(peer, search_by_get=True, page_size=None) as client:
        list(client.find_patients(SYSTEM, "00123"))
        (asked,) = peer.asked
        assert (asked.method, asked.path, asked.query) == ("GET", "/fhir/Patient", [("identifier", f"{SYSTEM}|00123")])


def test_what_means_something_in_a_search_is_escaped_so_that_one_identifier_stays_one() -> None:
    with serving(PATIENTS) as peer, asking(peer) as client:
        list(client.find_patients(SYSTEM, "1,2|3$4\\5"))
        assert peer.asked[0].form["identifier"] == SYSTEM + "|1\\,2\\|3\\$4\\\\5"


@pytest.mark.parametrize(("system", "value"), [("", "1"), (SYSTEM, "")])
def test_half_an_identifier_is_not_searched(system: str, value: str) -> None:
    with serving() as peer, asking(peer) as client:
        with pytest.raises(FhirError, match="is empty"):
            client.find_patients(system, value)
        assert not peer.asked


def test_observations_are_given_as_sent_with_the_servers_clock() -> None:
    body = b'{"resourceType": "Bundle",\n "entry": [{"resource": {"valueQuantity": {"value": 1.10}}}]}'
    sent = Scripted(200, body, {"Date": "Sun, 01 Mar 2026 08:00:00 GMT"})
    with serving(sent) as peer, asking(peer) as client:
        (one,) = client.observations([*LAST_UPDATED, ("date", "ge2025"), ("date", "lt2026")])
        assert one.body == body
        assert one.server_date == datetime(2026, 3, 1, 8, tzinfo=UTC)
        expected = [*LAST_UPDATED, ("date", "ge2025"), ("date", "lt2026"), ("_count", "100")]
        assert (peer.asked[0].path, peer.asked[0].query) == ("/fhir/Observation", expected)


@pytest.mark.parametrize("headers", [{}, {"Date": "yesterday"}, {"Date": "Sun, 99 Mar 2026 08:00:00 GMT"}])
def test_a_server_without_a_readable_clock_has_none(headers: dict[str, str]) -> None:
    with serving(page("a", headers=headers)) as peer, asking(peer) as client:
        (one,) = client.observations([])
        assert one.server_date is None


def test_a_compressed_page_is_the_page() -> None:
    with serving(gzipped(page("a", "b"))) as peer, asking(peer) as client:
        assert ids(client) == [["a", "b"]]
        assert peer.asked[0].headers["Accept-Encoding"] == "gzip"


# --- one resource ------------------------------------------------------------------------------------------------


def test_a_resource_is_read_as_sent() -> None:
    body = b'{"resourceType":"Specimen", "id":"s1"}'
    sent = Scripted(200, body, {"Last-Modified": "Sun, 01 Mar 2026 08:00:00 GMT"})
    version = resource({"resourceType": "Observation", "id": "7"})
    with serving(sent, sent, version) as peer, asking(peer) as client:
        reply = client.read("Specimen/s1")
        assert (reply.status, reply.body) == (200, body)
        assert reply.last_modified == datetime(2026, 3, 1, 8, tzinfo=UTC)
        client.read(f"{peer.base_url}/Specimen/s1")
        client.read("Observation/7/_history/2")
        targets = ["/fhir/Specimen/s1", "/fhir/Specimen/s1", "/fhir/Observation/7/_history/2"]
        assert [asked.target for asked in peer.asked] == targets


def test_a_resource_of_another_type_is_an_error() -> None:
    other = resource({"resourceType": "OperationOutcome", "issue": []})
    with (
        serving(other) as peer,
        asking(peer) as client,
        pytest.raises(FhirError, match="the answer is no Observation"),
    ):
        client.read("Observation/7")


def test_a_proxy_of_the_environment_is_used_unless_it_is_excepted(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(PATIENTS, PATIENTS) as peer, serving() as proxy:
        proxy.script(PATIENTS)
        monkeypatch.setenv("http_proxy", proxy.origin)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        with asking(peer) as client, asking(peer, base_url="http://lab.invalid/fhir", page_size=None) as beyond:
            list(client.observations([]))
            list(beyond.observations([]))
        assert [asked.target for asked in proxy.asked] == ["http://lab.invalid/fhir/Observation"]
        assert len(peer.asked) == 1


@pytest.mark.parametrize("status", [404, 410])
def test_a_resource_that_is_not_there_is_a_reply_without_a_body(status: int) -> None:
    with serving(outcome(status, "deleted", "Observation/7 was deleted")) as peer, asking(peer) as client:
        reply = client.read("Observation/7")
        assert (reply.status, reply.body, reply.last_modified) == (status, b"", None)


@pytest.mark.parametrize(
    "reference",
    [
        "", "#specimen", "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0", "Observation/..", "Observation/7/..",
        "Observation/7/_history/..", "Observation?identifier=1", "Observation/7?x=1", "http://other.example/fhir/Observation/7",
        "Observation/" + "7" * 65, "observation/7", "Observation/7\n",
    ],
)  # fmt: skip
def test_a_reference_to_anything_else_is_not_asked_for(reference: str) -> None:
    with serving() as peer, asking(peer) as client:
        with pytest.raises(FhirError, match="none to a resource of this server"):
            client.read(reference)
        with pytest.raises(FhirError, match="none to a resource of this server"):
            client.history(reference)
        assert not peer.asked


def test_a_history_is_read_page_by_page() -> None:
    with serving() as peer, asking(peer) as client:
        peer.script(page("a", next_url=f"{peer.base_url}/Observation/7/_history?page=2"), page("b"))
        assert len(list(client.history("Observation/7"))) == 2
        assert [asked.path for asked in peer.asked] == ["/fhir/Observation/7/_history"] * 2


# --- what the server can -----------------------------------------------------------------------------------------


def statement(version: str = "4.0.1", **observation: object) -> Scripted:
    rest = [{"mode": "server", "resource": [{"type": "Patient"}, {"type": "Observation", **observation}]}]
    return resource({"resourceType": "CapabilityStatement", "fhirVersion": version, "rest": rest})


@pytest.mark.parametrize(
    ("stated", "version"),
    [("4.0.1", "R4"), ("4.3.0", "R4B"), ("4.1.0", "R4B"), ("5.0.0", "R5"), ("5.0.0-ballot", "R5")],
)
def test_the_version_is_that_of_the_statement_asked_once(stated: str, version: str) -> None:
    with serving(statement(stated)) as peer, asking(peer) as client:
        assert client.capability().fhir_version == version
        assert client.capability().fhir_version == version
        assert [asked.target for asked in peer.asked] == ["/fhir/metadata"]


@pytest.mark.parametrize("stated", ["3.0.2", "", "6.0.0"])
def test_another_version_is_an_error_unless_the_settings_name_one(stated: str) -> None:
    with serving(statement(stated), statement(stated)) as peer:
        with asking(peer) as client, pytest.raises(FhirError, match="set fhir_version"):
            client.capability()
        with asking(peer, fhir_version="R4") as client:
            assert client.capability().fhir_version == "R4"


def test_what_a_server_lists_is_what_it_supports() -> None:
    listed = statement(
        searchParam=[{"name": "patient"}, {"name": "_lastUpdated"}, {"name": "code"}],
        searchInclude=["Observation:patient", "Observation:specimen"],
        interaction=[{"code": "read"}, {"code": "history-instance"}],
    )
    with serving(listed) as peer, asking(peer) as client:
        can = client.capability()
        assert (can.supports_last_updated, can.supports_code) == (True, True)
        assert (can.supports_category, can.supports_date) == (False, False)
        assert (can.supports_specimen_include, can.supports_history) == (True, True)


def test_a_server_that_lists_nothing_is_tried_except_for_what_must_be_listed() -> None:
    with serving(statement()) as peer, asking(peer) as client:
        can = client.capability()
        assert (can.supports_last_updated, can.supports_category, can.supports_date) == (True, True, True)
        assert (can.supports_specimen_include, can.supports_history) == (False, False)


def test_parameters_of_all_resources_count_too() -> None:
    rest = {
        "mode": "server",
        "searchParam": [{"name": "_lastUpdated"}],
        "resource": [{"type": "Observation", "searchParam": [{"name": "date"}]}],
    }
    client_mode = {"mode": "client", "searchParam": [{"name": "category"}]}
    answer = {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": [rest, client_mode]}
    with serving(resource(answer)) as peer, asking(peer) as client:
        can = client.capability()
        assert (can.supports_last_updated, can.supports_category) == (True, False)


# --- refusals ----------------------------------------------------------------------------------------------------

HAPI = (
    'HAPI-0524: Unknown search parameter "_lastUpdated" for resource type "Observation". Valid search parameters for '
    "this search are: [_id, category, code, patient]"
)


@pytest.mark.parametrize(
    ("answer", "parameter"),
    [
        (outcome(400, "processing", HAPI), "_lastUpdated"),
        (outcome(400, "not-supported", "Search parameter category is not available"), "category"),
        (outcome(501, "not-supported", "_lastUpdated"), "_lastUpdated"),
        (outcome(422, "invalid", "bad _lastUpdated"), "_lastUpdated"),
        (outcome(400, "not-supported", "no"), ""),
        (outcome(400, "invalid", "search of patient: _lastUpdated is unknown"), "_lastUpdated"),
    ],
)
def test_a_search_parameter_that_the_server_does_not_support_is_named(answer: Scripted, parameter: str) -> None:
    with serving(answer) as peer, asking(peer) as client:
        with pytest.raises(FhirError) as caught:
            client.observations(LAST_UPDATED)
        error = caught.value
        assert (error.unsupported_parameter, error.parameter, error.transient) == (True, parameter, False)
        assert "HAPI" not in str(error)


@pytest.mark.parametrize(
    "answer",
    [
        outcome(400, "invalid", "something else"),
        outcome(400, "security", "_lastUpdated"),
        outcome(403, "forbidden", "_lastUpdated"),
        outcome(404, "not-supported", "_lastUpdated"),
        Scripted(400, b"<html>_lastUpdated</html>", content_type="text/html"),
        outcome(400, "processing", 'Unknown search parameter "patient"; _lastUpdated'),
        resource({"resourceType": "OperationOutcome", "issue": "not-supported"}, 400),
    ],
)
def test_another_refusal_is_no_reason_to_search_otherwise(answer: Scripted) -> None:
    with serving(answer) as peer, asking(peer) as client:
        with pytest.raises(FhirError) as caught:
            client.observations(LAST_UPDATED)
        assert not caught.value.unsupported_parameter
        assert caught.value.status == answer.status


def test_a_refusal_gives_codes_and_status_and_never_the_servers_words() -> None:
    said = "No patient 张伟 with 00123"
    answer = {
        "resourceType": "OperationOutcome",
        "issue": [{"code": "not-found"}, {"code": "00123"}, {"diagnostics": said}],
    }
    with serving(resource(answer, 400)) as peer, asking(peer) as client:
        with pytest.raises(FhirError) as caught:
            client.find_patients(SYSTEM, "00123")
        assert "HTTP 400; not-found" in str(caught.value)
        assert "00123" not in str(caught.value)
        assert "张伟" not in str(caught.value)


@pytest.mark.parametrize(
    "base_url", ["", "fhir", "ftp://h/fhir", "http://u:p@h/fhir", "http://h/fhir?x=1", "http://h/a/../b"]
)
def test_an_address_that_is_no_service_base_is_refused(base_url: str) -> None:
    with pytest.raises(FhirError, match="base_url") as caught:
        FhirClient(FhirEndpoint(base_url))
    assert "u:p" not in str(caught.value)


def test_a_closing_slash_of_the_base_makes_no_difference() -> None:
    with serving(page("a")) as peer, asking(peer, base_url=f"{peer.base_url}/") as client:
        assert ids(client) == [["a"]]
        assert peer.asked[0].path == "/fhir/Observation"


def test_nothing_that_the_libraries_log_holds_a_url(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(1)
    with serving(PATIENTS, page("a")) as peer, asking(peer, search_by_get=True) as client:
        list(client.find_patients(SYSTEM, "00123"))
        ids(client)
    assert caplog.records == []
