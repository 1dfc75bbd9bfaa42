"""The configuration: what its example gives, each default, each option, and the ruleset they make."""

from __future__ import annotations

import ipaddress
import json
import re
import shutil
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from adapter import config as config_module
from adapter.config import Config, ConfigError, MllpSection, load_config, ruleset, shipped
from adapter.config_web import WebSection
from adapter.mappings import load_protocol

ROOT = Path(__file__).parents[1]
PROTOCOL = load_protocol(ROOT / "mappings/nct06984497.toml")
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


# --- what a configuration gives -----------------------------------------------------------------------------------


def test_the_example_runs_as_it_stands_beside_the_mappings(write: Write) -> None:
    config = load_config(write(shipped("config.example.toml").read_text("utf-8")))
    assert config.warnings == ()
    assert config.protocol == PROTOCOL
    (source,) = config.sources
    assert (source.name, source.kind, source.intake.host, source.intake.port) == ("lis", "mllp", "127.0.0.1", 2575)
    assert {row.analyte for row in source.rules.codes} >= {"ALT", "NA", None}


def test_the_example_shows_every_option_with_its_default_and_no_other() -> None:
    """Each commented line, uncommented, is an option at its default; where the default is nothing, the text says so."""
    text = shipped("config.example.toml").read_text("utf-8")
    shown = tomllib.loads(re.sub(r"(?m)^# (?=[a-z_0-9]+ = |\[web\])", "", text))
    web = {key: value for key, value in shown["web"].items() if key not in {"cert_file", "key_file"}}
    assert set(shown["web"]) == set(WebSection.model_fields)
    assert WebSection.model_validate(web) == WebSection()
    (source,) = shown["source"]
    assert set(source) == set(MllpSection.model_fields)
    assert set(shown["trial"]) == {"protocol", "timezone", "conditional_codes"}
    examples = {"name", "kind", "port", "authority", "allow_from", "timezone", "codes"}  # what has no default to show
    examples |= {"authorities", "status_map", "ignore_types"}  # empty by default, which shows nothing
    defaults = MllpSection.model_validate({"name": "x", "kind": "mllp", "port": 0, "authority": "x"})
    set_to_default = MllpSection.model_validate({**source, "name": "x", "port": 0, "authority": "x"})
    for key in set(source) - examples:
        assert getattr(set_to_default, key) == getattr(defaults, key), key


