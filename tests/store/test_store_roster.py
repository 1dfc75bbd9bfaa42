"""The roster, and that the trail never holds by what a person is known."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from store_samples import NOON, RULES, TODAY, WHO, add, apply, derived, new_message, open_store, participant

from adapter.model import Identifier, Participant
from adapter.store import IdentifierTaken, Store, StoreError


def put(store: Store, who_is: Participant, why: str = "consent signed") -> bool:
    with store.write() as tx:
        return tx.put_participant(who_is, WHO, why, NOON)


def test_a_participant_comes_back_as_entered(store: Store) -> None:
    entered = [participant("S02", "0012345", "12345"), participant("S01"), Participant("S03")]
    for each in entered:
        assert put(store, each)
    assert store.participants() == [entered[1], entered[0], entered[2]]
    assert store.participant("S02") == entered[0]
    assert store.participant("S99") is None


def test_entering_the_same_again_changes_and_records_nothing(store: Store) -> None:
    put(store, participant())
    before = (store.roster_version(), store.audit_records(), store.snapshot("S01").token)
    assert not put(store, participant())
    assert (store.roster_version(), store.audit_records(), store.snapshot("S01").token) == before


def test_identifiers_are_added_and_only_taken_out_by_name(store: Store) -> None:
    put(store, participant("S01", "111"))
    put(store, participant("S01", "222"))
    known = store.participant("S01")
    assert known is not None
    assert [each.value for each in known.identifiers] == ["111", "222"]
    with store.write() as tx:
        tx.remove_identifier("S01", Identifier("111", "NTCGH"), WHO, "belongs to another", NOON)
    assert store.participant("S01") == participant("S01", "222")


def test_taking_out_what_is_not_there_is_refused_without_naming_it(store: Store) -> None:
    put(store, participant("S01", "111"))
    with pytest.raises(StoreError, match="authority NTCGH") as refused, store.write() as tx:
        tx.remove_identifier("S01", Identifier("31415", "NTCGH"), WHO, "typing error", NOON)
    assert "31415" not in str(refused.value)


def test_an_identifier_of_another_participant_is_refused_without_naming_it(store: Store) -> None:
    put(store, participant("S01", "31415"))
    with pytest.raises(IdentifierTaken, match=r"participant S02.*NTCGH.*participant S01") as refused:
        put(store, participant("S02", "31415"))
    assert "31415" not in str(refused.value)
    assert store.participant("S02") is None
    assert put(store, Participant("S02", (Identifier("31415", "OTHER"),)))


def test_an_identifier_taken_out_of_use_may_be_given_to_another(store: Store) -> None:
    put(store, participant("S01", "31415"))
    with store.write() as tx:
        tx.remove_identifier("S01", Identifier("31415", "NTCGH"), WHO, "typing error", NOON)
        tx.put_participant(participant("S02", "31415"), WHO, "consent signed", NOON)
    assert store.participant("S02") == participant("S02", "31415")


def test_the_trail_holds_days_of_infusion_and_end_and_never_an_identity(store: Store, path: Path) -> None:
    put(store, replace(participant("S01", "31415"), birth_date="1961-07-29", sex="F"))
    with store.write() as tx:
        tx.put_participant(
            replace(
                participant("S01", "27182"),
                birth_date="1961-07-30",
                sex=None,
                infused_at="2026-01-06T09:30:00+08:00",
                ended_on=date(2026, 2, 20),
                ended_by="withdrawn",
            ),
            WHO,
            "corrected at monitoring",
            NOON,
        )
        tx.remove_identifier("S01", Identifier("31415", "NTCGH"), WHO, "belongs to another", NOON)
    enrolled, changed, removed = store.audit_records()
    assert json.loads(enrolled.new or "")["changes"] == [
        "birth_date given",
        "sex given",
        "identifier added (authority NTCGH)",
    ]
    assert json.loads(changed.old or "") == {"infused_at": "2026-01-05", "ended_on": None, "ended_by": None}
    assert json.loads(changed.new or "") == {
        "infused_at": "2026-01-06T09:30:00+08:00",
        "ended_on": "2026-02-20",
        "ended_by": "withdrawn",
        "changes": ["birth_date changed", "sex removed", "identifier added (authority NTCGH)"],
    }
    assert json.loads(removed.new or "") == {"changes": ["identifier removed (authority NTCGH)"]}
    trail = "".join(map(repr, store.audit_records()))
    assert [secret for secret in ("31415", "27182", "1961", '"F"') if secret in trail] == []
    # Only its own two tables hold an identity.
    for table in store._engine.database.table_names():
        if table not in ("identities", "identifiers"):
            assert "31415" not in repr(store._rows(f"SELECT * FROM {table}"))


def test_the_roster_version_moves_with_every_change(store: Store) -> None:
    versions = [store.roster_version()]
    put(store, participant("S01", "111"))
    versions.append(store.roster_version())
    put(store, replace(participant("S01", "111"), infused_at=None))
    versions.append(store.roster_version())
    with store.write() as tx:
        tx.remove_identifier("S01", Identifier("111", "NTCGH"), WHO, "typing error", NOON)
    versions.append(store.roster_version())
    assert versions == [0, 1, 2, 3]


def test_someone_enrolled_by_another_connection_counts_at_once(store: Store, path: Path) -> None:
    with open_store(path) as other:
        put(other, participant())
    assert store.roster_version() == 1
    assert store.participants() == [participant()]


def test_a_new_infusion_date_concerns_its_participant_alone(store: Store) -> None:
    for study_id in ("S01", "S02"):
        put(store, participant(study_id))
    for study_id in ("S01", "S02"):
        apply(store, derived(study_id=study_id))
    assert store.dirty(RULES, TODAY) == []
    put(store, replace(participant("S02"), infused_at="2026-01-09"))
    assert store.dirty(RULES, TODAY) == ["S02"]


def test_an_identifier_concerns_everybody(store: Store) -> None:
    put(store, participant("S01"))
    add(store, new_message("M1", "@"))
    apply(store, derived(study_id="S01"))
    apply(store, derived(study_id="@"))
    put(store, participant("S02"))
    assert store.dirty(RULES, TODAY) == ["S02", "@", "S01"]


def test_no_identity_is_in_a_repr() -> None:
    assert "31415" not in repr(participant("S01", "31415"))
    assert "1961" not in repr(participant())
