"""For whom the page waits, and how long: nobody on the network can keep others out by connecting and saying nothing.

uvicorn bounds neither how long a request may take to arrive nor how long an answer may lie unread, and beyond its
number of connections it refuses those who come last. Here whoever has been waited for the longest goes instead: an
honest browser says what it wants at once, so that it is never the one.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a connection is waited for, and how many there may be.

    ``head_seconds`` are for each thing that is waited for: the head of a request, from the connection or the end of
    the answer before; its body; an answer's being read. ``body_seconds`` are for a form of somebody who is signed in:
    4 MB in five minutes need 112 kbit/s.
    """

    head_seconds: float = 10.0
    body_seconds: float = 300.0
    connections: int = 128

    @property
    def at_once(self) -> int:
        """How many are accepted before anybody is heard: who said at once what they want never goes unheard."""
        return max(1, self.connections // 4)


class Port(socket.socket):
    """Where the page listens. Under TLS whoever has connected is known to no protocol before they shook hands."""

    def __init__(self, opened: socket.socket, most: int) -> None:
        super().__init__(opened.family, opened.type, opened.proto, fileno=opened.detach())
        self._most = most
        self._outside: dict[Any, socket.socket] = {}

    def listen(self, backlog: int = socket.SOMAXCONN) -> None:
        """As many as the system lets wait; asyncio means by ``backlog`` how many it accepts at once, too."""
        super().listen(max(backlog, socket.SOMAXCONN))

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection; beyond so many that have not shaken hands, the oldest of them goes."""
        connection, address = super().accept()
        self._outside = {name: each for name, each in self._outside.items() if each.fileno() != -1}
        self._outside[address] = connection
        if len(self._outside) > self._most:
            with suppress(OSError):  # gone by itself
                self._outside.pop(next(iter(self._outside))).shutdown(socket.SHUT_RDWR)
        return connection, address

    def let_in(self, address: Any) -> None:
        """A connection has got so far that a protocol waits for it."""
        self._outside.pop(address, None)


class Impatient(H11Protocol):
    """uvicorn's protocol with limits: one timer runs whenever it is the other side that has to do something."""

    limits: Limits
    port: Port
    cycle: Any  # a RequestResponseCycle; None before the first request

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._timer: asyncio.TimerHandle | None = None
        self._since = 0.0
        self._unread = self._gone = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody is here."""
        super().connection_made(transport)
        self.port.let_in(transport.get_extra_info("peername"))
        self._look()
        self._make_room()

    def data_received(self, data: bytes) -> None:
        """Part of a request; a body has its own time, from the end of its head."""
        cycle = self.cycle
        super().data_received(data)
        self._look(anew=self.cycle is not cycle)

    def on_response_complete(self) -> None:
        """It was answered: the next request has its own time, or what is left of a body that nobody wanted."""
        super().on_response_complete()
        self._look(anew=True)

    def pause_writing(self) -> None:
        """More was written than the other side reads."""
        super().pause_writing()
        self._unread = True
        self._look()

    def resume_writing(self) -> None:
        """It reads again."""
        super().resume_writing()
        self._unread = False
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._gone = True
        self._stop()
        super().connection_lost(exc)

    @property
    def _is_waited_for(self) -> bool:
        cycle = self.cycle
        return self._unread or cycle is None or bool(cycle.response_complete or cycle.more_body)

    @property
    def _sends_a_form_as_somebody(self) -> bool:
        """``page.serve`` says so: a stranger's form is small, or refused before it is read."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete or not cycle.more_body:
            return False
        return bool(cycle.scope["state"].get("is_known"))

    def _look(self, *, anew: bool = False) -> None:
        """Let the timer run while the other side is waited for; ``anew`` where it has done what it was waited for."""
        if anew or not self._is_waited_for:
            self._stop()
        if self._timer is None and self._is_waited_for and not self._gone:
            self._since = self.loop.time()
            self._timer = self.loop.call_later(self.limits.head_seconds, self._late)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        more = self.limits.body_seconds - (self.loop.time() - self._since)
        if self._sends_a_form_as_somebody and more > 0:
            self._timer = self.loop.call_later(more, self._late)
        else:
            self._put_out()

    def _put_out(self) -> None:
        """At once: what it has not read would keep a connection that is closed politely."""
        self._gone = True
        self._stop()
        self.transport.abort()

    def _make_room(self) -> None:
        """Neither who is being answered goes nor who sends a form as somebody who is signed in."""
        others: Iterable[Any] = self.connections
        here = [each for each in others if not each._gone]
        if len(here) > self.limits.connections:
            waited = [each for each in here if each._timer is not None and not each._sends_a_form_as_somebody]
            min(waited, key=lambda each: each._since, default=self)._put_out()


def protocol(limits: Limits, port: Port) -> type[asyncio.Protocol]:
    """uvicorn's protocol with these limits, on this port."""
    return type("Protocol", (Impatient,), {"limits": limits, "port": port})
