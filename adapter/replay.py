"""Files through the pipeline of the daemon: ``replay`` stores, ``explain`` only tells.

What either asks of a source is what the daemon asks, but for version and processing id.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from adapter.codecs.fhir import Document, read_document
from adapter.codecs.message import Opened, open_message
from adapter.codecs.mllp import Decoder, Frame
from adapter.intake.door import new_message, told
from adapter.intake.screen import Fate, Screen, Screened
from adapter.intake.screen_fhir import FhirScreen, ScreenedResource, looks_like_fhir, new_resource, resource_told
from adapter.model import Derived, Received, ResultRow
from adapter.pipeline import Rulebook, derive_scope
from adapter.rules.match import Roster
from adapter.store import Store
from adapter.store.records import Added, NewMessage
from adapter.words import say_step

_LARGEST_FILE_BYTES = 2**30


@dataclass(frozen=True, slots=True)
class ResultReport:
    """What became of one result, with the sentences that say how."""

    row: ResultRow
    steps: tuple[str, ...]


@dataclass(slots=True)
class MessageReport:
    """What became of one message of a file."""

    file: str
    source: str
    screened: Screened | ScreenedResource
    inbox_id: int | None = None
    results: list[ResultReport] = field(default_factory=list)
    structure: tuple[str, ...] = ()


def files_of(paths: Iterable[Path]) -> list[Path]:
    """The files of paths and of folders below them, in the order of their names; hidden ones are passed over."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            below = (p for p in sorted(path.rglob("*")) if p.is_file())
            found += [p for p in below if not any(part.startswith(".") for part in p.relative_to(path).parts)]
        else:
            found.append(path)
    return found


def payloads_of(content: bytes) -> list[bytes]:
    """A file's payload; a capture of MLLP frames holds several."""
    if not content.startswith(b"\x0b"):
        return [content]
    events = Decoder(_LARGEST_FILE_BYTES).feed(content)
    return [event.payload for event in events if isinstance(event, Frame)] or [content]


def look_at(content: bytes, screen: Screen, at: datetime) -> list[list[Screened] | list[ScreenedResource]]:
    """The messages of a file, HL7 v2 or FHIR by its first character, payload by payload."""
    if looks_like_fhir(content):
        fhir = FhirScreen(screen.source, screen.roster, screen.timezone, screen.as_participant)
        return [fhir.look(content, at)]
    return [screen.look(payload, at)[0] for payload in payloads_of(content)]


def replay_file(store: Store, screen: Screen, path: Path, at: datetime) -> list[MessageReport]:
    """Store what a file holds for participants; each payload is committed whole or not at all."""
    reports = []
    for messages in look_at(path.read_bytes(), screen, at):
        kept = [m for m in messages if m.fate == Fate.ACCEPTED]
        added = []
        if kept:
            with store.write() as tx:
                added = tx.add_messages([_new(m, screen, at) for m in kept])
        in_turn = iter(added)
        for message in messages:
            if message.fate == Fate.ACCEPTED:
                stored = next(in_turn)
                report = MessageReport(str(path), screen.source.name, _told(message, stored), stored.inbox_id)
            else:
                report = MessageReport(str(path), screen.source.name, message)
            reports.append(report)
    return reports


def _new(message: Screened | ScreenedResource, screen: Screen, at: datetime) -> NewMessage:
    if isinstance(message, ScreenedResource):
        return new_resource(screen.source.name, message, at)
    return new_message(screen.source.name, message, at)


def _told(message: Screened | ScreenedResource, added: Added) -> Screened | ScreenedResource:
    return resource_told(message, added) if isinstance(message, ScreenedResource) else told(message, added)


