"""What a clinician judged: ascites, encephalopathy, dialysis, where a source sends them coded (interface.md, "Files").

A site says under which code each comes and what its values mean. Nothing else is read as an assessment, and a value
that is not listed is asked about: "mild" in one hospital is "moderate" in the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from adapter.model import Analyte, AssessmentCode, Coding, ReportedValue
from adapter.rules.codes import is_loinc

ITEMS: Mapping[str, tuple[str, ...]] = {
    "ascites": ("none", "mild", "moderate_severe"),
    "encephalopathy": ("none", "grade_1_2", "grade_3_4"),
    "dialysis": ("yes", "no"),
}
# Assessments that are received are amended and chosen like results.
ANALYTES: Mapping[str, Analyte] = {item: Analyte(item, item, "", supporting=True) for item in ITEMS}


def assessment_of(codings: Iterable[Coding], rows: Iterable[AssessmentCode]) -> AssessmentCode | None:
    """The row of a result's codings, one that names a system before one that does not; None: it is no assessment."""
    known = sorted(rows, key=lambda row: row.system is None)
    return next((row for row in known for coding in codings if _is_of(coding, row)), None)


def _is_of(coding: Coding, row: AssessmentCode) -> bool:
    if coding.code != row.code:
        return False
    if row.system is None or row.system == coding.system:
        return True
    return is_loinc(coding) and is_loinc(Coding(row.code, system=row.system))


def assessed(value: ReportedValue, row: AssessmentCode) -> str | None:
    """What a reported value says of the row's item; None where it is not listed, or says two things at once."""
    said = {text.strip() for text in (value.plain, *value.coded) if text is not None}
    found = [meant for meant, texts in row.values.items() if not said.isdisjoint(texts)]
    return found[0] if len(found) == 1 else None
