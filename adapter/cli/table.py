"""The endpoint table: values."""

from __future__ import annotations

import csv
import sys
from dataclasses import asdict
from typing import Any

import click

from adapter.cli.common import Session, echo, json_option, pass_session, print_json, print_table
from adapter.rules.table import TableRow, table

_COLUMNS = (
    "study_id",
    "visit",
    "target_date",
    "endpoint",
    "status",
    "comparator",
    "value_text",
    "unit",
    "collected_at",
    "day_offset",
    "flags",
    "reason",
    "open_items",
    "source",
    "message_id",
    "ruleset",
)


@click.command()
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="CSV on standard output.")
@click.option("--all", "supporting", is_flag=True, help="Also the supporting analytes (CREA, NA).")
@pass_session
def values(session: Session, as_json: bool, as_csv: bool, supporting: bool) -> None:
    """Show the endpoint table.

    One row for each participant, visit and endpoint.
    """
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other")
    with session.store() as store:
        session.settle(store)
        people, selections = store.participants(), store.selections()
    rows = list(table(session.config.protocol, people, selections, session.today, supporting=supporting))
    if as_json:
        print_json([_document(row) for row in rows])
    elif as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows([_cell(row, name) for name in _COLUMNS] for row in rows)
    else:
        print_rows(rows)


def print_rows(rows: list[TableRow]) -> None:
    """The table for a terminal."""
    if not rows:
        echo("no participant is enrolled; see `lab-adapter participants import`")
        return
    heads = ("participant", "visit", "endpoint", "status", "value", "unit", "collected", "days", "remarks")
    print_table(
        heads,
        [
            (
                row.study_id,
                row.visit,
                row.endpoint,
                row.status,
                f"{row.comparator or ''}{row.value_text}" if row.value_text is not None else "",
                row.unit if row.value_text is not None else "",
                row.collected_at,
                "" if row.day_offset is None else f"{row.day_offset:+d}",
                ", ".join([*row.flags, *([row.reason] if row.reason else [])]),
            )
            for row in rows
        ],
    )


def _document(row: TableRow) -> dict[str, Any]:
    return asdict(row)


def _cell(row: TableRow, name: str) -> object:
    value = getattr(row, name)
    return " ".join(value) if isinstance(value, tuple) else value
