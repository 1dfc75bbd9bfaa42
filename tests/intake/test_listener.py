"""The MLLP server on real sockets: every row of the probe table that a listener decides."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct

import pytest
from mllp_peer import Peer, connected, in_a_loop, listening

from adapter.codecs.mllp import Frame, encode
from adapter.intake.client import Client
from adapter.intake.listener import Incoming, Limits


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
