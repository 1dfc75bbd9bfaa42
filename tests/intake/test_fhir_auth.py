"""Signing in: what is sent, where it is sent and where it is not, and when another token is fetched."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fhir_peer import Clock, FhirPeer, Scripted, asking, outcome, page, resource, serving
from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, RSAKey

from adapter.intake.fhir_auth import ASSERTION_TYPE
from adapter.intake.fhir_client import FhirClient, FhirEndpoint, FhirError
from adapter.intake.fhir_settings import (
    SMART_V1_SCOPES,
    Auth,
    BasicAuth,
    BearerAuth,
    ClientCredentials,
    MutualTls,
    NoAuth,
    SmartBackend,
)

PAGE = page("a")
RSA = RSAKey.generate_key(2048)
EC = ECKey.generate_key("P-384")


def pem(key: RSAKey | ECKey) -> str:
    return key.as_pem(private=True).decode()


def jwk(key: RSAKey | ECKey, **more: str) -> str:
    return json.dumps({**key.as_dict(private=True), **more})


def search(client: FhirClient) -> int:
    return len(list(client.observations([("patient", "Patient/7")])))


def refused(client: FhirClient) -> FhirError:
    with pytest.raises(FhirError) as caught:
        search(client)
    return caught.value


def granted(token: str = "token-1", expires_in: object = 300, **more: object) -> Scripted:
    answer = {"access_token": token, "token_type": "bearer", "expires_in": expires_in, **more}
    return resource(answer, content_type="application/json")


@pytest.fixture
def issuer() -> Iterator[FhirPeer]:
    """A token endpoint on another origin than the server's."""
    with serving() as peer:
        yield peer


def secret_at(issuer: FhirPeer, **more: Any) -> ClientCredentials:
    return ClientCredentials("adapter", "s3cr:t &/é", token_url=f"{issuer.origin}/token", **more)


def key_at(issuer: FhirPeer, key: str, **more: Any) -> SmartBackend:
    return SmartBackend("adapter", key, token_url=f"{issuer.origin}/token", **more)


# --- what does not change ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("auth", "header"),
    [
        (NoAuth(), None),
        (BasicAuth("lab", "pass:wörd"), "Basic " + base64.b64encode("lab:pass:wörd".encode()).decode()),
        (BearerAuth("abc.def"), "Bearer abc.def"),
    ],
    ids=["none", "basic", "bearer"],
)
def test_an_unchanging_sign_in_goes_with_every_request(auth: Auth, header: str | None) -> None:
    with serving() as peer, asking(peer, auth=auth) as client:
        peer.script(page("a", next_url="?page=2"), PAGE, resource({"resourceType": "Specimen"}))
        search(client)
        client.read("Specimen/1")
        assert peer.tokens() == [header] * 3


@pytest.mark.parametrize("auth", [NoAuth(), BasicAuth("lab", "pw"), BearerAuth("abc")], ids=["none", "basic", "bearer"])
def test_an_unchanging_sign_in_that_is_refused_is_not_tried_again(auth: Auth) -> None:
    with serving(outcome(401, "login"), PAGE) as peer, asking(peer, auth=auth) as client:
        error = refused(client)
        assert (error.status, error.transient, peer.left) == (401, False, 1)
        assert "auth settings" in error.remedy


@pytest.mark.parametrize(
    "auth", [BasicAuth("a:b", "c"), BasicAuth("a", "c\n"), BearerAuth(""), BearerAuth("a b"), BearerAuth("a\r\nX: y")]
)
def test_what_no_header_can_carry_is_refused_before_anything_is_asked(auth: Auth) -> None:
    with pytest.raises(FhirError, match="auth") as caught:
        FhirClient(FhirEndpoint("http://127.0.0.1/fhir", auth=auth))
    assert "X: y" not in str(caught.value)


def test_a_netrc_file_adds_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with serving(PAGE) as peer, asking(peer) as client:
        search(client)
        assert peer.tokens() == [None]


# --- client credentials ------------------------------------------------------------------------------------------


def test_a_secret_is_exchanged_for_a_token_that_goes_to_the_server_alone(issuer: FhirPeer) -> None:
    issuer.script(granted())
    with serving() as peer, asking(peer, auth=secret_at(issuer, scopes=("a", "b"))) as client:
        peer.script(page("a", next_url="?page=2"), PAGE)
        search(client)
        (asked,) = issuer.asked
        assert (asked.method, asked.target) == ("POST", "/token")
        assert asked.form == {"grant_type": "client_credentials", "scope": "a b"}
        assert asked.headers["Authorization"] == "Basic " + base64.b64encode(b"adapter:s3cr%3At+%26%2F%C3%A9").decode()
        assert peer.tokens() == ["Bearer token-1"] * 2


