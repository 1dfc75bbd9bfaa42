"""The queue: what is asked, and the results that wait for the answer. Deciding is ``decide``'s."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from adapter.model import ResultRow, ReviewItem
from adapter.store import CODES, Store, StoredItem
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
        return self.told()

    def told(self, translate: Callable[[str], str] = str) -> str:
        """The same in another language."""
        if len(self.members) > 1:
            return say("unmapped_group", {"codes": str(len(self.members))}, translate)
        return say(self.item.detail.get("rule", "item_erased"), self.item.detail, translate)


def queue(store: Store) -> list[Entry]:
    """The open items, the longest open first; codes that resemble no endpoint are one entry for each source."""
    entries: dict[str, list[StoredItem]] = {}
    for stored in store.open_items():
        entries.setdefault(stored.item.group or stored.item.id, []).append(stored)
    return [_entry(name if len(members) > 1 else members[0].item.id, members) for name, members in entries.items()]


def find(store: Store, item_id: str) -> Entry:
    """An entry by its id, or an item of a group by its own. Raises DecisionRefused where there is none."""
    for entry in queue(store):
        if item_id in (entry.id, entry.item.group):
            return entry
    stored = store.item(item_id)
    if stored is None:
        raise DecisionRefused(f"there is no review item {item_id}; `lab-adapter review list` shows those that are open")
    return _entry(item_id, [stored])


def _entry(name: str, members: Sequence[StoredItem]) -> Entry:
    return Entry(name, members[0].item, tuple(members), min(m.opened_at for m in members), members[0].state)


def results_of(store: Store, entry: Entry) -> list[ResultRow]:
    """The results that an entry holds, in the order of arrival."""
    held = {place for member in entry.members for place in member.item.results}
    scope = entry.members[0].scope
    return [r for r in store.results(None if scope == CODES else scope) if (r.inbox_id, r.locator) in held]
