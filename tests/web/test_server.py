"""What a stranger on the network can do to the page's server: real sockets, limits short enough for a test."""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from threading import Event
from time import monotonic
from typing import cast
from urllib.parse import urlsplit

import pytest
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send
from test_web_daemon import certified
from webrun import WebRun

from adapter.web.page import COOKIE, MOST_BYTES, MOST_BYTES_OF_A_STRANGER
from adapter.web.patience import Limits
from adapter.web.server import WebServer

SOON = Limits(head_seconds=0.4, body_seconds=0.4)
CALM = Limits(head_seconds=1.5, body_seconds=60)  # a slow machine takes a while to know who it is
PATIENT = Limits(head_seconds=60, body_seconds=60, connections=4)
FORM = "Host: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"
ASKED = b"GET /sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@contextmanager
def served(web: WebRun, limits: Limits, **more: Path) -> Iterator[tuple[str, int]]:
    """Where the trial's page is served with these limits."""
    assert web.config.web is not None
    server = WebServer(web.app, replace(web.config.web, **more), limits)
    server.listen()
    try:
        at = urlsplit(server.url)
        yield str(at.hostname), int(at.port or 0)
    finally:
        server.stop()


@contextmanager
def served_over_tls(web: WebRun, limits: Limits) -> Iterator[tuple[tuple[str, int], ssl.SSLContext]]:
    """The same with a certificate, and what trusts it."""
    folder = web.config.path.parent
    certificate = certified(folder)
    with served(web, limits, cert=certificate, key=folder / "page.key") as at:
        yield at, ssl.create_default_context(cafile=certificate)


@pytest.fixture
def cookie(web: WebRun) -> str:
    """The header by which a coordinator is known."""
    return f"Cookie: {COOKIE}={web.sign_in('coordinator').cookies[COOKIE]}\r\n"


def connected(at: tuple[str, int], sent: bytes = b"") -> socket.socket:
    made = socket.create_connection(at, timeout=10)
    made.sendall(sent)
    return made


def is_gone(connection: socket.socket, within: float = 10) -> bool:
    """Whether the server has ended it; what it answered before is passed over."""
    connection.settimeout(within)
    try:
        while connection.recv(65536):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


def asks_without_end(connection: socket.socket) -> None:
    """Send requests, and read nothing, until the server ends it."""
    while True:
        connection.sendall(b"GET /static/page.css HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 1000)


def answer(connection: socket.socket) -> tuple[int, str]:
    """The status and the text that come, however the connection goes on."""
    response = HTTPResponse(connection)
    response.begin()
    return response.status, response.read().decode()


def sign_in_page(at: tuple[str, int]) -> int:
    """What an honest browser gets."""
    with closing(HTTPConnection(*at, timeout=10)) as browser:
        browser.request("GET", "/sign-in")
        return browser.getresponse().status


# --- how long ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /sign-",
        b"GET /sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: ",
        f"POST /sign-in HTTP/1.1\r\n{FORM}Content-Length: 100\r\n\r\ncsrf".encode(),
        f"POST /sign-in HTTP/1.1\r\n{FORM}Transfer-Encoding: chunked\r\n\r\n4\r\ncsrf\r\n".encode(),
        f"POST /review HTTP/1.1\r\n{FORM}Content-Length: 100\r\n\r\ncsrf".encode(),  # answered, and not ended
        f"GET /sign-in HTTP/1.1\r\n{FORM}Content-Length: 100\r\n\r\n".encode(),
        ASKED + b"GET /sign-",
    ],
    ids=["nothing", "half a line", "half a head", "half a body", "half a chunk", "refused", "of a GET", "a second"],
)
def test_who_does_not_end_a_request_is_not_waited_for(web: WebRun, sent: bytes):
    with served(web, SOON) as at, connected(at, sent) as slow:
        assert is_gone(slow)


def test_a_request_that_comes_a_byte_at_a_time_does_not_get_more_time(web: WebRun):
    with served(web, SOON) as at, connected(at, b"GET /sign-in HTTP/1.1\r\nAccept: ") as slow:
        end = monotonic() + 10
        with suppress(OSError):
            while not select.select([slow], [], [], 0.02)[0]:
                slow.sendall(b"x")
                assert monotonic() < end, "it is waited for as long as something comes"
        assert is_gone(slow)


