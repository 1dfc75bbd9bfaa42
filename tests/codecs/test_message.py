"""A message opened: decoded by its own character set or the source's, with the place where it cannot be believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.codecs.charset import CODECS
from adapter.codecs.header import HeaderFault
from adapter.codecs.hl7v2 import Delimiters, split
from adapter.codecs.message import Opened, open_message
from adapter.codecs.oru import read_merges, read_results


def raw(body: str = "PID|1||12", charset: str = "", codec: str = "utf-8") -> bytes:
    return f"MSH|^~\\&|A|B|C|D|20260105||ORU^R01|M1|P|2.5.1||||||{charset}\r{body}\r".encode(codec)


def opened(message: bytes, default: str = "utf-8") -> Opened:
    found = open_message(message, default)
    assert isinstance(found, Opened)
    return found


@pytest.mark.parametrize(
    ("charset", "codec", "default"),
    [
        ("", "utf-8", "utf-8"),
        ("", "gb18030", "GBK"),
        ("UNICODE UTF-8", "utf-8", "GBK"),
        ("GB 18030-2000", "gb18030", "utf-8"),
        ("BIG-5", "big5", "utf-8"),
        ("~GB 18030-2000", "gb18030", "utf-8"),
    ],
)
def test_decoded_by_what_msh_18_names_else_by_what_the_source_sends(charset: str, codec: str, default: str) -> None:
    found = opened(raw("OBX|1|ST|7001^總膽^L||溶血|", charset, codec), default)
    assert found.fault is None
    assert split(found.text, found.delimiters)[1].text(5) == "溶血"


def test_decoding_comes_before_splitting() -> None:
    characters = [bytes((0x81, second)).decode("gb18030") for second in b"|^~\\&"[:4]]
    found = opened(raw(f"OBX|1|ST|{''.join(characters)}^n||5|U/L", "GB 18030-2000", "gb18030"))
    obx = split(found.text, found.delimiters)[1]
    assert (obx.text(3), obx.text(3, 2), obx.text(6)) == ("".join(characters), "n", "U/L")


def test_bytes_that_are_not_of_the_character_set_are_a_fault_with_its_place() -> None:
    found = opened(raw().replace(b"12", b"1\xff2"))
    assert found.fault == "line 2 (PID), byte 9: the bytes are not of the character set utf-8"
    assert split(found.text, found.delimiters)[1].text(3) == "1\ufffd2"


def test_a_fault_in_a_continued_line_has_no_segment_to_name() -> None:
    found = opened(raw("OBX|1|FT|x||one\r2\xb5g", codec="latin-1"))
    assert found.fault == "line 3, byte 2: the bytes are not of the character set utf-8"


def test_an_unknown_character_set_is_a_fault() -> None:
    found = opened(raw(charset="KLINGON"))
    assert found.unknown_charset
    assert found.fault == "MSH-18 names a character set that is not known"


def test_without_a_header_there_is_nothing_to_open() -> None:
    assert isinstance(open_message(b"hello world", "utf-8"), HeaderFault)


def test_delimiters_are_those_the_message_declares() -> None:
    assert opened(b"MSH*!%$@*A\r").delimiters == Delimiters("*", "!", "%", "$", "@")
    assert opened(b"MSH|^~&|A\r").delimiters == Delimiters("|", "^", "~", "", "&")
    assert opened(b"MSH|^~\\\\&|A\r").delimiters == Delimiters()


@pytest.mark.parametrize("default", ["utf-8", "GB18030", "8859/1", "ASCII"])
@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b" \xef\xbb\xbf\t", b"\xef\xbb\xbf\xef\xbb\xbf"])
def test_a_byte_order_mark_hides_no_segment(default: str, mark: bytes) -> None:
    found = opened(mark + raw().replace(b"PID", mark + b"PID"), default)
    assert found.fault is None
    assert [s.name for s in split(found.text, found.delimiters)] == ["MSH", "PID"]


def test_the_words_of_the_patient_are_not_shown() -> None:
    found = opened(raw("PID|1||0012345^^^NTCGH||Lan^Anren"))
    assert "0012345" not in repr(found)
    assert "Lan" not in repr(found)


LINES = st.lists(
    st.one_of(
        st.binary(max_size=30),
        st.sampled_from(["PID|", "OBR|", "OBX|", "SPM|", "ORC|", "MRG|", "MSH|", "NTE|", "PID", "\\", '""']).map(
            str.encode
        ),
        st.builds(
            lambda n, b: n + b"|" + b, st.sampled_from([b"PID", b"OBX", b"OBR", b"SPM", b"MRG"]), st.binary(max_size=60)
        ),
        st.lists(st.binary(max_size=4), max_size=30).map(lambda fields: b"OBX|" + b"|".join(fields)),
        st.lists(st.binary(max_size=4), max_size=30).map(lambda fields: b"PID|" + b"|".join(fields)),
    ),
    max_size=12,
)


@given(
    LINES,
    st.sampled_from([b"\r", b"\n", b"\r\n"]),
    st.sampled_from(CODECS),
    st.sampled_from(["", "GB 18030-2000", "BIG-5", "UNICODE UTF-8", "8859/1", "UTF-16", "~GBK~ASCII"]),
    st.sampled_from(["|^~\\&", "*!%$@", "^|~\\&", "|^~&", "|^", "&~^\\|", "|^~\\&#", "\\|^~&"]),
    st.sampled_from(["R01", "R22", "R23", "A40", ""]),
)
def test_no_bytes_raise_on_the_whole_way_to_the_results(
    lines: list[bytes], end: bytes, default: str, charset: str, delimiters: str, event: str
) -> None:
    separator = delimiters[0]
    header = separator.join(
        ["MSH", delimiters[1:], *"ABCD", "2026", "", f"ORU{delimiters[1]}{event}", "1", "P", "2.5", *[""] * 5, charset]
    )
    body = end.join(line.replace(b"|", separator.encode()) for line in lines)
    found = open_message(header.encode() + end + body, default)
    assert isinstance(found, Opened)
    groups = read_results(found.text, found.delimiters, event, found.header.message_at, ("PID-3", "PID-2", "PID-18"))
    observations = [s for s in split(found.text, found.delimiters) if s.name == "OBX"]
    assert sum(len(g.results) for g in groups) == len(observations)
    merges = read_merges(found.text, found.delimiters, ("PID-3",))
    assert len(merges) == len([g for g in groups if g.patient is not None])
    for group in groups:
        for result in group.results:
            assert len(result.value.shown) <= 201
            assert result.value.plain is not None or result.value.fault


@given(st.binary(max_size=200), st.sampled_from(CODECS))
def test_no_bytes_at_all_raise(message: bytes, default: str) -> None:
    open_message(message, default)
    found = open_message(b"MSH|^~\\&|" + message, default)
    assert isinstance(found, Opened)
    read_results(found.text, found.delimiters, "R01", found.header.message_at)
