"""One decision for a cause: a code, a unit, a status; and what a person may not fill in."""

from __future__ import annotations

from pathlib import Path

import pytest
from deskrun import DeskRun, message

from adapter.model import Decision
from adapter.review import desk
from adapter.review.desk import DecisionRefused
from adapter.review.proposal import Given

ALT = "S-001 week-4 ALT"
PEOPLE = 25


def test_mapping_one_code_places_two_hundred_held_results_by_one_decision_with_one_preview(tmp_path: Path):
    roster = "".join(f"S-{n:03},{1000 + n},NTCGH,2026-01-05,,\n" for n in range(PEOPLE))
    trial = DeskRun(tmp_path, roster=roster)
    for n in range(PEOPLE):
        days = ("20260202", "20260203", "20260330", "20260331", "20260622", "20260623", "20260105", "20260501")
        results = [f"GPT-D^谷丙转氨酶 {30 + k} U/L F {day}" for k, day in enumerate(days)]
        trial.receives(message(*results, id=f"M{n}", number=f"{1000 + n}^^^NTCGH^MR", who="|"))
    entry = trial.item("unmapped_code")
    assert (entry.count, entry.item.suggestion, trial.asked()) == (200, "ALT", ["unmapped_code"])
    preview = trial.desk.preview(trial.desk.propose(entry, "map", Given("ALT")))
    assert (len(preview.changes), preview.counts.results, preview.counts.closed) == (3 * PEOPLE, 200, 1)
    (made,) = trial.answers("unmapped_code", "map", Given("ALT"))
    assert (trial.asked(), {r.reason for r in trial.store.results()}) == ([], {None})
    assert {r.endpoint for r in trial.store.results()} == {"ALT"}
    assert [trial.cell(f"S-{n:03} week-4 ALT")[1] for n in range(PEOPLE)] == ["30"] * PEOPLE
    trial.undoes(made)
    assert trial.item("unmapped_code").count == 200
    trial.close()


def test_a_dismissed_code_is_asked_about_again_when_that_is_undone(trial: DeskRun):
    trial.receives("unmapped-local-code.hl7")
    before = trial.derived()
    (made,) = trial.answers("unmapped_code", "dismiss")
    assert (trial.asked(), made.kind, trial.store.results()) == ([], "dismiss_code", [])
    trial.undoes(made)
    assert trial.derived() == before


def test_codes_that_resemble_nothing_are_dismissed_together_and_come_back_one_by_one(trial: DeskRun):
    trial.receives(message("XX1 1 U/L F 20260202", "XX2 2 U/L F 20260202", "XX3 3 U/L F 20260202"))
    entry = trial.item("unmapped_code")
    assert len(entry.members) == 3
    with pytest.raises(DecisionRefused, match="holds 3 codes"):
        trial.desk.propose(entry, "map", Given("ALT"))
    made = trial.answers("unmapped_code", "dismiss")
    assert ([d.kind for d in made], trial.asked()) == (["dismiss_code"] * 3, [])
    trial.undoes(made[1])
    assert trial.item("unmapped_code").item.code == made[1].body["code"]
    trial.answers("unmapped_code", "map", Given("ALT"))
    assert trial.cell(ALT)[:2] == ("captured", made[1].body["code"].removeprefix("XX"))


def test_a_code_is_mapped_anew_and_undoing_that_brings_the_first_mapping_back(trial: DeskRun):
    trial.receives("unmapped-local-code.hl7")
    entry = trial.item("unmapped_code")
    trial.answers("unmapped_code", "map", Given("ALT"))
    (second,) = trial.decides(lambda: trial.desk.propose(desk.find(trial.store, entry.id), "map", Given("AST")))
    assert (trial.cell(ALT)[1], trial.cell("S-001 week-4 AST")[1]) == (None, "40")
    trial.undoes(second)
    assert (trial.cell(ALT)[1], trial.cell("S-001 week-4 AST")[1]) == ("40", None)


def test_what_comes_later_by_the_same_cause_follows_and_what_was_said_of_one_result_does_not(trial: DeskRun):
    trial.receives(message("1742-6^^LN 40 KE/ml F 20260202", "1742-6^^LN 51 KE/ml F 20260330"))
    one = Given("U/L", results=frozenset({trial.place("40")}))
    trial.answers("unknown_unit", "say_unit", one)
    assert (trial.cell(ALT)[1], trial.asked()) == ("40", ["unknown_unit"])
    trial.answers("unknown_unit", "accept_unit", Given("U/L"))
    trial.receives(message("1742-6^^LN 62 KE/ml F 20260622", id="M2", order="L-2"))
    found = [trial.cell(f"S-001 {visit} ALT")[1:] for visit in ("week-4", "week-12", "week-24")]
    assert found == [("40", ("read_by_person",)), ("51", ()), ("62", ())]