def test_an_answer_that_nobody_reads_is_not_kept(web: WebRun):
    with served(web, SOON) as at, socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.settimeout(10)
        deaf.connect(at)
        with pytest.raises(ConnectionError):  # a time-out where it takes no more and does not end it either
            asks_without_end(deaf)


def test_a_form_of_somebody_who_is_signed_in_may_take_longer(web: WebRun, cookie: str):
    head = f"POST /password HTTP/1.1\r\n{FORM}{cookie}Content-Length: 6\r\n\r\nc"
    with served(web, CALM) as at, connected(at, head.encode()) as slow:
        assert not select.select([slow], [], [], 2.0)[0]
        slow.sendall(b"srf=x")
        assert answer(slow)[0] == 403


def test_and_does_not_take_for_ever(web: WebRun, cookie: str):
    head = f"POST /password HTTP/1.1\r\n{FORM}{cookie}Content-Length: 6\r\n\r\nc"
    with served(web, replace(CALM, body_seconds=2.0)) as at, connected(at, head.encode()) as slow:
        assert is_gone(slow)


def test_a_browser_that_goes_away_in_the_middle_of_its_form_is_no_failure(
    web: WebRun, cookie: str, caplog: pytest.LogCaptureFixture
):
    head = f"POST /password HTTP/1.1\r\n{FORM}{cookie}Content-Length: 6\r\n\r\nc"
    with served(web, SOON) as at:
        with connected(at, head.encode()) as slow:
            assert is_gone(slow)
        assert sign_in_page(at) == 200
    assert "ClientDisconnect" not in caplog.text
    assert "Traceback" not in caplog.text


# --- how many ---------------------------------------------------------------------------------------------------------


def test_however_many_say_nothing_an_honest_browser_is_answered_and_the_first_of_them_goes(web: WebRun):
    with served(web, PATIENT) as at:
        silent = [connected(at) for _ in range(8)]
        assert sign_in_page(at) == 200
        assert [is_gone(each, 0.05) for each in silent] == [True] * 5 + [False] * 3
        for each in silent:
            each.close()


def test_however_many_say_nothing_more_after_an_answer_it_is_the_same(web: WebRun):
    with served(web, PATIENT) as at:
        silent = []
        for _ in range(8):
            silent.append(connected(at, ASKED))
            assert answer(silent[-1])[0] == 200
        assert sign_in_page(at) == 200
        assert [is_gone(each, 0.05) for each in silent] == [True] * 5 + [False] * 3
        for each in silent:
            each.close()


def test_who_said_at_once_what_they_want_is_heard_before_a_crowd_that_came_after(web: WebRun):
    """Many wait to be accepted, because the server was busy or they came all at once."""
    busy, free, pages = Event(), Event(), web.app

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if not busy.is_set():
            busy.set()
            assert free.wait(10)  # the loop stands still
        await pages(scope, receive, send)

    web.app = cast(Starlette, app)
    with served(web, replace(PATIENT, connections=16)) as at, connected(at, ASKED) as first:
        assert busy.wait(10)
        honest = connected(at, ASKED)
        silent = [connected(at) for _ in range(32)]
        free.set()
        assert [answer(each)[0] for each in (first, honest)] == [200, 200]
        for each in (honest, *silent):
            each.close()


def test_who_sends_a_form_as_somebody_signed_in_does_not_make_room_for_who_says_nothing(web: WebRun, cookie: str):
    head = f"POST /password HTTP/1.1\r\n{FORM}{cookie}Content-Length: 6\r\nExpect: 100-continue\r\n\r\n"
    with served(web, PATIENT) as at, connected(at, head.encode()) as form:
        assert form.recv(100).startswith(b"HTTP/1.1 100")  # now it is read
        silent = [connected(at) for _ in range(8)]
        assert sign_in_page(at) == 200
        form.sendall(b"csrf=x")
        assert answer(form)[0] == 403
        for each in silent:
            each.close()


