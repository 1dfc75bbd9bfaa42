"""The pages in Chinese and English: no text lacks either, and a Chinese page has nothing English but what was sent."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from string import Formatter
from urllib.parse import urlsplit

import pytest
from httpx2 import Response
from invented import message
from reading import forms, links, texts, words
from webrun import CHECKOUT, SITUATIONS, Browser, WebRun

from adapter.retold import retold
from adapter.review.desk import DecisionRefused
from adapter.web.language import languages, preferred
from adapter.web.page import LANGUAGE_COOKIE
from tools import messages

ZH = languages()["zh"]
# What is called so by the trial, the fixtures or a standard; everything else on a Chinese page is Chinese.
NAMES = {
    *("lis", "test", "adapter", "viewer", "coordinator", "administrator"),
    *("umol", "mmol", "mol", "mg", "ug", "ng", "kg", "mL", "dL", "kat", "nkat", "ukat", "ratio", "score", "MiB"),
    *("Child-Pugh", "MELD-Na", "policy", "Kim", "Observation", "Patient", "Bundle", "resourceType"),
    *("identifier", "authority", "sex", "ascites", "encephalopathy", "dialysis", "none", "mild", "yes", "no"),
}


# --- the catalogue ----------------------------------------------------------------------------------------------------


def test_the_catalogue_holds_each_text_of_the_pages_and_none_that_is_gone():
    known = messages.known()
    assert messages.po_of(messages.merged(known)) == messages.PO.read_bytes(), "run: make messages"
    assert not known.obsolete


def test_no_text_lacks_its_chinese_and_none_is_guessed():
    known = messages.known()
    assert messages.untranslated(known) == []
    assert [each.id for each in known if each.id and each.fuzzy] == []


def test_what_is_compiled_is_what_stands_in_the_catalogue():
    assert messages.mo_of(messages.merged(messages.known())) == messages.MO.read_bytes(), "run: make messages"


def test_both_languages_are_given_the_same_facts():
    odd = []
    for each in messages.known():
        ids = (each.id,) if isinstance(each.id, str) else each.id
        said = (each.string,) if isinstance(each.string, str) else each.string
        odd += [(ids, text) for text in said if any(_facts(text) != _facts(id_) for id_ in ids)]
    assert odd == []


def _facts(text: str) -> set[str]:
    if "%(" in text:
        return set(re.findall(r"%\((\w+)\)s", text))
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def test_the_chinese_is_chinese_with_full_width_punctuation():
    said = {str(each.id): each.string for each in messages.known() if each.id and isinstance(each.string, str)}
    plain = {text: re.sub(r"\{\w+\}", "", chinese) for text, chinese in said.items()}
    assert [
        text for text, chinese in plain.items() if re.search("[\u4e00-\u9fff] ?[,;:?!]( |$|[\u4e00-\u9fff])", chinese)
    ] == []
    assert [(t, c) for t, c in plain.items() if set(words(c)) - NAMES] == []


# --- where texts come from --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", sorted((messages.CHECKOUT / "adapter/web/templates").glob("*.html")), ids=lambda p: p.name
)
def test_each_text_of_a_template_goes_through_the_catalogue(path: Path):
    bare = re.sub(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", "§", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert [text for text in texts(bare) if words(text)] == []


def test_no_refusal_is_put_together_before_it_is_translated():
    refusals = {"DecisionRefused", "PasswordRefused", "AccountRefused", "TimeRefused", "NoFile", "RowProblem"}
    found = []
    for path in [*(CHECKOUT / "adapter/web").rglob("*.py"), *(CHECKOUT / "adapter/review").glob("*.py")]:
        for call in _calls(path):
            name = getattr(call.func, "id", "")
            texts_of = call.args[1:3] if name == "RowProblem" else call.args[:1]
            if name in refusals | {"marked"} and any(isinstance(each, ast.JoinedStr) for each in texts_of):
                found.append(f"{path.name}:{call.lineno}")
            if name in refusals and any(
                isinstance(each, ast.Constant) and isinstance(each.value, str) for each in texts_of
            ):
                found.append(f"{path.name}:{call.lineno}")
    assert found == []


def _calls(path: Path) -> Iterator[ast.Call]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def _samples(node: ast.AST | None) -> list[str]:
    """The texts that an expression can be, with “X1” where something is put in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.JoinedStr):
        return ["".join(str(part.value) if isinstance(part, ast.Constant) else "X1" for part in node.values)]
    if isinstance(node, ast.IfExp):
        return [*_samples(node.body), *_samples(node.orelse)]
    return []


