"""What the tests of the page may rely on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from webrun import SITUATIONS, WebRun


@pytest.fixture
def web(tmp_path: Path) -> Iterator[WebRun]:
    """A trial of a test's own: the fixtures' roster, no message yet, an account of each role."""
    with closing(WebRun(tmp_path)) as run:
        run.enrol(SITUATIONS / "roster.csv")
        yield run
