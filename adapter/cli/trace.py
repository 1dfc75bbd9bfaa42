"""From a number to its bytes: trace."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Any

import click

from adapter.cli.common import (
    DATA_IS_WRONG,
    Session,
    account,
    echo,
    json_option,
    pass_session,
    print_json,
    print_table,
)
from adapter.cli.queue import place
from adapter.lineage import Change, Excerpt, InputTold, MessageTold, ResultTold, RulesTold, Trace, show_raw
from adapter.lineage import trace as trace_cell
from adapter.model import Protocol
from adapter.store import StoreError
from adapter.words import knows, say


@click.command()
@click.argument("study_id", metavar="STUDY_ID")
@click.argument("visit", metavar="VISIT")
@click.argument("endpoint", metavar="ENDPOINT")
@click.option("--raw", is_flag=True, help="Also what was sent, for administrators; the trail records it.")
@click.option("--by", "who", default=account, help="With --raw: who looks; default: the account that runs it.")
@json_option
@pass_session
def trace(session: Session, study_id: str, visit: str, endpoint: str, raw: bool, who: str, as_json: bool) -> None:
    """Tell what a value of the table follows from.

    Its message and its place there, how it was read, by which rows of the mappings, which other results there were and
    why they are not the value, what people decided, and how the value changed. Exit status 1 where the stored bytes are
    not those that came, or another value follows from them.
    """
    _check(session.config.protocol, visit, endpoint)
    with session.store() as store:
        session.settle(store)
        at = session.now()
        found = trace_cell(store, session.book, study_id, visit, endpoint, at)
        if found is None:
            raise StoreError(f"there is no participant {study_id}; `lab-adapter participants list` shows them")
        why = f"trace of {study_id} {visit} {endpoint}"
        shown = show_raw(store, session.book, found.places, administrator=True, who=who, why=why, at=at) if raw else []
    if as_json:
        print_json({**document(found), **({"raw": [asdict(each) for each in shown]} if raw else {})})
    else:
        _print_lines(_sections(found))
        _print_results("candidates", found.candidates)
        _print_results("also seen", found.beside)
        _print_lines(_afterwards(found))
        if raw:
            _print_lines(_raw_lines(shown))
    if not found.sound:
        raise SystemExit(DATA_IS_WRONG)


def _check(protocol: Protocol, visit: str, endpoint: str) -> None:
    """That the protocol has such a cell."""
    visits = [v.id for v in protocol.visits]
    if visit not in visits:
        raise click.UsageError(f"the protocol has no visit {visit}; write one of {', '.join(visits)}")
    analyte = protocol.analytes.get(endpoint)
    if analyte is not None and analyte.derived and analyte.supporting:
        raise click.UsageError(f"{endpoint} has no cell of its own; it is told beside MELD")
    if analyte is None:
        known = [a.id for a in protocol.analytes.values() if not (a.derived and a.supporting)]
        raise click.UsageError(f"the protocol has no endpoint {endpoint}; write one of {', '.join(known)}")


# --- JSON ---------------------------------------------------------------------------------------------------------


def document(found: Trace) -> dict[str, Any]:
    """The JSON of a trace. Results name their message by ``inbox_id``."""
    return {
        "cell": asdict(found.cell),
        "result": None if found.result is None else _result(found.result),
        "inputs": [_input(each) for each in found.inputs],
        "open_items": [{"id": id, "reason": reason, "detail": detail} for id, reason, detail in found.items],
        "candidates": [_result(each) for each in found.candidates],
        "beside": [_result(each) for each in found.beside],
        "messages": [{**asdict(each), "whole": each.whole} for each in found.messages],
        "rules": None if found.rules is None else asdict(found.rules),
        "decisions": [{**asdict(each.decision), "words": each.words} for each in found.decisions],
        "history": [asdict(each) for each in found.history],
        "head": found.head,
        "follows": found.follows,
        "verdict": found.verdict,
    }


def _result(told: ResultTold) -> dict[str, Any]:
    facts = asdict(told)
    row = facts.pop("row")
    value = row.pop("value")
    return {**row, "value": None if value is None else Decimal(value), "value_text": value, **facts}


def _input(told: InputTold) -> dict[str, Any]:
    return {**asdict(told), "trace": None if told.trace is None else _command(told.trace)}


def _command(arguments: Sequence[str]) -> str:
    return " ".join(("lab-adapter", "trace", *arguments))


# --- a terminal ---------------------------------------------------------------------------------------------------


def _print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        echo(line)


def _line(name: str, *parts: str | None) -> str:
    return f"  {name:<10} {', '.join(part for part in parts if part)}".rstrip()


def _number(comparator: object, value: object, unit: object) -> str:
    bare = not unit or unit == "1" or str(unit).startswith("{")  # an annotation of UCUM, as of a score
    return f"{comparator or ''}{value}{'' if bare else f' {unit}'}"


def _sections(found: Trace) -> Iterator[str]:
    cell = found.cell
    value = "no value" if cell.value_text is None else _number(cell.comparator, cell.value_text, cell.unit)
    yield f"{cell.study_id} {cell.visit} {cell.endpoint}: {value}, {cell.status}"
    if cell.window is not None:
        yield _line("window", f"{cell.window[0]} to {cell.window[1]}", f"target {cell.target_date}")
    if cell.collected_at is not None:
        yield _line("collected", cell.collected_at, f"{cell.day_offset:+d} days from the target")
    if cell.flags or cell.reason:
        yield _line("remarks", *cell.flags, cell.reason)
    for name, reason, sentence in found.items:
        yield _line("question", f"{name} {reason}: {sentence}")
    if found.result is not None:
        yield from _origin(found.result, found.message(found.result.row.inbox_id))
    if cell.score is not None:
        yield from _score(found, cell.score)
    if found.result is not None or found.rules is not None:
        yield "by which rows"
        yield from _rows(found.result, found.rules)


def _origin(result: ResultTold, message: MessageTold) -> Iterator[str]:
    row = result.row
    system = f" ({row.code_system})" if row.code_system else ""
    yield "where it comes from"
    yield _line("result", f"{row.locator} of message {row.message_control_id or '(no control id)'} from {row.source}")
    yield _line("reported", f"“{row.reported}” {row.reported_unit}".rstrip(), f"status {row.status}")
    yield _line("as", f"{row.code}{system} {row.name}".rstrip())
    yield _line("order", row.order_number or "no number", row.reported_at and f"reported {row.reported_at}")
    if result.collected_from is not None:
        yield _line("taken", f"{result.collected_from}: {result.collected_text}")
    yield from _message(message)
    yield "how it was read"
    for step in result.steps:
        yield f"  {step}"


def _message(message: MessageTold) -> Iterator[str]:
    yield _line("received", message.received_at, f"inbox {message.inbox_id}", f"{message.bytes} bytes")
    same = "the stored bytes give the same"
    if not message.whole:
        same = f"THE STORED BYTES GIVE ANOTHER, {message.found_sha256}: they are not what came"
    yield _line("sha256", f"{message.sha256}: {same}")
    for note in message.notes:
        yield _line("noted", note)


def _rows(result: ResultTold | None, rules: RulesTold | None) -> Iterator[str]:
    gone = "today's files no longer hold it"
    if result is not None and (mapping := result.mapping) is not None:
        yield _line("mapping", mapping.row, mapping.name, None if mapping.in_files else gone)
    if result is not None and (row := result.conversion) is not None:
        example = None if row.example is None else f"worked example: {row.example[0]} gives {row.example[1]}"
        yield _line("conversion", row.row, row.source, example, None if row.in_files else gone)
    if rules is not None:
        files = "today's files are the same" if rules.same else f"TODAY'S FILES ARE OTHERS ({rules.files})"
        yield _line("ruleset", rules.ruleset, rules.adopted_at and f"adopted {rules.adopted_at}", files)
        yield _line("protocol", f"sha256 {rules.protocol}", f"rules of the program, version {rules.rules_version}")


def _score(found: Trace, score: Mapping[str, Any]) -> Iterator[str]:
    yield "how it was computed"
    formula = score["formula"]
    yield _line("formula", f"{formula}: {say(f'formula_{formula}', {})}")
    for each in found.inputs:
        yield from _input_lines(each)
    if score.get("points") is not None:
        yield _line("points", *(f"{each.name} {score['points'][each.name]}" for each in found.inputs))
        yield _line("class", score["grade"])
    yield _line("settings", *(f"{name} {value}" for name, value in score["settings"].items()))
    for note in score["notes"]:
        yield _line("note", say(f"score_{note}", {}) if knows(f"score_{note}") else note)
    reported = score["reported"]
    if reported is not None:
        value = _number(reported["comparator"], reported["value"], "")
        where = f"{reported['locator']} of message {reported['message_id']} from {reported['source']}"
        yield _line("reported", f"{value} by the laboratory", where, f"taken {reported['collected_at']}")
    for name, other in (score.get("beside") or {}).items():
        yield _line("beside", f"{name} {other['value'] if other['value'] is not None else other['reason']}")


def _input_lines(told: InputTold) -> Iterator[str]:
    used = told.used
    value = "no value"
    if used["value_text"] is not None:
        value = _number(used.get("comparator"), used["value_text"], used.get("unit"))
    if used.get("reported") is not None and used.get("reported_unit") != used.get("unit"):
        value += f" (reported as {used['reported']} {used['reported_unit']})"
    taken = used.get("collected_at") and f"taken {used['collected_at']}"
    where = told.locator and f"{told.locator} of message {told.message_id} from {told.source}"
    entered = told.assessed and f"entered {told.assessed['at']} by {told.assessed['who']} ({told.assessed['why']})"
    how = told.trace and f"see `{_command(told.trace)}`"
    yield _line(
        "input", f"{told.name} {value}", *(str(each) for each in (used.get("why"), taken, where, entered, how) if each)
    )


def _print_results(head: str, results: Sequence[ResultTold]) -> None:
    if not results:
        return
    echo(head)
    heads = ("", "", "message", "result", "source", "reported", "value", "collected", "outcome", "why")
    print_table(
        heads,
        [
            (
                "*" if each.chosen else "",
                "" if each.rank is None else each.rank,
                each.row.message_control_id,
                place(each.row),
                each.row.source,
                f"{each.row.reported} {each.row.reported_unit}".rstrip(),
                "" if each.row.value is None else _number(each.row.comparator, each.row.value, each.row.unit),
                each.row.collected_at,
                each.row.outcome,
                each.words,
            )
            for each in results
        ],
    )


def _afterwards(found: Trace) -> Iterator[str]:
    if found.decisions:
        yield "what people decided"
    for each in found.decisions:
        made = each.decision
        yield f"  {made.id:>6}  {made.at}  {made.who}: {each.words} ({made.why})"
    if found.history:
        yield "how it changed"
    for change in found.history:
        yield f"  {change.seq:>6}  {change.at}  {change.who}: {_change(change)} ({change.why})"
    for message in found.messages:
        if message.whole is None:
            by = message.erased
            words = "" if by is None else f" at {by.at} by {by.who} ({by.why})"
            yield f"the bytes of message {message.message_id} from {message.source} were erased{words}"
        elif not message.whole:
            yield f"THE BYTES OF message {message.message_id} from {message.source} ARE NOT WHAT CAME"
    answer = {True: "yes", False: "NO", None: "not asked"}[found.follows]
    yield f"follows from its bytes: {answer}. {found.verdict}"
    yield f"head of the trail: {found.head}"


def _change(change: Change) -> str:
    return f"{_state(change.old)} -> {_state(change.new)}" if change.old is not None else _state(change.new)


def _state(facts: Mapping[str, object] | None) -> str:
    if facts is None:
        return "nothing"
    if facts["value"] is None:
        status = "" if facts["status"] == "empty" else f", {facts['status']}"
        return f"no value{status} ({facts['reason']})"
    where = f" from {facts['locator']} of message {facts['message_id']}" if facts["locator"] else ""
    return f"{_number(facts['comparator'], facts['value'], facts['unit'])}, {facts['status']}{where}"


def _raw_lines(shown: Sequence[Excerpt]) -> Iterator[str]:
    yield "what was sent" if shown else "what was sent: there is no result whose bytes could be shown"
    for each in shown:
        yield f"  {each.locator} of message {each.message_id}"
        for text in each.texts or ("(nothing of it can be read)",):
            yield from (f"    {line}" for line in text.splitlines())
