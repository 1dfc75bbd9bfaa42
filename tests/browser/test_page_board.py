"""The board, a participant's page and a cell's story, read and reached as a coordinator does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from browsing import Desk, Opens
from pagesite import WEEK_4, PageSite, Person, panel
from playwright.sync_api import expect

FOUND = 'document.activeElement.getAttribute("href")'
both = pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])


@pytest.fixture(scope="module")
def person(site: PageSite) -> Person:
    """Somebody with a whole panel at week 4, a comparator, a value that was not chosen and one that is in review."""
    found = site.enrol()
    later = ["1742-6^^LN 51 U/L F 20250205", "1742-6^^LN <5 U/L F 20250331", "1920-8^^LN 38 apples F 20250331"]
    site.receives(found.reported(*panel(WEEK_4), id="M1"), found.reported(*later, id="M2", order="B"))
    return found


def shown(desk: Desk) -> list[str]:
    """The participants on the board, in its order."""
    desk.page.wait_for_load_state()
    return desk.page.locator("table.board th.who-column a").all_text_contents()


@both
def test_the_board_is_narrowed_by_its_form_and_shows_everything_again(
    opens: Opens, site: PageSite, person: Person, script: bool
):
    nobody, desk = site.enrol(), opens("viewer", script=script)
    cell = desk.board_cell(person)
    expect(cell).to_contain_text("40")
    assert shown(desk) == [person.study_id]
    expect(desk.board_cell(person, "week-12")).to_contain_text("<5")
    expect(desk.board_cell(person, "week-12", "AST")).to_contain_text("in review")
    desk.page.get_by_label("Status").select_option(label="in review")
    desk.page.get_by_role("search").get_by_role("button", name="Show").click()
    expect(desk.page.locator("table.board td.match")).to_have_count(1)
    desk.page.get_by_label("Study id").fill(nobody.study_id)
    desk.page.get_by_role("search").get_by_role("button", name="Show").click()
    expect(desk.page.get_by_text("No participant matches.")).to_be_visible()
    desk.page.get_by_role("link", name="Show everything").click()
    assert {person.study_id, nobody.study_id} <= set(shown(desk))


@both
def test_a_cell_s_story_leads_from_the_number_to_what_was_sent(
    opens: Opens, site: PageSite, person: Person, script: bool
):
    desk = opens("viewer", script=script)
    desk.board_cell(person).click()
    expect(desk.page.get_by_role("heading", level=1)).to_contain_text(
        f"ALT Alanine aminotransferase, {person.study_id}"
    )
    expect(desk.page.locator(".story-value")).to_have_text("40 U/L")
    expect(desk.page.get_by_text(f"OBX[1] of message M1-{person.study_id} from lis")).to_be_visible()
    lost = desk.page.get_by_role("region", name="Candidates").get_by_role("row", name="51 U/L")
    expect(lost).to_contain_text("another result lies nearer to the target of")
    desk.page.get_by_role("link", name=person.study_id).click()
    assert desk.path == f"/participants/{person.study_id}"


def test_by_the_keyboard_alone_a_cell_is_reached_and_the_menu_is_skipped(opens: Opens, site: PageSite, person: Person):
    desk = opens("viewer")
    keys = desk.go(f"/?study_id={person.study_id}").keyboard
    keys.press("Tab")
    expect(desk.page.get_by_role("link", name="Skip to the content")).to_be_focused()
    keys.press("Enter")
    tabs(desk, lambda at: at == f"/participants/{person.study_id}/week-4/ALT")
    ring = desk.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert ring != "none", "where the keyboard is cannot be seen"
    keys.press("Enter")
    expect(desk.page.locator(".story-value")).to_have_text("40 U/L")
    tabs(desk, lambda at: at == "/")
    keys.press("Enter")
    expect(desk.page.get_by_role("heading", level=1)).to_contain_text("Board")


def tabs(desk: Desk, wanted: Callable[[str | None], bool]) -> None:
    """From one thing that takes the keyboard to the next, until it is the one that is wanted."""
    for _ in range(80):
        desk.page.keyboard.press("Tab")
        if wanted(desk.page.evaluate(FOUND)):
            return
    raise AssertionError("the keyboard never came there")


def test_a_participant_has_a_plot_of_each_analyte_with_windows_and_comparators(
    opens: Opens, site: PageSite, person: Person
):
    page = opens("viewer").go(f"/participants/{person.study_id}")
    plot = page.get_by_role("img", name="ALT over the days since infusion")
    expect(plot).to_be_visible()
    expect(plot.locator("rect.window")).to_have_count(3)
    expect(plot.locator("g.chosen")).to_have_count(2)
    expect(plot.locator("g.candidate, g.other")).to_have_count(1)
    expect(plot.locator("g.hollow text")).to_have_text("<")
    for analyte in ("AST", "ALP", "TBIL", "ALB", "PT", "INR"):
        expect(page.get_by_role("img", name=f"{analyte} over the days since infusion")).to_be_visible()
    results = page.get_by_role("region", name="Results of ALT")
    expect(results.get_by_role("row")).to_have_count(4)
    expect(page.get_by_text("MELD (UNOS)").first).to_be_visible()
