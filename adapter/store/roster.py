"""The roster: who is enrolled, apart from by which numbers, which birth date and which sex they are known.

The trail says that an identity changed, never from what or to what; days of infusion and end are trial data and are
recorded as they were and are.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import date, datetime
from typing import Any

from adapter.model import Identifier, Participant
from adapter.store import statements
from adapter.store.audit import AuditWrites
from adapter.store.engine import Row
from adapter.store.errors import IdentifierTaken, StoreError
from adapter.store.rows import utc_text
from adapter.store.session import Reads


class RosterReads(Reads):
    """Reading the roster."""

    def roster_version(self) -> int:
        """A number that moves whenever the roster changes; one row is read."""
        return self._number(statements.ROSTER_VERSION)

    def participants(self) -> list[Participant]:
        """Everyone enrolled, by study id, with the identifiers in use in the order they were added."""
        with self._engine.reading():
            rows = self._rows(statements.PARTICIPANTS)
            identifiers = self._rows(statements.IDENTIFIERS)
        return _participants(rows, identifiers)

    def participant(self, study_id: str) -> Participant | None:
        """One participant, or None."""
        with self._engine.reading():
            rows = self._rows(statements.PARTICIPANT, study_id=study_id)
            identifiers = self._rows(statements.IDENTIFIERS_OF_PARTICIPANT, study_id=study_id)
        found = _participants(rows, identifiers)
        return found[0] if found else None


class RosterWrites(AuditWrites, RosterReads):
    """Writing the roster."""

    def put_participant(self, participant: Participant, who: str, why: str, at: datetime) -> bool:
        """Enrol a participant, or make an enrolled one's fields equal to those given. False where nothing changed.

        Identifiers are added, never taken away (:meth:`remove_identifier`). Raises :class:`IdentifierTaken` where one
        is another participant's.
        """
        before = self.participant(participant.study_id)
        held = set() if before is None else {(each.value, each.authority) for each in before.identifiers}
        added = [each for each in dict.fromkeys(participant.identifiers) if (each.value, each.authority) not in held]
        for identifier in added:
            self._refuse_if_taken(identifier, participant.study_id)
        notes = _identity_changes(before, participant)
        notes += [f"identifier added (authority {each.authority})" for each in added]
        old = None if before is None else _trial_facts(before)
        new = _trial_facts(participant)
        if old == new and not notes:
            return False
        self._write(participant, added, utc_text(at))
        self.record(
            "participant enrolled" if before is None else "participant changed",
            participant.study_id,
            who=who,
            at=at,
            why=why,
            old=old,
            new={**new, "changes": notes},
        )
        self._roster_moved(participant.study_id, identifiers_changed=bool(added))
        return True

    def remove_identifier(self, study_id: str, identifier: Identifier, who: str, why: str, at: datetime) -> None:
        """Take an identifier out of use. Raises :class:`StoreError` where the participant does not have it."""
        name = {"study_id": study_id, "value": identifier.value, "authority": identifier.authority}
        if self._run(statements.IDENTIFIER_REMOVE, **name, removed_at=utc_text(at)) == 0:
            raise StoreError(
                f"participant {study_id}: has no such identifier of authority {identifier.authority}; "
                "see lab-adapter participants list"
            )
        changes = [f"identifier removed (authority {identifier.authority})"]
        self.record("participant changed", study_id, who=who, at=at, why=why, new={"changes": changes})
        self._roster_moved(study_id, identifiers_changed=True)

    def _refuse_if_taken(self, identifier: Identifier, study_id: str) -> None:
        name = {"value": identifier.value, "authority": identifier.authority}
        for holder, *_ in self._rows(statements.IDENTIFIER_HOLDER, **name):
            if holder != study_id:
                raise IdentifierTaken(
                    f"participant {study_id}: an identifier of authority {identifier.authority} is already that of "
                    f"participant {holder}; correct the row, or take it from {holder} first"
                )

    def _write(self, participant: Participant, added: list[Identifier], at: str) -> None:
        study_id = participant.study_id
        self._run(statements.PARTICIPANT_PUT, study_id=study_id, added_at=at, **_trial_facts(participant))
        self._run(statements.IDENTITY_PUT, study_id=study_id, birth_date=participant.birth_date, sex=participant.sex)
        for each in added:
            name = {"study_id": study_id, "value": each.value, "authority": each.authority}
            self._run(statements.IDENTIFIER_ADD, **name, added_at=at)

    def _roster_moved(self, study_id: str, *, identifiers_changed: bool) -> None:
        self._run(statements.ROSTER_VERSION_MOVE)
        self._run(statements.SCOPE_MOVE, scope=study_id)
        if identifiers_changed:
            # Whose a stored message is may now be answered otherwise, for others too.
            self._run(statements.GLOBAL_EPOCH_MOVE)


def _trial_facts(participant: Participant) -> dict[str, Any]:
    return {
        "infused_at": participant.infused_at,
        "ended_on": None if participant.ended_on is None else participant.ended_on.isoformat(),
        "ended_by": participant.ended_by,
    }


def _identity_changes(before: Participant | None, after: Participant) -> list[str]:
    changes = []
    for field in ("birth_date", "sex"):
        old, new = (None if before is None else getattr(before, field)), getattr(after, field)
        if old != new:
            changes.append(f"{field} {'given' if old is None else 'removed' if new is None else 'changed'}")
    return changes


def _participants(rows: list[Row], identifiers: list[Row]) -> list[Participant]:
    held: dict[str, list[Identifier]] = defaultdict(list)
    for study_id, value, authority in identifiers:
        held[study_id].append(Identifier(value, authority))
    return [
        Participant(
            study_id=study_id,
            identifiers=tuple(held[study_id]),
            infused_at=infused_at,
            birth_date=birth_date,
            sex=sex,
            ended_on=None if ended_on is None else date.fromisoformat(ended_on),
            ended_by=ended_by,
        )
        for study_id, infused_at, ended_on, ended_by, birth_date, sex in rows
    ]
