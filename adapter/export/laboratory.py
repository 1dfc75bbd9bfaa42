"""LB and SUPPLB: every final result that stands, and what was not done (SDTMIG 3.4, 6.3.5.6)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal

from adapter.export.state import State, Subject, original, place
from adapter.export.terms import Terms
from adapter.export.variables import LB, Cell, Dataset, Row, numbered, supplemental
from adapter.model import Outcome, PlacementRow, ResultRow, Visit
from adapter.rules.codes import LOINC
from adapter.rules.table import TableRow
from adapter.rules.windows import visit_of
from adapter.words import say

_SPECIMEN = re.compile(r" in (?P<specimen>.+?)(?= by | --|$)")
CHOSEN = ("LBSELFL", "Selected as the Value of the Visit")
FLAGS: Mapping[str, tuple[str, str]] = {
    "outside_window": ("LBOUTWIN", "Accepted Outside the Visit Window"),
    "outside_query_limits": ("LBOUTQRY", "Outside the Query Limits"),
    "same_result_through_two_sources": ("LBTWOSRC", "Received Through Two Sources"),
    "read_by_person": ("LBREADBY", "Read by a Person"),
    "chosen_by_person": ("LBCHOSBY", "Chosen by a Person"),
}


def laboratory(state: State, terms: Terms) -> tuple[Dataset, Dataset]:
    """LB and what has no variable there: which result is the visit's value, and the flags of that."""
    rows = list[Row]()
    flags = dict[Cell, list[tuple[str, str]]]()
    for subject in state.subjects:
        found = list[Row]()
        for result, placement in state.standing(subject):
            if result.endpoint in terms.test:
                row = _result(state, terms, subject, result, placement)
                found.append(row)
                if placement is not None and placement.chosen:
                    cell = state.selection[placement.study_id, placement.visit, placement.endpoint]
                    flags[row["LBSPID"]] = sorted([CHOSEN, *(FLAGS[flag] for flag in cell.flags)])
        found += _not_done(state, terms, subject)
        rows += sorted(found, key=_order)
    dataset = numbered(LB, rows, "LBSEQ")
    return dataset, Dataset(supplemental("LB"), tuple(_supplemental(dataset, flags)))


def _order(row: Row) -> tuple[str, ...]:
    return tuple(str(row[name] or "") for name in ("LBTESTCD", "LBDTC", "VISITNUM", "LBSPID"))


def _result(
    state: State, terms: Terms, subject: Subject, result: ResultRow, placement: PlacementRow | None
) -> dict[str, Cell]:
    analyte = result.endpoint or ""
    on = date.fromisoformat((result.collected_at or "")[:10])
    visit = placement.visit if placement is not None else result.visit
    standard = terms.unit[state.protocol.analytes[analyte].unit] or None
    value = f"{result.comparator or ''}{result.value}"
    sent = original(result, state.protocol)
    return {
        **_named(state, terms, subject, analyte),
        "LBSPID": place(result),
        # Where a person read the number out of another text, that text is no number and stays in the store.
        "LBORRES": value if sent is None else sent,
        "LBORRESU": standard if sent is None else terms.unit[result.sent_unit or ""] or None,
        "LBSTRESC": value,
        "LBSTRESN": None if result.comparator is not None else Decimal(result.value or "0"),
        "LBSTRESU": standard,
        "LBLOINC": result.code if result.code_system == LOINC else None,
        "LBSPEC": _specimen(state, terms, result, analyte),
        "LBLOBXFL": "Y" if result.outcome == Outcome.BASELINE else None,
        **at_visit(state, visit),
        "LBDTC": result.collected_at,
        "LBDY": subject.day(on),
    }


def _named(state: State, terms: Terms, subject: Subject, analyte: str) -> dict[str, Cell]:
    test = terms.test[analyte]
    return {
        "STUDYID": state.protocol.trial,
        "DOMAIN": "LB",
        "USUBJID": subject.usubjid,
        "LBTESTCD": test.testcd,
        "LBTEST": test.test,
        "LBCAT": test.category,
    }


