"""What is stored under the mappings and rules of today's files: reprocess."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import click

from adapter.cli.common import Session, by_option, echo, json_option, pass_session, print_json, print_table, reason
from adapter.model import Participant, Protocol, SelectionRow
from adapter.pulse import AnotherDaemon
from adapter.reprocess import Rehearsal, carry_out, rehearse
from adapter.review.roster import is_date_or_instant
from adapter.rules.table import status_of_empty
from adapter.rules.windows import infusion, window
from adapter.store import Store, StoreError
from adapter.words import say_step


@click.command()
@click.option("--dry-run", is_flag=True, help="Only show what would change; nothing is written.")
@click.option(
    "--infused",
    multiple=True,
    metavar="STUDY_ID=DATE",
    help="With --dry-run: as if this were the infusion date (empty: none). May be repeated.",
)
@reason(default="mappings or rules were changed", show_default=True)
@by_option
@json_option
@pass_session
def reprocess(session: Session, dry_run: bool, infused: tuple[str, ...], why: str, who: str, as_json: bool) -> None:
    """Take changed mappings over; show what changes.

    All that is stored is derived by the files' mappings and rules.

    Shows each value that changes: from what, to what and why. All of it is done in one transaction, or nothing.
    """
    if infused and not dry_run:
        raise click.UsageError("--infused needs --dry-run; `lab-adapter participants update` corrects the roster")
    as_if = dict(_infused(each) for each in infused)
    with session.store() as store:
        if not dry_run and session.daemon_differs(store):
            raise AnotherDaemon(
                "the daemon runs by other mappings or rules than the files hold, and would take its own up again; "
                "send it SIGHUP to take the files' over, or stop it first"
            )
        found = _derived(session, store, as_if, dry_run=dry_run, who=who, why=why)
        before = {person.study_id: person for person in store.participants()}
    told = documents(found, before, session.config.protocol, session.today)
    if as_json:
        print_json(told)
    else:
        _print(told, found, dry_run=dry_run)


def documents(
    found: Rehearsal, before: Mapping[str, Participant], protocol: Protocol, today: date
) -> list[dict[str, Any]]:
    """The JSON of what changes. ``before`` is the roster by study id."""
    return [
        {
            "study_id": change.study_id,
            "visit": change.visit,
            "endpoint": change.endpoint,
            "old": _seen(change.old, before[change.study_id], protocol, today),
            "new": _seen(change.new, found.participants[change.study_id], protocol, today),
            "why": say_step(change.why),
        }
        for change in found.changes
    ]


def _infused(text: str) -> tuple[str, str | None]:
    study_id, given, on = text.partition("=")
    if not study_id or not given or (on and not is_date_or_instant(on)):
        raise click.UsageError(f"--infused {text} is no STUDY_ID=DATE; write it as S-001=2026-01-05")
    return study_id, on or None


def _derived(
    session: Session, store: Store, as_if: dict[str, str | None], *, dry_run: bool, who: str, why: str
) -> Rehearsal:
    unknown = [study_id for study_id in as_if if store.participant(study_id) is None]
    if unknown:
        raise StoreError(f"there is no participant {unknown[0]}; `lab-adapter participants list` shows those enrolled")
    bar = click.progressbar(
        length=len(store.scopes()), label="deriving", file=sys.stderr, hidden=not sys.stderr.isatty()
    )
    with bar:
        if dry_run:
            return rehearse(store, session.book, session.now(), infused=as_if, advance=lambda: bar.update(1))
        return carry_out(store, session.book, session.now(), who=who, why=why, advance=lambda: bar.update(1))


def _seen(cell: SelectionRow | None, who: Participant, protocol: Protocol, today: date) -> dict[str, Any] | None:
    """A cell in the words of ``values``."""
    if cell is None:
        return None
    status, reason = cell.status, cell.reason
    if status == "empty":
        infused = infusion(who.infused_at, ZoneInfo(protocol.timezone))
        visit = next((v for v in protocol.visits if v.id == cell.visit), None)
        days = None if infused is None or visit is None else window(visit, infused.on)
        status = status_of_empty(who, days, today)
        reason = who.ended_by if status == "not_expected" else reason
    return {
        "status": status,
        "reason": reason,
        "value_text": cell.value,
        "comparator": cell.comparator,
        "unit": cell.unit,
        "flags": cell.flags,
        "collected_at": cell.collected_at,
        "day_offset": cell.day_offset,
        "source": cell.source,
        "message_id": cell.message_id,
    }


def print_changes(told: Iterable[dict[str, Any]], *, dry_run: bool) -> None:
    """What changes, for a terminal."""
    rows = [(d["study_id"], d["visit"], d["endpoint"], _shown(d["old"]), _shown(d["new"]), d["why"]) for d in told]
    if rows:
        print_table(("participant", "visit", "endpoint", "was", "is then" if dry_run else "is", "why"), rows)


def _print(told: Iterable[dict[str, Any]], found: Rehearsal, *, dry_run: bool) -> None:
    print_changes(told, dry_run=dry_run)
    counts = found.counts
    if found.is_nothing:
        echo("nothing changes")
    else:
        echo(
            f"values: {counts.values}, results with another outcome: {counts.results}, "
            f"review items opened: {counts.opened}, closed: {counts.closed}"
        )
    if dry_run:
        echo("nothing was written")
    elif found.adopts:
        echo("the files' mappings and rules are in force")


def _shown(cell: dict[str, Any] | None) -> str:
    """A value with its unit and date, or why there is none."""
    if cell is None:
        return ""
    if cell["value_text"] is None:
        return f"{cell['status']} ({cell['reason']})"
    said = [f"{cell['comparator'] or ''}{cell['value_text']}", cell["unit"]]
    if cell["collected_at"]:
        said.append(f"of {cell['collected_at'][:10]}")
    if cell["status"] != "captured":
        said.append(cell["status"])
    return " ".join((*said, *cell["flags"]))
