"""One result on its own: mapped, normalised, timed. What it means among others is for ``amend`` and ``select``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Literal
from zoneinfo import ZoneInfo

from adapter.model import (
    Analyte,
    AssessmentCode,
    Coding,
    Collected,
    PartialTime,
    Precision,
    Protocol,
    Reason,
    Reported,
    ReportedValue,
    SourceRules,
    Status,
    Step,
    UnitRow,
)
from adapter.rules.assess import ITEMS, assessed, assessment_of
from adapter.rules.codes import CodeMap, Mapped, map_codes
from adapter.rules.decided import Readings, Said
from adapter.rules.status import OBX_11, status_of
from adapter.rules.units import convert, find_unit, plain
from adapter.rules.values import NoResult, Number, Unreadable, read_value
from adapter.rules.windows import Timing, collection_time, seen_in, stated_in

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

    def key_of(self, reported: Reported) -> str:
        """The name of a result of this message across rebuilds."""
        return f"{self.source}/{self.sha256}/{reported.locator}"


@dataclass(frozen=True, slots=True)
class Interpreted:
    """One result with everything that could be said of it alone. ``number`` is in the analyte's unit, ``sent_number``
    the same in ``sent_unit`` (UCUM), as it was reported. Of an assessment ``analyte`` names the item, ``assessed``
    the value.
    """

    origin: Origin
    reported: Reported
    study_id: str
    code: Coding
    kind: Kind
    analyte: str | None = None
    could_be: tuple[str, ...] = ()
    status: Status | None = None
    number: Decimal | None = None
    sent_number: Decimal | None = None
    sent_unit: str | None = None
    comparator: str | None = None
    assessed: str | None = None
    collected: Collected | None = None
    issued: Collected | None = None
    message_at: Collected | None = None
    reason: Reason | None = None
    rule: str = ""
    mapping: str | None = None
    conversion: str | None = None
    outside_query_limits: bool = False
    read_by_person: bool = False
    steps: tuple[Step, ...] = ()

    @property
    def key(self) -> str:
        """The result's name across rebuilds: its source, its message's hash and its locator."""
        return self.origin.key_of(self.reported)

    @property
    def value(self) -> str | None:
        """The value as it is stored and shown: the number in the analyte's unit, or what was assessed."""
        return self.assessed if self.number is None else plain(self.number)


@dataclass(frozen=True, slots=True)
class Context:
    """What reading one source's results needs."""

    protocol: Protocol
    source: SourceRules
    codes: CodeMap
    readings: Readings = field(default_factory=Readings)

    @property
    def zone(self) -> ZoneInfo:
        """The trial's time zone."""
        return ZoneInfo(self.protocol.timezone)


def interpret(reported: Reported, origin: Origin, study_id: str, context: Context) -> Interpreted:
    """Read, map and normalise one result. Total: any report gives a value, a hold with its reason or a named ignore."""
    said = context.readings.results.get(origin.key_of(reported), {})
    mapped = _mapped(reported, said, context)
    read = Step("read", {"locator": reported.locator, "code": mapped.code.code, "value": reported.value.shown})
    base = Interpreted(
        origin, reported, study_id, mapped.code, "held", could_be=mapped.could_be, mapping=mapped.row, steps=(read,)
    )
    base = replace(base, read_by_person=bool(said))
    timing = _timing(reported, said, origin, context)
    if mapped.ignored is not None:
        steps = (read, *mapped.steps)
        return replace(base, kind="ignored", rule=mapped.ignored, collected=timing.collected, steps=steps)
    status, status_step = _status(reported, said, context)
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
    return _trouble(_normalise(base, context, mapped, timing, said))


def _mapped(reported: Reported, said: Mapping[str, Said], context: Context) -> Mapped:
    """What the result is; a person's word for this one result goes first, then what the source sends as assessments."""
    mapped = map_codes(reported.codings, context.codes, context.protocol)
    if (row := assessment_of(reported.codings, context.source.assessments)) is not None:
        mapped = _assessment(row, reported)
    if "analyte" not in said or said["analyte"].text not in context.protocol.analytes:
        return mapped
    word = said["analyte"]
    return Mapped(mapped.code, word.text, row=f"decision {word.decision}", steps=(*mapped.steps, word.step("analyte")))


