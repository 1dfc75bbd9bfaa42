"""Which: one value for each participant, visit and endpoint (trial.md section 5), every loser with its reason."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from adapter.model import Collected, Visit
from adapter.rules.amend import Stands
from adapter.rules.interpret import Interpreted
from adapter.rules.units import plain
from adapter.rules.windows import same_time

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# What the parts of the order mean, for the sentence that says why a candidate lost.
_ORDER = (
    "preliminary",
    "farther_from_target",
    "earlier_date",
    "earlier_time",
    "earlier_report",
    "order_number",
    "order_number",
    "order_number",
    "order_number",
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A result whose value stands. ``day`` counts from infusion; ``also`` are its copies through other sources.

    ``contested``: one of several reports of one result of which none can be said to stand.
    """

    stands: Stands
    collected: Collected
    day: int | None
    final: bool
    also: tuple[Stands, ...] = ()
    contested: bool = False

    @property
    def report(self) -> Interpreted:
        """The report whose value this is."""
        return self.stands.report

    @property
    def content(self) -> tuple[str, str]:
        """Value and comparator, equal for equal numbers (``1.10`` and ``1.1``)."""
        number = self.report.number
        assert number is not None
        return plain(number.normalize()), self.report.comparator or ""

    def holds(self, key: str) -> bool:
        """Whether a report (by its key) is this result in any of its versions or copies."""
        return any(key == r.key for s in (self.stands, *self.also) for r in (s.report, *s.replaced))


@dataclass(frozen=True, slots=True)
class Selection:
    """One cell: its candidates in the order of the rule, and those whose values contradict each other."""

    ordered: tuple[Candidate, ...]
    in_conflict: tuple[Candidate, ...]

    @property
    def first(self) -> Candidate | None:
        """What the rule chooses, conflict or not."""
        return self.ordered[0] if self.ordered else None

    @property
    def undecided(self) -> bool:
        """Whether the one the rule would choose is contradicted."""
        return self.first is not None and any(c is self.first for c in self.in_conflict)


def counted_once(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The same result through two sources is one: same time at the coarser precision, same value (section 6).

    The one that stays is the final, the more precise, then by source name; the others are kept as its copies.
    """
    if len({c.report.origin.source for c in candidates}) < 2:
        return sorted(candidates, key=_representative)
    kept: list[Candidate] = []
    for candidate in sorted(candidates, key=_representative):
        for n, other in enumerate(kept):
            if _same_through_two_sources(other, candidate):
                final = other.final or candidate.final
                also = (*other.also, candidate.stands)
                kept[n] = replace(other, final=final, also=also)
                break
        else:
            kept.append(candidate)
    return kept


def _representative(candidate: Candidate) -> tuple[bool, int, str, str]:
    report = candidate.report
    return (not candidate.final, -candidate.collected.precision, report.origin.source, report.key)


def _same_through_two_sources(a: Candidate, b: Candidate) -> bool:
    sources = {a.report.origin.source, *(s.report.origin.source for s in a.also)}
    return (
        not (a.contested or b.contested)
        and b.report.origin.source not in sources
        and a.report.analyte == b.report.analyte
        and a.content == b.content
        and same_time(a.collected, b.collected, dates_match_times=True)
    )


def select(candidates: Sequence[Candidate], visit: Visit) -> Selection:
    """The candidates of one window in the order of the rule; the order they are given in does not matter."""
    ordered = tuple(sorted(candidates, key=lambda c: order(c, visit)))
    conflicting = tuple(c for c in ordered if c.contested or any(contradicts(c, other) for other in ordered))
    return Selection(ordered, conflicting)


def contradicts(a: Candidate, b: Candidate) -> bool:
    """Same collection time, different values. Across sources a date alone is the same as any time of that day."""
    two_sources = a.report.origin.source != b.report.origin.source
    return a.content != b.content and same_time(a.collected, b.collected, dates_match_times=two_sources)


def order(candidate: Candidate, visit: Visit) -> tuple[object, ...]:
    """Final before preliminary; nearest; later date; later time; later report; then numbers that never change."""
    report, at = candidate.report, candidate.collected
    said_at = report.issued or report.message_at
    assert candidate.day is not None
    return (
        not candidate.final,
        abs(candidate.day - visit.target_day),
        -at.on.toordinal(),
        _latest_first(at),
        (0, 0) if said_at is None else (-said_at.on.toordinal(), _latest_first(said_at)),
        report.reported.order_number,
        report.code.code,
        report.origin.source,
        report.key,
    )


def _latest_first(time: Collected) -> int:
    """Descends with the time; a date alone comes before any time of that day, so it is chosen after them."""
    if time.at is None:
        return 1
    return -((time.at - _EPOCH) // timedelta(microseconds=1))


def why_lost(candidate: Candidate, winner: Candidate, visit: Visit) -> str:
    """The first part of the order in which a candidate falls behind the winner."""
    for name, mine, best in zip(_ORDER, order(candidate, visit), order(winner, visit), strict=True):
        if mine != best:
            return name
    return "order_number"


def fingerprint(*candidates: Candidate | None) -> str:
    """What a decision was made on: the results and their values. Another fingerprint, another question."""
    parts = []
    for candidate in candidates:
        if candidate is not None:
            sent, source = candidate.report.reported, candidate.report.origin.source
            result = (source, sent.order_number, sent.sub_id, candidate.collected.text)
            parts.append("\x1f".join((*result, *candidate.content, "final" if candidate.final else "provisional")))
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]
