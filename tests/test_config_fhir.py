"""A FHIR source in the configuration: its defaults, each option, each mistake, each way to sign in."""

from __future__ import annotations

import re
import shutil
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from adapter.config import Config, ConfigError, load_config, ruleset, shipped
from adapter.config_fhir import AuthSection, FhirIntake, FhirSection, _crontab
from adapter.daemon import next_poll, poll_trigger
from adapter.intake.fhir_client import FhirError
from adapter.intake.fhir_settings import (
    SMART_SCOPES,
    BasicAuth,
    BearerAuth,
    ClientCredentials,
    MutualTls,
    NoAuth,
    SmartBackend,
)
from adapter.intake.poll_endpoint import endpoint_of

ROOT = Path(__file__).parents[1]
MINIMAL = """
[trial]
protocol = "mappings/nct06984497.toml"

[[source]]
name = "ehr"
kind = "fhir"
base_url = "http://127.0.0.1:8080/fhir/"
identifier_system = { NTCGH = "urn:oid:1.2.3.4" }
"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a configuration beside a copy of the shipped mappings."""
    shutil.copytree(ROOT / "mappings", tmp_path / "mappings")

    def to_file(*lines: str, base: str = MINIMAL) -> Path:
        for line in lines:
            if line.startswith("["):
                break
            key = line.partition(" = ")[0]
            base = re.sub(rf"(?m)^{key} = .*\n", "", base)
        (tmp_path / "config.toml").write_text(base + "\n".join(lines) + "\n", "utf-8")
        return tmp_path / "config.toml"

    return to_file


def intake_of(config: Config) -> FhirIntake:
    (source,) = config.sources
    assert source.fhir is not None
    assert source.mllp is None
    return source.fhir


def test_the_defaults(write: Write) -> None:
    config = load_config(write())
    (source,) = config.sources
    intake = intake_of(config)
    assert config.warnings == ()
    assert (source.name, source.kind, intake.base_url) == ("ehr", "fhir", "http://127.0.0.1:8080/fhir")
    rules = source.rules
    assert (rules.authority, rules.authorities) == ("", {"urn:oid:1.2.3.4": "NTCGH"})
    assert (rules.timezone, rules.codes) == ("Asia/Shanghai", ())
    assert (intake.fhir_version, intake.poll_every_seconds, intake.poll_cron, intake.jitter_seconds) == (
        None,
        300,
        None,
        15,
    )
    assert (intake.systems, intake.category, intake.only_codes) == ({"NTCGH": "urn:oid:1.2.3.4"}, "laboratory", ())
    assert intake.assessment_codes == ()
    assert (intake.overlap_seconds, intake.lookback_days, intake.sweep_every_seconds) == (600, 30, 86_400)
    assert (intake.page_size, intake.max_pages, intake.max_body_bytes) == (100, 1000, 64 * 2**20)
    assert (intake.search_by_get, intake.ca_bundle, intake.auth.kind) == (False, None, "none")
    endpoint = endpoint_of("ehr", intake)
    assert (endpoint.base_url, endpoint.auth, endpoint.page_size) == (intake.base_url, NoAuth(), 100)


def test_every_option_arrives(write: Write) -> None:
    lines = """
fhir_version = "R5"
poll_cron = "*/10 6-22 * * mon-fri"
jitter = "1m"
authority = "NTCGH"
timezone = "UTC"
codes = "codes.toml"
category = ""
only_codes = ["http://loinc.org|1742-6"]
assessment = [{ item = "dialysis", code = "D", values = { yes = ["true"] } }]
search_by_get = true
overlap = "1h"
lookback_days = 0
sweep_every = "2h"
page_size = 20
max_pages = 3
max_body_bytes = 4096
connect_timeout = "3s"
read_timeout = "4s"
page_timeout = "5s"
ca_bundle = "ca.pem"
""".strip().splitlines()
    path = write(*lines)
    (path.parent / "codes.toml").write_text('[[code]]\ncode = "GPT"\nanalyte = "ALT"\n', "utf-8")
    config = load_config(path)
    intake, rules = intake_of(config), config.sources[0].rules
    assert (rules.authority, rules.timezone, [row.code for row in rules.codes]) == ("NTCGH", "UTC", ["GPT"])
    assert (intake.fhir_version, intake.poll_every_seconds, intake.poll_cron) == ("R5", None, "*/10 6-22 * * mon-fri")
    assert (intake.jitter_seconds, intake.category, intake.only_codes) == (60, "", ("http://loinc.org|1742-6",))
    assert intake.assessment_codes == ("D",)
    assert (intake.overlap_seconds, intake.lookback_days, intake.sweep_every_seconds) == (3600, 0, 7200)
    endpoint = endpoint_of("ehr", intake)
    assert (endpoint.fhir_version, endpoint.search_by_get, endpoint.ca_bundle) == ("R5", True, path.parent / "ca.pem")
    assert (endpoint.connect_timeout_seconds, endpoint.read_timeout_seconds, endpoint.page_timeout_seconds) == (3, 4, 5)
    assert (endpoint.page_size, endpoint.max_pages, endpoint.max_body_bytes) == (20, 3, 4096)
    assert {line.partition(" = ")[0] for line in lines} == set(FhirSection.model_fields) - {
        "name",
        "kind",
        "base_url",
        "identifier_system",
        "poll_every",
        "auth",
    }


