"""The queue and its decisions. Page and command line decide through these functions alone.

A decision is an input of the rules, written down with who and why; what it changes is derived, never written by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from adapter.model import Decision, Protocol, Reason, ReviewItem
from adapter.store import Store, StoredItem, Transaction
from adapter.words import say


class DecisionRefused(Exception):
    """A decision that cannot be made: which, why, and what can be done instead."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the queue: an item, or a source's codes that resemble no endpoint, collapsed into one."""

    id: str
    item: ReviewItem
    members: tuple[StoredItem, ...]
    opened_at: str
    state: str

    @property
    def count(self) -> int:
        """How many results wait for the answer."""
        return sum(m.item.count for m in self.members)

    @property
    def detail(self) -> str:
        """The sentence for a person."""
        if len(self.members) > 1:
            return say("unmapped_group", {"codes": str(len(self.members))})
        return say(self.item.detail["rule"], self.item.detail)


def queue(store: Store) -> list[Entry]:
    """The open items, the longest open first; codes that resemble no endpoint are one entry for each source."""
    entries: dict[str, list[StoredItem]] = {}
    for stored in store.open_items():
        entries.setdefault(stored.item.group or stored.item.id, []).append(stored)
    return [_entry(name, members) for name, members in entries.items()]


def find(store: Store, item_id: str) -> Entry:
    """An entry by its id, or an item of a group by its own. Raises DecisionRefused where there is none."""
    for entry in queue(store):
        if entry.id == item_id:
            return entry
    stored = store.item(item_id)
    if stored is None:
        raise DecisionRefused(f"there is no review item {item_id}; `lab-adapter review list` shows those that are open")
    return _entry(item_id, [stored])


def _entry(name: str, members: Sequence[StoredItem]) -> Entry:
    return Entry(name, members[0].item, tuple(members), min(m.opened_at for m in members), members[0].state)


def map_code(
    store: Store,
    entry: Entry,
    analyte: str,
    protocol: Protocol,
    *,
    unit: str | None,
    who: str,
    why: str,
    at: datetime,
) -> Decision:
    """Say what a source's code is. Every result that carries it follows, those already received included."""
    if entry.item.reason != Reason.UNMAPPED_CODE:
        raise DecisionRefused(f"item {entry.id} is {entry.item.reason}; only unmapped_code is settled by --map")
    if len(entry.members) > 1:
        raise DecisionRefused(f"entry {entry.id} holds {len(entry.members)} codes; name one of them by its own id")
    item = entry.item
    if item.code is None or item.source is None:
        raise DecisionRefused(
            f"item {entry.id}: the results carry no code; dismiss it, or have the laboratory send one"
        )
    known = list(protocol.analytes)
    if analyte not in known:
        raise DecisionRefused(f"{analyte} is no analyte of the protocol; write one of {', '.join(known)}")
    if unit is not None and unit not in protocol.analytes[analyte].units:
        units = ", ".join(protocol.analytes[analyte].units)
        raise DecisionRefused(f"{analyte} is not measured in {unit}; write one of {units}")
    body = {"source": item.source, "code": item.code, "system": item.detail.get("system", ""), "analyte": analyte}
    if unit is not None:
        body["unit"] = unit
    with store.write() as tx:
        return tx.add_decision("map_code", body, who, why, at)


def dismiss(store: Store, entry: Entry, *, who: str, why: str, at: datetime) -> list[Decision]:
    """Settle an entry without a value: a code for good, any other item for the results it holds now."""
    if entry.state != "open":
        raise DecisionRefused(f"item {entry.id} is not open; nothing is left to decide")
    with store.write() as tx:
        return [_dismissed(tx, member.item, who, why, at) for member in entry.members]


def _dismissed(tx: Transaction, item: ReviewItem, who: str, why: str, at: datetime) -> Decision:
    if item.reason == Reason.UNMAPPED_CODE and item.code is not None and item.source is not None:
        body = {"source": item.source, "code": item.code, "system": item.detail.get("system", "")}
        return tx.add_decision("dismiss_code", body, who, why, at)
    return tx.add_decision("dismiss_item", {"item": item.id, "evidence": item.evidence}, who, why, at)
