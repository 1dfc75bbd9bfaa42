"""What a message says where a hospital merges two identities (ADT^A34, ADT^A40; chapter 3.3.34 and 3.3.40)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from adapter.codecs.header import HeaderFault
from adapter.codecs.message import open_message
from adapter.codecs.oru import Merge, read_merges
from adapter.model import Identifier, Participant, Patient, PatientIdentifier, Received, SourceRules
from adapter.rules.match import Roster, authorities


def merges_in(message: Received, source: SourceRules) -> tuple[Merge, ...]:
    """The merges that a message speaks of. None for a FHIR Patient, which names its successor and not its numbers."""
    if message.kind != "hl7v2":
        return ()
    opened = open_message(message.raw, source.charset)
    if isinstance(opened, HeaderFault):
        return ()
    return read_merges(opened.text, opened.delimiters, source.identifier_fields)


def surviving(merges: Iterable[Merge]) -> list[PatientIdentifier]:
    """The identifiers that survive them, in the order of the message."""
    return list(dict.fromkeys(each for merge in merges for each in merge.surviving.identifiers))


def gained(merges: Iterable[Merge], person: Participant, source: SourceRules) -> list[PatientIdentifier]:
    """Those by which a participant is known afterwards and which the roster lacks."""
    roster = Roster([person])
    theirs = [m for m in merges if any(roster.match(each, source).study_ids for each in (m.surviving, m.prior))]
    return [each for each in surviving(theirs) if not held_by([person], each, source)]


def held_by(people: Sequence[Participant], identifier: PatientIdentifier, source: SourceRules) -> tuple[str, ...]:
    """The participants among these who have an identifier, under whatever name of its authority."""
    return Roster(people).match(Patient((identifier,)), source).study_ids


def as_entered(identifier: PatientIdentifier, source: SourceRules) -> Identifier:
    """An identifier as the roster writes it."""
    return Identifier(identifier.value.strip(), authorities(identifier, source)[0])
