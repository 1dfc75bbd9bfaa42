"""A plot for each analyte over the days since infusion: geometry alone, drawn by ``chart.html`` as SVG.

Numbers are Decimal until they are places on the paper (user units of the SVG, one decimal). The value axis is linear
and begins at nothing, unless a value lies below that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from adapter.model import Visit

WIDTH, HEIGHT = 640, 240
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 14, 34
_MOST_TICKS = 5
_MARGIN_DAYS = 7


@dataclass(frozen=True, slots=True)
class Point:
    """One value to be drawn. ``kind`` is chosen, other or baseline; ``words`` tell it to those who do not see it."""

    day: int
    value: Decimal
    kind: str
    provisional: bool
    comparator: str | None
    words: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A point at its place."""

    point: Point
    x: str
    y: str

    @property
    def arrow(self) -> str:
        """Where the true value lies: up, down, or "" where it is the value itself."""
        comparator = self.point.comparator
        return "" if comparator is None else "down" if comparator.startswith("<") else "up"


@dataclass(frozen=True, slots=True)
class Tick:
    """A number on an axis and its place along it."""

    text: str
    at: str


@dataclass(frozen=True, slots=True)
class Window:
    """A visit's window: its left edge, its width and its target's place."""

    label: str
    x: str
    width: str
    target: str


@dataclass(frozen=True, slots=True)
class Chart:
    """One plot. ``line`` joins the chosen values (the points of a polyline), "" where there are fewer than two."""

    title: str
    unit: str
    marks: tuple[Mark, ...]
    windows: tuple[Window, ...]
    days: tuple[Tick, ...]
    ticks: tuple[Tick, ...]
    infusion: str
    line: str


def chart(title: str, unit: str, points: Sequence[Point], visits: Sequence[Visit], beside: Iterable[int] = ()) -> Chart:
    """The plot of one analyte. ``points`` may be empty: the windows stand there alone.

    ``beside`` are days of other plots, so that all of a participant have one axis of days.
    """
    days = [*(p.day for p in points), *beside]
    first = min([*days, 0]) - _MARGIN_DAYS
    last = max([*days, *(v.target_day + v.after_days for v in visits)]) + _MARGIN_DAYS
    steps = value_ticks([p.value for p in points])
    low, high = steps[0], steps[-1]

    def x(day: int) -> str:
        return _place(LEFT, WIDTH - RIGHT, Decimal(day - first) / (last - first))

    def y(value: Decimal) -> str:
        return _place(HEIGHT - BOTTOM, TOP, (value - low) / (high - low))

    def wide(days: int) -> str:
        return _place(0, WIDTH - RIGHT - LEFT, Decimal(days) / (last - first))

    # Chosen values are drawn last: they lie on top.
    drawn = sorted(points, key=lambda p: (p.kind == "chosen", p.day))
    chosen = [p for p in drawn if p.kind == "chosen"]
    return Chart(
        title=title,
        unit=unit,
        marks=tuple(Mark(p, x(p.day), y(p.value)) for p in drawn),
        windows=tuple(
            Window(v.label, x(v.target_day - v.before_days), wide(v.before_days + v.after_days), x(v.target_day))
            for v in visits
        ),
        days=tuple(Tick(str(day), x(day)) for day in (0, *(v.target_day for v in visits))),
        ticks=tuple(Tick(f"{step.normalize():f}", y(step)) for step in steps),
        infusion=x(0),
        line=" ".join(f"{x(p.day)},{y(p.value)}" for p in chosen) if len(chosen) > 1 else "",
    )


def value_ticks(values: Sequence[Decimal]) -> list[Decimal]:
    """Round numbers (1, 2 or 5 times a power of ten apart) from nothing, or below the least, to above the greatest."""
    low, high = min([*values, Decimal(0)]), max([*values, Decimal(0)])
    if low == high:
        return [Decimal(0), Decimal(1)]
    step = _step((high - low) / _MOST_TICKS)
    first = -((-low / step).to_integral_value(ROUND_CEILING))
    last = (high / step).to_integral_value(ROUND_CEILING)
    return [step * n for n in range(int(first), int(last) + 1)]


def _step(least: Decimal) -> Decimal:
    """The smallest round number that is no less."""
    power = Decimal(1).scaleb(least.adjusted())
    return next(power * n for n in (1, 2, 5, 10) if power * n >= least)


def _place(start: int, end: int, part: Decimal) -> str:
    return f"{start + (end - start) * part:.1f}"
