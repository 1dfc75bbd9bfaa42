"""SAS transport files, version 5. The one place that knows pyreadstat, and the pandas frame that it writes from."""

from __future__ import annotations

import re
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from adapter.export.variables import Dataset, Variable

# Where the four times of a file of one member stand: written and changed, of the file and of its member (TS-140).
_TIMES = (144, 160, 464, 480)
_TIME = re.compile(rb"\d\d[A-Z]{3}\d\d:\d\d:\d\d:\d\d")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


def transport_file(dataset: Dataset, changed_at: datetime) -> bytes:
    """One dataset as a transport file. Its times are those of the last change of the data, in UTC."""
    import pandas
    import pyreadstat

    layout = dataset.layout
    columns = {v.name: pandas.Series(_cells(dataset, v), dtype=_dtype(v)) for v in layout.variables}
    labels: dict[str, str | None] = {v.name: v.label for v in layout.variables}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dataset.xpt"
        pyreadstat.write_xport(
            pandas.DataFrame(columns),
            path,
            file_label=layout.label,
            column_labels=labels,
            table_name=layout.name,
            file_format_version=5,
        )
        content = path.read_bytes()
    return _dated(content, changed_at)


def _cells(dataset: Dataset, variable: Variable) -> list[object]:
    """Numbers as transport files hold them, in binary: the exact text stands in --STRESC."""
    cells = dataset.column(variable.name)
    if variable.kind == "text":
        return ["" if cell is None else cell for cell in cells]
    return [None if cell is None else float(cell) for cell in cells]


def _dtype(variable: Variable) -> str:
    return "object" if variable.kind == "text" else "float64"


def _dated(content: bytes, at: datetime) -> bytes:
    """The file with its times replaced. The names of months are SAS's, whatever the locale."""
    utc = at.astimezone(UTC)
    stamp = f"{utc:%d}{_MONTHS[utc.month - 1]}{utc:%y:%H:%M:%S}".encode("ascii")
    changed = bytearray(content)
    for place in _TIMES:
        assert _TIME.fullmatch(content, place, place + len(stamp)), "the file is not laid out as TS-140 says"
        changed[place : place + len(stamp)] = stamp
    return bytes(changed)
