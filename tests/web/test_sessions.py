"""Signing in and staying signed in: lock-out, time-outs, cookies, and what every answer carries."""

from __future__ import annotations

import re
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from starlette.responses import Response
from webrun import CONFIG, PASSWORD, Browser, WebRun

from adapter.store import Store
from adapter.web import accounts
from adapter.web.access import NotSignedIn, hash_token, sign_in
from adapter.web.page import COOKIE, FORM_COOKIE, LANGUAGE_COOKIE, MOST_BYTES, MOST_BYTES_OF_A_STRANGER, Page, serve
from adapter.web.pages import ROUTES

FORM = "application/x-www-form-urlencoded"


def tries(browser: Browser, name: str, password: str, **more: str) -> int:
    browser.get("/sign-in")
    return browser.submit("/sign-in", follow_redirects=False, name=name, password=password, **more).status_code


def is_signed_in(browser: Browser) -> bool:
    return browser.get("/password", follow_redirects=False).status_code == 200


# --- signing in ---------------------------------------------------------------------------------------------------


def test_a_sign_in_and_a_sign_out_are_in_the_trail_and_the_session_ends_on_the_server(web: WebRun):
    browser = web.sign_in("viewer")
    kept = browser.cookies[COOKIE]
    assert is_signed_in(browser)
    browser.submit("/sign-out")
    again = web.browser()
    again.cookies.set(COOKIE, kept)
    assert not is_signed_in(again)
    assert web.trail()[-2:] == [("viewer", "signed in", "viewer"), ("viewer", "signed out", "viewer")]


def test_the_store_holds_neither_the_password_nor_the_session(web: WebRun):
    browser = web.sign_in("viewer")
    content = web.config.store_path.read_bytes()
    assert hash_token(browser.cookies[COOKIE]).encode() in content
    assert browser.cookies[COOKIE].encode() not in content
    assert PASSWORD.encode() not in content
    assert b"$argon2id$" in content


def test_every_sign_in_has_a_session_of_its_own_whatever_the_browser_brought(web: WebRun):
    browser = web.browser()
    browser.cookies.set(COOKIE, "chosen-by-somebody-else", domain="127.0.0.1", path="/")
    assert tries(browser, "viewer", PASSWORD) == 303
    first = browser.cookies[COOKIE]
    assert first != "chosen-by-somebody-else"
    assert tries(browser, "viewer", PASSWORD) == 303
    assert browser.cookies[COOKIE] != first
    assert web.store.visit(hash_token(first)) is None
    assert not is_signed_in(Browser(web, "en"))


def test_a_wrong_password_an_unknown_name_and_a_disabled_account_are_told_alike(web: WebRun):
    with web.store.write() as tx:
        tx.change_account("coordinator", "test", "test", web.now, disabled=True)
    told = []
    for name, password in (("viewer", "not the password"), ("nobody", PASSWORD), ("coordinator", PASSWORD)):
        browser = web.browser()
        browser.get("/sign-in")
        answer = browser.submit("/sign-in", name=name, password=password)
        told.append((answer.status_code, answer.text.replace(browser.cookies[FORM_COOKIE], "")))
    assert told[0][0] == 403
    assert "Name or password is wrong." in told[0][1]
    assert told[0] == told[1] == told[2]


def test_an_unknown_name_takes_as_long_to_refuse_as_a_known_one(web: WebRun):
    def seconds(name: str) -> float:
        browser = web.browser()
        browser.get("/sign-in")
        started = time.perf_counter()
        browser.submit("/sign-in", name=name, password="not the password")
        return time.perf_counter() - started

    known = statistics.median(seconds("viewer") for _ in range(3))
    unknown = statistics.median(seconds("nobody") for _ in range(3))
    assert unknown > known / 4, "an unknown name is refused without a password being verified"


def test_what_is_typed_in_place_of_a_name_is_never_kept(web: WebRun):
    assert tries(web.browser(), "my secret passphrase", "x") == 403
    assert b"my secret passphrase" not in web.config.store_path.read_bytes()
    assert web.trail()[-1] == ("a name without an account", "sign-in refused", "a name without an account")


