"""HL7 v2 times (TS, DTM; chapter 2A.3.22) with the precision and the offset they were sent with."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from adapter.model import PartialTime, Precision

_DTM = re.compile(
    r"(?P<year>\d{4})(?:(?P<month>\d\d)(?:(?P<day>\d\d)(?:(?P<hour>\d\d)(?:(?P<minute>\d\d)"
    r"(?:(?P<second>\d\d)(?:\.?(?P<fraction>(?<=\.)\d{1,9}|(?<!\.)\d{3}))?)?)?)?)?)?"
    r"(?P<offset>[+-]\d\d:?\d\d)?",
    re.ASCII,
)
# Not HL7's form, yet unambiguous and seen in real feeds.
_ISO = re.compile(
    r"(?P<year>\d{4})(?P<hyphen>[-/])(?P<month>\d\d)(?P=hyphen)(?P<day>\d\d)(?:[ T](?P<hour>\d\d):(?P<minute>\d\d)"
    r"(?::(?P<second>\d\d)(?:\.(?P<fraction>\d{1,9}))?)?)?(?P<offset>[+-]\d\d:?\d\d|Z)?",
    re.ASCII,
)
_FIRST_YEAR, _LAST_YEAR = 1800, 2999  # 0001 and 9999 are how systems write "no date"
_LAST_PART = ("year", "month", "day", "hour", "minute", "second", "fraction")


def read_time(text: str) -> PartialTime | None:
    """``YYYY[MM[DD[HH[MM[SS[.S[S..]]]]]]][+/-ZZZZ]``; None where the text is no time of the calendar.

    Milliseconds without their point (17 digits), as some Chinese systems write, and ISO 8601 with hyphens (or
    slashes, the year first) are read as well. ``00000000`` and ``20260230`` are no times.
    """
    found = _DTM.fullmatch(text.strip()) or _ISO.fullmatch(text.strip())
    if found is None or not _FIRST_YEAR <= int(found["year"]) <= _LAST_YEAR:
        return None
    parts = found.groupdict()
    precision = Precision(sum(1 for name in _LAST_PART if parts[name] is not None))
    try:
        local = datetime(
            int(parts["year"]),
            int(parts["month"] or 1),
            int(parts["day"] or 1),
            int(parts["hour"] or 0),
            int(parts["minute"] or 0),
            int(parts["second"] or 0),
            int((parts["fraction"] or "0")[:6].ljust(6, "0")),
        )
        return PartialTime(text.strip(), local, precision, _offset(parts["offset"]))
    except ValueError:
        return None


def _offset(text: str | None) -> timedelta | None:
    if text is None:
        return None
    if text == "Z":
        return timedelta(0)
    digits = text[1:].replace(":", "")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 15 or minutes > 59:
        raise ValueError(text)
    distance = timedelta(hours=hours, minutes=minutes)
    return -distance if text[0] == "-" else distance
