"""A server in trouble: what is asked again, when, how often, and what is never taken for an answer."""

from __future__ import annotations

import gzip
import json
import socket
import tracemalloc
from contextlib import closing
from datetime import timedelta
from email.utils import format_datetime

import pytest
from fhir_peer import Clock, Scripted, asking, outcome, page, resource, serving
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter.intake.fhir_client import FhirClient, FhirError

PAGE = page("a")


def search(client: FhirClient) -> list[bytes]:
    return [one.body for one in client.observations([("patient", "Patient/7")])]


def refused(client: FhirClient) -> FhirError:
    with pytest.raises(FhirError) as caught:
        search(client)
    assert "Patient/7" not in str(caught.value)
    return caught.value


def unavailable(retry_after: str | None = None, status: int = 503) -> Scripted:
    return Scripted(status, b"busy", {} if retry_after is None else {"Retry-After": retry_after}, "text/plain")


PASSING = {
    "429": unavailable(status=429),
    "502": unavailable(status=502),
    "503": unavailable(),
    "504": unavailable(status=504),
    "connection ended": Scripted(drop=True),
    "cut body": Scripted(200, PAGE.body, cut=10),
    "cut chunk": Scripted(200, PAGE.body, chunked=True, cut=10),
    "cut between chunks": Scripted(200, PAGE.body, chunked=True, cut=len(PAGE.body) + 6),
    "cut without a length": Scripted(200, PAGE.body[:20]),
    "no JSON": Scripted(200, b"{]"),
    "an empty body": Scripted(200, b""),
    "no UTF-8": Scripted(200, b'{"resourceType": "Bundle", "x": "\xff"}'),
    "no gzip": Scripted(200, PAGE.body, {"Content-Encoding": "gzip"}),
    "cut gzip": Scripted(200, gzip.compress(PAGE.body)[:-20], {"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("trouble", PASSING.values(), ids=PASSING.keys())
def test_what_passes_is_asked_again_and_the_page_comes(trouble: Scripted) -> None:
    clock = Clock()
    with serving(trouble, trouble, PAGE) as peer, asking(peer, clock) as client:
        assert search(client) == [PAGE.body]
        assert clock.slept == [1.0, 2.0]


@pytest.mark.parametrize("trouble", PASSING.values(), ids=PASSING.keys())
def test_what_does_not_pass_is_a_transient_error_after_the_last_try(trouble: Scripted) -> None:
    clock = Clock()
    with serving(*[trouble] * 9) as peer, asking(peer, clock, max_tries=4) as client:
        error = refused(client)
        assert error.transient
        assert not error.unsupported_parameter
        assert (len(peer.asked), clock.slept) == (4, [1.0, 2.0, 4.0])


@pytest.mark.parametrize("status", [400, 403, 404, 405, 410, 500, 501])
def test_a_refusal_is_not_asked_again(status: int) -> None:
    with serving(outcome(status, "exception"), PAGE) as peer, asking(peer) as client:
        error = refused(client)
        assert (error.status, error.transient, peer.left) == (status, status >= 500, 1)


@pytest.mark.parametrize("status", [201, 202, 204, 206, 304])
def test_only_200_is_a_page(status: int) -> None:
    # Neither 204 nor 304 has a body; one would be taken for the next answer on the connection.
    answer = Scripted(status, b"" if status in (204, 304) else PAGE.body)
    with serving(answer) as peer, asking(peer) as client:
        assert not refused(client).transient


def test_jitter_is_half_of_the_wait_at_most() -> None:
    clock = Clock()
    with serving(*[unavailable()] * 9) as peer, asking(peer, clock, random=0.0, max_tries=4) as client:
        refused(client)
        assert clock.slept == [0.5, 1.0, 2.0]


def test_no_wait_is_longer_than_a_minute() -> None:
    clock = Clock()
    with serving(*[unavailable()] * 12) as peer, asking(peer, clock, max_tries=10, max_retry_seconds=3600) as client:
        refused(client)
        assert clock.slept == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_all_tries_together_stay_within_their_time() -> None:
    clock = Clock()
    with serving(*[unavailable()] * 9) as peer, asking(peer, clock, max_retry_seconds=10) as client:
        refused(client)
        assert clock.slept == [1, 2, 4]


# --- Retry-After -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("retry_after", "slept"),
    [
        ("7", 7.0),
        ("0", 1.0),
        ("-5", 1.0),
        ("soon", 1.0),
        ("", 1.0),
        ("1.5", 1.0),
        ("Sun, 99 Mar 2026 08:00:00 GMT", 1.0),
    ],
)
def test_a_server_is_not_asked_before_its_retry_after_in_seconds(retry_after: str, slept: float) -> None:
    clock = Clock()
    with serving(unavailable(retry_after), PAGE) as peer, asking(peer, clock) as client:
        assert search(client) == [PAGE.body]
        assert clock.slept == [slept]


@pytest.mark.parametrize(("seconds", "slept"), [(30, 30.0), (-30, 1.0)])
def test_a_retry_after_can_be_a_date(seconds: int, slept: float) -> None:
    clock = Clock()
    at = format_datetime(clock.now() + timedelta(seconds=seconds), usegmt=True)
    with serving(unavailable(at), PAGE) as peer, asking(peer, clock) as client:
        search(client)
        assert clock.slept == [slept]


@pytest.mark.parametrize("retry_after", ["3600", "9999999", "Sun, 01 Mar 2026 09:00:00 GMT"])
def test_a_retry_after_beyond_the_time_allowed_is_left_to_the_caller(retry_after: str) -> None:
    clock = Clock()
    with serving(unavailable(retry_after, status=429), PAGE) as peer, asking(peer, clock) as client:
        error = refused(client)
        assert error.retry_at is not None
        assert error.retry_at >= clock.now() + timedelta(hours=1)
        assert (clock.slept, peer.left) == ([], 1)


# --- time and size -----------------------------------------------------------------------------------------------


def test_a_server_that_does_not_answer_is_given_up_after_the_read_time_out() -> None:
    with serving(Scripted(hang=True)) as peer, asking(peer, read_timeout_seconds=0.1, max_tries=1) as client:
        error = refused(client)
        assert error.transient
        assert error.cause == "no answer in time"


def test_a_body_that_stops_coming_is_given_up_and_asked_for_again() -> None:
    with serving(Scripted(200, PAGE.body, drip=True), PAGE) as peer, asking(peer, read_timeout_seconds=0.1) as client:
        assert search(client) == [PAGE.body]


def test_an_answer_that_takes_longer_than_a_page_may_is_given_up() -> None:
    clock = Clock()
    trickle = Scripted(200, PAGE.body, drip=True)
    with serving(trickle) as peer, asking(peer, clock, page_timeout_seconds=60, max_tries=1) as client:
        answer = peer.handler

        def slowly(asked):  # type: ignore[no-untyped-def]
            clock.pass_by(61)
            return answer(asked)

        peer.handler = slowly
        error = refused(client)
        assert error.transient
        assert "not complete within 60 s" in error.cause


def test_nobody_listening_is_a_transient_error_in_the_systems_words() -> None:
    clock = Clock()
    with closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with serving() as peer, asking(peer, clock, base_url=f"http://127.0.0.1:{port}/fhir") as client:
            error = refused(client)
    assert error.transient
    assert "Connection refused" in error.cause
    assert clock.slept == [1, 2, 4, 8, 16]


def test_a_host_that_has_no_address_is_a_transient_error() -> None:
    with serving() as peer, asking(peer, base_url="http://lab.invalid/fhir", max_tries=1) as client:
        assert refused(client).transient


def bundle_of(size: int) -> bytes:
    start = b'{"resourceType": "Bundle", "x": "'
    return start + b"x" * (size - len(start) - 2) + b'"}'


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_body_may_be_as_large_as_its_limit_and_no_larger(encoding: str) -> None:
    def answer(size: int) -> Scripted:
        body = bundle_of(size)
        return Scripted(200, gzip.compress(body) if encoding == "gzip" else body, {"Content-Encoding": encoding})

    with serving(answer(100_000), answer(100_001)) as peer, asking(peer, max_body_bytes=100_000) as client:
        assert len(search(client)[0]) == 100_000
        error = refused(client)
        assert "larger than 100000 bytes" in error.cause
        assert not error.transient


def test_a_gzip_bomb_is_left_as_soon_as_it_passes_the_limit() -> None:
    bomb = gzip.compress(bytes(200 * 2**20), compresslevel=9)
    twice = gzip.compress(bomb)
    for body, encoding in ((bomb, "gzip"), (twice, "gzip, gzip")):
        answer = Scripted(200, body, {"Content-Encoding": encoding})
        with serving(answer) as peer, asking(peer, max_body_bytes=2**20) as client:
            tracemalloc.start()
            try:
                assert "larger than" in refused(client).cause
                assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
            finally:
                tracemalloc.stop()


def test_a_bomb_in_an_error_or_a_redirect_is_left_too() -> None:
    bomb = gzip.compress(bytes(50 * 2**20), compresslevel=9)
    for status, headers in ((400, {}), (302, {"Location": "/fhir/x"})):
        answer = Scripted(status, bomb, {"Content-Encoding": "gzip", **headers})
        with serving(answer) as peer, asking(peer, max_body_bytes=2**20) as client:
            assert "larger than" in refused(client).cause


def test_a_document_nested_without_end_is_an_error() -> None:
    body = b'{"resourceType": "Bundle", "x": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"
    with serving(Scripted(200, body)) as peer, asking(peer) as client:
        assert "nested too deeply" in refused(client).cause


def test_a_number_of_any_length_is_a_number() -> None:
    body = b'{"resourceType": "Bundle", "x": ' + b"1" * 10_000 + b"}"
    with serving(Scripted(200, body)) as peer, asking(peer) as client:
        assert search(client) == [body]


@pytest.mark.parametrize("content_type", [None, "text/html", "application/fhir+xml", "text/plain; charset=utf-8"])
def test_anything_but_json_is_an_error_and_not_asked_again(content_type: str | None) -> None:
    with serving(Scripted(200, PAGE.body, content_type=content_type), PAGE) as peer, asking(peer) as client:
        error = refused(client)
        assert "not JSON by its Content-Type" in error.cause
        assert (error.transient, peer.left) == (False, 1)


@pytest.mark.parametrize(
    "content_type",
    ["application/fhir+json; charset=UTF-8", "Application/JSON", "application/json+fhir;fhirVersion=4.0"],
)
def test_json_has_several_names(content_type: str) -> None:
    with serving(Scripted(200, PAGE.body, content_type=content_type)) as peer, asking(peer) as client:
        assert search(client) == [PAGE.body]


# --- redirects ---------------------------------------------------------------------------------------------------


def redirect(location: str, status: int = 302) -> Scripted:
    return Scripted(status, b"", {"Location": location})


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_within_the_origin_is_followed(status: int) -> None:
    with serving(redirect("/fhir/r4/Observation?x=1", status), PAGE) as peer, asking(peer) as client:
        assert search(client) == [PAGE.body]
        assert peer.asked[1].target == "/fhir/r4/Observation?x=1"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_origin_is_not_followed(status: int) -> None:
    with serving() as other, serving(redirect(f"{other.base_url}/Observation", status)) as peer, asking(peer) as client:
        error = refused(client)
        assert f"redirects to another origin ({other.origin})" in error.cause
        assert (error.transient, other.asked) == (False, [])


@pytest.mark.parametrize(
    "location", ["", "https://[::1", "http://a@127.0.0.1/", "\\\\other.example", "ftp://127.0.0.1/"]
)
def test_a_redirect_to_nowhere_is_an_error(location: str) -> None:
    with serving(*[redirect(location)] * 9) as peer, asking(peer) as client:
        assert "redirects" in refused(client).cause


def test_a_post_is_not_redirected() -> None:
    with serving() as peer, asking(peer) as client:
        peer.script(redirect(f"{peer.base_url}/Patient", 303))
        with pytest.raises(FhirError, match="redirects a POST"):
            client.find_patients("urn:oid:1.2", "00123")
        assert len(peer.asked) == 1


def test_redirects_in_a_circle_end() -> None:
    with serving(*[redirect("/fhir/Observation")] * 20) as peer, asking(peer) as client:
        assert "more than 5 redirects" in refused(client).cause
        assert len(peer.asked) == 6


# --- whatever the order ------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(st.lists(st.sampled_from(sorted(PASSING)), max_size=8))
def test_whatever_passes_the_pages_are_all_there_and_each_once(troubles: list[str]) -> None:
    pages = [page(str(number), next_url=f"?page={number + 1}") for number in range(3)] + [page("3")]
    answers: list[Scripted] = []
    for number, one in enumerate(pages):
        answers += [*(PASSING[name] for name in troubles[number::4]), one]
    with serving(*answers) as peer, asking(peer) as client:
        assert search(client) == [one.body for one in pages]
        assert peer.left == 0


def test_a_failed_search_can_be_repeated_by_the_same_client() -> None:
    with serving(*[Scripted(drop=True)] * 2, PAGE) as peer, asking(peer, max_tries=2) as client:
        refused(client)
        assert search(client) == [PAGE.body]


def test_an_outcome_in_place_of_a_page_is_an_error() -> None:
    warning = resource({"resourceType": "OperationOutcome", "issue": [{"code": "informational"}]})
    with serving(warning) as peer, asking(peer) as client:
        assert "is no Bundle" in refused(client).cause
        assert json.loads(warning.body)["resourceType"] == "OperationOutcome"
