"""A question of each reason: found in the queue, understood, settled by its forms, seen on the board, undone again."""

from __future__ import annotations

import pytest
from browsing import Desk, Opens
from pagesite import PageSite, Person
from playwright.sync_api import expect
from reasons import CASES, Case

from adapter.model import Reason

# A choice among options, a day and a time, a result among several, a message's patient, a candidate of a cell.
WITHOUT_SCRIPT = (
    Reason.UNMAPPED_CODE,
    Reason.MISSING_COLLECTION_TIME,
    Reason.CONFLICTING_RESULTS,
    Reason.IDENTITY_CONFLICT,
    Reason.CHANGED_AFTER_CHOICE,
)
WHY, UNDONE = "told by the laboratory on the telephone", "it was another one after all"


def test_there_is_a_case_of_each_reason():
    assert {case.reason for case in CASES} == set(Reason)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.reason)
def test_a_question_is_found_understood_settled_and_undone(opens: Opens, site: PageSite, case: Case):
    goes_the_whole_way(opens(), site, case)


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.reason in WITHOUT_SCRIPT], ids=lambda case: f"{case.reason} without script"
)
def test_where_scripts_are_off_it_goes_the_same_way(opens: Opens, site: PageSite, case: Case):
    goes_the_whole_way(opens(script=False), site, case)


def goes_the_whole_way(desk: Desk, site: PageSite, case: Case) -> None:
    """From what comes, through the queue, the answer and its preview, to the board, and back."""
    person = site.enrol()
    asked = site.open_items()
    site.receives(*case.comes(person))
    if case.then is not None:
        choose(desk, person, case.choose)
        site.receives(case.then(person))
    (item,) = site.open_items() - asked
    before, was, then = site.table(person), *case.stands
    assert site.value(person) == was

    about = case.about.format(number=person.number)
    path = desk.find_question(case.cause, about, None if case.reason == "unmapped_code" else person)
    assert path == f"/review/{item}"
    if case.shown:
        expect(desk.page.get_by_role("region", name="Results that wait")).to_contain_text(case.shown)
    desk.answer(case.action, case.given)
    if then != was:
        moves = desk.page.get_by_role("region", name="Values that would change")
        expect(moves.get_by_role("row", name=f"{person.study_id} Week 4 ALT")).to_contain_text(then or "")
    assert (site.table(person), item in site.open_items()) == (before, True), "a preview wrote"
    made = desk.confirm(WHY)
    settled(desk, site, person, case, item, made)

    for number in made:
        desk.undo(number, UNDONE)
    assert (site.table(person), item in site.open_items()) == (before, True)
    expect(desk.board_cell(person)).to_contain_text(was or "")
    in_the_trail(site, made[-1] + len(made), UNDONE)


def choose(desk: Desk, person: Person, result: str) -> None:
    """Let another candidate stand, from the board to its story."""
    desk.board_cell(person).click()
    desk.page.get_by_role("row", name=result).get_by_role("button", name="Choose this one").click()
    expect(desk.page.get_by_text("Nothing is changed yet.")).to_be_visible()
    desk.confirm(WHY)


def settled(desk: Desk, site: PageSite, person: Person, case: Case, item: str, made: list[int]) -> None:
    """The value is where it belongs, its story tells who and why, the trail has it, and nothing asks any more."""
    assert (site.value(person), item in site.open_items()) == (case.stands[1], False)
    cell = desk.board_cell(person)
    expect(cell).to_contain_text(case.stands[1] or "")
    if case.stands[1] is not None:
        cell.click()
        expect(desk.page.locator(".story-value")).to_contain_text(case.stands[1])
        told = desk.page.get_by_role("region", name="History").get_by_role("row").filter(has_text=WHY)
        expect(told.first).to_contain_text("coordinator")
    for number in made:
        in_the_trail(site, number, WHY)


def in_the_trail(site: PageSite, decision: int, why: str) -> None:
    (record,) = [r for r in site.trail("decided") if r["subject"] == f"decision {decision}"]
    assert (record["who"], record["why"]) == ("coordinator", why)
