"""The trail: audit show, audit verify."""

from __future__ import annotations

import json
import re
from dataclasses import asdict

import click

from adapter.cli.common import DATA_IS_WRONG, Session, json_option, pass_session, print_json


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
        click.echo(f"{r.seq:>6}  {r.at}  {r.who}: {r.what}, {r.subject} ({r.why})")
        for change in _changes(r.old, r.new):
            click.echo(f"        {change}")


def _changes(old: str | None, new: str | None) -> list[str]:
    """What a record's two JSON objects say, a line each: what differs where there are both, all there is of one."""
    was, now = (json.loads(text) if text else {} for text in (old, new))
    lines = []
    for name in dict.fromkeys((*was, *now)):
        before, after = was.get(name), now.get(name)
        if before == after or (_is_nothing(before) and _is_nothing(after)):
            continue
        told = (before, after) if was and now else (after if now else before,)
        said = [json.dumps(value, ensure_ascii=False) for value in told]
        lines.append(f"{name}: {' -> '.join(said)}")
    return lines


def _is_nothing(value: object) -> bool:
    return value is None or value == "" or value == []


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
            click.echo(problem, err=True)
        click.echo(f"{found.records} records, head {found.head}: {'whole' if found.ok else 'NOT WHOLE'}")
    if not found.ok:
        raise SystemExit(DATA_IS_WRONG)
