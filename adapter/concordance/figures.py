"""What is counted, by endpoint and by participant, and how sure it is.

The interval of a proportion is Wilson's score interval without continuity correction (Wilson 1927; Newcombe,
Statistics in Medicine 1998, method 3). Mean difference and limits of agreement are those of Bland and Altman (Lancet
1986): mean and 1.96 standard deviations of the differences, n - 1 in the denominator. Both take cells to be
independent, which visits of one participant are not quite.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext

from adapter.concordance.nouns import AGREES, COMPARED, NEITHER, NOT_COMPARED, Pair

_Z = Decimal("1.959963984540054")  # the 0.975 quantile of the normal distribution
_LIMITS = Decimal("1.96")
_TENTH = Decimal("0.1")
_SHOWN = Context(prec=4)
_EXACT_ENOUGH = 60


@dataclass(frozen=True, slots=True)
class Tally:
    """How the cells of one group came out. ``compared`` are those with a value on both sides and a known unit."""

    outcomes: Counter[str]

    @property
    def compared(self) -> int:
        """Cells with a value on both sides, in units that can be compared."""
        return sum(self.outcomes[name] for name in COMPARED)

    @property
    def agree(self) -> int:
        """Cells of which nothing was found."""
        return self.outcomes[AGREES]

    @property
    def entered(self) -> int:
        """Cells for which a value was entered that could be read."""
        return self.compared + self.outcomes["unit_unknown"] + self.outcomes["only_there"]

    @property
    def covered(self) -> int:
        """Cells of these for which there is a value here."""
        return self.entered - self.outcomes["only_there"]

    @property
    def looked_at(self) -> int:
        """All cells of the group, those without a value on either side too."""
        return self.outcomes.total()

    @property
    def without_value(self) -> int:
        """Cells with a value on neither side."""
        return self.outcomes[NEITHER]

    @property
    def not_compared(self) -> int:
        """Cells whose row could not be read."""
        return self.outcomes[NOT_COMPARED]


def percent(part: int, whole: int) -> Decimal | None:
    """A share in per cent, to a tenth; None of nothing. It is 0 or 100 only where it is exactly so."""
    if whole == 0:
        return None
    share = (Decimal(100 * part) / whole).quantize(_TENTH)
    return share if part in (0, whole) else min(max(share, _TENTH), 100 - _TENTH)


def interval(part: int, whole: int) -> tuple[Decimal, Decimal] | None:
    """The 95 per cent interval of a share, in per cent to a tenth; None of nothing."""
    if whole == 0:
        return None
    with localcontext(prec=_EXACT_ENOUGH):
        n, k, square = Decimal(whole), Decimal(part), _Z * _Z
        centre = (k + square / 2) / (n + square)
        half = _Z * (k * (n - k) / n + square / 4).sqrt() / (n + square)
        low, high = ((100 * end).quantize(_TENTH) for end in (centre - half, centre + half))
    return low + 0, high


@dataclass(frozen=True, slots=True)
class Differences:
    """Entered minus ours in the protocol's unit, over ``n`` pairs; with one pair there are no limits."""

    n: int
    mean: Decimal
    deviation: Decimal | None
    low: Decimal | None
    high: Decimal | None


def differences(pairs: Sequence[Pair]) -> Differences | None:
    """Mean difference and limits of agreement, to four significant digits; None of nothing."""
    n = len(pairs)
    if n == 0:
        return None
    with localcontext(prec=_EXACT_ENOUGH):
        mean = sum((pair.difference for pair in pairs), Decimal(0)) / n
        if n == 1:
            return Differences(n, shown(mean), None, None, None)
        spread = (sum(((pair.difference - mean) ** 2 for pair in pairs), Decimal(0)) / (n - 1)).sqrt()
        low, high = mean - _LIMITS * spread, mean + _LIMITS * spread
    return Differences(n, shown(mean), shown(spread), shown(low), shown(high))


def shown(number: Decimal) -> Decimal:
    """A computed number to four significant digits, no exponent and no zeros at its end."""
    short = _SHOWN.plus(number).normalize()
    return short.quantize(Decimal(1)) if short == short.to_integral_value() else short


def tally(outcomes: Iterable[str]) -> Tally:
    """Count what became of some cells."""
    return Tally(Counter(outcomes))
