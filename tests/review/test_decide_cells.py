"""What is decided of a cell: a choice, a result outside its window, a result taken back, a visit signed off."""

from __future__ import annotations

import pytest
from deskrun import DeskRun, message

from adapter.review.answers import actions_of
from adapter.review.desk import DecisionRefused
from adapter.review.proposal import Given

ALT = "S-001 week-4 ALT"
TWO_DAYS = message("1742-6^^LN 45 U/L F 20260202", "1742-6^^LN 51 U/L F 20260204")
CORRECTED = message("1742-6^^LN 46 U/L C 20260202", id="M2", at="20260301080000+0800")


def named(trial: DeskRun, reported: str) -> Given:
    return Given(results=frozenset({trial.place(reported)}))


def test_of_results_that_contradict_each_other_one_is_chosen(trial: DeskRun):
    trial.receives("two-values-of-one-observation.hl7")
    before = trial.derived()
    (made,) = trial.answers("conflicting_results", "choose", named(trial, "44"))
    assert (trial.cell(ALT), trial.asked()) == (("captured", "44", ("chosen_by_person",)), [])
    trial.undoes(made)
    assert trial.derived() == before


def test_of_results_that_contradict_each_other_the_one_not_taken_back_stands(trial: DeskRun):
    trial.receives("two-values-of-one-observation.hl7")
    before = trial.derived()
    with pytest.raises(DecisionRefused, match="which of the results"):
        trial.desk.propose(trial.item("conflicting_results"), "take_back", Given())
    (made,) = trial.answers("conflicting_results", "take_back", named(trial, "44"))
    assert (trial.cell(ALT), trial.asked()) == (("captured", "40", ()), [])
    trial.undoes(made)
    assert trial.derived() == before


def test_two_orders_of_the_same_time_that_differ_are_settled_by_a_choice(trial: DeskRun):
    trial.receives(message("1742-6^^LN 45 U/L F 202602020800", "1742-6^^LN 51 U/L F 202602020800"))
    trial.answers("conflicting_results", "choose", named(trial, "45"))
    assert trial.cell(ALT) == ("captured", "45", ("chosen_by_person",))


def test_a_contradiction_outside_every_window_is_settled_by_taking_back(trial: DeskRun):
    trial.receives(message("1742-6^^LN 45 U/L F 20260501"), message("1742-6^^LN 51 U/L F 20260501", id="M2"))
    entry = trial.item("conflicting_results")
    assert actions_of(entry) == ("take_back", "dismiss")
    trial.answers("conflicting_results", "take_back", named(trial, "45"))
    assert trial.asked() == []


def test_a_result_near_a_window_that_was_missed_is_accepted_and_says_so(trial: DeskRun):
    trial.receives("day-before-window.hl7")
    before = trial.derived()
    (made,) = trial.answers("window_missed", "accept_outside")
    assert trial.cell(ALT) == ("captured", "40", ("outside_window", "chosen_by_person"))
    assert trial.asked() == []
    trial.undoes(made)
    assert trial.derived() == before


def test_another_candidate_is_chosen_for_any_cell_and_undone(trial: DeskRun):
    trial.receives(TWO_DAYS)
    before = trial.derived()
    (made,) = trial.decides(lambda: trial.desk.choose("S-001", "week-4", "ALT", trial.place("51")))
    assert trial.cell(ALT) == ("captured", "51", ("chosen_by_person",))
    assert trial.asked() == []
    trial.undoes(made)
    assert trial.derived() == before


def test_a_choice_that_is_changed_asks_again_and_is_chosen_anew_or_undone(trial: DeskRun):
    trial.receives(TWO_DAYS)
    (made,) = trial.decides(lambda: trial.desk.choose("S-001", "week-4", "ALT", trial.place("51")))
    trial.receives(CORRECTED)
    assert (trial.cell(ALT)[1], trial.asked()) == ("51", ["changed_after_choice"])
    assert actions_of(trial.item("changed_after_choice")) == ("choose", "dismiss")
    (kept,) = trial.answers("changed_after_choice", "choose", named(trial, "51"))
    assert (trial.cell(ALT)[1], trial.asked()) == ("51", [])
    trial.undoes(kept)
    assert trial.asked() == ["changed_after_choice"]
    trial.answers("changed_after_choice", "choose", named(trial, "46"))
    assert (trial.cell(ALT)[1], trial.asked()) == ("46", [])
    (last,) = [d for d in trial.store.decisions() if d.body.get("result", "").endswith("OBX[1]")]
    trial.undoes(last)
    trial.undoes(made)
    assert (trial.cell(ALT), trial.asked()) == (("captured", "46", ()), [])


