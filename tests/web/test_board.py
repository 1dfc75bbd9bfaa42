"""The board: how much there is of what, what is due, and every cell with its mark."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from datetime import UTC, date, datetime
from html import unescape

import pytest
from webrun import WebRun

from adapter.model import Participant
from adapter.store import CellState
from adapter.web.overview import Wanted, overview

TODAY = date(2026, 2, 2)
PERSON = Participant("T-1", infused_at="2026-01-05")  # windows: 01-26 to 02-09, 03-16 to 04-13, 06-08 to 07-06


def text_of(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def cell_of(html: str, path: str) -> str:
    (found,) = re.findall(rf'<td class="cell [^"]*"><a href="{re.escape(path)}".*?</td>', html, re.DOTALL)
    return found


def seen(web: WebRun, *people: Participant, states: tuple[CellState, ...] = (), today: date = TODAY, **wanted: str):
    return overview(web.config.protocol, people, states, today, Wanted(**wanted))


def test_an_open_window_that_is_about_to_close_is_due_and_a_closed_one_with_a_gap_is_overdue(web: WebRun):
    assert [(v.study_id, v.visit.id) for v in seen(web, PERSON).due.closing] == [("T-1", "week-4")]
    later = seen(web, PERSON, today=date(2026, 2, 10)).due
    assert ([v.visit.id for v in later.closing], [v.visit.id for v in later.overdue]) == ([], ["week-4"])


@pytest.mark.parametrize(
    ("today", "opening"), [(date(2026, 3, 1), []), (date(2026, 3, 2), ["week-12"]), (date(2026, 3, 16), [])]
)
def test_a_window_opens_soon_from_fourteen_days_before_its_first_day(web: WebRun, today: date, opening: list[str]):
    assert [v.visit.id for v in seen(web, PERSON, today=today).due.opening] == opening


def test_nothing_is_due_of_who_left_or_has_no_infusion_date(web: WebRun):
    left = replace(PERSON, ended_on=date(2026, 1, 6), ended_by="withdrawn")
    due = seen(web, left, Participant("T-2")).due
    assert (due.closing, due.opening, due.overdue) == ((), (), ())


def test_a_captured_visit_is_neither_due_nor_overdue(web: WebRun):
    endpoints = seen(web, PERSON).visits[0].cells
    states = tuple(("T-1", "week-4", endpoint, "captured", 0) for endpoint in endpoints)
    for today in (TODAY, date(2026, 2, 10)):
        due = seen(web, PERSON, states=states, today=today).due
        assert (due.closing, due.overdue) == ((), ())


def test_the_status_asked_for_narrows_to_who_has_such_a_cell_within_the_visit_and_endpoint(web: WebRun):
    people = (PERSON, replace(PERSON, study_id="T-2"))
    states = (("T-2", "week-4", "ALT", "captured", 1),)
    assert seen(web, *people, states=states, status="captured").found == ("T-2",)
    assert seen(web, *people, states=states, status="captured", endpoint="AST").found == ()
    assert seen(web, *people, states=states, status="outside_window", visit="week-4").found == ("T-2",)
    assert seen(web, *people, states=states, study_id="t-1").found == ("T-1",)


def test_each_cell_is_shown_with_its_comparator_and_leads_to_its_story(web: WebRun):
    web.receive("comparator-below-limit.hl7")
    ((study_id, visit, endpoint), row) = next((k, r) for k, r in web.table().items() if r.comparator is not None)
    browser = web.sign_in("viewer")
    path = f"/participants/{study_id}/{visit}/{endpoint}"
    told = text_of(cell_of(browser.get("/").text, path))
    assert told.startswith(f"{row.comparator}{row.value_text} ")
    assert "captured" in told
    assert browser.get(path).status_code == 200


def test_a_preliminary_value_is_marked_beside_its_colour(web: WebRun):
    web.receive("preliminary-only.hl7")
    (key,) = [k for k, r in web.table().items() if r.status == "provisional"]
    cell = cell_of(web.sign_in("viewer").get("/").text, "/participants/" + "/".join(key))
    assert "○" in cell
    assert "provisional" in text_of(cell)


def test_every_cell_of_the_table_stands_on_the_board(web: WebRun):
    web.receive("complete-panel.hl7")
    html = web.sign_in("viewer").get("/").text
    for (study_id, visit, endpoint), row in web.table().items():
        if not web.config.protocol.analytes[endpoint].supporting:
            told = text_of(cell_of(html, f"/participants/{study_id}/{visit}/{endpoint}"))
            assert row.value_text is None or row.value_text in told
            assert row.status.replace("_", " ") in told


def test_a_page_number_that_is_none_shows_the_first_page(web: WebRun):
    browser = web.sign_in("viewer")
    for number in ("0", "-1", "x", "²", "9" * 30, ""):
        answer = browser.get("/", params={"page": number})
        assert (answer.status_code, "S-001" in answer.text) == (200, True)


def test_what_is_searched_for_comes_back_as_text(web: WebRun):
    answer = web.sign_in("viewer").get("/", params={"study_id": '"><script>alert(1)</script>'})
    assert answer.status_code == 200
    assert "<script>alert" not in answer.text
    assert "No participant matches." in answer.text


def test_a_board_of_two_thousand_is_paged_by_fifty_and_still_quick(web: WebRun):
    with web.store.write() as tx:
        for n in range(2000):
            tx.put_participant(Participant(f"T-{n:04}", infused_at="2026-01-05"), "test", "test", web.now)
    browser = web.sign_in("viewer")
    browser.get("/")
    began = time.perf_counter()
    html = browser.get("/", params={"study_id": "T-", "page": "40"}).text
    seconds = time.perf_counter() - began
    assert "T-1950" in html
    assert "T-1949" not in html
    assert "Page 40 of 40; 2000 participants" in text_of(html)
    assert seconds < 10


def test_the_page_says_which_day_it_is_in_the_trials_zone(web: WebRun):
    web.now = datetime(2026, 2, 1, 16, 30, tzinfo=UTC)
    assert "as of 2026-02-02" in text_of(web.sign_in("viewer").get("/").text)
