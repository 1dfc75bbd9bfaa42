"""What a person filled in, checked: each function gives the text as it is kept, or says what to write instead."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from adapter.model import Protocol, ReportedValue, ResultRow
from adapter.review.desk import DecisionRefused
from adapter.review.roster import is_date, is_date_or_instant
from adapter.review.rows import marked
from adapter.rules.assess import ITEMS
from adapter.rules.status import OBX_11
from adapter.rules.values import Number, read_value


def analyte(protocol: Protocol, text: str) -> str:
    """An analyte of the protocol."""
    if text not in protocol.analytes:
        refusal = marked("{given} is no analyte of the protocol; write one of {known}")
        raise DecisionRefused(refusal, given=text, known=", ".join(protocol.analytes))
    return text


def unit(protocol: Protocol, text: str, analytes: Sequence[str]) -> str:
    """A unit (UCUM) that each of these analytes is measured in."""
    for analyte in analytes:
        known = protocol.analytes[analyte].units if analyte in protocol.analytes else {}
        if text not in known:
            refusal = marked("{analyte} is not measured in {given}; write one of {known}")
            raise DecisionRefused(refusal, analyte=analyte, given=text, known=", ".join(known))
    return text


def status(text: str) -> str:
    """A status of table 0085."""
    if text not in OBX_11:
        refusal = marked("{given} is no status of table 0085; write one of {known}")
        raise DecisionRefused(refusal, given=text, known=", ".join(OBX_11))
    return text


def collected_at(text: str, now: datetime) -> str:
    """A day, or a time with its offset, that has come; ``now`` is in the trial's time zone."""
    if not is_date_or_instant(text):
        refusal = marked("{given} is no time; write 2026-02-02, or 2026-02-02T08:00+08:00")
        raise DecisionRefused(refusal, given=text)
    if date.fromisoformat(text) > now.date() if is_date(text) else datetime.fromisoformat(text) > now:
        raise DecisionRefused(marked("{given} has not come yet; a specimen was taken in the past"), given=text)
    return text


def value(protocol: Protocol, text: str, rows: Sequence[ResultRow]) -> str:
    """One number with an optional comparator, for one result; for an assessment one of its item's values."""
    known = ITEMS.get(rows[0].endpoint or "") if rows else None
    if known is not None and text not in known:
        refusal = marked("{given} is no value of {what}; write one of {known}")
        raise DecisionRefused(refusal, given=text, what=rows[0].endpoint, known=", ".join(known))
    if known is None and not isinstance(read_value(ReportedValue(text, text), protocol), Number):
        raise DecisionRefused(marked("that is not one number with a decimal point, such as 12.5 or <5"))
    if len(rows) > 1:
        raise DecisionRefused(marked("say which one of the results holds this value"))
    return text
