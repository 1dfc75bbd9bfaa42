"""Who may what: each page and each form as a stranger and in each role, against a table written by hand.

A route that is not in the table fails: whoever adds one says here who may use it.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from typing import Any

import pytest
from starlette.routing import Mount, Route
from webrun import SITUATIONS, Browser, WebRun

from adapter.review.desk import queue
from adapter.review.proposal import Given
from adapter.web.access import Role
from adapter.web.pages import ROUTES

ANYBODY, VIEWER, COORDINATOR, DATA_MANAGER, ADMINISTRATOR = None, *Role
LEAST: dict[str, Role | None] = {
    "sign_in": ANYBODY,
    "do_sign_in": ANYBODY,
    "language": ANYBODY,
    "sign_out": VIEWER,
    "password": VIEWER,
    "change_password": VIEWER,
    "board": VIEWER,
    "participant": VIEWER,
    "cell": VIEWER,
    "cell_bytes": ADMINISTRATOR,
    "choose": COORDINATOR,
    "take_back": COORDINATOR,
    "queue": VIEWER,
    "settle_many": COORDINATOR,
    "item": VIEWER,
    "answer_item": COORDINATOR,
    "item_identity": COORDINATOR,
    "item_bytes": ADMINISTRATOR,
    "decisions": VIEWER,
    "decision": VIEWER,
    "undo": COORDINATOR,
    "help": VIEWER,
    "roster": VIEWER,
    "enrolled": VIEWER,
    "enrol": COORDINATOR,
    "do_enrol": COORDINATOR,
    "import_roster": COORDINATOR,
    "infuse": COORDINATOR,
    "end_observation": COORDINATOR,
    "correct_facts": COORDINATOR,
    "add_identifier": COORDINATOR,
    "remove_identifier": COORDINATOR,
    "reveal_identity": COORDINATOR,
    "assessments": VIEWER,
    "add_assessment": COORDINATOR,
    "assessments_file": COORDINATOR,
    "import_assessments": COORDINATOR,
    "sign_off": DATA_MANAGER,
    "do_sign_off": DATA_MANAGER,
    "trail": DATA_MANAGER,
    "verify_trail": DATA_MANAGER,
    "users": ADMINISTRATOR,
    "add_account": ADMINISTRATOR,
    "set_role": ADMINISTRATOR,
    "set_password": ADMINISTRATOR,
    "disable_account": ADMINISTRATOR,
    "enable_account": ADMINISTRATOR,
}
PAGES = [route for route in ROUTES if "GET" in (route.methods or ())]
FORMS = [route for route in ROUTES if "POST" in (route.methods or ())]
ROLES = [role.word for role in Role]
CALLERS = ["stranger", *ROLES]
ASK_A_PASSWORD = {"do_sign_in", "do_sign_off"}  # and refuse a wrong one with 403 too
REFUSALS = {"page refused", "form refused"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebRun]:
    """One trial for all: what is refused changes nothing, and what is allowed is sent empty."""
    with closing(WebRun(tmp_path_factory.mktemp("access"))) as made:
        made.enrol(SITUATIONS / "roster.csv")
        made.receive("complete-panel.hl7")
        made.receive("unmapped-local-code.hl7")
        entry = queue(made.store)[0]
        made.desk_decides(lambda at: at.propose(entry, "dismiss", Given()))
        made.desk_decides(lambda at: at.undo(1))
        yield made


@cache
def signed_in(run: WebRun, role: str) -> Browser:
    """Signing in takes long on purpose; who is refused stays signed in."""
    return run.browser() if role == "stranger" else run.sign_in(role)


def path_of(run: WebRun, route: Route) -> str:
    """The path of a route, its parameters filled with what the trial holds."""
    held = {"study_id": "S-001", "visit": "week-4", "endpoint": "ALT", "decision_id": 1}
    held |= {"item_id": run.store.open_items()[0].item.id}
    unknown = route.param_convertors.keys() - held.keys()
    assert not unknown, f"give an example of {sorted(unknown)} for {route.name}"
    return str(run.app.url_path_for(route.name, **{name: held[name] for name in route.param_convertors}))


def may(caller: str, route: Route) -> bool:
    least = LEAST[route.name]
    return least is None or (caller != "stranger" and Role[caller.upper()] >= least)


def all_but_the_trail(run: WebRun) -> dict[str, list[Any]]:
    """Every row of every table that a refusal leaves as it was."""
    with closing(sqlite3.connect(run.config.store_path)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        kept = [name for name in tables if name != "audit"]
        return {name: database.execute(f'SELECT * FROM "{name}"').fetchall() for name in kept}


def test_every_route_is_in_the_table_and_no_other_part_of_the_application_answers(run: WebRun):
    assert {route.name for route in ROUTES} == LEAST.keys()
    others = [route for route in run.app.routes if route not in ROUTES]
    assert [type(route) for route in others] == [Mount]
    assert {m for route in ROUTES for m in route.methods or ()} == {"GET", "HEAD", "POST"}


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("route", PAGES, ids=[route.name for route in PAGES])
def test_a_page_is_shown_to_those_who_may_and_to_nobody_else(run: WebRun, route: Route, caller: str):
    browser, path = signed_in(run, caller), path_of(run, route)
    before, recorded = all_but_the_trail(run), len(run.trail())
    for ask in (browser.get, browser.head):
        answer = ask(path, follow_redirects=False)
        if may(caller, route):
            assert answer.status_code == 200, answer.text
        elif caller == "stranger":
            assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/sign-in")
        else:
            assert answer.status_code == 403
    if not may(caller, route):
        new = [] if caller == "stranger" else [(caller, "page refused", caller)] * 2
        assert run.trail()[recorded:] == new
        assert all_but_the_trail(run) == before


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("route", FORMS, ids=[route.name for route in FORMS])
def test_a_form_is_taken_from_those_who_may_and_from_nobody_else(run: WebRun, route: Route, caller: str):
    path = path_of(run, route)
    if may(caller, route):
        browser = run.browser() if caller == "stranger" else run.sign_in(caller)  # it may be the form that signs out
        browser.get("/sign-in")
        answer = browser.submit(path, follow_redirects=False)
        assert answer.status_code in (200, 303, 404, 409, 422) or route.name in ASK_A_PASSWORD, answer.text
        assert {what for _, what, _ in run.trail()[-1:]}.isdisjoint(REFUSALS)
        return
    browser = signed_in(run, caller)
    before, recorded = all_but_the_trail(run), len(run.trail())
    assert browser.submit(path, follow_redirects=False).status_code == 403
    assert all_but_the_trail(run) == before
    assert run.trail()[recorded:] == ([] if caller == "stranger" else [(caller, "page refused", caller)])


@pytest.mark.parametrize("token", ["missing", "empty", "stale", "another's", "twice"])
@pytest.mark.parametrize("route", FORMS, ids=[route.name for route in FORMS])
def test_a_form_without_the_token_of_its_session_changes_nothing(run: WebRun, route: Route, token: str):
    """The caller may use the form; only the token is wrong."""
    browser, path = signed_in(run, "administrator"), path_of(run, route)
    fields: dict[str, Any] = {
        "missing": {},
        "empty": {"csrf": ""},
        "stale": {"csrf": stale_token(run)},
        "another's": {"csrf": signed_in(run, "coordinator").token},
        "twice": {"csrf": [browser.token, "x"]},
    }[token]
    before, recorded = all_but_the_trail(run), len(run.trail())
    answer = browser.post(path, data={"name": "viewer", **fields}, follow_redirects=False)
    assert answer.status_code == 403
    assert all_but_the_trail(run) == before
    assert run.trail()[recorded:] == [("administrator", "form refused", "administrator")]


@cache
def stale_token(run: WebRun) -> str:
    """The token of a session of the same account that has ended."""
    browser = run.sign_in("administrator")
    token = browser.token
    browser.submit("/sign-out")
    assert browser.token != token
    return token


@pytest.mark.parametrize("route", FORMS, ids=[route.name for route in FORMS])
def test_a_stranger_s_form_without_the_token_of_the_page_changes_nothing(run: WebRun, route: Route):
    path = path_of(run, route)
    before, recorded = all_but_the_trail(run), len(run.trail())
    never_looked, looked = run.browser(), run.browser()
    looked.get("/sign-in")
    fields = {"name": "administrator", "password": "x", "csrf": looked.token}
    assert never_looked.post(path, data=fields, follow_redirects=False).status_code == 403
    assert looked.post(path, data={**fields, "csrf": "x"}, follow_redirects=False).status_code == 403
    assert (all_but_the_trail(run), len(run.trail())) == (before, recorded)


def test_each_form_that_a_page_shows_posts_with_a_token_and_no_page_writes_by_a_link(run: WebRun):
    browser = signed_in(run, "administrator")
    for route in PAGES:
        text = browser.get(path_of(run, route)).text
        for form in re.findall(r"<form\b.*?</form>", text, re.DOTALL):
            if 'method="post"' in form:
                assert f'name="csrf" value="{browser.token}"' in form, (route.name, form)
            else:
                # A dialog's form closes it and sends nothing.
                assert 'method="get"' in form or 'method="dialog"' in form, (route.name, form)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("route", ROUTES, ids=[route.name for route in ROUTES])
def test_other_methods_are_refused_in_words(run: WebRun, route: Route, method: str):
    answer = signed_in(run, "administrator").request(method, path_of(run, route))
    assert answer.status_code == 405
    assert "cannot be used in this way" in answer.text
