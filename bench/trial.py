"""A trial to measure the page on: invented messages, through the door and the rules by which the daemon takes them.

No row is written but by the program itself. What is left out is the network alone: a thousand messages share a commit.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from adapter.config import Config, load_config
from adapter.daemon import rulebook, screen_of
from adapter.intake.door import new_message
from adapter.intake.screen import Fate
from adapter.pipeline import Settler
from adapter.review import assessments
from adapter.review.answers import actions_of
from adapter.review.decide import Desk
from adapter.review.desk import queue
from adapter.review.enrol import enrol, read_file
from adapter.review.proposal import Given
from adapter.rules.match import Roster
from adapter.store import Store
from adapter.web.access import hash_password
from fixtures.generator import Planned, generate, write

NAME, PASSWORD = "bench", "only for the benchmark"
WHO = "bench"
_SEED = 7
_FEED_BEGAN_DAYS_AGO = 405  # most windows have closed, some are open
_STRANGERS = 300
_MESSAGES_EACH = 6  # in the middle, besides those that are held back
_HELD_BACK = 1_500
_AT_A_TIME = 1_000
_WEB = '\n[web]\nport = 0\n[log]\nlevel = "WARNING"\n'


@dataclass(frozen=True, slots=True)
class Trial:
    """A folder with its store. ``held_back`` are messages between two visits that have not come yet: they are kept and
    derived as all others are, and without them every planned value is there."""

    folder: Path
    config: Config
    held_back: Sequence[Planned]
    seconds: float


def build(folder: Path, participants: int) -> Trial:
    """A trial of so many participants; everything that came is derived."""
    began, now = time.monotonic(), datetime.now(UTC)
    feed = generate(
        _SEED,
        participants=participants,
        messages=_STRANGERS + _MESSAGES_EACH * participants + _HELD_BACK,
        strangers=_STRANGERS,
        infusion_start=(now - timedelta(days=_FEED_BEGAN_DAYS_AGO)).date(),
    )
    write(feed, folder)
    path = folder / "config.toml"
    path.write_text(path.read_text(encoding="utf-8") + _WEB, encoding="utf-8")
    config = load_config(path)
    between = [n for n, message in enumerate(feed.messages) if message.kind == "unscheduled"]
    later = set(between[:_HELD_BACK])
    came = (message for n, message in enumerate(feed.messages) if n not in later)
    with Store.open(config.store_path, config.protocol.trial, create=True) as store:
        _enrol(store, folder, now)
        _receive(store, config, came, now)
        with store.write() as tx:
            tx.add_account(NAME, "administrator", hash_password(PASSWORD, NAME), WHO, now)
        _settle(store, config, now)
        _decide(store, config, now)
        _settle(store, config, now)
    held_back = [feed.messages[n] for n in sorted(later)]
    return Trial(folder, config, held_back, time.monotonic() - began)


def _enrol(store: Store, folder: Path, now: datetime) -> None:
    people = read_file(store, (folder / "roster.csv").read_text(encoding="utf-8").splitlines(keepends=True))
    with store.write() as tx:
        enrol(tx, people, WHO, "enrolled", now)
    lines = (folder / "assessments.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    entries = assessments.read_file(lines, store.participants(), now.date())
    assessments.enter(store, entries, who=WHO, why="assessed", at=now)


def _receive(store: Store, config: Config, messages: Iterator[Planned], now: datetime) -> None:
    roster = Roster(store.participants())
    screens = {s.name: screen_of(s, roster, config.protocol.timezone) for s in config.sources}
    while some := list(islice(messages, _AT_A_TIME)):
        with store.write() as tx:
            for each in some:
                looked_at, _ = screens[each.source].look(each.payload, now)
                kept = [m for m in looked_at if m.fate == Fate.ACCEPTED]
                tx.add_messages([new_message(each.source, m, now) for m in kept])


def _settle(store: Store, config: Config, now: datetime) -> None:
    Settler(store, lambda: now, WHO).settle(rulebook(config))


def _decide(store: Store, config: Config, now: datetime) -> None:
    """A few questions dismissed, so that there are decisions to be shown."""
    desk = Desk(store, rulebook(config), now)
    for entry in [each for each in queue(store) if "dismiss" in actions_of(each)][:3]:
        desk.decide(desk.propose(entry, "dismiss", Given()), WHO, "not for the trial")
