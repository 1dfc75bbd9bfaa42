"""Bundles of FHIR (R4 2.36): a page into its resources byte for byte as sent, and the small Bundle that is kept.

What is kept of an Observation is a Bundle of type ``collection``: a Patient reduced to what the match needs, the
Observation and its Specimens exactly as they were sent. What is kept of a deletion is a Bundle of type ``history``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from adapter.codecs.fhir_check import RELEASES
from adapter.codecs.fhir_json import Fault, Tree, decode, object_of, objects_of, read_tree, spans, text_of, walk

VERSION_SYSTEM = "http://hl7.org/fhir/FHIR-version"  # FHIR's own code system for its releases
GONE = "410"
MOST_ENTRIES = 100_000  # of one Bundle; a file of more is NDJSON
_DELETED = (GONE, "204", "200")
_MOST_BUNDLES_IN_BUNDLES = 4
# Wider than FHIR's id ([A-Za-z0-9\-\.]{1,64}): a server's wrong id still names its resource.
_ID = re.compile(r"[!-~]{1,128}")
_URL = re.compile(r"[!-~]{1,1000}")
_ETAG = re.compile(r'(?:W/)?"([^"]{1,64})"')


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a Bundle, or a resource that stands alone. ``raw`` is empty where the entry holds no resource."""

    resource_type: str
    id: str
    raw: bytes = field(repr=False)
    version_id: str = ""
    last_updated: str = ""
    full_url: str = ""
    search_mode: str = ""  # match, include, outcome
    method: str = ""  # of a history: POST, PUT, DELETE
    status: str = ""  # response.status, its number alone
    last_modified: str = ""

    @property
    def control_id(self) -> str:
        """``Observation/77/_history/3``, or without the version where none was sent; "" where there is no id."""
        if not self.id:
            return self.full_url
        version = f"/_history/{self.version_id}" if self.version_id else ""
        return f"{self.resource_type}/{self.id}{version}"

    def is_named_by(self, reference: str) -> bool:
        """Whether a reference (R4 2.3.0.1) names this resource: relative, absolute, by ``fullUrl``, or contained."""
        bare = reference.partition("/_history/")[0]
        if not bare:
            return False
        if self.full_url and bare == self.full_url:
            return True
        if not self.id:
            return False
        return bare in (f"#{self.id}", f"urn:uuid:{self.id}") or bare.split("/")[-2:] == [self.resource_type, self.id]


@dataclass(frozen=True, slots=True)
class Page:
    """One Bundle. ``next`` is the link of that relation as sent, or None."""

    type: str
    entries: tuple[Entry, ...]
    next: str | None = None
    release: str = ""  # as a tag of ours names it

    def of_type(self, resource_type: str) -> tuple[Entry, ...]:
        """The entries that hold a resource of this type."""
        return tuple(e for e in self.entries if e.resource_type == resource_type and e.raw)


def split_bundle(raw: bytes) -> Page | Fault:
    """A page of a server, or what is kept, into its entries. Bundles within it are opened."""
    text = decode(raw)
    if isinstance(text, Fault):
        return text
    tree = walk(text)
    if isinstance(tree, Fault):
        return tree
    if not isinstance(tree, dict) or tree.get("resourceType") != "Bundle":
        return Fault("the document", "it is not a Bundle of FHIR")
    return _page(text, tree)


