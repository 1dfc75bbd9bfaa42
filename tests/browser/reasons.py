"""A question of each reason of trial.md 8: what comes, what the page says of it, and how it is settled there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pagesite import BORN, WEEK_4, Person

ALT = "1742-6^^LN"
Fields = dict[str, str]
NOTHING: Fields = {}


@dataclass(frozen=True, slots=True)
class Case:
    """One reason. ``about`` is what the queue says, ``stands`` ALT at week 4 before and after the answer.

    ``choose`` is a result chosen by a person before ``then`` comes; ``shown`` what the item shows of what was sent.
    """

    reason: str
    cause: str
    about: str
    comes: Callable[[Person], Sequence[bytes]]
    action: str
    given: Fields
    stands: tuple[str | None, str | None]
    shown: str = ""
    then: Callable[[Person], bytes] | None = None
    choose: str = ""


def one(*results: str, extra: str = "", birth: str = BORN) -> Callable[[Person], list[bytes]]:
    """One message with these results."""
    return lambda p: [p.reported(*(each.format(p.number) for each in results), id="M1", birth=birth) + extra.encode()]


def of_one_order(*results: str) -> Callable[[Person], list[bytes]]:
    """One message with several results of one order."""
    return lambda p: [each.replace(b"||L-1-2|", b"||L-1-1|") for each in one(*results)(p)]


def undecodable(person: Person) -> list[bytes]:
    """A byte that is none of the character set that the message names."""
    (whole,) = one(f"{ALT} 40 U/L F {WEEK_4}")(person)
    return [whole.replace(b"1742-6^^LN", b"1742-6^Al\xe9nine^LN")]


def merged(person: Person) -> list[bytes]:
    """The hospital gives a participant another number."""
    (head, *_) = person.reported(id="G").decode().replace("ORU^R01^ORU_R01", "ADT^A40^ADT_A39").split("\r")
    numbers = [f"PID|1||9{person.number}^^^NTCGH^MR||Anren^Lan", f"MRG|{person.number}^^^NTCGH^MR"]
    return ["".join(f"{line}\r" for line in (head, "EVN||20250204080000+0800", *numbers)).encode()]


def on_two_days(person: Person) -> list[bytes]:
    """A result on the day of the target, and one two days later."""
    first = person.reported(f"{ALT} 45 U/L F {WEEK_4}", id="M1", order="A")
    return [first, person.reported(f"{ALT} 51 U/L F 20250205", id="M2", order="B")]


def corrected(person: Person) -> bytes:
    """The later of the two is corrected."""
    return person.reported(f"{ALT} 52 U/L C 20250205", id="M3", order="B", at="20260301080000+0800")


SCORE = (
    f"14631-6^^LN 68.4 umol/L F {WEEK_4}",
    f"6301-6^^LN 1.8 1 F {WEEK_4}",
    f"14682-9^^LN 88.4 umol/L F {WEEK_4}",
    f"44760-7^^LN 31 {{{{score}}}} F {WEEK_4}",
)
# Codes, units and words of the source are each case's own: what is said of one holds for whatever comes by it.
CASES = [
    Case(
        "unmapped_code",
        "unknown code",
        "Nobody has said yet what the source's code GPT-{number} is",
        one(f"GPT-{{}}^谷丙转氨酶 40 U/L F {WEEK_4}"),
        "map",
        {"text": "ALT"},
        (None, "40"),
        "谷丙转氨酶",
    ),
    Case(
        "code_conflict",
        "contradicting codes",
        "disagree on what this is",
        one(f"{ALT}^GOT^^L 40 U/L F {WEEK_4}"),
        "say_analyte",
        {"text": "ALT"},
        (None, "40"),
        "40 U/L",
    ),
    Case(
        "wrong_specimen",
        "wrong specimen",
        "The specimen is “Dried spot”; only blood, serum or plasma count.",
        one(f"{ALT} 40 U/L F {WEEK_4}", extra="SPM|1|||DRY^Dried spot\r"),
        "accept_specimen",
        NOTHING,
        (None, "40"),
        "40 U/L",
    ),
    Case(
        "unreadable_value",
        "unreadable value",
        "The value cannot be read",
        one(f"{ALT} 1,234 U/L F {WEEK_4}"),
        "say_value",
        {"text": "1234"},
        (None, "1234"),
        "1,234 U/L",
    ),
    Case(
        "missing_unit",
        "missing unit",
        "No unit was sent",
        one(f"{ALT} 40 - F {WEEK_4}"),
        "accept_unit",
        {"text": "U/L"},
        (None, "40"),
        "40",
    ),
    Case(
        "unknown_unit",
        "unknown unit",
        "The unit “KE/ml” is not one that ALT is measured in here.",
        one(f"{ALT} 40 KE/ml F {WEEK_4}"),
        "accept_unit",
        {"text": "U/L"},
        (None, "40"),
        "40 KE/ml",
    ),
    Case(
        "implausible_value",
        "implausible value",
        "The value lies outside what is possible for ALT",
        one(f"{ALT} 99999 U/L F {WEEK_4}"),
        "say_plausible",
        NOTHING,
        (None, "99999"),
        "99999 U/L",
    ),
    Case(
        "missing_collection_time",
        "missing collection time",
        "The collection time “202502” does not name a day.",
        one(f"{ALT} 40 U/L F 202502"),
        "say_collected_at",
        {"day": "2025-02-03", "time": "08:15"},
        (None, "40"),
        "40 U/L",
    ),
    Case(
        "implausible_time",
        "implausible time",
        "The specimen would have been taken over a day after the message came (2099-01-01",
        one(f"{ALT} 40 U/L F 20990101"),
        "say_collected_at",
        {"day": "2025-02-03"},
        (None, "40"),
        "40 U/L",
    ),
    Case(
        "unknown_status",
        "unknown status",
        "The status “7” is none of table 0085's",
        one(f"{ALT} 40 U/L 7 {WEEK_4}"),
        "map_status",
        {"text": "F"},
        (None, "40"),
        "40 U/L",
    ),
    Case(
        "conflicting_results",
        "contradicting results",
        "with the same collection time, or of one order, differ.",
        of_one_order(f"{ALT} 40 U/L F {WEEK_4}", f"{ALT} 44 U/L F {WEEK_4}"),
        "choose",
        {"result": "44 U/L"},
        (None, "44"),
        "44 U/L",
    ),
    Case(
        "window_missed",
        "window missed",
        "has closed without a result of ALT",
        one(f"{ALT} 40 U/L F 20250124"),
        "accept_outside",
        NOTHING,
        (None, "40"),
        "40 U/L",
    ),
    Case(
        "changed_after_choice",
        "changed after a choice",
        "was made on has changed since",
        on_two_days,
        "choose",
        {"result": "45 U/L"},
        ("52", "45"),
        "52 U/L",
        choose="51 U/L",
        then=corrected,
    ),
    Case(
        "score_mismatch",
        "another score was reported",
        "The laboratory reported another score for MELD at",
        one(*SCORE),
        "dismiss",
        NOTHING,
        (None, None),
        "31",
    ),
    Case(
        "identity_conflict",
        "identity in doubt",
        "The message contradicts the roster in",
        one(f"{ALT} 40 U/L F {WEEK_4}", birth="1933-12-31"),
        "confirm_identity",
        NOTHING,
        (None, "40"),
    ),
    Case(
        "identity_merge",
        "identities merged",
        "The hospital has merged patient identifiers, one of them of the roster.",
        merged,
        "merge_identity",
        NOTHING,
        (None, None),
    ),
    Case(
        "unreadable_message",
        "unreadable message",
        "The message cannot be read",
        undecodable,
        "dismiss",
        NOTHING,
        (None, None),
    ),
]
