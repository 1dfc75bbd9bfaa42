"""Which decisions are about a result, a question or a cell: by what they name, and those that undo them."""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass, field

from adapter.model import Decision, ResultRow

# What a source sends that one decision speaks of for all results: its kind, the source, then the thing itself.
Cause = tuple[str, ...]
_CELL = ("study_id", "visit", "endpoint")


@dataclass(frozen=True, slots=True)
class Subject:
    """By what a decision can be about something.

    ``items`` are questions, ``keys`` results (:attr:`~adapter.rules.interpret.Interpreted.key`), ``hashes`` messages,
    ``causes`` what a source sends, ``cell`` (study id, visit, endpoint; the last None for a visit as a whole), and
    ``decisions`` those that are known to be about it.
    """

    items: Set[str] = frozenset()
    keys: Set[str] = frozenset()
    hashes: Set[str] = frozenset()
    causes: Set[Cause] = frozenset()
    cell: tuple[str | None, str | None, str | None] | None = None
    decisions: Set[int] = field(default=frozenset())


def cause(decision: Decision) -> Cause | None:
    """What a decision speaks of for all results of a source; None where it names results, messages or a cell."""
    body = decision.body
    if decision.kind in {"map_code", "dismiss_code"}:
        return code(body["source"], body["code"], body["system"])
    if decision.kind == "accept_unit":
        return unit(body["source"], body["code"], body["system"], body["sent"])
    if decision.kind == "map_status":
        return status(body["source"], body["sent"])
    if decision.kind == "accept_specimen":
        return specimen(body["source"], body["specimen"])
    return None


def code(source: str, name: str, system: str) -> Cause:
    """A source's code."""
    return ("code", source, name, system)


def unit(source: str, name: str, system: str, sent: str) -> Cause:
    """A unit as a source sends it with a code; empty where it sends none."""
    return ("unit", source, name, system, sent)


def status(source: str, sent: str) -> Cause:
    """A status as a source sends it."""
    return ("status", source, sent)


def specimen(source: str, sent: str) -> Cause:
    """What a source calls a specimen, in whatever case."""
    return ("specimen", source, sent.strip().casefold())


def causes(row: ResultRow) -> set[Cause]:
    """What decisions for all results of a source can say of one of them; of its specimen its steps tell."""
    name = (row.source, row.code, row.code_system)
    return {code(*name), unit(*name, row.reported_unit), status(row.source, row.status)}


def about(decisions: Iterable[Decision], subject: Subject) -> list[Decision]:
    """The decisions about a subject in the order they were made, and those that undo them."""
    found, known = list[Decision](), set(subject.decisions)
    for decision in sorted(decisions, key=lambda each: each.id):
        if decision.id in known or _is_about(decision, subject, known):
            known.add(decision.id)
            found.append(decision)
    return found


def _is_about(decision: Decision, subject: Subject, known: Set[int]) -> bool:
    """What a body names most closely decides."""
    body = decision.body
    if decision.kind == "undo":
        return int(body["decision"]) in known
    if "results" in body:
        return not subject.keys.isdisjoint(body["results"].split("\n"))
    if "sha256" in body:
        return body["sha256"] in subject.hashes
    if "item" in body:
        return body["item"] in subject.items
    if "study_id" in body:
        pairs = zip(_CELL, subject.cell or (), strict=False)
        return subject.cell is not None and all(body.get(name, of) == of for name, of in pairs)
    return cause(decision) in subject.causes
