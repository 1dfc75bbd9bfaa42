"""The nouns. Frozen records that every room of the house speaks; no behaviour beyond what a noun knows of itself.

A number that was reported is a :class:`~decimal.Decimal` beside its unit; a time keeps the precision and the offset
it was sent with. Bad data is a value here (:class:`Held` reasons), never an exception.
"""

from adapter.model.common import Coding, Collected, Outcome, PartialTime, Precision, Reason, Status, Step
from adapter.model.derived import Derived, PlacementRow, ResultRow, ReviewItem, SelectionRow
from adapter.model.protocol import (
    Analyte,
    AssessmentCode,
    CodeRow,
    LoincRow,
    Protocol,
    ScoreRules,
    SourceRules,
    UnitRow,
    Visit,
)
from adapter.model.received import (
    Assessment,
    Decision,
    Identifier,
    Participant,
    Patient,
    PatientIdentifier,
    Received,
    Reported,
    ReportedValue,
    StatedTime,
)

__all__ = [
    "Analyte",
    "Assessment",
    "AssessmentCode",
    "CodeRow",
    "Coding",
    "Collected",
    "Decision",
    "Derived",
    "Identifier",
    "LoincRow",
    "Outcome",
    "PartialTime",
    "Participant",
    "Patient",
    "PatientIdentifier",
    "PlacementRow",
    "Precision",
    "Protocol",
    "Reason",
    "Received",
    "Reported",
    "ReportedValue",
    "ResultRow",
    "ReviewItem",
    "ScoreRules",
    "SelectionRow",
    "SourceRules",
    "StatedTime",
    "Status",
    "Step",
    "UnitRow",
    "Visit",
]
