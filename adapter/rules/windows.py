"""When: the collection time and the visit it belongs to (trial.md section 4).

Days are differences of calendar dates in the trial's time zone, the day of infusion being day 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from adapter.model import Collected, PartialTime, Precision, Reason, Reported, SourceRules, Step, Visit

_A_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Timing:
    """When a result's specimen was taken, or why that is not known."""

    collected: Collected | None
    reason: Reason | None
    steps: tuple[Step, ...]


def seen_in(time: PartialTime, sent_from: ZoneInfo, trial_zone: ZoneInfo, offset: timedelta | None = None) -> Collected:
    """A time of at least day precision in the trial's zone. A date alone is that calendar date wherever it was sent.

    ``offset`` stands in for a missing one before the source's zone does.
    """
    if time.precision <= Precision.DAY:
        return Collected(time.local.date(), None, time.precision)
    sent = time.offset if time.offset is not None else offset
    zone = sent_from if sent is None else timezone(sent)
    at = time.local.replace(tzinfo=zone).astimezone(trial_zone)
    return Collected(at.date(), at, time.precision)


def collection_time(reported: Reported, source: SourceRules, trial_zone: ZoneInfo, received_at: datetime) -> Timing:
    """The first of the source's fields that states the time to the day; the time of the report never stands in.

    A field that states less than a day (``2026``) is passed over, unless a later one contradicts what it does say.
    Two specimens of one order with different times leave the time unknown.
    """
    rank = {address: n for n, address in enumerate(source.collection_time)}
    zone, coarse = ZoneInfo(source.timezone), list[PartialTime]()
    offset = reported.message_at.offset if source.offset_from_msh7 and reported.message_at else None
    stated = [t for t in reported.times if t.address in rank or "-" not in t.address]  # FHIR's names have no hyphen
    for place in sorted(stated, key=lambda t: rank.get(t.address, 0)):
        if place.time is None:
            return _unknown("unreadable_time", address=place.address, text=place.text)
        if place.time.precision < Precision.DAY:
            coarse.append(place.time)
            continue
        if any(other.address == place.address and other.time != place.time for other in stated):
            return _unknown("several_times", address=place.address)
        if any(not _agrees(known, place.time) for known in coarse):
            return _unknown("times_disagree", address=place.address)
        collected = seen_in(place.time, zone, trial_zone, offset)
        step = Step("collected", {"address": place.address, "text": place.text, "at": collected.text})
        return _plausible(collected, received_at, trial_zone, step)
    return _unknown("time_too_coarse" if coarse else "no_time", text=coarse[0].text if coarse else "")


def _agrees(coarse: PartialTime, fine: PartialTime) -> bool:
    return coarse.local.year == fine.local.year and (
        coarse.precision == Precision.YEAR or coarse.local.month == fine.local.month
    )


def _unknown(rule: str, **facts: str) -> Timing:
    return Timing(None, Reason.MISSING_COLLECTION_TIME, (Step(rule, facts),))


def _plausible(collected: Collected, received_at: datetime, trial_zone: ZoneInfo, step: Step) -> Timing:
    """Taken over a day after its receipt is not taken then."""
    late = (
        collected.on > received_at.astimezone(trial_zone).date() + _A_DAY
        if collected.at is None
        else collected.at > received_at + _A_DAY
    )
    if late:
        return Timing(None, Reason.IMPLAUSIBLE_TIME, (step, Step("implausible_time", {"at": collected.text})))
    return Timing(collected, None, (step,))


def infusion(text: str | None, trial_zone: ZoneInfo) -> Collected | None:
    """The roster's ``infused_at``: a date, or a time with its offset (checked when it was entered)."""
    return None if text is None else stated_in(text, trial_zone)


def stated_in(text: str, trial_zone: ZoneInfo) -> Collected:
    """What a person entered, checked when it was: an ISO date, or a time with its offset, in the trial's zone."""
    if len(text) == len("2026-01-05"):
        return Collected(date.fromisoformat(text), None, Precision.DAY)
    at = datetime.fromisoformat(text).astimezone(trial_zone)
    return Collected(at.date(), at, Precision.SECOND)


def nearest(day: int, visits: Sequence[Visit]) -> Visit:
    """The visit whose target is nearest; equally near, the earlier."""
    return min(visits, key=lambda v: (abs(day - v.target_day), v.target_day))


def visit_of(day: int, visits: Sequence[Visit]) -> Visit | None:
    """The visit a day belongs to, both ends of its window included, or None: unscheduled."""
    visit = nearest(day, visits)
    return visit if -visit.before_days <= day - visit.target_day <= visit.after_days else None


def near_miss(day: int, visits: Sequence[Visit]) -> Visit | None:
    """The visit whose window a day after infusion missed by no more than the tolerance again."""
    visit = nearest(day, visits)
    if day <= 0 or visit_of(day, visits) is not None:
        return None
    return visit if -2 * visit.before_days <= day - visit.target_day <= 2 * visit.after_days else None


def window(visit: Visit, infused_on: date) -> tuple[date, date, date]:
    """Target, first and last day of a visit."""
    target = infused_on + timedelta(days=visit.target_day)
    return target, target - timedelta(days=visit.before_days), target + timedelta(days=visit.after_days)


def before_infusion(collected: Collected, infused: Collected) -> bool:
    """Whether a result counts as before; the same day does, unless both times are known and say otherwise."""
    if collected.at is not None and infused.at is not None:
        return collected.at < infused.at
    return collected.on <= infused.on


def same_time(a: Collected, b: Collected, *, dates_match_times: bool) -> bool:
    """Equal at the coarser precision of the two. A date alone equals a time of that day only across sources."""
    if a.at is None or b.at is None:
        return a.on == b.on and (dates_match_times or a.at is b.at)
    coarser = min(a.precision, b.precision)
    return _cut(a.at, coarser) == _cut(b.at, coarser)


def compare(a: Collected | None, b: Collected | None) -> int:
    """-1, 0 or 1 by time at the coarser precision of the two; 0 where either is unknown."""
    if a is None or b is None:
        return 0
    if a.at is None or b.at is None:
        return (a.on > b.on) - (a.on < b.on)
    coarser = min(a.precision, b.precision)
    first, second = _cut(a.at, coarser), _cut(b.at, coarser)
    return (first > second) - (first < second)


def _cut(at: datetime, precision: Precision) -> datetime:
    if precision == Precision.HOUR:
        return at.replace(minute=0, second=0, microsecond=0)
    if precision == Precision.MINUTE:
        return at.replace(second=0, microsecond=0)
    return at.replace(microsecond=0) if precision == Precision.SECOND else at
