"""Corrections of the roster on a store with messages in doubt: what is shown is what happens, whoever's it is."""

from __future__ import annotations

import html
import re
from dataclasses import replace

import pytest
from httpx2 import Response
from test_enrolled_page import confirm, corrected
from webrun import Browser, WebRun

from adapter.model import SelectionRow

OWN = "0012345^^^NTCGH^MR"
SECOND = "99^^^NTCGH^MR"
# An invented ALT each: whose number, birth date, sex, day. The last two name S-002 beside somebody else.
SENT = [
    (OWN, "19710101", "F", "20260330"),
    (OWN, "19700314", "M", "20260622"),
    (OWN, "19700314", "F", "20260202"),
    (SECOND, "19700314", "F", "20260204"),
    (f"{SECOND}~55^^^NTCGH^MR", "19700314", "F", "20260203"),
    ("77^^^NTCGH^MR~55^^^NTCGH^MR", "19700314", "F", "20260330"),
]
CORRECTIONS = [
    ("facts", {"birth_date": "1971-01-01"}),
    ("facts", {"sex": "M"}),
    ("facts", {"no_birth_date": "yes"}),
    ("facts", {"no_birth_date": "yes", "sex": "removed"}),
    ("end", {"ended_by": "withdrawn", "ended_on": "2026-02-02"}),
    ("end", {"ended_by": "withdrawn", "ended_on": "2026-02-03"}),
    ("end", {"ended_by": "died", "ended_on": "2026-08-31"}),
    ("identifier", {"identifier": "77", "authority": "NTCGH"}),
    ("identifier", {"identifier": "88", "authority": "NTCGH"}),
    ("identifier/remove", {"identifier": "0012345", "authority": "NTCGH"}),
    ("identifier/remove", {"identifier": "99", "authority": "NTCGH"}),
]
NOTHING = [CORRECTIONS[6], CORRECTIONS[8]]  # after the last result; a number that nobody was sent under


def alt(number: str, born: str, sex: str, day: str, value: int) -> bytes:
    """A message with one ALT."""
    return (
        f"MSH|^~\\&|LIS|NTCGH|EDC|TRIAL|20260701100000+0800||ORU^R01^ORU_R01|A{value}|P|2.5.1||||||UNICODE UTF-8\r"
        f"PID|1||{number}||||{born}|{sex}\r"
        f"OBR|1||L-{value}|CHEM^Chemistry^L|||{day}081500+0800|||||||||||||||{day}093000+0800|||F\r"
        f"OBX|1|NM|1742-6^Alanine aminotransferase^LN||{value}|U/L|||||F\r"
    ).encode()


@pytest.fixture
def doubtful(web: WebRun) -> WebRun:
    """Two participants, S-001 with two numbers, and messages of which some contradict the roster."""
    coordinator = web.sign_in("coordinator")
    corrected(coordinator, "identifier", "a second card", identifier="99", authority="NTCGH")
    coordinator.submit("/enrol", study_id="S-002", identifier="55", authority="NTCGH", day="2026-01-05")
    for at, sent in enumerate(SENT):
        web.receive(alt(*sent, value=40 + at))
    return web


def cells(web: WebRun) -> dict[tuple[str, str, str], SelectionRow]:
    """Everybody's values; what a score was computed from, and what is asked, is no value."""
    found = {}
    for person in web.store.participants():
        for row in web.store.selections(person.study_id):
            label = f"Week {row.visit.removeprefix('week-')}"
            found[row.study_id, label, row.endpoint] = replace(row, ruleset="", score=None, open_items=())
    return found


def rows(shown: Response) -> set[tuple[str, str, str]]:
    """Whose value of which visit the preview says would change."""
    row = r'<td>(S-\d+)</td>\s*<td class="whole">(.*?)</td>\s*<th scope="row">(.*?)</th>'
    return set(re.findall(row, shown.text))


@pytest.mark.parametrize(("path", "fields"), CORRECTIONS)
def test_a_preview_lists_every_value_that_then_changes_and_no_other(
    doubtful: WebRun, path: str, fields: dict[str, str]
) -> None:
    coordinator, before = doubtful.sign_in("coordinator"), cells(doubtful)
    shown = coordinator.submit(f"/roster/S-001/{path}", **fields)
    assert confirm(coordinator, shown, "as told").status_code == 200
    after = cells(doubtful)
    changed = {key for key in before | after if before.get(key) != after.get(key)}
    assert rows(shown) == changed
    assert bool(changed) == ((path, fields) not in NOTHING)


def test_a_number_that_puts_another_participants_value_in_doubt_shows_it(doubtful: WebRun) -> None:
    shown = doubtful.sign_in("coordinator").submit("/roster/S-001/identifier", identifier="77", authority="NTCGH")
    assert ("S-002", "Week 12", "ALT") in rows(shown)


