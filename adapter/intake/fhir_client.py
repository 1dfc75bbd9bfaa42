"""A client of one FHIR server (R4, R4B, R5): what the poller asks, page by page, by the server's own bytes.

Every request goes to the service base of the settings and nowhere else; a patient's identifier travels in the body of a
POST (FHIR R4, 3.1.1.4.1). One thread at a time.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import SystemRandom
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from adapter.intake.fhir_address import ServiceBase
from adapter.intake.fhir_auth import sign_in_to
from adapter.intake.fhir_http import Answer, Ask, FhirError, Transport
from adapter.intake.fhir_outcome import named_parameter, refusal
from adapter.intake.fhir_settings import FhirEndpoint

__all__ = ["Capability", "FhirClient", "FhirEndpoint", "FhirError", "RawPage", "Reply"]

Parameters = Sequence[tuple[str, str]]

_REFERENCE = re.compile(
    r"[A-Z][A-Za-z]{1,63}/(?!\.+(?:/|$))[A-Za-z0-9.-]{1,64}(/_history/(?!\.+$)[A-Za-z0-9.-]{1,64})?"
)
_VERSIONS = {"4.0": "R4", "4.1": "R4B", "4.3": "R4B", "5.0": "R5"}
_RESERVED = re.compile(r"[\\$,|]")  # FHIR R4, 3.1.1.4.0.1: these mean something in a search value
_SYSTEM_RANDOM = SystemRandom()
_HEADERS = {"Accept": "application/fhir+json"}
# A server that passes over a parameter it does not know would answer with other patients' resources.
_SEARCH_HEADERS = {**_HEADERS, "Prefer": "handling=strict"}


@dataclass(frozen=True, slots=True)
class RawPage:
    """One Bundle as it was sent, and the server's clock (the Date header; None where it sends none)."""

    body: bytes = field(repr=False)
    server_date: datetime | None


@dataclass(frozen=True, slots=True)
class Reply:
    """What reading one resource gave: 200 with the resource as it was sent, or 404 or 410 without.

    ``last_modified`` is the header of that name; None where the server sends none.
    """

    status: int
    body: bytes = field(repr=False)
    last_modified: datetime | None


@dataclass(frozen=True, slots=True)
class Capability:
    """What the server says of itself (CapabilityStatement.rest of mode server, its Observation).

    A search parameter counts as supported unless the statement lists the parameters and it is not among them; an
    _include, as the standard has it, only where it is listed.
    """

    fhir_version: str  # R4 | R4B | R5
    supports_last_updated: bool
    supports_category: bool
    supports_code: bool
    supports_date: bool
    supports_specimen_include: bool
    supports_history: bool