# --- the lock -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["viewer", "nobody"])
def test_after_as_many_wrong_passwords_as_configured_a_name_is_locked_for_a_while(web: WebRun, name: str):
    browser = web.browser()
    for _ in range(web.config.web.lock_after - 1):
        browser.get("/sign-in")
        assert "is wrong" in browser.submit("/sign-in", name=name, password="not the password").text
    browser.get("/sign-in")
    assert "locked for a while" in browser.submit("/sign-in", name=name, password="not the password").text
    assert tries(browser, name, PASSWORD) == 403
    assert tries(web.browser(), "administrator", PASSWORD) == 303


def test_a_lock_opens_by_itself_and_a_sign_in_starts_the_count_anew(web: WebRun):
    browser = web.browser()
    for _ in range(web.config.web.lock_after):
        tries(browser, "viewer", "not the password")
    web.now += timedelta(seconds=web.config.web.lock_for_seconds - 1)
    assert tries(browser, "viewer", PASSWORD) == 403
    web.now += timedelta(seconds=1)
    assert tries(browser, "viewer", PASSWORD) == 303
    assert web.store.sign_ins("viewer").failures == 0


def test_guessing_while_locked_does_not_make_the_lock_longer(web: WebRun):
    for _ in range(web.config.web.lock_after):
        tries(web.browser(), "viewer", "not the password")
    until = web.store.sign_ins("viewer").locked_until
    web.now += timedelta(seconds=60)
    tries(web.browser(), "viewer", "not the password")
    assert web.store.sign_ins("viewer").locked_until == until


def test_guesses_at_the_same_time_are_counted_one_by_one(web: WebRun):
    def guess(_: int) -> bool:
        with Store.open(web.config.store_path, web.config.protocol.trial) as store:
            went = sign_in(store, web.config.web, "viewer", "not the password", web.now)
        assert isinstance(went, NotSignedIn)
        return went.locked

    with ThreadPoolExecutor(8) as pool:
        locked = list(pool.map(guess, range(12)))
    assert locked.count(False) == web.config.web.lock_after - 1


def test_an_open_session_is_no_place_to_guess_its_password(web: WebRun):
    browser = web.sign_in("viewer")
    for _ in range(web.config.web.lock_after):
        assert browser.submit("/password", old="a guess", new="x", again="x").status_code == 422
    assert not is_signed_in(browser)
    assert tries(web.browser(), "viewer", PASSWORD) == 403


# --- time-outs ----------------------------------------------------------------------------------------------------


def test_a_session_that_is_not_used_ends(web: WebRun):
    browser = web.sign_in("viewer")
    web.now += timedelta(seconds=web.config.web.idle_timeout_seconds + 1)
    assert not is_signed_in(browser)
    web.now -= timedelta(seconds=web.config.web.idle_timeout_seconds)
    assert not is_signed_in(browser), "a session that has ended began again"


def test_a_session_that_is_used_lives_on_until_it_is_too_old(web: WebRun):
    browser = web.sign_in("viewer")
    began, step = web.now, timedelta(seconds=web.config.web.idle_timeout_seconds - 1)
    while web.now + step - began <= timedelta(seconds=web.config.web.session_timeout_seconds):
        web.now += step
        assert is_signed_in(browser)
    web.now = began + timedelta(seconds=web.config.web.session_timeout_seconds + 1)
    assert not is_signed_in(browser)


def test_a_session_that_nobody_ended_is_forgotten_once_it_is_too_old(web: WebRun):
    browser = web.sign_in("viewer")
    kept = hash_token(browser.cookies[COOKIE])
    web.now += timedelta(seconds=web.config.web.session_timeout_seconds)
    web.sign_in("coordinator")
    assert web.store.visit(kept) is not None
    web.now += timedelta(seconds=1)
    web.sign_in("coordinator")
    assert web.store.visit(kept) is None


