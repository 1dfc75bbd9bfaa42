"""The configuration: one TOML file, every problem in it named with key, cause and remedy.

Relative paths are relative to the file. Secrets are never in it. Reading the configuration reads the mappings that it
names, so that whatever would stop the daemon is known before it starts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Set
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator

from adapter.config_fhir import FhirIntake, FhirSection, check_fhir, fhir_intake, fhir_rules
from adapter.config_mllp import MllpIntake, MllpSection, check_mllp, mllp_intake, mllp_rules
from adapter.config_shapes import assessment_codes, check_assessment_codes, check_assessments
from adapter.config_web import Web, WebSection, check_web, web_of
from adapter.mappings import Problem, ProblemsError, read_codes, read_protocol
from adapter.mappings.problems import (
    Shape,
    Text,
    check_shape,
    choose_from,
    distinct,
    fault,
    is_fatal,
    one_of,
    parse_toml,
    unknown_key,
)
from adapter.mappings.shapes import Zone
from adapter.model import CodeRow, Protocol, SourceRules

Section = MllpSection | FhirSection

#: Kinds of sources that interface.md promises and this version does not have yet.
NOT_YET_KINDS = {"folder": "watching a folder"}
KINDS: Mapping[str, type[Section]] = {"mllp": MllpSection, "fhir": FhirSection}

_SQLITE = "sqlite:///"
# By kind, the keys of a source that a running daemon can take over: what is no business of its port or its server.
_TAKEN_OVER: Mapping[str, Set[str]] = {
    "mllp": MllpSection.model_fields.keys()
    - {"host", "port", "allow_from", "max_frame_bytes", "idle_timeout", "frame_timeout", "max_connections"},
    "fhir": {"authority", "timezone", "codes"},
}


class ConfigError(ProblemsError):
    """The configuration, or a mapping that it names, cannot be used."""


# --- shapes -------------------------------------------------------------------------------------------------------


def _store_url(url: str) -> str:
    file = url.removeprefix(_SQLITE)
    if file == url:
        raise fault(f"{url!r} is not a store that this version can use", 'write "sqlite:///" and a file name')
    if not file or file.startswith(":") or file.endswith("/") or any(c in file for c in "?#"):
        raise fault(f"{url!r} names no file", 'write "sqlite:///" and a file name, such as "sqlite:///trial.db"')
    return url


class TrialSection(Shape):
    """``[trial]``."""

    protocol: Text
    timezone: Zone | None = None
    conditional_codes: Annotated[list[Text], AfterValidator(distinct)] = []


class StoreSection(Shape):
    """``[store]``."""

    url: Annotated[str, AfterValidator(_store_url)] = "sqlite:///trial.db"


class LogSection(Shape):
    """``[log]``."""

    level: Annotated[str, one_of("DEBUG", "INFO", "WARNING", "ERROR")] = "INFO"


SECTIONS = ("trial", "store", "source", "web", "log")


# --- what the configuration says ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Source:
    """One ``[[source]]``: how it is taken in, and what the rules know of it, code map included."""

    kind: str
    rules: SourceRules
    intake: MllpIntake | FhirIntake

    @property
    def name(self) -> str:
        """The source's name, unique in the file."""
        return self.rules.name

    @property
    def mllp(self) -> MllpIntake | None:
        """What its listener needs, where it has one."""
        return self.intake if isinstance(self.intake, MllpIntake) else None

    @property
    def fhir(self) -> FhirIntake | None:
        """What its poller needs, where it is polled."""
        return self.intake if isinstance(self.intake, FhirIntake) else None


