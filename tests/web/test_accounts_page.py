"""Accounts, one's own password and the trail, as an administrator and a data manager use them."""

from __future__ import annotations

import re

import pytest
from webrun import PASSWORD, Browser, WebRun

OTHER = "nine slow tortoises"


@pytest.fixture
def admin(web: WebRun) -> Browser:
    return web.sign_in("administrator")


def may_sign_in(web: WebRun, name: str, password: str = PASSWORD) -> bool:
    browser = web.browser()
    browser.get("/sign-in")
    return browser.submit("/sign-in", follow_redirects=False, name=name, password=password).status_code == 303


def test_an_administrator_adds_somebody_who_then_signs_in_and_changes_the_password(web: WebRun, admin: Browser):
    answer = admin.submit("/accounts", name="李护士", role="coordinator", password=OTHER)
    assert "The account 李护士 is there." in answer.text
    assert ("administrator", "account added", "李护士") in web.trail()
    browser = web.sign_in("李护士", OTHER)
    changed = browser.submit("/password", old=OTHER, new="four green kettles", again="four green kettles")
    assert changed.url.path == "/sign-in"
    assert not may_sign_in(web, "李护士", OTHER)
    assert may_sign_in(web, "李护士", "four green kettles")
    assert ("李护士", "account changed", "李护士") in web.trail()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": "viewer"}, "There is an account of this name already."),
        ({"name": ""}, "A name has up to 60 letters and digits"),
        ({"name": "a b"}, "A name has up to 60 letters and digits"),
        ({"name": "x" * 61}, "A name has up to 60 letters and digits"),
        ({"name": "<script>alert(1)</script>"}, "A name has up to 60 letters and digits"),
        ({"role": "king"}, "Choose a role."),
        ({"password": "short"}, "at least 12 characters"),
        ({"password": "x" * 1001}, "at most 1,000 characters"),
        ({"password": "abababababab"}, "too easily guessed"),
        ({"name": "florence", "password": "florenceflorence"}, "too easily guessed"),
    ],
)
def test_an_account_that_cannot_be_made_says_why(web: WebRun, admin: Browser, fields: dict[str, str], words: str):
    answer = admin.submit("/accounts", **{"name": "new", "role": "viewer", "password": OTHER, **fields})
    assert (answer.status_code, words in answer.text) == (422, True)
    assert len(web.store.accounts()) == 4
    assert "<script>alert" not in answer.text


def test_a_role_is_changed_and_a_password_set_and_an_account_disabled_and_enabled(web: WebRun, admin: Browser):
    assert "has another role" in admin.submit("/accounts/role", name="viewer", role="data_manager").text
    assert web.sign_in("viewer").get("/trail").status_code == 200
    assert "has a new password" in admin.submit("/accounts/password", name="viewer", password=OTHER).text
    assert (may_sign_in(web, "viewer"), may_sign_in(web, "viewer", OTHER)) == (False, True)
    assert "cannot sign in any more" in admin.submit("/accounts/disable", name="viewer").text
    assert not may_sign_in(web, "viewer", OTHER)
    assert "can sign in again" in admin.submit("/accounts/enable", name="viewer").text
    assert may_sign_in(web, "viewer", OTHER)


@pytest.mark.parametrize("action", ["role", "password", "disable", "enable"])
def test_an_account_that_there_is_not_cannot_be_changed(admin: Browser, action: str):
    answer = admin.submit(f"/accounts/{action}", name="nobody", role="viewer", password=OTHER)
    assert (answer.status_code, "There is no account of this name." in answer.text) == (422, True)


def test_the_last_administrator_can_neither_be_disabled_nor_demoted(web: WebRun, admin: Browser):
    for path, more in (("/accounts/disable", {}), ("/accounts/role", {"role": "viewer"})):
        answer = admin.submit(path, name="administrator", **more)
        assert (answer.status_code, "the last administrator" in answer.text) == (422, True)
    admin.submit("/accounts/role", name="viewer", role="administrator")
    answer = admin.submit("/accounts/disable", name="administrator")
    assert answer.url.path == "/sign-in", "who disabled their own account is signed out"
    assert web.store.account("administrator").disabled_at is not None
    other = web.sign_in("viewer")
    assert other.submit("/accounts/disable", name="viewer").status_code == 422


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"old": "not the old one"}, "The old password is wrong."),
        ({"again": "something else here"}, "The two new passwords differ."),
        ({"new": "short", "again": "short"}, "at least 12 characters"),
    ],
)
def test_a_password_that_cannot_be_changed_says_why(web: WebRun, fields: dict[str, str], words: str):
    answer = web.sign_in("viewer").submit("/password", **{"old": PASSWORD, "new": OTHER, "again": OTHER, **fields})
    assert (answer.status_code, words in answer.text) == (422, True)
    assert may_sign_in(web, "viewer")


# --- the trail ----------------------------------------------------------------------------------------------------


def numbers(text: str) -> list[int]:
    return [int(found) for found in re.findall(r'<td class="number">(\d+)</td>', text)]


def test_the_trail_is_read_in_pages_the_newest_first(web: WebRun):
    with web.store.write() as tx:
        for number in range(250):
            tx.record("tested", f"S-{number:03}", who="test", at=web.now, why="to have many")
    browser = web.sign_in("data_manager")
    first = browser.get("/trail").text
    last = web.store.audit_records()[-1].seq
    assert numbers(first) == list(range(last, last - 100, -1))
    seen = numbers(first)
    while older := re.search(r'href="(/trail\?[^"]*before=\d+)"', first):
        first = browser.get(older[1].replace("&amp;", "&")).text
        seen += numbers(first)
    assert seen == list(range(last, 0, -1))


def test_the_trail_is_read_of_one_subject_and_by_one_person(web: WebRun):
    browser = web.sign_in("data_manager")
    text = browser.get("/trail", params={"subject": "S-001"}).text
    assert len(numbers(text)) == len(web.store.audit_records(subject="S-001")) > 0
    text = browser.get("/trail", params={"who": "data_manager"}).text
    assert numbers(text) == [web.store.audit_records()[-1].seq]
    assert "Nothing is recorded." in browser.get("/trail", params={"subject": "' OR 1=1 --"}).text


@pytest.mark.parametrize("before", ["-1", "x", "9" * 40, "１２", "1.5"])
def test_a_page_of_the_trail_that_is_no_number_is_no_error(web: WebRun, before: str):
    assert web.sign_in("data_manager").get("/trail", params={"before": before}).status_code == 200


def test_what_stands_in_the_trail_is_shown_as_it_is_and_never_run(web: WebRun):
    with web.store.write() as tx:
        hostile = "<script>alert(1)</script>"
        tx.record("tested", hostile, who=hostile, at=web.now, why=hostile, new={hostile: hostile})
    text = web.sign_in("data_manager").get("/trail").text
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_the_chain_is_verified_against_a_head_noted_earlier(web: WebRun):
    browser = web.sign_in("data_manager")
    head = web.store.head()
    text = browser.get("/trail/verify", params={"head": head}).text
    assert f"Yes: {len(web.store.audit_records())} records." in text
    assert head in text
    assert "Yes:" in browser.get("/trail/verify").text
    broken = browser.get("/trail/verify", params={"head": "0" * 64}).text
    assert "NO:" in broken
    assert "the head noted earlier is not in the chain" in broken
    assert browser.get("/trail/verify", params={"head": "xyz"}).status_code == 422
