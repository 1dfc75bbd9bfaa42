"""The queue on the page: each reason found, understood, answered, its value where it belongs, and undone again."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from httpx2 import Response
from invented import message
from webrun import PASSWORD, SITUATIONS, Browser, WebRun

from adapter.model import Reason
from adapter.review import desk
from adapter.review.answers import ACTIONS, actions_of
from adapter.review.decide import Desk
from adapter.review.desk import DecisionRefused, Entry
from adapter.review.proposal import Given

WHY = "told by the laboratory"
ALT, ALB = "S-001 week-4 ALT", "S-001 week-4 ALB"
MELD = message(
    "14631-6^^LN 68.4 umol/L F 20260202",
    "6301-6^^LN 1.8 1 F 20260202",
    "14682-9^^LN 88.4 umol/L F 20260202",
    "44760-7^^LN 31 {score} F 20260202",
)
TWO_DAYS = message("1742-6^^LN 45 U/L F 20260202", "1742-6^^LN 51 U/L F 20260204")
CORRECTED = message("1742-6^^LN 46 U/L C 20260202", id="M2", at="20260301080000+0800")


@dataclass(frozen=True)
class Case:
    """What is received, how it is answered, and the cells that then have a value. ``result`` is named by its text."""

    reason: str
    action: str
    received: Sequence[str | bytes]
    cells: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    result: str = ""
    open: bool = False


CASES = [
    Case("unmapped_code", "map", ["unmapped-local-code.hl7"], {ALT: "40"}, {"text": "ALT"}),
    Case("unmapped_code", "dismiss", ["unmapped-local-code.hl7"]),
    Case("code_conflict", "say_analyte", ["code-conflict.hl7"], {ALT: "40"}, {"text": "ALT"}),
    Case("wrong_specimen", "accept_specimen", ["albumin-in-ascites-fluid.hl7"], {ALB: "11.0"}),
    Case("wrong_specimen", "say_specimen", ["albumin-in-ascites-fluid.hl7"], {ALB: "11.0"}),
    Case("unreadable_value", "say_value", ["thousands-separator.hl7"], {ALT: "1234"}, {"text": "1234"}),
    Case("missing_unit", "accept_unit", ["missing-unit.hl7"], {ALT: "40"}, {"text": "U/L"}),
    Case("missing_unit", "say_unit", ["missing-unit.hl7"], {ALT: "40"}, {"text": "U/L"}),
    Case("unknown_unit", "accept_unit", [message("1742-6^^LN 40 KE/ml F 20260202")], {ALT: "40"}, {"text": "U/L"}),
    Case("implausible_value", "say_plausible", [message("1751-7^^LN 350 g/L F 20260202")], {ALB: "350"}),
    Case("implausible_value", "say_value", [message("1751-7^^LN 350 g/L F 20260202")], {ALB: "35.0"}, {"text": "35.0"}),
    Case("implausible_value", "take_back", [message("1751-7^^LN 350 g/L F 20260202")]),
    Case(
        "missing_collection_time", "say_collected_at", ["collected-in-a-month.hl7"], {ALT: "40"}, {"day": "2026-02-02"}
    ),
    Case(
        "implausible_time",
        "say_collected_at",
        ["collected-in-the-far-future.hl7"],
        {ALT: "40"},
        {"day": "2026-02-02", "time": "08:15"},
    ),
    Case("unknown_status", "map_status", ["status-zero.hl7"], {ALT: "40"}, {"text": "F"}),
    Case("unknown_status", "say_status", ["status-zero.hl7"], {ALT: "40"}, {"text": "F"}),
    Case("conflicting_results", "choose", ["two-values-of-one-observation.hl7"], {ALT: "44"}, result="44"),
    Case("conflicting_results", "take_back", ["two-values-of-one-observation.hl7"], {ALT: "40"}, result="44"),
    Case("window_missed", "accept_outside", ["day-before-window.hl7"], {ALT: "40"}),
    Case("score_mismatch", "dismiss", [MELD]),
    Case("identity_conflict", "confirm_identity", ["other-birth-date.hl7"], {ALT: "40"}, {"participant": "S-001"}),
    Case("identity_merge", "merge_identity", ["merged-identifiers.hl7"]),
    Case("unreadable_message", "retry", ["undecodable-bytes.hl7"], open=True),
    Case("unreadable_message", "dismiss", ["undecodable-bytes.hl7"]),
]


def entry_of(web: WebRun, reason: str) -> Entry:
    (found,) = [entry for entry in desk.queue(web.store) if entry.item.reason == reason]
    return found


def hidden(answer: Response) -> dict[str, list[str]]:
    """The hidden fields of a preview's form."""
    form = re.search(r"<form[^>]*data-preview>(.*?)</form>", answer.text, re.DOTALL)
    assert form is not None, answer.text
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', form[1]):
        found.setdefault(name, []).append(html.unescape(value))
    return found


