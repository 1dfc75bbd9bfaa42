"""The protocol and the mappings, as the rules read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class UnitRow:
    """``number in ucum`` times ``factor`` is the number in the analyte's unit. ``source`` cites it."""

    ucum: str
    factor: Decimal
    source: str = ""
    example: tuple[Decimal, Decimal] | None = None  # worked by hand: in ucum, and in the analyte's unit


@dataclass(frozen=True, slots=True)
class Analyte:
    """An endpoint or a supporting analyte. One that is ``derived`` is a score: computed, by ``formula``."""

    id: str
    label: str
    unit: str
    supporting: bool = False
    derived: bool = False
    formula: str = ""  # of a derived one: MELD_UNOS, MELD_NA, MELD_3_0 or CHILD_PUGH
    dimensionless: bool = False
    hard_min: Decimal | None = None
    hard_max: Decimal | None = None
    query_min: Decimal | None = None
    query_max: Decimal | None = None
    units: Mapping[str, UnitRow] = field(default_factory=dict)  # by UCUM code
    unit_aliases: Mapping[str, str] = field(default_factory=dict)  # text as sent -> UCUM, of this analyte alone
    names: tuple[str, ...] = ()  # names and mnemonics that suggest this analyte to a coordinator
    not_names: tuple[str, ...] = ()  # names that contain one of ``names`` and mean something else


@dataclass(frozen=True, slots=True)
class LoincRow:
    """One row of a value set. ``kind`` is ``accept``, ``conditional`` or ``deny``; ``row`` names it in the file."""

    code: str
    kind: str
    analyte: str
    name: str = ""
    why: str = ""
    ucum: str = ""
    row: str = ""


@dataclass(frozen=True, slots=True)
class Visit:
    """A protocol visit: its target in days after infusion and how far a result may lie from it, both ends included."""

    id: str
    label: str
    target_day: int
    before_days: int
    after_days: int


@dataclass(frozen=True, slots=True)
class ScoreRules:
    """How the protocol computes its scores. ``pt_control`` in seconds, where ``clotting`` is PT."""

    meld: str = "MELD_UNOS"
    clotting: str = "INR"
    pt_control: Decimal | None = None
    max_days_apart: int = 2


@dataclass(frozen=True, slots=True)
class Protocol:
    """One trial as data. ``fingerprint`` is the SHA-256 of all files it was read from."""

    trial: str
    title: str
    timezone: str
    analytes: Mapping[str, Analyte]  # in the protocol's order: endpoints first, supporting analytes after
    visits: tuple[Visit, ...]  # in the order of target_day
    loinc: Mapping[str, tuple[LoincRow, ...]]  # by code; a denied code may stand under several analytes
    unit_aliases: Mapping[str, str]  # text as sent -> UCUM, for every analyte
    no_result_texts: tuple[str, ...]  # casefolded texts that say there is no result
    no_result_words: tuple[str, ...]  # casefolded words; a text without a digit holding one says the same
    specimens: frozenset[str]  # casefolded codes and names that are blood, serum or plasma
    conditional_codes: frozenset[str]  # conditional LOINC codes that the setting enables
    fingerprint: str
    scores: ScoreRules = ScoreRules()


@dataclass(frozen=True, slots=True)
class CodeRow:
    """One row of a source's code map, from its file or from a decision. ``analyte`` None means ignored."""

    code: str
    analyte: str | None
    system: str | None = None
    unit: str | None = None
    name: str = ""
    row: str = ""  # where it stands: file and row, or the decision's id


@dataclass(frozen=True, slots=True)
class AssessmentCode:
    """Under which code a source sends an assessment, and what it sends for each of the item's values."""

    item: str  # ascites, encephalopathy, dialysis
    code: str
    values: Mapping[str, tuple[str, ...]]  # the item's value -> codes and texts as sent
    system: str | None = None
    row: str = ""  # where it stands in the configuration


@dataclass(frozen=True, slots=True)
class SourceRules:
    """What the configuration says of one source, as far as reading and the rules need it."""

    name: str
    authority: str
    charset: str
    timezone: str
    authorities: Mapping[str, str] = field(default_factory=dict)  # as sent -> the roster's name for it
    identifier_fields: tuple[str, ...] = ("PID-3",)
    collection_time: tuple[str, ...] = ("SPM-17", "OBR-7", "OBX-14")
    offset_from_msh7: bool = False
    status_map: Mapping[str, str] = field(default_factory=dict)  # as sent ("" for none) -> a code of table 0085
    codes: tuple[CodeRow, ...] = ()
    assessments: tuple[AssessmentCode, ...] = ()
