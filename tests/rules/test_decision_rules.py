"""What a person decides is an input of the rules, in force until another decision undoes it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from laboratory import LIS, PROTOCOL, RECEIVED_AT, WHO, cell, on, reasons, reported, row, table, understood

from adapter.model import Coding, Decision, Derived, Reported
from adapter.rules.codes import CodeMap
from adapter.rules.decided import in_force, readings
from adapter.rules.interpret import Context, Interpreted, Origin, interpret
from adapter.rules.signing import fingerprints


def decision(kind: str, number: int = 1, **body: str) -> Decision:
    return Decision(number, kind, body, "A Coordinator", "2026-09-01T08:00:00+00:00", "told by the laboratory")


def key_of(result: Reported) -> str:
    return f"{LIS.name}/{hashlib.sha256(repr(result).encode()).hexdigest()}/{result.locator}"


def decided(result: Reported, *decisions: Decision) -> Interpreted:
    """What the rules make of one result under these decisions."""
    origin = Origin(7, LIS.name, "M1", hashlib.sha256(repr(result).encode()).hexdigest(), RECEIVED_AT)
    context = Context(PROTOCOL, LIS, CodeMap(LIS.codes, ()), readings(in_force(decisions), LIS.name))
    return interpret(result, origin, WHO.study_id, context)


def said(result: Reported, what: str, to: str, number: int = 1) -> Decision:
    results = {"source": LIS.name, "study_id": WHO.study_id, "results": key_of(result)}
    return decision("read_result", number, **results, what=what, to=to)


UREA_AS_ALT = (Coding("1742-6", "", "LN"), Coding("TB", "", ""))

SETTLED: Mapping[str, tuple[Reported, str, str, str]] = {
    "code_conflict": (reported("35", codings=UREA_AS_ALT, unit="U/L"), "analyte", "ALT", "35"),
    "wrong_specimen": (reported("35", specimens=[Coding("ASC", "Ascites")]), "specimen", "yes", "35"),
    "unreadable_value": (reported("1,234"), "value", "1234", "1234"),
    "missing_unit": (reported("0.6", unit=""), "unit", "ukat/L", "36.0"),
    "unknown_unit": (reported("35", unit="Einh/L"), "unit", "U/L", "35"),
    "implausible_value": (reported("31000"), "plausible", "yes", "31000"),
    "missing_collection_time": (reported("35", taken=None), "collected_at", "2026-02-02", "35"),
    "implausible_time": (reported("35", taken="20270101"), "collected_at", "2026-02-02T08:00:00+08:00", "35"),
    "unknown_status": (reported("35", status="0"), "status", "F", "35"),
}


@pytest.mark.parametrize("reason", SETTLED)
def test_what_a_person_says_of_a_held_result_makes_it_a_value_and_undoing_it_holds_it_again(reason: str) -> None:
    result, what, to, value = SETTLED[reason]
    assert decided(result).reason == reason
    word = said(result, what, to)
    settled = decided(result, word)
    assert (settled.kind, settled.reason, str(settled.number)) == ("value", None, value)
    assert settled.read_by_person
    assert any(s.facts.get("decision") == "1" for s in settled.steps)
    assert settled.reported == result  # what was sent stays as it was sent
    assert decided(result, word, decision("undo", 2, decision="1")).reason == reason
    undone_twice = [word, decision("undo", 2, decision="1"), decision("undo", 3, decision="2")]
    assert decided(result, *undone_twice).kind == "value"


def test_a_value_that_a_person_read_says_so_in_the_table() -> None:
    result = reported("1,234")
    found = cell(table(decided(result, said(result, "value", "1234"))))
    assert (found.value, found.flags) == ("1234", ("read_by_person",))


def test_what_a_person_says_of_one_result_is_of_no_other() -> None:
    one, other = reported("1,234"), reported("1,234", locator="OBX[2]")
    assert decided(other, said(one, "value", "1234")).reason == "unreadable_value"


def test_the_later_of_two_words_counts() -> None:
    result = reported("35", unit="")
    assert str(decided(result, said(result, "unit", "ukat/L", 1), said(result, "unit", "U/L", 2)).number) == "35"


def test_a_unit_is_accepted_once_for_what_a_source_sends_with_a_code() -> None:
    accepted = {"source": LIS.name, "code": "1742-6", "system": "LN", "sent": "Einh/L", "unit": "U/L"}
    word = decision("accept_unit", **accepted)
    assert decided(reported("35", unit="Einh/L"), word).kind == "value"
    assert decided(reported("35", unit="Einh"), word).reason == "unknown_unit"
    assert decided(reported("35", unit="Einh/L", code="1920-8"), word).reason == "unknown_unit"
    assert decided(reported("35", unit=""), word).reason == "missing_unit"
    assert decided(reported("35", unit=""), decision("accept_unit", **{**accepted, "sent": ""})).kind == "value"


def test_a_status_is_mapped_once_for_a_source() -> None:
    word = decision("map_status", source=LIS.name, sent="0", status="F")
    assert decided(reported("35", status="0"), word).kind == "value"
    assert decided(reported("35", status="2"), word).reason == "unknown_status"
    assert decided(reported("35", status="P"), word).status == "provisional"  # a status that is known stays what it is


def test_a_specimen_is_accepted_once_for_a_source() -> None:
    word = decision("accept_specimen", source=LIS.name, specimen="静脉血")
    assert decided(reported("35", specimens=[Coding("V1", "静脉血")]), word).kind == "value"
    assert decided(reported("35", specimens=[Coding("U1", "尿")]), word).reason == "wrong_specimen"


def taking_back(*results: Interpreted, number: int = 1) -> Decision:
    return decision(
        "take_back", number, source=LIS.name, study_id=WHO.study_id, results="\n".join(r.key for r in results)
    )


def test_a_value_that_a_person_takes_back_no_longer_stands_and_the_next_one_does() -> None:
    near, far = understood(reported("35"), message="M1"), understood(reported("40", taken=on(30), order="filler:A2"))
    derived = table(near, far, decisions=[taking_back(near)])
    assert (cell(derived).value, row(derived, near).outcome) == ("40", "taken_back")
    assert row(derived, near).rule == "taken_back_by_person"
    undone = table(near, far, decisions=[taking_back(near), decision("undo", 2, decision="1")])
    assert cell(undone).value == "35"


def test_a_correction_of_what_a_person_took_back_stands() -> None:
    first = understood(reported("35"), message="M1")
    later = understood(reported("36", status="C", sent="20260901120000"), message="M2")
    assert cell(table(first, decisions=[taking_back(first)])).value is None
    derived = table(first, later, decisions=[taking_back(first)])
    assert (cell(derived).value, row(derived, first).outcome) == ("36", "superseded")


def test_of_two_that_contradict_each_other_the_one_not_taken_back_stands() -> None:
    one = understood(reported("35", locator="OBX[1]"), message="M1")
    other = understood(reported("53", locator="OBX[2]"), message="M2")
    assert reasons(table(one, other)) == ["conflicting_results"]
    derived = table(one, other, decisions=[taking_back(other)])
    assert (reasons(derived), cell(derived).value) == ([], "35")


# --- signing off --------------------------------------------------------------------------------------------------


def signed(derived: Derived, number: int = 1) -> Decision:
    rows = [s for s in derived.selections if s.visit == "week-4"]
    body = {"study_id": WHO.study_id, "visit": "week-4", "cells": json.dumps(fingerprints(rows))}
    return decision("sign_off", number, **body)


def test_a_visit_that_was_signed_off_asks_when_a_value_changes() -> None:
    first = understood(reported("35"), message="M1")
    before = table(first)
    assert reasons(table(first, decisions=[signed(before)])) == []
    later = understood(reported("36", status="C", sent="20260901120000"), message="M2")
    after = table(first, later, decisions=[signed(before)])
    assert reasons(after) == ["changed_after_choice"]
    item = after.items[0]
    assert (item.visit, item.endpoint) == ("week-4", None)
    assert (item.detail["rule"], item.detail["endpoints"]) == ("changed_after_sign_off", "ALT")
    assert reasons(table(first, later, decisions=[signed(before), signed(after, 2)])) == []


def test_a_change_at_another_visit_is_nothing_to_a_sign_off() -> None:
    first = understood(reported("35"), message="M1")
    later = understood(reported("36", taken=on(84), order="filler:A2"), message="M2")
    assert reasons(table(first, later, decisions=[signed(table(first))])) == []


# --- undoing ------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(min_value=0, max_value=30), max_size=12))
def test_a_decision_is_in_force_exactly_where_no_undoing_in_force_names_it(undone: Sequence[int]) -> None:
    made = [decision("retry", n, source="lis", sha256="x") for n in range(1, 4)]
    for number, which in enumerate(undone, start=4):
        made.append(decision("undo", number, decision=str(1 + which % (number - 1))))

    def holds(number: int) -> bool:
        return not any(d.kind == "undo" and int(d.body["decision"]) == number and holds(d.id) for d in made)

    expected = [d.id for d in made if d.kind != "undo" and holds(d.id)]
    assert [d.id for d in in_force(reversed(made))] == expected
