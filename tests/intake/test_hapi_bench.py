"""The benchmark of polling, run for a moment: that it measures what it says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from servers import require
from servers.hapi import what_is_missing

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

POLL = Path(__file__).parents[2] / "bench" / "poll.py"


def test_every_poll_finds_what_is_new_and_counts_its_requests():
    require(what_is_missing())
    command = [sys.executable, str(POLL), "--participants", "3", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = json.loads(done.stdout)["lines"]
    assert [line["new"] for line in lines] == [81, 0, 0, 0]
    first, *nothing_new, sweep = [line["requests"] for line in lines]
    assert nothing_new == [3, 3]
    assert first > sweep > 3
    assert all(line["seconds"] > 0 for line in lines)
