"""What is in doubt does not leave the store as data: another person's, contradicted, preliminary, oddly written."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import permutations

from adapter.export.csv_files import tables
from adapter.model import Assessment, Decision, Reason
from adapter.rules.interpret import Interpreted
from tests.export.exporting import PERSON, of_test, rows, state_of
from tests.rules.laboratory import EHR, INFUSED_ON, cell, on, reported, row, table, understood


def alt(value: str, message: str, **more: object) -> Interpreted:
    return understood(reported(value, **more), message=message)  # type: ignore[arg-type]


def in_conflict(result: Interpreted) -> Interpreted:
    """The same result of a message that contradicts the roster."""
    origin = replace(result.origin, trouble=Reason.IDENTITY_CONFLICT)
    return replace(
        result, origin=origin, kind="held", reason=Reason.IDENTITY_CONFLICT, rule="message_identity_conflict"
    )


def candidates(*results: Interpreted, **more: object) -> list[dict[str, object]]:
    (found,) = (t for t in tables(state_of(*results, **more)) if t.name == "candidates")  # type: ignore[arg-type]
    return list(found.rows)


def test_what_may_be_another_persons_stays_blank_when_a_later_version_replaces_it() -> None:
    resource = {"order": "fhir:Observation/77", "locator": "Observation/77", "status": "final"}
    wrong = in_conflict(understood(replace(reported("777", **resource), version=1), message="v1"))
    right = understood(replace(reported("40", **resource), version=2), message="v2")
    told = {str(r["outcome"]): r for r in candidates(wrong, right)}
    assert told["placed"]["value"] == "40"
    assert (told["superseded"]["value"], told["superseded"]["reported"], told["superseded"]["collected_at"]) == (
        None,
    ) * 3


def test_what_may_be_another_persons_stays_blank_when_a_person_takes_it_back() -> None:
    wrong = in_conflict(alt("777", "M1"))
    body = {"source": "lis", "study_id": "S-001", "results": wrong.key}
    made = [Decision(1, "take_back", body, "A", "2026-09-01", "not hers")]
    (told,) = candidates(wrong, decisions=made)
    assert (told["outcome"], told["value"], told["reported"]) == ("taken_back", None, None)


def test_a_preliminary_result_is_not_in_lb_whatever_a_person_chose() -> None:
    near, early = alt("40", "M1"), alt("99", "M2", status="P", taken=on(29), order="filler:A2")
    other = alt("50", "M3", taken=on(30), order="filler:A3")
    seen = table(near, early, other)
    body = {"study_id": "S-001", "visit": "week-4", "endpoint": "ALT", "result": other.key, "evidence": ""}
    made = [Decision(1, "choose", body, "A", "2026-09-01", "agreed")]
    assert cell(seen).value == "40"
    found = of_test(state_of(near, early, other, decisions=made), "ALT")
    assert [r["LBORRES"] for r in found] == ["40", "50"]


def test_results_that_contradict_each_other_are_not_in_lb_beside_the_chosen_one() -> None:
    chosen = alt("40", "M1")
    one = alt("50", "M2", taken=on(27), order="filler:A2")
    other = alt("99", "M3", taken=on(27), order="filler:A3")
    assert [r["LBORRES"] for r in of_test(state_of(chosen, one, other), "ALT")] == ["40"]


def test_a_reported_score_through_two_sources_is_one_record_and_a_contradicted_one_none() -> None:
    score = {"code": "44760-7", "unit": "{score}", "taken": on(28, "0800")}
    first = understood(reported("20", **score, order="filler:S1"), message="M1")
    copy = understood(reported("20", **score, order="filler:S2"), message="M2", source=EHR)
    other = understood(reported("25", **score, order="filler:S3"), message="M3")

    def records(*results: Interpreted) -> list[object]:
        return [r["RSORRES"] for r in rows(state_of(*results), "RS") if r["RSORRES"] is not None]

    assert records(first, copy) == ["20"]
    assert records(first, other) == []


def test_a_visit_with_an_assessment_or_a_reported_score_took_place() -> None:
    score = understood(reported("20", code="44760-7", unit="{score}", order="filler:S1"), message="M1")
    judged = Assessment(PERSON.study_id, INFUSED_ON + timedelta(days=84), ascites="mild")
    found = {r["VISITNUM"]: (r["SVOCCUR"], r["SVSTDTC"]) for r in rows(state_of(score, assessments=[judged]), "SV")}
    assert found[1] == ("Y", "2026-02-02")
    assert found[2] == ("Y", "2026-03-30")


def test_a_tab_in_a_reported_number_does_not_stop_an_export() -> None:
    (found,) = of_test(state_of(alt("<\t5", "M1")), "ALT")
    assert found["LBORRES"] == "<5"


def test_the_baseline_of_two_orders_at_one_time_is_the_later_report_whatever_the_messages_are_called() -> None:
    values = set()
    for one, two in permutations(("M1", "M2", "M3", "M4"), 2):
        early = alt("50", one, taken=on(-2, "0800"), issued=on(-2, "1000"))
        late = alt("99", two, taken=on(-2, "0800"), issued=on(-1, "1000"), order="filler:A2")
        derived = table(early, late)
        values.add(next(r.value for r in derived.results if r.outcome == "baseline"))
        assert row(derived, late).outcome == "baseline"
    assert values == {"99"}
