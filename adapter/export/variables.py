"""The datasets as SDTMIG 3.4 lays them out: each variable's name, label and type, in the guide's order.

What the guide requires or expects is there even where it stays empty (no reference ranges are kept, no race and no
consent are known), with one exception: DM has no variable of an arm, for the study is blinded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Cell = str | int | Decimal | None
Row = Mapping[str, Cell]
Kind = Literal["text", "integer", "number"]

_TEXT = re.compile(r"[ -~]{1,200}")  # SAS transport 5: ASCII, at most 200 bytes


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable: ``text`` is Char of the guide, ``integer`` and ``number`` are Num."""

    name: str
    label: str
    kind: Kind = "text"


@dataclass(frozen=True, slots=True)
class Layout:
    """A dataset without its rows. ``keys`` order them and tell them apart."""

    name: str
    label: str
    variables: tuple[Variable, ...]
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Dataset:
    """A layout and its rows, in their order. An empty text is None."""

    layout: Layout
    rows: tuple[Row, ...]

    def __post_init__(self) -> None:
        """What a transport file cannot hold never gets as far as one."""
        names = {v.name for v in self.layout.variables}
        for row in self.rows:
            assert row.keys() <= names, f"{self.layout.name} has no such variable"
            for cell in row.values():
                assert not isinstance(cell, str) or _TEXT.fullmatch(cell), f"{self.layout.name}: no ASCII text"

    def column(self, name: str) -> list[Cell]:
        """All cells of one variable."""
        return [row.get(name) for row in self.rows]

    def length(self, variable: Variable) -> int:
        """The bytes that a variable needs: 8 of a number, and of a text what its longest has."""
        if variable.kind != "text":
            return 8
        return max((len(cell) for cell in self.column(variable.name) if isinstance(cell, str)), default=1)


def numbered(layout: Layout, rows: Iterable[Row], sequence: str) -> Dataset:
    """The rows in their given order, counted within each participant (--SEQ)."""
    counts: dict[Cell, int] = {}
    found = []
    for row in rows:
        subject = row["USUBJID"]
        counts[subject] = counts.get(subject, 0) + 1
        found.append({**row, sequence: counts[subject]})
    return Dataset(layout, tuple(found))


_STUDY = Variable("STUDYID", "Study Identifier")
_DOMAIN = Variable("DOMAIN", "Domain Abbreviation")
_SUBJECT = Variable("USUBJID", "Unique Subject Identifier")
_VISIT = (
    Variable("VISITNUM", "Visit Number", "integer"),
    Variable("VISIT", "Visit Name"),
)
_VISITDY = Variable("VISITDY", "Planned Study Day of Visit", "integer")

DM = Layout(
    "DM",
    "Demographics",
    (
        _STUDY,
        _DOMAIN,
        _SUBJECT,
        Variable("SUBJID", "Subject Identifier for the Study"),
        Variable("RFSTDTC", "Subject Reference Start Date/Time"),
        Variable("RFENDTC", "Subject Reference End Date/Time"),
        Variable("RFXSTDTC", "Date/Time of First Study Treatment"),
        Variable("RFXENDTC", "Date/Time of Last Study Treatment"),
        Variable("RFICDTC", "Date/Time of Informed Consent"),
        Variable("RFPENDTC", "Date/Time of End of Participation"),
        Variable("DTHDTC", "Date/Time of Death"),
        Variable("DTHFL", "Subject Death Flag"),
        Variable("SITEID", "Study Site Identifier"),
        Variable("AGE", "Age", "integer"),
        Variable("AGEU", "Age Units"),
        Variable("SEX", "Sex"),
        Variable("RACE", "Race"),
        Variable("COUNTRY", "Country"),
    ),
    ("STUDYID", "USUBJID"),
)

SV = Layout(
    "SV",
    "Subject Visits",
    (
        _STUDY,
        _DOMAIN,
        _SUBJECT,
        *_VISIT,
        Variable("SVPRESP", "Pre-specified"),
        Variable("SVOCCUR", "Occurrence"),
        Variable("SVREASOC", "Reason for Occur Value"),
        _VISITDY,
        Variable("SVSTDTC", "Start Date/Time of Observation"),
        Variable("SVENDTC", "End Date/Time of Observation"),
        Variable("SVSTDY", "Study Day of Start of Observation", "integer"),
        Variable("SVENDY", "Study Day of End of Observation", "integer"),
    ),
    ("STUDYID", "USUBJID", "VISITNUM"),
)

