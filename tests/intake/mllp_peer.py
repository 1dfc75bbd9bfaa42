"""What the listener's tests share: a listener that ends with its test, and a peer that writes any bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from functools import wraps
from ipaddress import ip_network

from adapter.codecs.mllp import Decoder, Frame
from adapter.intake.listener import Incoming, Limits, Listener, Network

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
