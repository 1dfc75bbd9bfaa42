"""``make bench``: the adapter and its peers, side by side, in one run on one machine.

Each line of the table is a server of its own, started on an empty store and ended after its load. ``README.md`` here
says how to read it. Exit status 1 where anything was answered that was not positive, or acknowledged and not stored.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from adapter.store import wal_is_sound
from bench.load import quantile
from bench.peers import PEERS
from bench.servers import READY_SECONDS, ROOT, Server, daemon, peer

ADAPTERS = {
    "adapter": ("this adapter, participants' messages", "participants"),
    "adapter-mixed": ("this adapter, 9 of 10 strangers'", "mixed"),
}
_THREADS = ("event loop", "writer", "deriver")  # of the daemon, in the order in which it starts them
_POLL_SECONDS = 0.01


@dataclass
class Line:
    """One line of the table: one server under one load. Times in milliseconds, memory in MiB."""

    name: str
    words: str
    stored: str | None  # journal and syncs of what is acknowledged, None where nothing is stored
    connections: int
    rate: float = 0.0
    milliseconds: dict[str, float] = field(default_factory=dict)  # p50, p99, max; empty where nothing was answered
    answered: int = 0
    not_positive: int = 0
    lost: int = 0
    peak_mib: float | None = None
    cpu_user: float = 0.0
    cpu_system: float = 0.0
    client_cpu: float = 0.0
    threads: dict[str, float] = field(default_factory=dict)  # CPU seconds
    in_store: int | None = None
    expected_in_store: int | None = None
    derived: int | None = None  # messages whose values were there when the load ended

    @property
    def faults(self) -> list[str]:
        """What must not be, in sentences."""
        place = f"{self.words}, {self.connections} connections"
        found = []
        if self.not_positive or self.lost:
            found.append(f"{place}: {self.not_positive} answers were not positive, {self.lost} never came")
        if not self.answered:
            found.append(f"{place}: nothing was answered")
        if self.in_store is not None and self.expected_in_store is not None and self.in_store < self.expected_in_store:
            found.append(f"{place}: {self.expected_in_store} were acknowledged, {self.in_store} are in the store")
        return found


def load_command(server: Server, options: argparse.Namespace, **more: Any) -> list[str]:
    """The command line of the load client."""
    chosen = {"port": server.port, "seconds": options.seconds, "participants": options.participants, **more}
    arguments = [f"--{name}={value}" for name, value in chosen.items() if value is not True]
    flags = [f"--{name}" for name, value in chosen.items() if value is True]
    return [sys.executable, str(ROOT / "bench" / "load.py"), *arguments, *flags]


def measured(server: Server, line: Line, command: Sequence[str]) -> Line:
    """The line, filled in from one load."""
    user, system, before = server.cpu()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    found = json.loads(done.stdout)
    after_user, after_system, after = server.cpu()
    line.rate = found["rate"]
    line.milliseconds = found["milliseconds"]
    line.answered, line.not_positive, line.lost = found["positive"], found["negative"], found["lost"]
    line.peak_mib = server.peak_mib()
    line.cpu_user, line.cpu_system = after_user - user, after_system - system
    line.client_cpu = found["client_cpu_seconds"]
    line.expected_in_store = found["enrolled_positive"]
    spent = [after[task] - before.get(task, 0.0) for task in sorted(after)]
    line.threads = dict(zip(_THREADS, spent, strict=False))
    return line


def _query(folder: Path, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect((folder / "trial.db").as_uri() + "?mode=ro", uri=True, timeout=30)) as database:
        return database.execute(sql, parameters).fetchall()


def measure_adapter(name: str, connections: int, options: argparse.Namespace, journal: str) -> Line:
    """The daemon under one load; what it acknowledged is looked for in its store after it was killed."""
    words, shape = ADAPTERS[name]
    line = Line(name, words, _durably(journal), connections)
    with tempfile.TemporaryDirectory(prefix="lab-adapter-bench-") as place:
        folder = Path(place)
        with daemon(folder, options.participants, journal) as server:
            measured(server, line, load_command(server, options, connections=connections, shape=shape))
            ((line.derived,),) = _query(folder, "SELECT COUNT(*) FROM inbox_patients WHERE state = 'done'")
        # Opened for writing: the first to come after a kill rolls back what was half written.
        with closing(sqlite3.connect(folder / "trial.db")) as database:
            ((line.in_store,),) = database.execute("SELECT COUNT(*) FROM inbox").fetchall()
    return line


def measure_peer(name: str, connections: int, options: argparse.Namespace, journal: str) -> Line:
    """A peer under the same load."""
    chosen = PEERS[name]
    line = Line(name, chosen.words, _durably(journal) if chosen.stored else None, connections)
    with (
        tempfile.TemporaryDirectory(prefix="lab-adapter-bench-") as place,
        peer(name, Path(place), journal) as server,
    ):
        more = {"connections": connections, **({"fresh": True} if chosen.fresh else {})}
        measured(server, line, load_command(server, options, **more))
    line.threads, line.expected_in_store = {}, None
    return line


def time_to_value(options: argparse.Namespace, journal: str) -> dict[str, Any]:
    """How long after its acknowledgement a message's values are in the store, at a steady rate on one connection."""
    settled: dict[str, float] = {}
    sql = (
        "SELECT inbox.id, message_control_id, state FROM inbox JOIN inbox_patients ON inbox_id = inbox.id "
        "WHERE inbox.id > ? ORDER BY inbox.id"
    )
    with tempfile.TemporaryDirectory(prefix="lab-adapter-bench-") as place:
        folder = Path(place)
        with daemon(folder, options.participants, journal) as server:
            command = load_command(server, options, connections=1, rate=options.rate)
            with subprocess.Popen(command, stdout=subprocess.PIPE) as client:
                low, until, ended, all_settled = 0, time.monotonic() + options.seconds + READY_SECONDS, False, False
                while not (ended and all_settled):
                    ended = client.poll() is not None  # before the store is looked at: nothing comes after that look
                    rows = _query(folder, sql, low)
                    now, all_settled = time.monotonic(), True
                    for inbox_id, control_id, state in rows:
                        if state == "done":
                            settled.setdefault(control_id, now)
                        all_settled = all_settled and state == "done"
                        low = inbox_id if all_settled else low
                    if now > until:
                        raise SystemExit("bench: values did not follow their acknowledgements in time")
                    time.sleep(_POLL_SECONDS)
                assert client.stdout is not None
                found = json.loads(client.stdout.read())
    waits = sorted(max(0.0, settled[each] - at) * 1000 for each, at in found["answered_at"].items())
    return {
        "rate": options.rate,
        "messages": len(waits),
        "milliseconds": {"median": statistics.median(waits), "p99": quantile(waits, 0.99), "max": waits[-1]},
        "acknowledged_milliseconds": found["milliseconds"],
        "polled_every_milliseconds": _POLL_SECONDS * 1000,
    }


