"""TLS: a private authority, host names, client certificates; each key and certificate is made here."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fhir_peer import asking, page, resource, serving

from adapter.intake.fhir_client import FhirClient, FhirEndpoint, FhirError
from adapter.intake.fhir_settings import BearerAuth, ClientCredentials, MutualTls

PAGE = page("a")
NOW = datetime.now(UTC)  # certificates are judged by the system's own clock


@dataclass(frozen=True)
class Authority:
    """An authority and what it has signed, as PEM files in one folder."""

    folder: Path
    name: str
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def bundle(self) -> Path:
        return self.folder / f"{self.name}.pem"

    def sign(
        self, name: str, host: str = "127.0.0.1", *, until: datetime = NOW + timedelta(days=1)
    ) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        alternative: x509.GeneralName = x509.IPAddress(ip_address(host)) if host[0].isdigit() else x509.DNSName(host)
        builder = certificate(name, key, self.certificate.subject, until).add_extension(
            x509.SubjectAlternativeName([alternative]), critical=False
        )
        signed = builder.sign(self.key, hashes.SHA256())
        files = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        write(files[0], signed)
        write(files[1], key)
        return files

    def server(self, name: str, *, clients_of: Path | None = None, **how: object) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.sign(name, **how))  # type: ignore[arg-type]
        if clients_of is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(clients_of)
        return context


def certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: x509.Name | None, until: datetime
) -> x509.CertificateBuilder:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=9))
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )


def write(file: Path, what: x509.Certificate | ec.EllipticCurvePrivateKey, passphrase: bytes | None = None) -> None:
    if isinstance(what, x509.Certificate):
        file.write_bytes(what.public_bytes(serialization.Encoding.PEM))
        return
    lock = serialization.NoEncryption() if passphrase is None else serialization.BestAvailableEncryption(passphrase)
    file.write_bytes(what.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Authority]:
    folder = tmp_path_factory.mktemp("tls")

    def make(name: str) -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        signed = certificate(name, key, None, NOW + timedelta(days=1)).sign(key, hashes.SHA256())
        one = Authority(folder, name, key, signed)
        write(one.bundle, signed)
        return one

    return make


def search(client: FhirClient) -> int:
    return len(list(client.observations([("patient", "Patient/7")])))


def refused(client: FhirClient) -> FhirError:
    with pytest.raises(FhirError) as caught:
        search(client)
    return caught.value


def test_a_server_of_a_private_authority_is_trusted_by_its_bundle(authority: Callable[[str], Authority]) -> None:
    hospital = authority("hospital")
    with serving(PAGE, tls=hospital.server("lab")) as peer, asking(peer, ca_bundle=hospital.bundle) as client:
        assert search(client) == 1


def test_without_the_bundle_it_is_not_and_no_token_is_sent(authority: Callable[[str], Authority]) -> None:
    hospital, other = authority("hospital"), authority("other")
    for bundle in (None, other.bundle):
        with (
            serving(PAGE, tls=hospital.server("lab")) as peer,
            asking(peer, ca_bundle=bundle, auth=BearerAuth("token")) as client,
        ):
            error = refused(client)
            assert "certificate is not trusted" in error.cause
            assert (error.transient, peer.asked) == (False, [])


def test_the_environment_does_not_replace_the_bundle(
    authority: Callable[[str], Authority], monkeypatch: pytest.MonkeyPatch
) -> None:
    hospital, other = authority("hospital"), authority("other")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(hospital.bundle))
    with serving(PAGE, tls=hospital.server("lab")) as peer, asking(peer, ca_bundle=other.bundle) as client:
        assert "certificate is not trusted" in refused(client).cause


@pytest.mark.parametrize(
    "how",
    [{"host": "127.0.0.9"}, {"host": "other.example"}, {"until": NOW - timedelta(days=1)}],
    ids=["ip", "name", "old"],
)
def test_a_certificate_of_another_host_or_past_its_date_is_refused(
    authority: Callable[[str], Authority], how: dict[str, object]
) -> None:
    hospital = authority("hospital")
    with serving(PAGE, tls=hospital.server("lab", **how)) as peer, asking(peer, ca_bundle=hospital.bundle) as client:
        error = refused(client)
        assert "certificate is not trusted" in error.cause
        assert not error.transient


def test_a_client_certificate_is_shown(authority: Callable[[str], Authority]) -> None:
    hospital = authority("hospital")
    auth = MutualTls(*hospital.sign("adapter"))
    tls = hospital.server("lab", clients_of=hospital.bundle)
    with serving(PAGE, tls=tls) as peer, asking(peer, ca_bundle=hospital.bundle, auth=auth) as client:
        assert search(client) == 1
        assert peer.tokens() == [None]


def test_a_server_that_wants_a_certificate_gives_nothing_without(authority: Callable[[str], Authority]) -> None:
    hospital = authority("hospital")
    tls = hospital.server("lab", clients_of=hospital.bundle)
    with serving(PAGE, tls=tls) as peer, asking(peer, ca_bundle=hospital.bundle, max_tries=2) as client:
        assert refused(client).status is None
        assert peer.asked == []


def test_files_that_cannot_be_used_are_named_at_the_start(authority: Callable[[str], Authority]) -> None:
    hospital = authority("hospital")
    certificate_file, key_file = hospital.sign("adapter")
    locked = hospital.folder / "locked.key"
    write(locked, ec.generate_private_key(ec.SECP256R1()), b"passphrase")
    absent = hospital.folder / "absent.pem"
    for bundle in (absent, key_file):
        with pytest.raises(FhirError, match="ca_bundle: the authorities cannot be read"):
            FhirClient(FhirEndpoint("https://127.0.0.1/fhir", ca_bundle=bundle))
    for files in (
        (absent, key_file),
        (certificate_file, absent),
        (certificate_file, locked),
        (hospital.bundle, key_file),
    ):
        with pytest.raises(FhirError, match="auth: the client certificate or its key cannot be read"):
            FhirClient(FhirEndpoint("https://127.0.0.1/fhir", auth=MutualTls(*files)))


def test_no_secret_goes_from_a_server_with_tls_to_a_token_endpoint_without(
    authority: Callable[[str], Authority],
) -> None:
    hospital = authority("hospital")
    with serving() as issuer, serving(tls=hospital.server("lab")) as peer:
        peer.script(resource({"token_endpoint": f"{issuer.origin}/token"}))
        auth = ClientCredentials("adapter", "secret")
        with asking(peer, ca_bundle=hospital.bundle, auth=auth) as client:
            assert "a token endpoint without TLS" in refused(client).cause
        assert issuer.asked == []


def test_a_next_link_or_a_redirect_does_not_leave_tls(authority: Callable[[str], Authority]) -> None:
    hospital = authority("hospital")
    with serving(tls=hospital.server("lab")) as peer, asking(peer, ca_bundle=hospital.bundle) as client:
        peer.script(page("a", next_url=peer.base_url.replace("https", "http") + "/Observation?page=2"))
        assert "leaves the scheme" in refused(client).cause
