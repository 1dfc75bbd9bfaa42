"""The message header: delimiters, fields, and the character set that agrees with itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.codecs.charset import CODECS
from adapter.codecs.header import Header, HeaderFault, read_header

# a GBK character for each delimiter that its second byte can be
LOOKS_LIKE = {chr(trail): bytes((0x81, trail)).decode("gbk") for trail in b"|^~\\"}


def msh(
    *,
    delimiters: str = "|^~\\&",
    application: str = "LIS",
    facility: str = "NTC",
    event: str = "ORU^R01^ORU_R01",
    control_id: str = "M1",
    version: str = "2.5.1",
    acks: str = "|",
    charset: str = "",
) -> str:
    sender = f"MSH|{delimiters[1:]}|{application}|{facility}|ADP|TR|20260105||{event}"
    message = f"{sender}|{control_id}|P|{version}|||{acks}||{charset}\rPID|1\r"
    return message.replace("|", delimiters[0])


def header_of(message: str | bytes, default: str = "utf-8", codec: str = "utf-8") -> Header:
    header = read_header(message if isinstance(message, bytes) else message.encode(codec), default)
    assert isinstance(header, Header)
    return header


def fault_of(message: bytes) -> HeaderFault:
    fault = read_header(message, "utf-8")
    assert isinstance(fault, HeaderFault)
    return fault


def test_every_field_is_read_from_its_place() -> None:
    raw = (
        "MSH|^~\\&|LIS^1.2^ISO|NTC|ADP|TR|20260105080000.123+0800|sec|ORU^R01^ORU_R01|M&1\\F\\2|P^T|2.5.1^CHN|7||AL|NE|CHN"
        "|UNICODE UTF-8~GB 18030-2000\r"
    )
    header = header_of(raw)
    assert header.field_separator == "|"
    assert header.encoding_characters == "^~\\&"
    assert (header.component, header.repetition, header.escape, header.subcomponent) == ("^", "~", "\\", "&")
    assert header.delimiters.field == "|"
    assert header.sending_application == "LIS^1.2^ISO"
    assert header.sending_facility == "NTC"
    assert header.receiving_application == "ADP"
    assert header.receiving_facility == "TR"
    assert header.message_at == "20260105080000.123+0800"
    assert (header.message_type, header.trigger_event, header.message_structure) == ("ORU", "R01", "ORU_R01")
    assert header.message_control_id == "M&1\\F\\2"
    assert (header.processing_id, header.field(11)) == ("P", "P^T")
    assert (header.version, header.field(12)) == ("2.5.1", "2.5.1^CHN")
    assert (header.accept_ack, header.application_ack) == ("AL", "NE")
    assert header.charset_names == ("UNICODE UTF-8", "GB 18030-2000")
    assert (header.charset, header.alternates) == ("utf-8", ("gb18030",))
    assert (header.field(1), header.field(8), header.field(17), header.field(19)) == ("|", "sec", "CHN", "")
    assert header.notes == ()


@pytest.mark.parametrize(
    "before",
    [b"", b"\xef\xbb\xbf", b"\r\n\r\n", b"a line of text\r\n", b" \t", b"\x0b", b"x\r\xef\xbb\xbf", b"MSHX|\n"],
)
@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n", b""])
def test_msh_is_found_wherever_its_line_is(before: bytes, end: bytes) -> None:
    raw = before + msh().encode().split(b"\r")[0] + end
    header = header_of(raw)
    assert (header.message_control_id, header.version) == ("M1", "2.5.1")
    assert header.notes == (("Text stands before MSH",) if before.strip(b"\xef\xbb\xbf\r\n\t \x0b") else ())


@pytest.mark.parametrize(
    ("sent", "read", "noted"),
    [
        ("^~\\&", "^~\\&", ""),
        ("^~\\&#", "^~\\&", ""),
        ("$%#!", "$%#!", ""),
        ("^~&", "^~ &", "lost"),
        ("^~&#", "^~ &", "lost"),
        ("^~\\\\&", "^~\\&", "twice"),
        ("^~\\\\&#", "^~\\&", "twice"),
        ("^~\\", "^~\\ ", "fewer"),
        ("^~", "^~  ", "fewer"),
        ("^", "^   ", "fewer"),
    ],
)
def test_encoding_characters_that_are_read(sent: str, read: str, noted: str) -> None:
    header = header_of(msh(delimiters="|" + sent, event="ORU" + sent[0] + "R01"))
    parts = (header.component, header.repetition, header.escape, header.subcomponent)
    assert "".join(part or " " for part in parts) == read
    assert header.encoding_characters == sent
    assert header.trigger_event == "R01"
    assert [noted in note for note in header.notes] == [True] * bool(noted)


@pytest.mark.parametrize(
    ("raw", "field", "code"),
    [
        (b"hello world", 0, "100"),
        (b"", 0, "100"),
        (b"MSH", 0, "100"),
        (b"MSHA^~\\&A", 0, "100"),
        (b"msh|^~\\&|", 0, "100"),
        (b"PID|1\rOBX|1", 0, "100"),
        (b"MSH|", 2, "101"),
        (b"MSH||LIS", 2, "101"),
        (b"MSH|&&&&|LIS", 2, "102"),
        (b"MSH|^^\\&|LIS", 2, "102"),
        (b"MSH|^~\\^|LIS", 2, "102"),
        (b"MSH|^~A&|LIS", 2, "102"),
        (b"MSH|^~1&|LIS", 2, "102"),
        (b"MSH|^~\\&amp;|LIS", 2, "102"),
        (b"MSH|^~ &|LIS", 2, "102"),
        (b"MSH|^~\\&#!|LIS", 2, "102"),
        (b"MSH|\xa1\xa2\xa3\xa4|LIS", 2, "102"),
        (b"MSHabc", 0, "100"),
    ],
)
def test_headers_that_cannot_be_read_say_where(raw: bytes, field: int, code: str) -> None:
    fault = fault_of(raw)
    assert (fault.segment, fault.sequence, fault.field, fault.code) == ("MSH", 1, field, code)


def test_an_empty_facility_of_two_components_is_text() -> None:
    assert header_of("MSH|^~\\&|A|B|C|^^|20260105||ORU^R01|1|P|2.3\r").receiving_facility == "^^"


def test_what_is_missing_is_noted() -> None:
    header = header_of("MSH|^~\\&|A")
    assert header.notes == ("MSH-9 is empty", "MSH-10 is empty", "MSH-12 is empty")
    assert (header.version, header.message_type, header.charset) == ("", "", "utf-8")


@pytest.mark.parametrize(
    ("sent", "charset", "alternates"),
    [
        ("", "gb18030", ()),
        ('""', "gb18030", ()),
        ("ASCII", "ascii", ()),
        ("UNICODE UTF-8", "utf-8", ()),
        ("GB 18030-2000", "gb18030", ()),
        ("~UNICODE UTF-8", "ascii", ("utf-8",)),
        ("ASCII~GBK~~BIG-5", "ascii", ("gb18030", "cp950")),
        ("UTF-16", None, ()),
        ("UTF-16~UTF-8", None, ("utf-8",)),
        ("UTF-8~UTF-16", "utf-8", ()),
    ],
)
def test_msh_18_names_the_character_set(sent: str, charset: str | None, alternates: tuple[str, ...]) -> None:
    header = header_of(msh(charset=sent), default="GBK")
    assert (header.charset, header.alternates) == (charset, alternates)
    assert any("not known" in note for note in header.notes) == ("UTF-16" in sent)


@pytest.mark.parametrize("default", CODECS)
@pytest.mark.parametrize("name", ["GB 18030-2000", "GBK", "~GB 18030-2000"])
@pytest.mark.parametrize("trail", LOOKS_LIKE)
def test_characters_that_look_like_delimiters_do_not_move_msh_18(default: str, name: str, trail: str) -> None:
    facility = LOOKS_LIKE[trail] * 3 + "院"
    header = header_of(msh(facility=facility, charset=name), default=default, codec="gb18030")
    assert header.sending_facility == facility
    assert header.message_control_id == "M1"
    assert "gb18030" in (header.charset, *header.alternates)


@pytest.mark.parametrize("default", CODECS)
@pytest.mark.parametrize(("name", "codec"), [("UNICODE UTF-8", "utf-8"), ("BIG-5", "cp950"), ("8859/5", "iso8859-5")])
def test_a_named_character_set_wins_over_the_default(default: str, name: str, codec: str) -> None:
    facility = "Б" if codec == "iso8859-5" else "醫院"
    header = header_of(msh(facility=facility, charset=name), default=default, codec=codec)
    assert (header.sending_facility, header.charset) == (facility, codec)


def test_an_empty_msh_18_leaves_the_default() -> None:
    header = header_of(msh(facility=LOOKS_LIKE["|"] + "院"), default="GBK", codec="gbk")
    assert (header.sending_facility, header.charset) == (LOOKS_LIKE["|"] + "院", "gb18030")


def test_a_named_character_set_that_msh_itself_breaks_is_still_the_one_named() -> None:
    raw = msh(facility="院", charset="ASCII").encode("gbk")
    assert header_of(raw).charset == "ascii"
    raw = msh(facility="X", charset="UNICODE UTF-8").encode().replace(b"X", b"\xff")
    assert (header_of(raw).charset, header_of(raw).sending_facility) == ("utf-8", "\ufffd")


def test_an_unknown_default_is_a_mistake_of_the_configuration() -> None:
    with pytest.raises(ValueError, match="klingon"):
        read_header(b"MSH|^~\\&|", "klingon")


def test_a_lost_segment_end_does_not_show_the_patient() -> None:
    raw = b"MSH|^~\\&|A|B|C|D|20260105||ORU^R01|1|P|2.3 PID" + b"|secret" * 9
    header = header_of(raw)
    assert header.charset is None
    assert "secret" not in repr(header)
    assert "secret" not in " ".join(header.notes)


@given(st.binary(max_size=120), st.sampled_from(CODECS))
def test_no_bytes_raise(raw: bytes, default: str) -> None:
    assert isinstance(read_header(raw, default), HeaderFault)
    assert isinstance(read_header(b"MSH|^~\\&|" + raw, default), Header)
    read_header(b"MSH" + raw, default)


@given(st.binary(max_size=60).filter(lambda text: not set(text) & set(b"|\r\n")), st.sampled_from(CODECS))
def test_a_field_never_moves_its_neighbours_where_every_byte_is_a_character(field: bytes, default: str) -> None:
    raw = b"MSH|^~\\&|" + field + b"|NTC|ADP|TR|20260105||ORU^R01|M1|P|2.5.1||||||8859/1\r"
    header = header_of(raw, default)
    assert (header.message_control_id, header.charset) == ("M1", "iso8859-1")
    assert header.sending_application == field.decode("iso8859-1")


def test_msh_is_not_searched_beyond_64_kib() -> None:
    header = header_of(msh().encode().split(b"\r")[0] + b"|" * 5_000_000)
    assert header.message_control_id == "M1"
    assert len(header.fields) == 21
    assert header_of(b"MSH|^~\\&|" + b"x" * 70_000 + b"|B|C|D|20260105||ORU^R01|M1|P|2.3\r").message_control_id == ""
