"""Whose a message is: confirmed, refused, merged; and a message that could not be read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from deskrun import WHO, WHY, DeskRun, message

import adapter.pipeline
from adapter.model import Identifier
from adapter.review import desk
from adapter.review.desk import DecisionRefused
from adapter.review.proposal import Given

ALT = "S-001 week-4 ALT"
SURVIVING = Identifier("0099999", "NTCGH")
BOTH = "S-001,0012345,NTCGH,2026-01-05,,\nS-002,777,NTCGH,2026-01-05,,\n"


@pytest.fixture
def two(tmp_path: Path) -> Iterator[DeskRun]:
    """A trial of two participants."""
    found = DeskRun(tmp_path, roster=BOTH)
    yield found
    found.close()


@pytest.mark.parametrize(
    ("received", "value"), [("other-birth-date.hl7", "40"), ("fhir-another-persons-birth-date.fhir.json", "54")]
)
def test_a_message_that_contradicts_the_roster_is_confirmed_and_that_is_undone(
    trial: DeskRun, received: str, value: str
):
    trial.receives(received, source="ehr")
    before = trial.derived()
    (made,) = trial.answers("identity_conflict", "confirm_identity")
    assert (trial.cell(ALT), trial.asked()) == (("captured", value, ()), [])
    trial.undoes(made)
    assert trial.derived() == before


def test_a_message_of_another_person_is_erased_and_nothing_of_it_is_left_but_its_hash(trial: DeskRun):
    trial.receives(message("1742-6^^LN 41.25 U/L F 20260202", who="19331231|F"))
    entry = trial.item("identity_conflict")
    place = trial.place("41.25")
    assert trial.cell(ALT)[0] == "in_review"
    (made,) = trial.answers("identity_conflict", "refuse_identity")
    assert (trial.asked(), trial.cell(ALT)[0], trial.store.results()) == ([], "missing", [])
    kept = trial.store.message(place[0])
    assert kept is not None
    assert (kept.raw, kept.sha256) == (b"", made.body["sha256"])
    erased = [(r.who, r.why) for r in trial.store.audit_records() if r.what == "bytes erased"]
    assert erased == [(WHO, WHY)]
    assert "erased" in desk.find(trial.store, entry.id).detail
    pages = [path.read_bytes() for path in trial.folder.glob("trial.db*")]
    assert not any(b"41.25" in page or b"19331231" in page for page in pages)
    with pytest.raises(DecisionRefused, match="erased the message's bytes"):
        trial.desk.undo(made.id)
    trial.receives(message("1742-6^^LN 41.25 U/L F 20260202", who="19331231|F"))  # sent again: still another's
    assert (trial.asked(), trial.store.results()) == ([], [])


def test_a_message_that_names_two_participants_is_said_to_be_of_one_of_them(two: DeskRun):
    both = "0012345^^^NTCGH~777^^^NTCGH"
    two.receives(message("1742-6^^LN 41 U/L F 20260202", number=both))
    assert {two.cell(f"{who} week-4 ALT")[0] for who in ("S-001", "S-002")} == {"in_review"}
    before = two.derived()
    for who in ("", "S-404"):
        with pytest.raises(DecisionRefused, match="one of S-001, S-002"):
            two.desk.propose(two.item("identity_conflict"), "confirm_identity", Given(participant=who or None))
    (made,) = two.answers("identity_conflict", "confirm_identity", Given(participant="S-002"))
    assert (two.cell("S-002 week-4 ALT")[1], two.cell(ALT)[:2], two.asked()) == ("41", ("missing", None), [])
    two.undoes(made)
    assert two.derived() == before
    two.answers("identity_conflict", "refuse_identity")
    assert (two.cell("S-002 week-4 ALT")[0], two.cell(ALT)[0], two.asked()) == ("missing", "missing", [])


def test_merged_identifiers_come_onto_the_roster_and_go_when_that_is_undone(trial: DeskRun):
    trial.receives("merged-identifiers.hl7")
    before, person = trial.derived(), trial.store.participant("S-001")
    assert person is not None
    (made,) = trial.answers("identity_merge", "merge_identity")
    merged = trial.store.participant("S-001")
    assert merged is not None
    assert (merged.identifiers, trial.asked()) == ((*person.identifiers, SURVIVING), [])
    trial.receives(message("1742-6^^LN 41 U/L F 20260202", number="0099999^^^NTCGH^MR"))
    assert trial.cell(ALT)[1] == "41"
    undoing = trial.undoes(made)
    assert trial.store.participant("S-001") == person
    assert trial.asked() == ["identity_conflict", "identity_merge"]  # what came by that number names nobody now
    trial.undoes(undoing)
    assert (trial.store.participant("S-001"), trial.cell(ALT)[1], trial.asked()) == (merged, "41", [])
    assert not any("0099999" in (r.new or "") + (r.old or "") for r in trial.store.audit_records())
    assert before["items"] != []


def test_what_the_roster_had_before_a_merge_stays_when_the_merge_is_undone(trial: DeskRun):
    raw = (
        b"MSH|^~\\&|LIS|NTCGH|EDC|TRIAL|20260202100000+0800||ADT^A40^ADT_A39|MG2|P|2.5.1\r"
        b"EVN||20260301090000+0800\rPID|1||0012345^^^NTCGH~0088888^^^NTCGH||A^B||19700314|F\rMRG|0066666^^^NTCGH\r"
    )
    trial.receives(raw)
    (made,) = trial.answers("identity_merge", "merge_identity")
    trial.undoes(made)
    person = trial.store.participant("S-001")
    assert person is not None
    assert person.identifiers == (Identifier("0012345", "NTCGH"),)


def test_two_participants_are_not_merged_into_one(two: DeskRun):
    raw = (
        b"MSH|^~\\&|LIS|NTCGH|EDC|TRIAL|20260202100000+0800||ADT^A40^ADT_A39|MG3|P|2.5.1\r"
        b"EVN||20260301090000+0800\rPID|1||777^^^NTCGH||A^B||19700314|F\rMRG|0012345^^^NTCGH\r"
    )
    two.receives(raw)
    entries = {entry.item.study_id: entry for entry in desk.queue(two.store)}
    with pytest.raises(DecisionRefused, match=r"is S-002's"):
        two.desk.propose(entries["S-001"], "merge_identity", Given())
    with pytest.raises(DecisionRefused, match="no identifier that S-002 does not have"):
        two.desk.propose(entries["S-002"], "merge_identity", Given())


def test_a_message_that_cannot_be_read_is_dismissed_and_comes_back(trial: DeskRun):
    trial.receives("undecodable-bytes.hl7")
    before = trial.derived()
    assert trial.cell(ALT)[0] == "in_review"
    trial.answers("unreadable_message", "retry")
    assert trial.derived() == before  # it is as it was
    (made,) = trial.answers("unreadable_message", "dismiss")
    assert (trial.asked(), trial.cell(ALT)[0]) == ([], "missing")
    trial.undoes(made)
    assert trial.derived() == before


def test_a_message_at_which_the_reader_failed_is_read_again(trial: DeskRun, monkeypatch: pytest.MonkeyPatch):
    """The reader keeps what it has read, failures too, until something is decided."""

    def fails(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(adapter.pipeline, "read_results", fails)
        trial.receives("complete-panel.hl7")
    trial.run.settler.settle(trial.run.book)
    assert (trial.asked(), trial.store.inbox_counts()["failed"]) == (["unreadable_message"], 1)
    (made,) = trial.answers("unreadable_message", "retry")
    assert (trial.cell(ALT)[0], trial.store.inbox_counts()["failed"]) == ("captured", 0)
    trial.undoes(made)
    assert trial.cell(ALT)[0] == "captured"