@dataclass(frozen=True, slots=True)
class Config:
    """A configuration that holds together. ``warnings`` are of the file and of the mappings it names."""

    path: Path
    store_url: str
    store_path: Path
    log_level: str
    protocol: Protocol
    sources: tuple[Source, ...]
    web: Web | None
    warnings: tuple[Problem, ...]
    _trial: TrialSection = field(repr=False)
    _sources: Mapping[int, Section] = field(repr=False)  # by place in the file, counted from 0

    @property
    def protocol_path(self) -> Path:
        """The trial's file; what else is said of the trial stands beside it."""
        return self.path.parent / self._trial.protocol

    def load_protocol(self) -> tuple[Protocol, tuple[Source, ...]]:
        """The mappings and code maps as they are on disk now, under these settings. Raises ConfigError."""
        protocol, sources, problems = _load_mappings(self.path, self._trial, self._sources)
        if protocol is None or is_fatal(problems):
            raise ConfigError(problems)
        return protocol, sources


def load_config(path: Path | str) -> Config:
    """The configuration of a TOML file, with the mappings that it names. Raises ConfigError with every problem."""
    path = Path(path)
    file = str(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        cause = f"cannot be read: {(error.strerror or type(error).__name__).lower()}"
        remedy = "run `lab-adapter init`, or name the file with -c"
        raise ConfigError([Problem(file, "the file", cause, remedy)]) from error
    table, problems = parse_toml(content, file)
    if table is None:
        raise ConfigError(problems)
    problems += _check_keys(table, file)
    trial, wrong_trial = check_shape(TrialSection, table.get("trial", {}), file, ("trial",))
    store, wrong_store = check_shape(StoreSection, table.get("store", {}), file, ("store",))
    log, wrong_log = check_shape(LogSection, table.get("log", {}), file, ("log",))
    web, wrong_web = (None, []) if "web" not in table else check_shape(WebSection, table["web"], file, ("web",))
    wrong_web += [] if web is None else check_web(web, file, path.parent)
    sections, wrong_sources = _read_sources(table.get("source", []), file)
    problems += [*wrong_trial, *wrong_store, *wrong_log, *wrong_web, *wrong_sources]
    protocol, sources, wrong_mappings = (None, (), ()) if trial is None else _load_mappings(path, trial, sections)
    problems += wrong_mappings
    if trial is None or store is None or log is None or protocol is None or is_fatal(problems):
        raise ConfigError(problems)
    return Config(
        path=path,
        store_url=store.url,
        store_path=path.parent / store.url.removeprefix(_SQLITE),
        log_level=log.level,
        protocol=protocol,
        sources=sources,
        web=None if web is None else web_of(web, path.parent),
        warnings=tuple(problems),
        _trial=trial,
        _sources=sections,
    )


# --- reading ------------------------------------------------------------------------------------------------------


def _check_keys(table: Mapping[str, Any], file: str) -> Iterator[Problem]:
    for key in table:
        if key not in SECTIONS:
            yield unknown_key(file, key, key, SECTIONS)


def _read_sources(rows: object, file: str) -> tuple[dict[int, Section], list[Problem]]:
    """The sources whose shape is right, by their place, and what is wrong with any."""
    if not isinstance(rows, list):
        return {}, [Problem(file, "source", "is not a list of tables", "write [[source]], with two brackets")]
    sections: dict[int, Section] = {}
    problems = [] if rows else [Problem(file, "source", "there is none", "add a [[source]]")]
    for number, row in enumerate(rows):
        kind = row.get("kind") if isinstance(row, dict) else None
        place = f"source[{number + 1}].kind"
        if isinstance(kind, str) and kind in NOT_YET_KINDS:
            cause = f'"{kind}", {NOT_YET_KINDS[kind]}, is not in this version'
            problems.append(Problem(file, place, cause, "remove this [[source]]"))
            continue
        if isinstance(kind, str) and kind not in KINDS:
            problems.append(Problem(file, place, f'"{kind}" is not known', choose_from(kind, tuple(KINDS))))
        shape = KINDS.get(kind, MllpSection) if isinstance(kind, str) else MllpSection
        section, wrong = check_shape(shape, row, file, ("source", number))
        problems += wrong
        if section is not None:
            sections[number] = section
    problems += _check_sources(sections, file)
    return sections, problems


def _check_sources(sections: Mapping[int, Section], file: str) -> Iterator[Problem]:
    for (_, one), (number, other) in combinations(sections.items(), 2):
        if one.name == other.name:
            place = f"source[{number + 1}] ({other.name}).name"
            yield Problem(file, place, "is another source's name too", "give each source its own")
    for number, section in sections.items():
        yield from check_assessments(section.assessment, file, f"source[{number + 1}] ({section.name})")
    yield from check_mllp({n: s for n, s in sections.items() if isinstance(s, MllpSection)}, file)
    yield from check_fhir({n: s for n, s in sections.items() if isinstance(s, FhirSection)}, file)


def _load_mappings(
    path: Path, trial: TrialSection, sections: Mapping[int, Section]
) -> tuple[Protocol | None, tuple[Source, ...], tuple[Problem, ...]]:
    """The protocol in the trial's time zone, and the sources whose code map could be read."""
    file = str(path)
    protocol, problems = read_protocol(
        path.parent / trial.protocol, trial.conditional_codes, asked_by=file, place="trial.protocol"
    )
    if protocol is None:
        return None, (), problems
    protocol = replace(protocol, timezone=trial.timezone or protocol.timezone)
    sources: list[Source] = []
    for number, section in sections.items():
        codes: tuple[CodeRow, ...] | None = ()
        place = f"source[{number + 1}] ({section.name})"
        if section.codes is not None:
            codes, wrong = read_codes(path.parent / section.codes, protocol, asked_by=file, place=f"{place}.codes")
            problems += wrong
        if codes is not None:
            assessments = assessment_codes(section.assessment)
            problems += tuple(check_assessment_codes(assessments, codes, protocol, file, place))
            sources.append(_source(section, codes, protocol, path.parent))
    return protocol, tuple(sources), problems


def _source(section: Section, codes: tuple[CodeRow, ...], protocol: Protocol, folder: Path) -> Source:
    if isinstance(section, FhirSection):
        return Source(section.kind, fhir_rules(section, codes, protocol.timezone), fhir_intake(section, folder))
    return Source(section.kind, mllp_rules(section, codes, protocol.timezone), mllp_intake(section))


# --- what the rest asks -------------------------------------------------------------------------------------------


def ruleset(config: Config, protocol: Protocol, rules_version: str) -> tuple[str, str]:
    """The id and the JSON of everything that changes what a result becomes: equal inputs give equal texts.

    The id is the SHA-256 of the JSON. Neither paths nor what only concerns the way in is in it. ``config`` gives
    the sources; after :meth:`Config.load_protocol` they are to be put into it with :func:`dataclasses.replace`.
    """
    body = {
        "rules": rules_version,
        "trial": protocol.trial,
        "protocol": protocol.fingerprint,
        "timezone": protocol.timezone,
        "conditional_codes": sorted(protocol.conditional_codes),
        "sources": {source.name: asdict(source.rules) for source in config.sources},
    }
    text = json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest(), text


def needs_restart(started: Config, config: Config) -> dict[str, list[str]]:
    """By source, the keys that differ from those a daemon was started with and that it cannot take over."""
    before, after = ({s.name: s for s in each._sources.values()} for each in (started, config))
    found = {}
    for name in {**before, **after}:
        old, new = before.get(name), after.get(name)
        if old is None or new is None or old.kind != new.kind:
            found[name] = ["the whole source"]
        else:
            fixed = [key for key in type(new).model_fields if key not in _TAKEN_OVER[new.kind]]
            found[name] = [key for key in fixed if getattr(old, key) != getattr(new, key)]
    return {name: keys for name, keys in found.items() if keys}


def shipped(name: str) -> Path:
    """A file or folder that comes with the adapter: ``config.example.toml``, ``mappings``.

    It lies beside the package in a checkout and inside it once installed. Raises FileNotFoundError.
    """
    package = Path(__file__).parent
    for folder in (package / "_shipped", package.parent):
        if (folder / name).exists():
            return folder / name
    raise FileNotFoundError(f"{name} is not part of this installation; install trial-lab-adapter again")
