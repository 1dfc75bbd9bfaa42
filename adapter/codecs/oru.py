"""Results and patients of ORU^R01, R30 to R32 and OUL^R22 to R24 (HL7 chapter 7), and the merges of ADT^A34, A40.

Reads what each segment states and where it stands, and decides nothing: the rules do. A segment is never lost for
standing where the grammar does not expect it; OBX after SPM are results like the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from adapter.codecs.hl7v2 import NULL, Delimiters, Segment, pick, split
from adapter.codecs.times import read_time
from adapter.model import (
    Coding,
    PartialTime,
    Patient,
    PatientIdentifier,
    Precision,
    Reported,
    ReportedValue,
    StatedTime,
)

OUL = {"R22", "R23", "R24"}  # there ORC stands after its OBR (chapter 7.3)
PRECEDES_ITS_ORDERS = {"R22", "R23"}  # OUL_R22 and OUL_R23: the specimen's group holds its orders
_DEGREE = {"Y": Precision.YEAR, "L": Precision.MONTH, "D": Precision.DAY, "H": Precision.HOUR, "M": Precision.MINUTE}
_TEXT_TYPES = {"", "ST", "TX", "FT", "NM"}
_CODED_TYPES = {"CWE", "CE", "CNE", "CF"}
_TABLE_TYPES = {"IS", "ID"}  # a code of a table, and nothing else (chapter 2A)
_ENCAPSULATED_TYPES = {"ED", "RP"}
_CODES_AND_TEXTS = (0, 1, 3, 4, 8, 9, 10)  # CWE without its systems and versions (2A.3.12)
_DATA_TYPE = re.compile(r"[A-Z]{2,3}")
_COMPARATOR_CHARACTERS = "<>=≤≥＜＞＝﹤﹥"
_SHOWN_CHARACTERS = 200
_REPLACEMENT = "\ufffd"


@dataclass(frozen=True, slots=True)
class PatientResults:
    """One patient group of a message and its results. ``patient`` is None for results before any PID."""

    patient: Patient | None
    results: tuple[Reported, ...]


@dataclass(frozen=True, slots=True)
class Merge:
    """ADT^A34, A40: the identifiers that survive (PID-3) and those they replace (MRG-1)."""

    surviving: Patient
    prior: Patient


@dataclass(slots=True)
class _Order:
    obr: Segment | None = None
    specimens: list[Segment] = field(default_factory=list)
    observations: list[tuple[Segment, list[Segment]]] = field(default_factory=list)  # OBX, specimens it stands after


def read_results(
    text: str,
    delimiters: Delimiters,
    trigger_event: str,
    message_at: str,
    identifier_fields: tuple[str, ...] = ("PID-3",),
) -> tuple[PatientResults, ...]:
    """Every patient group of one decoded message with every OBX in it, in the order sent."""
    sent_at = read_time(pick(message_at, delimiters.component, 1))
    groups = []
    for patient, body in _groups(text, delimiters, identifier_fields):
        results = tuple(r for order in _orders(body, trigger_event) for r in _results(order, sent_at))
        groups.append(PatientResults(patient, results))
    return tuple(groups)


def read_patients(
    text: str, delimiters: Delimiters, identifier_fields: tuple[str, ...] = ("PID-3",)
) -> tuple[Patient | None, ...]:
    """The patients of the groups that :func:`read_results` finds. Their results stay unread: those are what costs."""
    return tuple(patient for patient, _ in _groups(text, delimiters, identifier_fields))


def _groups(
    text: str, delimiters: Delimiters, identifier_fields: tuple[str, ...]
) -> Iterator[tuple[Patient | None, list[Segment]]]:
    """The patient groups that count: those of somebody, and results before any PID."""
    for pid, body in _patient_groups(split(text, delimiters)):
        if pid is not None:
            yield read_patient(pid, identifier_fields), body
        elif any(segment.name == "OBX" for segment in body):
            yield None, body


def read_merges(text: str, delimiters: Delimiters, identifier_fields: tuple[str, ...]) -> tuple[Merge, ...]:
    """The patients of an ADT^A34 or A40 (chapter 3.3.34, 3.3.40): one for each PID, with every MRG that follows it."""
    merges = []
    for pid, body in _patient_groups(split(text, delimiters)):
        if pid is not None:
            prior = [i for segment in body if segment.name == "MRG" for i in _identifiers(segment, 1)]
            merges.append(Merge(read_patient(pid, identifier_fields), _patient(prior)))
    return tuple(merges)


def read_patient(pid: Segment, identifier_fields: tuple[str, ...]) -> Patient:
    """PID-3 (and PID-2, PID-4, PID-18 where the source needs them), PID-7 and PID-8."""
    identifiers = [i for name in identifier_fields for i in _identifiers(pid, int(name.partition("-")[2]))]
    return _patient(identifiers, birth_date=pid.text(7), sex=pid.text(8))


def _patient(identifiers: list[PatientIdentifier], birth_date: str = "", sex: str = "") -> Patient:
    readable = tuple(i for i in identifiers if not any(_REPLACEMENT in text for text in (i.value, *i.authorities)))
    return Patient(readable, birth_date, sex, unreadable=len(readable) < len(identifiers))


def _identifiers(segment: Segment, position: int) -> tuple[PatientIdentifier, ...]:
    found = []
    for repetition in segment.repetitions(position):
        value = segment.part(repetition, 1)
        if value:
            named = tuple(a for a in (segment.part(repetition, 4, 1), segment.part(repetition, 4, 2)) if a)
            found.append(PatientIdentifier(value, named))
    return tuple(found)


def _patient_groups(segments: tuple[Segment, ...]) -> Iterator[tuple[Segment | None, list[Segment]]]:
    pid: Segment | None = None
    body: list[Segment] = []
    for segment in segments:
        if segment.name in ("PID", "MSH"):  # whatever follows a second header is nobody's until its own PID
            yield pid, body
            pid, body = segment if segment.name == "PID" else None, []
        else:
            body.append(segment)
    yield pid, body


def segments_of(text: str, delimiters: Delimiters, trigger_event: str, locator: str) -> tuple[Segment, ...]:
    """What the result at a locator was read from: its OBR, its specimens, its OBX last; empty where there is none."""
    for _, body in _patient_groups(split(text, delimiters)):
        for order in _orders(body, trigger_event):
            for obx, after in order.observations:
                if _locator(obx) == locator:
                    return (*([order.obr] if order.obr is not None else []), *(after or order.specimens), obx)
    return ()


def _orders(body: list[Segment], trigger_event: str) -> list[_Order]:
    """The order groups of one patient; an OBX outside of any stands in a group without OBR.

    Where the grammar puts SPM after the OBX of its order, a sender that puts one before an OBR is taken to do so from
    there on. Specimens without an OBX or OBR between them count together.
    """
    orders = [_Order()]
    group: list[Segment] = []  # specimens that hold the orders after them
    nearest: list[Segment] = []
    precedes, last = trigger_event in PRECEDES_ITS_ORDERS, ""
    for segment in body:
        name = segment.name
        if name == "ORC" and trigger_event in OUL:
            continue
        if name in ("ORC", "OBR"):
            orders.append(_Order(segment if name == "OBR" else None, list(group)))
            nearest = group
        elif name == "SPM" and (precedes or orders[-1].obr is None):
            group = [*group, segment] if last == "SPM" else [segment]
            orders.append(_Order(None, list(group)))
            nearest, precedes = group, True
        elif name == "SPM":
            orders[-1].specimens.append(segment)
            nearest = [*nearest, segment] if last == "SPM" else [segment]
        elif name == "OBX":
            orders[-1].observations.append((segment, nearest))
        if name in ("ORC", "OBR", "SPM", "OBX"):
            last = name
    return orders


def _results(order: _Order, sent_at: PartialTime | None) -> Iterator[Reported]:
    obr, ordered = order.obr, tuple(_stated(order.obr, "OBR-7", 7))
    status, number = ("", "") if obr is None else (obr.text(25), _order_number(obr))
    issued = None if obr is None else _time(obr, 22)
    taken: dict[tuple[int, ...], tuple[tuple[Coding, ...], tuple[StatedTime, ...]]] = {}
    for obx, after in order.observations:
        specimens = after or order.specimens
        key = tuple(spm.number for spm in specimens)
        if key not in taken:
            taken[key] = _specimens(specimens, obr), tuple(t for s in specimens for t in _stated(s, "SPM-17", 17))
        sub_id = obx.field(4).strip()
        yield Reported(
            locator=_locator(obx),
            codings=_codings(obx, 3),
            value=_value(obx),
            units=_units(obx),
            status=obx.text(11),
            order_status=status,
            sub_id="" if sub_id == NULL else sub_id,
            order_number=number,
            specimens=taken[key][0],
            times=(*taken[key][1], *ordered, *_stated(obx, "OBX-14", 14)),
            issued=issued,
            message_at=sent_at,
        )


def _locator(obx: Segment) -> str:
    return f"OBX[{obx.number}]"


def _codings(segment: Segment, position: int) -> tuple[Coding, ...]:
    """The triplets of a CWE: identifier, first and second alternate (2A.3.12)."""
    repetitions = segment.repetitions(position)
    parts = segment.components(repetitions[0]) if repetitions else ()
    parts += ("",) * (12 - len(parts))
    triplets = (Coding(*parts[0:3]), Coding(*parts[3:6]), Coding(*parts[9:12]))
    return tuple(c for c in triplets if c.code or c.name)


def _units(obx: Segment) -> tuple[str, ...]:
    repetitions = obx.repetitions(6)
    parts = obx.components(repetitions[0]) if repetitions else ()
    return tuple(parts[i] for i in (0, 1, 3, 4) if i < len(parts) and parts[i])


def _order_number(obr: Segment) -> str:
    for position, kind in ((3, "filler"), (2, "placer")):
        repetitions = obr.repetitions(position)
        parts = obr.components(repetitions[0]) if repetitions else ()
        if parts and parts[0]:
            return f"{kind}:{'^'.join(parts).rstrip('^')}"
    return ""


def _specimens(specimens: list[Segment], obr: Segment | None) -> tuple[Coding, ...]:
    """SPM-4, else OBR-15 (a CWE in the first component, its parts as subcomponents)."""
    stated = tuple(coding for spm in specimens for coding in _codings(spm, 4)[:1])
    if stated or obr is None:
        return stated
    code, name = obr.text(15, 1, 1), obr.text(15, 1, 2)
    return (Coding(code, name),) if code or name else ()


def _stated(segment: Segment | None, address: str, position: int) -> Iterator[StatedTime]:
    text = "" if segment is None else segment.text(position)
    if segment is not None and text.strip("0"):
        yield StatedTime(address, text, _time(segment, position))


def _time(segment: Segment, position: int) -> PartialTime | None:
    """A TS or DTM field; TS.2, the degree of precision of old versions, narrows it (2A.3.77)."""
    time = read_time(segment.text(position))
    degree = _DEGREE.get(segment.text(position, 2)) if position != 17 else None
    if time is None or degree is None or degree >= time.precision:
        return time
    return replace(time, precision=degree)


def _value(obx: Segment) -> ReportedValue:
    kind = obx.text(2).upper()
    repetitions = [r for r in obx.repetitions(5) if r.strip() not in ("", NULL)]
    if not repetitions:
        return ReportedValue("", "")
    parts = obx.components(repetitions[0])
    if kind in _ENCAPSULATED_TYPES:
        return ReportedValue(_shown(" ".join(p for p in parts[1:4] if p)), None, f"data type {kind} holds no number")
    if len(repetitions) > 1:
        return ReportedValue(_shown("~".join(repetitions)), None, "several values in one field")
    if kind in _TEXT_TYPES:
        return _single(parts)
    if kind == "SN":
        return _structured(parts)
    if kind in _CODED_TYPES:
        return _coded(parts)
    coded = (repetitions[0].strip(),) if kind in _TABLE_TYPES else ()
    named = f"data type {kind}" if _DATA_TYPE.fullmatch(kind) else "a data type that HL7 does not know"
    return ReportedValue(_shown(repetitions[0]), None, f"{named} holds no number", coded)


def _single(parts: tuple[str, ...]) -> ReportedValue:
    stated = [p for p in parts if p]
    if len(stated) <= 1:
        text = stated[0] if stated else ""
        return ReportedValue(_shown(text), text)
    return ReportedValue(_shown("^".join(parts)), None, "several components where one number belongs")


def _structured(parts: tuple[str, ...]) -> ReportedValue:
    """SN (2A.3.70): comparator, number, separator, number. A ratio or a range is not one number."""
    if any(parts[2:]):
        return ReportedValue(_shown(" ".join(p for p in parts if p)), None, "a ratio or a range is not one number")
    text = "".join(parts[:2])
    if len(parts) > 1 and all(parts[:2]) and parts[0].strip(_COMPARATOR_CHARACTERS):
        return ReportedValue(_shown(text), None, "SN.1 is not a comparator")  # 5^200 is no 5200
    return ReportedValue(_shown(text), text)


def _coded(parts: tuple[str, ...]) -> ReportedValue:
    """One text where code and text say the same; else the text, if it is plainly in words ("haemolysed")."""
    stated = list(dict.fromkeys(parts[i] for i in _CODES_AND_TEXTS if i < len(parts) and parts[i]))
    if len(stated) <= 1:
        text = stated[0] if stated else ""
        return ReportedValue(_shown(text), text)
    words = parts[1]
    if words and not any(c.isdigit() for c in words):
        return ReportedValue(_shown(words), words, coded=tuple(stated))
    return ReportedValue(_shown(words or stated[0]), None, "a coded value with a code and a text", tuple(stated))


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
