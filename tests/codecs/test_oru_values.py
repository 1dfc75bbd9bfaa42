"""The codes, the units and the values of one observation (OBX-3, OBX-6, OBX-5), in every data type that comes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.codecs.hl7v2 import Delimiters
from adapter.codecs.oru import read_results
from adapter.model import Coding, Reported, ReportedValue


def one(**fields: str) -> Reported:
    sent = [fields.get(f"f{n}", "") for n in range(1, 15)]
    message = "\r".join(("MSH|^~\\&|LIS", "PID|1||1", "|".join(["OBX", *sent])))
    return read_results(message, Delimiters(), "R01", "")[0].results[0]


def value(kind: str, sent: str) -> ReportedValue:
    return one(f2=kind, f5=sent).value


# --- codes and units ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "codings"),
    [
        ("1742-6^ALT^LN", [("1742-6", "ALT", "LN")]),
        ("GPT^ALT^99L^1742-6^ALT n^LN", [("GPT", "ALT", "99L"), ("1742-6", "ALT n", "LN")]),
        ("A^B^C^D^E^F^2.1^2.2^text^G^H^I^2.3", [("A", "B", "C"), ("D", "E", "F"), ("G", "H", "I")]),
        ("A^B^L^^^^^^^1742-6^ALT^LN", [("A", "B", "L"), ("1742-6", "ALT", "LN")]),
        ("5821-4^CREATININE^LN^CREA", [("5821-4", "CREATININE", "LN"), ("CREA", "", "")]),
        ("^^^1742-6^^LN", [("1742-6", "", "LN")]),
        ("^Albumin", [("", "Albumin", "")]),
        ("ALT", [("ALT", "", "")]),
        (" 1742-6 ^ ALT ^ LN ", [("1742-6", "ALT", "LN")]),
        ("a\\T\\b^x\\S\\y^99", [("a&b", "x^y", "99")]),
        ("~ALT^n^L", [("ALT", "n", "L")]),
        ("^^LN", []),
        ('""', []),
        ("", []),
    ],
)
def test_every_triplet_of_an_observation_identifier(sent: str, codings: list[tuple[str, str, str]]) -> None:
    assert one(f3=sent).codings == tuple(Coding(*c) for c in codings)


@pytest.mark.parametrize(
    ("sent", "units"),
    [
        ("U/L", ("U/L",)),
        ("^ug/L", ("ug/L",)),
        ("umol/L^micromole per liter^UCUM", ("umol/L", "micromole per liter")),
        ("1^单位^L^U/L^^UCUM", ("1", "单位", "U/L")),
        ("10\\S\\9/L", ("10^9/L",)),
        ("^^^^g/L", ("g/L",)),
        ("秒", ("秒",)),
        ('""', ()),
        (" ", ()),
        ("", ()),
    ],
)
def test_units_in_any_part_of_their_field(sent: str, units: tuple[str, ...]) -> None:
    assert one(f6=sent).units == units


# --- values -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["NM", "ST", "TX", "FT", "", "nm", "ST^x", '""'])
@pytest.mark.parametrize("sent", ["35", "<15", "0 .07", "1,234", "NOVALUE", "溶血", "35 U/L", "1.10", "a&b"])
def test_text_is_read_as_it_stands(kind: str, sent: str) -> None:
    assert value(kind, sent) == ReportedValue(sent, sent)


@pytest.mark.parametrize("kind", ["NM", "ST", "FT", "TX", "SN", "CWE", "ED", "XX", ""])
@pytest.mark.parametrize("sent", ["", '""', "~", '""~""', "   "])
def test_nothing_and_the_explicit_null_are_no_value(kind: str, sent: str) -> None:
    found = value(kind, sent)
    assert found.shown == ""
    assert found.plain == ""


@pytest.mark.parametrize(
    ("sent", "plain"),
    [
        ("35^", "35"),
        ("^35", "35"),
        ("35\\.br\\", "35"),
        ("\\.br\\ 35", "35"),
        ("35\\X0D\\", "35"),
        ("a\\.br\\b", "a\nb"),
        ("1\\R\\2", "1~2"),
    ],
)
def test_what_surrounds_one_text_is_not_of_it(sent: str, plain: str) -> None:
    assert value("FT", sent).plain == plain


@pytest.mark.parametrize("kind", ["NM", "ST", "SN", "CWE", "FT"])
@pytest.mark.parametrize("sent", ["60~120", "60~60", "~1~2", "1^2~3"])
def test_several_repetitions_are_not_one_value(kind: str, sent: str) -> None:
    found = value(kind, sent)
    assert (found.plain, found.fault) == (None, "several values in one field")


@pytest.mark.parametrize("kind", ["NM", "ST", "TX", ""])
@pytest.mark.parametrize("sent", ["35^U/L", "<^35", "1^2", "1^^^2"])
def test_several_components_are_not_one_text(kind: str, sent: str) -> None:
    assert value(kind, sent).plain is None


@pytest.mark.parametrize(
    ("sent", "plain", "shown"),
    [
        ("^200", "200", "200"),
        ("<^15", "<15", "<15"),
        (" >= ^ 100 ", ">=100", ">=100"),
        ("≤^5", "≤5", "≤5"),
        ("＜^5", "＜5", "＜5"),
        ("=^5", "=5", "=5"),
        ("200", "200", "200"),
        ("200^", "200", "200"),
        ("<15", "<15", "<15"),
        ("=", "=", "="),
        ("<^15^", "<15", "<15"),
        ("<>^15", "<>15", "<>15"),
        ("^1^:^8", None, "1 : 8"),
        ("^10^-^20", None, "10 - 20"),
        ("^2^+", None, "2 +"),
        ("^^/^8", None, "/ 8"),
        ("5^200", None, "5200"),
        ("1.^5", None, "1.5"),
        ("-^5", None, "-5"),
        ("+^5", None, "+5"),
        ("<1^5", None, "<15"),
        ("ca.^5", None, "ca.5"),
    ],
)
def test_a_structured_numeric_is_a_comparator_and_one_number(sent: str, plain: str | None, shown: str) -> None:
    found = value("SN", sent)
    assert (found.plain, found.shown) == (plain, shown)


@pytest.mark.parametrize("kind", ["CWE", "CE", "CNE", "CF", "CWE^^HL70125", "cwe"])
@pytest.mark.parametrize(
    ("sent", "plain", "shown"),
    [
        ("35", "35", "35"),
        ("35^35^L", "35", "35"),
        ("^<5", "<5", "<5"),
        ("^^^35^35^L", "35", "35"),
        ("^^^^^^^^35", "35", "35"),
        ("^^^^^^^^^35", "35", "35"),
        ("281274000^溶血^SCT", "溶血", "溶血"),
        ("TNP^Test not performed^L", "Test not performed", "Test not performed"),
        ("1^35^L", None, "35"),
        ("35^36", None, "36"),
        ("3^^^5", None, "3"),
        ("1^1:16^L", None, "1:16"),
    ],
)
def test_a_coded_value_is_one_text_or_plainly_words(kind: str, sent: str, plain: str | None, shown: str) -> None:
    found = value(kind, sent)
    assert (found.plain, found.shown) == (plain, shown)


@pytest.mark.parametrize("kind", ["ED", "RP"])
@pytest.mark.parametrize("sent", ["^TEXT^html^Base64^PGh0bWw+TGFu", "LIS^AP^Octet-stream^Base64^PGh0bWw+TGFu~x^y"])
def test_encapsulated_data_is_named_and_never_shown(kind: str, sent: str) -> None:
    found = value(kind, sent)
    assert found.plain is None
    assert found.fault == f"data type {kind} holds no number"
    assert found.shown.endswith("Base64")
    assert "PGh0bWw" not in repr(one(f2=kind, f5=sent))


def test_a_long_text_is_shown_in_part_and_read_whole() -> None:
    found = value("FT", "x" * 5000 + "5")
    assert found.shown == "x" * 200 + "…"
    assert found.plain == "x" * 5000 + "5"


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ("DT", "data type DT"),
        ("XPN", "data type XPN"),
        ("Lan Anren", "a data type that HL7 does not know"),
        ("数字", "a data type that HL7 does not know"),
    ],
)
def test_other_data_types_hold_no_number(kind: str, named: str) -> None:
    assert value(kind, "20260203") == ReportedValue("20260203", None, f"{named} holds no number")


@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"], exclude_characters="|^~\\&"), max_size=30))
def test_what_is_sent_as_text_is_what_is_read(sent: str) -> None:
    meant = "" if sent == '""' else sent
    assert value("ST", sent) == ReportedValue(meant, meant)


@given(st.text(st.sampled_from("0123456789.<>=+-^&~\\ "), max_size=12))
def test_the_digits_of_different_parts_never_meet(sent: str) -> None:
    for kind in ("NM", "ST", "SN", "CWE", "FT", ""):
        found = value(kind, sent)
        if found.plain is not None:
            assert all(run in sent for run in re.findall("[0-9]+", found.plain))