def tell(reports: Sequence[MessageReport], store: Store, book: Rulebook, at: datetime) -> None:
    """Add to each report what became of its results, as they stand now that all is derived."""
    roster, decisions = Roster(store.participants()), store.decisions()
    today = at.astimezone(ZoneInfo(book.protocol.timezone)).date()
    told_by_scope: dict[str, Derived] = {}
    for report in reports:
        for scope in report.screened.scopes if report.inbox_id is not None else ():
            if scope not in told_by_scope:
                told_by_scope[scope] = derive_scope(scope, store.received(scope), roster, book, decisions, today)
            report.results += _results(told_by_scope[scope], report.inbox_id)


def explain_file(
    path: Path, screen: Screen, book: Rulebook, store: Store, at: datetime, as_participant: str | None = None
) -> list[MessageReport]:
    """What would become of a file, were it received now; nothing is written.

    ``as_participant`` takes every patient of the file for that participant.
    """
    screen = replace(screen, as_participant=as_participant)
    reports, new = list[MessageReport](), dict[str, list[Received]]()
    for messages in look_at(path.read_bytes(), screen, at):
        for message in messages:
            report = MessageReport(str(path), screen.source.name, message)
            if message.fate == Fate.ACCEPTED:
                report.inbox_id = -1 - len(reports)
                received = _received(message, report.inbox_id, book, screen, at)
                report.structure = _structure(message, screen)
                for scope in message.scopes:
                    new.setdefault(scope, []).append(received)
            reports.append(report)
    _tell_as_if(reports, new, screen, book, store, at, forced=as_participant is not None)
    return reports


def _tell_as_if(
    reports: Sequence[MessageReport],
    new: Mapping[str, Sequence[Received]],
    screen: Screen,
    book: Rulebook,
    store: Store,
    at: datetime,
    *,
    forced: bool,
) -> None:
    today = at.astimezone(ZoneInfo(book.protocol.timezone)).date()
    decisions = store.decisions()
    for scope, messages in new.items():
        held = store.received(scope)
        known = {(m.source, m.message_control_id, m.sha256): m.id for m in held}
        copies = {m.id: known.get((m.source, m.message_control_id, m.sha256)) for m in messages}
        fresh = [m for m in messages if copies[m.id] is None]
        force = frozenset(m.id for m in fresh) if forced else frozenset()
        derived = derive_scope(scope, [*held, *fresh], screen.roster, book, decisions, today, forced=force)
        for report in reports:
            if report.inbox_id is not None and scope in report.screened.scopes:
                held_as = copies.get(report.inbox_id)
                if held_as is not None:
                    report.screened = _told(report.screened, Added(held_as, True, False))
                report.results += _results(derived, held_as or report.inbox_id)


def _received(
    message: Screened | ScreenedResource, inbox_id: int, book: Rulebook, screen: Screen, at: datetime
) -> Received:
    kept = _new(message, screen, at)
    return Received(
        id=inbox_id,
        trial=book.protocol.trial,
        source=kept.source,
        kind=kept.kind,
        message_control_id=kept.message_control_id,
        sha256=kept.sha256,
        raw=kept.raw,
        received_at=at,
        study_ids=kept.study_ids,
    )


def _structure(message: Screened | ScreenedResource, screen: Screen) -> tuple[str, ...]:
    """What the standard's own grammar has to say: hl7apy of HL7 v2, fhir.resources of FHIR."""
    if isinstance(message, ScreenedResource):
        document = read_document(message.kept)
        return tuple(fault.text for fault in document.faults) if isinstance(document, Document) else ()
    from adapter.codecs.structure import structure_report  # hl7apy takes a while to load; only explain needs it

    opened = open_message(message.kept, screen.source.charset)
    return structure_report(opened.text, opened.header.version) if isinstance(opened, Opened) else ()


def _results(derived: Derived, inbox_id: int | None) -> list[ResultReport]:
    rows = [r for r in (*derived.results, *derived.ignored_rows) if r.inbox_id == inbox_id]
    rows.sort(key=lambda r: _natural(r.locator))
    return [
        ResultReport(row, tuple(say_step(s) for s in derived.steps.get((row.inbox_id, row.locator), ())))
        for row in rows
    ]


def _natural(locator: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", locator)]
