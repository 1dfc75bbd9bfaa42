"""The MLLP server on real sockets: every row of the probe table that a listener decides, and its limits."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from functools import wraps
from ipaddress import ip_network

import pytest

from adapter.codecs.mllp import Decoder, Frame, Oversize, encode
from adapter.intake.client import Client
from adapter.intake.listener import MAX_IN_FLIGHT, Incoming, Limits, Listener, ListenError, Network

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
Hook = Callable[[Incoming], Awaitable[bytes | None]]


def in_a_loop(test: Callable[..., Coroutine[None, None, None]]) -> Callable[..., None]:
    @wraps(test)
    def run(*args: object, **kwargs: object) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(30):
                await test(*args, **kwargs)

        asyncio.run(bounded())

    return run


async def echo(incoming: Incoming) -> bytes | None:
    frame = incoming.frame
    return b"ack " + frame.payload if isinstance(frame, Frame) else b"too large %d" % frame.size


@asynccontextmanager
async def listening(
    answer: Hook = echo,
    *,
    limits: Limits | None = None,
    allow_from: tuple[Network, ...] = LOOPBACK,
    host: str = "127.0.0.1",
) -> AsyncIterator[Listener]:
    listener = Listener("lis", host, 0, allow_from=allow_from, answer=answer, limits=limits)
    await listener.start()
    try:
        yield listener
    finally:
        await listener.drain(1)


class Peer:
    """A raw connection: writes any bytes, reads whole frames."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._decoder = Decoder(1 << 26)
        self._frames: list[bytes] = []

    async def write(self, stream: bytes) -> None:
        self.writer.write(stream)
        await self.writer.drain()

    async def frames(self, count: int) -> list[bytes]:
        while len(self._frames) < count:
            received = await self.reader.read(65536)
            assert received, f"closed after {len(self._frames)} of {count} frames"
            for event in self._decoder.feed(received):
                assert isinstance(event, Frame), event
                self._frames.append(event.payload)
        taken, self._frames = self._frames[:count], self._frames[count:]
        return taken

    async def is_closed(self) -> bool:
        """Waits for the server to end the connection; whether it did so without another byte."""
        with suppress(ConnectionError):
            return await self.reader.read() == b""
        return True


