"""SMART Backend Services against a real OAuth 2 server, whose tokens the FHIR peer checks by the server's own keys."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from fhir_peer import Asked, Clock, FhirPeer, Scripted, asking, outcome, page, resource, serving
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, RSAKey
from servers import require
from servers.oauth_server import OAuthServer, oauth_server, what_is_missing

from adapter.intake.fhir_client import FhirClient, FhirError
from adapter.intake.fhir_settings import SMART_SCOPES, SMART_V1_SCOPES, SmartBackend

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

KEYS: dict[str, RSAKey | ECKey] = {"RS384": RSAKey.generate_key(2048), "ES384": ECKey.generate_key("P-384")}


def public(key: RSAKey | ECKey, algorithm: str) -> dict[str, Any]:
    return {**key.as_dict(private=False), "kid": key.thumbprint(), "use": "sig", "alg": algorithm}


def system_clock() -> Clock:
    """A clock that starts at the system's time: the server judges an assertion by it."""
    return Clock(datetime.now(UTC))


@pytest.fixture(scope="module")
def guarded() -> Iterator[tuple[FhirPeer, OAuthServer]]:
    """A FHIR server that answers to tokens of the OAuth server alone, and that server."""
    require(what_is_missing())
    with serving() as peer:
        clients = {algorithm: {"keys": [public(key, algorithm)]} for algorithm, key in KEYS.items()}
        scopes = [*SMART_SCOPES, *SMART_V1_SCOPES]
        with oauth_server(clients, audience=peer.base_url, scopes=scopes) as server:
            keys = KeySet.import_key_set(requests.get(server.jwks_url, timeout=30).json())
            checks = jwt.JWTClaimsRegistry(
                iss={"essential": True, "value": server.issuer},
                aud={"essential": True, "value": peer.base_url},
                exp={"essential": True},
            )

            def answer(asked: Asked) -> Scripted:
                if asked.path.endswith("/.well-known/smart-configuration"):
                    return resource({"token_endpoint": server.token_url}, content_type="application/json")
                scheme, _, token = asked.headers.get("Authorization", "").partition(" ")
                try:
                    claims = jwt.decode(token, keys, algorithms=["RS256"]).claims
                    checks.validate(claims)
                except (JoseError, ValueError):
                    return outcome(401, "login")
                allowed = scheme == "Bearer" and any("Observation" in one for one in claims["scope"].split())
                return page("a") if allowed else outcome(403, "forbidden")

            peer.handler = answer
            yield peer, server


def smart(algorithm: str, **more: Any) -> SmartBackend:
    return SmartBackend(algorithm, KEYS[algorithm].as_pem(private=True).decode(), **more)


def search(client: FhirClient) -> int:
    return len(list(client.observations([("patient", "Patient/7")])))


@pytest.mark.parametrize("algorithm", KEYS)
@pytest.mark.parametrize("scopes", [SMART_SCOPES, SMART_V1_SCOPES], ids=["v2", "v1"])
def test_a_registered_key_signs_in(
    guarded: tuple[FhirPeer, OAuthServer], algorithm: str, scopes: tuple[str, ...]
) -> None:
    peer, server = guarded
    for token_url in (None, server.token_url):
        with asking(peer, system_clock(), auth=smart(algorithm, token_url=token_url, scopes=scopes)) as client:
            assert search(client) == 1


@pytest.mark.parametrize("algorithm", KEYS)
def test_a_renewed_token_is_another_and_is_taken(guarded: tuple[FhirPeer, OAuthServer], algorithm: str) -> None:
    peer, server = guarded
    clock = system_clock()
    before = len(peer.asked)
    with asking(peer, clock, auth=smart(algorithm, token_url=server.token_url)) as client:
        search(client)
        search(client)
        clock.pass_by(250)
        search(client)
    first, second, third = peer.tokens()[before:]
    assert first == second != third


def test_another_key_is_refused(guarded: tuple[FhirPeer, OAuthServer]) -> None:
    peer, server = guarded
    key = ECKey.generate_key("P-384").as_pem(private=True).decode()
    auth = SmartBackend("ES384", key, token_url=server.token_url)
    with asking(peer, system_clock(), auth=auth) as client, pytest.raises(FhirError, match="invalid_client") as caught:
        search(client)
    assert (caught.value.status, caught.value.transient) == (401, False)


def test_a_clock_that_is_hours_off_is_refused_with_the_clock_in_the_remedy(
    guarded: tuple[FhirPeer, OAuthServer],
) -> None:
    peer, server = guarded
    clock = system_clock()
    clock.pass_by(-7200)
    auth = smart("RS384", token_url=server.token_url)
    with asking(peer, clock, auth=auth) as client, pytest.raises(FhirError, match="this machine's clock"):
        search(client)
