"""What a laboratory sends is text: whatever it holds, a page shows it and does nothing that it says."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest
from browsing import Desk, Opens
from pagesite import BORN, WEEK_4, PageSite, Person
from playwright.sync_api import expect

# What would be run in a page, taken for a picture, computed by a template, or followed as a link.
TRAP = '"><script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}javascript:alert(3)'
HEAD = r"MSH|^~\&|{app}|NTCGH|EDC|TRIAL|20250204080000+0800||{type}|{id}|P|2.5.1||||||{charset}"
MADE = "script:not([src^='/static/']), img, iframe, object, embed, [onerror], [onclick], a[href^='javascript'], base"


def trap(where: str) -> str:
    """The trap, told apart by where it was put."""
    return f"{where}{TRAP}"


def payload(*segments: str, **head: str) -> bytes:
    known = {"app": trap("msh3"), "type": "ORU^R01^ORU_R01", "charset": "UNICODE UTF-8", **head}
    return "".join(f"{line}\r" for line in (HEAD.format_map(known), *segments)).encode()


def results(*obx: str, order: str, taken: str = WEEK_4, specimen: str = "") -> list[str]:
    """An order with results of one code, value, unit and status each."""
    lines = [f"OBR|1||{order}|CHEM^{trap('obr4')}|||{taken}|||||||||||||||20250204080000+0800|||"]
    for number, each in enumerate(obx, start=1):
        lines += [f"OBX|{number}|ST|{each}", f"NTE|1||{trap('nte3')}"]
    return [*lines, f"SPM|1|||{specimen}"] if specimen else lines


def messages(person: Person) -> list[bytes]:
    """The trap in every field that a page could show, and a question for each place that it can come to."""
    number = f"{person.number}^^^NTCGH^MR"
    pid = (
        f"PID|1||{number}~{trap('pid3')}^^^{trap('pid3-4')}||{trap('pid5')}^{trap('pid5-2')}||{BORN.replace('-', '')}|F"
    )
    other = pid.replace(BORN.replace("-", ""), f"1933{trap('pid7')}").replace("|F", f"|{trap('pid8')}")
    id = f"{trap('msh10')}-{person.study_id}"
    plain = "1742-6^^LN"
    held = results(
        f"{trap('code')}^谷丙转氨酶{trap('name')}^{trap('system')}||40|U/L|||||F",
        f"{plain}||{trap('value')}|U/L|||||F",
        f"{plain}||41|{trap('unit')}|||||F",
        f"{plain}||42|U/L|{trap('range')}||||{trap('status')}",
        "1742-6^" + trap("display") + "^LN||43|U/L|||||F",
        order=trap("order"),
    )
    return [
        payload(pid, *held, id=f"1{id}"),
        payload(pid, *results("1920-8^^LN||44|U/L|||||F", order="S", specimen=f"X^{trap('specimen')}"), id=f"2{id}"),
        payload(pid, *results("6768-6^^LN||45|U/L|||||F", order="T", taken=trap("taken")), id=f"3{id}"),
        payload(other, *results(f"{plain}||46|U/L|||||F", order="P"), id=f"4{id}"),
        payload(pid, *results(f"{plain}||47|U/L|||||F", order="C"), id=f"5{id}", charset=trap("charset")),
        payload(
            "EVN||20250204080000+0800",
            f"PID|1||{trap('merged')}^^^NTCGH^MR||{trap('pid5')}",
            f"MRG|{number}",
            id=f"6{id}",
            type="ADT^A40^ADT_A39",
        ),
    ]


@pytest.fixture(scope="module")
def person(site: PageSite) -> Person:
    found = site.enrol()
    site.receives(*messages(found))
    return found


class Looked:
    """What was seen on all pages that were looked at."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.text = ""

    def at(self, path: str = "") -> None:
        """A page, or the one that is shown: nothing in it was made of what was sent."""
        page = self.desk.page
        if path:
            page.goto(self.desk.site.url + path)
        page.wait_for_load_state()
        made = page.locator(MADE)
        assert [each.evaluate("each => each.outerHTML") for each in made.all()] == [], path or page.url
        text = page.locator("body").inner_text()
        assert not re.search(r"</script>.{0,40}49", text), "a template computed what was sent"
        self.text += text

    def behind(self, path: str, *names: str) -> None:
        """A page, and what each of these buttons of it leads to, where it has them."""
        self.at(path)
        for name in [each for each in names if self.desk.page.get_by_role("button", name=each).count()]:
            self.desk.page.goto(self.desk.site.url + path)
            self.desk.page.get_by_role("button", name=name).first.click()
            self.at()


