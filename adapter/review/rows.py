"""A CSV as people enter it.

It is taken whole or not at all, and every bad row is named by its line; what a row holds is not repeated.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RowProblem:
    """A row that cannot be taken: its line (0: it is of no file), what is wrong, what to write instead.

    ``{name}`` in either text stands for the fact of that name: so the page can say them in another language.
    ``column`` is the one column it is about, "" where there is none.
    """

    line: int
    cause: str
    remedy: str
    facts: Mapping[str, object] = field(default_factory=dict)
    column: str = ""

    def told(self, translate: Callable[[str], str] = str) -> tuple[str, str]:
        """Cause and remedy with their facts."""
        facts = {name: _told(fact, translate) for name, fact in self.facts.items()}
        return translate(self.cause).format_map(facts), translate(self.remedy).format_map(facts)

    def __str__(self) -> str:
        return f"{f'line {self.line}: ' if self.line else ''}{'; '.join(self.told())}"


def _told(fact: object, translate: Callable[[str], str]) -> object:
    """A fact of several parts, or one that is told in words itself, in the language of ``translate``."""
    if isinstance(fact, tuple):
        return translate(", ").join(str(_told(each, translate)) for each in fact)
    told = getattr(fact, "told", None)
    return told(translate) if callable(told) else fact


def marked(text: str) -> str:
    """A text that is translated where it is told, and found by the extraction of the catalogue here."""
    return text


NOT_UTF_8 = RowProblem(1, marked("the file is not UTF-8"), marked("save it as CSV in UTF-8"))


class RowsError(Exception):
    """Rows that cannot be taken; nothing of them was."""

    def __init__(self, problems: Iterable[RowProblem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.line))
        super().__init__("\n".join(map(str, self.problems)))


def file_lines(path: Path) -> list[str]:
    """The lines of a CSV file in UTF-8. Raises RowsError, and OSError where there is none to be read."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(file)
    except UnicodeDecodeError as error:
        raise RowsError([NOT_UTF_8]) from error


def read_rows(lines: Iterable[str], columns: Sequence[str]) -> tuple[list[tuple[int, list[str]]], list[RowProblem]]:
    """The rows under a header of exactly these columns, each with its line, and those that have not as many fields.

    Cells are trimmed and empty rows passed over. Raises RowsError where the header is another or it is no CSV.
    """
    rows, found, problems = csv.reader(lines, strict=True), list[tuple[int, list[str]]](), list[RowProblem]()
    try:
        _check_header([name.strip().removeprefix("\ufeff") for name in next(rows, [])], columns)
        for row in rows:
            cells = [cell.strip() for cell in row]
            if len(cells) == len(columns):
                found += [(rows.line_num, cells)] if any(cells) else []
            elif any(cells):
                cause, facts = (
                    marked("{count} fields instead of {wanted}"),
                    {"count": len(cells), "wanted": len(columns)},
                )
                problems.append(RowProblem(rows.line_num, cause, marked("quote commas in fields"), facts))
    except csv.Error as error:
        remedy = marked("save the table as CSV in UTF-8")
        problem = RowProblem(rows.line_num, marked("this is not CSV"), remedy)
        raise RowsError([problem]) from error
    return found, problems


def _check_header(header: Sequence[str], columns: Sequence[str]) -> None:
    unknown = [name for name in header if name not in columns]
    missing = [name for name in columns if name not in header]
    wanted = marked("the first line is {columns}")
    facts = {"columns": ",".join(columns), "unknown": ", ".join(map(repr, unknown)), "missing": ", ".join(missing)}
    if len(header) == 1 and any(header[0].startswith(f"{columns[0]}{mark}") for mark in ";\t"):
        cause, remedy = marked("the columns are not separated by commas"), marked("save it as comma-separated CSV")
        raise RowsError([RowProblem(1, cause, remedy, facts)])
    if columns[0] not in header:  # not the header but a patient's row, perhaps: nothing of it is repeated
        raise RowsError([RowProblem(1, marked("the header is missing"), wanted, facts)])
    if unknown:
        # The study is blinded: a column nobody expected is refused rather than read over.
        cause, remedy = marked("the format has no column {unknown}"), marked("remove it; the first line is {columns}")
        raise RowsError([RowProblem(1, cause, remedy, facts)])
    if missing or list(header) != list(columns):
        lacking, disordered = marked("the header lacks {missing}"), marked("the columns stand in another order")
        raise RowsError([RowProblem(1, lacking if missing else disordered, wanted, facts)])