def confirmed(browser: Browser, path: str, preview: Response, reason: str = WHY) -> Response:
    """What the preview's own form sends, a reason written into it."""
    assert preview.status_code == 200, preview.text
    browser.run.now += timedelta(minutes=1)
    return browser.post(path, data={**hidden(preview), "reason": reason})


def derived(web: WebRun) -> list[object]:
    items = sorted((s.item for s in web.store.open_items()), key=lambda item: item.id)
    return [web.store.results(), web.store.selections(), items]


def undone(browser: Browser, done: Response) -> None:
    decisions = re.findall(r'name="decision" value="(\d+)"', done.text)
    assert decisions
    answer = confirmed(browser, "/decisions/undo", browser.submit("/decisions/undo", decision=decisions), "was wrong")
    assert "Decided and done." in answer.text


def place(web: WebRun, reported: str) -> str:
    (found,) = [r for r in web.store.results() if r.reported == reported]
    return f"{found.inbox_id} {found.locator}"


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.reason}-{c.action}")
def test_a_question_is_found_understood_settled_and_undone_again(web: WebRun, case: Case):
    for each in case.received:
        web.receive(each)
    browser, entry, before = web.sign_in("coordinator"), entry_of(web, case.reason), derived(web)
    assert html.escape(entry.told(lambda text: text), quote=True) in browser.get("/review").text.replace(
        "&#39;", "&#x27;"
    )
    path = f"/review/{entry.id}"
    shown = browser.get(path).text
    assert re.findall(r'data-answer="(\w+)"', shown) == [a for a in actions_of(entry) if a != "sign_off"]
    fields = {"answer": case.action, **case.fields, **({"result": place(web, case.result)} if case.result else {})}
    head = web.store.head()
    preview = browser.submit(path, **fields)
    assert web.store.head() == head
    done = confirmed(browser, path, preview)
    assert done.status_code == 200
    assert "Decided and done." in done.text, done.text
    rows = web.table()
    assert {cell: rows[*cell.split()].value_text for cell in case.cells} == case.cells
    assert (desk.find(web.store, entry.id).state == "open") == case.open
    for cell in case.cells:
        story = browser.get("/participants/{}/{}/{}".format(*cell.split())).text
        assert WHY in story  # who reads the value reads of the decision
    made = [r for r in web.store.audit_records() if r.what == "decided"]
    assert {(r.who, r.why) for r in made} == {("coordinator", WHY)}
    settled = browser.get(path).text  # the question says by what it was settled, and leads to taking that back
    assert {f"/decisions/{d.id}" for d in web.store.decisions()} == set(re.findall(r'"(/decisions/\d+)"', settled))
    assert case.open or settled.count('action="/decisions/undo"') == len(web.store.decisions())
    undone(browser, done)
    assert settled.count("(undone)") < browser.get(path).text.count("(undone)")
    assert derived(web) == before
    assert web.store.verify().ok


def test_every_reason_of_the_trial_has_a_case_or_a_test_of_its_own():
    assert {case.reason for case in CASES} | {"changed_after_choice"} == {*Reason} == set(ACTIONS)


