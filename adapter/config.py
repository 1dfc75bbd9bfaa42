"""The configuration: one TOML file, every problem in it named with key, cause and remedy.

Relative paths are relative to the file. Secrets are never in it. Reading the configuration reads the mappings that it
names, so that whatever would stop the daemon is known before it starts.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from adapter.codecs.charset import CODECS, codec_of
from adapter.mappings import Problem, ProblemsError, read_codes, read_protocol
from adapter.mappings.problems import (
    Shape,
    Text,
    between,
    check_shape,
    choose_from,
    distinct,
    fault,
    is_fatal,
    matching,
    one_of,
    parse_toml,
    some,
    unknown_key,
)
from adapter.mappings.shapes import Zone
from adapter.model import CodeRow, Protocol, SourceRules

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

VERSIONS = ("2.1", "2.2", "2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.8")
#: What interface.md promises and this version does not do yet; a key of the file, or a kind of source.
NOT_YET_SECTIONS = {"web": "the coordinator's page"}
NOT_YET_KINDS = {"fhir": "reading from a FHIR server", "folder": "watching a folder"}
KINDS = ("mllp",)

_LOOPBACK = ("127.0.0.0/8", "::1/128")
_EVERYWHERE = {"0.0.0.0", "::"}  # noqa: S104 - the addresses are compared with, not listened on
_SQLITE = "sqlite:///"
_DURATION = re.compile(r"([1-9][0-9]{0,5})([smh])")
_SECONDS = {"s": 1, "m": 60, "h": 3600}


class ConfigError(ProblemsError):
    """The configuration, or a mapping that it names, cannot be used."""


# --- shapes -------------------------------------------------------------------------------------------------------


def _seconds(value: object) -> int:
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise fault(f"{value!r} is not a duration", 'write a number above 0 with s, m or h, such as "30s", "5m", "1h"')
    return int(found[1]) * _SECONDS[found[2]]


def _network(text: str) -> str:
    try:
        ipaddress.ip_network(text)
    except ValueError as error:
        raise fault(f"{text!r} is not a network: {error}", 'write CIDR such as "10.1.2.0/24"') from None
    return text


def _store_url(url: str) -> str:
    file = url.removeprefix(_SQLITE)
    if file == url:
        raise fault(f"{url!r} is not a store that this version can use", 'write "sqlite:///" and a file name')
    if not file or file.startswith(":") or file.endswith("/") or any(c in file for c in "?#"):
        raise fault(f"{url!r} names no file", 'write "sqlite:///" and a file name, such as "sqlite:///trial.db"')
    return url


def _codec(name: str) -> str:
    codec = codec_of(name)
    if codec is None:
        raise fault(f"{name!r} is not a character set that is known here", choose_from(name, CODECS))
    return codec


def _ignorable(text: str) -> str:
    if text in ("ORU", "ORU^R01", "ADT^A34", "ADT^A40"):
        raise fault(f"{text} carries results or merged identifiers and is always taken", "leave it out")
    return text


Duration = Annotated[int, BeforeValidator(_seconds)]
PidField = Annotated[str, one_of("PID-2", "PID-3", "PID-4", "PID-18")]
TimeField = Annotated[str, one_of("SPM-17", "OBR-7", "OBX-14")]
HL7Version = Annotated[str, matching(r"2\.[0-9](\.[0-9])?", "a version of HL7 such as 2.5.1")]
ProcessingId = Annotated[str, one_of("P", "T", "D", "")]
ResultStatus = Annotated[str, one_of(*"PRSIFVCAUDWXNO")]
MessageType = Annotated[str, matching(r"[A-Z0-9]{3}(\^[A-Z0-9]{3})?", "a type such as ADT or ADT^A08")]


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


class MllpSection(Shape):
    """``[[source]]`` of kind ``mllp``."""

    name: Annotated[str, matching("[a-z0-9_-]+", "small letters, digits, - and _")]
    kind: str
    host: Text = "127.0.0.1"
    port: Annotated[int, between(0, 65535)]
    allow_from: list[Annotated[str, AfterValidator(_network)]] | None = None
    versions: Annotated[list[HL7Version], AfterValidator(some), AfterValidator(distinct)] = list(VERSIONS)
    processing_ids: Annotated[list[ProcessingId], AfterValidator(some), AfterValidator(distinct)] = ["P", ""]
    authority: Text
    charset: Annotated[str, AfterValidator(_codec)] = "utf-8"
    timezone: Zone | None = None
    codes: Text | None = None
    identifier_fields: Annotated[list[PidField], AfterValidator(some), AfterValidator(distinct)] = ["PID-3"]
    authorities: dict[Text, Text] = {}
    collection_time: Annotated[list[TimeField], AfterValidator(some), AfterValidator(distinct)] = [
        "SPM-17",
        "OBR-7",
        "OBX-14",
    ]
    offset_from_msh7: bool = False
    status_map: dict[str, ResultStatus] = {}
    on_no_patient: Annotated[str, one_of("reject", "accept")] = "reject"
    ignore_types: list[Annotated[MessageType, AfterValidator(_ignorable)]] = []
    max_frame_bytes: Annotated[int, between(1024, 2**30)] = 16 * 2**20
    idle_timeout: Duration = 3600
    frame_timeout: Duration = 60
    max_connections: Annotated[int, between(1, 10_000)] = 64


SECTIONS = ("trial", "store", "source", "log")


# --- what the configuration says ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MllpIntake:
    """What the listener of one source needs. ``port`` 0 lets the system choose one."""

    host: str
    port: int
    allow_from: tuple[Network, ...]
    versions: tuple[str, ...]
    processing_ids: tuple[str, ...]
    on_no_patient: str  # reject | accept
    ignore_types: tuple[str, ...]  # "ADT", or "ADT^A08"
    max_frame_bytes: int
    idle_timeout_seconds: int
    frame_timeout_seconds: int
    max_connections: int


@dataclass(frozen=True, slots=True)
class Source:
    """One ``[[source]]``: how it is taken in, and what the rules know of it, code map included."""

    kind: str
    rules: SourceRules
    intake: MllpIntake

    @property
    def name(self) -> str:
        """The source's name, unique in the file."""
        return self.rules.name


