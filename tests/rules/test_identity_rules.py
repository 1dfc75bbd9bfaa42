"""trial.md section 1: messages whose patient is in question, from their bytes to the queue."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from trialrun import TrialRun

from adapter.intake.door import new_message
from adapter.model import Identifier, Participant
from adapter.store import UNASSIGNED

CONFIG = Path(__file__).parents[2] / "fixtures" / "messages" / "config.toml"
NOW = datetime(2026, 9, 1, 4, 0, tzinfo=UTC)
FIRST = Participant("S-001", (Identifier("0012345", "NTCGH"),), "2026-01-05", "1970-03-14", "F")
SECOND = Participant("S-002", (Identifier("0067890", "NTCGH"),), "2026-01-05")
MSH = "MSH|^~\\&|LAB||||20260203080000||ORU^R01|M1|P|2.5.1"


def group(identifiers: str, value: str, more: str = "", code: str = "1742-6") -> str:
    obr = f"OBR|1||{value}||||20260202"
    return f"PID|1||{identifiers}{more}\r{obr}\rOBX|1|NM|{code}^^LN||{value}|U/L|||||F\r"


@pytest.fixture
def run(tmp_path: Path) -> Iterator[TrialRun]:
    trial = TrialRun(CONFIG, tmp_path / "trial.db", NOW)
    try:
        trial.put(FIRST)
        trial.put(SECOND)
        yield trial
    finally:
        trial.close()


def receive(run: TrialRun, *groups: str, header: str = MSH, spoilt: bytes = b"") -> None:
    payload = f"{header}\r{''.join(groups)}".encode() + spoilt
    (screened,), _ = run.screen("lis").look(payload, NOW)
    with run.store.write() as tx:
        tx.add_messages([new_message("lis", screened, NOW)])
    run.settler.settle(run.book)


def forget(run: TrialRun, person: Participant) -> None:
    """The roster is corrected: that was never this participant's identifier."""
    with run.store.write() as tx:
        tx.remove_identifier(person.study_id, person.identifiers[0], "anyone", "entered by mistake", NOW)


def asked(run: TrialRun) -> list[tuple[str, str | None, int]]:
    run.settler.settle(run.book)
    return sorted((s.item.reason, s.item.study_id, s.item.count) for s in run.store.open_items())


def ended(run: TrialRun, scope: str) -> list[tuple[str, str, str | None]]:
    return [(r.locator, r.outcome, r.reason) for r in run.store.results(scope)]


def test_two_participants_matching_one_message_are_one_identity_conflict(run: TrialRun):
    receive(run, group("0012345~0067890", "40"))
    assert asked(run) == [("identity_conflict", None, 1)]
    assert ended(run, UNASSIGNED) == [("OBX[1]", "held", "identity_conflict")]
    cells = run.table()
    for study_id in ("S-001", "S-002"):
        assert cells[study_id, "week-4", "ALT"].status == "in_review"
        assert ended(run, study_id) == []


def test_what_a_message_says_of_one_participant_alone_is_read_beside_what_it_says_of_two(run: TrialRun):
    receive(run, group("0012345", "40"), group("0012345~0067890", "50", code="1920-8"))
    cells = run.table()
    assert cells["S-001", "week-4", "ALT"].value_text == "40"
    assert cells["S-001", "week-4", "AST"].status == cells["S-002", "week-4", "AST"].status == "in_review"
    assert ended(run, "S-001") == [("OBX[1]", "placed", None)]
    assert ended(run, UNASSIGNED) == [("OBX[2]", "held", "identity_conflict")]


def test_a_question_about_two_participants_closes_when_the_roster_says_which(run: TrialRun):
    receive(run, group("0012345~0067890", "40"))
    forget(run, SECOND)
    assert asked(run) == []
    assert run.table()["S-001", "week-4", "ALT"].value_text == "40"


def test_a_birth_date_or_sex_that_contradicts_the_roster_stores_nothing_as_a_value(run: TrialRun):
    for more, field in (("||||19710314", "PID-7"), ("|||||M", "PID-8")):
        receive(run, group("0012345", "40", more), header=MSH.replace("M1", field))
    assert asked(run) == [("identity_conflict", "S-001", 1)] * 2
    assert {s.item.detail["field"] for s in run.store.open_items()} == {"PID-7", "PID-8"}
    assert run.table()["S-001", "week-4", "ALT"].value_text is None
    assert not any("1971" in str(s.item.detail) for s in run.store.open_items())


def test_a_message_that_names_its_participant_no_longer_is_asked_and_its_results_are_held(run: TrialRun):
    receive(run, group("0067890", "40"))
    assert run.table()["S-002", "week-4", "ALT"].value_text == "40"
    forget(run, SECOND)
    assert asked(run) == [("identity_conflict", "S-002", 1)]
    assert ended(run, "S-002") == [("OBX[1]", "held", "identity_conflict")]
    assert run.table()["S-002", "week-4", "ALT"].status == "in_review"


def test_of_a_message_about_two_only_the_group_without_a_name_is_held(run: TrialRun):
    receive(run, group("0012345", "40"), group("0067890", "50"))
    forget(run, SECOND)
    assert asked(run) == [("identity_conflict", "S-002", 1)]
    assert ended(run, "S-001") == [("OBX[1]", "placed", None)]
    assert ended(run, "S-002") == [("OBX[2]", "held", "identity_conflict")]


def test_a_participants_message_that_cannot_be_read_is_held_and_asked(run: TrialRun):
    receive(run, group("0012345", "40"), spoilt=b"NTE|1||\xff\r")
    assert asked(run) == [("unreadable_message", "S-001", 1)]
    assert run.table()["S-001", "week-4", "ALT"].status == "in_review"


def test_an_unreadable_message_that_was_sent_again_whole_is_no_question(run: TrialRun):
    receive(run, group("0012345", "40"), spoilt=b"NTE|1||\xff\r")
    receive(run, group("0012345", "40"), header=MSH.replace("0800", "0900").replace("M1", "M2"))
    assert asked(run) == []
    assert run.table()["S-001", "week-4", "ALT"].value_text == "40"
    assert run.table()["S-001", "week-4", "AST"].status == "missing"


def test_merged_identifiers_are_asked_about_once(run: TrialRun):
    header = MSH.replace("ORU^R01", "ADT^A40")
    receive(run, "PID|1||555^^^NTCGH\rMRG|0012345^^^NTCGH\r", header=header)
    assert asked(run) == [("identity_merge", "S-001", 0)]


def test_dismissing_results_without_a_code_settles_all_of_them_those_still_to_come_included(run: TrialRun):
    nameless = "PID|1||0012345\rOBR|1||{0}||||20260202\rOBX|1|NM|^ALT||40|U/L|||||F\r"
    receive(run, nameless.format("A1"))
    assert asked(run) == [("unmapped_code", None, 1)]
    assert run.table()["S-001", "week-4", "ALT"].status == "in_review"
    item = run.store.open_items()[0].item
    with run.store.write() as tx:
        body = {"item": item.id, "evidence": item.evidence}
        tx.add_decision("dismiss_item", body, "anyone", "not of the trial", NOW)
    assert asked(run) == []
    receive(run, nameless.format("A2"), header=MSH.replace("M1", "M2"))
    assert asked(run) == []
    assert run.table()["S-001", "week-4", "ALT"].status == "missing"
