"""One participant of the roster: the infusion checked twice, the end of the observation, the identity on request."""

from __future__ import annotations

import html
import re
from dataclasses import replace

import pytest
from httpx2 import Response
from test_roster_page import NUMBER, hidden
from webrun import Browser, WebRun


def confirm(browser: Browser, shown: Response, reason: str) -> Response:
    """The confirming form of a correction's preview, sent."""
    form = re.search(r'<form method="post" action="([^"]+)"[^>]*data-preview>(.*?)</form>', shown.text, re.DOTALL)
    assert form is not None, shown.text
    fields = {name: html.unescape(value) for name, value in re.findall(r'name="([^"]+)" value="([^"]*)"', form[2])}
    return browser.submit(form[1], **{**fields, "reason": reason})


def corrected(browser: Browser, path: str, reason: str, **fields: str) -> Response:
    """A correction, looked at and confirmed."""
    return confirm(browser, browser.submit(f"/roster/S-001/{path}", **fields), reason)


def infused_at(web: WebRun) -> str | None:
    person = web.store.participant("S-001")
    assert person is not None
    return person.infused_at


def test_the_page_of_a_participant_hides_the_identity(web: WebRun) -> None:
    said = web.sign_in("coordinator").get("/roster/S-001").text
    assert "birth date: known" in said
    assert NUMBER not in said
    assert "1970" not in said


def test_the_identity_is_shown_on_request_and_the_trail_says_who_looked(web: WebRun) -> None:
    said = web.sign_in("coordinator").submit("/roster/S-001/identity").text
    assert NUMBER in said
    assert "1970-03-14" in said
    assert "female" in said
    assert ("coordinator", "identity viewed", "S-001") in web.trail()
    assert NUMBER not in str(web.store.audit_records())


def test_a_viewer_is_shown_no_identity(web: WebRun) -> None:
    viewer = web.sign_in("viewer")
    assert "/identity" not in viewer.get("/roster/S-001").text
    answer = viewer.submit("/roster/S-001/identity")
    assert answer.status_code == 403
    assert NUMBER not in answer.text


def test_nobody_is_found_under_a_study_id_that_is_not_enrolled(web: WebRun) -> None:
    coordinator = web.sign_in("coordinator")
    assert coordinator.get("/roster/S-404").status_code == 404
    assert coordinator.submit("/roster/S-404/infusion", day="2026-01-05").status_code == 404


def test_another_infusion_date_shows_what_it_would_move_and_changes_nothing(web: WebRun) -> None:
    web.receive("complete-panel.hl7")
    shown = web.sign_in("coordinator").submit("/roster/S-001/infusion", day="2025-11-10")
    said = html.unescape(shown.text)
    assert "2026-01-05 becomes 2025-11-10" in said
    assert "2026-02-02 (2026-01-26 to 2026-02-09)" in said  # week 4 as it was
    assert "2026-02-02 (2026-01-19 to 2026-02-16)" in said  # week 12 as it would be
    assert "45 U/L of 2026-02-02" in said
    assert "lies in the window of week-12 now" in said
    assert infused_at(web) == "2026-01-05"


def test_a_confirmed_infusion_date_aligns_everything_again(web: WebRun) -> None:
    web.receive("complete-panel.hl7")
    coordinator = web.sign_in("coordinator")
    done = confirm(coordinator, coordinator.submit("/roster/S-001/infusion", day="2025-11-10"), "a slip")
    assert "aligned again" in done.text
    assert infused_at(web) == "2025-11-10"
    table = web.table()
    assert table["S-001", "week-12", "ALT"].value_text == "45"
    assert table["S-001", "week-4", "ALT"].value_text is None
    assert web.woken > 0


def test_an_infusion_date_is_not_changed_without_a_reason(web: WebRun) -> None:
    coordinator = web.sign_in("coordinator")
    again = confirm(coordinator, coordinator.submit("/roster/S-001/infusion", day="2026-01-06"), "")
    assert again.status_code == 422
    assert infused_at(web) == "2026-01-05"
    assert "aligned again" in confirm(coordinator, again, "a slip").text


def test_what_would_move_is_shown_anew_where_it_is_no_longer_what_was_shown(web: WebRun) -> None:
    coordinator = web.sign_in("coordinator")
    shown = coordinator.submit("/roster/S-001/infusion", day="2025-11-10")
    web.receive("complete-panel.hl7")
    again = confirm(coordinator, shown, "a slip")
    assert again.status_code == 422
    assert "Something changed" in again.text
    assert "45 U/L" in again.text
    assert infused_at(web) == "2026-01-05"


def test_the_same_instant_with_another_offset_is_no_change(web: WebRun) -> None:
    person = web.store.participant("S-001")
    assert person is not None
    web.put(replace(person, infused_at="2026-01-05T01:30Z"))
    browser = web.sign_in("coordinator")
    assert 'value="09:30"' in browser.get("/roster/S-001").text
    assert "nothing changed" in browser.submit("/roster/S-001/infusion", day="2026-01-05", time="09:30").text


