"""What is wrong with a file that people write, and where: read TOML, hold it against its shape, and say all of it.

Every problem names file, place, cause and remedy. Rows of an array are counted from 1, as people count:
``visit[2].target_day`` is the second ``[[visit]]``.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_SYNTAX_PLACE = re.compile(r" \(at (line \d+, column \d+|end of document)\)$")
_EXPECTED = {
    "bool_type": "true or false, bare",
    "dict_type": "a table",
    "int_type": "a bare whole number",
    "list_type": "a list in [ ]",
    "model_type": "a table",
    "string_type": 'text in "quotes"',
}

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to put right: ``place`` in ``file``, its cause and its remedy. A warning keeps nothing from running."""

    file: str
    place: str
    cause: str
    remedy: str
    warning: bool = False

    def __str__(self) -> str:
        kind = "warning: " if self.warning else ""
        return f"{kind}{self.file}: {self.place}: {self.cause}; {self.remedy}"


class ProblemsError(Exception):
    """A configuration or a mapping that cannot be used. ``problems`` holds all that is wrong, warnings too."""

    def __init__(self, problems: Iterable[Problem]):
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class MappingError(ProblemsError):
    """The protocol, a file it names or a code map cannot be used."""


def is_fatal(problems: Iterable[Problem]) -> bool:
    """Whether one of them is more than a warning."""
    return any(not problem.warning for problem in problems)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that ``word`` most resembles, case aside, or None."""
    by_folded = {k.casefold(): k for k in known}
    found = difflib.get_close_matches(word.casefold(), by_folded, n=1)
    return by_folded[found[0]] if found else None


def unknown_key(file: str, place: str, key: str, known: Sequence[str]) -> Problem:
    """A key that no table of the file knows."""
    meant = nearest(key, known)
    remedy = f'write "{meant}"' if meant else f"remove it; known keys: {', '.join(known)}"
    return Problem(file, place, "is not a known key", remedy)


def choose_from(word: str, known: Sequence[str]) -> str:
    """The remedy for an unknown word: the one that was probably meant, and all there are."""
    meant = nearest(word, known)
    listed = ", ".join(known) or "none"
    return f'write "{meant}"? known: {listed}' if meant else f"write one of: {listed}"


# --- shapes -------------------------------------------------------------------------------------------------------


class Shape(BaseModel):
    """A table of a file: unknown keys are errors, and nothing is converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def fault(cause: str, remedy: str) -> PydanticCustomError:
    """The error for a validator of a shape to raise."""
    return PydanticCustomError("fault", "{cause}", {"cause": cause, "remedy": remedy})


def _trimmed(text: str) -> str:
    if not text.strip():
        raise fault("is blank", "write the text, or leave the key out")
    if text != text.strip():
        raise fault(f"{text!r} has blanks around it, and nothing that is compared with it has", "take them away")
    return text


def _decimal(value: object) -> object:
    if isinstance(value, BareNumber | int) and not isinstance(value, bool):
        raise fault(f"{value} is a bare number", f'write it in quotes, "{value}": a decimal text is exact')
    if not isinstance(value, str) or not _DECIMAL.fullmatch(value):
        raise fault(f"{value!r} is not a decimal text", 'write digits with a point, in quotes, such as "17.104"')
    return Decimal(value)


def matching(pattern: str, form: str) -> AfterValidator:
    """A check that a text has a form, which ``form`` says in words."""
    compiled = re.compile(pattern, re.ASCII)

    def check(text: str) -> str:
        if not compiled.fullmatch(text):
            raise fault(f"{text!r} is not {form}", f"write {form}")
        return text

    return AfterValidator(check)


def between(least: int, most: int) -> AfterValidator:
    """A check that a whole number lies in a range, both ends included."""

    def check(number: int) -> int:
        if not least <= number <= most:
            raise fault(f"{number} is not from {least} to {most}", f"write a whole number from {least} to {most}")
        return number

    return AfterValidator(check)


def one_of(*known: str) -> AfterValidator:
    """A check that a text is one of a few words."""

    def check(text: str) -> str:
        if text not in known:
            raise fault(f"{text!r} is not known", choose_from(text, known))
        return text

    return AfterValidator(check)


def some(texts: list[str]) -> list[str]:
    """A check that a list is not empty."""
    if not texts:
        raise fault("is empty", "name at least one")
    return texts


