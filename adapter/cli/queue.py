"""The coordinator's queue: review list, show, resolve."""

from __future__ import annotations

from typing import Any

import click

from adapter.cli.common import (
    Session,
    by_option,
    json_option,
    pass_session,
    print_json,
    print_table,
    reason_option,
)
from adapter.review import desk
from adapter.review.desk import Entry


@click.group()
def review() -> None:
    """What did not match: see why, and settle it once."""


@review.command("list")
@json_option
@click.option("--each", is_flag=True, help="Show the codes that resemble no endpoint one by one.")
@pass_session
def list_(session: Session, as_json: bool, each: bool) -> None:
    """List what is open, the longest open first."""
    with session.store() as store:
        session.settle(store)
        entries = desk.queue(store)
        if each:
            entries = [desk.find(store, m.item.id) for e in entries for m in e.members]
    if as_json:
        print_json([document(e) for e in entries])
        return
    print_entries(entries)


def print_entries(entries: list[Entry]) -> None:
    """The queue for a terminal."""
    if not entries:
        click.echo("nothing is open")
        return
    heads = ("id", "reason", "participant", "source", "code", "name", "value", "n", "what happened")
    rows = [
        (e.id, e.item.reason, d["study_id"], d["source"], d["code"], d["name"], d["value_text"], e.count, e.detail)
        for e in entries
        for d in [document(e)]
    ]
    print_table(heads, rows)


def document(entry: Entry) -> dict[str, Any]:
    """The JSON of one entry (interface.md). A group of codes has ``codes``, and no code of its own."""
    item, alone = entry.item, len(entry.members) == 1
    return {
        "id": entry.id,
        "reason": item.reason,
        "study_id": item.study_id,
        "source": item.source,
        "code": item.code if alone else None,
        "name": item.name if alone else None,
        "value_text": item.value_text,
        "unit": item.unit,
        "collected_at": item.collected_at,
        "message_id": item.message_id if alone else None,
        "count": entry.count,
        "opened_at": entry.opened_at,
        "detail": entry.detail,
        "visit": item.visit,
        "endpoint": item.endpoint,
        "suggestion": item.suggestion,
        "state": entry.state,
        "codes": [{"id": m.item.id, "code": m.item.code, "name": m.item.name} for m in entry.members]
        if item.reason == "unmapped_code"
        else [],
    }


@review.command("show")
@click.argument("item_id", metavar="ID")
@json_option
@pass_session
def show(session: Session, item_id: str, as_json: bool) -> None:
    """Show one item with its results, as they were sent."""
    with session.store() as store:
        entry = desk.find(store, item_id)
        wanted = {key for m in entry.members for key in m.item.results}
        results = [r for r in store.results() if (r.inbox_id, r.locator) in wanted]
    found = {**document(entry), "results": [_result(r) for r in results]}
    if as_json:
        print_json(found)
        return
    for name in ("id", "reason", "state", "study_id", "source", "opened_at", "count", "detail", "suggestion"):
        click.echo(f"{name:<11} {'' if found[name] is None else found[name]}")
    for code in found["codes"]:
        click.echo(f"code        {code['code'] or ''} {code['name'] or ''} ({code['id']})")
    heads = ("participant", "message", "where", "code", "name", "value", "unit", "status", "collected")
    rows = [
        (
            r.study_id,
            r.message_control_id,
            r.locator,
            r.code,
            r.name,
            r.reported,
            r.reported_unit,
            r.status,
            r.collected_at,
        )
        for r in results
    ]
    print_table(heads, rows)


def _result(row: Any) -> dict[str, Any]:
    names = ("study_id", "message_control_id", "locator", "code", "name", "reported", "reported_unit", "status")
    return {**{name: getattr(row, name) for name in names}, "collected_at": row.collected_at}


@review.command("resolve")
@click.argument("item_id", metavar="ID")
@click.option("--map", "analyte", default=None, metavar="ANALYTE", help="The code is this analyte (ALT, CREA, ...).")
@click.option("--unit", default=None, help="With --map: the unit this code means where none is sent.")
@click.option("--dismiss", is_flag=True, help="Settle it without a value; a code for good.")
@reason_option
@by_option
@json_option
@pass_session
def resolve(
    session: Session,
    item_id: str,
    analyte: str | None,
    unit: str | None,
    dismiss: bool,
    why: str,
    who: str,
    as_json: bool,
) -> None:
    """Settle an item. What it changes is derived at once and the trail says who decided it and why."""
    if (analyte is None) == (not dismiss):
        raise click.UsageError("say either --map ANALYTE or --dismiss")
    if not why.strip():
        raise click.UsageError("--reason is empty; say why, for whoever reads the trail")
    with session.store() as store:
        session.settle(store)
        entry = desk.find(store, item_id)
        before = {(r.study_id, r.visit, r.endpoint): r for r in store.selections()}
        at = session.now()
        if analyte is not None:
            protocol = session.config.protocol
            desk.map_code(store, entry, analyte, protocol, unit=unit, who=who, why=why, at=at)
        else:
            desk.dismiss(store, entry, who=who, why=why, at=at)
        session.settle(store)
        changed = [r for r in store.selections() if before.get((r.study_id, r.visit, r.endpoint)) != r]
    filled = [r for r in changed if r.value is not None]
    if as_json:
        cells = [
            {"study_id": r.study_id, "visit": r.visit, "endpoint": r.endpoint, "value_text": r.value} for r in changed
        ]
        print_json({"id": item_id, "cells": cells})
        return
    click.echo(
        f"{item_id} is settled; results held: {entry.count}, cells changed: {len(changed)}, "
        f"of these now with a value: {len(filled)}"
    )
