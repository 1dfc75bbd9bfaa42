"""Where things stand in the pictures: coordinates for the template, in the units of the picture's view box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext

from adapter.concordance.figures import differences, shown
from adapter.concordance.nouns import Pair, unit_said
from adapter.rules.units import plain

WIDTH, HEIGHT = 330, 236
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 20, 40  # what axes and their words need
_MARGIN = Decimal("0.08")  # of the range, so that no point lies on the frame
_TICKS = 4
_STEPS = (Decimal(1), Decimal(2), Decimal(5), Decimal(10))


@dataclass(frozen=True, slots=True)
class Mark:
    """A place on an axis with its words."""

    at: str
    text: str


@dataclass(frozen=True, slots=True)
class Point:
    """One pair of numbers. What differs is another shape, so that no colour is needed to see it."""

    x: str
    y: str
    agrees: bool


@dataclass(frozen=True, slots=True)
class BlandAltman:
    """The picture of one endpoint: entered minus ours over the mean of the two."""

    endpoint: str
    unit: str
    points: tuple[Point, ...]
    across: tuple[Mark, ...]
    up: tuple[Mark, ...]
    zero: str
    mean: str
    limits: tuple[str, ...]
    frame: tuple[int, int, int, int] = (_LEFT, _TOP, WIDTH - _RIGHT, HEIGHT - _BOTTOM)

    @property
    def in_unit(self) -> str:
        """The unit after a number; that of pure numbers and scores is not said."""
        return unit_said(self.unit)


@dataclass(frozen=True, slots=True)
class _Scale:
    low: Decimal
    high: Decimal
    start: int
    end: int

    def at(self, number: Decimal) -> str:
        share = (number - self.low) / (self.high - self.low)
        return plain((self.start + share * (self.end - self.start)).quantize(Decimal("0.1")))

    def marks(self) -> tuple[Mark, ...]:
        """A few round numbers within the range."""
        step = _round_step((self.high - self.low) / _TICKS)
        first = (self.low / step).to_integral_value(rounding="ROUND_CEILING")
        last = (self.high / step).to_integral_value(rounding="ROUND_FLOOR")
        numbers = (step * n for n in range(int(first), int(last) + 1))
        return tuple(Mark(self.at(number), minus(shown(number))) for number in numbers)


def bland_altman(endpoint: str, unit: str, pairs: Sequence[Pair]) -> BlandAltman | None:
    """The picture of an endpoint's pairs; None where there is none."""
    found = differences(pairs)
    if found is None:
        return None
    with localcontext(prec=60):
        lines = [d for d in (found.low, found.high) if d is not None]
        means = [(pair.entered + pair.ours) / 2 for pair in pairs]
        x = _scale(means, _LEFT, WIDTH - _RIGHT)
        y = _scale([Decimal(0), found.mean, *lines, *(p.difference for p in pairs)], HEIGHT - _BOTTOM, _TOP)
        points = [Point(x.at(m), y.at(p.difference), p.agrees) for m, p in zip(means, pairs, strict=True)]
        # What differs is drawn last, over the rest.
        return BlandAltman(
            endpoint=endpoint,
            unit=unit,
            points=tuple(sorted(points, key=lambda point: not point.agrees)),
            across=x.marks(),
            up=y.marks(),
            zero=y.at(Decimal(0)),
            mean=y.at(found.mean),
            limits=tuple(y.at(line) for line in lines),
        )


def _scale(numbers: Sequence[Decimal], start: int, end: int) -> _Scale:
    low, high = min(numbers), max(numbers)
    room = (high - low) * _MARGIN or Decimal(1)  # one number alone stands in the middle
    return _Scale(low - room, high + room, start, end)


def _round_step(rough: Decimal) -> Decimal:
    power = Decimal(1).scaleb(rough.adjusted())
    return next(power * step for step in _STEPS if power * step >= rough)


def minus(number: Decimal) -> str:
    """A number for people: with a true minus sign, so that it is not broken at it."""
    return plain(number).replace("-", "−")
