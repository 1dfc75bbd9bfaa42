"""What a poll stores: each page in one commit, screened by the roster of the very transaction that commits it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from adapter.intake.screen import Fate
from adapter.intake.screen_fhir import FhirScreen, new_resource
from adapter.model import Protocol, SourceRules
from adapter.rules.match import Roster
from adapter.store import PollState, Store

_SCREENINGS = 8  # a roster that changes faster than this under one page is left for the next poll


class RosterUnsettled(Exception):
    """The roster changed again and again under one page; nothing of the page was stored."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of the documents of one page."""

    new: int = 0
    duplicates: int = 0
    strangers: int = 0


@dataclass(frozen=True, slots=True)
class Held:
    """What is stored of a participant from one source: control ids, hashes, and the versions of each resource."""

    control_ids: frozenset[str]
    digests: frozenset[str]
    versions: Mapping[str, Sequence[str]]  # by Observation/77; "" for a version without a number

    def holds(self, document: bytes) -> bool:
        """Whether these very bytes are stored."""
        return hashlib.sha256(document).hexdigest() in self.digests


class Keeper:
    """Stores the documents of one source in one thread. ``stored`` is called after each commit that added one."""

    def __init__(
        self,
        rules: SourceRules,
        protocol: Protocol,
        store: Store,
        now: Callable[[], datetime],
        stored: Callable[[], None] = lambda: None,
    ) -> None:
        self._rules = rules
        self._timezone = protocol.timezone
        self._store = store
        self._now = now
        self._stored = stored
        self._version = -1
        self.reload()

    def reload(self) -> None:
        """Fetch the roster as it is now; the version first, so that a change in between is noticed again."""
        self._version = self._store.roster_version()
        self.roster = Roster(self._store.participants())
        self._screen = FhirScreen(self._rules, self.roster, self._timezone)

    def keep(self, documents: Sequence[bytes]) -> Kept:
        """Commit what may be kept of a page, all or nothing. Raises StoreUnavailable and :class:`RosterUnsettled`."""
        if not documents:
            return Kept()
        for _ in range(_SCREENINGS):
            at = self._now()
            screened = [self._screen.judge(each, at) for each in documents]
            messages = [new_resource(self._rules.name, s, at) for s in screened if s.fate == Fate.ACCEPTED]
            with self._store.write() as tx:
                known = tx.roster_version() == self._version
                added = tx.add_messages(messages) if known else []
                new = sum(not each.duplicate for each in added)
                if new:
                    tx.add_counters(self._rules.name, {"accepted": new}, at)
            if known:
                if new:
                    self._stored()
                return Kept(new, len(added) - new, len(screened) - len(added))
            self.reload()
        raise RosterUnsettled

    def state(self, study_id: str) -> PollState | None:
        """How far the source was asked for a participant."""
        return self._store.poll_state(self._rules.name, study_id)

    def note(self, study_id: str, state: PollState) -> None:
        """Commit how far the source was asked; called when all that was answered by then is committed."""
        if self._store.poll_state(self._rules.name, study_id) != state:
            with self._store.write() as tx:
                tx.put_poll_state(self._rules.name, study_id, state)

    def held(self, study_id: str) -> Held:
        """What is stored of a participant from this source."""
        rows = self._store.held_messages(self._rules.name, "fhir", study_id)
        versions: dict[str, list[str]] = {}
        for control_id, _ in rows:
            name, _, version = control_id.partition("/_history/")
            versions.setdefault(name, []).append(version)
        return Held(frozenset(name for name, _ in rows), frozenset(digest for _, digest in rows), versions)

    def standing(self, study_id: str) -> set[str]:
        """The resources (``Observation/77``) from which results of a participant stand, as far as they are derived."""
        rows = (row for row in self._store.results(study_id) if row.source == self._rules.name)
        numbers = (row.order_number for row in rows if row.outcome not in ("superseded", "taken_back"))
        return {n.removeprefix("fhir:").partition("#")[0] for n in numbers if n.startswith("fhir:Observation/")}
