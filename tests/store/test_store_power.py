"""The power is cut at every instant: a file system of our own under SQLite notes each write and sync, and a disk is
made of what had surely reached it, of all that was written, or of any part of what lay between.

SIGKILL proves nothing here, for what a process wrote stays in the kernel's memory. SQLite's own account of what a disk
may do is sqlite.org/atomiccommit.html; that ``synchronous`` FULL is not enough for DELETE is in
sqlite.org/pragma.html#pragma_synchronous.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from store_samples import NOON, TRIAL, WHO, add, apply, new_message, one_value, participant

from adapter.store import Store, engine

apsw = pytest.importorskip("apsw", reason="needs a SQLite whose file system can be written in Python")


class Event(NamedTuple):
    """What SQLite asked of the file system. ``offset`` is the size of a truncation."""

    kind: str  # create, write, truncate, sync, delete, delete_synced
    name: str
    offset: int = 0
    content: bytes = b""


@dataclass
class Inode:
    """A file: what is surely on the disk, and the writes that no sync has covered yet."""

    durable: bytes = b""
    pending: list[Event] = field(default_factory=list)

    def with_writes(self, kept: Callable[[Event], bool]) -> bytes:
        content = bytearray(self.durable)
        for event in filter(kept, self.pending):
            if event.kind == "truncate":
                del content[event.offset :]
            else:
                content.extend(bytes(max(0, event.offset - len(content))))
                content[event.offset : event.offset + len(event.content)] = event.content
        return bytes(content)

    def sync(self) -> None:
        self.durable, self.pending = self.with_writes(lambda event: True), []


class Disk:
    """Files, and the names of the folder; a name comes and goes durably only when the folder is synced."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.durable_names = {name: Inode(content) for name, content in files.items()}
        self.names = dict(self.durable_names)
        self.pending_names: list[tuple[str, Inode | None]] = []

    def happen(self, event: Event) -> None:
        if event.kind == "create":
            self.names[event.name] = Inode()
            self.pending_names.append((event.name, self.names[event.name]))
        elif event.kind in ("delete", "delete_synced"):
            del self.names[event.name]
            self.pending_names.append((event.name, None))
        elif event.kind == "sync":
            self.names[event.name].sync()
        else:
            self.names[event.name].pending.append(event)
        # SQLite's unix file system syncs the folder with the first sync of a journal it made, and where asked to
        # after a deletion.
        if event.kind == "delete_synced" or (event.kind == "sync" and event.name.endswith("-journal")):
            self.durable_names, self.pending_names = dict(self.names), []

    def after_power_loss(self, kept: Callable[[object], bool]) -> dict[str, bytes]:
        names = dict(self.durable_names)
        for name, inode in self.pending_names:
            if kept(name):
                if inode is None:
                    names.pop(name, None)
                else:
                    names[name] = inode
        return {name: inode.with_writes(kept) for name, inode in names.items()}


class RecordingFile:
    """A file that does at once what it is asked, and notes it."""

    def __init__(self, name: str, content: bytearray, note: Callable[[Event], None]) -> None:
        self.name, self.content, self.note = name, content, note

    def xRead(self, amount: int, offset: int) -> bytes:
        return bytes(self.content[offset : offset + amount])

    def xWrite(self, content: bytes, offset: int) -> None:
        self.note(Event("write", self.name, offset, bytes(content)))
        self.content.extend(bytes(max(0, offset - len(self.content))))
        self.content[offset : offset + len(content)] = content

    def xTruncate(self, size: int) -> None:
        self.note(Event("truncate", self.name, size))
        del self.content[size:]

    def xSync(self, flags: int) -> None:
        self.note(Event("sync", self.name))

    def xFileSize(self) -> int:
        return len(self.content)

    def xSectorSize(self) -> int:
        return 512

    def xDeviceCharacteristics(self) -> int:
        return 0  # promises nothing: no atomic write, no safe append

    def xCheckReservedLock(self) -> bool:
        return False

    def xFileControl(self, op: int, pointer: int) -> bool:
        return False

    def xLock(self, level: int) -> None:
        """One connection: nothing to lock."""

    def xUnlock(self, level: int) -> None:
        """One connection: nothing to unlock."""

    def xClose(self) -> None:
        """Closing writes nothing."""


