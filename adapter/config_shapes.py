"""What the sections of the configuration have in common: durations, the keys of every source, assessments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from adapter.mappings import Problem
from adapter.mappings.problems import Shape, Text, choose_from, distinct, fault, matching, one_of, some
from adapter.model import AssessmentCode, CodeRow, Coding, Protocol
from adapter.rules.assess import ITEMS
from adapter.rules.codes import is_loinc

_DURATION = re.compile(r"([1-9][0-9]{0,5})([smh])")
_SECONDS = {"s": 1, "m": 60, "h": 3600}


def seconds(value: object) -> int:
    """The seconds of a duration such as ``"5m"``. Raises the fault that names what to write."""
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise fault(f"{value!r} is not a duration", 'write a number above 0 with s, m or h, such as "30s", "5m", "1h"')
    return int(found[1]) * _SECONDS[found[2]]


Duration = Annotated[int, BeforeValidator(seconds)]


class AssessmentSection(Shape):
    """``[[source.assessment]]``: the code under which a source sends an assessment, and what its values mean."""

    item: Annotated[str, one_of(*ITEMS)]
    code: Text
    system: Text | None = None
    values: dict[str, Annotated[list[Text], AfterValidator(some), AfterValidator(distinct)]]


class SourceSection(Shape):
    """What every ``[[source]]`` has, whatever its kind."""

    name: Annotated[str, matching("[a-z0-9_-]+", "small letters, digits, - and _")]
    kind: str


def check_assessments(rows: Sequence[AssessmentSection], file: str, source: str) -> Iterator[Problem]:
    """What is wrong with a source's assessments beyond their shape; ``source`` is its place in the file."""
    first: dict[tuple[str, str | None], int] = {}
    for number, row in enumerate(rows, start=1):
        place = f"{source}.assessment[{number}]"
        earlier = first.setdefault((row.code, row.system), number)
        if earlier != number:
            cause = f"assessment[{earlier}] is of the same code and system"
            yield Problem(file, f"{place}.code", cause, "keep one of the two; a `system` in each can tell them apart")
        if not row.values:
            remedy = f'say what is sent for {ITEMS[row.item][0]}, such as {{ {ITEMS[row.item][0]} = ["..."] }}'
            yield Problem(file, f"{place}.values", "is empty, so nothing could be read", remedy)
        said: dict[str, str] = {}
        for value, texts in row.values.items():
            if value not in ITEMS[row.item]:
                cause = f"{value!r} is no value of {row.item}"
                yield Problem(file, f"{place}.values", cause, choose_from(value, ITEMS[row.item]))
            for text in texts:
                if said.setdefault(text, value) != value:
                    cause = f"{text!r} stands for {said[text]} too"
                    yield Problem(file, f"{place}.values.{value}", cause, "keep the one it means")


def check_assessment_codes(
    rows: Sequence[AssessmentCode], codes: Sequence[CodeRow], protocol: Protocol, file: str, source: str
) -> Iterator[Problem]:
    """Codes of assessments that mean something else already: in the source's code map, or as an analyte's LOINC."""
    for row in rows:
        others = [
            f"in the code map ({c.row})" for c in codes if c.code == row.code and _may_be_one(c.system, row.system)
        ]
        rows_of_loinc = protocol.loinc.get(row.code, ()) if _may_be_loinc(row.system) else ()
        others += [f"for {r.analyte} ({r.row})" for r in rows_of_loinc if r.kind != "deny"]
        if others:
            yield Problem(
                file, f"{source}.{row.row}.code", f"{row.code} stands {others[0]} too", "keep the one it means"
            )


def _may_be_one(one: str | None, other: str | None) -> bool:
    return one is None or other is None or one == other


def _may_be_loinc(system: str | None) -> bool:
    return system is None or is_loinc(Coding("", system=system))


def assessment_codes(rows: Sequence[AssessmentSection]) -> tuple[AssessmentCode, ...]:
    """The assessments of a source as the rules read them."""
    return tuple(
        AssessmentCode(
            item=row.item,
            code=row.code,
            values={value: tuple(texts) for value, texts in row.values.items()},
            system=row.system,
            row=f"assessment[{number}]",
        )
        for number, row in enumerate(rows, start=1)
    )
