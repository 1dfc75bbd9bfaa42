"""What a person filled in, checked: each function gives the text as it is kept, or says what to write instead."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from adapter.model import Protocol, ReportedValue, ResultRow
from adapter.review.desk import DecisionRefused
from adapter.review.roster import is_date, is_date_or_instant
from adapter.rules.assess import ITEMS
from adapter.rules.status import OBX_11
from adapter.rules.values import Number, read_value


def analyte(protocol: Protocol, text: str) -> str:
    """An analyte of the protocol."""
    if text not in protocol.analytes:
        known = ", ".join(protocol.analytes)
        raise DecisionRefused(f"{text or 'nothing'} is no analyte of the protocol; write one of {known}")
    return text


def unit(protocol: Protocol, text: str, analytes: Sequence[str]) -> str:
    """A unit (UCUM) that each of these analytes is measured in."""
    for analyte in analytes:
        known = protocol.analytes[analyte].units if analyte in protocol.analytes else {}
        if text not in known:
            raise DecisionRefused(f"{analyte} is not measured in {text or 'nothing'}; write one of {', '.join(known)}")
    return text


def status(text: str) -> str:
    """A status of table 0085."""
    if text not in OBX_11:
        raise DecisionRefused(f"{text or 'nothing'} is no status of table 0085; write one of {', '.join(OBX_11)}")
    return text


def collected_at(text: str, now: datetime) -> str:
    """A day, or a time with its offset, that has come; ``now`` is in the trial's time zone."""
    if not is_date_or_instant(text):
        raise DecisionRefused(f"{text or 'nothing'} is no time; write 2026-02-02, or 2026-02-02T08:00+08:00")
    if date.fromisoformat(text) > now.date() if is_date(text) else datetime.fromisoformat(text) > now:
        raise DecisionRefused(f"{text} has not come yet; a specimen was taken in the past")
    return text


def value(protocol: Protocol, text: str, rows: Sequence[ResultRow]) -> str:
    """One number with an optional comparator, for one result; for an assessment one of its item's values."""
    known = ITEMS.get(rows[0].endpoint or "") if rows else None
    if known is not None and text not in known:
        raise DecisionRefused(f"{text or 'nothing'} is no value of {rows[0].endpoint}; write one of {', '.join(known)}")
    if known is None and not isinstance(read_value(ReportedValue(text, text), protocol), Number):
        raise DecisionRefused("that is not one number with a decimal point, such as 12.5 or <5")
    if len(rows) > 1:
        raise DecisionRefused("say which one of the results holds this value")
    return text
