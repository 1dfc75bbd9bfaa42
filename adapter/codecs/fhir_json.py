"""JSON of FHIR (FHIR R4 2.6.2): text into trees whose numbers keep their decimals, and spans of the text as sent.

A page is walked without reading its numbers, so that what is wrong with one resource does not sink its neighbours; each
resource is then read strictly on its own. Whatever is wrong is a :class:`Fault`, never an exception, and its words
repeat nothing that was sent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

MOST_BYTES = 64 * 2**20
MOST_NESTING = 64

Tree = Mapping[str, Any]

# Structure alone: numbers and NaN stay text here, whatever they are.
_WALK = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str)
_BLANK = re.compile(r"[ \t\r\n]*")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Fault:
    """What cannot be read: where it stands, and why in words that hold nothing of a patient's."""

    place: str
    why: str

    @property
    def text(self) -> str:
        """Place and cause in one sentence."""
        return f"{self.place}: {self.why}"


class _Unreadable(ValueError):
    """A number, a constant or a name that JSON of FHIR does not have."""


def decode(raw: bytes) -> str | Fault:
    """The text of a document: UTF-8 (RFC 8259, 8.1), a byte order mark passed over."""
    if len(raw) > MOST_BYTES:
        return Fault("the document", f"it is larger than {MOST_BYTES // 2**20} MiB")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return Fault(f"byte {error.start + 1}", "the bytes are not UTF-8")


def walk(text: str) -> Any:
    """The tree of a whole text with its numbers as texts, or a :class:`Fault`."""
    return _parsed(_WALK, text)


def read_tree(text: str) -> dict[str, Any] | Fault:
    """One resource: a JSON object whose decimals are :class:`~decimal.Decimal` as sent (``1.10``).

    A name given twice, NaN, half a surrogate pair and nesting beyond ``MOST_NESTING`` are faults: two readers could
    take them for different things.
    """
    tree = _parsed(_READ, text)
    if isinstance(tree, Fault):
        return tree
    if not isinstance(tree, dict):
        return Fault("the document", "it is not a JSON object")
    return _unfit(tree) or tree


def spans(text: str, start: int = 0) -> Iterator[tuple[str, int, int]]:
    """Name, start and end of each value of the object that begins at ``start``; of an array the names are empty.

    The text has been walked before: its syntax is known to be right.
    """
    at = _after_blanks(text, start)
    named = text[at] == "{"
    closing = "}" if named else "]"
    at = _after_blanks(text, at + 1)
    while text[at] != closing:
        name = ""
        if named:
            name, at = _WALK.raw_decode(text, at)
            at = _after_blanks(text, _after_blanks(text, at) + 1)
        _, end = _WALK.raw_decode(text, at)
        yield name, at, end
        at = _after_blanks(text, end)
        if text[at] == ",":
            at = _after_blanks(text, at + 1)


def text_of(tree: Tree, name: str) -> str:
    """A member that is a text, trimmed; "" where it is missing or something else."""
    found = tree.get(name)
    return found.strip() if isinstance(found, str) else ""


def object_of(tree: Tree, name: str) -> Tree:
    """A member that is an object; an empty one where it is missing or something else."""
    found = tree.get(name)
    return found if isinstance(found, dict) else {}


def objects_of(tree: Tree, name: str) -> tuple[Tree, ...]:
    """The objects of a member that is an array (or the one object where the array was forgotten)."""
    found = tree.get(name)
    listed = found if isinstance(found, list) else [found]
    return tuple(each for each in listed if isinstance(each, dict))


def _after_blanks(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return at if found is None else found.end()


def _parsed(decoder: json.JSONDecoder, text: str) -> Any:
    try:
        return decoder.decode(text)
    except json.JSONDecodeError as error:
        return Fault(f"line {error.lineno}, column {error.colno}", "the text is not JSON")
    except _Unreadable as error:
        return Fault("the document", str(error))
    except ValueError:  # an integer of more digits than Python reads
        return Fault("the document", "a number has too many digits")
    except RecursionError:
        return Fault("the document", f"it is nested deeper than {MOST_NESTING}")


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise _Unreadable("a number's exponent is beyond reading") from None


def _constant(name: str) -> Decimal:
    raise _Unreadable(f"{name} is no number of JSON")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Unreadable("an object gives one name twice")
    return found


_READ = json.JSONDecoder(parse_float=_decimal, parse_constant=_constant, object_pairs_hook=_members)


def _unfit(tree: object) -> Fault | None:
    """Nesting beyond the limit, and texts that no character set can write."""
    level: list[object] = [tree]
    for _ in range(MOST_NESTING):
        below: list[object] = []
        for node in level:
            if isinstance(node, dict):
                below += [*node.keys(), *node.values()]
            elif isinstance(node, list):
                below += node
            elif isinstance(node, str) and _SURROGATE.search(node):
                return Fault("the document", "an escape names half a character")
        if not below:
            return None
        level = below
    return Fault("the document", f"it is nested deeper than {MOST_NESTING}")