@asynccontextmanager
async def connected(listener: Listener) -> AsyncIterator[Peer]:
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    try:
        yield Peer(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


@in_a_loop
async def test_two_frames_in_one_write_are_answered_in_order() -> None:
    async with listening() as listener, connected(listener) as peer:
        await peer.write(encode(b"1") + encode(b"2"))
        assert await peer.frames(2) == [b"ack 1", b"ack 2"]
        assert (listener.counters.frames, listener.counters.answered, listener.counters.junk_bytes) == (2, 2, 0)


@in_a_loop
async def test_bytes_between_frames_are_dropped_and_counted() -> None:
    async with listening() as listener, connected(listener) as peer:
        await peer.write(b"hello" + encode(b"1") + b"\r\n" + encode(b"2") + b"\r\n")
        assert await peer.frames(2) == [b"ack 1", b"ack 2"]
        await peer.write(encode(b"3"))
        assert await peer.frames(1) == [b"ack 3"]
        assert listener.counters.junk_bytes == 9


@in_a_loop
async def test_a_frame_may_come_byte_by_byte() -> None:
    async with listening() as listener, connected(listener) as peer:
        for byte in encode(b"MSH|1") + encode(b"MSH|2"):
            await peer.write(bytes([byte]))
            await asyncio.sleep(0)
        assert await peer.frames(2) == [b"ack MSH|1", b"ack MSH|2"]


@in_a_loop
async def test_an_oversize_frame_is_answered_and_the_connection_goes_on() -> None:
    heads = []

    async def answer(incoming: Incoming) -> bytes | None:
        if isinstance(incoming.frame, Oversize):
            heads.append(incoming.frame.head)
        return await echo(incoming)

    async with listening(answer, limits=Limits(max_frame_bytes=1000)) as listener, connected(listener) as peer:
        await peer.write(encode(b"x" * 200_000) + encode(b"y" * 1000))
        assert await peer.frames(2) == [b"too large 200000", b"ack " + b"y" * 1000]
        assert heads == [b"x" * 65536]
        assert (listener.counters.oversize, listener.counters.frames) == (1, 1)


@in_a_loop
async def test_a_frame_of_five_mebibytes_is_taken_below_the_limit() -> None:
    sizes = []

    async def answer(incoming: Incoming) -> bytes | None:
        assert isinstance(incoming.frame, Frame)
        sizes.append(len(incoming.frame.payload))
        return b"ok"

    async with listening(answer) as listener, connected(listener) as peer:
        await peer.write(encode(b"x" * (5 << 20)))
        assert await peer.frames(1) == [b"ok"]
        assert sizes == [5 << 20]


@in_a_loop
async def test_a_peer_that_speaks_no_mllp_gets_no_answer() -> None:
    async with listening(limits=Limits(idle_timeout_seconds=0.05)) as listener, connected(listener) as peer:
        await peer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert await peer.is_closed()
        assert (listener.counters.junk_bytes, listener.counters.idle_closed, listener.counters.frames) == (18, 1, 0)


@in_a_loop
async def test_an_idle_connection_is_closed() -> None:
    async with listening(limits=Limits(idle_timeout_seconds=0.05)) as listener, connected(listener) as peer:
        await peer.write(encode(b"1"))
        assert await peer.frames(1) == [b"ack 1"]
        assert await peer.is_closed()
        assert (listener.counters.idle_closed, listener.counters.cut_frames) == (1, 0)


@in_a_loop
async def test_waiting_for_our_reply_is_not_idle() -> None:
    async def slow(incoming: Incoming) -> bytes | None:
        await asyncio.sleep(0.7)  # longer than the idle time-out, twice
        return await echo(incoming)

    async with listening(slow, limits=Limits(idle_timeout_seconds=0.3)) as listener, connected(listener) as peer:
        for number in (b"1", b"2"):
            await peer.write(encode(number))
            assert await peer.frames(1) == [b"ack " + number]
        assert listener.counters.idle_closed == 0
        assert await peer.is_closed()
        assert listener.counters.idle_closed == 1


@in_a_loop
async def test_a_frame_has_to_end_in_its_time_however_steadily_it_drips() -> None:
    async with listening(limits=Limits(frame_timeout_seconds=0.1)) as listener, connected(listener) as peer:
        await peer.write(encode(b"1") + b"\x0bMSH")

        async def drip() -> None:
            with suppress(ConnectionError):
                while True:
                    await peer.write(b"x")
                    await asyncio.sleep(0.005)

        dripping = asyncio.create_task(drip())
        assert await peer.frames(1) == [b"ack 1"]
        assert await peer.is_closed()
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)
        assert (listener.counters.cut_frames, listener.counters.idle_closed) == (1, 0)


@in_a_loop
async def test_a_peer_that_leaves_inside_a_frame_is_counted() -> None:
    async with listening() as listener:
        async with connected(listener) as peer:
            await peer.write(b"\x0bMSH|half")
            peer.writer.write_eof()
            assert await peer.is_closed()
        assert (listener.counters.cut_frames, listener.counters.frames) == (1, 0)


@in_a_loop
async def test_a_frame_without_cr_is_answered_when_the_peer_ends_its_side() -> None:
    async with listening() as listener, connected(listener) as peer:
        await peer.write(b"\x0b1\x1c\x0b2\x1c")
        assert await peer.frames(1) == [b"ack 1"]
        peer.writer.write_eof()
        assert await peer.frames(1) == [b"ack 2"]
        assert listener.counters.cut_frames == 0


@in_a_loop
async def test_peers_outside_allow_from_are_closed_at_once_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async with listening(allow_from=(ip_network("10.0.0.0/8"), ip_network("::1/128"))) as listener:
        for _ in range(3):
            async with connected(listener) as peer:
                assert await peer.is_closed()
        assert (listener.counters.refused_peers, listener.counters.connections) == (3, 0)
    assert caplog.text.count("127.0.0.1 is not in allow_from") == 1


