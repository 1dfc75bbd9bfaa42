"""Signing in and out in a real browser."""

from __future__ import annotations

import pytest
from browsing import Desk, Opens
from pagesite import PageSite
from playwright.sync_api import expect

OWN = "nine loud magpies"
LOCKED = "This name has failed too often and is locked for a while."
both = pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])


def is_at_the_sign_in(desk: Desk) -> None:
    expect(desk.page.get_by_role("heading", level=1)).to_have_text("Sign in")


def alert(desk: Desk, words: str) -> None:
    expect(desk.page.get_by_role("alert")).to_have_text(words)


@both
def test_who_was_asked_to_sign_in_comes_to_the_page_they_wanted_and_signs_out_for_good(
    opens: Opens, site: PageSite, script: bool
):
    name = f"liu-{script}"
    desk = opens("", script=script)
    desk.page.goto(f"{site.url}/help")
    is_at_the_sign_in(desk)
    desk.sign_in(name, site.account(name, "viewer"))
    assert desk.path == "/help"
    desk.page.get_by_role("button", name="Sign out").click()
    is_at_the_sign_in(desk)
    desk.page.go_back()
    desk.page.reload()
    is_at_the_sign_in(desk)
    assert [r["what"] for r in site.ask("audit", "show") if r["who"] == name][-2:] == ["signed in", "signed out"]


@both
def test_a_wrong_password_is_told_and_the_fifth_locks_the_name(opens: Opens, site: PageSite, script: bool):
    name = f"forgetful-{script}"
    password = site.account(name, "viewer")
    desk = opens("", script=script)
    for said in [*["Name or password is wrong."] * 4, LOCKED]:
        desk.try_to_sign_in(name, "not the password")
        alert(desk, said)
    desk.try_to_sign_in(name, password)
    alert(desk, LOCKED)
    site.run("user", "enable", name)
    desk.sign_in(name, password)
    refused = [r["what"] for r in site.trail("sign-in refused") if r["subject"] == name]
    assert len(refused) == 6


def test_a_password_that_somebody_else_chose_is_changed_before_anything_else(opens: Opens, site: PageSite):
    desk, given = opens(""), site.account("newcomer", "coordinator", by="administrator")
    desk.sign_in("newcomer", given)
    desk.page.goto(f"{site.url}/roster")
    assert desk.path == "/password"
    desk.page.get_by_label("Old password").fill(given)
    for label in ("New password", "New password again"):
        desk.page.get_by_label(label, exact=True).fill(OWN)
    desk.page.get_by_role("button", name="Change it").click()
    is_at_the_sign_in(desk)
    desk.sign_in("newcomer", OWN)
    assert desk.path == "/"
