"""The roster on the page: listing, enrolling, and a file that is shown before it is taken."""

from __future__ import annotations

import html
import re
import tempfile
from pathlib import Path

import pytest
from httpx2 import Response
from webrun import Browser, WebRun

HEADER = "study_id,identifier,authority,infused_at,birth_date,sex\n"
NUMBER = "0012345"


def upload(browser: Browser, path: str, text: str | bytes, **fields: str) -> Response:
    """A file as a browser sends it."""
    raw = text.encode() if isinstance(text, str) else text
    return browser.post(path, data={"csrf": browser.token, **fields}, files={"file": ("chosen.csv", raw, "text/csv")})


def hidden(answer: Response, name: str) -> str:
    """A hidden field of the page."""
    found = re.search(rf'name="{name}" value="([^"]*)"', answer.text)
    assert found is not None, answer.text
    return html.unescape(found[1])


def confirm(browser: Browser, path: str, shown: Response, **fields: str) -> Response:
    """The confirming form of a preview, sent."""
    return browser.submit(path, carried=hidden(shown, "carried"), seen=hidden(shown, "seen"), **fields)


def test_the_list_names_who_is_enrolled_and_no_identity(web: WebRun) -> None:
    web.receive("complete-panel.hl7")
    said = web.sign_in("viewer").get("/roster").text
    assert "S-001" in said
    assert "2026-01-05" in said
    assert "NTCGH" in said
    assert NUMBER not in said
    assert "1970" not in said


def test_the_list_counts_the_endpoints_that_have_a_value_and_no_supporting_analyte(web: WebRun) -> None:
    web.receive("complete-panel.hl7")
    row = re.findall(r'<td class="number">(\d+)</td>', web.sign_in("viewer").get("/roster").text)
    assert row == ["8", "0"]  # seven measured and MELD; Child-Pugh lacks what nobody has assessed


def test_a_long_roster_is_paged_and_found_by_a_part_of_the_study_id(web: WebRun) -> None:
    lines = "".join(f"T-{n:03},{n},NTCGH,,,\n" for n in range(150))
    path = web.config.path.with_name("many.csv")
    path.write_text(HEADER + lines, encoding="utf-8")
    web.enrol(path)
    viewer = web.sign_in("viewer")
    first, second = viewer.get("/roster").text, viewer.get("/roster?page=2").text
    assert "T-000" in first
    assert "T-149" not in first
    assert "T-149" in second
    assert "T-149" in viewer.get("/roster?find=t-149").text
    assert "Page 2 of 2" in viewer.get("/roster?page=99999999999999999999999").text
    assert viewer.get("/roster?page=x").status_code == 200


def test_whoever_is_enrolled_counts_from_then_on(web: WebRun) -> None:
    coordinator = web.sign_in("coordinator")
    answer = coordinator.submit("/enrol", study_id="S-002", identifier="77", authority="NTCGH", day="2026-01-05")
    assert "S-002 is enrolled" in answer.text
    found = web.store.participant("S-002")
    assert found is not None
    assert found.infused_at == "2026-01-05"
    assert ("coordinator", "participant enrolled", "S-002") in web.trail()


