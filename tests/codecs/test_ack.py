"""Acknowledgements by HL7's own rules, held against hl7apy's knowledge of the standard."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, Literal

import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message
from hypothesis import given
from hypothesis import strategies as st

from adapter.codecs.ack import (
    ERROR_CONDITIONS,
    Answer,
    Refusal,
    acknowledge,
    acknowledge_batch,
    control_ids,
    is_acknowledgement,
    read_answers,
    refusal_of,
    wants_answer,
)
from adapter.codecs.header import Header, HeaderFault, read_header

AT = datetime(2026, 1, 5, 8, 30, tzinfo=timezone(timedelta(hours=8)))
ERROR = Refusal("error", "101", "No identifier can be read", "PID", 1, 3)
REJECT = Refusal("reject", "203", "This version is not taken", "MSH", 1, 12)
BUSY = Refusal("reject", "207", "Could not be stored now")
VERSIONS = ("2.1", "2.2", "2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.8")


def header_of(
    version: str = "2.5.1",
    accept: str = "",
    application: str = "",
    *,
    event: str = "ORU^R01^ORU_R01",
    charset: str = "",
    application_name: str = "LIS",
    control_id: str = "M1",
    encoding: str = "utf-8",
    default: str = "utf-8",
) -> Header:
    raw = (
        f"MSH|^~\\&|{application_name}|NTC^1.2.3^ISO|ADP|TR^^|20260105||{event}|{control_id}|P^T|{version}"
        f"|||{accept}|{application}||{charset}\r"
    )
    header = read_header(raw.encode(encoding), default)
    assert isinstance(header, Header)
    return header


def answer(
    header: Header | None, refusal: Refusal | None = None, text: str = "", charset: str = "utf-8"
) -> list[list[str]]:
    sent = acknowledge(header, refusal, at=AT, control_id="A7", text=text)
    assert sent is not None
    assert sent.endswith(b"\r")
    separator = header.field_separator if header else "|"
    return [line.split(separator) for line in sent.decode(charset).split("\r")[:-1]]


def test_msh_swaps_the_parties_and_keeps_the_dialect() -> None:
    msh, msa = answer(header_of())
    parties = ["ADP", "TR^^", "LIS", "NTC^1.2.3^ISO"]
    assert msh == ["MSH", "^~\\&", *parties, "20260105083000+0800", "", "ACK^R01^ACK", "A7", "P^T", "2.5.1"]
    assert msa == ["MSA", "AA", "M1"]


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("2.1", "ACK"),
        ("2.2", "ACK"),
        ("2.3", "ACK^R01"),
        ("2.3.1", "ACK^R01"),
        ("2.4", "ACK^R01^ACK"),
        ("2.5", "ACK^R01^ACK"),
        ("2.8", "ACK^R01^ACK"),
        ("2.10", "ACK^R01^ACK"),
        ("", "ACK^R01^ACK"),
        ("fantasy", "ACK^R01^ACK"),
        ("9" * 5000, "ACK^R01^ACK"),
    ],
)
def test_msh_9_follows_the_version(version: str, expected: str) -> None:
    msh = answer(header_of(version))[0]
    assert msh[8] == expected
    assert msh[11] == (version or "2.5.1")


def test_msh_9_without_an_event_is_the_type_alone() -> None:
    assert answer(header_of(event="ORU"))[0][8] == "ACK"


MODES = {
    # MSH-15, MSH-16: what a taken message, one in error, one of another version, one not stored now is answered
    ("", ""): ("AA", "AE", "AR", "AR"),
    ("", "AL"): ("AA", "AE", "AR", "AR"),
    ("", "NE"): (None, None, None, None),
    ("", "ER"): (None, "AE", "AR", "AR"),
    ("", "SU"): ("AA", None, None, None),
    ("NE", ""): (None, None, None, None),
    ("NE", "NE"): (None, None, None, None),
    ("NE", "AL"): ("AA", "AE", "AR", "AR"),
    ("NE", "ER"): (None, "AE", "AR", "AR"),
    ("NE", "SU"): ("AA", None, None, None),
    ("AL", ""): ("CA", "CE", "CR", "CE"),
    ("AL", "AL"): ("CA", "CE", "CR", "CE"),
    ("AL", "NE"): ("CA", "CE", "CR", "CE"),
    ("al", "NE"): ("CA", "CE", "CR", "CE"),
    ("ER", "NE"): (None, "CE", "CR", "CE"),
    ("SU", "NE"): ("CA", None, None, None),
    ("XX", ""): ("AA", "AE", "AR", "AR"),
    ("XX", "YY"): ("AA", "AE", "AR", "AR"),
}


@pytest.mark.parametrize("modes", MODES, ids="-".join)
def test_msh_15_and_16_decide_which_answer(modes: tuple[str, str]) -> None:
    header = header_of("2.5.1", *modes)
    for refusal, code in zip((None, ERROR, REJECT, BUSY), MODES[modes], strict=True):
        sent = acknowledge(header, refusal, at=AT, control_id="A7")
        assert wants_answer(header, refusal) == (sent is not None) == (code is not None)
        if sent is not None:
            assert [one.code for one in read_answers(sent)] == [code]


@pytest.mark.parametrize("code", ["200", "201", "202", "203"])
@pytest.mark.parametrize("kind", ["error", "reject"])
def test_commit_reject_is_for_type_event_processing_id_and_version(kind: Literal["error", "reject"], code: str) -> None:
    assert answer(header_of(accept="AL"), Refusal(kind, code, ""))[1][1] == "CR"


@pytest.mark.parametrize("event", ["ACK", "ACK^R01", "ACK^R01^ACK", "MCF"])
def test_an_acknowledgement_is_never_answered(event: str) -> None:
    header = header_of(accept="AL", event=event)
    assert is_acknowledgement(header)
    assert acknowledge(header, None, at=AT, control_id="A7") is None
    assert acknowledge(header, ERROR, at=AT, control_id="A7") is None


def test_a_message_without_a_type_is_an_acknowledgement_where_msa_follows() -> None:
    assert is_acknowledgement(header_of(event=""), "MSA")
    assert not is_acknowledgement(header_of(event=""), "PID")
    assert not is_acknowledgement(header_of(), "MSA")


def test_err_has_its_modern_form_from_version_2_5() -> None:
    place = Refusal("error", "102", "Not a number", "OBX", 3, 5, 1)
    err = answer(header_of("2.5"), place)[2]
    assert err == ["ERR", "", "OBX^3^5^1^1", "102^Data type error^HL70357", "E", "", "", "", "Not a number"]
    assert answer(header_of("2.5"), ERROR)[2][2] == "PID^1^3"
    assert answer(header_of("2.5"), Refusal("error", "100", "x", "PID"))[2][2] == "PID^1"
    assert answer(header_of("2.5"), BUSY)[2][2] == ""


@pytest.mark.parametrize("version", ["2.1", "2.2", "2.3", "2.3.1", "2.4"])
def test_err_1_holds_place_and_code_before_version_2_5(version: str) -> None:
    assert answer(header_of(version), ERROR)[2] == ["ERR", "PID^1^3^101&Required field missing&HL70357"]
    assert answer(header_of(version), BUSY)[2] == ["ERR", "^^^207&Application internal error&HL70357"]


def test_the_text_stands_in_msa_3_up_to_version_2_6() -> None:
    for version in VERSIONS:
        assert answer(header_of(version), text="taken")[1][3:] == (["taken"] if version < "2.7" else [])
        assert answer(header_of(version), ERROR)[1][3:] == ([ERROR.text] if version < "2.7" else [])
    assert len(answer(header_of(), text="x" * 100)[1][3]) == 80


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("refusal", [None, ERROR, REJECT, BUSY], ids=["AA", "AE", "AR", "busy"])
def test_hl7apy_reads_every_acknowledgement(version: str, refusal: Refusal | None) -> None:
    sent = acknowledge(header_of(version), refusal, at=AT, control_id="A7", text="taken")
    assert sent is not None
    message: Any = parse_message(sent.decode(), validation_level=VALIDATION_LEVEL.TOLERANT)
    assert message.version == version
    assert [child.name for child in message.children] == ["MSH", "MSA", "ERR"][: 2 if refusal is None else 3]
    assert message.msa.msa_2.value == "M1"
    if refusal is not None and version >= "2.5":
        assert message.err.err_3.err_3_1.value == refusal.code
        assert message.err.err_2.err_2_1.value == refusal.segment
    elif refusal is not None and version >= "2.2":
        assert message.err.err_1.children[-1].children[0].to_er7() == refusal.code


@pytest.mark.parametrize("version", ["2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.8"])
@pytest.mark.parametrize("refusal", [None, ERROR, REJECT, BUSY], ids=["AA", "AE", "AR", "busy"])
def test_hl7apy_finds_acknowledgements_valid(version: str, refusal: Refusal | None) -> None:
    raw = f"MSH|^~\\&|LIS|NTC|ADP|TR|20260105||ORU^R01|M1|P|{version}\r".encode()
    header = read_header(raw, "utf-8")
    assert isinstance(header, Header)
    sent = acknowledge(header, refusal, at=AT, control_id="A7", text="taken")
    assert sent is not None
    text = sent.decode()
    if version == "2.3.1":  # whose MSH-9 names no structure, without which hl7apy is not strict
        text = text.replace("ACK^R01|", "ACK^R01^ACK|")
    assert parse_message(text, validation_level=VALIDATION_LEVEL.STRICT).validate()


def test_our_words_are_escaped_with_the_sender_s_delimiters() -> None:
    raw = b"MSH!$%#@!A!B!C!D!20260105!!ORU$R01!M1!P!2.5.1\r"
    header = read_header(raw, "utf-8")
    assert isinstance(header, Header)
    msa = answer(header, text="a!b$c%d#e@f|g^h\r\ni")[1]
    assert msa == ["MSA", "AA", "M1", "a#F#b#S#c#R#d#E#e#T#f|g^h i"]
    assert answer(header, ERROR)[2][2] == "PID$1$3"


def test_what_cannot_be_escaped_is_left_out() -> None:
    header = read_header(b"MSH|^~&|A|B|C|D|20260105||ORU^R01|M1|P|2.5.1\r", "utf-8")
    assert isinstance(header, Header)
    assert answer(header, text="a|b^c&d\\e")[1][3] == "abcd\\e"


def test_a_sender_without_subcomponents_gets_the_code_alone_in_err_1() -> None:
    header = read_header(b"MSH|^|A|B|C|D|20260105||ORU^R01|M1|P|2.3\r", "utf-8")
    assert isinstance(header, Header)
    assert answer(header, ERROR)[2] == ["ERR", "PID^1^3^101"]


@pytest.mark.parametrize(
    ("charset", "encoding"),
    [("GB 18030-2000", "gb18030"), ("UNICODE UTF-8", "utf-8"), ("~GBK", "gb18030"), ("BIG-5", "cp950")],
)
def test_the_answer_is_in_the_sender_s_character_set(charset: str, encoding: str) -> None:
    header = header_of(charset=charset, application_name="檢驗", encoding=encoding)
    msh = answer(header, charset=encoding)[0]
    assert msh[4] == "檢驗"
    assert msh[17:] == [charset]


def test_an_unknown_character_set_is_answered_in_ascii_without_claiming_it() -> None:
    msh = answer(header_of(charset="UTF-16", application_name="检验"), charset="ascii")[0]
    assert msh[4] == "??"
    assert msh[17:] == []


def test_words_of_ours_are_ascii() -> None:
    assert answer(header_of(), text="µ検")[1][3] == "??"


@pytest.mark.parametrize("control_id", ["", " M 1 ", "a\\F\\b", "000123", "x^y~z&", "检1"])
def test_msa_2_is_msh_10_as_sent(control_id: str) -> None:
    assert answer(header_of(control_id=control_id))[1][2] == control_id


def test_a_frame_byte_in_a_repeated_field_does_not_break_the_answer_s_frame() -> None:
    sent = acknowledge(header_of(control_id="M\x1c"), None, at=AT, control_id="A7")
    assert sent is not None
    assert sent.endswith(b"MSA|AA|M\r")


def test_no_readable_header_is_rejected_with_the_default_dialect() -> None:
    fault = read_header(b"hello world", "utf-8")
    assert isinstance(fault, HeaderFault)
    for refusal in (None, refusal_of(fault), ERROR):
        msh, msa, err = answer(None, refusal)
        assert msh == ["MSH", "^~\\&", "", "", "", "", "20260105083000+0800", "", "ACK", "A7", "P", "2.5.1"]
        assert msa[:3] == ["MSA", "AR", ""]
        assert err[3].startswith("100^" if refusal is not ERROR else "101^")
    assert answer(None, refusal_of(fault))[2][2] == "MSH^1"


def test_a_code_outside_table_0357_is_refused() -> None:
    with pytest.raises(ValueError, match="0357"):
        Refusal("error", "999", "")
    assert "207" in ERROR_CONDITIONS


FHS = "FHS|^~\\&|LIS|NTC|ADP|TR|20260105||file||F1\r"
BHS = "BHS|^~\\&|LIS|NTC|ADP|TR|20260105||batch||B1\r"
ACK = b"MSH|^~\\&|ADP|TR|LIS|NTC|20260105||ACK|A1|P|2.5.1\rMSA|AA|M1\r"


def batch(envelope: bytes | None, acks: int, charset: str = "utf-8") -> list[str]:
    sent = acknowledge_batch(envelope, [ACK] * acks, at=AT, control_id="X9", charset=charset)
    return sent.decode(charset).split("\r")[:-1]


def test_a_batch_is_answered_by_a_batch() -> None:
    assert batch((BHS + "MSH|^~\\&|\r").encode(), 2) == [
        "BHS|^~\\&|ADP|TR|LIS|NTC|20260105083000+0800||||X9|B1",
        *ACK.decode().split("\r")[:-1] * 2,
        "BTS|2",
    ]


def test_a_file_of_batches_is_answered_by_a_file() -> None:
    lines = batch((FHS + BHS).encode(), 1)
    assert [line.split("|")[0] for line in lines] == ["FHS", "BHS", "MSH", "MSA", "BTS", "FTS"]
    assert lines[0].endswith("||||X9|F1")
    assert lines[1].endswith("||||X9|B1")
    assert lines[-1] == "FTS|1"


def test_a_file_without_a_batch_header_names_no_batch() -> None:
    lines = batch(FHS.encode(), 0)
    assert [line.split("|")[0] for line in lines] == ["FHS", "BHS", "BTS", "FTS"]
    assert lines[1] == "BHS|^~\\&|ADP|TR|LIS|NTC|20260105083000+0800||||X9"
    assert lines[2] == "BTS|0"


@pytest.mark.parametrize("envelope", [None, b"", b"hello", b"BHS", b"BHS|&&&&|A", b"MSH|^~\\&|A\rBHS|^~\\&|LIS"])
def test_an_envelope_that_cannot_be_read_is_answered_in_the_default_dialect(envelope: bytes | None) -> None:
    assert batch(envelope, 1)[0] == "BHS|^~\\&|||||20260105083000+0800||||X9" + (
        "|" if envelope == b"BHS|&&&&|A" else ""
    )


def test_a_batch_keeps_delimiters_and_character_set() -> None:
    lines = batch("BHS!$%#@!检验!NTC!ADP!TR!20260105!!!!B1\r".encode("gb18030"), 0, "gb18030")
    assert lines == ["BHS!$%#@!ADP!TR!检验!NTC!20260105083000+0800!!!!X9!B1", "BTS!0"]


@given(st.binary(max_size=80))
def test_no_envelope_raises(rest: bytes) -> None:
    for start in (b"", b"BHS|^~\\&|", b"FHS|", b"BHS"):
        sent = acknowledge_batch(start + rest, [ACK], at=AT, control_id="X9")
        assert sent.count(b"BTS") >= 1


@given(st.binary(max_size=80), st.sampled_from([None, ERROR, REJECT]))
def test_no_header_raises(rest: bytes, refusal: Refusal | None) -> None:
    header = read_header(b"MSH|^~\\&|A|B|" + rest, "gb18030")
    assert isinstance(header, Header)
    sent = acknowledge(header, refusal, at=AT, control_id="A7")
    assert (sent is not None) == wants_answer(header, refusal)
    if sent is not None:
        assert sent.startswith(b"MSH|^~\\&|")
        assert not set(sent) & set(b"\x0b\x1c")


def test_answers_are_read_back() -> None:
    sent = acknowledge(header_of("2.7"), ERROR, at=AT, control_id="A7")
    assert sent is not None
    assert read_answers(sent) == (Answer("AE", "M1", ERROR.text),)
    assert read_answers(acknowledge_batch(None, [ACK, sent], at=AT, control_id="X9")) == (
        Answer("AA", "M1", ""),
        Answer("AE", "M1", ERROR.text),
    )
    assert read_answers(b"hello") == ()
    assert read_answers(b"MSH|^~\\&|A\rPID|1\r") == ()
    assert read_answers(b"MSH|^~\\&|A\rMSA\r") == (Answer("", "", ""),)


def test_control_ids_are_those_of_every_message() -> None:
    message = b"MSH|^~\\&|A|B|C|D|20260105||ORU^R01|M%d|P|2.3\rPID|1\r"
    assert control_ids(BHS.encode() + message % 1 + message % 2) == ("M1", "M2")
    assert control_ids(b"MSH|&&&&|A\r") == ("",)
    assert control_ids(b"hello") == ()