def test_an_infusion_can_be_taken_out_again(web: WebRun) -> None:
    coordinator = web.sign_in("coordinator")
    shown = coordinator.submit("/roster/S-001/infusion", day="", time="")
    assert "2026-01-05 becomes not entered" in shown.text
    confirm(coordinator, shown, "of another participant")
    assert infused_at(web) is None


def test_a_change_that_opens_a_signed_visit_again_says_so_beforehand(web: WebRun) -> None:
    web.receive("complete-panel.hl7")
    manager = web.sign_in("data_manager")
    page = manager.get("/roster/S-001/sign-off/week-4")
    manager.submit("/roster/S-001/sign-off/week-4", seen=hidden(page, "seen"), password="seven quiet herons")
    shown = manager.submit("/roster/S-001/infusion", day="2025-11-10")
    assert "open again after this: Week 4" in shown.text


def test_a_withdrawal_is_recorded_and_taken_back(web: WebRun) -> None:
    coordinator = web.sign_in("coordinator")
    corrected(coordinator, "end", "asked to", ended_by="withdrawn", ended_on="2026-02-01")
    assert web.table()["S-001", "week-4", "ALT"].status == "not_expected"
    assert "withdrawn on 2026-02-01" in coordinator.get("/roster").text
    corrected(coordinator, "end", "a slip", ended_by="", ended_on="2026-02-01")
    assert web.table()["S-001", "week-4", "ALT"].status == "missing"
    assert [what for _, what, _ in web.trail()].count("participant changed") == 2


def test_birth_date_and_sex_are_corrected_and_never_shown_in_the_trail(web: WebRun) -> None:
    coordinator = web.sign_in("coordinator")
    corrected(coordinator, "facts", "the ward's list", birth_date="1971-03-14", sex="")
    person = web.store.participant("S-001")
    assert person is not None
    assert (person.birth_date, person.sex) == ("1971-03-14", "F")
    corrected(coordinator, "facts", "not known", no_birth_date="yes", sex="removed")
    person = web.store.participant("S-001")
    assert person is not None
    assert (person.birth_date, person.sex) == (None, None)
    assert "1971" not in str(web.store.audit_records())


def test_a_number_is_added_and_removed(web: WebRun) -> None:
    coordinator = web.sign_in("coordinator")
    number = {"identifier": "77", "authority": "OTHER"}
    corrected(coordinator, "identifier", "a second card", **number)
    assert "NTCGH, OTHER" in coordinator.get("/roster/S-001").text
    assert "nothing changed" in coordinator.submit("/roster/S-001/identifier", **number).text
    corrected(coordinator, "identifier/remove", "another's card", **number)
    assert "OTHER" not in re.sub("<form.*?</form>", "", coordinator.get("/roster/S-001").text, flags=re.DOTALL)


@pytest.mark.parametrize(
    ("path", "fields", "words"),
    [
        ("end", {"ended_by": "withdrawn", "ended_on": "soon"}, "no date"),
        ("end", {"ended_by": "bored", "ended_on": "2026-02-01"}, "Choose what ended"),
        ("facts", {"birth_date": "70"}, "Birth date: write it as 1970-01-31"),
        ("facts", {"sex": "both"}, "Sex: write M or F"),
        ("identifier", {"identifier": "", "authority": "NTCGH"}, "Give the number"),
        ("identifier/remove", {"identifier": "78", "authority": "NTCGH"}, "no such number"),
        ("identifier/remove", {"identifier": NUMBER, "authority": "NTCGH"}, "the only number"),
        ("infusion", {"day": "2026-13-01"}, "no date"),
        ("infusion", {"day": "2026-01-06", "arm": "1"}, "blinded"),
        ("end", {"ended_by": "died", "ended_on": "2026-02-01", "route": "1"}, "blinded"),
        ("facts", {"arm": "1"}, "blinded"),
        ("identifier", {"identifier": "77", "authority": "NTCGH", "arm": "1"}, "blinded"),
        ("identifier/remove", {"identifier": "77", "authority": "NTCGH", "arm": "1"}, "blinded"),
    ],
)
def test_a_correction_that_cannot_be_says_why_and_changes_nothing(
    web: WebRun, path: str, fields: dict[str, str], words: str
) -> None:
    before = web.store.participant("S-001")
    answer = web.sign_in("coordinator").submit(f"/roster/S-001/{path}", **{"reason": "a slip", **fields})
    assert answer.status_code == 422
    assert words in html.unescape(answer.text)
    assert web.store.participant("S-001") == before