@dataclass(frozen=True, slots=True)
class Config:
    """A configuration that holds together. ``warnings`` are of the file and of the mappings it names."""

    path: Path
    store_url: str
    store_path: Path
    log_level: str
    protocol: Protocol
    sources: tuple[Source, ...]
    warnings: tuple[Problem, ...]
    _trial: TrialSection = field(repr=False)
    _sources: Mapping[int, MllpSection] = field(repr=False)  # by place in the file, counted from 0

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
    sections, wrong_sources = _read_sources(table.get("source", []), file)
    problems += [*wrong_trial, *wrong_store, *wrong_log, *wrong_sources]
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
        warnings=tuple(problems),
        _trial=trial,
        _sources=sections,
    )


# --- reading ------------------------------------------------------------------------------------------------------


def _check_keys(table: Mapping[str, Any], file: str) -> Iterator[Problem]:
    for key in table:
        if key in NOT_YET_SECTIONS:
            cause = f"{NOT_YET_SECTIONS[key]} is not in this version"
            yield Problem(file, key, cause, f"remove the section [{key}]")
        elif key not in SECTIONS:
            yield unknown_key(file, key, key, SECTIONS)


def _read_sources(rows: object, file: str) -> tuple[dict[int, MllpSection], list[Problem]]:
    """The sources whose shape is right, by their place, and what is wrong with any."""
    if not isinstance(rows, list):
        return {}, [Problem(file, "source", "is not a list of tables", "write [[source]], with two brackets")]
    sections: dict[int, MllpSection] = {}
    problems = [] if rows else [Problem(file, "source", "there is none", "add a [[source]]")]
    for number, row in enumerate(rows):
        kind = row.get("kind") if isinstance(row, dict) else None
        place = f"source[{number + 1}].kind"
        if isinstance(kind, str) and kind in NOT_YET_KINDS:
            cause = f'"{kind}", {NOT_YET_KINDS[kind]}, is not in this version'
            problems.append(Problem(file, place, cause, "remove this [[source]]"))
            continue
        if isinstance(kind, str) and kind not in KINDS:
            problems.append(Problem(file, place, f'"{kind}" is not known', choose_from(kind, KINDS)))
        section, wrong = check_shape(MllpSection, row, file, ("source", number))
        problems += wrong
        if section is not None:
            sections[number] = section
    problems += _check_sources(sections, file)
    return sections, problems


