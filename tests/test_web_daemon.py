"""The page as the daemon serves it: real process, real sockets, real TLS."""

from __future__ import annotations

import re
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from daemonrun import DaemonRun
from test_daemon import CONFIG, ROSTER, one, oru, value
from trialrun import eventually

WEB = "[web]\nport = 0\n"
TLS = WEB + 'cert_file = "page.pem"\nkey_file = "page.key"\n'


@contextmanager
def site(folder: Path, web: str = WEB) -> Iterator[DaemonRun]:
    (folder / "config.toml").write_text(CONFIG + web, encoding="utf-8")
    (folder / "codes.toml").write_text("", encoding="utf-8")
    (folder / "roster.csv").write_text(ROSTER, encoding="utf-8")
    run = DaemonRun(folder)
    run.run("init", str(folder))
    run.run("participants", "import", str(folder / "roster.csv"))
    with run:
        yield run


def certified(folder: Path, *, passphrase: bytes | None = None) -> Path:
    """A certificate for this machine that signs itself, and its key."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "page")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    lock = serialization.NoEncryption() if passphrase is None else serialization.BestAvailableEncryption(passphrase)
    (folder / "page.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "page.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)
    )
    return folder / "page.pem"


def sign_in(run: DaemonRun, role: str, verify: ssl.SSLContext | bool = True) -> httpx2.Client:
    made = run.run("user", "add", role, "--role", role, "--generate", "--by", role)
    browser = httpx2.Client(base_url=run.ask("status")["web"]["url"], verify=verify, follow_redirects=True)
    fields = {"name": role, "password": made.splitlines()[1].removeprefix("password: ")}
    token = re.search(r'name="csrf" value="([^"]+)"', browser.get("/sign-in").text)
    assert token is not None
    answer = browser.post("/sign-in", data={**fields, "csrf": token[1]}, follow_redirects=False)
    assert answer.status_code == 303, answer.text
    return browser


def test_the_page_is_where_status_says_and_shows_what_the_daemon_stores(tmp_path: Path):
    with site(tmp_path) as run:
        run.start()
        with closing(sign_in(run, "data_manager")) as browser:
            assert "S-001" in browser.get("/trail").text
            assert one(run.send("lis", oru())) == "AA"
            assert value(run) == "35"
            assert "page      http://127.0.0.1:" in run.run("status")
            assert run.run("user", "disable", "data_manager") == "data_manager cannot sign in any more\n"
            assert browser.get("/trail").url.path == "/sign-in"
        assert run.stop() == 0
        log = run.log.read_text()
    assert "the page is at http://127.0.0.1:" in log
    assert "/trail" not in log, "a URL in the log"
    assert "Traceback" not in log


def test_without_the_section_there_is_no_page_and_nobody_pays_for_it(tmp_path: Path):
    with site(tmp_path, "") as run:
        run.start()
        assert run.ask("status")["web"] is None
        assert run.stop() == 0
    heavy = "{'starlette', 'uvicorn', 'argon2', 'jinja2', 'adapter.web'}"
    asked = f"import atexit, sys; atexit.register(lambda: print(sorted({heavy} & set(sys.modules))));"
    for arguments in (["values"], ["status"], ["user", "list"]):
        started = f"{asked} from adapter.cli import main; main(['-c', {str(run.config)!r}, *{arguments}])"
        done = subprocess.run([sys.executable, "-c", started], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "[]"


def test_over_tls_the_session_s_cookie_never_leaves_it(tmp_path: Path):
    trusted = ssl.create_default_context(cafile=certified(tmp_path))
    with site(tmp_path, TLS) as run:
        assert "good" in run.run("check", "--connect")
        run.start()
        with closing(sign_in(run, "viewer", verify=trusted)) as browser:
            assert str(browser.base_url).startswith("https://127.0.0.1:")
            assert all(cookie.secure for cookie in browser.cookies.jar)
            assert "strict-transport-security" in browser.get("/help").headers
            openly = str(browser.base_url).replace("https:", "http:")
        with httpx2.Client() as plain, pytest.raises(httpx2.HTTPError):
            plain.get(openly)
        assert run.stop() == 0


def test_behind_a_proxy_of_this_machine_that_speaks_tls_it_does_not_either(tmp_path: Path):
    with site(tmp_path) as run:
        run.start()
        with httpx2.Client(base_url=run.ask("status")["web"]["url"]) as proxy:
            answer = proxy.get("/sign-in", headers={"x-forwarded-proto": "https"})
            assert "secure" in answer.headers["set-cookie"].lower()
            assert "secure" not in proxy.get("/sign-in").headers.get("set-cookie", "").lower()


@pytest.mark.parametrize("wrong", ["a passphrase", "another's key", "no certificate"])
def test_a_certificate_that_cannot_be_used_is_told_by_check_and_stops_the_start(tmp_path: Path, wrong: str):
    certified(tmp_path, passphrase=b"secret" if wrong == "a passphrase" else None)
    if wrong == "another's key":
        kept = (tmp_path / "page.pem").read_bytes()
        certified(tmp_path)
        (tmp_path / "page.pem").write_bytes(kept)
    if wrong == "no certificate":
        (tmp_path / "page.pem").write_text("nothing")
    with site(tmp_path, TLS) as run:
        for command in (["check", "--connect"], ["run"]):
            done = subprocess.run(
                run.command(*command), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60
            )
            assert done.returncode == 1
            assert "give the PEM certificate with its chain and its own key, without a passphrase" in done.stderr
            assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_told_by_check_and_stops_the_start(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with site(tmp_path, f"[web]\nport = {port}\n") as run:
            for command in (["check", "--connect"], ["run"]):
                done = subprocess.run(run.command(*command), capture_output=True, text=True, check=False, timeout=60)
                assert done.returncode == 1
                assert f"the page cannot listen on 127.0.0.1 port {port}: " in done.stderr
                assert "choose another in [web]" in done.stderr


def test_a_browser_that_never_ends_its_form_delays_no_acknowledgement_and_not_the_end(tmp_path: Path):
    with site(tmp_path) as run:
        run.start()
        port = int(run.ask("status")["web"]["url"].rstrip("/").rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as slow:
            slow.sendall(b"POST /sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n")
            slow.sendall(b"Content-Type: application/x-www-form-urlencoded\r\n\r\na")
            for number in range(20):
                assert one(run.send("lis", oru(f"M{number}", value=str(30 + number)))) == "AA"
        assert run.stop() == 0


def test_sighup_gives_the_page_the_new_mappings_and_leaves_it_where_it_is(tmp_path: Path):
    with site(tmp_path) as run:
        run.start()
        before = run.ask("status")["web"]["url"]
        (tmp_path / "codes.toml").write_text('[[code]]\ncode = "GPT"\nanalyte = "ALT"\n', encoding="utf-8")
        run.config.write_text(CONFIG, encoding="utf-8")  # without [web]
        run.signal(signal.SIGHUP)
        eventually(lambda: "mappings were read again" in run.log.read_text())
        assert "[web] is taken over at the next start only" in run.log.read_text()
        with httpx2.Client(base_url=before) as browser:
            assert browser.get("/sign-in").status_code == 200
        assert run.stop() == 0