def disk_milliseconds() -> float:
    """The median of fifty small writes, each with its fsync: what no commit on this disk can be faster than."""
    times = []
    with tempfile.NamedTemporaryFile(prefix="lab-adapter-bench-") as file:
        for _ in range(50):
            began = time.perf_counter()
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def _durably(journal: str) -> str:
    return f"{journal}, {'FULL' if journal == 'wal' else 'EXTRA'}"


def machine(journals: tuple[str, str]) -> dict[str, Any]:
    """What the numbers depend on."""
    return {
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "wal_sound": wal_is_sound(sqlite3.sqlite_version_info),
        "journal_of_adapter": journals[0],
        "journal_of_peers": journals[1],
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "disk_milliseconds": disk_milliseconds(),
    }


def journals_for(asked: str) -> tuple[str, str]:
    """The adapter's journal and the peers'. The adapter never uses a WAL that is not sound, whatever is asked for."""
    sound = wal_is_sound(sqlite3.sqlite_version_info)
    own = "wal" if sound and asked != "delete" else "delete"
    return own, own if asked == "auto" else asked


_HEADER = ("server", "stored", "conn", "msg/s", "p50 ms", "p99 ms", "max ms", "peak MiB", "CPU ms/msg", "derived")
_ROW = "{:<38} {:<13} {:>4} {:>8} {:>8} {:>8} {:>8} {:>8} {:>10} {:>8}"