NAMED = "source[1] (ehr)"
MISTAKES = [
    ("port = 2575", "source[1].port", "not a known key", "remove it"),
    ('charset = "utf-8"', "source[1].charset", "not a known key", "remove it"),
    ('base_url = "fhir.example"', "source[1].base_url", "is not the address of a FHIR server", "https://"),
    ('base_url = "ftp://fhir.example/r4"', "source[1].base_url", "is not the address of a FHIR server", "https://"),
    ('base_url = "https://u:p@fhir.example/r4"', "source[1].base_url", "the address holds a sign-in", "[source.auth]"),
    ('base_url = "https://fhir.example/r4?a=b"', "source[1].base_url", "holds more than an address", "without ?"),
    ('fhir_version = "STU3"', "source[1].fhir_version", "'STU3' is not known", "R4, R4B, R5"),
    ('poll_every = "often"', "source[1].poll_every", "'often' is not a duration", "30s"),
    ('poll_every = "5m"\npoll_cron = "0 6 * * *"', f"{NAMED}.poll_cron", "stands beside poll_every", "one of the two"),
    ('poll_cron = "6 o\'clock"', "source[1].poll_cron", "has 2 fields", "0 6 * * *"),
    ('poll_cron = "61 6 * * *"', "source[1].poll_cron", "'61' is no minute of a crontab", "0 to 59"),
    ('poll_cron = "0 6 * * 1"', "source[1].poll_cron", "'1' is no weekday of a crontab", "mon to sun"),
    ('poll_cron = "0 6 0 * *"', "source[1].poll_cron", "'0' is no day of a crontab", "1 to 31"),
    ("identifier_system = {}", f"{NAMED}.identifier_system", "is empty", "urn:oid"),
    ('identifier_system = { A = "urn:x", B = "urn:x" }', f"{NAMED}.identifier_system", "two authorities", "its own"),
    ("page_size = 0", "source[1].page_size", "0 is not from 1 to 1000", "whole number"),
    ("lookback_days = -1", "source[1].lookback_days", "-1 is not from 0", "whole number"),
    ('only_codes = ["a", "a"]', "source[1].only_codes", "'a' is listed twice", "once"),
    ('codes = "none.toml"', f"{NAMED}.codes", "cannot be read", "path of a file"),
    ('[source.auth]\nkind = "magic"', "source[1].auth.kind", "'magic' is not known", "basic, bearer"),
    ('[source.auth]\nkind = "basic"\npassword_env = "X"', f"{NAMED}.auth.user", "is missing", "user = ..."),
    ('[source.auth]\nkind = "basic"\nuser = "u"', f"{NAMED}.auth.password_env", "is missing", "password_file"),
    ('[source.auth]\nkind = "bearer"', f"{NAMED}.auth.password_env", "is missing", "password_file"),
    ('[source.auth]\nkind = "bearer"\npassword = "x"', "source[1].auth.password", "not a known key", "password_env"),
    (
        '[source.auth]\nkind = "bearer"\npassword_env = "A"\npassword_file = "b"',
        f"{NAMED}.auth.password_file",
        "stands beside password_env",
        "keep one",
    ),
    ('[source.auth]\nkind = "mtls"\ncert_file = "c"', f"{NAMED}.auth.key_file", "is missing", "key_file = ..."),
    ('[source.auth]\nkind = "smart"\nkey_file = "k"', f"{NAMED}.auth.client_id", "is missing", "client_id = ..."),
    ('[source.auth]\nuser = "u"', f"{NAMED}.auth.user", 'is of no use to kind "none"', "remove it"),
    (
        '[source.auth]\nkind = "smart"\nkey_file = "k"\nclient_id = "c"\ntoken_url = "there"',
        "source[1].auth.token_url",
        "is not the address",
        "https://",
    ),
]