class FhirClient:
    """Asks one FHIR server. Every method raises :class:`FhirError`.

    A method that gives pages asks for the first at once and for each further one when it is taken.
    """

    def __init__(
        self,
        settings: FhirEndpoint,
        *,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = _SYSTEM_RANDOM.random,
    ) -> None:
        base = ServiceBase.read(settings.base_url)
        if base is None:
            remedy = "write http:// or https://, host and path alone; user and password belong in auth"
            raise FhirError("base_url", "it is not the address of a FHIR server", remedy)
        self._settings = settings
        self._base = base
        self._transport = Transport(settings, sleep=sleep, now=now, monotonic=monotonic, random=random)
        self._sign_in = sign_in_to(settings, base, self._transport, now=now, monotonic=monotonic)
        self._capability: Capability | None = None

    def __enter__(self) -> FhirClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are kept open."""
        self._transport.close()

    def capability(self) -> Capability:
        """The server's CapabilityStatement, asked once. Settings that name a ``fhir_version`` have the last word."""
        if self._capability is None:
            place = f"{self._base.url}: CapabilityStatement"
            answer = self._fetch(place, f"{self._base.url}/metadata", _HEADERS)
            self._capability = _read_capability(_resource(place, answer, "CapabilityStatement"), place, self._settings)
        return self._capability

    def find_patients(self, system: str, value: str) -> Iterator[RawPage]:
        """The patients with an identifier of this system and value (both as they are, unescaped)."""
        place = f"{self._base.url}: search of Patient by identifier"
        if not system or not value:
            raise FhirError(place, "system or value of the identifier is empty", "check identifier_system and roster")
        parameters = self._sized([("identifier", f"{_escaped(system)}|{_escaped(value)}")])
        return self._search(place, f"{self._base.url}/Patient", parameters, keep_from_urls={"identifier"})

    def observations(self, params: Iterable[tuple[str, str]], *, by_post: bool = False) -> Iterator[RawPage]:
        """The pages of a search of Observation, in the server's order; ``params`` as names and values, unencoded.

        ``by_post`` keeps the patient out of URLs, unless the settings say ``search_by_get``. Where the server does not
        know one of the parameters (other than patient and subject, without which there is nothing to ask) the error's
        ``unsupported_parameter`` is true.
        """
        place, url = f"{self._base.url}: search of Observation", f"{self._base.url}/Observation"
        if by_post:
            return self._search(place, url, self._sized(params), keep_from_urls={"patient", "subject"})
        return self._pages(place, url, self._sized(params))

    def read(self, reference: str) -> Reply:
        """The resource of a literal reference, relative or beneath the service base, also of one version."""
        relative = self._relative(reference)
        resource_type = relative.partition("/")[0]
        place = f"{self._base.url}: read of {resource_type}"
        answer = self._ask(lambda headers: Ask(place, f"{self._base.url}/{relative}", headers), _HEADERS)
        if answer.status in (404, 410):
            return Reply(answer.status, b"", answer.instant("Last-Modified"))
        if answer.status != 200:
            raise refusal(place, answer)
        _resource(place, answer, resource_type)
        return Reply(answer.status, answer.body, answer.instant("Last-Modified"))

    def history(self, reference: str) -> Iterator[RawPage]:
        """All versions of one resource, as pages of a Bundle of type history (FHIR R4, 3.1.0.9)."""
        relative = self._relative(reference)
        place = f"{self._base.url}: history of {relative.partition('/')[0]}"
        return self._pages(place, f"{self._base.url}/{relative}/_history", self._sized([]))

    # --- one request --------------------------------------------------------------------------------------------

    def _fetch(
        self,
        place: str,
        url: str,
        headers: Mapping[str, str],
        parameters: Parameters = (),
        *,
        form: tuple[tuple[str, str], ...] | None = None,
    ) -> Answer:
        """An answer of status 200; ``parameters`` are those in the URL or the form, for the words of a refusal."""
        answer = self._ask(lambda signed: Ask(place, url, signed, form), headers)
        if answer.status != 200:
            raise refusal(place, answer, named_parameter(answer, [name for name, _ in parameters]))
        return answer

    def _ask(self, make: Callable[[Mapping[str, str]], Ask], headers: Mapping[str, str]) -> Answer:
        """An answer of any status that is not asked again; after a 401 once more with another token."""

        def signed() -> Ask:
            authorization = self._sign_in.authorization()
            return make(headers if authorization is None else {**headers, "Authorization": authorization})

        answer = self._transport.send(signed)
        if answer.status == 401 and self._sign_in.renew():
            answer = self._transport.send(signed)
        return answer

    def _relative(self, reference: str) -> str:
        relative = reference.removeprefix(f"{self._base.url}/")
        if _REFERENCE.fullmatch(relative) is None:
            cause = "a reference is none to a resource of this server"
            raise FhirError(self._base.url, cause, "ask the server's operators where the resource is")
        return relative

    # --- pages --------------------------------------------------------------------------------------------------

    def _sized(self, params: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        parameters = list(params)
        if self._settings.page_size is not None and all(name != "_count" for name, _ in parameters):
            parameters.append(("_count", str(self._settings.page_size)))
        return parameters

    def _search(self, place: str, url: str, parameters: Parameters, *, keep_from_urls: Set[str]) -> Iterator[RawPage]:
        """The pages of a search by POST, or by GET where the settings say so."""
        if self._settings.search_by_get:
            return self._pages(place, url, parameters)
        first = self._fetch(place, f"{url}/_search", _SEARCH_HEADERS, parameters, form=tuple(parameters))
        # Relative links are read as those of the GET that this POST stands for.
        return self._follow(place, first, url, keep_from_urls)

    def _pages(self, place: str, url: str, parameters: Parameters) -> Iterator[RawPage]:
        if parameters:
            url = f"{url}?{urlencode(parameters)}"
        first = self._fetch(place, url, _SEARCH_HEADERS, parameters)
        return self._follow(place, first, url)

    def _follow(
        self, place: str, answer: Answer, url: str, keep_from_urls: Set[str] = frozenset()
    ) -> Iterator[RawPage]:
        """The pages from this one on. No link is followed that leaves the base or that was followed before."""
        followed = {url}
        for number in range(1, self._settings.max_pages + 1):
            bundle = _resource(place, answer, "Bundle")
            yield RawPage(answer.body, answer.instant("Date"))
            link = _next_link(bundle, place)
            if link is None:
                return
            next_url = self._checked_next(place, link, url, number, keep_from_urls)
            if next_url in followed:
                raise _untrusted(place, number, "is one that was followed before", "the pages would never end")
            followed.add(next_url)
            url = next_url
            answer = self._fetch(place, url, _SEARCH_HEADERS)
        cause = f"there are more than {self._settings.max_pages} pages"
        raise FhirError(place, cause, "raise max_pages or page_size, or ask for less")

    def _checked_next(self, place: str, link: str, page_url: str, number: int, keep_from_urls: Set[str]) -> str:
        url = self._base.resolve(link, page_url)
        if url is None:
            remedy = "no token was sent there; let server and proxy name their pages by base_url, or set it to theirs"
            raise _untrusted(place, number, "leaves the scheme, host, port or path of base_url", remedy)
        names = {name.partition(":")[0] for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)}
        if names & keep_from_urls:
            remedy = "it was not followed; set search_by_get where the server's logs may hold identifiers"
            raise _untrusted(place, number, "holds the patient's identifier", remedy)
        return url


