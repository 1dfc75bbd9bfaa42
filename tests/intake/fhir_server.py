"""A small FHIR server in memory, over real HTTP: search with paging, versions, deletions, and a clock of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import simplejson
from fhir_peer import Asked, FhirPeer, Scripted, outcome, serving

Resource = dict[str, Any]
_KNOWN = ("patient", "category", "code", "date", "_lastUpdated", "_include", "_count")


@dataclass
class Version:
    """One version of a resource; ``resource`` is None where this version deleted it."""

    number: int
    updated_at: datetime
    resource: Resource | None

    @property
    def updated(self) -> str:
        return self.updated_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass
class FhirServer:
    """Resources by type and id, each with all its versions. Every write is a second after the one before.

    ``unsupported`` parameters are refused (``admits_it``: and left out of the CapabilityStatement); ``everybody`` makes
    the server pass over whom it is asked for; ``forgets`` makes it answer 404 for what it deleted. ``before`` answers
    in its place, ``instead`` makes something else of its answer.
    """

    now: datetime = datetime(2026, 3, 1, 0, 0, tzinfo=UTC)
    version: str = "4.0.1"
    page_size: int = 1000
    unsupported: tuple[str, ...] = ()
    admits_it: bool = False
    everybody: bool = False
    forgets: bool = False
    has_history: bool = True
    forbidden: tuple[str, ...] = ()
    before: Callable[[Asked], Scripted | None] = lambda _: None
    instead: Callable[[Asked, Scripted], Scripted] = lambda _, answer: answer
    versions: dict[tuple[str, str], list[Version]] = field(default_factory=dict)
    _pages: dict[str, list[Resource]] = field(default_factory=dict)
    peer: FhirPeer | None = None

    # --- what the hospital does ---------------------------------------------------------------------------------

    def put(self, resource: Mapping[str, Any]) -> Version:
        """Make or update a resource; meta is the server's."""
        self.now += timedelta(seconds=1)
        held = self.versions.setdefault((resource["resourceType"], resource["id"]), [])
        version = Version(len(held) + 1, self.now, None)
        meta = {"versionId": str(version.number), "lastUpdated": version.updated}
        version.resource = {**resource, "meta": meta}
        held.append(version)
        return version

    def change(self, kind: str, name: str, **changes: Any) -> Version:
        """Update some elements; None takes one out."""
        current = self.current(kind, name)
        assert current is not None
        return self.put({k: v for k, v in {**current, **changes}.items() if v is not None})

    def delete(self, kind: str, name: str) -> None:
        self.now += timedelta(seconds=1)
        held = self.versions[kind, name]
        held.append(Version(len(held) + 1, self.now, None))

    def current(self, kind: str, name: str) -> Resource | None:
        held = self.versions.get((kind, name), [])
        return held[-1].resource if held else None

    def all(self, kind: str) -> list[Resource]:
        return [r for (k, name) in self.versions if k == kind and (r := self.current(k, name)) is not None]

    def forget(self) -> None:
        """Begin anew, with nothing in it."""
        self.versions.clear()
        self._pages.clear()

    # --- what it answers ----------------------------------------------------------------------------------------

    def answer(self, asked: Asked) -> Scripted:
        found = self.before(asked) or self.instead(asked, self._answer(asked))
        return replace(found, headers={"Date": format_datetime(self.now, usegmt=True), **found.headers})

    def _answer(self, asked: Asked) -> Scripted:
        parts = asked.path.removeprefix("/fhir/").split("/")
        parameters = [*asked.query, *asked.form.items()]
        if parts == ["metadata"]:
            return _json(self._capability())
        if parts == [""] or parts == ["/fhir"] or asked.path == "/fhir":
            return self._page(dict(parameters)["_getpages"])
        if parts[0] in self.forbidden:
            return outcome(403, "forbidden")
        if len(parts) == 1 or parts[1] == "_search":
            return self._search(parts[0], parameters)
        if parts[2:] == ["_history"]:
            return self._history(parts[0], parts[1])
        return self._read(parts[0], parts[1])

    def _capability(self) -> Resource:
        parameters = [p for p in _KNOWN if not (self.admits_it and p in self.unsupported)]
        interactions = ["read", "search-type", *(["history-instance"] if self.has_history else [])]
        observation = {
            "type": "Observation",
            "interaction": [{"code": code} for code in interactions],
            "searchParam": [{"name": name} for name in parameters],
            "searchInclude": ["Observation:specimen"] if "_include" in parameters else [],
        }
        rest = [{"mode": "server", "resource": [{"type": "Patient"}, observation]}]
        return {"resourceType": "CapabilityStatement", "fhirVersion": self.version, "rest": rest}

    def _read(self, kind: str, name: str) -> Scripted:
        held = self.versions.get((kind, name), [])
        if not held:
            return outcome(404, "not-found")
        if held[-1].resource is None:
            return outcome(404, "not-found") if self.forgets else outcome(410, "deleted")
        return _json(held[-1].resource)

    def _history(self, kind: str, name: str) -> Scripted:
        entries = []
        for version in reversed(self.versions.get((kind, name), [])):
            method = "DELETE" if version.resource is None else "PUT"
            entry: Resource = {"request": {"method": method, "url": f"{kind}/{name}"}}
            entry["response"] = {"status": "204", "etag": f'W/"{version.number}"', "lastModified": version.updated}
            entries.append(entry if version.resource is None else {**entry, "resource": version.resource})
        return _json({"resourceType": "Bundle", "type": "history", "entry": entries})

    def _search(self, kind: str, parameters: list[tuple[str, str]]) -> Scripted:
        for name, _ in parameters:
            if name in self.unsupported:
                return outcome(400, "not-supported", f'Unknown search parameter "{name}"')
        given = dict(parameters)
        found = [r for r in self.all(kind) if self._answers(r, kind, given)]
        entries = [_entry(r, "match") for r in found]
        size = min(self.page_size, int(given.get("_count", self.page_size)))
        chunks = [entries[n : n + size] for n in range(0, len(entries), size)] or [[]]
        if "_include" in given:
            chunks = [[*chunk, *self._included(chunk)] for chunk in chunks]
        names = [f"p{len(self._pages) + n}" for n in range(len(chunks))]
        for n, (name, chunk) in enumerate(zip(names, chunks, strict=True)):
            links = [{"relation": "next", "url": f"/fhir?_getpages={names[n + 1]}"}] if n + 1 < len(names) else []
            self._pages[name] = [{"link": links, "entry": chunk}]
        return self._page(names[0])

    def _page(self, name: str) -> Scripted:
        if name not in self._pages:
            return outcome(410, "not-found")
        return _json({"resourceType": "Bundle", "type": "searchset", **self._pages[name][0]})

    def _included(self, entries: Iterable[Resource]) -> Iterator[Resource]:
        named = {e["resource"].get("specimen", {}).get("reference") for e in entries}
        yield from (_entry(r, "include") for r in self.all("Specimen") if f"Specimen/{r['id']}" in named)

    def _answers(self, resource: Resource, kind: str, given: Mapping[str, str]) -> bool:
        if kind == "Patient":
            stated = [f"{i['system']}|{i['value']}" for i in resource.get("identifier", [])]
            return self.everybody or given["identifier"] in stated
        codes = {c["code"] for c in resource["code"].get("coding", [])}
        categories = {c["code"] for each in resource.get("category", []) for c in each["coding"]}
        effective = resource.get("effectiveDateTime", "")
        return (
            (self.everybody or resource["subject"]["reference"] == f"Patient/{given['patient']}")
            and given.get("category") in (None, *categories)
            and ("code" not in given or bool(codes & {c.rpartition("|")[2] for c in given["code"].split(",")}))
            and ("date" not in given or effective[:10] >= given["date"].removeprefix("ge"))
            and resource["meta"]["lastUpdated"] >= given.get("_lastUpdated", "ge").removeprefix("ge")
        )

    # --- what it was asked --------------------------------------------------------------------------------------

    @property
    def asked(self) -> list[Asked]:
        assert self.peer is not None
        return self.peer.asked

    def searches(self) -> list[dict[str, str]]:
        """The parameters of each search of Observation, in their order; further pages are no searches."""
        return [dict(a.query) for a in self.asked if a.path == "/fhir/Observation"]

    def urls(self) -> str:
        return "\n".join(a.target for a in self.asked)


