"""How long a connection may take to say what it wants: no more of them wait in silence than the daemon can bear.

uvicorn bounds how long a connection stays open between two requests, not how long a request takes to come. Without a
bound whoever can reach the page fills it with connections that say nothing, or a letter a minute, and in the end the
descriptors that the intake needs for its own (CWE-400; "slowloris").
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

# From the connection, or from the end of the answer before, to the end of a request's head; and for reading an answer
# of which more was written than the machines between keep.
HEAD_SECONDS = 10.0
BODY_SECONDS = 120.0  # from there to the end of its form: four megabytes at 35 kB/s
# Of as many more than are answered at once each is told that the page is busy; beyond that nothing is said.
_MORE = 2


class PatientProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 with bounds on how long a request takes to come."""

    head_seconds, body_seconds = HEAD_SECONDS, BODY_SECONDS

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._waits_for: Any = None
        self._deadline: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        most = self.limit_concurrency
        if most is not None and len(self.connections) > _MORE * most:
            transport.abort()
            return
        self._wait()

    def data_received(self, data: bytes) -> None:
        """A part of a request; the time that is left goes on to run."""
        super().data_received(data)
        self._wait()

    def on_response_complete(self) -> None:
        """Begin to wait for the next request: its time runs from here."""
        self._waits_for = None
        super().on_response_complete()
        self._wait()

    def pause_writing(self) -> None:
        """An answer is not read: who asks and never reads keeps a place as well as who never asks."""
        super().pause_writing()
        self._unread = self.loop.call_later(self.head_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """It is read."""
        super().resume_writing()
        self._read()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._wait_no_more()
        self._read()
        super().connection_lost(exc)

    def _wait(self) -> None:
        """Bound the time for what is to come now, from when it began to be waited for."""
        state = self.conn.their_state
        if state is self._waits_for or self.transport.is_closing():
            return
        self._wait_no_more()
        self._waits_for = state
        seconds = {h11.IDLE: self.head_seconds, h11.SEND_BODY: self.body_seconds}.get(state)
        if seconds is not None:
            self._deadline = self.loop.call_later(seconds, self.transport.abort)

    def _read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _wait_no_more(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
