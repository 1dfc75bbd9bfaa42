"""An MLLP client: one connection, each message in one send, each answer matched to its message.

The answer is read until its block ends, however many TCP segments that takes, and its MSA-2 is held against the MSH-10
that was sent: an acknowledgement that comes late is never taken for that of another message.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections import deque
from collections.abc import Generator, Iterable
from types import TracebackType

from adapter.codecs.ack import control_ids, read_answers
from adapter.codecs.mllp import Decoder, Frame, Oversize, encode

_RECEIVE_BYTES = 64 * 1024
_MAX_ANSWER_BYTES = 16 * 1024 * 1024


class ClientError(Exception):
    """A message was not answered, or not by its own acknowledgement: with whom, why, and what that means."""


class Client:
    """An MLLP connection that opens with the first message and again after an error. One thread at a time.

    ``timeout_seconds`` holds for connecting, for sending one message, and for its answer. With ``tls`` the server's
    certificate is checked as that context says, against ``host``.
    """

    def __init__(
        self, host: str, port: int, *, timeout_seconds: float = 30.0, tls: ssl.SSLContext | None = None
    ) -> None:
        self._host = host
        self._port = port
        self._timeout_seconds = timeout_seconds
        self._tls = tls
        self._socket: socket.socket | None = None
        self._decoder = Decoder(_MAX_ANSWER_BYTES)
        self._frames: deque[bytes] = deque()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next message opens another."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._decoder = Decoder(_MAX_ANSWER_BYTES)
        self._frames.clear()

    def send(self, payload: bytes) -> bytes:
        """Send one message, or one batch, and return its acknowledgement.

        Raises :class:`ClientError` where there is none in time, where the connection ends, or where the answer is not
        an acknowledgement of this message; the connection is then closed.
        """
        (answer,) = self.send_many([payload], in_flight=1)
        return answer

    def send_many(self, payloads: Iterable[bytes], *, in_flight: int) -> Generator[bytes, None, None]:
        """Send messages without waiting for each answer, at most ``in_flight`` ahead; yields the answers in order.

        Errors as in :meth:`send`. They name the first message that was not answered by its number, from one; it and
        those sent after it may have been stored. No answer is read while a message is sent: ``in_flight`` answers must
        fit into the sockets' buffers, as hundreds do.
        """
        if in_flight < 1:
            raise ValueError(f"in_flight is {in_flight}; at least 1 message has to be under way")
        waiting: deque[tuple[int, tuple[str, ...]]] = deque()
        answered = False
        try:
            for number, payload in enumerate(payloads, start=1):
                if len(waiting) == in_flight:
                    yield self._answer_to(*waiting.popleft())
                self._send(payload, number)
                waiting.append((number, control_ids(payload)))
            while waiting:
                yield self._answer_to(*waiting.popleft())
            answered = True
        finally:
            if not answered:  # an answer still under way must not meet the next message
                self.close()

    def _send(self, payload: bytes, number: int) -> None:
        try:
            block = encode(payload)
        except ValueError as error:
            raise ClientError(f"message {number} cannot be sent over MLLP: {error}") from None
        connection = self._connected()
        try:
            connection.settimeout(self._timeout_seconds)
            connection.sendall(block)
        except TimeoutError:
            raise self._error(f"message {number} was not taken within {self._timeout_seconds:g} s") from None
        except OSError as error:
            raise self._error(f"the connection broke while message {number} was sent ({_words(error)})") from error

    def _connected(self) -> socket.socket:
        if self._socket is not None:
            return self._socket
        try:
            plain = socket.create_connection((self._host, self._port), self._timeout_seconds)
        except OSError as error:
            raise self._error(
                f"no connection ({_words(error)}); is the listener running, and is this its port?"
            ) from error
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self._socket = self._tls.wrap_socket(plain, server_hostname=self._host) if self._tls else plain
        except OSError as error:
            plain.close()
            raise self._error(f"no TLS connection ({_words(error)}); check certificate and authority") from error
        return self._socket

    def _answer_to(self, number: int, sent: tuple[str, ...]) -> bytes:
        answer = self._next_frame(number)
        answers = read_answers(answer)
        if not answers:
            raise self._error(f"the answer to message {number} is not an acknowledgement")
        if sent and any(one.message_control_id not in sent for one in answers):
            raise self._error(f"the answer to message {number} acknowledges another message (MSA-2 is not its MSH-10)")
        return answer

    def _next_frame(self, number: int) -> bytes:
        deadline = time.monotonic() + self._timeout_seconds
        while not self._frames:
            received = self._receive(deadline, number)
            for event in self._decoder.feed(received):
                if isinstance(event, Frame):
                    self._frames.append(event.payload)
                elif isinstance(event, Oversize):
                    raise self._error(f"the answer to message {number} is {event.size} bytes long")
        return self._frames.popleft()

    def _receive(self, deadline: float, number: int) -> bytes:
        connection = self._connected()
        remaining = deadline - time.monotonic()
        try:
            if remaining <= 0:
                raise TimeoutError
            connection.settimeout(remaining)
            received = connection.recv(_RECEIVE_BYTES)
        except TimeoutError:
            raise self._error(
                f"no answer to message {number} within {self._timeout_seconds:g} s; it may have been stored, or it "
                "asks for no acknowledgement (MSH-15, MSH-16)"
            ) from None
        except OSError as error:
            raise self._error(f"the connection broke before message {number} was answered ({_words(error)})") from error
        if not received:
            raise self._error(
                f"the connection was closed before message {number} was answered; it may have been stored"
            )
        return received

    def _error(self, words: str) -> ClientError:
        return ClientError(f"{self._host} port {self._port}: {words}")


def _words(error: OSError) -> str:
    return error.strerror or type(error).__name__
