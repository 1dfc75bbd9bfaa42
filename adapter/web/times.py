"""A day and a time of day as people write them, in the trial's time zone."""

from __future__ import annotations

import re
from datetime import datetime
from zoneinfo import ZoneInfo

from adapter.review.roster import is_date
from adapter.review.rows import marked

_TIME = re.compile(r"[0-9]{2}:[0-9]{2}(:[0-9]{2})?")


class TimeRefused(Exception):
    """A day and a time that are none: the text, in English, says why; ``field`` is ``day`` or ``time``."""

    def __init__(self, text: str, field: str) -> None:
        super().__init__(text)
        self.field = field


def time_of(day: str, time: str, timezone: str) -> str:
    """The day, or the instant with the zone's offset; "" where nothing was written. Raises TimeRefused."""
    if not day and not time:
        return ""
    if not is_date(day):
        raise TimeRefused(marked("The day is no date: write it as 2026-01-05."), "day")
    if not time:
        return day
    try:
        at = datetime.fromisoformat(f"{day}T{time}") if _TIME.fullmatch(time) else None
    except ValueError:
        at = None
    if at is None:
        raise TimeRefused(marked("The time is no time of day: write it as 09:30."), "time")
    here, there = (at.replace(tzinfo=ZoneInfo(timezone), fold=fold) for fold in (0, 1))
    if here.utcoffset() != there.utcoffset():
        raise TimeRefused(marked("The clocks were changed at that hour: give the day alone."), "time")
    return here.isoformat(timespec="seconds" if at.second else "minutes")


def local_time(at: datetime | str, timezone: str) -> str:
    """An instant of ours as it is shown beside the laboratory's times: to the minute, in the trial's time zone."""
    instant = at if isinstance(at, datetime) else datetime.fromisoformat(at)
    return instant.astimezone(ZoneInfo(timezone)).strftime("%Y-%m-%d %H:%M")
