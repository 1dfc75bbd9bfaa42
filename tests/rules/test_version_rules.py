"""Versions of a FHIR resource (trial.md section 6): the higher stands, whatever it says and whenever it came."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from laboratory import EHR, PROTOCOL, TODAY, WHO, cell, on, reasons, reported, row, table, understood

from adapter.model import Coding, Outcome, Reason
from adapter.rules.derive import ReadMessage, derive
from adapter.rules.interpret import Interpreted


def version(
    number: int | None, value: str | None = "35", *, resource: str = "77", part: str = "", **more
) -> Interpreted:
    """One version of an Observation that holds an ALT; ``part`` is its component."""
    locator = f"Observation/{resource}{part}"
    sent = reported(value, **{"status": "final", "order": f"fhir:{locator}", "locator": locator, **more})
    name = f"Observation/{resource}" + ("" if number is None else f"/_history/{number}")
    return understood(replace(sent, version=number), message=name, source=EHR)


def deletion(number: int | None = None, *, resource: str = "77", sent: str | None = None) -> Interpreted:
    found = version(number, "", resource=resource, codings=(), status="entered-in-error", taken=None, sent=sent)
    return replace(found, kind="takes_back", reason=None, rule="takes_back")


def value(*results: Interpreted) -> str | None:
    return cell(table(*results)).value


def test_the_higher_version_stands_whatever_its_status_and_times_say():
    old = version(1, "35", status="corrected", issued="20260203", sent="20260301120000")
    new = version(2, "36", status="preliminary", issued="20260202", sent="20260201120000")
    for order in permutations([old, new]):
        derived = table(*order)
        assert cell(derived).value == "36"
        assert row(derived, old).outcome == Outcome.SUPERSEDED
        assert row(derived, new).outcome == Outcome.PLACED


@pytest.mark.parametrize(
    "later",
    [
        version(2, "36", taken=on(200)),
        version(2, "36", code="XYZ", system="99LAB"),
        version(2, "36", code="2324-2"),
        version(2, "about forty"),
        version(2, "36", unit=""),
        version(2, "36", taken=None),
        version(2, "36", status="unknown"),
        version(2, "36", specimens=[Coding("122575003", "Urine specimen")]),
        version(2, "", status="cancelled"),
        version(2, "36", status="entered-in-error"),
        version(2, "36", code="1920-8"),
    ],
    ids=[
        "day",
        "unmapped",
        "no-endpoint",
        "unreadable",
        "no-unit",
        "no-time",
        "status",
        "specimen",
        "cancelled",
        "error",
        "analyte",
    ],
)
def test_an_older_version_never_stands_beside_a_newer_one(later: Interpreted):
    old = version(1)
    for order in permutations([old, later]):
        derived = table(*order)
        assert cell(derived).value is None
        assert row(derived, old).outcome in (Outcome.SUPERSEDED, Outcome.TAKEN_BACK)


def test_a_newer_version_that_cannot_be_read_at_all_replaces_too():
    old = version(1)
    unread = replace(version(2).origin, message_control_id="Observation/77/_history/2")
    messages = [ReadMessage(old.origin, (old,)), ReadMessage(unread, asked=Reason.UNREADABLE_MESSAGE)]
    derived = derive(WHO, messages, PROTOCOL, (), TODAY, "rules")
    assert cell(derived).value is None
    assert row(derived, old).outcome == Outcome.SUPERSEDED
    assert cell(derived).status == "in_review"


def test_a_newer_version_that_gives_no_result_replaces_too():
    old = version(1)
    panel = replace(version(2).origin, message_control_id="Observation/77/_history/2")
    for messages in permutations([ReadMessage(old.origin, (old,)), ReadMessage(panel)]):
        derived = derive(WHO, messages, PROTOCOL, (), TODAY, "rules")
        assert cell(derived).value is None
        assert row(derived, old).outcome == Outcome.SUPERSEDED
        assert reasons(derived) == []


def test_what_a_newer_version_no_longer_holds_is_gone():
    first, second = version(1, part="#component[1]"), version(1, "61", part="#component[2]", code="1920-8")
    newer = version(2, "36", part="#component[1]")
    derived = table(first, second, newer)
    assert (cell(derived).value, cell(derived, endpoint="AST").value) == ("36", None)


def test_other_resources_and_other_sources_are_other_results():
    derived = table(version(1, "35"), version(2, "35", resource="78", taken=on(29)))
    assert [r.outcome for r in derived.results] == [Outcome.PLACED, Outcome.PLACED]
    elsewhere = replace(version(1, "35").origin, source="another")
    assert value(replace(version(1, "35"), origin=elsewhere), version(2, "35", taken=on(29))) == "35"


def test_the_same_version_twice_is_one_result_and_no_conflict():
    one = version(3)
    again = replace(one, origin=replace(one.origin, sha256="0" * 64, inbox_id=7))
    derived = table(one, again)
    assert cell(derived).value == "35"
    assert reasons(derived) == []


def test_without_versions_the_later_report_stands_whatever_its_date():
    old = version(None, "35", issued="20260203")
    new = version(None, "36", issued="20260204", taken=on(29))
    derived = table(old, new)
    assert cell(derived).value == "36"
    assert row(derived, old).outcome == Outcome.SUPERSEDED


@pytest.mark.parametrize("number", [None, 2, 3])
def test_a_deletion_takes_back_every_component(number: int | None):
    parts = [version(2, part="#component[1]"), version(2, "61", part="#component[2]", code="1920-8")]
    for order in permutations([*parts, deletion(number)]):
        derived = table(*order)
        assert (cell(derived).value, cell(derived, endpoint="AST").value) == (None, None)
        assert {r.outcome for r in derived.results} == {Outcome.TAKEN_BACK}
        assert reasons(derived) == []


def test_what_is_made_anew_after_its_deletion_stands():
    for order in permutations([version(1), deletion(2), version(3, "44")]):
        assert value(*order) == "44"


def test_a_deletion_without_a_version_counts_by_its_time():
    before, after = version(1, sent="20260301120000"), version(3, "44", sent="20260303120000")
    gone = deletion(None, sent="20260302120000")
    assert value(before, gone) is None
    assert value(before, gone, after) == "44"


def test_a_deletion_of_what_was_never_received_is_no_question():
    derived = table(deletion(2))
    assert reasons(derived) == []
    assert [r.outcome for r in derived.results] == [Outcome.TAKEN_BACK]


VERSIONS = [
    version(1, "35"),
    version(2, "36", status="corrected"),
    version(3, "37", code="XYZ", system="99LAB"),
    version(4, "38", taken=on(29)),
    deletion(5),
    version(6, "40", status="preliminary"),
    version(1, "90", resource="78", taken=on(84)),
    version(None, "91", resource="79", taken=on(168)),
]


@given(st.lists(st.sampled_from(VERSIONS), unique_by=lambda r: r.key), st.randoms(use_true_random=False))
def test_the_order_of_arrival_never_decides_and_only_the_highest_stands(received: list[Interpreted], random):
    shuffled = list(received)
    random.shuffle(shuffled)
    derived = table(*received)
    assert table(*shuffled).selections == derived.selections
    assert {(r.inbox_id, r.outcome) for r in table(*shuffled).results} == {
        (r.inbox_id, r.outcome) for r in derived.results
    }
    numbers = [r.reported.version for r in received if r.reported.order_number == "fhir:Observation/77"]
    expected = {1: "35", 2: "36", 4: "38", 6: "40"}.get(max((n for n in numbers if n), default=0))
    assert cell(derived).value == expected
