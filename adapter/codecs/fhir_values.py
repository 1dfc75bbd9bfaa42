"""What an Observation or one of its components states (FHIR R4 10.1): codes, value, units, times. Nothing is decided.

Reads the tree itself, so that what can be read of an invalid resource is shown to the person who is asked about it.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal

from adapter.codecs.fhir_json import Tree, object_of, objects_of, text_of
from adapter.codecs.times import read_time
from adapter.model import Coding, PartialTime, Precision, ReportedValue, StatedTime

UCUM = {"http://unitsofmeasure.org", "urn:oid:2.16.840.1.113883.6.8"}
# Where a specimen's type is coded in several systems, the one that the protocol's specimens are listed in speaks.
_SPECIMEN_SYSTEMS = ("http://terminology.hl7.org/CodeSystem/v2-0487", "http://snomed.info/sct")
_COMPARATORS = ("<", "<=", ">=", ">")
_MONTH = re.compile(r"\d{4}-\d{2}", re.ASCII)
_MOST_PLACES = 40  # beyond any laboratory: 1e999999999 is not to be written out
_SHOWN_CHARACTERS = 200
_EFFECTIVE = ("effectiveDateTime", "effectiveInstant", "effectivePeriod.start")


def codings(concept: Tree) -> tuple[Coding, ...]:
    """A CodeableConcept: each coding, named by its display or else by the concept's text; the text where it is all."""
    text = text_of(concept, "text")
    found = [
        Coding(text_of(each, "code"), text_of(each, "display") or text, text_of(each, "system"))
        for each in objects_of(concept, "coding")
    ]
    stated = tuple(c for c in found if c.code or c.name)
    return stated or ((Coding("", text),) if text else ())


def specimen_type(specimen: Tree) -> Coding | None:
    """Specimen.type as one coding, in a system that the protocol lists where there is one."""
    stated = codings(object_of(specimen, "type"))
    rank = {system: n for n, system in enumerate(_SPECIMEN_SYSTEMS)}
    return min(stated, key=lambda c: rank.get(c.system, len(rank)), default=None)


def value(stated: Tree) -> ReportedValue:
    """value[x] of an Observation or component; nothing where there is none, shown with the reason it is absent."""
    names = [n for n, v in stated.items() if n.startswith("value") and n[5:6].isupper() and v is not None]
    absent = _said(object_of(stated, "dataAbsentReason"))
    if len(names) > 1:
        return ReportedValue("", None, "several values where one belongs")
    found = _of_type(names[0], stated[names[0]]) if names else ReportedValue("", "")
    if found.plain == "":
        return ReportedValue(_shown(found.shown or absent), "")
    if absent:
        return ReportedValue(found.shown, None, "both a value and a reason why there is none")
    return found


def units(stated: Tree) -> tuple[str, ...]:
    """valueQuantity.code, if its system is UCUM or not said, and valueQuantity.unit."""
    quantity = object_of(stated, "valueQuantity")
    system, code, unit = (text_of(quantity, name) for name in ("system", "code", "unit"))
    known = code if system.rstrip("/") in UCUM or not system else ""
    return tuple(dict.fromkeys(text for text in (known, unit) if text))


def effective_times(observation: Tree) -> tuple[StatedTime, ...]:
    """effectiveDateTime, effectiveInstant, effectivePeriod.start: when the specimen was taken (R4 10.1.4.2)."""
    found = []
    for address in _EFFECTIVE:
        name, _, part = address.partition(".")
        stated = object_of(observation, name).get(part) if part else observation.get(name)
        if stated is not None:
            text = stated.strip() if isinstance(stated, str) else str(stated)[:_SHOWN_CHARACTERS]
            found.append(StatedTime(address, text, read_fhir_time(stated)))
    return tuple(found)


def read_fhir_time(stated: object) -> PartialTime | None:
    """A date, dateTime or instant (R4 2.24.0.1): ``2026``, ``2026-03``, ``2026-03-09``, or with time and offset."""
    if not isinstance(stated, str):
        return None
    text = stated.strip()
    if _MONTH.fullmatch(text):
        month = read_time(f"{text}-01")
        return None if month is None else PartialTime(text, month.local, Precision.MONTH)
    return read_time(text)


def _of_type(name: str, stated: object) -> ReportedValue:
    kind = name.removeprefix("value")
    if kind == "Quantity" and isinstance(stated, dict):
        return _quantity(stated)
    if kind == "String" and isinstance(stated, str):
        return ReportedValue(_shown(stated.strip()), stated.strip())
    if kind == "Integer" and _is_number(stated):
        return _number(stated)
    if kind == "CodeableConcept" and isinstance(stated, dict):
        return _concept(stated)
    coded = (_as_json(stated),) if kind == "Boolean" and isinstance(stated, bool) else ()
    return ReportedValue(_shown(_as_json(stated)), None, f"{_named(name)} holds no number", coded)


def _quantity(quantity: Tree) -> ReportedValue:
    number, comparator = quantity.get("value"), quantity.get("comparator")
    if number is None:
        return ReportedValue("", "")
    found = _number(number)
    if comparator is None or found.plain is None:
        return found
    shown = _shown(f"{comparator}{found.shown}")
    if comparator not in _COMPARATORS:  # R5 has "ad" too: enough to achieve this quantity, which is no limit
        return ReportedValue(shown, None, "the comparator is none that a number is read with")
    return ReportedValue(shown, f"{comparator}{found.plain}")


def _number(stated: object) -> ReportedValue:
    """A number with every decimal it was sent with; one sent as a text is read by the rule for texts."""
    if isinstance(stated, str):
        return ReportedValue(_shown(stated), stated)
    if isinstance(stated, Decimal):
        if abs(stated.adjusted()) > _MOST_PLACES:
            return ReportedValue(_shown(str(stated)), None, "the number is too large or too small to be a result")
        text = format(stated, "f")
    elif _is_number(stated):
        text = str(stated)
    else:
        return ReportedValue(_shown(_as_json(stated)), None, "what stands in its place is no number")
    return ReportedValue(_shown(text), text)


def _concept(concept: Tree) -> ReportedValue:
    """A coded value in words ("haemolysed") is read like a text; one that holds a digit is not."""
    words = _said(concept)
    coded = tuple(dict.fromkeys(text for c in codings(concept) for text in (c.code, c.name) if text))
    if words and not any(c.isdigit() for c in words):
        return ReportedValue(_shown(words), words, coded=coded)
    return ReportedValue(_shown(words), None, "valueCodeableConcept holds no number", coded)


def _is_number(stated: object) -> bool:
    return isinstance(stated, int | Decimal) and not isinstance(stated, bool)


def _said(concept: Tree) -> str:
    """What a CodeableConcept says in words, or its code where it has none."""
    stated = codings(concept)
    return text_of(concept, "text") or next((c.name or c.code for c in stated), "")


def _named(name: str) -> str:
    return name if name.isascii() and name.isalnum() and len(name) < len("valueCodeableConcept") * 2 else "value[x]"


def _as_json(stated: object) -> str:
    return json.dumps(stated, ensure_ascii=False, default=str)


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
