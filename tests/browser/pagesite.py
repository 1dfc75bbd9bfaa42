"""The daemon with its page on real sockets, for the tests in a browser: who is enrolled, what comes, who may sign in.

Every test enrols participants of its own, so that all of them share one daemon. Whenever the tests run, every window
has closed: all are infused on one day of the past, and the target of week 4 is four weeks later.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from daemonrun import DaemonRun
from invented import message

CHECKOUT = Path(__file__).parents[2]
INFUSED, WEEK_4, WEEK_12 = "2025-01-06", "20250203", "20250331"
BORN = "1970-03-14"
SOURCE = """
[[source]]
name = "{name}"
kind = "mllp"
port = 0
authority = "NTCGH"
codes = "{codes}"
"""
CONFIG = f"""
[trial]
protocol = "{CHECKOUT / "mappings" / "nct06984497.toml"}"
timezone = "Asia/Shanghai"
[store]
url = "sqlite:///trial.db"
[web]
port = 0
""" + "".join(SOURCE.format(name=n, codes=CHECKOUT / "fixtures" / "messages" / "codes.toml") for n in ("lis", "lis-b"))


@dataclass(frozen=True, slots=True)
class Person:
    """A participant of a test's own, and the number that the hospital's messages carry."""

    study_id: str
    number: str

    def reported(self, *results: str, id: str, birth: str = BORN, **more: str) -> bytes:
        """A message of this person; each result is OBX-3 to OBX-6, status and day, divided by blanks."""
        who = f"{birth.replace('-', '')}|F"
        return message(*results, id=f"{id}-{self.study_id}", number=f"{self.number}^^^NTCGH^MR", who=who, **more)


class PageSite(DaemonRun):
    """A trial's folder, the daemon on it and its page."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._numbers = count(1)
        self.url = ""

    def enrol(self, infused: str = INFUSED) -> Person:
        """Somebody whose results nobody else's test looks at."""
        number = next(self._numbers)
        person = Person(f"P-{number:03}", f"00{number:05}")
        names = ("--identifier", person.number, "--authority", "NTCGH", "--infused-at", infused, "--birth-date", BORN)
        self.run("participants", "add", person.study_id, *names, "--reason", "enrolled")
        return person

    def receives(self, *messages: bytes, source: str = "lis") -> None:
        """Messages over the socket, each acknowledged, until all that they say is derived."""
        for each in messages:
            assert [answer.code for answer in self.send(source, each)] == ["AA"]
        self.settled()

    def table(self, *people: Person) -> list[dict[str, Any]]:
        """The rows of these participants, as ``values`` has them; all rows where none is named."""
        wanted = {person.study_id for person in people}
        return [row for row in self.ask("values", "--all") if not wanted or row["study_id"] in wanted]

    def value(self, person: Person, visit: str = "week-4", endpoint: str = "ALT") -> str | None:
        """What stands in a cell."""
        (row,) = [r for r in self.table(person) if (r["visit"], r["endpoint"]) == (visit, endpoint)]
        found: str | None = row["value_text"]
        return found

    def open_items(self) -> set[str]:
        """The ids of the questions that are open."""
        return {each["id"] for each in self.ask("review", "list", "--each")}

    def trail(self, what: str) -> list[dict[str, Any]]:
        """The records of one kind, the oldest first."""
        return [record for record in self.ask("audit", "show") if record["what"] == what]

    def account(self, name: str, role: str, by: str | None = None) -> str:
        """Make an account; its password, which its owner made unless ``by`` somebody else."""
        made = self.run("user", "add", name, "--role", role, "--generate", "--by", by or name)
        return made.splitlines()[1].removeprefix("password: ")


@contextmanager
def serving(folder: Path) -> Iterator[PageSite]:
    """A trial's folder with nobody enrolled yet, and the daemon running on it."""
    (folder / "config.toml").write_text(CONFIG, encoding="utf-8")
    site = PageSite(folder)
    site.run("init", str(folder))
    with site:
        site.start()
        site.url = site.ask("status")["web"]["url"].rstrip("/")
        yield site
        assert site.stop() == 0
        log = site.log.read_text()
        assert "Traceback" not in log
        assert " in the page " not in log, "a page failed"


def panel(day: str, values: Sequence[str] = ("40", "38", "90", "17.1", "36", "13", "1.1", "80", "138")) -> list[str]:
    """A complete panel of one day, in the protocol's units."""
    codes = ("1742-6", "1920-8", "6768-6", "14631-6", "1751-7", "5902-2", "6301-6", "14682-9", "2951-2")
    units = ("U/L", "U/L", "U/L", "umol/L", "g/L", "s", "1", "umol/L", "mmol/L")
    return [f"{c}^^LN {v} {u} F {day}" for c, v, u in zip(codes, values, units, strict=True)]