CORRECTIONS = [
    ("end", {"ended_by": "withdrawn", "ended_on": "2026-02-02"}),
    ("end", {"ended_by": "died", "ended_on": "2026-04-01"}),
    ("facts", {"birth_date": "1971-03-14"}),
    ("facts", {"sex": "M"}),
    ("facts", {"no_birth_date": "yes"}),
    ("identifier", {"identifier": "77", "authority": "NTCGH"}),
    ("identifier/remove", {"identifier": NUMBER, "authority": "NTCGH"}),
    ("infusion", {"day": "2025-11-10"}),
]


CHANGE_NOTHING = [CORRECTIONS[1], CORRECTIONS[4], CORRECTIONS[5]]  # after the last result; silent; nobody's number


@pytest.mark.parametrize(("path", "fields"), CORRECTIONS, ids=lambda each: each if isinstance(each, str) else "")
def test_a_correction_shows_exactly_what_it_changes_and_changes_nothing_before(
    web: WebRun, path: str, fields: dict[str, str]
) -> None:
    coordinator = web.sign_in("coordinator")
    corrected(coordinator, "identifier", "a second card", identifier="99", authority="OTHER")
    web.receive("complete-panel.hl7")
    before, head = cells(web), web.store.head()
    shown = coordinator.submit(f"/roster/S-001/{path}", **fields)
    assert (web.store.head(), "Nothing is changed yet." in shown.text) == (head, True)
    rows = re.findall(r'<td>S-001</td>\s*<td class="whole">(.*?)</td>\s*<th scope="row">(.*?)</th>', shown.text)
    refused = confirm(coordinator, shown, "")
    assert (refused.status_code, "Give the reason" in refused.text, web.store.head()) == (422, True, head)
    assert "derived" in confirm(coordinator, shown, "as told").text.replace("aligned again", "derived")
    after = cells(web)
    changed = {(f"Week {visit[5:]}", name) for visit, name in before if before[visit, name] != after[visit, name]}
    assert changed == set(rows)
    assert bool(changed) == ((path, fields) not in CHANGE_NOTHING)


def cells(web: WebRun) -> dict[tuple[str, str], object]:
    """The values of the participant with where they are from, or why there is none."""
    return {
        (s.visit, s.endpoint): (s.status, s.reason) if s.value is None else replace(s, ruleset="", score=None)
        for s in web.store.selections("S-001")
    }


def test_a_correction_made_meanwhile_is_not_overwritten(web: WebRun) -> None:
    coordinator = web.sign_in("coordinator")
    shown = coordinator.submit("/roster/S-001/facts", sex="M")
    corrected(coordinator, "end", "asked to", ended_by="withdrawn", ended_on="2026-02-01")
    again = confirm(coordinator, shown, "as told")
    assert (again.status_code, "Something changed since this was shown." in again.text) == (422, True)
    person = web.store.participant("S-001")
    assert person is not None
    assert person.sex == "F"


def test_a_misspelt_authority_is_told_of_and_no_other(web: WebRun) -> None:
    coordinator, words = web.sign_in("coordinator"), "No source is configured with the assigning authority"
    said = coordinator.submit("/enrol", study_id="S-002", identifier="77", authority="NTCHG").text
    assert f"{words} NTCHG" in said
    assert "Known are: NTCGH." in said
    assert words not in coordinator.submit("/enrol", study_id="S-003", identifier="78", authority="NTCGH").text
    assert f"{words} ELSE" in coordinator.submit("/roster/S-001/identifier", identifier="79", authority="ELSE").text


def test_what_was_typed_into_a_refused_form_stays_in_it(web: WebRun) -> None:
    coordinator = web.sign_in("coordinator")
    refused = coordinator.submit("/roster/S-001/end", ended_by="died", ended_on="1 March 2026").text
    assert 'value="1 March 2026"' in refused
    assert '<option value="died" selected>' in refused
    refused = coordinator.submit("/enrol", study_id="S 2", identifier="77", authority="NTCGH", sex="M").text
    assert 'name="identifier" required value="77"' in refused
    assert '<option value="M" selected>' in refused


def test_a_number_of_another_participant_is_refused(web: WebRun) -> None:
    coordinator = web.sign_in("coordinator")
    coordinator.submit("/enrol", study_id="S-002", identifier="77", authority="NTCGH")
    answer = coordinator.submit("/roster/S-001/identifier", identifier="77", authority="NTCGH", reason="a card")
    assert answer.status_code == 422
    assert "another participant" in html.unescape(answer.text)


@pytest.mark.parametrize("path", ["infusion", "end", "facts", "identifier", "identifier/remove", "identity"])
def test_a_viewer_changes_nothing_of_a_participant(web: WebRun, path: str) -> None:
    viewer = web.sign_in("viewer")
    assert viewer.submit(f"/roster/S-001/{path}", reason="curious").status_code == 403
    assert ("viewer", "page refused", "viewer") in web.trail()
