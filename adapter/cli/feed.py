"""Feeding and asking: replay, explain, send."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from adapter.cli.common import DATA_IS_WRONG, Session, echo, json_option, pass_session, print_json, progress
from adapter.codecs.ack import read_answers
from adapter.config import Source
from adapter.daemon import screen_of
from adapter.intake.client import Client, ClientError
from adapter.intake.screen import Fate
from adapter.replay import MessageReport, ResultReport, explain_file, files_of, payloads_of, replay_file, tell
from adapter.rules.match import Roster
from adapter.store import StoreError

paths_argument = click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
source_option = click.option(
    "--source", "source_name", default=None, help="Which source's rules; default: the only one."
)


def _source(session: Session, name: str | None) -> Source:
    sources = {s.name: s for s in session.config.sources}
    if name is None and len(sources) == 1:
        return next(iter(sources.values()))
    if name not in sources:
        asked = "there are several sources" if name is None else f"there is no source {name}"
        raise click.UsageError(f"{asked}; write --source with one of {', '.join(sources)}")
    return sources[name]


@click.command()
@paths_argument
@source_option
@json_option
@pass_session
def replay(session: Session, paths: tuple[Path, ...], source_name: str | None, as_json: bool) -> None:
    """Feed files or folders through the daemon's pipeline.

    A file holds a message, several, a batch, or a capture of MLLP frames. Version and processing id are not asked.
    Exit status 1 where a message was refused or could not be read.
    """
    source = _source(session, source_name)
    reports: list[MessageReport] = []
    with session.store() as store:
        screen = screen_of(source, Roster(store.participants()), session.config.protocol.timezone, gated=False)
        with progress(files_of(paths), "replaying") as files:
            for path in files:
                reports += replay_file(store, screen, path, session.now())
        session.settle(store, adopt=True)
        tell(reports, store, session.book, session.now())
    _finish(reports, as_json=as_json, in_words=False)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@source_option
@click.option("--as", "as_participant", default=None, metavar="STUDY_ID", help="Take the patient for this participant.")
@json_option
@pass_session
def explain(session: Session, file: Path, source_name: str | None, as_participant: str | None, as_json: bool) -> None:
    """Tell what would become of a file, step by step, in words. Nothing is written."""
    source = _source(session, source_name)
    with session.store() as store:
        if as_participant is not None and store.participant(as_participant) is None:
            raise StoreError(f"there is no participant {as_participant}; `lab-adapter participants list` shows them")
        screen = screen_of(source, Roster(store.participants()), session.config.protocol.timezone, gated=False)
        reports = explain_file(file, screen, session.book, store, session.now(), as_participant)
    _finish(reports, as_json=as_json, in_words=True)


def _finish(reports: Sequence[MessageReport], *, as_json: bool, in_words: bool) -> None:
    if as_json:
        print_json([document(r, with_structure=in_words) for r in reports])
    else:
        for report in reports:
            _print(report, in_words=in_words)
    if any(r.screened.fate in (Fate.UNREADABLE, Fate.REFUSED) for r in reports):
        raise SystemExit(DATA_IS_WRONG)


def document(report: MessageReport, *, with_structure: bool = False) -> dict[str, Any]:
    """The JSON of one message (interface.md, "JSON of explain and replay")."""
    header = report.screened.header
    kind = "^".join(p for p in (header.message_type, header.trigger_event) if p) if header is not None else None
    found: dict[str, Any] = {
        "file": report.file,
        "message_id": header.message_control_id if header is not None else None,
        "source": report.source,
        "type": kind,
        "outcome": report.screened.fate.value,
        "detail": report.screened.detail,
        "results": [_result(r) for r in report.results],
    }
    if with_structure:
        found["structure"] = list(report.structure)
    return found


def _result(report: ResultReport) -> dict[str, Any]:
    row = report.row
    return {
        "locator": row.locator,
        "code": row.code,
        "name": row.name,
        "reported": row.reported,
        "reported_unit": row.reported_unit,
        "status": row.status,
        "study_id": row.study_id or None,
        "outcome": str(row.outcome),
        "endpoint": row.endpoint,
        "value": None if row.value is None or row.unit is None else Decimal(row.value),
        "value_text": row.value,
        "comparator": row.comparator,
        "unit": row.unit,
        "collected_at": row.collected_at,
        "visit": row.visit,
        "reason": row.reason if row.outcome == "held" else row.rule if row.outcome == "ignored" else None,
        "steps": list(report.steps),
    }


def _print(report: MessageReport, *, in_words: bool) -> None:
    said = document(report)
    echo(f"{said['file']}: {said['message_id'] or '(no control id)'} {said['type'] or ''} {said['outcome']}")
    if said["outcome"] != "accepted":
        echo(f"  {said['detail']}")
    for result in said["results"]:
        value = (
            f"{result['comparator'] or ''}{result['value_text']} {result['unit'] or ''}".strip()
            if result["value_text"]
            else ""
        )
        where = " ".join(str(p) for p in (result["endpoint"], result["visit"], value, result["reason"]) if p)
        echo(f"  {result['locator']} {result['code']}: {result['outcome']} {where}".rstrip())
        for step in result["steps"] if in_words else ():
            echo(f"      {step}")
    for sentence in report.structure if in_words else ():
        echo(f"  structure: {sentence}")


@click.command()
@click.argument("address", metavar="HOST:PORT")
@paths_argument
@click.option("--timeout", "timeout_seconds", type=click.FloatRange(min=0.1), default=30.0, show_default=True)
@click.option("--tls", is_flag=True, help="Speak TLS.")
@click.option("--ca", type=click.Path(exists=True, dir_okay=False), default=None, help="Trust this CA bundle alone.")
@click.option("--cert", type=click.Path(exists=True, dir_okay=False), default=None, help="Our certificate (PEM).")
@click.option("--key", type=click.Path(exists=True, dir_okay=False), default=None, help="Its key (PEM).")
@json_option
def send(
    address: str,
    paths: tuple[Path, ...],
    timeout_seconds: float,
    tls: bool,
    ca: str | None,
    cert: str | None,
    key: str | None,
    as_json: bool,
) -> None:
    """Send files over MLLP and show each acknowledgement. Exit status 1 unless all are positive."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise click.UsageError(f"{address} is no HOST:PORT; write it as 127.0.0.1:2575")
    if not tls and (ca or cert or key):
        raise click.UsageError("--ca, --cert and --key need --tls; without it everything would go in the clear")
    context = _tls(ca, cert, key) if tls else None
    answers = []
    try:
        client = Client(host.strip("[]"), int(port), timeout_seconds=timeout_seconds, tls=context)
        with client, progress(files_of(paths), "sending") as files:
            for path in files:
                for payload in payloads_of(path.read_bytes()):
                    answers += [(path, a) for a in read_answers(client.send(payload))]
    except ClientError as error:
        echo(str(error), err=True)
        raise SystemExit(DATA_IS_WRONG) from error
    finally:
        documents = [
            {"file": str(path), "message_id": a.message_control_id, "code": a.code, "text": a.text}
            for path, a in answers
        ]
        if as_json:
            print_json(documents)
        else:
            for d in documents:
                echo(f"{d['file']}: {d['code']} {d['message_id']} {d['text']}".rstrip())
    if any(d["code"] not in ("AA", "CA") for d in documents):
        raise SystemExit(DATA_IS_WRONG)


def _tls(ca: str | None, cert: str | None, key: str | None) -> ssl.SSLContext:
    if key is not None and cert is None:
        raise click.UsageError("--key needs --cert")
    try:
        context = ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise click.UsageError("--ca cannot be used; give a PEM file of certificates") from error
    try:
        if cert is not None:
            context.load_cert_chain(cert, key)
    except OSError as error:
        raise click.UsageError("--cert or --key cannot be used; give PEM files that belong together") from error
    return context