def test_a_secret_can_be_sent_in_the_form(issuer: FhirPeer) -> None:
    issuer.script(granted())
    with serving(PAGE) as peer, asking(peer, auth=secret_at(issuer, credentials_in="form")) as client:
        search(client)
        (asked,) = issuer.asked
        assert asked.form == {"grant_type": "client_credentials", "client_id": "adapter", "client_secret": "s3cr:t &/é"}
        assert "Authorization" not in asked.headers


# --- SMART Backend Services --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "text", "algorithm"),
    [(RSA, pem(RSA), "RS384"), (RSA, jwk(RSA), "RS384"), (EC, pem(EC), "ES384"), (EC, jwk(EC, alg="ES384"), "ES384")],
    ids=["RSA PEM", "RSA JWK", "EC PEM", "EC JWK"],
)
def test_an_assertion_is_what_smart_asks_for(issuer: FhirPeer, key: Any, text: str, algorithm: str) -> None:
    issuer.script(granted())
    clock = Clock()
    with serving(PAGE) as peer, asking(peer, clock, auth=key_at(issuer, text)) as client:
        search(client)
        (asked,) = issuer.asked
        form = asked.form
        assertion = jwt.decode(form.pop("client_assertion"), key, algorithms=[algorithm])
        assert form == {
            "grant_type": "client_credentials",
            "client_assertion_type": ASSERTION_TYPE,
            "scope": "system/Patient.rs system/Observation.rs",
        }
        assert assertion.header == {"alg": algorithm, "typ": "JWT", "kid": key.thumbprint()}
        jti = assertion.claims.pop("jti")
        assert len(jti) >= 32
        expires_at = int(clock.now().timestamp()) + 240
        claims = {"iss": "adapter", "sub": "adapter", "aud": f"{issuer.origin}/token", "exp": expires_at}
        assert assertion.claims == claims
        assert peer.tokens() == ["Bearer token-1"]


def test_each_try_has_an_assertion_of_its_own(issuer: FhirPeer) -> None:
    issuer.script(Scripted(503), Scripted(drop=True), granted())
    with serving(PAGE) as peer, asking(peer, auth=key_at(issuer, pem(EC))) as client:
        search(client)
        jtis = {
            jwt.decode(asked.form["client_assertion"], EC, algorithms=["ES384"]).claims["jti"] for asked in issuer.asked
        }
        assert len(jtis) == 3


def test_key_id_and_scopes_are_those_of_the_settings(issuer: FhirPeer) -> None:
    issuer.script(granted(), granted())
    for text, key_id, expected in ((pem(EC), "mine", "mine"), (jwk(EC, kid="its"), None, "its")):
        auth = key_at(issuer, text, key_id=key_id, scopes=SMART_V1_SCOPES)
        with serving(PAGE) as peer, asking(peer, auth=auth) as client:
            search(client)
        form = issuer.asked[-1].form
        assert jwt.decode(form["client_assertion"], EC, algorithms=["ES384"]).header["kid"] == expected
        assert form["scope"] == "system/Patient.read system/Observation.read"


def test_a_key_that_cannot_sign_so_is_refused_and_not_shown() -> None:
    with pytest.warns(SecurityWarning):
        small = RSAKey.generate_key(1024)
    keys = {
        "": "cannot be read",
        "{": "cannot be read",
        "{}": "cannot be read",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n": "cannot be read",
        RSA.as_pem(private=True, password="locked").decode(): "cannot be read",
        RSA.as_pem(private=False).decode(): "public",
        pem(ECKey.generate_key("P-256")): "not of a kind",
        json.dumps({"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQ"}): "cannot be read",
        jwk(RSA, alg="RS256"): "alg is not RS384",
    }
    for text, cause in keys.items():
        with pytest.raises(FhirError, match=cause) as caught:
            FhirClient(FhirEndpoint("http://127.0.0.1/fhir", auth=SmartBackend("adapter", text)))
        assert "AAAA" not in str(caught.value)
    with pytest.warns(SecurityWarning), pytest.raises(FhirError, match="not of a kind"):
        FhirClient(FhirEndpoint("http://127.0.0.1/fhir", auth=SmartBackend("adapter", pem(small))))