def _check_sources(sections: Mapping[int, MllpSection], file: str) -> Iterator[Problem]:
    for number, section in sections.items():
        place = f"source[{number + 1}] ({section.name}).allow_from"
        if section.allow_from is None and not _is_loopback(section.host):
            cause = f"is missing, and {section.host} can be reached from beyond this machine"
            yield Problem(file, place, cause, 'list who may connect, such as ["10.1.2.3/32"]')
        elif section.allow_from == []:
            yield Problem(file, place, "is empty, so nobody may connect", 'list who may, such as ["10.1.2.3/32"]')
        elif any(ipaddress.ip_network(text).prefixlen == 0 for text in section.allow_from or ()):
            cause = "lets everybody connect who can reach the port"
            yield Problem(file, place, cause, "list the senders alone, unless it is meant", warning=True)
    for (_, one), (number, other) in combinations(sections.items(), 2):
        place = f"source[{number + 1}] ({other.name})"
        if one.name == other.name:
            yield Problem(file, f"{place}.name", "is another source's name too", "give each source its own")
        if one.port == other.port != 0 and (one.host == other.host or {one.host, other.host} & _EVERYWHERE):
            yield Problem(file, f"{place}.port", f"{one.name} listens on {one.port} too", "give each source its own")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _load_mappings(
    path: Path, trial: TrialSection, sections: Mapping[int, MllpSection]
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
        if section.codes is not None:
            place = f"source[{number + 1}] ({section.name}).codes"
            codes, wrong = read_codes(path.parent / section.codes, protocol, asked_by=file, place=place)
            problems += wrong
        if codes is not None:
            sources.append(_source(section, codes, protocol))
    return protocol, tuple(sources), problems


def _source(section: MllpSection, codes: tuple[CodeRow, ...], protocol: Protocol) -> Source:
    rules = SourceRules(
        name=section.name,
        authority=section.authority,
        charset=section.charset,
        timezone=section.timezone or protocol.timezone,
        authorities=section.authorities,
        identifier_fields=tuple(section.identifier_fields),
        collection_time=tuple(section.collection_time),
        offset_from_msh7=section.offset_from_msh7,
        status_map=section.status_map,
        codes=codes,
    )
    allowed = _LOOPBACK if section.allow_from is None else section.allow_from
    intake = MllpIntake(
        host=section.host,
        port=section.port,
        allow_from=tuple(ipaddress.ip_network(text) for text in allowed),
        versions=tuple(section.versions),
        processing_ids=tuple(section.processing_ids),
        on_no_patient=section.on_no_patient,
        ignore_types=tuple(section.ignore_types),
        max_frame_bytes=section.max_frame_bytes,
        idle_timeout_seconds=section.idle_timeout,
        frame_timeout_seconds=section.frame_timeout,
        max_connections=section.max_connections,
    )
    return Source(section.kind, rules, intake)


# --- what the rest asks -------------------------------------------------------------------------------------------


def ruleset(config: Config, protocol: Protocol, rules_version: str) -> tuple[str, str]:
    """The id and the JSON of everything that changes what a result becomes: equal inputs give equal texts.

    The id is the SHA-256 of the JSON. Neither paths nor what only concerns the listening is in it. ``config`` gives
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


def shipped(name: str) -> Path:
    """A file or folder that comes with the adapter: ``config.example.toml``, ``mappings``.

    It lies beside the package in a checkout and inside it once installed. Raises FileNotFoundError.
    """
    package = Path(__file__).parent
    for folder in (package / "_shipped", package.parent):
        if (folder / name).exists():
            return folder / name
    raise FileNotFoundError(f"{name} is not part of this installation; install trial-lab-adapter again")
