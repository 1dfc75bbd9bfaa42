"""Real servers for the tests marked ``real``: processes on loopback, started from packages and stopped again."""

from __future__ import annotations

import os

import pytest


def require(missing: str | None) -> None:
    """Skip where a server cannot be started here, with what is missing; in continuous integration that is a failure."""
    if missing is not None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
