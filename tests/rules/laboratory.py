"""A small laboratory for the rules' tests: invented reports of one invented participant, and what comes of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from adapter.codecs.times import read_time
from adapter.mappings import load_protocol
from adapter.model import (
    Assessment,
    CodeRow,
    Coding,
    Decision,
    Derived,
    Participant,
    Reported,
    ReportedValue,
    ResultRow,
    SelectionRow,
    SourceRules,
    StatedTime,
)
from adapter.rules.codes import CodeMap
from adapter.rules.derive import ReadMessage, derive
from adapter.rules.interpret import Context, Interpreted, Origin, interpret

PROTOCOL = load_protocol(Path(__file__).parents[2] / "mappings" / "nct06984497.toml")
LOCAL_CODES = (
    CodeRow("ALT", "ALT", row="row 1"),
    CodeRow("TB", "TBIL", unit="umol/L", row="row 2"),
    CodeRow("GGT", None, row="row 3"),
    CodeRow("7001", "ALB", system="99LAB", row="row 4"),
)
LIS = SourceRules("lis", authority="NTCGH", charset="utf-8", timezone="Asia/Shanghai", codes=LOCAL_CODES)
EHR = replace(LIS, name="ehr")
INFUSED_ON = date(2026, 1, 5)
WHO = Participant("S-001", infused_at=INFUSED_ON.isoformat())
TODAY = date(2026, 9, 1)
RECEIVED_AT = datetime(2026, 8, 31, 4, 0, tzinfo=UTC)


def on(day: int, clock: str = "") -> str:
    """The HL7 time of a day after infusion; ``clock`` is HHMM[SS][+ZZZZ]."""
    return (INFUSED_ON + timedelta(days=day)).strftime("%Y%m%d") + clock


def reported(
    value: str | None = "35",
    *,
    code: str = "1742-6",
    system: str = "LN",
    name: str = "",
    codings: Sequence[Coding] | None = None,
    unit: str | Sequence[str] = "U/L",
    status: str = "F",
    order_status: str = "",
    taken: str | None = on(28),
    times: Sequence[tuple[str, str]] | None = None,
    order: str = "filler:A1",
    sub_id: str = "",
    issued: str | None = None,
    sent: str | None = "20260831120000",
    specimens: Sequence[Coding] = (),
    locator: str = "OBX[1]",
) -> Reported:
    """One result as a laboratory might send it: a final ALT at week 4 unless it is said otherwise."""
    if times is None:
        times = [] if taken is None else [("OBR-7", taken)]
    return Reported(
        locator=locator,
        codings=tuple(codings) if codings is not None else (Coding(code, name, system),),
        value=ReportedValue(value or "", value, "" if value is not None else "a ratio"),
        units=(unit,) if isinstance(unit, str) and unit else tuple(unit),
        status=status,
        order_status=order_status,
        sub_id=sub_id,
        order_number=order,
        specimens=tuple(specimens),
        times=tuple(StatedTime(address, text, read_time(text)) for address, text in times),
        issued=read_time(issued) if issued else None,
        message_at=read_time(sent) if sent else None,
    )


def understood(
    result: Reported,
    *,
    message: str = "M1",
    source: SourceRules = LIS,
    received_at: datetime = RECEIVED_AT,
    protocol: object = None,
    decided: Sequence[CodeRow] = (),
) -> Interpreted:
    """What the rules make of one result alone."""
    digest = hashlib.sha256(f"{source.name} {message} {result}".encode()).hexdigest()
    origin = Origin(int(digest[:7], 16), source.name, message, digest, received_at)
    chosen = protocol if protocol is not None else PROTOCOL
    context = Context(chosen, source, CodeMap(source.codes, decided))  # type: ignore[arg-type]
    return interpret(result, origin, WHO.study_id, context)


def table(
    *results: Interpreted,
    who: Participant = WHO,
    today: date = TODAY,
    decisions: Sequence[Decision] = (),
    protocol: object = None,
    assessments: Sequence[Assessment] = (),
) -> Derived:
    """The rows of the participant whose results these are, one message for each."""
    messages = [ReadMessage(r.origin, (r,)) for r in results]
    chosen = protocol if protocol is not None else PROTOCOL
    return derive(who, messages, chosen, decisions, today, "rules", assessments)  # type: ignore[arg-type]


def cell(derived: Derived, visit: str = "week-4", endpoint: str = "ALT") -> SelectionRow:
    """One cell of the table."""
    return next(r for r in derived.selections if (r.visit, r.endpoint) == (visit, endpoint))


def row(derived: Derived, result: Interpreted) -> ResultRow:
    """What became of one result."""
    return next(r for r in derived.results if r.inbox_id == result.origin.inbox_id)


def reasons(derived: Derived) -> list[str]:
    """The reasons of all items, sorted."""
    return sorted(i.reason for i in derived.items)