def distinct(texts: list[str]) -> list[str]:
    """A check that a list names nothing twice."""
    twice = [text for text, count in Counter(texts).items() if count > 1]
    if twice:
        raise fault(f"{twice[0]!r} is listed twice", "list it once")
    return texts


Text = Annotated[str, AfterValidator(_trimmed)]
SomeTexts = Annotated[list[Text], AfterValidator(some)]
DecimalText = Annotated[Decimal, BeforeValidator(_decimal)]


# --- reading ------------------------------------------------------------------------------------------------------


class BareNumber:
    """A TOML float: kept as it was written, because a float would not be what was written."""

    def __init__(self, text: str):
        self._text = text

    def __str__(self) -> str:
        return self._text

    __repr__ = __str__


def parse_toml(content: bytes, file: str) -> tuple[dict[str, Any] | None, list[Problem]]:
    """The table of a TOML file, or what stands in the way of reading it."""
    try:
        return tomllib.loads(content.decode("utf-8-sig"), parse_float=BareNumber), []
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        return None, [Problem(file, f"line {line}", "is not UTF-8", "save the file as UTF-8")]
    except tomllib.TOMLDecodeError as error:
        said = str(error)
        found = _SYNTAX_PLACE.search(said)
        place, cause = (found[1], said[: found.start()]) if found else ("the file", said)
        cause = f"is not TOML: {cause[0].lower()}{cause[1:]}"
        return None, [Problem(file, place, cause, "correct it there; text values stand in quotes")]


def read_content(path: Path, asked_by: str, place: str) -> tuple[bytes | None, list[Problem]]:
    """The bytes of a file. One that cannot be read is a problem of the file that names it, ``asked_by``."""
    try:
        return path.read_bytes(), []
    except OSError as error:
        cause = f"{path} cannot be read: {(error.strerror or type(error).__name__).lower()}"
        return None, [Problem(asked_by, place, cause, "write the path of a file that is there and may be read")]


def check_shape(
    shape: type[M], table: object, file: str, at: tuple[str | int, ...] = ()
) -> tuple[M | None, list[Problem]]:
    """The table that stands ``at`` a place of the file as its shape, or everything in which it is not."""
    try:
        return shape.model_validate(table), []
    except ValidationError as error:
        return None, [_shape_problem(shape, details, file, at) for details in error.errors(include_url=False)]


def _shape_problem(shape: type[BaseModel], details: ErrorDetails, file: str, at: tuple[str | int, ...]) -> Problem:
    loc, kind, given = details["loc"], details["type"], details["input"]
    place, key = name_place((*at, *loc)), str(loc[-1]) if loc else ""
    if kind == "extra_forbidden":
        return unknown_key(file, place, key, _known_keys(shape, loc[:-1]))
    if kind == "missing":
        return Problem(file, place, "is missing", f"add {key} = ...")
    if kind == "fault":
        context = details["ctx"]
        return Problem(file, place, context["cause"], context["remedy"])
    if kind in _EXPECTED:
        return Problem(file, place, f"{_shown(given)} is not {_EXPECTED[kind]}", f"write {_EXPECTED[kind]}")
    message = details["msg"].removeprefix("Input ")
    return Problem(file, place, f"{_shown(given)} {message}", "correct it")


def name_place(loc: Iterable[str | int]) -> str:
    """``("visit", 1, "id")`` as people write it: ``visit[2].id``."""
    place = ""
    for part in (part for part in loc if part != "[key]"):  # pydantic's word for the key itself
        place += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if place else part
    return place or "the file"


def _shown(given: object) -> str:
    text = repr(given) if not isinstance(given, dict | list) else f"a {'table' if isinstance(given, dict) else 'list'}"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _known_keys(shape: Any, loc: Iterable[str | int]) -> list[str]:
    """The keys of the table at ``loc``, found by walking the shape as the place was walked."""
    for part in loc:
        if isinstance(shape, type) and issubclass(shape, BaseModel):
            fields = {field.alias or name: field.annotation for name, field in shape.model_fields.items()}
            shape = fields.get(str(part))
        else:
            shape = get_args(shape)[-1]  # the rows of a list, the values of a table
        tables = [a for a in get_args(shape) if isinstance(a, type) and issubclass(a, BaseModel)]
        if type(None) in get_args(shape) and tables:
            shape = tables[0]
    if isinstance(shape, type) and issubclass(shape, BaseModel):
        return [field.alias or name for name, field in shape.model_fields.items()]
    return []
