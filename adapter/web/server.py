"""The page within the daemon: uvicorn in a thread of its own, so that a slow page delays no acknowledgement.

The threads share one interpreter all the same: the daemon lets it change hands often (see ``adapter.daemon.run``), and
what a page derives gives way as the deriver does, between two commits.
"""

from __future__ import annotations

import logging
import socket
import threading

import uvicorn
from starlette.applications import Starlette

from adapter.config_web import Web
from adapter.web.patience import Limits, Port, protocol

log = logging.getLogger(__name__)
_FINISH_SECONDS = 10


class WebServer(threading.Thread):
    """Serves one application until it is told to stop; what is being answered is finished."""

    def __init__(self, app: Starlette, web: Web, limits: Limits | None = None) -> None:
        super().__init__(name="web", daemon=True)
        self._app = app
        self._web = web
        self._limits = limits or Limits()
        self._server: uvicorn.Server | None = None
        self._socket: Port | None = None
        self._port = web.port

    @property
    def url(self) -> str:
        """Where to find it."""
        return self._web.url(self._port)

    def listen(self) -> None:
        """Open the port and serve from now on. Raises PageError."""
        self._web.check_certificate()
        self._socket = Port(self._web.open_port(), self._limits.connections)
        self._server = uvicorn.Server(self._config(self._socket))
        self._port = int(self._socket.getsockname()[1])
        # Connections inherit it. asyncio sets it only on sockets made for TCP by number; without it an answer's second
        # write waits for the acknowledgement of its first, which a browser may delay by 40 ms.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for name in ("uvicorn", "uvicorn.error"):
            logging.getLogger(name).setLevel(logging.WARNING)
        logging.getLogger("uvicorn.error").addFilter(_without_what_was_shown)
        self.start()
        log.info("the page is at %s", self.url)

    def _config(self, port: Port) -> uvicorn.Config:
        return uvicorn.Config(
            self._app,
            loop="asyncio",
            http=protocol(self._limits, port),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,  # a URL names a participant
            server_header=False,
            ssl_certfile=self._web.cert,
            ssl_keyfile=self._web.key,
            backlog=self._limits.at_once,
            timeout_graceful_shutdown=_FINISH_SECONDS,
        )

    def run(self) -> None:
        """The thread's life."""
        assert self._server is not None and self._socket is not None
        self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        """Finish what is being answered, then end."""
        if self._server is not None:
            self._server.should_exit = True
        if self.is_alive():
            self.join(2.0 * _FINISH_SECONDS)
        if self._socket is not None:
            self._socket.close()


def _without_what_was_shown(record: logging.LogRecord) -> bool:
    """A traceback can hold a value or a name: the log says that something failed and no more."""
    record.exc_info = None
    return True
