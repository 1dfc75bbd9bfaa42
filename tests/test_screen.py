"""trial.md section 1, at the door: what may be kept of a payload, and what never leaves memory."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from adapter.codecs.mllp import Frame
from adapter.intake.door import Door
from adapter.intake.listener import Incoming
from adapter.intake.screen import Fate, Screen, Screened
from adapter.model import Identifier, Participant, SourceRules
from adapter.rules.match import Roster
from adapter.store import UNASSIGNED, Store, Writer

AT = datetime(2026, 9, 1, 4, 0, tzinfo=UTC)
LIS = SourceRules("lis", authority="NTCGH", charset="utf-8", timezone="Asia/Shanghai")
ENROLLED = Participant("S-001", (Identifier("0012345", "NTCGH"),), "2026-01-05")
SECOND = Participant("S-002", (Identifier("0067890", "NTCGH"),), "2026-01-05")
WITHDRAWN = Participant(
    "S-003", (Identifier("0011111", "NTCGH"),), "2026-01-05", None, None, date(2026, 2, 4), "withdrawn"
)
ROSTER = Roster([ENROLLED, SECOND, WITHDRAWN])
MINE, STRANGER = "PID|1||0012345^^^NTCGH", "PID|1||90210777^^^NTCGH||QUBERT^ZYLLA"
OBR = "OBR|1||L-1|CHEM|||20260202081500"
OBX = "OBX|1|NM|1742-6^^LN||40|U/L|||||F"


@dataclass(frozen=True)
class Taken:
    """What a source's settings take."""

    versions: tuple[str, ...] = ("2.3", "2.5.1")
    processing_ids: tuple[str, ...] = ("P", "")


def msh(kind: str = "ORU^R01", control_id: str = "M1", processing_id: str = "P", version: str = "2.5.1") -> str:
    return f"MSH|^~\\&|LAB|HOSP|EDC|TRIAL|20260202100000||{kind}|{control_id}|{processing_id}|{version}"


def message(*segments: str, header: str = "") -> bytes:
    return "".join(f"{s}\r" for s in (header or msh(), *segments)).encode()


def look(payload: bytes, **settings: object) -> list[Screened]:
    return Screen(LIS, ROSTER, "Asia/Shanghai", **settings).look(payload, AT)[0]  # type: ignore[arg-type]


def one(payload: bytes, **settings: object) -> Screened:
    (screened,) = look(payload, **settings)
    return screened


# --- strangers and participants -----------------------------------------------------------------------------------


def test_a_participants_message_is_kept_whole_with_the_hash_of_what_is_kept():
    payload = message(MINE, OBR, OBX)
    found = one(payload)
    assert (found.fate, found.scopes, found.kept) == (Fate.ACCEPTED, ("S-001",), payload)
    assert found.sha256 == hashlib.sha256(payload).hexdigest()


def test_of_a_strangers_message_nothing_leaves_but_its_fate():
    found = one(message(STRANGER, OBR, OBX))
    assert (found.fate, found.kept, found.scopes, found.refusal) == (Fate.STRANGER, b"", (), None)
    assert "QUBERT" not in repr(found)


def test_a_strangers_message_is_a_strangers_however_broken_the_rest_of_it_is():
    for rest in (b"OBX|\xff\xfe\r", b"OBX\r", b"\x00\x1b nonsense\r", b"OBX|1|NM|1742-6||40\xff"):
        assert one(message(STRANGER, OBR) + rest).fate == Fate.STRANGER


def test_a_participants_message_is_kept_however_broken_the_rest_of_it_is():
    payload = message(MINE, OBR) + b"OBX|1|NM|1742-6^^LN||4\xff0|U/L|||||F\r"
    assert (one(payload).fate, one(payload).kept) == (Fate.ACCEPTED, payload)


def test_what_is_not_shown_of_a_kept_message():
    assert "0012345" not in repr(one(message(MINE, OBR, OBX)))


@pytest.mark.parametrize("pid", ["PID|1||12345^^^NTCGH", "PID|1||0012345^^^OTHER", "PID|1||90210777"])
def test_another_number_or_another_authority_is_a_stranger(pid: str):
    assert one(message(pid, OBR, OBX)).fate == Fate.STRANGER


