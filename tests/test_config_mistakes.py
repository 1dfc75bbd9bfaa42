"""What is said of each mistake in the configuration: key, cause, remedy, and all of them at once."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from adapter.config import ConfigError, load_config
from adapter.config_shapes import seconds

ROOT = Path(__file__).parents[1]
MINIMAL = """
[trial]
protocol = "mappings/nct06984497.toml"

[[source]]
name = "lis"
kind = "mllp"
port = 0
authority = "NTCGH"
"""

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a configuration beside a copy of the shipped mappings."""
    shutil.copytree(ROOT / "mappings", tmp_path / "mappings")

    def to_file(text: str) -> Path:
        (tmp_path / "config.toml").write_text(text, "utf-8")
        return tmp_path / "config.toml"

    return to_file


SOURCE = "source[1]"
NAMED = "source[1] (lis)"
MISTAKES = [
    # what is added to the minimal source, or replaces it; place; cause; remedy
    ('prot = 1', f"{SOURCE}.prot", "not a known key", 'write "port"'),
    ('password = "x"', f"{SOURCE}.password", "not a known key", "remove it; known keys: name, kind, host, port"),
    ("port = 70000", f"{SOURCE}.port", "70000 is not from 0 to 65535", "whole number"),
    ('port = "2575"', f"{SOURCE}.port", "'2575' is not a bare whole number", "bare"),
    ('name = "LIS A"', f"{SOURCE}.name", "'LIS A' is not small letters", "small letters"),
    ('authority = ""', f"{SOURCE}.authority", "is blank", "write the text"),
    ('host = "10.0.0.7"', f"{NAMED}.allow_from", "is missing, and 10.0.0.7 can be reached", '["10.1.2.3/32"]'),
    ('host = "lis.example"', f"{NAMED}.allow_from", "is missing, and lis.example can be reached", "10.1.2.3"),
    ('host = "::"', f"{NAMED}.allow_from", "is missing", "list who may connect"),
    ("allow_from = []", f"{NAMED}.allow_from", "nobody may connect", "list who may"),
    ('allow_from = ["10.1.2.3/8"]', f"{SOURCE}.allow_from[1]", "'10.1.2.3/8' is not a network", "CIDR"),
    ('allow_from = ["10.0.0.0/8", "here"]', f"{SOURCE}.allow_from[2]", "'here' is not a network", "CIDR"),
    ("versions = []", f"{SOURCE}.versions", "is empty", "at least one"),
    ('versions = ["v2"]', f"{SOURCE}.versions[1]", "'v2' is not a version of HL7", "2.5.1"),
    ('processing_ids = ["X"]', f"{SOURCE}.processing_ids[1]", "'X' is not known", "P, T, D"),
    ('charset = "GB1830"', f"{SOURCE}.charset", "'GB1830' is not a character set", 'write "gb18030"?'),
    ('charset = "utf-16"', f"{SOURCE}.charset", "'utf-16' is not a character set", "utf-8"),
    ('timezone = "Peking"', f"{SOURCE}.timezone", "'Peking' is not a time zone", "IANA"),
    ('codes = "none.toml"', f"{NAMED}.codes", "none.toml cannot be read: no such file", "path of a file"),
    ('identifier_fields = ["PID3"]', f"{SOURCE}.identifier_fields[1]", "'PID3' is not known", 'write "PID-3"?'),
    ("identifier_fields = []", f"{SOURCE}.identifier_fields", "is empty", "at least one"),
    ('identifier_fields = ["PID-3", "PID-3"]', f"{SOURCE}.identifier_fields", "'PID-3' is listed twice", "once"),
    ('authorities = { X = "" }', f"{SOURCE}.authorities.X", "is blank", "write the text"),
    ('collection_time = ["MSH-7"]', f"{SOURCE}.collection_time[1]", "'MSH-7' is not known", "SPM-17, OBR-7, OBX-14"),
    ('offset_from_msh7 = "yes"', f"{SOURCE}.offset_from_msh7", "'yes' is not true or false", "bare"),
    ('status_map = { "0" = "final" }', f"{SOURCE}.status_map.0", "'final' is not known", "P, R, S, I, F"),
    ('status_map = { "0" = "B" }', f"{SOURCE}.status_map.0", "'B' is not known", "P, R, S, I, F"),
    ('on_no_patient = "ignore"', f"{SOURCE}.on_no_patient", "'ignore' is not known", "reject, accept"),
    ('ignore_types = ["ADT_A08"]', f"{SOURCE}.ignore_types[1]", "'ADT_A08' is not a type", "ADT^A08"),
    ('ignore_types = ["ADT^A40"]', f"{SOURCE}.ignore_types[1]", "always taken", "leave it out"),
    ('ignore_types = ["ORU"]', f"{SOURCE}.ignore_types[1]", "always taken", "leave it out"),
    ("max_frame_bytes = 10", f"{SOURCE}.max_frame_bytes", "10 is not from 1024", "whole number"),
    ("max_connections = 0", f"{SOURCE}.max_connections", "0 is not from 1", "whole number"),
    ('idle_timeout = "1 hour"', f"{SOURCE}.idle_timeout", "'1 hour' is not a duration", '"1h"'),
    ("idle_timeout = 60", f"{SOURCE}.idle_timeout", "60 is not a duration", '"30s"'),
    ('frame_timeout = "0s"', f"{SOURCE}.frame_timeout", "'0s' is not a duration", "above 0"),
    ('kind = "folder"', f"{SOURCE}.kind", '"folder", watching a folder, is not in this version', "remove this"),
    ('kind = "mlp"', f"{SOURCE}.kind", '"mlp" is not known', 'write "mllp"?'),
    ("[web]\nport = 87650", "web.port", "87650 is not from 0 to 65535", "whole number"),
    ('[web]\nhost = "10.0.0.5"', "web.host", "passwords would cross the network openly", "cert_file and key_file"),
    ("[web]\nlock_after = 0", "web.lock_after", "0 is not from 1", "whole number"),
    ('[web]\nsession_timeout = "0h"', "web.session_timeout", "'0h' is not a duration", "above 0"),
    ("[logg]\nlevel = 1", "logg", "not a known key", 'write "log"'),
    ('[log]\nlevel = "LOUD"', "log.level", "'LOUD' is not known", "DEBUG, INFO, WARNING, ERROR"),
    ('[store]\nurl = "postgresql://db/trial"', "store.url", "is not a store that this version can use", "sqlite:///"),
    ('[store]\nurl = "trial.db"', "store.url", "is not a store that this version can use", "sqlite:///"),
    ('[store]\nurl = "sqlite:///:memory:"', "store.url", "names no file", "sqlite:///trial.db"),
    ('[store]\nurl = "sqlite:///"', "store.url", "names no file", "sqlite:///trial.db"),
    ('[store]\nurl = "sqlite:///a.db?mode=ro"', "store.url", "names no file", "sqlite:///trial.db"),
    ('[store]\npath = "trial.db"', "store.path", "not a known key", "known keys: url"),
]  # fmt: skip


