"""What a decision would be before anybody has made it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from adapter.model import Decision, Identifier, Participant, ResultRow
from adapter.store import CODES, Store

Place = tuple[int, str]  # where a result is: its inbox id and locator


@dataclass(frozen=True, slots=True)
class Given:
    """What a person filled in. ``results`` narrows an item to some of its results, or names the one that is chosen."""

    text: str = ""
    unit: str | None = None
    participant: str | None = None
    results: frozenset[Place] = frozenset()


@dataclass(frozen=True, slots=True)
class RosterChange:
    """Identifiers that a participant gains or loses with a decision."""

    study_id: str
    gained: tuple[Identifier, ...] = field(default=(), repr=False)
    lost: tuple[Identifier, ...] = field(default=(), repr=False)

    def of(self, person: Participant) -> Participant:
        """The participant as the roster then has them."""
        kept = [each for each in person.identifiers if each not in self.lost]
        return replace(person, identifiers=tuple(dict.fromkeys((*kept, *self.gained))))


@dataclass(frozen=True, slots=True)
class Proposal:
    """Decisions that could be made, each its kind and body (:class:`~adapter.model.Decision`).

    ``scopes`` are those it can concern, None for all; ``erases`` the message (inbox id) whose bytes go with it.
    """

    decisions: tuple[tuple[str, Mapping[str, str]], ...]
    scopes: frozenset[str] | None = None
    erases: int | None = None
    roster: RosterChange | None = None

    def as_if(self, made: Sequence[Decision], at: str) -> tuple[Decision, ...]:
        """Its decisions as they would follow those made."""
        first = 1 + max((decision.id for decision in made), default=0)
        return tuple(Decision(first + n, kind, body, "", at, "") for n, (kind, body) in enumerate(self.decisions))


def key_of(store: Store, row: ResultRow) -> str:
    """The name of a result across rebuilds (:attr:`~adapter.rules.interpret.Interpreted.key`)."""
    message = store.message(row.inbox_id)
    assert message is not None
    return f"{row.source}/{message.sha256}/{row.locator}"


def concerned(store: Store, kind: str, body: Mapping[str, str]) -> frozenset[str] | None:
    """The scopes that a decision can concern; None where that may be all of them."""
    if "study_id" in body:
        return frozenset({body["study_id"]})
    if kind == "dismiss_item":
        asked = store.item(body["item"])
        return None if asked is None or asked.scope == CODES else frozenset({asked.scope})
    if kind == "accept_unit":
        code = (body["source"], body["code"], body["system"])
        return frozenset(r.study_id for r in store.results() if (r.source, r.code, r.code_system) == code)
    if kind == "map_status":
        status = (body["source"], body["sent"])
        return frozenset(r.study_id for r in store.results() if (r.source, r.status) == status)
    if kind == "accept_specimen":
        return frozenset(r.study_id for r in store.results() if r.source == body["source"])
    return None
