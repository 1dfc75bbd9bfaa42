"""What clinicians assessed: inputs of the derivation, only ever added to.

The last entry of a participant and a date stands, whole: what it leaves open is not assessed. One that leaves all open
takes the day's assessment back.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime

from adapter.model import Assessment
from adapter.store import statements
from adapter.store.audit import AuditWrites
from adapter.store.engine import Row
from adapter.store.rows import utc_text
from adapter.store.session import Reads


class AssessmentReads(Reads):
    """Reading assessments."""

    def assessments(self, study_id: str | None = None, *, every: bool = False) -> list[Assessment]:
        """Those that stand, by participant and date; with ``every`` all entries, a day's in their order."""
        if study_id is None:
            rows = self._rows(statements.ASSESSMENTS)
        else:
            rows = self._rows(statements.ASSESSMENTS_OF_PARTICIPANT, study_id=study_id)
        entries = [_assessment(row) for row in rows]
        if every:
            return entries
        last = {(each.study_id, each.assessed_on): each for each in entries}
        return [each for each in last.values() if _items(each) is not None]


class AssessmentWrites(AuditWrites, AssessmentReads):
    """Adding assessments."""

    def add_assessment(self, assessment: Assessment, who: str, why: str, at: datetime) -> bool:
        """Enter what was assessed of a participant of the roster. False where the day's entry says the same already.

        ``id``, ``who``, ``at`` and ``why`` of ``assessment`` are not read.
        """
        study_id, on = assessment.study_id, assessment.assessed_on
        before = next((_items(each) for each in self.assessments(study_id) if each.assessed_on == on), None)
        after = _items(assessment)
        if before == after:
            return False
        self._insert(
            statements.ASSESSMENT_ADD,
            study_id=study_id,
            assessed_on=on.isoformat(),
            ascites=assessment.ascites,
            encephalopathy=assessment.encephalopathy,
            dialysis=assessment.dialysis,
            who=who,
            at=utc_text(at),
            why=why,
        )
        what = "assessed"
        if before is not None:
            what = "assessment corrected" if after is not None else "assessment taken back"
        self.record(what, f"{study_id} {on.isoformat()}", who=who, at=at, why=why, old=before, new=after)
        self._run(statements.SCOPE_MOVE, scope=study_id)
        return True


def _items(assessment: Assessment) -> Mapping[str, str | None] | None:
    """What was assessed, as the trail holds it; None where nothing was."""
    items = {name: getattr(assessment, name) for name in ("ascites", "encephalopathy", "dialysis")}
    return items if any(value is not None for value in items.values()) else None


def _assessment(row: Row) -> Assessment:
    return Assessment(row[0], date.fromisoformat(row[1]), *row[2:])
