"""``[[source]]`` of kind ``mllp``: HL7 v2 over MLLP, the adapter listening."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Annotated

from pydantic import AfterValidator

from adapter.codecs.charset import CODECS, codec_of
from adapter.config_shapes import AssessmentSection, Duration, SourceSection, assessment_codes
from adapter.mappings import Problem
from adapter.mappings.problems import Text, between, choose_from, distinct, fault, matching, one_of, some
from adapter.mappings.shapes import Zone
from adapter.model import CodeRow, SourceRules

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

VERSIONS = ("2.1", "2.2", "2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.8")

_LOOPBACK = ("127.0.0.0/8", "::1/128")
_EVERYWHERE = {"0.0.0.0", "::"}  # noqa: S104 - the addresses are compared with, not listened on


def _network(text: str) -> str:
    try:
        ipaddress.ip_network(text)
    except ValueError as error:
        raise fault(f"{text!r} is not a network: {error}", 'write CIDR such as "10.1.2.0/24"') from None
    return text


def _codec(name: str) -> str:
    codec = codec_of(name)
    if codec is None:
        raise fault(f"{name!r} is not a character set that is known here", choose_from(name, CODECS))
    return codec


def _ignorable(text: str) -> str:
    if text in ("ORU", "ORU^R01", "ADT^A34", "ADT^A40"):
        raise fault(f"{text} carries results or merged identifiers and is always taken", "leave it out")
    return text


PidField = Annotated[str, one_of("PID-2", "PID-3", "PID-4", "PID-18")]
TimeField = Annotated[str, one_of("SPM-17", "OBR-7", "OBX-14")]
HL7Version = Annotated[str, matching(r"2\.[0-9](\.[0-9])?", "a version of HL7 such as 2.5.1")]
ProcessingId = Annotated[str, one_of("P", "T", "D", "")]
ResultStatus = Annotated[str, one_of(*"PRSIFVCAUDWXNO")]
MessageType = Annotated[str, matching(r"[A-Z0-9]{3}(\^[A-Z0-9]{3})?", "a type such as ADT or ADT^A08")]


class MllpSection(SourceSection):
    """``[[source]]`` of kind ``mllp``."""

    host: Text = "127.0.0.1"
    port: Annotated[int, between(0, 65535)]
    allow_from: list[Annotated[str, AfterValidator(_network)]] | None = None
    versions: Annotated[list[HL7Version], AfterValidator(some), AfterValidator(distinct)] = list(VERSIONS)
    processing_ids: Annotated[list[ProcessingId], AfterValidator(some), AfterValidator(distinct)] = ["P", ""]
    authority: Text
    charset: Annotated[str, AfterValidator(_codec)] = "utf-8"
    timezone: Zone | None = None
    codes: Text | None = None
    assessment: list[AssessmentSection] = []
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


def check_mllp(sections: Mapping[int, MllpSection], file: str) -> Iterator[Problem]:
    """What is wrong with listening sources beyond their shape; they stand by their place in the file."""
    for number, section in sections.items():
        place = f"source[{number + 1}] ({section.name}).allow_from"
        if section.allow_from is None and not is_loopback(section.host):
            cause = f"is missing, and {section.host} can be reached from beyond this machine"
            yield Problem(file, place, cause, 'list who may connect, such as ["10.1.2.3/32"]')
        elif section.allow_from == []:
            yield Problem(file, place, "is empty, so nobody may connect", 'list who may, such as ["10.1.2.3/32"]')
        elif any(ipaddress.ip_network(text).prefixlen == 0 for text in section.allow_from or ()):
            cause = "lets everybody connect who can reach the port"
            yield Problem(file, place, cause, "list the senders alone, unless it is meant", warning=True)
    for (_, one), (number, other) in combinations(sections.items(), 2):
        place = f"source[{number + 1}] ({other.name})"
        if one.port == other.port != 0 and (one.host == other.host or {one.host, other.host} & _EVERYWHERE):
            yield Problem(file, f"{place}.port", f"{one.name} listens on {one.port} too", "give each source its own")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def mllp_rules(section: MllpSection, codes: tuple[CodeRow, ...], timezone: str) -> SourceRules:
    """What the rules know of a listening source; ``timezone`` is the trial's."""
    return SourceRules(
        name=section.name,
        authority=section.authority,
        charset=section.charset,
        timezone=section.timezone or timezone,
        authorities=section.authorities,
        identifier_fields=tuple(section.identifier_fields),
        collection_time=tuple(section.collection_time),
        offset_from_msh7=section.offset_from_msh7,
        status_map=section.status_map,
        codes=codes,
        assessments=assessment_codes(section.assessment),
    )


def mllp_intake(section: MllpSection) -> MllpIntake:
    """What the listener of a source needs."""
    allowed = _LOOPBACK if section.allow_from is None else section.allow_from
    return MllpIntake(
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