def test_a_changed_choice_is_dismissed_for_what_it_is_now(trial: DeskRun):
    trial.receives(TWO_DAYS)
    trial.decides(lambda: trial.desk.choose("S-001", "week-4", "ALT", trial.place("51")))
    trial.receives(CORRECTED)
    trial.answers("changed_after_choice", "dismiss")
    assert (trial.cell(ALT)[1], trial.asked()) == ("51", [])
    trial.receives(message("1742-6^^LN 47 U/L C 20260202", id="M3", at="20260302080000+0800"))
    assert trial.asked() == ["changed_after_choice"]


def test_a_value_that_stands_is_taken_back_and_the_next_one_stands(trial: DeskRun):
    trial.receives(TWO_DAYS)
    before = trial.derived()
    (made,) = trial.decides(lambda: trial.desk.take_back("S-001", trial.place("45")))
    assert trial.cell(ALT) == ("captured", "51", ())
    trial.undoes(made)
    assert trial.derived() == before


def test_an_implausible_value_is_taken_back(trial: DeskRun):
    trial.receives(message("1751-7^^LN 350 g/L F 20260202"))
    trial.answers("implausible_value", "take_back")
    assert ([r.outcome for r in trial.store.results()], trial.asked()) == (["taken_back"], [])


WRONG = [
    ("week-4 ALT", "60", "cannot stand"),  # of week 12
    ("week-4 AST", "45", "no result of S-001 for AST"),
    ("week-9 ALT", "45", "no cell"),
    ("week-4 MELD", "45", "is computed"),
    ("week-4 ALT", "30", "cannot stand"),  # replaced by another report
]


@pytest.mark.parametrize(("cell", "reported", "words"), WRONG)
def test_what_cannot_be_the_value_of_a_cell_is_refused(trial: DeskRun, cell: str, reported: str, words: str):
    trial.receives(
        message("1742-6^^LN 30 U/L F 20260202", "1742-6^^LN 60 U/L F 20260330"),
        message("1742-6^^LN 45 U/L C 20260202", id="M2", at="20260301080000+0800"),
    )
    visit, endpoint = cell.split()
    with pytest.raises(DecisionRefused, match=words):
        trial.desk.choose("S-001", visit, endpoint, trial.place(reported))


def test_what_is_no_result_of_an_endpoint_cannot_be_taken_back(trial: DeskRun):
    trial.receives("unmapped-local-code.hl7")
    for place in (trial.place("40"), (77, "OBX[1]")):
        with pytest.raises(DecisionRefused, match="is no result of S-001"):
            trial.desk.take_back("S-001", place)


# --- signing off --------------------------------------------------------------------------------------------------


def test_a_visit_is_signed_off_asks_when_it_changes_and_is_signed_again(trial: DeskRun):
    trial.receives(TWO_DAYS)
    (made,) = trial.decides(lambda: trial.desk.sign_off("S-001", "week-4"))
    assert trial.asked() == []
    trial.receives(CORRECTED)
    entry = trial.item("changed_after_choice")
    assert (actions_of(entry), entry.item.endpoint) == (("sign_off", "dismiss"), None)
    before = trial.derived()
    (again,) = trial.answers("changed_after_choice", "sign_off")
    assert (trial.asked(), trial.cell(ALT)) == ([], ("captured", "46", ()))
    trial.undoes(again)
    assert trial.derived() == before
    trial.undoes(made)
    assert trial.asked() == []


def test_a_visit_with_an_open_question_is_not_signed_off(trial: DeskRun):
    trial.receives("thousands-separator.hl7")
    with pytest.raises(DecisionRefused, match="an open question"):
        trial.desk.sign_off("S-001", "week-4")
    with pytest.raises(DecisionRefused, match="has no visit week-9"):
        trial.desk.sign_off("S-001", "week-9")


def test_a_reported_score_that_differs_is_dismissed_and_asked_again_when_undone(trial: DeskRun):
    trial.receives(
        message(
            "14631-6^^LN 68.4 umol/L F 20260202",
            "6301-6^^LN 1.8 1 F 20260202",
            "14682-9^^LN 88.4 umol/L F 20260202",
            "44760-7^^LN 31 {score} F 20260202",
        )
    )
    before = trial.derived()
    (made,) = trial.answers("score_mismatch", "dismiss")
    assert trial.asked() == []
    trial.undoes(made)
    assert trial.derived() == before