# --- the token's life --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expires_in", "still", "renewed"),
    [(300, 239, 240), (3600, 3539, 3540), (60, 29, 30), ("90", 44, 45), (0, None, 0)],
)
def test_a_token_is_renewed_before_it_expires(
    issuer: FhirPeer, expires_in: object, still: int | None, renewed: int
) -> None:
    clock = Clock()
    issuer.script(granted("token-1", expires_in), granted("token-2"))
    with serving(PAGE, PAGE, PAGE) as peer, asking(peer, clock, auth=secret_at(issuer)) as client:
        search(client)
        if still is not None:
            clock.pass_by(still)
            search(client)
        clock.pass_by(renewed - (still or 0))
        search(client)
        assert peer.tokens()[-1] == "Bearer token-2"
        assert peer.tokens()[:-1] == ["Bearer token-1"] * (1 if still is None else 2)


def test_a_token_is_renewed_between_two_pages(issuer: FhirPeer) -> None:
    clock = Clock()
    issuer.script(granted("token-1"), granted("token-2"))
    with serving() as peer, asking(peer, clock, auth=secret_at(issuer)) as client:
        peer.script(page("a", next_url="?page=2"), PAGE)
        pages = client.observations([])
        next(pages)
        clock.pass_by(299)
        next(pages)
        assert peer.tokens() == ["Bearer token-1", "Bearer token-2"]


@pytest.mark.parametrize("expires_in", [None, "", "soon", -1])
def test_a_token_without_a_stated_life_is_used_until_it_is_refused(issuer: FhirPeer, expires_in: object) -> None:
    clock = Clock()
    issuer.script(granted("token-1", expires_in), granted("token-2"))
    with (
        serving(PAGE, PAGE, outcome(401, "expired"), PAGE) as peer,
        asking(peer, clock, auth=secret_at(issuer)) as client,
    ):
        search(client)
        clock.pass_by(10**6)
        search(client)
        assert search(client) == 1
        assert peer.tokens() == ["Bearer token-1"] * 3 + ["Bearer token-2"]


def test_a_token_without_a_stated_life_is_kept_where_the_one_before_it_had_one(issuer: FhirPeer) -> None:
    clock = Clock()
    issuer.script(granted("token-1", 300), granted("token-2", None))
    with serving(PAGE, PAGE, PAGE) as peer, asking(peer, clock, auth=secret_at(issuer)) as client:
        search(client)
        clock.pass_by(300)
        search(client)
        search(client)
        assert peer.tokens() == ["Bearer token-1", "Bearer token-2", "Bearer token-2"]


def test_a_refused_token_is_replaced_once(issuer: FhirPeer) -> None:
    issuer.script(granted("token-1"), granted("token-2"))
    with serving(*[outcome(401, "login")] * 5) as peer, asking(peer, auth=secret_at(issuer)) as client:
        error = refused(client)
        assert (error.status, error.transient) == (401, False)
        assert peer.tokens() == ["Bearer token-1", "Bearer token-2"]


def test_a_token_that_is_renewed_while_a_request_is_asked_again_is_used(issuer: FhirPeer) -> None:
    clock = Clock()
    issuer.script(granted("token-1"), granted("token-2"))
    busy = Scripted(503, headers={"Retry-After": "250"})
    with serving(busy, PAGE) as peer, asking(peer, clock, auth=secret_at(issuer)) as client:
        search(client)
        assert peer.tokens() == ["Bearer token-1", "Bearer token-2"]


# --- the token endpoint ------------------------------------------------------------------------------------------


def test_a_token_endpoint_in_trouble_is_asked_again(issuer: FhirPeer) -> None:
    clock = Clock()
    issuer.script(Scripted(429, headers={"Retry-After": "9"}), Scripted(200, b'{"acc'), granted())
    with serving(PAGE) as peer, asking(peer, clock, auth=secret_at(issuer)) as client:
        assert search(client) == 1
    assert clock.slept[0] == 9


