"""A CSV as people enter it.

It is taken whole or not at all, and every bad row is named by its line; what a row holds is not repeated.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RowProblem:
    """A row that cannot be taken: its line (0: it is of no file), what is wrong, what to write instead."""

    line: int
    cause: str
    remedy: str

    def __str__(self) -> str:
        return f"{f'line {self.line}: ' if self.line else ''}{self.cause}; {self.remedy}"


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
        raise RowsError([RowProblem(1, "the file is not UTF-8", "save it as CSV in UTF-8")]) from error


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
                cause = f"{len(cells)} fields instead of {len(columns)}"
                problems.append(RowProblem(rows.line_num, cause, "quote commas in fields"))
    except csv.Error as error:
        problem = RowProblem(rows.line_num, f"this is not CSV ({error})", "save the table as CSV in UTF-8")
        raise RowsError([problem]) from error
    return found, problems


def _check_header(header: Sequence[str], columns: Sequence[str]) -> None:
    unknown = [name for name in header if name not in columns]
    missing = [name for name in columns if name not in header]
    wanted = "the first line is " + ",".join(columns)
    if len(header) == 1 and any(header[0].startswith(f"{columns[0]}{mark}") for mark in ";\t"):
        raise RowsError([RowProblem(1, "the columns are not separated by commas", "save it as comma-separated CSV")])
    if columns[0] not in header:  # not the header but a patient's row, perhaps: nothing of it is repeated
        raise RowsError([RowProblem(1, "the header is missing", wanted)])
    if unknown:
        cause = f"the format has no column {', '.join(repr(name) for name in unknown)}"
        # The study is blinded: a column nobody expected is refused rather than read over.
        raise RowsError([RowProblem(1, cause, f"remove it; {wanted}")])
    if missing or list(header) != list(columns):
        cause = f"the header lacks {', '.join(missing)}" if missing else "the columns stand in another order"
        raise RowsError([RowProblem(1, cause, wanted)])
