"""What clinicians assessed: the last entry of a day stands, and none is ever lost."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import pytest
from store_samples import NOON, RULES, TODAY, WHO, apply, derived, open_store, participant

from adapter.model import Assessment
from adapter.store import Store, StoreError

DAY = date(2026, 2, 2)


@pytest.fixture(autouse=True)
def enrolled(store: Store) -> None:
    with store.write() as tx:
        for study_id in ("S01", "S02"):
            tx.put_participant(participant(study_id), WHO, "consent signed", NOON)


def assess(
    store: Store,
    ascites: str | None = None,
    encephalopathy: str | None = None,
    dialysis: str | None = None,
    *,
    study_id: str = "S01",
    on: date = DAY,
    why: str = "entered",
    minutes: int = 0,
) -> bool:
    entry = Assessment(study_id, on, ascites, encephalopathy, dialysis)
    with store.write() as tx:
        return tx.add_assessment(entry, WHO, why, NOON + timedelta(minutes=minutes))


def facts(entry: Assessment) -> tuple[object, ...]:
    return entry.study_id, entry.assessed_on, entry.ascites, entry.encephalopathy, entry.dialysis


def trail(store: Store) -> list[tuple[str, str, object, object, str]]:
    return [
        (each.what, each.subject, json.loads(each.old or "null"), json.loads(each.new or "null"), each.why)
        for each in store.audit_records()
        if each.what.startswith("assess")
    ]


def test_an_assessment_comes_back_as_entered_with_who_when_and_why(store: Store) -> None:
    assert assess(store, "mild", "none", why="ward round")
    (entry,) = store.assessments()
    assert facts(entry) == ("S01", DAY, "mild", "none", None)
    assert (entry.who, entry.at, entry.why) == (WHO, "2026-03-01T12:00:00.000000+00:00", "ward round")


def test_assessments_are_listed_by_participant_and_date_whatever_the_order_of_entry(store: Store) -> None:
    assess(store, "none", study_id="S02")
    assess(store, "none", on=DAY + timedelta(days=1))
    assess(store, "mild", on=DAY)
    assert [(each.study_id, each.assessed_on.day) for each in store.assessments()] == [
        ("S01", 2),
        ("S01", 3),
        ("S02", 2),
    ]
    assert [each.study_id for each in store.assessments("S02")] == ["S02"]


def test_a_later_entry_of_the_day_replaces_the_earlier_whole_and_both_are_kept(store: Store) -> None:
    assess(store, "mild", "none")
    assert assess(store, "moderate_severe", dialysis="yes", why="the report came later")
    assert [facts(each)[2:] for each in store.assessments()] == [("moderate_severe", None, "yes")]
    assert [facts(each)[2:] for each in store.assessments(every=True)] == [
        ("mild", "none", None),
        ("moderate_severe", None, "yes"),
    ]


def test_the_same_again_changes_and_records_nothing(store: Store) -> None:
    assess(store, "mild", "none")
    before = (store.audit_records(), store.snapshot("S01"))
    assert not assess(store, "mild", "none", why="another reason", minutes=5)
    assert (store.audit_records(), store.snapshot("S01")) == before


def test_an_entry_without_any_item_takes_the_day_back(store: Store) -> None:
    assess(store, "mild")
    assess(store, "none", on=DAY + timedelta(days=7))
    assert assess(store, why="another participant's")
    assert [each.assessed_on for each in store.assessments("S01")] == [DAY + timedelta(days=7)]
    assert len(store.assessments("S01", every=True)) == 3
    assert not assess(store), "nothing stands that could be taken back"
    assert assess(store, "mild", why="it was this one's after all")
    assert [facts(each)[2] for each in store.assessments("S01")] == ["mild", "none"]


def test_the_trail_says_what_was_assessed_corrected_and_taken_back(store: Store) -> None:
    assess(store, "mild", why="ward round")
    assess(store, "none", why="read the wrong line")
    assess(store, why="another participant's")
    mild = {"ascites": "mild", "encephalopathy": None, "dialysis": None}
    none = {**mild, "ascites": "none"}
    assert trail(store) == [
        ("assessed", "S01 2026-02-02", None, mild, "ward round"),
        ("assessment corrected", "S01 2026-02-02", mild, none, "read the wrong line"),
        ("assessment taken back", "S01 2026-02-02", none, None, "another participant's"),
    ]


def test_an_assessment_concerns_its_participant_alone(store: Store) -> None:
    for study_id in ("S01", "S02"):
        apply(store, derived(study_id=study_id))
    assert store.dirty(RULES, TODAY) == []
    assess(store, "mild", study_id="S02")
    assert store.dirty(RULES, TODAY) == ["S02"]
    assert [facts(each)[2] for each in store.snapshot("S02").assessments] == ["mild"]
    assert store.snapshot("S01").assessments == ()


def test_what_was_derived_before_an_assessment_is_not_applied_after_it(store: Store) -> None:
    token = store.snapshot("S01").token
    assess(store, "mild")
    with store.write() as tx:
        assert not tx.apply(derived(), token, RULES, TODAY, "adapter", NOON)


@pytest.mark.parametrize("change", ["UPDATE assessments SET ascites = 'none'", "DELETE FROM assessments"])
def test_an_assessment_is_never_changed(store: Store, change: str) -> None:
    assess(store, "mild")
    with pytest.raises(StoreError, match="append-only"), store.write() as tx:
        tx._run(change)
    assert [facts(each)[2] for each in store.assessments(every=True)] == ["mild"]


def test_nobody_is_assessed_who_is_not_enrolled(store: Store) -> None:
    with pytest.raises(StoreError):
        assess(store, "mild", study_id="S99")
    assert store.assessments(every=True) == []


def test_an_assessment_of_another_trial_in_the_file_is_not_this_ones(store: Store, path: Path) -> None:
    assess(store, "mild")
    with open_store(path, "NCT00000002") as other:
        assert other.assessments(every=True) == []
