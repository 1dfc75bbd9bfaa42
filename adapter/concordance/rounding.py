"""When two numbers agree: ours, expressed in the unit that was entered and rounded to the decimals that were entered,
is the number entered. Half up and half to even both count as rounding: people do the one, programs the other.

Exact throughout: a quotient of two decimals is kept as the fraction it is.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import floor


def agrees(entered: Decimal, ours: Fraction) -> bool:
    """Whether ``ours``, in the unit of ``entered``, rounds to it."""
    exponent = _exponent(entered)
    scaled = ours / _step(exponent)
    return Fraction(entered) / _step(exponent) in (_half_up(scaled), round(scaled))


def rounded(ours: Fraction, like: Decimal) -> Decimal:
    """``ours`` at the decimals of ``like``, half up: what a person would have been expected to enter."""
    exponent = _exponent(like)
    return Decimal(_half_up(ours / _step(exponent))).scaleb(exponent)


def _half_up(scaled: Fraction) -> int:
    magnitude = floor(abs(scaled) + Fraction(1, 2))
    return -magnitude if scaled < 0 else magnitude


def _exponent(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int), "what was entered is a number"
    return exponent


def _step(exponent: int) -> Fraction:
    return Fraction(10) ** exponent