def test_a_form_of_a_session_that_ended_says_so_and_changes_nothing(web: WebRun):
    browser = web.sign_in("administrator")
    token = browser.token
    web.now += timedelta(seconds=web.config.web.idle_timeout_seconds + 1)
    answer = browser.post("/accounts/disable", data={"csrf": token, "name": "viewer"})
    assert (answer.status_code, "Your session has ended" in answer.text) == (403, True)
    assert web.store.account("viewer").disabled_at is None


@pytest.mark.parametrize("change", [{"disabled": True}, {"role": "viewer"}, {"password_hash": "x"}])
def test_a_change_of_the_account_ends_its_sessions(web: WebRun, change: dict[str, object]):
    browser = web.sign_in("coordinator")
    with web.store.write() as tx:
        tx.change_account("coordinator", "test", "test", web.now, **change)
    assert not is_signed_in(browser)


# --- a password that somebody else set ------------------------------------------------------------------------------

GIVEN = "nine slow tortoises"
# What else can be sent: to sign in anew or out, to change the password, to choose the language.
FREE = {"do_sign_in", "change_password", "sign_out", "language"}


def given(web: WebRun, name: str) -> Browser:
    """A browser of somebody whose password somebody else has just set."""
    accounts.set_password(web.store, name, GIVEN, "somebody else", "forgotten", web.now)
    return web.sign_in(name, GIVEN)


def test_who_was_given_a_password_comes_to_the_form_that_changes_it_and_nowhere_else(web: WebRun):
    browser = given(web, "administrator")
    asked = [route for route in ROUTES if "GET" in route.methods and route.name not in {"sign_in", "password"}]
    assert len(asked) > 10
    for route in asked:
        facts = dict.fromkeys(route.param_convertors, "1")
        answer = browser.get(route.url_path_for(route.name, **facts), follow_redirects=False)
        assert (route.path, answer.status_code, answer.headers["location"]) == (route.path, 303, "/password")
    shown = browser.get("/").text
    assert "Somebody else chose this password." in shown
    assert "<nav" not in shown
    assert "<nav" not in browser.get("/no-such-page").text


def test_who_was_given_a_password_cannot_send_any_other_form_either(web: WebRun):
    browser = given(web, "administrator")
    before = web.trail()
    for route in ROUTES:
        if "POST" in route.methods and route.name not in FREE:
            facts = dict.fromkeys(route.param_convertors, "1")
            answer = browser.submit(route.url_path_for(route.name, **facts), follow_redirects=False, name="viewer")
            assert (route.path, answer.status_code, answer.headers["location"]) == (route.path, 303, "/password")
    assert web.trail() == before
    assert web.store.account("viewer").disabled_at is None
    assert browser.submit("/sign-out").url.path == "/sign-in"


def test_with_a_password_of_ones_own_the_pages_are_open(web: WebRun):
    browser = given(web, "viewer")
    same = browser.submit("/password", old=GIVEN, new=GIVEN, again=GIVEN)
    assert (same.status_code, "take another" in same.text) == (422, True)
    changed = browser.submit("/password", old=GIVEN, new=PASSWORD, again=PASSWORD)
    assert (changed.url.path, "Sign in with the new one." in changed.text) == ("/sign-in", True)
    again = web.sign_in("viewer")
    assert again.get("/", follow_redirects=False).status_code == 200
    assert "Somebody else chose" not in again.get("/password").text


def test_a_new_account_changes_its_first_password_and_an_administrator_s_own_change_is_ones_own(web: WebRun):
    administrator = web.sign_in("administrator")
    administrator.submit("/accounts", name="new", role="viewer", password=GIVEN)
    assert web.sign_in("new", GIVEN).get("/", follow_redirects=False).headers["location"] == "/password"
    administrator.submit("/accounts/password", name="administrator", password=GIVEN)
    assert web.sign_in("administrator", GIVEN).get("/", follow_redirects=False).status_code == 200


