"""What is derived: only differences are written, as versions; a snapshot that no longer holds is not applied."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_samples import (
    NOON,
    RULES,
    TODAY,
    TRIAL,
    WHO,
    add,
    apply,
    derived,
    empty_cell,
    item,
    new_message,
    one_value,
    open_store,
    participant,
    placement,
    result,
    selection,
    unmapped_result,
)

from adapter.model import Derived
from adapter.store import CODES, Store, Transaction


def kept(store: Store) -> tuple[object, ...]:
    """The current rows, as everybody sees them."""
    return (store.results(), store.placements("S01"), store.selections(), [each.item for each in store.open_items()])


def test_rows_come_back_as_they_were_derived(store: Store) -> None:
    add(store, new_message())
    rows = one_value(items=(item(group="resembles none", visit="week-4"),))
    assert apply(store, rows)
    assert store.results() == store.results("S01") == list(rows.results)
    assert store.placements("S01") == store.placements("S01", "week-4", "ALT") == list(rows.placements)
    assert sorted(store.selections(), key=lambda row: row.endpoint) == list(rows.selections)
    assert [each.item for each in store.open_items()] == list(rows.items)
    assert (store.results("S02"), store.placements("S01", "week-12"), store.selections("S02")) == ([], [], [])


def test_a_reported_decimal_keeps_its_zeros(store: Store) -> None:
    add(store, new_message())
    apply(store, one_value("1.10"))
    assert [row.value for row in store.results()] == ["1.10"]
    assert [row.value for row in store.selections("S01") if row.endpoint == "ALT"] == ["1.10"]


def value_of(study_id: str, inbox_id: int) -> Derived:
    """One value of a participant and an empty cell."""
    rows = one_value(inbox_id=inbox_id)
    whose = [tuple(replace(row, study_id=study_id) for row in each) for each in (rows.results, rows.selections)]
    return derived(study_id=study_id, results=whose[0], selections=whose[1])


def test_what_a_page_shows_is_read_for_its_participants_alone(store: Store) -> None:
    for n, study_id in enumerate(("S01", "S02", "S03"), 1):
        add(store, new_message(f"M{n}", study_id))
        apply(store, value_of(study_id, n))
    some = ["S01", "S03"]
    assert {row.study_id for row in store.selections_of(some)} == set(some)
    assert [row for row in store.selections() if row.study_id in some] == store.selections_of(some)
    assert store.selections_of([]) == []
    assert store.cell_states(["ALT"], some) == [(each, "week-4", "ALT", "captured", 0) for each in some]
    assert len(store.cell_states(["ALT"])) == 3
    assert store.cell_states([], some) == []


def test_results_are_found_by_their_places_whosesoever_they_are(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapter.store.derived._AT_A_TIME", 2)
    for n, study_id in enumerate(("S01", "S02", "S03"), 1):
        add(store, new_message(f"M{n}", study_id))
        apply(store, value_of(study_id, n))
    every = store.results()
    assert store.results_at({(row.inbox_id, row.locator) for row in every}) == every
    assert store.results_at({(2, every[1].locator), (3, "OBX[99]"), (99, "OBX[1]")}) == [every[1]]
    assert store.results_at(set()) == []


def test_applying_the_same_again_writes_no_version_and_no_record(store: Store) -> None:
    add(store, new_message())
    rows = one_value(items=(item(),))
    apply(store, rows)
    trail = store.audit_records()
    versions = store._rows("SELECT COUNT(*) FROM results")
    assert apply(store, rows, minutes=5)
    assert store.audit_records() == trail
    assert store._rows("SELECT COUNT(*) FROM results") == versions


def test_a_corrected_value_is_a_new_version_and_the_earlier_one_stays(store: Store) -> None:
    first, second = add(store, new_message(), new_message("M2"))
    apply(store, one_value("42.10", first))
    apply(store, one_value("43", second), minutes=5)
    history = store.selection_history("S01", "week-4", "ALT")
    assert [(version.row.value, version.row.inbox_id) for version in history] == [("42.10", first), ("43", second)]
    assert history[0].ended_seq == history[1].from_seq
    assert history[1].ended_seq is None
    assert (history[1].who, history[1].why) == ("adapter", "nearest_to_target")
    assert history[1].at == "2026-03-01T12:05:00.000000+00:00"
    versions = store._rows("SELECT inbox_id, ended_seq IS NULL FROM results ORDER BY inbox_id")
    assert versions == [(first, 0), (second, 1)]


def test_a_change_of_value_is_recorded_with_old_and_new(store: Store) -> None:
    first, second = add(store, new_message(), new_message("M2"))
    apply(store, one_value("42.10", first))
    apply(store, one_value("43", second))
    came, changed = [record for record in store.audit_records() if record.what == "value changed"]
    assert came.subject == changed.subject == "S01 week-4 ALT"
    assert came.old is None
    old, new = json.loads(changed.old or ""), json.loads(changed.new or "")
    assert old == json.loads(came.new or "")
    assert (old["value"], new["value"]) == ("42.10", "43")
    assert (new["status"], new["unit"], new["message_id"], new["inbox_id"]) == ("captured", "U/L", "M1", second)


def test_a_cell_that_begins_empty_is_no_change_and_one_that_becomes_empty_is(store: Store) -> None:
    add(store, new_message())
    apply(store, derived(selections=(empty_cell("ALT"),)))
    assert [record.what for record in store.audit_records()] == ["received", "derived"]
    apply(store, one_value())
    apply(store, derived(selections=(replace(empty_cell("ALT"), reason="taken_back"), empty_cell())))
    values = [record for record in store.audit_records() if record.what == "value changed"]
    assert [record.why for record in values] == ["nearest_to_target", "taken_back"]
    assert '"status":"empty"' in (values[0].old or "")
    assert '"status":"empty"' in (values[1].new or "")


def test_a_cell_that_the_protocol_no_longer_has_ends(store: Store) -> None:
    add(store, new_message())
    apply(store, one_value())
    apply(store, derived())
    assert store.selections() == []
    (ended,) = store.selection_history("S01", "week-4", "ALT")
    assert ended.ended_seq is not None
    assert store.audit_records()[-1].new is None


def test_a_value_that_comes_back_is_a_third_version(store: Store) -> None:
    add(store, new_message())
    for value in ("42.10", "43", "42.10"):
        apply(store, one_value(value))
    assert [version.row.value for version in store.selection_history("S01", "week-4", "ALT")] == [
        "42.10",
        "43",
        "42.10",
    ]


def test_a_derivation_says_what_came_changed_and_went_and_by_which_rules(store: Store) -> None:
    add(store, new_message())
    apply(store, derived(results=(result(), result(locator="OBX[2]"))))
    apply(store, derived(results=(result(value="43"), result(locator="OBX[3]"))), ruleset="rules-2")
    record = store.audit_records()[-1]
    assert (record.what, record.subject) == ("derived", "S01")
    assert json.loads(record.new or "") == {
        "results": {"added": 1, "changed": 1, "ended": 1},
        "placements": {"added": 0, "changed": 0, "ended": 0},
        "selections": {"added": 0, "changed": 0, "ended": 0},
        "ruleset": "rules-2",
        "derived_on": "2026-03-01",
    }


def enrol(tx: Transaction) -> None:
    tx.put_participant(participant(), WHO, "consent signed", NOON)


def choose(tx: Transaction) -> None:
    tx.add_decision("choose", {"study_id": "S01"}, WHO, "haemolysed", NOON)


def map_code(tx: Transaction) -> None:
    tx.add_decision("map_code", {"code": "XALT"}, WHO, "the laboratory said so", NOON)


def adopt(tx: Transaction) -> None:
    tx.adopt_ruleset("rules-2", {}, WHO, NOON)


def erase(tx: Transaction) -> None:
    tx.erase_raw(1, WHO, "another person's", NOON)


def derive_elsewhere(tx: Transaction) -> None:
    token = tx.snapshot("S01").token
    assert tx.apply(one_value("77"), token, RULES, TODAY, "adapter", NOON)


def clear(tx: Transaction) -> None:
    tx.clear_derived(WHO, "rebuilt", NOON)


@pytest.mark.parametrize("change", [enrol, choose, map_code, adopt, erase, derive_elsewhere, clear])
def test_a_snapshot_that_no_longer_holds_is_not_applied(
    store: Store, path: Path, change: Callable[[Transaction], None]
) -> None:
    add(store, new_message())
    token = store.snapshot("S01").token
    with open_store(path) as other, other.write() as tx:
        change(tx)
    before = (kept(store), store.audit_records(), store.inbox_counts())
    with store.write() as tx:
        assert not tx.apply(one_value(), token, RULES, TODAY, "adapter", NOON)
    assert (kept(store), store.audit_records(), store.inbox_counts()) == before
    assert apply(store, one_value())


def test_what_concerns_another_participant_does_not_void_a_snapshot(store: Store) -> None:
    add(store, new_message())
    token = store.snapshot("S01").token
    with store.write() as tx:
        tx.add_messages([new_message("M2", "S02")])
        tx.add_decision("choose", {"study_id": "S02"}, WHO, "haemolysed", NOON)
        assert tx.apply(one_value(), token, RULES, TODAY, "adapter", NOON)


def test_a_message_that_came_since_leaves_its_scope_dirty(store: Store) -> None:
    (first,) = add(store, new_message())
    token = store.snapshot("S01").token
    add(store, new_message("M2"))
    with store.write() as tx:
        assert tx.apply(one_value(inbox_id=first), token, RULES, TODAY, "adapter", NOON)
    assert store.inbox_counts() == {"pending": 1, "done": 1, "failed": 0}
    assert store.dirty(RULES, TODAY) == ["S01"]
    assert apply(store, one_value(inbox_id=first))
    assert store.dirty(RULES, TODAY) == []
    assert store.inbox_counts()["pending"] == 0


def test_a_stepwise_snapshot_ends_at_the_first_message_that_was_never_derived(store: Store) -> None:
    ids = add(store, *(new_message(f"M{n}") for n in range(3)))
    seen = []
    while store.dirty(RULES, TODAY):
        snapshot = store.snapshot("S01", stepwise=True)
        seen.append([message.id for message in snapshot.messages])
        with store.write() as tx:
            assert tx.apply(one_value(str(len(seen))), snapshot.token, RULES, TODAY, "adapter", NOON)
    assert seen == [ids[:1], ids[:2], ids]
    assert store.inbox_counts() == {"pending": 0, "done": 3, "failed": 0}
    assert [message.id for message in store.snapshot("S01", stepwise=True).messages] == ids


def test_a_snapshot_holds_all_inputs_of_its_scope(store: Store) -> None:
    with store.write() as tx:
        enrol(tx)
        choose(tx)
    (mine,) = add(store, new_message())
    (nobodys,) = add(store, new_message("M2", "@"))
    snapshot = store.snapshot("S01")
    assert (snapshot.participant, [each.id for each in snapshot.messages]) == (participant(), [mine])
    assert list(snapshot.decisions) == store.decisions()
    unassigned = store.snapshot("@")
    assert (unassigned.participant, [each.id for each in unassigned.messages]) == (None, [nobodys])


def test_the_least_often_derived_scope_comes_first(store: Store) -> None:
    for n in range(3):
        add(store, new_message(f"A{n}", "S01"))
        apply(store, derived(study_id="S01"))
    add(store, new_message("B", "S01"), new_message("C", "S02"), new_message("D", "@"))
    assert store.dirty(RULES, TODAY) == ["@", "S02", "S01"]
    assert store.dirty(RULES, TODAY, limit=1) == ["@"]
    assert store.dirty_count(RULES, TODAY) == 3


def test_rows_of_another_scope_or_two_of_one_key_are_a_fault_of_the_rules(store: Store) -> None:
    add(store, new_message())
    token = store.snapshot("S01").token
    with pytest.raises(ValueError, match="cannot be applied"), store.write() as tx:
        tx.apply(derived(study_id="S02"), token, RULES, TODAY, "adapter", NOON)
    with pytest.raises(ValueError, match="two rows"), store.write() as tx:
        tx.apply(derived(results=(result(), result(value="43"))), token, RULES, TODAY, "adapter", NOON)
    assert store.results() == []


def test_what_was_cleared_and_derived_again_is_equal(store: Store) -> None:
    first, second = add(store, new_message(), new_message("M2"))
    rows = one_value(items=(item(),), ignored={second: {"other_loinc": 2}})
    apply(store, derived(results=(unmapped_result(first),)))
    apply(store, rows)
    before = (kept(store), store.inbox_counts(), store.ignored(second))
    with store.write() as tx:
        tx.clear_derived(WHO, "rebuilt", NOON)
    assert kept(store) == ([], [], [], [])
    assert store.inbox_counts() == {"pending": 2, "done": 0, "failed": 0}
    assert store.dirty(RULES, TODAY) == ["S01"]
    assert apply(store, rows)
    assert (kept(store), store.inbox_counts(), store.ignored(second)) == before
    assert store.verify().ok


def test_the_codes_are_dirty_whenever_an_unmapped_code_comes_or_goes(store: Store) -> None:
    def settle() -> None:
        with store.write() as tx:
            tx.apply_trial_items((), RULES, "adapter", NOON)
        assert not store.codes_are_dirty(RULES)

    (inbox_id,) = add(store, new_message())
    assert store.codes_are_dirty(RULES)
    settle()
    apply(store, derived(results=(result(inbox_id),)))
    assert not store.codes_are_dirty(RULES)
    apply(store, derived(results=(unmapped_result(inbox_id),)))
    assert store.codes_are_dirty(RULES)
    settle()
    apply(store, derived(results=(result(inbox_id),)))
    assert store.codes_are_dirty(RULES)
    settle()
    assert store.codes_are_dirty("rules-2")
    with store.write() as tx:
        map_code(tx)
    assert store.codes_are_dirty(RULES)
    assert CODES not in store.dirty(RULES, TODAY)


cells = st.fixed_dictionaries(
    {},
    optional={
        endpoint: st.tuples(
            st.sampled_from(["captured", "provisional", "in_review"]), st.sampled_from(["1.10", "1.1", "2", None])
        )
        for endpoint in ("ALT", "AST", "INR")
    },
)


def rows_of(chosen: dict[str, tuple[str, str | None]], inbox_id: int) -> Derived:
    return derived(
        results=tuple(result(inbox_id, f"OBX[{n}]", value=chosen[name][1]) for n, name in enumerate(chosen)),
        placements=tuple(replace(placement(inbox_id, f"OBX[{n}]"), endpoint=name) for n, name in enumerate(chosen)),
        selections=tuple(
            selection(endpoint=name, status=status, value=value) for name, (status, value) in chosen.items()
        ),
        items=tuple(item(id=name, count=len(status)) for name, (status, _) in chosen.items()),
    )


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(states=st.lists(cells, min_size=1, max_size=5))
def test_whatever_was_derived_before_the_current_rows_are_the_last_ones(
    tmp_path_factory: pytest.TempPathFactory, states: list[dict[str, tuple[str, str | None]]]
) -> None:
    folder = tmp_path_factory.mktemp("derived")
    with open_store(folder / "all.db") as store, open_store(folder / "last.db") as fresh:
        for each in (store, fresh):
            add(each, new_message())
        for state in states:
            apply(store, rows_of(state, 1))
        apply(fresh, rows_of(states[-1], 1))
        assert kept(store) == kept(fresh)
        assert store.verify().ok
        for endpoint in ("ALT", "AST", "INR"):
            history = store.selection_history("S01", "week-4", endpoint)
            told = [state.get(endpoint) for state in states]
            changes = [new for old, new in zip([None, *told], told, strict=False) if new != old and new is not None]
            assert [(version.row.status, version.row.value) for version in history] == changes
            assert sum(version.ended_seq is None for version in history) == (endpoint in states[-1])


def test_a_trial_is_in_every_table(store: Store) -> None:
    tables = store._engine.database.tables
    assert [table.name for table in tables if "trial" not in table.columns_dict] == []
    assert store.trial == TRIAL
