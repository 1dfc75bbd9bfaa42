"""What the adapter is held against: servers that acknowledge the same messages, each as simple as it can be.

``python bench/peers.py NAME`` listens on a free port of this machine and says ``ready PORT`` on standard error.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_END = b"\x1c\r"
_INSERT = "INSERT INTO inbox (message_control_id, raw) VALUES (?, ?)"


@dataclass(frozen=True, slots=True)
class Peer:
    """One server to compare with. ``needs`` is the package it is made of; ``fresh``: it closes after each message."""

    name: str
    words: str
    stored: bool
    serve: Callable[[Path, str], Coroutine[Any, Any, None]]
    needs: str | None = None
    fresh: bool = False

    @property
    def missing(self) -> str | None:
        """Why it cannot run here, in a sentence, or None."""
        if self.needs is None or find_spec(self.needs) is not None:
            return None
        return f"{self.words} is left out: the package {self.needs} is not installed (pip install {self.needs})."


def ready(port: int) -> None:
    """Tell whoever started this process where to connect."""
    print(f"ready {port}", file=sys.stderr, flush=True)


def control_id_of(message: bytes) -> bytes:
    """MSH-10 of a message with the usual delimiters."""
    return message.split(b"|", 10)[9]


def acknowledgement(control_id: bytes) -> bytes:
    """The shortest positive one."""
    return b"\x0bMSH|^~\\&|||||20260101000000||ACK|1|P|2.5.1\rMSA|AA|" + control_id + b"\r" + _END


class _Mllp(asyncio.Protocol):
    """Frames in, ``take`` called for each; whoever takes them answers through ``transport``."""

    def __init__(self, take: Callable[[asyncio.Transport, bytes], None]) -> None:
        self._take = take
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, received: bytes) -> None:
        *frames, self._received = (self._received + received).split(_END)
        for frame in frames:
            self._take(self._transport, frame[1:])


async def _listen(take: Callable[[asyncio.Transport, bytes], None]) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: _Mllp(take), "127.0.0.1", 0)
    ready(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def _database(folder: Path, journal: str) -> sqlite3.Connection:
    """A table for messages whose commits survive a loss of power: FULL in WAL, EXTRA with a rollback journal."""
    database = sqlite3.connect(folder / "peer.db", isolation_level=None, check_same_thread=False)
    (mode,) = database.execute(f"PRAGMA journal_mode = {journal}").fetchone()
    assert mode == journal
    database.execute(f"PRAGMA synchronous = {'FULL' if journal == 'wal' else 'EXTRA'}")
    database.execute("CREATE TABLE inbox (id INTEGER PRIMARY KEY, message_control_id TEXT UNIQUE, raw BLOB)")
    return database


async def _echo(_: Path, __: str) -> None:
    await _listen(lambda transport, message: transport.write(acknowledgement(control_id_of(message))))


async def _one_commit_each(folder: Path, journal: str) -> None:
    database = _database(folder, journal)

    def take(transport: asyncio.Transport, message: bytes) -> None:
        control_id = control_id_of(message)
        database.execute(_INSERT, (control_id.decode(), message))  # without a transaction: it commits
        transport.write(acknowledgement(control_id))

    await _listen(take)


async def _group_commit(folder: Path, journal: str) -> None:
    database = _database(folder, journal)
    waiting: list[tuple[asyncio.Transport, bytes, bytes]] = []
    arrived = asyncio.Event()

    def take(transport: asyncio.Transport, message: bytes) -> None:
        waiting.append((transport, control_id_of(message), message))
        arrived.set()

    def commit(batch: list[tuple[asyncio.Transport, bytes, bytes]]) -> None:
        database.execute("BEGIN IMMEDIATE")
        database.executemany(_INSERT, ((control_id.decode(), message) for _, control_id, message in batch))
        database.execute("COMMIT")

    async def write() -> None:
        while True:
            await arrived.wait()
            arrived.clear()
            batch = waiting[:]
            waiting.clear()
            await asyncio.to_thread(commit, batch)
            for transport, control_id, _ in batch:
                transport.write(acknowledgement(control_id))

    await asyncio.gather(write(), _listen(take))


async def _python_hl7(_: Path, __: str) -> None:
    from hl7.mllp import (  # type: ignore[import-not-found, unused-ignore]
        HL7StreamReader,
        HL7StreamWriter,
        start_hl7_server,
    )

    async def serve(reader: HL7StreamReader, writer: HL7StreamWriter) -> None:
        try:
            while True:
                message = await reader.readmessage()
                writer.writemessage(message.create_ack())
                await writer.drain()
        except asyncio.IncompleteReadError:
            writer.close()

    server = await start_hl7_server(serve, "127.0.0.1", 0)
    ready(server.sockets[0].getsockname()[1])
    await server.serve_forever()


async def _hl7apy(_: Path, __: str) -> None:
    from hl7apy.core import Message
    from hl7apy.mllp import AbstractHandler, MLLPServer
    from hl7apy.parser import parse_message

    class Handler(AbstractHandler):  # type: ignore[misc]
        def reply(self) -> str:
            message = parse_message(self.incoming_message)
            answer = Message("ACK", version="2.5.1")
            answer.msa.msa_1 = "AA"
            answer.msa.msa_2 = message.msh.msh_10
            text: str = answer.to_mllp()
            return text

    with MLLPServer("127.0.0.1", 0, {"ORU^R01^ORU_R01": (Handler,)}) as server:
        server.daemon_threads = True
        ready(server.server_address[1])
        await asyncio.to_thread(server.serve_forever)


PEERS = {
    peer.name: peer
    for peer in (
        Peer("echo", "bare asyncio echo", False, _echo),
        Peer("sqlite-group", "asyncio + SQLite, group commit", True, _group_commit),
        Peer("sqlite-each", "asyncio + SQLite, one commit each", True, _one_commit_each),
        Peer("python-hl7", "python-hl7's MLLP server", False, _python_hl7, needs="hl7"),
        Peer("hl7apy", "hl7apy's MLLPServer", False, _hl7apy, needs="hl7apy", fresh=True),
    )
}


def main() -> None:
    """The command line of the peers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=sorted(PEERS))
    parser.add_argument("--folder", type=Path, required=True, help="where a peer that stores keeps its file")
    parser.add_argument("--journal", choices=("delete", "wal"), default="delete", help="its SQLite journal")
    chosen = parser.parse_args()
    asyncio.run(PEERS[chosen.name].serve(chosen.folder, chosen.journal))


if __name__ == "__main__":
    main()
