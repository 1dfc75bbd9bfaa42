"""Scores: computed from the values of one visit, or not at all and the reason named (trial.md section 7).

A comparator leaves a range of values. A score counts where it is the same over the whole range: every formula here is
monotone in each input, so the ends of the ranges are all that needs computing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Context, Decimal
from itertools import product

from adapter.model import Analyte, Reason, ReviewItem, SelectionRow, Visit
from adapter.rules import formulas
from adapter.rules.cells import Participation, Settled
from adapter.rules.judged import Judged
from adapter.rules.match import sex_of
from adapter.rules.queue import cell_item, evidence_of
from adapter.rules.units import plain

_EXACT = Context(prec=60)
_BOUNDLESS = Decimal("1E+100")  # above what any formula caps
_NOT_ASSESSED = "dialysis_not_assessed"  # counts as none, and says so
Range = tuple[Decimal, Decimal]


@dataclass(frozen=True, slots=True)
class Score:
    """What became of one formula at one visit. ``grade`` is Child-Pugh's class."""

    value: int | None
    reason: str | None
    status: str
    notes: tuple[str, ...] = ()
    points: Mapping[str, int] | None = None
    grade: str | None = None


@dataclass(frozen=True, slots=True)
class Inputs:
    """What one formula is given: the cells of a visit, and what was assessed nearest to its target."""

    analyte: Analyte
    names: tuple[str, ...]
    cells: Mapping[str, Settled]
    assessed: Mapping[str, Judged]
    who: Participation

    @property
    def told(self) -> tuple[str, ...]:
        """What is told of as an input: dialysis too, which a score does not wait for."""
        return self.names if self.analyte.formula == "CHILD_PUGH" else (*self.names, "dialysis")

    @property
    def laboratory(self) -> list[Settled]:
        """The cells of the laboratory inputs, in the formula's order."""
        return [self.cells[name] for name in self.names if name in self.cells]

    def trouble(self, name: str) -> str | None:
        """Why an input cannot be used, or None."""
        if name == "sex":
            return None if sex_of(self.who.participant.sex or "") else "missing"
        if name in self.assessed:
            nothing = "missing" if self.assessed[name].value is None and name != "dialysis" else None
            return self.assessed[name].trouble or nothing
        if name not in self.cells:
            return "missing"  # the protocol does not capture it
        row = self.cells[name].row
        if row.value is None:
            return "in_review" if row.status == "in_review" else "missing"
        return "provisional" if row.status == "provisional" else None

    @property
    def dialysis(self) -> bool:
        """Whether dialysis was assessed; not assessed counts as none."""
        return self.assessed["dialysis"].value == "yes"

    def range_in(self, name: str, unit: str) -> Range:
        """What is known of a laboratory input, in a unit of its analyte: as reported where it was reported in that."""
        report = self.cells[name].report
        assert report is not None and report.number is not None
        if report.sent_unit == unit and report.sent_number is not None:
            return _range(report.sent_number, report.comparator)
        factor = self.who.protocol.analytes[name].units[unit].factor
        return _range(_EXACT.divide(report.number, factor), report.comparator)


def compute(
    analyte: Analyte,
    visit: Visit,
    cells: Mapping[str, Settled],
    assessed: Mapping[str, Judged],
    reported: Settled,
    who: Participation,
) -> tuple[SelectionRow, list[ReviewItem]]:
    """The cell of a score at one visit and what it asks.

    ``cells`` are those of the visit's analytes, ``assessed`` what clinicians judged, by item; ``reported`` is the cell
    that scores reported as results would have made: they stand beside the computed one and never in its place.
    """
    inputs = Inputs(analyte, _names(analyte.formula, who), cells, assessed, who)
    score = _score(inputs)
    items = [*reported.items, *_mismatch(score, analyte, visit, reported, who)]
    return _row(score, inputs, visit, reported, items, who), items


def _names(formula: str, who: Participation) -> tuple[str, ...]:
    """What a formula is computed from, in the order it is told."""
    if formula == "CHILD_PUGH":
        return ("TBIL", "ALB", who.protocol.scores.clotting, "ascites", "encephalopathy")
    more = {"MELD_UNOS": (), "MELD_NA": ("NA",), "MELD_3_0": ("NA", "ALB", "sex")}[formula]
    return ("TBIL", "INR", "CREA", *more)


