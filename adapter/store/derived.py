"""What was derived: results, placements and selections, kept as versions. Only what differs is written."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Generic, TypeVar

from adapter.model import Derived, PlacementRow, ResultRow, SelectionRow
from adapter.store import statements
from adapter.store.decisions import DecisionWrites
from adapter.store.engine import Row
from adapter.store.queue import QueueReads, QueueWrites
from adapter.store.records import CODES, CellState, SelectionVersion, Standing, Token
from adapter.store.rows import PLACEMENTS, RESULTS, SELECTIONS, Shape, as_json
from adapter.store.scopes import ScopeReads

T = TypeVar("T")
_AT_A_TIME = 500  # messages that one statement names


class DerivedReads(ScopeReads, QueueReads):
    """Reading what was derived."""

    def results(self, scope: str | None = None) -> list[ResultRow]:
        """Current results, of one participant (or ``UNASSIGNED``) where given, in the order of arrival."""
        if scope is None:
            return self._current(RESULTS, "")
        return self._current(RESULTS, "AND scope = :scope", scope=scope)

    def results_at(self, places: Collection[tuple[int, str]]) -> list[ResultRow]:
        """The current results at these places (inbox id and locator), whosesoever they are."""
        messages, found = sorted({inbox_id for inbox_id, _ in places}), list[ResultRow]()
        for first in range(0, len(messages), _AT_A_TIME):
            some = messages[first : first + _AT_A_TIME]
            sql = statements.results_of_messages(RESULTS.columns, RESULTS.order, len(some))
            found += [RESULTS.noun_of(row) for row in self._rows(sql, **_values("inbox_id", some))]
        return [row for row in found if (row.inbox_id, row.locator) in places]

    def placements(self, study_id: str, visit: str | None = None, endpoint: str | None = None) -> list[PlacementRow]:
        """Current candidates of a participant, of one visit and endpoint where given, in the order of selection."""
        where = "AND scope = :scope"
        where += "" if visit is None else " AND visit = :visit"
        where += "" if endpoint is None else " AND endpoint = :endpoint"
        return self._current(PLACEMENTS, where, scope=study_id, visit=visit, endpoint=endpoint)

    def selections(self, study_id: str | None = None) -> list[SelectionRow]:
        """The current value of every cell, of one participant where given."""
        if study_id is None:
            return self._current(SELECTIONS, "")
        return self._current(SELECTIONS, "AND scope = :scope", scope=study_id)

    def selections_of(self, study_ids: Sequence[str]) -> list[SelectionRow]:
        """The current value of every cell of several participants: as many as a page shows."""
        return self._current(SELECTIONS, statements.among("scope", len(study_ids)), **_values("scope", study_ids))

    def cell_states(self, endpoints: Collection[str], study_ids: Sequence[str] | None = None) -> list[CellState]:
        """What each cell of these endpoints is called, of some participants alone where they are given; none that is
        empty. A board asks this of tens of thousands: they come as the database gives them."""
        where, values = statements.among("endpoint", len(endpoints)), _values("endpoint", endpoints)
        if study_ids is not None:
            where += statements.among("scope", len(study_ids))
            values |= _values("scope", study_ids)
        return self._rows(statements.CELL_STATES + where, **values)

    def standing(self, scope: str) -> Standing:
        """All inputs of a scope and what is derived of it, of one instant. Of ``CODES`` there are only items."""
        with self._engine.reading():
            links = self._rows(statements.LINKS_OF_SCOPE, scope=scope)
            return Standing(
                self.snapshot(scope),
                frozenset(inbox_id for inbox_id, state, _ in links if state == "pending"),
                tuple(self.results(scope)),
                tuple(self.selections(scope)),
                frozenset(s.item.id for s in self._items("AND scope = :scope AND state = 'open'", scope=scope)),
            )

    def selection_history(self, study_id: str, visit: str, endpoint: str) -> list[SelectionVersion]:
        """Every version of a cell, the oldest first, with who made it, when and why."""
        sql = statements.selection_versions(SELECTIONS.columns)
        rows = self._rows(sql, study_id=study_id, visit=visit, endpoint=endpoint)
        return [SelectionVersion(SELECTIONS.noun_of(row[:-5]), *row[-5:]) for row in rows]

    def _current(self, shape: Shape[T], where: str, **parameters: Any) -> list[T]:
        sql = statements.current(shape.table, shape.columns, where, shape.order)
        return [shape.noun_of(row) for row in self._rows(sql, **parameters)]


def _values(column: str, values: Iterable[object]) -> dict[str, Any]:
    """The parameters of :func:`~adapter.store.statements.among`."""
    return {f"{column}{n}": value for n, value in enumerate(values)}


@dataclass(frozen=True)
class _Difference(Generic[T]):
    """How the rows of a scope differ from the current ones, by key."""

    shape: Shape[T]
    old: dict[Row, Row]
    new: dict[Row, Row]

    @property
    def begun(self) -> list[Row]:
        """Keys whose row is new or another."""
        return [key for key, row in self.new.items() if self.old.get(key) != row]

    @property
    def ended(self) -> list[Row]:
        """Keys whose row is gone or another."""
        return [key for key, row in self.old.items() if self.new.get(key) != row]

    def __bool__(self) -> bool:
        return self.old != self.new

    def counts(self) -> dict[str, int]:
        """How many rows came, changed and went."""
        begun = set(self.begun)
        return {
            "added": len(begun - self.old.keys()),
            "changed": len(begun & self.old.keys()),
            "ended": len(self.old.keys() - self.new.keys()),
        }

    def touched(self) -> Iterable[Row]:
        """Every row, old or new, that is not the same in both."""
        yield from (self.new[key] for key in self.begun)
        yield from (self.old[key] for key in self.ended)


class DerivedWrites(QueueWrites, DecisionWrites, DerivedReads):
    """Writing what was derived."""

    def apply(
        self,
        derived: Derived,
        token: Token,
        ruleset: str,
        derived_on: date,
        who: str,
        at: datetime,
        why: str = "derived from what was received",
    ) -> bool:
        """Make the current rows of a scope those that were derived from the snapshot of ``token``.

        False, with nothing written, where the inputs are no longer the snapshot's: the roster entry, a decision or
        the rules changed, or somebody else derived the scope since. A message that came since does not void the
        snapshot (a busy feed would void every one): the scope stays dirty.

        Applying equal rows again writes no version and no record. Raises ``ValueError`` where ``derived`` is not of
        the token's scope, or has two rows of one key.
        """
        if derived.study_id != token.scope:
            raise ValueError(f"what was derived of {derived.study_id} cannot be applied to {token.scope}")
        if not self._still_holds(token):
            return False
        self._apply_rows(derived, ruleset, derived_on, who, at, why)
        self._apply_items(token.scope, derived.items, who, at, why)
        self._settle_messages(derived, token)
        self._run(
            statements.SCOPE_DERIVED,
            scope=token.scope,
            arrivals=len(token.inbox_ids),
            epoch=token.epoch,
            global_epoch=token.global_epoch,
            ruleset=ruleset,
            derived_on=derived_on.isoformat(),
        )
        return True

    def apply_all(
        self,
        derived: Sequence[tuple[Derived, Token]],
        ruleset: str,
        body: Mapping[str, object],
        derived_on: date,
        who: str,
        at: datetime,
        why: str,
    ) -> bool:
        """Put a ruleset in force and make the current rows those that were derived by it, of every scope together.

        False, with nothing written, where :meth:`apply` would refuse one of them.
        """
        if not all(self._still_holds(token) for _, token in derived):
            return False
        self.adopt_ruleset(ruleset, body, who, at)
        adopted = self._number(statements.GLOBAL_EPOCH)  # it moves with an adoption, and the rows are of the new one
        for rows, token in derived:
            self.apply(rows, replace(token, global_epoch=adopted), ruleset, derived_on, who, at, why)
        return True

    def clear_derived(self, who: str, why: str, at: datetime) -> None:
        """Delete all that was derived, earlier versions too, so that it is derived again from what was received."""
        for table in (RESULTS.table, PLACEMENTS.table, SELECTIONS.table, "review_items"):
            self._run(statements.emptied(table))
        self._run(statements.LINKS_UNSETTLE)
        self._run(statements.SCOPES_UNDERIVE)
        self.record("derived rows cleared", self.trial, who=who, at=at, why=why)

    def _still_holds(self, token: Token) -> bool:
        epoch, applied, *_ = self._scope(token.scope)
        current = (epoch, applied, self._number(statements.GLOBAL_EPOCH))
        return current == (token.epoch, token.applied, token.global_epoch)

    def _apply_rows(self, derived: Derived, ruleset: str, derived_on: date, who: str, at: datetime, why: str) -> None:
        scope = derived.study_id
        results = self._difference(RESULTS, scope, derived.results)
        placements = self._difference(PLACEMENTS, scope, derived.placements)
        selections = self._difference(SELECTIONS, scope, derived.selections)
        if not (results or placements or selections):
            return
        facts = {each.shape.table: each.counts() for each in (results, placements, selections)}
        new = {**facts, "ruleset": ruleset, "derived_on": derived_on.isoformat()}
        seq = self.record("derived", scope, who=who, at=at, why=why, new=new)
        self._write_versions(results, scope, seq)
        self._write_versions(placements, scope, seq)
        reasons = {(row.visit, row.endpoint): row.why for row in derived.placements if row.chosen}
        self._apply_selections(selections, scope, reasons, seq, who, at)
        reason = RESULTS.columns.index("reason")
        if any(row[reason] == "unmapped_code" for row in results.touched()):
            self._run(statements.SCOPE_MOVE, scope=CODES)

    def _write_versions(self, difference: _Difference[T], scope: str, seq: int) -> None:
        for key in difference.ended:
            self._end(difference.shape, scope, key, seq)
        for key in difference.begun:
            self._begin(difference.shape, scope, difference.new[key], seq)

    def _apply_selections(
        self,
        selections: _Difference[SelectionRow],
        scope: str,
        reasons: dict[tuple[str, str], str],
        derived_seq: int,
        who: str,
        at: datetime,
    ) -> None:
        """Each change of a cell is a record of its own, and its version counts from that."""
        for key in dict.fromkeys((*selections.begun, *selections.ended)):
            old = selections.shape.noun_of(selections.old[key]) if key in selections.old else None
            new = selections.shape.noun_of(selections.new[key]) if key in selections.new else None
            visit, endpoint = key
            seq = derived_seq
            if _is_another_value(old, new):
                same = old is not None and new is not None and replace(new, ruleset=old.ruleset, score=old.score) == old
                seq = self.record(
                    "score computed anew" if same else "value changed",
                    f"{scope} {visit} {endpoint}",
                    who=who,
                    at=at,
                    why=reasons.get((visit, endpoint)) or ("no result" if new is None else new.reason or "computed"),
                    old=None if old is None else _value_facts(old),
                    new=None if new is None else _value_facts(new),
                )
            if old is not None:
                self._end(selections.shape, scope, key, seq)
            if new is not None:
                self._begin(selections.shape, scope, selections.new[key], seq)

    def _settle_messages(self, derived: Derived, token: Token) -> None:
        links = {row[0]: row[1:] for row in self._rows(statements.LINKS_OF_SCOPE, scope=token.scope)}
        for inbox_id in token.inbox_ids:
            state = "failed" if inbox_id in derived.failed else "done"
            settled = (state, as_json(derived.ignored.get(inbox_id, {})))
            if links[inbox_id] != settled:
                link = {"scope": token.scope, "inbox_id": inbox_id, "state": settled[0], "ignored": settled[1]}
                self._run(statements.LINK_SETTLE, **link)

    def _difference(self, shape: Shape[T], scope: str, nouns: Iterable[T]) -> _Difference[T]:
        sql = statements.current(shape.table, shape.columns, "AND scope = :scope", shape.order)
        old = {shape.key_of(row): row for row in self._rows(sql, scope=scope)}
        new: dict[Row, Row] = {}
        for row in map(shape.row, nouns):
            if new.setdefault(key := shape.key_of(row), row) is not row:
                raise ValueError(f"{shape.table} of {scope}: two rows of {key}")
        return _Difference(shape, old, new)

    def _begin(self, shape: Shape[T], scope: str, row: Row, seq: int) -> None:
        self._run(statements.version_add(shape.table, shape.columns), scope=scope, seq=seq, **shape.named(row))

    def _end(self, shape: Shape[T], scope: str, key: Row, seq: int) -> None:
        names = dict(zip(shape.key, key, strict=True))
        self._run(statements.version_end(shape.table, shape.key), scope=scope, seq=seq, **names)


def _is_another_value(old: SelectionRow | None, new: SelectionRow | None) -> bool:
    """Neither that a cell begins empty nor that it stands as it was under other rules is a change of a value."""
    if old is None:
        return new is not None and new.status != "empty"
    return new is None or replace(new, ruleset=old.ruleset) != old


def _value_facts(row: SelectionRow) -> dict[str, Any]:
    facts = {
        "status": row.status,
        "reason": row.reason,
        "value": row.value,
        "comparator": row.comparator,
        "unit": row.unit,
        "flags": row.flags,
        "collected_at": row.collected_at,
        "source": row.source,
        "message_id": row.message_id,
        "inbox_id": row.inbox_id,
        "locator": row.locator,
        "ruleset": row.ruleset,
    }
    return facts if row.score is None else {**facts, "score": row.score}
