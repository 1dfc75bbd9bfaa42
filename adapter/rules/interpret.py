"""One result on its own: mapped, normalised, timed. What it means among others is for ``amend`` and ``select``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Literal
from zoneinfo import ZoneInfo

from adapter.model import (
    Analyte,
    Coding,
    Collected,
    PartialTime,
    Precision,
    Protocol,
    Reason,
    Reported,
    SourceRules,
    Status,
    Step,
    UnitRow,
)
from adapter.rules.codes import CodeMap, Mapped, map_codes
from adapter.rules.status import status_of
from adapter.rules.units import convert, find_unit, plain
from adapter.rules.values import NoResult, Number, Unreadable, read_value
from adapter.rules.windows import collection_time, seen_in

FHIR_RESULT = "fhir:"  # how the order number of a FHIR result begins; the resource and its component follow
Kind = Literal["value", "no_result", "takes_back", "confirms", "held", "ignored"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a result came from. ``sha256`` is of the kept bytes and outlives a rebuild, unlike an inbox id."""

    inbox_id: int
    source: str
    message_control_id: str
    sha256: str
    received_at: datetime
    trouble: Reason | None = None  # a hold of the whole message


@dataclass(frozen=True, slots=True)
class Interpreted:
    """One result with everything that could be said of it alone. ``number`` is in the analyte's unit."""

    origin: Origin
    reported: Reported
    study_id: str
    code: Coding
    kind: Kind
    analyte: str | None = None
    could_be: tuple[str, ...] = ()
    status: Status | None = None
    number: Decimal | None = None
    comparator: str | None = None
    collected: Collected | None = None
    issued: Collected | None = None
    message_at: Collected | None = None
    reason: Reason | None = None
    rule: str = ""
    mapping: str | None = None
    conversion: str | None = None
    outside_query_limits: bool = False
    steps: tuple[Step, ...] = ()

    @property
    def key(self) -> str:
        """The result's name across rebuilds: its source, its message's hash and its locator."""
        return f"{self.origin.source}/{self.origin.sha256}/{self.reported.locator}"


@dataclass(frozen=True, slots=True)
class Context:
    """What reading one source's results needs."""

    protocol: Protocol
    source: SourceRules
    codes: CodeMap

    @property
    def zone(self) -> ZoneInfo:
        """The trial's time zone."""
        return ZoneInfo(self.protocol.timezone)


def interpret(reported: Reported, origin: Origin, study_id: str, context: Context) -> Interpreted:
    """Read, map and normalise one result. Total: any report gives a value, a hold with its reason or a named ignore."""
    mapped = map_codes(reported.codings, context.codes, context.protocol)
    read = Step("read", {"locator": reported.locator, "code": mapped.code.code, "value": reported.value.shown})
    base = Interpreted(
        origin, reported, study_id, mapped.code, "held", could_be=mapped.could_be, mapping=mapped.row, steps=(read,)
    )
    timing = collection_time(reported, context.source, context.zone, origin.received_at)
    if mapped.ignored is not None:
        steps = (read, *mapped.steps)
        return replace(base, kind="ignored", rule=mapped.ignored, collected=timing.collected, steps=steps)
    fhir = reported.order_number.startswith(FHIR_RESULT)
    status, status_step = status_of(reported.status, reported.order_status, context.source.status_map, fhir=fhir)
    base = replace(
        base,
        analyte=mapped.analyte,
        could_be=(mapped.analyte,) if mapped.analyte else mapped.could_be,
        status=status,
        collected=timing.collected,
        issued=_stamp(reported.issued, context),
        message_at=_stamp(reported.message_at, context),
        steps=(read, *mapped.steps),
    )
    if mapped.analyte is None:
        return _trouble(_hold(base, mapped.reason, mapped.steps[-1].rule, *timing.steps))
    base = replace(base, steps=(*base.steps, status_step))
    return _trouble(_normalise(base, context, mapped, timing.reason, timing.steps))