@pytest.mark.parametrize(
    ("lines", "place", "cause", "remedy"), MISTAKES, ids=[m[0].replace("\n", " ") for m in MISTAKES]
)
def test_each_mistake_is_named(write: Write, lines: str, place: str, cause: str, remedy: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load_config(write(*lines.splitlines()))
    (problem,) = raised.value.problems
    assert problem.place == place
    assert cause in problem.cause
    assert remedy in problem.remedy


def test_what_a_fhir_source_needs_is_asked_for(write: Write) -> None:
    with pytest.raises(ConfigError) as raised:
        load_config(
            write(base='[trial]\nprotocol = "mappings/nct06984497.toml"\n[[source]]\nname = "ehr"\nkind = "fhir"\n')
        )
    assert {p.place for p in raised.value.problems} == {"source[1].base_url", "source[1].identifier_system"}


def test_results_in_the_clear_are_warned_about_beyond_this_machine(write: Write) -> None:
    config = load_config(write('base_url = "http://fhir.example/r4"'))
    assert [(p.place, p.warning) for p in config.warnings] == [(f"{NAMED}.base_url", True)]
    assert load_config(write('base_url = "https://fhir.example/r4"')).warnings == ()


def test_how_a_server_is_asked_changes_no_ruleset_and_whose_its_identifiers_are_does(write: Write) -> None:
    def named(*lines: str) -> str:
        config = load_config(write(*lines))
        return ruleset(config, config.protocol, "1")[0]

    assert named('poll_every = "1h"', "page_size = 5") == named()
    assert named('identifier_system = { OTHER = "urn:oid:1.2.3.4" }') != named()


def test_the_example_shows_every_option_of_a_fhir_source_with_its_default(write: Write) -> None:
    """The section that is commented out, uncommented; an option inside it that is commented once more is a default."""
    text = shipped("config.example.toml").read_text("utf-8")
    section = text[text.index("## A FHIR server") :]
    shown = "\n".join(line.removeprefix("#") for line in section.splitlines())
    assert all(line.startswith("#") for line in section.splitlines() if line)
    shown = re.sub(r"(?m)^# (?=[a-z_0-9]+ = )", "", shown)
    (source,) = tomllib.loads(shown)["source"]
    auth = source.pop("auth")
    assert set(source) == set(FhirSection.model_fields) - {"auth"}
    assert set(auth) == set(AuthSection.model_fields)
    examples = {"name", "kind", "base_url", "fhir_version", "poll_every", "poll_cron", "identifier_system", "authority"}
    examples |= {"timezone", "codes", "ca_bundle"}  # what has no default to show
    for key in set(source) - examples:
        default = FhirSection.model_fields[key].default
        given = FhirSection.model_validate({**source, "auth": {}, key: source[key]})
        assert getattr(given, key) == default, key
    assert FhirSection.model_validate({**source, "poll_every": source["poll_every"]}).poll_every == 300


# --- signing in ---------------------------------------------------------------------------------------------------


def auth_of(path: Path) -> object:
    return endpoint_of("ehr", intake_of(load_config(path))).auth


def test_secrets_come_from_the_environment_or_a_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EHR_PASSWORD", "s3cret")
    lines = ("[source.auth]", 'kind = "basic"', 'user = "poller"')
    path = write(*lines, 'password_env = "EHR_PASSWORD"')
    assert auth_of(path) == BasicAuth("poller", "s3cret")
    (path.parent / "secret").write_text("from a file\n", "utf-8")
    assert auth_of(write(*lines, 'password_file = "secret"')) == BasicAuth("poller", "from a file")
    assert auth_of(write("[source.auth]", 'kind = "bearer"', 'password_env = "EHR_PASSWORD"')) == BearerAuth("s3cret")
    assert "s3cret" not in repr(endpoint_of("ehr", intake_of(load_config(path))))


def test_each_other_way_to_sign_in(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EHR_PASSWORD", "s3cret")
    path = write("[source.auth]", 'kind = "mtls"', 'cert_file = "c.pem"', 'key_file = "k.pem"')
    folder = path.parent
    assert auth_of(path) == MutualTls(folder / "c.pem", folder / "k.pem")
    lines = ("[source.auth]", 'kind = "client_credentials"', 'client_id = "c"', 'password_env = "EHR_PASSWORD"')
    assert auth_of(write(*lines)) == ClientCredentials("c", "s3cret")
    more = ('token_url = "https://id.example/token"', 'scopes = ["a"]', 'token_auth_method = "client_secret_post"')
    assert auth_of(write(*lines, *more)) == ClientCredentials("c", "s3cret", "https://id.example/token", ("a",), "form")
    (folder / "k.pem").write_text("KEY", "utf-8")
    smart = ("[source.auth]", 'kind = "smart"', 'client_id = "c"', 'key_file = "k.pem"')
    assert auth_of(write(*smart)) == SmartBackend("c", "KEY", scopes=SMART_SCOPES)
    assert auth_of(write(*smart, 'key_id = "1"', 'scopes = ["system/*.rs"]')) == SmartBackend(
        "c", "KEY", "1", scopes=("system/*.rs",)
    )


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('password_env = "NOT_SET_ANYWHERE"', "password_env: there is no secret where it says"),
        ('password_file = "empty"', "password_file: there is no secret where it says"),
        ('password_file = "missing"', "password_file: the file cannot be read (no such file or directory)"),
    ],
)
def test_a_secret_that_is_not_there_is_told_when_the_server_is_asked(write: Write, line: str, words: str) -> None:
    path = write("[source.auth]", 'kind = "bearer"', line)
    (path.parent / "empty").write_text("\n", "utf-8")
    intake = intake_of(load_config(path))
    with pytest.raises(FhirError, match=re.escape(words)):
        endpoint_of("ehr", intake)