# --- cookies, headers, hosts --------------------------------------------------------------------------------------


def test_cookies_are_out_of_reach_of_scripts_and_of_other_sites(web: WebRun):
    browser = web.browser()
    first = browser.get("/sign-in").headers["set-cookie"]
    second = browser.submit("/sign-in", follow_redirects=False, name="viewer", password=PASSWORD).headers.get_list(
        "set-cookie"
    )
    chosen = browser.submit("/language", follow_redirects=False, language="zh").headers["set-cookie"]
    for name, cookie in ((FORM_COOKIE, first), (COOKIE, second[0]), (LANGUAGE_COOKIE, chosen)):
        assert cookie.startswith(f"{name}=")
        assert "httponly" in cookie.lower()
        assert "samesite=strict" in cookie.lower()
        assert "secure" not in cookie.lower()


def test_over_tls_cookies_never_leave_it_and_the_browser_is_told_to_stay(web: WebRun):
    browser = web.browser()
    browser.base_url = "https://127.0.0.1"
    answer = browser.get("/sign-in")
    assert "secure" in answer.headers["set-cookie"].lower()
    assert answer.headers["strict-transport-security"].startswith("max-age=")


@pytest.mark.parametrize("path", ["/sign-in", "/", "/no-such-page", "/static/page.css", "/static/none.css"])
def test_every_answer_carries_the_headers_that_keep_others_out(web: WebRun, path: str):
    headers = web.browser().get(path, follow_redirects=False).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "style-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers.get_list("cache-control") == ["no-cache" if path.startswith("/static/") else "no-store"]


def test_another_host_s_name_is_refused_and_a_configured_one_is_not(tmp_path: Path, web: WebRun):
    assert web.browser().get("/sign-in", headers={"host": "evil.example"}).status_code == 400
    assert web.browser().get("/sign-in", headers={"host": "localhost:8765"}).status_code == 200
    assert web.browser().get("/sign-in", headers={"host": "[::1]:8765"}).status_code == 200
    (tmp_path / "named").mkdir()
    named = WebRun(tmp_path / "named", CONFIG + 'names = ["trial.hospital.example"]\n')
    assert named.browser().get("/sign-in", headers={"host": "trial.hospital.example"}).status_code == 200
    named.close()


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "\\/evil",
        "/\t/evil.example",
        "/\n/evil",
        "evil",
        "",
    ],
)
def test_signing_in_leads_to_this_page_and_nowhere_else(web: WebRun, target: str):
    browser = web.browser()
    browser.get("/sign-in", params={"next": target})
    answer = browser.submit("/sign-in", follow_redirects=False, name="viewer", password=PASSWORD, next=target)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_who_was_asked_to_sign_in_comes_to_the_page_they_wanted_with_its_query(web: WebRun):
    browser = web.browser()
    asked = browser.get("/trail?subject=a%26b&who=x")
    assert asked.url.path == "/sign-in"
    assert 'name="next" value="/trail?subject=a%26b&amp;who=x"' in asked.text
    wanted = asked.url.params["next"]
    answer = browser.submit("/sign-in", follow_redirects=False, name="data_manager", password=PASSWORD, next=wanted)
    assert answer.headers["location"] == "/trail?subject=a%26b&who=x"


# --- what cannot be answered --------------------------------------------------------------------------------------


def test_a_page_that_there_is_not_says_so_in_the_caller_s_menu(web: WebRun):
    answer = web.sign_in("viewer").get("/no-such-page")
    assert answer.status_code == 404
    assert "There is no such page." in answer.text
    assert 'href="/review"' in answer.text


@pytest.mark.parametrize("stated", [True, False])
@pytest.mark.parametrize(("path", "most"), [("/language", MOST_BYTES_OF_A_STRANGER), ("/password", MOST_BYTES)])
def test_a_form_larger_than_any_form_of_its_page_is_refused(web: WebRun, path: str, most: int, stated: bool):
    browser, headers = web.sign_in("viewer"), {"content-type": FORM}
    for size, status in ((most - 10, 403), (most, 413)):
        body = b"csrf=" + b"x" * size
        content = body if stated else iter([body[:1000], body[1000:]])
        answer = browser.post(path, content=content, headers=headers)
        assert (answer.status_code, "That is too large." in answer.text) == (status, status == 413)


