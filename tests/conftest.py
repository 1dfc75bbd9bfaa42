"""What every test may rely on: reproducible properties, and the public messages where they are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

SHARED = Path(__file__).parents[2] / "shared" / "data"

# No deadline: how long one example takes on a busy machine says nothing about what it shows.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("shared") and not SHARED.is_dir():
        pytest.skip("the public messages are not here: no folder ../shared/data beside the checkout")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public messages; its SOURCES.md says where each comes from."""
    return SHARED
