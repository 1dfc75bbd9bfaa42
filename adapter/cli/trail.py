"""The trail: audit show, audit verify."""

from __future__ import annotations

import re
from dataclasses import asdict

import click

from adapter.cli.common import DATA_IS_WRONG, Session, echo, json_option, pass_session, print_json
from adapter.review.trail import changes


@click.group()
def audit() -> None:
    """The trail: who did what, when and why.

    Each record holds the hash of the one before it.
    """


@audit.command("show")
@click.option("--limit", type=click.IntRange(1), default=None, help="Only the last so many records.")
@json_option
@pass_session
def show(session: Session, limit: int | None, as_json: bool) -> None:
    """List the records of the trail, oldest first."""
    with session.store() as store:
        records = store.audit_records()
    records = records[-limit:] if limit is not None else records
    if as_json:
        print_json([asdict(r) for r in records])
        return
    for r in records:
        echo(f"{r.seq:>6}  {r.at}  {r.who}: {r.what}, {r.subject} ({r.why})")
        for change in changes(r):
            echo(f"        {change}")


@audit.command("verify")
@click.option("--head", default=None, help="A head noted earlier: finds a cut tail and a chain written anew.")
@json_option
@pass_session
def verify(session: Session, head: str | None, as_json: bool) -> None:
    """Recompute the chain: an altered, missing or inserted record is found and named."""
    if head is not None and not re.fullmatch("[0-9a-f]{64}", head):
        raise click.UsageError("--head is no head; it is 64 hexadecimal digits, as `audit verify` prints them")
    with session.store() as store:
        found = store.verify(head)
    if as_json:
        print_json(asdict(found))
    else:
        for problem in found.problems:
            echo(problem, err=True)
        echo(f"{found.records} records, head {found.head}: {'whole' if found.ok else 'NOT WHOLE'}")
    if not found.ok:
        raise SystemExit(DATA_IS_WRONG)