@in_a_loop
async def test_without_networks_loopback_is_let_in() -> None:
    async with listening(allow_from=()) as listener, connected(listener) as peer:
        await peer.write(encode(b"1"))
        assert await peer.frames(1) == [b"ack 1"]


@in_a_loop
async def test_connections_beyond_the_limit_are_closed_at_once() -> None:
    async with listening(limits=Limits(max_connections=1)) as listener:
        async with connected(listener) as first:
            await first.write(encode(b"1"))
            assert await first.frames(1) == [b"ack 1"]
            for _ in range(2):
                async with connected(listener) as second:
                    assert await second.is_closed()
            await first.write(encode(b"2"))
            assert await first.frames(1) == [b"ack 2"]
            first.writer.write_eof()
            assert await first.is_closed()
        async with connected(listener) as third:
            await third.write(encode(b"3"))
            assert await third.frames(1) == [b"ack 3"]
        assert (listener.counters.refused_full, listener.counters.connections) == (2, 2)


@in_a_loop
async def test_replies_keep_the_order_of_frames_whose_hooks_end_in_another() -> None:
    started: list[bytes] = []
    ended: list[bytes] = []
    gates = {name: asyncio.Event() for name in (b"1", b"2", b"3")}

    async def answer(incoming: Incoming) -> bytes | None:
        assert isinstance(incoming.frame, Frame)
        name = incoming.frame.payload
        started.append(name)
        if name == b"3":
            gates[b"3"].set()
        await gates[name].wait()
        ended.append(name)
        follows = {b"3": b"2", b"2": b"1"}.get(name)
        if follows is not None:
            gates[follows].set()
        return name

    async with listening(answer) as listener, connected(listener) as peer:
        await peer.write(encode(b"1") + encode(b"2") + encode(b"3"))
        assert await peer.frames(3) == [b"1", b"2", b"3"]
        assert started == [b"1", b"2", b"3"]
        assert ended == [b"3", b"2", b"1"]


@in_a_loop
async def test_a_connection_has_a_bounded_number_of_frames_in_flight() -> None:
    started = 0
    full, gate = asyncio.Event(), asyncio.Event()

    async def answer(incoming: Incoming) -> bytes | None:
        nonlocal started
        assert isinstance(incoming.frame, Frame)
        if incoming.frame.payload == b"ping":
            return b"pong"
        started += 1
        if started == MAX_IN_FLIGHT:
            full.set()
        await gate.wait()
        return incoming.frame.payload

    names = [b"%d" % number for number in range(3 * MAX_IN_FLIGHT)]
    async with listening(answer) as listener, connected(listener) as peer, connected(listener) as other:
        await peer.write(b"".join(map(encode, names)))
        await full.wait()
        await other.write(encode(b"ping"))
        assert await other.frames(1) == [b"pong"]
        assert started == MAX_IN_FLIGHT
        gate.set()
        assert await peer.frames(len(names)) == names


@in_a_loop
async def test_a_hook_that_fails_closes_its_connection_without_an_answer(caplog: pytest.LogCaptureFixture) -> None:
    gate = asyncio.Event()

    async def answer(incoming: Incoming) -> bytes | None:
        assert isinstance(incoming.frame, Frame)
        if incoming.frame.payload == b"secret 2":
            await gate.wait()
            raise LookupError("secret words")
        if incoming.frame.payload == b"3":
            gate.set()
        return incoming.frame.payload

    async with listening(answer) as listener:
        async with connected(listener) as peer, connected(listener) as other:
            await peer.write(encode(b"1") + encode(b"secret 2") + encode(b"3"))
            assert await peer.frames(1) == [b"1"]
            assert await peer.is_closed()
            await other.write(encode(b"4"))
            assert await other.frames(1) == [b"4"]
        assert (listener.counters.failed, listener.counters.answered) == (1, 2)
    assert "LookupError" in caplog.text
    assert "secret" not in caplog.text


