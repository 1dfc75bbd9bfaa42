"""What the standard would object to, in sentences: places and names, never what was sent."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import hl7apy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.codecs.structure import structure_report

SECRET = "Zylla"
VERSIONS = sorted(hl7apy.SUPPORTED_LIBRARIES)


def report(*lines: str, event: str = "ORU^R01^ORU_R01", version: str = "2.5.1", end: str = "\r") -> tuple[str, ...]:
    header = f"MSH|^~\\&|LIS|NTC|EDC|TRIAL|20260105||{event}|M1|P|{version}"
    return structure_report(end.join((header, *lines)), version)


PID = f"PID|1||0012345^^^NTCGH||{SECRET}^Anren"
OBR = "OBR|1|P7|L7|CHEM^Chemistry^L"
OBX = f"OBX|1|NM|1742-6^ALT^LN||{SECRET}|U/L|||||F"
SPM = "SPM|1|||SER"


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
@pytest.mark.parametrize(
    "lines",
    [
        (PID, OBR, OBX),
        (PID, "PV1|1|I", "ORC|RE", OBR, "NTE|1||x", OBX, "NTE|1||y", OBX, SPM, OBX, "ORC|RE", OBR, OBX, PID, OBR, OBX),
        (PID, OBR, OBX, "ZXX|1|x", "Z01"),
        (PID, OBR, SPM),
    ],
)
def test_a_message_as_the_standard_has_it_is_not_objected_to(lines: tuple[str, ...], end: str) -> None:
    assert report(*lines, end=end) == ()


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ((PID, OBX), "OBR is required in ORDER_OBSERVATION and missing."),
        ((PID,), "ORDER_OBSERVATION is required in PATIENT_RESULT and missing."),
        ((), "PATIENT_RESULT is required in ORU_R01 and missing."),
        ((PID, OBR, OBX, "PV1|1|I"), "PID is required in PATIENT and missing."),
        ((PID, SPM, OBR, OBX), "OBR is required in ORDER_OBSERVATION and missing."),
        ((PID, OBR, OBX, "SFT|A|1|B|1"), "SFT stands where ORU_R01 does not expect it: SFT[1]."),
        ((PID, OBR, OBX, "AIS|1"), "AIS is no segment of ORU_R01 in version 2.5.1: AIS[1]."),
        (
            (PID, OBR, *["ALT|x"] * 5),
            "ALT is no segment of ORU_R01 in version 2.5.1: ALT[1], ALT[2], ALT[3] and 2 more.",
        ),
        ((PID, "OBR|1", OBX), "OBR-4 (universal service identifier) is required and empty: OBR[1]."),
        ((PID, OBR, "OBX|1|NM|||5"), "OBX-3 (observation identifier) is required and empty: OBX[1]."),
        ((PID, OBR, OBX, OBX[:-1]), "OBX-11 (observation result status) is required and empty: OBX[2]."),
        (
            (PID, OBR, OBX[:-1] + "F~C"),
            "OBX-11 (observation result status) repeats more often than version 2.5.1 allows: OBX[1].",
        ),
        (
            (PID, OBR, OBX + "|" * 9 + "x"),
            "OBX-20 (performing organization name) is no longer used in version 2.5.1: OBX[1].",
        ),
        ((PID, OBR, OBX + "|" * 15 + "x"), "OBX has more than the 25 fields of version 2.5.1: OBX[1]."),
    ],
)
def test_what_is_found_is_said_with_its_place(lines: tuple[str, ...], said: str) -> None:
    found = report(*lines)
    assert said in found
    assert len(found) <= 2


def test_empty_fields_beyond_the_last_are_nothing() -> None:
    assert report(PID, OBR, OBX + "|" * 40 + " ") == ()


@pytest.mark.parametrize(
    ("event", "version", "lines"),
    [
        ("ORU^R01", "2.3", (PID, OBR + "|" * 23, OBX)),
        ("ORU^R01", "2.1", (PID, OBR.replace("P7", "P7"), OBX)),
        ("ORU", "2.3", (PID, OBR, OBX)),
        ("ADT^A40", "2.5", ("EVN||20260105", PID, "MRG|1")),
        ("ADT^A34^ADT_A30", "2.3", ("EVN|A34|20260105", PID, "MRG|1")),
        ("ORU^R31", "2.5.1", (PID, "ORC|RE", OBR, OBX)),
        ("OUL^R22^OUL_R22", "2.5.1", (PID, SPM, OBR, "ORC|RE", OBX)),
        ("OUL^R24^OUL_R24", "2.8", (PID, OBR, "ORC|RE", SPM, OBX)),
    ],
)
def test_the_structure_is_the_events_in_the_version(event: str, version: str, lines: tuple[str, ...]) -> None:
    assert not [
        s for s in report(*lines, event=event, version=version) if "segment" in s or "missing" in s or "expect" in s
    ]


def test_without_a_version_the_usual_one_is_taken_and_said() -> None:
    found = report(PID, OBR, OBX, version="")
    assert found[0] == "MSH-12 names no version; the message is held against 2.5.1."
    assert found[1:] == ("MSH-12 (version id) is required and empty: MSH[1].",)


@pytest.mark.parametrize(
    ("version", "named"),
    [("2.9", "version 2.9"), (SECRET, "the version that MSH-12 names"), ("..", "the version that MSH-12 names")],
)
def test_a_version_without_tables_is_a_sentence(version: str, named: str) -> None:
    assert structure_report("MSH|^~\\&|A\rPID|1", version) == (
        f"hl7apy has no tables for {named}: the structure cannot be looked at.",
    )


@pytest.mark.parametrize(
    ("event", "named"),
    [("XYZ^Z99", "the structure XYZ_Z99"), (SECRET, "the type that MSH-9 names"), ("", "the type that MSH-9 names")],
)
def test_a_structure_without_table_leaves_the_fields(event: str, named: str) -> None:
    found = report(PID, OBR, OBX[:-1], event=event)
    assert f"hl7apy has no table of {named} in version 2.5.1: the order of its segments cannot be looked at." in found
    assert "OBX-11 (observation result status) is required and empty: OBX[1]." in found


@pytest.mark.parametrize("text", ["", "hello world", "MSH|", "MSH|&&&&|x", "PID|1", "\ud800"])
def test_without_a_header_the_reason_is_said(text: str) -> None:
    (found,) = structure_report(text, "2.5.1")
    assert found.startswith("The structure cannot be looked at: ")
    assert found.endswith(".")


def test_other_delimiters_and_text_before_the_header() -> None:
    header = "MSH*!%$@*LIS*NTC*EDC*TRIAL*20260105**ORU!R01!ORU_R01*M1*P*2.5.1"
    lines = ("a line", header, "PID*1**1!!!NTCGH**a!b", "OBR*1***c", "OBX*1*NM*x**5******F")
    assert structure_report("\r".join(lines), "2.5.1") == ()


@pytest.mark.parametrize("version", VERSIONS)
def test_every_table_of_every_version_can_be_looked_at(version: str) -> None:
    library = hl7apy.load_library(version)
    segments = [name for name in library.SEGMENTS if len(name) == 3]
    full = [f"{name}|{'a~b|' * 60}" for name in segments]
    for structure in library.MESSAGES:
        kind, _, event = structure.partition("_")
        lines = full if structure == "ORU_R01" else [f"{name}|1" for name in segments]
        for sentence in report(*lines, event=f"{kind}^{event}^{structure}", version=version):
            assert sentence.endswith(".")


SEGMENT = st.sampled_from(
    ["PID", "PV1", "ORC", "OBR", "OBX", "SPM", "NTE", "MRG", "EVN", "QRD", "ZXX", "ABC", "DSC", "MSH"]
)
LINE = st.builds(lambda name, rest: f"{name}|{rest}", SEGMENT, st.text(max_size=40))


@given(
    st.lists(st.one_of(LINE, st.text(max_size=40)), max_size=12),
    st.sampled_from(VERSIONS) | st.text(max_size=6),
    st.sampled_from(["ORU^R01^ORU_R01", "OUL^R22", "ADT^A40", "^^^", "ORM^O01", "ACK"]) | st.text(max_size=9),
)
def test_no_message_raises_and_no_value_is_repeated(lines: list[str], version: str, event: str) -> None:
    secret = f"PID|1||{SECRET}|{SECRET}||{SECRET}\rOBX|{SECRET}|{SECRET}|{SECRET}~{SECRET}|||||||||{SECRET}"
    for sentence in report(*lines, secret, event=event, version=version):
        assert SECRET not in sentence


def test_hl7apy_is_asked_for_only_when_a_report_is() -> None:
    code = (
        "import sys, adapter.codecs.structure as structure",
        "assert 'hl7apy' not in sys.modules",
        "structure.structure_report('MSH|^~&|', '2.5')",
        "assert 'hl7apy' in sys.modules",
    )
    run = [sys.executable, "-W", "error", "-c", "\n".join(code)]
    subprocess.run(run, check=True, cwd=Path(__file__).parents[2])
