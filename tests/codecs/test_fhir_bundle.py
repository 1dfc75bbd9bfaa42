"""Bundles: pages into their entries byte for byte, and the small Bundles that are kept."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.codecs.fhir import (
    Entry,
    Fault,
    Page,
    compose,
    compose_deletion,
    compose_patients,
    reduce_patient,
    split_bundle,
    split_file,
)
from adapter.codecs.fhir_bundle import MOST_ENTRIES

PATIENT = {"resourceType": "Patient", "id": "p1", "identifier": [{"system": "urn:x", "value": "0012345"}]}
SPACED = (
    '{ "resourceType" : "Observation",\r\n\t"id":"77", "meta": {"versionId" :"3","lastUpdated":"2026-02-03T04:05:06Z"},'
)
SPACED += ' "valueQuantity": {"value": 1.10, "unit": "µmol/L"} }'


def page_of(*entries: str, **members: object) -> bytes:
    rest = "".join(f', "{name}": {json.dumps(value)}' for name, value in members.items())
    return f'{{"resourceType": "Bundle", "type": "searchset"{rest}, "entry": [ {", ".join(entries)} ]}}'.encode()


def test_an_entry_is_cut_byte_for_byte():
    raw = page_of(f'{{"fullUrl": "http://s/Observation/77", "resource": {SPACED}, "search": {{"mode": "match"}}}}')
    page = split_bundle(b"\xef\xbb\xbf" + raw)
    assert isinstance(page, Page)
    (entry,) = page.entries
    assert entry.raw == SPACED.encode()
    assert (entry.resource_type, entry.id, entry.version_id) == ("Observation", "77", "3")
    assert entry.last_updated == "2026-02-03T04:05:06Z"
    assert (entry.full_url, entry.search_mode) == ("http://s/Observation/77", "match")
    assert entry.control_id == "Observation/77/_history/3"


def test_the_next_link_alone_is_followed():
    links = [{"relation": "self", "url": "a"}, {"relation": "next", "url": "b"}]
    page = split_bundle(page_of(link=links))
    assert isinstance(page, Page)
    assert (page.next, page.entries, page.type) == ("b", (), "searchset")
    last = split_bundle(b'{"resourceType":"Bundle","type":"searchset"}')
    assert isinstance(last, Page)
    assert last.next is None


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"<html>busy</html>", "line 1, column 1: the text is not JSON"),
        (
            b'{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Obs',
            "line 1, column 63: the text is not JSON",
        ),
        (b'{"resourceType":"OperationOutcome"}', "the document: it is not a Bundle of FHIR"),
        (b"[]", "the document: it is not a Bundle of FHIR"),
        (b'{"resourceType":"Bundle","entry":[7]}', "entry[1]: is not an object"),
        (b'{"resourceType":"Bundle","entry":[],"entry":[]}', "Bundle.entry: is given twice"),
        (b'{"resourceType":"Bundle","entry":[{"resource":{},"resource":{}}]}', "entry[1]: gives its resource twice"),
    ],
)
def test_a_page_that_is_none_is_a_fault(raw, words):
    found = split_bundle(raw)
    assert isinstance(found, Fault)
    assert found.text == words


def test_a_bundle_of_too_many_entries_is_a_fault():
    found = split_bundle(page_of(*["{}"] * (MOST_ENTRIES + 1)))
    assert found == Fault("Bundle.entry", "there are more than 100000")


def test_what_is_wrong_with_one_resource_leaves_its_neighbours():
    bad = '{"resource": {"resourceType": "Observation", "id": "1", "valueInteger": NaN, "id": "1"}}'
    good = '{"resource": {"resourceType": "Observation", "id": "2"}}'
    page = split_bundle(page_of(bad, good))
    assert isinstance(page, Page)
    assert [e.id for e in page.entries] == ["1", "2"]


def test_a_history_names_what_was_deleted():
    gone = {
        "request": {"method": "DELETE", "url": "http://s/fhir/Observation/77/_history/4"},
        "response": {"status": "204 No Content", "etag": 'W/"4"', "lastModified": "2026-03-01T00:00:00Z"},
    }
    page = split_bundle(page_of(json.dumps(gone)))
    assert isinstance(page, Page)
    (entry,) = page.entries
    assert (entry.resource_type, entry.id, entry.version_id, entry.raw) == ("Observation", "77", "4", b"")
    assert (entry.method, entry.status, entry.last_modified) == ("DELETE", "204", "2026-03-01T00:00:00Z")


def test_bundles_within_bundles_are_opened_to_a_depth():
    inner = page_of(f'{{"resource": {SPACED}}}').decode()
    page = split_bundle(page_of(f'{{"resource": {inner}}}'))
    assert isinstance(page, Page)
    assert [e.raw for e in page.entries] == [SPACED.encode()]
    for _ in range(4):
        inner = page_of(f'{{"resource": {inner}}}').decode()
    assert isinstance(split_bundle(inner.encode()), Fault)


def test_a_file_is_a_bundle_a_resource_or_a_line_for_each():
    assert [e.raw for e in split_file(SPACED.encode()) if isinstance(e, Entry)] == [SPACED.encode()]
    lines = (
        b'{"resourceType":"Patient","id":"a"}\r\n\r\n{"resourceType":"Obs\n{"resourceType":"Observation","id":"b"}\n'
    )
    first, cut, last = split_file(lines)
    assert isinstance(first, Entry)
    assert isinstance(last, Entry)
    assert (first.control_id, last.control_id) == ("Patient/a", "Observation/b")
    assert cut == Fault("line 3", "the text is not JSON")
    assert isinstance(split_file(b'{"response": 1}')[0], Fault)


def test_a_patient_is_reduced_to_what_the_match_needs():
    raw = json.dumps(
        {
            "resourceType": "Patient",
            "id": "p1",
            "meta": {"versionId": "9"},
            "name": [{"family": "Invented"}],
            "address": [{"city": "Nowhere"}],
            "identifier": [
                {"use": "usual", "system": "urn:x", "value": "1", "assigner": {"display": "d"}},
                {"value": "2"},
            ],
            "birthDate": "1970-03-14",
            "gender": "female",
            "link": [{"other": {"reference": "Patient/p2", "display": "Invented"}, "type": "replaced-by"}],
        }
    ).encode()
    assert reduce_patient(raw) == {
        "resourceType": "Patient",
        "id": "p1",
        "identifier": [{"system": "urn:x", "value": "1"}, {"value": "2"}],
        "birthDate": "1970-03-14",
        "gender": "female",
        "link": [{"other": {"reference": "Patient/p2"}, "type": "replaced-by"}],
    }
    assert isinstance(reduce_patient(b"{"), Fault)


def test_what_is_kept_holds_the_resources_as_they_were_sent():
    specimen = b'{"resourceType":"Specimen",  "id":"s1"}'
    kept = compose(PATIENT, SPACED.encode(), [specimen], release="R5", patient_url="urn:uuid:1")
    assert kept == compose(PATIENT, SPACED.encode(), [specimen], release="R5", patient_url="urn:uuid:1")
    page = split_bundle(kept)
    assert isinstance(page, Page)
    assert [e.raw for e in page.entries][1:] == [SPACED.encode(), specimen]
    assert (page.type, page.release, page.entries[0].full_url) == ("collection", "5.0.0", "urn:uuid:1")
    assert json.loads(kept)["entry"][0]["resource"] == PATIENT


def test_a_deletion_and_patients_alone_are_kept_as_bundles_of_their_own():
    page = split_bundle(compose_deletion(PATIENT, "Observation/77", "2026-03-01T00:00:00Z", version_id="4"))
    assert isinstance(page, Page)
    gone = page.entries[1]
    assert page.type == "history"
    assert (gone.method, gone.status, gone.control_id) == ("DELETE", "410", "Observation/77/_history/4")
    asked = split_bundle(compose_deletion(PATIENT, "Observation/77", status="404"))
    assert isinstance(asked, Page)
    assert (asked.entries[1].method, asked.entries[1].status) == ("GET", "404")
    both = split_bundle(compose_patients([PATIENT, {**PATIENT, "id": "p2"}]))
    assert isinstance(both, Page)
    assert [e.control_id for e in both.entries] == ["Patient/p1", "Patient/p2"]


@pytest.mark.parametrize(
    ("reference", "named"),
    [
        ("Patient/p1", True),
        ("Patient/p1/_history/2", True),
        ("https://server/fhir/Patient/p1", True),
        ("urn:uuid:1-2", True),
        ("#p1", True),
        ("Patient/p10", False),
        ("Patient/P1", False),
        ("Group/p1", False),
        ("p1", False),
        ("", False),
    ],
)
def test_a_reference_names_a_resource_or_another(reference, named):
    assert Entry("Patient", "p1", b"{}", full_url="urn:uuid:1-2").is_named_by(reference) is named


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8"), max_size=6), st.text(st.characters(codec="utf-8"), max_size=6)
    ),
    st.sampled_from([None, 1, 3]),
    st.booleans(),
)
def test_any_resource_survives_the_page_and_what_is_kept(members, indent, ascii_only):
    members = {**members, "resourceType": "Observation"}
    raw = json.dumps(members, indent=indent, ensure_ascii=ascii_only).encode()
    page = split_bundle(page_of(f'{{"resource":{raw.decode()}}}'))
    assert isinstance(page, Page)
    assert page.entries[0].raw == raw
    kept = split_bundle(compose(PATIENT, page.entries[0].raw))
    assert isinstance(kept, Page)
    assert kept.entries[1].raw == raw


@given(st.binary(max_size=60))
def test_no_bytes_raise(raw):
    assert isinstance(split_bundle(raw), Page | Fault)
    assert all(isinstance(each, Entry | Fault) for each in split_file(raw))
