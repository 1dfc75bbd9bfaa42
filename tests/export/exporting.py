"""What the tests of exports share: a small trial as an export sees it, and files read by somebody else's reader."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pandas

from adapter.export.state import State
from adapter.export.tabulate import tabulate
from adapter.export.terms import Terms, load_terms
from adapter.export.variables import Dataset
from adapter.model import Assessment, Decision, Participant
from adapter.rules.interpret import Interpreted
from tests.rules.laboratory import EHR, LIS, PROTOCOL, TODAY, WHO, table

MAPPINGS = Path(__file__).parents[2] / "mappings"
TERMS = load_terms(MAPPINGS / "nct06984497.toml", PROTOCOL)
CHANGED_AT = datetime(2026, 8, 31, 4, 5, 6, tzinfo=UTC)
PERSON = replace(WHO, birth_date="1961-07-29", sex="F")


def state_of(
    *results: Interpreted,
    who: Participant = PERSON,
    today: date = TODAY,
    assessments: Sequence[Assessment] = (),
    decisions: Sequence[Decision] = (),
) -> State:
    """The trial of one participant whose results these are."""
    derived = table(*results, who=who, today=today, assessments=assessments, decisions=decisions)
    return State(
        PROTOCOL,
        {"lis": LIS, "ehr": EHR},
        today,
        [who],
        derived.selections,
        derived.results,
        derived.placements,
        head="0" * 64,
        records=1,
        changed_at=CHANGED_AT,
    )


def datasets(state: State, terms: Terms = TERMS) -> dict[str, Dataset]:
    """All datasets of an export, by name."""
    return {dataset.layout.name: dataset for dataset in tabulate(state, terms)}


def rows(state: State, name: str) -> list[dict[str, Any]]:
    """The rows of one dataset, every variable there."""
    dataset = datasets(state)[name]
    return [{v.name: row.get(v.name) for v in dataset.layout.variables} for row in dataset.rows]


def of_test(state: State, testcd: str) -> list[dict[str, Any]]:
    """The LB records of one test that are results."""
    return [row for row in rows(state, "LB") if row["LBTESTCD"] == testcd and row["LBSTAT"] is None]


def read_xpt(content: bytes) -> list[dict[str, Any]]:
    """A transport file as pandas reads it (its own reader, not the library that writes); NaN is None."""
    frame = pandas.read_sas(io.BytesIO(content), format="xport", encoding="ascii")
    return [
        {name: None if isinstance(cell, float) and cell != cell else cell for name, cell in row.items()}
        for row in frame.to_dict("records")
    ]


def read_json(content: bytes) -> list[dict[str, Any]]:
    """The rows of a Dataset-JSON document by the names of its columns."""
    document = json.loads(content)
    names = [column["name"] for column in document["columns"]]
    return [dict(zip(names, row, strict=True)) for row in document["rows"]]


def layout_of(content: bytes) -> Mapping[str, str]:
    """The names and labels of a Dataset-JSON document, in their order."""
    return {column["name"]: column["label"] for column in json.loads(content)["columns"]}
