"""trial.md section 2: the endpoint."""

from __future__ import annotations

from dataclasses import replace

import pytest
from laboratory import LIS, PROTOCOL, cell, reasons, reported, row, table, understood

from adapter.model import CodeRow, Coding
from adapter.rules.codes import suggest


@pytest.mark.parametrize("system", ["LN", "LOINC", "loinc", "2.16.840.1.113883.6.1", "http://loinc.org"])
def test_loinc_is_known_by_any_of_its_names(system):
    assert understood(reported(system=system)).analyte == "ALT"


def test_loinc_counts_in_the_alternate_triplet_as_well():
    both = [Coding("00321", "谷丙转氨酶", "L"), Coding("1742-6", "", "LN")]
    assert understood(reported(codings=both)).analyte == "ALT"


def test_a_code_on_the_not_this_list_is_ignored_without_review():
    result = understood(reported("12", code="1968-7", unit="umol/L"))
    derived = table(result)
    assert derived.ignored == {result.origin.inbox_id: {"not_an_endpoint": 1}}
    assert not derived.items
    assert not derived.results


def test_any_other_loinc_code_is_ignored_without_review():
    assert not table(understood(reported(code="2345-7", unit="mg/dL"))).items


def test_a_conditional_code_that_is_not_enabled_is_one_unmapped_code():
    result = understood(reported(code="1783-0"))
    assert (result.reason, result.could_be) == ("unmapped_code", ("ALP",))


def test_a_conditional_code_counts_where_the_setting_enables_it():
    enabled = replace(PROTOCOL, conditional_codes=frozenset({"1783-0"}))
    assert understood(reported(code="1783-0"), protocol=enabled).analyte == "ALP"


def test_a_conditional_code_can_be_mapped_by_a_person():
    decided = [CodeRow("1783-0", "ALP", system="LN")]
    assert understood(reported(code="1783-0"), decided=decided).analyte == "ALP"


def test_a_local_code_is_mapped_by_code_exactly():
    assert understood(reported(code="ALT", system="")).analyte == "ALT"
    assert understood(reported(code="alt", system="")).reason == "unmapped_code"
    assert understood(reported(code="ALT ", system="")).reason == "unmapped_code"


def test_names_are_never_matched_automatically():
    held = understood(reported(code="X9", name="Alanine aminotransferase ALT 丙氨酸氨基转移酶", system="L"))
    assert (held.reason, held.could_be) == ("unmapped_code", ("ALT",))


def test_loinc_and_the_local_map_in_disagreement_are_a_code_conflict():
    held = understood(reported(codings=[Coding("ALT", "", "L"), Coding("1920-8", "", "LN")]))
    assert (held.reason, held.could_be) == ("code_conflict", ("ALT", "AST"))
    denied = understood(reported(codings=[Coding("TB", "", "L"), Coding("1968-7", "", "LN")]))
    assert (denied.reason, denied.could_be) == ("code_conflict", ("TBIL",))
    dismissed = understood(reported(codings=[Coding("GGT", "", "L"), Coding("1742-6", "", "LN")]))
    assert dismissed.reason == "code_conflict"


def test_an_unknown_local_code_beside_a_mapped_loinc_code_is_no_item():
    assert not reasons(table(understood(reported(codings=[Coding("ZZ", "", "L"), Coding("1742-6", "", "LN")]))))


def test_a_row_of_the_code_map_that_names_a_system_asks_for_both_to_be_equal():
    assert understood(reported("35", code="7001", system="99LAB", unit="g/L")).analyte == "ALB"
    assert understood(reported("35", code="7001", system="99XXX", unit="g/L")).reason == "unmapped_code"
    assert understood(reported("35", code="7001", system="", unit="g/L")).reason == "unmapped_code"


def test_a_dismissed_local_code_is_ignored_by_that_rule():
    result = understood(reported(code="GGT", system="L"))
    assert table(result).ignored == {result.origin.inbox_id: {"dismissed_code": 1}}


def test_what_a_person_mapped_wins_over_the_file():
    assert understood(reported(code="ALT", system=""), decided=[CodeRow("ALT", "AST")]).analyte == "AST"
    assert understood(reported(code="ALT", system=""), decided=[CodeRow("ALT", None)]).kind == "ignored"


@pytest.mark.parametrize(
    "specimen",
    [Coding("SER", "Serum"), Coding("119364003", "", "SCT"), Coding("PLAS"), Coding("", "血清"), Coding("01", "血浆")],
)
def test_blood_serum_and_plasma_are_the_right_specimens(specimen):
    assert understood(reported(specimens=[specimen])).kind == "value"


@pytest.mark.parametrize("specimen", [Coding("UR", "Urine"), Coding("ASC", "腹水"), Coding("", "CSF")])
def test_any_other_specimen_is_held_as_wrong_specimen(specimen):
    result = understood(reported(specimens=[specimen]))
    derived = table(result)
    assert (row(derived, result).outcome, reasons(derived)) == ("held", ["wrong_specimen"])
    assert cell(derived).status == "in_review"


def test_a_wrong_specimen_of_a_code_that_is_no_endpoints_is_no_review():
    assert not table(understood(reported(code="2345-7", specimens=[Coding("UR", "Urine")]))).items


@pytest.mark.parametrize(
    ("name", "analyte"),
    [
        ("丙氨酸氨基转移酶", "ALT"),
        ("★谷草转氨酶(AST)", "AST"),
        ("总胆红素", "TBIL"),
        ("直接胆红素", None),
        ("白蛋白", "ALB"),
        ("前白蛋白", None),
        ("凝血酶原时间", "PT"),
        ("凝血酶时间", None),
        ("凝血酶原活动度", None),
        ("国际标准化比值", "INR"),
        ("葡萄糖", None),
    ],
)
def test_a_suggestion_tells_names_apart_that_contain_each_other(name, analyte):
    assert suggest(PROTOCOL, "9", name) == analyte


def test_two_local_codes_that_mean_different_things_are_a_conflict():
    codes = [Coding("ALT", "", "L"), Coding("TB", "", "L")]
    assert understood(reported(codings=codes), source=LIS).reason == "code_conflict"


def test_a_loinc_code_of_the_not_this_list_beside_one_that_is_accepted_is_a_conflict():
    """Total bilirubin by one code, direct by the other: neither may be believed."""
    codes = [Coding("1975-2", "", "LN"), Coding("1968-7", "", "LN")]
    for pair in (codes, codes[::-1]):
        held = understood(reported("12", codings=pair, unit="umol/L"))
        assert (held.reason, held.could_be) == ("code_conflict", ("TBIL",))


def test_two_loinc_codes_of_different_endpoints_are_a_conflict():
    codes = [Coding("1742-6", "", "LN"), Coding("1920-8", "", "LN")]
    assert understood(reported(codings=codes)).could_be == ("ALT", "AST")


def test_a_loinc_code_of_another_endpoints_not_this_list_takes_nothing_away():
    codes = [Coding("1742-6", "", "LN"), Coding("1968-7", "", "LN")]
    assert understood(reported(codings=codes)).analyte == "ALT"


def test_what_is_asked_is_the_code_that_can_be_mapped():
    held = understood(reported(codings=[Coding("", "谷丙", "L"), Coding("X9", "", "99LAB")]))
    assert (held.reason, held.code.code) == ("unmapped_code", "X9")


def test_a_name_under_loinc_without_a_code_is_shown_to_the_coordinator():
    held = understood(reported(code="", name="Alanine aminotransferase", system="LN"))
    assert (held.reason, held.code.name, held.could_be) == ("unmapped_code", "Alanine aminotransferase", ("ALT",))
