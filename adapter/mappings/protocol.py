"""A trial's protocol from its files: read, checked against each other, put together."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from adapter.mappings import checks
from adapter.mappings.problems import (
    MappingError,
    Problem,
    Shape,
    check_shape,
    choose_from,
    is_fatal,
    parse_toml,
    read_content,
)
from adapter.mappings.shapes import (
    AnalyteChoice,
    AnalyteRow,
    AnalytesFile,
    LoincFile,
    ResultsFile,
    SpecimensFile,
    TrialFile,
    UnitsFile,
    ValueSet,
)
from adapter.model import Analyte, LoincRow, Protocol, ScoreRules, UnitRow, Visit

S = TypeVar("S", bound=Shape)


@dataclass(frozen=True, slots=True)
class _Complete:
    trial: TrialFile
    analytes: AnalytesFile
    loinc: LoincFile
    units: UnitsFile
    results: ResultsFile
    specimens: SpecimensFile


@dataclass(slots=True)
class _Files:
    """What was read so far; a file that could not be is None, and what needs it is not looked at."""

    trial: TrialFile | None = None
    analytes: AnalytesFile | None = None
    loinc: LoincFile | None = None
    units: UnitsFile | None = None
    results: ResultsFile | None = None
    specimens: SpecimensFile | None = None
    names: dict[str, str] = field(default_factory=dict)  # by role, as problems name it
    contents: dict[str, bytes] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    @property
    def complete(self) -> _Complete | None:
        """All of them, or None where one is missing."""
        if self.trial is None or self.analytes is None or self.loinc is None:
            return None
        if self.units is None or self.results is None or self.specimens is None:
            return None
        return _Complete(self.trial, self.analytes, self.loinc, self.units, self.results, self.specimens)


def load_protocol(path: Path | str, conditional_codes: Collection[str] = ()) -> Protocol:
    """The protocol of a trial's file and of the files it names.

    ``conditional_codes`` are the conditional LOINC codes to accept. Raises MappingError with every problem.
    """
    protocol, problems = read_protocol(path, conditional_codes)
    if protocol is None:
        raise MappingError(problems)
    return protocol


def read_protocol(
    path: Path | str, conditional_codes: Collection[str] = (), asked_by: str | None = None, place: str = "the file"
) -> tuple[Protocol | None, tuple[Problem, ...]]:
    """The protocol and the warnings about it, or None and everything that is wrong.

    ``asked_by`` and ``place`` say which file names it and where, for the case that it cannot be read.
    """
    files = _read_files(Path(path), asked_by or str(path), place)
    files.problems += _check(files)
    files.problems += _check_setting(files, conditional_codes, asked_by)
    complete = files.complete
    if complete is None or is_fatal(files.problems):
        return None, tuple(files.problems)
    return _assemble(complete, files, conditional_codes), tuple(files.problems)


# --- reading ------------------------------------------------------------------------------------------------------


def _read_files(path: Path, asked_by: str, place: str) -> _Files:
    files = _Files()
    files.trial = _read(files, "trial", path, TrialFile, asked_by, place)
    if files.trial is None:
        return files
    named = files.trial.files
    files.analytes = _read_beside(files, path, "analytes", named.analytes, AnalytesFile)
    files.loinc = _read_beside(files, path, "loinc", named.loinc, LoincFile)
    files.units = _read_beside(files, path, "units", named.units, UnitsFile)
    files.results = _read_beside(files, path, "results", named.results, ResultsFile)
    files.specimens = _read_beside(files, path, "specimens", named.specimens, SpecimensFile)
    return files


def _read_beside(files: _Files, trial: Path, role: str, name: str, shape: type[S]) -> S | None:
    return _read(files, role, trial.parent / name, shape, str(trial), f"files.{role}")


def _read(files: _Files, role: str, path: Path, shape: type[S], asked_by: str, place: str) -> S | None:
    files.names[role] = str(path)
    content, problems = read_content(path, asked_by, place)
    files.problems += problems
    if content is None:
        return None
    files.contents[role] = content
    table, problems = parse_toml(content, str(path))
    files.problems += problems
    if table is None:
        return None
    read, problems = check_shape(shape, table, str(path))
    files.problems += problems
    return read


# --- checking -----------------------------------------------------------------------------------------------------


def _check(files: _Files) -> Iterator[Problem]:
    trial, analytes, loinc, units, names = files.trial, files.analytes, files.loinc, files.units, files.names
    if trial is not None:
        yield from checks.check_trial(trial, names["trial"])
    if files.results is not None:
        yield from checks.check_results(files.results, names["results"])
    if analytes is None:
        return
    yield from checks.check_analytes(analytes, names["analytes"])
    if trial is not None:
        yield from checks.check_choice(trial, analytes, names["trial"])
    if loinc is not None:
        yield from checks.check_value_sets(loinc, analytes, names["loinc"])
    if units is not None:
        yield from checks.check_units(units, analytes, names["units"])
    if trial is None or loinc is None or units is None:
        return
    yield from checks.check_scores(trial, analytes, units, names["trial"])
    for id in _measured(trial, analytes):
        unit = _chosen(trial, id).unit or analytes.analyte[id].unit
        known = [row.unit for row in units.conversion if id in row.analytes and row.into == unit]
        yield from checks.check_units_of(id, unit, known, loinc.value_set.get(id), names["units"], names["loinc"])


def _check_setting(files: _Files, conditional_codes: Collection[str], asked_by: str | None) -> Iterator[Problem]:
    if files.trial is None or files.analytes is None or files.loinc is None:
        return
    ids = _measured(files.trial, files.analytes)
    known = [row.code for id in ids for row in files.loinc.value_set.get(id, ValueSet()).conditional]
    for code in sorted(set(conditional_codes) - set(known)):
        cause = f'"{code}" is no conditional code of this protocol'
        remedy = f"take it out, or {choose_from(code, known)}"
        yield Problem(asked_by or files.names["loinc"], "conditional_codes", cause, remedy)


# --- putting together ---------------------------------------------------------------------------------------------


def _ids(trial: TrialFile) -> list[str]:
    """The trial's analytes. Beside the endpoint MELD, which is one formula, stand the other two."""
    return [*trial.endpoints, *trial.supporting, *_beside(trial)]


