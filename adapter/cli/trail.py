"""The trail: audit show, audit verify."""

from __future__ import annotations

from dataclasses import asdict

import click

from adapter.cli.common import DATA_IS_WRONG, Session, json_option, pass_session, print_json, print_table


@click.group()
def audit() -> None:
    """The trail: who did what, when and why, each record chained to the one before it."""


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
    rows = [(r.seq, r.at, r.who, r.what, r.subject, r.old, r.new, r.why) for r in records]
    print_table(("seq", "at", "who", "what", "subject", "old", "new", "why"), rows)


@audit.command("verify")
@click.option("--head", default=None, help="A head noted earlier: finds a cut tail and a chain written anew.")
@json_option
@pass_session
def verify(session: Session, head: str | None, as_json: bool) -> None:
    """Recompute the chain: an altered, missing or inserted record is found and named."""
    with session.store() as store:
        found = store.verify(head)
    if as_json:
        print_json(asdict(found))
    else:
        for problem in found.problems:
            click.echo(problem, err=True)
        click.echo(f"{found.records} records, head {found.head}: {'whole' if found.ok else 'NOT WHOLE'}")
    if not found.ok:
        raise SystemExit(DATA_IS_WRONG)
