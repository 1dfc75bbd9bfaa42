"""The trial data in the field's formats: export."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click
import simplejson

from adapter.cli.common import Session, by_option, echo, json_option, pass_session, print_json
from adapter.store import Store, StoreError

if TYPE_CHECKING:  # an export alone pays for what its writers load
    from adapter.export.manifest import File
    from adapter.export.state import State
    from adapter.export.terms import Terms


@click.command()
@click.argument("format", type=click.Choice(["csv", "sdtm", "dataset-json"]))
@click.option("--out", "folder", required=True, type=click.Path(path_type=Path), help="A folder of its own.")
@by_option
@json_option
@pass_session
def export(session: Session, format: str, folder: Path, who: str, as_json: bool) -> None:
    """Write the trial data, with a manifest; the trail records it.

    csv: every value, and every candidate with why it was not chosen. sdtm: SDTM as SAS transport files. dataset-json:
    the same datasets as CDISC Dataset-JSON 1.1.

    Made again from the same data on the same day, each file is the same byte for byte. Nothing in the folder is
    overwritten but the manifest of that same export.
    """
    from adapter.export.folder import FolderTaken, check_folder, write_folder
    from adapter.export.manifest import manifest, recorded
    from adapter.export.state import read_state
    from adapter.export.terms import load_terms

    book = session.book
    terms = None if format == "csv" else load_terms(session.config.protocol_path, book.protocol)
    with session.store() as store:
        session.settle(store)
        _refuse_if_behind(session, store)
        state = read_state(store, book.protocol, book.sources, session.today)
        files = _MAKERS[format](state, terms)
        at = session.now()
        fingerprint = None if terms is None else terms.fingerprint
        document = manifest(state, format, files, book.ruleset, fingerprint, who, at)
        content = f"{simplejson.dumps(document, ensure_ascii=False, indent=2)}\n".encode()
        try:
            there = check_folder(folder, files)
        except FolderTaken as error:
            raise StoreError(str(error)) from error
        with store.write() as tx:
            tx.record("exported", format, who=who, at=at, why=f"export {format}", new=recorded(document))
            write_folder(folder, files, content)
    if as_json:
        print_json(document)
    else:
        _tell(folder, files, document, there=there)


def _refuse_if_behind(session: Session, store: Store) -> None:
    """An export is of one set of rules and of everything received."""
    in_force = store.ruleset()
    if in_force is None or in_force.id != session.book.ruleset:
        remedy = "send the daemon SIGHUP" if session.daemon_differs(store) else "run lab-adapter reprocess"
        raise StoreError(f"the stored values are by other mappings than the files hold; {remedy} first")
    behind = store.dirty_count(session.book.ruleset, session.today)
    if behind:
        raise StoreError(f"{behind} participants are not up to date; run the export again, and `status` if it stays so")


def _csv(state: State, _: Terms | None) -> list[File]:
    from adapter.export.csv_files import csv_file, spreadsheet_file, tables
    from adapter.export.manifest import File

    found = []
    for table in tables(state):
        found.append(File(f"{table.name}.csv", len(table.rows), csv_file(table)))
        found.append(File(f"{table.name}.spreadsheet.csv", len(table.rows), spreadsheet_file(table)))
    return found


def _sdtm(state: State, terms: Terms | None) -> list[File]:
    from adapter.export.manifest import File
    from adapter.export.tabulate import tabulate
    from adapter.export.xpt import transport_file

    assert terms is not None
    return [
        File(f"{d.layout.name.lower()}.xpt", len(d.rows), transport_file(d, state.changed_at))
        for d in tabulate(state, terms)
    ]


def _dataset_json(state: State, terms: Terms | None) -> list[File]:
    from adapter.export.dataset_json import json_file
    from adapter.export.manifest import File
    from adapter.export.tabulate import tabulate

    assert terms is not None
    return [
        File(f"{d.layout.name.lower()}.json", len(d.rows), json_file(d, state.protocol.trial, state.changed_at))
        for d in tabulate(state, terms)
    ]


_MAKERS: Mapping[str, Callable[[State, Terms | None], list[File]]] = {
    "csv": _csv,
    "sdtm": _sdtm,
    "dataset-json": _dataset_json,
}


def _tell(folder: Path, files: list[File], document: Mapping[str, object], *, there: bool) -> None:
    for file in files:
        echo(f"{folder / file.name}: {file.rows} rows")
    cells = document["cells"]
    assert isinstance(cells, Mapping)
    waiting = sum(cells.get(status, 0) for status in ("in_review", "provisional", "pending"))
    if waiting:
        echo(f"{waiting} of {sum(cells.values())} values are not settled yet")
    if there:
        echo("the files were there already, byte for byte; the manifest tells of this export")
