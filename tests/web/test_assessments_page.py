"""Assessments on the page: entering, correcting with a reason, a file, and the scores that follow."""

from __future__ import annotations

import html

import pytest
from test_roster_page import confirm, upload
from webrun import WebRun

HEADER = "study_id,assessed_on,ascites,encephalopathy,dialysis\n"
PATH = "/roster/S-001/assessments"
JUDGED = {"assessed_on": "2026-02-02", "ascites": "mild", "encephalopathy": "none"}


def test_what_is_entered_gives_the_score_and_the_page_says_which(web: WebRun) -> None:
    web.receive("complete-panel.hl7")
    said = html.unescape(web.sign_in("coordinator").submit(PATH, **JUDGED).text)
    assert "The assessment of 2026-02-02 is entered" in said
    assert "CHILD_PUGH" in said
    assert "an input is missing: ascites, encephalopathy" in said
    assert ">8<" in said.replace(" of 2026-02-02", "")
    assert web.table()["S-001", "week-4", "CHILD_PUGH"].value_text == "8"


def test_what_changes_no_score_says_so(web: WebRun) -> None:
    assert "No score changed" in web.sign_in("coordinator").submit(PATH, **JUDGED).text


def test_a_correction_needs_its_reason_and_keeps_what_stood(web: WebRun) -> None:
    coordinator = web.sign_in("coordinator")
    coordinator.submit(PATH, **JUDGED)
    other = {**JUDGED, "ascites": "none"}
    refused = coordinator.submit(PATH, **other)
    assert refused.status_code == 422
    assert "ascites mild becomes none" in refused.text
    assert [each.ascites for each in web.store.assessments("S-001")] == ["mild"]
    done = coordinator.submit(PATH, **other, reason="asked the ward").text
    assert [each.ascites for each in web.store.assessments("S-001")] == ["none"]
    assert "asked the ward" in done
    assert "replaced" in done
    assert "stands" in done


def test_markup_in_a_reason_is_shown_as_text(web: WebRun) -> None:
    said = web.sign_in("coordinator").submit(PATH, **JUDGED, reason="<script>alert(1)</script>").text
    assert "<script>alert" not in said
    assert "&lt;script&gt;" in said


def test_the_same_entry_again_changes_nothing(web: WebRun) -> None:
    coordinator = web.sign_in("coordinator")
    coordinator.submit(PATH, **JUDGED)
    assert "nothing changed" in coordinator.submit(PATH, **JUDGED).text
    assert len(web.store.assessments("S-001", every=True)) == 1


def test_a_day_is_taken_back_by_leaving_all_of_it_out(web: WebRun) -> None:
    coordinator = web.sign_in("coordinator")
    coordinator.submit(PATH, **JUDGED)
    said = coordinator.submit(PATH, assessed_on="2026-02-02", reason="of another participant").text
    assert web.store.assessments("S-001") == []
    assert "taken back" in said


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"assessed_on": "2026-02-02"}, "Say what was assessed"),
        ({"assessed_on": "today", "ascites": "none"}, "assessed_on is no date"),
        ({"assessed_on": "2026-12-01", "ascites": "none"}, "lies in the future"),
        ({"assessed_on": "2026-02-02", "ascites": "some"}, "none of its values"),
        ({"assessed_on": "2026-02-02", "ascites": "none", "arm": "1"}, "blinded"),
    ],
)
def test_an_entry_that_cannot_be_says_why_and_enters_nothing(web: WebRun, fields: dict[str, str], words: str) -> None:
    answer = web.sign_in("coordinator").submit(PATH, **fields)
    assert answer.status_code == 422
    assert words in html.unescape(answer.text)
    assert web.store.assessments("S-001") == []


def test_a_file_is_shown_first_and_entered_when_it_is_confirmed(web: WebRun) -> None:
    web.receive("complete-panel.hl7")
    coordinator = web.sign_in("coordinator")
    shown = upload(coordinator, "/assessments/file", HEADER + "S-001,2026-02-02,mild,none,no\n")
    assert "1 new, 0 corrected, 0 unchanged" in shown.text
    assert web.store.assessments() == []
    done = html.unescape(confirm(coordinator, "/assessments/file", shown).text)
    assert "1 entered, 0 corrected" in done
    assert "CHILD_PUGH" in done


def test_a_file_that_corrects_names_what_and_needs_a_reason(web: WebRun) -> None:
    coordinator = web.sign_in("coordinator")
    coordinator.submit(PATH, **JUDGED)
    shown = upload(coordinator, "/assessments/file", HEADER + "S-001,2026-02-02,none,none,\n")
    assert "ascites mild becomes none" in shown.text
    again = confirm(coordinator, "/assessments/file", shown)
    assert again.status_code == 422
    assert [e.ascites for e in web.store.assessments()] == ["mild"]
    assert "0 entered, 1 corrected" in confirm(coordinator, "/assessments/file", again, reason="asked the ward").text


def test_a_file_is_shown_anew_where_something_was_entered_since(web: WebRun) -> None:
    coordinator = web.sign_in("coordinator")
    shown = upload(coordinator, "/assessments/file", HEADER + "S-001,2026-02-02,none,none,\n")
    coordinator.submit(PATH, **JUDGED)
    again = confirm(coordinator, "/assessments/file", shown, reason="the ward's list")
    assert again.status_code == 422
    assert "Something changed" in again.text
    assert [e.ascites for e in web.store.assessments()] == ["mild"]


def test_every_bad_row_of_a_file_is_named_and_none_is_entered(web: WebRun) -> None:
    text = HEADER + "S-001,2026-02-02,none,none,\nS-404,2026-02-02,none,,\nS-001,2026-02-03,much,,\n"
    answer = upload(web.sign_in("coordinator"), "/assessments/file", text)
    said = html.unescape(answer.text)
    assert answer.status_code == 422
    assert "names no participant" in said
    assert "ascites is none of its values" in said
    assert '<th scope="row" class="number">4</th>' in said
    assert web.store.assessments() == []


def test_a_file_with_another_column_is_refused(web: WebRun) -> None:
    answer = upload(web.sign_in("coordinator"), "/assessments/file", HEADER.strip() + ",arm\nS-001,2026-02-02,,,,1\n")
    assert answer.status_code == 422
    assert "the format has no column" in html.unescape(answer.text)


def test_a_viewer_reads_assessments_and_enters_none(web: WebRun) -> None:
    viewer = web.sign_in("viewer")
    assert viewer.get(PATH).status_code == 200
    assert 'name="ascites"' not in viewer.get(PATH).text
    assert viewer.submit(PATH, **JUDGED).status_code == 403
    assert viewer.get("/assessments/file").status_code == 403
    assert viewer.submit("/assessments/file", carried="eA==").status_code == 403
    assert web.store.assessments() == []