def _score(inputs: Inputs) -> Score:
    """The score, or why there is none: the most that is wrong goes first."""
    troubles: dict[str, list[str]] = {}
    for name in inputs.told:
        if (trouble := inputs.trouble(name)) is not None:
            troubles.setdefault(trouble, []).append(name)
    for trouble, reason in (
        ("missing", "missing_input"),
        ("in_review", "input_in_review"),
        ("provisional", "provisional_input"),
    ):
        if troubles.get(trouble):
            status = "in_review" if trouble == "in_review" else "empty"
            return Score(None, f"{reason}: {', '.join(troubles[trouble])}", status)
    taken = [cell.collected_on for cell in inputs.laboratory]
    if (max(taken) - min(taken)).days > inputs.who.protocol.scores.max_days_apart:
        names = ", ".join(name for name in inputs.names if name in inputs.cells)
        return Score(None, f"inputs_too_far_apart: {names}", "empty")
    return _child_pugh(inputs) if inputs.analyte.formula == "CHILD_PUGH" else _meld(inputs)


def _meld(inputs: Inputs) -> Score:
    formula, dialysis = inputs.analyte.formula, inputs.dialysis
    units = {"TBIL": "mg/dL", "INR": "1", "CREA": "mg/dL", "NA": "mmol/L", "ALB": "g/dL"}
    names = [name for name in inputs.names if name in units]
    ranges = [inputs.range_in(name, units[name]) for name in names]
    female = sex_of(inputs.who.participant.sex or "") == "F"

    def at(*given: Decimal) -> int:
        if formula == "MELD_3_0":
            return formulas.meld_3_0(*given, female=female, dialysis=dialysis)
        return (formulas.meld_na if formula == "MELD_NA" else formulas.meld)(*given, dialysis=dialysis)

    notes = () if inputs.assessed["dialysis"].value is not None else (_NOT_ASSESSED,)
    if len(values := {at(*corner) for corner in product(*ranges)}) == 1:
        return Score(values.pop(), None, "captured", notes)
    # An end that a formula caps (creatinine above 4.0) leaves nothing open: it is not named.
    return _undecided([n for i, n in enumerate(names) if _matters(i, ranges, at)])


def _matters(position: int, ranges: Sequence[Range], at: Callable[..., int]) -> bool:
    """Whether it makes a difference where in its range an input lies."""
    others = [(r if i != position else (r[0],)) for i, r in enumerate(ranges)]
    for corner in product(*others):
        far = (*corner[:position], ranges[position][1], *corner[position + 1 :])
        if at(*corner) != at(*far):
            return True
    return False


def _child_pugh(inputs: Inputs) -> Score:
    """Points for each item; a comparator counts where it leaves them decided."""
    rules = inputs.who.protocol.scores
    control = rules.pt_control or Decimal(0)
    clotting: Callable[[Decimal], int] = formulas.inr_points
    if rules.clotting == "PT":
        clotting = lambda seconds: formulas.pt_prolongation_points(_EXACT.subtract(seconds, control))  # noqa: E731
    # The cut-offs are those of the unit reported: 34.2 umol/L and 2.0 mg/dL do not score alike.
    report = inputs.cells["TBIL"].report
    unit = "mg/dL" if report is not None and report.sent_unit in ("mg/dL", "mg/L") else "umol/L"
    graded: Mapping[str, tuple[Range, Callable[[Decimal], int]]] = {
        "TBIL": (inputs.range_in("TBIL", unit), lambda number: formulas.bilirubin_points(number, unit)),
        "ALB": (inputs.range_in("ALB", "g/dL"), lambda number: formulas.albumin_points(number, "g/dL")),
        rules.clotting: (inputs.range_in(rules.clotting, "s" if rules.clotting == "PT" else "1"), clotting),
    }
    found = {name: {points(end) for end in ends} for name, (ends, points) in graded.items()}
    if any(len(points) > 1 for points in found.values()):
        return _undecided([n for n, points in found.items() if len(points) > 1])
    points = {name: each.pop() for name, each in found.items()}
    points["ascites"] = formulas.ascites_points(inputs.assessed["ascites"].value or "")
    points["encephalopathy"] = formulas.encephalopathy_points(inputs.assessed["encephalopathy"].value or "")
    total = sum(points.values())
    return Score(total, None, "captured", points=points, grade=formulas.child_pugh_class(total))


def _undecided(names: Sequence[str]) -> Score:
    return Score(None, f"undecided_input: {', '.join(names)}", "empty")


def _range(number: Decimal, comparator: str | None) -> Range:
    """The values that a number with a comparator can stand for; nothing that is measured lies below nothing."""
    if comparator is None:
        return number, number
    if comparator in ("<", "<="):
        return Decimal(0), number if comparator == "<=" else number.next_minus(_EXACT)
    return number if comparator == ">=" else number.next_plus(_EXACT), _BOUNDLESS


