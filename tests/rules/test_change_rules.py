"""Why a value is another: the sentence names what decided it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapter.model import Derived, PlacementRow, ResultRow, SelectionRow
from adapter.rules.changes import changes, results_changed
from adapter.words import say_step

RESULT = ResultRow(
    inbox_id=1,
    locator="OBX[1]",
    study_id="S-001",
    source="lis",
    message_control_id="M1",
    code="GPT",
    code_system="L",
    name="",
    reported="35",
    reported_unit="U/L",
    status="F",
    outcome="placed",
    reason=None,
    rule="placed",
    endpoint="ALT",
    value="35",
    comparator=None,
    unit="U/L",
    collected_at="2026-02-02",
    visit="week-4",
    mapping="row 1",
    conversion="ALT U/L x 1",
    order_number="A1",
    reported_at=None,
    item=None,
    ruleset="old",
)
CELL = SelectionRow(
    study_id="S-001",
    visit="week-4",
    endpoint="ALT",
    status="captured",
    reason=None,
    value="35",
    comparator=None,
    unit="U/L",
    flags=(),
    collected_at="2026-02-02",
    day_offset=0,
    source="lis",
    message_id="M1",
    inbox_id=1,
    locator="OBX[1]",
    open_items=(),
    ruleset="old",
)
OTHER = replace(RESULT, inbox_id=2, message_control_id="M2", value="40")
OF_OTHER = replace(CELL, inbox_id=2, message_id="M2", value="40")
EMPTY = replace(
    CELL,
    status="empty",
    reason="no_result",
    value=None,
    collected_at=None,
    day_offset=None,
    source=None,
    message_id=None,
    inbox_id=None,
    locator=None,
)
IN_REVIEW = replace(EMPTY, status="in_review", reason="missing_unit")
HELD = replace(RESULT, outcome="held", reason="unmapped_code", endpoint=None, value=None, visit=None, mapping=None)
SCORE = {"formula": "MELD_UNOS", "inputs": {"INR": {"value": "1.2"}, "CREA": {"value": "80"}}, "settings": {}}


def derived(results: tuple[ResultRow, ...], cells: tuple[SelectionRow, ...], **fields: object) -> Derived:
    return replace(Derived("S-001", results, (), cells, (), {}), **fields)  # type: ignore[arg-type]


def why(
    before: tuple[ResultRow, ...],
    old: SelectionRow,
    after: tuple[ResultRow, ...],
    new: SelectionRow,
    pending: frozenset[int] = frozenset(),
    **fields: object,
) -> str:
    (change,) = changes(before, [old], pending, derived(after, (new,), **fields))
    assert (change.old, change.new) == (old, new)
    return say_step(change.why)


@pytest.mark.parametrize(
    ("now", "sentence"),
    [
        (replace(RESULT, endpoint="AST", mapping="row 9"), "M1 OBX[1] is AST now (row 9), and was ALT."),
        (
            replace(RESULT, collected_at="2026-03-02", visit=None, outcome="unscheduled"),
            "M1 OBX[1] is taken to be collected at 2026-03-02 now, and was at 2026-02-02.",
        ),
        (replace(RESULT, visit=None, outcome="unscheduled"), "M1 OBX[1] is unscheduled now; before: week-4."),
        (replace(RESULT, visit="week-12"), "M1 OBX[1] lies in the window of week-12 now; before: week-4."),
        (replace(RESULT, visit=None, outcome="superseded"), "M1 OBX[1] is superseded now; before: week-4."),
        (replace(RESULT, visit=None, outcome="held", reason="unknown_unit"), "M1 OBX[1] is held now: unknown_unit."),
        (
            replace(RESULT, visit=None, outcome="ignored", rule="dismissed_code"),
            "M1 OBX[1] is ignored now (dismissed_code).",
        ),
    ],
)
def test_a_value_that_goes_is_told_by_what_became_of_its_result(now: ResultRow, sentence: str):
    kept, ignored = ((), (now,)) if now.outcome == "ignored" else ((now,), ())
    assert why((RESULT,), CELL, kept, EMPTY, ignored_rows=ignored) == sentence


@pytest.mark.parametrize(
    ("before", "pending", "sentence"),
    [
        ((), {1}, "M1 OBX[1] is of a message that was not derived before."),
        ((), (), "M1 OBX[1] was ignored before; now it counts (row 1)."),
        ((HELD,), (), "M1 OBX[1] was held (unmapped_code); now it counts (row 1, ALT U/L x 1)."),
        (
            (replace(RESULT, visit=None, outcome="baseline"),),
            (),
            "M1 OBX[1] lies in the window of week-4 now; before: baseline.",
        ),
    ],
)
def test_a_value_that_comes_is_told_by_what_its_result_was(before: tuple[ResultRow, ...], pending, sentence: str):
    assert why(before, EMPTY, (RESULT,), CELL, frozenset(pending)) == sentence


@pytest.mark.parametrize(
    ("result", "cell", "sentence"),
    [
        (
            replace(RESULT, value="36", conversion="ALT U/L x 1.03"),
            replace(CELL, value="36"),
            "M1 OBX[1] is converted by ALT U/L x 1.03 now, and was by ALT U/L x 1.",
        ),
        (
            replace(RESULT, comparator="<"),
            replace(CELL, comparator="<"),
            "M1 OBX[1] is read as <35 now, and was as 35.",
        ),
        (RESULT, replace(CELL, status="provisional"), "The result counts as provisional now; before: captured."),
        (
            RESULT,
            replace(CELL, flags=("outside_query_limits",)),
            "The value stands; its flags are “outside_query_limits” now, and were “”.",
        ),
        (
            RESULT,
            replace(CELL, value="99"),
            "By these rules and this roster it no longer follows from what was received.",
        ),
    ],
)
def test_another_value_of_the_same_result_is_told_by_how_it_is_read(
    result: ResultRow, cell: SelectionRow, sentence: str
):
    assert why((RESULT,), CELL, (result,), cell) == sentence


def test_another_result_is_told_by_why_the_one_before_lost():
    lost = PlacementRow("S-001", "week-4", "ALT", 1, "OBX[1]", 2, False, "farther_from_target")
    said = why((RESULT, OTHER), CELL, (RESULT, OTHER), OF_OTHER, placements=(lost,))
    assert said == "M1 OBX[1] is a candidate still, and another goes before it now (farther_from_target)."


def test_a_result_that_is_no_longer_the_participants_is_told_as_that():
    assert why((RESULT,), CELL, (), EMPTY) == "M1 OBX[1] is no longer read as this participant's."


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (EMPTY, IN_REVIEW, "An open question could give the value: missing_unit."),
        (IN_REVIEW, EMPTY, "No open question could give the value any more; before: missing_unit."),
    ],
)
def test_a_cell_without_value_is_told_by_its_question(old: SelectionRow, new: SelectionRow, sentence: str):
    assert why((), old, (), new) == sentence


@pytest.mark.parametrize(
    ("score", "sentence"),
    [
        ({**SCORE, "inputs": {**SCORE["inputs"], "CREA": {"value": "90"}}}, "It is computed from other inputs: CREA."),
        ({**SCORE, "formula": "MELD_NA"}, "It is computed otherwise now (MELD_NA)."),
    ],
)
def test_a_score_is_told_by_its_inputs_or_its_formula(score: dict[str, object], sentence: str):
    old = replace(EMPTY, endpoint="MELD", status="captured", reason=None, value="12", score=SCORE)
    assert why((), old, (), replace(old, value="13", score=score)) == sentence
    assert why((), replace(old, value=None, status="empty", score=None), (), replace(old, score=score)).startswith(
        "It is computed otherwise now"
    )


def test_what_a_cell_does_not_say_is_no_change():
    elsewhere = replace(CELL, ruleset="new", day_offset=1, open_items=("i",))
    assert changes([RESULT], [CELL], (), derived((RESULT,), (elsewhere,))) == []
    assert changes([], [], (), derived((), (replace(EMPTY, endpoint="MELD", reason="missing_input: INR"),))) == []
    assert changes([], [EMPTY], (), derived((), ())) == []


def test_results_are_counted_that_became_something_else():
    relabelled = replace(RESULT, ruleset="new", mapping="row 2")
    assert results_changed([RESULT, OTHER], derived((relabelled, OTHER), ())) == 0
    assert results_changed([RESULT], derived((HELD,), ())) == 1
    assert results_changed([RESULT], derived((), ())) == 1
    assert results_changed([], derived((RESULT,), ())) == 1