def test_an_end_says_which_visits_are_expected_no_longer_and_taking_it_back_which_are_again(web: WebRun) -> None:
    coordinator = web.sign_in("coordinator")
    ended = coordinator.submit("/roster/S-001/end", ended_by="withdrawn", ended_on="2026-02-03")
    assert "Not expected any more: Week 12, Week 24." in ended.text
    confirm(coordinator, ended, "asked to")
    again = coordinator.submit("/roster/S-001/end", ended_by="", ended_on="")
    assert "Expected again: Week 12, Week 24." in again.text


def test_a_correction_is_shown_anew_where_a_visit_it_opens_was_signed_meanwhile(web: WebRun) -> None:
    web.receive("complete-panel.hl7")
    coordinator = web.sign_in("coordinator")
    shown = coordinator.submit("/roster/S-001/facts", sex="M")
    manager = web.sign_in("data_manager")
    manager.submit("/roster/S-001/sign-off/week-4", **sign_off(manager))
    again = confirm(coordinator, shown, "the ward's list")
    assert "Something changed since this was shown." in again.text
    assert "Signed off, and open again after this: Week 4." in again.text
    assert "It is changed" in confirm(coordinator, again, "the ward's list").text


def sign_off(browser: Browser) -> dict[str, str]:
    """What the form to sign off sends."""
    page = browser.get("/roster/S-001/sign-off/week-4").text
    fields = re.findall(r'<input type="hidden" name="(?!csrf)([^"]+)" value="([^"]*)"', page)
    return {**{name: html.unescape(value) for name, value in fields}, "password": "seven quiet herons"}


def test_a_correction_whose_values_are_not_worked_out_yet_does_not_say_that_they_are(
    web: WebRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    coordinator = web.sign_in("coordinator")
    shown = coordinator.submit("/roster/S-001/facts", sex="M")
    monkeypatch.setattr("adapter.web.page._PATIENCE_SECONDS", -1.0)
    assert "still being worked out" in confirm(coordinator, shown, "the ward's list").text


@pytest.mark.parametrize(
    ("path", "fields", "wrong"),
    [
        ("/enrol", {"study_id": "S-002", "identifier": "77", "authority": "NTCGH", "birth_date": "70"}, "birth_date"),
        ("/enrol", {"study_id": "S-002", "identifier": "77", "authority": "NTCGH", "day": "soon"}, "day"),
        ("/enrol", {"study_id": "S-002", "identifier": "0012345", "authority": "NTCGH"}, "identifier"),
        ("/roster/S-001/infusion", {"day": "2026-01-05", "time": "25:00"}, "time"),
        ("/roster/S-001/end", {"ended_by": "died", "ended_on": "soon"}, "ended_on"),
        ("/roster/S-001/end", {"ended_by": "died", "ended_on": "2027-01-01"}, "ended_on"),
        ("/roster/S-001/facts", {"birth_date": "70", "sex": "removed"}, "birth_date"),
        ("/roster/S-001/identifier/remove", {"identifier": "78", "authority": "NTCGH"}, "identifier"),
    ],
)
def test_a_refused_form_keeps_what_was_typed_and_has_the_focus_where_it_is_wrong(
    web: WebRun, path: str, fields: dict[str, str], wrong: str
) -> None:
    refused = web.sign_in("coordinator").submit(path, **fields)
    tags = {name: tag for tag, name in re.findall(r'(<(?:input|select)[^>]* name="([^"]+)"[^>]*>)', refused.text)}
    assert refused.status_code == 422
    assert [name for name, tag in tags.items() if " autofocus" in tag] == [wrong]
    assert f'<p id="{wrong}-fault" class="failed" role="alert">' in refused.text
    for name, value in fields.items():
        kept = f'value="{value}"' in tags[name] or f'<option value="{value}" selected>' in refused.text
        assert kept, name


def test_a_refused_form_calls_its_fields_by_their_labels(web: WebRun) -> None:
    given = {"study_id": " ", "identifier": " ", "authority": " ", "birth_date": "70", "sex": "X"}
    refused = web.sign_in("coordinator").submit("/enrol", **given).text
    said = [html.unescape(each) for each in re.findall(r'<p id="\w+-fault"[^>]*>(.*?)</p>', refused)]
    labels = ["Study id", "The patient's number", "Its assigning authority", "Birth date", "Sex"]
    assert [each.partition(":")[0] for each in said] == labels


def test_a_roster_that_is_taken_again_is_warned_of_nothing_it_knew_already(web: WebRun) -> None:
    coordinator, words = web.sign_in("coordinator"), "No source is configured"
    for study_id, number in (("S-002", "77"), ("S-003", "78")):
        said = coordinator.submit("/enrol", study_id=study_id, identifier=number, authority="WARD").text
        assert (words in said) == (study_id == "S-002")
    text = "study_id,identifier,authority,infused_at,birth_date,sex\nS-002,77,WARD,,,\nS-003,78,WARD,,,M\n"
    file = {"file": ("chosen.csv", text.encode(), "text/csv")}
    shown = coordinator.post("/enrol/file", data={"csrf": coordinator.token}, files=file)
    assert "0 would be enrolled, 1 corrected" in shown.text
    assert words not in shown.text