def _assessment(row: AssessmentCode, reported: Reported) -> Mapped:
    code = next(each for each in reported.codings if each.code == row.code)
    step = Step("mapped_assessment", {"code": row.code, "item": row.item, "row": row.row})
    return Mapped(code, row.item, row=row.row, steps=(step,))


def _timing(reported: Reported, said: Mapping[str, Said], origin: Origin, context: Context) -> Timing:
    if "collected_at" in said:
        return Timing(
            stated_in(said["collected_at"].text, context.zone), None, (said["collected_at"].step("collected"),)
        )
    return collection_time(reported, context.source, context.zone, origin.received_at)


def _status(reported: Reported, said: Mapping[str, Said], context: Context) -> tuple[Status | None, Step]:
    """The status as sent; where nobody knows it, as a person said of this result or of what this source sends."""
    fhir = reported.order_number.startswith(FHIR_RESULT)
    status, step = status_of(reported.status, reported.order_status, context.source.status_map, fhir=fhir)
    if status is not None:
        return status, step
    word = said.get("status") or context.readings.statuses.get(reported.status or reported.order_status)
    return (status, step) if word is None else (OBX_11.get(word.text), word.step("status"))


def _normalise(
    base: Interpreted, context: Context, mapped: Mapped, timing: Timing, said: Mapping[str, Said]
) -> Interpreted:
    status_step, time_steps = base.steps[-1], timing.steps
    if base.status is None:
        return _hold(base, Reason.UNKNOWN_STATUS, status_step.rule, *time_steps)
    if base.status in (Status.TAKES_BACK, Status.CONFIRMS):
        kind: Kind = "takes_back" if base.status == Status.TAKES_BACK else "confirms"
        return replace(base, kind=kind, rule=kind, steps=(*base.steps, *time_steps))
    if mapped.analyte in ITEMS:
        return _judged(base, context, timing, said)
    analyte = context.protocol.analytes[mapped.analyte or ""]
    step = _wrong_specimen(base.reported, context)
    base = replace(base, steps=(*base.steps, *_accepted_specimens(base.reported, context)))
    if step is not None and "specimen" in said:
        base = replace(base, steps=(*base.steps, step, said["specimen"].step("specimen")))
    elif step is not None:
        return _hold(base, Reason.WRONG_SPECIMEN, "wrong_specimen", step, *time_steps)
    base, value = _value(base, said)
    found = read_value(value, context.protocol)
    if base.status == Status.NOT_DONE or isinstance(found, NoResult):
        step = Step("no_result", {"text": base.reported.value.shown})
        return replace(base, kind="no_result", rule="no_result", steps=(*base.steps, step, *time_steps))
    if isinstance(found, Unreadable):
        step = Step("unreadable_value", {"why": found.why})
        return _hold(base, Reason.UNREADABLE_VALUE, "unreadable_value", step, *time_steps)
    base = replace(base, comparator=found.comparator)
    done = _convert(base, found, analyte, context, mapped.unit, said)
    done = replace(done, steps=(*done.steps, *time_steps))
    held_by_time = done.reason is None and timing.reason is not None
    return _hold(done, timing.reason, time_steps[-1].rule) if held_by_time else done


def _judged(base: Interpreted, context: Context, timing: Timing, said: Mapping[str, Said]) -> Interpreted:
    """An assessment: one of its item's values, by what the source's configuration says of the text or as a person read.

    That is asked first: a text that elsewhere says there is no result ("none") may be a value here.
    """
    base, sent = _value(base, said)
    row = assessment_of(base.reported.codings, context.source.assessments)
    assert row is not None
    value = sent.plain if "value" in said else assessed(sent, row)
    if base.status == Status.NOT_DONE or (value is None and isinstance(read_value(sent, context.protocol), NoResult)):
        step = Step("no_result", {"text": base.reported.value.shown})
        return replace(base, kind="no_result", rule="no_result", steps=(*base.steps, step, *timing.steps))
    if value not in ITEMS[row.item]:
        step = Step("unknown_assessment", {"text": base.reported.value.shown, "item": row.item})
        return _hold(base, Reason.UNREADABLE_VALUE, "unknown_assessment", step, *timing.steps)
    step = Step("assessed", {"item": row.item, "value": value})
    base = replace(base, kind="value", rule="value", assessed=value, steps=(*base.steps, step, *timing.steps))
    return base if timing.reason is None else _hold(base, timing.reason, timing.steps[-1].rule)


