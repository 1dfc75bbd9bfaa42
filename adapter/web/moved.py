"""Values that would change, or have, as they are shown: a row for each, what it was, what it becomes and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from adapter import labels
from adapter.model import Protocol, SelectionRow
from adapter.rules.changes import Change
from adapter.web.page import Page
from adapter.words import say_step


@dataclass(frozen=True, slots=True)
class Moved:
    """One value that changes; ``why`` is empty where nothing more is known than that it did."""

    study_id: str
    visit: str
    endpoint: str
    was: str
    becomes: str
    why: str


def moved(page: Page, changes: Iterable[Change]) -> list[Moved]:
    """What a rehearsal found, in the protocol's order; a supporting analyte's cells are told too."""
    return [
        Moved(
            change.study_id,
            visit_label(page, change.visit),
            change.endpoint,
            told(page, change.old),
            _becomes(page, change),
            say_step(change.why, page.language.gettext),
        )
        for change in in_order(page.config.protocol, changes)
    ]


def _becomes(page: Page, change: Change) -> str:
    """What there is then; where a value goes its result was received, and why it counts no more stands beside."""
    old, new = change.old, change.new
    is_gone = old is not None and old.value is not None and new is not None and new.reason == "no_result"
    return page.say("no value") if is_gone else told(page, new)


def in_order(protocol: Protocol, changes: Iterable[Change]) -> list[Change]:
    """By participant, visit and endpoint, as the table has them."""
    visits = {visit.id: n for n, visit in enumerate(protocol.visits)}
    endpoints = {name: n for n, name in enumerate(protocol.analytes)}
    last = len(visits) + len(endpoints)
    return sorted(
        changes, key=lambda c: (c.study_id, visits.get(c.visit, last), endpoints.get(c.endpoint, last), c.endpoint)
    )


def scores_moved(page: Page, before: Sequence[SelectionRow], after: Sequence[SelectionRow]) -> list[Moved]:
    """The scores that are another than they were: their value, or why there is none."""
    protocol, was = page.config.protocol, {(s.study_id, s.visit, s.endpoint): s for s in before}
    found = []
    for row in after:
        analyte = protocol.analytes.get(row.endpoint)
        if analyte is None or not analyte.derived or analyte.supporting:
            continue
        old, label = was.get((row.study_id, row.visit, row.endpoint)), visit_label(page, row.visit)
        is_first = old is None and row.value is None  # of a participant of whom nothing was derived before
        if not is_first and told(page, old) != told(page, row):
            found.append(Moved(row.study_id, label, row.endpoint, told(page, old), told(page, row), ""))
    return found


def told(page: Page, cell: SelectionRow | None) -> str:
    """A value with its unit and date, or why there is none."""
    say = page.language.gettext
    if cell is None:
        return say("nothing")
    if cell.value is None:
        why = labels.reason(cell.reason or "no_result", say)
        return why if cell.status == "empty" else labels.because(labels.status(cell.status, say), why, say)
    parts = [labels.number(cell.comparator, cell.value, cell.unit)]
    if cell.collected_at:
        parts.append(page.say("of {day}", day=cell.collected_at[:10]))
    if cell.status != "captured":
        parts.append(f"({labels.status(cell.status, say)})")
    parts += [f"[{labels.flag(name, say)}]" for name in cell.flags]
    return " ".join(parts)


def visit_label(page: Page, visit: str) -> str:
    """What a visit is called; its id where the protocol has it no longer."""
    return next((page.say(v.label) for v in page.config.protocol.visits if v.id == visit), visit)