def test_identifiers_are_read_where_the_source_says():
    older = message("PID|1|0012345^^^NTCGH|777", OBR, OBX)
    assert one(older).fate == Fate.STRANGER
    source = replace(LIS, identifier_fields=("PID-3", "PID-2"))
    assert Screen(source, ROSTER, "Asia/Shanghai").look(older, AT)[0][0].fate == Fate.ACCEPTED


# --- no patient ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "payload",
    [
        message(OBR, OBX),
        message("PID|1||", OBR, OBX),
        message('PID|1||""', OBR, OBX),
        msh().encode() + b"\rPID|1||00\xff12345^^^NTCGH\r" + OBX.encode(),
    ],
)
def test_a_message_in_which_no_patient_can_be_made_out_is_nobodys(payload: bytes):
    found = one(payload)
    assert (found.fate, found.kept, found.nobody) == (Fate.REFUSED, b"", True)
    assert found.refusal is not None
    assert (found.refusal.kind, found.refusal.segment, found.refusal.field) == ("error", "PID", 3)
    fine = one(payload, nobody_is_fine=True)
    assert (fine.fate, fine.refusal, fine.kept, fine.nobody) == (Fate.IGNORED, None, b"", True)


def test_one_identifier_that_can_be_read_is_enough():
    payload = msh().encode() + b"\rPID|1||0012345^^^NTCGH~7\xff7^^^CARD\r" + OBX.encode()
    assert one(payload).fate == Fate.ACCEPTED


def test_without_a_header_there_is_no_patient():
    assert one(b"hello world").fate == Fate.UNREADABLE
    assert one(b"PID|1||0012345^^^NTCGH\r").kept == b""


# --- several patients ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mine_first", [True, False])
def test_of_several_patients_the_header_and_the_participants_groups_are_kept(mine_first: bool):
    mine, other = (MINE, "OBR|1||L-1", OBX), (STRANGER, "OBR|1||X-9", "NTE|1||QUBERT", OBX)
    found = one(message(*(*mine, *other) if mine_first else (*other, *mine)))
    assert found.kept == message(*mine)
    assert found.sha256 == hashlib.sha256(message(*mine)).hexdigest()


def test_results_before_any_patient_are_not_kept_with_a_participants():
    assert one(message(OBR, OBX, MINE, OBX)).kept == message(MINE, OBX)


@pytest.mark.parametrize("cut", [b"\x81\x30", b"\x81", b"\xb0"])
def test_a_character_cut_short_at_the_end_of_a_segment_never_hides_where_a_stranger_begins(cut: bytes):
    head = message(MINE, OBR, header=msh() + "||||||GB 18030-2000")
    found = one(head + b"NTE|1||" + cut + b"\r" + message(OBX, header=STRANGER))
    assert b"QUBERT" not in found.kept


def test_two_participants_in_one_message_are_both_kept():
    found = one(message(MINE, OBX, "PID|2||0067890", OBX))
    assert (found.scopes, found.kept.count(b"OBX")) == (("S-001", "S-002"), 2)


def test_a_patient_who_is_two_participants_is_nobodys_alone():
    assert one(message("PID|1||0012345~0067890", OBX)).scopes == ("S-001", "S-002", UNASSIGNED)


# --- the withdrawn ------------------------------------------------------------------------------------------------

LEFT = "PID|1||0011111"


def test_a_withdrawn_participants_results_from_that_date_on_are_a_strangers():
    for taken in ("20260204", "20260301", "", "2026"):
        assert one(message(LEFT, f"OBR|1||L-1||||{taken}", OBX)).fate == Fate.STRANGER, taken


def test_those_collected_before_count_whenever_they_arrive():
    payload = message(LEFT, "OBR|1||L-1||||20260203235959", OBX)
    assert (one(payload).fate, one(payload).kept) == (Fate.ACCEPTED, payload)


def test_of_both_only_those_before_are_kept():
    before = ("OBR|1||L-1||||20260203", OBX)
    after = ("OBR|2||L-2||||20260205", "OBX|1|NM|1742-6^^LN||77|U/L|||||F", "NTE|1||LATER")
    assert one(message(LEFT, *before, *after)).kept == message(LEFT, *before)
    assert one(message(LEFT, *after, *before)).kept == message(LEFT, *before)


def test_of_several_patients_a_withdrawn_ones_group_goes_with_the_last_of_its_results():
    mine, gone = (MINE, OBR, OBX), (f"{LEFT}||QUBERT", "OBR|1||L-9||||20260301", OBX)
    for order in ((*mine, *gone), (*gone, *mine)):
        found = one(message(*order))
        assert (found.scopes, found.kept) == (("S-001",), message(*mine))


