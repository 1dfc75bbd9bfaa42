"""hl7apy as the oracle of the reader: the same segments, fields, components and values wherever it reads a message.

What it is known to do otherwise has a name here and a test which shows that it still does so. A message is mended where
the fault is in what hl7apy can take, a field is left out where it is in what it makes of it; nothing else is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hl7apy import SUPPORTED_LIBRARIES
from hl7apy.core import Message
from hl7apy.exceptions import HL7apyException, InvalidEncodingChars, InvalidName, ParserError, UnsupportedVersion
from hl7apy.parser import parse_message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapter.codecs.envelope import split_payload
from adapter.codecs.header import Header
from adapter.codecs.hl7v2 import NULL, Delimiters, Segment, split
from adapter.codecs.message import Opened, open_message

MESSAGES_OF_A_FILE = 2  # hl7apy takes a twentieth of a second for each
MSH = "MSH|^~\\&|LIS|NTC|EDC|TRIAL|20260105||ORU^R01^ORU_R01|M1|P|2.5.1"
PID, OBR, OBX = "PID|1||12^^^A&1.2&ISO~13", "OBR|1|P|F|C^n^L", "OBX|1|NM|1742-6^ALT^LN||35|U/L|||||F"

Where = tuple[str, int, int, int]  # segment, its number, field, repetition
Leaves = dict[tuple[str, int, int, int, int, int], str | Decimal]  # and component, subcomponent
NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:E[+-]?[0-9]{1,3})?")


def text_of(*lines: str, end: str = "\r") -> str:
    return end.join(lines)


# --- both readings in one form ------------------------------------------------------------------------------------


@dataclass
class Reading:
    """Segment names, every value that is not empty, and where hl7apy has no name for what it found."""

    names: list[str] = field(default_factory=list)
    leaves: Leaves = field(default_factory=dict)
    tables: dict[tuple[str, int], set[int]] = field(default_factory=dict)  # fields known, where it met unknown ones
    nameless: set[Where] = field(default_factory=set)


def place(name: str | None, order: int) -> int:
    """``CX_4`` is 4, ``ST`` is where it stands; what hl7apy cannot name is at 0."""
    number = (name or "_0").rpartition("_")[2]
    return int(number) if number.isdigit() else order


def theirs(message: Message) -> Reading:
    reading = Reading()
    for segment in message.children:
        reading.names.append(segment.name)
        number, repetitions = reading.names.count(segment.name), Counter[int]()
        for sent in segment.children:
            position = place(sent.name, 0)
            written = list(_parts(sent, message.encoding_chars))
            if not any(text != "" for *_, text in written) or (segment.name == "MSH" and position in (1, 2)):
                continue
            repetitions[position] += 1
            where = (segment.name, number, position, repetitions[position])
            if position == 0:
                known = {place(name, 0) for name in segment.structure_by_name}
                reading.tables[segment.name, number] = known
            elif not all(c and s for c, s, _ in written):
                reading.nameless.add(where)
            else:
                reading.leaves |= {(*where, c, s): text for c, s, text in written if text not in ("", NULL)}
    return reading


def _parts(sent: Any, encoding_chars: dict[str, str]) -> Iterator[tuple[int, int, Any]]:
    for c, component in enumerate(sent.children, start=1):
        numbered = any("_" in (leaf.name or "") for leaf in component.children)
        for s, leaf in enumerate(component.children, start=1):
            text = leaf.to_er7(encoding_chars).strip()
            beyond = numbered and "_" not in (leaf.name or "")
            number = Decimal(text) if leaf.datatype in ("NM", "SI") and NUMBER.fullmatch(text) else text
            yield place(component.name, c), 0 if beyond else place(leaf.name, s), number


def ours(segments: tuple[Segment, ...]) -> Reading:
    reading = Reading([segment.name for segment in segments])
    for segment in segments:
        d = segment.delimiters
        for position in range(3 if segment.name == "MSH" else 1, len(segment.fields)):
            stated = [r for r in segment.repetitions(position) if r.strip(f"{d.component}{d.subcomponent} ")]
            for r, repetition in enumerate(stated, start=1):
                for c in range(1, repetition.count(d.component) + 2 if d.component else 2):
                    for s in range(1, repetition.count(d.subcomponent) + 2 if d.subcomponent else 2):
                        if text := segment.part(repetition, c, s):
                            reading.leaves[segment.name, segment.number, position, r, c, s] = text
    return reading


def differences(text: str, delimiters: Delimiters, left_out: Counter[str]) -> list[object]:
    """What both readings do not have in common, but for the named faults, which are counted."""
    segments = split(text, delimiters)
    us, them = ours(segments), theirs(parse_message(mended(text), find_groups=False))
    if us.names != them.names:
        return [("segments", us.names, them.names)]
    found: list[object] = []
    fields = {(segment.name, segment.number): segment for segment in segments}
    for key in sorted(us.leaves.keys() | them.leaves.keys()):
        segment, where = fields[key[:2]], key[:4]
        if key[:2] in them.tables and key[2] not in them.tables[key[:2]]:
            left_out["fields beyond the segment"] += 1
        elif where in them.nameless:
            left_out["components beyond the type"] += 1
        elif delimiters.escape and delimiters.escape in segment.field(key[2]):
            left_out["escapes"] += 1
        else:
            left_out["compared"] += 1
            if not alike(us.leaves.get(key), them.leaves.get(key)):
                found.append((key, us.leaves.get(key), them.leaves.get(key)))
    return found


def alike(sent: str | Decimal | None, read: str | Decimal | None) -> bool:
    """Equal texts; a number that hl7apy writes anew, the same number."""
    if isinstance(read, Decimal) and isinstance(sent, str):
        return NUMBER.fullmatch(sent.upper()) is not None and Decimal(sent) == read
    return sent == read


def mended(text: str) -> str:
    """The message without what hl7apy cannot take (LINE_ENDS to LOST_ESCAPE below)."""
    text = re.sub("\r\n|\n", "\r", text).replace("\ufeff", "")
    text = text[re.search("(?:^|(?<=\r))MSH", text).start() :]  # type: ignore[union-attr]
    for odd in ("^~\\&#", "^~\\\\&", "^~&"):
        text = text.replace(f"MSH|{odd}|", "MSH|^~\\&|", 1)
    return text


# --- the faults, each still there ---------------------------------------------------------------------------------

LINE_ENDS = text_of(MSH, PID, OBR, OBX, end="\n")
BYTE_ORDER_MARK = "\ufeff" + text_of(MSH, PID, OBR, OBX)
TEXT_BEFORE = text_of("a line", MSH, PID, OBR, OBX)
TRUNCATION = text_of(MSH.replace("&", "&#"), PID, OBR, OBX)
DOUBLED_ESCAPE = text_of(MSH.replace("\\", "\\\\"), PID, OBR, OBX)
LOST_ESCAPE = text_of(MSH.replace("\\", ""), PID, OBR, OBX)
EMPTY_VERSION = text_of(MSH.removesuffix("2.5.1"), PID, OBR, OBX)
LATER_VERSION = text_of(MSH.replace("2.5.1", "2.9"), PID, OBR, OBX)
CONTINUED = text_of(MSH, PID, OBR, OBX.replace("35", "35\rmore"))
BLANK_LINE = text_of(MSH, PID, " ", OBR, OBX)
UNKNOWN_SEGMENT = text_of(MSH, PID, "ABC|1", OBR, OBX)

REFUSED: dict[str, tuple[str, type[HL7apyException], str]] = {
    "line ends": (LINE_ENDS, UnsupportedVersion, "The version 2.5.1\nPID is not supported"),
    "byte order mark": (BYTE_ORDER_MARK, ParserError, "Invalid message"),
    "text before": (TEXT_BEFORE, ParserError, "Invalid message"),
    "truncation": (TRUNCATION, InvalidEncodingChars, "Found 5 encoding chars"),
    "doubled escape": (DOUBLED_ESCAPE, InvalidEncodingChars, "duplicate encoding chars"),
    "lost escape": (LOST_ESCAPE, InvalidEncodingChars, "Missing required encoding chars"),
    "empty version": (EMPTY_VERSION, UnsupportedVersion, "The version  is not supported"),
    "later version": (LATER_VERSION, UnsupportedVersion, "The version 2.9 is not supported"),
    "continued": (CONTINUED, InvalidName, "Invalid name for Segment: MOR"),
    "blank line": (BLANK_LINE, InvalidName, "Invalid name for Segment: $"),
    "unknown segment": (UNKNOWN_SEGMENT, InvalidName, "Invalid name for Segment: ABC"),
}
MENDED = ("line ends", "byte order mark", "text before", "truncation", "doubled escape", "lost escape")


def opened(text: str) -> Opened:
    found = open_message(text.encode(), "utf-8")
    assert isinstance(found, Opened)
    return found


@pytest.mark.parametrize("fault", REFUSED)
def test_what_hl7apy_refuses_is_read(fault: str) -> None:
    text, error, words = REFUSED[fault]
    with pytest.raises(error, match=words):
        parse_message(text, find_groups=False)
    message = opened(text)
    read = split(message.text, message.delimiters)
    assert [s.name for s in read if s.name != "ABC"] == ["MSH", "PID", "OBR", "OBX"]
    assert (read[1].text(3, 4, 2), read[-1].text(5)[:2], read[-1].text(11)) == ("1.2", "35", "F")


@pytest.mark.parametrize("fault", MENDED)
def test_what_was_mended_is_then_the_same(fault: str) -> None:
    message = opened(REFUSED[fault][0])
    assert differences(message.text, message.delimiters, Counter()) == []


def test_line_feeds_without_a_version_at_their_end_leave_the_header_alone() -> None:
    text = text_of(MSH + "|", PID, OBR, OBX, end="\n")
    assert [s.name for s in parse_message(text, find_groups=False).children] == ["MSH"]
    assert [s.name for s in split(text, Delimiters())] == ["MSH", "PID", "OBR", "OBX"]


def test_components_beyond_the_type_shift_left() -> None:
    text = text_of(MSH, OBX.replace("^LN", "^LN^^^^^^original"))
    (field_3,) = parse_message(text, find_groups=False).children[1].obx_3
    assert field_3.to_er7() == "1742-6^ALT^LN^^^^original"
    assert split(text, Delimiters())[1].text(3, 9) == "original"


def test_fields_beyond_the_segment_have_no_number() -> None:
    text = text_of(MSH, OBX + "|" * 18 + "QST")
    assert parse_message(text, find_groups=False).children[1].children[-1].name is None
    assert split(text, Delimiters())[1].text(29) == "QST"


def test_escapes_come_back_escaped_or_as_they_were() -> None:
    text = text_of(MSH, OBX.replace("35", "a\\.br\\b\\T\\c"))
    message = parse_message(text, find_groups=False)
    assert message.children[1].obx_5.to_er7() == "a\\E\\.br\\E\\b\\T\\c"
    assert split(text, Delimiters())[1].text(5) == "a\nb&c"


def test_numbers_are_written_anew() -> None:
    text = text_of(MSH, "OBX|007|NM|c||007||||1e2")
    assert parse_message(text, find_groups=False).children[1].to_er7() == "OBX|7|NM|c||007||||1E+2"
    assert [split(text, Delimiters())[1].text(n) for n in (1, 5, 9)] == ["007", "007", "1e2"]


def test_subcomponents_beyond_the_type_have_no_number() -> None:
    text = text_of(MSH, "SPM|1|||||||||||1^a&b&c&&&&version")
    component = parse_message(text, find_groups=False).children[1].spm_12[0].children[1]
    assert [leaf.name for leaf in component.children] == ["CE_1", "CE_2", "CE_3", "ST"]
    assert split(text, Delimiters())[1].text(12, 2, 7) == "version"


def test_groups_lose_what_they_do_not_expect() -> None:
    text = text_of(MSH, PID, OBR, OBX, "AIS|1", "OBX|2|NM|1920-8||36")
    assert "AIS" not in parse_message(text, find_groups=True).to_er7()
    assert [s.name for s in split(text, Delimiters())][-2:] == ["AIS", "OBX"]


def test_a_blank_after_the_name_shifts_the_fields() -> None:
    text = text_of(MSH, PID, "OBR |1|P|F")
    assert parse_message(text, find_groups=False).children[2].to_er7() == "OBR||1|P|F"
    assert split(text, Delimiters())[2].text(3) == "F"


# --- the comparison -----------------------------------------------------------------------------------------------

PLAIN = st.text("abcXYZ 0123.,-+<>=()#%'\"°µ总胆红素", max_size=6)
COMPONENT = st.lists(PLAIN, min_size=1, max_size=3).map("&".join)
FIELD = st.lists(st.lists(COMPONENT, min_size=1, max_size=6).map("^".join), max_size=3).map("~".join)
LINES = st.builds(
    lambda name, fields: "|".join([name, *fields]),
    st.sampled_from(["PID", "PV1", "ORC", "OBR", "OBX", "NTE", "SPM", "MRG", "Z01"]),
    st.lists(FIELD, max_size=16),
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(LINES, max_size=5), st.sampled_from(["2.1", "2.3", "2.5.1", "2.7", "2.8"]))
def test_a_message_of_any_fields_is_read_alike(lines: list[str], version: str) -> None:
    text = text_of(
        MSH.replace("2.5.1", version), PID, *(line for line in lines if version > "2.4" or "SPM" not in line)
    )
    assert differences(text, Delimiters(), Counter()) == []


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(PLAIN, PLAIN, PLAIN), min_size=1, max_size=3))
def test_a_message_that_hl7apy_builds_is_read_as_it_was_built(results: list[tuple[str, str, str]]) -> None:
    message = Message("ORU_R01", version="2.5.1")
    for code, value, unit in results:
        segment = message.add_segment("OBX")
        segment.obx_2 = "ST"
        segment.obx_3.obx_3_1 = f"c{code}"
        segment.obx_5 = f"v{value}"
        segment.obx_6.obx_6_1 = f"u{unit}"
    read = [s for s in split(message.to_er7(), Delimiters()) if s.name == "OBX"]
    assert [(s.text(3), s.text(5), s.text(6)) for s in read] == [
        (f"c{c}".strip(), f"v{v}".strip(), f"u{u}".strip()) for c, v, u in results
    ]


def refusal(header: Header, error: HL7apyException) -> str:
    """The named fault behind a refusal of hl7apy's; where there is none it is raised again."""
    if isinstance(error, UnsupportedVersion) and header.version not in SUPPORTED_LIBRARIES:
        return "later version" if header.version else "empty version"
    if isinstance(error, InvalidName) and error.cls == "Segment":
        return "unknown segment"
    raise error


@pytest.mark.shared
def test_every_public_message_is_read_alike(shared_data: Path) -> None:
    left_out, found = Counter[str](), []
    for path in sorted(p for p in (shared_data / "hl7v2").rglob("*") if p.is_file()):
        for raw in split_payload(path.read_bytes()).messages[:MESSAGES_OF_A_FILE]:
            message = open_message(raw, "utf-8")
            if not isinstance(message, Opened):
                left_out["no header"] += 1
                continue
            try:
                found += [(path.name, d) for d in differences(message.text, message.delimiters, left_out)]
                left_out["messages"] += 1
            except HL7apyException as error:
                left_out[refusal(message.header, error)] += 1
    assert found == []
    assert left_out["compared"] > 10 * (left_out.total() - left_out["compared"])
    assert left_out["messages"] > 100