def with_line(line: str) -> str:
    """The minimal configuration with a line more, in place of the one with the same key if there is one."""
    key = line.partition(" = ")[0]
    kept = re.sub(rf"(?m)^{re.escape(key)} = .*\n", "", MINIMAL) if not line.startswith("[") else MINIMAL
    return kept + line + "\n"


@pytest.mark.parametrize(
    ("line", "place", "cause", "remedy"), MISTAKES, ids=[m[0].replace("\n", " ") for m in MISTAKES]
)
def test_each_mistake_is_named_with_key_cause_and_remedy(
    write: Write, line: str, place: str, cause: str, remedy: str
) -> None:
    path = write(with_line(line))
    with pytest.raises(ConfigError) as raised:
        load_config(path)
    (problem,) = raised.value.problems
    assert (problem.file, problem.place) == (str(path), place)
    assert cause in problem.cause
    assert remedy in problem.remedy
    assert not problem.warning


@pytest.mark.parametrize("key", ["name", "kind", "port", "authority"])
def test_what_a_source_must_have(write: Write, key: str) -> None:
    path = write(re.sub(rf"(?m)^{key} = .*\n", "", MINIMAL))
    with pytest.raises(ConfigError) as raised:
        load_config(path)
    (problem,) = raised.value.problems
    assert (problem.place, problem.cause, problem.remedy) == (f"source[1].{key}", "is missing", f"add {key} = ...")


@pytest.mark.parametrize(
    ("old", "new", "place", "cause"),
    [
        ('protocol = "mappings/nct06984497.toml"\n', "", "trial.protocol", "is missing"),
        ("[trial]\n", "[trail]\n", "trail", "not a known key"),
        ("mappings/nct06984497.toml", "mappings/other.toml", "trial.protocol", "other.toml cannot be read"),
        ("[trial]\n", '[trial]\ntimezone = "Shenyang"\n', "trial.timezone", "'Shenyang' is not a time zone"),
        ("[trial]\n", '[trial]\nconditional_codes = ["1742-6"]\n', "conditional_codes", '"1742-6" is no conditional'),
        ("[[source]]", "[source]", "source", "is not a list of tables"),
        ("[trial]\n", "[[trial]]\n", "trial", "a list is not a table"),
    ],
)
def test_mistakes_of_the_trial_and_of_the_sections(write: Write, old: str, new: str, place: str, cause: str) -> None:
    path = write(MINIMAL.replace(old, new, 1))
    with pytest.raises(ConfigError) as raised:
        load_config(path)
    found = [p for p in raised.value.problems if p.place == place]
    assert found, str(raised.value)
    assert found[0].file == str(path)
    assert cause in found[0].cause


