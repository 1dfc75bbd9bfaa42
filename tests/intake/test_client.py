"""The MLLP client against scripted servers on real sockets."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from adapter.codecs.mllp import Decoder, Frame, encode
from adapter.intake.client import Client, ClientError

TIMEOUT_SECONDS = 20.0


def message(control_id: str) -> bytes:
    return f"MSH|^~\\&|LIS|NTC|ADP|TR|20260105||ORU^R01|{control_id}|P|2.5.1\rPID|1||secret\r".encode()


def ack(control_id: str, code: str = "AA") -> bytes:
    return f"MSH|^~\\&|ADP|TR|LIS|NTC|20260105||ACK|A1|P|2.5.1\rMSA|{code}|{control_id}\r".encode()


class Server:
    """One end of a script: accepts connections, takes whole frames, writes any bytes."""

    def __init__(self, listening: socket.socket, tls: ssl.SSLContext | None) -> None:
        self._listening = listening
        self._tls = tls
        self._open: list[socket.socket] = []
        self._decoder = Decoder(1 << 26)
        self._frames: list[bytes] = []

    def accept(self) -> socket.socket:
        plain, _ = self._listening.accept()
        plain.settimeout(TIMEOUT_SECONDS)
        self._open.append(plain)
        if self._tls is None:
            return plain
        connection = self._tls.wrap_socket(plain, server_side=True)
        self._open.append(connection)
        return connection

    def take(self, connection: socket.socket) -> bytes:
        while not self._frames:
            received = connection.recv(65536)
            assert received, "the client closed before a whole frame"
            self._frames += [event.payload for event in self._decoder.feed(received) if isinstance(event, Frame)]
        return self._frames.pop(0)

    def close(self) -> None:
        for connection in self._open:
            connection.close()


@contextmanager
def serving(script: Callable[[Server], None], tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Runs a script in a thread; what it asserts is raised here."""
    failures: list[BaseException] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(TIMEOUT_SECONDS)
        server = Server(listening, tls)

        def run() -> None:
            try:
                script(server)
            except BaseException as failure:
                failures.append(failure)
            finally:
                server.close()

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            thread.join(2 * TIMEOUT_SECONDS)
    assert not thread.is_alive()
    if failures:
        raise failures[0]


def client(port: int, timeout_seconds: float = TIMEOUT_SECONDS) -> Client:
    return Client("127.0.0.1", port, timeout_seconds=timeout_seconds)


def test_each_message_gets_its_answer_on_one_connection() -> None:
    def script(server: Server) -> None:
        connection = server.accept()
        for control_id in ("M1", "M2"):
            assert server.take(connection) == message(control_id)
            connection.sendall(encode(ack(control_id)))

    with serving(script) as port, client(port) as mllp:
        assert mllp.send(message("M1")) == ack("M1")
        assert mllp.send(message("M2")) == ack("M2")


def test_an_answer_is_read_to_its_end_however_many_segments_it_takes() -> None:
    def script(server: Server) -> None:
        connection = server.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server.take(connection)
        for byte in b"junk" + encode(ack("M1")):
            connection.sendall(bytes([byte]))

    with serving(script) as port, client(port) as mllp:
        assert mllp.send(message("M1")) == ack("M1")


def test_a_late_acknowledgement_is_not_taken_for_the_next_message_s() -> None:
    gave_up = threading.Event()

    def script(server: Server) -> None:
        first = server.accept()
        server.take(first)
        assert gave_up.wait(TIMEOUT_SECONDS)
        first.sendall(encode(ack("M1")))  # nobody reads it: the client has left
        second = server.accept()
        assert server.take(second) == message("M2")
        second.sendall(encode(ack("M2")))

    with serving(script) as port, client(port, timeout_seconds=0.5) as mllp:
        with pytest.raises(ClientError, match=r"no answer to message 1 within 0\.5 s; it may have been stored"):
            mllp.send(message("M1"))
        gave_up.set()
        assert mllp.send(message("M2")) == ack("M2")


def test_an_acknowledgement_of_another_message_is_an_error() -> None:
    def script(server: Server) -> None:
        first = server.accept()
        server.take(first)
        first.sendall(encode(ack("M0")) + encode(ack("M1")))
        second = server.accept()
        assert server.take(second) == message("M2")
        second.sendall(encode(ack("M2")))

    with serving(script) as port, client(port) as mllp:
        with pytest.raises(ClientError, match="acknowledges another message"):
            mllp.send(message("M1"))
        assert mllp.send(message("M2")) == ack("M2")


@pytest.mark.parametrize("answer", [b"hello", b"MSH|^~\\&|A\rPID|1\r", b""])
def test_an_answer_that_acknowledges_nothing_is_an_error(answer: bytes) -> None:
    def script(server: Server) -> None:
        connection = server.accept()
        server.take(connection)
        connection.sendall(encode(answer))

    with serving(script) as port, client(port) as mllp, pytest.raises(ClientError, match="is not an acknowledgement"):
        mllp.send(message("M1"))


def test_a_message_without_a_readable_header_is_answered_without_msa_2() -> None:
    def script(server: Server) -> None:
        connection = server.accept()
        for _ in range(2):
            server.take(connection)
            connection.sendall(encode(ack("", "AR")))

    with serving(script) as port, client(port) as mllp:
        assert mllp.send(b"hello world") == ack("", "AR")
        assert mllp.send(b"MSH|&&&&|A\r") == ack("", "AR")


