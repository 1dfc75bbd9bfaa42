"""The roster as people enter it: one CSV row for each identifier of a participant (interface.md, "Files")."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date, datetime

from adapter.model import Identifier, Participant
from adapter.review.rows import RowProblem, RowsError, marked, read_rows
from adapter.rules.match import sex_of

HELD = marked("this identifier is already that of {holder}")
COLUMNS = ("study_id", "identifier", "authority", "infused_at", "birth_date", "sex")
_STUDY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_YEARS = range(1880, 2200)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?([+-]\d\d:\d\d|Z)", re.ASCII)


def read_roster(lines: Iterable[str]) -> list[Participant]:
    """The participants of a roster CSV. Raises RowsError naming every bad row."""
    return _people(*read_rows(lines, COLUMNS))


def _people(rows: Iterable[tuple[int, list[str]]], problems: list[RowProblem]) -> list[Participant]:
    found: dict[str, Participant] = {}
    holders: dict[Identifier, str] = {}
    for line, (study_id, number, authority, infused_at, birth_date, sex) in rows:
        wrong = [*_wrong(study_id, number, authority), *wrong_facts(infused_at, birth_date, sex)]
        problems += [RowProblem(line, cause, remedy, column=column) for column, cause, remedy in wrong]
        identifier = Identifier(number, authority)
        if holders.setdefault(identifier, study_id) != study_id:
            cause, remedy = HELD, marked("one identifier names one participant")
            problems.append(RowProblem(line, cause, remedy, {"holder": holders[identifier]}))
        person = Participant(study_id, (identifier,), infused_at or None, birth_date or None, sex_of(sex))
        known = found.get(study_id)
        if known is None:
            found[study_id] = person
        elif replace(known, identifiers=()) != replace(person, identifiers=()):
            cause = marked("infused_at, birth_date or sex differ from an earlier row of {study_id}")
            remedy = marked("repeat them alike in each row of a participant")
            problems.append(RowProblem(line, cause, remedy, {"study_id": study_id}))
        else:
            found[study_id] = replace(known, identifiers=(*known.identifiers, identifier))
    if problems:
        raise RowsError(problems)
    return list(found.values())


def read_person(study_id: str, number: str, authority: str, infused_at: str, birth_date: str, sex: str) -> Participant:
    """One participant with one identifier, by the rules of a row. Raises RowsError."""
    cells = [study_id, number, authority, infused_at, birth_date, sex]
    return _people([(0, [cell.strip() for cell in cells])], [])[0]


def _wrong(study_id: str, number: str, authority: str) -> Iterator[tuple[str, str, str]]:
    if not _STUDY_ID.fullmatch(study_id):
        yield (
            "study_id",
            marked("study_id is empty or holds other characters"),
            marked("write letters, digits, '.', '_' and '-', up to 40"),
        )
    if not number:
        yield (
            "identifier",
            marked("identifier is empty"),
            marked("write the patient's number as the hospital's messages carry it"),
        )
    if not authority:
        yield (
            "authority",
            marked("authority is empty"),
            marked("write the assigning authority of the number, as the source's `authority` does"),
        )


def wrong_facts(infused_at: str, birth_date: str, sex: str) -> Iterator[tuple[str, str, str]]:
    """What is wrong with a participant's facts, as (column, cause, remedy); empty texts are fine."""
    if infused_at and not is_date_or_instant(infused_at):
        yield (
            "infused_at",
            marked("infused_at is no date and no time with an offset"),
            marked("write 2026-01-05 or 2026-01-05T09:30+08:00"),
        )
    if birth_date and not is_date(birth_date):
        yield "birth_date", marked("birth_date is no date"), marked("write it as 1970-01-31, or leave it empty")
    if sex and sex_of(sex) is None:
        yield "sex", marked("sex is neither M nor F"), marked("write M or F, or leave it empty")


def is_date(text: str) -> bool:
    """Whether a text is an ISO 8601 calendar date of a time that people live in: 9999-12-31 stands for none."""
    try:
        return bool(_DATE.fullmatch(text)) and date.fromisoformat(text).year in _YEARS
    except ValueError:
        return False


def is_date_or_instant(text: str) -> bool:
    """Whether a text is a date, or a time with its offset."""
    if is_date(text):
        return True
    try:
        at = datetime.fromisoformat(text) if _INSTANT.fullmatch(text) else None
        return at is not None and at.tzinfo is not None and at.year in _YEARS
    except ValueError:
        return False
