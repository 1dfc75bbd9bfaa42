"""``trace``: from a number to its bytes, its rules, the candidates that lost and the persons who decided."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tracedsite import CHECKOUT, NOW, SITUATIONS, Site, message

from adapter.codecs.envelope import split_payload
from adapter.lineage import trace
from adapter.rules.interpret import FHIR_RESULT
from adapter.words import knows, say


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    found = Site(tmp_path, monkeypatch)
    yield found
    found.run.close()


# --- a value ------------------------------------------------------------------------------------------------------


def test_a_value_leads_to_its_message_its_segment_and_the_hash_of_its_bytes(site: Site):
    site.receives("bilirubin-in-mg-dl.hl7")
    found = site.traces("S-001 week-4 TBIL")
    raw = SITUATIONS.joinpath("bilirubin-in-mg-dl.hl7").read_bytes()
    assert (found["cell"]["value_text"], found["cell"]["unit"]) == ("20.5248", "umol/L")
    result = found["result"]
    assert (result["source"], result["message_control_id"], result["locator"]) == ("lis", "H009", "OBX[1]")
    assert (result["reported"], result["reported_unit"], result["status"]) == ("1.2", "mg/dL", "F")
    assert (result["code"], result["code_system"], result["order_number"]) == ("1975-2", "LN", "filler:L-1")
    assert (result["collected_from"], result["collected_text"]) == ("SPM-17", "20260202081500+0800")
    (told,) = found["messages"]
    assert (told["inbox_id"], told["bytes"]) == (result["inbox_id"], len(raw))
    assert told["sha256"] == told["found_sha256"] == hashlib.sha256(raw).hexdigest()
    assert (told["whole"], found["follows"]) == (True, True)
    assert found["head"] == site.run.store.head()


def test_a_converted_value_names_its_rows_with_factor_source_and_worked_example(site: Site):
    site.receives("bilirubin-in-mg-dl.hl7")
    result = site.traces("S-001 week-4 TBIL")["result"]
    assert result["mapping"]["row"] == "loinc.toml: TBIL accept 1975-2"
    assert result["mapping"]["name"].startswith("Bilirubin")
    conversion = result["conversion"]
    assert (conversion["row"], conversion["example"]) == ("TBIL mg/dL x 17.104", ["2.5", "42.76"])
    assert "584.66" in conversion["source"]
    assert "Converted from mg/dL by the factor 17.104: 20.5248 umol/L." in result["steps"]


def test_the_same_is_told_in_words(site: Site):
    site.receives("bilirubin-in-mg-dl.hl7")
    text = site.tells("S-001 week-4 TBIL")
    assert text.startswith("S-001 week-4 TBIL: 20.5248 umol/L, captured\n")
    for words in (
        "2026-01-26 to 2026-02-09, target 2026-02-02",
        "OBX[1] of message H009 from lis",
        "“1.2” mg/dL, status F",
        "SPM-17: 20260202081500+0800",
        ": the stored bytes give the same",
        "Chosen as the value of TBIL at week-4.",
        "TBIL mg/dL x 17.104, bilirubin C33H36N4O6",
        "worked example: 2.5 gives 42.76",
        "today's files are the same",
        "follows from its bytes: yes.",
    ):
        assert words in text, text


def test_the_rules_it_was_derived_by_are_named_with_the_day_they_were_adopted(site: Site):
    site.receives("bilirubin-in-mg-dl.hl7")
    rules = site.traces("S-001 week-4 TBIL")["rules"]
    adopted = site.run.store.ruleset()
    assert adopted is not None
    assert (rules["ruleset"], rules["adopted_at"]) == (adopted.id, adopted.adopted_at)
    assert rules["protocol"] == site.run.config.protocol.fingerprint
    assert (rules["rules_version"], rules["same"]) == (adopted.body["rules"], True)


def test_the_notes_of_intake_are_shown(site: Site):
    for situation, endpoint, note in (
        ("lost-backslash.hl7", "ALT", "MSH-2 has lost its escape character"),
        ("control-id-reused.hl7", "AST", "Another message of this source has the same control id and other content."),
    ):
        site.receives(situation)
        told = site.traces(f"S-001 week-4 {endpoint}")["messages"]
        assert note in [each for message in told for each in message["notes"]]
        assert f"noted      {note}" in site.tells(f"S-001 week-4 {endpoint}")


def test_a_component_of_fhir_names_its_resource_and_its_element(site: Site):
    site.receives("fhir-panel-of-components.fhir.json", "ehr")
    found = site.traces("S-001 week-4 INR")
    result = found["result"]
    assert (found["cell"]["comparator"], found["cell"]["value_text"]) == ("<", "1.10")
    assert (result["locator"], result["message_control_id"]) == (
        "Observation/90#component[2]",
        "Observation/90/_history/1",
    )
    assert (result["collected_from"], result["order_number"]) == (
        "effectiveDateTime",
        f"{FHIR_RESULT}Observation/90#component[2]",
    )
    assert found["messages"][0]["whole"] is True
    assert "INR: <1.10, captured" in site.tells("S-001 week-4 INR")


# --- others than the value ----------------------------------------------------------------------------------------


def test_of_a_corrected_value_both_versions_are_told(site: Site):
    correction, original = split_payload(SITUATIONS.joinpath("corrected-before-original.hl7").read_bytes()).messages
    site.receives(original)
    site.receives(correction)
    found = site.traces("S-001 week-4 ALT")
    assert (found["cell"]["value_text"], found["result"]["message_control_id"]) == ("74", "C2")
    assert [(r["outcome"], r["value_text"], r["message_control_id"]) for r in found["beside"]] == [
        ("superseded", "47", "C1")
    ]
    assert found["beside"][0]["words"] == "Another report of the same result stands (message C2)."
    changes = [(c["old"] and c["old"]["value"], c["new"]["value"], c["new"]["message_id"]) for c in found["history"]]
    assert changes == [(None, "47", "C1"), ("47", "74", "C2")]
    assert all(c["seq"] and c["who"] and c["at"] for c in found["history"])
    assert "47 U/L, captured from OBX[1] of message C1 -> 74 U/L" in site.tells("S-001 week-4 ALT")


def test_each_candidate_stands_in_its_rank_with_the_reason_it_lost(site: Site):
    site.receives("nearest-to-the-target.hl7")
    found = site.traces("S-001 week-12 ALT")
    assert [(c["rank"], c["chosen"], c["why"]) for c in found["candidates"]] == [
        (1, True, "chosen"),
        (2, False, "earlier_time"),
        (3, False, "farther_from_target"),
    ]
    losers = [c for c in found["candidates"] if not c["chosen"]]
    assert losers
    assert all(c["words"].startswith("Not chosen: ") for c in losers)
    assert found["result"]["value_text"] == found["cell"]["value_text"]


def test_a_result_through_two_sources_is_told_with_both(site: Site):
    site.receives(message("1742-6^^LN 45 U/L F 20260202081500"))
    site.receives(message("1742-6^^LN 45 U/L F 20260202081500", id="B1", order="X-1"), "lis-b")
    found = site.traces("S-001 week-4 ALT")
    assert "same_result_through_two_sources" in found["cell"]["flags"]
    assert {c["source"]: c["words"] for c in found["candidates"]} == {
        "lis": "Chosen as the value of ALT at week-4.",
        "lis-b": "The same result came through another source; it counts once.",
    }
    assert len(found["messages"]) == 2


def test_what_a_person_chose_is_told_with_who_when_and_why(site: Site):
    site.receives(message("1742-6^^LN 45 U/L F 20260202", "1742-6^^LN 51 U/L F 20260204"))
    raw = hashlib.sha256(site.config.with_name("message.hl7").read_bytes()).hexdigest()
    body = {"study_id": "S-001", "visit": "week-4", "endpoint": "ALT", "result": f"lis/{raw}/OBX[2]", "evidence": "-"}
    with site.run.store.write() as tx:
        tx.add_decision("choose", body, "trial nurse", "the first was haemolytic", NOW)
    found = site.traces("S-001 week-4 ALT")
    assert (found["cell"]["value_text"], found["cell"]["flags"]) == ("51", ["chosen_by_person"])
    assert [(d["kind"], d["who"], d["why"]) for d in found["decisions"]] == [
        ("choose", "trial nurse", "the first was haemolytic")
    ]
    assert found["decisions"][0]["words"] == "A candidate was chosen as the value of ALT at week-4."
    assert [(c["chosen"], c["why"]) for c in found["candidates"]] == [
        (False, "another_chosen_by_person"),
        (True, "chosen_by_person"),
    ]
    assert [i["reason"] for i in found["open_items"]] == ["changed_after_choice"]
    assert "trial nurse: A candidate was chosen" in site.tells("S-001 week-4 ALT")


def test_a_mapped_code_leads_to_the_person_who_mapped_it(site: Site):
    site.receives("unmapped-local-code.hl7")
    item = json.loads(site.says("review", "list", "--json")[0])[0]["id"]
    site.says("review", "resolve", item, "--map", "ALT", "--reason", "their list of codes", "--by", "trial nurse")
    found = site.traces("S-001 week-4 ALT")
    (decision,) = found["decisions"]
    assert (decision["kind"], decision["who"], decision["why"]) == ("map_code", "trial nurse", "their list of codes")
    assert decision["words"] == "lis: the code GPT-D is ALT."
    assert (found["result"]["mapping"]["decision"], found["result"]["mapping"]["in_files"]) == (decision["id"], True)
    other = site.traces("S-001 week-4 AST")
    assert other["decisions"] == []


def test_what_a_person_said_of_a_status_or_took_back_is_told_and_what_was_undone(site: Site):
    site.receives("status-zero.hl7")
    sha256 = hashlib.sha256(SITUATIONS.joinpath("status-zero.hl7").read_bytes()).hexdigest()
    site.decides("map_status", source="lis", sent="0", status="F")
    found = site.traces("S-001 week-4 ALT")
    assert found["cell"]["value_text"] == "40"
    assert [d["words"] for d in found["decisions"]] == ["lis: the status “0” means F."]
    other = {"source": "lis", "study_id": "S-001"}
    taken_back = site.decides("take_back", **other, results=f"lis/{sha256}/OBX[1]\nlis/{sha256}/OBX[9]")
    site.decides("take_back", **other, results=f"lis/{sha256}/OBX[9]")
    found = site.traces("S-001 week-4 ALT")
    assert (found["cell"]["value"], [r["outcome"] for r in found["beside"]]) == (None, ["taken_back"])
    assert [d["kind"] for d in found["decisions"]] == ["map_status", "take_back"]
    assert found["beside"][0]["words"] == f"A person took this result back (decision {taken_back})."
    site.decides("undo", decision=str(taken_back), study_id="S-001")
    site.decides("undo", decision="999", study_id="S-001")
    found = site.traces("S-001 week-4 ALT")
    assert found["cell"]["value_text"] == "40"
    assert [d["kind"] for d in found["decisions"]] == ["map_status", "take_back", "undo"]


def test_a_time_that_a_person_stated_is_told_as_theirs(site: Site):
    site.receives("collected-in-a-month.hl7")
    sha256 = hashlib.sha256(SITUATIONS.joinpath("collected-in-a-month.hl7").read_bytes()).hexdigest()
    said = {"what": "collected_at", "to": "2026-02-02", "results": f"lis/{sha256}/OBX[1]"}
    site.decides("read_result", source="lis", study_id="S-001", **said)
    found = site.traces("S-001 week-4 ALT")
    assert (found["cell"]["collected_at"], found["result"]["collected_from"]) == ("2026-02-02", None)
    assert [d["words"] for d in found["decisions"]] == ["A result was given its collected_at: 2026-02-02."]
    assert "A person said that the specimen was taken at 2026-02-02" in site.tells("S-001 week-4 ALT")


def test_what_is_decided_of_a_whole_message_is_told_of_each_of_its_results_and_of_no_other(site: Site):
    site.receives("other-birth-date.hl7")
    sha256 = hashlib.sha256(SITUATIONS.joinpath("other-birth-date.hl7").read_bytes()).hexdigest()
    assert [r["outcome"] for r in site.traces("S-001 week-4 ALT")["beside"]] == ["held"]
    site.decides("confirm_identity", source="lis", sha256=sha256, participant="S-001")
    found = site.traces("S-001 week-4 ALT")
    assert [d["words"] for d in found["decisions"]] == ["The message was said to be of S-001."]
    assert site.traces("S-001 week-12 PT")["decisions"] == []


def test_what_is_decided_of_another_cell_or_code_is_not_told(site: Site):
    site.receives(message("1742-6^^LN 45 U/L F 20260202", "1920-8^^LN 51 U/L F 20260202"))
    subject = {"study_id": "S-001", "visit": "week-4", "endpoint": "AST", "result": "lis/x/OBX[1]", "evidence": "-"}
    with site.run.store.write() as tx:
        tx.add_decision("choose", subject, "nurse", "x", NOW)
        tx.add_decision("dismiss_code", {"source": "lis", "code": "1920-8", "system": "LN"}, "nurse", "x", NOW)
        tx.add_decision("dismiss_item", {"item": "0" * 16, "evidence": "-"}, "nurse", "x", NOW)
    assert site.traces("S-001 week-4 ALT")["decisions"] == []


def test_a_correction_that_moves_a_result_to_another_visit_is_told_of_the_visit_it_left(site: Site):
    site.receives(message("1742-6^^LN 45 U/L F 20260202"))
    site.receives(message("1742-6^^LN 45 U/L C 20260330", id="M2"))
    found = site.traces("S-001 week-12 ALT")
    assert found["result"]["message_control_id"] == "M2"
    assert [(r["message_control_id"], r["outcome"]) for r in found["beside"]] == [("M1", "superseded")]
    left = site.traces("S-001 week-4 ALT")
    assert (left["cell"]["status"], [r["outcome"] for r in left["beside"]]) == ("missing", ["superseded"])
    assert [c["new"]["value"] for c in left["history"]] == ["45", None]


# --- usage --------------------------------------------------------------------------------------------------------


def test_an_unknown_participant_visit_or_endpoint_is_told_what_there_is(site: Site):
    assert "participants list" in site.says("trace", "S-404", "week-4", "ALT", status=1)[1]
    assert "week-4, week-12, week-24" in site.says("trace", "S-001", "week-5", "ALT", status=2)[1]
    assert "ALT, AST, ALP, TBIL" in site.says("trace", "S-001", "week-4", "GGT", status=2)[1]
    assert "beside MELD" in site.says("trace", "S-001", "week-4", "MELD_NA", status=2)[1]
    assert trace(site.run.store, site.run.book, "S-404", "week-4", "ALT", NOW) is None


def test_every_formula_and_decision_has_its_sentence(site: Site):
    formulas = [a.formula for a in site.run.book.protocol.analytes.values() if a.derived]
    assert len(formulas) == 4
    assert [name for name in formulas if not knows(f"formula_{name}")] == []
    text = CHECKOUT.joinpath("adapter/model/received.py").read_text(encoding="utf-8")
    kinds = re.findall(r"^    ``(\w+)``  +\w", text, re.MULTILINE)
    assert {"map_code", "choose", "dismiss_item"} <= set(kinds)
    assert [kind for kind in kinds if not knows(f"decided_{kind}")] == []
    assert say("decided_map_code", {"source": "lis", "code": "X", "analyte": "ALT"}) == "lis: the code X is ALT."
