"""What the files of the mappings mean together: everything that a shape alone cannot see.

Each check takes the files it needs and yields the problems it finds; none stops at the first.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from decimal import localcontext
from itertools import pairwise

from adapter.mappings.problems import Problem, choose_from
from adapter.mappings.shapes import (
    AliasRow,
    AnalyteChoice,
    AnalyteRow,
    AnalytesFile,
    CodedRow,
    ConversionRow,
    DeniedRow,
    Limits,
    LoincFile,
    ResultsFile,
    TrialFile,
    UnitsFile,
    ValueSet,
    VisitRow,
)

MELDS = ("MELD_UNOS", "MELD_NA", "MELD_3_0")
# What each score is computed from, and the unit its formula is published in.
SCORE_INPUTS = {
    "MELD_UNOS": {"TBIL": "mg/dL", "INR": "1", "CREA": "mg/dL"},
    "MELD_NA": {"TBIL": "mg/dL", "INR": "1", "CREA": "mg/dL", "NA": "mmol/L"},
    "MELD_3_0": {"TBIL": "mg/dL", "INR": "1", "CREA": "mg/dL", "NA": "mmol/L", "ALB": "g/dL"},
    "CHILD_PUGH": {"TBIL": "mg/dL", "ALB": "g/dL"},
}
LIMITS = ("hard_min", "query_min", "query_max", "hard_max")  # in their order: each at most the next


def breaks_check_digit(code: str) -> bool:
    """Whether the last digit is not LOINC's mod-10 check digit (LOINC Users' Guide, appendix "Calculating Mod 10")."""
    body, digit = code.split("-")
    doubled = [int(d) * 2 if place % 2 == 0 else int(d) for place, d in enumerate(reversed(body))]
    return (sum(n // 10 + n % 10 for n in doubled) + int(digit)) % 10 != 0


def _repeated(words: Iterable[str]) -> list[str]:
    return [word for word, count in Counter(words).items() if count > 1]


# --- the trial ----------------------------------------------------------------------------------------------------


def check_trial(trial: TrialFile, file: str) -> Iterator[Problem]:
    """The trial's file by itself: its visits and its lists."""
    for id in _repeated([*trial.endpoints, *trial.supporting]):
        place = "supporting" if id in trial.supporting else "endpoints"
        yield Problem(file, place, f'"{id}" is listed twice', "list it once, as endpoint or as supporting")
    yield from _check_visits(trial.visit, file)


def _check_visits(visits: list[VisitRow], file: str) -> Iterator[Problem]:
    if not visits:
        yield Problem(file, "visit", "there is none", "add a [[visit]]")
    for id in _repeated(v.id for v in visits):
        yield Problem(file, "visit", f'the id "{id}" is used twice', "give each visit its own id")
    for earlier, later in pairwise(sorted(visits, key=lambda v: v.target_day)):
        both = f'"{earlier.id}" and "{later.id}"'
        if earlier.target_day == later.target_day:
            cause = f"{both} have the same target, day {later.target_day}"
            yield Problem(file, "visit", cause, "give each visit its own target_day")
        elif earlier.target_day + earlier.after_days >= later.target_day - later.before_days:
            cause = f"the windows of {both} overlap"
            remedy = "nothing need be done if it is meant: a day in both belongs to the nearer target"
            yield Problem(file, "visit", cause, remedy, warning=True)


def check_choice(trial: TrialFile, analytes: AnalytesFile, file: str) -> Iterator[Problem]:
    """What the trial says of analytes: that they are there, and that what it sets otherwise holds together."""
    known = list(analytes.analyte)
    for key, ids in (("endpoints", trial.endpoints), ("supporting", trial.supporting)):
        for id in ids:
            if id not in analytes.analyte:
                cause = f'"{id}" is not in the analytes file'
                yield Problem(file, key, cause, f"{choose_from(id, known)}; or add [analyte.{id}] there")
    used = [*trial.endpoints, *trial.supporting]
    for id, choice in trial.analyte.items():
        place = f"analyte.{id}"
        if id not in used:
            cause = "the trial has no such endpoint or supporting analyte"
            yield Problem(file, place, cause, choose_from(id, used))
        elif id in analytes.analyte:
            yield from _check_override(choice, analytes.analyte[id], file, place)