@in_a_loop
async def test_no_hook_starts_behind_one_that_failed() -> None:
    started = 0
    full = asyncio.Event()

    async def answer(incoming: Incoming) -> bytes | None:
        nonlocal started
        started += 1
        if started == MAX_IN_FLIGHT:
            full.set()
        await full.wait()
        raise LookupError

    async with listening(answer) as listener, connected(listener) as peer:
        await peer.write(encode(b"1") * 3 * MAX_IN_FLIGHT)
        assert await peer.is_closed()
        await listener.drain(5)
        assert started == listener.counters.failed == MAX_IN_FLIGHT


@in_a_loop
async def test_a_hook_that_is_cancelled_counts_as_failed() -> None:
    async def answer(incoming: Incoming) -> bytes | None:
        raise asyncio.CancelledError

    async with listening(answer) as listener, connected(listener) as peer:
        await peer.write(encode(b"1"))
        assert await peer.is_closed()
        assert listener.counters.failed == 1


@in_a_loop
async def test_a_reply_that_cannot_be_framed_counts_as_failed() -> None:
    async def answer(incoming: Incoming) -> bytes | None:
        return b"\x1c\r"

    async with listening(answer) as listener, connected(listener) as peer:
        await peer.write(encode(b"1"))
        assert await peer.is_closed()
        assert (listener.counters.failed, listener.counters.answered) == (1, 0)


@in_a_loop
async def test_no_reply_where_the_hook_returns_none() -> None:
    async def answer(incoming: Incoming) -> bytes | None:
        assert isinstance(incoming.frame, Frame)
        return None if incoming.frame.payload == b"quiet" else b"ok"

    async with listening(answer) as listener, connected(listener) as peer:
        await peer.write(encode(b"quiet") + encode(b"2"))
        assert await peer.frames(1) == [b"ok"]
        assert (listener.counters.frames, listener.counters.answered) == (2, 1)


@in_a_loop
async def test_each_reply_is_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[bytes] = []
    write = asyncio.StreamWriter.write

    def recorded(writer: asyncio.StreamWriter, stream: bytes) -> None:
        writes.append(stream)
        write(writer, stream)

    monkeypatch.setattr(asyncio.StreamWriter, "write", recorded)
    async with listening() as listener, connected(listener) as peer:
        peer.writer.transport.write(encode(b"1") + encode(b"2"))
        await peer.frames(2)
    assert writes == [encode(b"ack 1"), encode(b"ack 2")]


@in_a_loop
async def test_a_hook_goes_on_when_its_peer_has_gone() -> None:
    began, gate, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def answer(incoming: Incoming) -> bytes | None:
        began.set()
        await gate.wait()
        ended.set()
        return b"ok"

    async with listening(answer) as listener, connected(listener) as peer:
        await peer.write(encode(b"1") + b"\x0bhalf")
        await began.wait()
        connection: socket.socket = peer.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, no farewell
        peer.writer.transport.abort()
        while not listener.counters.cut_frames:
            await asyncio.sleep(0.001)
        assert not ended.is_set()
        gate.set()
        await ended.wait()
        assert (listener.counters.answered, listener.counters.failed, listener.counters.cut_frames) == (0, 0, 1)


@in_a_loop
async def test_a_peer_that_takes_no_replies_is_closed() -> None:
    async def answer(incoming: Incoming) -> bytes | None:
        return b"x" * (1 << 20)

    async with listening(answer, limits=Limits(frame_timeout_seconds=0.1)) as listener:
        async with connected(listener) as peer:
            await peer.write(b"".join(encode(b"%d" % number) for number in range(100)))
            while not listener.counters.frames or listener.counters.open:
                await asyncio.sleep(0.001)
        async with connected(listener) as other:
            await other.write(encode(b"1"))
            assert await other.frames(1) == [b"x" * (1 << 20)]


