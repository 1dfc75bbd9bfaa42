"""Whom a message speaks of, for whoever must tell whether that is the participant of the roster."""

from __future__ import annotations

from adapter.codecs.fhir import Fault, read_document
from adapter.codecs.header import HeaderFault
from adapter.codecs.message import open_message
from adapter.codecs.oru import read_patients
from adapter.model import Patient, Received, SourceRules
from adapter.review.merges import merges_in


def people_in(message: Received, source: SourceRules) -> list[Patient]:
    """The patients that a message names, those of a merge among them, each once; none where it cannot be read."""
    if not message.raw:
        return []
    if message.kind == "fhir":
        document = read_document(message.raw)
        return [] if isinstance(document, Fault) else list(dict.fromkeys(document.patients))
    opened = open_message(message.raw, source.charset)
    if isinstance(opened, HeaderFault):
        return []
    found = [each for each in read_patients(opened.text, opened.delimiters, source.identifier_fields) if each]
    for merge in merges_in(message, source):
        if merge.prior.identifiers:  # any other message would be one that merges a patient with nobody
            found += [merge.surviving, merge.prior]
    return list(dict.fromkeys(found))