class Recorder:
    """What SQLite asked of the file system, in order."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.files: dict[str, bytearray] = {}

    def note(self, event: Event) -> None:
        self.events.append(event)


def recording_file_system(recorder: Recorder) -> Any:
    class FileSystem(apsw.VFS):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__("recording", "", maxpathname=1024)

        def xOpen(self, name: Any, flags: list[int]) -> RecordingFile:
            if name is None:
                return RecordingFile("", bytearray(), lambda event: None)
            name = name if isinstance(name, str) else name.filename()
            if name not in recorder.files:
                recorder.note(Event("create", name))
                recorder.files[name] = bytearray()
            flags[1] = flags[0]
            return RecordingFile(name, recorder.files[name], recorder.note)

        def xDelete(self, name: str, sync_folder: bool) -> None:
            recorder.note(Event("delete_synced" if sync_folder else "delete", name))
            del recorder.files[name]

        def xAccess(self, name: str, flags: int) -> bool:
            return name in recorder.files

        def xFullPathname(self, name: str) -> str:
            return name

    return FileSystem()


class Cursor:
    """As much of ``sqlite3.Cursor`` as the store uses."""

    def __init__(self, connection: Any, sql: str, parameters: Any) -> None:
        self._rows = connection.execute(sql, parameters).fetchall()
        self.rowcount = connection.changes()
        self.lastrowid = connection.last_insert_rowid()
        self.description = None

    def fetchall(self) -> list[Any]:
        return list(self._rows)

    def fetchone(self) -> Any:
        return self._rows[0] if self._rows else None


class Connection:
    """As much of ``sqlite3.Connection`` as the store uses, on the file system that records."""

    def __init__(self) -> None:
        self._connection = apsw.Connection("trial.db", vfs="recording")

    @property
    def in_transaction(self) -> bool:
        return bool(self._connection.in_transaction)

    def execute(self, sql: str, parameters: Any = None) -> Cursor:
        return Cursor(self._connection, sql, parameters)

    def close(self) -> None:
        self._connection.close()


@dataclass
class Run:
    """A run of the store: the disk it began with, what it asked of the disk, and after how many events each commit
    had returned, with the number of audit records that were then there."""

    before: dict[str, bytes]
    events: list[Event]
    commits: list[tuple[int, int]]


@contextmanager
def recorded_store(path: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    file_system = recording_file_system(recorder)
    with monkeypatch.context() as patch:
        patch.setattr(engine, "wal_is_sound", lambda version: False)
        patch.setattr("adapter.store.engine.sqlite3.connect", lambda *_, **__: Connection())
        with Store.open(path, TRIAL, create=True) as store:
            yield store
    file_system.unregister()


def record_a_run(path: Path, monkeypatch: pytest.MonkeyPatch, synchronous: str | None) -> Run:
    recorder, commits = Recorder(), []
    with recorded_store(path, recorder, monkeypatch) as store:
        if synchronous is not None:
            store._engine._connection.execute(f"PRAGMA synchronous = {synchronous}")
        before = {name: bytes(content) for name, content in recorder.files.items()}
        recorder.events.clear()

        def committed() -> None:
            commits.append((len(recorder.events), store.verify().records))

        with store.write() as tx:
            tx.put_participant(participant(), WHO, "consent signed", NOON)
        committed()
        for n, size in enumerate((10, 9_000, 300)):
            add(store, new_message(f"M{n}", content="x" * size))
            committed()
        for value in ("42.10", "43"):
            assert apply(store, one_value(value))
            committed()
        with store.write() as tx:
            tx.erase_raw(2, WHO, "another person's", NOON)
        committed()
    return Run(before, recorder.events, commits)


def disks_at_every_instant(run: Run) -> Iterator[tuple[int, str, dict[str, bytes]]]:
    disk = Disk(run.before)
    for instant in range(len(run.events) + 1):
        yield instant, "only what was synced", disk.after_power_loss(lambda _: False)
        yield instant, "all that was written", disk.after_power_loss(lambda _: True)
        for seed in range(2):
            chance = random.Random(2 * instant + seed)
            yield instant, f"some of it, seed {seed}", disk.after_power_loss(lambda _, c=chance: c.random() < 0.5)  # type: ignore[misc]
        if instant < len(run.events):
            disk.happen(run.events[instant])


def lost_commits(run: Run, folder: Path) -> list[str]:
    """Every disk on which the store is broken, or does not hold a commit that had returned."""
    losses = []
    seen: dict[tuple[tuple[str, bytes], ...], tuple[list[str], int]] = {}
    for instant, kind, files in disks_at_every_instant(run):
        image = tuple(sorted(files.items()))
        if image not in seen:
            seen[image] = after_reopening(files, folder)
        problems, records = seen[image]
        promised = max((count for at, count in run.commits if at <= instant), default=0)
        if problems or records < promised:
            losses.append(f"event {instant}, {kind}: {records} of {promised} records, {problems}")
    return losses


def after_reopening(files: dict[str, bytes], folder: Path) -> tuple[list[str], int]:
    for each in folder.iterdir():
        each.unlink()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    try:
        with Store.open(folder / "trial.db", TRIAL) as store:
            verified = store.verify()
            return [*store.integrity_problems(), *verified.problems], verified.records
    except Exception as error:  # a disk on which it does not even open is a loss, whatever it says
        return [type(error).__name__], 0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "disk"
    folder.mkdir()
    return folder


def test_a_commit_that_returned_survives_a_power_cut_at_any_instant(
    path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = record_a_run(path, monkeypatch, synchronous=None)
    assert {event.kind for event in run.events} >= {"create", "write", "sync", "delete_synced"}
    assert len(run.commits) == 7
    assert lost_commits(run, folder) == []


@pytest.mark.parametrize("synchronous", ["OFF", "FULL"])
def test_with_fewer_syncs_the_same_power_cuts_lose_commits(
    path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, synchronous: str
) -> None:
    run = record_a_run(path, monkeypatch, synchronous)
    assert lost_commits(run, folder) != []
