"""The MLLP server: a thin shell around one plain function.

Bytes of a connection go through :class:`~adapter.codecs.mllp.Decoder`; each complete frame is given to the ``answer``
hook, which returns the reply and never writes. Hooks of one connection start in the order of its frames and may
overlap, so that pipelined messages share one commit; their replies go out in that order, each in one write.

A hook that raises closes its connection without an answer: what was not acknowledged is sent again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address

from adapter.codecs.mllp import Cut, Decoder, Event, Frame, Junk, Oversize, encode

MAX_IN_FLIGHT = 32  # frames of one connection whose replies are not written yet; then its socket is not read
_READ_BYTES = 64 * 1024
_REMEMBERED_PEERS = 256  # refused addresses that were logged once; the counter counts on


@dataclass(frozen=True, slots=True)
class Limits:
    """What one listener allows. ``frame_timeout_seconds`` holds for a frame to arrive and for a reply to be taken."""

    max_frame_bytes: int = 16 * 1024 * 1024
    idle_timeout_seconds: float = 3600.0
    frame_timeout_seconds: float = 60.0
    max_connections: int = 64


@dataclass(slots=True)
class Counters:
    """What happened since the start. ``open`` alone goes down again."""

    connections: int = 0
    open: int = 0
    refused_peers: int = 0  # outside allow_from
    refused_full: int = 0  # beyond max_connections
    frames: int = 0
    oversize: int = 0
    junk_bytes: int = 0  # outside frames
    cut_frames: int = 0  # half received, then the end, a time-out or a drain
    idle_closed: int = 0
    answered: int = 0
    failed: int = 0  # frames whose hook raised


@dataclass(frozen=True, slots=True)
class Incoming:
    """One complete frame and the name of the source it came through."""

    source: str
    frame: Frame | Oversize


Answer = Callable[[Incoming], Awaitable[bytes | None]]
Network = IPv4Network | IPv6Network


class ListenError(Exception):
    """A listener could not be opened: which, why, and what to do."""


class Listener:
    """One MLLP port. Peers outside ``allow_from`` are closed at once; without networks only loopback is let in.

    ``answer`` returns the reply to a frame, or ``None`` for no reply. It is never cancelled, also when its peer has
    gone, except where :meth:`drain` runs out of time. ``name`` is the source's; port 0 takes any free one.
    """

    def __init__(
        self,
        name: str,
        host: str,
        port: int,
        *,
        allow_from: Sequence[Network],
        answer: Answer,
        limits: Limits | None = None,
        counters: Counters | None = None,
        log: logging.Logger | None = None,
    ) -> None:
        self.name = name
        self.answer = answer
        self.limits = limits if limits is not None else Limits()
        self.counters = counters if counters is not None else Counters()
        self.log = log if log is not None else logging.getLogger(__name__)
        self._host = host
        self._requested_port = port
        self._allow_from = tuple(allow_from)
        self._server: asyncio.Server | None = None
        self._connections: dict[_Connection, asyncio.Task[None]] = {}
        self._logged_peers: set[str] = set()
        self._is_full = False

    @property
    def port(self) -> int:
        """The port that is listened on: the real one where 0 was asked for."""
        if self._server is None or not self._server.sockets:
            return self._requested_port
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def start(self) -> None:
        """Begin to accept. Raises :class:`ListenError` where the address cannot be had."""
        try:
            self._server = await asyncio.start_server(self._accept, self._host, self._requested_port)
        except OSError as error:
            raise ListenError(
                f"source {self.name}: cannot listen on {self._host} port {self._requested_port} "
                f"({error.strerror or error}). Choose a free port and an address of this machine for it."
            ) from error
        self.log.info("source %s listens on %s port %d", self.name, self._host, self.port)

    async def drain(self, timeout_seconds: float) -> bool:
        """Stop accepting, answer the frames that have arrived whole, close; whether that was done in time.

        A frame half received is dropped: nobody was told that it arrived. When time is up, hooks still running are
        cancelled and their frames stay unanswered.
        """
        if self._server is not None:
            self._server.close()
        for connection in self._connections:
            connection.finish()
        tasks = list(self._connections.values())
        if not tasks:
            return True
        _, late = await asyncio.wait(tasks, timeout=timeout_seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        if late:
            self.log.warning("source %s: %d connections were cut, frames in them unanswered", self.name, len(late))
        return not late

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._may_enter(writer):
            writer.close()
            return
        connection = _Connection(self, reader, writer)
        task = asyncio.get_running_loop().create_task(connection.run())
        self._connections[connection] = task
        self.counters.connections += 1
        self.counters.open += 1
        task.add_done_callback(lambda task: self._leave(connection, task))

    def _leave(self, connection: _Connection, task: asyncio.Task[None]) -> None:
        del self._connections[connection]
        self._is_full = False
        self.counters.open -= 1
        failure = None if task.cancelled() else task.exception()
        if failure is not None:
            self.log.error("source %s: a connection was lost to %s", self.name, type(failure).__name__)

    def _may_enter(self, writer: asyncio.StreamWriter) -> bool:
        peer = str((writer.get_extra_info("peername") or ("",))[0])
        if not _is_allowed(peer, self._allow_from):
            self.counters.refused_peers += 1
            if peer not in self._logged_peers and len(self._logged_peers) < _REMEMBERED_PEERS:
                self._logged_peers.add(peer)
                self.log.warning("source %s: %s is not in allow_from and was closed (said once)", self.name, peer)
            return False
        if len(self._connections) >= self.limits.max_connections:
            self.counters.refused_full += 1
            if not self._is_full:
                self._is_full = True
                self.log.warning("source %s: max_connections (%d) reached", self.name, self.limits.max_connections)
            return False
        return self._server is not None and self._server.is_serving()


class _Connection:
    """One peer: reads, starts a hook for each frame, writes the replies in order."""

    def __init__(self, listener: Listener, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._listener = listener
        self._reader = reader
        self._writer = writer
        self._decoder = Decoder(listener.limits.max_frame_bytes)
        self._answering: deque[asyncio.Task[bytes | None]] = deque()  # in the order of their frames
        self._progress = asyncio.Event()
        self._reading: asyncio.Timeout | None = None
        self._finishing = False
        self._active_at = asyncio.get_running_loop().time()  # when bytes came or a reply went

    def finish(self) -> None:
        """Read no more; what has arrived whole is still answered."""
        self._finishing = True
        if self._reading is not None and not self._reading.expired():
            self._reading.reschedule(asyncio.get_running_loop().time())

    async def run(self) -> None:
        """Serve this peer until either side ends it and every hook has returned."""
        try:
            try:
                await self._read_frames()
            except OSError:  # time-outs too: the peer has gone or takes no replies, and will send again
                self._writer.transport.abort()
                self._end_of_stream(timed_out=True)
            await self._until_fewer_than(1)
            await self._close()
        except asyncio.CancelledError:
            for task in self._answering:
                task.cancel()
            raise
        finally:
            self._writer.transport.abort()  # does nothing where it was closed

    async def _read_frames(self) -> None:
        loop = asyncio.get_running_loop()
        limits = self._listener.limits
        frame_deadline = 0.0
        while not self._finishing and not self._writer.is_closing():
            idle_deadline = self._active_at + limits.idle_timeout_seconds
            received = await self._read_until(frame_deadline if self._decoder.in_frame else idle_deadline)
            if received is None and not self._decoder.in_frame and self._has_been_served():
                continue
            if not received:
                self._end_of_stream(timed_out=received is None)
                return
            was_in_frame = self._decoder.in_frame
            events = self._decoder.feed(received)
            for event in events:
                await self._take(event)
            await self._flush()
            self._active_at = loop.time()
            if events or not was_in_frame:  # where a frame has begun its time does not grow with each byte of it
                frame_deadline = self._active_at + limits.frame_timeout_seconds
        self._end_of_stream(timed_out=True)

    def _has_been_served(self) -> bool:
        """Whether a peer that sent nothing for so long was waiting for a reply, or has had one since."""
        now = asyncio.get_running_loop().time()
        if self._answering:
            self._active_at = now
        return now < self._active_at + self._listener.limits.idle_timeout_seconds

    async def _read_until(self, deadline: float) -> bytes | None:
        """The next bytes, b"" at the end of the stream, ``None`` when time is up or the listener drains."""
        try:
            async with asyncio.timeout_at(deadline) as self._reading:
                return await self._reader.read(_READ_BYTES)
        except TimeoutError:
            return None
        finally:
            self._reading = None

    def _end_of_stream(self, *, timed_out: bool) -> None:
        counters = self._listener.counters
        if timed_out or self._writer.is_closing():
            counters.cut_frames += self._decoder.in_frame
            counters.idle_closed += not (self._decoder.in_frame or self._finishing or self._writer.is_closing())
            return
        for event in self._decoder.close():
            if isinstance(event, Frame | Oversize):
                self._start(event)
            elif isinstance(event, Cut):
                counters.cut_frames += 1

    async def _take(self, event: Event) -> None:
        if isinstance(event, Junk):
            self._listener.counters.junk_bytes += event.count
        elif isinstance(event, Frame | Oversize):
            await self._until_fewer_than(MAX_IN_FLIGHT)
            if not self._writer.is_closing():
                self._start(event)

    def _start(self, frame: Frame | Oversize) -> None:
        if isinstance(frame, Frame):
            self._listener.counters.frames += 1
        else:
            self._listener.counters.oversize += 1
        task = asyncio.ensure_future(self._answer(Incoming(self._listener.name, frame)))
        self._answering.append(task)
        task.add_done_callback(lambda _: self._write_replies())

    async def _answer(self, incoming: Incoming) -> bytes | None:
        reply = await self._listener.answer(incoming)
        return None if reply is None else encode(reply)

    def _write_replies(self) -> None:
        while self._answering and self._answering[0].done():
            task = self._answering.popleft()
            failure = asyncio.CancelledError() if task.cancelled() else task.exception()
            if failure is not None:
                self._fail(failure)
            elif not self._writer.is_closing() and (reply := task.result()) is not None:
                self._writer.write(reply)
                self._listener.counters.answered += 1
                self._active_at = asyncio.get_running_loop().time()
        self._progress.set()

    def _fail(self, failure: BaseException) -> None:
        self._listener.counters.failed += 1
        # the class alone: an exception's words may hold the message's
        self._listener.log.error(
            "source %s: a frame could not be answered (%s); its connection is closed",
            self._listener.name,
            type(failure).__name__,
        )
        self._writer.close()  # no later frame is answered: the sender would take the missing reply for its

    async def _until_fewer_than(self, count: int) -> None:
        while len(self._answering) >= count:
            self._progress.clear()
            await self._progress.wait()

    async def _flush(self) -> None:
        """Wait while the peer does not take its replies: reading on would pile them up."""
        if self._writer.transport.get_write_buffer_size():
            async with asyncio.timeout(self._listener.limits.frame_timeout_seconds):
                await self._writer.drain()

    async def _close(self) -> None:
        self._writer.close()
        with suppress(OSError):
            async with asyncio.timeout(self._listener.limits.frame_timeout_seconds):
                await self._writer.wait_closed()


def _is_allowed(peer: str, networks: Sequence[Network]) -> bool:
    try:
        address = ip_address(peer)
    except ValueError:
        return False
    if not networks:
        return address.is_loopback
    return any(address in network for network in networks)
