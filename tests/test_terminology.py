"""The mappings say what the terminology they were written from says, code by code, factor by factor.

The terminology is a file beside the checkout; without it these tests have nothing to compare with.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.mappings import load_protocol
from adapter.model import Analyte, Protocol, UnitRow
from adapter.rules.units import convert, unit_row

ROOT = Path(__file__).parents[1]
TERMINOLOGY = ROOT / "../shared/terminology.toml"
PROTOCOL = load_protocol(ROOT / "mappings/nct06984497.toml")
CONVERSIONS = [(a, row) for a in PROTOCOL.analytes.values() for row in a.units.values()]

with_terminology = pytest.mark.skipif(
    not TERMINOLOGY.is_file(), reason="there is no ../shared/terminology.toml beside the checkout to compare with"
)


def stated() -> dict[str, Any]:
    return (
        tomllib.loads(TERMINOLOGY.read_text("utf-8")) if TERMINOLOGY.is_file() else {"endpoint": [], "unit_alias": {}}
    )


STATED = stated()
EACH_ENDPOINT = pytest.mark.parametrize("endpoint", STATED["endpoint"], ids=lambda e: e["id"])


@with_terminology
def test_every_endpoint_is_an_analyte_and_every_measured_analyte_is_an_endpoint() -> None:
    assert {e["id"] for e in STATED["endpoint"]} == {a.id for a in PROTOCOL.analytes.values() if not a.derived}


@with_terminology
@EACH_ENDPOINT
@pytest.mark.parametrize("kind", ["accept", "conditional"])
def test_codes_that_are_the_analyte(endpoint: dict[str, Any], kind: str) -> None:
    expected = {(r["loinc"], r["name"], r["ucum"]) for r in endpoint.get(kind, [])}
    rows = [row for rows in PROTOCOL.loinc.values() for row in rows if row.analyte == endpoint["id"]]
    assert {(r.code, r.name, r.ucum) for r in rows if r.kind == kind} == expected


@with_terminology
@EACH_ENDPOINT
def test_codes_that_never_are_the_analyte(endpoint: dict[str, Any]) -> None:
    expected = {(r["loinc"], r["why"]) for r in endpoint["deny"]}
    rows = [row for rows in PROTOCOL.loinc.values() for row in rows if row.analyte == endpoint["id"]]
    assert {(r.code, r.why) for r in rows if r.kind == "deny"} == expected


@with_terminology
@EACH_ENDPOINT
def test_codes_to_be_confirmed_are_marked_and_their_axes_kept(endpoint: dict[str, Any]) -> None:
    sets = tomllib.loads((ROOT / "mappings/loinc.toml").read_text("utf-8"))["value_set"][endpoint["id"]]
    for kind in ("accept", "conditional", "deny"):
        written = {row["code"]: row for row in sets.get(kind, [])}
        for row in endpoint.get(kind, []):
            assert written[row["loinc"]].get("to_confirm", False) == (row["name_src"] == "M")
            for axis in ("system", "property", "method"):
                assert written[row["loinc"]].get(axis) == row.get(axis)


@with_terminology
@EACH_ENDPOINT
def test_units_and_factors(endpoint: dict[str, Any]) -> None:
    analyte = PROTOCOL.analytes[endpoint["id"]]
    expected = {row["ucum"]: Decimal(row["factor"]) for row in endpoint["unit"]}
    assert {ucum: row.factor for ucum, row in analyte.units.items()} == expected
    # The interface promises the unit `1` for INR, which to UCUM is what {INR} is.
    assert analyte.unit == ("1" if endpoint["id"] == "INR" else endpoint["canonical_unit"])


@with_terminology
@EACH_ENDPOINT
def test_limits(endpoint: dict[str, Any]) -> None:
    analyte = PROTOCOL.analytes[endpoint["id"]]
    for limit in ("hard_min", "hard_max", "query_min", "query_max"):
        assert str(getattr(analyte, limit)) == endpoint[limit]


@with_terminology
@EACH_ENDPOINT
def test_names_that_suggest(endpoint: dict[str, Any]) -> None:
    assert {*endpoint["zh_names"], *endpoint["local_aliases"]} <= set(PROTOCOL.analytes[endpoint["id"]].names)


@with_terminology
@pytest.mark.parametrize(("text", "ucum"), STATED["unit_alias"].items())
def test_unit_aliases(text: str, ucum: str) -> None:
    owners = [analyte for analyte in PROTOCOL.analytes.values() if ucum in analyte.units]
    assert owners
    assert [unit_row(text, analyte, PROTOCOL) for analyte in owners] == [analyte.units[ucum] for analyte in owners]


# --- what no terminology has to say: the arithmetic ---------------------------------------------------------------

_PREFIX = {
    "k": Fraction(1000),
    "": Fraction(1),
    "m": Fraction(1, 1000),
    "u": Fraction(1, 10**6),
    "n": Fraction(1, 10**9),
}
# Molar masses in g/mol from the formulas C33H36N4O6 and C4H7N3O (IUPAC 2021 abridged atomic weights).
_MOLAR_MASS = {
    "TBIL": Fraction("12.011") * 33 + Fraction("1.008") * 36 + Fraction("14.007") * 4 + Fraction("15.999") * 6,
    "CREA": Fraction("12.011") * 4 + Fraction("1.008") * 7 + Fraction("14.007") * 3 + Fraction("15.999"),
}
_BASE = {  # to mol/s for activities, mol for amounts, g for masses, s for times
    "U": (Fraction(1, 60 * 10**6), "mol/s"),
    "[IU]": (Fraction(1, 60 * 10**6), "mol/s"),
    "kat": (Fraction(1), "mol/s"),
    "mol": (Fraction(1), "mol"),
    "eq": (Fraction(1), "mol"),  # of a monovalent ion
    "g": (Fraction(1), "g"),
    "s": (Fraction(1), "s"),
}
_UNIT = re.compile(r"(?P<prefix>[kmun]?)(?P<base>U|\[IU\]|kat|mol|eq|g|s)(?:/(?P<below>[dm]?)L)?")


def _size(ucum: str) -> tuple[Fraction, str]:
    if ucum == "1" or re.fullmatch(r"\{\w+\}", ucum):
        return Fraction(1), "1"
    found = _UNIT.fullmatch(ucum)
    assert found, ucum
    size, dimension = _BASE[found["base"]]
    litres = {None: Fraction(1), "": Fraction(1), "d": Fraction(1, 10), "m": Fraction(1, 1000)}[found["below"]]
    return _PREFIX[found["prefix"]] * size / litres, dimension


@pytest.mark.parametrize(("analyte", "row"), CONVERSIONS, ids=lambda v: getattr(v, "id", None) or v.ucum)
def test_each_factor_follows_from_the_units_themselves(analyte: Analyte, row: UnitRow) -> None:
    size, dimension = _size(row.ucum)
    target, target_dimension = _size(analyte.unit)
    factor = Fraction(row.factor)
    if dimension == target_dimension:
        assert factor == size / target
    else:
        assert (dimension, target_dimension) == ("g", "mol")
        expected = size / _MOLAR_MASS[analyte.id] / target
        assert abs(factor / expected - 1) < Fraction(5, 10_000)


@pytest.mark.parametrize(("analyte", "row"), CONVERSIONS, ids=lambda v: getattr(v, "id", None) or v.ucum)
@given(number=st.decimals(-10_000, 10_000, places=4))
def test_there_and_back_is_exact(analyte: Analyte, row: UnitRow, number: Decimal) -> None:
    converted = convert(number, row)
    assert Fraction(converted) / Fraction(row.factor) == Fraction(number)
    assert (converted < 0) == (number < 0)


@pytest.mark.parametrize(
    ("analyte", "number", "unit", "expected"),
    [
        ("TBIL", "1.0", "mg/dL", "17.1040"),
        ("TBIL", "34.2", "umol/L", "34.2"),
        ("TBIL", "0", "mg/dL", "0"),
        ("CREA", "1", "mg/dL", "88.42"),
        ("ALB", "3.50", "g/dL", "35.0"),
        ("ALT", "0.5", "µkat/L", "30"),
        ("AST", "40", "IU/L", "40"),
        ("ALP", "90", "u/L", "90"),
        ("PT", "12.4", "秒", "12.4"),
        ("INR", "1.10", "{INR}", "1.10"),
        ("INR", "1.10", "1", "1.10"),
        ("INR", "1.10", "{ratio}", "1.10"),
        ("NA", "138", "mEq/L", "138"),
    ],
)
def test_worked_conversions(analyte: str, number: str, unit: str, expected: str) -> None:
    row = unit_row(unit, PROTOCOL.analytes[analyte], PROTOCOL)
    assert row is not None
    assert convert(Decimal(number), row) == Decimal(expected)


@pytest.mark.parametrize(
    ("analyte", "unit"),
    [
        ("PT", "%"),
        ("INR", "%"),
        ("INR", "s"),
        ("PT", "U/L"),
        ("TBIL", "IU/L"),  # only of enzymes
        ("ALB", "u/L"),
        ("ALB", "umol/L"),  # a protein has no one molar mass
        ("NA", "S"),
        ("CREA", "秒"),
        ("ALT", "mg/dL"),
        ("TBIL", "U MOL/L"),
        ("PT", "min"),
    ],
)
def test_units_that_are_not_known(analyte: str, unit: str) -> None:
    assert unit_row(unit, PROTOCOL.analytes[analyte], PROTOCOL) is None


def test_no_alias_holds_a_per_cent_sign_or_changes_under_composition() -> None:
    texts = [*PROTOCOL.unit_aliases, *(text for a in PROTOCOL.analytes.values() for text in a.unit_aliases)]
    assert len(texts) > 80
    assert not [text for text in texts if "%" in text]
    assert [unicodedata.normalize("NFC", text) for text in texts] == texts


def test_both_micro_signs_are_read() -> None:
    for micro in ("\u00b5", "\u03bc"):
        assert PROTOCOL.unit_aliases[f"{micro}mol/L"] == "umol/L"


def every_row(protocol: Protocol) -> list[str]:
    return [row.row for rows in protocol.loinc.values() for row in rows]


def test_every_row_of_the_value_sets_has_a_name_of_its_own() -> None:
    rows = every_row(PROTOCOL)
    assert len(set(rows)) == len(rows)
    assert "loinc.toml: TBIL accept 1975-2" in rows