def _faults() -> Iterator[str]:
    """What the codecs and the rules say is the matter with a message or a value."""
    place = {"Fault": 1, "HeaderFault": 4, "ReportedValue": 2, "Unreadable": 0}
    for path in [*(CHECKOUT / "adapter/codecs").glob("*.py"), *(CHECKOUT / "adapter/rules").glob("*.py")]:
        for call in _calls(path):
            at = place.get(getattr(call.func, "id", ""))
            if at is not None and len(call.args) > at:
                yield from _samples(call.args[at])


def test_each_fault_that_a_message_can_have_is_told_in_chinese():
    faults = set(_faults())
    assert len(faults) > 30
    assert [
        text for text in sorted(faults) if words(retold(text, ZH.gettext)) and retold(text, ZH.gettext) == text
    ] == []


def test_each_kind_of_record_of_the_trail_is_told_in_chinese():
    kinds = {
        text
        for path in (CHECKOUT / "adapter").rglob("*.py")
        for call in _calls(path)
        if getattr(call.func, "attr", "") == "record" and call.args
        for text in _samples(call.args[0])
    }
    assert {"received", "signed in", "participant enrolled", "value changed"} <= kinds
    assert [kind for kind in sorted(kinds) if retold(kind, ZH.gettext) == kind] == []


def test_what_a_person_wrote_is_not_told_otherwise():
    for text in ("told by phone: Dr X, cardiology", "the laboratory says: 12", "entered twice"):
        assert retold(text, ZH.gettext) == text


def test_a_refusal_is_told_in_english_on_the_command_line_and_in_the_callers_language_on_a_page():
    refused = DecisionRefused("item {item} is {reason}, and that is no answer to it; it is shown with those that are",
                              item="q-1", reason="missing_unit")  # fmt: skip
    assert str(refused).startswith("item q-1 is missing_unit, and")
    assert refused.told(ZH.gettext) == "问题q-1属于“缺少单位”，不能这样答复；该问题的页面列有可用的答复"


# --- which language ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accepted", "code"),
    [
        ("", "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("zh-Hans-CN", "zh"),
        ("zh-TW,en;q=0.5", "zh"),
        ("en-GB,en;q=0.9,zh;q=0.8", "en"),
        ("en;q=0.4, zh;q=0.7", "zh"),
        ("fr-FR, de;q=0.9, zh;q=0.1", "zh"),
        ("fr-FR, de", "en"),
        ("zh;q=0, en", "en"),
        ("zh;q=what", "en"),
        ("zh;level=1, en;q=0.1", "en"),
        (",;=,q", "en"),
        ("ZH", "zh"),
    ],
)
def test_the_language_is_the_one_that_the_browser_asks_for_most(accepted: str, code: str):
    assert preferred(accepted, languages()).code == code


@pytest.mark.parametrize(("accepted", "tag"), [("zh-CN", "zh-Hans"), ("en", "en"), ("fr", "en")])
def test_a_page_names_its_language(web: WebRun, accepted: str, tag: str):
    assert f'<html lang="{tag}">' in web.browser(accepted).get("/sign-in").text


def test_the_language_is_switched_where_one_is_and_stays_switched(web: WebRun):
    browser = web.sign_in("coordinator")
    (switch,) = [form for form in forms(browser.get("/roster?find=S-0").text) if form.action == "/language"]
    assert (switch.fields["next"], switch.buttons) == ("/roster?find=S-0", [("language", "zh")])
    back = browser.post("/language", data={**switch.fields, "language": "zh"})
    assert (back.url.path, back.url.query) == ("/roster", b"find=S-0")
    assert 'lang="zh-Hans"' in back.text
    assert "受试者名册" in back.text
    assert "受试者编号" in browser.get("/").text
    back = browser.post("/language", data={**switch.fields, "language": "en"})
    assert "Study id" in back.text


