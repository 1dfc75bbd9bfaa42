"""Which pages the client follows, and which addresses it takes for its server's."""

from __future__ import annotations

import json

import pytest
from fhir_peer import asking, page, resource, serving
from hypothesis import given
from hypothesis import strategies as st

from adapter.intake.fhir_address import ServiceBase, origin_of
from adapter.intake.fhir_client import FhirClient, FhirError

SYSTEM = "urn:oid:1.2.3.4"
PATIENTS = resource({"resourceType": "Bundle", "type": "searchset", "entry": []})


def ids(client: FhirClient) -> list[list[str]]:
    pages = client.observations([("patient", "Patient/7")])
    return [[entry["resource"]["id"] for entry in json.loads(one.body).get("entry", [])] for one in pages]


def refused(client: FhirClient) -> FhirError:
    with pytest.raises(FhirError) as caught:
        ids(client)
    return caught.value


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("{origin}/fhir?_getpages=1&_offset=20", "/fhir?_getpages=1&_offset=20"),
        ("{origin}/fhir/Observation/next/2", "/fhir/Observation/next/2"),
        ("Observation?page=2", "/fhir/Observation?page=2"),
        ("?page=2", "/fhir/Observation?page=2"),
        ("/fhir/Observation?page=2#top", "/fhir/Observation?page=2"),
    ],
)
def test_next_links_within_the_base_are_followed_absolute_or_relative(link: str, target: str) -> None:
    with serving() as peer, asking(peer) as client:
        peer.script(page("a", next_url=link.format(origin=peer.origin)), page("b"))
        assert ids(client) == [["a"], ["b"]]
        assert peer.asked[1].target == target


FOREIGN = [
    "http://127.0.0.1:1/fhir/Observation?page=2",
    "https://{host}/fhir/Observation?page=2",
    "http://localhost:{port}/fhir/Observation?page=2",
    "//other.example/fhir?page=2",
    "http://{host}/other/Observation?page=2",
    "http://{host}/fhirother?page=2",
    "http://{host}/fhir/../other?page=2",
    "http://{host}/fhir/%2e%2e/other?page=2",
    "http://{host}/fhir/%252e%252E/other?page=2",
    "http://{host}/fhir/..%5cother?page=2",
    "http://user@{host}/fhir/Observation?page=2",
    "http://other.example\\@{host}/fhir/Observation?page=2",
    "http://{host}\t/fhir/Observation?page=2",
    "../other?page=2",
    "ftp://{host}/fhir",
    "http://[::1/fhir",
    "http://127.0.0.1:port/fhir",
]


@pytest.mark.parametrize("link", FOREIGN)
def test_a_next_link_that_leaves_the_base_is_refused_and_nothing_is_sent_there(link: str) -> None:
    with serving() as peer, serving() as other, asking(peer) as client:
        host = peer.origin.removeprefix("http://")
        link = link.format(host=host, port=host.partition(":")[2]).replace("127.0.0.1:1/", other.origin[7:] + "/")
        peer.script(page("a", next_url=link))
        error = refused(client)
        assert "leaves the scheme, host, port or path of base_url" in str(error)
        assert not error.transient
        assert (len(peer.asked), other.asked) == (1, [])


def test_pages_before_a_refused_link_are_given() -> None:
    with serving() as peer, asking(peer) as client:
        peer.script(page("a", next_url="?page=2"), page("b", next_url="http://other.example/fhir"))
        pages = client.observations([])
        assert [json.loads(next(pages).body)["entry"][0]["resource"]["id"] for _ in range(2)] == ["a", "b"]
        with pytest.raises(FhirError, match="next link of page 2 leaves"):
            next(pages)


@pytest.mark.parametrize(
    "links", [["?patient=Patient%2F7&_count=100"], ["?page=2", "?page=2"], ["?p=2", "?p=3", "?p=2"]]
)
def test_a_next_link_that_was_followed_before_is_refused(links: list[str]) -> None:
    with serving() as peer, asking(peer) as client:
        peer.script(*(page("a", next_url=link) for link in links))
        assert "followed before" in str(refused(client))
        assert peer.left == 0


def test_pages_end_at_their_limit() -> None:
    with serving() as peer, asking(peer, max_pages=3) as client:
        peer.script(*(page("a", next_url=f"?page={number}") for number in range(2, 9)))
        assert "more than 3 pages" in str(refused(client))
        assert len(peer.asked) <= 4


