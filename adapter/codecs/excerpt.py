"""The part of a message that one result was read from, as it was sent.

For those who may look at raw bytes: PID and whatever else the message holds of a person are not in it, but what a
laboratory wrote into the result's own segments or resource is.
"""

from __future__ import annotations

from adapter.codecs.fhir_bundle import split_bundle
from adapter.codecs.fhir_json import Fault
from adapter.codecs.header import HeaderFault
from adapter.codecs.message import open_message
from adapter.codecs.oru import segments_of

_MOST_CHARACTERS = 100_000


def excerpt(kind: str, raw: bytes, charset: str, locator: str) -> tuple[str, ...]:
    """The texts behind a locator: OBR, SPM and OBX of HL7 v2, the Observation of FHIR. Empty where there are none.

    Without a locator the whole message, line by line, whether it can be read or not; a byte that is no text is \\xNN.
    ``kind`` is that of the inbox (hl7v2, fhir), ``charset`` what is assumed where MSH-18 names none.
    """
    if not locator:
        return _whole(kind, raw, charset)
    if kind == "fhir":
        page = split_bundle(raw)
        return () if isinstance(page, Fault) else tuple(entry.raw.decode() for entry in page.of_type("Observation"))
    opened = open_message(raw, charset)
    if isinstance(opened, HeaderFault):
        return ()
    found = segments_of(opened.text, opened.delimiters, opened.header.trigger_event, locator)
    return tuple(opened.delimiters.field.join(segment.fields) for segment in found)


def _whole(kind: str, raw: bytes, charset: str) -> tuple[str, ...]:
    opened = open_message(raw, charset) if kind == "hl7v2" else None
    text = raw.decode("utf-8", "backslashreplace") if opened is None or isinstance(opened, HeaderFault) else opened.text
    return tuple(line for line in text[:_MOST_CHARACTERS].splitlines() if line)