def test_a_withdrawn_participants_message_without_results_is_a_strangers():
    assert one(message(LEFT, "OBR|1||L-1||||20260203")).fate == Fate.STRANGER


def test_who_died_or_was_transplanted_is_still_a_participant():
    for ended_by in ("died", "transplanted"):
        roster = Roster([replace(WITHDRAWN, ended_by=ended_by)])
        screen = Screen(LIS, roster, "Asia/Shanghai")
        assert screen.look(message(LEFT, "OBR|1||L-1||||20260205", OBX), AT)[0][0].fate == Fate.ACCEPTED


# --- merged identifiers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", ["A34", "A40"])
def test_a_merge_that_touches_an_enrolled_identifier_is_kept(event: str):
    header = msh(f"ADT^{event}")
    for pid, mrg in (("0012345", "555"), ("555", "0012345")):
        payload = message("EVN||20260202", f"PID|1||{pid}^^^NTCGH", f"MRG|{mrg}^^^NTCGH", header=header)
        found = one(payload, ignore_types=("ADT",))
        assert (found.fate, found.scopes, found.kept) == (Fate.ACCEPTED, ("S-001",), payload)


def test_a_merge_of_strangers_is_a_strangers():
    assert one(message(STRANGER, "MRG|555^^^NTCGH", header=msh("ADT^A40"))).fate == Fate.STRANGER


def test_of_several_merges_only_a_participants_is_kept():
    merges = (STRANGER, "MRG|555^^^NTCGH", MINE, "MRG|556^^^NTCGH")
    assert one(message(*merges, header=msh("ADT^A40"))).kept == message(*merges[2:], header=msh("ADT^A40"))


def test_a_merge_in_which_no_patient_can_be_made_out_is_nobodys():
    for segments in ((), ("PID|1||", "MRG|555^^^NTCGH")):
        found = one(message(*segments, header=msh("ADT^A40")))
        assert (found.fate, found.nobody) == (Fate.REFUSED, True)


# --- types, versions, processing ids ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ORU^R01", "ORU^R30", "ORU^R31", "ORU^R32", "OUL^R22", "OUL^R23", "OUL^R24", "ORU"])
def test_results_of_every_taken_type(kind: str):
    assert one(message(MINE, OBX, header=msh(kind)), gate=Taken()).fate == Fate.ACCEPTED


@pytest.mark.parametrize(
    ("header", "code", "field"),
    [
        (msh("ADT^A08"), "201", 9),
        (msh("ORU^R03"), "201", 9),
        (msh("ORM^O01"), "200", 9),
        (msh(processing_id="T"), "202", 11),
        (msh(version="2.9"), "203", 12),
    ],
)
@pytest.mark.parametrize("pid", [MINE, STRANGER])
def test_what_is_not_taken_is_rejected_and_nothing_of_it_kept(header: str, code: str, field: int, pid: str):
    found = one(message(pid, OBX, header=header), gate=Taken())
    assert (found.fate, found.kept) == (Fate.REFUSED, b"")
    assert found.refusal is not None
    assert (found.refusal.kind, found.refusal.code, found.refusal.field) == ("reject", code, field)


def test_a_missing_version_is_taken_and_noted():
    found = one(message(MINE, OBX, header=msh(version="")), gate=Taken())
    assert found.fate == Fate.ACCEPTED
    assert "MSH-12 is empty" in found.notes


def test_replay_asks_neither_version_nor_processing_id():
    assert one(message(MINE, OBX, header=msh(processing_id="T", version="2.9"))).fate == Fate.ACCEPTED


def test_types_to_be_ignored_are_acknowledged_and_not_kept():
    for types in (("ADT",), ("ADT^A08",)):
        found = one(message(MINE, header=msh("ADT^A08")), ignore_types=types, gate=Taken())
        assert (found.fate, found.refusal, found.kept) == (Fate.IGNORED, None, b"")


# --- batches ------------------------------------------------------------------------------------------------------