@contextmanager
def fhir_server(**settings: Any) -> Iterator[FhirServer]:
    """The server on a port of the system's choice."""
    server = FhirServer(**settings)
    with serving() as peer:
        peer.handler = server.answer
        server.peer = peer
        yield server


def patient(name: str, number: str, *, system: str = "urn:oid:1.2.3.4", **more: Any) -> Resource:
    family = {"name": [{"family": f"Unmistakable{name}"}]}
    return {
        "resourceType": "Patient",
        "id": name,
        "identifier": [{"system": system, "value": number}],
        **family,
        **more,
    }


def observation(name: str, of: str, value: str = "35", **changes: Any) -> Resource:
    """A final ALT of the laboratory at week 4; None takes an element out."""
    from decimal import Decimal

    quantity = {"value": Decimal(value), "unit": "U/L", "system": "http://unitsofmeasure.org", "code": "U/L"}
    found = {
        "resourceType": "Observation",
        "id": name,
        "status": "final",
        "category": [{"coding": [{"code": "laboratory"}]}],
        "code": coded("1742-6"),
        "subject": {"reference": f"Patient/{of}"},
        "effectiveDateTime": "2026-02-02T08:00:00+08:00",
        "valueQuantity": quantity,
        **changes,
    }
    return {key: each for key, each in found.items() if each is not None}


def coded(code: str, system: str = "http://loinc.org", display: str = "") -> Resource:
    return {"coding": [{"system": system, "code": code, **({"display": display} if display else {})}]}


def _entry(resource: Resource, mode: str) -> Resource:
    return {"resource": resource, "search": {"mode": mode}}


def _json(document: Mapping[str, Any]) -> Scripted:
    return Scripted(200, simplejson.dumps(document, use_decimal=True, ensure_ascii=False).encode())


def parameters_of(asked: Asked) -> list[tuple[str, str]]:
    return [*parse_qsl(urlsplit(asked.target).query), *parse_qsl(asked.body.decode())]
