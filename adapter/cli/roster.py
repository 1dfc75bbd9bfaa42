"""The enrolment roster: participants add, list, import, update, withdraw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TypeVar

import click

from adapter.cli.common import (
    Session,
    by_option,
    echo,
    json_option,
    pass_session,
    print_json,
    print_table,
    reason,
    reason_option,
)
from adapter.model import Identifier, Participant
from adapter.review.enrol import unheard_of
from adapter.review.roster import is_date, read_person, read_roster, wrong_facts
from adapter.review.rows import file_lines
from adapter.rules.match import sex_of
from adapter.store import Store, StoreError

why_option = reason(default="entered")
Command = TypeVar("Command", bound=Callable[..., None])
fact_options = [
    click.option("--infused-at", default=None, help="2026-01-05, or 2026-01-05T09:30+08:00."),
    click.option("--birth-date", default=None, help="1970-01-31; checked against each message."),
    click.option("--sex", default=None, help="M or F; checked against each message."),
]


def with_facts(function: Command) -> Command:
    """The options for what is known of a participant."""
    for option in reversed(fact_options):
        function = option(function)
    return function


@click.group()
def participants() -> None:
    """The enrolment roster. Identifiers are stored apart and never listed."""


@participants.command("add")
@click.argument("study_id")
@click.option("--identifier", required=True, help="The patient's number, as the hospital's messages carry it.")
@click.option("--authority", required=True, help="The assigning authority of that number.")
@with_facts
@by_option
@why_option
@pass_session
def add(
    session: Session,
    study_id: str,
    identifier: str,
    authority: str,
    infused_at: str | None,
    birth_date: str | None,
    sex: str | None,
    who: str,
    why: str,
) -> None:
    """Enrol one participant. Who is enrolled counts from the next message on."""
    person = read_person(study_id, identifier, authority, infused_at or "", birth_date or "", sex or "")
    with session.store() as store:
        if store.participant(study_id) is not None:
            raise StoreError(f"participant {study_id} is enrolled already; use `lab-adapter participants update`")
        roster = store.participants()
        _write(session, store, [person], who, why)
    echo(f"{study_id} is enrolled")
    _warn(session, roster, [person])


@participants.command("import")
@click.argument("csv_file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@by_option
@why_option
@pass_session
def import_(session: Session, csv_file: Path, who: str, why: str) -> None:
    """Enrol from a CSV file.

    Its columns are study_id,identifier,authority,infused_at,birth_date,sex. All of it is taken or nothing.
    """
    people = read_roster(file_lines(csv_file))
    with session.store() as store:
        roster = store.participants()
        changed = _write(session, store, people, who, why)
    echo(f"{len(people)} participants in the file, {changed} of them new or changed")
    _warn(session, roster, people)


def _warn(session: Session, roster: Sequence[Participant], people: Sequence[Participant]) -> None:
    """Of an authority that is misspelt nothing is ever heard again."""
    unknown, known = unheard_of(people, roster, session.book.sources.values())
    for authority in unknown:
        words = f"no source is configured with the assigning authority {authority!r} and nobody else has a number of it"
        echo(f"lab-adapter: {words}; known are: {', '.join(known)}", err=True)


def _write(session: Session, store: Store, people: Sequence[Participant], who: str, why: str) -> int:
    with store.write() as tx:
        changed = 0
        for person in people:
            known = tx.participant(person.study_id) or person
            entered = replace(person, ended_on=known.ended_on, ended_by=known.ended_by)
            changed += tx.put_participant(entered, who, why, session.now())
    session.settle(store)
    return changed


@participants.command("list")
@json_option
@pass_session
def list_(session: Session, as_json: bool) -> None:
    """List the roster by study id; identifiers only by their authority."""
    with session.store() as store:
        people = store.participants()
    rows = [
        {
            "study_id": p.study_id,
            "infused_at": p.infused_at,
            "ended_on": p.ended_on.isoformat() if p.ended_on else None,
            "ended_by": p.ended_by,
            "authorities": sorted(i.authority for i in p.identifiers),
            "birth_date_known": p.birth_date is not None,
            "sex_known": p.sex is not None,
        }
        for p in people
    ]
    if as_json:
        print_json(rows)
        return
    heads = ("study_id", "infused_at", "ended_on", "ended_by", "identifiers of")
    print_table(
        heads,
        [
            (p.study_id, p.infused_at, p.ended_on, p.ended_by, ", ".join(sorted(i.authority for i in p.identifiers)))
            for p in people
        ],
    )


@participants.command("update")
@click.argument("study_id")
@with_facts
@click.option("--identifier", default=None, help="A further number of the patient.")
@click.option("--remove-identifier", default=None, help="A number that is not the patient's after all.")
@click.option("--authority", default=None, help="The assigning authority of that number.")
@by_option
@reason_option
@pass_session
def update(
    session: Session,
    study_id: str,
    infused_at: str | None,
    birth_date: str | None,
    sex: str | None,
    identifier: str | None,
    remove_identifier: str | None,
    authority: str | None,
    who: str,
    why: str,
) -> None:
    """Correct what is known of a participant; an empty text removes. A changed infusion date aligns all again."""
    wrong = list(wrong_facts(infused_at or "", birth_date or "", sex or ""))
    if wrong:
        raise click.UsageError("; ".join(f"{cause}: {remedy}" for _, cause, remedy in wrong))
    if (identifier or remove_identifier) and not authority:
        raise click.UsageError("an identifier needs its --authority")
    with session.store() as store:
        known = _enrolled(store, study_id)
        if infused_at is not None:
            known = replace(known, infused_at=infused_at or None)
        if birth_date is not None:
            known = replace(known, birth_date=birth_date or None)
        if sex is not None:
            known = replace(known, sex=sex_of(sex))
        if identifier and authority:
            known = replace(known, identifiers=(*known.identifiers, Identifier(identifier.strip(), authority.strip())))
        roster = store.participants()
        with store.write() as tx:
            changed = tx.put_participant(known, who, why, session.now())
            if remove_identifier and authority:
                gone = Identifier(remove_identifier.strip(), authority.strip())
                tx.remove_identifier(study_id, gone, who, why, session.now())
                changed = True
        session.settle(store)
    echo(f"{study_id} is updated" if changed else f"{study_id} is that already; nothing changed")
    if identifier:
        _warn(session, roster, [known])


@participants.command("withdraw")
@click.argument("study_id")
@click.option("--on", "ended_on", required=True, help="The date from which on results no longer count, as 2026-03-01.")
@click.option(
    "--because",
    "ended_by",
    type=click.Choice(["withdrawn", "died", "transplanted"]),
    default="withdrawn",
    show_default=True,
    help="What ended the observation.",
)
@by_option
@reason_option
@pass_session
def withdraw(session: Session, study_id: str, ended_on: str, ended_by: str, who: str, why: str) -> None:
    """Record a withdrawal, death or transplantation. Visits after it are not expected."""
    if not is_date(ended_on):
        raise click.UsageError("--on is no date: write it as 2026-03-01")
    if date.fromisoformat(ended_on) > session.today:
        raise click.UsageError("--on lies in the future: record it when it has come")
    with session.store() as store:
        known = replace(_enrolled(store, study_id), ended_on=date.fromisoformat(ended_on), ended_by=ended_by)
        with store.write() as tx:
            tx.put_participant(known, who, why, session.now())
        session.settle(store)
    echo(f"{study_id}: {ended_by} on {ended_on}")


def _enrolled(store: Store, study_id: str) -> Participant:
    known = store.participant(study_id)
    if known is None:
        raise StoreError(f"there is no participant {study_id}; `lab-adapter participants list` shows those enrolled")
    return known