LB = Layout(
    "LB",
    "Laboratory Test Results",
    (
        _STUDY,
        _DOMAIN,
        _SUBJECT,
        Variable("LBSEQ", "Sequence Number", "integer"),
        Variable("LBSPID", "Sponsor-Defined Identifier"),
        Variable("LBTESTCD", "Lab Test or Examination Short Name"),
        Variable("LBTEST", "Lab Test or Examination Name"),
        Variable("LBCAT", "Category for Lab Test"),
        Variable("LBORRES", "Result or Finding in Original Units"),
        Variable("LBORRESU", "Original Units"),
        Variable("LBORNRLO", "Reference Range Lower Limit in Orig Unit"),
        Variable("LBORNRHI", "Reference Range Upper Limit in Orig Unit"),
        Variable("LBSTRESC", "Character Result/Finding in Std Format"),
        Variable("LBSTRESN", "Numeric Result/Finding in Standard Units", "number"),
        Variable("LBSTRESU", "Standard Units"),
        Variable("LBSTNRLO", "Reference Range Lower Limit-Std Units", "number"),
        Variable("LBSTNRHI", "Reference Range Upper Limit-Std Units", "number"),
        Variable("LBNRIND", "Reference Range Indicator"),
        Variable("LBSTAT", "Completion Status"),
        Variable("LBREASND", "Reason Test Not Done"),
        Variable("LBLOINC", "LOINC Code"),
        Variable("LBSPEC", "Specimen Type"),
        Variable("LBLOBXFL", "Last Observation Before Exposure Flag"),
        *_VISIT,
        _VISITDY,
        Variable("LBDTC", "Date/Time of Specimen Collection"),
        Variable("LBDY", "Study Day of Specimen Collection", "integer"),
    ),
    ("STUDYID", "USUBJID", "LBTESTCD", "VISITNUM", "LBDTC", "LBSPID"),
)

RS = Layout(
    "RS",
    "Disease Response and Clin Classification",
    (
        _STUDY,
        _DOMAIN,
        _SUBJECT,
        Variable("RSSEQ", "Sequence Number", "integer"),
        Variable("RSGRPID", "Group ID"),
        Variable("RSSPID", "Sponsor-Defined Identifier"),
        Variable("RSTESTCD", "Assessment Short Name"),
        Variable("RSTEST", "Assessment Name"),
        Variable("RSCAT", "Category for Assessment"),
        Variable("RSORRES", "Result or Finding in Original Units"),
        Variable("RSSTRESC", "Character Result/Finding in Std Format"),
        Variable("RSSTRESN", "Numeric Result/Finding in Standard Units", "number"),
        Variable("RSSTAT", "Completion Status"),
        Variable("RSREASND", "Reason Not Done"),
        Variable("RSDRVFL", "Derived Flag"),
        Variable("RSEVAL", "Evaluator"),
        *_VISIT,
        _VISITDY,
        Variable("RSDTC", "Date/Time of Assessment"),
        Variable("RSDY", "Study Day of Assessment", "integer"),
    ),
    ("STUDYID", "USUBJID", "RSCAT", "RSTESTCD", "VISITNUM", "RSDTC", "RSSPID"),
)


def supplemental(domain: str) -> Layout:
    """SUPP-- of a domain: what is known of its records and has no variable in the guide."""
    return Layout(
        f"SUPP{domain}",
        f"Supplemental Qualifiers for {domain}",
        (
            _STUDY,
            Variable("RDOMAIN", "Related Domain Abbreviation"),
            _SUBJECT,
            Variable("IDVAR", "Identifying Variable"),
            Variable("IDVARVAL", "Identifying Variable Value"),
            Variable("QNAM", "Qualifier Variable Name"),
            Variable("QLABEL", "Qualifier Variable Label"),
            Variable("QVAL", "Data Value"),
            Variable("QORIG", "Origin"),
            Variable("QEVAL", "Evaluator"),
        ),
        ("STUDYID", "RDOMAIN", "USUBJID", "IDVAR", "IDVARVAL", "QNAM"),
    )
