"""Real messages of others, read to the end: no exception, no result lost, and what becomes of each endpoint's results.

The table of what comes out was checked by eye against the files; a difference is a finding, whichever side is right.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapter.codecs.envelope import keep_groups, lines_of, split_payload
from adapter.codecs.header import HeaderFault
from adapter.codecs.message import Opened, open_message
from adapter.codecs.oru import PatientResults, read_merges, read_results
from adapter.codecs.structure import structure_report
from adapter.mappings import load_protocol
from adapter.model import CodeRow, Reported, SourceRules
from adapter.rules.codes import CodeMap
from adapter.rules.interpret import Context, Interpreted, Origin, interpret

pytestmark = pytest.mark.shared

PROTOCOL = load_protocol(Path(__file__).parents[2] / "mappings" / "nct06984497.toml")
SOURCE = SourceRules("public", authority="A", charset="utf-8", timezone="Asia/Shanghai")
ORIGIN = Origin(0, "public", "M1", "0" * 64, datetime(2026, 11, 1, tzinfo=UTC))
WITHOUT_HEADER = {
    "cdc-data-exchange/test/resources/Lyme_WithBadDelimiters.txt": "MSH-2 uses one character for two purposes",
    "google-simhospital/configs/hardcoded_messages/invalid_messages.yml": "No MSH segment was found",
}


def files(shared_data: Path) -> Iterator[tuple[str, bytes]]:
    root = shared_data / "hl7v2"
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        yield path.relative_to(root).as_posix(), path.read_bytes()


def opened(raw: bytes) -> Iterator[tuple[bytes, Opened]]:
    for message in split_payload(raw).messages:
        found = open_message(message, "utf-8")
        if isinstance(found, Opened):
            yield message, found


def groups(message: Opened) -> tuple[PatientResults, ...]:
    header = message.header
    return read_results(message.text, message.delimiters, header.trigger_event, header.message_at)


def results(raw: bytes) -> Iterator[Reported]:
    for _, message in opened(raw):
        yield from (r for g in groups(message) for r in g.results)


def understood(reported: Reported, codes: tuple[CodeRow, ...] = ()) -> Interpreted:
    return interpret(reported, ORIGIN, "S-001", Context(PROTOCOL, SOURCE, CodeMap(codes)))


def test_every_file_is_read_to_the_end(shared_data: Path) -> None:
    faults = {}
    for name, raw in files(shared_data):
        payload = split_payload(raw)
        assert b"".join(payload.messages) in raw or payload.batch, name
        for message in payload.messages:
            found = open_message(message, "utf-8")
            if isinstance(found, HeaderFault):
                faults[name] = found.text
                continue
            assert found.fault is None, name
            groups(found)
            read_merges(found.text, found.delimiters, ("PID-3",))
    assert faults == WITHOUT_HEADER


def test_every_observation_of_a_file_is_a_result(shared_data: Path) -> None:
    counted = {}
    for name, raw in files(shared_data):
        written = len(re.findall(rb"(?:^|(?<=[\r\n]))[ \t\x0b]*OBX[ \t]*[|]", raw))
        counted[name] = (0 if name in WITHOUT_HEADER else written, len(list(results(raw))))
    assert {name: pair for name, pair in counted.items() if pair[0] != pair[1]} == {}
    assert sum(read for _, read in counted.values()) > 6000


def test_patients_are_cut_apart_as_they_are_read(shared_data: Path) -> None:
    for name, raw in files(shared_data):
        for message, found in opened(raw):
            named = [g for g in groups(found) if g.patient is not None]
            assert len(named) == sum(line.name == b"PID" for line in lines_of(message)), name
            for keep in range(len(named)):
                kept = keep_groups(message, [n == keep for n in range(len(named))])
                again = open_message(kept, "utf-8")
                assert isinstance(again, Opened), name
                (group,) = groups(again)
                assert group.patient == named[keep].patient, name
                assert [r.value for r in group.results] == [r.value for r in named[keep].results], name


def test_every_structure_is_looked_at(shared_data: Path) -> None:
    for name, raw in files(shared_data):
        for _, found in list(opened(raw))[:3]:
            for sentence in structure_report(found.text, found.header.version):
                assert sentence.endswith("."), name


# file, locator of the first message that has it, endpoint, then its value and unit, or the reason it is held
EXPECTED = [
    ("cdc-data-exchange/resources/Hep/Hepatitis_V1_0_1_TM_TC02_HEP_B_ACUTE.txt", "OBX[48]", "ALT", "200 U/L"),
    ("cdc-data-exchange/resources/Hep/Hepatitis_V1_0_1_TM_TC02_HEP_B_ACUTE.txt", "OBX[51]", "AST", "100 U/L"),
    ("cdc-nist-validator/test/resources/hl7TestMessage.txt", "OBX[54]", "ALT", "missing_unit"),
    ("cdc-nist-validator/test/resources/hl7TestMessage.txt", "OBX[57]", "AST", "unreadable_value"),
]


def endpoint_codes() -> set[str]:
    return {code for code, rows in PROTOCOL.loinc.items() for row in rows if row.kind != "deny"}


def said(result: Interpreted) -> str:
    if result.kind == "value":
        unit = PROTOCOL.analytes[result.analyte or ""].unit
        return f"{result.comparator or ''}{result.number} {unit}"
    return result.reason or result.rule


def test_every_endpoints_result_is_what_was_seen_in_the_file(shared_data: Path) -> None:
    found = []
    for name, raw in files(shared_data):
        for reported in results(raw):
            result = understood(reported)
            if result.analyte is not None:
                found.append((name, reported.locator, result.analyte, said(result)))
    assert found == EXPECTED


def test_no_endpoints_code_is_passed_over(shared_data: Path) -> None:
    codes = "|".join(map(re.escape, sorted(endpoint_codes())))
    pattern = re.compile(rf"(?<![0-9-])(?:{codes})(?![0-9])".encode())
    lines = [
        name
        for name, raw in files(shared_data)
        for line in re.split(rb"[\r\n]+", raw)
        if line.lstrip().startswith(b"OBX") and pattern.search(line.split(b"|")[3] if line.count(b"|") > 3 else b"")
    ]
    assert lines == [name for name, *_ in EXPECTED]


SIMHOSPITAL = (
    CodeRow("tt-0003-01", "CREA", row="creatinine"),
    CodeRow("tt-0003-03", "NA", row="sodium"),
)


def test_local_codes_of_a_simulated_hospital(shared_data: Path) -> None:
    raw = (shared_data / "hl7v2" / "google-simhospital/docs/artifacts/messages.out").read_bytes()
    mapped = [r for reported in results(raw) if (r := understood(reported, SIMHOSPITAL)).analyte is not None]
    assert Counter((r.analyte, r.kind, r.comparator) for r in mapped) == {
        ("CREA", "value", None): 328,
        ("CREA", "value", "<"): 4,
        ("CREA", "no_result", None): 3,
        ("NA", "value", None): 69,
    }
    written = [line.split(b"|")[5] for line in re.split(rb"[\r\n]+", raw) if b"|tt-0003-01^" in line]
    assert [r.reported.value.shown for r in mapped if r.analyte == "CREA"] == [text.decode() for text in written]