def _value(base: Interpreted, said: Mapping[str, Said]) -> tuple[Interpreted, ReportedValue]:
    """What is read: the laboratory's text, or what a person read in it."""
    sent, word = base.reported.value, said.get("value")
    if word is None:
        return base, sent
    return replace(base, steps=(*base.steps, word.step("value"))), ReportedValue(sent.shown, word.text)


def _unit_said(
    base: Interpreted, analyte: Analyte, context: Context, said: Mapping[str, Said]
) -> tuple[Interpreted, UnitRow | None]:
    """The unit that a person stated, for this result or for what this source sends with this code."""
    known, code = context.readings.units, base.code
    words = [known.get((code.code, code.system, sent)) for sent in base.reported.units or ("",)]
    word = said.get("unit") or next((w for w in words if w is not None), None)
    row = None if word is None else analyte.units.get(word.text)
    return (base, None) if word is None or row is None else (replace(base, steps=(*base.steps, word.step("unit"))), row)


def _convert(
    base: Interpreted,
    found: Number,
    analyte: Analyte,
    context: Context,
    meant: str | None,
    said: Mapping[str, Said],
) -> Interpreted:
    stated = base.reported.units
    base, decided = _unit_said(base, analyte, context, said)
    if decided is not None:
        row: UnitRow | None = decided
    elif stated:
        row = find_unit(stated, analyte, context.protocol)
        if row is None:
            step = Step("unknown_unit", {"unit": " / ".join(stated), "analyte": analyte.id})
            return _hold(base, Reason.UNKNOWN_UNIT, "unknown_unit", step)
    elif meant is not None:
        row = find_unit((meant,), analyte, context.protocol)
        if row is None:
            step = Step("unknown_unit", {"unit": meant, "analyte": analyte.id})
            return _hold(base, Reason.UNKNOWN_UNIT, "unknown_unit", step)
    elif analyte.dimensionless or analyte.derived:
        row = UnitRow(analyte.unit, Decimal(1))
    else:
        return _hold(base, Reason.MISSING_UNIT, "missing_unit", Step("missing_unit", {"analyte": analyte.id}))
    assert row is not None
    number = convert(found.number, row)
    factor = plain(row.factor)
    stated_unit = stated[0] if stated else (meant or "")
    step = Step("converted", {"from": stated_unit, "unit": analyte.unit, "factor": factor, "value": plain(number)})
    if row.ucum == analyte.unit or row.factor == 1:
        step = Step("unit", {"unit": stated_unit or analyte.unit, "meant": analyte.unit})
    base = replace(
        base,
        number=number,
        sent_number=found.number,
        sent_unit=row.ucum,
        conversion=f"{analyte.id} {row.ucum} x {factor}",
        steps=(*base.steps, step),
    )
    if _outside(number, analyte.hard_min, analyte.hard_max) and "plausible" in said:
        base = replace(base, steps=(*base.steps, said["plausible"].step("plausible")))
    elif _outside(number, analyte.hard_min, analyte.hard_max):
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


def _wrong_specimen(reported: Reported, context: Context) -> Step | None:
    """Where a specimen is stated it must be blood, serum or plasma, by its code or its name, or by a person's word."""
    for specimen in reported.specimens:
        said = _specimen_words(specimen)
        if said and not any(t in context.protocol.specimens or t in context.readings.specimens for t in said):
            return Step("wrong_specimen", {"specimen": specimen.name or specimen.code})
    return None


def _accepted_specimens(reported: Reported, context: Context) -> Iterator[Step]:
    """The decisions by which a stated specimen counts."""
    for specimen in reported.specimens:
        said = _specimen_words(specimen)
        if not any(text in context.protocol.specimens for text in said):
            yield from (context.readings.specimens[t].step("specimen") for t in said if t in context.readings.specimens)


def _specimen_words(specimen: Coding) -> list[str]:
    return [text.strip().casefold() for text in (specimen.code, specimen.name) if text.strip()]


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
