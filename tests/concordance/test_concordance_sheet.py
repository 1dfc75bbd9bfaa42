"""The file as people save it: what is read, what is named with its line, and what is refused as a whole."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from concordance_samples import HEADER, PROTOCOL, sheet

from adapter.concordance import SheetError, read_sheet

GOOD = "S-001,week-4,ALT,40,U/L,2026-02-02"


def only(*rows: str, header: str = HEADER):
    found = sheet(*rows, header=header)
    assert found.bad_rows == ()
    (entry,) = found.entries
    return entry


def bad(*rows: str) -> list[tuple[int, str]]:
    return [(row.line, row.cause) for row in sheet(*rows).bad_rows]


def test_a_row_names_its_cell_its_number_its_unit_and_its_day():
    entry = only(GOOD)
    assert entry.cell == ("S-001", "week-4", "ALT")
    assert (entry.line, entry.number, entry.comparator, entry.unit) == (2, Decimal("40"), None, "U/L")
    assert entry.on == date(2026, 2, 2)


def test_decimals_are_kept_as_they_were_entered():
    assert only("S-001,week-4,INR,1.10,,").decimals == 2
    assert only("S-001,week-4,INR,1,,").decimals == 0


@pytest.mark.parametrize("visit", ["week-4", "Week 4", "WEEK-4", "week 4"])
def test_a_visit_is_named_by_its_id_or_its_label(visit: str):
    assert only(f"S-001,{visit},ALT,40,U/L,").cell[1] == "week-4"


@pytest.mark.parametrize(
    ("text", "number", "comparator"), [("＜５．１", "5.1", "<"), ("≥ 40", "40", ">="), ("=7", "7", None)]
)
def test_a_value_is_read_as_the_rules_read_it(text: str, number: str, comparator: str | None):
    entry = only(f"S-001,week-4,ALT,{text},U/L,")
    assert (entry.number, entry.comparator) == (Decimal(number), comparator)


@pytest.mark.parametrize("text", ["", "  ", "cancelled", "溶血"])
def test_an_empty_value_and_words_that_say_so_are_no_value(text: str):
    assert only(f"S-001,week-4,ALT,{text},U/L,").number is None


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-02-02", 2),
        ("2026-02-02T23:30", 2),
        ("2026-02-02 23:30:15", 2),
        ("2026-02-02T23:30:00+08:00", 2),
        ("2026-02-02T23:30:00Z", 3),
        ("2026-02-02T23:30:00.123-05:00", 3),
    ],
)
def test_a_time_is_of_the_trials_zone_unless_it_says_otherwise(text: str, day: int):
    assert only(f"S-001,week-4,ALT,40,U/L,{text}").on == date(2026, 2, day)


@pytest.mark.parametrize(
    "text", ["2026/2/2", "02.02.2026", "2026-2-2", "2026-02-30", "20260202", "２026-02-02", "0001-01-01T00:00+14:00"]
)
def test_another_date_is_refused_with_what_to_write(text: str):
    (row,) = sheet(f"S-001,week-4,ALT,40,U/L,{text}").bad_rows
    assert row.line == 2
    assert "date is no d" in row.cause
    assert "2026-02-02" in row.remedy


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_comma_semicolon_and_tab_are_told_by_the_header(separator: str, ending: str):
    text = ending.join(line.replace(",", separator) for line in (HEADER, GOOD, ""))
    found = read_sheet(b"\xef\xbb\xbf" + text.encode(), PROTOCOL, ["S-001"])
    assert [entry.number for entry in found.entries] == [Decimal(40)]


def test_columns_stand_in_any_order():
    entry = only("40,U/L,ALT,week-4,S-001,", header="value,unit,endpoint,visit,study_id,date")
    assert (entry.cell, entry.number) == (("S-001", "week-4", "ALT"), Decimal(40))


def test_separators_that_a_spreadsheet_adds_or_leaves_out_are_nothing():
    assert only("S-001,week-4,INR,1.1", header=HEADER + ",,").unit == ""
    assert only(GOOD + ",,", ",,,,,,").number == Decimal(40)


@pytest.mark.parametrize(
    ("row", "cause"),
    [
        ("S-404,week-4,ALT,40,U/L,", "study_id names nobody"),
        ("S-001,week-5,ALT,40,U/L,", "visit is none"),
        ("S-001,week-4,GGT,40,U/L,", "endpoint is none"),
        ("S-001,week-4,MELD_NA,20,,", "endpoint is none"),
        ("S-001,week-4,ALT,about 40,U/L,", "value cannot be read"),
        ('S-001,week-4,ALT,"1,234",U/L,', "value cannot be read"),
        ("S-001,week-4,TBIL,2,1,mg/dL,2026-02-02", "more fields"),
        ('S-001,week-4,ALT,"40,U/L,', "this is no row of CSV"),
        ('S-001,"week"-4,ALT,40,U/L,', "this is no row of CSV"),
        ("S-001,week-4,ALT,40,U/L\x1b[2J,", "unit is no unit"),
        (f"S-001,week-4,ALT,40,{'x' * 41},", "unit is no unit"),
    ],
)
def test_a_bad_row_is_named_with_its_line_and_the_others_go_on(row: str, cause: str):
    found = sheet("S-001,week-4,AST,30,U/L,", row, GOOD.replace("week-4", "week-12"))
    assert [entry.line for entry in found.entries] == [2, 4]
    (problem,) = found.bad_rows
    assert problem.line == 3
    assert cause in problem.cause
    assert problem.remedy


def test_everything_that_is_wrong_with_the_names_of_a_row_is_said_at_once():
    assert [line for line, _ in bad("S-404,week-5,GGT,40,U/L,")] == [2, 2, 2]


def test_what_a_bad_row_holds_is_not_repeated():
    """A shifted column may hold a name."""
    secret = "Zhang-San"
    rows = (f"{secret},{secret},{secret},{secret},{secret},{secret}", f"S-001,week-4,ALT,{secret},U/L,{secret}")
    said = " ".join(map(str, sheet(*rows).bad_rows))
    assert said
    assert secret not in said


def test_a_cell_that_stands_twice_is_named_at_both_lines_and_not_compared():
    found = sheet(GOOD, "S-001,week-4,AST,30,U/L,", GOOD.replace("40", "41"))
    assert [(row.line, row.cause) for row in found.bad_rows] == [
        (2, "S-001 week-4 ALT stands on line 4 too"),
        (4, "S-001 week-4 ALT stands on line 2 too"),
    ]
    assert [entry.cell[2] for entry in found.entries] == ["AST"]
    assert found.unusable == {("S-001", "week-4", "ALT")}


def test_a_repeated_row_counts_where_the_other_cannot_be_read():
    assert [line for line, cause in bad(GOOD, GOOD.replace("40", "forty")) if "stands on" in cause] == [2, 3]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "header is missing"),
        (b"S-001,week-4,ALT,40,U/L,2026-02-02", "header is missing"),
        (HEADER.replace("unit", "arm").encode(), "no column 'arm'"),
        (HEADER.removesuffix(",date").encode(), "lacks date"),
        ((HEADER + ",unit").encode(), "twice"),
        (HEADER.encode("utf-16"), "UTF-8"),
        (f"{HEADER}\nS-001,week-4,PT,12,秒,".encode("gb18030"), "UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_says_why_and_what_to_do(content: bytes, said: str):
    with pytest.raises(SheetError, match=said) as refused:
        read_sheet(content, PROTOCOL, ["S-001"])
    assert "S-001" not in str(refused.value)