def test_a_token_endpoint_that_stays_in_trouble_is_asked_no_more_often_than_a_server(issuer: FhirPeer) -> None:
    issuer.script(*[Scripted(503)] * 20)
    with serving() as peer, asking(peer, auth=secret_at(issuer), max_tries=3) as client:
        assert refused(client).transient
        assert (len(issuer.asked), peer.asked) == (3, [])


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (resource({"error": "invalid_client", "error_description": "adapter s3cr"}, 401), "invalid_client (HTTP 401)"),
        (resource({"error": "invalid_scope"}, 400), "invalid_scope (HTTP 400)"),
        (resource({"error": "s3cr"}, 400), "gives no token (HTTP 400)"),
        (Scripted(403, b"<html>s3cr</html>", content_type="text/html"), "gives no token (HTTP 403)"),
        (resource([], 400), "gives no token (HTTP 400)"),
        (resource({"token_type": "bearer"}), "token is empty"),
        (granted(""), "token is empty"),
        (granted("a\nb"), "token is empty or holds a character"),
        (granted(token_type="mac"), "no bearer token"),
        (resource([]), "no bearer token"),
        (Scripted(302, headers={"Location": "/elsewhere"}), "redirects a POST"),
        (Scripted(307, headers={"Location": "http://other.example/token"}), "redirects a POST"),
    ],
)
def test_a_token_endpoint_that_gives_none_is_an_error_without_its_words(
    issuer: FhirPeer, answer: Scripted, said: str
) -> None:
    issuer.script(answer)
    with serving() as peer, asking(peer, auth=secret_at(issuer)) as client:
        error = refused(client)
        assert said in str(error)
        assert "s3cr" not in str(error)
        assert not error.transient
        assert (peer.asked, len(issuer.asked)) == ([], 1)


def well_known(token_endpoint: object) -> Scripted:
    return resource({"token_endpoint": token_endpoint}, content_type="application/json")


def test_a_token_endpoint_is_found_by_the_servers_own_word_once(issuer: FhirPeer) -> None:
    clock = Clock()
    issuer.script(granted("token-1"), granted("token-2"))
    auth = SmartBackend("adapter", pem(EC))
    with serving(well_known(f"{issuer.origin}/t"), PAGE, PAGE) as peer, asking(peer, clock, auth=auth) as client:
        search(client)
        clock.pass_by(300)
        search(client)
        targets = [asked.path for asked in peer.asked]
        assert targets == ["/fhir/.well-known/smart-configuration", "/fhir/Observation", "/fhir/Observation"]
        assert peer.tokens() == [None, "Bearer token-1", "Bearer token-2"]
        claims = jwt.decode(issuer.asked[0].form["client_assertion"], EC, algorithms=["ES384"]).claims
        assert claims["aud"] == f"{issuer.origin}/t"


@pytest.mark.parametrize(
    "answer",
    [
        well_known(None), well_known("/token"), well_known("file:///etc/passwd"), well_known("http://u:p@127.0.0.1/t"),
        resource([]), Scripted(404, b"", content_type=None),
    ],
)  # fmt: skip
def test_a_server_that_names_no_token_endpoint_is_an_error(answer: Scripted) -> None:
    with serving(answer) as peer, asking(peer, auth=ClientCredentials("adapter", "secret")) as client:
        error = refused(client)
        assert "names no token endpoint" in str(error)
        assert "set token_url" in error.remedy


def test_a_discovery_that_is_redirected_elsewhere_is_an_error(issuer: FhirPeer) -> None:
    moved = Scripted(302, headers={"Location": f"{issuer.origin}/.well-known/smart-configuration"})
    with serving(moved) as peer, asking(peer, auth=ClientCredentials("adapter", "secret")) as client:
        assert "redirects to another origin" in str(refused(client))
        assert issuer.asked == []


def test_no_token_goes_where_a_page_or_a_redirect_points(issuer: FhirPeer) -> None:
    answers = [
        page("a", next_url=f"{issuer.base_url}/Observation"),
        Scripted(302, headers={"Location": issuer.base_url}),
    ]
    for answer in answers:
        issuer.script(granted())
        with serving(answer) as peer, asking(peer, auth=secret_at(issuer)) as client:
            refused(client)
            assert peer.tokens() == ["Bearer token-1"]
    assert [asked.path for asked in issuer.asked] == ["/token", "/token"]


def test_no_repr_shows_a_secret() -> None:
    named = [kind("name", "s3cret") for kind in (BasicAuth, ClientCredentials, SmartBackend)]
    for auth in (BearerAuth("s3cret"), *named):
        assert "s3cret" not in repr(FhirEndpoint("http://127.0.0.1/fhir", auth=auth))
    assert "cert.pem" in repr(MutualTls(Path("cert.pem"), Path("key.pem")))