def test_a_choice_is_made_on_the_page_of_the_value_and_asked_about_when_it_changes(web: WebRun):
    web.receive(TWO_DAYS)
    browser, path, before = web.sign_in("coordinator"), "/participants/S-001/week-4/ALT", derived(web)
    chosen = confirmed(browser, f"{path}/choose", browser.submit(f"{path}/choose", result=place(web, "51")))
    assert web.table()["S-001", "week-4", "ALT"].flags == ("chosen_by_person",)
    web.receive(CORRECTED)
    entry = entry_of(web, "changed_after_choice")
    item = f"/review/{entry.id}"
    again = browser.submit(item, answer="choose", result=place(web, "46"))
    assert "chosen by a person" in browser.get(path).text
    settled = confirmed(browser, item, again)
    assert web.table()["S-001", "week-4", "ALT"].value_text == "46"
    undone(browser, settled)
    undone(browser, chosen)
    taken = browser.submit(f"{path}/take_back", result=place(web, "46"))
    undone(browser, confirmed(browser, f"{path}/take_back", taken))
    assert web.table()["S-001", "week-4", "ALT"].value_text == "46"
    assert before != derived(web)


def test_a_visit_that_changed_after_its_sign_off_leads_the_data_manager_to_sign_again(web: WebRun):
    web.receive(TWO_DAYS)
    web.desk_decides(lambda at: at.sign_off("S-001", "week-4"))
    web.receive(CORRECTED)
    entry = entry_of(web, "changed_after_choice")
    link = "/roster/S-001/sign-off/week-4"
    assert link in web.sign_in("data_manager").get(f"/review/{entry.id}").text
    coordinator = web.sign_in("coordinator")
    assert link not in coordinator.get(f"/review/{entry.id}").text
    assert "Choose one of the answers" in coordinator.submit(f"/review/{entry.id}", answer="sign_off").text
    (made,) = web.store.decisions()
    assert "Take it back" not in coordinator.get(f"/decisions/{made.id}").text
    refused = coordinator.submit("/decisions/undo", decision=str(made.id))
    assert "A sign-off is taken back by a data manager." in refused.text
    manager = web.sign_in("data_manager")
    path = "/decisions/undo"
    assert "Decided and done." in confirmed(manager, path, manager.submit(path, decision=str(made.id))).text


def test_two_hundred_results_of_one_code_are_placed_by_one_decision_with_one_preview(tmp_path: Path):
    people = 25
    with closing(WebRun(tmp_path)) as web:
        roster = tmp_path / "roster.csv"
        rows = "".join(f"S-{n:03},{1000 + n},NTCGH,2026-01-05,,\n" for n in range(people))
        roster.write_text("study_id,identifier,authority,infused_at,birth_date,sex\n" + rows, encoding="utf-8")
        web.enrol(roster)
        days = ("20260202", "20260203", "20260330", "20260331", "20260622", "20260623", "20260105", "20260501")
        for n in range(people):
            results = [f"GPT-D^谷丙转氨酶 {30 + k} U/L F {day}" for k, day in enumerate(days)]
            web.receive(message(*results, id=f"M{n}", number=f"{1000 + n}^^^NTCGH^MR", who="|"))
        browser, entry = web.sign_in("coordinator"), entry_of(web, "unmapped_code")
        path = f"/review/{entry.id}"
        assert '<option value="ALT" selected>' in browser.get(path).text
        preview = browser.submit(path, answer="map", text="ALT")
        assert "Results with another outcome: 200" in preview.text
        assert f"Values that change: {3 * people}; of these with a value then: {3 * people}" in preview.text
        done = confirmed(browser, path, preview)
        assert "Results with another outcome: 200" in done.text
        assert (len(web.store.decisions()), desk.queue(web.store)) == (1, [])
        assert {r.endpoint for r in web.store.results()} == {"ALT"}


def test_nothing_is_decided_without_its_preview_nor_without_a_reason(web: WebRun):
    web.receive("thousands-separator.hl7")
    browser, path = web.sign_in("coordinator"), f"/review/{entry_of(web, 'unreadable_value').id}"
    unseen = browser.submit(path, answer="say_value", text="1234", confirm="1", reason=WHY)
    assert (unseen.status_code, "Something changed since this was shown" in unseen.text) == (422, True)
    preview = browser.submit(path, answer="say_value", text="1234")
    assert "Give the reason" in confirmed(browser, path, preview, reason=" ").text
    other = {**hidden(preview), "text": ["1235"], "reason": WHY}
    assert "Something changed since this was shown" in browser.post(path, data=other).text
    assert web.store.decisions() == []