def test_a_time_of_infusion_is_taken_in_the_trials_time_zone(web: WebRun) -> None:
    fields = {"study_id": "S-002", "identifier": "77", "authority": "NTCGH", "day": "2026-01-05", "time": "09:30"}
    web.sign_in("coordinator").submit("/enrol", **fields)
    found = web.store.participant("S-002")
    assert found is not None
    assert found.infused_at == "2026-01-05T09:30+08:00"
    assert "2026-01-05 09:30" in web.sign_in("viewer").get("/roster").text


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"study_id": "S 2"}, "Study id: write letters, digits"),
        ({"identifier": ""}, "The patient's number: write"),
        ({"authority": ""}, "Its assigning authority: write"),
        ({"study_id": "S-001"}, "S-001 is enrolled already"),
        ({"identifier": NUMBER}, "another participant"),
        ({"day": "05.01.2026"}, "no date"),
        ({"time": "09:30"}, "no date"),
        ({"day": "2026-01-05", "time": "25:00"}, "no time of day"),
        ({"day": "2026-01-05", "time": "09:30+02:00"}, "no time of day"),
        ({"birth_date": "1970"}, "Birth date: write it as 1970-01-31"),
        ({"sex": "X"}, "Sex: write M or F"),
    ],
)
def test_an_enrolment_that_cannot_be_says_why_and_enrols_nobody(
    web: WebRun, fields: dict[str, str], words: str
) -> None:
    given = {"study_id": "S-002", "identifier": "77", "authority": "NTCGH", **fields}
    answer = web.sign_in("coordinator").submit("/enrol", **given)
    assert answer.status_code == 422
    assert words in html.unescape(answer.text)
    assert web.store.participant("S-002") is None


@pytest.mark.parametrize("field", ["arm", "route", "group"])
def test_a_form_that_brings_an_arm_or_a_route_is_refused(web: WebRun, field: str) -> None:
    given = {"study_id": "S-002", "identifier": "77", "authority": "NTCGH", field: "1"}
    answer = web.sign_in("coordinator").submit("/enrol", **given)
    assert answer.status_code == 422
    assert "blinded" in answer.text
    assert web.store.participant("S-002") is None


def test_a_file_is_shown_first_and_taken_when_it_is_confirmed(web: WebRun) -> None:
    coordinator = web.sign_in("coordinator")
    text = (
        HEADER
        + "S-001,0012345,NTCGH,2026-01-05,1970-03-14,F\nS-002,77,NTCGH,2026-01-12,,\nS-002,78,OTHER,2026-01-12,,\n"
    )
    shown = upload(coordinator, "/enrol/file", text)
    assert "1 would be enrolled, 0 corrected, 1 stay as they are" in shown.text
    assert web.store.participant("S-002") is None
    done = confirm(coordinator, "/enrol/file", shown, reason="the site's list")
    assert "1 participants of the file" in done.text
    found = web.store.participant("S-002")
    assert found is not None
    assert len(found.identifiers) == 2


def test_a_previewed_file_lies_on_no_disk_and_in_no_cache(web: WebRun, tmp_path: Path) -> None:
    coordinator = web.sign_in("coordinator")
    shown = upload(coordinator, "/enrol/file", HEADER + "S-002,987654321,NTCGH,,,\n")
    assert shown.headers["cache-control"] == "no-store"
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and b"987654321" in path.read_bytes()]
    assert kept == []


