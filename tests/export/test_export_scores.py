"""RS and SUPPRS by SDTMIG 3.4: what was computed, from what was assessed, and why it was not."""

from __future__ import annotations

import re
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

from adapter.export import scores
from adapter.model import Assessment
from tests.export.exporting import PERSON, datasets, rows, state_of
from tests.rules.laboratory import INFUSED_ON, on, reported, understood

PANEL = (
    ("1975-2", "3.5", "mg/dL"),
    ("6301-6", "1.5", "1"),
    ("2160-0", "1.8", "mg/dL"),
    ("2951-2", "131", "mmol/L"),
    ("1751-7", "3.0", "g/dL"),
)


def panel(*, without: str = "", day: int = 28):
    return [
        understood(reported(value, code=code, unit=unit, taken=on(day, "0800"), order=f"filler:{code}"), message=code)
        for code, value, unit in PANEL
        if code != without
    ]


def assessed(**items: str) -> Assessment:
    return Assessment(PERSON.study_id, INFUSED_ON + timedelta(days=29), **items)


def at_week_4(state, category: str):
    return {r["RSTESTCD"]: r for r in rows(state, "RS") if (r["RSCAT"], r["VISITNUM"]) == (category, 1)}


def test_meld_is_a_derived_record_with_its_formula():
    state = state_of(*panel())
    (row,) = at_week_4(state, "MELD").values()
    assert (row["RSTESTCD"], row["RSTEST"]) == ("MELD0101", "MELD01-Score")
    assert (row["RSSTRESC"], row["RSSTRESN"]) == ("21", Decimal(21))  # the published case M002
    assert (row["RSDRVFL"], row["RSORRES"], row["RSSTAT"]) == ("Y", None, None)
    assert (row["RSDTC"], row["RSDY"], row["VISITDY"]) == ("2026-02-02", 29, 29)
    told = {q["QNAM"]: q["QVAL"] for q in rows(state, "SUPPRS") if q["IDVARVAL"] == str(row["RSSEQ"])}
    assert told == {"RSFORM": "MELD_UNOS", "RSNODIAL": "Y"}


def test_the_other_formulas_stand_beside_it_under_names_of_the_trials_own():
    state = state_of(*panel())
    assert at_week_4(state, "MELD-NA OPTN 2016")["MELDNA"]["RSSTRESC"] == "25"  # the published case MN001
    assert at_week_4(state, "MELD 3.0")["MELD30"]["RSDRVFL"] == "Y"


def test_child_pugh_has_its_points_its_total_and_its_class():
    state = state_of(*panel(), assessments=[assessed(ascites="mild", encephalopathy="none")])
    found = at_week_4(state, "CHILD-PUGH CLASSIFICATION")
    assert {code: row["RSSTRESC"] for code, row in found.items()} == {
        "CPS0101": "1",
        "CPS0102": "2",
        "CPS0103": "3",
        "CPS0104": "2",
        "CPS0105B": "1",
        "CPS0106": "9",
        "CPS0107": "B",
    }
    assert found["CPS0107"]["RSSTRESN"] is None
    assert len({row["RSGRPID"] for row in found.values()}) == 1


def test_what_a_clinician_assessed_is_collected_and_dated_as_that():
    state = state_of(*panel(), assessments=[assessed(ascites="mild", encephalopathy="none")])
    found = at_week_4(state, "CHILD-PUGH CLASSIFICATION")
    ascites, bilirubin = found["CPS0102"], found["CPS0103"]
    assert (ascites["RSORRES"], ascites["RSDRVFL"], ascites["RSEVAL"]) == ("MILD", None, "INVESTIGATOR")
    assert (ascites["RSDTC"], ascites["RSDY"]) == ("2026-02-03", 30)
    assert (bilirubin["RSORRES"], bilirubin["RSDRVFL"], bilirubin["RSEVAL"]) == (None, "Y", None)
    assert bilirubin["RSDTC"] == "2026-02-02T08:00+08:00"


def test_a_score_that_could_not_be_computed_is_not_done_with_its_reason():
    state = state_of(*panel(without="2160-0"))
    (row,) = at_week_4(state, "MELD").values()
    assert (row["RSSTAT"], row["RSSTRESC"], row["RSDTC"]) == ("NOT DONE", None, None)
    assert row["RSREASND"] == "Not computed (missing_input: CREA)."
    (row,) = at_week_4(state, "CHILD-PUGH CLASSIFICATION").values()
    assert row["RSREASND"] == "Not computed (missing_input: ascites, encephalopathy)."


def test_a_score_whose_window_is_open_is_no_record():
    assert rows(state_of(*panel(without="2160-0"), today=date(2026, 2, 3)), "RS") == []


def test_a_score_that_the_laboratory_reported_is_collected_beside_the_computed_one():
    sent = understood(reported("20", code="44760-7", unit="{score}", taken=on(28), order="filler:M"), message="M")
    found = [r for r in rows(state_of(*panel(), sent), "RS") if (r["RSTESTCD"], r["VISITNUM"]) == ("MELD0101", 1)]
    assert [(r["RSORRES"], r["RSSTRESC"], r["RSDRVFL"]) for r in found] == [(None, "21", "Y"), ("20", "20", None)]


def test_scores_are_no_laboratory_tests():
    sent = understood(reported("20", code="44760-7", unit="{score}", taken=on(28), order="filler:M"), message="M")
    assert {r["LBCAT"] for r in datasets(state_of(*panel(), sent))["LB"].rows} == {"CHEMISTRY", "COAGULATION"}


def test_every_remark_on_a_score_has_a_qualifier():
    rules = (Path(__file__).parents[2] / "adapter/rules/scores.py").read_text(encoding="utf-8")
    said = {*re.findall(r'flags\.append\("(\w+)"\)', rules), *re.findall(r'^_NOT_\w+ = "(\w+)"', rules, re.MULTILINE)}
    assert said == set(scores.FLAGS)
    for name, label in (scores.FORMULA, *scores.FLAGS.values()):
        assert re.fullmatch("[A-Z][A-Z0-9]{0,7}", name)
        assert len(label) <= 40
