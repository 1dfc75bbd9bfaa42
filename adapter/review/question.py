"""A review item that somebody answers, with what was filled in: the ground that every kind of answer stands on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from adapter.model import Protocol, Received, ResultRow, SourceRules
from adapter.pipeline import Rulebook
from adapter.review.desk import DecisionRefused, Entry, results_of
from adapter.review.proposal import Given, Proposal, key_of
from adapter.review.rows import marked
from adapter.store import UNASSIGNED, Store


@dataclass(frozen=True, slots=True)
class Question:
    """An item of the queue, being answered."""

    store: Store
    book: Rulebook
    at: datetime
    entry: Entry
    given: Given

    @property
    def protocol(self) -> Protocol:
        """The protocol in the files."""
        return self.book.protocol

    @property
    def now(self) -> datetime:
        """The instant of the answer, in the trial's time zone."""
        return self.at.astimezone(ZoneInfo(self.protocol.timezone))

    @property
    def source(self) -> str:
        """The source whose results it is about."""
        assert self.entry.item.source is not None
        return self.entry.item.source

    @property
    def source_rules(self) -> SourceRules:
        """What the configuration says of that source."""
        found = self.book.sources.get(self.source)
        if found is None:
            text = marked("source {source} is no longer in the configuration; put it back to decide this")
            raise DecisionRefused(text, source=self.source)
        return found

    def rows(self) -> list[ResultRow]:
        """The results that the answer is about: those the item holds, or the ones named of them."""
        held = results_of(self.store, self.entry)
        wanted = self.given.results or {(r.inbox_id, r.locator) for r in held}
        rows = [r for r in held if (r.inbox_id, r.locator) in wanted]
        if not rows or len(rows) < len(wanted):
            text = marked("item {item} holds no such result; it is shown with those that it holds")
            raise DecisionRefused(text, item=self.entry.id)
        return rows

    def message(self) -> Received:
        """The message that it asks about."""
        if self.entry.item.results:
            found = self.store.message(self.entry.item.results[0][0])
            assert found is not None
            return found
        sha256 = self.entry.item.detail.get("sha256")
        for message in self.store.received(self.entry.members[0].scope):
            if (message.sha256, message.source) == (sha256, self.entry.item.source):
                return message
        text = marked("the message of item {item} is no longer that of its participant")
        raise DecisionRefused(text, item=self.entry.id)

    def of_message(self, kind: str, **body: str) -> Proposal:
        """A decision about its message."""
        message = self.message()
        scopes = frozenset((*message.study_ids, UNASSIGNED))
        return Proposal(((kind, {"source": message.source, "sha256": message.sha256, **body}),), scopes)


def of_results(store: Store, kind: str, rows: Sequence[ResultRow], **body: str) -> Proposal:
    """One decision for the results of each source and participant."""
    keys: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        keys.setdefault((row.source, row.study_id), []).append(key_of(store, row))
    made = list[tuple[str, Mapping[str, str]]]()
    for (source, study_id), named in keys.items():
        results = "\n".join(dict.fromkeys(named))
        made.append((kind, {"source": source, "study_id": study_id, "results": results, **body}))
    return Proposal(tuple(made), frozenset(study_id for _, study_id in keys))
