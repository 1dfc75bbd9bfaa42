"""Many results held for one cause are one question, one preview and one decision."""

from __future__ import annotations

from browsing import Opens
from pagesite import PageSite
from playwright.sync_api import expect

from adapter.store import Store

PEOPLE, EACH = 20, 10
DAYS = [f"202502{day:02}" for day in range(1, EACH + 1)]  # all in week 4's window


def test_one_code_with_two_hundred_held_results_is_mapped_by_one_decision_and_unmapped_by_another(
    opens: Opens, site: PageSite
):
    people, desk = [site.enrol() for _ in range(PEOPLE)], opens()
    results = [f"LOT-7^谷丙转氨酶 {30 + n} U/L F {day}" for n, day in enumerate(DAYS)]
    site.receives(*(person.reported(*results, id="M1") for person in people))
    before = site.table(*people)

    def outcomes() -> list[str]:
        with Store.open(site.folder / "trial.db", "NCT06984497") as store:
            return sorted(str(row.outcome) for person in people for row in store.results(person.study_id))

    assert outcomes() == ["held"] * 200
    desk.find_question("unknown code", "Nobody has said yet what the source's code LOT-7 is", None)
    expect(desk.page.get_by_role("heading", name="Results that wait: 200")).to_be_visible()
    desk.answer("map", {"text": "ALT"})
    expect(desk.page.get_by_text("Results with another outcome: 200")).to_be_visible()
    expect(desk.page.get_by_text("Values that change: 20; of these with a value then: 20")).to_be_visible()
    (decision,) = desk.confirm("the catalogue of the laboratory")
    assert outcomes() == ["placed"] * 200
    cells = [row for row in site.table(*people) if (row["visit"], row["endpoint"]) == ("week-4", "ALT")]
    assert [row["value_text"] for row in cells] == ["32"] * PEOPLE  # of the day of the target

    desk.undo(decision, "another catalogue")
    assert (outcomes(), site.table(*people)) == (["held"] * 200, before)
