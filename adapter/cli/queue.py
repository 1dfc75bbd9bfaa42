"""The coordinator's queue: review list, show, decisions; what settles it is in ``settle``."""

from __future__ import annotations

from typing import Any

import click

from adapter.cli.common import Session, echo, json_option, pass_session, print_json, print_table
from adapter.model import Decision, ResultRow
from adapter.review import desk
from adapter.review.answers import actions_of, words_of
from adapter.review.desk import Entry
from adapter.rules.decided import undone
from adapter.words import decided, say

# How each answer is given to `review resolve`.
OPTIONS = {
    "map": "--map ANALYTE [--unit UNIT]",
    "dismiss": "--dismiss",
    "accept_unit": "--unit UNIT",
    "accept_specimen": "--accept",
    "map_status": "--status CODE",
    "say_analyte": "--analyte ANALYTE",
    "say_value": "--read-as TEXT",
    "say_unit": "--unit UNIT",
    "say_status": "--status CODE",
    "say_specimen": "--accept",
    "say_plausible": "--accept",
    "say_collected_at": "--collected TIME",
    "take_back": "--take-back",
    "choose": "--choose RESULT",
    "accept_outside": "--accept",
    "sign_off": "--sign-off",
    "confirm_identity": "--confirm [STUDY_ID]",
    "refuse_identity": "--refuse",
    "merge_identity": "--merge",
    "retry": "--retry",
}


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
        echo("nothing is open")
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
    """Show one item with its results, as they were sent, and what it can be answered with."""
    with session.store() as store:
        entry = desk.find(store, item_id)
        results = desk.results_of(store, entry)
    answers = [_answer(entry, action) for action in actions_of(entry)] if entry.state == "open" else []
    found = {**document(entry), "results": [_result(r) for r in results], "answers": answers}
    if as_json:
        print_json(found)
        return
    for name in ("id", "reason", "state", "study_id", "source", "opened_at", "count", "detail", "suggestion"):
        echo(f"{name:<11} {'' if found[name] is None else found[name]}")
    for code in found["codes"]:
        echo(f"code        {code['code'] or ''} {code['name'] or ''} ({code['id']})")
    heads = ("participant", "message", "result", "code", "name", "value", "unit", "status", "collected")
    names = ("study_id", "message_control_id", "result", "code", "name", "reported", "reported_unit", "status")
    print_table(heads, [(*(each[name] for name in names), each["collected_at"]) for each in found["results"]])
    if answers:
        echo(f"answers, by `lab-adapter review resolve {entry.id} ... --reason TEXT`")
    for answer in answers:
        echo(f"  {answer['options']:<27} {answer['records']}")


def place(row: ResultRow) -> str:
    """How a result is named: the inbox's number of its message, and where it stands in that."""
    return f"{row.inbox_id}:{row.locator}"


def _result(row: ResultRow) -> dict[str, Any]:
    names = ("study_id", "message_control_id", "locator", "code", "name", "reported", "reported_unit", "status")
    return {"result": place(row), **{name: getattr(row, name) for name in names}, "collected_at": row.collected_at}


def _answer(entry: Entry, action: str) -> dict[str, str]:
    actions = actions_of(entry)
    options = OPTIONS[action]
    if options in [OPTIONS[other] for other in actions[: actions.index(action)]]:
        options += " --only RESULT"  # without it the option answers for the cause
    return {"answer": action, "options": options, "records": say(*words_of(entry, action))}


@review.command("decisions")
@json_option
@pass_session
def decisions(session: Session, as_json: bool) -> None:
    """List every decision: who made it, when and why, and whether it is in force."""
    with session.store() as store:
        made = store.decisions()
    gone = undone(made)
    told = [_decision(each, in_force=each.id not in gone) for each in made]
    if as_json:
        print_json(told)
        return
    rows = [(t["id"], t["at"], t["who"], "yes" if t["in_force"] else "undone", t["words"], t["why"]) for t in told]
    print_table(("id", "made", "by", "in force", "what", "why"), rows)


def _decision(made: Decision, *, in_force: bool) -> dict[str, Any]:
    words = decided(made.kind, made.body)
    facts = {"id": made.id, "kind": made.kind, "body": made.body, "who": made.who, "at": made.at, "why": made.why}
    return {**facts, "in_force": in_force, "words": words}