def _normalise(
    base: Interpreted, context: Context, mapped: Mapped, time_reason: Reason | None, time_steps: tuple[Step, ...]
) -> Interpreted:
    status_step = base.steps[-1]
    analyte = context.protocol.analytes[mapped.analyte or ""]
    if base.status is None:
        return _hold(base, Reason.UNKNOWN_STATUS, status_step.rule, *time_steps)
    if base.status in (Status.TAKES_BACK, Status.CONFIRMS):
        kind: Kind = "takes_back" if base.status == Status.TAKES_BACK else "confirms"
        return replace(base, kind=kind, rule=kind, steps=(*base.steps, *time_steps))
    step = _wrong_specimen(base.reported, context.protocol)
    if step is not None:
        return _hold(base, Reason.WRONG_SPECIMEN, "wrong_specimen", step, *time_steps)
    found = read_value(base.reported.value, context.protocol)
    if base.status == Status.NOT_DONE or isinstance(found, NoResult):
        step = Step("no_result", {"text": base.reported.value.shown})
        return replace(base, kind="no_result", rule="no_result", steps=(*base.steps, step, *time_steps))
    if isinstance(found, Unreadable):
        step = Step("unreadable_value", {"why": found.why})
        return _hold(base, Reason.UNREADABLE_VALUE, "unreadable_value", step, *time_steps)
    base = replace(base, comparator=found.comparator)
    done = _convert(base, found, analyte, context, mapped.unit)
    done = replace(done, steps=(*done.steps, *time_steps))
    held_by_time = done.reason is None and time_reason is not None
    return _hold(done, time_reason, time_steps[-1].rule) if held_by_time else done


def _convert(base: Interpreted, found: Number, analyte: Analyte, context: Context, meant: str | None) -> Interpreted:
    stated = base.reported.units
    if stated:
        row = find_unit(stated, analyte, context.protocol)
        if row is None:
            step = Step("unknown_unit", {"unit": " / ".join(stated), "analyte": analyte.id})
            return _hold(base, Reason.UNKNOWN_UNIT, "unknown_unit", step)
    elif meant is not None:
        row = find_unit((meant,), analyte, context.protocol)
        if row is None:
            step = Step("unknown_unit", {"unit": meant, "analyte": analyte.id})
            return _hold(base, Reason.UNKNOWN_UNIT, "unknown_unit", step)
    elif analyte.dimensionless:
        row = UnitRow(analyte.unit, Decimal(1))
    else:
        return _hold(base, Reason.MISSING_UNIT, "missing_unit", Step("missing_unit", {"analyte": analyte.id}))
    number = convert(found.number, row)
    factor = plain(row.factor)
    said = stated[0] if stated else (meant or "")
    step = Step("converted", {"from": said, "unit": analyte.unit, "factor": factor, "value": plain(number)})
    if row.ucum == analyte.unit or row.factor == 1:
        step = Step("unit", {"unit": said or analyte.unit, "meant": analyte.unit})
    base = replace(base, number=number, conversion=f"{analyte.id} {row.ucum} x {factor}", steps=(*base.steps, step))
    if _outside(number, analyte.hard_min, analyte.hard_max):
        return _hold(base, Reason.IMPLAUSIBLE_VALUE, "implausible_value", _limits("implausible_value", analyte, "hard"))
    if _outside(number, analyte.query_min, analyte.query_max):
        base = replace(base, outside_query_limits=True)
        base = replace(base, steps=(*base.steps, _limits("outside_query_limits", analyte, "query")))
    return replace(base, kind="value", rule="value")


def _outside(number: Decimal, least: Decimal | None, most: Decimal | None) -> bool:
    return (least is not None and number < least) or (most is not None and number > most)


def _limits(rule: str, analyte: Analyte, which: str) -> Step:
    least, most = (analyte.hard_min, analyte.hard_max) if which == "hard" else (analyte.query_min, analyte.query_max)
    bounds = {"min": "" if least is None else plain(least), "max": "" if most is None else plain(most)}
    return Step(rule, {**bounds, "unit": analyte.unit, "analyte": analyte.id})


def _wrong_specimen(reported: Reported, protocol: Protocol) -> Step | None:
    """Where a specimen is stated it must be blood, serum or plasma, by its code or by its name."""
    for specimen in reported.specimens:
        said = [text.strip().casefold() for text in (specimen.code, specimen.name) if text.strip()]
        if said and not any(text in protocol.specimens for text in said):
            return Step("wrong_specimen", {"specimen": specimen.name or specimen.code})
    return None


def _hold(base: Interpreted, reason: Reason | None, rule: str, *steps: Step) -> Interpreted:
    return replace(base, kind="held", reason=reason, rule=rule, steps=(*base.steps, *steps))


def _trouble(result: Interpreted) -> Interpreted:
    """A whole message in doubt holds each of its results, whatever they would have been."""
    trouble = result.origin.trouble
    if trouble is None:
        return result
    rule = f"message_{trouble.value}"
    return _hold(result, trouble, rule, Step(rule))


def _stamp(time: PartialTime | None, context: Context) -> Collected | None:
    """OBR-22 or MSH-7 as an instant; one that is coarser than a day orders nothing."""
    if time is None or time.precision < Precision.DAY:
        return None
    return seen_in(time, ZoneInfo(context.source.timezone), context.zone)
