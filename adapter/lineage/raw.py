"""Raw bytes: for an administrator alone, for they may name a patient, an arm or a route; and each look is recorded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from adapter.codecs.excerpt import excerpt
from adapter.lineage.told import Place
from adapter.pipeline import Rulebook
from adapter.store import Store
from adapter.store.inbox import message_subject

RAW_SHOWN = "raw bytes shown"  # what the trail calls it


class RawRefused(Exception):
    """Raw bytes that were not shown, and who may see them."""


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The part of a message that one result was read from, decoded; no text where the bytes were erased."""

    inbox_id: int
    locator: str
    message_id: str
    texts: tuple[str, ...] = field(repr=False)


def show_raw(
    store: Store, book: Rulebook, places: Iterable[Place], *, administrator: bool, who: str, why: str, at: datetime
) -> list[Excerpt]:
    """What was sent at these places. That it was shown is committed to the trail before it is.

    Raises :class:`RawRefused` where ``who`` is no administrator, and ``StoreError``.
    """
    if not administrator:
        raise RawRefused("raw messages may name a patient or an arm: only an administrator sees them; ask one")
    found = list[Excerpt]()
    with store.write() as tx:
        for inbox_id, locator in places:
            message = tx.message(inbox_id)
            if message is None:
                continue
            source = book.sources.get(message.source)
            charset = "utf-8" if source is None else source.charset
            texts = excerpt(message.kind, message.raw, charset, locator) if message.raw else ()
            found.append(Excerpt(inbox_id, locator, message.message_control_id, texts))
            if message.raw:
                subject = message_subject(message.message_control_id, message.sha256)
                facts = {"inbox_id": inbox_id, "locator": locator}
                tx.record(RAW_SHOWN, subject, who=who, at=at, why=why, new=facts)
    return found
