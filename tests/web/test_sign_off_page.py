"""Signing off a visit: what was shown is what is signed, by whoever knows the password; a later change asks."""

from __future__ import annotations

import html

from httpx2 import Response
from test_roster_page import hidden
from webrun import PASSWORD, Browser, WebRun

from adapter.web.signed import Signed, signed_visits

PATH = "/roster/S-001/sign-off/week-4"


def sign(browser: Browser, password: str = PASSWORD, seen: str | None = None) -> Response:
    """The form, as the page has it."""
    return browser.submit(PATH, seen=seen or hidden(browser.get(PATH), "seen"), password=password)


def week_4(web: WebRun) -> Signed:
    cells = web.store.selections("S-001")
    return signed_visits(web.config.protocol, web.store.decisions(), cells, "S-001")[0]


def test_the_page_shows_the_values_and_what_signing_means(web: WebRun) -> None:
    web.receive("complete-panel.hl7")
    said = html.unescape(web.sign_in("data_manager").get(PATH).text)
    assert "34.2 umol/L" in said
    assert "1.10" in said
    assert "CREA" in said
    assert "I have reviewed the values of S-001 at Week 4 against the source documents" in said


def test_a_signature_keeps_the_name_the_time_and_the_meaning(web: WebRun) -> None:
    web.receive("complete-panel.hl7")
    assert "Week 4 is signed off" in sign(web.sign_in("data_manager")).text
    (made,) = web.store.decisions()
    assert (made.kind, made.who, made.body["visit"]) == ("sign_off", "data_manager", "week-4")
    assert made.why.startswith("I have reviewed the values of S-001")
    assert made.at.startswith("2026-09-01T04:00")
    assert week_4(web).state == "signed"
    assert "signed off by data_manager on 2026-09-01" in web.sign_in("viewer").get("/roster/S-001").text


def test_a_wrong_password_signs_nothing_and_counts_as_a_failed_sign_in(web: WebRun) -> None:
    web.receive("complete-panel.hl7")
    manager = web.sign_in("data_manager")
    answer = sign(manager, "another password")
    assert answer.status_code == 403
    assert "The password is wrong" in answer.text
    assert web.store.decisions() == []
    assert ("data_manager", "password refused", "data_manager") in web.trail()


def test_as_many_wrong_passwords_as_lock_a_name_end_the_session(web: WebRun) -> None:
    web.receive("complete-panel.hl7")
    manager = web.sign_in("data_manager")
    seen = hidden(manager.get(PATH), "seen")
    for _ in range(web.config.web.lock_after if web.config.web else 0):
        sign(manager, "another password", seen)
    assert manager.get(PATH, follow_redirects=False).status_code == 303
    assert web.store.decisions() == []


def test_what_changed_since_it_was_shown_is_not_signed(web: WebRun) -> None:
    manager = web.sign_in("data_manager")
    seen = hidden(manager.get(PATH), "seen")
    web.receive("complete-panel.hl7")
    answer = sign(manager, seen=seen)
    assert answer.status_code == 409
    assert "Nothing is signed" in answer.text
    assert web.store.decisions() == []


def test_a_visit_with_an_open_question_cannot_be_signed(web: WebRun) -> None:
    web.receive("albumin-in-ascites-fluid.hl7")
    manager = web.sign_in("data_manager")
    page = manager.get(PATH).text
    assert "Settle these first" in page
    assert 'name="password"' not in page
    assert sign(manager, seen="x").status_code == 409
    assert web.store.decisions() == []


def test_a_later_change_opens_the_visit_again_names_what_changed_and_asks(web: WebRun) -> None:
    web.receive("complete-panel.hl7")
    sign(web.sign_in("data_manager"))
    coordinator = web.sign_in("coordinator")
    coordinator.submit("/roster/S-001/assessments", assessed_on="2026-02-02", ascites="mild", encephalopathy="none")
    state = week_4(web)
    assert (state.state, state.changed) == ("reopened", ("CHILD_PUGH",))
    assert [stored.item.reason for stored in web.store.open_items()] == ["changed_after_choice"]
    assert "CHILD_PUGH changed since data_manager signed it off" in coordinator.get("/roster/S-001").text


def test_only_a_data_manager_signs(web: WebRun) -> None:
    web.receive("complete-panel.hl7")
    coordinator = web.sign_in("coordinator")
    assert "/sign-off/" not in coordinator.get("/roster/S-001").text
    assert coordinator.get(PATH).status_code == 403
    assert coordinator.submit(PATH, seen="x", password=PASSWORD).status_code == 403
    assert web.store.decisions() == []


def test_a_visit_that_the_protocol_does_not_have_is_not_found(web: WebRun) -> None:
    manager = web.sign_in("data_manager")
    assert manager.get("/roster/S-001/sign-off/week-5").status_code == 404
    assert manager.get("/roster/S-404/sign-off/week-4").status_code == 404
