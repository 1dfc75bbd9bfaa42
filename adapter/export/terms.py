"""What SDTM calls things, as data: ``sdtm.toml`` beside the trial's protocol, checked with place, cause and remedy."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from adapter.mappings import MappingError, Problem
from adapter.mappings.problems import Shape, check_shape, is_fatal, matching, parse_toml, read_content
from adapter.model import Analyte, Protocol

FILE = "sdtm.toml"

_Ascii = Annotated[str, matching(r"[ -~]{0,200}", "up to 200 characters of ASCII")]
_Term = Annotated[str, matching(r"[!-~]([ -~]{0,198}[!-~])?", "up to 200 characters of ASCII")]
_TestCode = Annotated[str, matching(r"[A-Z_][A-Z0-9_]{0,7}", "up to 8 capitals, digits, underscores, no digit first")]
_TestName = Annotated[str, matching(r"[!-~]([ -~]{0,38}[!-~])?", "up to 40 characters of ASCII")]


class Study(Shape):
    """``[study]``: the site and its country."""

    site: _Term
    country: Annotated[str, matching("[A-Z]{3}", "a country of ISO 3166-1, three letters")]


class Test(Shape):
    """A test's short and long name (--TESTCD, --TEST)."""

    __test__ = False  # a class of tests to pytest, by its name

    testcd: _TestCode
    test: _TestName


class Measured(Test):
    """``[test.ANALYTE]``: a laboratory test with its category (LBCAT)."""

    category: _Term


class Score(Test):
    """``[score.FORMULA]``: what a formula gives, its class and the points of its inputs where it has such."""

    category: _Term
    grade: Test | None = None
    item: Mapping[str, Test] = {}


class _File(Shape):
    schema_: Annotated[Literal[1], Field(alias="schema")]
    study: Study
    test: Mapping[str, Measured]
    unit: Mapping[str, _Ascii]
    specimen: Mapping[str, _Term]
    score: Mapping[str, Score]
    assessed: Mapping[str, Mapping[str, _Term]]


class Terms(_File):
    """All of ``sdtm.toml``. ``fingerprint`` is the SHA-256 of the file."""

    fingerprint: Annotated[str, AfterValidator(str)] = ""


def load_terms(protocol_path: Path, protocol: Protocol) -> Terms:
    """The terms beside a protocol, for all that it captures. Raises MappingError with every problem."""
    path = protocol_path.parent / FILE
    content, problems = read_content(path, str(protocol_path), "an export to SDTM")
    table, more = (None, []) if content is None else parse_toml(content, str(path))
    shape, wrong = (None, []) if table is None else check_shape(Terms, table, str(path))
    problems = [*problems, *more, *wrong]
    if shape is not None:
        problems += _uncovered(shape, protocol, str(path))
    if shape is None or content is None or is_fatal(problems):
        raise MappingError(problems)
    return shape.model_copy(update={"fingerprint": hashlib.sha256(content).hexdigest()})


def _uncovered(terms: Terms, protocol: Protocol, file: str) -> Iterator[Problem]:
    """What the protocol captures and the terms do not name."""
    for analyte in protocol.analytes.values():
        if analyte.derived:
            yield from _uncovered_score(terms, analyte, protocol, file)
            continue
        if analyte.id not in terms.test:
            yield Problem(file, "test", f"{analyte.id} is not named", f"add [test.{analyte.id}]")
        for ucum in dict.fromkeys((analyte.unit, *analyte.units)):
            if ucum not in terms.unit:
                yield Problem(file, "unit", f'"{ucum}" of {analyte.id} is not named', f'add "{ucum}" = "CDISC\'s unit"')


def _uncovered_score(terms: Terms, analyte: Analyte, protocol: Protocol, file: str) -> Iterator[Problem]:
    score = terms.score.get(analyte.formula)
    if score is None:
        yield Problem(file, "score", f"{analyte.formula} is not named", f"add [score.{analyte.formula}]")
    elif score.item:
        for name in ("TBIL", "ALB", protocol.scores.clotting, "ascites", "encephalopathy"):
            if name not in score.item:
                place = f"score.{analyte.formula}.item"
                yield Problem(file, place, f"{name} is not named", f'add {name} = {{ testcd = "...", test = "..." }}')
