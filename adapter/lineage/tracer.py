"""Gathers what one cell follows from, and goes the way again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from adapter import labels
from adapter.lineage.told import (
    Change,
    ConversionTold,
    DecisionTold,
    Erasure,
    InputTold,
    MappingTold,
    MessageTold,
    Place,
    ResultTold,
    RulesTold,
    Trace,
)
from adapter.model import (
    Derived,
    Outcome,
    PlacementRow,
    Received,
    ResultRow,
    SelectionRow,
    Step,
)
from adapter.pipeline import Rulebook, derive_scope
from adapter.retold import retold
from adapter.rules.about import Subject, about, causes
from adapter.rules.match import Roster
from adapter.rules.queue import OF_A_CELL, item_id
from adapter.rules.table import TableRow, table
from adapter.rules.units import plain
from adapter.rules.windows import infusion, near_miss, visit_of
from adapter.store import Snapshot, Store
from adapter.store.inbox import message_subject
from adapter.words import decided, knows, say, say_step

_EVERYBODY = 2**31
_OF_OTHER_RULES = Step("lineage_steps_of_other_rules")


def trace(
    store: Store,
    book: Rulebook,
    study_id: str,
    visit: str,
    endpoint: str,
    at: datetime,
    translate: Callable[[str], str] = str,
) -> Trace | None:
    """The lineage of one cell as it is now; None where the trial has no such participant, visit or endpoint.

    Its sentences are in the language of ``translate`` (:func:`adapter.words.say`).
    """
    today = at.astimezone(ZoneInfo(book.protocol.timezone)).date()
    with store.at_one_instant():
        snapshot = store.snapshot(study_id)
        roster = Roster(store.participants())
        selections = {(s.visit, s.endpoint): s for s in store.selections(study_id)}
        placements = store.placements(study_id, visit, endpoint)
        results = store.results(study_id)
        moving = study_id in store.dirty(book.ruleset, today, limit=_EVERYBODY)
    people = [] if snapshot.participant is None else [snapshot.participant]
    rows = table(book.protocol, people, selections.values(), today, supporting=True)
    cell = next((r for r in rows if (r.visit, r.endpoint) == (visit, endpoint)), None)
    if cell is None:
        return None
    derived = derive_scope(
        study_id, snapshot.messages, roster, book, snapshot.decisions, today, assessments=snapshot.assessments
    )
    # What a rule ignores is told, never stored.
    told = {(row.inbox_id, row.locator): row for row in (*derived.ignored_rows, *results)}
    return _Tracer(store, book, snapshot, cell, selections, placements, told, derived, moving, translate).trace()


@dataclass(frozen=True)
class _Tracer:
    """One cell being traced. ``derived`` is the participant derived again, by the rules of today's files; ``moving``
    says that the stored rows are not those of the stored messages yet."""

    store: Store
    book: Rulebook
    snapshot: Snapshot
    cell: TableRow
    selections: Mapping[tuple[str, str], SelectionRow]
    placements: Sequence[PlacementRow]
    results: Mapping[Place, ResultRow]
    derived: Derived
    moving: bool
    translate: Callable[[str], str]

    def trace(self) -> Trace:
        candidates = [self._candidate(p) for p in self.placements]
        beside = [self._told(row, self._fate(row), None) for row in self._rows_beside()]
        told = [*candidates, *beside]
        shown = {r.row.inbox_id for r in told}
        follows, verdict = self._verdict()
        return Trace(
            cell=self.cell,
            result=next((c for c in candidates if c.chosen), None),
            inputs=tuple(self._inputs()),
            items=tuple(self._items()),
            candidates=tuple(candidates),
            beside=tuple(beside),
            messages=tuple(self._message(m) for m in self.snapshot.messages if m.id in shown or not m.raw),
            rules=self._rules(),
            decisions=tuple(self._decisions(told)),
            history=tuple(self._history()),
            head=self.store.head(),
            follows=follows,
            verdict=verdict,
        )

    @property
    def _selection(self) -> SelectionRow | None:
        return self.selections.get((self.cell.visit, self.cell.endpoint))

    # --- results -----------------------------------------------------------------------------------------------

    def _candidate(self, placed: PlacementRow) -> ResultTold:
        words = self._say(f"candidate_{placed.why}", {"visit": placed.visit, "endpoint": placed.endpoint})
        return self._told(self.results[placed.inbox_id, placed.locator], words, placed)

    def _say(self, rule: str, facts: Mapping[str, str]) -> str:
        return say(rule, facts, self.translate)

    def _say_step(self, step: Step) -> str:
        return say_step(step, self.translate)

    def _told(self, row: ResultRow, words: str, placed: PlacementRow | None) -> ResultTold:
        steps = self._steps(row)
        taken = next((s.facts for s in steps if s.rule == "collected"), {})
        return ResultTold(
            row=row,
            rank=None if placed is None else placed.rank,
            chosen=placed is not None and placed.chosen,
            why=None if placed is None else placed.why,
            words=words,
            steps=tuple(map(self._say_step, (_OF_OTHER_RULES,) if self._by_other_rules else steps)),
            collected_from=taken.get("address"),
            collected_text=taken.get("text"),
            mapping=self._mapping(row),
            conversion=self._conversion(row),
        )

    @property
    def _by_other_rules(self) -> bool:
        """Whether the stored cell is by other rules than the files', by whose the steps would be told."""
        return self._selection is not None and self._selection.ruleset != self.book.ruleset

    def _steps(self, row: ResultRow) -> tuple[Step, ...]:
        return self.derived.steps.get((row.inbox_id, row.locator), ())

    def _fate(self, row: ResultRow) -> str:
        """The sentence that says what became of a result: of the question that holds it, else of the rule."""
        item = self.store.item(row.item) if row.item is not None else None
        if item is not None and "rule" in item.item.detail:
            return self._say(item.item.detail["rule"], item.item.detail)
        steps = self._steps(row)
        said = [s for s in steps if s.rule == row.rule] or steps[-1:]
        if said:
            return self._say_step(said[-1])
        return str(row.outcome) if self.translate is str else labels.outcome(row.outcome, self.translate)

    def _rows_beside(self) -> list[ResultRow]:
        """What is no candidate and has to do with the cell: it holds it up, lies within twice its window, or is an
        older report of one that is told."""
        asked = set() if self._selection is None else set(self._selection.open_items)
        candidates = {(p.inbox_id, p.locator) for p in self.placements}
        mine = {p: r for p, r in self.results.items() if r.endpoint == self.cell.endpoint}
        near = {p for p, r in mine.items() if self._is_near(r)}
        near |= {p for p, r in self.results.items() if r.item in asked}
        shown = [self.results[p] for p in near | candidates]
        newer = {(r.source, r.order_number, r.message_control_id) for r in shown}
        replaced = {
            p
            for p, r in mine.items()
            for step in self._steps(r)
            if r.outcome in (Outcome.SUPERSEDED, Outcome.TAKEN_BACK)
            and (r.source, r.order_number, step.facts.get("by")) in newer
        }
        return [self.results[p] for p in sorted((near | replaced) - candidates)]

    def _is_near(self, row: ResultRow) -> bool:
        who, protocol = self.snapshot.participant, self.book.protocol
        infused = None if who is None else infusion(who.infused_at, ZoneInfo(protocol.timezone))
        if infused is None or row.collected_at is None:
            return False
        day = (date.fromisoformat(row.collected_at[: len("2026-01-05")]) - infused.on).days
        found = (visit_of(day, protocol.visits), near_miss(day, protocol.visits))
        return any(visit is not None and visit.id == self.cell.visit for visit in found)

    # --- the rows of the mappings ------------------------------------------------------------------------------

    def _mapping(self, row: ResultRow) -> MappingTold | None:
        if row.mapping is None:
            return None
        decided = next((d for d in self.snapshot.decisions if row.mapping == f"decision {d.id}"), None)
        if decided is not None:
            return MappingTold(row.mapping, "", decided.id, in_files=True)
        source = self.book.sources.get(row.source)
        named = {r.row: r.name for rows in self.book.protocol.loinc.values() for r in rows}
        named |= {r.row: r.name for r in (() if source is None else source.codes)}
        return MappingTold(row.mapping, named.get(row.mapping, ""), None, in_files=row.mapping in named)

    def _conversion(self, row: ResultRow) -> ConversionTold | None:
        if row.conversion is None:
            return None
        analyte = self.book.protocol.analytes.get(row.endpoint or "")
        for unit in () if analyte is None else analyte.units.values():
            if row.conversion == f"{row.endpoint} {unit.ucum} x {plain(unit.factor)}":
                example = None if unit.example is None else (plain(unit.example[0]), plain(unit.example[1]))
                return ConversionTold(row.conversion, unit.source, example, in_files=True)
        return ConversionTold(row.conversion, None, None, in_files=False)

    def _rules(self) -> RulesTold | None:
        if self._selection is None:
            return None
        name = self._selection.ruleset
        adopted = [r for r in self.store.rulesets() if r.id == name]
        body = adopted[-1].body if adopted else {}
        return RulesTold(
            ruleset=name,
            adopted_at=adopted[-1].adopted_at if adopted else None,
            protocol=str(body["protocol"]) if "protocol" in body else None,
            rules_version=str(body["rules"]) if "rules" in body else None,
            files=self.book.ruleset,
            same=self.book.ruleset == name,
        )

    # --- messages ----------------------------------------------------------------------------------------------

    def _message(self, message: Received) -> MessageTold:
        found = hashlib.sha256(message.raw).hexdigest() if message.raw else None
        return MessageTold(
            inbox_id=message.id,
            source=message.source,
            kind=message.kind,
            message_id=message.message_control_id,
            received_at=message.received_at.isoformat(),
            bytes=len(message.raw),
            sha256=message.sha256,
            found_sha256=found,
            notes=tuple(self._noted(note) for note in self.store.message_notes(message.id)),
            erased=self._erasure(message) if found is None else None,
        )

    def _noted(self, note: str) -> str:
        """Intake notes in sentences, but for what only the store can see."""
        return self._say(f"note_{note}", {}) if knows(f"note_{note}") else note

    def _erasure(self, message: Received) -> Erasure | None:
        records = self.store.audit_records(subject=message_subject(message.message_control_id, message.sha256))
        erased = [r for r in records if r.what == "bytes erased"]
        return Erasure(erased[-1].at, erased[-1].who, erased[-1].why, erased[-1].seq) if erased else None

    # --- people ------------------------------------------------------------------------------------------------

    def _items(self) -> Iterator[tuple[str, str, str]]:
        for name in () if self._selection is None else self._selection.open_items:
            stored = self.store.item(name)
            if stored is not None:
                detail = stored.item.detail
                yield name, stored.item.reason, self._say(detail["rule"], detail) if "rule" in detail else ""

    def _decisions(self, told: Sequence[ResultTold]) -> Iterator[DecisionTold]:
        for decision in about(self.snapshot.decisions, self._subject([r.row for r in told])):
            yield DecisionTold(decision, decided(decision.kind, decision.body, self.translate))

    def _subject(self, rows: Sequence[ResultRow]) -> Subject:
        """By what a decision can be about the cell: itself, its questions, and the results told of it."""
        cell, trial = self.cell, self.book.protocol.trial
        hashes = {m.id: m.sha256 for m in self.snapshot.messages}
        asked = () if self._selection is None else self._selection.open_items
        of_the_cell = [item_id(trial, reason, cell.study_id, cell.visit, cell.endpoint) for reason in OF_A_CELL]
        said = [s.facts["decision"] for r in rows for s in self._steps(r) if "decision" in s.facts]
        return Subject(
            items={*asked, *of_the_cell, *(r.item for r in rows if r.item is not None)},
            keys={f"{r.source}/{hashes[r.inbox_id]}/{r.locator}" for r in rows},
            hashes={hashes[r.inbox_id] for r in rows} | {m.sha256 for m in self.snapshot.messages if not m.raw},
            causes={cause for r in rows for cause in causes(r)},
            cell=(cell.study_id, cell.visit, cell.endpoint),
            decisions={int(number) for number in said},
        )

    def _history(self) -> Iterator[Change]:
        """From the trail and not from the versions: a rebuild begins those anew."""
        subject = f"{self.cell.study_id} {self.cell.visit} {self.cell.endpoint}"
        for r in self.store.audit_records(subject=subject):
            if r.what in ("value changed", "score computed anew"):
                old, new = (None if text is None else json.loads(text) for text in (r.old, r.new))
                yield Change(r.seq, r.at, r.who, self._why(r.why), old, new)

    def _why(self, name: str) -> str:
        """Why a value is another, as the trail names it."""
        if knows(f"candidate_{name}"):
            return self._say(f"candidate_{name}", {"visit": self.cell.visit, "endpoint": self.cell.endpoint})
        return name if self.translate is str else retold(labels.reason(name, self.translate), self.translate)

    # --- scores ------------------------------------------------------------------------------------------------

    def _inputs(self) -> Iterator[InputTold]:
        """Each input of a score with the cell that it is, or the entry that it was assessed by."""
        assessments = {a.assessed_on.isoformat(): a for a in self.snapshot.assessments}
        order = [*self.book.protocol.analytes, *self.cell.inputs]
        for name, used in sorted(self.cell.inputs.items(), key=lambda item: order.index(item[0])):
            assert isinstance(used, Mapping)
            cell = self.selections.get((self.cell.visit, name))
            received = cell is None and used.get("inbox_id") is not None
            entered = None if cell is not None or received else assessments.get(str(used.get("collected_at")))
            yield InputTold(
                name=name,
                used=used,
                status=None if cell is None else cell.status,
                source=str(used["source"]) if received else None if cell is None else cell.source,
                message_id=str(used["message_id"]) if received else None if cell is None else cell.message_id,
                locator=str(used["locator"]) if received else None if cell is None else cell.locator,
                trace=None if cell is None else (self.cell.study_id, self.cell.visit, name),
                assessed=None if entered is None else {"who": entered.who, "at": entered.at, "why": entered.why},
            )

    # --- the way again -----------------------------------------------------------------------------------------

    def _verdict(self) -> tuple[bool | None, str]:
        """Whether the same cell comes out once more, and the sentence that says so."""
        mine = (self.cell.visit, self.cell.endpoint)
        again = next((s for s in self.derived.selections if (s.visit, s.endpoint) == mine), None)
        found = {"found": self._in_short(again)}
        if self._by_other_rules:
            return None, self._say("lineage_other_rules", found)
        if self.moving:
            return None, self._say("lineage_moving", {})
        if again == self._selection:
            return True, self._say("lineage_follows", {})
        return False, self._say("lineage_follows_not", found)

    def _in_short(self, row: SelectionRow | None) -> str:
        if row is not None and row.value is not None:
            return f"{row.comparator or ''}{row.value} {row.unit}"
        nothing = self.translate("no value")
        if row is None or row.reason is None:
            return nothing
        return f"{nothing} ({row.reason if self.translate is str else labels.reason(row.reason, self.translate)})"
