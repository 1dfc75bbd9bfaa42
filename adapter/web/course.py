"""One participant's results over time: for each analyte a plot, and beneath it every result and what became of it."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from zoneinfo import ZoneInfo

from adapter import labels
from adapter.model import Analyte, Outcome, Participant, PlacementRow, Protocol, ResultRow, ReviewItem, Step
from adapter.retold import retold
from adapter.rules.table import TableRow
from adapter.rules.windows import infusion
from adapter.store import AuditRecord
from adapter.web.charts import Chart, Point, chart
from adapter.web.times import local_time
from adapter.words import knows, say, say_step

_DRAWN = (Outcome.PLACED, Outcome.UNSCHEDULED, Outcome.BASELINE)
Place = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Line:
    """One result of an analyte. ``visit`` is the visit whose candidate it is, "" where it is none's."""

    row: ResultRow
    day: int | None
    taken: str
    value: str
    visit: str
    chosen: bool
    words: str


@dataclass(frozen=True, slots=True)
class Course:
    """One analyte of one participant; no plot where nothing is known to count days from."""

    analyte: Analyte
    chart: Chart | None
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one participant, as the page asks for it. ``steps`` are those of each result, by its place."""

    protocol: Protocol
    person: Participant
    results: Sequence[ResultRow]
    placements: Sequence[PlacementRow]
    items: Mapping[str, ReviewItem]
    steps: Mapping[Place, tuple[Step, ...]]

    @property
    def days(self) -> list[int]:
        """The days of all results that are drawn."""
        drawn = (self.day(r.collected_at) for r in self.results if r.outcome in _DRAWN and r.endpoint is not None)
        return [day for day in drawn if day is not None]

    def day(self, collected_at: str | None) -> int | None:
        """Days since infusion."""
        infused = infusion(self.person.infused_at, ZoneInfo(self.protocol.timezone))
        if infused is None or collected_at is None:
            return None
        return (date.fromisoformat(collected_at[: len("2026-01-05")]) - infused.on).days


def courses(known: Known, rows: Iterable[TableRow], _: labels.Say) -> list[Course]:
    """Every analyte that is measured, in the protocol's order, then the scores that are computed."""
    cells, protocol = list(rows), known.protocol
    measured = [a for a in protocol.analytes.values() if not a.derived]
    scores = [a for a in protocol.analytes.values() if a.derived and not a.supporting]
    return [*(_measured(known, a, _) for a in measured), *(_computed(known, a, cells, _) for a in scores)]


def _measured(known: Known, analyte: Analyte, _: labels.Say) -> Course:
    placed = {(p.inbox_id, p.locator): p for p in known.placements if p.endpoint == analyte.id}
    mine = sorted(
        (r for r in known.results if r.endpoint == analyte.id), key=lambda r: (r.collected_at or "", r.inbox_id)
    )
    lines = [_line(known, row, placed.get((row.inbox_id, row.locator)), _) for row in mine]
    points = [p for line in lines if (p := _point(line, _)) is not None]
    return Course(analyte, _plot(known, analyte, points), tuple(lines))


def _line(known: Known, row: ResultRow, placed: PlacementRow | None, _: labels.Say) -> Line:
    return Line(
        row=row,
        day=known.day(row.collected_at),
        taken=shown_time(row.collected_at),
        value="" if row.value is None else labels.number(row.comparator, row.value, row.unit),
        visit="" if placed is None else placed.visit,
        chosen=placed is not None and placed.chosen,
        words=fate(row, placed, known.items, known.steps, _),
    )


def fate(
    row: ResultRow,
    placed: PlacementRow | None,
    items: Mapping[str, ReviewItem],
    steps: Mapping[Place, tuple[Step, ...]],
    _: labels.Say,
) -> str:
    """What became of a result: as a candidate, by the question that holds it, else by the rule that decided."""
    if placed is not None and knows(f"candidate_{placed.why}"):
        return say(f"candidate_{placed.why}", {"visit": placed.visit, "endpoint": placed.endpoint}, _)
    item = items.get(row.item or "")
    asked = None if item is None else item.detail.get("rule")
    if item is not None and asked is not None:
        return say(asked, item.detail, _)
    taken = steps.get((row.inbox_id, row.locator), ())
    said = [s for s in taken if s.rule == row.rule] or taken[-1:]
    return say_step(said[-1], _) if said else ""


