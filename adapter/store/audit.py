"""The trail: append-only, each record holding the hash of the one before it, written in the transaction it records.

The hash is SHA-256 over the canonical JSON of every field. A chain alone finds what was altered, taken out or put in
between; that its end was cut off, or all of it written anew, is found by whoever noted an earlier head elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from adapter.store import statements
from adapter.store.engine import Engine
from adapter.store.records import AuditRecord, Verification
from adapter.store.rows import as_json, utc_text
from adapter.store.session import Reads, Writes

_CHUNK = 2_000
_BEFORE_ALL = float("-inf")
_NO_LIMIT = 2**62
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def genesis(trial: str) -> str:
    """The head of a trail without records: a hash of the trial's id, so that two trials' chains cannot be swapped."""
    return hashlib.sha256(f"trial lab adapter audit of {trial}".encode()).hexdigest()


def chained_hash(record: AuditRecord) -> str:
    """SHA-256 over the canonical JSON (sorted keys, no spaces, ASCII) of all fields but ``hash``; hexadecimal."""
    content = {
        "seq": record.seq,
        "trial": record.trial,
        "at": record.at,
        "who": record.who,
        "what": record.what,
        "subject": record.subject,
        "old": record.old,
        "new": record.new,
        "why": record.why,
        "prev": record.prev,
    }
    return hashlib.sha256(_CANONICAL.encode(content).encode()).hexdigest()


class AuditReads(Reads):
    """Listing and verifying the trail."""

    def head(self) -> str:
        """The hash of the last record, to be noted elsewhere; the trial's genesis where there is none."""
        row = self._row(statements.AUDIT_HEAD)
        return genesis(self.trial) if row is None else str(row[1])

    def last_change(self) -> tuple[int, str | None]:
        """How many records there are, and when the last that changed the trial's data was written (ISO 8601, UTC)."""
        head, change = self._row(statements.AUDIT_HEAD), self._row(statements.AUDIT_LAST_CHANGE)
        return 0 if head is None else int(head[0]), None if change is None else str(change[0])

    def audit_records(
        self, *, after: int | None = None, subject: str | None = None, limit: int | None = None
    ) -> list[AuditRecord]:
        """Records in their order: all, or those after sequence number ``after``, of one ``subject``, the first
        ``limit`` of them."""
        start = _BEFORE_ALL if after is None else after
        limit = _NO_LIMIT if limit is None else limit
        if subject is None:
            rows = self._rows(statements.AUDIT_AFTER, after=start, limit=limit)
        else:
            rows = self._rows(statements.AUDIT_OF_SUBJECT_AFTER, after=start, subject=subject, limit=limit)
        return [AuditRecord(*row) for row in rows]

    def value_changes(self, study_id: str, limit: int) -> list[AuditRecord]:
        """The last changes of a participant's values, the newest first."""
        rows = self._rows(statements.AUDIT_VALUES_OF, study_id=study_id, limit=limit)
        return [AuditRecord(*row) for row in rows]

    def latest_records(
        self, *, before: int | None = None, subject: str | None = None, who: str | None = None, limit: int
    ) -> list[AuditRecord]:
        """The last records, the newest first: of one ``subject``, by ``who``, with a number less than ``before``."""
        before = _NO_LIMIT if before is None else before
        if subject is None:
            rows = self._rows(statements.AUDIT_LATEST, before=before, who=who, limit=limit)
        else:
            rows = self._rows(statements.AUDIT_LATEST_OF_SUBJECT, before=before, subject=subject, who=who, limit=limit)
        return [AuditRecord(*row) for row in rows]

    def verify(self, head: str | None = None) -> Verification:
        """Recompute the chain, and look for ``head``, a head noted earlier, within it.

        No lock is held throughout: records that are added meanwhile are read too.
        """
        problems: list[str] = []
        expected, prev, count = 1, genesis(self.trial), 0
        noted = head is None or head == prev
        for record in self._all_records():
            problems += _problems(record, expected, prev)
            count += 1
            seq = _whole(record.seq)
            expected, prev = (expected if seq is None else seq + 1), record.hash
            noted = noted or record.hash == head
        if not noted:
            problems.append(
                "the head noted earlier is not in the chain: its end was cut off, or the chain was written anew"
            )
        return Verification(not problems, count, prev, tuple(problems))

    def _all_records(self) -> Iterator[AuditRecord]:
        after: Any = _BEFORE_ALL
        while rows := self._rows(statements.AUDIT_AFTER, after=after, limit=_CHUNK):
            for row in rows:
                yield AuditRecord(*row)
            after = rows[-1][0]


def _whole(seq: object) -> int | None:
    return seq if isinstance(seq, int) else None  # SQLite keeps what it is given: 2.5 and texts too


def _problems(record: AuditRecord, expected: int, prev: str) -> list[str]:
    place = f"record {record.seq}"
    problems = []
    seq = _whole(record.seq)
    if seq is None:
        problems.append(f"{place}: put in between; the chain counts in whole numbers")
    elif seq < expected:
        problems.append(f"{place}: put in before the first record")
    elif seq > expected:
        gone = f"record {expected} before it is" if seq == expected + 1 else f"records {expected} to {seq - 1} are"
        problems.append(f"{place}: {gone} missing")
    try:
        altered = record.hash != chained_hash(record)
    except TypeError:  # a BLOB where a text was
        altered = True
    if altered:
        problems.append(f"{place}: altered; its content does not give its hash")
    if record.prev != prev:
        problems.append(f"{place}: does not follow the record before it")
    return problems


class AuditWrites(Writes):
    """Appending to the trail."""

    def __init__(self, engine: Engine, trial: str, place: str) -> None:
        super().__init__(engine, trial, place)
        self._head: tuple[int, str] | None = None

    def record(
        self, what: str, subject: str, *, who: str, at: datetime, why: str, old: Any = None, new: Any = None
    ) -> int:
        """Append one record to the trail, in this transaction; its sequence number.

        ``old`` and ``new`` become JSON (None stays None). Neither they nor ``subject`` may hold anything of a
        patient's identity.
        """
        seq, prev = self._head or self._stored_head()
        fields: dict[str, Any] = {
            "seq": seq + 1,
            "trial": self.trial,
            "at": utc_text(at),
            "who": who,
            "what": what,
            "subject": subject,
            "old": None if old is None else as_json(old),
            "new": None if new is None else as_json(new),
            "why": why,
            "prev": prev,
        }
        hash_ = chained_hash(AuditRecord(**fields, hash=""))
        self._engine.run(statements.AUDIT_ADD, {**fields, "hash": hash_})
        self._head = (seq + 1, hash_)
        return seq + 1

    def _stored_head(self) -> tuple[int, str]:
        row = self._row(statements.AUDIT_HEAD)
        return (0, genesis(self.trial)) if row is None else (int(row[0]), str(row[1]))

    @contextmanager
    def part(self) -> Iterator[None]:
        """A part of the transaction that is undone alone where it raises; what it recorded goes with it."""
        head = self._head
        try:
            with self._engine.savepoint():
                yield
        except BaseException:
            self._head = head
            raise
