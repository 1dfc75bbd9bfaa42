"""The files of the mappings: what they give, and that another trial is other data."""

from __future__ import annotations

import shutil
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.mappings import load_codes, load_protocol, read_codes, read_protocol
from adapter.mappings.checks import breaks_check_digit
from adapter.mappings.problems import nearest
from adapter.rules.codes import suggest
from adapter.rules.units import convert, unit_row
from adapter.rules.values import says_no_result

MAPPINGS = Path(__file__).parents[1] / "mappings"
TRIAL = "nct06984497.toml"
PROTOCOL = load_protocol(MAPPINGS / TRIAL)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A copy of the shipped mappings, to be changed."""
    shutil.copytree(MAPPINGS, tmp_path / "mappings")
    return tmp_path / "mappings"


# --- what is shipped ----------------------------------------------------------------------------------------------


def test_the_shipped_protocol_is_the_trial() -> None:
    assert PROTOCOL.trial == "NCT06984497"
    assert PROTOCOL.timezone == "Asia/Shanghai"
    endpoints = ["ALT", "AST", "ALP", "TBIL", "ALB", "PT", "INR", "MELD", "CHILD_PUGH"]
    assert list(PROTOCOL.analytes) == [*endpoints, "CREA", "NA", "MELD_NA", "MELD_3_0"]
    assert [a.id for a in PROTOCOL.analytes.values() if a.supporting] == ["CREA", "NA", "MELD_NA", "MELD_3_0"]
    formulas = {a.id: a.formula for a in PROTOCOL.analytes.values() if a.derived}
    assert formulas == {
        "MELD": "MELD_UNOS",
        "CHILD_PUGH": "CHILD_PUGH",
        "MELD_NA": "MELD_NA",
        "MELD_3_0": "MELD_3_0",
    }
    assert [a.id for a in PROTOCOL.analytes.values() if a.dimensionless] == ["INR"]
    visits = [(v.id, v.target_day, v.before_days, v.after_days) for v in PROTOCOL.visits]
    assert visits == [("week-4", 28, 7, 7), ("week-12", 84, 14, 14), ("week-24", 168, 14, 14)]


def test_the_shipped_mappings_have_nothing_to_say_against_them() -> None:
    assert read_protocol(MAPPINGS / TRIAL)[1] == ()
    assert read_codes(MAPPINGS / "local/example-lis.toml", PROTOCOL)[1] == ()


def test_the_example_code_map_tells_the_three_rows_of_a_prothrombin_time_apart() -> None:
    rows = {row.code: row for row in load_codes(MAPPINGS / "local/example-lis.toml", PROTOCOL)}
    assert [rows[code].analyte for code in ("PT", "PTA", "INR")] == ["PT", None, "INR"]
    assert rows["PT"].unit == "s"
    assert rows["PT"].row == "example-lis.toml: PT"
    assert {row.analyte for row in rows.values()} == {
        None,
        *(a.id for a in PROTOCOL.analytes.values() if not a.derived),
    }


def test_loinc_notice_is_shipped_beside_the_codes() -> None:
    notice = " ".join((MAPPINGS / "LICENSE-LOINC.txt").read_text("utf-8").split())
    assert "LOINC is copyright © Regenstrief Institute, Inc." in notice
    assert "is available at no cost under the license at http://loinc.org/license." in notice
    assert "LOINC® is a registered United States trademark of Regenstrief Institute, Inc." in notice


def test_a_code_denied_for_two_analytes_stands_under_both() -> None:
    assert [(row.kind, row.analyte) for row in PROTOCOL.loinc["5894-1"]] == [("deny", "PT"), ("deny", "INR")]


@pytest.mark.parametrize(
    ("code", "name", "expected"),
    [
        ("", "谷丙转氨酶", "ALT"),
        ("GPT", "", "ALT"),
        ("", "天门冬氨酸氨基转移酶(AST)", "AST"),
        ("", "天门冬氨酸氨基转移酶/丙氨酸氨基转移酶", None),
        ("AST/ALT", "谷草/谷丙", None),
        ("", "血清总胆红素", "TBIL"),
        ("", "直接胆红素", None),
        ("", "间接胆红素", None),
        ("", "结合胆红素", None),
        ("", "白蛋白(溴甲酚绿法)", "ALB"),
        ("", "前白蛋白", None),
        ("", "尿微量白蛋白", None),
        ("", "白蛋白/球蛋白", None),
        ("", "尿白蛋白/肌酐", None),
        ("A/G", "白球比", None),
        ("", "★凝血酶原时间", "PT"),
        ("", "凝血酶时间", None),
        ("TT", "凝血酶时间测定", None),
        ("PTA", "凝血酶原活动度", None),
        ("PT%", "", None),
        ("", "凝血酶原时间活动度", None),
        ("", "凝血酶原时间比值", None),
        ("", "活化部分凝血活酶时间", None),
        ("PT-INR", "", "INR"),
        ("", "凝血酶原时间国际标准化比值", "INR"),
        ("", "肌酐(酶法)", None),  # two characters are too few to be a part of a name
        ("", "血清肌酐", "CREA"),
        ("", "内生肌酐清除率", None),
        ("", "尿肌酐", None),
        ("", "血清钠", "NA"),
        ("", "尿钠", None),
        ("", "Albumin [Mass/volume] in Serum or Plasma", "ALB"),
        ("", "Prealbumin", None),
        ("", "Creatinine clearance", None),
    ],
)
def test_what_names_suggest(code: str, name: str, expected: str | None) -> None:
    assert suggest(PROTOCOL, code, name) == expected


@pytest.mark.parametrize(
    "text",
    [
        "haemolysed",
        "Hemolyzed",
        "HEMOLYSIS",
        "Cancelled",
        "canceled",
        "QNS",
        "clotted",
        "not done",
        "Test not performed",
        "溶血",
        "标本溶血",
        "标本溶血，请重抽",
        "取消",
        "未做",
        "标本不合格",
        "凝固",
        "NOVALUE",
        "-",
        "---",
    ],
)
def test_texts_that_say_there_is_no_result(text: str) -> None:
    assert says_no_result(text, PROTOCOL)


@pytest.mark.parametrize(
    "text", ["0", "<5", "1,234", "60~120", "5 (haemolysed)", "see comment", "阳性", "Reactive", "H"]
)
def test_texts_that_do_not(text: str) -> None:
    assert not says_no_result(text, PROTOCOL)


@pytest.mark.parametrize(
    "text", ["BLD", "SER", "PLAS", "PPP", "119364003", "119361006", "122555007", "Serum", "血清", "血浆"]
)
def test_blood_serum_and_plasma(text: str) -> None:
    assert text.casefold() in PROTOCOL.specimens


@pytest.mark.parametrize(
    "text", ["UR", "CSF", "FLU", "PRT", "BLDCO", "122575003", "440500007", "Urine", "尿", "腹水", "尿血"]
)
def test_what_is_no_blood(text: str) -> None:
    assert text.casefold() not in PROTOCOL.specimens


# --- another trial is other data ----------------------------------------------------------------------------------

GGT = """
[analyte.GGT]
label = "Gamma-glutamyl transferase"
unit = "U/L"
hard_min = "0"
hard_max = "20000"
names = ["谷氨酰转肽酶"]
"""
GGT_CODES = """
[value_set.GGT]
accept = [{ code = "2324-2", name = "Gamma glutamyl transferase [Enzymatic activity/volume] in Serum or Plasma" }]
"""
MORE_UNITS = """
[[conversion]]
analytes = ["GGT"]
from = "U/L"
to = "U/L"
factor = "1"
source = "the unit itself"
example = { from = "40", to = "40" }

