"""The queue beyond the way of one answer: who may, several at once, what happens when somebody else was faster."""

from __future__ import annotations

import pytest
from browsing import Desk, Opens
from pagesite import PageSite, Person
from playwright.sync_api import expect

both = pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])
ALT = "1742-6^^LN"


def asked(site: PageSite, *people: Person) -> list[str]:
    """The open questions of these participants."""
    wanted = {person.study_id for person in people}
    return [each["id"] for each in site.ask("review", "list") if each["study_id"] in wanted]


def narrowed(desk: Desk, person: Person) -> Desk:
    desk.go(f"/review?participant={person.study_id}")
    return desk


@both
def test_several_questions_of_a_cause_are_dismissed_at_once_and_asked_again(opens: Opens, site: PageSite, script: bool):
    person, desk = site.enrol(), opens(script=script)
    for day in ("20250203", "20250331", "20250623"):
        site.receives(person.reported(f"{ALT} 4,0 U/L F {day}", id=f"M{day}", order=day))
    assert len(asked(site, person)) == 3
    page = narrowed(desk, person).page
    for box in page.get_by_role("checkbox", name="Choose question").all()[:2]:
        box.check()
    page.get_by_role("button", name="Dismiss the chosen ones").click()
    expect(page.get_by_text("Questions that close: 2; that open: 0")).to_be_visible()
    assert len(asked(site, person)) == 3
    made = desk.confirm("typing errors; the laboratory sends them again")
    assert (len(made), len(asked(site, person))) == (2, 1)
    page.get_by_role("button", name="Take it back").click()  # both of them, from where they were made
    desk.confirm("it does not")
    assert len(asked(site, person)) == 3


def test_what_somebody_else_changed_meanwhile_is_shown_again_and_not_done(opens: Opens, site: PageSite):
    person, desk = site.enrol(), opens()
    site.receives(person.reported(f"{ALT} 1,5 U/L F 20250203", id="M1"))
    desk.find_question("unreadable value", "The value cannot be read", person)
    desk.answer("say_value", {"text": "15"})
    site.receives(person.reported(f"{ALT} 44 U/L F 20250203", id="M2", order="B"))
    desk.page.get_by_label("Reason").fill("told on the telephone")
    desk.page.locator("form[data-preview]").get_by_role("button").click()
    expect(desk.page.get_by_role("alert")).to_have_text("Something changed since this was shown. Look again.")
    expect(desk.page.get_by_label("Reason")).to_have_value("told on the telephone")
    assert len(asked(site, person)) == 1


def test_without_a_reason_nothing_is_decided(opens: Opens, site: PageSite):
    person, desk = site.enrol(), opens(script=False)
    site.receives(person.reported(f"{ALT} 1,6 U/L F 20250203", id="M1"))
    desk.find_question("unreadable value", "The value cannot be read", person)
    desk.answer("say_value", {"text": "16"})
    send = desk.page.locator("form[data-preview]").get_by_role("button")
    send.click()  # the browser asks for it
    expect(desk.page.get_by_label("Reason")).to_be_focused()
    desk.page.locator("form").evaluate_all("forms => forms.forEach(each => each.noValidate = true)")
    send.click()  # and so does the page
    expect(desk.page.get_by_role("alert")).to_have_text("Give the reason; it is kept in the trail.")
    assert len(asked(site, person)) == 1


def test_a_viewer_reads_what_is_asked_and_has_nothing_to_answer_with(opens: Opens, site: PageSite):
    person, desk = site.enrol(), opens("viewer")
    site.receives(person.reported(f"{ALT} 1,7 U/L F 20250203", id="M1"))
    page = narrowed(desk, person).page
    expect(page.get_by_role("checkbox")).to_have_count(0)
    page.get_by_role("cell").get_by_role("link", name="The value cannot be read").click()
    expect(page.get_by_text("Coordinators answer it.")).to_be_visible()
    expect(page.locator("main form")).to_have_count(0)


def test_a_message_of_another_person_is_compared_refused_and_erased_for_good(opens: Opens, site: PageSite):
    person, desk = site.enrol(), opens()
    site.receives(person.reported(f"{ALT} 40 U/L F 20250203", id="M1", birth="1933-12-31"))
    path = desk.find_question("identity in doubt", "The message contradicts the roster in", person)
    expect(desk.page.get_by_role("main")).not_to_contain_text("1933")
    desk.page.get_by_role("button", name="Show whom the message names").click()
    expect(desk.page.get_by_role("row", name="Birth date")).to_contain_text("19331231")
    (seen,) = [r for r in site.trail("identity viewed") if r["subject"] == person.study_id]
    assert seen["who"] == "coordinator"
    desk.go(path)
    desk.answer("refuse_identity", {})
    expect(
        desk.page.get_by_text("The bytes of the message are erased for good. That cannot be undone.")
    ).to_be_visible()
    (decision,) = desk.confirm("the other patient of this name")
    desk.go(f"/decisions/{decision}")
    expect(desk.page.get_by_role("button", name="Take it back")).to_have_count(0)
    assert asked(site, person) == []