ODD = ["\x1b[2J", "\x00", "one\ntwo", "\u202egnorw", "\u2066", "\u200b", "\x9b", "x" * 2001]


@pytest.mark.parametrize("odd", ODD, ids=map(repr, range(len(ODD))))
def test_what_cannot_be_seen_is_written_into_no_record(web: WebRun, odd: str):
    browser, head = web.sign_in("administrator"), web.store.head()
    forms = [
        ("/roster/S-001/facts", {"sex": "M", "reason": odd}),
        ("/enrol", {"study_id": "S-9", "identifier": "9", "authority": f"NTCGH{odd}"}),
        ("/accounts", {"name": f"x{odd}", "role": "viewer", "password": "seven quiet herons"}),
        ("/roster/S-001/assessments", {"assessed_on": "2026-02-02", "ascites": "mild", "reason": odd}),
    ]
    for path, fields in forms:
        answer = browser.submit(path, **fields)
        assert (answer.status_code, "characters that cannot be seen" in answer.text) == (422, True), path
    assert web.store.head() == head


def test_a_reason_may_be_written_in_any_script(web: WebRun):
    browser = web.sign_in("coordinator")
    for why in ("按病历更正　（见附页）", "Überprüft – né le 3", "проверено", "تم التصحيح", "ok 👍"):
        shown = browser.submit("/roster/S-001/facts", sex="M", reason=why)
        assert shown.status_code == 200
        assert why in shown.text


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"no parts", "multipart/form-data; boundary=x"),
        (b"a=1&" * 6000, FORM),
        (b"--x\r\nContent-Disposition: form-data\r\n\r\n\r\n--x--", "multipart/form-data; boundary=x"),
        (b"\xff\xfe", "multipart/form-data"),
    ],
)
def test_what_is_no_form_is_refused_in_words(web: WebRun, content: bytes, kind: str):
    answer = web.sign_in("viewer").post("/password", content=content, headers={"content-type": kind})
    assert answer.status_code in (400, 403)
    assert "<h1>Not done</h1>" in answer.text


def test_a_file_where_a_field_belongs_is_no_password(web: WebRun):
    browser = web.browser()
    browser.get("/sign-in")
    fields = {"csrf": browser.token, "name": "viewer"}
    assert browser.post("/sign-in", data=fields, files={"password": b"seven quiet herons"}).status_code == 403


# --- what fails ---------------------------------------------------------------------------------------------------


def test_a_page_that_fails_shows_and_logs_nothing_of_what_it_was_at(web: WebRun, caplog: pytest.LogCaptureFixture):
    def fail(page: Page) -> Response:
        raise ValueError("Anren^Lan 0012345")

    web.app.router.routes.append(serve("/fails", fail, "fails", methods=("GET", "POST")))
    browser = web.sign_in("viewer")
    for answer in (browser.get("/fails"), browser.submit("/fails")):
        assert (answer.status_code, "The page failed." in answer.text) == (500, True)
        assert "Anren" not in answer.text
    assert re.search(r"ValueError in the page fails, at test_sessions.py:\d+", caplog.text)
    assert "Anren" not in caplog.text
    assert "Traceback" not in caplog.text


def test_a_store_that_cannot_be_used_is_told_in_words(web: WebRun):
    browser = web.sign_in("viewer")
    away = web.config.store_path.rename(web.config.store_path.with_name("away.db"))
    try:
        for path in ("/", "/no-such-page"):
            answer = browser.get(path)
            assert (answer.status_code, "The store cannot be used" in answer.text) == (503, True)
    finally:
        away.rename(web.config.store_path)
    assert browser.get("/help").status_code == 200
