"""What must be derived again, and from what.

A scope is a participant, or ``UNASSIGNED``. It keeps how many messages reached it, and an epoch that moves with its
roster entry, its assessments and the decisions on it; the trial keeps a global epoch for what may concern everybody.
Beside them stands from which of these its rows were derived: where they differ it is dirty.
"""

from __future__ import annotations

from datetime import date

from adapter.store import statements
from adapter.store.assessments import AssessmentReads
from adapter.store.decisions import DecisionReads
from adapter.store.inbox import InboxReads
from adapter.store.records import CODES, UNASSIGNED, Snapshot, Token
from adapter.store.roster import RosterReads


class ScopeReads(InboxReads, RosterReads, DecisionReads, AssessmentReads):
    """Asking what is dirty, and taking the inputs of a derivation."""

    def scopes(self) -> list[str]:
        """Every scope there is: participants, and ``UNASSIGNED`` where a message belongs to no single one."""
        return [str(scope) for (scope,) in self._rows(statements.SCOPES, codes=CODES)]

    def dirty(self, ruleset: str, derived_on: date, limit: int = 100) -> list[str]:
        """Scopes whose rows are not those of today's inputs, ruleset and day; the least often derived first."""
        rows = self._rows(statements.DIRTY, **self._today(ruleset, derived_on), limit=limit)
        return [str(scope) for (scope,) in rows]

    def dirty_count(self, ruleset: str, derived_on: date) -> int:
        """How many scopes :meth:`dirty` would name without a limit."""
        return self._number(statements.DIRTY_COUNT, **self._today(ruleset, derived_on))

    def codes_are_dirty(self, ruleset: str) -> bool:
        """Whether an unmapped code came, changed or went since ``apply_trial_items``, or the rules are others."""
        with self._engine.reading():
            epoch, _, derived_epoch, derived_ruleset, derived_global = self._scope(CODES)
            current = self._number(statements.GLOBAL_EPOCH)
        return (derived_epoch, derived_ruleset, derived_global) != (epoch, ruleset, current)

    def snapshot(self, scope: str, *, stepwise: bool = False) -> Snapshot:
        """All inputs of a scope, of one instant.

        ``stepwise`` ends the messages at the first that was never derived. Derived so, one message after the other,
        the trail holds the same changes however the messages were spread over time and over crashes.
        """
        with self._engine.reading():
            epoch, applied, *_ = self._scope(scope)
            global_epoch = self._number(statements.GLOBAL_EPOCH)
            messages = self.received(scope)
            if stepwise and (pending := self._row(statements.PENDING_OF_SCOPE, scope=scope)) is not None:
                messages = [message for message in messages if message.id <= pending[0]]
            token = Token(scope, tuple(message.id for message in messages), epoch, global_epoch, applied)
            participant = None if scope == UNASSIGNED else self.participant(scope)
            assessments = tuple(self.assessments(scope))
            return Snapshot(token, participant, tuple(messages), tuple(self.decisions()), assessments)

    def _scope(self, scope: str) -> tuple[int, int, int | None, str | None, int | None]:
        row = self._row(statements.SCOPE, scope=scope)
        return (0, 0, None, None, None) if row is None else (row[0], row[1], row[2], row[3], row[4])

    def _today(self, ruleset: str, derived_on: date) -> dict[str, str]:
        return {"ruleset": ruleset, "derived_on": derived_on.isoformat(), "codes": CODES}