def test_what_came_meanwhile_is_shown_before_it_is_decided(web: WebRun):
    web.receive(message("GPT-D^谷丙转氨酶 40 U/L F 20260202"))
    browser, path = web.sign_in("coordinator"), f"/review/{entry_of(web, 'unmapped_code').id}"
    preview = browser.submit(path, answer="map", text="ALT")
    web.receive(message("GPT-D^谷丙转氨酶 51 U/L F 20260330", id="M2", order="L-2"))
    shown = confirmed(browser, path, preview) if preview.status_code == 200 else preview
    assert (shown.status_code, web.store.decisions()) == (422, [])
    assert "Values that change: 2" in shown.text
    shown.status_code = 200
    assert "Decided and done." in confirmed(browser, path, shown).text


def test_a_form_that_is_sent_twice_decides_once(web: WebRun):
    web.receive("unmapped-local-code.hl7")
    browser, path = web.sign_in("coordinator"), f"/review/{entry_of(web, 'unmapped_code').id}"
    preview = browser.submit(path, answer="map", text="ALT")
    confirmed(browser, path, preview)
    again = browser.post(path, data={**hidden(preview), "reason": WHY})
    assert (again.status_code, len(web.store.decisions())) == (422, 1)


def test_what_takes_long_is_left_to_the_daemon_and_said_so(web: WebRun, monkeypatch: pytest.MonkeyPatch):
    web.receive("unmapped-local-code.hl7")
    browser, path = web.sign_in("coordinator"), f"/review/{entry_of(web, 'unmapped_code').id}"
    preview, woken = browser.submit(path, answer="map", text="ALT"), web.woken
    monkeypatch.setattr("adapter.web.page._PATIENCE_SECONDS", -1.0)
    answer = confirmed(browser, path, preview)
    assert ("still being worked out" in answer.text, web.woken) == (True, woken + 1)
    assert {row.value for row in web.store.selections("S-001")} == {None}
    assert web.table()["S-001", "week-4", "ALT"].value_text == "40"


def test_what_is_filled_in_wrongly_is_said_and_kept(web: WebRun):
    web.receive("thousands-separator.hl7")
    browser, path = web.sign_in("coordinator"), f"/review/{entry_of(web, 'unreadable_value').id}"
    answer = browser.submit(path, answer="say_value", text="1,234")
    assert (answer.status_code, 'role="alert"' in answer.text, 'value="1,234"' in answer.text) == (422, True, True)
    assert "1,234" in answer.text


def unreadable(web: WebRun, count: int) -> None:
    """So many messages, a value in each that cannot be read."""
    for n in range(1, count + 1):
        web.receive(message(f"1742-6^^LN {n},0 U/L F 202602{n:02}", id=f"M{n}", order=f"L-{n}"))


def test_questions_of_one_cause_are_dismissed_at_one_stroke_and_come_back_at_one(web: WebRun):
    unreadable(web, 2)
    before, ids = derived(web), [s.item.id for s in web.store.open_items()]
    assert len(ids) == 2
    browser = web.sign_in("coordinator")
    assert browser.get("/review").text.count('name="item"') == 2
    preview = browser.submit("/review", answer="dismiss", item=ids)
    assert "Dismiss the question: 2 questions" in preview.text
    done = confirmed(browser, "/review", preview)
    assert desk.queue(web.store) == []
    undone(browser, done)
    assert derived(web) == before


