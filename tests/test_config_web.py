"""``[web]``: when the page may be served, and to whom it answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapter.config import ConfigError, load_config

CHECKOUT = Path(__file__).parents[1]
CONFIG = f"""
[trial]
protocol = "{CHECKOUT / "mappings" / "nct06984497.toml"}"
[[source]]
name = "lis"
kind = "mllp"
port = 0
authority = "NTCGH"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("page.pem", "page.key"):
        (tmp_path / name).write_text("", "utf-8")
    return tmp_path


def written(folder: Path, *lines: str) -> Path:
    path = folder / "config.toml"
    path.write_text("\n".join([CONFIG, *lines]), "utf-8")
    return path


def test_without_the_section_there_is_no_page(folder: Path):
    assert load_config(written(folder)).web is None


def test_an_empty_section_is_a_page_on_this_machine_that_locks_and_times_out(folder: Path):
    web = load_config(written(folder, "[web]")).web
    assert web is not None
    assert (web.host, web.port, web.secure) == ("127.0.0.1", 8765, False)
    assert (web.lock_after, web.lock_for_seconds) == (5, 900)
    assert (web.idle_timeout_seconds, web.session_timeout_seconds) == (1800, 43200)


def test_files_are_relative_to_the_configuration_and_make_it_tls(folder: Path):
    web = load_config(
        written(folder, "[web]", 'host = "10.0.0.5"', 'cert_file = "page.pem"', 'key_file = "page.key"')
    ).web
    assert web is not None
    assert (web.cert, web.key, web.secure) == (folder / "page.pem", folder / "page.key", True)
    assert web.url(8443) == "https://10.0.0.5:8443/"


@pytest.mark.parametrize(
    ("lines", "place", "cause", "remedy"),
    [
        (['host = "10.0.0.5"'], "web.host", "passwords would cross the network openly", "cert_file and key_file"),
        (['cert_file = "page.pem"'], "web", "cert_file and key_file go together", "both, or neither"),
        (['cert_file = "none.pem"', 'key_file = "page.key"'], "web.cert_file", "there is no file none.pem", "PEM file"),
        (
            ['host = "0.0.0.0"', 'cert_file = "page.pem"', 'key_file = "page.key"'],
            "web.names",
            "every address of this machine",
            "what people put into the browser",
        ),
    ],
)
def test_what_would_be_unsafe_or_unreachable_is_refused(
    folder: Path, lines: list[str], place: str, cause: str, remedy: str
):
    with pytest.raises(ConfigError) as raised:
        load_config(written(folder, "[web]", *lines))
    (problem,) = raised.value.problems
    assert problem.place == place
    assert cause in problem.cause
    assert remedy in problem.remedy


def test_a_host_in_brackets_is_an_ipv6_address(folder: Path):
    web = load_config(written(folder, "[web]", 'host = "::1"')).web
    assert web is not None
    assert web.url(8765) == "http://[::1]:8765/"