def test_a_language_that_there_is_not_is_not_chosen(web: WebRun):
    browser = web.browser("zh")
    browser.get("/sign-in")
    browser.submit("/language", language="../../etc", next="/sign-in")
    assert LANGUAGE_COOKIE not in browser.cookies


@pytest.mark.parametrize("count", [0, 1, 2, 11])
def test_chinese_has_one_form_for_every_number(count: int):
    assert ZH.ngettext("%(count)s entry", "%(count)s entries", count) % {"count": count} == f"{count}项"


def test_nothing_is_nothing_in_each_language():
    assert [language.gettext("") for language in languages().values()] == ["", ""]


# --- pages as they are read -------------------------------------------------------------------------------------------

_HELD = (
    message("1751-7^^LN 350 g/L F 20260202", id="X1", order="L-90"),
    message("1742-6^^LN 40 KE/ml F 20260202", id="X2", order="L-91"),
    message(
        "14631-6^^LN 68.4 umol/L F 20260202",
        "6301-6^^LN 1.8 1 F 20260202",
        "14682-9^^LN 88.4 umol/L F 20260202",
        "44760-7^^LN 31 {score} F 20260202",
        id="X3",
        order="L-92",
    ),
)


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebRun]:
    """A trial to which every situation of the fixtures has happened, and more."""
    with closing(WebRun(tmp_path_factory.mktemp("busy"))) as run:
        run.enrol(SITUATIONS / "roster.csv")
        for path in sorted(SITUATIONS.glob("*.hl7")):
            run.receive(path.name)
        for each in _HELD:
            run.receive(each)
        yield run


@pytest.fixture(scope="module")
def reader(busy: WebRun) -> Browser:
    """An administrator who reads Chinese, and who has assessed somebody."""
    browser = busy.sign_in("administrator", language="zh-CN")
    browser.submit("/roster/S-001/assessments", assessed_on="2026-02-02", ascites="mild", encephalopathy="none")
    browser.submit("/roster/S-001/assessments", assessed_on="2026-02-02", ascites="none", reason="因为")
    browser.submit("/roster/S-002/end", ended_by="died", ended_on="2026-06-01", reason="因为")
    return browser


def english(answer: Response) -> set[str]:
    """Words on a page that are neither Chinese nor a name."""
    return {word for text in texts(answer.text) for word in words(text)} - NAMES


def crawled(browser: Browser, start: Iterable[str], most: int) -> Iterator[tuple[str, Response]]:
    """The pages that are reached from some by links, each path once."""
    todo, seen = list(start), set[str]()
    while todo and len(seen) < most:
        path = todo.pop(0)
        if urlsplit(path).path in seen:
            continue
        seen.add(urlsplit(path).path)
        answer = browser.get(path)
        yield path, answer
        todo += links(answer.text)


def test_no_page_that_is_reached_by_links_has_a_word_of_english(reader: Browser):
    pages = dict(crawled(reader, ["/", "/review", "/decisions", "/trail", "/trail/verify", "/accounts", "/help"], 150))
    assert len(pages) > 60
    assert {answer.status_code for answer in pages.values()} == {200}
    assert {path: found for path, answer in pages.items() if (found := english(answer))} == {}


def questions(reader: Browser) -> list[str]:
    """Where each question of the queue is."""
    return [path for path in dict.fromkeys(links(reader.get("/review").text)) if path.startswith("/review/")]


def test_no_form_of_a_question_answers_in_english(reader: Browser):
    """Each answer as it is suggested, shown and never confirmed; and what is refused."""
    found, count = dict[str, set[str]](), 0
    for path in questions(reader):
        for form in forms(reader.get(path).text):
            if form.action.endswith(("/identity", "/bytes")):
                found[form.action] = english(reader.post(form.action, data=form.fields))
            if form.fields.get("answer") is None:
                continue
            count += 1
            for given in (form.suggested, {}):
                answer = reader.post(form.action, data={**form.fields, **given})
                found[f"{path} {form.fields['answer']}"] = english(answer)
    assert count > 25
    assert {where: odd for where, odd in found.items() if odd} == {}