def _untrusted(place: str, number: int, what: str, remedy: str) -> FhirError:
    return FhirError(place, f"the next link of page {number} {what}", remedy)


def _escaped(value: str) -> str:
    return _RESERVED.sub(r"\\\g<0>", value)


def _resource(place: str, answer: Answer, resource_type: str) -> dict[str, Any]:
    document = answer.document
    if not isinstance(document, dict) or document.get("resourceType") != resource_type:
        cause = f"the answer is no {resource_type}"
        raise FhirError(place, cause, "check that base_url is the service base of a FHIR server", status=answer.status)
    return document


def _next_link(bundle: Mapping[str, Any], place: str) -> str | None:
    """Bundle.link of relation next."""
    links = bundle.get("link", [])
    for link in links if isinstance(links, list) else []:
        if isinstance(link, dict) and link.get("relation") == "next":
            url = link.get("url")
            if not isinstance(url, str) or not url:
                raise FhirError(place, "a next link has no url", "ask those who run the server")
            return url
    return None


def _read_capability(statement: Mapping[str, Any], place: str, settings: FhirEndpoint) -> Capability:
    stated = str(statement.get("fhirVersion", ""))
    version = settings.fhir_version or _VERSIONS.get(".".join(stated.split(".")[:2]))
    if version is None:
        cause = "its fhirVersion is none of R4 (4.0), R4B (4.3) and R5 (5.0)"
        raise FhirError(place, cause, "set fhir_version if the server answers in one of them all the same")
    servers = [rest for rest in _tables(statement, "rest") if rest.get("mode", "server") == "server"]
    observation = [row for rest in servers for row in _tables(rest, "resource") if row.get("type") == "Observation"]
    own = {one.get("name") for row in observation for one in _tables(row, "searchParam")}
    listed = own | {one.get("name") for rest in servers for one in _tables(rest, "searchParam")}
    includes = {str(text) for row in observation for text in row.get("searchInclude") or ()}
    interactions = {one.get("code") for row in observation for one in _tables(row, "interaction")}

    def supports(parameter: str) -> bool:
        return not own or parameter in listed

    return Capability(
        fhir_version=version,
        supports_last_updated=supports("_lastUpdated"),
        supports_category=supports("category"),
        supports_code=supports("code"),
        supports_date=supports("date"),
        supports_specimen_include=not includes.isdisjoint({"Observation:specimen", "Observation:*", "*"}),
        supports_history="history-instance" in interactions,
    )


def _tables(owner: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    rows = owner.get(name)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
