"""One source's door: a payload in, its acknowledgement out. Nothing positive is said before it is committed.

The roster that a payload was screened by is confirmed in the very transaction that commits it: whoever was enrolled
before the message came counts, and a stranger's message is acknowledged only by the roster of that moment.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count
from typing import Protocol as Shape
from uuid import uuid4

from adapter.codecs.ack import Refusal, acknowledge, acknowledge_batch, refusal_of, wants_answer
from adapter.codecs.header import HeaderFault, read_header
from adapter.codecs.mllp import Oversize
from adapter.intake.listener import Incoming
from adapter.intake.screen import Fate, Screen, Screened
from adapter.store.errors import StoreUnavailable
from adapter.store.records import Added, NewMessage
from adapter.store.writer import RosterMoved, Writer

_NOT_NOW = "The message could not be stored now; send it again"
_PROCESS = uuid4().hex[:12].upper()
_COUNTED = count()
_SCREENINGS = 8  # a roster that changes faster than this under one message is refused for the moment


class RosterView(Shape):
    """The roster in hand and its version; ``reload`` fetches today's."""

    @property
    def version(self) -> int:
        """Moves with the roster."""

    def reload(self) -> None:
        """Fetch the roster of now."""

    def screen(self, source: str) -> Screen:
        """The screen of a source, by the roster in hand."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided of one payload: each message, and whether they came as a batch."""

    messages: tuple[Screened, ...]
    batch: bool


class Door:
    """Screens, stores and answers the payloads of one source. ``stored`` is called after each commit."""

    def __init__(
        self,
        source: str,
        roster: RosterView,
        writer: Writer,
        now: Callable[[], datetime],
        stored: Callable[[], None],
    ) -> None:
        self._source = source
        self._roster = roster
        self._writer = writer
        self._now = now
        self._stored = stored
        self.counts: Counter[str] = Counter()
        self.last_message_at: datetime | None = None

    async def answer(self, incoming: Incoming) -> bytes | None:
        """The hook of the listener: the acknowledgement of a frame, or None where the sender wants none."""
        at = self._now()
        self.last_message_at = at
        if isinstance(incoming.frame, Oversize):
            return self._too_large(incoming.frame, at)
        payload = incoming.frame.payload
        verdict = await self.take(payload, at)
        return _reply(verdict, payload, at)

    async def take(self, payload: bytes, at: datetime) -> Verdict:
        """Screen a payload by the roster of the moment and commit what may be kept."""
        for _ in range(_SCREENINGS):
            version = self._roster.version
            messages, batch = self._roster.screen(self._source).look(payload, at)
            try:
                stored = await self._commit(messages, version, at)
            except RosterMoved:
                self._roster.reload()
                continue
            except (StoreUnavailable, ValueError):
                break
            self._count(stored)
            return Verdict(tuple(stored), batch)
        refusal = Refusal("reject", "207", _NOT_NOW)
        # Whatever would have been answered positively is not: nobody knows what the disk still does.
        messages = [
            m if m.refusal else replace(m, fate=Fate.REFUSED, refusal=refusal, detail=_NOT_NOW) for m in messages
        ]
        self.counts["not_stored"] += len(messages)
        return Verdict(tuple(messages), batch)

    async def _commit(self, messages: Sequence[Screened], version: int, at: datetime) -> list[Screened]:
        kept = [m for m in messages if m.fate == Fate.ACCEPTED]
        if not kept and all(m.refusal for m in messages):
            return list(messages)
        unit = [new_message(self._source, m, at) for m in kept]
        added: list[Added] = await asyncio.wrap_future(self._writer.submit(unit, roster_version=version))
        if kept:
            self._stored()
        in_turn = iter(added)
        return [told(m, next(in_turn)) if m.fate == Fate.ACCEPTED else m for m in messages]

    def _count(self, messages: Sequence[Screened]) -> None:
        for message in messages:
            self.counts["no_patient" if message.nobody else message.fate.value] += 1

    def _too_large(self, frame: Oversize, at: datetime) -> bytes | None:
        """A frame beyond the limit is refused by what its head says of it."""
        found = read_header(frame.head, self._roster.screen(self._source).source.charset)
        self.counts["refused"] += 1
        if isinstance(found, HeaderFault):
            return acknowledge(None, refusal_of(found), at=at, control_id=_control_id())
        refusal = Refusal("reject", "207", "The message is larger than max_frame_bytes of this source")
        return acknowledge(found, refusal, at=at, control_id=_control_id())


def new_message(source: str, screened: Screened, at: datetime) -> NewMessage:
    """What is stored of an accepted message."""
    assert screened.header is not None
    return NewMessage(
        source=source,
        kind="hl7v2",
        message_control_id=screened.header.message_control_id,
        raw=screened.kept,
        sha256=screened.sha256,
        received_at=at,
        study_ids=screened.scopes,
        notes=screened.notes,
    )


def told(screened: Screened, added: Added) -> Screened:
    """A message as the store knows it: new, or a copy of one it holds."""
    if added.duplicate:
        return replace(screened, fate=Fate.DUPLICATE, detail="a copy of a message already held; nothing changes")
    if added.same_control_id_other_content:
        return replace(screened, detail="kept; another message has the same control id and other content")
    return screened


def _reply(verdict: Verdict, payload: bytes, at: datetime) -> bytes | None:
    """The acknowledgements of a payload: one, several after each other, or a batch in answer to a batch."""
    wanted = [m for m in verdict.messages if m.header is None or wants_answer(m.header, m.refusal)]
    acks = [acknowledge(m.header, m.refusal, at=at, control_id=_control_id()) for m in wanted]
    said = [ack for ack in acks if ack is not None]
    if not said:
        return None
    if not verdict.batch:
        return b"".join(said)
    first = verdict.messages[0].header
    charset = first.charset if first is not None and first.charset else "utf-8"
    return acknowledge_batch(payload, said, at=at, control_id=_control_id(), charset=charset)


def _control_id() -> str:
    """MSH-10 of an acknowledgement, in the 20 characters of every version: random for the process, then counted."""
    return f"{_PROCESS}{next(_COUNTED):08X}"