def test_a_configuration_without_a_source_is_refused(write: Write) -> None:
    with pytest.raises(ConfigError, match=re.escape("source: there is none; add a [[source]]")):
        load_config(write(MINIMAL.partition("[[source]]")[0]))


def second_source(name: str, port: int, host: str = "127.0.0.1") -> str:
    return (
        f'\n[[source]]\nname = "{name}"\nkind = "mllp"\nport = {port}\nauthority = "B"\nhost = "{host}"\n'
        'allow_from = ["10.0.0.0/8"]\n'
    )


def test_two_sources_need_two_names_and_two_ports(write: Write) -> None:
    text = MINIMAL.replace("port = 0", "port = 2575") + second_source("lis", 2575)
    with pytest.raises(ConfigError) as raised:
        load_config(write(text))
    assert [p.place for p in raised.value.problems] == ["source[2] (lis).name", "source[2] (lis).port"]


@pytest.mark.parametrize(
    ("port", "host", "clash"), [(2575, "0.0.0.0", True), (2575, "127.0.0.2", False), (2576, "0.0.0.0", False)]
)
def test_a_port_is_taken_once_on_each_address(write: Write, port: int, host: str, clash: bool) -> None:
    path = write(MINIMAL.replace("port = 0", "port = 2575") + second_source("other", port, host))
    if clash:
        with pytest.raises(ConfigError, match="lis listens on 2575 too"):
            load_config(path)
    else:
        assert [source.intake.port for source in load_config(path).sources] == [2575, port]


def test_two_sources_may_both_let_the_system_choose_a_port(write: Write) -> None:
    assert len(load_config(write(MINIMAL + second_source("other", 0))).sources) == 2


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_needs_no_list_of_senders(write: Write, host: str) -> None:
    assert load_config(write(with_line(f'host = "{host}"'))).sources[0].intake.host == host


@pytest.mark.parametrize("everybody", ["0.0.0.0/0", "::/0"])
def test_letting_everybody_connect_is_warned_about(write: Write, everybody: str) -> None:
    config = load_config(write(with_line(f'allow_from = ["{everybody}"]')))
    assert [(p.warning, p.place) for p in config.warnings] == [(True, f"{NAMED}.allow_from")]


def test_everything_wrong_is_told_at_once_in_the_mappings_too(write: Write) -> None:
    path = write(
        MINIMAL.replace("port = 0", "port = -1").replace(
            "[trial]", '[log]\nlevel = 3\n\n[web]\nport = -1\n\n[trial]\nzone = "UTC"'
        )
        + second_source("b", 1)
        + 'codes = "b.toml"\n'
        + '\n[[source]]\nname = "ehr"\nkind = "fhir"\nbase_url = "http://127.0.0.1/fhir"\n'
    )
    with pytest.raises(ConfigError) as raised:
        load_config(path)
    places = {p.place for p in raised.value.problems}
    assert places == {"web.port", "trial.zone", "log.level", "source[1].port", "source[3].identifier_system"}
    path.write_text(path.read_text("utf-8").replace('zone = "UTC"', ""), "utf-8")
    (path.parent / "b.toml").write_text('[[code]]\ncode = "X"\n', "utf-8")
    loinc = path.parent / "mappings/loinc.toml"
    loinc.write_text(loinc.read_text("utf-8").replace('"1742-6"', '"1742"', 1), "utf-8")
    with pytest.raises(ConfigError) as raised:
        load_config(path)
    assert {Path(p.file).name for p in raised.value.problems} == {"config.toml", "loinc.toml"}
    loinc.write_text(loinc.read_text("utf-8").replace('"1742"', '"1742-6"', 1), "utf-8")
    with pytest.raises(ConfigError) as raised:
        load_config(path)
    assert {Path(p.file).name for p in raised.value.problems} == {"config.toml", "b.toml"}


def test_a_file_that_is_not_there_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        load_config(tmp_path / "config.toml")
    assert str(raised.value) == (
        f"{tmp_path / 'config.toml'}: the file: cannot be read: no such file or directory; "
        "run `lab-adapter init`, or name the file with -c"
    )


def test_a_file_that_is_not_toml_is_named_with_its_line(write: Write) -> None:
    with pytest.raises(ConfigError, match=r"config\.toml: line 2, column \d+: is not TOML: "):
        load_config(write("[trial]\nprotocol = mappings\n"))


@given(number=st.integers(1, 999_999), unit=st.sampled_from(["s", "m", "h"]))
def test_durations(number: int, unit: str) -> None:
    assert seconds(f"{number}{unit}") == number * {"s": 1, "m": 60, "h": 3600}[unit]


@given(text=st.text(max_size=8).filter(lambda t: not re.fullmatch("[1-9][0-9]{0,5}[smh]", t)))
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(PydanticCustomError):
        seconds(text)
