"""Signing in to a FHIR server: what stands in the Authorization header, and the access token's life.

OAuth 2 client credentials (RFC 6749, 4.4) and SMART Backend Services (SMART App Launch 2.2, "Backend Services"): the
assertion is signed by joserfc, the token endpoint is asked by the same bounded transport as the server.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from urllib.parse import quote_plus

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from adapter.intake.fhir_address import ServiceBase, origin_of
from adapter.intake.fhir_http import Answer, Ask, FhirError, Transport
from adapter.intake.fhir_settings import BasicAuth, BearerAuth, ClientCredentials, FhirEndpoint, SmartBackend

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"  # RFC 7523, 2.2

_ASSERTION_SECONDS = 240  # SMART: no more than five minutes; the rest is for clocks that differ
_RENEW_BEFORE_SECONDS = 60
_MIN_RSA_BITS = 2048
_TOKEN = re.compile(r"[\x21-\x7e]+")
_OAUTH_ERRORS = {  # RFC 6749, 5.2, each with what to do; a description is not repeated, it may quote the request
    "invalid_client": "check client_id, the secret or the registered public key, and this machine's clock",
    "invalid_grant": "check client_id and this machine's clock",
    "invalid_request": "check token_url and the kind of sign-in",
    "invalid_scope": "ask for scopes that the client is registered for; older servers want system/Observation.read",
    "unauthorized_client": "let the client be registered for the grant client_credentials",
    "unsupported_grant_type": "check token_url; the server has to offer the grant client_credentials",
}


class SignIn(Protocol):
    """How requests to one FHIR server are authorised."""

    def authorization(self) -> str | None:
        """The Authorization header for the next request; None for none. Raises FhirError."""
        ...

    def renew(self) -> bool:
        """The server refused the last one (401): whether another can be had."""
        ...


def sign_in_to(
    settings: FhirEndpoint,
    base: ServiceBase,
    transport: Transport,
    *,
    now: Callable[[], datetime],
    monotonic: Callable[[], float],
) -> SignIn:
    """The sign-in that the settings ask for. Raises FhirError where a secret or a key cannot be used."""
    match settings.auth:
        case BasicAuth(username, password):
            if ":" in username or not (username + password).isprintable():
                cause = "user name or password holds a character that HTTP Basic cannot carry (RFC 7617)"
                raise FhirError("auth", cause, "check that the file or variable holds the password alone")
            return _Unchanging(_basic(username, password))
        case BearerAuth(token):
            return _Unchanging(f"Bearer {_checked_token(token, 'auth')}")
        case ClientCredentials() as client:
            return _AccessToken(_SecretClient(client), base, transport, monotonic)
        case SmartBackend() as client:
            return _AccessToken(_KeyClient(client, now), base, transport, monotonic)
    return _Unchanging(None)  # none, or a certificate that the transport shows


@dataclass(frozen=True, slots=True)
class _Unchanging:
    header: str | None = field(repr=False)

    def authorization(self) -> str | None:
        return self.header

    def renew(self) -> bool:
        return False


class _TokenClient(Protocol):
    """A client of a token endpoint: its settings, and how it shows who it is."""

    token_url: str | None
    scopes: tuple[str, ...]

    def prove(self, token_url: str) -> tuple[str | None, list[tuple[str, str]]]:
        """The Authorization header, if any, and the fields of the form."""
        ...


class _SecretClient:
    def __init__(self, settings: ClientCredentials) -> None:
        self.token_url = settings.token_url
        self.scopes = settings.scopes
        self._settings = settings

    def prove(self, token_url: str) -> tuple[str | None, list[tuple[str, str]]]:
        client_id, secret = self._settings.client_id, self._settings.client_secret
        if self._settings.credentials_in == "form":
            return None, [("client_id", client_id), ("client_secret", secret)]
        return _basic(quote_plus(client_id), quote_plus(secret)), []  # RFC 6749, 2.3.1: encoded before Basic


class _KeyClient:
    def __init__(self, settings: SmartBackend, now: Callable[[], datetime]) -> None:
        self.token_url = settings.token_url
        self.scopes = settings.scopes
        self._client_id = settings.client_id
        self._key, self._algorithm = _signing_key(settings.private_key)
        self._key_id = settings.key_id or self._key.kid or self._key.thumbprint()
        self._now = now

    def prove(self, token_url: str) -> tuple[str | None, list[tuple[str, str]]]:
        header = {"alg": self._algorithm, "typ": "JWT", "kid": self._key_id}
        claims = {
            "iss": self._client_id,
            "sub": self._client_id,
            "aud": token_url,
            "exp": int(self._now().timestamp()) + _ASSERTION_SECONDS,
            "jti": secrets.token_urlsafe(24),
        }
        assertion = jwt.encode(header, claims, self._key, algorithms=[self._algorithm])
        return None, [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", assertion)]


class _AccessToken:
    """An access token, fetched when it is first needed and again before it expires or once the server refuses it."""

    def __init__(
        self, client: _TokenClient, base: ServiceBase, transport: Transport, monotonic: Callable[[], float]
    ) -> None:
        self._client = client
        self._base = base
        self._transport = transport
        self._monotonic = monotonic
        self._token_url = client.token_url
        self._token: str | None = None
        self._renew_at: float | None = None  # on the monotonic clock; None: only when refused

    def authorization(self) -> str | None:
        if self._token is None or (self._renew_at is not None and self._monotonic() >= self._renew_at):
            self._fetch()
        return f"Bearer {self._token}"

    def renew(self) -> bool:
        self._token = None
        return True

    def _fetch(self) -> None:
        token_url = self._token_url = self._token_url or self._discovered()
        place = f"token endpoint at {origin_of(token_url) or 'no address'}"

        def ask() -> Ask:
            authorization, fields = self._client.prove(token_url)
            form = [("grant_type", "client_credentials"), *fields]
            if self._client.scopes:
                form.append(("scope", " ".join(self._client.scopes)))
            headers = {"Accept": "application/json"} | ({"Authorization": authorization} if authorization else {})
            return Ask(place, token_url, headers, tuple(form))

        self._token = None
        asked_at = self._monotonic()
        answer = self._transport.send(ask)
        granted = answer.document if isinstance(answer.document, dict) else {}
        if answer.status != 200:
            raise _refusal(place, answer, granted)
        if str(granted.get("token_type", "")).lower() != "bearer":
            cause = "it gives no bearer token"
            raise FhirError(place, cause, "check token_url and how the client is registered", status=answer.status)
        lifetime = str(granted.get("expires_in", ""))
        self._token = _checked_token(granted.get("access_token"), place)
        self._renew_at = None
        if re.fullmatch(r"[0-9]{1,9}", lifetime):
            lifetime_seconds = int(lifetime)
            self._renew_at = asked_at + max(lifetime_seconds - _RENEW_BEFORE_SECONDS, lifetime_seconds / 2)

    def _discovered(self) -> str:
        """The token endpoint by the server's own word (SMART App Launch, "Conformance")."""
        url = f"{self._base.url}/.well-known/smart-configuration"
        place = f"{self._base.url}: .well-known/smart-configuration"
        answer = self._transport.send(lambda: Ask(place, url, {"Accept": "application/json"}))
        document = answer.document if isinstance(answer.document, dict) else {}
        token_url = document.get("token_endpoint")
        origin = origin_of(token_url) if isinstance(token_url, str) else None
        if answer.status != 200 or not isinstance(token_url, str) or origin is None:
            cause = f"it names no token endpoint (HTTP {answer.status})"
            raise FhirError(place, cause, "set token_url in the source's auth settings", status=answer.status)
        if origin.scheme == "http" and self._base.origin.scheme == "https":
            cause = f"it names a token endpoint without TLS ({origin}); nothing was sent there"
            raise FhirError(place, cause, "set token_url in the source's auth settings")
        return token_url


