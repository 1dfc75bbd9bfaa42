"""Character sets: names of table 0211 and of the wild, faults instead of mojibake."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.codecs.charset import CODECS, Decoded, Fault, codec_of, decode, lines


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("ASCII", "ascii"),
        ("US-ASCII", "ascii"),
        ("ISO IR6", "ascii"),
        ("8859/1", "iso8859-1"),
        ("8859/2", "iso8859-2"),
        ("8859/15", "iso8859-15"),
        ("ISO-8859-1", "iso8859-1"),
        ("ISO8859-15", "iso8859-15"),
        ("ISO_8859-1", "iso8859-1"),
        ("UNICODE UTF-8", "utf-8"),
        ("UNICODE", "utf-8"),
        ("UTF-8", "utf-8"),
        ("utf8", "utf-8"),
        (" UTF-8 ", "utf-8"),
        ("GB 18030-2000", "gb18030"),
        ("GB18030", "gb18030"),
        ("GBK", "gb18030"),
        ("GB2312", "gb18030"),
        ("GB 2312-80", "gb18030"),
        ("BIG-5", "cp950"),
        ("BIG5", "cp950"),
        ("windows-1252", "cp1252"),
    ],
)
def test_known_names(name: str, codec: str) -> None:
    assert codec_of(name) == codec
    "".encode(codec)


@pytest.mark.parametrize(
    "name", ["", " ", "UNICODE UTF-16", "UTF-16", "UNICODE UTF-32", "8859/12", "8859/17", "ISO IR87", "KLINGON", "\0"]
)
def test_names_that_are_not_known(name: str) -> None:
    assert codec_of(name) is None


def test_a_codec_names_itself() -> None:
    assert [codec_of(codec) for codec in CODECS] == list(CODECS)


@given(st.text())
def test_any_name_is_known_or_not(name: str) -> None:
    assert codec_of(name) in (None, *CODECS)


@pytest.mark.parametrize("codec", CODECS)
def test_no_multi_byte_character_holds_a_line_end_or_a_framing_byte(codec: str) -> None:
    for point in [*range(0x80, 0xD800), *range(0xE000, 0x11000), 0x20000, 0x2A6D6, 0x10FFFF]:
        sent = chr(point).encode(codec, "ignore")
        assert not set(sent) & {0x0A, 0x0B, 0x0D, 0x1C}


@pytest.mark.parametrize("codec", CODECS)
def test_every_known_character_set_reads_ascii_as_ascii(codec: str) -> None:
    printable = "".join(map(chr, range(128)))
    assert printable.encode("ascii").decode(codec) == printable


@pytest.mark.parametrize("codec", ["utf-8", "gb18030", "cp950"])
def test_text_comes_back(codec: str) -> None:
    text = "PID|1||7^^^甲\rOBX|1|ST|丙^白蛋白\r\n"
    assert decode(text.encode(codec), codec) == Decoded(text, codec)


def test_trail_bytes_that_look_like_delimiters_are_text() -> None:
    for trail in b"|^~\\":
        raw = b"OBX|" + bytes((0x81, trail)) + b"|x"
        decoded = decode(raw, "gb18030")
        assert decoded.faults == ()
        assert len(decoded.text.split("|")) == 3


def test_gbk_and_gb2312_text_is_read_by_their_superset() -> None:
    assert decode("总胆红素μ".encode("gbk"), "gb18030").text == "总胆红素μ"
    assert decode("总胆红素μ".encode("gb2312"), "gb18030").text == "总胆红素μ"


def test_ascii_with_high_bytes_is_a_fault() -> None:
    decoded = decode(b"MSH|x\rPID|1||\xe4\xba\x8c\rOBX|1", "ascii")
    assert decoded.faults == (Fault(2, "PID", 7),)
    assert decoded.text == "MSH|x\rPID|1||\ufffd\ufffd\ufffd\rOBX|1"


def test_each_faulty_line_is_named_once() -> None:
    decoded = decode(b"MSH|\xff\xff\r\nPID|1\n\xff\rOBX|1|\xe4\r", "utf-8")
    assert decoded.faults == (Fault(1, "MSH", 4), Fault(3, "", 0), Fault(4, "OBX", 6))


@pytest.mark.parametrize("codec", ["utf-8", "gb18030", "cp950"])
def test_a_broken_character_does_not_swallow_the_end_of_its_segment(codec: str) -> None:
    decoded = decode(b"PID|1||\x81\rOBX|1", codec)
    assert decoded.text.split("\r")[1] == "OBX|1"
    assert [fault.segment for fault in decoded.faults] == ["PID"]


def test_a_byte_order_mark_is_dropped() -> None:
    assert decode(b"\xef\xbb\xbfMSH|", "utf-8").text == "MSH|"
    assert decode(b"\xef\xbb\xbfMSH|", "ascii") == Decoded("MSH|", "ascii")


def test_control_characters_are_no_fault() -> None:
    assert decode(b"MSH|\0\x1b\x7f\x85", "iso8859-1").text == "MSH|\0\x1b\x7f\x85"


@pytest.mark.parametrize("codec", ["ascii", "utf-8", "iso8859-1"])
def test_an_iso_2022_switch_is_a_fault_though_its_bytes_are_ascii(codec: str) -> None:
    decoded = decode(b"MSH|x\rPID|1|\x1b$B;3ED\x1b(B|x", codec)
    assert decoded.faults == (Fault(2, "PID", 6),)
    assert "\ufffd$B" in decoded.text


def test_an_alternate_counts_beside_ascii() -> None:
    raw = "OBX|白蛋白".encode("gb18030")
    assert decode(raw, "ascii", ("gb18030",)) == Decoded("OBX|白蛋白", "gb18030")
    assert decode(b"OBX|", "ascii", ("gb18030",)) == Decoded("OBX|", "ascii")


def test_alternates_that_disagree_are_a_fault() -> None:
    raw = "OBX|白蛋白".encode()
    decoded = decode(raw, "ascii", ("utf-8", "iso8859-1"))
    assert decoded.codec == "ascii"
    assert decoded.faults == (Fault(1, "OBX", 4),)


def test_an_alternate_does_not_explain_away_broken_utf_8() -> None:
    assert decode(b"OBX|\xe7\x99", "utf-8", ("iso8859-1",)).faults == (Fault(1, "OBX", 4),)


@given(st.binary(max_size=200), st.sampled_from(CODECS))
def test_faults_are_there_exactly_where_strict_decoding_fails(raw: bytes, codec: str) -> None:
    decoded = decode(raw, codec)
    without_mark = raw.removeprefix(b"\xef\xbb\xbf")
    try:
        strict: str | None = without_mark.decode(codec)
    except UnicodeDecodeError:
        strict = None
    if strict is None:
        assert decoded.faults
    elif not decoded.faults:
        assert decoded.text == strict
    else:
        assert b"\x1b" in raw
    for fault in decoded.faults:
        assert 0 <= fault.offset < len(lines(without_mark)[fault.line - 1])


@given(st.binary(max_size=100), st.sampled_from(CODECS))
def test_decoding_keeps_the_lines(raw: bytes, codec: str) -> None:
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    text = decode(raw, codec).text
    assert sum(map(text.count, "\r\n")) == raw.count(b"\r") + raw.count(b"\n")


@given(st.lists(st.binary(max_size=5).filter(lambda line: not set(line) & {10, 13}), min_size=1), st.data())
def test_lines_end_at_cr_lf_and_cr_lf(content: list[bytes], data: st.DataObject) -> None:
    end = data.draw(st.sampled_from([b"\r", b"\n", b"\r\n"]))
    assert lines(b"".join(line + end for line in content)) == content


def test_a_line_of_blanks_is_a_line_and_vt_ends_none() -> None:
    assert lines(b"A\r\rB\x0bC\x1cD\x85E\n") == [b"A", b"", b"B\x0bC\x1cD\x85E"]


def test_what_was_sent_is_not_shown() -> None:
    assert "secret" not in repr(decode(b"secret\xff", "utf-8"))
