"""A roster's rows put beside who is enrolled: what they would change, and the change itself.

A file is taken whole or not at all. Where it is silent on a fact the fact is taken away, but a number of a patient is
only ever added: which one goes is said on its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from adapter.model import Identifier, Participant, SourceRules
from adapter.review.roster import COLUMNS, HELD, read_roster
from adapter.review.rows import RowProblem, RowsError, marked, read_rows
from adapter.store import Store, Transaction


@dataclass(frozen=True, slots=True)
class Row:
    """What one participant of a file would become; of an identity only which part of it is another.

    ``infused`` is the infusion date before and after, where it changes. ``facts`` are among ``birth_date`` and ``sex``.
    """

    study_id: str
    is_new: bool
    infused: tuple[str | None, str | None] | None
    facts: tuple[str, ...]
    identifiers: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The participants that a file would change, and how many it leaves as they are."""

    rows: tuple[Row, ...]
    unchanged: int

    @property
    def infused(self) -> dict[str, str | None]:
        """The infusion dates that change of those who are enrolled already, by study id."""
        return {row.study_id: row.infused[1] for row in self.rows if row.infused and not row.is_new}


def read_file(store: Store | Transaction, lines: Sequence[str]) -> list[Participant]:
    """The participants of a roster CSV, none of whose numbers is another's. Raises RowsError naming every bad row."""
    people = read_roster(lines)
    holders = {identifier: p.study_id for p in store.participants() for identifier in p.identifiers}
    problems = []
    for line, (study_id, number, authority, *_) in read_rows(lines, COLUMNS)[0]:
        holder = holders.get(Identifier(number, authority), study_id)
        if holder != study_id:
            remedy = marked("correct the row, or take it from {holder} first")
            problems.append(RowProblem(line, HELD, remedy, {"holder": holder}))
    if problems:
        raise RowsError(problems)
    return people


def plan(store: Store | Transaction, people: Iterable[Participant]) -> Plan:
    """What enrolling them would change."""
    enrolled = {person.study_id: person for person in store.participants()}
    rows, unchanged = list[Row](), 0
    for person in people:
        row = _row(enrolled.get(person.study_id), person)
        if row is None:
            unchanged += 1
        else:
            rows.append(row)
    return Plan(tuple(rows), unchanged)


def _row(before: Participant | None, after: Participant) -> Row | None:
    known = before or Participant(after.study_id)
    infused = None if known.infused_at == after.infused_at else (known.infused_at, after.infused_at)
    facts = tuple(name for name in ("birth_date", "sex") if getattr(known, name) != getattr(after, name))
    identifiers = len(set(after.identifiers) - set(known.identifiers))
    if before is not None and infused is None and not facts and not identifiers:
        return None
    return Row(after.study_id, before is None, infused, facts, identifiers)


def enrol(tx: Transaction, people: Iterable[Participant], who: str, why: str, at: datetime) -> int:
    """Enrol them, or make those who are enrolled what they are here; how many that changed. Ends are left as they are.

    Raises IdentifierTaken.
    """
    changed = 0
    for person in people:
        known = tx.participant(person.study_id) or person
        entered = replace(person, ended_on=known.ended_on, ended_by=known.ended_by)
        changed += tx.put_participant(entered, who, why, at)
    return changed


def unheard_of(
    people: Iterable[Participant], roster: Iterable[Participant], sources: Iterable[SourceRules]
) -> tuple[list[str], list[str]]:
    """The assigning authorities of ``people`` that neither a source's configuration nor anybody else has; those known.

    A misspelt one names nobody, for ever and without an error. Nothing is said where nothing is known to begin with.
    """
    configured = {name for source in sources for name in (source.authority, *source.authorities.values()) if name}
    holders: dict[str, set[str]] = {name: set() for name in configured}
    for person in roster:
        for number in person.identifiers:
            holders.setdefault(number.authority, set()).add(person.study_id)
    mine = {(number.authority, person.study_id) for person in people for number in person.identifiers}
    found = {name for name, whose in mine if name not in configured and holders.get(name, {whose}) == {whose}}
    known = holders.keys() - found
    return (sorted(found), sorted(known)) if known else ([], [])


def as_enrolled(store: Store | Transaction, person: Participant) -> Participant:
    """A participant of a file as enrolling makes them: with the end and the identifiers that they have already."""
    known = store.participant(person.study_id)
    if known is None:
        return person
    identifiers = tuple(dict.fromkeys((*known.identifiers, *person.identifiers)))
    return replace(person, identifiers=identifiers, ended_on=known.ended_on, ended_by=known.ended_by)