def test_a_unit_that_many_messages_lack_is_one_line_and_one_answer(web: WebRun):
    for n in range(1, 6):
        web.receive(message(f"1742-6^^LN 4{n} - F 202602{n:02}", id=f"M{n}", order=f"L-{n}"))
    browser = web.sign_in("coordinator")
    shown = browser.get("/review").text
    assert (len(desk.queue(web.store)), shown.count('name="item"'), "in 5 messages" in shown) == (5, 1, True)
    (named,) = re.findall(r'name="item" value="([^"]+)"', shown)
    path = f"/review/{named}"
    assert "5 messages are asked about for the same cause" in browser.get(path).text
    done = confirmed(browser, path, browser.submit(path, answer="accept_unit", text="U/L"))
    assert (len(web.store.decisions()), desk.queue(web.store)) == (1, [])
    undone(browser, done)
    ids = re.findall(r'name="item" value="([^"]+)"', browser.get("/review").text)
    confirmed(browser, "/review", browser.submit("/review", answer="dismiss", item=ids))
    assert desk.queue(web.store) == []


def test_only_what_needs_no_words_is_done_to_several_questions(web: WebRun):
    web.receive(message("1742-6^^LN 4,0 U/L F 20260202", "XX1 5 U/L F 20260330"))
    ids = [s.item.id for s in web.store.open_items()]
    browser = web.sign_in("coordinator")
    assert "Choose the questions first" in browser.submit("/review", answer="dismiss").text
    assert "Choose the questions first" in browser.submit("/review", answer="map", item=ids).text
    assert "of one cause only" in browser.submit("/review", answer="dismiss", item=ids).text
    assert web.store.decisions() == []


def test_of_codes_that_resemble_nothing_some_are_dismissed_and_one_is_mapped(web: WebRun):
    web.receive(message("XX1 1 U/L F 20260202", "XX2 2 U/L F 20260202", "XX3 3 U/L F 20260202"))
    browser, entry = web.sign_in("coordinator"), entry_of(web, "unmapped_code")
    shown = browser.get(f"/review/{entry.id}").text
    ids = re.findall(r'name="item" value="([^"]+)"', shown)
    assert (len(ids), re.findall(r'data-answer="(\w+)"', shown)) == (3, ["dismiss"])
    confirmed(browser, "/review", browser.submit("/review", answer="dismiss", item=ids[:2]))
    assert [d.kind for d in web.store.decisions()] == ["dismiss_code"] * 2
    (left,) = desk.queue(web.store)
    path = f"/review/{left.id}"
    confirmed(browser, path, browser.submit(path, answer="map", text="ALT"))
    assert web.table()["S-001", "week-4", "ALT"].status == "captured"
    mapped = browser.get(path).text
    assert ("settled" in mapped, re.findall(r'data-answer="(\w+)"', mapped)) == (True, ["map"])
    confirmed(browser, path, browser.submit(path, answer="map", text="AST"))
    assert web.table()["S-001", "week-4", "AST"].status == "captured"


def test_whom_a_message_names_is_shown_on_request_and_the_trail_says_to_whom(web: WebRun):
    web.receive(message("1742-6^^LN 41 U/L F 20260202", who="19331231|F"))
    path = f"/review/{entry_of(web, 'identity_conflict').id}"
    browser = web.sign_in("coordinator")
    assert "19331231" not in browser.get(path).text
    assert ("coordinator", "identity viewed", "S-001") not in web.trail()
    shown = browser.submit(f"{path}/identity").text
    assert all(text in shown for text in ("19331231", "1970-03-14", "0012345"))
    assert shown.count("<caption") == 1
    assert ("coordinator", "identity viewed", "S-001") in web.trail()
    assert web.sign_in("viewer").submit(f"{path}/identity").status_code == 403
    refused = browser.submit(path, answer="refuse_identity")
    assert "erased for good" in refused.text
    done = confirmed(browser, path, refused)
    assert "Take it back" not in done.text
    assert "Take it back" not in browser.get(f"/decisions/{web.store.decisions()[0].id}").text


def test_a_message_that_cannot_be_read_is_shown_to_an_administrator_and_to_nobody_else(web: WebRun):
    web.receive("undecodable-bytes.hl7")
    path = f"/review/{entry_of(web, 'unreadable_message').id}"
    assert "MSH|" not in web.sign_in("administrator").get(path).text
    assert "MSH|" in web.sign_in("administrator").submit(f"{path}/bytes").text
    assert [who for who, what, _ in web.trail() if what == "raw bytes shown"] == ["administrator"]
    assert web.sign_in("data_manager").submit(f"{path}/bytes").status_code == 403


