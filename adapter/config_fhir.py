"""``[[source]]`` of kind ``fhir``: observations that are asked of a FHIR server.

No secret is in the file: ``password_env`` or ``password_file`` says where it is, and it is looked up when the server is
first asked, so that commands which ask no server need none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

from adapter.config_mllp import is_loopback
from adapter.config_shapes import AssessmentSection, Duration, SourceSection, assessment_codes
from adapter.mappings import Problem
from adapter.mappings.problems import Shape, Text, between, distinct, fault, matching, one_of
from adapter.mappings.shapes import Zone
from adapter.model import CodeRow, SourceRules

AUTH_KINDS = ("none", "basic", "bearer", "mtls", "client_credentials", "smart")
_NEEDS_SECRET = {"basic", "bearer", "client_credentials"}
# By kind of sign-in: the keys that must be there, and those that may.
_NEEDED = {
    "basic": ("user",),
    "mtls": ("cert_file", "key_file"),
    "client_credentials": ("client_id",),
    "smart": ("client_id", "key_file"),
}
_TAKEN = {
    "client_credentials": ("token_url", "scopes", "token_auth_method"),
    "smart": ("token_url", "scopes", "key_id"),
}

# crontab(5): lowest and highest number of each field, and its words. Days of the week have names alone, because their
# numbers mean different days in different programs.
_CRON_FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day", 1, 31, ()),
    ("month", 1, 12, ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")),
    ("weekday", 0, 6, ("mon", "tue", "wed", "thu", "fri", "sat", "sun")),
)
_CRON_PART = re.compile(
    r"(?P<first>\*|[0-9]{1,2}|[a-z]{3})(?:-(?P<last>[0-9]{1,2}|[a-z]{3}))?(?:/(?P<step>[1-9][0-9]?))?"
)


def _base_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise fault(f"{url!r} is not the address of a FHIR server", 'write one such as "https://fhir.example/r4"')
    if parts.username is not None or parts.password is not None:
        raise fault("the address holds a sign-in", "take it away and write [source.auth]")
    if parts.query or parts.fragment:
        raise fault(f"{url!r} holds more than an address", "write it up to the path, without ? and #")
    return url.rstrip("/")


def _endpoint_url(url: str) -> str:
    _base_url(url.partition("?")[0])
    return url


def _crontab(text: str) -> str:
    fields = text.split()
    if len(fields) != len(_CRON_FIELDS):
        raise fault(f"{text!r} has {len(fields)} fields", 'write minute, hour, day, month, weekday, as "0 6 * * *"')
    for field, (name, lowest, highest, words) in zip(fields, _CRON_FIELDS, strict=True):
        for part in field.split(","):
            if not _is_cron_part(part, lowest, highest, words):
                known = "mon to sun" if name == "weekday" else f"{lowest} to {highest}"
                raise fault(f"{part!r} is no {name} of a crontab", f"write *, */n, or values and ranges of {known}")
    return " ".join(fields)


def _is_cron_part(part: str, lowest: int, highest: int, words: tuple[str, ...]) -> bool:
    found = _CRON_PART.fullmatch(part)
    if found is None:
        return False
    first, last, step = found["first"], found["last"], found["step"]
    if first == "*":
        return last is None and (step is None or int(step) <= highest - lowest)
    ends = [first] if last is None else [first, last]
    if all(end in words for end in ends):
        return step is None and words.index(ends[0]) <= words.index(ends[-1])
    if len(words) == 7 or not all(end.isdigit() for end in ends):
        return False
    numbers = [int(end) for end in ends]
    fits = lowest <= numbers[0] <= numbers[-1] <= highest
    return fits and (step is None or (last is not None and int(step) <= numbers[-1] - numbers[0]))


class AuthSection(Shape):
    """``[source.auth]``: which keys are needed depends on ``kind``."""

    kind: Annotated[str, one_of(*AUTH_KINDS)] = "none"
    user: Text | None = None
    password_env: Annotated[str, matching("[A-Za-z_][A-Za-z0-9_]*", "the name of a variable")] | None = None
    password_file: Text | None = None
    client_id: Text | None = None
    token_url: Annotated[str, AfterValidator(_endpoint_url)] | None = None
    scopes: list[Text] | None = None
    key_file: Text | None = None
    key_id: Text | None = None
    token_auth_method: Annotated[str, one_of("client_secret_basic", "client_secret_post")] | None = None
    cert_file: Text | None = None


class FhirSection(SourceSection):
    """``[[source]]`` of kind ``fhir``."""

    base_url: Annotated[str, AfterValidator(_base_url)]
    fhir_version: Annotated[str, one_of("R4", "R4B", "R5")] | None = None
    poll_every: Duration | None = None
    poll_cron: Annotated[str, AfterValidator(_crontab)] | None = None
    jitter: Duration = 15
    identifier_system: dict[Text, Text]
    authority: Text | None = None
    timezone: Zone | None = None
    codes: Text | None = None
    assessment: list[AssessmentSection] = []
    category: str = "laboratory"
    only_codes: Annotated[list[Text], AfterValidator(distinct)] = []
    search_by_get: bool = False
    overlap: Duration = 600
    lookback_days: Annotated[int, between(0, 3660)] = 30
    sweep_every: Duration = 86_400
    page_size: Annotated[int, between(1, 1000)] = 100
    max_pages: Annotated[int, between(1, 100_000)] = 1000
    max_body_bytes: Annotated[int, between(1024, 2**30)] = 64 * 2**20
    connect_timeout: Duration = 10
    read_timeout: Duration = 60
    page_timeout: Duration = 300
    ca_bundle: Text | None = None
    auth: AuthSection = AuthSection()


DEFAULT_POLL_SECONDS = 300


@dataclass(frozen=True, slots=True)
class FhirAuth:
    """How a source signs in. Paths are resolved; the secret itself is read by whoever asks the server."""

    kind: str
    user: str | None
    password_env: str | None
    password_file: Path | None
    client_id: str | None
    token_url: str | None
    scopes: tuple[str, ...] | None
    key_file: Path | None
    key_id: str | None
    token_auth_method: str | None  # client_secret_basic | client_secret_post
    cert_file: Path | None


@dataclass(frozen=True, slots=True)
class FhirIntake:
    """What the poller of one source needs. One of ``poll_every_seconds`` and ``poll_cron`` is there.

    ``systems`` holds, by the roster's name of an authority, the ``identifier.system`` under which the server knows it.
    """

    base_url: str
    fhir_version: str | None  # R4 | R4B | R5; None: as the server's CapabilityStatement says
    poll_every_seconds: int | None
    poll_cron: str | None
    jitter_seconds: int
    systems: Mapping[str, str]
    category: str
    only_codes: tuple[str, ...]
    assessment_codes: tuple[str, ...]  # "code" or "system|code", asked for whatever category they are in
    search_by_get: bool
    overlap_seconds: int
    lookback_days: int
    sweep_every_seconds: int
    page_size: int
    max_pages: int
    max_body_bytes: int
    connect_timeout_seconds: int
    read_timeout_seconds: int
    page_timeout_seconds: int
    ca_bundle: Path | None
    auth: FhirAuth


def check_fhir(sections: Mapping[int, FhirSection], file: str) -> Iterator[Problem]:
    """What is wrong with polled sources beyond their shape; they stand by their place in the file."""
    for number, section in sections.items():
        place = f"source[{number + 1}] ({section.name})"
        if section.poll_every is not None and section.poll_cron is not None:
            yield Problem(file, f"{place}.poll_cron", "stands beside poll_every", "keep one of the two")
        if not section.identifier_system:
            remedy = 'name the system of each authority, such as { NTCGH = "urn:oid:1.2.3.4" }'
            yield Problem(file, f"{place}.identifier_system", "is empty, so nobody can be asked for", remedy)
        systems = list(section.identifier_system.values())
        for system in {each for each in systems if systems.count(each) > 1}:
            cause = f"{system!r} stands for two authorities"
            yield Problem(file, f"{place}.identifier_system", cause, "give each authority its own system")
        yield from _check_auth(section.auth, file, f"{place}.auth")
        plain = urlsplit(section.base_url)
        if plain.scheme == "http" and not is_loopback(plain.hostname or ""):
            cause = "is not encrypted: patients' identifiers and results can be read on the way"
            yield Problem(file, f"{place}.base_url", cause, "use https, unless it is meant", warning=True)


def _check_auth(auth: AuthSection, file: str, place: str) -> Iterator[Problem]:
    needed = _NEEDED.get(auth.kind, ())
    secret = ("password_env", "password_file") if auth.kind in _NEEDS_SECRET else ()
    given = {name for name in AuthSection.model_fields if name != "kind" and getattr(auth, name) is not None}
    for name in needed:
        if name not in given:
            yield Problem(file, f"{place}.{name}", f'is missing, and kind "{auth.kind}" needs it', f"add {name} = ...")
    if secret and not given & set(secret):
        cause = f'is missing, and kind "{auth.kind}" needs it'
        yield Problem(file, f"{place}.password_env", cause, "add password_env or password_file")
    if given >= {"password_env", "password_file"}:
        yield Problem(file, f"{place}.password_file", "stands beside password_env", "keep one of the two")
    for name in sorted(given - {*needed, *secret, *_TAKEN.get(auth.kind, ())}):
        yield Problem(file, f"{place}.{name}", f'is of no use to kind "{auth.kind}"', "remove it, or choose its kind")


def fhir_rules(section: FhirSection, codes: tuple[CodeRow, ...], timezone: str) -> SourceRules:
    """What the rules know of a polled source; ``timezone`` is the trial's.

    An identifier that names no system is of ``authority``; where that is not configured it is nobody's.
    """
    return SourceRules(
        name=section.name,
        authority=section.authority or "",
        charset="utf-8",
        timezone=section.timezone or timezone,
        authorities={system: authority for authority, system in section.identifier_system.items()},
        codes=codes,
        assessments=assessment_codes(section.assessment),
    )


def fhir_intake(section: FhirSection, folder: Path) -> FhirIntake:
    """What the poller of a source needs; its files lie relative to ``folder``."""
    every = section.poll_every
    auth = section.auth
    return FhirIntake(
        base_url=section.base_url,
        fhir_version=section.fhir_version,
        poll_every_seconds=DEFAULT_POLL_SECONDS if every is None and section.poll_cron is None else every,
        poll_cron=section.poll_cron,
        jitter_seconds=section.jitter,
        systems=section.identifier_system,
        category=section.category.strip(),
        only_codes=tuple(section.only_codes),
        assessment_codes=tuple(
            row.code if row.system is None else f"{row.system}|{row.code}" for row in section.assessment
        ),
        search_by_get=section.search_by_get,
        overlap_seconds=section.overlap,
        lookback_days=section.lookback_days,
        sweep_every_seconds=section.sweep_every,
        page_size=section.page_size,
        max_pages=section.max_pages,
        max_body_bytes=section.max_body_bytes,
        connect_timeout_seconds=section.connect_timeout,
        read_timeout_seconds=section.read_timeout,
        page_timeout_seconds=section.page_timeout,
        ca_bundle=_path(folder, section.ca_bundle),
        auth=FhirAuth(
            kind=auth.kind,
            user=auth.user,
            password_env=auth.password_env,
            password_file=_path(folder, auth.password_file),
            client_id=auth.client_id,
            token_url=auth.token_url,
            scopes=None if auth.scopes is None else tuple(auth.scopes),
            key_file=_path(folder, auth.key_file),
            key_id=auth.key_id,
            token_auth_method=auth.token_auth_method,
            cert_file=_path(folder, auth.cert_file),
        ),
    )


def _path(folder: Path, name: str | None) -> Path | None:
    return None if name is None else folder / name
