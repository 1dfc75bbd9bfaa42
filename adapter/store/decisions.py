"""What people decided and which rules were adopted: inputs of the derivation, only ever added to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

from adapter.model import Decision
from adapter.store import statements
from adapter.store.audit import AuditWrites
from adapter.store.records import Ruleset
from adapter.store.rows import as_json, utc_text
from adapter.store.session import Reads


class DecisionReads(Reads):
    """Reading decisions and rulesets."""

    def decisions(self) -> list[Decision]:
        """All decisions, in the order they were made."""
        return [
            Decision(id=id_, kind=kind, body=json.loads(body), who=who, at=at, why=why)
            for id_, kind, body, who, at, why in self._rows(statements.DECISIONS)
        ]

    def rulesets(self) -> list[Ruleset]:
        """Every adoption, in its order; the last is in force."""
        return [Ruleset(id_, json.loads(body), at) for id_, body, at in self._rows(statements.RULESETS)]

    def ruleset(self) -> Ruleset | None:
        """The ruleset in force, or None where none was adopted yet."""
        adopted = self.rulesets()
        return adopted[-1] if adopted else None


class DecisionWrites(AuditWrites, DecisionReads):
    """Adding decisions and rulesets."""

    def add_decision(self, kind: str, body: Mapping[str, str], who: str, why: str, at: datetime) -> Decision:
        """Add a decision; see :class:`~adapter.model.Decision` for what ``body`` holds."""
        text, instant = as_json(body), utc_text(at)
        id_ = self._insert(statements.DECISION_ADD, kind=kind, body=text, who=who, at=instant, why=why)
        self.record("decided", f"decision {id_}", who=who, at=at, why=why, new={"kind": kind, "body": body})
        # What is decided of one participant is an input of that one's derivation alone.
        if "study_id" in body:
            self._run(statements.SCOPE_MOVE, scope=body["study_id"])
        else:
            self._run(statements.GLOBAL_EPOCH_MOVE)
        return Decision(id=id_, kind=kind, body=dict(body), who=who, at=instant, why=why)

    def adopt_ruleset(self, ruleset_id: str, body: Mapping[str, object], who: str, at: datetime) -> bool:
        """Put a version of mappings and rules in force. False where it is in force already."""
        before = self.ruleset()
        if before is not None and before.id == ruleset_id:
            return False
        self._insert(statements.RULESET_ADD, id=ruleset_id, body=as_json(body), adopted_at=utc_text(at))
        self.record(
            "ruleset adopted",
            f"ruleset {ruleset_id}",
            who=who,
            at=at,
            why="mappings or rules differ from those in force",
            old=None if before is None else {"ruleset": before.id},
            new={"ruleset": ruleset_id},
        )
        self._run(statements.GLOBAL_EPOCH_MOVE)
        return True
