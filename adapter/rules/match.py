"""Who: the participant (trial.md section 1). A number without its authority names nobody."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from adapter.model import Participant, Patient, PatientIdentifier, SourceRules

# ISO 5218 and GB/T 2261.1 number the sexes alike; table 0001 letters them. What is not listed contradicts nothing.
_SEX = {
    "m": "M",
    "male": "M",
    "男": "M",
    "男性": "M",
    "1": "M",
    "f": "F",
    "female": "F",
    "女": "F",
    "女性": "F",
    "2": "F",
}


@dataclass(frozen=True, slots=True)
class Match:
    """``study_ids``: the participants that the identifiers name. ``nobody``: no patient can be made out at all."""

    study_ids: tuple[str, ...] = ()
    nobody: bool = False


class Roster:
    """The identifiers of the enrolled, by number and authority."""

    def __init__(self, participants: Iterable[Participant]):
        self.participants: Mapping[str, Participant] = {p.study_id: p for p in participants}
        index: dict[tuple[str, str], set[str]] = {}
        for participant in self.participants.values():
            for identifier in participant.identifiers:
                index.setdefault((identifier.value.strip(), identifier.authority), set()).add(participant.study_id)
        self._index = index

    def match(self, patient: Patient | None, source: SourceRules) -> Match:
        """Equal character for character after trimming, and the authority agrees."""
        if patient is None:
            return Match(nobody=True)
        found: set[str] = set()
        for identifier in patient.identifiers:
            for authority in authorities(identifier, source):
                found |= self._index.get((identifier.value.strip(), authority), set())
        if found:
            return Match(tuple(sorted(found)))
        return Match(nobody=patient.unreadable or not patient.identifiers)


def authorities(identifier: PatientIdentifier, source: SourceRules) -> tuple[str, ...]:
    """What the roster may call this identifier's authority: as sent, or as the source's configuration names it."""
    if not identifier.authorities:
        return (source.authority,)
    return tuple(
        dict.fromkeys(name for sent in identifier.authorities for name in (source.authorities.get(sent, sent), sent))
    )


def contradiction(participant: Participant, patient: Patient) -> str | None:
    """The field in which roster and message disagree, "PID-7" or "PID-8"; never what they hold."""
    sent = "".join(c for c in patient.birth_date[:10] if c.isdigit())[:8]
    if participant.birth_date and len(sent) >= 4 and not participant.birth_date.replace("-", "").startswith(sent):
        return "PID-7"
    known, said = sex_of(participant.sex or ""), sex_of(patient.sex)
    if known is not None and said is not None and known != said:
        return "PID-8"
    return None


def sex_of(text: str) -> str | None:
    """``M`` or ``F`` where the text says so in table 0001's, GB/T 2261.1's or plain words, else None."""
    return _SEX.get(text.strip().casefold())
