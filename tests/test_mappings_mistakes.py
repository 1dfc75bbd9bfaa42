"""What is said of each mistake in the mappings: file, place, cause, remedy, and all of them at once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from adapter.mappings import MappingError, Problem, load_codes, load_protocol, read_protocol
from adapter.mappings.checks import breaks_check_digit

MAPPINGS = Path(__file__).parents[1] / "mappings"
TRIAL = "nct06984497.toml"
PROTOCOL = load_protocol(MAPPINGS / TRIAL)

Edit = Callable[[str, str, str], None]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A copy of the shipped mappings, to be changed."""
    shutil.copytree(MAPPINGS, tmp_path / "mappings")
    return tmp_path / "mappings"


@pytest.fixture
def edit(files: Path) -> Edit:
    def change(file: str, old: str, new: str) -> None:
        text = (files / file).read_text("utf-8")
        assert text.count(old) >= 1, f"{old!r} is not in {file}"
        (files / file).write_text(text.replace(old, new, 1), "utf-8")

    return change


def problems_of(files: Path, conditional_codes: tuple[str, ...] = ()) -> tuple[Problem, ...]:
    return read_protocol(files / TRIAL, conditional_codes)[1]


# --- the files of a protocol --------------------------------------------------------------------------------------

MASS = "conversion[8] (mg/dL to umol/L)"
MISTAKES = [
    # file, what stands there, what is written instead, place, cause, remedy
    (TRIAL, "\nschema = 1", "\nschema = 2", "schema", "grammar 2 is not known", "schema = 1"),
    (TRIAL, "title = ", "titel = ", "titel", "not a known key", 'write "title"'),
    (TRIAL, 'trial = "NCT06984497"', "", "trial", "is missing", "add trial = ..."),
    (TRIAL, '"Asia/Shanghai"', '"Asia/Shanghia"', "timezone", "'Asia/Shanghia' is not a time zone", "IANA"),
    (TRIAL, '"ALT", "AST"', '"ALT", "ATS"', "endpoints", '"ATS" is not in the analytes file', 'write "AST"?'),
    (TRIAL, '["CREA", "NA"]', '["CREA", "ALT"]', "supporting", '"ALT" is listed twice', "once"),
    (TRIAL, '"units.toml"', '"unit.toml"', "files.units", "cannot be read: no such file", "path of a file"),
    (TRIAL, "target_day = 28", 'target_day = "28"', "visit[1].target_day", "'28' is not a bare whole number", "bare"),
    (TRIAL, "target_day = 28", "target_day = 28.5", "visit[1].target_day", "28.5 is not a bare whole number", "bare"),
    (TRIAL, "before_days = 7", "before_days = -7", "visit[1].before_days", "-7 is not from 0 to 10000", "from 0"),
    (TRIAL, "after_days = 7", "after_day = 7", "visit[1].after_day", "not a known key", 'write "after_days"'),
    (TRIAL, 'id = "week-12"', 'id = "week-4"', "visit", 'the id "week-4" is used twice', "its own id"),
    (TRIAL, 'id = "week-12"', 'id = "Week 12"', "visit[2].id", "'Week 12' is not small letters", "small letters"),
    (TRIAL, "target_day = 84", "target_day = 28", "visit", "same target, day 28", "its own target_day"),
    (TRIAL, 'meld = "MELD_UNOS"', 'meld = "MELD"', "scores.meld", "should be", "correct it"),
    (TRIAL, 'clotting = "INR"', 'clotting = "PT"', "scores", "pt_control go together", 'pt_control = "12.0"'),
    (TRIAL, "max_days_apart = 2", 'pt_control = "12.0"', "scores", "pt_control go together", "else neither"),
    (TRIAL, 'supporting = ["CREA", "NA"]', 'supporting = ["NA"]', "scores", "computed from CREA", "add CREA"),
    (TRIAL, '"PT", "INR", "MELD", "CHILD_PUGH"]', '"PT", "MELD"]', "scores", "computed from INR", "add INR"),
    (TRIAL, '"CHILD_PUGH"]', '"MELD_NA"]', "endpoints", "no formula of that name", "write MELD or CHILD_PUGH"),
    (TRIAL, "endpoints = [", "endpoints = []\nx = [", "endpoints", "is empty", "at least one"),
    ("analytes.toml", 'hard_min = "0"', "hard_min = 0.5", "analyte.ALT.hard_min", "0.5 is a bare number", '"0.5"'),
    ("analytes.toml", 'hard_min = "0"', "hard_min = 0", "analyte.ALT.hard_min", "0 is a bare number", '"0"'),
    ("analytes.toml", 'hard_min = "0"', 'hard_min = "0,5"', "analyte.ALT.hard_min", "'0,5' is not a decimal", "point"),
    ("analytes.toml", 'hard_min = "0"', 'hard_min = "1e3"', "analyte.ALT.hard_min", "'1e3' is not a decimal", "digits"),
    ("analytes.toml", 'hard_max = "30000"', 'hard_max = "100"', "analyte.ALT", "query_max = 2000 is above", "order"),
    ("analytes.toml", 'query_min = "3"', 'query_min = "-1"', "analyte.ALT", "hard_min = 0 is above query_min", "order"),
    ("analytes.toml", '"SGPT"', '"AST"', "analyte.AST.names", '"AST" is a name of ALT too', "leave it"),
    ("analytes.toml", '"SGPT"', '"GGT"', "analyte.ALT.not_names", '"ggt" is among the names too', "one of the two"),
    ("analytes.toml", '"SGPT"', '" SGPT"', "analyte.ALT.names[7]", "has blanks around it", "take them away"),
    ("analytes.toml", "[analyte.ALT]", "[analyte.Alt]", "analyte.Alt", "'Alt' is not capitals", "capitals"),
    ("analytes.toml", 'unit = "1"', 'unit = "{INR}"', "analyte.INR.unit", "though dimensionless", 'unit = "1"'),
    ("analytes.toml", "derived = true", "derived = 1", "analyte.MELD.derived", "1 is not true or false", "true"),
    ("loinc.toml", "[value_set.ALT]", "[value_set.ALAT]", "value_set.ALAT", "not in the analytes file", '"ALT"?'),
    ("loinc.toml", '"1920-8"', '"1742-6"', "value_set.AST.accept[1] (1742-6)", "accepted for ALT too", "one analyte"),
    ("loinc.toml", '"76625-3"', '"1742-6"', "value_set.ALT.conditional[1] (1742-6)", "accept[1] already", "keep one"),
    ("loinc.toml", '"2324-2"', '"1742-6"', "value_set.ALT.deny[3] (1742-6)", "accept[1] already", "keep one"),
    ("loinc.toml", '"1742-6"', '"1742 6"', "value_set.ALT.accept[1].code", "'1742 6' is not a LOINC code", "1742-6"),
    ("loinc.toml", ', why = "GGT"', "", "value_set.ALT.deny[3].why", "is missing", "add why"),
    ("loinc.toml", 'ucum = "U/L"', 'ucum = "mg/dL"', "value_set.ALT.accept[1] (1742-6)", "from mg/dL to U/L", "add"),
    ("units.toml", 'factor = "17.104"', "factor = 17.104", "conversion[8].factor", "17.104 is a bare", '"17.104"'),
    ("units.toml", 'factor = "17.104"', 'factor = "-1"', f"{MASS}.factor", "not above 0", "write"),
    ("units.toml", 'factor = "17.104"', 'factor = "0"', f"{MASS}.factor", "not above 0", "write"),
    ("units.toml", 'factor = "17.104"', 'factor = "17.1"', f"{MASS}.example",
     "2.5 x 17.1 is 42.75, not 42.76", "correct the factor or the example"),
    ("units.toml", 'factor = "1"', 'factor = "2"', "conversion[1] (U/L to U/L).factor", "2 of itself", 'factor = "1"'),
    ("units.toml", 'from = "nkat/L"', 'from = "ukat/L"', "conversion[4] (ukat/L to U/L)", "conversion[3]", "keep one"),
    ("units.toml", 'analytes = ["TBIL"]', 'analytes = ["TBILI"]', "conversion[6] (umol/L to umol/L).analytes",
     '"TBILI" is not in the analytes file', 'write "TBIL"?'),
    ("units.toml", 'from = "s"', 'from = "ms"', "conversion", "from its unit s to itself", 'from = "s" to = "s"'),
    ("units.toml", 'source = "the unit itself"', "", "conversion[1].source", "is missing", "add source"),
    ("units.toml", 'ucum = "umol/L"', 'ucum = "umoll/L"', "alias[1] (umoll/L).ucum", "lead nowhere", '"umol/L"?'),
    ("units.toml", 'analytes = ["PT"]\nucum = "s"', 'analytes = ["ALB"]\nucum = "s"', "alias[15] (s).ucum",
     "no conversion of ALB starts from s", "write one of"),
    ("units.toml", '"mmol/l"', '"umol/l"', "alias[2] (mmol/L).texts", '"umol/l" is an alias of umol/L', "keep the one"),
    ("units.toml", '"mmol/l"', '"g/L"', "alias[2] (mmol/L).texts", "itself a unit that is known", "remove it"),
    ("units.toml", '"mmol/l"', '"A\u030a"', "alias[2] (mmol/L).texts", "is not in NFC", "composed"),
    ("units.toml", "texts = [", "texts = []\nx = [", "alias[1].texts", "is empty", "at least one"),
    ("results.toml", '"qns"', '"0"', "words[9]", '"0" holds a digit', "remove it"),
    ("results.toml", '"tnp"', '"< 5"', "texts[15]", '"< 5" holds a digit', "remove it"),
    ("specimens.toml", '"119297000"', '"119-297"', "specimen[1].snomed[1]", "'119-297' is not a SNOMED", "digits"),
    ("specimens.toml", "hl7 = [", "codes = [", "specimen[1].codes", "not a known key", "hl7"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("file", "old", "new", "place", "cause", "remedy"),
    MISTAKES,
    ids=[f"{m[0]}-{m[3]}-{m[2].strip()}" for m in MISTAKES],
)
def test_each_mistake_is_named_with_file_place_cause_and_remedy(
    files: Path, edit: Edit, file: str, old: str, new: str, place: str, cause: str, remedy: str
) -> None:
    edit(file, old, new)
    protocol, problems = read_protocol(files / TRIAL)
    assert protocol is None
    found = [p for p in problems if p.place == place and cause in p.cause]
    assert found, "\n".join(map(str, problems))
    assert found[0].file == str(files / file)
    assert remedy in found[0].remedy
    assert not found[0].warning
    with pytest.raises(MappingError) as raised:
        load_protocol(files / TRIAL)
    assert raised.value.problems == problems
    assert str(found[0]) in str(raised.value)


def test_all_mistakes_of_all_files_are_told_at_once(files: Path, edit: Edit) -> None:
    edit(TRIAL, 'id = "week-12"', 'id = "week-4"')
    edit("analytes.toml", 'hard_max = "30000"', 'hard_max = "100"')
    edit("loinc.toml", '"1920-8"', '"1742-6"')
    edit("units.toml", 'factor = "17.104"', "factor = 17.104")
    edit("units.toml", 'factor = "88.42"', "factor = 88.42")
    edit("results.toml", '"qns"', '"0"')
    edit("specimens.toml", '"119297000"', '"x"')
    problems = problems_of(files)
    assert {Path(p.file).name for p in problems} == {TRIAL, *(f"{n}.toml" for n in
            ("analytes", "loinc", "units", "results", "specimens"))}  # fmt: skip
    assert len([p for p in problems if "bare number" in p.cause]) == 2


def test_a_unit_of_the_trial_alone_needs_its_limits_in_that_unit(files: Path) -> None:
    with (files / TRIAL).open("a", encoding="utf-8") as file:
        file.write('\n[analyte.ALB]\nunit = "g/dL"\nhard_max = "8"\n\n[analyte.GGT]\nlabel = "GGT"\n')
    problems = {p.place: p for p in problems_of(files)}
    assert "hard_min, query_min, query_max would stay in g/L" in problems["analyte.ALB"].cause
    assert "in g/dL too" in problems["analyte.ALB"].remedy
    assert "no such endpoint" in problems["analyte.GGT"].cause


def test_limits_of_the_trial_keep_their_order_with_those_of_the_analyte(files: Path) -> None:
    with (files / TRIAL).open("a", encoding="utf-8") as file:
        file.write('\n[analyte.ALB]\nhard_max = "50"\n')
    (problem,) = problems_of(files)
    assert (problem.place, problem.cause) == ("analyte.ALB", "query_max = 60 is above hard_max = 50")


@pytest.mark.parametrize(("end", "overlap"), [(41, False), (42, True)])
def test_windows_that_overlap_are_a_warning_and_no_error(files: Path, edit: Edit, end: int, overlap: bool) -> None:
    edit(TRIAL, "after_days = 7", f"after_days = {end}")  # week 4 ends on day 28 + end, week 12 begins on day 70
    protocol, problems = read_protocol(files / TRIAL)
    assert protocol is not None
    assert [(p.warning, p.place) for p in problems] == ([(True, "visit")] if overlap else [])
    if overlap:
        assert '"week-4" and "week-12" overlap' in problems[0].cause
        assert str(problems[0]).startswith("warning: ")


def test_a_check_digit_that_does_not_come_out_is_a_warning(files: Path, edit: Edit) -> None:
    edit("loinc.toml", '"1742-6"', '"1743-6"')
    protocol, problems = read_protocol(files / TRIAL)
    assert protocol is not None
    (problem,) = problems
    assert problem.warning
    assert (problem.place, problem.cause) == (
        "value_set.ALT.accept[1] (1743-6)",
        "1743-6 breaks LOINC's check digit",
    )
    assert "check_digit.exceptions" in problem.remedy


def test_the_published_code_that_breaks_its_check_digit_is_a_known_exception(files: Path, edit: Edit) -> None:
    assert breaks_check_digit("5895-7")
    edit("loinc.toml", 'exceptions = ["5895-7"]', "exceptions = []")
    assert [p.place for p in problems_of(files)] == ["value_set.INR.deny[2] (5895-7)"]


def test_conditional_codes_that_are_none_are_refused_and_those_that_are_listed() -> None:
    with pytest.raises(MappingError) as raised:
        load_protocol(MAPPINGS / TRIAL, ["46417-2", "1742-6", "no-code"])
    assert [p.cause.split()[0] for p in raised.value.problems] == ['"1742-6"', '"no-code"']
    assert {p.place for p in raised.value.problems} == {"conditional_codes"}
    assert "46418-0" in raised.value.problems[1].remedy


def test_a_file_that_is_not_toml_or_not_text_is_named_with_its_line(files: Path, edit: Edit) -> None:
    edit("units.toml", 'ucum = "umol/L"', "ucum = umol/L")
    (files / "results.toml").write_bytes(b'schema = 1\ntexts = ["\xc8\xdc\xd1\xaa"]\n')
    problems = {Path(p.file).name: p for p in problems_of(files)}
    line = (files / "units.toml").read_text("utf-8").split("\n").index("ucum = umol/L") + 1
    assert problems["units.toml"].place.startswith(f"line {line}, ")
    assert problems["units.toml"].cause.startswith("is not TOML: ")
    assert (problems["results.toml"].place, problems["results.toml"].cause) == ("line 2", "is not UTF-8")


def test_a_file_cut_off_is_named_too(files: Path) -> None:
    (files / TRIAL).write_text('schema = 1\ntitle = "', "utf-8")
    (problem,) = problems_of(files)
    assert "is not TOML" in problem.cause


def test_a_protocol_that_is_not_there_is_told_as_one_problem(tmp_path: Path) -> None:
    protocol, problems = read_protocol(tmp_path / "none.toml")
    assert protocol is None
    assert [(p.file, p.place) for p in problems] == [(str(tmp_path / "none.toml"), "the file")]


# --- code maps ----------------------------------------------------------------------------------------------------

CODE_MISTAKES = [
    ('code = "X"\nanalyte = "ALAT"', "code[1] (X).analyte", 'no analyte "ALAT"', 'write "ALT"?'),
    ('code = "X"\nanalyte = "ALT"\nignore = true', "code[1] (X)", "both", "either"),
    ('code = "X"', "code[1] (X)", "neither", "either"),
    ('code = "X"\nignore = false', "code[1].ignore", "should be True", "correct it"),
    ('code = "X"\nignore = true\nunit = "s"', "code[1] (X).unit", "needs no unit", "remove it"),
    ('code = "X"\nanalyte = "PT"\nunit = "%"', "code[1] (X).unit", '"%" is no unit of PT', "write one of: s"),
    ('code = "X"\nanalyte = "PT"\nunit = ""', "code[1].unit", "is blank", "leave the key out"),
    ("code = 1001\nignore = true", "code[1].code", "1001 is not text", 'text in "quotes"'),
    ('code = "X "\nignore = true', "code[1].code", "blanks around it", "take them away"),
    ('kode = "X"\nignore = true', "code[1].kode", "not a known key", 'write "code"'),
    ('code = "X"\nignore = true\n[[code]]\ncode = "X"\nignore = true', "code[2] (X)", "code[1] is of the same", "keep"),
]


@pytest.mark.parametrize(("text", "place", "cause", "remedy"), CODE_MISTAKES, ids=[m[2] for m in CODE_MISTAKES])
def test_each_mistake_in_a_code_map(tmp_path: Path, text: str, place: str, cause: str, remedy: str) -> None:
    path = tmp_path / "lis.toml"
    path.write_text(f"[[code]]\n{text}\n", "utf-8")
    with pytest.raises(MappingError) as raised:
        load_codes(path, PROTOCOL)
    found = [p for p in raised.value.problems if p.place == place]
    assert found, str(raised.value)
    assert found[0].file == str(path)
    assert cause in found[0].cause
    assert remedy in found[0].remedy
