"""What a client of one FHIR server is told: where the server is, how to sign in, and its limits.

Secrets are handed over as they are; the caller has read them from the environment or a file. No ``repr`` shows one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

#: What the poller reads, as scopes of SMART App Launch 2 and as those of version 1.
SMART_SCOPES = ("system/Patient.rs", "system/Observation.rs")
SMART_V1_SCOPES = ("system/Patient.read", "system/Observation.read")


@dataclass(frozen=True, slots=True)
class NoAuth:
    """The server asks for no sign-in."""


@dataclass(frozen=True, slots=True)
class BasicAuth:
    """HTTP Basic, RFC 7617, in UTF-8."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class BearerAuth:
    """A bearer token that does not change, RFC 6750."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class MutualTls:
    """A client certificate; both files are PEM, the key without a passphrase."""

    certificate_file: Path
    key_file: Path


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """OAuth 2 client credentials, RFC 6749 section 4.4.

    ``token_url`` None: the server's ``.well-known/smart-configuration`` names it. ``credentials_in`` is where
    the token endpoint wants them (section 2.3.1): ``header``, ``client_secret_basic``, or ``form``,
    ``client_secret_post``.
    """

    client_id: str
    client_secret: str = field(repr=False)
    token_url: str | None = None
    scopes: tuple[str, ...] = ()
    credentials_in: Literal["header", "form"] = "header"


@dataclass(frozen=True, slots=True)
class SmartBackend:
    """SMART Backend Services: client credentials with a signed assertion (``private_key_jwt``, RFC 7523).

    ``private_key`` is a PEM without passphrase or one JWK: RSA signs with RS384, EC on P-384 with ES384. ``key_id``
    None: the JWK's ``kid``, else the key's thumbprint (RFC 7638). ``token_url`` as in :class:`ClientCredentials`.
    """

    client_id: str
    private_key: str = field(repr=False)
    key_id: str | None = None
    token_url: str | None = None
    scopes: tuple[str, ...] = SMART_SCOPES


Auth = NoAuth | BasicAuth | BearerAuth | MutualTls | ClientCredentials | SmartBackend


@dataclass(frozen=True, slots=True)
class FhirEndpoint:
    """One FHIR server.

    ``ca_bundle`` (PEM) is trusted in place of the public authorities that certifi lists. ``page_timeout_seconds``
    bounds one answer from its request to its last byte, give or take one read. ``max_tries`` and ``max_retry_seconds``
    bound what is asked again after a passing trouble. ``max_body_bytes`` counts after decompression. ``page_size``
    None: the server's own. ``search_by_get`` puts the patient's identifier into a URL, where logs and proxies keep it.
    """

    base_url: str
    auth: Auth = NoAuth()
    fhir_version: str | None = None  # R4 | R4B | R5; None: as the server's CapabilityStatement says
    ca_bundle: Path | None = None
    connect_timeout_seconds: float = 10.0
    read_timeout_seconds: float = 60.0
    page_timeout_seconds: float = 300.0
    max_tries: int = 6
    max_retry_seconds: float = 300.0
    max_pages: int = 1_000
    max_body_bytes: int = 64 * 2**20
    page_size: int | None = 100
    search_by_get: bool = False
