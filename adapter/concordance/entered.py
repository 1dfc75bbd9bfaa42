"""The file that people entered by hand: CSV in UTF-8, a header, one row for each cell.

``study_id,visit,endpoint,value,unit,date``, in any order; separated by comma, semicolon or tab, whichever the header
uses. A row that cannot be compared is named with its line, and the others go on. A row never spans lines, so that one
quote too many spoils one row and not the rest of the file.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from adapter.concordance.nouns import BadRow, Cell, Entry, Sheet, SheetError
from adapter.model import Analyte, Protocol, ReportedValue
from adapter.rules.values import NoResult, Number, read_value

COLUMNS = ("study_id", "visit", "endpoint", "value", "unit", "date")
_WANTED = f"the first line is {','.join(COLUMNS)}"
_SEPARATORS = (",", ";", "\t")
_LINE = re.compile(r"\r\n|\r|\n")
_WHEN = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?)?", re.ASCII)
_LONGEST_UNIT = 40


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    fields: dict[str, str]


class _Refused(Exception):
    """One field that cannot be taken: cause and remedy."""


def read_sheet(content: bytes, protocol: Protocol, study_ids: Collection[str]) -> Sheet:
    """What the file says of the trial's cells. Raises SheetError where it cannot be read as a whole."""
    entries, bad, unusable = list[Entry](), list[BadRow](), set[Cell]()
    named: dict[Cell, list[int]] = defaultdict(list)
    reader = _Reader(protocol, study_ids)
    for row in _rows(_text(content)):
        if isinstance(row, BadRow):
            bad.append(row)
            continue
        cell, problems = reader.cell(row)
        entry = None
        try:
            entry = reader.entry(row, cell) if cell is not None else None
        except _Refused as refused:
            problems.append(BadRow(row.line, *refused.args))
        bad += problems
        if cell is not None:
            named[cell].append(row.line)
            if entry is None:
                unusable.add(cell)
            else:
                entries.append(entry)
    for cell, lines in named.items():
        if len(lines) > 1:
            unusable.add(cell)
            bad += [_repeated(cell, line, lines) for line in lines]
    usable = tuple(entry for entry in entries if entry.cell not in unusable)
    return Sheet(usable, tuple(sorted(bad, key=lambda row: row.line)), frozenset(unusable))


def _repeated(cell: Cell, line: int, lines: list[int]) -> BadRow:
    others = ", ".join(str(other) for other in lines if other != line)
    return BadRow(line, f"{' '.join(cell)} stands on line {others} too", "leave the one row that is meant")


# --- text and rows ------------------------------------------------------------------------------------------------


