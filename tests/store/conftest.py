from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from store_samples import open_store

from adapter.store import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trial.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with open_store(path) as opened:
        yield opened
