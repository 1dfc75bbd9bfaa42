"""What coordinators enter of clinicians' assessments, from a CSV or one at a time (interface.md, "Files").

A file is taken whole or not at all. The entry of a day replaces the one that stood, whole; that is a correction, and
nobody corrects without saying why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from adapter.model import Assessment, Participant
from adapter.review.roster import is_date
from adapter.review.rows import RowProblem, RowsError, read_rows
from adapter.rules.assess import ITEMS
from adapter.store import Store, Transaction

COLUMNS = ("study_id", "assessed_on", *ITEMS)


@dataclass(frozen=True, slots=True)
class Entry:
    """One assessment to be entered and its line (0: it is of no file)."""

    line: int
    assessment: Assessment


@dataclass(frozen=True, slots=True)
class Plan:
    """What entering would change: the entries of days on which nothing stands, and those that change what does."""

    new: tuple[Entry, ...]
    corrections: tuple[RowProblem, ...]  # each in words, as the problem it is while nobody says why
    unchanged: int


def read_file(lines: Iterable[str], people: Iterable[Participant], today: date) -> list[Entry]:
    """The entries of a CSV. Raises RowsError naming every bad row."""
    rows, problems = read_rows(lines, COLUMNS)
    return _entries(rows, problems, people, today)


def read_entry(
    study_id: str, assessed_on: str, items: Mapping[str, str | None], people: Iterable[Participant], today: date
) -> Entry:
    """One entry by the rules of a row. Raises RowsError."""
    cells = [study_id.strip(), assessed_on.strip(), *(items[name] or "" for name in ITEMS)]
    return _entries([(0, cells)], [], people, today)[0]


def _entries(
    rows: Iterable[tuple[int, list[str]]], problems: list[RowProblem], people: Iterable[Participant], today: date
) -> list[Entry]:
    enrolled = {person.study_id: person for person in people}
    entries = dict[tuple[str, date], Entry]()
    for line, (study_id, assessed_on, *cells) in rows:
        items = {name: cell or None for name, cell in zip(ITEMS, cells, strict=True)}
        wrong = _wrong(enrolled.get(study_id), assessed_on, items, today)
        problems += [RowProblem(line, cause, remedy) for cause, remedy in wrong]
        if not wrong:
            on = date.fromisoformat(assessed_on)
            entry = Entry(line, Assessment(study_id, on, items["ascites"], items["encephalopathy"], items["dialysis"]))
            first = entries.setdefault((study_id, on), entry)
            if first is not entry:
                cause = f"{study_id} on {assessed_on} stands in line {first.line} already"
                problems.append(RowProblem(line, cause, "keep one row for each participant and day"))
    if problems:
        raise RowsError(problems)
    return list(entries.values())


def _wrong(
    person: Participant | None, assessed_on: str, items: Mapping[str, str | None], today: date
) -> list[tuple[str, str]]:
    """What is wrong with a row, as (cause, remedy)."""
    found = []
    if person is None:  # it may be another number of the patient's: it is not repeated
        remedy = "write it as `lab-adapter participants list` shows it"
        found.append(("study_id names no participant", remedy))
    if not is_date(assessed_on):
        found.append(("assessed_on is no date", "write it as 2026-02-02"))
    elif date.fromisoformat(assessed_on) > today:
        found.append(("assessed_on lies in the future", "write the day of the assessment"))
    elif person is not None and any(items.values()) and _after_withdrawal(person, date.fromisoformat(assessed_on)):
        cause = f"{person.study_id} was withdrawn by then, and nothing of the time after is the trial's"
        found.append((cause, "leave the row out, or correct the date"))
    for name, values in ITEMS.items():
        if items[name] is not None and items[name] not in values:
            remedy = f"write {', '.join(values[:-1])} or {values[-1]}, or leave it empty: not assessed"
            found.append((f"{name} is none of its values", remedy))
    return found


def _after_withdrawal(person: Participant, on: date) -> bool:
    return person.ended_by == "withdrawn" and person.ended_on is not None and on >= person.ended_on


def plan(store: Store | Transaction, entries: Sequence[Entry]) -> Plan:
    """What of the entries is new, what corrects what stands, and how many say what stands already."""
    standing = {(each.study_id, each.assessed_on): each for each in store.assessments()}
    new, corrections = list[Entry](), list[RowProblem]()
    for entry in entries:
        now = entry.assessment
        before = standing.get((now.study_id, now.assessed_on))
        if before is None:
            new += [entry] if any(getattr(now, name) for name in ITEMS) else []
        elif changed := [_change(name, before, now) for name in ITEMS if getattr(before, name) != getattr(now, name)]:
            cause = f"{now.study_id} on {now.assessed_on} stands with other items: {', '.join(changed)}"
            corrections.append(RowProblem(entry.line, cause, "give the reason of the correction (--reason)"))
    return Plan(tuple(new), tuple(corrections), len(entries) - len(new) - len(corrections))


def _change(name: str, before: Assessment, now: Assessment) -> str:
    was, becomes = (getattr(each, name) or "not assessed" for each in (before, now))
    return f"{name} {was} becomes {becomes}"


def enter(store: Store, entries: Sequence[Entry], *, who: str, why: str, at: datetime) -> Plan:
    """Enter them all, and say what that changed. Raises RowsError where one corrects and ``why`` is blank."""
    with store.write() as tx:
        planned = plan(tx, entries)
        if planned.corrections and not why.strip():
            raise RowsError(planned.corrections)
        for entry in entries:
            tx.add_assessment(entry.assessment, who, why.strip() or "entered", at)
    return planned
