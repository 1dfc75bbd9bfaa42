"""``lab-adapter user``: the first administrator, and everybody after."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from daemonrun import DaemonRun
from test_config_web import CONFIG

from adapter.store import Store
from adapter.web.access import is_password

TRIAL = "NCT06984497"
PASSWORD = "seven quiet herons"


@pytest.fixture
def site(tmp_path: Path) -> DaemonRun:
    (tmp_path / "config.toml").write_text(CONFIG, encoding="utf-8")
    run = DaemonRun(tmp_path)
    run.run("init", str(tmp_path))
    return run


def refused(site: DaemonRun, *arguments: str, status: int = 1, given: str = "") -> str:
    done = subprocess.run(site.command("user", *arguments), input=given, capture_output=True, text=True, check=False)
    assert done.returncode == status, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done.stderr


def add(site: DaemonRun, patch: pytest.MonkeyPatch, name: str, role: str = "administrator") -> str:
    patch.setattr("sys.stdin", io.StringIO(PASSWORD + "\n"))
    return site.run("user", "add", name, "--role", role, "--password-stdin")


def store(site: DaemonRun) -> Store:
    return Store.open(site.folder / "trial.db", TRIAL)


def test_the_first_administrator_is_made_with_a_password_from_standard_input(
    site: DaemonRun, monkeypatch: pytest.MonkeyPatch
):
    assert site.ask("user", "list") == []
    assert PASSWORD not in add(site, monkeypatch, "wang")
    (found,) = site.ask("user", "list")
    assert found.items() >= {"name": "wang", "role": "administrator", "disabled_at": None}.items()
    with store(site) as kept:
        assert is_password(PASSWORD, kept.account("wang").password_hash)
        record = kept.audit_records()[-1]
    assert (record.what, record.subject, json.loads(record.new)) == ("account added", "wang", {"role": "administrator"})


def test_a_password_that_is_made_is_printed_once_and_is_another_each_time(site: DaemonRun):
    made = [site.run("user", "add", name, "--role", "viewer", "--generate") for name in ("a", "b")]
    passwords = [text.splitlines()[1].removeprefix("password: ") for text in made]
    assert passwords[0] != passwords[1]
    assert all(re.fullmatch(r"[2-9a-hj-km-np-z]{4}(-[2-9a-hj-km-np-z]{4}){3}", each) for each in passwords)
    with store(site) as kept:
        assert is_password(passwords[0], kept.account("a").password_hash)
    assert all(each not in site.run("user", "list") for each in passwords)


def test_a_password_is_its_owner_s_only_where_the_owner_set_it(site: DaemonRun):
    def must_change() -> bool:
        (found,) = site.ask("user", "list")
        return bool(found["must_change_password"])

    site.run("user", "add", "wang", "--role", "administrator", "--generate", "--by", "li")
    assert must_change()
    site.run("user", "password", "wang", "--generate", "--by", "wang")
    assert not must_change()
    site.run("user", "role", "wang", "administrator", "--by", "li")
    assert not must_change()
    site.run("user", "password", "wang", "--generate", "--by", "li")
    assert must_change()
    site.run("user", "disable", "wang", "--by", "li", status=1)
    site.run("user", "enable", "wang", "--by", "li")
    assert must_change()


def test_on_a_terminal_it_is_asked_for_twice_and_not_shown(site: DaemonRun):
    ours, theirs = os.openpty()
    command = site.command("user", "add", "wang", "--role", "administrator")
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True) as process:
        os.close(theirs)
        shown = b""
        for prompt in (b"Password: ", b"Once more: "):
            while prompt not in shown:
                shown += os.read(ours, 1000)
            os.write(ours, PASSWORD.encode() + b"\n")
        while b"may sign in" not in shown:
            shown += os.read(ours, 1000)
        assert process.wait(timeout=60) == 0
    os.close(ours)
    assert PASSWORD.encode() not in shown


def test_without_a_terminal_and_without_saying_how_there_is_no_account(site: DaemonRun):
    words = refused(site, "add", "wang", "--role", "viewer", status=2)
    assert "--password-stdin or --generate" in words
    refused(site, "add", "wang", "--role", "viewer", "--generate", "--password-stdin", status=2)
    assert site.ask("user", "list") == []


@pytest.mark.parametrize(
    ("name", "password", "words"),
    [
        ("wang", "short", "at least 12 characters"),
        ("wang", "", "at least 12 characters"),
        ("wang", "aaaaaaaaaaaaaa", "too easily guessed"),
        ("two words", PASSWORD, "no blanks"),
    ],
)
def test_what_cannot_be_an_account_is_refused_with_the_reason(site: DaemonRun, name: str, password: str, words: str):
    assert words in refused(site, "add", name, "--role", "viewer", "--password-stdin", given=f"{password}\n")
    assert site.ask("user", "list") == []


def test_an_account_is_changed_disabled_and_enabled_and_the_trail_says_who(
    site: DaemonRun, monkeypatch: pytest.MonkeyPatch
):
    add(site, monkeypatch, "wang")
    add(site, monkeypatch, "li", "viewer")
    site.run("user", "role", "li", "coordinator", "--by", "wang", "--reason", "joined the study team")
    site.run("user", "disable", "li", "--by", "wang", "--reason", "left the hospital")
    assert site.ask("user", "list")[0]["disabled_at"] is not None
    site.run("user", "enable", "li", "--by", "wang")
    made = site.run("user", "password", "li", "--generate", "--by", "wang").splitlines()[1].removeprefix("password: ")
    with store(site) as kept:
        account, records = kept.account("li"), kept.audit_records(subject="li")
    assert (account.role, account.disabled_at) == ("coordinator", None)
    assert is_password(made, account.password_hash)
    assert [(r.who, r.why) for r in records[1:]] == [
        ("wang", "joined the study team"),
        ("wang", "left the hospital"),
        ("wang", "on the command line"),
        ("wang", "on the command line"),
    ]
    assert made not in str(records)


def test_who_is_not_there_cannot_be_changed_and_who_is_there_not_be_added(
    site: DaemonRun, monkeypatch: pytest.MonkeyPatch
):
    add(site, monkeypatch, "wang")
    for arguments in (["disable", "li"], ["enable", "li"], ["role", "li", "viewer"], ["password", "li", "--generate"]):
        assert "there is no account li" in refused(site, *arguments)
    assert "there is an account wang already" in refused(site, "add", "wang", "--role", "viewer", "--generate")


def test_the_last_administrator_stays(site: DaemonRun, monkeypatch: pytest.MonkeyPatch):
    add(site, monkeypatch, "wang")
    assert "the last administrator" in refused(site, "disable", "wang")
    assert "the last administrator" in refused(site, "role", "wang", "viewer")
    add(site, monkeypatch, "li")
    site.run("user", "disable", "wang")
    assert "the last administrator" in refused(site, "disable", "li")