def test_no_refusal_is_in_english(reader: Browser):
    answers = {
        "sign in": reader.submit("/sign-in", name="nobody", password="wrong"),
        "old password": reader.submit("/password", old="x", new="y", again="z"),
        "no such page": reader.get("/no/such"),
        "method": reader.post("/help"),
        "token": reader.post("/enrol", data={"csrf": "another"}),
        "enrol": reader.submit("/enrol", study_id="%", identifier="", authority="", sex="x", birth_date="never"),
        "enrol on a day": reader.submit("/enrol", study_id="S-9", day="1.2.2026"),
        "assess": reader.submit("/roster/S-001/assessments", assessed_on="2099-01-01", ascites="much"),
        "correct": reader.submit("/roster/S-001/assessments", assessed_on="2026-02-02", ascites="mild"),
        "infusion": reader.submit("/roster/S-001/infusion", day="2026-01-12", time="09:30"),
        "account": reader.submit("/accounts", name="a b", role="viewer", password="x"),
        "password": reader.submit("/accounts", name="ab", role="viewer", password="short"),
        "role": reader.submit("/accounts", name="ab", role="king", password="seven quiet herons"),
        "the last": reader.submit("/accounts/disable", name="administrator"),
        "head": reader.get("/trail/verify?head=1"),
        "choose": reader.submit("/participants/S-001/week-4/ALT/choose", result="77 OBX[1]"),
        "none": reader.submit("/participants/S-001/week-4/ALT/choose"),
        "many": reader.submit("/review", answer="dismiss"),
        "sign off": reader.submit("/roster/S-001/sign-off/week-4", password="wrong"),
    }
    assert {where: odd for where, answer in answers.items() if (odd := english(answer))} == {}


@pytest.mark.parametrize(
    ("path", "lines"),
    [
        ("/enrol/file", "nothing of it"),
        ("/enrol/file", "study_id,identifier,authority,infused_at,birth_date,sex\n%,,,x,y,z\nS-1,1,A,,\n"),
        ("/enrol/file", "study_id,identifier,authority,infused_at,birth_date,sex\nS-001,0012345,NTCGH,2026-01-20,,\n"),
        ("/assessments/file", "study_id,assessed_on,ascites,encephalopathy,dialysis\nS-404,x,y,z,w\n"),
        ("/assessments/file", "study_id,assessed_on,ascites,encephalopathy,dialysis\nS-001,2026-02-02,mild,,yes\n"),
        ("/assessments/file", "study_id;assessed_on\n"),
        ("/assessments/file", 'study_id,assessed_on,ascites,encephalopathy,dialysis\n"S-001\n'),
    ],
)
def test_what_is_wrong_with_a_file_and_what_it_would_change_is_told_in_chinese(reader: Browser, path: str, lines: str):
    file = ("a.csv", lines.encode(), "text/csv")
    answer = reader.post(path, data={"csrf": reader.token}, files={"file": file})
    assert english(answer) == set()


def test_what_was_decided_and_undone_is_told_in_chinese(busy: WebRun, reader: Browser):
    path = next(path for path in questions(reader) if 'data-answer="say_value"' in reader.get(path).text)
    (form,) = [f for f in forms(reader.get(path).text) if f.fields.get("answer") == "say_value"]
    preview = reader.post(form.action, data={**form.fields, **form.suggested, "text": "12.5"})
    (confirm,) = [f for f in forms(preview.text) if f.fields.get("confirm")]
    done = reader.post(confirm.action, data={**confirm.fields, "reason": "电话核实"})
    made = busy.store.decisions()[-1]
    decision = reader.get(f"/decisions/{made.id}")
    (undo,) = [f for f in forms(decision.text) if f.action == "/decisions/undo"]
    undoing = reader.post(undo.action, data=undo.fields)
    for answer in (preview, done, decision, undoing, reader.get("/decisions"), reader.get("/trail")):
        assert (answer.status_code, english(answer)) == (200, set())
    assert "电话核实" in decision.text
