"""``make bench-page``: how long each page takes, over HTTP, on the daemon as ``lab-adapter run`` starts it.

A trial of each size is made of invented messages (``trial.py``). Then every page that can be looked at is asked for,
one request after the other, by one who is signed in; and again while more of the feed comes and is derived, in the
same process. ``README.md`` here says how to read it. Exit status 1 where a page is not shown.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from adapter.codecs.ack import read_answers
from adapter.intake.client import Client
from adapter.store import Store
from adapter.web.pages import ROUTES
from bench.load import quantile
from bench.run import journals_for, machine
from bench.servers import running
from bench.trial import NAME, PASSWORD, Trial, build
from fixtures.generator import Planned

_SECONDS = 60
_BEFORE = {"sign_in"}  # who is signed in is led on from there
_MORE = {"board": ("?status=missing", "?page=2"), "queue": ("?reason=unmapped_code",), "roster": ("?page=2",)}


@dataclass
class Line:
    """One page: its times in milliseconds, alone and while a feed was derived; of those alone the processor's share."""

    name: str
    path: str = field(repr=False)
    alone: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)
    cpu: float = 0.0
    size: int = 0
    statuses: dict[int, int] = field(default_factory=dict)


class Browser:
    """One connection that stays open, as a browser's does, and its cookies."""

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        assert place.hostname is not None
        self._connection = HTTPConnection(place.hostname, place.port, timeout=_SECONDS)
        self._cookies: dict[str, str] = {}

    def ask(self, path: str, form: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        """The status and the body of an answer."""
        headers = {"cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items())}
        body = None
        if form is not None:
            body, headers["content-type"] = urlencode(form), "application/x-www-form-urlencoded"
        self._connection.request("GET" if form is None else "POST", path, body, headers)
        answer = self._connection.getresponse()
        for cookie in answer.headers.get_all("set-cookie") or ():
            name, _, value = cookie.partition(";")[0].partition("=")
            self._cookies[name] = value
        return answer.status, answer.read()

    def sign_in(self) -> None:
        """By the form, as everybody."""
        _, page = self.ask("/sign-in")
        token = re.search(rb'name="csrf" value="([^"]+)"', page)
        assert token is not None
        status, _ = self.ask("/sign-in", {"csrf": token[1].decode(), "name": NAME, "password": PASSWORD})
        if status != 303:
            raise SystemExit(f"bench: signing in was answered with {status}")


def pages(trial: Trial) -> list[Line]:
    """Every page that can be looked at, of the participant and the question that hold most."""
    with Store.open(trial.config.store_path, trial.config.protocol.trial) as store:
        most = Counter(r.study_id for r in store.results()).most_common(1)[0][0]
        cell = next(c for c in store.selections(most) if c.status == "captured")
        names = {"study_id": most, "visit": cell.visit, "endpoint": cell.endpoint}
        names |= {"item_id": max(store.open_items(), key=lambda s: s.item.count).item.id}
        names |= {"decision_id": str(store.decisions()[0].id)}
    found = []
    for route in ROUTES:
        if "GET" not in (route.methods or ()) or route.name in _BEFORE:
            continue
        path = re.sub(r"{(\w+)(:\w+)?}", lambda m: quote(names[m[1]], safe=""), route.path)
        found += [Line(route.name + more, path + more) for more in ("", *_MORE.get(route.name, ()))]
    return found


def measure(browser: Browser, line: Line, requests: int, times: list[float]) -> None:
    """Ask for a page so many times."""
    for _ in range(requests):
        began = time.perf_counter()
        status, page = browser.ask(line.path)
        times.append((time.perf_counter() - began) * 1000)
        line.statuses[status] = line.statuses.get(status, 0) + 1
        line.size = len(page)


@contextmanager
def feeding(ports: Mapping[str, int], messages: Sequence[Planned], rate: float) -> Iterator[list[int]]:
    """Send messages at a rate, in a thread of its own; in the list how many were acknowledged so far."""
    sent, ending = [0], threading.Event()

    def feed() -> None:
        clients = {name: Client("127.0.0.1", port) for name, port in ports.items()}
        for message in messages:
            if ending.wait(1 / rate):
                break
            sent[0] += len(read_answers(clients[message.source].send(message.payload)))
        for client in clients.values():
            client.close()

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield sent
    finally:
        ending.set()
        thread.join()


def measured(trial: Trial, options: argparse.Namespace) -> dict[str, Any]:
    """Every page of one trial, alone and while its feed goes on."""
    lines = [line for line in pages(trial) if not options.only or line.name.partition("?")[0] in options.only]
    with running(trial.folder) as (server, status):
        browser = Browser(status["web"]["url"])
        browser.sign_in()
        for line in lines:
            browser.ask(line.path)  # the first request of a page reads its template
            user, system, _ = server.cpu()
            measure(browser, line, options.requests, line.alone)
            then_user, then_system, _ = server.cpu()
            line.cpu = (then_user + then_system - user - system) * 1000 / options.requests
        ports = {source["name"]: source["port"] for source in status["sources"]}
        began = time.monotonic()
        with feeding(ports, trial.held_back, options.rate) as sent:
            for line in lines:
                measure(browser, line, options.requests, line.busy)
            fed, seconds = sent[0], time.monotonic() - began
    return {"lines": [asdict(line) for line in lines], "fed": fed, "feed_seconds": seconds}


_ROW = "{:<26} {:>9} {:>7} {:>7} {:>13} {:>9} {:>5}"
_HEADER = _ROW.format("page", "median ms", "p95 ms", "CPU ms", "feed: median", "feed: p95", "KiB")


def shown(line: Mapping[str, Any]) -> str:
    """A line for people."""
    median, p95, fed, fed95 = (f(line[kind]) for kind in ("alone", "busy") for f in (statistics.median, _p95))
    numbers = (median, p95, line["cpu"], fed, fed95, line["size"] / 1024)
    return _ROW.format(line["name"], *(f"{each:.0f}" for each in numbers))


def _p95(times: Sequence[float]) -> float:
    return quantile(sorted(times), 0.95)


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="How long each page takes.")
    parser.add_argument("--participants", type=int, nargs="+", default=[32, 2000], metavar="N", help="default 32 2000")
    parser.add_argument("--requests", type=int, default=30, help="of each page (default 30)")
    parser.add_argument("--rate", type=float, default=20.0, help="messages a second of the feed (default 20)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these pages alone, by their routes' names")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the tables")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for and print it; the exit status."""
    options, report = _parsed(arguments), dict[str, Any](machine=machine(journals_for("auto")), trials=[])
    faults = list[str]()

    def say(words: str) -> None:
        if not options.json:
            print(words, flush=True)

    facts = report["machine"]
    say(f"Python {facts['python']}, {facts['processors']} processors, load {facts['load_average']:.1f}")
    for participants in options.participants:
        with tempfile.TemporaryDirectory(prefix="lab-adapter-bench-") as place:
            trial = build(Path(place), participants)
            say(f"\n{participants} participants (made in {trial.seconds:.0f} s)\n{_HEADER}")
            found = measured(trial, options)
        for line in found["lines"]:
            say(shown(line))
            wrong = {status: n for status, n in line["statuses"].items() if status != 200}
            faults += [f"{participants} participants: {line['name']} was answered with {wrong}"] if wrong else []
        say(f"feed: {found['fed']} messages came in {found['feed_seconds']:.0f} s and were derived")
        report["trials"].append({"participants": participants, "made_seconds": trial.seconds, **found})
    if options.json:
        print(json.dumps({**report, "faults": faults}))
    for fault in faults:
        print(f"bench: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