def test_a_question_is_dismissed_for_the_results_it_holds_and_asked_again_when_undone(trial: DeskRun):
    trial.receives("thousands-separator.hl7")
    before = trial.derived()
    (made,) = trial.answers("unreadable_value", "dismiss")
    assert (trial.asked(), trial.cell(ALT)[:2]) == ([], ("missing", None))
    trial.undoes(made)
    assert trial.derived() == before


WRONG = [
    ("unmapped-local-code.hl7", "unmapped_code", "map", Given("MELDX"), "MELDX is no analyte"),
    ("unmapped-local-code.hl7", "unmapped_code", "map", Given("ALT", unit="g/L"), "not measured in g/L"),
    ("unmapped-local-code.hl7", "unmapped_code", "say_value", Given("4"), "is no answer to it"),
    ("missing-unit.hl7", "missing_unit", "accept_unit", Given("g/L"), "not measured in g/L"),
    ("missing-unit.hl7", "missing_unit", "say_unit", Given(), "not measured in nothing"),
    (
        "missing-unit.hl7",
        "missing_unit",
        "say_unit",
        Given("U/L", results=frozenset({(1, "OBX[9]")})),
        "no such result",
    ),
    ("status-zero.hl7", "unknown_status", "map_status", Given("0"), "no status of table 0085"),
    ("thousands-separator.hl7", "unreadable_value", "say_value", Given("1,234"), "not one number"),
    ("collected-in-a-month.hl7", "missing_collection_time", "say_collected_at", Given("2026-02"), "no time"),
    ("collected-in-a-month.hl7", "missing_collection_time", "say_collected_at", Given("2026-W05-1"), "no time"),
    ("collected-in-a-month.hl7", "missing_collection_time", "say_collected_at", Given("2026-09-02"), "not come yet"),
    (
        "collected-in-a-month.hl7",
        "missing_collection_time",
        "say_collected_at",
        Given("2026-09-01T12:01+08:00"),
        "not come yet",
    ),
]


@pytest.mark.parametrize(("received", "reason", "action", "given", "words"), WRONG, ids=lambda v: str(v)[:24])
def test_what_cannot_be_is_refused_and_said_what_can(
    trial: DeskRun, received: str, reason: str, action: str, given: Given, words: str
):
    trial.receives(received)
    head = trial.store.head()
    with pytest.raises(DecisionRefused, match=words):
        trial.desk.propose(trial.item(reason), action, given)
    assert trial.store.head() == head


def test_a_specimen_of_this_morning_was_taken_in_the_past_where_the_trial_is(trial: DeskRun):
    """It is still yesterday in Greenwich."""
    trial.run.now = trial.run.now.replace(hour=20)
    trial.receives("collected-in-a-month.hl7")
    trial.answers("missing_collection_time", "say_collected_at", Given("2026-09-02"))
    assert trial.store.results()[0].collected_at == "2026-09-02"


def test_a_decision_needs_a_reason(trial: DeskRun):
    trial.receives("thousands-separator.hl7")
    proposal = trial.desk.propose(trial.item("unreadable_value"), "dismiss", Given())
    with pytest.raises(DecisionRefused, match="needs its reason"):
        trial.desk.decide(proposal, "nurse", " ")
    assert trial.store.decisions() == []


def test_an_undoing_can_be_undone_and_nothing_is_undone_twice(trial: DeskRun):
    trial.receives("thousands-separator.hl7")
    (made,) = trial.answers("unreadable_value", "say_value", Given("1234"))
    undoing: Decision = trial.undoes(made)
    assert trial.cell(ALT)[1] is None
    with pytest.raises(DecisionRefused, match="undone already"):
        trial.desk.undo(made.id)
    trial.undoes(undoing)
    assert trial.cell(ALT)[1] == "1234"
    with pytest.raises(DecisionRefused, match="undone already"):
        trial.desk.undo(undoing.id)
    with pytest.raises(DecisionRefused, match="no decision 99"):
        trial.desk.undo(99)
    assert trial.undoes(made).body == {"decision": str(made.id), "study_id": "S-001"}