def test_what_a_page_may_not_do_would_be_seen(opens: Opens):
    desk = opens("viewer")
    page = desk.go("/help")
    for done in (
        "console.error('said')",
        "alert('opened')",
        "setTimeout(() => { throw new Error('failed') })",
        "document.head.append(Object.assign(document.createElement('script'), {textContent: 'alert(1)'}))",
        "document.body.append(Object.assign(new Image(), {src: 'http://elsewhere.invalid/x.png'}))",
    ):
        page.evaluate(f"() => {{ {done} }}")
    page.reload()
    seen = "\n".join(desk.watch.seen)
    for words in ("said", "dialog: opened", "failed", "Content Security Policy", "asked elsewhere"):
        assert words in seen
    assert "dialog: 1" not in seen  # the policy keeps what a page is made to hold from running
    desk.watch.seen.clear()


def test_what_was_sent_is_shown_as_text_on_every_page_that_shows_it(opens: Opens, site: PageSite, person: Person):
    looked = Looked(opens("administrator"))
    items = [each["id"] for each in site.ask("review", "list", "--each") if TRAP[:9] in str(each)]
    of_person = [each["id"] for each in site.ask("review", "list") if each["study_id"] == person.study_id]
    assert len(items) >= 4
    for path in ("/", "/review", f"/participants/{person.study_id}", f"/roster/{person.study_id}", "/decisions"):
        looked.at(path)
    for visit, endpoint in (("week-4", "ALT"), ("week-4", "AST"), ("week-4", "ALP")):
        looked.behind(f"/participants/{person.study_id}/{visit}/{endpoint}", "Show what was sent")
    for item in dict.fromkeys((*items, *of_person)):
        looked.behind(f"/review/{item}", "Show whom the message names", "Show what was sent", "Show what that changes")
    looked.at("/trail")
    for where in ("code", "name", "value", "unit", "status", "specimen", "taken", "display", "msh10"):
        assert trap(where) in looked.text, f"{where} was nowhere to be seen: this test shows nothing of it"
    for where in ("pid7", "pid8", "merged", "pid3"):
        assert trap(where)[:20] in looked.text, f"{where} was nowhere to be seen"


def test_what_a_person_enters_is_text_too(opens: Opens, site: PageSite):
    person, desk = site.enrol(), opens("administrator")
    looked = Looked(desk)
    site.receives(person.reported("1742-6^^LN 40 bananas F 20250203", id="M1"))
    desk.find_question("unknown unit", "The unit “bananas” is not one", person)
    desk.answer("accept_unit", {"text": "U/L"})
    (decision,) = desk.confirm(trap("reason"))
    looked.at()
    for path in ("/decisions", f"/decisions/{decision}", f"/participants/{person.study_id}", "/trail"):
        looked.at(path)
    looked.at(f"/participants/{person.study_id}/week-4/ALT")
    assert looked.text.count(trap("reason")) >= 4
    desk.go("/accounts")
    desk.page.get_by_label("Name", exact=True).fill(TRAP[:40])
    desk.page.get_by_label("First password").fill("seven quiet herons")
    desk.page.get_by_role("button", name="Add", exact=True).click()
    looked.at()


@pytest.mark.parametrize("role", ["", "administrator"], ids=["a stranger", "an administrator"])
def test_what_an_address_holds_is_text_too(opens: Opens, site: PageSite, role: str):
    desk, said = opens(role), quote(TRAP, safe="")
    looked = Looked(desk)
    for path in (
        f"/?study_id={said}&status={said}&visit={said}&endpoint={said}&page={said}",
        f"/review?reason={said}&source={said}&participant={said}&from={said}",
        f"/review/{said}",
        f"/participants/{said}",
        f"/participants/{said}/{said}/{said}",
        f"/roster?find={said}&page={said}",
        f"/roster/{said}",
        f"/decisions?from={said}",
        f"/decisions/{said}",
        f"/trail?subject={said}&who={said}&before={said}",
        f"/trail/verify?head={said}",
        f"/sign-in?next={said}",
        f"/{said}",
    ):
        looked.at(path)


@pytest.mark.parametrize(
    "next", ["javascript:alert(1)", "//elsewhere.example", "/\\elsewhere.example", "data:text/html,x"]
)
def test_after_signing_in_nobody_is_led_elsewhere(opens: Opens, site: PageSite, next: str):
    desk = opens("administrator")
    desk.page.goto(f"{site.url}/sign-in?next={quote(next, safe='')}")
    expect(desk.page.locator("input[name=next]").last).to_have_value("/")
