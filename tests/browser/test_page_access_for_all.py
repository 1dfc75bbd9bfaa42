"""Every page for whoever uses it: axe-core finds nothing serious, in both languages, wide and on a telephone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from browsing import Desk, Opens
from pagesite import WEEK_4, PageSite, Person, panel
from playwright.sync_api import Page, expect

from adapter.web.pages import ROUTES

LANGUAGES = {"en-US": "en", "zh-CN": "zh-Hans"}
WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 360, "height": 740}
# What sticks out of the screen so that the whole page has to be moved to be read; a table moves within its region.
BESIDE = """() => document.documentElement.scrollWidth <= window.innerWidth ? [] :
    [...document.body.querySelectorAll("*")]
    .filter(each => each.getBoundingClientRect().right > window.innerWidth && !each.parentElement.closest(".scroll"))
    .map(each => `${each.tagName} ${each.className} ${each.textContent.trim().slice(0, 40)}`)"""
# Beside what axe-core does unasked: targets of 24 pixels, of WCAG 2.2 (2.5.8).
RULES = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}


@dataclass(frozen=True, slots=True)
class Furnished:
    """What the pages have to show."""

    person: Person
    item: str
    decision: int

    def at(self, path: str) -> str:
        return path.format(person=self.person.study_id, item=self.item, decision=self.decision)


@pytest.fixture(scope="module")
def there(site: PageSite) -> Furnished:
    """A participant with something of everything."""
    person = site.enrol()
    asked = site.open_items()
    site.receives(
        person.reported(*panel(WEEK_4), id="M1"),
        person.reported("1742-6^^LN <5 U/L F 20250331", "1920-8^^LN 38 pears F 20250331", id="M2", order="B"),
        person.reported("1742-6^^LN 51 U/L P 20250205", "6768-6^^LN 99999 U/L F 20250331", id="M3", order="C"),
    )
    site.run("assess", "add", person.study_id, "--on", "2025-02-03", "--ascites", "mild", "--encephalopathy", "none")
    (item,) = [each["id"] for each in site.ask("review", "list") if "pears" in each["detail"]]
    assert item not in asked
    (other,) = [
        e["id"]
        for e in site.ask("review", "list")
        if (e["study_id"], e["reason"]) == (person.study_id, "implausible_value")
    ]
    made = site.ask("review", "resolve", other, "--dismiss", "--reason", "asked", "--by", "trial nurse")
    return Furnished(person, item, made["decisions"][0])


# Each page by its route; what it needs to be looked at is in its path.
PAGES = {
    "sign_in": "/sign-in",
    "password": "/password",
    "board": "/",
    "participant": "/participants/{person}",
    "cell": "/participants/{person}/week-4/ALT",
    "assessments": "/roster/{person}/assessments",
    "assessments_file": "/assessments/file",
    "queue": "/review",
    "item": "/review/{item}",
    "decisions": "/decisions",
    "decision": "/decisions/{decision}",
    "roster": "/roster",
    "enrol": "/enrol",
    "enrolled": "/roster/{person}",
    "sign_off": "/roster/{person}/sign-off/week-4",
    "trail": "/trail",
    "verify_trail": "/trail/verify",
    "users": "/accounts",
    "help": "/help",
}
# Pages that a form leads to: where it is, what is filled in, the form's button by its place.
LED_TO: dict[str, tuple[str, dict[str, str], str]] = {
    "a wrong password": ("/sign-in", {"#name": "nobody", "#password": "not this"}, "form.card button"),
    "a preview": (
        "/review/{item}",
        {"form[data-answer=accept_unit] select": "U/L"},
        "form[data-answer=accept_unit] button",
    ),
    "an undoing": ("/decisions/{decision}", {}, "form.tools button"),
    "another infusion": ("/roster/{person}", {"#day": "2024-12-09"}, "form[action$=infusion] button"),
    "an identity": ("/roster/{person}", {}, "form[action*=identity] button:not([formaction])"),
    "an end that is no date": ("/roster/{person}", {"select#ended_by": "died"}, "form[action$=end] button"),
    "an end": ("/roster/{person}", {"select#ended_by": "died", "#ended_on": "2025-09-09"}, "form[action$=end] button"),
    "what was sent": ("/participants/{person}/week-4/ALT", {}, "form[action$=bytes] button"),
    "no such page": ("/nowhere", {}, ""),
}


def test_no_page_is_forgotten():
    read = {route.name for route in ROUTES if "GET" in (route.methods or ())}
    assert read == set(PAGES)


def grave(page: Page) -> list[Any]:
    """What axe-core calls serious or critical, and where."""
    found = Axe().run(page, options=RULES).response["violations"]
    return [(v["id"], [n["target"] for n in v["nodes"]][:5]) for v in found if v["impact"] in {"serious", "critical"}]


@pytest.fixture(scope="module")
def visitor(opens_for_all: Opens) -> Callable[[str, str], Desk]:
    """A browser for each role and language, that goes from page to page."""
    return cache(lambda role, language: opens_for_all(role, language=language))


def is_for_all(desk: Desk, language: str) -> None:
    page = desk.page
    expect(page.locator("html")).to_have_attribute("lang", LANGUAGES[language])
    for size in (WIDE, NARROW):
        page.set_viewport_size(size)
        assert grave(page) == [], size
        assert page.evaluate(BESIDE) == [], f"beside the screen of {size['width']} pixels"
    assert desk.watch.seen == []


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_for_all(visitor: Callable[[str, str], Desk], there: Furnished, name: str, language: str):
    desk = visitor("" if name == "sign_in" else "administrator", language)
    desk.go(there.at(PAGES[name]))
    is_for_all(desk, language)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("led", LED_TO)
def test_a_page_that_a_form_leads_to_is_for_all(
    visitor: Callable[[str, str], Desk], site: PageSite, there: Furnished, led: str, language: str
):
    path, filled, button = LED_TO[led]
    desk = visitor("" if path == "/sign-in" else "administrator", language)
    page = desk.page
    page.goto(site.url + there.at(path))
    for field, given in filled.items():
        found = page.locator(field)
        found.select_option(given) if "select" in field else found.fill(given)
    if button:
        page.locator("form").evaluate_all("forms => forms.forEach(each => each.noValidate = true)")
        with page.expect_navigation():
            page.locator(button).first.click()
    is_for_all(desk, language)


@pytest.mark.parametrize("name", ["board", "participant", "cell", "queue", "item", "trail"])
def test_in_the_dark_it_can_be_read_as_well(visitor: Callable[[str, str], Desk], there: Furnished, name: str):
    desk = visitor("administrator", "en-US")
    desk.page.emulate_media(color_scheme="dark")
    desk.go(there.at(PAGES[name]))
    assert grave(desk.page) == []
    desk.page.emulate_media(color_scheme="light")