def _beside(trial: TrialFile) -> list[str]:
    if "MELD" not in trial.endpoints:
        return []
    listed = (*trial.endpoints, *trial.supporting)
    return [id for id in checks.MELDS if id != trial.scores.meld and id not in listed]


def _measured(trial: TrialFile, analytes: AnalytesFile) -> list[str]:
    return [id for id in _ids(trial) if id in analytes.analyte and not analytes.analyte[id].derived]


def _chosen(trial: TrialFile, id: str) -> AnalyteChoice:
    return trial.analyte.get(id) or AnalyteChoice()


def _assemble(complete: _Complete, files: _Files, conditional_codes: Collection[str]) -> Protocol:
    trial, units, results = complete.trial, complete.units, complete.results
    said = (text for row in complete.specimens.specimen for text in (*row.hl7, *row.snomed, *row.names))
    visits = (Visit(v.id, v.label, v.target_day, v.before_days, v.after_days) for v in trial.visit)
    return Protocol(
        trial=trial.trial,
        title=trial.title,
        timezone=trial.timezone,
        analytes={
            id: _analyte(id, trial, complete.analytes.analyte[id], units)
            for id in _ids(trial)
            if id in complete.analytes.analyte
        },
        visits=tuple(sorted(visits, key=lambda visit: visit.target_day)),
        loinc=_loinc(_value_sets(trial), complete.loinc, Path(files.names["loinc"]).name),
        unit_aliases={text: row.ucum for row in units.alias if row.analytes is None for text in row.texts},
        no_result_texts=tuple(text.casefold() for text in results.texts),
        no_result_words=tuple(word.casefold() for word in results.words),
        specimens=frozenset(text.casefold() for text in said),
        conditional_codes=frozenset(conditional_codes),
        fingerprint=_fingerprint(files.contents, conditional_codes),
        scores=ScoreRules(**dict(trial.scores)),
    )


def _analyte(id: str, trial: TrialFile, row: AnalyteRow, units: UnitsFile) -> Analyte:
    choice = _chosen(trial, id)
    set_here = choice.model_dump(exclude_none=True)
    limits = {name: set_here.get(name, getattr(row, name)) for name in checks.LIMITS}
    unit = choice.unit or row.unit
    rows = (r for r in units.conversion if id in r.analytes and r.into == unit)
    aliases = ((text, r.ucum) for r in units.alias if r.analytes is not None and id in r.analytes for text in r.texts)
    return Analyte(
        id=id,
        label=choice.label or row.label,
        unit=unit,
        supporting=id not in trial.endpoints,
        derived=row.derived,
        formula=(trial.scores.meld if id == "MELD" else id) if row.derived else "",
        dimensionless=row.dimensionless,
        units={r.unit: UnitRow(r.unit, r.factor, r.source, (r.example.number, r.example.result)) for r in rows},
        unit_aliases=dict(aliases),
        names=tuple(row.names),
        not_names=tuple(row.not_names),
        **limits,
    )


def _value_sets(trial: TrialFile) -> dict[str, str]:
    """Each analyte with the value set that is its own: a code is of one formula, and MELD is one of them here."""
    return {id: trial.scores.meld if id == "MELD" else id for id in _ids(trial)}


def _loinc(ids: dict[str, str], loinc: LoincFile, file: str) -> dict[str, tuple[LoincRow, ...]]:
    """The rows of each code: the one analyte that takes it, or else every analyte that denies it.

    A denial says "not this analyte". Where the protocol takes the code for another one, that is what counts.
    """
    taken: dict[str, tuple[LoincRow, ...]] = {}
    denied: dict[str, tuple[LoincRow, ...]] = {}
    for id, name in ids.items():
        rows = loinc.value_set.get(name, ValueSet())
        for kind in ("accept", "conditional"):
            for row in getattr(rows, kind):
                place = f"{file}: {name} {kind} {row.code}"
                taken[row.code] = (LoincRow(row.code, kind, id, name=row.name, ucum=row.ucum, row=place),)
        for no in rows.deny:
            place = f"{file}: {name} deny {no.code}"
            denied[no.code] = (*denied.get(no.code, ()), LoincRow(no.code, "deny", id, why=no.why, row=place))
    return denied | taken


def _fingerprint(contents: dict[str, bytes], conditional_codes: Collection[str]) -> str:
    """SHA-256 of what each file says and which codes are enabled; neither paths nor the order of reading count."""
    digest = hashlib.sha256()
    for role in sorted(contents):
        digest.update(f"{role} {len(contents[role])}\n".encode())
        digest.update(contents[role])
    digest.update("\n".join(sorted(set(conditional_codes))).encode())
    return digest.hexdigest()
