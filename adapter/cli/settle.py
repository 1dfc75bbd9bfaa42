"""Deciding: review resolve, undo, choose, take-back, sign-off. Each shows what it changes; --dry-run only shows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any

import click

from adapter.cli.common import Session, by_option, echo, json_option, pass_session, print_json, reason
from adapter.cli.reprocess import documents, print_changes
from adapter.review import desk
from adapter.review.answers import actions_of
from adapter.review.decide import Desk
from adapter.review.desk import DecisionRefused, Entry
from adapter.review.proposal import Given, Place, Proposal

# What each option may mean, the answer for all that comes by a cause before that for single results.
_MEANINGS: Mapping[str, tuple[str, ...]] = {
    "analyte_of_code": ("map",),
    "dismiss": ("dismiss",),
    "unit": ("accept_unit", "say_unit"),
    "collected": ("say_collected_at",),
    "status": ("map_status", "say_status"),
    "read_as": ("say_value",),
    "analyte": ("say_analyte",),
    "accept": ("accept_specimen", "say_specimen", "say_plausible", "accept_outside"),
    "chosen": ("choose",),
    "take_back": ("take_back",),
    "participant": ("confirm_identity",),
    "refuse": ("refuse_identity",),
    "merge": ("merge_identity",),
    "retry": ("retry",),
    "sign_off": ("sign_off",),
}


class _Result(click.ParamType[Place]):
    """INBOX:LOCATOR, as ``review show`` writes it."""

    name = "result"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Place:
        if isinstance(value, tuple):
            return value
        inbox_id, _, locator = str(value).partition(":")
        if not (inbox_id.isascii() and inbox_id.isdigit() and locator):
            self.fail(f"{value} is no result; write it as `review show` does: 12:OBX[3]", param, ctx)
        return int(inbox_id), locator


RESULT = _Result()


@dataclass(frozen=True, slots=True)
class _Settling:
    """One decision on its way: by whom, why, and whether it is made or only shown."""

    session: Session
    who: str
    why: str
    dry_run: bool
    as_json: bool

    def carry_out(self, propose: Callable[[Desk], Proposal], item_id: str | None = None) -> None:
        """Propose, preview, and (but for a dry run) decide and derive."""
        session = self.session
        if not self.dry_run and not self.why.strip():
            raise click.UsageError("--reason is missing or empty; say why, for whoever reads the trail")
        with session.store() as store:
            session.settle(store)
            at = Desk(store, session.book, session.now())
            proposal = propose(at)
            entry = None if item_id is None else desk.find(store, item_id)
            before = {person.study_id: person for person in store.participants()}
            found = at.preview(proposal)
            if self.dry_run and found.adopts:
                raise DecisionRefused(
                    "what this would change follows from the rules in force, and the files hold others; "
                    "take those over first: `lab-adapter reprocess`"
                )
            made = [] if self.dry_run else at.decide(proposal, self.who, self.why)
            session.settle(store)
            still_open = entry is not None and any(desk.find(store, m.item.id).state == "open" for m in entry.members)
        told = [] if found.adopts else documents(found, before, session.config.protocol, session.today)
        if self.as_json:
            cells = [{**each, "value_text": each["new"] and each["new"]["value_text"]} for each in told]
            ids = [decision.id for decision in made]
            print_json({"id": item_id, "decisions": ids, "open": still_open, "cells": cells})
            return
        print_changes(told, dry_run=self.dry_run)
        filled = sum(each["new"] is not None and each["new"]["value_text"] is not None for each in told)
        counted = f"cells changed: {len(told)}, of these now with a value: {filled}"
        if entry is not None:
            state = "is still open" if still_open else "is settled"
            echo(f"{item_id} {state}; results held: {entry.count}, {counted}")
        else:
            echo(counted)
        for decision in made:
            back = f"`lab-adapter review undo {decision.id} --reason TEXT` takes it back"
            final = "the message's bytes are erased"
            echo(f"decision {decision.id}; {final if decision.kind == 'refuse_identity' else back}")
        if self.dry_run:
            echo("nothing was written")


def _deciding(command: Callable[..., None]) -> Callable[..., None]:
    """What every command that decides is asked; it is given a :class:`_Settling` for that."""

    @pass_session
    @wraps(command)
    def decided(session: Session, /, who: str, why: str, dry_run: bool, as_json: bool, **said: Any) -> None:
        command(_Settling(session, who, why, dry_run, as_json), **said)

    for option in (
        json_option,
        click.option("--dry-run", is_flag=True, help="Only show what would change; nothing is written."),
        by_option,
        reason("Why; it is kept in the trail. Required but with --dry-run.", default=""),
    ):
        decided = option(decided)
    return decided


@click.command("resolve")
@click.argument("item_id", metavar="ID")
@click.option("--map", "analyte_of_code", metavar="ANALYTE", help="The code is this analyte (ALT, CREA, ...).")
@click.option("--dismiss", is_flag=True, help="Settle it without a value; a code for good.")
@click.option("--unit", help="What was sent means this unit; with --map: what the code means where none is sent.")
@click.option("--status", metavar="CODE", help="What was sent as status means this one of table 0085.")
@click.option("--accept", is_flag=True, help="Accept the specimen, the value or the day as it is.")
@click.option("--collected", metavar="TIME", help="When the specimen was taken: 2026-02-02, or with time and offset.")
@click.option("--read-as", metavar="TEXT", help="What the value reads: one number, such as 12.5 or <5.")
@click.option("--analyte", metavar="ANALYTE", help="What these results alone are.")
@click.option("--choose", "chosen", type=RESULT, help="Which of the results stands.")
@click.option("--take-back", is_flag=True, help="These results no longer stand.")
@click.option(
    "--confirm",
    "participant",
    is_flag=False,
    flag_value="",
    metavar="[STUDY_ID]",
    help="The message is this participant's.",
)
@click.option("--refuse", is_flag=True, help="The message is another person's; its bytes are erased.")
@click.option("--merge", is_flag=True, help="The roster gains the surviving identifier.")
@click.option("--retry", is_flag=True, help="Read the message once more.")
@click.option("--sign-off", is_flag=True, help="Confirm the visit again, as it is now.")
@click.option("--only", type=RESULT, multiple=True, help="Of the item's results, these alone. May be repeated.")
@_deciding
def resolve(settling: _Settling, item_id: str, only: tuple[Place, ...], **said: Any) -> None:
    """Settle an item. What it changes is derived at once and the trail says who decided it and why.

    `review show ID` lists what the item can be answered with. A result is written INBOX:LOCATOR, as shown there.
    """
    named = [option for option, value in said.items() if value is not None and value is not False]
    if "analyte_of_code" in named and "unit" in named:
        named.remove("unit")
    if len(named) != 1:
        raise click.UsageError("say one of the answers that `lab-adapter review show ID` lists, such as --dismiss")
    (option,) = named
    places = (said["chosen"],) if option == "chosen" else only
    text = said[option] if isinstance(said[option], str) else ""
    given = Given(text, said["unit"], text or None if option == "participant" else None, frozenset(places))

    def propose(at: Desk) -> Proposal:
        entry = desk.find(at.store, item_id)
        return at.propose(entry, _meant(entry, option, alone=bool(only)), given)

    settling.carry_out(propose, item_id)


def _meant(entry: Entry, option: str, *, alone: bool) -> str:
    """The answer that an option gives to this item; ``alone`` to some of its results."""
    meanings = _MEANINGS[option]
    possible = [action for action in meanings if action in actions_of(entry)] or list(meanings[:1])
    single = [action for action in possible if action.startswith("say_")]
    return (single if alone and single else possible)[0]


@click.command("undo")
@click.argument("decision_id", metavar="DECISION", type=int)
@_deciding
def undo(settling: _Settling, decision_id: int) -> None:
    """Take a decision back by another: what followed from it is as it was, and the trail holds both."""
    settling.carry_out(lambda at: at.undo(decision_id))


@click.command("choose")
@click.argument("study_id")
@click.argument("visit")
@click.argument("endpoint")
@click.argument("result", type=RESULT)
@_deciding
def choose(settling: _Settling, study_id: str, visit: str, endpoint: str, result: Place) -> None:
    """Let another candidate stand as the value of a cell; `lab-adapter trace` lists them."""
    settling.carry_out(lambda at: at.choose(study_id, visit, endpoint, result))


@click.command("take-back")
@click.argument("study_id")
@click.argument("result", type=RESULT)
@_deciding
def take_back(settling: _Settling, study_id: str, result: Place) -> None:
    """Let a result no longer stand; what the laboratory sends in its place does."""
    settling.carry_out(lambda at: at.take_back(study_id, result))


@click.command("sign-off")
@click.argument("study_id")
@click.argument("visit")
@_deciding
def sign_off(settling: _Settling, study_id: str, visit: str) -> None:
    """Confirm the values of a visit; a change after that asks again."""
    settling.carry_out(lambda at: at.sign_off(study_id, visit))
