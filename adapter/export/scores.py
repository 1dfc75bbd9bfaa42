"""RS and SUPPRS: MELD and Child-Pugh, what they were computed from, and why they were not (SDTMIG 3.4, 6.3.9).

A computed record has RSDRVFL and no RSORRES: nobody reported it. What a clinician assessed and what a laboratory
reported have RSORRES.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal

from adapter.export.laboratory import at_visit, qualifier
from adapter.export.state import State, Subject, original, place
from adapter.export.terms import Score, Terms, Test
from adapter.export.variables import RS, Cell, Dataset, Row, numbered, supplemental
from adapter.model import SelectionRow
from adapter.words import say

FORMULA = ("RSFORM", "Formula")
FLAGS: Mapping[str, tuple[str, str]] = {
    "dialysis_not_assessed": ("RSNODIAL", "Dialysis Not Assessed, Counted as None"),
    "input_outside_window": ("RSINOUTW", "Input From Outside the Visit Window"),
}


def scores(state: State, terms: Terms) -> tuple[Dataset, Dataset]:
    """RS and what has no variable there: the formula, and what it took for granted."""
    rows = list[Row]()
    told = dict[tuple[Cell, Cell], SelectionRow]()
    for subject in state.subjects:
        found = [*_reported(state, terms, subject), *_not_done(state, terms, subject)]
        for cell in _computed(state, subject):
            made = list(_records(state, terms, subject, cell))
            found += made
            told.update({(subject.usubjid, row["RSGRPID"]): cell for row in made})
        rows += sorted(found, key=_order)
    dataset = numbered(RS, rows, "RSSEQ")
    return dataset, Dataset(supplemental("RS"), tuple(_supplemental(dataset, terms, told)))


def _order(row: Row) -> tuple[str, ...]:
    return tuple(str(row.get(name) or "") for name in ("RSCAT", "VISITNUM", "RSTESTCD", "RSDTC", "RSSPID"))


def _computed(state: State, subject: Subject) -> Iterator[SelectionRow]:
    """The cells of the participant that hold a score, the formulas beside the endpoint among them."""
    for visit in state.protocol.visits:
        for analyte in state.protocol.analytes.values():
            cell = state.selection.get((subject.participant.study_id, visit.id, analyte.id))
            if analyte.derived and cell is not None and cell.value is not None:
                yield cell


def _records(state: State, terms: Terms, subject: Subject, cell: SelectionRow) -> Iterator[dict[str, Cell]]:
    """The score, its class, and the points of its inputs."""
    document = cell.score or {}
    formula = str(document["formula"])
    score = terms.score[formula]
    base = {**_at(state, subject, cell.visit, cell.collected_at), "RSGRPID": f"{formula} {state.visits[cell.visit][0]}"}
    derived = {**base, "RSDRVFL": "Y"}
    yield {**derived, **_named(score, score), "RSSTRESC": cell.value, "RSSTRESN": Decimal(cell.value or "0")}
    if score.grade is not None and document.get("grade") is not None:
        yield {**derived, **_named(score, score.grade), "RSSTRESC": str(document["grade"])}
    points, inputs = document.get("points") or {}, document["inputs"]
    assert isinstance(points, Mapping) and isinstance(inputs, Mapping)
    for name, number in points.items():
        item = {**_named(score, score.item[name]), "RSSTRESC": str(number), "RSSTRESN": Decimal(str(number))}
        at = _at(state, subject, cell.visit, inputs[name]["collected_at"])
        if name in terms.assessed:
            word = terms.assessed[name][inputs[name]["value"]]
            yield {**base, **item, **at, "RSORRES": word, "RSEVAL": "INVESTIGATOR"}
        else:
            yield {**derived, **item, **at}


def _reported(state: State, terms: Terms, subject: Subject) -> Iterator[dict[str, Cell]]:
    """The scores that a laboratory reported as results, beside those that are computed here."""
    for result, placement in state.standing(subject):
        analyte = state.protocol.analytes[result.endpoint or ""]
        if not analyte.derived:
            continue
        score = terms.score[analyte.formula]
        value = f"{result.comparator or ''}{result.value}"
        yield {
            **_at(state, subject, placement.visit if placement is not None else result.visit, result.collected_at),
            **_named(score, score),
            "RSSPID": place(result),
            "RSORRES": original(result, state.protocol) or value,
            "RSSTRESC": value,
            "RSSTRESN": None if result.comparator is not None else Decimal(result.value or "0"),
        }


def _not_done(state: State, terms: Terms, subject: Subject) -> Iterator[dict[str, Cell]]:
    for cell in state.cells:
        analyte = state.protocol.analytes[cell.endpoint]
        if cell.study_id == subject.participant.study_id and cell.status == "missing" and analyte.derived:
            score = terms.score[analyte.formula]
            yield {
                **_at(state, subject, cell.visit, None),
                **_named(score, score),
                "RSSTAT": "NOT DONE",
                "RSREASND": say("not_done_score", {"reason": cell.reason or "no_result"}),
            }


def _at(state: State, subject: Subject, visit: str | None, collected_at: str | None) -> dict[str, Cell]:
    on = None if collected_at is None else date.fromisoformat(collected_at[:10])
    return {
        "STUDYID": state.protocol.trial,
        "DOMAIN": "RS",
        "USUBJID": subject.usubjid,
        **at_visit(state, visit),
        "RSDTC": collected_at,
        "RSDY": None if on is None else subject.day(on),
    }


def _named(score: Score, test: Test) -> dict[str, Cell]:
    return {"RSCAT": score.category, "RSTESTCD": test.testcd, "RSTEST": test.test}


def _supplemental(dataset: Dataset, terms: Terms, told: Mapping[tuple[Cell, Cell], SelectionRow]) -> Iterator[Row]:
    """Of the score itself alone: of its points and its class the same is true."""
    for row in dataset.rows:
        cell = told.get((row["USUBJID"], row.get("RSGRPID")))
        formula = "" if cell is None or cell.score is None else str(cell.score["formula"])
        if cell is None or row["RSTESTCD"] != terms.score[formula].testcd:
            continue
        qualifiers = [(*FORMULA, formula), *((*FLAGS[flag], "Y") for flag in cell.flags)]
        for name, label, value in sorted(qualifiers):
            yield qualifier(row, "RS", name, label, value, "Derived")
