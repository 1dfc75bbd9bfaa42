"""On paper: the tables whole, and nothing that can only be clicked."""

from __future__ import annotations

import pytest
from browsing import Opens
from pagesite import WEEK_4, PageSite, Person, panel
from playwright.sync_api import expect

SHORT = {"width": 1000, "height": 300}  # a board is longer than that


@pytest.fixture(scope="module")
def person(site: PageSite) -> Person:
    found = site.enrol()
    site.receives(found.reported(*panel(WEEK_4), id="M1"))
    return found


@pytest.mark.parametrize("path", ["/", "/participants/{}", "/participants/{}/week-4/ALT", "/roster", "/trail"])
def test_a_page_is_printed_with_its_tables_whole_and_without_menu_and_buttons(opens: Opens, person: Person, path: str):
    page = opens("administrator", viewport=SHORT).go(path.format(person.study_id))
    expect(page.get_by_role("navigation", name="Pages")).to_be_visible()
    page.emulate_media(media="print")
    expect(page.get_by_role("navigation", name="Pages")).to_be_hidden()
    for button in page.get_by_role("button").all():
        expect(button).to_be_hidden()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_role("main").get_by_role("table").first).to_be_visible()
    cut = "each => each.scrollHeight > each.clientHeight + 1 && getComputedStyle(each).overflowY != 'visible'"
    assert not any(region.evaluate(cut) for region in page.locator(".scroll").all()), "rows are cut off"
