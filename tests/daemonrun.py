"""The daemon as a real process on real sockets, for tests that start, kill and ask it."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import subprocess
import sys
from contextlib import closing, redirect_stderr, redirect_stdout, suppress
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from trialrun import eventually

from adapter.cli import main
from adapter.codecs.ack import Answer, read_answers
from adapter.intake.client import Client, ClientError


class DaemonRun:
    """One trial's folder and the daemon on it. Everything is asked through the command line, as a user would."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.config = folder / "config.toml"
        self.process: subprocess.Popen[bytes] | None = None
        self.starts = 0
        self._clients: dict[str, Client] = {}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "adapter", "-c", str(self.config), *arguments]

    def run(self, *arguments: str, status: int = 0) -> str:
        """A command, in this process: another one for each question would take most of the tests' time."""
        out, err = io.StringIO(), io.StringIO()
        level = logging.getLogger().level
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main(["-c", str(self.config), *arguments])
        logging.getLogger().setLevel(level)
        assert (ended.value.code or 0) == status, (ended.value.code, out.getvalue(), err.getvalue())
        return out.getvalue()

    def ask(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json"))

    @property
    def log(self) -> Path:
        return self.folder / f"daemon-{self.starts}.log"

    def start(self) -> None:
        self.starts += 1
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(self.command("run"), stderr=log, stdout=log)
        eventually(lambda: "ready" in self.log.read_text().splitlines())

    def signal(self, number: int) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        """SIGKILL: nothing is said, nothing is finished."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self._hang_up()

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        self._hang_up()
        if self.process is None or self.process.poll() is not None:
            return -1
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    def _hang_up(self) -> None:
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def ports(self) -> dict[str, int]:
        return {s["name"]: s["port"] for s in self.ask("status")["sources"] if s["kind"] == "mllp"}

    def send(self, source: str, payload: bytes) -> list[Answer]:
        """One payload over a connection that stays open; the acknowledgements in its answer."""
        if source not in self._clients:
            self._clients[source] = Client("127.0.0.1", self.ports()[source], timeout_seconds=20)
        return list(read_answers(self._clients[source].send(payload)))

    def send_until_answered(self, source: str, payload: bytes, restart: Any) -> list[Answer]:
        """Send again until there is an answer, as a laboratory system does; ``restart`` is called in between."""
        for _ in range(20):
            with suppress(ClientError, OSError):
                return self.send(source, payload)
            restart()
        raise AssertionError("no acknowledgement after twenty tries")

    def settled(self) -> None:
        """Wait until everything in the inbox is derived."""
        eventually(lambda: self.ask("status")["inbox"]["pending"] == 0, seconds=60)

    def __enter__(self) -> DaemonRun:
        return self

    def __exit__(self, *_: object) -> None:
        with closing(self):
            self.stop()

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def trial_of(feed: Any, folder: Path) -> DaemonRun:
    """A feed's roster and configuration in a folder, initialised and enrolled."""
    from fixtures.generator import write

    write(feed, folder)
    run = DaemonRun(folder)
    run.run("init", str(folder))
    run.run("participants", "import", str(folder / "roster.csv"))
    run.run("assess", "import", str(folder / "assessments.csv"))
    for each in feed.ended:
        on = each.ended_on.isoformat() if isinstance(each.ended_on, date) else each.ended_on
        run.run("participants", "withdraw", each.study_id, "--on", on, "--because", each.why, "--reason", "planned")
    return run