def test_the_defaults(write: Write) -> None:
    path = write(MINIMAL)
    config = load_config(path)
    (source,) = config.sources
    assert (config.store_url, config.store_path) == ("sqlite:///trial.db", path.parent / "trial.db")
    assert config.log_level == "INFO"
    rules = source.rules
    assert (rules.authority, rules.charset, rules.timezone) == ("NTCGH", "utf-8", "Asia/Shanghai")
    assert (rules.authorities, rules.identifier_fields, rules.codes) == ({}, ("PID-3",), ())
    assert rules.collection_time == ("SPM-17", "OBR-7", "OBX-14")
    assert (rules.offset_from_msh7, rules.status_map) == (False, {})
    intake = source.intake
    assert (intake.host, intake.port) == ("127.0.0.1", 0)
    assert intake.allow_from == (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
    assert intake.versions == ("2.1", "2.2", "2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.8")
    assert (intake.processing_ids, intake.on_no_patient, intake.ignore_types) == (("P", ""), "reject", ())
    assert (intake.max_frame_bytes, intake.max_connections) == (16_777_216, 64)
    assert (intake.idle_timeout_seconds, intake.frame_timeout_seconds) == (3600, 60)


def second_source(name: str, port: int, host: str = "127.0.0.1") -> str:
    return (
        f'\n[[source]]\nname = "{name}"\nkind = "mllp"\nport = {port}\nauthority = "B"\nhost = "{host}"\n'
        'allow_from = ["10.0.0.0/8"]\n'
    )


FULL = (
    MINIMAL.replace(
        "[[source]]", '[store]\nurl = "sqlite:////var/lib/lab/trial.db"\n\n[log]\nlevel = "DEBUG"\n\n[[source]]'
    )
    + """
host = "0.0.0.0"
allow_from = ["10.1.2.3/32", "fd00::/8"]
versions = ["2.4"]
processing_ids = ["T"]
charset = "GB 18030-2000"
timezone = "UTC"
codes = "lis.toml"
identifier_fields = ["PID-3", "PID-18"]
authorities = { "1.2.3" = "NTCGH" }
collection_time = ["OBR-7"]
offset_from_msh7 = true
status_map = { "0" = "F", "" = "P" }
on_no_patient = "accept"
ignore_types = ["ADT", "ORM^O01"]
max_frame_bytes = 4096
idle_timeout = "5m"
frame_timeout = "30s"
max_connections = 2
"""
)


def test_every_option_arrives(write: Write) -> None:
    path = write(FULL)
    (path.parent / "lis.toml").write_text('[[code]]\ncode = "GPT"\nanalyte = "ALT"\n', "utf-8")
    config = load_config(path)
    (source,) = config.sources
    assert config.store_path == Path("/var/lib/lab/trial.db")
    assert config.log_level == "DEBUG"
    rules, intake = source.rules, source.intake
    assert (rules.charset, rules.timezone, rules.authorities) == ("gb18030", "UTC", {"1.2.3": "NTCGH"})
    assert (rules.identifier_fields, rules.collection_time) == (("PID-3", "PID-18"), ("OBR-7",))
    assert (rules.offset_from_msh7, rules.status_map) == (True, {"0": "F", "": "P"})
    assert [(row.code, row.analyte, row.row) for row in rules.codes] == [("GPT", "ALT", "lis.toml: GPT")]
    assert intake.allow_from == (ipaddress.ip_network("10.1.2.3/32"), ipaddress.ip_network("fd00::/8"))
    assert (intake.host, intake.versions, intake.processing_ids) == ("0.0.0.0", ("2.4",), ("T",))
    assert (intake.on_no_patient, intake.ignore_types) == ("accept", ("ADT", "ORM^O01"))
    assert (intake.max_frame_bytes, intake.max_connections) == (4096, 2)
    assert (intake.idle_timeout_seconds, intake.frame_timeout_seconds) == (300, 30)


def test_the_time_zone_of_the_site_overrides_the_protocols_and_is_each_sources_default(write: Write) -> None:
    config = load_config(write(MINIMAL.replace("[[source]]", 'timezone = "Asia/Urumqi"\n\n[[source]]')))
    assert config.protocol.timezone == "Asia/Urumqi"
    assert config.sources[0].rules.timezone == "Asia/Urumqi"


def test_conditional_codes_are_enabled(write: Write) -> None:
    config = load_config(write(MINIMAL.replace("[[source]]", 'conditional_codes = ["46417-2"]\n\n[[source]]')))
    assert config.protocol.conditional_codes == {"46417-2"}


def test_mappings_are_read_again_under_the_same_settings(write: Write) -> None:
    path = write(MINIMAL + 'codes = "lis.toml"\n')
    code_map = path.parent / "lis.toml"
    code_map.write_text("", "utf-8")
    config = load_config(path)
    assert config.load_protocol() == (config.protocol, config.sources)
    code_map.write_text('[[code]]\ncode = "GPT"\nanalyte = "ALT"\n', "utf-8")
    path.write_text("not even TOML", "utf-8")  # the settings are those that were loaded
    protocol, sources = config.load_protocol()
    assert protocol == config.protocol
    assert [row.code for row in sources[0].rules.codes] == ["GPT"]
    assert config.sources[0].rules.codes == ()
    code_map.write_text('[[code]]\ncode = "GPT"\n', "utf-8")
    with pytest.raises(ConfigError, match="neither `analyte` nor `ignore`"):
        config.load_protocol()


def test_what_is_shipped_is_found_in_a_checkout_and_in_an_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shipped("mappings") == ROOT / "mappings"
    assert shipped("config.example.toml") == ROOT / "config.example.toml"
    (tmp_path / "adapter/_shipped/mappings").mkdir(parents=True)
    monkeypatch.setattr(config_module, "__file__", str(tmp_path / "adapter/config.py"))
    assert shipped("mappings") == tmp_path / "adapter/_shipped/mappings"
    with pytest.raises(FileNotFoundError, match="install trial-lab-adapter again"):
        shipped("config.example.toml")


# --- the ruleset --------------------------------------------------------------------------------------------------


@pytest.fixture
def config(write: Write) -> Config:
    path = write(FULL + second_source("other", 2600))
    (path.parent / "lis.toml").write_text('[[code]]\ncode = "GPT"\nanalyte = "ALT"\n', "utf-8")
    return load_config(path)


def test_equal_settings_give_one_ruleset_wherever_they_lie(config: Config, tmp_path: Path) -> None:
    shutil.copytree(config.path.parent, tmp_path / "moved", ignore=shutil.ignore_patterns("moved"))
    moved = load_config(tmp_path / "moved" / "config.toml")
    assert ruleset(moved, moved.protocol, "1") == ruleset(config, config.protocol, "1")
    assert str(tmp_path) not in ruleset(config, config.protocol, "1")[1]


def test_the_order_of_sources_and_what_concerns_listening_alone_change_no_ruleset(config: Config) -> None:
    one, other = config.sources
    listening = replace(one, intake=replace(one.intake, port=1, max_connections=1))
    assert ruleset(replace(config, sources=(other, listening)), config.protocol, "1") == ruleset(
        config, config.protocol, "1"
    )


def test_the_ruleset_is_json_of_what_a_person_asks_for(config: Config) -> None:
    id, text = ruleset(config, config.protocol, "7")
    body = json.loads(text)
    assert re.fullmatch("[0-9a-f]{64}", id)
    assert (body["rules"], body["trial"], body["protocol"]) == ("7", "NCT06984497", config.protocol.fingerprint)
    assert body["sources"]["lis"]["codes"][0]["analyte"] == "ALT"


CHANGES: list[tuple[str, str, str]] = [
    ("config.toml", 'status_map = { "0" = "F", "" = "P" }', 'status_map = { "0" = "F" }'),
    ("config.toml", 'timezone = "UTC"', 'timezone = "Asia/Tokyo"'),
    ("config.toml", "[trial]", '[trial]\ntimezone = "Asia/Tokyo"'),
    ("config.toml", "[trial]", '[trial]\nconditional_codes = ["46418-0"]'),
    ("config.toml", 'authority = "NTCGH"', 'authority = "OTHER"'),
    ("config.toml", 'authorities = { "1.2.3" = "NTCGH" }', 'authorities = { "1.2.4" = "NTCGH" }'),
    ("config.toml", 'charset = "GB 18030-2000"', 'charset = "utf-8"'),
    ("config.toml", '["PID-3", "PID-18"]', '["PID-3"]'),
    ("config.toml", 'collection_time = ["OBR-7"]', 'collection_time = ["OBX-14"]'),
    ("config.toml", "offset_from_msh7 = true", "offset_from_msh7 = false"),
    ("config.toml", 'name = "other"', 'name = "another"'),
    ("lis.toml", '"ALT"', '"AST"'),
    ("lis.toml", '"GPT"', '"gpt"'),
    ("lis.toml", 'analyte = "ALT"', 'analyte = "ALT"\nunit = "U/L"'),
    ("mappings/nct06984497.toml", "after_days = 7", "after_days = 8"),
    ("mappings/units.toml", '"秒"', '"秒", "秒钟"'),
]


@pytest.mark.parametrize(("file", "old", "new"), CHANGES, ids=[f"{c[0]}-{c[2]}".replace("\n", " ") for c in CHANGES])
def test_whatever_changes_a_result_changes_the_ruleset(config: Config, file: str, old: str, new: str) -> None:
    before = ruleset(config, config.protocol, "1")[0]
    path = config.path.parent / file
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")
    after = load_config(config.path)
    assert ruleset(after, after.protocol, "1")[0] != before


def test_other_rules_are_another_ruleset(config: Config) -> None:
    assert ruleset(config, config.protocol, "1")[0] != ruleset(config, config.protocol, "2")[0]
