"""CDISC Dataset-JSON 1.1: one document for each dataset."""

from __future__ import annotations

from datetime import UTC, datetime

import simplejson

from adapter import __version__
from adapter.export.variables import Cell, Dataset, Variable

_TYPES = {"text": "string", "integer": "integer", "number": "float"}


def json_file(dataset: Dataset, trial: str, changed_at: datetime) -> bytes:
    """One dataset, a row a line. Its times are those of the last change of the data; a number keeps its decimals."""
    layout = dataset.layout
    at = changed_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    head = {
        "datasetJSONCreationDateTime": at,
        "datasetJSONVersion": "1.1.0",
        "fileOID": f"{trial}.{layout.name}",
        "dbLastModifiedDateTime": at,
        "originator": "trial-lab-adapter",
        "sourceSystem": {"name": "trial-lab-adapter", "version": __version__},
        "studyOID": trial,
        "itemGroupOID": f"IG.{layout.name}",
        "records": len(dataset.rows),
        "name": layout.name,
        "label": layout.label,
        "columns": [_column(dataset, variable) for variable in layout.variables],
    }
    rows = [_dumped([_cell(row.get(v.name), v) for v in layout.variables]) for row in dataset.rows]
    text = _dumped(head)[:-1] + ', "rows": [\n' + ",\n".join(rows) + "\n]}\n"
    return text.encode()


def _dumped(content: object) -> str:
    return str(simplejson.dumps(content, use_decimal=True, ensure_ascii=False))


def _column(dataset: Dataset, variable: Variable) -> dict[str, object]:
    layout = dataset.layout
    column: dict[str, object] = {
        "itemOID": f"IT.{layout.name}.{variable.name}",
        "name": variable.name,
        "label": variable.label,
        "dataType": _TYPES[variable.kind],
    }
    if variable.kind == "text":
        column["length"] = dataset.length(variable)
    if variable.name in layout.keys:
        column["keySequence"] = layout.keys.index(variable.name) + 1
    return column


def _cell(cell: Cell, variable: Variable) -> Cell:
    """A missing text is empty, a missing number null."""
    return "" if cell is None and variable.kind == "text" else cell
