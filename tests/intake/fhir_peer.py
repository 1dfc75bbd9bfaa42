"""A real HTTP server on loopback that answers as a test says, and remembers what it was asked."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from adapter.intake.fhir_client import FhirClient
from adapter.intake.fhir_settings import FhirEndpoint

FHIR_JSON = "application/fhir+json"


@dataclass(frozen=True)
class Asked:
    """One request as it came."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> list[tuple[str, str]]:
        return parse_qsl(urlsplit(self.target).query, keep_blank_values=True)

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))


@dataclass(frozen=True)
class Scripted:
    """One answer. ``cut``: only so many bytes of the body, then the connection ends. ``hang``: nothing, until the peer
    ends; with ``drip`` the head and a byte of the body come before that. ``drop``: the connection ends at once."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str | None = FHIR_JSON
    cut: int | None = None
    chunked: bool = False
    hang: bool = False
    drip: bool = False
    drop: bool = False


def resource(document: Mapping[str, Any] | list[Any], status: int = 200, **more: Any) -> Scripted:
    return Scripted(status, json.dumps(document).encode(), **more)


def page(*ids: str, next_url: str | None = None, **more: Any) -> Scripted:
    """A searchset of Observations with these ids."""
    link = [{"relation": "self", "url": "http://elsewhere.example/self"}]
    if next_url is not None:
        link.append({"relation": "next", "url": next_url})
    entry = [{"resource": {"resourceType": "Observation", "id": one}, "search": {"mode": "match"}} for one in ids]
    return resource({"resourceType": "Bundle", "type": "searchset", "link": link, "entry": entry}, **more)


def outcome(status: int, code: str, diagnostics: str = "", **more: Any) -> Scripted:
    issue = {"severity": "error", "code": code, "diagnostics": diagnostics}
    return resource({"resourceType": "OperationOutcome", "issue": [issue]}, status, **more)


def gzipped(answer: Scripted) -> Scripted:
    return Scripted(answer.status, gzip.compress(answer.body), {**answer.headers, "Content-Encoding": "gzip"})


Handler = Callable[[Asked], Scripted]


class FhirPeer:
    """Answers by ``handler``, or in order by what was given to :meth:`script`; one request more fails the test."""

    def __init__(self, server: ThreadingHTTPServer, scheme: str) -> None:
        self.origin = f"{scheme}://127.0.0.1:{server.server_address[1]}"
        self.base_url = f"{self.origin}/fhir"
        self.asked: list[Asked] = []
        self.handler: Handler = self._next
        self.ended = threading.Event()
        self._script: list[Scripted] = []

    def script(self, *answers: Scripted) -> None:
        self._script.extend(answers)

    @property
    def left(self) -> int:
        """How many answers of the script nobody has asked for."""
        return len(self._script)

    def tokens(self) -> list[str | None]:
        return [one.headers.get("Authorization") for one in self.asked]

    def answer(self, asked: Asked) -> Scripted:
        self.asked.append(asked)
        return self.handler(asked)

    def _next(self, asked: Asked) -> Scripted:
        return self._script.pop(0) if self._script else Scripted(418, b"one request more than was expected")


class _Requests(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    peer: FhirPeer

    def _respond(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        answer = self.peer.answer(Asked(self.command, self.path, dict(self.headers.items()), body))
        self.close_connection = answer.cut is not None or answer.hang or answer.drip or answer.drop
        if answer.hang and not answer.drip:
            self.peer.ended.wait()
        if not answer.drop and not (answer.hang and not answer.drip):
            self._write(answer)

    do_GET = do_POST = _respond

    def _write(self, answer: Scripted) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.content_type is not None:
            self.send_header("Content-Type", answer.content_type)
        framing = ("Transfer-Encoding", "chunked") if answer.chunked else ("Content-Length", str(len(answer.body)))
        self.send_header(*framing)
        self.end_headers()
        body = answer.body
        if answer.chunked:
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        if answer.drip:
            self.wfile.write(body[:1])
            self.peer.ended.wait()
            return
        self.wfile.write(body if answer.cut is None else body[: answer.cut])

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the test sees what was asked."""


class _Server(ThreadingHTTPServer):
    """Knows its connections, so that all of them end with it."""

    daemon_threads = False

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        self.connections: list[socket.socket] = []
        super().__init__(("127.0.0.1", 0), handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self.connections.append(connection)
        return connection, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is what some tests are about."""

    def end(self) -> None:
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def serving(*answers: Scripted, tls: ssl.SSLContext | None = None) -> Iterator[FhirPeer]:
    """A peer on a port of the system's choice; with ``tls`` it speaks https."""
    requests = type("Requests", (_Requests,), {})
    server = _Server(requests)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    peer = FhirPeer(server, "http" if tls is None else "https")
    requests.peer = peer  # type: ignore[attr-defined]
    peer.script(*answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield peer
    finally:
        peer.ended.set()
        server.shutdown()
        thread.join()
        server.end()
        server.server_close()


class Clock:
    """Time that passes only when somebody sleeps, or by :meth:`pass_by`."""

    def __init__(self, start: datetime = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)) -> None:
        self.slept: list[float] = []
        self._start = start
        self._passed = 0.0

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._passed)

    def monotonic(self) -> float:
        return 1_000.0 + self._passed

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._passed += seconds

    def pass_by(self, seconds: float) -> None:
        self._passed += seconds


@contextmanager
def asking(peer: FhirPeer, clock: Clock | None = None, *, random: float = 1.0, **settings: Any) -> Iterator[FhirClient]:
    """A client of this peer that waits for nothing: its time is the clock's, its jitter always ``random``."""
    clock = clock or Clock()
    endpoint = FhirEndpoint(**{"base_url": peer.base_url, **settings})
    with FhirClient(
        endpoint, sleep=clock.sleep, now=clock.now, monotonic=clock.monotonic, random=lambda: random
    ) as client:
        yield client
