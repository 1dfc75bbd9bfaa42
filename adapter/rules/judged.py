"""What was assessed of a participant for a visit: entered by a coordinator or sent by a source, whichever is nearer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from adapter.model import Assessment, Visit
from adapter.rules.cells import Participation, Settled
from adapter.rules.interpret import Interpreted
from adapter.rules.windows import visit_of


@dataclass(frozen=True, slots=True)
class Judged:
    """One item at one visit. ``trouble`` is why it cannot be used (in_review, provisional); ``report``: as received."""

    value: str | None
    on: date | None = None
    trouble: str | None = None
    report: Interpreted | None = None
    open_items: tuple[str, ...] = ()


def judge(item: str, assessments: Sequence[Assessment], received: Settled, visit: Visit, who: Participation) -> Judged:
    """The assessment that counts: final before preliminary, then the nearest to the target, then the later.

    Of two of one day the entered one, for a person looked at it. ``received`` is the cell of what sources sent.
    """
    entered, chosen, asked = _entered(item, assessments, visit, who), received.chosen, received.row.open_items
    by_hand = None if entered is None else (False, *_distance(entered.assessed_on, visit, who))
    if chosen is not None:
        on = chosen.collected.on
        if by_hand is None or (not chosen.final, *_distance(on, visit, who)) < by_hand:
            trouble = None if chosen.final else "provisional"
            return Judged(chosen.report.assessed, on, trouble, chosen.report, asked)
    contested_on = received.contested_on  # nothing farther stands in for what contradicts itself
    if contested_on is not None and (by_hand is None or (False, *_distance(contested_on, visit, who)) < by_hand):
        return Judged(None, trouble="in_review", open_items=asked)
    if entered is not None:
        return Judged(getattr(entered, item), entered.assessed_on, open_items=asked)
    return Judged(None, trouble="in_review" if received.row.status == "in_review" else None, open_items=asked)


def _entered(item: str, assessments: Sequence[Assessment], visit: Visit, who: Participation) -> Assessment | None:
    """The entry of an item nearest to the target within the window; equally near, the later."""
    if who.infused_on is None:
        return None
    ended_on, infused_on = who.participant.ended_on, who.infused_on
    found = [
        each
        for each in assessments
        if getattr(each, item) is not None
        and (ended_on is None or each.assessed_on < ended_on)
        and visit_of((each.assessed_on - infused_on).days, who.protocol.visits) == visit
    ]
    return min(found, key=lambda each: _distance(each.assessed_on, visit, who), default=None)


def _distance(on: date, visit: Visit, who: Participation) -> tuple[int, int]:
    assert who.infused_on is not None
    day = (on - who.infused_on).days
    return abs(day - visit.target_day), -day