def _text(content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SheetError("the file is not UTF-8; save it as CSV in UTF-8") from error
    if "\0" in text:
        raise SheetError("the file is no text in UTF-8; save it as CSV in UTF-8")
    return text


def _rows(text: str) -> Iterator[_Row | BadRow]:
    lines = _LINE.split(text)
    separator, header = _header(lines[0])
    for number, line in enumerate(lines[1:], start=2):
        try:
            fields = _fields(line, separator)
        except csv.Error as error:
            yield BadRow(
                number, f"this is no row of CSV ({error})", "quote a field as a whole, and double a quote in it"
            )
            continue
        if not any(fields):
            continue
        if any(fields[len(header) :]):
            cause = f"more fields than the header has columns ({len(header)})"
            yield BadRow(number, cause, "write numbers with a decimal point, and quote fields that hold the separator")
            continue
        # Spreadsheets leave out separators at the end of a row: what is not there is empty.
        fields += [""] * (len(header) - len(fields))
        yield _Row(number, dict(zip(header, fields, strict=False)))


def _header(line: str) -> tuple[str, list[str]]:
    """The separator and the columns, blanks at the end left out."""
    for separator in _SEPARATORS:
        try:
            names = [name.casefold() for name in _fields(line, separator)]
        except csv.Error:
            continue
        while names and not names[-1]:
            names.pop()
        if "study_id" in names and len(names) > 1:
            break
    else:  # not the header but a row, perhaps: nothing of it is repeated
        raise SheetError(f"line 1: the header is missing; {_WANTED}")
    unknown = [name for name in names if name not in COLUMNS]
    if unknown:
        # The study is blinded: a column nobody expected is refused rather than read over.
        said = ", ".join(repr(name) for name in unknown)
        raise SheetError(f"line 1: the format has no column {said}; remove it; {_WANTED}")
    missing = [name for name in COLUMNS if name not in names]
    if missing or len(names) != len(COLUMNS):
        said = f"lacks {', '.join(missing)}" if missing else "names a column twice"
        raise SheetError(f"line 1: the header {said}; {_WANTED}")
    return separator, names


def _fields(line: str, separator: str) -> list[str]:
    return [field.strip() for row in csv.reader([line], delimiter=separator, strict=True) for field in row]


# --- one row ------------------------------------------------------------------------------------------------------


class _Reader:
    """The fields of a row, by the protocol's own names and rules."""

    def __init__(self, protocol: Protocol, study_ids: Collection[str]) -> None:
        self.protocol = protocol
        self.study_ids = frozenset(study_ids)
        self.zone = ZoneInfo(protocol.timezone)
        labels = {visit.label.casefold(): visit.id for visit in protocol.visits}
        self.visits = labels | {visit.id.casefold(): visit.id for visit in protocol.visits}
        shown = [a for a in protocol.analytes.values() if not (a.derived and a.supporting)]
        self.analytes: dict[str, Analyte] = {analyte.id.casefold(): analyte for analyte in shown}

    def cell(self, row: _Row) -> tuple[Cell | None, list[BadRow]]:
        """Which cell a row is of, or what is wrong with each name."""
        study_id = row.fields["study_id"]
        visit = self.visits.get(row.fields["visit"].casefold())
        analyte = self.analytes.get(row.fields["endpoint"].casefold())
        problems = []
        if study_id not in self.study_ids:
            remedy = "write the study id as `lab-adapter participants list` shows it"
            problems.append(BadRow(row.line, "study_id names nobody who is enrolled here", remedy))
        if visit is None:
            remedy = f"write one of {', '.join(v.id for v in self.protocol.visits)}"
            problems.append(BadRow(row.line, "visit is none of the protocol's", remedy))
        if analyte is None:
            remedy = f"write one of {', '.join(a.id for a in self.analytes.values())}"
            problems.append(BadRow(row.line, "endpoint is none of the protocol's", remedy))
        if problems or visit is None or analyte is None:
            return None, problems
        return (study_id, visit, analyte.id), []

    def entry(self, row: _Row, cell: Cell) -> Entry:
        """What a row says of its cell. Raises _Refused."""
        number, comparator = self._value(row.fields["value"])
        unit = row.fields["unit"]
        if len(unit) > _LONGEST_UNIT or not unit.isprintable():
            raise _Refused("unit is no unit", "write the unit of the number, as mg/dL")
        return Entry(row.line, cell, number, comparator, unit, self._date(row.fields["date"]))

    def _value(self, text: str) -> tuple[Decimal | None, str | None]:
        found = read_value(ReportedValue(text, text), self.protocol)
        if isinstance(found, Number):
            return found.number, found.comparator
        if isinstance(found, NoResult):
            return None, None
        cause = f"value cannot be read: {found.why}"
        raise _Refused(cause, "write a number as 2.1, with <, <=, > or >= before it where it has one")

    def _date(self, text: str) -> date | None:
        """A date, or a time: with an offset it is seen in the trial's time zone, without one it is of that zone."""
        if not text:
            return None
        remedy = "write it as 2026-02-02, or 2026-02-02T08:15; leave it empty where it is not known"
        if not _WHEN.fullmatch(text):
            raise _Refused("date is no date of ISO 8601", remedy)
        try:
            when = datetime.fromisoformat(text)
            return (when if when.tzinfo is None else when.astimezone(self.zone)).date()
        except (ValueError, OverflowError) as error:
            raise _Refused("date is no day of the calendar", remedy) from error
