"""Which addresses belong to a FHIR server, so that no token and no identity is sent to another."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

_PORTS = {"http": 80, "https": 443}
# A browser's URL parser takes a backslash for a slash, another does not; and urlsplit drops tabs and line ends.
_UNSAFE = re.compile(r"[\x00-\x20\x7f\\]")


class Origin(NamedTuple):
    """Scheme, host and port (RFC 6454); its ``str`` names no user, path or query."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if _PORTS[self.scheme] == self.port else f":{self.port}")


def origin_of(url: str) -> Origin | None:
    """The origin of an absolute http or https URL; None for anything else, a URL with a user in it included."""
    if _UNSAFE.search(url):
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc:
        return None
    return Origin(parts.scheme, parts.hostname, _PORTS[parts.scheme] if port is None else port)


def resolved(link: str, page_url: str) -> str | None:
    """A link of the page at ``page_url`` as an absolute URL without fragment (RFC 3986, 5); None where it is none."""
    if _UNSAFE.search(link):
        return None
    try:
        return urldefrag(urljoin(page_url, link)).url
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class ServiceBase:
    """The service base URL of a FHIR server (FHIR R4, 3.1.0.1.2), without a closing slash."""

    url: str
    origin: Origin

    @classmethod
    def read(cls, base_url: str) -> ServiceBase | None:
        """The base that a configuration names; None unless it is http or https without user, query or fragment."""
        origin = origin_of(base_url)
        if origin is None or "?" in base_url or "#" in base_url or _has_dot_segment(urlsplit(base_url).path):
            return None
        return cls(base_url.rstrip("/"), origin)

    def resolve(self, link: str, page_url: str) -> str | None:
        """A link of the page at ``page_url`` as an absolute URL; None where it leaves this base."""
        url = resolved(link, page_url)
        if url is None or origin_of(url) != self.origin:
            return None
        path, base_path = urlsplit(url).path, urlsplit(self.url).path
        beneath = path == base_path or path.startswith(f"{base_path}/")
        return url if beneath and not _has_dot_segment(path) else None


def _has_dot_segment(path: str) -> bool:
    """Whether a server or proxy could read a way upwards out of the path, however often it decodes it."""
    decoded = path
    while (once_more := unquote(decoded)) != decoded:
        decoded = once_more
    return any(segment in (".", "..") for segment in decoded.replace("\\", "/").split("/"))