def test_a_batch_is_taken_whole_or_not_at_all():
    good, strange = message(MINE, OBX), message(STRANGER, OBX, header=msh(control_id="M2"))
    bad = message(MINE, OBX, header=msh("ORM^O01", control_id="M3"))
    envelope = (b"FHS|^~\\&\rBHS|^~\\&\r", b"BTS|2\rFTS|1\r")
    taken, is_batch = Screen(LIS, ROSTER, "Asia/Shanghai").look(envelope[0] + good + strange + envelope[1], AT)
    assert (is_batch, [m.fate for m in taken]) == (True, [Fate.ACCEPTED, Fate.STRANGER])
    refused = look(envelope[0] + good + bad + envelope[1])
    assert [(m.fate, m.kept) for m in refused] == [(Fate.REFUSED, b"")] * 2
    assert refused[0].refusal is not None
    assert refused[0].refusal.kind == "reject"


def test_several_messages_without_a_batch_header_are_each_judged_alone():
    good, bad = message(MINE, OBX), message(OBX, header=msh(control_id="M2"))
    assert [m.fate for m in look(good + bad)] == [Fate.ACCEPTED, Fate.REFUSED]


def test_a_batch_that_counts_other_messages_than_came_is_not_taken():
    assert [m.fate for m in look(b"BHS|^~\\&\r" + message(MINE, OBX) + b"BTS|2\r")] == [Fate.REFUSED]


# --- the door: what is committed before it is answered ------------------------------------------------------------


class RosterInHand:
    """The roster of a store, as a door holds it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.reload()

    def reload(self) -> None:
        self.version = self._store.roster_version()
        self._roster = Roster(self._store.participants())

    def screen(self, source: str) -> Screen:
        return Screen(LIS, self._roster, "Asia/Shanghai")


@dataclass
class Way:
    """A store and the door before it."""

    store: Store
    writer: Writer
    door: Door

    def answer(self, payload: bytes) -> str:
        said = asyncio.run(self.door.answer(Incoming("lis", Frame(payload))))
        assert said is not None
        return next(line for line in said.decode().split("\r") if line.startswith("MSA"))[:6]

    def enrol(self, person: Participant) -> None:
        with self.store.write() as tx:
            tx.put_participant(person, "test", "test", AT)


@pytest.fixture
def way(tmp_path: Path) -> Iterator[Way]:
    path = tmp_path / "trial.db"
    store = Store.open(path, "T", create=True)
    writer = Writer(lambda: Store.open(path, "T"))
    try:
        yield Way(store, writer, Door("lis", RosterInHand(store), writer, lambda: AT, lambda: None))
    finally:
        writer.close()
        store.close()


def test_someone_enrolled_between_two_messages_counts_from_the_next_on(way: Way):
    payload = message(MINE, OBX)
    assert way.answer(payload) == "MSA|AA"
    assert way.store.received("S-001") == []
    way.enrol(ENROLLED)
    assert way.answer(payload) == "MSA|AA"
    assert [m.raw for m in way.store.received("S-001")] == [payload]
    assert way.door.counts == {"stranger": 1, "accepted": 1}


def test_the_same_message_again_is_acknowledged_again_and_changes_nothing(way: Way):
    way.enrol(ENROLLED)
    assert [way.answer(message(MINE, OBX)) for _ in range(3)] == ["MSA|AA"] * 3
    assert (len(way.store.received("S-001")), way.door.counts["duplicate"]) == (1, 2)


def test_the_same_control_id_with_other_content_is_kept_and_noted(way: Way):
    way.enrol(ENROLLED)
    way.answer(message(MINE, OBX))
    way.answer(message(MINE, OBX, "NTE|1||other"))
    kept = way.store.received("S-001")
    assert [way.store.message_notes(m.id) for m in kept] == [(), ("same_control_id_other_content",)]


def test_nobodys_and_strangers_are_counted_apart(way: Way):
    assert [way.answer(m) for m in (message(STRANGER, OBX), message(OBX))] == ["MSA|AA", "MSA|AE"]
    assert way.door.counts == {"stranger": 1, "no_patient": 1}


def test_a_batch_of_which_one_message_is_refused_stores_nothing(way: Way):
    way.enrol(ENROLLED)
    batch = b"BHS|^~\\&\r" + message(MINE, OBX) + message(OBX, header=msh(control_id="M2")) + b"BTS|2\r"
    assert way.answer(batch) == "MSA|AR"
    assert way.store.received("S-001") == []


def test_nothing_positive_is_said_where_it_cannot_be_stored(way: Way):
    way.enrol(ENROLLED)
    way.writer.close()
    for payload in (message(MINE, OBX), message(STRANGER, OBX)):
        assert way.answer(payload) == "MSA|AR"
    assert way.door.counts == {"not_stored": 2}
