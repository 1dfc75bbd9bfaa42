"""``make demo``: a whole trial's feed through the real daemon, over MLLP, and what comes of it held against the plan.

The feed is invented and planned before its messages are written (fixtures/generator.py), so that the table that comes
out can be compared with what must come out. It runs from a checkout alone.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from adapter.cli.common import print_table
from adapter.codecs.ack import read_answers
from adapter.intake.client import Client

_SEED = 7
_FEED_BEGAN_DAYS_AGO = 405  # long enough ago that most windows have closed and some are open
_READY_SECONDS = 30
_SETTLED_SECONDS = 120
_MARKS = {"in_review": "?", "missing": "-", "pending": ".", "not_expected": "x"}


@dataclass(frozen=True, slots=True)
class Trial:
    """The folder of the demonstration and its commands."""

    folder: Path

    def command(self, *arguments: str) -> list[str]:
        """``lab-adapter`` on this trial's configuration."""
        return [sys.executable, "-m", "adapter", "-c", str(self.folder / "config.toml"), *arguments]

    def ask(self, *arguments: str) -> Any:
        """The JSON that a command prints."""
        done = subprocess.run([*self.command(*arguments), "--json"], check=True, capture_output=True, text=True)
        return json.loads(done.stdout)

    def run(self, *arguments: str) -> None:
        """A command that only does something."""
        subprocess.run(self.command(*arguments), check=True, stdout=subprocess.DEVNULL)


def main(arguments: Sequence[str]) -> int:
    """Run the demonstration; the exit status is 1 where the table is not what was planned."""
    parser = argparse.ArgumentParser(prog="make demo DEMO_ARGS=", description="A whole trial through the real daemon.")
    parser.add_argument(
        "--exit", action="store_true", help="end by itself; there is no page to stay for in this version"
    )
    parser.parse_args(arguments)
    checkout = Path(__file__).parents[1]
    sys.path.insert(0, str(checkout))
    try:
        from fixtures.generator import generate, write
    except ImportError:
        print("The demonstration needs the fixtures of a checkout; clone the project and run `make demo` there.")
        return 2
    today = datetime.now(UTC).date()
    feed = generate(_SEED, infusion_start=today - timedelta(days=_FEED_BEGAN_DAYS_AGO))
    with tempfile.TemporaryDirectory(prefix="lab-adapter-demo-") as name:
        trial = Trial(Path(name))
        write(feed, trial.folder)
        _enrol(trial, feed.ended)
        trial.run("assess", "import", str(trial.folder / "assessments.csv"))
        answers, seconds = _play(trial, feed.messages)
        table, queue = trial.ask("values", "--all"), trial.ask("review", "list")
        _print_table(table)
        _print_queue(queue)
        rate = len(feed.messages) / seconds
        print(f"\n{len(feed.messages)} frames over MLLP, one after the other, in {seconds:.1f} s ({rate:.0f} a second)")
        print("acknowledged " + ", ".join(f"{n} {code}" for code, n in sorted(answers.items())))
        return _judge(table, (*feed.truth, *feed.scores), today)


def _enrol(trial: Trial, ended: Sequence[Any]) -> None:
    trial.run("init", str(trial.folder))
    trial.run("participants", "import", str(trial.folder / "roster.csv"))
    for each in ended:
        date = each.ended_on.isoformat()
        trial.run("participants", "withdraw", each.study_id, "--on", date, "--because", each.why, "--reason", "planned")


def _play(trial: Trial, messages: Sequence[Any]) -> tuple[Counter[str], float]:
    """Start the daemon, send every message in its order and wait until all is derived; the answers and the time."""
    words = trial.folder / "daemon.log"
    with words.open("w") as log:
        daemon = subprocess.Popen(trial.command("run"), stderr=log)
    until = time.monotonic() + _READY_SECONDS
    while "ready" not in words.read_text().splitlines():
        if daemon.poll() is not None or time.monotonic() > until:
            raise SystemExit(f"demo: the daemon did not start; its words:\n{words.read_text()}")
        time.sleep(0.05)
    ports = {s["name"]: s["port"] for s in trial.ask("status")["sources"]}
    print("the daemon is ready; " + ", ".join(f"{name} on port {port}" for name, port in ports.items()))
    clients = {name: Client("127.0.0.1", port, timeout_seconds=_READY_SECONDS) for name, port in ports.items()}
    answers: Counter[str] = Counter()
    began = time.monotonic()
    try:
        for message in messages:
            answers.update(a.code for a in read_answers(clients[message.source].send(message.payload)))
        seconds = time.monotonic() - began
        until = time.monotonic() + _SETTLED_SECONDS
        while trial.ask("status")["inbox"]["pending"] and time.monotonic() < until:
            time.sleep(0.2)
    finally:
        for client in clients.values():
            client.close()
        daemon.send_signal(signal.SIGTERM)
        status = daemon.wait()
    print(f"the daemon was asked to end and ended with status {status}")
    return answers, seconds


def _print_table(table: Sequence[Mapping[str, Any]]) -> None:
    """One line for each participant and visit: values, or why there is none."""
    shown = [row for row in table if row["endpoint"] not in ("CREA", "NA")]
    endpoints = list(dict.fromkeys(row["endpoint"] for row in shown))
    lines: dict[tuple[str, str], dict[str, str]] = {}
    for row in shown:
        value = f"{row['comparator'] or ''}{row['value_text']}" if row["value_text"] else _MARKS.get(row["status"], "")
        mark = "~" if row["status"] == "provisional" else "*" if "outside_window" in row["flags"] else ""
        lines.setdefault((row["study_id"], row["visit"]), {})[row["endpoint"]] = value + mark
    print("\nThe endpoint table (? in review, - missing, . pending, x not expected, ~ provisional, * outside window)")
    print_table(
        ("participant", "visit", *endpoints), [(*key, *(cells[e] for e in endpoints)) for key, cells in lines.items()]
    )


def _print_queue(queue: Sequence[Mapping[str, Any]]) -> None:
    print(f"\nThe review queue: {len(queue)} questions")
    rows = [(q["reason"], q["study_id"], q["source"], q["code"], q["count"], q["detail"]) for q in queue]
    print_table(("reason", "participant", "source", "code", "n", "what happened"), rows)


def _judge(table: Sequence[Mapping[str, Any]], truth: Sequence[Any], today: Any) -> int:
    """Hold the table against the plan it was made from."""
    rows = {(r["study_id"], r["visit"], r["endpoint"]): r for r in table}
    wrong = []
    for cell in truth:
        row = rows[cell.study_id, cell.visit, cell.endpoint]
        found = (row["status"], row["value_text"], row["comparator"])
        if found != (cell.status_on(today), cell.value_text, cell.comparator):
            wrong.append(f"{cell.study_id} {cell.visit} {cell.endpoint}")
    print(f"{len(truth)} cells were planned, {len(truth) - len(wrong)} are as planned")
    for name in wrong:
        print(f"  not as planned: {name}")
    return 1 if wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("demo: ended from the keyboard")
