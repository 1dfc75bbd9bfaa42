"""What is asked (trial.md section 8): review items as values, their names and what a dismissal covers."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from adapter.model import Decision, Reason, ReviewItem
from adapter.rules.codes import LOINC
from adapter.rules.interpret import Interpreted, Origin

UNSCHEDULED = "unscheduled"
# What is asked about the value of a cell, not about a result or a message.
OF_A_CELL = (Reason.CONFLICTING_RESULTS, Reason.WINDOW_MISSED, Reason.CHANGED_AFTER_CHOICE, Reason.SCORE_MISMATCH)


def item_id(trial: str, reason: str, *subject: str) -> str:
    """Sixteen hexadecimal digits of trial, reason and subject: the same question has the same name after a rebuild."""
    return hashlib.sha256("\x1f".join((trial, reason, *subject)).encode()).hexdigest()[:16]


def evidence_of(keys: Iterable[str]) -> str:
    """The fingerprint of the results that an item holds."""
    return hashlib.sha256("|".join(sorted(keys)).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Dismissals:
    """Items that a person dismissed, each for the evidence that was there; a question about a code for good."""

    covered: frozenset[tuple[str, str]]
    named: frozenset[str]

    @classmethod
    def of(cls, decisions: Iterable[Decision]) -> Dismissals:
        """The ``dismiss_item`` decisions among all decisions."""
        made = [d.body for d in decisions if d.kind == "dismiss_item"]
        return cls(frozenset((b["item"], b["evidence"]) for b in made), frozenset(b["item"] for b in made))

    def covers(self, item: ReviewItem) -> bool:
        """Whether this very question, on this evidence, was dismissed."""
        if item.reason == Reason.UNMAPPED_CODE:
            return item.id in self.named
        return (item.id, item.evidence) in self.covered


def message_items(trial: str, held: Sequence[Interpreted]) -> list[ReviewItem]:
    """One item for each reason and message, listing the results it holds."""
    groups: dict[tuple[str, Origin], list[Interpreted]] = defaultdict(list)
    for result in held:
        if result.reason not in (None, Reason.UNMAPPED_CODE, Reason.CONFLICTING_RESULTS):
            groups[str(result.reason), result.origin].append(result)
    return [_of_results(message_item_id(trial, r[0]), r, r[0].rule) for r in groups.values()]


def message_item_id(trial: str, result: Interpreted) -> str:
    """The name of the item that holds a result: of its message, or for an unmapped code of its source and code."""
    origin = result.origin
    if result.reason == Reason.UNMAPPED_CODE:
        code = result.code
        return item_id(trial, Reason.UNMAPPED_CODE, origin.source, code.system, code.code or code.name)
    return item_id(trial, str(result.reason), origin.source, origin.sha256, result.study_id)


def whole_message_item(trial: str, reason: Reason, origin: Origin, study_id: str, **facts: str) -> ReviewItem:
    """A message that is asked about as a whole: it could not be read, or it speaks of identities."""
    name = item_id(trial, reason, origin.source, origin.sha256, study_id)
    return replace(
        _nothing_said(name, reason, study_id),
        source=origin.source,
        message_id=origin.message_control_id or None,
        detail={"rule": f"message_{reason}", "sha256": origin.sha256, **facts},
        evidence=evidence_of([origin.sha256]),
    )


def cell_item(
    trial: str, reason: Reason, cell: tuple[str, str, str], results: Sequence[Interpreted], **facts: str
) -> ReviewItem:
    """An item of a participant, visit and endpoint."""
    study_id, visit, endpoint = cell
    name = item_id(trial, reason, *cell)
    item = _of_results(name, results, str(reason)) if results else _nothing_said(name, reason, study_id)
    detail: Mapping[str, str] = {"rule": str(reason), "visit": visit, "endpoint": endpoint, **facts}
    return replace(item, reason=reason, study_id=study_id, visit=visit, endpoint=endpoint, detail=detail)


def _of_results(name: str, results: Sequence[Interpreted], rule: str) -> ReviewItem:
    first = results[0]
    sent = first.reported
    facts = {k: v for step in first.steps if step.rule == rule for k, v in step.facts.items()}
    return replace(
        _nothing_said(name, str(first.reason), first.study_id),
        source=first.origin.source,
        code=first.code.code or None,
        name=first.code.name or None,
        value_text=sent.value.shown or None,
        unit=sent.units[0] if sent.units else None,
        collected_at=first.collected.text if first.collected else None,
        message_id=first.origin.message_control_id or None,
        count=len(results),
        detail={**facts, "rule": rule, "endpoint": first.analyte or ", ".join(first.could_be)},
        endpoint=first.analyte,
        evidence=evidence_of(r.key for r in results),
        results=tuple((r.origin.inbox_id, r.reported.locator) for r in results),
    )


def _nothing_said(name: str, reason: str, study_id: str) -> ReviewItem:
    return ReviewItem(
        id=name,
        reason=str(reason),
        study_id=study_id or None,
        source=None,
        code=None,
        name=None,
        value_text=None,
        unit=None,
        collected_at=None,
        message_id=None,
        count=0,
        detail={"rule": str(reason)},
    )


@dataclass(frozen=True, slots=True)
class UnmappedCode:
    """A code nobody has mapped or dismissed, with the results that carry it over all participants."""

    source: str
    code: str
    system: str
    name: str
    message_id: str
    results: tuple[tuple[int, str], ...]
    suggestion: str | None


def unmapped_items(trial: str, codes: Iterable[UnmappedCode]) -> list[ReviewItem]:
    """One item for each source and code. Those whose names resemble no endpoint share their source's ``group``."""
    items = []
    for each in codes:
        name = item_id(trial, Reason.UNMAPPED_CODE, each.source, each.system, each.code or each.name)
        conditional = each.system == LOINC
        item = replace(
            _nothing_said(name, Reason.UNMAPPED_CODE, ""),
            source=each.source,
            code=each.code or None,
            name=each.name or None,
            message_id=each.message_id or None,
            count=len(each.results),
            detail={
                "rule": "conditional_code" if conditional else "unmapped_code",
                "code": each.code or each.name,
                "system": each.system,
                "suggestion": each.suggestion or "",
            },
            suggestion=each.suggestion,
            evidence=evidence_of(f"{inbox_id}:{locator}" for inbox_id, locator in each.results),
            results=each.results,
            group=None if each.suggestion else item_id(trial, Reason.UNMAPPED_CODE, each.source, "*"),
        )
        items.append(item)
    return items
