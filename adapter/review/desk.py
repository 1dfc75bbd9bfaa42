"""The queue: what is asked, and the results that wait for the answer. Deciding is ``decide``'s."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from adapter import labels
from adapter.model import Reason, ResultRow, ReviewItem
from adapter.review.rows import marked
from adapter.store import CODES, Store, StoredItem
from adapter.words import say


class DecisionRefused(Exception):
    """A decision that cannot be made: which, why, and what can be done instead.

    ``{name}`` in the text stands for the fact of that name, so that the page can say it in another language.
    """

    def __init__(self, text: str, **facts: object) -> None:
        self._text, self._facts = text, {name: str(fact) for name, fact in facts.items()}
        super().__init__(self.told())

    def told(self, translate: Callable[[str], str] = str) -> str:
        """Why, in a language of the page."""
        facts = {name: fact or translate(marked("nothing")) for name, fact in self._facts.items()}
        if translate is not str and "reason" in facts:
            facts["reason"] = labels.reason(facts["reason"], translate)
        return translate(self._text).format_map(facts)


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
        text = marked("there is no review item {item}; the queue lists those that are open")
        raise DecisionRefused(text, item=item_id)
    return _entry(item_id, [stored])


def _entry(name: str, members: Sequence[StoredItem]) -> Entry:
    return Entry(name, members[0].item, tuple(members), min(m.opened_at for m in members), members[0].state)


def cause_of(entry: Entry) -> tuple[str, ...]:
    """What one answer settles: questions of one source about the same unit, specimen or status have one cause."""
    item = entry.item
    if item.reason in {Reason.MISSING_UNIT, Reason.UNKNOWN_UNIT}:
        return (item.reason, item.source or "", item.code or "", item.unit or "")
    if item.reason == Reason.WRONG_SPECIMEN:
        return (item.reason, item.source or "", item.detail.get("specimen", ""))
    if item.reason == Reason.UNKNOWN_STATUS:
        return (item.reason, item.source or "", item.detail.get("code", ""))
    return (item.reason, entry.id)


def results_of(store: Store, entry: Entry) -> list[ResultRow]:
    """The results that an entry holds, in the order of arrival."""
    held = {place for member in entry.members for place in member.item.results}
    scope = entry.members[0].scope
    if scope == CODES:
        return store.results_at(held)
    return [r for r in store.results(scope) if (r.inbox_id, r.locator) in held]