def test_a_viewer_reads_the_queue_and_is_offered_no_answer(web: WebRun):
    web.receive("unmapped-local-code.hl7", "lis")
    browser, entry = web.sign_in("viewer"), entry_of(web, "unmapped_code")
    assert 'name="item"' not in browser.get("/review").text
    shown = browser.get(f"/review/{entry.id}").text
    assert ("data-answer" in shown, "Coordinators answer it." in shown) == (False, True)
    assert browser.submit(f"/review/{entry.id}", answer="map", text="ALT").status_code == 403


def test_the_queue_is_filtered_and_paged(web: WebRun):
    unreadable(web, 25)
    web.receive(message("XX1 5 U/L F 20260330", id="M99"))
    browser = web.sign_in("viewer")

    def lines(asked: str) -> int:
        return len(re.findall(r'<td class="wide"><a href="/review/', browser.get(f"/review{asked}").text))

    assert lines("") == 20 + 1
    assert "All 25 of this cause" in browser.get("/review").text
    assert (lines("?reason=unreadable_value"), lines("?reason=unreadable_value&from=20")) == (25, 5)
    assert (lines("?source=lis"), lines("?source=ehr")) == (21, 0)
    assert (lines("?participant=S-001"), lines("?participant=S-404")) == (20, 0)
    assert "Nothing that waits is like that." in browser.get("/review?participant=S-404").text


# --- what fresh eyes found ----------------------------------------------------------------------------------------


def test_a_text_that_may_name_an_arm_is_shown_to_nobody_but_an_administrator_who_asks(web: WebRun):
    telling = [
        message("RTE^Infusion_route hepatic_artery_group - F 20260202", id="M1"),
        message("1742-6^^LN hepatic_artery_45 U/L F 20260202", id="M2", order="L-2"),
        message("1920-8^^LN cancelled:_hepatic_artery U/L F 20260202", id="M3", order="L-3"),
    ]
    for each in telling:
        web.receive(each.replace(b"_", b" "))
    items = [f"/review/{each.item.id}" for each in web.store.open_items()]
    cells = [f"/participants/S-001/week-4/{endpoint}" for endpoint in ("ALT", "AST")]
    for role in ("viewer", "coordinator", "data_manager", "administrator"):
        browser = web.sign_in(role)
        for path in ("/", "/review", "/participants/S-001", "/decisions", *items, *cells):
            answer = browser.get(path)
            assert (answer.status_code, "hepatic" in answer.text) == (200, False), path
    assert "a text of" in browser.get(cells[0]).text
    assert any("hepatic" in browser.submit(f"{path}/bytes").text for path in items)


def test_a_code_that_is_escaped_in_its_message_is_previewed_too(web: WebRun):
    web.receive(message("Z\\X4C\\T^谷丙转氨酶 41 U/L F 20260202"))
    browser, path = web.sign_in("coordinator"), f"/review/{entry_of(web, 'unmapped_code').id}"
    preview = browser.submit(path, answer="map", text="ALT")
    assert "Values that change: 1" in preview.text
    confirmed(browser, path, preview)
    assert web.table()["S-001", "week-4", "ALT"].value_text == "41"


def test_a_decision_that_another_overtook_is_not_made(web: WebRun):
    web.receive("thousands-separator.hl7")
    at, entry = Desk(web.store, web.book, web.now), entry_of(web, "unreadable_value")
    proposal = at.propose(entry, "say_value", Given("1234"))
    before = len(web.store.decisions())
    at.decide(proposal, "one", "because", before)
    with pytest.raises(DecisionRefused, match="meanwhile"):
        at.decide(proposal, "other", "because", before)
    assert [d.who for d in web.store.decisions()] == ["one"]


