"""The generator itself: repeatable, complete, readable by hl7apy, and free of strangers where it must be."""

from __future__ import annotations

import csv
import json
import sys
import time
import tomllib
from collections import Counter
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hl7apy.parser import parse_message

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fixtures.feed.faults import FAULTS
from fixtures.feed.nouns import ENDPOINTS, SUPPORTING, VISITS
from fixtures.feed.stories import STORIES
from fixtures.generator import CellTruth, Feed, Planned, generate, main, write

CODECS = {"lis-a": "utf-8", "lis-b": "gb18030", "lis-c": "iso-8859-1"}
STANDARD_BREAKING = {"batch", "fault:unreadable_message", "stranger:undecodable", "no_patient"}


@pytest.fixture(scope="module")
def feed() -> Feed:
    return generate(1)


def cells(feed: Feed) -> dict[tuple[str, str, str], CellTruth]:
    return {(c.study_id, c.visit, c.endpoint): c for c in feed.truth}


def test_same_seed_same_feed_other_seed_another(feed: Feed) -> None:
    assert generate(1) == feed
    other = generate(2)
    assert [m.payload for m in other.messages] != [m.payload for m in feed.messages]
    assert len(other.messages) == len(feed.messages)


def test_nine_hundred_messages_come_quickly() -> None:
    begun = time.perf_counter()
    feed = generate(3)
    assert time.perf_counter() - begun < 20
    assert len(feed.messages) == 900
    assert sum(not m.study_ids and m.kind != "adt" for m in feed.messages) == 300


@pytest.mark.parametrize("seed", range(4, 12))
def test_other_seeds_hold_every_situation_too(seed: int) -> None:
    feed = generate(seed)
    kinds = {m.kind for m in feed.messages}
    assert {s.kind for s in STORIES + FAULTS} - kinds == {"never_measured"}
    assert len(feed.messages) == 900


def test_too_few_participants_or_messages_are_refused() -> None:
    with pytest.raises(ValueError, match="enrol"):
        generate(1, participants=12)
    with pytest.raises(ValueError, match="too few messages: at least"):
        generate(1, messages=500)


def test_messages_arrive_in_order_and_before_the_last_day(feed: Feed) -> None:
    arrivals = [m.arrival for m in feed.messages]
    assert arrivals == sorted(arrivals)
    assert max(arrivals).date() < date(2026, 11, 15)


def test_truth_has_every_laboratory_cell(feed: Feed) -> None:
    people = {row.study_id for row in feed.roster}
    assert len(people) == 32
    assert set(cells(feed)) == {(p, v, e) for p in people for v in VISITS for e in ENDPOINTS + SUPPORTING}
    assert len(feed.truth) == 32 * 3 * 9


def test_truth_names_messages_that_exist_and_hold_the_number(feed: Feed) -> None:
    sent = {m.control_id: m for m in feed.messages}
    batches = b"".join(m.payload for m in feed.messages if m.kind == "batch")
    for cell in feed.truth:
        assert (cell.value_text is not None) == (cell.status in {"captured", "provisional"}), cell
        for control_id in cell.message_ids:
            payload = sent[control_id].payload if control_id in sent else batches
            assert control_id.encode() in payload
        if cell.value_text is not None:
            assert cell.message_ids
            assert Decimal(cell.value_text).is_finite()
            assert cell.window is not None
            assert cell.collected_on is not None
            assert cell.window[0] <= cell.collected_on <= cell.window[1]


def test_most_cells_are_captured_and_every_status_occurs(feed: Feed) -> None:
    seen = Counter(cell.status_on(date(2026, 11, 15)) for cell in feed.truth)
    assert set(seen) == {"captured", "provisional", "in_review", "missing", "pending", "not_expected"}
    assert seen["captured"] > 500
    assert all(cell.reason for cell in feed.truth if cell.status == "in_review")
    assert {cell.comparator for cell in feed.truth} == {None, "<"}


def test_pending_ends_with_the_last_day_of_the_window() -> None:
    cell = CellTruth("S-1", "week-4", "ALT", "missing", window=(date(2026, 1, 1), date(2026, 1, 15)))
    assert [cell.status_on(date(2026, 1, day)) for day in (14, 15, 16)] == ["pending", "pending", "missing"]


