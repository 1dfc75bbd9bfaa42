"""What the sections of the configuration have in common: durations and the keys of every source."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator

from adapter.mappings.problems import Shape, fault, matching

_DURATION = re.compile(r"([1-9][0-9]{0,5})([smh])")
_SECONDS = {"s": 1, "m": 60, "h": 3600}


def seconds(value: object) -> int:
    """The seconds of a duration such as ``"5m"``. Raises the fault that names what to write."""
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise fault(f"{value!r} is not a duration", 'write a number above 0 with s, m or h, such as "30s", "5m", "1h"')
    return int(found[1]) * _SECONDS[found[2]]


Duration = Annotated[int, BeforeValidator(seconds)]


class SourceSection(Shape):
    """What every ``[[source]]`` has, whatever its kind."""

    name: Annotated[str, matching("[a-z0-9_-]+", "small letters, digits, - and _")]
    kind: str
