"""Whether a participant's visits are signed off, by whom, and what has changed since."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from adapter.model import Decision, Protocol, SelectionRow
from adapter.rules.decided import in_force
from adapter.rules.signing import changed_cells, signed_off


@dataclass(frozen=True, slots=True)
class Signed:
    """The last sign-off in force of a visit, None where there is none; ``on`` its day in the trial's time zone.

    ``changed`` are endpoints that are no longer what was confirmed: then the visit is open again.
    """

    visit: str
    label: str
    decision: Decision | None
    on: str = ""
    changed: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """``unsigned``, ``signed`` or ``reopened``."""
        if self.decision is None:
            return "unsigned"
        return "reopened" if self.changed else "signed"


def signed_visits(
    protocol: Protocol, decisions: Iterable[Decision], selections: Iterable[SelectionRow], study_id: str
) -> list[Signed]:
    """Each visit of a participant. ``selections`` are the participant's current cells."""
    made, rows = signed_off(in_force(decisions), study_id), list(selections)
    zone, found = ZoneInfo(protocol.timezone), list[Signed]()
    for visit in protocol.visits:
        decision = made.get(visit.id)
        cells = [row for row in rows if row.visit == visit.id and row.endpoint in protocol.analytes]
        if decision is None:
            found.append(Signed(visit.id, visit.label, None))
            continue
        on = datetime.fromisoformat(decision.at).astimezone(zone).date().isoformat()
        found.append(Signed(visit.id, visit.label, decision, on, tuple(changed_cells(decision, cells))))
    return found