def test_results_that_nobody_ticked_are_not_all_of_them(web: WebRun):
    web.receive(message("1751-7^^LN 350 g/L F 20260202", "1751-7^^LN 351 g/L F 20260330"))
    browser, path = web.sign_in("coordinator"), f"/review/{entry_of(web, 'implausible_value').id}"
    for named in ({}, {"result": "abc"}, {"result": [place(web, "350"), "abc"]}):
        answer = browser.submit(path, answer="say_plausible", **named)
        assert (answer.status_code, "Choose one of the results." in answer.text) == (422, True)
    preview = browser.submit(path, answer="say_plausible", result=[place(web, "350"), place(web, "351")])
    assert "Values that change: 2" in preview.text


def test_a_result_is_taken_back_on_the_page_of_its_own_cell_alone(web: WebRun):
    web.receive(message("1742-6^^LN 45 U/L F 20260202", "1920-8^^LN 51 U/L F 20260202"))
    path = "/participants/S-001/week-4/ALT/take_back"
    answer = web.sign_in("coordinator").submit(path, result=place(web, "51"))
    assert (answer.status_code, "Choose one of the results." in answer.text) == (409, True)


@pytest.mark.parametrize("path", ["/decisions/" + "9" * 5000, "/decisions/x", "/decisions/0", "/decisions/²"])
def test_a_decision_that_there_is_not_is_said_not_to_be_there(web: WebRun, path: str):
    assert web.sign_in("viewer").get(path).status_code == 404
    assert web.browser().get(path, follow_redirects=False).status_code == 303


def test_what_is_no_text_is_refused_before_anybody_signs_in(web: WebRun):
    browser = web.browser()
    for charset in ("punycode", "undefined", "raw_unicode_escape", "no-such-charset"):
        body = '--b\r\ncontent-disposition: form-data; name="name"\r\n\r\n\\ud800\r\n--b--\r\n'
        kind = f"multipart/form-data; boundary=b; charset={charset}"
        answer = browser.post("/sign-in", content=body.encode(), headers={"content-type": kind})
        assert answer.status_code in (400, 403), charset
    assert web.sign_in("data_manager").get("/trail?before=" + "9" * 5000).status_code == 200


def test_what_an_address_holds_does_not_come_into_the_trail(web: WebRun):
    assert web.sign_in("viewer").get("/roster/INVENTED NAME/sign-off/0012345").status_code == 403
    record = web.store.audit_records()[-1]
    assert (record.what, "INVENTED" in (record.new or ""), "sign_off" in (record.new or "")) == (
        "page refused",
        False,
        True,
    )


@pytest.mark.parametrize(("day", "time"), [("9999-12-31", ""), ("0001-01-01", "00:00"), ("2026-01-05", "09")])
def test_a_day_that_nobody_lives_in_is_no_day_of_infusion(web: WebRun, day: str, time: str):
    browser = web.sign_in("coordinator")
    assert browser.submit("/roster/S-001/infusion", day=day, time=time, reason=WHY).status_code == 422
    assert browser.get("/").status_code == 200


def test_a_lock_that_has_passed_begins_anew_and_locks_nobody_out_of_a_session(web: WebRun):
    manager, outside = web.sign_in("data_manager"), web.browser()
    outside.get("/sign-in")
    for _ in range(web.config.web.lock_after if web.config.web else 0):
        outside.submit("/sign-in", name="data_manager", password="wrong wrong wrong")
    fields = {"old": PASSWORD, "new": "nine other words entirely", "again": "nine other words entirely"}
    assert manager.submit("/password", follow_redirects=False, **fields).status_code == 303
    web.now += timedelta(hours=1)
    outside.submit("/sign-in", name="data_manager", password="wrong wrong wrong")
    assert web.sign_in("data_manager", "nine other words entirely").get("/").status_code == 200


def test_a_file_that_corrects_a_birth_date_shows_the_values_that_go(web: WebRun):
    web.receive("complete-panel.hl7")
    rows = (SITUATIONS / "roster.csv").read_text(encoding="utf-8").replace("1970-03-14", "1971-03-14")
    shown = web.sign_in("coordinator").post(
        "/enrol/file", data={"csrf": ""}, files={"file": ("roster.csv", rows.encode())}
    )
    assert shown.status_code == 403  # no token, no preview
    browser = web.sign_in("coordinator")
    shown = browser.post("/enrol/file", data={"csrf": browser.token}, files={"file": ("roster.csv", rows.encode())})
    assert "<caption" in shown.text
    assert "identity in doubt" in shown.text


