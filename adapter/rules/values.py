"""How much: the number in a reported text (trial.md section 3). Decimal point only; nothing is guessed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from adapter.model import Protocol, ReportedValue

_MEANT = str.maketrans(
    {"≤": "<=", "≥": ">=", "＜": "<", "＞": ">", "﹤": "<", "﹥": ">", "＝": "=", "．": ".", "\u3000": " "}
    | {chr(0xFF10 + digit): str(digit) for digit in range(10)}
)
_NUMBER = re.compile(r"(?P<comparator><=|>=|<|>|=)?\s*(?P<number>[+-]?(?:\d+(?:\.\d+)?|\.\d+))", re.ASCII)
_MOST_DIGITS = 40  # beyond any laboratory; a longer run of digits is a paste, not a result


@dataclass(frozen=True, slots=True)
class Number:
    """A reported number with its comparator, not yet converted."""

    number: Decimal
    comparator: str | None


@dataclass(frozen=True, slots=True)
class NoResult:
    """The text says that there is no result; the laboratory's own word for it is kept."""

    text: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The text is neither a number nor a known word for none."""

    why: str


def read_value(value: ReportedValue, protocol: Protocol) -> Number | NoResult | Unreadable:
    """A number with an optional comparator, a statement that there is none, or what stands in the way."""
    if value.plain is None:
        return Unreadable(value.fault)
    text = value.plain.strip()
    if says_no_result(text, protocol):
        return NoResult(text)
    found = _NUMBER.fullmatch(text.translate(_MEANT).strip())
    if found is None or len(found["number"]) > _MOST_DIGITS:
        return Unreadable("the text is not one number with a decimal point")
    comparator = found["comparator"]
    return Number(Decimal(found["number"]), None if comparator == "=" else comparator)


def says_no_result(text: str, protocol: Protocol) -> bool:
    """Empty, a listed text, or a text without any digit that holds a listed word (haemolysed, 溶血, ...)."""
    folded = text.casefold()
    if not folded or folded in protocol.no_result_texts:
        return True
    return not any(c.isdigit() for c in folded) and any(word in folded for word in protocol.no_result_words)