def test_each_cell_in_review_has_its_item(feed: Feed) -> None:
    asked: Counter[tuple[str | None, str | None]] = Counter((item.reason, item.study_id) for item in feed.queue)
    waiting: Counter[tuple[str | None, str | None]] = Counter(
        (cell.reason, cell.study_id) for cell in feed.truth if cell.status == "in_review"
    )
    assert not waiting - asked
    by_cell = {(i.study_id, i.visit, i.endpoint): i.reason for i in feed.queue if i.visit is not None}
    known = cells(feed)
    for key, reason in by_cell.items():
        study_id, visit, endpoint = key
        assert study_id is not None
        assert visit is not None
        assert endpoint is not None
        assert known[study_id, visit, endpoint].open_reasons == (reason,)


def test_the_queue_names_every_reason_that_messages_alone_can_cause(feed: Feed) -> None:
    by_hand = {"changed_after_choice", "score_mismatch"}
    reasons = {item.reason for item in feed.queue}
    assert not reasons & by_hand
    assert len(reasons) == 15
    controls = {m.control_id for m in feed.messages}
    assert all(item.message_id in controls for item in feed.queue if item.message_id is not None)


def test_unmapped_codes_are_counted_by_source_and_code(feed: Feed) -> None:
    unmapped = [item for item in feed.queue if item.reason == "unmapped_code"]
    assert len(unmapped) == len({(i.source, i.code) for i in unmapped})
    for item in unmapped:
        assert item.source is not None
        assert item.code is not None
        ours = [
            m.payload.decode(CODECS[m.source])
            for m in feed.messages
            if m.study_ids and m.source == item.source and m.kind != "fault:unreadable_message"
        ]
        assert sum(f"|{item.code}{d}" in text for text in ours for d in "^$") == item.count


def test_no_stranger_shows_in_a_participants_message(feed: Feed) -> None:
    ours = [m for m in feed.messages if m.study_ids and m.kind not in {"batch", "two_patients"}]
    everything = b"\n".join(m.payload for m in ours)
    assert len(ours) > 500
    assert not [needle for needle in feed.strangers if needle in everything]


def test_every_strangers_message_has_a_tell_tale(feed: Feed) -> None:
    theirs = [m for m in feed.messages if not m.study_ids and m.kind != "adt"]
    assert all(any(needle in m.payload for needle in feed.strangers) for m in theirs)
    mixed = [m for m in feed.messages if m.kind in {"batch", "two_patients"}]
    assert all(any(needle in m.payload for needle in feed.strangers) for m in mixed)


def test_dialects_differ_as_hospitals_do(feed: Feed) -> None:
    text = {s: b"".join(m.payload for m in feed.messages if m.source == s and m.study_ids) for s in CODECS}
    assert "µmol/L".encode() in text["lis-a"]
    assert "\u03bcmol/L".encode() in text["lis-a"]
    assert b"+0800" in text["lis-a"]
    assert b"+0000" in text["lis-a"]
    assert "总胆^总胆红素".encode("gb18030") in text["lis-b"]
    assert b"OUL^R24^OUL_R24" in text["lis-b"]
    assert b"\nPID|" in text["lis-b"]
    assert b"\rPID|" in text["lis-b"]
    assert b"MSH|$%~#|" in text["lis-c"]
    assert b"|SN|" in text["lis-c"]
    assert b"|mg/dL" in text["lis-c"]


def test_a_character_of_gb18030_hides_a_delimiter_in_some_name(feed: Feed) -> None:
    names = {
        line.split("|")[5]
        for m in feed.messages
        if m.source == "lis-b" and m.kind == "result"
        for line in m.payload.decode("gb18030").splitlines()
        if line.startswith("PID|")
    }
    assert any(set(character.encode("gb18030")[1:]) & set(b"|^~\\") for name in names for character in name)


def test_resends_are_the_same_bytes_and_reused_control_ids_are_not(feed: Feed) -> None:
    sent = Counter((m.control_id, m.payload) for m in feed.messages if m.kind == "resent")
    assert set(sent.values()) == {3}
    reused = {m.control_id: set[bytes]() for m in feed.messages if m.kind == "control_id_reused"}
    for m in feed.messages:
        if m.control_id in reused:
            reused[m.control_id].add(m.payload)
    assert all(len(payloads) == 2 for payloads in reused.values())


