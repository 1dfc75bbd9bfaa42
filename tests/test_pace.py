"""Who goes first: what waits for an acknowledgement before what is derived, and nothing for ever."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trialrun import TrialRun

from adapter.codecs.hl7v2 import Delimiters
from adapter.codecs.oru import read_patients, read_results
from adapter.config import load_config
from adapter.daemon import rulebook
from adapter.deriver import Deriver
from adapter.intake.door import new_message
from adapter.model import Identifier, Participant
from adapter.store import Store

CONFIG = Path(__file__).parents[1] / "fixtures" / "messages" / "config.toml"
NOW = datetime(2026, 9, 1, 4, 0, tzinfo=UTC)
PEOPLE = [Participant(f"S-00{n}", (Identifier(f"000{n}", "NTCGH"),), "2026-01-05") for n in (1, 2, 3)]


def message(number: int, person: int) -> bytes:
    return (
        f"MSH|^~\\&|LIS|NTCGH|A|T|20260203083000||ORU^R01^ORU_R01|M{number}|P|2.5.1\r"
        f"PID|1||000{person}^^^NTCGH^MR\r"
        f"OBR|1||F{number}|24325-3^Panel^LN|||20260202081500\r"
        f"OBX|1|NM|1742-6^ALT^LN||{20 + number}|U/L|||||F\r"
    ).encode()


@pytest.fixture
def run(tmp_path: Path) -> Any:
    trial = TrialRun(CONFIG, tmp_path / "trial.db", NOW)
    for person in PEOPLE:
        trial.put(person)
    trial.settler.settle(trial.book)
    yield trial
    trial.close()


def receive(run: TrialRun, number: int, person: int) -> None:
    screened, _ = run.screen("lis").look(message(number, person), NOW)
    with run.store.write() as tx:
        tx.add_messages([new_message("lis", each, NOW) for each in screened])


def test_intake_can_commit_between_any_two_participants(run: TrialRun, tmp_path: Path) -> None:
    for person in (1, 2, 3):
        receive(run, person, person)
    done = []

    def look() -> bool:
        # Another connection, which could not write within a transaction of the settler's.
        with Store.open(tmp_path / "trial.db", run.config.protocol.trial) as other:
            with other.write() as tx:
                tx.add_counters("lis", {"looked": 1})
            done.append(other.inbox_counts()["done"])
        return False

    run.settler.settle(run.book, stop=look)
    assert done[:3] == [0, 1, 2]
    assert run.store.inbox_counts() == {"pending": 0, "done": 3, "failed": 0}


def test_deriving_ends_after_the_participant_it_is_at(run: TrialRun) -> None:
    for person in (1, 2, 3):
        receive(run, person, person)
    answers = iter((False, False, True, True))
    run.settler.settle(run.book, stop=lambda: next(answers))
    assert run.store.inbox_counts() == {"pending": 1, "done": 2, "failed": 0}


def test_a_roster_that_changes_while_one_derives_voids_that_step_and_no_other(run: TrialRun) -> None:
    for person in (1, 2):
        receive(run, person, person)
    looks = []

    def look() -> bool:
        looks.append(run.store.inbox_counts()["done"])
        if len(looks) == 2:
            run.put(Participant("S-004", (Identifier("0004", "NTCGH"),), "2026-01-05"))
        return False

    run.settler.settle(run.book, stop=look)
    assert looks[:3] == [0, 1, 1], "what was matched by the old roster was not written"
    assert run.store.inbox_counts() == {"pending": 0, "done": 2, "failed": 0}


class _Door:
    """A door whose counts move as often as it is said, and that knows how often it was looked at."""

    def __init__(self, moves: int) -> None:
        self.looks = 0
        self._moves = moves

    @property
    def counts(self) -> Counter[str]:
        self.looks += 1
        return Counter(accepted=min(self.looks, self._moves))


def deriver(door: _Door) -> Deriver:
    config = load_config(CONFIG)
    made = Deriver(config, rulebook(config), lambda: NOW)
    made.count({"lis": door})  # type: ignore[dict-item]
    return made


def test_without_a_feed_nobody_waits() -> None:
    door = _Door(moves=0)
    assert deriver(door)._gives_way_or_ends() is False
    assert door.looks == 1


def test_deriving_waits_until_a_feed_pauses() -> None:
    door = _Door(moves=3)
    made = deriver(door)
    assert made._gives_way_or_ends() is False
    assert door.looks == 4


def test_a_feed_that_never_pauses_does_not_stop_deriving() -> None:
    door = _Door(moves=10_000)
    made = deriver(door)
    assert made._gives_way_or_ends() is False
    assert door.looks == 20


SEGMENTS = [
    "MSH|^~\\&|LIS",
    "PID|1||1^^^NTCGH^MR",
    "PID|1",
    "OBR|1||F1",
    "ORC|RE",
    "SPM|1|||SER",
    "OBX|1|NM|1742-6^ALT^LN||12|U/L|||||F",
    "NTE|1||a note",
    "ZZZ|1",
]


@given(st.lists(st.sampled_from(SEGMENTS)), st.sampled_from(["R01", "R22", "R24"]))
def test_the_patients_alone_are_those_of_the_results(segments: list[str], event: str) -> None:
    text = "\r".join(["MSH|^~\\&|LIS", *segments])
    groups = read_results(text, Delimiters(), event, "")
    assert [g.patient for g in groups] == list(read_patients(text, Delimiters()))
    assert sum(len(g.results) for g in groups) == sum(s.startswith("OBX") for s in segments)
    assert all(g.results for g in groups if g.patient is None)