def test_a_batch_is_answered_by_a_batch_of_its_own_messages() -> None:
    batch = b"BHS|^~\\&|LIS\r" + message("M1") + message("M2") + b"BTS|2\r"
    answer = b"BHS|^~\\&|ADP\r" + ack("M1") + ack("M2") + b"BTS|2\r"

    def script(server: Server) -> None:
        connection = server.accept()
        server.take(connection)
        connection.sendall(encode(answer))
        server.take(connection)
        connection.sendall(encode(b"BHS|^~\\&|ADP\r" + ack("M1") + ack("M3") + b"BTS|2\r"))

    with serving(script) as port, client(port) as mllp:
        assert mllp.send(batch) == answer
        with pytest.raises(ClientError, match="acknowledges another message"):
            mllp.send(batch)


def test_a_connection_that_ends_before_the_answer_is_an_error() -> None:
    def script(server: Server) -> None:
        connection = server.accept()
        server.take(connection)
        connection.sendall(encode(ack("M1"))[:20])
        connection.close()

    with serving(script) as port, client(port) as mllp, pytest.raises(ClientError, match=f"port {port}: .*was closed"):
        mllp.send(message("M1"))


def test_nobody_listening_is_an_error_with_its_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with client(port) as mllp, pytest.raises(ClientError, match=r"no connection .*is the listener running"):
        mllp.send(message("M1"))


def test_a_payload_that_cannot_be_framed_is_an_error() -> None:
    with client(1) as mllp, pytest.raises(ClientError, match="message 1 cannot be sent over MLLP"):
        mllp.send(message("M1") + b"\x1c\r")


def test_errors_do_not_show_what_was_sent_or_answered() -> None:
    def script(server: Server) -> None:
        connection = server.accept()
        server.take(connection)
        connection.sendall(encode(ack("secret")))

    with serving(script) as port, client(port) as mllp:
        with pytest.raises(ClientError) as caught:
            mllp.send(message("M1"))
        assert "secret" not in str(caught.value)
        assert "secret" not in repr(mllp)


def test_pipelined_messages_are_answered_in_order_and_never_further_ahead_than_asked() -> None:
    def script(server: Server) -> None:
        connection = server.accept()
        for number in range(3):
            assert server.take(connection) == message(f"M{number}")
        connection.settimeout(0.1)
        with pytest.raises(TimeoutError):  # a fourth has to wait for the first answer
            server.take(connection)
        connection.settimeout(TIMEOUT_SECONDS)
        for number in range(3, 10):
            connection.sendall(encode(ack(f"M{number - 3}")))
            assert server.take(connection) == message(f"M{number}")
        connection.sendall(b"".join(encode(ack(f"M{number}")) for number in range(7, 10)))

    payloads = (message(f"M{number}") for number in range(10))
    with serving(script) as port, client(port) as mllp:
        assert list(mllp.send_many(payloads, in_flight=3)) == [ack(f"M{number}") for number in range(10)]


def test_a_pipeline_names_the_message_that_was_not_answered() -> None:
    def script(server: Server) -> None:
        connection = server.accept()
        server.take(connection)
        server.take(connection)
        connection.sendall(encode(ack("M1")) + encode(ack("M1")))

    with serving(script) as port, client(port) as mllp:
        answers = mllp.send_many([message("M1"), message("M2")], in_flight=2)
        assert next(answers) == ack("M1")
        with pytest.raises(ClientError, match="answer to message 2 acknowledges another message"):
            next(answers)


def test_a_pipeline_that_is_left_early_leaves_no_answer_behind() -> None:
    def script(server: Server) -> None:
        first = server.accept()
        server.take(first)
        server.take(first)
        first.sendall(encode(ack("M1")) + encode(ack("M2")))
        second = server.accept()
        assert server.take(second) == message("M2")
        second.sendall(encode(ack("M2", "AE")))

    with serving(script) as port, client(port) as mllp:
        answers = mllp.send_many([message("M1"), message("M2")], in_flight=2)
        assert next(answers) == ack("M1")
        answers.close()
        assert mllp.send(message("M2")) == ack("M2", "AE")


def test_a_pipeline_needs_a_message_under_way() -> None:
    with client(1) as mllp, pytest.raises(ValueError, match="in_flight"):
        list(mllp.send_many([], in_flight=0))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl, which makes the test's certificate, is not on this machine")
    folder = tmp_path_factory.mktemp("tls")
    arguments = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "certificate.pem"]
    subprocess.run([openssl, *arguments, *names], cwd=folder, check=True, capture_output=True)
    return folder


def test_tls_checks_the_server_s_certificate(certificate: Path) -> None:
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificate / "certificate.pem", certificate / "key.pem")

    def script(server: Server) -> None:
        connection = server.accept()
        server.take(connection)
        connection.sendall(encode(ack("M1")))
        with pytest.raises(ssl.SSLError):
            server.accept()

    trusting = ssl.create_default_context(cafile=str(certificate / "certificate.pem"))
    with serving(script, server_side) as port:
        with Client("127.0.0.1", port, timeout_seconds=TIMEOUT_SECONDS, tls=trusting) as mllp:
            assert mllp.send(message("M1")) == ack("M1")
        stranger = Client("127.0.0.1", port, timeout_seconds=TIMEOUT_SECONDS, tls=ssl.create_default_context())
        with stranger, pytest.raises(ClientError, match="no TLS connection"):
            stranger.send(message("M1"))
