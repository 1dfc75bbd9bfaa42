"""The shapes of the files in ``mappings/``; each file's header explains its grammar, which is this in words."""

from __future__ import annotations

from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field

from adapter.mappings.problems import DecimalText, Shape, SomeTexts, Text, between, fault, matching

_GRAMMAR = 1


def _known_grammar(value: int) -> int:
    if value != _GRAMMAR:
        raise fault(f"grammar {value} is not known here", f"write schema = {_GRAMMAR}, or update the adapter")
    return value


Texts = list[Text]


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise fault(f"{name!r} is not a time zone", 'write an IANA name such as "Asia/Shanghai"') from None
    return name


Zone = Annotated[str, AfterValidator(_known_zone)]
Days = Annotated[int, between(0, 10_000)]
AnalyteId = Annotated[str, matching("[A-Z][A-Z0-9_]*", "capitals, digits and underscores, a capital first")]
LoincCode = Annotated[str, matching("[0-9]{1,7}-[0-9]", "a LOINC code such as 1742-6")]
SnomedId = Annotated[str, matching("[0-9]{6,18}", "a SNOMED CT concept id of 6 to 18 digits")]
VisitId = Annotated[str, matching("[a-z0-9][a-z0-9_-]*", "small letters, digits, - and _, such as week-4")]
TrialId = Annotated[str, matching("[A-Za-z0-9][A-Za-z0-9_-]*", "letters, digits, - and _, such as NCT06984497")]


class File(Shape):
    """What every file of the mappings begins with."""

    grammar: Annotated[int, AfterValidator(_known_grammar)] = Field(alias="schema")


# --- the trial ----------------------------------------------------------------------------------------------------


class FileNames(Shape):
    """The files a trial uses, relative to its own."""

    analytes: Text
    loinc: Text
    units: Text
    results: Text
    specimens: Text


class VisitRow(Shape):
    """A visit of the protocol."""

    id: VisitId
    label: Text
    target_day: Days
    before_days: Days
    after_days: Days


class Limits(Shape):
    """Limits of a value in its analyte's unit; a limit that is not given is not there."""

    hard_min: DecimalText | None = None
    hard_max: DecimalText | None = None
    query_min: DecimalText | None = None
    query_max: DecimalText | None = None


class AnalyteChoice(Limits):
    """What a trial sets otherwise than the analytes file."""

    label: Text | None = None
    unit: Text | None = None


class Scores(Shape):
    """How the trial's scores are computed."""

    meld: Literal["MELD_UNOS", "MELD_NA", "MELD_3_0"] = "MELD_UNOS"
    clotting: Literal["INR", "PT"] = "INR"
    pt_control: DecimalText | None = None
    max_days_apart: Days = 2


class TrialFile(File):
    """A trial: ``nct06984497.toml``."""

    trial: TrialId
    title: Text
    timezone: Zone
    endpoints: SomeTexts
    supporting: Texts = []
    files: FileNames
    scores: Scores = Scores()
    visit: list[VisitRow]
    analyte: dict[str, AnalyteChoice] = {}


# --- the shared files ---------------------------------------------------------------------------------------------


class AnalyteRow(Limits):
    """An analyte in general."""

    label: Text
    unit: Text
    derived: bool = False
    dimensionless: bool = False
    names: Texts = []
    not_names: Texts = []


class AnalytesFile(File):
    """``analytes.toml``."""

    analyte: dict[AnalyteId, AnalyteRow]


class CodedRow(Shape):
    """A code that is the analyte, always or by a setting."""

    code: LoincCode
    name: Text
    system: str = ""
    property: str = ""
    method: str = ""
    ucum: str = ""
    to_confirm: bool = False


class DeniedRow(Shape):
    """A code that is never the analyte."""

    code: LoincCode
    why: Text
    to_confirm: bool = False


class ValueSet(Shape):
    """The codes of one analyte."""

    accept: list[CodedRow] = []
    conditional: list[CodedRow] = []
    deny: list[DeniedRow] = []


class CheckDigit(Shape):
    """What is known of LOINC's check digit."""

    exceptions: list[LoincCode] = []


class LoincFile(File):
    """``loinc.toml``."""

    check_digit: CheckDigit = CheckDigit()
    value_set: dict[str, ValueSet]


class AliasRow(Shape):
    """Texts that mean a UCUM unit, of every analyte or of some."""

    ucum: Text
    texts: SomeTexts
    analytes: SomeTexts | None = None


class Example(Shape):
    """A conversion worked by hand."""

    number: DecimalText = Field(alias="from")
    result: DecimalText = Field(alias="to")


class ConversionRow(Shape):
    """One pair of units of some analytes."""

    analytes: SomeTexts
    unit: Text = Field(alias="from")
    into: Text = Field(alias="to")
    factor: DecimalText
    source: Text
    example: Example


class UnitsFile(File):
    """``units.toml``."""

    alias: list[AliasRow] = []
    conversion: list[ConversionRow]


class ResultsFile(File):
    """``results.toml``."""

    texts: Texts = []
    words: Texts = []


class SpecimenRow(Shape):
    """One kind of specimen that is taken."""

    name: Text
    hl7: Texts = []
    snomed: list[SnomedId] = []
    names: Texts = []


class SpecimensFile(File):
    """``specimens.toml``."""

    specimen: list[SpecimenRow]


# --- a source's code map ------------------------------------------------------------------------------------------


class CodeMapRow(Shape):
    """One local code: an analyte, or to be ignored."""

    code: Text
    analyte: Text | None = None
    ignore: Literal[True] | None = None
    unit: Text | None = None
    system: Text | None = None
    name: Text | None = None


class CodeMapFile(Shape):
    """The code map of one source; it has no grammar number, for sites write it by hand."""

    code: list[CodeMapRow] = []
