"""What a decision would be before anybody has made it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from adapter.model import Decision, Identifier, Participant, ResultRow
from adapter.review.desk import DecisionRefused
from adapter.review.rows import marked
from adapter.store import CODES, UNASSIGNED, Store

# A code that stands in a message's bytes as it is read: nothing in it has to be escaped.
_LITERAL = re.compile(r"[A-Za-z0-9._-]+")
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


def together(proposals: Sequence[Proposal]) -> Proposal:
    """Several as one, decided at one stroke. Raises DecisionRefused where two change the roster or erase bytes."""
    alone = [each for each in proposals if each.roster is not None or each.erases is not None]
    if len(alone) > 1:
        raise DecisionRefused(marked("decisions about identities are made, and undone, one at a time"))
    scopes: frozenset[str] | None = frozenset()
    for each in proposals:
        scopes = None if scopes is None or each.scopes is None else scopes | each.scopes
    decisions = tuple(decision for each in proposals for decision in each.decisions)
    roster, erases = (alone[0].roster, alone[0].erases) if alone else (None, None)
    return Proposal(decisions, scopes, erases, roster)


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
    if kind in {"map_code", "dismiss_code"} and _LITERAL.fullmatch(body["code"]):
        sent = (body["source"], body["code"])  # in the bytes, or escaped there and read as this
        read = {r.study_id or UNASSIGNED for r in store.results() if (r.source, r.code) == sent}
        return frozenset(store.scopes_sending(*sent) | read)
    if kind == "accept_specimen":
        return frozenset(r.study_id for r in store.results() if r.source == body["source"])
    return None