def _visit_name(visit: Visit) -> str:
    """The label in ASCII; where it is in another script, the visit's id in words."""
    label = visit.label if visit.label.isascii() and visit.label.isprintable() else visit.id.replace("-", " ")
    return label.upper()


def at_visit(state: State, id: str | None) -> dict[str, Cell]:
    """The visit's variables; an unscheduled result has none. The day of infusion is day 1, so a target is one later."""
    if id is None:
        return {"VISITNUM": None, "VISIT": None, "VISITDY": None}
    number, visit = state.visits[id]
    return {"VISITNUM": number, "VISIT": _visit_name(visit), "VISITDY": visit.target_day + 1}


def _specimen(state: State, terms: Terms, result: ResultRow, analyte: str) -> str | None:
    """What the LOINC code says of the specimen, where it names one kind."""
    if result.code_system != LOINC:
        return None
    for row in state.protocol.loinc.get(result.code, ()):
        found = _SPECIMEN.search(row.name) if row.analyte == analyte else None
        if found is not None:
            return terms.specimen.get(found["specimen"])
    return None


# --- not done -----------------------------------------------------------------------------------------------------


def _not_done(state: State, terms: Terms, subject: Subject) -> Iterator[dict[str, Cell]]:
    """One record for each endpoint of a visit that is missing. What nobody waits for (CREA, NA) is not missed."""
    for cell in state.cells:
        analyte = state.protocol.analytes[cell.endpoint]
        mine = cell.study_id == subject.participant.study_id
        if mine and cell.status == "missing" and not analyte.derived and not analyte.supporting:
            said = _said_not_done(state, subject, cell)
            on = None if said is None or said.collected_at is None else date.fromisoformat(said.collected_at[:10])
            yield {
                **_named(state, terms, subject, cell.endpoint),
                "LBSPID": None if said is None else place(said),
                "LBSTAT": "NOT DONE",
                "LBREASND": _reason(cell, said),
                **at_visit(state, cell.visit),
                "LBDTC": None if said is None else said.collected_at,
                "LBDY": None if on is None else subject.day(on),
            }


def _said_not_done(state: State, subject: Subject, cell: TableRow) -> ResultRow | None:
    """The laboratory's own word that there is no result, the first of the visit's window."""
    said = []
    for result in state.results:
        mine = (result.study_id, result.endpoint) == (cell.study_id, cell.endpoint)
        if mine and result.outcome == Outcome.NOT_DONE and result.collected_at and subject.infused is not None:
            day = (date.fromisoformat(result.collected_at[:10]) - subject.infused.on).days
            visit = visit_of(day, state.protocol.visits)
            if visit is not None and visit.id == cell.visit:
                said.append(result)
    return min(said, key=lambda r: (r.collected_at or "", r.source, r.code, r.locator), default=None)


def _reason(cell: TableRow, said: ResultRow | None) -> str:
    if said is not None:
        return say("not_done_by_laboratory", {})
    if cell.reason in (None, "no_result"):
        return say("not_done_no_result", {})
    return say("not_done_not_accepted", {"reason": str(cell.reason)})


def _supplemental(dataset: Dataset, flags: Mapping[Cell, list[tuple[str, str]]]) -> Iterator[Row]:
    for row in dataset.rows:
        for name, label in flags.get(row["LBSPID"], ()):
            yield qualifier(row, "LB", name, label, "Y", "Derived")


def qualifier(parent: Row, domain: str, name: str, label: str, value: str, origin: str) -> dict[str, Cell]:
    """One supplemental qualifier of a record."""
    return {
        "STUDYID": parent["STUDYID"],
        "RDOMAIN": domain,
        "USUBJID": parent["USUBJID"],
        "IDVAR": f"{domain}SEQ",
        "IDVARVAL": str(parent[f"{domain}SEQ"]),
        "QNAM": name,
        "QLABEL": label,
        "QVAL": value,
        "QORIG": origin,
    }
