"""What people decided, as the rules read it: which decisions are in force, and what they say of a result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from adapter.model import Decision, Step

# What a person may say of one result that the laboratory did not, or said in a way that cannot be read.
READABLE = ("analyte", "value", "unit", "status", "specimen", "plausible", "collected_at")


@dataclass(frozen=True, slots=True)
class Said:
    """What a decision says, and which one it is."""

    text: str
    decision: int

    def step(self, what: str) -> Step:
        """The sentence of the explanation."""
        return Step(f"person_{what}", {"text": self.text, "decision": str(self.decision)})


@dataclass(frozen=True, slots=True)
class Readings:
    """How one source's results are to be read by decision: for a cause once, or for one result.

    ``units`` by code, system and unit as sent (empty where none was); ``statuses`` by what was sent; ``specimens``
    casefolded; ``results`` by a result's key and what is said of it; ``identities``, ``answered`` and ``refused`` by a
    message's hash: whose a person said it is, questions about the whole message that are settled, and another person's.
    """

    units: Mapping[tuple[str, str, str], Said] = field(default_factory=dict)
    statuses: Mapping[str, Said] = field(default_factory=dict)
    specimens: Mapping[str, Said] = field(default_factory=dict)
    results: Mapping[str, Mapping[str, Said]] = field(default_factory=dict)
    identities: Mapping[str, str] = field(default_factory=dict)
    answered: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()


def undone(decisions: Iterable[Decision]) -> frozenset[int]:
    """The decisions, by id, that are undone. Undoing is a decision too, made later than what it undoes."""
    found = set[int]()
    for decision in sorted(decisions, key=lambda d: d.id, reverse=True):
        if decision.kind == "undo" and decision.id not in found:
            found.add(int(decision.body["decision"]))
    return frozenset(found)


def in_force(decisions: Iterable[Decision]) -> tuple[Decision, ...]:
    """The decisions that nobody undid, in the order they were made."""
    made = sorted(decisions, key=lambda d: d.id)
    gone = undone(made)
    return tuple(d for d in made if d.id not in gone and d.kind != "undo")


def readings(decisions: Iterable[Decision], source: str) -> Readings:
    """What the decisions in force say of one source; of two that contradict each other the later."""
    units, statuses, specimens = dict[tuple[str, str, str], Said](), dict[str, Said](), dict[str, Said]()
    results, identities = dict[str, dict[str, Said]](), dict[str, str]()
    answered, refused = set[str](), set[str]()
    for decision in decisions:
        body = decision.body
        if body.get("source") != source:
            continue
        if decision.kind == "accept_unit":
            units[body["code"], body["system"], body["sent"]] = Said(body["unit"], decision.id)
        elif decision.kind == "map_status":
            statuses[body["sent"]] = Said(body["status"], decision.id)
        elif decision.kind == "accept_specimen":
            specimens[body["specimen"].strip().casefold()] = Said(body["specimen"], decision.id)
        elif decision.kind == "read_result":
            for key in body["results"].split("\n"):
                results.setdefault(key, {})[body["what"]] = Said(body["to"], decision.id)
        elif decision.kind == "confirm_identity":
            identities[body["sha256"]] = body["participant"]
        elif decision.kind == "merge_identity":
            answered.add(body["sha256"])
        elif decision.kind == "refuse_identity":
            refused.add(body["sha256"])
    return Readings(units, statuses, specimens, results, identities, frozenset(answered), frozenset(refused))


def taken_back(decisions: Iterable[Decision]) -> Mapping[str, Said]:
    """Results, by their keys, that a person took back."""
    return {
        key: Said("", decision.id)
        for decision in decisions
        if decision.kind == "take_back"
        for key in decision.body["results"].split("\n")
    }