def _point(line: Line, _: labels.Say) -> Point | None:
    row = line.row
    if row.value is None or line.day is None or row.outcome not in _DRAWN:
        return None
    kind = "chosen" if line.chosen else "baseline" if row.outcome == Outcome.BASELINE else "other"
    called = {"chosen": _("chosen"), "baseline": _("baseline"), "other": _("not chosen")}[kind]
    remarks = _(", ").join([called] if row.final else [called, labels.status("provisional", _)])
    words = _("{taken} (day {day}): {value} ({remarks})").format(
        taken=line.taken[:10], day=line.day, value=line.value, remarks=remarks
    )
    return Point(line.day, Decimal(row.value), kind, not row.final, row.comparator, words)


def _computed(known: Known, analyte: Analyte, cells: Iterable[TableRow], _: labels.Say) -> Course:
    points = []
    for cell in cells:
        day = known.day(cell.collected_at)
        if cell.endpoint == analyte.id and cell.value is not None and day is not None:
            words = _("{taken} (day {day}): {value} ({remarks})").format(
                taken=cell.collected_at, day=day, value=cell.value_text, remarks=labels.status(cell.status, _)
            )
            points.append(Point(day, cell.value, "chosen", cell.status == "provisional", cell.comparator, words))
    return Course(analyte, _plot(known, analyte, points), ())


def _plot(known: Known, analyte: Analyte, points: Sequence[Point]) -> Chart | None:
    if known.person.infused_at is None:
        return None
    unit = "" if analyte.unit == "1" or analyte.unit.startswith("{") else analyte.unit
    return chart(analyte.id.replace("_", " "), unit, points, known.protocol.visits, known.days)


def shown_time(at: str | None) -> str:
    """A time as a person reads it: to the minute, in the zone it is kept in."""
    return "" if at is None else at[: len("2026-01-05T08:00")].replace("T", " ")


@dataclass(frozen=True, slots=True)
class Changed:
    """One change of one value, from the trail."""

    at: str
    who: str
    visit: str
    endpoint: str
    old: str
    new: str
    why: str


def history(records: Iterable[AuditRecord], shown: Container[str], zone: str, _: labels.Say) -> Iterator[Changed]:
    """The changes of the ``shown`` analytes' values in words, in the order they are given, in the trial's time zone."""
    for record in records:
        _study_id, visit, endpoint = record.subject.split(" ")
        if endpoint not in shown:
            continue
        rule = f"candidate_{record.why}"
        facts = {"visit": visit, "endpoint": endpoint}
        why = say(rule, facts, _) if knows(rule) else retold(labels.reason(record.why, _), _)
        old, new = (state(None if text is None else json.loads(text), _) for text in (record.old, record.new))
        yield Changed(local_time(record.at, zone), labels.who(record.who, _), visit, endpoint, old, new, why)


def state(facts: Mapping[str, object] | None, _: labels.Say) -> str:
    """A cell as the trail holds it: its value and what it is called, or why there is none."""
    if facts is None:
        return _("nothing")
    if facts.get("value") is None:
        reason = facts.get("reason")
        return _("no value") if reason is None else labels.because(_("no value"), labels.reason(str(reason), _), _)
    said = [labels.number(facts.get("comparator"), facts["value"], facts.get("unit"))]
    if facts.get("collected_at"):
        said[0] += " " + _("of {day}").format(day=str(facts["collected_at"])[: len("2026-01-05")])
    said.append(labels.status(str(facts.get("status")), _))
    flags = facts.get("flags")
    if isinstance(flags, Sequence) and not isinstance(flags, str):
        said += [labels.flag(str(name), _) for name in flags]
    called = _(", ").join(said)
    return called if facts.get("locator") is None else f"{called} ({facts['message_id']} {facts['locator']})"