def _check_override(choice: AnalyteChoice, row: AnalyteRow, file: str, place: str) -> Iterator[Problem]:
    unstated = [name for name in LIMITS if getattr(row, name) is not None and getattr(choice, name) is None]
    if choice.unit is not None and choice.unit != row.unit and unstated:
        cause = f"sets the unit {choice.unit} while {', '.join(unstated)} would stay in {row.unit}"
        yield Problem(file, place, cause, f"state {', '.join(unstated)} in {choice.unit} too")
    else:
        merged = AnalyteRow.model_construct(**{**dict(row), **choice.model_dump(exclude_none=True)})
        yield from _check_limits(merged, file, place)


# --- analytes -----------------------------------------------------------------------------------------------------


def check_analytes(analytes: AnalytesFile, file: str) -> Iterator[Problem]:
    """Each analyte by itself, and that no name suggests two of them."""
    owners: dict[str, str] = {}
    for id, row in analytes.analyte.items():
        place = f"analyte.{id}"
        yield from _check_limits(row, file, place)
        if row.dimensionless and row.unit != "1":
            yield Problem(file, f"{place}.unit", f'is "{row.unit}" though dimensionless', 'write unit = "1"')
        for name in row.names:
            owner = owners.setdefault(name.casefold(), id)
            if owner != id:
                cause = f'"{name}" is a name of {owner} too'
                yield Problem(file, f"{place}.names", cause, "leave it to the one that it means")
        for name in sorted({n.casefold() for n in row.names} & {n.casefold() for n in row.not_names}):
            cause = f'"{name}" is among the names too, and would never suggest'
            yield Problem(file, f"{place}.not_names", cause, "leave it in one of the two lists")


def _check_limits(row: Limits, file: str, place: str) -> Iterator[Problem]:
    stated = [(name, value) for name in LIMITS if (value := getattr(row, name)) is not None]
    for (low_name, low), (high_name, high) in pairwise(stated):
        if low > high:
            cause = f"{low_name} = {low} is above {high_name} = {high}"
            yield Problem(file, place, cause, f"keep the order {' <= '.join(LIMITS)}")


# --- value sets ---------------------------------------------------------------------------------------------------


def check_value_sets(loinc: LoincFile, analytes: AnalytesFile, file: str) -> Iterator[Problem]:
    """That each value set has its analyte, no code is two things, and no code looks mistyped."""
    owners: dict[str, str] = {}
    for id, rows in loinc.value_set.items():
        row = analytes.analyte.get(id)
        if row is None:
            cause = f'"{id}" is not in the analytes file'
            yield Problem(file, f"value_set.{id}", cause, choose_from(id, list(analytes.analyte)))
        yield from _check_codes(id, rows, owners, loinc.check_digit.exceptions, file)


def _check_codes(
    id: str, rows: ValueSet, owners: dict[str, str], exceptions: list[str], file: str
) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for place, row in _coded(id, rows):
        where = f"{place} ({row.code})"
        if row.code in seen:
            cause = f"{row.code} is at {seen[row.code]} already"
            yield Problem(file, where, cause, "keep one of the two rows")
        seen.setdefault(row.code, place)
        if isinstance(row, CodedRow):
            owner = owners.setdefault(row.code, id)
            if owner != id:
                cause = f"{row.code} is accepted for {owner} too"
                yield Problem(file, where, cause, "keep it where it belongs; a code means one analyte")
        if breaks_check_digit(row.code) and row.code not in exceptions:
            cause = f"{row.code} breaks LOINC's check digit"
            remedy = "look for a slip of the pen; if LOINC publishes it so, add it to check_digit.exceptions"
            yield Problem(file, where, cause, remedy, warning=True)


