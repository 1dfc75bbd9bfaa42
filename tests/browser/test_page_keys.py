"""The page by keys alone: from row to row, from page to page, and never while somebody types."""

from __future__ import annotations

import pytest
from browsing import Desk, Opens
from pagesite import WEEK_4, PageSite, Person, panel
from playwright.sync_api import Page, expect


@pytest.fixture(scope="module")
def person(site: PageSite) -> Person:
    """Somebody with a panel at week 4, and a result that waits for its unit."""
    found = site.enrol()
    site.receives(found.reported(*panel(WEEK_4), id="M1"))
    site.receives(found.reported("1742-6^^LN 51 apples F 20250331", id="M2", order="B"))
    return found


def at(page: Page) -> str:
    """The address of the link that has the focus, or the name of the field; "" where neither has."""
    page.wait_for_load_state()
    found: str = page.evaluate("document.activeElement.getAttribute('href') ?? document.activeElement.name ?? ''")
    return found


def on_the_board(opens: Opens, person: Person) -> Desk:
    desk = opens("coordinator")
    desk.go(f"/?study_id={person.study_id}")
    return desk


def press(page: Page, *keys: str) -> None:
    """One key after the other, each on a page whose script has run: before that no key is a command."""
    for key in keys:
        page.wait_for_load_state()
        page.keyboard.press(key)


def test_keys_go_over_the_board_into_a_cell_and_up_again(opens: Opens, site: PageSite, person: Person):
    desk = on_the_board(opens, person)
    page, of = desk.page, f"/participants/{person.study_id}"
    press(page, "j")
    assert at(page) == f"{of}/week-4/ALT"
    press(page, "j")
    assert at(page) == f"{of}/week-12/ALT"
    press(page, "ArrowRight", "ArrowUp")
    assert at(page) == f"{of}/week-4/AST"
    press(page, "k", "ArrowLeft", "ArrowLeft")
    assert at(page) == f"{of}/week-4/ALT"
    press(page, "Enter")
    page.wait_for_url(f"{site.url}{of}/week-4/ALT")
    press(page, "u")
    page.wait_for_url(site.url + of)
    press(page, "u")
    page.wait_for_url(f"{site.url}/")


def test_g_and_a_letter_lead_to_the_pages_of_the_menu(opens: Opens, site: PageSite, person: Person):
    page = on_the_board(opens, person).page
    for letter, path in (("q", "/review"), ("r", "/roster"), ("d", "/decisions"), ("h", "/help"), ("b", "/")):
        press(page, "g", letter)
        page.wait_for_url(site.url + path)
    press(page, "g", "a")  # the accounts are not a coordinator's
    press(page, "g", "q")
    page.wait_for_url(f"{site.url}/review")


def test_keys_with_others_held_down_are_the_browsers(opens: Opens, person: Person):
    page = on_the_board(opens, person).page
    press(page, "Control+j", "Alt+j", "Control+g", "q")
    assert at(page) == ""


def test_what_is_typed_into_the_filter_narrows_the_rows_and_is_no_key(opens: Opens, site: PageSite, person: Person):
    other = site.enrol()
    desk = opens("viewer")
    page = desk.go("/roster")
    rows = page.locator("table.rows tbody tr")
    expect(rows.filter(has_text=other.study_id)).to_be_visible()
    press(page, "/")
    assert at(page) == "find"
    page.keyboard.type(person.study_id)
    expect(rows.filter(has_text=person.study_id)).to_be_visible()
    expect(rows.filter(has_text=other.study_id)).to_be_hidden()
    expect(page.locator("output")).to_have_text(f"1 of {rows.count()} shown")
    page.keyboard.type("ujg?")
    assert (at(page), desk.path) == ("find", "/roster")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_a_question_mark_shows_the_keys_and_they_can_be_switched_off_for_good(opens: Opens, person: Person):
    desk = on_the_board(opens, person)
    page = desk.page
    press(page, "?")
    dialog = page.get_by_role("dialog", name="Keys")
    expect(dialog).to_be_visible()
    press(page, "j")
    dialog.get_by_label("Use these keys in this browser").uncheck()
    press(page, "Escape")
    expect(dialog).to_be_hidden()
    for _ in ("now", "after the page was loaded again"):
        press(page, "j", "?")
        expect(dialog).to_be_hidden()
        assert not at(page).startswith("/participants")
        page.reload()
    page.get_by_role("button", name="Keys").click()
    dialog.get_by_label("Use these keys in this browser").check()
    dialog.get_by_role("button", name="Close").click()
    press(page, "j")
    assert at(page).startswith("/participants")


def test_a_question_is_found_answered_and_confirmed_by_keys(opens: Opens, site: PageSite, person: Person):
    desk = opens("coordinator")
    page = desk.go(f"/review?participant={person.study_id}")
    press(page, "j", "x")
    expect(page.locator("table.rows input[type=checkbox]").first).to_be_checked()
    press(page, "x", "Enter")
    expect(page.locator("form[data-answer]").first).to_be_visible()
    page.wait_for_load_state()  # all the answers are there to be counted
    question, forms = desk.path.rpartition("/")[2], page.locator("form[data-answer]")
    assert question in site.open_items()
    press(page, "9")
    assert at(page) == ""
    for number in range(1, forms.count() + 1):
        page.evaluate("document.activeElement.blur()")
        press(page, str(number))
        inside = "(form) => form.contains(document.activeElement)"
        assert forms.nth(number - 1).evaluate(inside), number
    dismiss = page.locator('form[data-answer="dismiss"]')
    dismiss.get_by_role("button").focus()
    press(page, "Enter")
    expect(page.get_by_text("Nothing is changed yet.")).to_be_visible()
    assert at(page) == "reason"
    page.keyboard.type("jug")
    assert page.get_by_label("Reason").input_value() == "jug"
    press(page, "Enter")
    expect(page.get_by_role("status")).to_be_visible()
    assert question not in site.open_items()
