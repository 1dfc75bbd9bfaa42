"""What may be kept of a payload: whole messages, whole patients, whole results, and not a byte of anybody else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.codecs.envelope import keep_groups, keep_observations, lines_of, split_payload
from adapter.codecs.hl7v2 import Delimiters, split
from adapter.codecs.message import Opened, open_message
from adapter.codecs.oru import PatientResults, read_results
from adapter.model import Reported

MSH = b"MSH|^~\\&|LIS|NTC|EDC|TRIAL|20260105||ORU^R01^ORU_R01|M1|P|2.5.1||||||UNICODE UTF-8\r"
OUL = MSH.replace(b"ORU^R01^ORU_R01", b"OUL^R22^OUL_R22")
MINE = b"PID|1||0012345^^^NTCGH\rOBR|1|A\rOBX|1|NM|1742-6||35|U/L\rNTE|1||mine\r"
OTHERS = b"PID|2||7777777^^^NTCGH\rPV1|1|stranger\rOBR|1|B\rOBX|1|NM|1742-6||99|U/L\rNTE|1||stranger's\r"
FHS, BHS, BTS, FTS = b"FHS|^~\\&|LIS\r", b"BHS|^~\\&|LIS\r", b"BTS|2\r", b"FTS|1\r"


def groups_of(message: bytes, event: str = "R01") -> tuple[PatientResults, ...]:
    opened = open_message(message, "utf-8")
    assert isinstance(opened, Opened)
    return read_results(opened.text, opened.delimiters, event, opened.header.message_at)


def results_of(message: bytes, event: str = "R01") -> list[Reported]:
    return [r for g in groups_of(message, event) for r in g.results]


def unnumbered(results: list[Reported]) -> list[Reported]:
    return [replace(r, locator="") for r in results]


# --- a payload into messages --------------------------------------------------------------------------------------


def test_one_message_is_itself() -> None:
    payload = split_payload(MSH + MINE)
    assert (payload.messages, payload.batch, payload.fault) == ((MSH + MINE,), False, None)


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n"])
def test_a_batch_is_its_messages_without_the_envelope(end: bytes) -> None:
    one, two = MSH + MINE, MSH + OTHERS
    payload = split_payload((FHS + BHS + one + two + BTS + FTS).replace(b"\r", end))
    assert payload.messages == (one.replace(b"\r", end), two.replace(b"\r", end))
    assert (payload.batch, payload.fault) == (True, None)


def test_several_headers_without_an_envelope_are_several_messages() -> None:
    payload = split_payload(MSH + MINE + b"\r\n" + MSH + OTHERS)
    assert (payload.messages, payload.batch) == ((MSH + MINE + b"\r\n", MSH + OTHERS), False)


@pytest.mark.parametrize(
    ("trailer", "wrong"),
    [
        (b"BTS|2\r", False),
        (b"BTS|3|note\r", True),
        (b"BTS|0\r", True),
        (b"BTS\r", False),
        (b"BTS||x\r", False),
        (b"", False),
    ],
)
def test_a_batch_that_counts_other_messages_is_at_fault(trailer: bytes, wrong: bool) -> None:
    payload = split_payload(BHS + MSH + MINE + MSH + OTHERS + trailer)
    assert (payload.fault is not None) == wrong
    assert len(payload.messages) == 2


def test_each_batch_of_a_file_is_counted_for_itself() -> None:
    message = MSH + MINE
    assert split_payload(FHS + BHS + message * 2 + BTS + BHS + message + b"BTS|1\r" + FTS).fault is None
    assert split_payload(FHS + BHS + message * 2 + BTS + BHS + message + b"BTS|2\r" + FTS).fault is not None


def test_text_before_the_first_header_stays_with_it() -> None:
    assert split_payload(b"a log line\r\n" + MSH + MINE).messages == (b"a log line\r\n" + MSH + MINE,)


@pytest.mark.parametrize("payload", [b"", b"hello world", b"PID|1||x\r", b"MSH", b"MSHX|^~\\&|\r", FTS])
def test_without_a_header_the_payload_is_one_message(payload: bytes) -> None:
    assert split_payload(payload).messages == (payload,)


@pytest.mark.parametrize(
    "words", [b"MSH was read", b"MSH", b"MSH-9 is wrong", b"MSHA|^~\\&|", b"FHS|x", b"BHS too", b"msh|^~\\&|"]
)
def test_words_like_a_header_inside_a_text_begin_no_message(words: bytes) -> None:
    message = MSH + b"PID|1||1\rOBX|1|FT|x||text\r" + words + b"\rmore|||||F\r"
    payload = split_payload(message)
    assert (payload.messages, payload.batch) == ((message,), False)


def test_a_header_that_is_broken_is_never_taken_for_text_of_the_message_before_it() -> None:
    broken = b"MSH|^^^^|LIS\rOBX|1|NM|1742-6||99|U/L\r"
    assert split_payload(MSH + MINE + broken).messages == (MSH + MINE, broken)
    broken = b"MSH|words|LIS\rOBX|1|NM|1742-6||99|U/L\r"
    assert split_payload(MSH + MINE + broken).messages == (MSH + MINE, broken)


def test_each_message_has_its_own_delimiters() -> None:
    other = b"MSH*!%$@*LIS\rPID*1**1\rPID|is text\r"
    payload = split_payload(MSH + MINE + other)
    assert payload.messages == (MSH + MINE, other)
    assert [line.name for line in lines_of(other)] == [b"MSH", b"PID", b""]


# --- lines --------------------------------------------------------------------------------------------------------

LINE = st.one_of(
    st.sampled_from(
        [
            b"PID|1",
            b"PID",
            b"PID |x",
            b" \tPID|",
            b"\xef\xbb\xbfPID|",
            b"PIDs",
            b"PID\xa0|",
            b"PID\x85|",
            b"PID\x0b|",
            b"PID*1",
        ]
    ),
    st.sampled_from(
        [b"OBX|1", b"OBX", b"OBR|", b"ORC|", b"SPM|", b"NTE|", b"text", b"", b" ", b"\x1c", b"\xbf\xbbPID|", b"Z01|"]
    ),
    st.sampled_from(
        [b"MSH|", b"MSH", b"MSH|^~\\&|B", b"MSH|x|", b"BHS|1", b"FTS|", "锘PID|".encode("gb18030"), b"P\xef\xbb\xbfID|"]
    ),
    st.binary(max_size=8),
)
ENDS = st.sampled_from([b"\r", b"\n", b"\r\n", b"\n\r", b"\r\r"])
CHARSETS = ["", "UNICODE UTF-8", "GB 18030-2000", "BIG-5", "8859/1", "ASCII"]


def anything(lines: list[tuple[bytes, bytes]], charset: str = "", before: bytes = b"") -> bytes:
    header = MSH.replace(b"UNICODE UTF-8", charset.encode())
    return before + header + b"".join(line + end for line, end in lines)


@given(st.lists(st.tuples(LINE, ENDS)), st.binary(max_size=40))
def test_lines_joined_are_the_payload_again(lines: list[tuple[bytes, bytes]], last: bytes) -> None:
    payload = anything(lines) + last
    assert b"".join(line.raw for line in lines_of(payload)) == payload


@given(st.lists(st.tuples(LINE, ENDS)), st.sampled_from([b"", b"\xef\xbb\xbf", b"words\r", b"PID|1||x\rMSH\n"]))
def test_messages_are_the_payload_without_its_envelope(lines: list[tuple[bytes, bytes]], before: bytes) -> None:
    payload = anything(lines, before=before)
    envelope = (b"FHS", b"BHS", b"BTS", b"FTS")
    assert b"".join(split_payload(payload).messages) == b"".join(
        n.raw for n in lines_of(payload) if n.name not in envelope
    )


@given(
    st.lists(st.tuples(LINE, ENDS)),
    st.sampled_from(CHARSETS),
    st.sampled_from([b"", b"\xef\xbb\xbf", b"words\rPID|1\r"]),
)
def test_bytes_are_cut_where_text_is(lines: list[tuple[bytes, bytes]], charset: str, before: bytes) -> None:
    for message in split_payload(anything(lines, charset, before)).messages:
        opened = open_message(message, "utf-8")
        if isinstance(opened, Opened):
            structural = {"PID", "OBX", "OBR", "ORC", "SPM", "NTE"}
            as_bytes = [line.name.decode() for line in lines_of(message) if line.name.decode() in structural]
            assert [s.name for s in split(opened.text, opened.delimiters) if s.name in structural] == as_bytes


# --- patients -----------------------------------------------------------------------------------------------------


def test_the_header_and_the_participants_groups_are_kept() -> None:
    message = MSH + b"SFT|vendor\rNTE|1||about all\r" + OTHERS + MINE + OTHERS
    assert keep_groups(message, [False, True, False]) == MSH + b"SFT|vendor\r" + MINE


def test_everybodys_groups_are_kept_in_order() -> None:
    assert keep_groups(MSH + MINE + OTHERS + MINE, [True, True, False]) == MSH + MINE + OTHERS


def test_what_continues_a_dropped_line_is_dropped_with_it() -> None:
    message = MSH + b"NTE|1||stranger\rcontinued\r" + b"PID|1||9\rNTE|1||one\rtwo\r" + MINE + b"and more\r"
    assert keep_groups(message, [False, True]) == MSH + MINE + b"and more\r"


def test_what_continues_the_header_is_kept() -> None:
    assert keep_groups(MSH + b"wrapped\r\n" + OTHERS, [False]) == MSH + b"wrapped\r\n"


@pytest.mark.parametrize("before", [b"a log line\r\n", b"PID|9||stranger\r", b"OBX|1|NM|x||99\r\xef\xbb\xbf"])
def test_text_before_the_header_is_not_kept_and_counts_for_no_patient(before: bytes) -> None:
    assert keep_groups(before + MSH + OTHERS + MINE, [False, True]).removeprefix(b"\xef\xbb\xbf") == MSH + MINE


@pytest.mark.parametrize("words", [b"PIDs agree", b"PID: 12", b"pid|2||x", b"MSH was sent", b"PID*2"])
def test_words_like_a_segment_inside_a_text_begin_no_patient(words: bytes) -> None:
    text = b"OBX|2|FT|x||report\r" + words + b"\rend|||||F\r"
    assert keep_groups(MSH + MINE + text + OTHERS, [True, False]) == MSH + MINE + text


@pytest.mark.parametrize("keep", [[], [True], [True, False, True]])
def test_groups_that_were_counted_otherwise_are_refused(keep: list[bool]) -> None:
    with pytest.raises(ValueError, match="the message has 2"):
        keep_groups(MSH + MINE + OTHERS, keep)


MARK = st.text("abcdefgh", min_size=1, max_size=5)
SEGMENTS = st.lists(
    st.sampled_from(
        [b"PV1|1|%s", b"OBR|1|%s", b"OBX|1|FT|x||%s", b"NTE|1||%s", b"%s goes on", b"PIDs: %s", b"  %s", b"Z01|%s"]
    ),
    max_size=6,
)
GROUPS = st.lists(st.tuples(st.booleans(), MARK, SEGMENTS), max_size=5)


@given(GROUPS, ENDS)
def test_no_byte_of_a_dropped_group_remains(groups: list[tuple[bool, str, list[bytes]]], end: bytes) -> None:
    def written(number: int, mark: str, segments: list[bytes]) -> bytes:
        owner = f"{'mine' if groups[number][0] else 'STRANGER'}-{number}-{mark}".encode()
        return b"".join(line % owner + end for line in (b"PID|1||%s", *segments))

    parts = [written(number, mark, segments) for number, (_, mark, segments) in enumerate(groups)]
    header = MSH.replace(b"\r", end)
    kept = keep_groups(header + b"".join(parts), [mine for mine, _, _ in groups])
    assert kept == header + b"".join(part for part, (mine, _, _) in zip(parts, groups, strict=True) if mine)
    assert b"STRANGER" not in kept


@given(st.lists(st.tuples(LINE, ENDS)), st.sampled_from(CHARSETS), st.data())
def test_what_is_kept_reads_as_the_groups_it_was(
    lines: list[tuple[bytes, bytes]], charset: str, data: st.DataObject
) -> None:
    message = split_payload(anything(lines, charset)).messages[0]
    named = [g for g in groups_of(message) if g.patient is not None]
    keep = [data.draw(st.booleans()) for _ in named]
    kept = keep_groups(message, keep)
    wanted = [g for g, mine in zip(named, keep, strict=True) if mine]
    read = groups_of(kept)
    assert [g.patient for g in read] == [g.patient for g in wanted]
    assert [unnumbered(list(g.results)) for g in read] == [unnumbered(list(g.results)) for g in wanted]
    places = iter(lines_of(message))
    assert all(any(line.raw == other.raw for other in places) for line in lines_of(kept))


# --- results ------------------------------------------------------------------------------------------------------

ORDER_1 = b"ORC|RE|A\rOBR|1|A|||||20260201\rNTE|1||order\r"
ORDER_2 = b"ORC|RE|B\rOBR|2|B|||||20260901\r"
FIRST = b"OBX|1|NM|1742-6||35|U/L\rNTE|1||first\rwraps\rPRT|1|who\r"
SECOND = b"OBX|2|NM|1920-8||36|U/L\rNTE|1||second\rTCD|x\r"
THIRD = b"OBX|1|FT|x||late\rPIDs agree\rOBX: none\r"
SPECIMEN_1, SPECIMEN_2 = b"SPM|1||||||||||||||||20260201\r", b"SPM|1||||||||||||||||20260901\r"
PATIENT = b"PID|1||0012345^^^NTCGH\rPV1|1\r"


@pytest.mark.parametrize(
    ("keep", "rest"),
    [
        ({1, 2, 3}, ORDER_1 + FIRST + SECOND + SPECIMEN_1 + ORDER_2 + THIRD + SPECIMEN_2),
        ({1, 3}, ORDER_1 + FIRST + SPECIMEN_1 + ORDER_2 + THIRD + SPECIMEN_2),
        ({2}, ORDER_1 + SECOND + SPECIMEN_1),
        ({1, 2}, ORDER_1 + FIRST + SECOND + SPECIMEN_1),
        ({3}, ORDER_2 + THIRD + SPECIMEN_2),
        (set(), b""),
    ],
)
def test_a_result_goes_with_its_notes_and_an_order_with_its_last_result(keep: set[int], rest: bytes) -> None:
    message = MSH + PATIENT + ORDER_1 + FIRST + SECOND + SPECIMEN_1 + ORDER_2 + THIRD + SPECIMEN_2
    assert keep_observations(message, keep) == MSH + PATIENT + rest


def test_an_order_without_results_goes_where_results_go() -> None:
    message = MSH + PATIENT + ORDER_2 + ORDER_1 + FIRST
    assert keep_observations(message, {1}) == MSH + PATIENT + ORDER_1 + FIRST


def test_the_patient_stays_where_results_stand_outside_any_order() -> None:
    message = MSH + PATIENT + FIRST + ORDER_1 + SECOND
    assert keep_observations(message, {2}) == MSH + PATIENT + ORDER_1 + SECOND


def test_an_order_begins_at_its_orc_whatever_stands_between() -> None:
    order = b"ORC|RE|A\rNTE|1||why\rPRT|1\rOBR|1|A\r"
    assert keep_observations(MSH + PATIENT + order + FIRST + ORDER_2 + THIRD, {2}) == MSH + PATIENT + ORDER_2 + THIRD


@pytest.mark.parametrize("keep", [{1}, {2}])
def test_a_specimen_that_precedes_its_orders_stays_with_them(keep: set[int]) -> None:
    oul_1 = SPECIMEN_1 + b"SAC|1\r" + b"OBR|1|A\rORC|RE\r" + FIRST
    oul_2 = SPECIMEN_2 + b"OBR|2|B\rORC|RE\r" + SECOND
    kept = keep_observations(OUL + PATIENT + oul_1 + oul_2, keep)
    assert kept == OUL + PATIENT + (oul_1 if keep == {1} else oul_2)


def test_a_specimen_with_results_of_its_own_and_one_with_several_orders() -> None:
    own = SPECIMEN_1 + FIRST + b"OBR|1|A\r" + SECOND + b"OBR|2|B\r" + THIRD
    assert keep_observations(OUL + PATIENT + own, {1}) == OUL + PATIENT + SPECIMEN_1 + FIRST
    assert keep_observations(OUL + PATIENT + own, {3}) == OUL + PATIENT + SPECIMEN_1 + b"OBR|2|B\r" + THIRD


BLOCKS = st.lists(
    st.tuples(
        st.sampled_from([b"ORC|RE\rOBR|1|A|%d||||20260201\r", b"OBR|1|A|%d||||20260202\rORC|RE\r", b"OBR|1||%d\r"]),
        st.lists(
            st.sampled_from([b"OBX|1|NM|c||%d|U/L\rNTE|1||n\r", b"OBX|1|FT|c||%d\rmore\rPRT|1\r"]),
            min_size=1,
            max_size=3,
        ),
        st.sampled_from([b"", b"SPM|1|||SER||||||||||||||20260203\r", b"SPM|1|||UR\rSPM|2|||SER\r"]),
    ),
    max_size=4,
)


@given(BLOCKS, st.sampled_from(["R01", "R22", "R24"]), st.data())
def test_the_results_that_stay_read_as_they_did(
    blocks: list[tuple[bytes, list[bytes], bytes]], event: str, data: st.DataObject
) -> None:
    message, count = MSH.replace(b"ORU^R01^ORU_R01", b"OUL^%s" % event.encode()) + PATIENT, 0
    for number, (order, observations, specimen) in enumerate(blocks):
        message += (specimen or SPECIMEN_1) if event == "R22" else b""
        message += order % number
        for observation in observations:
            count += 1
            message += observation % count
        message += specimen if event != "R22" else b""
    keep = {n for n in range(1, count + 1) if data.draw(st.booleans())}
    before = results_of(message, event)
    after = results_of(keep_observations(message, keep), event)
    assert unnumbered(after) == unnumbered([r for n, r in enumerate(before, start=1) if n in keep])


SHUFFLED = st.lists(
    st.sampled_from(
        [b"ORC|RE", b"OBR|1|A%d|||||2026%02d01", b"SPM|1|||SER%d", b"OBX|1|NM|c||%d", b"NTE|1||%d", b"PID|%d||x"]
    ),
    max_size=16,
)


@given(SHUFFLED, st.sampled_from(["R01", "R22", "R23", "R24"]), st.data())
def test_results_that_stay_read_as_they_did_in_whatever_order_segments_came(
    segments: list[bytes], event: str, data: st.DataObject
) -> None:
    message = MSH.replace(b"ORU^R01^ORU_R01", b"OUL^%s" % event.encode()) + PATIENT
    for number, segment in enumerate(segments):
        message += segment % ((number + 1,) * segment.count(b"%")) + b"\r"
    before = results_of(message, event)
    keep = {n for n in range(1, len(before) + 1) if data.draw(st.booleans())}
    after = results_of(keep_observations(message, keep), event)
    assert unnumbered(after) == unnumbered([r for n, r in enumerate(before, start=1) if n in keep])


@given(st.lists(st.tuples(LINE, ENDS)), st.sampled_from(CHARSETS), st.data())
def test_what_goes_is_never_what_was_to_stay(
    lines: list[tuple[bytes, bytes]], charset: str, data: st.DataObject
) -> None:
    message = split_payload(anything(lines, charset)).messages[0]
    count = len(results_of(message))
    keep = {n for n in range(1, count + 1) if data.draw(st.booleans())}
    kept = keep_observations(message, keep)
    assert [r.value for r in results_of(kept)] == [
        r.value for n, r in enumerate(results_of(message), start=1) if n in keep
    ]
    assert kept.startswith(MSH[:20])
    assert keep_observations(message, set(range(1, count + 1))).count(b"OBX") >= count
    places = iter(lines_of(message))
    assert all(any(line.raw == other.raw for other in places) for line in lines_of(kept))


def test_delimiters_do_not_matter() -> None:
    other = Delimiters("*", "!", "%", "$", "@")
    message = (MSH + MINE + OTHERS).replace(b"|", b"*").replace(b"^~\\&", b"!%$@").replace(b"^", b"!")
    kept = keep_groups(message, [True, False])
    assert [s.name for s in split(kept.decode(), other)] == ["MSH", "PID", "OBR", "OBX", "NTE"]
    assert b"stranger" not in kept
