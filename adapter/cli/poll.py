"""Polling by hand: poll."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import date, datetime
from typing import TYPE_CHECKING

import click

from adapter.cli.common import DATA_IS_WRONG, Session, echo, json_option, pass_session, print_json, print_table
from adapter.config import Source
from adapter.config_fhir import FhirIntake
from adapter.store import Store

if TYPE_CHECKING:
    from adapter.intake.poller import PollReport


@click.command()
@click.argument("source_name", metavar="[SOURCE]", required=False)
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d"]),
    default=None,
    metavar="DATE",
    help="Ask for everything dated from this day on, whatever was asked before.",
)
@click.option("--sweep", is_flag=True, help="Also look for what has vanished from the server.")
@json_option
@pass_session
def poll(session: Session, source_name: str | None, since: datetime | None, sweep: bool, as_json: bool) -> None:
    """Ask FHIR sources (default: all of them) for the participants' results, now.

    A daemon may run beside it. Exit status 1 where a source could not be asked for everybody.
    """
    reports = {}
    with session.store() as store:
        for source, intake in _polled(session, source_name):
            reports[source.name] = _poll(session, store, source, intake, since.date() if since else None, sweep)
        session.settle(store, adopt=True)
    if as_json:
        print_json([{"source": name, **asdict(report)} for name, report in reports.items()])
    else:
        _print(reports)
    if any(report.errors for report in reports.values()):
        raise SystemExit(DATA_IS_WRONG)


def _polled(session: Session, name: str | None) -> list[tuple[Source, FhirIntake]]:
    found = [(s, s.fhir) for s in session.config.sources if s.fhir is not None]
    chosen = [(source, intake) for source, intake in found if name in (None, source.name)]
    if not chosen:
        known = ", ".join(source.name for source, _ in found) or "none; add a [[source]] of kind fhir"
        asked = "there is no FHIR source" if name is None else f"there is no FHIR source {name}"
        raise click.UsageError(f"{asked}: {known}")
    return chosen


def _poll(
    session: Session, store: Store, source: Source, intake: FhirIntake, since: date | None, sweep: bool
) -> PollReport:
    from adapter.intake.fhir_client import FhirClient, FhirError
    from adapter.intake.poll_endpoint import endpoint_of
    from adapter.intake.poller import Poller, PollReport

    try:
        client = FhirClient(endpoint_of(source.name, intake), now=session.now)
    except FhirError as error:
        return PollReport(errors=[str(error)])
    with client:
        poller = Poller(source.rules, intake, session.config.protocol, client, store, now=session.now)
        bar = click.progressbar(
            length=len(poller.asked()),
            label=f"polling {source.name}",
            file=sys.stderr,
            hidden=not sys.stderr.isatty(),
        )
        with bar:
            return poller.poll(since, sweep=sweep, advance=lambda: bar.update(1))


def _print(reports: dict[str, PollReport]) -> None:
    print_table(
        ("source", "participants", "requests", "new", "held already", "not found"),
        [
            (name, r.participants, r.requests, r.new, r.duplicates, ", ".join(r.not_found))
            for name, r in reports.items()
        ],
    )
    for name, report in reports.items():
        for error in report.errors:
            echo(f"{name}: {error}", err=True)
