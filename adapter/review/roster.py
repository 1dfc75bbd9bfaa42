"""The roster as people enter it: one CSV row for each identifier of a participant (interface.md, "Files").

A file is taken whole or not at all, and every bad row is named by its line; what a row holds is not repeated.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime

from adapter.model import Identifier, Participant
from adapter.rules.match import sex_of

COLUMNS = ("study_id", "identifier", "authority", "infused_at", "birth_date", "sex")
_STUDY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?([+-]\d\d:\d\d|Z)", re.ASCII)


@dataclass(frozen=True, slots=True)
class RosterProblem:
    """A row that cannot be taken: its line (0: it is of no file), what is wrong, what to write instead."""

    line: int
    cause: str
    remedy: str

    def __str__(self) -> str:
        return f"{f'line {self.line}: ' if self.line else ''}{self.cause}; {self.remedy}"


class RosterError(Exception):
    """A roster that cannot be taken; nothing of it was."""

    def __init__(self, problems: Iterable[RosterProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def read_roster(lines: Iterable[str]) -> list[Participant]:
    """The participants of a roster CSV. Raises RosterError naming every bad row."""
    rows = csv.reader(lines, strict=True)
    try:
        _check_header([name.strip().removeprefix("\ufeff") for name in next(rows, [])])
        numbered = [(rows.line_num, row) for row in rows if any(cell.strip() for cell in row)]
    except csv.Error as error:
        problem = RosterProblem(rows.line_num, f"this is not CSV ({error})", "save the table as CSV in UTF-8")
        raise RosterError([problem]) from error
    return _people(numbered)


def _check_header(header: list[str]) -> None:
    unknown = [name for name in header if name not in COLUMNS]
    missing = [name for name in COLUMNS if name not in header]
    wanted = "the first line is " + ",".join(COLUMNS)
    if "study_id" not in header:  # not the header but a patient's row, perhaps: nothing of it is repeated
        raise RosterError([RosterProblem(1, "the header is missing", wanted)])
    if unknown:
        cause = f"the format has no column {', '.join(repr(name) for name in unknown)}"
        # The study is blinded: a column nobody expected is refused rather than read over.
        raise RosterError([RosterProblem(1, cause, f"remove it; {wanted}")])
    if missing or list(header) != list(COLUMNS):
        cause = f"the header lacks {', '.join(missing)}" if missing else "the columns stand in another order"
        raise RosterError([RosterProblem(1, cause, wanted)])


def _people(rows: Iterable[tuple[int, list[str]]]) -> list[Participant]:
    found: dict[str, Participant] = {}
    holders: dict[Identifier, str] = {}
    problems = []
    for line, row in rows:
        if len(row) != len(COLUMNS):
            problems.append(
                RosterProblem(line, f"{len(row)} fields instead of {len(COLUMNS)}", "quote commas in fields")
            )
            continue
        study_id, number, authority, infused_at, birth_date, sex = (cell.strip() for cell in row)
        wrong = [*_wrong(study_id, number, authority), *wrong_facts(infused_at, birth_date, sex)]
        problems += [RosterProblem(line, cause, remedy) for cause, remedy in wrong]
        identifier = Identifier(number, authority)
        if holders.setdefault(identifier, study_id) != study_id:
            cause = f"this identifier is already that of {holders[identifier]}"
            problems.append(RosterProblem(line, cause, "one identifier names one participant"))
        person = Participant(study_id, (identifier,), infused_at or None, birth_date or None, sex_of(sex))
        known = found.get(study_id)
        if known is None:
            found[study_id] = person
        elif replace(known, identifiers=()) != replace(person, identifiers=()):
            cause = f"infused_at, birth_date or sex differ from an earlier row of {study_id}"
            problems.append(RosterProblem(line, cause, "repeat them alike in each row of a participant"))
        else:
            found[study_id] = replace(known, identifiers=(*known.identifiers, identifier))
    if problems:
        raise RosterError(problems)
    return list(found.values())


def read_person(study_id: str, number: str, authority: str, infused_at: str, birth_date: str, sex: str) -> Participant:
    """One participant with one identifier, by the rules of a row. Raises RosterError."""
    return _people([(0, [study_id, number, authority, infused_at, birth_date, sex])])[0]


def _wrong(study_id: str, number: str, authority: str) -> Iterator[tuple[str, str]]:
    if not _STUDY_ID.fullmatch(study_id):
        yield "study_id is empty or holds other characters", "write letters, digits, '.', '_' and '-', up to 40"
    if not number:
        yield "identifier is empty", "write the patient's number as the hospital's messages carry it"
    if not authority:
        yield "authority is empty", "write the assigning authority of the number, as the source's `authority` does"


def wrong_facts(infused_at: str, birth_date: str, sex: str) -> Iterator[tuple[str, str]]:
    """What is wrong with a participant's facts, as (cause, remedy); empty texts are fine."""
    if infused_at and not is_date_or_instant(infused_at):
        yield "infused_at is no date and no time with an offset", "write 2026-01-05 or 2026-01-05T09:30+08:00"
    if birth_date and not is_date(birth_date):
        yield "birth_date is no date", "write it as 1970-01-31, or leave it empty"
    if sex and sex_of(sex) is None:
        yield "sex is neither M nor F", "write M or F, or leave it empty"


def is_date(text: str) -> bool:
    """Whether a text is an ISO 8601 calendar date."""
    try:
        return bool(_DATE.fullmatch(text)) and bool(date.fromisoformat(text))
    except ValueError:
        return False


def is_date_or_instant(text: str) -> bool:
    """Whether a text is a date, or a time with its offset."""
    if is_date(text):
        return True
    try:
        return bool(_INSTANT.fullmatch(text)) and datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
