"""MLLP release 1 framing without sockets (HL7 v2.5.1 Implementation Guide, appendix C; Transport: MLLP, Release 1).

A block is ``<VT> payload <FS><CR>``, that is 0x0B, the payload, 0x1C 0x0D. Bytes go into a :class:`Decoder`, events
come out; nothing here knows where the bytes are from.

What the standard leaves open is decided so:

- Bytes outside a block, CR LF between blocks included, are dropped and counted.
- FS followed by CR ends the block. FS followed by VT, or by the end of the stream, ends it too: there are senders that
  omit the CR. FS followed by anything else is content.
- VT inside a block is content: public messages hold it, and no byte says that a sender gave up and began again.

Every character set that :mod:`adapter.codecs.charset` knows keeps these three bytes out of its multi-byte characters.
"""

from __future__ import annotations

from dataclasses import dataclass, field

START_OF_BLOCK = 0x0B
END_OF_BLOCK = 0x1C
CARRIAGE_RETURN = 0x0D
HEAD_BYTES = 64 * 1024  # what is kept of an oversize block: enough for its MSH, so that it can be answered


@dataclass(frozen=True, slots=True)
class Frame:
    """A whole block. ``payload`` is what stood between VT and FS; its ``repr`` does not show it."""

    payload: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Oversize:
    """A whole block longer than the limit: its first bytes (``HEAD_BYTES`` at most) and its payload's size."""

    head: bytes = field(repr=False)
    size: int


@dataclass(frozen=True, slots=True)
class Junk:
    """``count`` bytes outside any block were dropped."""

    count: int


@dataclass(frozen=True, slots=True)
class Cut:
    """The stream ended inside a block, ``size`` payload bytes in. They are dropped: nobody was told they arrived."""

    size: int


Event = Frame | Oversize | Junk | Cut


class Decoder:
    """Bytes in, events out, in the order of the stream and independent of how it was cut into pieces.

    Junk alone is reported piece by piece. Memory is bounded by the larger of ``max_frame_bytes`` (of payload) and
    ``HEAD_BYTES``; time is linear in the bytes fed, one at a time or all at once.
    """

    def __init__(self, max_frame_bytes: int) -> None:
        """Raises ``ValueError`` for a limit below one byte."""
        if max_frame_bytes < 1:
            raise ValueError(f"max_frame_bytes is {max_frame_bytes}; a frame needs at least 1 byte")
        self._max_frame_bytes = max_frame_bytes
        self._payload = bytearray()
        self._size = 0
        self._in_frame = False
        self._end_seen = False  # the last byte was FS: the next one says whether it ended the block

    @property
    def in_frame(self) -> bool:
        """Whether a block has begun and not ended."""
        return self._in_frame

    def feed(self, received: bytes) -> list[Event]:
        """The events that these bytes complete."""
        events: list[Event] = []
        position = 0
        while position < len(received):
            if not self._in_frame:
                position = self._skip_to_start(received, position, events)
            elif self._end_seen:
                position = self._after_end_of_block(received, position, events)
            else:
                position = self._take_content(received, position)
        return events

    def close(self) -> list[Event]:
        """The stream has ended: the block that FS had ended, or the :class:`Cut` of one that nothing ended."""
        events: list[Event] = []
        if self._end_seen:
            self._finish(events)
        elif self._in_frame:
            events.append(Cut(self._size))
            self._begin(in_frame=False)
        return events

    def _skip_to_start(self, received: bytes, position: int, events: list[Event]) -> int:
        start = received.find(START_OF_BLOCK, position)
        end_of_junk = len(received) if start < 0 else start
        if end_of_junk > position:
            events.append(Junk(end_of_junk - position))
        if start < 0:
            return end_of_junk
        self._begin(in_frame=True)
        return start + 1

    def _take_content(self, received: bytes, position: int) -> int:
        end = received.find(END_OF_BLOCK, position)
        if end < 0:
            self._append(received[position:])
            return len(received)
        self._append(received[position:end])
        self._end_seen = True
        return end + 1

    def _after_end_of_block(self, received: bytes, position: int, events: list[Event]) -> int:
        following = received[position]
        if following == CARRIAGE_RETURN:
            self._finish(events)
            return position + 1
        if following == START_OF_BLOCK:
            self._finish(events)
            return position  # it begins the next block
        self._append(bytes((END_OF_BLOCK,)))
        self._end_seen = False
        return position

    def _append(self, content: bytes) -> None:
        self._size += len(content)
        if self._size <= self._max_frame_bytes:
            self._payload += content
            return
        room = HEAD_BYTES - len(self._payload)
        if room > 0:
            self._payload += content[:room]
        else:
            del self._payload[HEAD_BYTES:]

    def _finish(self, events: list[Event]) -> None:
        payload = bytes(self._payload)
        if self._size > self._max_frame_bytes:
            events.append(Oversize(payload, self._size))
        else:
            events.append(Frame(payload))
        self._begin(in_frame=False)

    def _begin(self, *, in_frame: bool) -> None:
        self._payload = bytearray()
        self._size = 0
        self._in_frame = in_frame
        self._end_seen = False


def encode(payload: bytes) -> bytes:
    """One block around a payload. Raises ``ValueError`` where the payload holds what would end the block early."""
    if b"\x1c\x0d" in payload or b"\x1c\x0b" in payload:
        raise ValueError("payload holds 0x1C followed by 0x0D or 0x0B, which ends an MLLP block: remove the 0x1C")
    return b"\x0b" + payload + b"\x1c\x0d"
