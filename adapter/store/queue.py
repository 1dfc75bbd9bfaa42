"""The review queue: questions that open, change and close as what is derived asks and no longer asks them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from adapter.model import ReviewItem
from adapter.store import statements
from adapter.store.audit import AuditWrites
from adapter.store.records import CODES, StoredItem, Unmapped
from adapter.store.rows import ITEMS, utc_text
from adapter.store.session import Reads


class QueueReads(Reads):
    """Reading the queue."""

    def open_items(self) -> list[StoredItem]:
        """Open review items, the longest open first. One that two scopes ask stands here once."""
        found: dict[str, StoredItem] = {}
        for stored in self._items("AND state = 'open'"):
            found.setdefault(stored.item.id, stored)
        return list(found.values())

    def open_count(self) -> int:
        """How many review items are open."""
        return self._number(statements.ITEMS_OPEN_COUNT)

    def item(self, item_id: str) -> StoredItem | None:
        """A review item, open or closed, or None where there never was one of this id."""
        found = self._items("AND id = :id", id=item_id)
        return min(found, key=lambda stored: (stored.state != "open", stored.scope), default=None)

    def unmapped(self) -> list[Unmapped]:
        """Current results whose code nobody has mapped or dismissed, by source, code and system."""
        rows = self._rows(statements.UNMAPPED)
        found = []
        for (source, code, code_system), group in groupby(rows, key=lambda row: row[:3]):
            members = list(group)
            # A message of two participants gives its results to both; it was reported once.
            locations = tuple(dict.fromkeys((inbox_id, locator) for *_, inbox_id, locator, _ in members))
            # Where a code came under several names, the order of arrival does not choose among them.
            name = min((row[3] for row in members if row[3]), default="")
            message_control_id = members[0][6]
            found.append(Unmapped(source, code, code_system, name, len(locations), locations, message_control_id))
        return found

    def _items(self, where: str, **parameters: Any) -> list[StoredItem]:
        rows = self._rows(statements.items(ITEMS.columns, where), **parameters)
        return [
            StoredItem(ITEMS.noun_of(row[4:]), scope=row[0], state=row[1], opened_at=row[2], closed_at=row[3])
            for row in rows
        ]


class QueueWrites(AuditWrites, QueueReads):
    """Writing the queue."""

    def apply_trial_items(
        self, items: Sequence[ReviewItem], ruleset: str, who: str, at: datetime, why: str = "derived"
    ) -> bool:
        """Make the open questions about codes equal to ``items``. False where they are already.

        Ask :meth:`unmapped` and the decisions within the same transaction: then nothing changes in between.
        """
        changed = self._apply_items(CODES, items, who, at, why)
        epoch = self._rows(statements.SCOPE, scope=CODES)
        self._run(
            statements.SCOPE_DERIVED,
            scope=CODES,
            arrivals=0,
            epoch=epoch[0][0] if epoch else 0,
            global_epoch=self._number(statements.GLOBAL_EPOCH),
            ruleset=ruleset,
            derived_on="",
        )
        return changed

    def _apply_items(self, scope: str, items: Sequence[ReviewItem], who: str, at: datetime, why: str) -> bool:
        known = {stored.item.id: stored for stored in self._items("AND scope = :scope", scope=scope)}
        wanted = {item.id: item for item in items}
        changed = False
        for item in wanted.values():
            stored = known.get(item.id)
            if stored is not None and stored.state == "open" and stored.item == item:
                continue
            changed = True
            self._run(statements.item_put(ITEMS.columns), scope=scope, at=utc_text(at), **ITEMS.named(ITEMS.row(item)))
            if stored is None or stored.state == "closed":
                what = "review item opened" if stored is None else "review item reopened"
                self.record(what, f"item {item.id}", who=who, at=at, why=why, new=_trial_facts(item))
        for stored in known.values():
            if stored.state == "open" and stored.item.id not in wanted:
                changed = True
                self._run(statements.ITEM_CLOSE, scope=scope, id=stored.item.id, at=utc_text(at))
                subject = f"item {stored.item.id}"
                self.record("review item closed", subject, who=who, at=at, why=why, old=_trial_facts(stored.item))
        return changed


def _trial_facts(item: ReviewItem) -> dict[str, Any]:
    # Not the name, the text of the value or the detail: what a laboratory wrote there may name a patient.
    return {
        "reason": item.reason,
        "study_id": item.study_id,
        "visit": item.visit,
        "endpoint": item.endpoint,
        "source": item.source,
        "code": item.code,
        "message_id": item.message_id,
        "count": item.count,
    }
