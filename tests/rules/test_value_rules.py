"""trial.md section 3: the value and the unit."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from laboratory import PROTOCOL, cell, reasons, reported, row, table, understood

from adapter.model import Coding, ReportedValue
from adapter.rules.units import convert, plain, unit_row
from adapter.rules.values import NoResult, Number, Unreadable, read_value


def value_of(text: str):
    return read_value(ReportedValue(text, text), PROTOCOL)


@pytest.mark.parametrize(
    ("text", "number", "comparator"),
    [
        ("35", "35", None),
        (" 35 ", "35", None),
        ("1.10", "1.10", None),
        ("<5", "5", "<"),
        ("< 5", "5", "<"),
        (">=1000", "1000", ">="),
        ("≤0.5", "0.5", "<="),
        ("≥7", "7", ">="),
        ("＜5", "5", "<"),
        ("﹥５．２", "5.2", ">"),
        ("１２", "12", None),
        ("=5", "5", None),
        ("+5", "5", None),
        ("0", "0", None),
        (".5", "0.5", None),
    ],
)
def test_a_number_with_an_optional_comparator_is_read(text, number, comparator):
    assert value_of(text) == Number(Decimal(number), comparator)


@pytest.mark.parametrize(
    "text",
    ["1,234", "12,5", "0 .07", "60~120", "1.2.3", "5.", "1e3", "<>5", "12 U/L", "阴性", "positive", "5-10", "١٢"],
)
def test_nothing_else_is_guessed_to_be_a_number(text):
    assert isinstance(value_of(text), Unreadable)


@pytest.mark.parametrize("text", ["", "Haemolysed", "HEMOLYZED", "cancelled", "溶血", "标本溶血，请重新采集", "QNS"])
def test_texts_that_say_there_is_no_result_are_not_done_and_not_reviewed(text):
    assert isinstance(value_of(text), NoResult)
    derived = table(result := understood(reported(text)))
    assert row(derived, result).outcome == "not_done"
    assert not derived.items


def test_an_unreadable_value_is_held_with_its_reason():
    derived = table(understood(reported("1,234")))
    assert reasons(derived) == ["unreadable_value"]
    assert (cell(derived).status, cell(derived).reason) == ("in_review", "unreadable_value")


def test_a_structured_value_that_is_no_single_number_is_unreadable():
    assert understood(reported(None)).reason == "unreadable_value"


def test_the_reported_text_and_its_decimals_are_kept():
    derived = table(result := understood(reported("35.10")))
    assert (cell(derived).value, row(derived, result).reported) == ("35.10", "35.10")


def test_a_comparator_stays_through_conversion():
    derived = table(understood(reported("<0.2", code="1975-2", unit="mg/dL")))
    assert (cell(derived, endpoint="TBIL").comparator, cell(derived, endpoint="TBIL").value) == ("<", "3.4208")


def test_conversion_is_exact_decimal_arithmetic_to_the_protocols_unit():
    derived = table(understood(reported("1.2", code="1975-2", unit="mg/dL")))
    found = cell(derived, endpoint="TBIL")
    assert (found.value, found.unit) == ("20.5248", "umol/L")


@pytest.mark.parametrize("unit", ["U/L", "IU/L", "u/L", "U/l", "[IU]/L"])
def test_an_enzymes_aliases_are_units_per_litre(unit):
    assert understood(reported(unit=unit)).number == Decimal(35)


@pytest.mark.parametrize("unit", ["umol/L", "µmol/L", "μmol/L", "UMOL/L", "umol/l"])
def test_both_mu_and_listed_spellings_are_micromoles(unit):
    assert understood(reported("12", code="14631-6", unit=unit)).number == Decimal(12)


def test_the_chinese_second_is_a_second():
    assert understood(reported("12.5", code="5902-2", unit="秒")).number == Decimal("12.5")


@pytest.mark.parametrize(
    ("code", "unit"),
    [
        ("14631-6", "UMOL"),
        ("1742-6", "mg/dL"),
        ("5902-2", "%"),
        ("6301-6", "%"),
        ("6301-6", "s"),
        ("14631-6", "IU/L"),
        ("1742-6", "u/l per day"),
        ("1751-7", "10⁹/L"),
    ],
)
def test_a_unit_of_another_dimension_or_unknown_is_held(code, unit):
    assert understood(reported("12", code=code, unit=unit)).reason == "unknown_unit"


def test_no_unit_is_held_as_missing_unit():
    assert understood(reported(unit="")).reason == "missing_unit"


def test_the_sources_code_map_can_state_the_unit_where_none_is_sent():
    assert understood(reported("12", code="TB", system="", unit="")).number == Decimal(12)
    assert understood(reported("1", code="TB", system="", unit="mg/dL")).number == Decimal("17.104")


def test_a_dimensionless_endpoint_needs_no_unit():
    assert understood(reported("1.1", code="6301-6", unit="")).kind == "value"


def test_the_unit_may_stand_in_the_second_part():
    assert understood(reported("12", code="14631-6", unit=("umol/L",))).number == Decimal(12)
    assert understood(reported("12", code="14631-6", unit=("17", "umol/L"))).number == Decimal(12)
    assert understood(reported("12", code="14631-6", unit=("mg/dL", "umol/L"))).reason == "unknown_unit"


def test_outside_the_hard_limits_is_implausible():
    derived = table(understood(reported("35000")))
    assert reasons(derived) == ["implausible_value"]
    assert cell(derived).value is None


def test_outside_the_query_limits_is_placed_with_a_flag():
    found = cell(table(understood(reported("2500"))))
    assert (found.value, found.flags) == ("2500", ("outside_query_limits",))


def test_a_limit_itself_is_inside():
    assert understood(reported("30000")).kind == "value"
    assert understood(reported("0")).kind == "value"


def test_a_true_zero_is_a_value():
    assert cell(table(understood(reported("0")))).value == "0"


def test_pt_in_per_cent_activity_is_not_pt_in_seconds():
    assert understood(reported("85", code="5894-1", unit="%")).kind == "ignored"
    assert understood(reported("85", code="5902-2", unit="%")).reason == "unknown_unit"


@given(
    st.decimals(allow_nan=False, allow_infinity=False, min_value=0, max_value=10**12, places=6),
    st.sampled_from([(a, u) for a in PROTOCOL.analytes.values() for u in a.units.values()]),
)
def test_conversion_there_and_back_is_the_same_number(number, pair):
    _, unit = pair
    assert Fraction(convert(number, unit)) / Fraction(unit.factor) == Fraction(number)


@given(st.text(max_size=20))
def test_every_text_is_a_number_no_result_or_unreadable(text):
    found = value_of(text)
    assert isinstance(found, Number | NoResult | Unreadable)
    if isinstance(found, Number):
        assert any(c.isdigit() for c in text)
        assert Decimal(plain(found.number)) == found.number


@given(st.text(max_size=8), st.sampled_from(list(PROTOCOL.analytes.values())))
def test_a_unit_is_known_or_not_and_never_raises(text, analyte):
    assert unit_row(text, analyte, PROTOCOL) is None or analyte.units


def test_two_codings_of_a_unit_do_not_confuse_a_result_with_its_specimen():
    assert understood(reported(specimens=[Coding("SER", "")])).number == Decimal(35)
