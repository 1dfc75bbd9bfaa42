"""The endpoint table as it is on a given day: what an empty cell is called depends on when it is looked at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from zoneinfo import ZoneInfo

from adapter.model import Participant, Protocol, SelectionRow, Visit
from adapter.rules.windows import infusion, window


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row of ``values``: a participant, a visit and an endpoint (interface.md, "JSON of values")."""

    study_id: str
    visit: str
    target_date: str | None
    window: tuple[str, str] | None
    endpoint: str
    status: str
    reason: str | None
    open_items: int
    value: Decimal | None
    value_text: str | None
    comparator: str | None
    unit: str
    flags: tuple[str, ...]
    collected_at: str | None
    day_offset: int | None
    source: str | None
    message_id: str | None
    derived: bool
    inputs: Mapping[str, object]
    score: Mapping[str, object] | None  # of a derived one: formula, settings, points, what was reported, the others
    ruleset: str | None


def table(
    protocol: Protocol,
    participants: Iterable[Participant],
    selections: Iterable[SelectionRow],
    today: date,
    *,
    supporting: bool = False,
) -> Iterator[TableRow]:
    """Every cell of every participant, visits by their target and endpoints in the protocol's order."""
    known = {(s.study_id, s.visit, s.endpoint): s for s in selections}
    others = [a for a in protocol.analytes.values() if a.derived and a.supporting]
    for participant in sorted(participants, key=lambda p: p.study_id):
        for visit in protocol.visits:
            for analyte in protocol.analytes.values():
                if analyte.supporting and (analyte.derived or not supporting):
                    continue  # another formula of a score stands beside the endpoint, in its row
                selection = known.get((participant.study_id, visit.id, analyte.id))
                row = _row(protocol, participant, visit, analyte.id, selection, today)
                if analyte.id == "MELD" and row.score is not None:
                    cells = {m.id: known.get((participant.study_id, visit.id, m.id)) for m in others}
                    row = replace(row, score={**row.score, "beside": _beside(cells)})
                yield row


def _row(
    protocol: Protocol,
    participant: Participant,
    visit: Visit,
    endpoint: str,
    selection: SelectionRow | None,
    today: date,
) -> TableRow:
    analyte = protocol.analytes[endpoint]
    infused = infusion(participant.infused_at, ZoneInfo(protocol.timezone))
    days = None if infused is None else window(visit, infused.on)
    status = "empty" if selection is None else selection.status
    if status == "empty":
        status = status_of_empty(participant, days, today)
    has_value = selection is not None and selection.value is not None
    reason = None if has_value else "no_result" if selection is None else selection.reason
    if status == "not_expected":
        reason = participant.ended_by
    return TableRow(
        study_id=participant.study_id,
        visit=visit.id,
        target_date=None if days is None else days[0].isoformat(),
        window=None if days is None else (days[1].isoformat(), days[2].isoformat()),
        endpoint=endpoint,
        status=status,
        reason=reason,
        open_items=0 if selection is None else len(selection.open_items),
        value=None if selection is None or selection.value is None else Decimal(selection.value),
        value_text=None if selection is None else selection.value,
        comparator=None if selection is None else selection.comparator,
        unit=analyte.unit,
        flags=() if selection is None else selection.flags,
        collected_at=None if selection is None else selection.collected_at,
        day_offset=None if selection is None else selection.day_offset,
        source=None if selection is None else selection.source,
        message_id=None if selection is None else selection.message_id,
        derived=analyte.derived,
        inputs=_inputs(selection),
        score=_score(selection),
        ruleset=None if selection is None else selection.ruleset,
    )


def _inputs(selection: SelectionRow | None) -> dict[str, object]:
    """What a score was computed from: numbers as numbers beside their exact text, what was assessed as its word."""
    told = {} if selection is None or selection.score is None else selection.score["inputs"]
    assert isinstance(told, Mapping)
    return {
        name: {
            **each,
            "value": _number(each["value"]) if each.get("unit") else each["value"],
            "value_text": each["value"],
        }
        for name, each in told.items()
    }


def _number(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _score(selection: SelectionRow | None) -> dict[str, object] | None:
    if selection is None or selection.score is None:
        return None
    return {name: each for name, each in selection.score.items() if name != "inputs"}


def _beside(cells: Mapping[str, SelectionRow | None]) -> dict[str, object]:
    """The other formulas of a score: the value of each, or why it has none."""
    return {
        id: {
            "value": None if cell is None else _number(cell.value),
            "reason": "no_result" if cell is None else cell.reason,
            "reported": None if cell is None or cell.score is None else cell.score["reported"],
        }
        for id, cell in cells.items()
    }


def status_of_empty(participant: Participant, days: tuple[date, date, date] | None, today: date) -> str:
    """What a cell without value and question is called. ``days`` are target, first and last day of its window.

    Expected no longer where observation ended by the visit's target; missing once its window has closed.
    """
    target, last = (None, None) if days is None else (days[0], days[2])
    if participant.ended_on is not None and (target is None or participant.ended_on <= target):
        return "not_expected"
    return "missing" if last is not None and today > last else "pending"
