"""A trial with its desk, for every test of what people decide."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from deskrun import DeskRun


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[DeskRun]:
    found = DeskRun(tmp_path)
    yield found
    found.close()
