"""MLLP framing: whole, byte by byte, at every cut, with bytes around the blocks."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.codecs.mllp import HEAD_BYTES, Cut, Decoder, Event, Frame, Junk, Oversize, encode

# FS followed by CR or VT cannot be in a payload: it would end the block
PAYLOADS = st.binary(max_size=60).filter(lambda payload: b"\x1c\x0d" not in payload and b"\x1c\x0b" not in payload)
BROKEN_STREAMS = st.lists(st.sampled_from([b"\x0b", b"\x1c", b"\x0d", b"\x0a", b"M"]), max_size=30).map(b"".join)


def decode(*pieces: bytes, limit: int = 1000, close: bool = True) -> list[Event]:
    decoder = Decoder(limit)
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return events + decoder.close() if close else events


def without_junk(events: list[Event]) -> tuple[list[Event], int]:
    """Junk is reported piece by piece: only its sum is independent of the cuts."""
    kept: list[Event] = [event for event in events if not isinstance(event, Junk)]
    return kept, sum(event.count for event in events if isinstance(event, Junk))


STREAMS = {
    "one": (b"\x0bA\x1c\r", [Frame(b"A")], 0),
    "two in one write": (b"\x0bA\x1c\r\x0bB\x1c\r", [Frame(b"A"), Frame(b"B")], 0),
    "CR LF between": (b"\x0bA\x1c\r\r\n\x0bB\x1c\r\r\n", [Frame(b"A"), Frame(b"B")], 4),
    "empty": (b"\x0b\x1c\r", [Frame(b"")], 0),
    "junk before and after": (b"hello\x0bA\x1c\rbye", [Frame(b"A")], 8),
    "CR omitted, another block follows": (b"\x0bA\x1c\x0bB\x1c\r", [Frame(b"A"), Frame(b"B")], 0),
    "CR omitted, the stream ends": (b"\x0bA\x1c", [Frame(b"A")], 0),
    "FS before other bytes is content": (b"\x0bA\x1cB\x1c\r", [Frame(b"A\x1cB")], 0),
    "FS before the end of the block is content": (b"\x0bA\x1c\x1c\r", [Frame(b"A\x1c")], 0),
    "VT inside is content": (b"\x0bA\x0bB\x1c\r", [Frame(b"A\x0bB")], 0),
    "CR inside is content": (b"\x0bA\rB\r\x1c\r", [Frame(b"A\rB\r")], 0),
    "cut": (b"\x0bA\x1c\r\x0bBC", [Frame(b"A"), Cut(2)], 0),
    "nothing but junk": (b"GET / HTTP/1.1\r\n", [], 16),
    "oversize, then one that fits": (
        b"\x0b" + b"x" * 1001 + b"\x1c\r\x0bB\x1c\r",
        [Oversize(b"x" * 1001, 1001), Frame(b"B")],
        0,
    ),
    "as large as allowed": (b"\x0b" + b"x" * 1000 + b"\x1c\r", [Frame(b"x" * 1000)], 0),
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_gives_the_same_events_however_it_is_cut(name: str) -> None:
    stream, expected, junk = STREAMS[name]
    assert without_junk(decode(stream)) == (expected, junk)
    assert without_junk(decode(*(stream[i : i + 1] for i in range(len(stream))))) == (expected, junk)
    for cut in range(len(stream) + 1):
        assert without_junk(decode(stream[:cut], stream[cut:])) == (expected, junk)


@given(st.lists(PAYLOADS, max_size=5))
def test_what_is_encoded_is_decoded(payloads: list[bytes]) -> None:
    assert decode(b"".join(map(encode, payloads))) == [Frame(payload) for payload in payloads]


@given(st.lists(st.tuples(PAYLOADS, st.sampled_from([b"", b"\r\n", b"junk"])), max_size=4), st.data())
def test_any_cuts_and_any_junk_between_blocks_lose_no_block(
    blocks: list[tuple[bytes, bytes]], data: st.DataObject
) -> None:
    stream = b"".join(junk + encode(payload) for payload, junk in blocks)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    frames, junk = without_junk(decode(*pieces))
    assert frames == [Frame(payload) for payload, _ in blocks]
    assert junk == sum(len(junk) for _, junk in blocks)


@given(BROKEN_STREAMS, st.integers(0, 30), st.integers(1, 4))
def test_broken_streams_are_read_alike_however_they_are_cut(stream: bytes, cut: int, limit: int) -> None:
    assert without_junk(decode(stream[:cut], stream[cut:], limit=limit)) == without_junk(decode(stream, limit=limit))


@given(BROKEN_STREAMS)
def test_every_byte_of_a_broken_stream_is_content_framing_or_junk(stream: bytes) -> None:
    events, junk = without_junk(decode(stream))
    frames = [event for event in events if isinstance(event, Frame)]
    cuts = [event for event in events if isinstance(event, Cut)]
    content = sum(len(frame.payload) for frame in frames) + sum(cut.size for cut in cuts)
    framing = len(stream) - content - junk
    # VT of a block that was cut; VT and FS, and CR where it was not omitted, of one that was not
    assert len(cuts) + 2 * len(frames) <= framing <= len(cuts) + 3 * len(frames)


def test_in_frame_holds_from_vt_to_the_end() -> None:
    decoder = Decoder(100)
    states = []
    for piece in (b"junk", b"\x0bA", b"\x1c", b"\r"):
        decoder.feed(piece)
        states.append(decoder.in_frame)
    assert states == [False, True, True, False]


def test_a_decoder_can_be_used_again_after_close() -> None:
    decoder = Decoder(100)
    decoder.feed(b"\x0bAB")
    assert decoder.close() == [Cut(2)]
    assert decoder.close() == []
    assert decoder.feed(b"\x0bC\x1c\r") == [Frame(b"C")]


@pytest.mark.parametrize("piece_bytes", [1000, 64 * 1024, 300_000, 1_000_000])
def test_an_oversize_block_keeps_its_head_alone(piece_bytes: int) -> None:
    size = 300_000
    stream = b"\x0b" + bytes(i % 10 + 48 for i in range(size)) + b"\x1c\r"
    pieces = [stream[start : start + piece_bytes] for start in range(0, len(stream), piece_bytes)]
    assert decode(*pieces, limit=100_000) == [Oversize(stream[1 : HEAD_BYTES + 1], size)]
    assert decode(*pieces, limit=1000) == [Oversize(stream[1 : HEAD_BYTES + 1], size)]


def test_a_block_as_large_as_allowed_is_whole_beyond_the_head_too() -> None:
    payload = b"x" * (HEAD_BYTES + 1000)
    assert decode(encode(payload), limit=len(payload)) == [Frame(payload)]


def test_large_frames_take_linear_time_in_small_pieces() -> None:
    def seconds(size: int) -> float:
        piece = b"x" * 16
        decoder = Decoder(1 << 30)
        started = time.perf_counter()
        decoder.feed(b"\x0b")
        for _ in range(size // 16):
            decoder.feed(piece)
        assert decoder.feed(b"\x1c\r") == [Frame(b"x" * size)]
        return time.perf_counter() - started

    small = min(seconds(1 << 20) for _ in range(3))
    assert seconds(1 << 23) < 8 * small * 4  # eight times the bytes; quadratic would be sixty-four times the time


@pytest.mark.parametrize("payload", [b"A\x1c\rB", b"A\x1c\x0bB"])
def test_a_payload_that_would_end_its_block_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match="0x1C"):
        encode(payload)


def test_a_limit_below_one_byte_is_refused() -> None:
    with pytest.raises(ValueError, match="max_frame_bytes"):
        Decoder(0)


def test_events_do_not_show_what_was_sent() -> None:
    assert "secret" not in repr([Frame(b"secret"), Oversize(b"secret", 6)])