def test_an_observation_does_not_end_in_the_future(web: WebRun):
    web.receive("complete-panel.hl7")
    before = derived(web)
    answer = web.sign_in("coordinator").submit(
        "/roster/S-001/end", ended_by="withdrawn", ended_on="2027-01-05", reason=WHY
    )
    assert ("lies in the future" in answer.text, derived(web) == before) == (True, True)


def test_a_decision_about_another_unit_of_the_same_code_is_not_told_as_this_question_s(web: WebRun):
    web.receive(message("1742-6^^LN 40 KE/ml F 20260202"))
    web.receive(message("1742-6^^LN 51 apples F 20260330", id="M2", order="B"))
    asked = {entry.item.unit: entry for entry in desk.queue(web.store)}
    web.desk_decides(lambda at: at.propose(asked["apples"], "accept_unit", Given("U/L")))
    browser = web.sign_in("viewer")
    assert "/decisions/1" in browser.get(f"/review/{asked['apples'].id}").text
    assert "/decisions/1" not in browser.get(f"/review/{asked['KE/ml'].id}").text


def test_a_preview_says_what_becomes_of_the_results_where_no_value_changes(web: WebRun):
    web.receive("collected-in-a-month.hl7")
    path = f"/review/{entry_of(web, 'missing_collection_time').id}"
    preview = web.sign_in("coordinator").submit(path, answer="say_collected_at", day="2026-03-01")
    assert "What would become of the results" in preview.text
    assert "unscheduled" in preview.text


def test_a_preview_of_what_changes_nothing_says_so(web: WebRun):
    web.receive("undecodable-bytes.hl7")
    path = f"/review/{entry_of(web, 'unreadable_message').id}"
    browser = web.sign_in("coordinator")
    assert "the decision alone would stand in the trail" in browser.submit(path, answer="retry").text
    assert "the decision alone would stand in the trail" not in browser.submit(path, answer="dismiss").text


def test_a_contradiction_shows_what_the_table_has_now(web: WebRun):
    web.receive("two-values-of-one-observation.hl7")
    shown = web.sign_in("viewer").get(f"/review/{entry_of(web, 'conflicting_results').id}").text
    assert re.search(r"<dt>Value now</dt><dd>in review: contradicting results</dd>", shown)


def test_the_story_of_a_value_tells_decisions_and_changes_in_the_order_they_came_in_the_trial_s_zone(web: WebRun):
    web.receive("two-values-of-one-observation.hl7")
    browser, entry = web.sign_in("coordinator"), entry_of(web, "conflicting_results")
    path = f"/review/{entry.id}"
    done = confirmed(browser, path, browser.submit(path, answer="choose", result=place(web, "44")))
    undone(browser, done)
    story = browser.get("/participants/S-001/week-4/ALT").text.partition('id="history"')[2]
    told = re.findall(r">Decision (\d+)</a>|<td>(44 U/L)[^<]*chosen by a person[^<]*</td><td>(the adapter)", story)
    assert told == [("1", "", ""), ("", "44 U/L", "the adapter"), ("2", "", "")]
    assert "When (Asia/Shanghai)" in story
    assert "2026-09-01 12:01" in story  # the store has 04:01 UTC


def test_what_was_sent_without_a_unit_is_told_without_empty_quotation_marks(web: WebRun):
    web.receive("missing-unit.hl7")
    path = f"/review/{entry_of(web, 'missing_unit').id}"
    browser = web.sign_in("coordinator")
    confirmed(browser, path, browser.submit(path, answer="accept_unit", text="U/L"))
    for page in (path, "/decisions", "/decisions/1", "/participants/S-001/week-4/ALT"):
        text = browser.get(page).text
        assert "“”" not in text
        assert "without a unit is in U/L" in text