[[conversion]]
analytes = ["TBIL"]
from = "mg/dL"
to = "mg/dL"
factor = "1"
source = "the unit itself"
example = { from = "2.5", to = "2.5" }

[[conversion]]
analytes = ["TBIL"]
from = "mg/L"
to = "mg/dL"
factor = "0.1"
source = "1 dL = 0.1 L"
example = { from = "25", to = "2.5" }

[[alias]]
analytes = ["GGT"]
ucum = "U/L"
texts = ["单位/升"]
"""
SECOND_TRIAL = """
schema = 1
trial = "SECOND-TRIAL"
title = "Another trial on the same shared files"
timezone = "Europe/Berlin"
endpoints = ["GGT", "ALT", "TBIL"]

[files]
analytes = "analytes.toml"
loinc = "loinc.toml"
units = "units.toml"
results = "results.toml"
specimens = "specimens.toml"

[[visit]]
id = "year-1"
label = "A year"
target_day = 365
before_days = 30
after_days = 45

[[visit]]
id = "day-3"
label = "Day 3"
target_day = 3
before_days = 0
after_days = 1

[analyte.ALT]
hard_max = "5000"

[analyte.TBIL]
label = "Bilirubin"
unit = "mg/dL"
hard_min = "0"
hard_max = "90"
query_min = "0.1"
query_max = "40"
"""


@pytest.fixture
def second(files: Path) -> Path:
    """A second trial: an analyte, a visit, a unit and limits of its own, and no code."""
    for name, more in (("analytes.toml", GGT), ("loinc.toml", GGT_CODES), ("units.toml", MORE_UNITS)):
        with (files / name).open("a", encoding="utf-8") as file:
            file.write(more)
    (files / "second.toml").write_text(SECOND_TRIAL, "utf-8")
    return files / "second.toml"


def test_a_trial_whose_codes_have_no_conversion_is_told_so(second: Path) -> None:
    protocol, problems = read_protocol(second)
    assert protocol is None
    assert {p.place for p in problems} == {"value_set.TBIL.accept[1] (14631-6)", "value_set.TBIL.accept[3] (77137-8)"}
    assert "from umol/L to mg/dL" in problems[0].cause
    assert "add the conversion" in problems[0].remedy


def test_adding_an_analyte_a_visit_a_unit_and_limits_needs_data_alone(second: Path) -> None:
    with (second.parent / "units.toml").open("a", encoding="utf-8") as file:
        file.write(
            '[[conversion]]\nanalytes = ["TBIL"]\nfrom = "umol/L"\nto = "mg/dL"\nfactor = "0.0585"\n'
            'source = "584.66 g/mol"\nexample = { from = "100", to = "5.85" }\n'
        )
    protocol = load_protocol(second)
    assert list(protocol.analytes) == ["GGT", "ALT", "TBIL"]
    assert [v.id for v in protocol.visits] == ["day-3", "year-1"]
    assert [(row.kind, row.analyte) for row in protocol.loinc["2324-2"]] == [("accept", "GGT")]
    assert "5902-2" not in protocol.loinc
    assert unit_row("单位/升", protocol.analytes["GGT"], protocol) is not None
    assert unit_row("单位/升", protocol.analytes["ALT"], protocol) is None
    bilirubin = protocol.analytes["TBIL"]
    assert (bilirubin.label, bilirubin.unit, bilirubin.hard_max) == ("Bilirubin", "mg/dL", Decimal(90))
    assert {ucum: row.factor for ucum, row in bilirubin.units.items()} == {
        "mg/dL": Decimal(1),
        "mg/L": Decimal("0.1"),
        "umol/L": Decimal("0.0585"),
    }
    assert protocol.analytes["ALT"].hard_max == 5000
    assert protocol.analytes["ALT"].query_max == 2000
    assert load_protocol(second.parent / TRIAL).loinc["2324-2"][0].kind == "deny"


def test_molar_albumin_counts_where_a_trial_gives_the_molar_mass_and_enables_the_code(files: Path) -> None:
    with (files / "units.toml").open("a", encoding="utf-8") as file:
        file.write(
            '[[conversion]]\nanalytes = ["ALB"]\nfrom = "umol/L"\nto = "g/L"\nfactor = "0.0665"\n'
            'source = "66500 g/mol, this trial"\nexample = { from = "600", to = "39.9" }\n'
        )
    protocol = load_protocol(files / TRIAL, ["54347-0"])
    row = unit_row("μmol/L", protocol.analytes["ALB"], protocol)
    assert row is not None
    assert convert(Decimal(600), row) == Decimal("39.9")
    assert protocol.conditional_codes == {"54347-0"}


# --- the fingerprint ----------------------------------------------------------------------------------------------


def test_the_fingerprint_is_of_the_contents_and_not_of_the_place(files: Path) -> None:
    assert load_protocol(files / TRIAL).fingerprint == PROTOCOL.fingerprint


@pytest.mark.parametrize("file", [TRIAL, "analytes.toml", "loinc.toml", "units.toml", "results.toml", "specimens.toml"])
def test_every_file_is_in_the_fingerprint(files: Path, file: str) -> None:
    with (files / file).open("a", encoding="utf-8") as opened:
        opened.write("\n# looked through again\n")
    assert load_protocol(files / TRIAL).fingerprint != PROTOCOL.fingerprint


def test_enabled_codes_are_in_the_fingerprint_whatever_their_order() -> None:
    some = load_protocol(MAPPINGS / TRIAL, ["46417-2", "46418-0"])
    assert some.fingerprint == load_protocol(MAPPINGS / TRIAL, ["46418-0", "46417-2"]).fingerprint
    assert some.fingerprint != PROTOCOL.fingerprint


# --- code maps ----------------------------------------------------------------------------------------------------


def code_map(tmp_path: Path, text: str) -> Path:
    (tmp_path / "lis.toml").write_text(text, "utf-8")
    return tmp_path / "lis.toml"


def test_a_code_map_row_by_row(tmp_path: Path) -> None:
    path = code_map(
        tmp_path,
        '[[code]]\ncode = "1001"\nanalyte = "ALT"\nunit = "IU/L"\nname = "ALT"\n'
        '[[code]]\ncode = "1001"\nsystem = "OLD"\nignore = true\n',
    )
    one, other = load_codes(path, PROTOCOL)
    assert (one.code, one.analyte, one.system, one.unit, one.name) == ("1001", "ALT", None, "IU/L", "ALT")
    assert (other.analyte, other.system) == (None, "OLD")
    assert (one.row, other.row) == ("lis.toml: 1001", "lis.toml: 1001 (OLD)")


def test_an_empty_code_map_is_one(tmp_path: Path) -> None:
    assert load_codes(code_map(tmp_path, "# none yet\n"), PROTOCOL) == ()


def test_a_name_that_is_known_to_mean_something_else_is_a_warning(tmp_path: Path) -> None:
    path = code_map(tmp_path, '[[code]]\ncode = "X"\nanalyte = "PT"\nname = "凝血酶原活动度"\n')
    rows, problems = read_codes(path, PROTOCOL)
    assert rows is not None
    assert [(p.warning, p.place) for p in problems] == [(True, "code[1] (X).name")]


def test_a_code_map_that_is_not_there_is_a_problem_of_the_file_that_names_it(tmp_path: Path) -> None:
    rows, (problem,) = read_codes(tmp_path / "none.toml", PROTOCOL, asked_by="config.toml", place="source[1].codes")
    assert rows is None
    assert (problem.file, problem.place) == ("config.toml", "source[1].codes")


# --- the check digit, and nearest words ---------------------------------------------------------------------------


def check_digit(body: str) -> str:
    return next(d for d in "0123456789" if not breaks_check_digit(f"{body}-{d}"))


@given(body=st.from_regex("[1-9][0-9]{0,6}", fullmatch=True), data=st.data())
def test_the_check_digit_finds_every_mistyped_digit(body: str, data: st.DataObject) -> None:
    code = f"{body}-{check_digit(body)}"
    place = data.draw(st.integers(0, len(body) - 1))
    wrong = data.draw(st.sampled_from([d for d in "0123456789" if d != body[place]]))
    assert breaks_check_digit(f"{body[:place]}{wrong}{body[place + 1 :]}{code[-2:]}")


@given(body=st.from_regex("[1-9][0-9]{1,6}", fullmatch=True), data=st.data())
def test_the_check_digit_finds_neighbours_exchanged(body: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(body) - 2))
    pair = body[place : place + 2]
    exchanged = f"{body[:place]}{pair[::-1]}{body[place + 2 :]}-{check_digit(body)}"
    assert breaks_check_digit(exchanged) == (pair[0] != pair[1] and {*pair} != {"0", "9"})


def test_nearest_knows_no_case_and_does_not_guess_wildly() -> None:
    assert nearest("tbil", ["ALT", "TBIL"]) == "TBIL"
    assert nearest("zzzz", ["ALT", "TBIL"]) is None
