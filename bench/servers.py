"""The servers of the benchmark as processes: started on an empty store, asked what they cost, killed at the end."""

from __future__ import annotations

import csv
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.load import AUTHORITY, INFUSED_ON, enrolled

ROOT = Path(__file__).resolve().parents[1]
READY_SECONDS = 60
_TICKS = os.sysconf("SC_CLK_TCK")
_CONFIG = """
[trial]
protocol = {protocol}

[store]
url = "sqlite:///trial.db"

[log]
level = "WARNING"

[[source]]
name = "lis"
kind = "mllp"
host = "127.0.0.1"
port = 0
authority = "{authority}"
charset = "utf-8"
timezone = "Asia/Shanghai"
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A process that listens."""

    process: subprocess.Popen[bytes]
    log: Path
    port: int

    def cpu(self) -> tuple[float, float, dict[int, float]]:
        """Seconds in user and system mode, and of each thread together; zeros where there is no /proc."""
        place = Path(f"/proc/{self.process.pid}")
        if not place.exists():
            return 0.0, 0.0, {}
        threads = {int(task.name): sum(_spent(task)) for task in (place / "task").iterdir()}
        return *_spent(place), threads

    def peak_mib(self) -> float | None:
        """The most memory that was resident at any time."""
        status = Path(f"/proc/{self.process.pid}/status")
        if not status.exists():
            return None
        return next(int(s.split()[1]) / 1024 for s in status.read_text().splitlines() if s.startswith("VmHWM"))


def _spent(place: Path) -> tuple[float, float]:
    """Seconds in user and in system mode (proc(5)): of a process, ended threads included, or of one thread."""
    fields = (place / "stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) / _TICKS, int(fields[12]) / _TICKS


@contextmanager
def _listening(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process from its word ``ready`` on; killed at the end: what it acknowledged must be there all the same."""
    with log.open("wb") as words:
        process = subprocess.Popen(command, stderr=words, cwd=ROOT)
    try:
        until = time.monotonic() + READY_SECONDS
        while not any(line.startswith("ready") for line in log.read_text().splitlines()):
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"bench: {command} did not start:\n{log.read_text()}")
            time.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def running(folder: Path) -> Iterator[tuple[Server, dict[str, Any]]]:
    """The adapter's own daemon on a folder's trial, and what its ``status`` says."""
    command = [sys.executable, "-m", "adapter", "-c", str(folder / "config.toml")]
    log = folder / "log"
    with _listening([*command, "run"], log) as process:
        done = subprocess.run([*command, "status", "--json"], check=True, cwd=ROOT, capture_output=True)
        status = json.loads(done.stdout)
        yield Server(process, log, status["sources"][0]["port"]), status


@contextmanager
def peer(name: str, folder: Path, journal: str) -> Iterator[Server]:
    """One of the peers, listening."""
    log = folder / "log"
    script = str(ROOT / "bench" / "peers.py")
    command = [sys.executable, script, name, "--folder", str(folder), "--journal", journal]
    with _listening(command, log) as process:
        port = next(int(line.split()[1]) for line in log.read_text().splitlines() if line.startswith("ready"))
        yield Server(process, log, port)


@contextmanager
def daemon(folder: Path, participants: int, journal: str) -> Iterator[Server]:
    """The adapter's own daemon as a user runs it: its store on disk, a roster imported."""
    protocol = json.dumps(str(ROOT / "mappings" / "nct06984497.toml"))
    (folder / "config.toml").write_text(_CONFIG.format(protocol=protocol, authority=AUTHORITY), encoding="utf-8")
    with (folder / "roster.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("study_id", "identifier", "authority", "infused_at", "birth_date", "sex"))
        for number in range(1, participants + 1):
            rows.writerow((f"P{number:05d}", enrolled(number), AUTHORITY, INFUSED_ON, "1970-01-01", "F"))
    command = [sys.executable, "-m", "adapter", "-c", str(folder / "config.toml")]
    for arguments in (("init", str(folder)), ("participants", "import", str(folder / "roster.csv"))):
        subprocess.run([*command, *arguments], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    if journal == "delete":
        with closing(sqlite3.connect(folder / "trial.db")) as database:
            database.execute("PRAGMA journal_mode = delete")
    log = folder / "log"
    with _listening([*command, "run"], log) as process:
        status = subprocess.run([*command, "status", "--json"], check=True, cwd=ROOT, capture_output=True)
        yield Server(process, log, json.loads(status.stdout)["sources"][0]["port"])