def _mismatch(score: Score, analyte: Analyte, visit: Visit, reported: Settled, who: Participation) -> list[ReviewItem]:
    """A score that the laboratory reported otherwise than it is computed here."""
    report = reported.report
    if score.value is None or report is None or report.number is None:
        return []
    if reported.chosen is None or not reported.chosen.final:
        return []
    least, most = _range(report.number, report.comparator)
    if least <= score.value <= most:
        return []
    subject = (who.participant.study_id, visit.id, analyte.id)
    item = cell_item(who.protocol.trial, Reason.SCORE_MISMATCH, subject, [report], computed=str(score.value))
    return [replace(item, evidence=evidence_of([report.key, str(score.value)]))]


# --- the row ------------------------------------------------------------------------------------------------------


def _row(
    score: Score, inputs: Inputs, visit: Visit, reported: Settled, items: Sequence[ReviewItem], who: Participation
) -> SelectionRow:
    taken = max((cell.collected_on for cell in inputs.laboratory if cell.report is not None), default=None)
    at = taken if score.value is not None else None
    asked = {i for cell in inputs.laboratory for i in cell.row.open_items}
    asked |= {i for name in inputs.told if name in inputs.assessed for i in inputs.assessed[name].open_items}
    asked |= {i.id for i in items if not who.dismissals.covers(i)}
    flags = list(score.notes)
    if any("outside_window" in cell.row.flags for cell in inputs.laboratory) and score.value is not None:
        flags.append("input_outside_window")
    return SelectionRow(
        study_id=who.participant.study_id,
        visit=visit.id,
        endpoint=inputs.analyte.id,
        status=score.status,
        reason=score.reason,
        value=None if score.value is None else str(score.value),
        comparator=None,
        unit=inputs.analyte.unit,
        flags=tuple(flags),
        collected_at=None if at is None else at.isoformat(),
        day_offset=_offset(at, visit, who),
        source=None,
        message_id=None,
        inbox_id=None,
        locator=None,
        open_items=tuple(sorted(asked)),
        ruleset=who.ruleset,
        score=_document(score, inputs, reported),
    )


def _offset(at: date | None, visit: Visit, who: Participation) -> int | None:
    return None if at is None or who.infused_on is None else (at - who.infused_on).days - visit.target_day


def _document(score: Score, inputs: Inputs, reported: Settled) -> dict[str, object]:
    """Inputs, formula and settings as they are kept: a score can be computed again from what stands here."""
    rules = inputs.who.protocol.scores
    settings: dict[str, str] = {"max_days_apart": str(rules.max_days_apart)}
    if inputs.analyte.formula == "CHILD_PUGH":
        settings["clotting"] = rules.clotting
        if rules.pt_control is not None:
            settings["pt_control"] = plain(rules.pt_control)
    document: dict[str, object] = {
        "formula": inputs.analyte.formula,
        "inputs": {name: _told(name, inputs) for name in inputs.told},
        "settings": settings,
        "notes": list(score.notes),
        "reported": _reported(reported),
    }
    if score.points is not None:
        document |= {"points": dict(score.points), "grade": score.grade}
    return document


def _told(name: str, inputs: Inputs) -> dict[str, object]:
    """One input as it is kept. ``why`` says what is the matter with one that could not be used."""
    if name == "sex":  # an identity is told in the roster alone
        known = inputs.trouble(name) is None
        return {"value": "as on the roster" if known else None, "unit": None, "why": None if known else "missing"}
    if name in inputs.assessed:
        return _assessed(inputs.assessed[name])
    if name not in inputs.cells:
        return {"value": None, "unit": None, "why": "missing"}
    cell = inputs.cells[name]
    sent = cell.report.sent_number if cell.report is not None else None
    return {
        "value": cell.row.value,
        "comparator": cell.row.comparator,
        "unit": cell.row.unit,
        "reported": None if sent is None else plain(sent),
        "reported_unit": None if cell.report is None else cell.report.sent_unit,
        "collected_at": cell.row.collected_at,
        "why": inputs.trouble(name),
    }


def _assessed(judged: Judged) -> dict[str, object]:
    """An assessment as it is kept; one that a source sent names its message."""
    if judged.value is None or judged.on is None:
        return {"value": None, "unit": None, "why": judged.trouble or "not_assessed"}
    told: dict[str, object] = {
        "value": judged.value,
        "unit": None,
        "collected_at": judged.on.isoformat(),
        "why": judged.trouble,
    }
    if judged.report is None:
        return told
    origin = judged.report.origin
    place = {"inbox_id": origin.inbox_id, "locator": judged.report.reported.locator}
    return {**told, "source": origin.source, "message_id": origin.message_control_id, **place}


def _reported(reported: Settled) -> dict[str, object] | None:
    row = reported.row
    if row.value is None:
        return None
    names = ("value", "comparator", "collected_at", "source", "message_id", "inbox_id", "locator")
    return {name: getattr(row, name) for name in names}
