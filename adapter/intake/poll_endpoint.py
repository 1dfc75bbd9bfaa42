"""From the configuration of a FHIR source to what its client is told; secrets are fetched here, when one is needed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from adapter.config_fhir import FhirAuth, FhirIntake
from adapter.intake.fhir_client import FhirEndpoint, FhirError
from adapter.intake.fhir_settings import (
    SMART_SCOPES,
    Auth,
    BasicAuth,
    BearerAuth,
    ClientCredentials,
    MutualTls,
    NoAuth,
    SmartBackend,
)

# RFC 7591, section 2: token_endpoint_auth_method
_PLACES: Mapping[str | None, Literal["header", "form"]] = {
    None: "header",
    "client_secret_basic": "header",
    "client_secret_post": "form",
}


def endpoint_of(source: str, intake: FhirIntake) -> FhirEndpoint:
    """What the client of a source is told. Raises FhirError where a secret is not where the configuration says."""
    return FhirEndpoint(
        base_url=intake.base_url,
        auth=_auth(f"source {source}: auth", intake.auth),
        fhir_version=intake.fhir_version,
        ca_bundle=intake.ca_bundle,
        connect_timeout_seconds=intake.connect_timeout_seconds,
        read_timeout_seconds=intake.read_timeout_seconds,
        page_timeout_seconds=intake.page_timeout_seconds,
        max_pages=intake.max_pages,
        max_body_bytes=intake.max_body_bytes,
        page_size=intake.page_size,
        search_by_get=intake.search_by_get,
    )


def _auth(place: str, auth: FhirAuth) -> Auth:
    if auth.kind == "basic":
        return BasicAuth(auth.user or "", _secret(place, auth))
    if auth.kind == "bearer":
        return BearerAuth(_secret(place, auth))
    if auth.kind == "mtls" and auth.cert_file is not None and auth.key_file is not None:
        return MutualTls(auth.cert_file, auth.key_file)
    if auth.kind == "client_credentials":
        return ClientCredentials(
            auth.client_id or "",
            _secret(place, auth),
            auth.token_url,
            auth.scopes or (),
            _PLACES[auth.token_auth_method],
        )
    if auth.kind == "smart" and auth.key_file is not None:
        key = _content(f"{place}.key_file", auth.key_file)
        return SmartBackend(auth.client_id or "", key, auth.key_id, auth.token_url, auth.scopes or SMART_SCOPES)
    return NoAuth()


def _secret(place: str, auth: FhirAuth) -> str:
    if auth.password_file is not None:
        found = _content(f"{place}.password_file", auth.password_file).strip("\r\n")
        place = f"{place}.password_file"
    else:
        place = f"{place}.password_env"
        found = os.environ.get(auth.password_env or "", "")
    if not found:
        raise FhirError(
            place, "there is no secret where it says", "set the variable, or write the secret into the file"
        )
    return found


def _content(place: str, path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        cause = (error.strerror if isinstance(error, OSError) else None) or "it is not UTF-8"
        raise FhirError(place, f"the file cannot be read ({cause.lower()})", "name a file that may be read") from None
