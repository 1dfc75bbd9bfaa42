"""A source's code map: what its local codes mean (trial.md section 2)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from adapter.mappings.problems import (
    MappingError,
    Problem,
    check_shape,
    choose_from,
    is_fatal,
    parse_toml,
    read_content,
)
from adapter.mappings.shapes import CodeMapFile, CodeMapRow
from adapter.model import CodeRow, Protocol
from adapter.rules.units import unit_row


def load_codes(path: Path | str, protocol: Protocol) -> tuple[CodeRow, ...]:
    """The rows of a code map, checked against the protocol. Raises MappingError with every problem."""
    rows, problems = read_codes(path, protocol)
    if rows is None:
        raise MappingError(problems)
    return rows


def read_codes(
    path: Path | str, protocol: Protocol, asked_by: str | None = None, place: str = "the file"
) -> tuple[tuple[CodeRow, ...] | None, tuple[Problem, ...]]:
    """The rows of a code map and the warnings about it, or None and everything that is wrong.

    ``asked_by`` and ``place`` say which file names it and where, for the case that it cannot be read.
    """
    path = Path(path)
    content, problems = read_content(path, asked_by or str(path), place)
    table, more = (None, []) if content is None else parse_toml(content, str(path))
    shape, wrong = (None, []) if table is None else check_shape(CodeMapFile, table, str(path))
    problems = [*problems, *more, *wrong]
    if shape is None:
        return None, tuple(problems)
    problems += _check(shape, protocol, str(path))
    if is_fatal(problems):
        return None, tuple(problems)
    return tuple(_code_row(row, path.name) for row in shape.code), tuple(problems)


def _code_row(row: CodeMapRow, file: str) -> CodeRow:
    named = row.code if row.system is None else f"{row.code} ({row.system})"
    return CodeRow(row.code, row.analyte, row.system, row.unit, row.name or "", row=f"{file}: {named}")


def _check(codes: CodeMapFile, protocol: Protocol, file: str) -> Iterator[Problem]:
    first: dict[tuple[str, str | None], int] = {}
    for number, row in enumerate(codes.code, start=1):
        place = f"code[{number}] ({row.code})"
        earlier = first.setdefault((row.code, row.system), number)
        if earlier != number:
            cause = f"code[{earlier}] is of the same code and system"
            yield Problem(file, place, cause, "keep one of the two; a `system` in each can tell them apart")
        if (row.analyte is None) == (row.ignore is None):
            cause = "it says neither `analyte` nor `ignore`" if row.analyte is None else "it says both"
            yield Problem(file, place, cause, 'write either analyte = "..." or ignore = true')
        elif row.analyte is not None:
            yield from _check_analyte(row, row.analyte, protocol, file, place)
        elif row.unit is not None:
            yield Problem(file, f"{place}.unit", "an ignored code needs no unit", "remove it")


def _check_analyte(row: CodeMapRow, id: str, protocol: Protocol, file: str, place: str) -> Iterator[Problem]:
    analyte = protocol.analytes.get(id)
    if analyte is None:
        cause = f'the protocol has no analyte "{id}"'
        yield Problem(file, f"{place}.analyte", cause, f"{choose_from(id, list(protocol.analytes))}; or ignore = true")
        return
    if row.unit is not None and unit_row(row.unit, analyte, protocol) is None:
        cause = f'"{row.unit}" is no unit of {id}'
        yield Problem(file, f"{place}.unit", cause, choose_from(row.unit, list(analyte.units)))
    if row.name is not None and row.name.casefold() in {name.casefold() for name in analyte.not_names}:
        cause = f'"{row.name}" is listed as a name of something other than {id}'
        yield Problem(file, f"{place}.name", cause, "make sure that the code means it", warning=True)
