"""The table against values entered by hand: compare."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from adapter.cli.common import DATA_IS_WRONG, Session, echo, json_option, pass_session, print_json, print_table
from adapter.concordance import Document, Occasion, Ours, SheetError, document, page, read_sheet
from adapter.concordance import compare as compare_sheet
from adapter.concordance.document import origin_said
from adapter.concordance.nouns import KINDS, unit_said

_HEADS = ("cells", "compared", "agree", "%", "95 % interval")


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@json_option
@click.option(
    "--html",
    "html_file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="Also write the report as one HTML file, with pictures; an earlier one is replaced.",
)
@click.option("--sample", is_flag=True, help="The file is a sample: what it does not list is not missing from it.")
@pass_session
def compare(session: Session, file: Path, as_json: bool, html_file: Path | None, sample: bool) -> None:
    """Hold the table against values entered by hand.

    FILE is CSV in UTF-8 with the header study_id,visit,endpoint,value,unit,date. Units are converted by the protocol's
    table. A value agrees where ours, in the unit entered and rounded to the decimals entered (half up or half to even),
    is the number entered with the same comparator.

    Exit status 0 where both sides say the same, 1 where they differ anywhere or a row could not be compared.
    """
    if html_file is not None and html_file.exists() and html_file.samefile(file):
        raise click.UsageError("--html names the file that is to be compared; give another")
    if html_file is not None and not html_file.parent.is_dir():
        raise click.UsageError(f"--html: there is no folder {html_file.parent}")
    protocol = session.config.protocol
    with session.store() as store:
        session.settle(store)
        people, in_force = store.participants(), store.ruleset()
        ours = Ours.of(
            protocol,
            people,
            store.selections(),
            store.results(),
            [placement for person in people for placement in store.placements(person.study_id)],
            [stored.item for stored in store.open_items()],
            session.today,
        )
    try:
        sheet = read_sheet(file.read_bytes(), protocol, [person.study_id for person in people])
    except SheetError as error:
        echo(f"lab-adapter: {file}: {error}", err=True)
        raise SystemExit(DATA_IS_WRONG) from error
    found = compare_sheet(ours, sheet, sample=sample)
    if not sheet.entries and not sheet.bad_rows:
        echo(f"lab-adapter: {file}: there is no row below its header; nothing was compared", err=True)
        raise SystemExit(DATA_IS_WRONG)
    told = document(found, Occasion(file.name, session.today, "" if in_force is None else in_force.id))
    if html_file is not None:
        _write(html_file, page(found, told))
    if as_json:
        print_json(told)
    else:
        _print(told)
    if html_file is not None:
        echo(f"wrote {html_file}", err=True)
    if not found.clean:
        raise SystemExit(DATA_IS_WRONG)


def _write(path: Path, text: str) -> None:
    """The whole file or none of it; for its owner alone, as the store is."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _print(told: Document) -> None:
    summary = told["summary"]
    echo(f"{summary['file']} against the table of {summary['trial']} as of {summary['seen_on']}")
    echo(_share(summary))
    echo()
    kinds = [kind for kind in KINDS if summary[kind]]
    heads = (*_HEADS, *(kind.replace("_", " ") for kind in kinds))
    by_endpoint = [(row["endpoint"], *_counts(row, kinds), *_difference(row)) for row in told["by_endpoint"]]
    print_table(("endpoint", *heads, "mean difference", "limits of agreement"), by_endpoint)
    echo()
    print_table(("participant", *heads), [(row["study_id"], *_counts(row, kinds)) for row in told["by_participant"]])
    for each in told["findings"]:
        echo()
        _print_finding(each)
    if told["bad_rows"]:
        echo()
    for bad in told["bad_rows"]:
        echo(f"line {bad['line']}: {bad['cause']}; {bad['remedy']}")


def _share(summary: Document) -> str:
    said = f"{summary['entered']} values entered, {summary['covered']} of these cells have a value here"
    if summary["agree_percent"] is None:
        return f"{said}; none could be compared"
    low, high = summary["agree_interval_95"]
    of = f"{summary['agree']} of {summary['compared']} compared agree"
    return f"{said}; {of}: {summary['agree_percent']} %, 95 % interval {low} to {high}"


def _counts(row: Document, kinds: Sequence[str]) -> Sequence[object]:
    between = row["agree_interval_95"]
    interval = "" if between is None else f"{between[0]} to {between[1]}"
    found = (row[kind] or "" for kind in kinds)
    return (row["cells"], row["compared"], row["agree"], row["agree_percent"], interval, *found)


def _difference(row: Document) -> tuple[str, str]:
    found = row["differences"]
    if found is None:
        return "", ""
    limits = found["limits_of_agreement"]
    return f"{found['mean']}{unit_said(row['unit'])}", "" if limits is None else f"{limits[0]} to {limits[1]}"


def _print_finding(found: dict[str, Any]) -> None:
    line = "" if found["line"] is None else f" (line {found['line']})"
    kinds = ", ".join(kind.replace("_", " ") for kind in (found["kind"], *found["also"]))
    echo(f"{found['study_id']} {found['visit']} {found['endpoint']}{line}: {kinds}")
    echo(f"    {found['detail']}")
    origin = origin_said(found["here"])
    if origin:
        echo(f"    here: {origin}")
    for fact in (*found["here"]["open_items"], *found["fits"]):
        echo(f"    {fact['detail']}")
