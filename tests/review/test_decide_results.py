"""For each reason that holds results: previewed, decided, the value where it belongs, undone, and all as it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from deskrun import DeskRun, message

from adapter.review import desk
from adapter.review.answers import ACTIONS, words_of
from adapter.review.desk import DecisionRefused
from adapter.review.proposal import Given
from adapter.words import say

OUTSIDE, SAID = "outside_query_limits", "read_by_person"
ALT, AST, ALB = "S-001 week-4 ALT", "S-001 week-4 AST", "S-001 week-4 ALB"


@dataclass(frozen=True)
class Case:
    """What is received, how it is answered, and the cells that then have a value."""

    reason: str
    action: str
    received: Sequence[str | bytes]
    cells: Mapping[str, str]
    given: Given = field(default_factory=Given)
    flags: tuple[str, ...] = (SAID,)
    still: tuple[str, ...] = ()  # what is asked about other results all the same


CASES = [
    Case("unmapped_code", "map", ["unmapped-local-code.hl7"], {ALT: "40"}, Given("ALT"), ()),
    Case(
        "unmapped_code",
        "map",
        [message("BIL 20 - F 20260202")],
        {"S-001 week-4 TBIL": "342.080"},
        Given("TBIL", unit="mg/dL"),
        (),
    ),
    Case("code_conflict", "say_analyte", ["code-conflict.hl7"], {ALT: "40"}, Given("ALT")),
    Case("wrong_specimen", "accept_specimen", ["albumin-in-ascites-fluid.hl7"], {ALB: "11.0"}, flags=(OUTSIDE,)),
    Case("wrong_specimen", "say_specimen", ["albumin-in-ascites-fluid.hl7"], {ALB: "11.0"}, flags=(OUTSIDE, SAID)),
    Case("unreadable_value", "say_value", ["thousands-separator.hl7"], {ALT: "1234"}, Given("1234")),
    Case("missing_unit", "accept_unit", ["missing-unit.hl7"], {ALT: "40"}, Given("U/L"), ()),
    Case("missing_unit", "say_unit", ["missing-unit.hl7"], {ALT: "40"}, Given("U/L")),
    Case("unknown_unit", "accept_unit", ["unit-of-another-dimension.hl7"], {ALT: "40", AST: "40"}, Given("U/L"), ()),
    Case("unknown_unit", "say_unit", [message("1742-6^^LN 40 KE/ml F 20260202")], {ALT: "40"}, Given("U/L")),
    Case(
        "implausible_value",
        "say_plausible",
        [message("1751-7^^LN 350 g/L F 20260202")],
        {ALB: "350"},
        flags=(OUTSIDE, SAID),
    ),
    Case("implausible_value", "say_value", [message("1751-7^^LN 350 g/L F 20260202")], {ALB: "35.0"}, Given("35.0")),
    Case("implausible_value", "say_unit", [message("1751-7^^LN 350 g/L F 20260202")], {}, Given("g/dL")),
    Case("missing_collection_time", "say_collected_at", ["collected-in-a-month.hl7"], {ALT: "40"}, Given("2026-02-02")),
    Case(
        "implausible_time",
        "say_collected_at",
        ["collected-in-the-far-future.hl7"],
        {ALT: "40"},
        Given("2026-02-02T08:15+08:00"),
    ),
    Case("unknown_status", "map_status", ["status-zero.hl7"], {ALT: "40"}, Given("F"), ()),
    Case("unknown_status", "say_status", ["status-zero.hl7"], {ALT: "40"}, Given("F")),
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.reason}-{c.action}")
def test_a_held_result_becomes_the_value_where_it_belongs_and_undone_it_is_held_again(trial: DeskRun, case: Case):
    trial.receives(*case.received)
    assert case.reason in trial.asked()
    entry, before = trial.item(case.reason), trial.derived()
    assert say(*words_of(entry, case.action))
    made = trial.answers(case.reason, case.action, case.given)
    for cell, value in case.cells.items():
        assert trial.cell(cell) == ("captured", value, case.flags)
    if case.cells:
        assert (desk.find(trial.store, entry.id).state, trial.asked()) == ("closed", list(case.still))
    if case.cells and case.action != "map":  # a code is mapped anew
        with pytest.raises(DecisionRefused, match="is not open"):
            trial.desk.propose(desk.find(trial.store, entry.id), case.action, case.given)
    for decision in made:
        trial.undoes(decision)
    assert trial.derived() == before


@pytest.mark.parametrize("reason", ACTIONS)
def test_every_answer_has_a_sentence_that_says_what_it_records(reason: str):
    assert [action for action in ACTIONS[reason] if not say(f"answer_{action}", {})] == []


def test_what_is_asked_is_told_in_another_language(trial: DeskRun):
    trial.receives("missing-unit.hl7")
    words = {"No unit was sent, and the source's code map states none for this {analyte} code.": "{analyte} 没有单位。"}
    assert trial.item("missing_unit").told(lambda text: words.get(text, text)) == "ALT 没有单位。"
