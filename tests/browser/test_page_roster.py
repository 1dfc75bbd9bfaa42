"""The roster and the sign-off in a real browser: what a change would move is seen first, and done as it was seen."""

from __future__ import annotations

import pytest
from browsing import Opens
from pagesite import WEEK_4, PageSite, panel
from playwright.sync_api import expect

both = pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])
FILE = "study_id,identifier,authority,infused_at,birth_date,sex\n{}\n"


def test_another_day_of_infusion_is_shown_with_all_it_moves_before_it_is_changed(opens: Opens, site: PageSite):
    person, desk = site.enrol(), opens()
    site.receives(person.reported(*panel(WEEK_4), id="M1"))
    before = site.table(person)
    page = desk.go(f"/roster/{person.study_id}")
    page.get_by_label("Day, in Asia/Shanghai").fill("2024-12-09")
    page.get_by_role("button", name="Show what would move").click()
    moves = page.get_by_role("region", name="Values that would change")
    expect(moves.get_by_role("row", name="Week 4 ALT")).to_contain_text("40")
    assert site.table(person) == before
    page.get_by_label("Reason").fill("the chart says so")
    page.get_by_role("button", name="Change the time of infusion").click()
    expect(page.locator("p[role=status]")).to_contain_text("everything is aligned again")
    assert site.value(person) is None
    (record,) = [r for r in site.trail("participant changed") if r["subject"] == person.study_id]
    assert (record["who"], record["why"]) == ("coordinator", "the chart says so")


@both
def test_an_end_of_the_observation_is_seen_first_with_the_values_it_takes(opens: Opens, site: PageSite, script: bool):
    person, desk = site.enrol(), opens(script=script)
    site.receives(person.reported(*panel(WEEK_4), id="M1"))
    page = desk.go(f"/roster/{person.study_id}")
    page.get_by_label("What ended it").select_option("withdrawn")
    page.get_by_label("On", exact=True).fill("2025-02-03")
    page.get_by_role("button", name="Show what that changes … End of the observation").click()
    expect(page.get_by_role("row", name="Week 4 ALT")).to_contain_text("40")
    assert site.value(person) == "40"
    page.get_by_label("Reason").fill("consent withdrawn")
    page.get_by_role("button", name="Record the end of the observation").click()
    expect(page.locator("p[role=status]")).to_contain_text("It is changed")
    assert site.value(person) is None
    desk.go("/roster")
    expect(page.get_by_role("row", name=person.study_id)).to_contain_text("withdrawn")


def test_a_file_is_looked_at_first_and_its_bad_rows_are_named(opens: Opens, site: PageSite):
    page = opens().go("/enrol")

    def uploads(*rows: str) -> None:
        page.goto(f"{site.url}/enrol")
        file = {"name": "roster.csv", "mimeType": "text/csv", "buffer": FILE.format("\n".join(rows)).encode()}
        page.get_by_label("Roster, CSV in UTF-8").set_input_files(file)
        page.get_by_role("button", name="Show what it would change").click()

    uploads("F-1,771,NTCGH,2025-01-06,,", "F-2,772,NTCGH,tomorrow,,")
    expect(page.get_by_role("row", name="3 infused_at is no date")).to_contain_text("write 2026-01-05")
    uploads("F-1,771,NTCGH,2025-01-06,,", "F-2,772,NTCGH,2025-01-07,,")
    expect(page.get_by_text("2 would be enrolled")).to_be_visible()
    assert "F-1" not in {each["study_id"] for each in site.ask("participants", "list")}
    page.get_by_label("Reason").fill("enrolled in December")
    page.get_by_role("main").get_by_role("button").last.click()
    expect(page.locator("p[role=status]")).to_contain_text("2 participants of the file were enrolled or changed.")
    assert {"F-1", "F-2"} <= {each["study_id"] for each in site.ask("participants", "list")}


def test_a_visit_is_signed_with_the_password_and_a_later_change_opens_it_and_asks(opens: Opens, site: PageSite):
    person, desk = site.enrol(), opens("")
    password = site.account("signer", "data_manager")
    site.receives(person.reported(*panel(WEEK_4), id="M1"))
    desk.sign_in("signer", password)
    page = desk.go(f"/roster/{person.study_id}/sign-off/week-4")
    for given, said in (
        ("not the password", "The password is wrong. Nothing is signed."),
        (password, "is signed off."),
    ):
        page.get_by_label("Your password, once more").fill(given)
        page.get_by_role("button", name="Sign off").click()
        expect(page.locator(".failed, .done").first).to_contain_text(said)
    site.receives(person.reported("1742-6^^LN 48 U/L C 20250203", id="M2", at="20260301080000+0800"))
    desk.find_question("changed after a choice", "was signed off, and ALT changed since.", person)
    page.get_by_role("link", name="Sign off the visit again").click()
    page.get_by_label("Your password, once more").fill(password)
    page.get_by_role("button", name="Sign off").click()
    expect(page.locator("p[role=status]")).to_contain_text("is signed off.")
    assert [r["who"] for r in site.trail("decided")].count("signer") == 2


def test_an_assessment_is_entered_and_the_score_that_follows_is_told(opens: Opens, site: PageSite):
    person, desk = site.enrol(), opens()
    site.receives(person.reported(*panel(WEEK_4), id="M1"))
    page = desk.go(f"/roster/{person.study_id}/assessments")
    page.get_by_label("Day of the assessment").fill("2025-02-03")
    page.get_by_label("Ascites").select_option(label="none")
    page.get_by_label("Encephalopathy").select_option(label="none")
    page.get_by_role("button", name="Enter", exact=True).click()
    expect(page.get_by_role("region", name="Scores that changed with it")).to_contain_text("CHILD_PUGH")
    expect(desk.board_cell(person, endpoint="CHILD_PUGH")).to_contain_text("A")
