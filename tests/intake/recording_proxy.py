"""A reverse proxy on loopback that passes everything on to one server, and remembers what was said."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

_OF_THE_CONNECTION = ("connection", "keep-alive", "transfer-encoding", "content-length")  # RFC 9110, 7.6.1


@dataclass(frozen=True)
class Exchange:
    """One request and its answer, bodies as they are without content coding."""

    method: str
    target: str
    form: str
    status: int
    answer: bytes = field(repr=False)

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def parameters(self) -> list[tuple[str, str]]:
        """Those of the URL, then those of the form."""
        return [*parse_qsl(urlsplit(self.target).query), *parse_qsl(self.form)]


@dataclass
class RecordingProxy:
    base_url: str
    exchanges: list[Exchange] = field(default_factory=list)


@contextmanager
def recording(base_url: str) -> Iterator[RecordingProxy]:
    """A proxy before a server; the server sees the proxy's Host, so that its links lead through the proxy again."""
    server = urlsplit(base_url)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # head and body are two writes, and the second would wait for an answer

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            upstream = HTTPConnection(server.hostname or "", server.port, timeout=120)
            try:
                upstream.request(self.command, self.path, body or None, dict(self.headers))
                answer = upstream.getresponse()
                content = answer.read()
            finally:
                upstream.close()
            packed = answer.getheader("Content-Encoding") == "gzip"
            plain = gzip.decompress(content) if packed else content
            proxy.exchanges.append(Exchange(self.command, self.path, body.decode(), answer.status, plain))
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in _OF_THE_CONNECTION:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _pass_on

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the exchanges are the record."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        proxy = RecordingProxy(f"http://127.0.0.1:{listener.server_address[1]}{server.path}")
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield proxy
        finally:
            listener.shutdown()
            thread.join()