def _observations(message: Planned) -> list[tuple[str, ...]]:
    """OBX-2, OBX-3.1, OBX-5 and OBX-11 of each OBX, read by splitting alone."""
    text = message.payload.decode(CODECS[message.source])
    lines = [line.split("|") for line in text.splitlines() if line.startswith("OBX|")]
    component = text[4]
    return [(f[2], f[3].split(component)[0], f[5], f[11] if len(f) > 11 else "") for f in lines]


def test_hl7apy_reads_the_same_values(feed: Feed) -> None:
    good = [m for m in feed.messages if m.kind not in STANDARD_BREAKING]
    sample = [m for place, m in enumerate(good) if place % 9 == 0]
    assert {m.source for m in sample} == set(CODECS)
    for planned in sample:
        text = "\r".join(planned.payload.decode(CODECS[planned.source]).splitlines())
        message = parse_message(text, find_groups=False)
        assert message.msh.msh_10.to_er7() == planned.control_id
        seen = [
            (x.obx_2.to_er7(), x.obx_3.obx_3_1.to_er7(), x.obx_5.to_er7(), x.obx_11.to_er7())
            for x in message.children
            if x.name == "OBX"
        ]
        assert seen == _observations(planned)


def test_written_feed_holds_what_was_generated(feed: Feed, tmp_path: Path) -> None:
    write(feed, tmp_path, protocol=tmp_path / "mappings" / "trial.toml", ports={"lis-a": 2575})
    files = sorted((tmp_path / "messages").iterdir())
    assert [f.read_bytes() for f in files] == [m.payload for m in feed.messages]
    config = tomllib.loads((tmp_path / "config.toml").read_text(encoding="utf-8"))
    assert config["trial"]["protocol"] == "mappings/trial.toml"
    assert [source["port"] for source in config["source"]] == [2575, 0, 0]
    for source in config["source"]:
        if "codes" in source:
            assert tomllib.loads((tmp_path / source["codes"]).read_text(encoding="utf-8"))["code"]
    with (tmp_path / "roster.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["study_id", "identifier", "authority", "infused_at", "birth_date", "sex"]
    assert len(rows) == len(feed.roster)
    planned = json.loads((tmp_path / "truth.json").read_text(encoding="utf-8"))
    assert len(planned) == len(feed.truth) + len(feed.scores)
    with (tmp_path / "assessments.csv").open(encoding="utf-8", newline="") as file:
        assert list(next(csv.reader(file))) == ["study_id", "assessed_on", "ascites", "encephalopathy", "dialysis"]
    assert len(json.loads((tmp_path / "queue.json").read_text(encoding="utf-8"))) == len(feed.queue)
    needles = [bytes.fromhex(line) for line in (tmp_path / "strangers.txt").read_text().splitlines()]
    assert tuple(needles) == feed.strangers


def test_the_scores_of_a_feed_are_of_every_kind(feed: Feed) -> None:
    scores = feed.scores
    assert len(scores) == 32 * 3 * 2
    statuses = Counter((cell.endpoint, cell.status) for cell in scores)
    for endpoint in ("MELD", "CHILD_PUGH"):
        assert all(statuses[endpoint, s] for s in ("captured", "missing", "in_review", "pending", "not_expected"))
    assert len({cell.value_text for cell in scores if cell.endpoint == "MELD"}) > 10
    assert len({cell.value_text for cell in scores if cell.endpoint == "CHILD_PUGH"}) > 5


def test_command_line_writes_the_feed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--seed", "5", "--out", str(tmp_path)])
    assert capsys.readouterr().err.startswith("900 messages for 32 participants")
    assert len(list((tmp_path / "messages").iterdir())) == 900
    with pytest.raises(SystemExit) as stopped:
        main(["--participants", "5", "--out", str(tmp_path)])
    assert stopped.value.code == 2


def test_a_representation_shows_no_identity(feed: Feed) -> None:
    row = feed.roster[0]
    assert row.identifier not in repr(row)
    planned = next(m for m in feed.messages if m.study_ids == (row.study_id,) and m.source == "lis-a")
    assert row.identifier.encode() in planned.payload
    assert row.identifier not in repr(planned)
