"""SV: the visits as results and assessments show them (SDTMIG 3.4, 5.5). Nothing else is known here of a visit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date

from adapter.export.laboratory import at_visit
from adapter.export.state import State, Subject
from adapter.export.variables import SV, Cell, Dataset
from adapter.words import say


def visits(state: State, *others: Dataset) -> Dataset:
    """One record for each visit that a record of the other datasets is of, from its first to its last collection."""
    found = [row for subject in state.subjects for row in _records(state, subject, others)]
    return Dataset(SV, tuple(found))


def _records(state: State, subject: Subject, others: tuple[Dataset, ...]) -> Iterator[dict[str, Cell]]:
    for id, (number, _) in state.visits.items():
        rows = [
            (dataset.layout.name, row)
            for dataset in others
            for row in dataset.rows
            if (row["USUBJID"], row["VISITNUM"]) == (subject.usubjid, number)
        ]
        if not rows:
            continue
        dates = [str(row["LBDTC"]) for name, row in rows if name == "LB" and row.get("LBSTRESC")]
        dates += [str(row["RSDTC"]) for name, row in rows if name == "RS" and row.get("RSORRES") and row.get("RSDTC")]
        dates += _assessed(state, subject, id)
        taken = sorted(each[:10] for each in dates)
        open_cells = any(
            (cell.study_id, cell.visit) == (subject.participant.study_id, id)
            and cell.status in ("in_review", "provisional")
            for cell in state.cells
        )
        yield {
            "STUDYID": state.protocol.trial,
            "DOMAIN": "SV",
            "USUBJID": subject.usubjid,
            **at_visit(state, id),
            "SVPRESP": "Y",
            # A visit whose results are all still in question took place, perhaps: that is left open.
            "SVOCCUR": "Y" if taken else None if open_cells else "N",
            "SVREASOC": None if taken or open_cells else say("visit_without_results", {}),
            "SVSTDTC": taken[0] if taken else None,
            "SVENDTC": taken[-1] if taken else None,
            "SVSTDY": subject.day(date.fromisoformat(taken[0])) if taken else None,
            "SVENDY": subject.day(date.fromisoformat(taken[-1])) if taken else None,
        }


def _assessed(state: State, subject: Subject, visit: str) -> Iterator[str]:
    """When a clinician judged something for the visit: whoever was judged was seen."""
    for (study_id, at, _), cell in state.selection.items():
        inputs = cell.score["inputs"] if cell.score is not None else None
        if (study_id, at) == (subject.participant.study_id, visit) and isinstance(inputs, Mapping):
            for item in ("ascites", "encephalopathy", "dialysis"):
                told = inputs.get(item, {})
                if told.get("value") is not None:
                    yield str(told["collected_at"])