def shown(line: Line) -> str:
    """A line for people."""
    times = [f"{line.milliseconds[name]:.2f}" if line.milliseconds else "-" for name in ("p50", "p99", "max")]
    cpu = (line.cpu_user + line.cpu_system) * 1000 / line.answered if line.answered else 0.0
    memory = "-" if line.peak_mib is None else f"{line.peak_mib:.0f}"
    derived = "" if line.derived is None else f"{line.derived}"
    stored = line.stored or "no"
    return _ROW.format(
        line.words, stored, line.connections, f"{line.rate:.0f}", *times, memory, f"{cpu:.2f}", derived
    ).rstrip()


def told(line: Line) -> str:
    """Where the adapter's processor time went."""
    spent = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in line.threads.items())
    return (
        f"{line.words}, {line.connections} connections: {spent} (user {line.cpu_user:.1f} s, system "
        f"{line.cpu_system:.1f} s); the load client {line.client_cpu:.1f} s"
    )


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The adapter and its peers, side by side.")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each load (default 5)")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16], metavar="N", help="default 1 16")
    parser.add_argument(
        "--journal", choices=("auto", "delete", "wal"), default="auto", help="SQLite's; auto: what the adapter chooses"
    )
    parser.add_argument("--participants", type=int, default=32, help="on the roster (default 32)")
    parser.add_argument("--rate", type=float, default=20.0, help="messages a second while values are timed")
    parser.add_argument("--only", nargs="+", choices=[*ADAPTERS, *PEERS, "value"], metavar="NAME", help="these alone")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for and print it; the exit status."""
    options = _parsed(arguments)
    own, others = journals_for(options.journal)
    chosen = options.only or [*ADAPTERS, *PEERS, "value"]
    report: dict[str, Any] = {"machine": machine((own, others)), "lines": [], "left_out": [], "value": None}

    def say(words: str = "") -> None:
        if not options.json:
            print(words, flush=True)

    facts = report["machine"]
    say(
        f"Python {facts['python']}, SQLite {facts['sqlite']} ({'' if facts['wal_sound'] else 'un'}sound WAL), "
        f"{facts['processors']} processors, load {facts['load_average']:.1f}, "
        f"a write with its fsync {facts['disk_milliseconds']:.2f} ms; each load {options.seconds:g} s\n"
    )
    say(_ROW.format(*_HEADER))
    lines = []
    for name in [n for n in (*ADAPTERS, *PEERS) if n in chosen]:
        missing = PEERS[name].missing if name in PEERS else None
        if missing is not None:
            report["left_out"].append(missing)
            continue
        for connections in options.connections:
            measure, journal = (measure_adapter, own) if name in ADAPTERS else (measure_peer, others)
            lines.append(measure(name, connections, options, journal))
            say(shown(lines[-1]))
    say()
    for sentence in (*(told(line) for line in lines if line.threads), *report["left_out"]):
        say(sentence)
    if "value" in chosen:
        found = report["value"] = time_to_value(options, own)
        times = found["milliseconds"]
        say(
            f"\nFrom acknowledgement to value at {options.rate:g} messages a second ({found['messages']} of them): "
            f"median {times['median']:.0f} ms, p99 {times['p99']:.0f} ms, max {times['max']:.0f} ms "
            f"(looked for every {found['polled_every_milliseconds']:g} ms)"
        )
    faults = [fault for line in lines for fault in line.faults]
    report["lines"] = [asdict(line) for line in lines]
    report["faults"] = faults
    if options.json:
        print(json.dumps(report))
    for fault in faults:
        print(f"bench: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