def _coded(id: str, rows: ValueSet) -> Iterator[tuple[str, CodedRow | DeniedRow]]:
    for kind in ("accept", "conditional", "deny"):
        for number, row in enumerate(getattr(rows, kind), start=1):
            yield f"value_set.{id}.{kind}[{number}]", row


# --- units --------------------------------------------------------------------------------------------------------


def check_units(units: UnitsFile, analytes: AnalytesFile, file: str) -> Iterator[Problem]:
    """That each factor is one, its example comes out, and each alias means one unit that is known."""
    pairs: dict[tuple[str, str, str], int] = {}
    for number, row in enumerate(units.conversion, start=1):
        place = f"conversion[{number}] ({row.unit} to {row.into})"
        yield from _check_ids(row.analytes, analytes, file, place)
        yield from _check_factor(row, file, place)
        for id in row.analytes:
            first = pairs.setdefault((id, row.unit, row.into), number)
            if first != number:
                cause = f"{id} has a factor for this pair already, in conversion[{first}]"
                yield Problem(file, place, cause, "keep one factor for each pair of units")
    yield from _check_aliases(units, analytes, file)


def _check_ids(ids: list[str], analytes: AnalytesFile, file: str, place: str) -> Iterator[Problem]:
    for id in ids:
        if id not in analytes.analyte:
            cause = f'"{id}" is not in the analytes file'
            yield Problem(file, f"{place}.analytes", cause, choose_from(id, list(analytes.analyte)))


def _check_factor(row: ConversionRow, file: str, place: str) -> Iterator[Problem]:
    if row.factor <= 0:
        yield Problem(file, f"{place}.factor", f"{row.factor} is not above 0", "write the factor of the pair")
        return
    if row.unit == row.into and row.factor != 1:
        yield Problem(file, f"{place}.factor", f"a unit is {row.factor} of itself", 'write factor = "1"')
    with localcontext(prec=100):
        result = row.example.number * row.factor
    if result != row.example.result:
        cause = f"{row.example.number} x {row.factor} is {result:f}, not {row.example.result}"
        yield Problem(file, f"{place}.example", cause, "correct the factor or the example, whichever is wrong")


def _check_aliases(units: UnitsFile, analytes: AnalytesFile, file: str) -> Iterator[Problem]:
    known = {id: {r.unit for r in units.conversion if id in r.analytes} for id in analytes.analyte}
    every = set().union(*known.values())
    meanings: dict[tuple[str | None, str], str] = {}
    for number, row in enumerate(units.alias, start=1):
        place = f"alias[{number}] ({row.ucum})"
        scopes: list[str | None] = [None] if row.analytes is None else [id for id in row.analytes if id in known]
        yield from _check_ids(row.analytes or [], analytes, file, place)
        for scope in scopes:
            in_scope = every if scope is None else known[scope]
            of = "any analyte" if scope is None else scope
            if row.ucum not in in_scope:
                cause = f"no conversion of {of} starts from {row.ucum}, so the alias would lead nowhere"
                yield Problem(file, f"{place}.ucum", cause, choose_from(row.ucum, sorted(in_scope)))
            for text in row.texts:
                yield from _check_alias_text(text, row, scope, in_scope, meanings, file, place)


def _check_alias_text(
    text: str,
    row: AliasRow,
    scope: str | None,
    in_scope: set[str],
    meanings: dict[tuple[str | None, str], str],
    file: str,
    place: str,
) -> Iterator[Problem]:
    if text in in_scope:
        yield Problem(file, f"{place}.texts", f'"{text}" is itself a unit that is known here', "remove it")
    if unicodedata.normalize("NFC", text) != text:
        cause = f'"{text}" is not in NFC, and what it is compared with always is'
        yield Problem(file, f"{place}.texts", cause, "write it composed")
    meant = meanings.setdefault((scope, text), row.ucum)
    if meant != row.ucum:
        cause = f'"{text}" is an alias of {meant} already'
        yield Problem(file, f"{place}.texts", cause, "keep the one it means, or say of which analytes")


