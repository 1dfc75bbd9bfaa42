"""What coordinators enter of clinicians' assessments, from a CSV or one at a time (interface.md, "Files").

A file is taken whole or not at all. The entry of a day replaces the one that stood, whole; that is a correction, and
nobody corrects without saying why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from adapter import labels
from adapter.model import Assessment, Participant
from adapter.review.roster import is_date
from adapter.review.rows import RowProblem, RowsError, marked, read_rows
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
        problems += [RowProblem(line, cause, remedy, facts) for cause, remedy, facts in wrong]
        if not wrong:
            on = date.fromisoformat(assessed_on)
            entry = Entry(line, Assessment(study_id, on, items["ascites"], items["encephalopathy"], items["dialysis"]))
            first = entries.setdefault((study_id, on), entry)
            if first is not entry:
                cause = marked("{study_id} on {day} stands in line {first} already")
                facts = {"study_id": study_id, "day": assessed_on, "first": first.line}
                problems.append(RowProblem(line, cause, marked("keep one row for each participant and day"), facts))
    if problems:
        raise RowsError(problems)
    return list(entries.values())


def _wrong(
    person: Participant | None, assessed_on: str, items: Mapping[str, str | None], today: date
) -> list[tuple[str, str, dict[str, object]]]:
    """What is wrong with a row, as (cause, remedy, facts)."""
    found = list[tuple[str, str, dict[str, object]]]()
    if person is None:  # it may be another number of the patient's: it is not repeated
        remedy = marked("write it as the roster shows it")
        found.append((marked("study_id names no participant"), remedy, {}))
    if not is_date(assessed_on):
        found.append((marked("assessed_on is no date"), marked("write it as 2026-02-02"), {}))
    elif date.fromisoformat(assessed_on) > today:
        found.append((marked("assessed_on lies in the future"), marked("write the day of the assessment"), {}))
    elif person is not None and any(items.values()) and _after_withdrawal(person, date.fromisoformat(assessed_on)):
        cause = marked("{study_id} was withdrawn by then, and nothing of the time after is the trial's")
        remedy = marked("leave the row out, or correct the date")
        found.append((cause, remedy, {"study_id": person.study_id}))
    for name, values in ITEMS.items():
        if items[name] is not None and items[name] not in values:
            remedy = marked("write {values} or {last}, or leave it empty: not assessed")
            facts: dict[str, object] = {"name": name, "values": ", ".join(values[:-1]), "last": values[-1]}
            found.append((marked("{name} is none of its values"), remedy, facts))
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
            cause = marked("{study_id} on {day} stands with other items: {changed}")
            facts = {"study_id": now.study_id, "day": now.assessed_on, "changed": tuple(changed)}
            remedy = marked("give the reason of the correction (--reason)")
            corrections.append(RowProblem(entry.line, cause, remedy, facts))
    return Plan(tuple(new), tuple(corrections), len(entries) - len(new) - len(corrections))


@dataclass(frozen=True, slots=True)
class _Change:
    """One item that would be another; None is not assessed."""

    item: str
    was: str | None
    becomes: str | None

    def told(self, translate: Callable[[str], str]) -> str:
        """In words; without a language of the page the items stand as the file has them."""
        names = (self.item, self.was or "not_assessed", self.becomes or "not_assessed")
        if translate is str:
            item, was, becomes = (name.replace("not_assessed", "not assessed") for name in names)
        else:
            item, was, becomes = (labels.item(name, translate) for name in names)
        return translate(marked("{item} {was} becomes {becomes}")).format(item=item, was=was, becomes=becomes)


def _change(name: str, before: Assessment, now: Assessment) -> _Change:
    return _Change(name, getattr(before, name), getattr(now, name))


def enter(store: Store, entries: Sequence[Entry], *, who: str, why: str, at: datetime) -> Plan:
    """Enter them all, and say what that changed. Raises RowsError where one corrects and ``why`` is blank."""
    with store.write() as tx:
        planned = plan(tx, entries)
        if planned.corrections and not why.strip():
            raise RowsError(planned.corrections)
        for entry in entries:
            tx.add_assessment(entry.assessment, who, why.strip() or "entered", at)
    return planned
