"""Decoded text into segments, fields, components: whole, however its lines end, and whatever its delimiters are."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.codecs.hl7v2 import Delimiters, Segment, pick, split, unescape

USUAL = Delimiters()
MSH = "MSH|^~\\&|LIS|NTC|EDC|TRIAL|20260105||ORU^R01|M1|P|2.5.1"
MESSAGE = (MSH, "PID|1||0012345^^^NTCGH^MR", "OBR|1|A|B", "OBX|1|NM|1742-6^ALT^LN||35|U/L|||||F", "NTE|1||seen")


def segments(text: str, delimiters: Delimiters = USUAL) -> list[Segment]:
    return list(split(text, delimiters))


def obx_5(value: str) -> Segment:
    return segments(f"{MSH}\rOBX|1|ST|x||{value}|U/L")[1]


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n", "\n\r", "\r\r\n"])
@pytest.mark.parametrize("last", ["", "\r", "\n", "\r\n\x1c\r", "\x1a", "\r\n\x00\x00"])
def test_segments_are_the_same_however_their_lines_end(end: str, last: str) -> None:
    read = segments(end.join(MESSAGE[:-1]) + (end + last if last else last))
    assert [(s.name, s.number) for s in read] == [("MSH", 1), ("PID", 1), ("OBR", 1), ("OBX", 1)]
    assert [read[3].text(n) for n in range(1, 12)] == ["1", "NM", "1742-6", "", "35", "U/L", "", "", "", "", "F"]


def test_mixed_line_ends_and_blank_lines_count_for_nothing() -> None:
    text = (
        MESSAGE[0]
        + "\r\n\r\n"
        + MESSAGE[1]
        + "\n"
        + MESSAGE[2]
        + "\r"
        + "  \t\n"
        + MESSAGE[3]
        + "\n\x0b\n"
        + MESSAGE[4]
    )
    assert [s.name for s in segments(text)] == ["MSH", "PID", "OBR", "OBX", "NTE"]


def test_msh_is_counted_from_its_separator() -> None:
    msh = segments(MSH)[0]
    assert (msh.field(1), msh.field(2), msh.field(3), msh.text(9, 2), msh.text(12)) == (
        "|",
        "^~\\&",
        "LIS",
        "R01",
        "2.5.1",
    )


@pytest.mark.parametrize(
    "before", ["", "\ufeff", "\x0b", "a log line\r\n", "PID|1||strange\r", "MSHX\r", "MSH\r\n\ufeff"]
)
def test_what_stands_before_msh_is_no_part_of_the_message(before: str) -> None:
    read = segments(before + "\r".join(MESSAGE))
    assert [s.name for s in read] == ["MSH", "PID", "OBR", "OBX", "NTE"]
    assert read[1].number == 1


@pytest.mark.parametrize("text", ["", "\r", "no header\rPID|1", "msh|^~\\&|", "MSH", "MSH^~\\&^A"])
def test_without_msh_there_is_no_segment(text: str) -> None:
    assert segments(text) == []


def test_segments_of_one_name_are_counted() -> None:
    read = segments(f"{MSH}\rOBX|1\rNTE|1\rOBX|2\rNTE|2\rOBX|9")
    assert [(s.name, s.number) for s in read if s.name == "OBX"] == [("OBX", 1), ("OBX", 2), ("OBX", 3)]


@pytest.mark.parametrize(
    "continuation", ["second line", "PIDs were compared", "MSH was read", "obx|1", "OB|1", "OBXX|1", "12|3"]
)
def test_a_carriage_return_inside_a_field_continues_the_segment(continuation: str) -> None:
    read = segments(f"{MSH}\rOBX|1|FT|x||first line\r{continuation}|U/L\rNTE|1")
    assert [s.name for s in read] == ["MSH", "OBX", "NTE"]
    assert read[1].field(5) == f"first line\n{continuation.partition('|')[0]}"


def test_a_line_that_is_a_segment_is_one_even_inside_a_text() -> None:
    read = segments(f"{MSH}\rOBX|1|FT|x||text\rPID|2||other\rMSH|^~\\&|B\rMSH\rthe end|last")
    assert [s.name for s in read] == ["MSH", "OBX", "PID", "MSH"]
    assert read[3].number == 2
    assert read[3].field(3) == "B\nMSH\nthe end"


@pytest.mark.parametrize("line", ["  PID|1||x", "\tPID|1||x", "PID |1||x", "PID\t |1||x", "\x0bPID|1||x"])
def test_blanks_around_a_name_are_not_of_it(line: str) -> None:
    assert segments(f"{MSH}\r{line}")[1].fields == ("PID", "1", "", "x")


def test_a_segment_may_be_its_name_alone() -> None:
    read = segments(f"{MSH}\rEVN\rPID  \rZ01")
    assert [s.fields for s in read[1:]] == [("EVN",), ("PID",), ("Z01",)]
    assert (read[1].field(1), read[1].text(7, 2), read[1].repetitions(3)) == ("", "", ())


def test_other_delimiters() -> None:
    other = Delimiters("*", "!", "%", "$", "@")
    read = segments("MSH*!%$@*LIS\rPID*1**1!!!A@1.2%2!!!B\rOBX*1*ST*x**5$F$6$S$7$E$", other)
    assert read[1].repetitions(3) == ("1!!!A@1.2", "2!!!B")
    assert (read[1].part("1!!!A@1.2", 4, 1), read[1].part("1!!!A@1.2", 4, 2)) == ("A", "1.2")
    assert read[2].text(5) == "5*6!7$"


def test_delimiters_that_were_not_sent_divide_nothing() -> None:
    alone = Delimiters("|", "^", "", "", "")
    read = segments("MSH|^|A\rPID|1||a~b^c&d\\F\\", alone)
    assert read[1].repetitions(3) == ("a~b^c&d\\F\\",)
    assert (read[1].text(3), read[1].text(3, 2), read[1].text(3, 2, 2)) == ("a~b", "c&d\\F\\", "")


def test_repetitions_that_are_empty_are_none() -> None:
    pid = segments(f"{MSH}\rPID|1||~a^1~~b~")[1]
    assert pid.repetitions(3) == ("a^1", "b")
    assert (pid.text(3), pid.text(3, 2)) == ("a", "1")


def test_components_and_subcomponents_are_counted_from_one_and_trimmed() -> None:
    field = segments(f"{MSH}\rPID|1|| x ^ y & z ^^w")[1]
    assert [field.text(3, n) for n in range(1, 7)] == ["x", "y", "", "w", "", ""]
    assert [field.text(3, 2, n) for n in range(1, 4)] == ["y", "z", ""]
    assert field.components(field.field(3)) == ("x", "y & z", "", "w")


def test_the_explicit_null_reads_as_nothing() -> None:
    field = segments(f'{MSH}\rPID|1|""|""^""&""^x')[1]
    assert (field.field(2), field.text(2), field.text(3), field.text(3, 2), field.text(3, 2, 2)) == (
        '""',
        "",
        "",
        "",
        "",
    )
    assert field.components(field.field(3)) == ("", '""&""', "x")
    assert segments(f'{MSH}\rPID|1|a""b')[1].text(2) == 'a""b'


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("\\F\\", "|"),
        ("\\S\\", "^"),
        ("\\T\\", "&"),
        ("\\R\\", "~"),
        ("\\E\\", "\\"),
        ("\\P\\", "#"),
        ("10\\S\\9/L", "10^9/L"),
        ("\\X41\\\\X42\\", "AB"),
        ("\\X4142\\", "AB"),
        ("\\X0D0A\\x", "\r\nx"),
        ("\\H\\high\\N\\", "high"),
        ("a\\.br\\b", "a\nb"),
        ("a\\.br\\\\.br\\b", "a\n\nb"),
        ("a\\.sp+2\\b", "a\nb"),
        ("a\\.ce\\b", "a\nb"),
        ("1\\.in+4\\2", "1 2"),
        ("1\\.ti-2\\2\\.sk 3\\3\\.fi\\\\.nf\\4", "1 2 3  4"),
        ("\\E\\F\\E\\", "\\F\\"),
        ("\\T\\T\\T\\", "&T&"),
        ("a\\b", "a\\b"),
        ("a\\", "a\\"),
        ("\\", "\\"),
        ("\\\\", "\\\\"),
        ("\\F", "\\F"),
        ("\\f\\", "\\f\\"),
        ("\\Zab\\", "\\Zab\\"),
        ("\\C2341\\", "\\C2341\\"),
        ("\\M244341\\", "\\M244341\\"),
        ("\\XB5\\mol", "\\XB5\\mol"),
        ("\\X4\\", "\\X4\\"),
        ("\\X\\", "\\X\\"),
        ("\\unknown\\F\\", "\\unknown|"),
        ("C:\\dir\\S\\x", "C:\\dir^x"),
    ],
)
def test_every_escape(sent: str, meant: str) -> None:
    assert obx_5(f"<{sent}>").text(5) == f"<{meant}>"


def test_pick_counts_from_one() -> None:
    assert [pick("a^b^c", "^", n) for n in (1, 2, 3, 4)] == ["a", "b", "c", ""]
    assert (pick("abc", "", 1), pick("abc", "", 2)) == ("abc", "")


LONG = 200_000


@pytest.mark.parametrize(
    "value",
    ["\\" * LONG, "\\.br\\" * LONG, "\\x" * LONG, "~" * LONG, "^" * LONG, "wrapped at once\r" * LONG, "\\E\\F" * LONG],
    ids=["escapes", "line breaks", "unknown", "repetitions", "components", "wrapped", "pairs"],
)
def test_a_hostile_field_costs_no_more_than_its_length(value: str) -> None:
    began = time.process_time()
    obx = obx_5(value)
    assert obx.text(6) == "U/L"
    obx.components(obx.field(5))
    obx.text(5)
    assert time.process_time() - began < 5  # a square of the length takes minutes


def escape(text: str, d: Delimiters) -> str:
    named = {d.field: "F", d.component: "S", d.repetition: "R", d.escape: "E", d.subcomponent: "T"}
    return "".join(f"{d.escape}{named[c]}{d.escape}" if c in named else c for c in text)


PUNCTUATION = [chr(c) for c in range(0x21, 0x7F) if not chr(c).isalnum() and chr(c) != "."]
DELIMITERS = st.permutations(PUNCTUATION).map(lambda p: Delimiters(*p[:5]))
PLAIN = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), max_size=8).filter(lambda t: t != '""')


@given(st.text(st.sampled_from("FSTREXH.br41 |^~\\&a")), DELIMITERS)
def test_what_was_escaped_reads_back(text: str, delimiters: Delimiters) -> None:
    assert unescape(escape(text, delimiters), delimiters) == text


@given(
    st.lists(st.lists(st.lists(PLAIN, min_size=1, max_size=3), min_size=1, max_size=3), min_size=1, max_size=4),
    DELIMITERS,
)
def test_every_subcomponent_is_found_at_its_place(field: list[list[list[str]]], d: Delimiters) -> None:
    sent = d.repetition.join(
        d.component.join(d.subcomponent.join(escape(text, d) for text in component) for component in repetition)
        for repetition in field
    )
    read = split(d.field.join(["MSH", "x", "A\rOBX", "1", sent, "end"]), d)[1]
    stated = [r for r in field if any(text for c in r for text in c) or len(r) > 1 or len(r[0]) > 1]
    assert len(read.repetitions(2)) == len(stated)
    for repetition, parts in zip(read.repetitions(2), stated, strict=True):
        for c, component in enumerate(parts, start=1):
            for s, text in enumerate(component, start=1):
                assert read.part(repetition, c, s) == text
    assert read.field(3) == "end"


@given(st.text(), DELIMITERS)
def test_no_text_raises_and_nothing_is_invented(text: str, delimiters: Delimiters) -> None:
    for segment in split(f"MSH{delimiters.field}{text}", delimiters):
        for position in range(len(segment.fields) + 1):
            segment.text(position, 2, 2)
            for repetition in segment.repetitions(position):
                assert repetition in text.replace("\r\n", "\n").replace("\r", "\n") or segment.name == "MSH"
                segment.components(repetition)
        unescape(text, delimiters)


@given(st.lists(st.sampled_from(["\r", "\n", "\r\n"]), min_size=4, max_size=4), st.integers(0, 3))
def test_any_mixture_of_line_ends_is_one_message(ends: list[str], blank: int) -> None:
    text = "".join(
        line + end + "\n" * (blank if end != "\r" else 0) for line, end in zip(MESSAGE, [*ends, ""], strict=True)
    )
    read = segments(text)
    assert ["|".join(s.fields) for s in read[1:]] == list(MESSAGE[1:])
    assert "|".join(read[0].fields[2:]) == MSH.removeprefix("MSH|")
