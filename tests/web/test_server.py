"""The page's port against those who connect and do not say what they want: on real sockets."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from webrun import WebRun

from adapter.web.patience import PatientProtocol
from adapter.web.server import WebServer

HEAD = b"GET /sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\n"
FORM = b"Host: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"


class Hasty(PatientProtocol):
    head_seconds, body_seconds = 0.3, 0.6


class Calm(PatientProtocol):
    head_seconds = 2.0  # so that a slow machine is not given up while it asks


Connects = Callable[[], socket.socket]


@contextmanager
def serving(web: WebRun, app: Starlette, protocol: type[PatientProtocol]) -> Iterator[Connects]:
    assert web.config.web is not None
    server = WebServer(app, web.config.web, protocol)
    server.listen()
    port = int(server.url.rstrip("/").rpartition(":")[2])
    with ExitStack() as opened:
        opened.callback(server.stop)

        def connect() -> socket.socket:
            return opened.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))

        yield connect


@pytest.fixture
def hasty(web: WebRun) -> Iterator[Connects]:
    with serving(web, web.app, Hasty) as found:
        yield found


@pytest.fixture
def calm(web: WebRun) -> Iterator[Connects]:
    with serving(web, web.app, Calm) as found:
        yield found


def until_closed(connection: socket.socket) -> bytes:
    """What is answered until the other side closes; socket.timeout where it never does."""
    found = b""
    try:
        while more := connection.recv(65536):
            found += more
    except ConnectionResetError:
        pass
    return found


def status_of(connection: socket.socket) -> str:
    return connection.recv(65536).decode().partition("\r\n")[0]


def until(is_so: Callable[[], bool]) -> None:
    for _ in range(500):
        if is_so():
            return
        select.select([], [], [], 0.02)
    raise AssertionError("it never came to it")


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"GET",
        HEAD,
        HEAD + b"X-Long: " + b"x" * 5000,
        b"POST /sign-in HTTP/1.1\r\n" + FORM + b"Content-Length: 1000\r\n\r\nname=",
        b"POST /sign-in HTTP/1.1\r\n" + FORM + b"Transfer-Encoding: chunked\r\n\r\n5\r\nname=\r\n",
    ],
    ids=["nothing", "a word", "half a head", "a long line", "half a form", "half a form in chunks"],
)
def test_who_does_not_go_on_is_not_waited_for(hasty: Connects, said: bytes):
    connection = hasty()
    connection.sendall(said)
    assert until_closed(connection) == b""


@pytest.mark.parametrize(
    "said", [HEAD + b"X-Slow: ", b"POST /sign-in HTTP/1.1\r\n" + FORM + b"Content-Length: 9999\r\n\r\n"]
)
def test_a_letter_now_and_then_buys_no_time(hasty: Connects, said: bytes):
    connection = hasty()
    connection.sendall(said)
    assert letters(connection) < 500


def letters(connection: socket.socket) -> int:
    """How many letters somebody gets rid of, one after the other, until they are given up."""
    try:
        for count in range(500):
            connection.sendall(b"x")
            if select.select([connection], [], [], 0.02)[0] and not connection.recv(100):
                return count
    except ConnectionError:
        return count
    return 500


def test_between_two_requests_of_a_connection_the_time_runs_anew(calm: Connects):
    connection = calm()
    for _ in range(3):
        connection.sendall(HEAD[:20])
        assert select.select([connection], [], [], 0.8)[0] == []
        connection.sendall(HEAD[20:] + b"\r\n")
        answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 200")
        while not answer.endswith(b"</html>"):
            answer += connection.recv(65536)


def test_an_answer_may_take_as_long_as_it_takes(web: WebRun):
    may_end = threading.Event()

    def slow(request: Any) -> PlainTextResponse:
        assert may_end.wait(20)
        return PlainTextResponse("done")

    with serving(web, Starlette(routes=[Route("/sign-in", slow)]), Calm) as connect:
        patient = connect()
        patient.sendall(HEAD + b"\r\n")
        silent = connect()
        assert until_closed(silent) == b""  # so long that who says nothing was given up
        assert select.select([patient], [], [], 0)[0] == []
        may_end.set()
        assert status_of(patient) == "HTTP/1.1 200 OK"


def test_who_asks_and_does_not_read_is_not_waited_for(web: WebRun):
    assert web.config.web is not None
    server = WebServer(web.app, web.config.web, Hasty)
    server.listen()
    try:
        with socket.create_connection(("127.0.0.1", int(server.url.rstrip("/").rpartition(":")[2]))) as connection:
            asks = b"GET /static/page.css HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
            connection.sendall(asks * 1500)  # their answers are more than any buffer between holds
            here = server._server.server_state.connections
            until(lambda: bool(here))
            until(lambda: not here)
    finally:
        server.stop()


def test_of_a_stranger_s_form_nothing_is_read(calm: Connects):
    connection = calm()
    connection.sendall(b"POST /roster/S-001/facts HTTP/1.1\r\n" + FORM + b"Content-Length: 4000000\r\n\r\n")
    assert status_of(connection) == "HTTP/1.1 403 Forbidden"  # and none of the four megabytes was sent


def test_silent_connections_do_not_keep_others_out_for_long(calm: Connects):
    silent = [calm() for _ in range(300)]
    assert [until_closed(each) for each in silent] == [b""] * 300
    connection = calm()
    connection.sendall(HEAD + b"\r\n")
    assert status_of(connection) == "HTTP/1.1 200 OK"
