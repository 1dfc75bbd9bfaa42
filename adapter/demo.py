"""``make demo``: a whole trial's feed through the real daemon, over MLLP, and what comes of it held against the plan.

The feed is invented and planned before its messages are written (fixtures/generator.py), so that the table that comes
out can be compared with what must come out. The page then stays to be looked at, with an account of this run. All of it
is in a temporary folder and ends with it. It runs from a checkout alone.
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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
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
_END_SECONDS = 60
_NAME = "demo"
_WEB = "\n[web]\nport = 0\n"
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

    def run(self, *arguments: str) -> str:
        """A command that does something, and what it says."""
        return subprocess.run(self.command(*arguments), check=True, stdout=subprocess.PIPE, text=True).stdout


def main(arguments: Sequence[str]) -> int:
    """Run the demonstration; the exit status is 1 where the table is not what was planned."""
    parser = argparse.ArgumentParser(prog="make demo DEMO_ARGS=", description="A whole trial through the real daemon.")
    parser.add_argument("--exit", action="store_true", help="end by itself instead of staying for the page")
    chosen = parser.parse_args(arguments)
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
        password = _prepare(trial, feed.ended)
        with _daemon(trial) as daemon:
            _play(trial, feed.messages)
            table = trial.ask("values", "--all")
            _print_table(table)
            _print_queue(trial.ask("review", "list"))
            status = _judge(table, (*feed.truth, *feed.scores), today)
            url = trial.ask("status")["web"]["url"]
            if chosen.exit:
                print(f"\nThe page was at {url}; `make demo` without --exit stays for it.")
            else:
                _stay(daemon, url, password)
    print(f"the daemon was asked to end and ended with status {daemon.returncode}; nothing is kept")
    return status


def _prepare(trial: Trial, ended: Sequence[Any]) -> str:
    """Store, roster, assessments, and an account that may do everything: its password."""
    config = trial.folder / "config.toml"
    config.write_text(config.read_text(encoding="utf-8") + _WEB, encoding="utf-8")
    trial.run("init", str(trial.folder))
    trial.run("participants", "import", str(trial.folder / "roster.csv"))
    trial.run("assess", "import", str(trial.folder / "assessments.csv"))
    for each in ended:
        date = each.ended_on.isoformat()
        trial.run("participants", "withdraw", each.study_id, "--on", date, "--because", each.why, "--reason", "planned")
    # Made in its own name, so that a newcomer comes to the board and not to the form that changes a given password.
    said = trial.run("user", "add", _NAME, "--role", "administrator", "--generate", "--by", _NAME)
    return said.rpartition("password: ")[2].strip()


@contextmanager
def _daemon(trial: Trial) -> Iterator[subprocess.Popen[bytes]]:
    """The daemon, from when it is ready; it is ended whatever happens, and what it still derives is waited for."""
    words = trial.folder / "daemon.log"
    with words.open("w") as log:
        # In a session of its own: what is typed at the terminal ends the demonstration, which then ends the daemon.
        daemon = subprocess.Popen(trial.command("run"), stderr=log, start_new_session=True)
    try:
        until = time.monotonic() + _READY_SECONDS
        while "ready" not in words.read_text().splitlines():
            if daemon.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"demo: the daemon did not start; its words:\n{words.read_text()}")
            time.sleep(0.05)
        yield daemon
    finally:
        daemon.send_signal(signal.SIGTERM)
        try:
            daemon.wait(_END_SECONDS)
        except BaseException:  # too slow, or asked a second time from the keyboard
            daemon.kill()
            daemon.wait()
            raise


def _play(trial: Trial, messages: Sequence[Any]) -> None:
    """Send every message in its order, and wait until all of it is derived."""
    ports = {s["name"]: s["port"] for s in trial.ask("status")["sources"]}
    print("the daemon is ready; " + ", ".join(f"{name} on port {port}" for name, port in ports.items()))
    clients = {name: Client("127.0.0.1", port, timeout_seconds=_READY_SECONDS) for name, port in ports.items()}
    answers: Counter[str] = Counter()
    began = time.monotonic()
    try:
        for message in messages:
            answers.update(a.code for a in read_answers(clients[message.source].send(message.payload)))
        seconds = time.monotonic() - began
    finally:
        for client in clients.values():
            client.close()
    until = time.monotonic() + _SETTLED_SECONDS
    while trial.ask("status")["inbox"]["pending"] and time.monotonic() < until:
        time.sleep(0.2)
    rate = len(messages) / seconds
    print(f"{len(messages)} frames over MLLP, one after the other, in {seconds:.1f} s ({rate:.0f} a second)")
    print("acknowledged " + ", ".join(f"{n} {code}" for code, n in sorted(answers.items())))


def _stay(daemon: subprocess.Popen[bytes], url: str, password: str) -> None:
    """Say where the page is, and wait until somebody has seen enough."""
    print(f"\nThe page, for this run alone:\n  {url}\n  name      {_NAME}\n  password  {password}")
    print("The account may do everything: settle the queue, edit the roster, sign off.")
    print("Ctrl+C ends the demonstration.", flush=True)
    try:
        daemon.wait()
    except KeyboardInterrupt:
        print()
        return
    print("the daemon ended by itself", flush=True)


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


def _interrupted(number: int, frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    # A closed terminal or a `kill` ends it as Ctrl+C does: with the daemon, and nothing left on the disk.
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, _interrupted)
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("demo: ended before it was done")
