"""HL7 times keep what was sent: the precision, the offset, the wall clock; what is no time is none."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.codecs.times import read_time
from adapter.model import PartialTime, Precision

EAST_8 = timedelta(hours=8)


@pytest.mark.parametrize(
    ("text", "local", "precision", "offset"),
    [
        ("2026", datetime(2026, 1, 1), Precision.YEAR, None),
        ("202602", datetime(2026, 2, 1), Precision.MONTH, None),
        ("20260203", datetime(2026, 2, 3), Precision.DAY, None),
        ("2026020308", datetime(2026, 2, 3, 8), Precision.HOUR, None),
        ("202602030815", datetime(2026, 2, 3, 8, 15), Precision.MINUTE, None),
        ("20260203081530", datetime(2026, 2, 3, 8, 15, 30), Precision.SECOND, None),
        ("20260203081530.1", datetime(2026, 2, 3, 8, 15, 30, 100_000), Precision.FRACTION, None),
        ("20260203081530.1234", datetime(2026, 2, 3, 8, 15, 30, 123_400), Precision.FRACTION, None),
        ("20260203081530.123456789", datetime(2026, 2, 3, 8, 15, 30, 123_456), Precision.FRACTION, None),
        ("20260203081530123", datetime(2026, 2, 3, 8, 15, 30, 123_000), Precision.FRACTION, None),
        ("20260203081530123+0800", datetime(2026, 2, 3, 8, 15, 30, 123_000), Precision.FRACTION, EAST_8),
        ("20260203081530+0800", datetime(2026, 2, 3, 8, 15, 30), Precision.SECOND, EAST_8),
        ("20260203081530+08:00", datetime(2026, 2, 3, 8, 15, 30), Precision.SECOND, EAST_8),
        ("202602030815-0330", datetime(2026, 2, 3, 8, 15), Precision.MINUTE, -timedelta(hours=3, minutes=30)),
        ("20260203+0800", datetime(2026, 2, 3), Precision.DAY, EAST_8),
        ("20260203081530-0000", datetime(2026, 2, 3, 8, 15, 30), Precision.SECOND, timedelta(0)),
        ("2026-02-03", datetime(2026, 2, 3), Precision.DAY, None),
        ("2026-02-03T08:15", datetime(2026, 2, 3, 8, 15), Precision.MINUTE, None),
        ("2026-02-03 08:15:30.5+08:00", datetime(2026, 2, 3, 8, 15, 30, 500_000), Precision.FRACTION, EAST_8),
        ("2026-02-03T08:15:30Z", datetime(2026, 2, 3, 8, 15, 30), Precision.SECOND, timedelta(0)),
        ("2026/02/03 08:15:30", datetime(2026, 2, 3, 8, 15, 30), Precision.SECOND, None),
        (" 20260203 ", datetime(2026, 2, 3), Precision.DAY, None),
        ("20240229", datetime(2024, 2, 29), Precision.DAY, None),
    ],
)
def test_times_that_are_read(text: str, local: datetime, precision: Precision, offset: timedelta | None) -> None:
    assert read_time(text) == PartialTime(text.strip(), local, precision, offset)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "00000000",
        "00000000000000",
        "00010101",
        "17991231",
        "99991231",
        "30000101",
        "20260230",
        "20250229",
        "20261301",
        "20260100",
        "202602032460",
        "20260203240000",
        "20260203081560",
        "202",
        "20262",
        "2026020",
        "202602030",
        "2026020308153",
        "202602030815301",
        "2026020308153012",
        "202602030815301234",
        "20260203081530.",
        "20260203081530.1234567890",
        "202602030815.5",
        "20260203081530+08",
        "20260203081530+1600",
        "20260203081530+0860",
        "20260203081530Z",
        "2026-02",
        "2026-2-3",
        "2026-02/03",
        "2026-02-03T08",
        "02/03/2026",
        "03.02.2026",
        "２０２６０２０３",
        "20260203^D",
        "unknown",
        "2026年2月3日",
    ],
)
def test_what_is_no_time_is_none(text: str) -> None:
    assert read_time(text) is None


@given(st.text())
def test_no_text_raises(text: str) -> None:
    read = read_time(text)
    assert read is None or read.text == text.strip()


FORMS = {
    Precision.YEAR: ("%Y", "year"),
    Precision.MONTH: ("%Y%m", "month"),
    Precision.DAY: ("%Y%m%d", "day"),
    Precision.HOUR: ("%Y%m%d%H", "hour"),
    Precision.MINUTE: ("%Y%m%d%H%M", "minute"),
    Precision.SECOND: ("%Y%m%d%H%M%S", "second"),
    Precision.FRACTION: ("%Y%m%d%H%M%S.%f", "microsecond"),
}
PARTS = {"month": 1, "day": 1, "hour": 0, "minute": 0, "second": 0, "microsecond": 0}


@given(
    st.datetimes(datetime(1800, 1, 1), datetime(2999, 12, 31)),
    st.sampled_from(list(FORMS)),
    st.none() | st.integers(-15 * 60 - 59, 15 * 60 + 59),
)
def test_what_is_written_at_a_precision_is_read_at_it(at: datetime, precision: Precision, minutes: int | None) -> None:
    form, last = FORMS[precision]
    names = list(PARTS)
    kept = names[: names.index(last) + 1] if last in names else []
    sent = at.replace(**{name: PARTS[name] for name in names if name not in kept})  # type: ignore[arg-type]
    text = sent.strftime(form)
    if minutes is not None:
        text += f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}{abs(minutes) % 60:02}"
    offset = None if minutes is None else timedelta(minutes=minutes)
    assert read_time(text) == PartialTime(text, sent, precision, offset)
