"""Why the value of a cell is another than it was, told from the rows before and after."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from adapter.model import Derived, Outcome, ResultRow, SelectionRow, Step

Key = tuple[int, str]  # inbox id and locator


@dataclass(frozen=True, slots=True)
class Change:
    """A cell whose value is another, or None where there was (is) no such cell; ``why`` is what decided it."""

    study_id: str
    visit: str
    endpoint: str
    old: SelectionRow | None
    new: SelectionRow | None
    why: Step


def changes(
    results: Sequence[ResultRow], cells: Sequence[SelectionRow], pending: Collection[int], derived: Derived
) -> list[Change]:
    """The cells of a scope whose value is another in ``derived`` than in the current ``cells``.

    ``results`` are the current ones; ``pending`` the messages (inbox ids) they were not derived from yet. That a cell
    is empty which was not there, or stands as it was under other rules, is no change.
    """
    old = {(c.visit, c.endpoint): c for c in cells}
    new = {(c.visit, c.endpoint): c for c in derived.selections}
    scope = _Scope(
        {(r.inbox_id, r.locator): r for r in results},
        {(r.inbox_id, r.locator): r for r in (*derived.results, *derived.ignored_rows)},
        {(p.visit, p.endpoint, (p.inbox_id, p.locator)): p.why for p in derived.placements},
        pending,
    )
    found = []
    for cell in dict.fromkeys((*new, *old)):
        before, after = old.get(cell), new.get(cell)
        if _is_another(before, after):
            found.append(Change(derived.study_id, *cell, before, after, scope.why(before, after)))
    return found


def results_changed(results: Sequence[ResultRow], derived: Derived) -> int:
    """How many results have another outcome, endpoint, visit or value; what is ignored is no row."""
    old = {(r.inbox_id, r.locator): _became(r) for r in results}
    new = {(r.inbox_id, r.locator): _became(r) for r in derived.results}
    return sum(old.get(key) != new.get(key) for key in old.keys() | new.keys())


def _became(row: ResultRow) -> tuple[str | None, ...]:
    return row.outcome, row.reason, row.endpoint, row.visit, row.value, row.comparator, row.unit, row.collected_at


def _is_another(old: SelectionRow | None, new: SelectionRow | None) -> bool:
    if old is None or new is None:
        return any(cell is not None and cell.status != "empty" for cell in (old, new))
    return _told(old) != _told(new)


def _told(cell: SelectionRow) -> tuple[object, ...]:
    """What a cell says: its value and where that is from, or why there is none."""
    if cell.value is None:
        return cell.status, cell.reason
    value = (cell.value, cell.comparator, cell.unit, cell.flags, cell.collected_at)
    return cell.status, *value, cell.inbox_id, cell.locator


@dataclass(frozen=True, slots=True)
class _Scope:
    """The results of one scope before and after, the ignored ones after, and why each candidate is what it is."""

    before: Mapping[Key, ResultRow]
    after: Mapping[Key, ResultRow]
    candidates: Mapping[tuple[str, str, Key], str]
    pending: Collection[int]

    def why(self, old: SelectionRow | None, new: SelectionRow | None) -> Step:
        """What decided it: the fate of the result that is chosen now, else of the one that was."""
        chosen, was = _key(new), _key(old)
        for key in (chosen, was):
            if key is not None and (fate := self._fate(key)) is not None:
                return fate
        if old is None or new is None:
            return Step("reprocess_asked_for" if old is None else "reprocess_asked_for_no_more")
        if chosen is not None and was is not None and chosen != was and was in self.before:
            lost = self.candidates.get((new.visit, new.endpoint, was), "")
            return Step("reprocess_outdone", {"where": _where(self.before[was]), "rule": lost})
        return _same_results(old, new)

    def _fate(self, key: Key) -> Step | None:
        """What became of a result that is not what it was; None where it is."""
        old, new = self.before.get(key), self.after.get(key)
        if old is None:
            if new is None:
                return None
            rule = "reprocess_first_derived" if key[0] in self.pending else "reprocess_counted"
            return Step(rule, {"where": _where(new), "mapping": new.mapping or ""})
        where = {"where": _where(old)}
        if new is None:
            return Step("reprocess_of_nobody", where)
        if new.outcome == Outcome.IGNORED:
            return Step("reprocess_ignored", {**where, "rule": new.rule})
        if (old.outcome == Outcome.HELD) != (new.outcome == Outcome.HELD):
            if new.outcome == Outcome.HELD:
                return Step("reprocess_held", {**where, "reason": new.reason or ""})
            by = ", ".join(text for text in (new.mapping, new.conversion) if text)
            return Step("reprocess_released", {**where, "reason": old.reason or "", "by": by})
        for rule, said in _FATES:
            was, now = said(old) or "", said(new) or ""
            if was != now:
                told = "reprocess_into_window" if rule == "reprocess_outcome" and new.visit else rule
                return Step(told, {**where, "was": was, "now": now, "mapping": new.mapping or ""})
        return None


# The cause goes before what follows from it: another time means another window, another factor another value.
_FATES: tuple[tuple[str, Callable[[ResultRow], str | None]], ...] = (
    ("reprocess_mapped", lambda row: row.endpoint),
    ("reprocess_collected", lambda row: row.collected_at),
    ("reprocess_outcome", lambda row: row.visit or row.outcome),
    ("reprocess_converted", lambda row: row.conversion),
    ("reprocess_read", lambda row: f"{row.comparator or ''}{row.value}"),
)


def _same_results(old: SelectionRow, new: SelectionRow) -> Step:
    """Why a cell is another although the results are what they were."""
    if new.score is not None:
        return _of_score(old.score, new.score)
    if new.status == "in_review":
        return Step("reprocess_in_review", {"reason": new.reason or ""})
    if old.status == "in_review":
        return Step("reprocess_settled", {"reason": old.reason or ""})
    if old.status != new.status:
        return Step("reprocess_status", {"was": old.status, "now": new.status})
    if old.flags != new.flags:
        return Step("reprocess_flags", {"was": ", ".join(old.flags), "now": ", ".join(new.flags)})
    return Step("reprocess_stored")


def _of_score(old: Mapping[str, object] | None, new: Mapping[str, object]) -> Step:
    """Other inputs, by name, or another way to compute it."""
    formula = {"formula": str(new["formula"])}
    if old is None:
        return Step("reprocess_formula", formula)
    was, now = old["inputs"], new["inputs"]
    assert isinstance(was, Mapping) and isinstance(now, Mapping)
    others = [name for name in now if now[name] != was.get(name)]
    if others:
        return Step("reprocess_inputs", {"inputs": ", ".join(others)})
    return Step("reprocess_formula", formula) if old != new else Step("reprocess_stored")


def _key(cell: SelectionRow | None) -> Key | None:
    if cell is None or cell.inbox_id is None or cell.locator is None:
        return None
    return cell.inbox_id, cell.locator


def _where(row: ResultRow) -> str:
    return f"{row.message_control_id} {row.locator}"
