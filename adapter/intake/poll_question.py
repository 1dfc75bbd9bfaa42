"""What is asked of a FHIR server about one patient, and how that is put to servers that do not know every parameter.

What a server cannot filter is filtered here. What it cannot do is learned from its CapabilityStatement and from its
refusals, once for as long as the program runs.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta

from adapter.codecs.fhir_json import Tree, object_of, objects_of, text_of
from adapter.codecs.fhir_values import effective_times
from adapter.config_fhir import FhirIntake
from adapter.intake.fhir_client import Capability, FhirError
from adapter.model import Participant, Precision, Protocol, SourceRules
from adapter.store import PollState

log = logging.getLogger(__name__)

Parameters = list[tuple[str, str]]

# Where a server refuses a parameter and does not say which, they are left out one after the other in this order.
_DISPENSABLE = ("_include", "category", "_lastUpdated", "code", "date")
_INSTEAD = {
    "_include": "specimens are read one by one",
    "category": "other categories are left out here",
    "_lastUpdated": "every poll asks by the date of the observation, and a sweep for all there is",
    "code": "other codes are left out here",
    "date": "what is older is left out here",
}


def fingerprint(intake: FhirIntake, rules: SourceRules, protocol: Protocol, person: Participant) -> str:
    """The name of everything that decides what is asked for a participant.

    Under another name it is asked from the start. The mappings are in it: where they have grown, there may be results
    that were no business of the trial before.
    """
    asked = {
        "base_url": intake.base_url,
        "category": intake.category,
        "only_codes": sorted(intake.only_codes),
        "systems": sorted(intake.systems.items()),
        "protocol": protocol.fingerprint,
        "codes": [asdict(row) for row in rules.codes],
        "assessments": sorted(intake.assessment_codes),
        "identifiers": sorted((i.authority, i.value) for i in person.identifiers),
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def first_day(person: Participant, lookback_days: int, today: date) -> date:
    """From which day on results are asked for: some time before the infusion, or before today while there is none."""
    infused_on = date.fromisoformat(person.infused_at[:10]) if person.infused_at else today
    return infused_on - timedelta(days=lookback_days)


class Questions:
    """How one server is asked. Lives as long as the program, so that what it learns is said once.

    ``failed``: the study ids that it failed for last time, to be asked for after the others. ``busy_until``: it wants
    to be left alone until then.
    """

    def __init__(self, source: str, intake: FhirIntake) -> None:
        self._source = source
        self._intake = intake
        self._capability: Capability | None = None
        self._unsupported: set[str] = set()
        self._unreadable: set[str] = set()
        self.failed: set[str] = set()
        self.busy_until: datetime | None = None

    def learn(self, capability: Capability) -> bool:
        """Leave out what the CapabilityStatement says is not supported; whether it says anything new."""
        if capability == self._capability:
            return False
        self._capability = capability
        supported = {
            "_lastUpdated": capability.supports_last_updated,
            "date": capability.supports_date,
            "_include": capability.supports_specimen_include,
        }
        if self._intake.category:
            supported["category"] = capability.supports_category
        if self._intake.only_codes or self._intake.assessment_codes:
            supported["code"] = capability.supports_code
        for parameter, known in supported.items():
            if not known:
                self._leave_out(parameter)
        return True

    def leave_out(self, error: FhirError, asked: Parameters) -> bool:
        """Whether a refused question can be put without what the server does not know; that is left out from now on."""
        if not error.unsupported_parameter:
            return False
        sent = {name for name, _ in asked}
        names = [error.parameter] if error.parameter else list(_DISPENSABLE)
        name = next((n for n in names if n in sent and n in _DISPENSABLE), None)
        if name is None:
            return False
        self._leave_out(name)
        return True

    @property
    def leave_assessments(self) -> bool:
        """Whether there are assessments that the question about results does not reach: they need one of their own."""
        by_category = self._intake.category and "category" not in self._unsupported
        by_code = self._intake.only_codes and "code" not in self._unsupported
        return bool(self._intake.assessment_codes and (by_category or by_code))

    def about(
        self, patient: str, start: date, state: PollState | None, *, undated: bool = False, assessments: bool = False
    ) -> Parameters:
        """The question about a patient (``Patient/12``): what is new since ``state``; or which ``assessments`` are.

        Where there is no state, or none that the server understands, everything dated from ``start`` on. A search by
        date finds nothing that has none, so ``undated`` asks for what was updated from the day before on: no result of
        a later day is older on the server. One that knows no ``_lastUpdated`` is then asked for all there is.
        """
        asked: Parameters = [("patient", patient.rpartition("/")[2])]
        if self._intake.category and "category" not in self._unsupported and not assessments:
            asked.append(("category", self._intake.category))
        codes = self._intake.assessment_codes if assessments else self._intake.only_codes
        if codes and "code" not in self._unsupported:
            asked.append(("code", ",".join(codes)))
        since = (start - timedelta(days=1)).isoformat() if undated else self._since(state)
        if since is not None and "_lastUpdated" not in self._unsupported:
            asked.append(("_lastUpdated", f"ge{since}"))
        elif not undated and "date" not in self._unsupported:
            asked.append(("date", f"ge{start.isoformat()}"))
        if "_include" not in self._unsupported:
            asked.append(("_include", "Observation:specimen"))
        return asked

    def _since(self, state: PollState | None) -> str | None:
        if state is None or state.watermark is None:
            return None
        at = datetime.fromisoformat(state.watermark) - timedelta(seconds=self._intake.overlap_seconds)
        return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def asks_for(self, observation: Tree, asked: Parameters, start: date) -> bool:
        """Whether an observation answers the question; what could not be put to the server is judged here.

        Its date always is: what is new since the watermark may be of any time.
        """
        names = {name for name, _ in asked}
        only = self._intake.only_codes
        is_result = ("category" in names or self._is_of_category(observation)) and (
            not only or "code" in names or _is_of_codes(observation, only)
        )
        is_wanted = is_result or _is_of_codes(observation, self._intake.assessment_codes)
        return is_wanted and not _ended_before(observation, start)

    def _is_of_category(self, observation: Tree) -> bool:
        """One without a category may be of any."""
        stated = objects_of(observation, "category")
        return not self._intake.category or not stated or _is_coded(stated, (self._intake.category,))

    def may_not_read(self, resource_type: str, error: FhirError) -> None:
        """Say once that the server does not let resources of a type be read."""
        if resource_type not in self._unreadable:
            self._unreadable.add(resource_type)
            log.warning("source %s: %s is left out where it is referred to: %s", self._source, resource_type, error)

    def _leave_out(self, parameter: str) -> None:
        if parameter not in self._unsupported:
            self._unsupported.add(parameter)
            log.warning(
                "source %s: the server does not support %s in a search; %s",
                self._source,
                parameter,
                _INSTEAD[parameter],
            )


def _is_of_codes(observation: Tree, wanted: Iterable[str]) -> bool:
    """Whether an observation or a component of it has one of the codes."""
    concepts = [observation, *objects_of(observation, "component")]
    return _is_coded([object_of(each, "code") for each in concepts], wanted)


def _is_coded(concepts: Iterable[Tree], wanted: Iterable[str]) -> bool:
    """Whether one of the concepts has a code of those wanted (``code``, or ``system|code``)."""
    codings = [each for concept in concepts for each in objects_of(concept, "coding")]
    said = {text_of(c, "code") for c in codings} | {f"{text_of(c, 'system')}|{text_of(c, 'code')}" for c in codings}
    return not said.isdisjoint(wanted)


def _ended_before(observation: Tree, start: date) -> bool:
    """Whether all times of an observation lie before a day; one without a time may be of any day."""
    times = [stated.time for stated in effective_times(observation)]
    before = start - timedelta(days=1)  # wherever on earth the time was written
    return bool(times) and all(t and t.precision >= Precision.DAY and t.local.date() < before for t in times)