def test_where_there_is_room_for_nobody_the_last_to_come_goes(web: WebRun, cookie: str):
    head = f"POST /password HTTP/1.1\r\n{FORM}{cookie}Content-Length: 6\r\nExpect: 100-continue\r\n\r\n"
    with served(web, PATIENT) as at:
        forms = [connected(at, head.encode()) for _ in range(PATIENT.connections)]
        assert all(form.recv(100).startswith(b"HTTP/1.1 100") for form in forms)
        with connected(at) as more:
            assert is_gone(more)
        for form in forms:
            form.sendall(b"csrf=x")
            assert answer(form)[0] == 403
            form.close()


def test_over_tls_who_never_shakes_hands_keeps_nobody_out(web: WebRun):
    with served_over_tls(web, PATIENT) as (at, trusted):
        silent = [connected(at) for _ in range(8)]
        with trusted.wrap_socket(connected(at), server_hostname=at[0]) as honest:
            honest.sendall(ASKED)
            assert answer(honest)[0] == 200
        assert [is_gone(each, 0.05) for each in silent] == [True] * 5 + [False] * 3
        for each in silent:
            each.close()


def test_over_tls_who_shook_hands_and_says_nothing_is_not_waited_for(web: WebRun):
    with (
        served_over_tls(web, SOON) as (at, trusted),
        trusted.wrap_socket(connected(at), server_hostname=at[0]) as silent,
    ):
        assert is_gone(silent)


# --- who it is comes before what is sent ------------------------------------------------------------------------------


@pytest.mark.parametrize("known_as", ["", f"Cookie: {COOKIE}=nobody's\r\n"], ids=["nobody", "a session of nobody"])
def test_a_stranger_s_form_is_refused_before_it_is_read(web: WebRun, known_as: str):
    head = f"POST /enrol/file HTTP/1.1\r\n{FORM}{known_as}Content-Length: {MOST_BYTES}\r\n\r\ncsrf"
    with served(web, PATIENT) as at, connected(at, head.encode()) as stranger:
        status, text = answer(stranger)
    assert (status, "Your session has ended. Sign in again." in text) == (403, True)


def test_a_role_that_may_not_is_refused_before_its_form_is_read_and_recorded_once(web: WebRun):
    viewer = web.sign_in("viewer").cookies[COOKIE]
    head = f"POST /enrol/file HTTP/1.1\r\n{FORM}Cookie: {COOKIE}={viewer}\r\nContent-Length: {MOST_BYTES}\r\n\r\ncsrf"
    before = len(web.trail())
    with served(web, PATIENT) as at, connected(at, head.encode()) as refused:
        status, text = answer(refused)
    assert (status, "Your role does not allow this." in text) == (403, True)
    assert web.trail()[before:] == [("viewer", "page refused", "viewer")]


@pytest.mark.parametrize("path", ["/sign-in", "/language"])
def test_before_sign_in_a_form_is_small(web: WebRun, path: str):
    head = f"POST {path} HTTP/1.1\r\n{FORM}Content-Length: {MOST_BYTES_OF_A_STRANGER + 1}\r\n\r\ncsrf"
    with served(web, PATIENT) as at, connected(at, head.encode()) as stranger:
        status, text = answer(stranger)
    assert (status, "That is too large." in text) == (413, True)


@pytest.mark.parametrize(("path", "status"), [("/enrol/file", 403), ("/sign-in", 413)])
def test_a_browser_that_sends_all_of_it_first_is_answered_all_the_same(web: WebRun, path: str, status: int):
    """A connection that is closed while something comes is reset, and the answer lost."""
    head = f"POST {path} HTTP/1.1\r\n{FORM}Content-Length: {MOST_BYTES}\r\n\r\n"
    with served(web, PATIENT) as at, connected(at) as browser:
        browser.sendall(head.encode() + b"x" * MOST_BYTES)
        assert answer(browser)[0] == status
        browser.sendall(ASKED)  # and the connection goes on
        assert answer(browser)[0] == 200
