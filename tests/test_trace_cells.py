"""``trace`` of cells without a value, and of scores."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from tracedsite import NOW, Site, message

from adapter.model import Assessment


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    found = Site(tmp_path, monkeypatch)
    yield found
    found.run.close()


# --- cells without a value ----------------------------------------------------------------------------------------


def test_of_a_cell_in_review_the_results_that_hold_it_up_are_told_with_their_question(site: Site):
    site.receives("held-correction.hl7")
    found = site.traces("S-001 week-4 ALT")
    assert (found["cell"]["status"], found["result"], found["candidates"]) == ("in_review", None, [])
    assert [i["reason"] for i in found["open_items"]] == ["missing_unit"]
    assert sorted(r["outcome"] for r in found["beside"]) == ["held", "superseded"]
    held = next(r for r in found["beside"] if r["outcome"] == "held")
    assert held["words"] == found["open_items"][0]["detail"] != ""
    assert found["follows"] is True


def test_a_result_whose_code_nobody_knows_is_told_of_each_cell_that_it_could_give_a_value(site: Site):
    site.receives("unmapped-local-code.hl7")
    found = site.traces("S-001 week-4 ALT")
    assert found["cell"]["status"] == "in_review"
    assert {r["reason"] for r in found["beside"]} == {"unmapped_code"}
    assert "resembles ALT" in found["beside"][0]["words"]
    assert site.traces("S-001 week-4 AST")["beside"] == []


def test_a_missing_value_is_told_with_what_lies_just_outside_its_window(site: Site):
    site.receives("day-before-window.hl7")
    (cell,) = [c for c in site.run.table().values() if c.reason == "window_missed"]
    found = site.traces(f"S-001 {cell.visit} {cell.endpoint}")
    assert [r["outcome"] for r in found["beside"]] == ["unscheduled"]
    assert re.fullmatch(r"Day \d+ after infusion lies in no visit's window: unscheduled\.", found["beside"][0]["words"])
    nothing = site.traces("S-001 week-24 PT")
    assert (nothing["cell"]["status"], nothing["cell"]["reason"]) == ("missing", "no_result")
    assert (nothing["candidates"], nothing["beside"], nothing["messages"]) == ([], [], [])
    assert (nothing["follows"], nothing["history"]) == (True, [])
    assert site.tells("S-001 week-24 PT").startswith("S-001 week-24 PT: no value, missing\n")


def test_a_pending_value_says_so_before_and_after_infusion_is_known(site: Site):
    site.now = datetime(2026, 1, 20, tzinfo=UTC)
    assert site.traces("S-001 week-4 ALT")["cell"]["status"] == "pending"
    (person,) = site.run.store.participants()
    site.run.put(replace(person, infused_at=None))
    found = site.traces("S-001 week-4 ALT")
    assert (found["cell"]["status"], found["cell"]["window"]) == ("pending", None)
    assert "no value, pending" in site.tells("S-001 week-4 ALT")


def test_a_participant_of_whom_nothing_was_received_is_traced_too(site: Site):
    found = site.traces("S-001 week-4 ALT")
    assert (found["cell"]["value"], found["result"], found["messages"]) == (None, None, [])


def test_after_a_withdrawal_what_is_excluded_is_told_and_why(site: Site):
    site.receives(message("1742-6^^LN 45 U/L F 20260202"))
    (person,) = site.run.store.participants()
    site.run.put(replace(person, ended_on=date(2026, 1, 30), ended_by="withdrawn"))
    found = site.traces("S-001 week-4 ALT")
    assert (found["cell"]["status"], found["cell"]["reason"]) == ("not_expected", "withdrawn")
    (excluded,) = found["beside"]
    assert (excluded["outcome"], excluded["rule"]) == ("ignored", "after_withdrawal")
    assert excluded["words"].startswith("Taken on or after the participant's withdrawal")
    assert [(c["old"] is None, c["new"]["value"]) for c in found["history"]] == [(True, "45"), (False, None)]


# --- scores -------------------------------------------------------------------------------------------------------


@pytest.fixture
def scored(site: Site) -> Site:
    site.receives("complete-panel.hl7")
    entry = Assessment("S-001", date(2026, 2, 3), ascites="mild", encephalopathy="none", dialysis="no")
    with site.run.store.write() as tx:
        tx.add_assessment(entry, "ward doctor", "ward round", NOW)
    return site


def test_a_score_is_told_with_its_formula_and_each_input_and_where_that_comes_from(scored: Site):
    found = scored.traces("S-001 week-4 MELD")
    assert found["cell"]["score"]["formula"] == "MELD_UNOS"
    inputs = {i["name"]: i for i in found["inputs"]}
    assert list(inputs) == ["TBIL", "INR", "CREA", "dialysis"]
    assert inputs["INR"]["used"]["value_text"] == "1.10"
    assert (inputs["INR"]["message_id"], inputs["INR"]["locator"]) == ("H000", "OBX[9]")
    assert inputs["CREA"]["trace"] == "lab-adapter trace S-001 week-4 CREA"
    assert inputs["dialysis"]["assessed"]["who"] == "ward doctor"
    assert inputs["dialysis"]["assessed"]["why"] == "ward round"
    assert set(found["cell"]["score"]["beside"]) == {"MELD_NA", "MELD_3_0"}
    assert (found["result"], found["follows"]) == (None, True)
    command = inputs["INR"]["trace"].split()[2:]
    assert scored.traces(" ".join(command))["result"]["locator"] == "OBX[9]"


def test_a_score_is_told_in_words(scored: Site):
    text = scored.tells("S-001 week-4 CHILD_PUGH")
    assert "formula    CHILD_PUGH: Points for bilirubin" in text
    assert "ascites mild" in text
    assert "by ward doctor (ward round)" in text
    assert re.search(r"points +TBIL \d, ALB \d, INR \d, ascites 2, encephalopathy \d", text)
    assert "see `lab-adapter trace S-001 week-4 ALB`" in text


def test_a_score_without_a_value_names_the_inputs_that_are_missing(site: Site):
    site.receives(message("6301-6^^LN 1.2 1 F 20260202"))
    found = site.traces("S-001 week-4 MELD")
    assert (found["cell"]["value"], found["cell"]["reason"]) == (None, "missing_input: TBIL, CREA")
    assert {i["name"]: i["used"].get("why") for i in found["inputs"]}["CREA"] == "missing"
    text = site.tells("S-001 week-4 MELD")
    assert "input      CREA no value, missing" in text


def test_a_score_that_the_laboratory_reported_stands_beside_the_computed_one(scored: Site):
    scored.receives(message("44760-7^^LN 21 {score} F 20260202", id="SCORE"))
    found = scored.traces("S-001 week-4 MELD")
    reported = found["cell"]["score"]["reported"]
    assert (reported["value"], reported["message_id"]) == ("21", "SCORE")
    assert [(c["chosen"], c["why"]) for c in found["candidates"]] == [(False, "score_is_computed")]
    assert "score_mismatch" in [i["reason"] for i in found["open_items"]]
    assert "21 by the laboratory, OBX[1] of message SCORE from lis" in scored.tells("S-001 week-4 MELD")