# --- when it is polled --------------------------------------------------------------------------------------------

FIELD = st.one_of(
    st.just("*"),
    st.integers(0, 60).map(str),
    st.tuples(st.integers(0, 60), st.integers(0, 60)).map(lambda t: f"{t[0]}-{t[1]}"),
    st.tuples(st.integers(0, 30), st.integers(0, 60), st.integers(0, 40)).map(lambda t: f"{t[0]}-{t[1]}/{t[2]}"),
    st.integers(0, 70).map("*/{}".format),
    st.sampled_from(["mon", "sun", "mon-fri", "fri-mon", "jan", "dec", "feb-apr", "may-1", "x", "", "1,2", "mon,wed"]),
)


@given(st.lists(FIELD, min_size=5, max_size=5).map(" ".join))
def test_every_crontab_that_is_taken_is_one_that_the_schedule_understands(text: str) -> None:
    try:
        taken = _crontab(text)
    except PydanticCustomError:
        return
    section = {"name": "ehr", "kind": "fhir", "base_url": "http://h/f", "identifier_system": {"A": "urn:a"}}
    FhirSection.model_validate({**section, "poll_cron": taken})
    minute, hour, day, month, weekday = taken.split()
    from apscheduler.triggers.cron import CronTrigger

    CronTrigger(minute=minute, hour=hour, day=day, month=month, day_of_week=weekday, timezone=UTC)


SHANGHAI = ZoneInfo("Asia/Shanghai")
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=SHANGHAI)


def test_a_crontab_is_in_the_trials_time_zone(write: Write) -> None:
    intake = intake_of(load_config(write('poll_cron = "0 6 * * *"')))
    due = poll_trigger(intake, "Asia/Shanghai", jitter=False).get_next_fire_time(None, NOON)
    assert due == datetime(2026, 3, 3, 6, 0, tzinfo=SHANGHAI)


@pytest.mark.parametrize(
    ("line", "last", "due"),
    [
        ('poll_every = "1h"', None, NOON),
        ('poll_every = "1h"', "2026-03-02T03:30:00+00:00", datetime(2026, 3, 2, 12, 30, tzinfo=SHANGHAI)),
        ('poll_every = "1h"', "2026-03-01T00:00:00+00:00", NOON),
        ('poll_cron = "0 6 * * *"', None, NOON),
        ('poll_cron = "0 6 * * *"', "2026-03-01T22:00:00+00:00", datetime(2026, 3, 3, 6, 0, tzinfo=SHANGHAI)),
        ('poll_cron = "0 6 * * *"', "2026-03-01T21:59:00+00:00", NOON),
        ('poll_cron = "0 6 * * *"', "2026-02-01T00:00:00+00:00", NOON),
    ],
)
def test_what_fell_due_while_the_daemon_was_down_is_made_up_once(write: Write, line: str, last, due) -> None:
    intake = intake_of(load_config(write(line)))
    assert next_poll(intake, "Asia/Shanghai", last, NOON) == due