def _refusal(place: str, answer: Answer, document: dict[str, object]) -> FhirError:
    code = document.get("error")
    if isinstance(code, str) and code in _OAUTH_ERRORS:
        cause = f"it refuses the sign-in: {code} (HTTP {answer.status})"
        return FhirError(place, cause, _OAUTH_ERRORS[code], status=answer.status)
    cause = f"it gives no token (HTTP {answer.status})"
    remedy = "check token_url and the source's auth settings"
    return FhirError(place, cause, remedy, transient=answer.status >= 500, status=answer.status)


def _signing_key(text: str) -> tuple[RSAKey | ECKey, str]:
    """The key and its algorithm. Raises FhirError, in which nothing of the key is repeated."""
    remedy = "give an RSA key of 2048 bits or more, or an EC key on P-384, as PEM without passphrase or as one JWK"
    key = _read_key(text)
    if key is None:
        raise FhirError("auth", "the private key cannot be read as an RSA or an EC key", remedy)
    if not key.is_private:
        raise FhirError("auth", "the key is a public one", remedy)
    if isinstance(key, RSAKey) and key.raw_value.key_size >= _MIN_RSA_BITS:
        algorithm = "RS384"
    elif isinstance(key, ECKey) and key.curve_name == "P-384":
        algorithm = "ES384"
    else:
        raise FhirError("auth", "the private key is not of a kind that SMART signs with", remedy)
    if key.alg not in (None, algorithm):
        raise FhirError("auth", f"the key's alg is not {algorithm}", f"leave alg out of the JWK, or set {algorithm}")
    return key, algorithm


def _read_key(text: str) -> RSAKey | ECKey | None:
    for kind in (RSAKey, ECKey):
        # Each library beneath has errors of its own for a key of another kind, locked, cut or no key at all.
        with suppress(Exception):
            return kind.import_key(json.loads(text) if text.lstrip().startswith("{") else text.encode())
    return None


def _basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode("ascii")


def _checked_token(token: object, place: str) -> str:
    if not isinstance(token, str) or _TOKEN.fullmatch(token) is None:
        cause = "the token is empty or holds a character that no header can carry"
        raise FhirError(place, cause, "check that the file, the variable or the endpoint gives the token alone")
    return token
