"""``[[source.assessment]]``: what it gives the rules and the poller, and what is said of each mistake in it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from adapter.config import Config, ConfigError, load_config, ruleset
from adapter.model import AssessmentCode

ROOT = Path(__file__).parents[1]
MLLP = """
[trial]
protocol = "mappings/nct06984497.toml"

[[source]]
name = "lis"
kind = "mllp"
port = 0
authority = "NTCGH"
codes = "codes.toml"
"""
FHIR = """
[trial]
protocol = "mappings/nct06984497.toml"

[[source]]
name = "ehr"
kind = "fhir"
base_url = "http://127.0.0.1:8080/fhir/"
identifier_system = { NTCGH = "urn:oid:1.2.3.4" }
"""
CODES = """
[[code]]
code = "GPT"
analyte = "ALT"

[[code]]
code = "GGT"
system = "99LAB"
ignore = true
"""
ASCITES = """
[[source.assessment]]
item = "ascites"
code = "ASC"
values = { none = ["0", "无"], mild = ["1"], moderate_severe = ["2", "3"] }
"""
DIALYSIS = """
[[source.assessment]]
item = "dialysis"
code = "D-1"
system = "urn:site"
values = { yes = ["true"], no = ["false"] }
"""

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a configuration beside a copy of the shipped mappings and a code map."""
    shutil.copytree(ROOT / "mappings", tmp_path / "mappings")
    (tmp_path / "codes.toml").write_text(CODES, "utf-8")

    def to_file(text: str) -> Path:
        (tmp_path / "config.toml").write_text(text, "utf-8")
        return tmp_path / "config.toml"

    return to_file


def rows(config: Config) -> tuple[AssessmentCode, ...]:
    (source,) = config.sources
    return source.rules.assessments


@pytest.mark.parametrize("source", [MLLP, FHIR], ids=["mllp", "fhir"])
def test_a_source_says_under_which_codes_it_sends_assessments(write: Write, source: str) -> None:
    config = load_config(write(source + ASCITES + DIALYSIS))
    assert config.warnings == ()
    assert rows(config) == (
        AssessmentCode(
            "ascites",
            "ASC",
            {"none": ("0", "无"), "mild": ("1",), "moderate_severe": ("2", "3")},
            row="assessment[1]",
        ),
        AssessmentCode("dialysis", "D-1", {"yes": ("true",), "no": ("false",)}, "urn:site", row="assessment[2]"),
    )
    assert rows(load_config(write(source))) == ()


def test_the_poller_asks_for_their_codes_as_they_are_written(write: Write) -> None:
    (source,) = load_config(write(FHIR + ASCITES + DIALYSIS)).sources
    assert source.fhir is not None
    assert source.fhir.assessment_codes == ("ASC", "urn:site|D-1")


def test_what_the_values_mean_is_part_of_the_ruleset(write: Write) -> None:
    def named(text: str) -> str:
        config = load_config(write(text))
        name, body = ruleset(config, config.protocol, "1")
        assert json.loads(body)["sources"].keys() == {"lis"}
        return name

    assert len({named(MLLP), named(MLLP + ASCITES), named(MLLP + ASCITES.replace('"3"', '"4"'))}) == 3


def test_one_item_may_come_under_several_codes_and_one_code_in_several_systems(write: Write) -> None:
    second = ASCITES.replace('code = "ASC"', 'code = "ASC"\nsystem = "99X"')
    other = ASCITES.replace('"ASC"', '"ASCITES"')
    assert len(rows(load_config(write(MLLP + ASCITES + second + other)))) == 3


PLACE = "source[1].assessment[1]"
NAMED = "source[1] (lis).assessment"
MISTAKES = [
    ('item = "ascites"', 'item = "oedema"', f"{PLACE}.item", "'oedema' is not known", "ascites, encephalopathy"),
    ('item = "ascites"', "", f"{PLACE}.item", "is missing", "item = ..."),
    ('code = "ASC"', 'code = ""', f"{PLACE}.code", "is blank", "write the text"),
    ('mild = ["1"]', "mild = []", f"{PLACE}.values.mild", "is empty", "at least one"),
    ('mild = ["1"]', 'mild = ["1", "1"]', f"{PLACE}.values.mild", "listed twice", "once"),
    ('mild = ["1"]', "mild = [1]", f"{PLACE}.values.mild[1]", "1 is not text", "quotes"),
    ('mild = ["1"]', 'moderate = ["1"]', f"{NAMED}[1].values", "'moderate' is no value of ascites", "moderate_severe"),
    ('mild = ["1"]', 'mild = ["0"]', f"{NAMED}[1].values.mild", "'0' stands for none too", "the one it means"),
    (re.search("values.*", ASCITES)[0], "values = {}", f"{NAMED}[1].values", "is empty", 'none = ["..."]'),  # type: ignore[index]
    ('code = "ASC"', 'code = "GPT"', f"{NAMED}[1].code", "in the code map (codes.toml: GPT)", "the one it means"),
    ('code = "ASC"', 'code = "GGT"', f"{NAMED}[1].code", "in the code map (codes.toml: GGT (99LAB))", "the one"),
    ('code = "ASC"', 'code = "1742-6"', f"{NAMED}[1].code", "for ALT (loinc.toml: ALT accept 1742-6)", "the one"),
    ('code = "ASC"', 'code = "1742-6"\nsystem = "LN"', f"{NAMED}[1].code", "for ALT", "the one"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "mistake", "place", "cause", "remedy"), MISTAKES, ids=[f"{m[2]}: {m[3]}" for m in MISTAKES]
)
def test_each_mistake_is_named_with_key_cause_and_remedy(
    write: Write, line: str, mistake: str, place: str, cause: str, remedy: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        load_config(write(MLLP + ASCITES.replace(line, mistake)))
    (problem,) = refused.value.problems
    assert problem.place == place
    assert cause in problem.cause
    assert remedy in problem.remedy


def test_the_same_code_twice_is_refused(write: Write) -> None:
    with pytest.raises(ConfigError, match=r"assessment\[2\]\.code: assessment\[1\] is of the same code and system"):
        load_config(write(MLLP + ASCITES + ASCITES))


@pytest.mark.parametrize("system", ["99OTHER", "urn:site"])
def test_a_code_of_another_system_than_the_code_maps_row_is_fine(write: Write, system: str) -> None:
    text = ASCITES.replace('code = "ASC"', f'code = "GGT"\nsystem = "{system}"')
    assert len(rows(load_config(write(MLLP + text)))) == 1
    text = ASCITES.replace('code = "ASC"', f'code = "1742-6"\nsystem = "{system}"')
    assert len(rows(load_config(write(MLLP + text)))) == 1