def split_file(raw: bytes) -> list[Entry | Fault]:
    """Every resource of a file: a Bundle, a resource alone, or one of either on each line (NDJSON)."""
    text = decode(raw)
    if isinstance(text, Fault):
        return [text]
    lines = [(n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    if len(lines) > 1 and all(line.lstrip().startswith("{") for _, line in lines) and isinstance(walk(text), Fault):
        return [_on_line(each, number) for number, line in lines for each in _resources(line)]
    return list(_resources(text))


def reduce_patient(raw: bytes) -> Mapping[str, object] | Fault:
    """What the match needs of a Patient: id, identifiers, birth date, gender, links. Names and addresses stay out."""
    text = decode(raw)
    tree = read_tree(text) if isinstance(text, str) else text
    return tree if isinstance(tree, Fault) else reduced(tree)


def reduced(patient: Tree) -> Mapping[str, object]:
    """The same of a Patient in hand."""
    found: dict[str, object] = {"resourceType": "Patient"}
    if text_of(patient, "id"):
        found["id"] = text_of(patient, "id")
    identifiers = [
        {name: said for name in ("system", "value") if (said := text_of(each, name))}
        for each in objects_of(patient, "identifier")
    ]
    found["identifier"] = [each for each in identifiers if each]
    found |= {name: said for name in ("birthDate", "gender") if (said := text_of(patient, name))}
    links = [
        {"other": {"reference": text_of(object_of(each, "other"), "reference")}, "type": text_of(each, "type")}
        for each in objects_of(patient, "link")
    ]
    return {**found, "link": links} if links else found


def compose(
    patient: Mapping[str, object],
    observation_raw: bytes,
    specimens_raw: Sequence[bytes] = (),
    *,
    release: str | None = None,
    patient_url: str = "",
    observation_url: str = "",
) -> bytes:
    """What is kept of one Observation. Equal arguments give equal bytes.

    ``release`` (R4, R4B, R5) is the server's, where it is known. The two URLs are ``fullUrl`` of the page, needed only
    where a reference or the Observation's own name is one (``urn:uuid:...``).
    """
    entries = [_entry(_dumped(patient), patient_url), _entry(observation_raw, observation_url)]
    return _bundle("collection", [*entries, *(_entry(raw) for raw in specimens_raw)], release)


def compose_patients(patients: Sequence[Mapping[str, object]]) -> bytes:
    """What is kept where the Patients themselves are the question: several for one identifier, or one replaced."""
    return _bundle("collection", [_entry(_dumped(patient)) for patient in patients])


def compose_deletion(
    patient: Mapping[str, object],
    reference: str,
    last_modified: str = "",
    *,
    status: str = GONE,
    version_id: str = "",
) -> bytes:
    """What is kept of an Observation (``Observation/77``) that its server no longer has.

    Status 410 (or 204 of a history) is a deletion; any other (404) says only that it is not there, and is asked.
    """
    method = "DELETE" if status in _DELETED else "GET"
    response = {"status": status}
    if version_id:
        response["etag"] = f'W/"{version_id}"'
    if last_modified:
        response["lastModified"] = last_modified
    gone = {"request": {"method": method, "url": reference}, "response": response}
    return _bundle("history", [_entry(_dumped(patient)), _dumped(gone)])


def _bundle(kind: str, entries: Sequence[bytes], release: str | None = None) -> bytes:
    tag = {"tag": [{"system": VERSION_SYSTEM, "code": RELEASES[release]}]} if release else None
    meta = b'"meta":' + _dumped(tag) + b"," if tag else b""
    return (
        b'{"resourceType":"Bundle",' + meta + b'"type":"' + kind.encode() + b'","entry":[' + b",".join(entries) + b"]}"
    )


def _entry(resource: bytes, full_url: str = "") -> bytes:
    url = b'"fullUrl":' + _dumped(full_url) + b"," if full_url else b""
    return b"{" + url + b'"resource":' + resource + b"}"


def _dumped(found: object) -> bytes:
    return json.dumps(found, separators=(",", ":")).encode("ascii")


def _on_line(found: Entry | Fault, number: int) -> Entry | Fault:
    return Fault(f"line {number}", found.why) if isinstance(found, Fault) else found


def _resources(text: str) -> Iterator[Entry | Fault]:
    tree = walk(text)
    if isinstance(tree, Fault):
        yield tree
    elif not isinstance(tree, dict) or not text_of(tree, "resourceType"):
        yield Fault("the document", "it is not a resource of FHIR: there is no resourceType")
    elif tree["resourceType"] == "Bundle":
        page = _page(text, tree)
        yield from [page] if isinstance(page, Fault) else page.entries
    else:
        yield _described(tree, {}, text.strip().encode())


def _page(text: str, tree: Tree, start: int = 0, depth: int = 1) -> Page | Fault:
    entries = list[Entry]()
    if len(objects_of(tree, "entry")) > MOST_ENTRIES:
        return Fault("Bundle.entry", f"there are more than {MOST_ENTRIES}")
    places = [(at, end) for name, at, end in spans(text, start) if name == "entry"]
    if len(places) > 1:
        return Fault("Bundle.entry", "is given twice")
    for number, (_, at, _) in enumerate(spans(text, places[0][0]) if isinstance(tree.get("entry"), list) else (), 1):
        found = _entries(text, at, tree["entry"][number - 1], f"entry[{number}]", depth)
        if isinstance(found, Fault):
            return found
        entries += found
    links = [text_of(each, "url") for each in objects_of(tree, "link") if text_of(each, "relation") == "next"]
    tags = objects_of(object_of(tree, "meta"), "tag")
    release = next((text_of(tag, "code") for tag in tags if text_of(tag, "system") == VERSION_SYSTEM), "")
    return Page(text_of(tree, "type"), tuple(entries), next(iter(links), None), release)


def _entries(text: str, start: int, tree: object, place: str, depth: int) -> list[Entry] | Fault:
    """The entry that begins at ``start``; several where it holds a Bundle itself."""
    if not isinstance(tree, dict):
        return Fault(place, "is not an object")
    places = [(at, end) for name, at, end in spans(text, start) if name == "resource"]
    if len(places) > 1:
        return Fault(place, "gives its resource twice")
    resource = tree.get("resource")
    if not isinstance(resource, dict):
        return [_described({}, tree, b"")]
    at, end = places[0]
    if resource.get("resourceType") != "Bundle":
        return [_described(resource, tree, text[at:end].encode("utf-8"))]
    if depth >= _MOST_BUNDLES_IN_BUNDLES:
        return Fault(place, "is a Bundle within too many others")
    page = _page(text, resource, at, depth + 1)
    return Fault(f"{place}.{page.place}", page.why) if isinstance(page, Fault) else list(page.entries)


def _described(resource: Tree, entry: Tree, raw: bytes) -> Entry:
    request, response = object_of(entry, "request"), object_of(entry, "response")
    meta = object_of(resource, "meta")
    kind, name = text_of(resource, "resourceType"), text_of(resource, "id")
    asked = text_of(request, "url").partition("/_history/")[0].split("/")[-2:]
    if not raw and len(asked) == 2:
        kind, name = asked
    etag = _ETAG.fullmatch(text_of(response, "etag"))
    return Entry(
        resource_type=kind if re.fullmatch(r"[A-Z][A-Za-z]{0,63}", kind) else "",
        id=name if _ID.fullmatch(name) else "",
        raw=raw,
        version_id=_token(text_of(meta, "versionId")) or (_token(etag[1]) if etag else ""),
        last_updated=text_of(meta, "lastUpdated"),
        full_url=url if _URL.fullmatch(url := text_of(entry, "fullUrl")) else "",
        search_mode=text_of(object_of(entry, "search"), "mode"),
        method=text_of(request, "method"),
        status=text_of(response, "status")[:3],
        last_modified=text_of(response, "lastModified"),
    )


def _token(text: str) -> str:
    return text if _ID.fullmatch(text) else ""
