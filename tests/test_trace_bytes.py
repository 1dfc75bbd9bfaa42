"""``trace`` and the bytes: whole, altered, erased, shown; and the way from them to the value once more."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tracedsite import NOW, SITUATIONS, Site, message
from trialrun import TrialRun

from adapter.intake.door import new_message
from adapter.intake.screen import Fate
from adapter.lineage import RAW_SHOWN, RawRefused, show_raw, trace
from adapter.pipeline import derive_scope
from adapter.replay import replay_file
from adapter.rules.match import Roster
from fixtures.generator import generate, write

SECRETS = ("0012345", "Anren", "19700314", "1970-03-14", "INVENTED^ONE")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    found = Site(tmp_path, monkeypatch)
    yield found
    found.run.close()


# --- bytes --------------------------------------------------------------------------------------------------------


def test_erased_bytes_are_said_to_be_erased_by_whom_and_why(site: Site):
    site.receives(message("1742-6^^LN 45 U/L F 20260202"))
    found = site.traces("S-001 week-4 ALT")
    inbox_id = found["result"]["inbox_id"]
    site.decides("refuse_identity", source="lis", sha256=found["messages"][0]["sha256"])
    with site.run.store.write() as tx:
        tx.erase_raw(inbox_id, "trial nurse", "another person's", NOW)
    found = site.traces("S-001 week-4 ALT")
    assert (found["cell"]["status"], found["result"]) == ("missing", None)
    assert [d["words"] for d in found["decisions"]] == ["The message was said to be of another person."]
    (told,) = found["messages"]
    assert (told["bytes"], told["found_sha256"], told["whole"]) == (0, None, None)
    assert (told["erased"]["who"], told["erased"]["why"]) == ("trial nurse", "another person's")
    text = site.tells("S-001 week-4 ALT", "--raw")
    assert "the bytes of message M1 from lis were erased at" in text
    assert "there is no result whose bytes could be shown" in text


def test_bytes_that_are_not_those_that_came_are_found_and_end_with_status_one(site: Site):
    site.receives("complete-panel.hl7")
    with closing(sqlite3.connect(site.store_path)) as database, database:
        raw = database.execute("SELECT raw FROM inbox_raw").fetchone()[0]
        database.execute("UPDATE inbox_raw SET raw = ?", (raw.replace(b"||45|U/L", b"||54|U/L"),))
    found = site.traces("S-001 week-4 ALT", status=1)
    assert found["messages"][0]["whole"] is False
    assert (found["cell"]["value_text"], found["follows"]) == ("45", False)
    assert "54 U/L" in found["verdict"]
    text = site.tells("S-001 week-4 ALT", status=1)
    assert "ARE NOT WHAT CAME" in text
    assert "follows from its bytes: NO." in text
    other = site.traces("S-001 week-4 AST", status=1)
    assert (other["follows"], other["messages"][0]["whole"]) == (True, False)


def test_raw_shows_the_segments_of_the_result_and_nothing_of_the_patient(site: Site):
    site.receives("complete-panel.hl7")
    (shown,) = site.traces("S-001 week-4 INR", "--raw")["raw"]
    raw = SITUATIONS.joinpath("complete-panel.hl7").read_bytes().decode()
    assert [text[:3] for text in shown["texts"]] == ["OBR", "SPM", "OBX"]
    assert all(text in raw.split("\r") for text in shown["texts"])
    assert shown["texts"][2].split("|")[5] == "1.10"
    assert "PLAS" in shown["texts"][1]


def test_raw_shows_the_specimen_that_the_result_was_read_with(site: Site):
    first = b"SPM|1|||SER^Serum^HL70487|||||||||||||20260202081500\r"
    second = b"SPM|2|||PLAS^Plasma^HL70487|||||||||||||20260202081500\r"
    alt, ast, *_ = (f"OBX|{n}|NM|{code}^^LN||4{n}|U/L|||||F\r".encode() for n, code in ((1, "1742-6"), (2, "1920-8")))
    begun = message("1742-6^^LN 45 U/L F 20260202").partition(b"OBX")[0]
    site.receives(begun + first + alt + second + ast)
    for endpoint, specimen, value in (("ALT", "SER", "41"), ("AST", "PLAS", "42")):
        (shown,) = site.traces(f"S-001 week-4 {endpoint}", "--raw")["raw"]
        order, taken, result = (text.split("|") for text in shown["texts"])
        assert (order[3], taken[4].split("^")[0], result[5]) == ("L-1-1", specimen, value)


def test_what_was_sent_does_not_steer_the_terminal(site: Site):
    site.receives(message("1742-6^\x1b[2J^LN 45 U/L F 20260202"))
    text = site.tells("S-001 week-4 ALT", "--raw")
    assert "\x1b" not in text
    assert r"\x1b[2J" in text


def test_raw_of_fhir_shows_the_resource_as_it_was_sent(site: Site):
    site.receives("fhir-panel-of-components.fhir.json", "ehr")
    (shown,) = site.traces("S-001 week-4 INR", "--raw")["raw"]
    (text,) = shown["texts"]
    assert text in SITUATIONS.joinpath("fhir-panel-of-components.fhir.json").read_bytes().decode()
    assert json.loads(text)["id"] == "90"


def test_raw_of_a_cell_without_a_value_shows_what_holds_it_up(site: Site):
    site.receives("held-correction.hl7")
    shown = site.traces("S-001 week-4 ALT", "--raw")["raw"]
    assert [each["message_id"] for each in shown] == [
        r["message_control_id"] for r in site.traces("S-001 week-4 ALT")["beside"] if r["outcome"] == "held"
    ]


def test_that_raw_bytes_were_shown_is_in_the_trail_with_who(site: Site):
    site.receives("complete-panel.hl7")
    before = len(site.trail())
    site.traces("S-001 week-4 ALT")
    assert len(site.trail()) == before
    site.tells("S-001 week-4 ALT", "--raw", "--by", "monitor")
    (record,) = site.trail()[before:]
    assert (record.what, record.who, record.why) == (RAW_SHOWN, "monitor", "trace of S-001 week-4 ALT")
    assert record.subject.startswith("message H000 sha256 ")
    assert json.loads(record.new) == {"inbox_id": 1, "locator": "OBX[1]"}


def test_raw_bytes_are_refused_to_whoever_is_no_administrator(site: Site):
    site.receives("complete-panel.hl7")
    before = len(site.trail())
    with pytest.raises(RawRefused, match="administrator"):
        show_raw(site.run.store, site.run.book, [(1, "OBX[1]")], administrator=False, who="nurse", why="x", at=NOW)
    assert len(site.trail()) == before


@pytest.mark.parametrize("raw", [(), ("--raw",)])
def test_nothing_told_names_the_patient(site: Site, raw: tuple[str, ...]):
    site.receives("complete-panel.hl7")
    site.receives("fhir-panel-of-components.fhir.json", "ehr")
    for cell in ("S-001 week-4 ALT", "S-001 week-4 PT"):
        text = site.tells(cell, *raw) + json.dumps(site.traces(cell, *raw), default=str, ensure_ascii=False)
        assert [secret for secret in SECRETS if secret in text] == []


# --- rules that have changed since --------------------------------------------------------------------------------


def test_where_the_files_hold_other_rules_it_says_what_they_would_give(site: Site):
    site.receives("bilirubin-in-mg-dl.hl7")
    protocol = site.run.book.protocol
    tbil = protocol.analytes["TBIL"]
    units = {**tbil.units, "mg/dL": replace(tbil.units["mg/dL"], factor=Decimal("17.1"), example=None)}
    changed = replace(protocol, analytes={**protocol.analytes, "TBIL": replace(tbil, units=units)})
    book = replace(site.run.book, protocol=changed, ruleset="other")
    found = trace(site.run.store, book, "S-001", "week-4", "TBIL", NOW)
    assert found is not None
    assert found.rules is not None
    assert (found.rules.same, found.follows, found.sound) == (False, None, True)
    assert "20.52 umol/L" in found.verdict
    assert found.result is not None
    assert [step.split(":")[0] for step in found.result.steps] == ["Not told here"]  # it would be told by the files'
    assert found.cell.value_text == "20.5248"
    assert found.result.conversion is not None
    assert (found.result.conversion.in_files, found.result.conversion.source) == (False, None)
    assert found.result.mapping is not None
    assert found.result.mapping.in_files is True


def test_what_is_received_but_not_derived_yet_is_not_taken_for_a_fault(site: Site):
    site.receives("complete-panel.hl7")
    path = site.config.with_name("later.hl7")
    path.write_bytes(message("1742-6^^LN 60 U/L C 20260202", id="LATER"))
    (report,) = replay_file(site.run.store, site.run.screen("lis"), path, NOW)
    assert report.inbox_id == 2
    found = trace(site.run.store, site.run.book, "S-001", "week-4", "ALT", NOW)
    assert found is not None
    assert (found.follows, found.sound) == (None, True)
    assert "still being derived" in found.verdict


# --- a whole trial ------------------------------------------------------------------------------------------------


def test_every_number_of_a_whole_trial_leads_to_bytes_that_hold_what_was_reported(tmp_path: Path):
    feed = generate(3, infusion_start=date(2025, 3, 3))
    write(feed, tmp_path)
    run = TrialRun(tmp_path / "config.toml", tmp_path / "trial.db", NOW)
    try:
        run.enrol(tmp_path / "roster.csv", [(e.study_id, e.ended_on, e.why) for e in feed.ended])
        received_and_derived_at_once(run, feed)
        cells = [(r.study_id, r.visit, r.endpoint) for r in run.store.selections() if r.inbox_id is not None]
        assert len(cells) > 300
        for cell in cells[::13]:
            found = trace(run.store, run.book, *cell, NOW)
            assert found is not None
            assert (found.follows, found.sound) == (True, True), (cell, found.verdict)
            assert found.result is not None
            (shown,) = show_raw(run.store, run.book, found.places, administrator=True, who="test", why="test", at=NOW)
            assert found.result.row.reported in shown.texts[-1].replace("^", "")  # SN has its comparator apart
    finally:
        run.close()


def received_and_derived_at_once(run: TrialRun, feed: Any) -> None:
    """A feed in two steps: message by message, as the daemon does it, takes most of a minute."""
    screens = {source.name: run.screen(source.name) for source in run.config.sources}
    with run.store.write() as tx:
        for each in feed.messages:
            looked, _ = screens[each.source].look(each.payload, NOW)
            tx.add_messages([new_message(each.source, s, NOW) for s in looked if s.fate == Fate.ACCEPTED])
    run.settler.adopt(run.book)
    roster = Roster(run.store.participants())
    for scope in roster.participants:
        taken = run.store.snapshot(scope)
        rows = derive_scope(scope, taken.messages, roster, run.book, taken.decisions, NOW.date())
        with run.store.write() as tx:
            assert tx.apply(rows, taken.token, run.book.ruleset, NOW.date(), "test", NOW)