def test_not_even_a_file_that_is_too_large_is_put_into_a_temporary_file(
    web: WebRun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    coordinator = web.sign_in("coordinator")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    answer = upload(coordinator, "/enrol/file", b"x" * 2_000_000)
    assert answer.status_code == 422
    assert "larger than a megabyte" in answer.text


def test_a_file_needs_its_reason(web: WebRun) -> None:
    coordinator = web.sign_in("coordinator")
    shown = upload(coordinator, "/enrol/file", HEADER + "S-002,77,NTCGH,,,\n")
    again = confirm(coordinator, "/enrol/file", shown, reason=" ")
    assert again.status_code == 422
    assert "Give the reason" in again.text
    assert web.store.participant("S-002") is None
    assert "1 participants" in confirm(coordinator, "/enrol/file", again, reason="the site's list").text


def test_every_bad_row_of_a_file_is_named_and_nothing_of_it_is_taken(web: WebRun) -> None:
    text = HEADER + "S-002,77,NTCGH,,,\nS-003,,NTCGH,yesterday,,\nS-004,0012345,NTCGH,,,\n"
    answer = upload(web.sign_in("coordinator"), "/enrol/file", text)
    said = html.unescape(answer.text)
    assert answer.status_code == 422
    assert "identifier is empty" in said
    assert "infused_at is no date" in said
    assert '<th scope="row" class="number">3</th>' in said
    assert web.store.participant("S-002") is None


def test_a_row_whose_number_is_another_participants_is_named_by_its_line(web: WebRun) -> None:
    text = HEADER + "S-002,77,NTCGH,,,\nS-004,0012345,NTCGH,,,\n"
    said = html.unescape(upload(web.sign_in("coordinator"), "/enrol/file", text).text)
    assert "already that of S-001" in said
    assert '<th scope="row" class="number">3</th>' in said
    assert NUMBER not in said


@pytest.mark.parametrize("column", ["arm", "route", "分组"])
def test_a_file_with_a_column_that_the_format_does_not_know_is_refused(web: WebRun, column: str) -> None:
    text = HEADER.strip() + f",{column}\nS-002,77,NTCGH,,,,2\n"
    answer = upload(web.sign_in("coordinator"), "/enrol/file", text)
    assert answer.status_code == 422
    assert "the format has no column" in html.unescape(answer.text)
    assert web.store.participant("S-002") is None


def test_a_file_that_would_move_an_infusion_date_shows_the_values_it_moves(web: WebRun) -> None:
    web.receive("complete-panel.hl7")
    coordinator = web.sign_in("coordinator")
    shown = upload(coordinator, "/enrol/file", HEADER + "S-001,0012345,NTCGH,2025-06-01,1970-03-14,F\n")
    said = html.unescape(shown.text)
    assert "2026-01-05 becomes 2025-06-01" in said
    assert "45 U/L of 2026-02-02" in said
    assert web.table()["S-001", "week-4", "ALT"].value_text == "45"
    confirm(coordinator, "/enrol/file", shown, reason="the site's list")
    assert web.table()["S-001", "week-4", "ALT"].value_text is None


def test_a_file_is_shown_anew_where_the_roster_changed_since_it_was_shown(web: WebRun) -> None:
    coordinator = web.sign_in("coordinator")
    shown = upload(coordinator, "/enrol/file", HEADER + "S-002,77,NTCGH,2026-01-12,,\n")
    web.sign_in("coordinator").submit("/enrol", study_id="S-002", identifier="77", authority="NTCGH")
    again = confirm(coordinator, "/enrol/file", shown, reason="the site's list")
    assert again.status_code == 422
    assert "Something changed" in again.text
    found = web.store.participant("S-002")
    assert found is not None
    assert found.infused_at is None


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "Choose a file first"),
        ("study_id,\u59d3\u540d\n".encode("gb18030"), "the file is not UTF-8"),
        (b"x" * 1_000_001, "larger than a megabyte"),
    ],
)
def test_what_is_no_roster_is_refused_with_its_reason(web: WebRun, raw: bytes, words: str) -> None:
    answer = upload(web.sign_in("coordinator"), "/enrol/file", raw)
    assert answer.status_code == 422
    assert words in html.unescape(answer.text)


def test_a_form_that_carries_no_file_back_is_refused(web: WebRun) -> None:
    answer = web.sign_in("coordinator").submit("/enrol/file", carried="no base64!", seen="x", reason="y")
    assert answer.status_code == 422
    assert "Choose a file first" in answer.text


def test_a_file_with_markup_is_shown_as_text(web: WebRun) -> None:
    answer = upload(web.sign_in("coordinator"), "/enrol/file", HEADER.strip() + ",<script>alert(1)</script>\n")
    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;" in answer.text


@pytest.mark.parametrize(("path", "fields"), [("/enrol", {"study_id": "S-002"}), ("/enrol/file", {"carried": "eA=="})])
def test_a_viewer_may_read_the_roster_and_not_change_it(web: WebRun, path: str, fields: dict[str, str]) -> None:
    viewer = web.sign_in("viewer")
    assert "/enrol" not in viewer.get("/roster").text
    assert viewer.get("/enrol").status_code == 403
    assert viewer.submit(path, **fields).status_code == 403
