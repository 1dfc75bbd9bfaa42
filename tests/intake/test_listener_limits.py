"""The limits of the MLLP server: size, time, connections, who may enter, and how it stops."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from ipaddress import ip_network

import pytest
from mllp_peer import LOOPBACK, connected, echo, in_a_loop, listening

from adapter.codecs.mllp import Frame, Oversize, encode
from adapter.intake.listener import MAX_IN_FLIGHT, Incoming, Limits, Listener, ListenError


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
