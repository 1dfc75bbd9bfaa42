"""A trial in which people decide: each decision is previewed, made and held against what was previewed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from invented import message
from tracedsite import CONFIG, NOW, SITUATIONS
from trialrun import TrialRun

from adapter.model import Decision
from adapter.review import desk
from adapter.review.decide import Desk
from adapter.review.desk import Entry
from adapter.review.proposal import Given, Place, Proposal
from adapter.rules.changes import results_changed

__all__ = ["WHO", "WHY", "DeskRun", "message"]
WHO, WHY = "trial nurse", "told by the laboratory"


class DeskRun:
    """One trial with its desk."""

    def __init__(self, folder: Path, config: str = CONFIG, roster: str | None = None) -> None:
        self.folder = folder
        path = folder / "config.toml"
        path.write_text(config, encoding="utf-8")
        self.run = TrialRun(path, folder / "trial.db", NOW)
        self.store = self.run.store
        enrolled = SITUATIONS / "roster.csv"
        if roster is not None:
            enrolled = folder / "roster.csv"
            enrolled.write_text("study_id,identifier,authority,infused_at,birth_date,sex\n" + roster, encoding="utf-8")
        self.run.enrol(enrolled)

    @property
    def desk(self) -> Desk:
        return Desk(self.store, self.run.book, self.run.now)

    def receives(self, *what: str | bytes, source: str = "lis") -> None:
        """Situations of the fixtures by their names, or messages."""
        for each in what:
            path = SITUATIONS / each if isinstance(each, str) else self.folder / "message.hl7"
            if isinstance(each, bytes):
                path.write_bytes(each)
            self.run.replay(path, source)

    def asked(self) -> list[str]:
        """The reasons of what is open."""
        return sorted(entry.item.reason for entry in desk.queue(self.store))

    def item(self, reason: str) -> Entry:
        """The one open question of a reason."""
        (found,) = [entry for entry in desk.queue(self.store) if entry.item.reason == reason]
        return found

    def place(self, reported: str) -> Place:
        """Where the result is that reports this text."""
        (found,) = [r for r in self.store.results() if r.reported == reported]
        return found.inbox_id, found.locator

    def cell(self, cell: str) -> tuple[str, str | None, tuple[str, ...]]:
        """Status, value and flags of a cell, as the table has it."""
        row = self.run.table()[*cell.split()]
        return row.status, row.value_text, row.flags

    def derived(self) -> dict[str, list[object]]:
        """All that is derived, as it stands; a decision's number is no part of it."""
        scopes = self.store.scopes()
        return {
            "results": [*self.store.results()],
            "placements": [row for scope in scopes for row in self.store.placements(scope)],
            "selections": [*self.store.selections()],
            "items": sorted((stored.item for stored in self.store.open_items()), key=lambda item: item.id),
        }

    # --- deciding -------------------------------------------------------------------------------------------------

    def answers(self, reason: str, action: str, given: Given | None = None) -> list[Decision]:
        """Answer the one open question of a reason."""
        return self.decides(lambda: self.desk.propose(self.item(reason), action, given or Given()))

    def undoes(self, decision: Decision) -> Decision:
        (undoing,) = self.decides(lambda: self.desk.undo(decision.id), alone=False)
        return undoing

    def decides(self, propose: Callable[[], Proposal], *, alone: bool = True) -> list[Decision]:
        """Decide, and see that exactly what was previewed happens, and that the trail tells it.

        With ``alone`` also that the scopes of the proposal are all that it concerns.
        """
        self.run.settler.settle(self.run.book)
        cells = {(s.study_id, s.visit, s.endpoint): s for s in self.store.selections()}
        asked = {stored.item.id for stored in self.store.open_items()}
        results = {scope: self.store.results(scope) for scope in self.store.scopes()}
        at = self.desk
        proposal = propose()
        head = self.store.head()
        preview = at.preview(proposal)
        assert self.store.head() == head  # nothing was written
        if alone and proposal.scopes is not None:
            whole = at.preview(replace(proposal, scopes=None))
            assert (whole.changes, whole.counts) == (preview.changes, preview.counts)
        self.run.now += timedelta(minutes=1)
        made = Desk(self.store, self.run.book, self.run.now).decide(proposal, WHO, WHY)
        self.run.settler.settle(self.run.book)
        after = {(s.study_id, s.visit, s.endpoint): s for s in self.store.selections()}
        changes = {(c.study_id, c.visit, c.endpoint): c for c in preview.changes}
        for cell in cells.keys() | after.keys():
            if cell in changes:
                assert (cells.get(cell), after.get(cell)) == (changes[cell].old, changes[cell].new)
            else:
                assert _told(cells[cell]) == _told(after[cell])
        for derived, token in preview.derived:
            assert self.store.results(token.scope) == [*derived.results]
        moved = sum(results_changed(results[token.scope], derived) for derived, token in preview.derived)
        assert moved == preview.counts.results
        open_now = {stored.item.id for stored in self.store.open_items()}
        assert (len(open_now - asked), len(asked - open_now)) == (preview.counts.opened, preview.counts.closed)
        self._the_trail_tells(made, set(changes))
        return made

    def _the_trail_tells(self, made: list[Decision], changed: set[tuple[str, str, str]]) -> None:
        records = self.store.audit_records()
        decided = {r.subject: (r.who, r.why) for r in records if r.what == "decided"}
        assert [decided[f"decision {d.id}"] for d in made] == [(WHO, WHY)] * len(made)
        first = next(r.seq for r in records if r.subject == f"decision {made[0].id}")
        told = {r.subject for r in records if r.what == "value changed" and r.seq > first}
        assert {" ".join(cell) for cell in changed} <= told
        assert self.store.verify().ok

    def close(self) -> None:
        self.run.close()


def _told(row: object) -> tuple[object, ...]:
    names = ("status", "reason", "value", "comparator", "unit", "flags", "collected_at", "inbox_id", "locator")
    return tuple(getattr(row, name) for name in names)