def test_as_many_pages_as_the_limit_are_no_error() -> None:
    with serving() as peer, asking(peer, max_pages=2) as client:
        peer.script(page("a", next_url="?page=2"), page("b"))
        assert ids(client) == [["a"], ["b"]]


def test_a_next_link_that_would_put_the_identifier_into_a_url_is_refused() -> None:
    bundle = {
        "resourceType": "Bundle",
        "link": [{"relation": "next", "url": f"Patient?identifier={SYSTEM}|00123&page=2"}],
    }
    with serving(resource(bundle)) as peer, asking(peer) as client:
        pages = client.find_patients(SYSTEM, "00123")
        next(pages)
        with pytest.raises(FhirError, match="holds the patient's identifier") as caught:
            next(pages)
        assert "00123" not in str(caught.value)
        assert len(peer.asked) == 1


@pytest.mark.parametrize("name", ["patient", "subject", "patient:Patient"])
def test_a_next_link_that_would_put_the_patient_into_a_url_is_refused_where_none_may(name: str) -> None:
    with serving(page("a", next_url=f"?{name}=00123&page=2")) as peer, asking(peer) as client:
        pages = client.observations([("patient", "00123")], by_post=True)
        next(pages)
        with pytest.raises(FhirError, match="holds the patient's identifier") as caught:
            next(pages)
        assert "00123" not in str(caught.value)
        assert len(peer.asked) == 1


def test_a_second_page_of_patients_is_followed_relative_to_the_search() -> None:
    bundle = {"resourceType": "Bundle", "link": [{"relation": "next", "url": "Patient?token=2"}]}
    with serving(resource(bundle), PATIENTS) as peer, asking(peer) as client:
        assert len(list(client.find_patients(SYSTEM, "00123"))) == 2
        assert (peer.asked[1].method, peer.asked[1].target) == ("GET", "/fhir/Patient?token=2")


@pytest.mark.parametrize(
    "body",
    [
        {"resourceType": "Patient", "id": "1"},
        {"resourceType": "OperationOutcome", "issue": []},
        {"entry": []},
        [],
    ],
)
def test_an_answer_that_is_no_bundle_is_an_error(body: object) -> None:
    with serving(resource(body)) as peer, asking(peer) as client:  # type: ignore[arg-type]
        assert "the answer is no Bundle" in str(refused(client))


@pytest.mark.parametrize(
    "link", [{"relation": "next"}, {"relation": "next", "url": ""}, {"relation": "next", "url": None}]
)
def test_a_next_link_without_a_url_is_an_error(link: dict[str, object]) -> None:
    with serving(resource({"resourceType": "Bundle", "link": [link]})) as peer, asking(peer) as client:
        assert "has no url" in str(refused(client))


# --- addresses ---------------------------------------------------------------------------------------------------

PIECES = st.sampled_from(
    "http: https: / // \\ .. . %2e %2F %5c fhir lab.example evil.example :80 @ ? #".split()  # noqa: SIM905
)


@given(st.lists(PIECES, max_size=8).map("".join))
def test_whatever_a_link_looks_like_it_resolves_beneath_the_base_or_to_nothing(link: str) -> None:
    base = ServiceBase.read("http://lab.example/fhir")
    assert base is not None
    url = base.resolve(link, "http://lab.example/fhir/Observation?x=1")
    if url is not None:
        assert str(origin_of(url)) == "http://lab.example"
        assert url.removeprefix("http://lab.example").removeprefix(":80").startswith("/fhir")
        assert ".." not in url.partition("?")[0].lower().replace("%2e", ".").split("/")


def test_the_default_port_is_the_same_as_none() -> None:
    base = ServiceBase.read("https://lab.example/fhir")
    assert base is not None
    assert base.resolve("https://LAB.example:443/fhir?page=2", base.url) == "https://LAB.example:443/fhir?page=2"
    assert base.resolve("https://lab.example:8443/fhir?page=2", base.url) is None


def test_a_server_at_the_root_of_its_host_has_all_paths() -> None:
    with serving() as peer, asking(peer, base_url=f"{peer.origin}/") as client:
        peer.script(page("a", next_url=f"{peer.origin}/Observation?page=2"), page("b"))
        assert ids(client) == [["a"], ["b"]]
