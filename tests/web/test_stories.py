"""The participant's page and the story of a cell."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from html import unescape

import pytest
from webrun import WebRun

from adapter.model import Participant

HOSTILE = "<script>alert(1)</script>"
# Invented; OBX-3.2 and OBX-5 hold markup. 2026-02-02 lies in week 4 of the fixtures' participant.
MESSAGE = (
    "MSH|^~\\&|LIS|NTCGH|EDC|TRIAL|20260203080000+0800||ORU^R01^ORU_R01|M1|P|2.5.1||||||UNICODE UTF-8\r"
    "PID|1||0012345^^^NTCGH^MR||Anren^Lan||19700314|F\r"
    "OBR|1||L-1|CHEM|||20260202080000+0800|||||||||||||||20260203080000+0800|||F\r"
    f"OBX|1|ST|1742-6^{HOSTILE}^LN||{HOSTILE}|U/L|||||F\r"
    f"OBX|2|NM|1920-8^{HOSTILE}^LN||31|U/L|||||F\r"
).encode()


def text_of(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def cells(web: WebRun, status: str) -> list[str]:
    return ["/participants/" + "/".join(key) for key, row in web.table().items() if row.status == status]


def test_the_story_of_a_value_names_its_message_its_mapping_and_its_conversion(web: WebRun):
    web.receive("albumin-in-g-dl.hl7")
    (path,) = (p for p in cells(web, "captured") if p.endswith("/ALB"))
    (row,) = (r for r in web.store.results() if r.endpoint == "ALB")
    told = text_of(web.sign_in("viewer").get(path).text)
    for each in (row.reported, row.reported_unit, row.message_control_id, row.locator, row.mapping, row.conversion):
        assert each is not None
        assert each in told
    assert "the stored bytes give the same" in told
    assert "Derived again from the stored messages" in told


def test_a_candidate_that_lost_says_why_on_both_pages(web: WebRun):
    web.receive("nearest-to-the-target.hl7")
    lost = [p for s in web.store.participants() for p in web.store.placements(s.study_id) if not p.chosen]
    assert lost
    browser = web.sign_in("viewer")
    for each in lost:
        for path in ("", f"/{each.visit}/{each.endpoint}"):
            assert "Not chosen: another result lies nearer" in text_of(
                browser.get(f"/participants/{each.study_id}{path}").text
            )


def test_what_a_laboratory_wrote_is_text_on_every_page(web: WebRun):
    web.receive(MESSAGE)
    browser = web.sign_in("administrator")
    (item,) = web.store.open_items()
    shown = 0
    for path in (
        "/",
        "/participants/S-001",
        "/participants/S-001/week-4/ALT",
        "/participants/S-001/week-4/AST",
        "/review",
        f"/review/{item.item.id}",
        "/decisions",
    ):
        answer = browser.get(path)
        assert answer.status_code == 200, path
        assert HOSTILE not in answer.text, path
        shown += "&lt;script&gt;" in answer.text
    assert shown >= 3  # what is no number is not shown at all, whoever looks


def test_the_plot_says_its_values_to_those_who_do_not_see_it(web: WebRun):
    web.receive("comparator-below-limit.hl7")
    html = web.sign_in("viewer").get("/participants/S-001").text
    row = next(r for r in web.table().values() if r.comparator is not None)
    described = re.findall(r"<desc[^>]*>(.*?)</desc>", html)
    assert any(f"{row.comparator}{row.value_text} " in unescape(each) and "chosen" in each for each in described)


def test_a_participant_without_an_infusion_date_has_a_page_without_plots(web: WebRun):
    (person,) = (p for p in web.store.participants() if p.study_id == "S-001")
    web.receive("complete-panel.hl7")
    web.put(replace(person, infused_at=None))
    web.settler.settle(web.book)
    html = web.sign_in("viewer").get("/participants/S-001").text
    assert "no date yet" in text_of(html)
    assert 'role="img"' not in html


def test_neither_page_shows_who_the_patient_is(web: WebRun):
    web.receive("complete-panel.hl7")
    (person,) = (p for p in web.store.participants() if p.study_id == "S-001")
    browser = web.sign_in("administrator")
    for path in ("/", "/participants/S-001", "/participants/S-001/week-4/ALT", "/review"):
        text = browser.get(path).text
        assert all(each.value not in text for each in person.identifiers)
        assert person.birth_date is None or person.birth_date not in text


def test_an_administrator_sees_what_was_sent_and_the_trail_says_so(web: WebRun):
    web.receive("complete-panel.hl7")
    path = "/participants/S-001/week-4/ALT"
    browser = web.sign_in("administrator")
    assert "OBX|" not in browser.get(path).text
    assert "OBX|" in browser.submit(f"{path}/bytes").text
    assert web.trail()[-1][:2] == ("administrator", "raw bytes shown")


@pytest.mark.parametrize("role", ["viewer", "coordinator", "data_manager"])
def test_nobody_else_sees_what_was_sent(web: WebRun, role: str):
    web.receive("complete-panel.hl7")
    browser = web.sign_in(role)
    answer = browser.submit("/participants/S-001/week-4/ALT/bytes")
    assert (answer.status_code, "OBX|" in answer.text) == (403, False)
    assert "Show what was sent" not in browser.get("/participants/S-001/week-4/ALT").text
    assert "raw bytes shown" not in [what for _, what, _ in web.trail()]


def test_only_who_may_decide_is_offered_a_decision(web: WebRun):
    web.receive("complete-panel.hl7")
    path = "/participants/S-001/week-4/ALT"
    assert "Take it back" not in web.sign_in("viewer").get(path).text
    html = web.sign_in("coordinator").get(path).text
    assert f'action="{path}/take_back"' in html


@pytest.mark.parametrize(
    "path",
    [
        "/participants/S-999",
        "/participants/S-999/week-4/ALT",
        "/participants/S-001/week-5/ALT",
        "/participants/S-001/week-4/GLU",
        "/review/none",
    ],
)
def test_what_does_not_exist_is_not_found(web: WebRun, path: str):
    assert web.sign_in("viewer").get(path).status_code == 404


def test_the_history_of_a_value_says_what_it_was_and_became(web: WebRun):
    web.receive("preliminary-then-final.hl7")
    history = web.store.value_changes("S-001", 100)
    browser = web.sign_in("viewer")
    told = text_of(browser.get("/participants/S-001").text)
    assert any(r.new is not None and '"captured"' in r.new for r in history)
    assert "Chosen as the value of" in told
    assert "nothing 44 U/L of 2026-02-02, provisional (P1 OBX[1])" in told


def test_the_changes_of_one_participant_are_not_those_of_another_whose_id_begins_alike(web: WebRun):
    now, people = datetime(2026, 2, 2, tzinfo=UTC), ("T-1", "T-10", "T_1")
    for study_id in people:
        web.put(Participant(study_id, infused_at="2026-01-05"))
    web.settler.settle(web.book)
    with web.store.write() as tx:
        for study_id in people:
            tx.record("value changed", f"{study_id} week-4 ALT", who="test", at=now, why="no_result")
    assert [r.subject for r in web.store.value_changes("T-1", 10)] == ["T-1 week-4 ALT"]


def test_decisions_say_whether_they_are_in_force(web: WebRun):
    with web.store.write() as tx:
        body = {"source": "lis", "code": "GPT", "system": "", "analyte": "ALT"}
        made = tx.add_decision("map_code", body, "coordinator", "asked", web.now)
        tx.add_decision("undo", {"decision": str(made.id)}, "coordinator", "wrong", web.now)
        tx.add_decision("map_code", body, "coordinator", "asked again", web.now)
    told = text_of(web.sign_in("viewer").get("/decisions").text)
    assert "undone by 2" in told
    assert told.count("in force") == 1
    assert "the code GPT is ALT" in told


def test_codes_that_resemble_nothing_are_one_entry_with_a_page(web: WebRun):
    web.receive("unmapped-local-code.hl7")
    browser = web.sign_in("viewer")
    listed = browser.get("/review").text
    links = re.findall(r'href="(/review/[^"]+)"', listed)
    assert links
    assert all(browser.get(unescape(link)).status_code == 200 for link in links)
