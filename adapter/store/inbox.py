"""The inbox: messages as they came, committed before they are acknowledged; and what was counted of each source."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from adapter.model import Received
from adapter.store import statements
from adapter.store.audit import AuditWrites
from adapter.store.engine import Row
from adapter.store.errors import StoreError
from adapter.store.records import UNASSIGNED, Added, Counters, NewMessage
from adapter.store.rows import as_json, utc_text
from adapter.store.session import Reads

SAME_CONTROL_ID_NOTE = "same_control_id_other_content"


class InboxReads(Reads):
    """Reading the inbox."""

    def received(self, scope: str) -> list[Received]:
        """All messages of a participant, or those that are nobody's (``UNASSIGNED``), in the order they were stored."""
        with self._engine.reading():
            rows = self._rows(statements.MESSAGES_OF_SCOPE, scope=scope)
            links = self._rows(statements.LINK_STATES_OF_SCOPE, scope=scope)
        return self._messages(rows, links)

    def message(self, inbox_id: int) -> Received | None:
        """One message, or None where the trial has none with this id."""
        with self._engine.reading():
            rows = self._rows(statements.MESSAGE, inbox_id=inbox_id)
            links = self._rows(statements.LINK_STATES_OF_MESSAGE, inbox_id=inbox_id)
        found = self._messages(rows, links)
        return found[0] if found else None

    def scopes_sending(self, source: str, text: str) -> set[str]:
        """Whose messages of a source hold an ASCII text; those whose letters are not bytes are taken to hold it."""
        rows = self._rows(statements.SCOPES_SENDING, source=source, text=text.encode("ascii"), head=b"MSH")
        return {str(scope) for (scope,) in rows}

    def message_notes(self, inbox_id: int) -> tuple[str, ...]:
        """What intake noted of a message; empty where there is nothing."""
        row = self._row(statements.MESSAGE_NOTES, inbox_id=inbox_id)
        return () if row is None else tuple(json.loads(row[0]))

    def ignored(self, inbox_id: int) -> dict[str, int]:
        """How many results of a message each named rule ignored, over all its participants."""
        totals: dict[str, int] = defaultdict(int)
        for (counts,) in self._rows(statements.IGNORED_OF_MESSAGE, inbox_id=inbox_id):
            for rule, count in json.loads(counts).items():
                totals[rule] += count
        return dict(totals)

    def inbox_counts(self) -> dict[str, int]:
        """How many messages are ``pending``, ``done`` and ``failed``."""
        return {"pending": 0, "done": 0, "failed": 0, **dict(self._rows(statements.INBOX_COUNTS))}

    def counters(self, source: str) -> Counters:
        """What was counted of a source."""
        with self._engine.reading():
            counts = {str(name): int(count) for name, count in self._rows(statements.COUNTERS, source=source)}
            last = self._row(statements.LAST_MESSAGE, source=source)
        return Counters(counts, None if last is None else last[0])

    def _messages(self, rows: Iterable[Row], links: Iterable[Row]) -> list[Received]:
        scopes: dict[int, list[str]] = defaultdict(list)
        failed = set()
        for inbox_id, scope, state in links:
            if scope != UNASSIGNED:
                scopes[inbox_id].append(scope)
            if state == "failed":
                failed.add(inbox_id)
        return [
            Received(
                id=inbox_id,
                trial=self.trial,
                source=source,
                kind=kind,
                message_control_id=message_control_id,
                sha256=sha256,
                raw=bytes(raw),
                received_at=datetime.fromisoformat(received_at),
                study_ids=tuple(scopes[inbox_id]),
                failed=inbox_id in failed,
            )
            for inbox_id, source, kind, message_control_id, sha256, raw, received_at in rows
        ]


class InboxWrites(AuditWrites, InboxReads):
    """Writing the inbox."""

    def add_messages(self, messages: Sequence[NewMessage]) -> list[Added]:
        """Keep messages, in their order. One that is held already (source, kind, MSH-10, content) changes nothing.

        Raises ``ValueError`` for a message that belongs to nobody or was received at no instant.
        """
        return [self._add(message) for message in messages]

    def _add(self, message: NewMessage) -> Added:
        if not message.study_ids:
            raise ValueError(f"a message of {message.source} belongs to no scope; link it to UNASSIGNED")
        name = {
            "source": message.source,
            "kind": message.kind,
            "message_control_id": message.message_control_id,
            "sha256": message.sha256,
        }
        # Without MSH-10 there is nothing by which two messages could be taken for one.
        same_id = message.message_control_id != "" and self._row(statements.INBOX_SAME_CONTROL_ID, **name) is not None
        notes = (*message.notes, SAME_CONTROL_ID_NOTE) if same_id else message.notes
        received_at = utc_text(message.received_at)
        inbox_id = self._insert(statements.INBOX_ADD, **name, received_at=received_at, notes=as_json(notes))
        if inbox_id == 0:
            held = self._number(statements.INBOX_FIND, **name)
            return Added(held, duplicate=True, same_control_id_other_content=False)
        self._run(statements.RAW_ADD, inbox_id=inbox_id, raw=message.raw)
        for scope in sorted(set(message.study_ids)):
            self._run(statements.LINK_ADD, scope=scope, inbox_id=inbox_id)
            self._run(statements.SCOPE_ARRIVAL, scope=scope)
        self.record(
            "received",
            message_subject(message.message_control_id, message.sha256),
            who=f"source:{message.source}",
            at=message.received_at,
            why="a message of a participant",
            new={"inbox_id": inbox_id, "kind": message.kind, "scopes": sorted(set(message.study_ids)), "notes": notes},
        )
        return Added(inbox_id, duplicate=False, same_control_id_other_content=same_id)

    def erase_raw(self, inbox_id: int, who: str, why: str, at: datetime) -> None:
        """Erase the bytes of a message that is another person's, and what was derived from them as text.

        The message's hash stays, so that a copy is still known as one. Raises :class:`StoreError` where the trial has
        no such message.
        """
        message = self.message(inbox_id)
        if message is None:
            raise StoreError(
                f"inbox {inbox_id}: the trial has no such message; see the ids that explain and trace show"
            )
        self._run(statements.RAW_ERASE, inbox_id=inbox_id, nothing=b"")
        self._run(statements.RESULTS_BLANK, inbox_id=inbox_id)
        for scope, item_id, results in self._rows(statements.ITEMS_OF_RESULTS):
            if any(each == inbox_id for each, _ in json.loads(results)):
                self._run(statements.ITEM_BLANK, scope=scope, id=item_id)
        for (scope,) in self._rows(statements.LINKS_OF_MESSAGE, inbox_id=inbox_id):
            self._run(statements.SCOPE_MOVE, scope=scope)
        self.record(
            "bytes erased",
            message_subject(message.message_control_id, message.sha256),
            who=who,
            at=at,
            why=why,
            old={"inbox_id": inbox_id, "bytes": len(message.raw)},
            new={"inbox_id": inbox_id, "bytes": 0},
        )

    def add_counters(self, source: str, counts: Mapping[str, int], last_message_at: datetime | None = None) -> None:
        """Add to what is counted of a source. Counts are no inputs of the rules and leave no record in the trail."""
        for name, count in counts.items():
            self._run(statements.COUNTER_ADD, source=source, name=name, count=count)
        if last_message_at is not None:
            self._run(statements.LAST_MESSAGE_SET, source=source, last_message_at=utc_text(last_message_at))


def message_subject(message_control_id: str, sha256: str) -> str:
    """What the trail calls a message."""
    return f"message {message_control_id} sha256 {sha256}"
