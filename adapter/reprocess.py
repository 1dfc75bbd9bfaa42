"""What is stored, run once more through mappings and rules: what would change and why, and the change itself.

Everything is derived before anything is written, by the same functions as the daemon's, so that what is shown is what
would be done; and it is done in one transaction or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from zoneinfo import ZoneInfo

from adapter.model import Decision, Derived, Participant, Reason, ResultRow
from adapter.pipeline import Rulebook, ask_about_codes, derive_snapshot
from adapter.rules.changes import Change, changes, results_changed
from adapter.rules.decided import in_force
from adapter.rules.match import Roster
from adapter.rules.queue import Dismissals
from adapter.store import CODES, UNASSIGNED, Snapshot, Store, StoreUnavailable, Token

_TRIES = 3


class NotDerivable(Exception):
    """The rules failed on a scope, a defect of ours: nothing was written. The text names the scope."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many cells have another value, results another outcome, and review items open and close with that."""

    values: int
    results: int
    opened: int
    closed: int


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """Everything derived afresh and held against what is stored; nothing of it is written.

    ``participants`` are those it was derived for, ``counts`` and ``changes`` what is another. ``adopts``: the rules are
    others than those in force.
    """

    participants: Mapping[str, Participant]
    changes: tuple[Change, ...]
    counts: Counts
    adopts: bool
    roster_version: int
    derived: tuple[tuple[Derived, Token], ...]

    @property
    def is_nothing(self) -> bool:
        """Whether no value, no outcome and no question is another."""
        return self.counts == Counts(0, 0, 0, 0)


def rehearse(
    store: Store,
    book: Rulebook,
    at: datetime,
    *,
    infused: Mapping[str, str | None] | None = None,
    enrolled: Sequence[Participant] = (),
    decided: Sequence[Decision] = (),
    scopes: Collection[str] | None = None,
    advance: Callable[[], None] = lambda: None,
) -> Rehearsal:
    """What would change were everything derived by ``book``, on the day of ``at``; nothing is written.

    ``infused`` are infusion dates by study id and ``enrolled`` participants, to be taken instead of the roster's;
    ``decided`` are decisions to be taken as made. ``scopes`` are those that are derived, where it is not all of them.
    ``advance`` is called after each. Raises NotDerivable.
    """
    in_force_now, version = store.ruleset(), store.roster_version()
    as_here = {person.study_id: person for person in enrolled}
    people = [_as_if(as_here.get(person.study_id, person), infused or {}) for person in store.participants()]
    roster, today = Roster(people), _day(book, at)
    derived, found, results = list[tuple[Derived, Token]](), list[Change](), 0
    made = (*store.decisions(), *decided)
    asked_before, asked = set(store.standing(CODES).asked), set[str]()
    if scopes is not None:  # questions about codes are of all scopes, derived here or not
        asked = _codes_asked([r for r in store.results() if (r.study_id or UNASSIGNED) not in scopes], made)
    for scope in store.scopes():
        if scopes is not None and scope not in scopes:
            continue
        standing = store.standing(scope)
        snapshot = replace(standing.snapshot, decisions=(*standing.snapshot.decisions, *decided))
        rows = _rows(snapshot, roster, book, today)
        derived.append((rows, snapshot.token))
        found += changes(standing.results, standing.selections, standing.pending, rows)
        results += results_changed(standing.results, rows)
        asked_before |= standing.asked
        asked |= {item.id for item in rows.items} | _codes_asked(rows.results, made)
        advance()
    counts = Counts(len(found), results, len(asked - asked_before), len(asked_before - asked))
    adopts = in_force_now is None or in_force_now.id != book.ruleset
    return Rehearsal({p.study_id: p for p in people}, tuple(found), counts, adopts, version, tuple(derived))


def _rows(snapshot: Snapshot, roster: Roster, book: Rulebook, today: date) -> Derived:
    try:
        return derive_snapshot(snapshot, roster, book, today)
    except Exception as error:  # whatever it is: a part of the trial by other rules than the rest is worse than none
        words = f"{snapshot.token.scope} cannot be derived: {type(error).__name__} in the rules"
        raise NotDerivable(f"{words}; nothing was changed, please report this line") from error


def carry_out(
    store: Store,
    book: Rulebook,
    at: datetime,
    *,
    who: str,
    why: str,
    advance: Callable[[], None] = lambda: None,
) -> Rehearsal:
    """Put ``book`` in force and make what is derived that which follows from it, in one transaction; what changed.

    Where nothing would change and the rules are in force already nothing is written. What moves meanwhile is waited
    out: then everything is derived again. Raises NotDerivable and StoreUnavailable, with nothing written.
    """
    for _ in range(_TRIES):
        rehearsal = rehearse(store, book, at, advance=advance)
        if (rehearsal.is_nothing and not rehearsal.adopts) or _apply(rehearsal, store, book, at, who, why):
            return rehearsal
    cause = "roster, decisions or values changed while everything was derived"
    raise StoreUnavailable(f"nothing was changed: {cause}; try again when nobody else works on the store", cause)


def _apply(rehearsal: Rehearsal, store: Store, book: Rulebook, at: datetime, who: str, why: str) -> bool:
    """False where the inputs are no longer those of the rehearsal."""
    with store.write() as tx:
        if tx.roster_version() != rehearsal.roster_version:
            return False
        if not tx.apply_all(rehearsal.derived, book.ruleset, json.loads(book.body), _day(book, at), who, at, why):
            return False
        ask_about_codes(tx, book, who, at)
        new = {**asdict(rehearsal.counts), "ruleset": book.ruleset}
        tx.record("reprocessed", store.trial, who=who, at=at, why=why, new=new)
    return True


def _as_if(person: Participant, infused: Mapping[str, str | None]) -> Participant:
    return replace(person, infused_at=infused[person.study_id]) if person.study_id in infused else person


def _codes_asked(results: Iterable[ResultRow], decisions: Sequence[Decision]) -> set[str]:
    """The questions about codes that results ask and nobody dismissed."""
    asked = {r.item for r in results if r.reason == Reason.UNMAPPED_CODE and r.item is not None}
    return asked - Dismissals.of(in_force(decisions)).named


def _day(book: Rulebook, at: datetime) -> date:
    return at.astimezone(ZoneInfo(book.protocol.timezone)).date()