@in_a_loop
async def test_drain_answers_what_came_whole_and_drops_what_did_not() -> None:
    began, gate = asyncio.Event(), asyncio.Event()

    async def answer(incoming: Incoming) -> bytes | None:
        began.set()
        await gate.wait()
        return await echo(incoming)

    async with listening(answer) as listener, connected(listener) as whole, connected(listener) as half:
        await half.write(b"\x0bMSH|half")
        await whole.write(b"".join(encode(b"%d" % number) for number in range(2 * MAX_IN_FLIGHT)))
        await began.wait()
        while listener.counters.open < 2:
            await asyncio.sleep(0.001)
        port = listener.port
        draining = asyncio.create_task(listener.drain(10))
        assert await half.is_closed()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        gate.set()
        expected = [b"ack %d" % number for number in range(2 * MAX_IN_FLIGHT)]
        assert await whole.frames(len(expected)) == expected
        assert await whole.is_closed()
        assert await draining
        assert (listener.counters.cut_frames, listener.counters.open, listener.counters.idle_closed) == (1, 0, 0)


@in_a_loop
async def test_drain_gives_up_when_its_time_is_over() -> None:
    began = asyncio.Event()

    async def answer(incoming: Incoming) -> bytes | None:
        began.set()
        await asyncio.Event().wait()
        return b"never"

    async with listening(answer) as listener, connected(listener) as peer:
        await peer.write(encode(b"1"))
        await began.wait()
        assert not await listener.drain(0.05)
        assert await peer.is_closed()
        assert (listener.counters.answered, listener.counters.open) == (0, 0)


@in_a_loop
async def test_drain_of_a_listener_at_rest() -> None:
    listener = Listener("lis", "127.0.0.1", 0, allow_from=LOOPBACK, answer=echo)
    assert await listener.drain(0)
    await listener.start()
    async with connected(listener) as peer:
        await peer.write(encode(b"1"))
        await peer.frames(1)
        assert await listener.drain(5)
        assert await peer.is_closed()
    assert await listener.drain(0)


@in_a_loop
async def test_a_port_that_is_taken_is_named_with_its_remedy() -> None:
    async with listening() as listener:
        second = Listener("other", "127.0.0.1", listener.port, allow_from=LOOPBACK, answer=echo)
        with pytest.raises(ListenError, match=rf"source other: .* port {listener.port} .*Choose a free port"):
            await second.start()


@in_a_loop
async def test_ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    async with listening(host="::1") as listener:
        reader, writer = await asyncio.open_connection("::1", listener.port)
        peer = Peer(reader, writer)
        await peer.write(encode(b"1"))
        assert await peer.frames(1) == [b"ack 1"]
        writer.close()
        await writer.wait_closed()


@in_a_loop
async def test_the_client_of_this_house_is_served() -> None:
    async def answer(incoming: Incoming) -> bytes | None:
        assert isinstance(incoming.frame, Frame)
        control_id = incoming.frame.payload.split(b"|")[9]
        return b"MSH|^~\\&|A|B|C|D|20260105||ACK|1|P|2.5.1\rMSA|AA|" + control_id + b"\r"

    def send(port: int) -> int:
        message = b"MSH|^~\\&|A|B|C|D|20260105||ORU^R01|M%d|P|2.5.1\r"
        with Client("127.0.0.1", port, timeout_seconds=10) as client:
            return len(list(client.send_many((message % number for number in range(500)), in_flight=100)))

    async with listening(answer) as listener:
        assert await asyncio.to_thread(send, listener.port) == 500


def test_nothing_of_a_message_is_in_a_log_at_any_level(caplog: pytest.LogCaptureFixture) -> None:
    @in_a_loop
    async def run() -> None:
        async with listening(limits=Limits(max_frame_bytes=10)) as listener, connected(listener) as peer:
            await peer.write(b"secret" + encode(b"secret") + encode(b"secret" * 10) + b"\x0bsecret")
            await peer.frames(2)

    with caplog.at_level(logging.DEBUG):
        run()
    assert "source lis listens" in caplog.text
    assert "secret" not in caplog.text
