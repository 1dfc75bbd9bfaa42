"""Decisions and rulesets are only ever added to, and void what was derived before them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from store_samples import NOON, RULES, TODAY, WHO, add, apply, derived, new_message, open_store, participant

from adapter.store import Ruleset, Store, StoreError

CHOICE = {"study_id": "S01", "visit": "week-4", "endpoint": "ALT", "result": "1:OBX[1]", "evidence": "e1"}
MAPPING = {"source": "lis", "code": "XALT", "system": "L", "analyte": "ALT"}


def test_decisions_come_back_in_the_order_they_were_made(store: Store) -> None:
    with store.write() as tx:
        made = [
            tx.add_decision("map_code", MAPPING, WHO, "the laboratory said so", NOON),
            tx.add_decision("choose", CHOICE, WHO, "haemolysed", NOON),
        ]
    assert store.decisions() == made
    assert (made[0].body, made[0].at) == (MAPPING, "2026-03-01T12:00:00.000000+00:00")
    assert made[0].id < made[1].id


def test_a_decision_is_in_the_trail(store: Store) -> None:
    with store.write() as tx:
        tx.add_decision("choose", CHOICE, WHO, "haemolysed", NOON)
    (record,) = store.audit_records()
    assert (record.what, record.who, record.why) == ("decided", WHO, "haemolysed")
    assert json.loads(record.new or "") == {"kind": "choose", "body": CHOICE}


@pytest.mark.parametrize("table", ["decisions", "rulesets", "audit"])
@pytest.mark.parametrize("change", ["UPDATE {} SET trial = trial", "DELETE FROM {}"])
def test_what_was_decided_adopted_or_recorded_is_never_changed(store: Store, table: str, change: str) -> None:
    with store.write() as tx:
        tx.add_decision("choose", CHOICE, WHO, "haemolysed", NOON)
        tx.adopt_ruleset(RULES, {}, WHO, NOON)
    before = store._rows(f"SELECT * FROM {table}")
    with pytest.raises(StoreError, match="append-only"), store.write() as tx:
        tx._run(change.format(table))
    assert store._rows(f"SELECT * FROM {table}") == before


def test_a_choice_concerns_its_participant_and_a_mapping_everybody(store: Store) -> None:
    for study_id in ("S01", "S02"):
        with store.write() as tx:
            tx.put_participant(participant(study_id), WHO, "consent signed", NOON)
    for study_id in ("S01", "S02"):
        apply(store, derived(study_id=study_id))
    with store.write() as tx:
        tx.add_decision("choose", CHOICE, WHO, "haemolysed", NOON)
    assert store.dirty(RULES, TODAY) == ["S01"]
    with store.write() as tx:
        tx.add_decision("map_code", MAPPING, WHO, "the laboratory said so", NOON)
    assert sorted(store.dirty(RULES, TODAY)) == ["S01", "S02"]


def test_a_ruleset_in_force_is_not_adopted_again(store: Store) -> None:
    with store.write() as tx:
        assert tx.adopt_ruleset("r1", {"files": {"a.toml": "12ab"}}, WHO, NOON)
        assert not tx.adopt_ruleset("r1", {"files": {"a.toml": "12ab"}}, WHO, NOON)
        assert tx.adopt_ruleset("r2", {}, WHO, NOON)
        assert tx.adopt_ruleset("r1", {}, WHO, NOON)
    assert [each.id for each in store.rulesets()] == ["r1", "r2", "r1"]
    assert store.ruleset() == Ruleset("r1", {}, "2026-03-01T12:00:00.000000+00:00")
    assert [(record.old, record.new) for record in store.audit_records()] == [
        (None, '{"ruleset":"r1"}'),
        ('{"ruleset":"r1"}', '{"ruleset":"r2"}'),
        ('{"ruleset":"r2"}', '{"ruleset":"r1"}'),
    ]


def test_another_ruleset_or_another_day_makes_everything_dirty(store: Store) -> None:
    add(store, new_message())
    apply(store, derived())
    assert store.dirty(RULES, TODAY) == []
    assert store.dirty("rules-2", TODAY) == ["S01"]
    assert store.dirty(RULES, TODAY.replace(day=2)) == ["S01"]
    assert store.dirty_count("rules-2", TODAY) == 1


def test_without_a_ruleset_none_is_in_force(path: Path) -> None:
    with open_store(path) as store:
        assert store.ruleset() is None