# --- scores -------------------------------------------------------------------------------------------------------


def check_scores(trial: TrialFile, analytes: AnalytesFile, units: UnitsFile, file: str) -> Iterator[Problem]:
    """That what the trial's scores are computed from is captured, in units that the formulas know."""
    scores, captured = trial.scores, [*trial.endpoints, *trial.supporting]
    for id in trial.endpoints:
        if id in analytes.analyte and analytes.analyte[id].derived and id not in ("MELD", "CHILD_PUGH"):
            cause = f"{id} is derived, and there is no formula of that name for an endpoint"
            yield Problem(file, "endpoints", cause, "write MELD or CHILD_PUGH")
    wanted = dict[str, Mapping[str, str]]()
    if "MELD" in captured:
        wanted[scores.meld] = SCORE_INPUTS[scores.meld]
    if "CHILD_PUGH" in captured:
        wanted["CHILD_PUGH"] = {**SCORE_INPUTS["CHILD_PUGH"], scores.clotting: "1" if scores.clotting == "INR" else "s"}
        if (scores.clotting == "PT") != (scores.pt_control is not None):
            cause = 'clotting = "PT" and pt_control go together'
            yield Problem(
                file, "scores", cause, 'write pt_control = "12.0" (seconds) with clotting = "PT", else neither'
            )
    for formula, inputs in wanted.items():
        for id, unit in inputs.items():
            if id not in captured:
                cause = f"{formula} is computed from {id}, which the trial does not capture"
                yield Problem(file, "scores", cause, f"add {id} to supporting")
                continue
            if id not in analytes.analyte:
                continue  # said already
            own = (trial.analyte.get(id) or AnalyteChoice()).unit or analytes.analyte[id].unit
            if not any(id in r.analytes and (r.unit, r.into) == (unit, own) for r in units.conversion):
                cause = f"{formula} needs {id} in {unit}, and no conversion leads from {unit} to {own}"
                yield Problem(file, "scores", cause, "add the conversion to the units file")


# --- results ------------------------------------------------------------------------------------------------------


def check_results(results: ResultsFile, file: str) -> Iterator[Problem]:
    """That no text for "no result" could be a number."""
    for key in ("texts", "words"):
        for number, text in enumerate(getattr(results, key), start=1):
            if any(c.isdigit() for c in text):
                cause = f'"{text}" holds a digit, and a number must never be taken for none'
                yield Problem(file, f"{key}[{number}]", cause, "remove it")


# --- the protocol as a whole --------------------------------------------------------------------------------------


def check_units_of(
    id: str, unit: str, known: Iterable[str], loinc: ValueSet | None, units_file: str, loinc_file: str
) -> Iterator[Problem]:
    """That an analyte of the protocol has its own unit and the units its codes are reported in."""
    convertible = list(known)
    if unit not in convertible:
        cause = f"no conversion of {id} leads from its unit {unit} to itself, so it would be unknown"
        remedy = f'add [[conversion]] analytes = ["{id}"] from = "{unit}" to = "{unit}" factor = "1"'
        yield Problem(units_file, "conversion", cause, f"{remedy}, and the other units that become {unit}")
        return
    for number, row in enumerate(loinc.accept if loinc else [], start=1):
        if row.ucum and row.ucum not in convertible:
            place = f"value_set.{id}.accept[{number}] ({row.code})"
            cause = f"no conversion of {id} leads from {row.ucum} to {unit}: its results would wait as unknown_unit"
            yield Problem(loinc_file, place, cause, "add the conversion to the units file, or make the row conditional")
