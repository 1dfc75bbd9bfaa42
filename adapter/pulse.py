"""The running daemon's pulse: a small file beside the store, so that ``status`` can say what the store cannot.

A fixed number of bytes, written in place: a disk that is full still takes them.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

_BYTES = 16 * 1024
_STALE_SECONDS = 30


class AnotherDaemon(Exception):
    """A daemon works on this store already: two would answer for it, and one is enough."""


class Pulse:
    """Written by the daemon, which holds the file's lock as long as it lives: there is one daemon for a store.

    Raises :class:`AnotherDaemon` where another one holds it.
    """

    def __init__(self, store_path: Path, now: Callable[[], datetime]) -> None:
        path = pulse_path(store_path)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise AnotherDaemon(f"{store_path}: another daemon works on this store; stop that one first") from None
        self._now = now
        self._started_at = now().isoformat()

    def beat(self, listeners: Mapping[str, Any], **facts: Any) -> None:
        """Say that the daemon lives, and how. A disk that takes not even this is no reason to stop serving."""
        self._write({"state": "running", "listeners": listeners, **facts})

    def ended(self) -> None:
        """Say that it ended by itself, and let the store go."""
        self._write({"state": "stopped", "listeners": {}})
        os.close(self._file)

    def _write(self, facts: Mapping[str, Any]) -> None:
        said = {"pid": os.getpid(), "started_at": self._started_at, "beat_at": self._now().isoformat(), **facts}
        content = json.dumps(said).encode().ljust(_BYTES)
        with suppress(OSError):
            os.pwrite(self._file, content, 0)


def pulse_path(store_path: Path) -> Path:
    """Where the pulse of the daemon on this store is."""
    return store_path.with_name(store_path.name + ".daemon")


def read_pulse(store_path: Path, now: datetime) -> dict[str, Any]:
    """The last pulse, its ``state`` being ``running``, ``stopped`` or ``silent`` (it ended without saying so)."""
    try:
        said = json.loads(pulse_path(store_path).read_bytes())
        age = (now - datetime.fromisoformat(said["beat_at"])).total_seconds()
    except (OSError, ValueError, KeyError, TypeError):
        return {"state": "stopped", "listeners": {}}
    if said["state"] == "running" and (age > _STALE_SECONDS or not _alive(said["pid"])):
        said["state"] = "silent"
    found: dict[str, Any] = said
    return found


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
