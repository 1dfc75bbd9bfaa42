"""The benchmark, run for a moment: that it measures what it says, and that it would notice a loss."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from adapter.codecs.message import Opened, open_message
from adapter.codecs.oru import read_results
from bench.load import INFUSED_ON, messages, quantile
from bench.peers import PEERS
from bench.run import Line, journals_for

RUN = Path(__file__).parents[1] / "bench" / "run.py"


@pytest.fixture(scope="module")
def report() -> Any:
    names = ["adapter-mixed", "echo", "sqlite-group", "sqlite-each", "hl7apy", "value"]
    arguments = ["--seconds", "0.4", "--connections", "2", "--participants", "3", "--json", "--only", *names]
    done = subprocess.run([sys.executable, str(RUN), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_server_answers_positively_and_loses_nothing(report: Any) -> None:
    assert [line["name"] for line in report["lines"]] == [
        "adapter-mixed",
        "echo",
        "sqlite-group",
        "sqlite-each",
        "hl7apy",
    ]
    for line in report["lines"]:
        assert line["answered"] > 0
        assert (line["not_positive"], line["lost"]) == (0, 0)
        assert 0 < line["milliseconds"]["p50"] <= line["milliseconds"]["p99"] <= line["milliseconds"]["max"]
        assert line["rate"] > 0
    assert report["faults"] == []


def test_what_the_adapter_acknowledged_of_participants_is_in_its_store_and_no_stranger(report: Any) -> None:
    line = report["lines"][0]
    assert 0 < line["expected_in_store"] <= line["in_store"] < line["answered"]
    assert list(line["threads"]) == ["event loop", "writer", "deriver"]


def test_the_time_to_a_value_is_measured_for_each_message(report: Any) -> None:
    assert report["value"]["messages"] > 0
    times = report["value"]["milliseconds"]
    assert 0 <= times["median"] <= times["p99"] <= times["max"]


def test_a_message_is_what_the_readme_says() -> None:
    sent = list(islice(messages("T", 3, "mixed"), 40))
    assert len({control_id for control_id, _, _ in sent}) == 40
    assert Counter(enrolled for _, enrolled, _ in sent) == {False: 36, True: 4}
    for control_id, _, frame in sent:
        assert 1990 <= len(frame) <= 2110
        opened = open_message(frame[1:-2], "utf-8")
        assert isinstance(opened, Opened)
        assert opened.header.message_control_id.encode() == control_id
        (group,) = read_results(opened.text, opened.delimiters, "R01", opened.header.message_at)
        assert len(group.results) == 12
        times = [stated.time for result in group.results for stated in result.times]
        assert all(time is not None and time.local.date() > INFUSED_ON for time in times)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"in_store": 9, "expected_in_store": 10}, "10 were acknowledged, 9 are in the store"),
        ({"not_positive": 1}, "1 answers were not positive"),
        ({"lost": 2}, "2 never came"),
        ({"answered": 0}, "nothing was answered"),
    ],
)
def test_a_loss_is_a_fault(changes: dict[str, int], words: str) -> None:
    good = {"answered": 10, "in_store": 10, "expected_in_store": 10}
    assert Line("adapter", "it", "delete, EXTRA", 1, **good).faults == []
    (fault,) = Line("adapter", "it", "delete, EXTRA", 1, **{**good, **changes}).faults
    assert words in fault


def test_quantiles_are_of_the_values_measured() -> None:
    assert [quantile([1.0, 2.0, 3.0, 4.0], share) for share in (0.5, 0.99, 1.0)] == [2.0, 4.0, 4.0]
    assert quantile([7.0], 0.5) == 7.0


def test_the_adapter_never_takes_a_wal_that_is_not_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.run.wal_is_sound", lambda _: False)
    assert [journals_for(asked) for asked in ("auto", "delete", "wal")] == [
        ("delete", "delete"),
        ("delete", "delete"),
        ("delete", "wal"),
    ]
    monkeypatch.setattr("bench.run.wal_is_sound", lambda _: True)
    assert [journals_for(asked)[0] for asked in ("auto", "delete", "wal")] == ["wal", "delete", "wal"]


def test_a_peer_that_is_not_installed_is_left_out_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.peers.find_spec", lambda _: None)
    assert "pip install hl7" in str(PEERS["python-hl7"].missing)
    assert PEERS["echo"].missing is None
