"""``[web]``: the coordinator's page."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from adapter.config_mllp import is_loopback
from adapter.config_shapes import Duration
from adapter.mappings import Problem
from adapter.mappings.problems import Shape, Text, between

_EVERY_ADDRESS = ("0.0.0.0", "::", "[::]")  # noqa: S104 - refused without names


class WebSection(Shape):
    """``[web]``."""

    host: Text = "127.0.0.1"
    port: Annotated[int, between(0, 65535)] = 8765
    names: list[Text] = []
    cert_file: Text | None = None
    key_file: Text | None = None
    idle_timeout: Duration = 30 * 60
    session_timeout: Duration = 12 * 3600
    lock_after: Annotated[int, between(1, 100)] = 5
    lock_for: Duration = 15 * 60


class PageError(Exception):
    """The page cannot be served: where, why and what can be done."""


@dataclass(frozen=True, slots=True)
class Web:
    """Where the page is served, and when a session ends or a name is locked; times in seconds.

    ``names`` are the host names it answers to, beside its own address. ``cert`` and ``key`` (PEM) make it TLS.
    """

    host: str
    port: int
    names: tuple[str, ...]
    cert: Path | None
    key: Path | None
    idle_timeout_seconds: int
    session_timeout_seconds: int
    lock_after: int
    lock_for_seconds: int

    @property
    def secure(self) -> bool:
        """Whether it is served over TLS."""
        return self.cert is not None

    def url(self, port: int) -> str:
        """Where to find it, once it listens on a port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{host}:{port}/"

    def open_port(self) -> socket.socket:
        """A socket that listens where the page is to be. Raises PageError."""
        try:
            family = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)[0][0]
            return socket.create_server((self.host, self.port), family=family)
        except OSError as error:
            cause = (error.strerror or type(error).__name__).lower()
            place = f"{self.host} port {self.port}"
            raise PageError(f"the page cannot listen on {place}: {cause}; choose another in [web]") from error

    def check_certificate(self) -> None:
        """That certificate and key can be used, and with one another. Raises PageError."""
        if self.cert is None:
            return
        try:
            # Where no passphrase is given, a key that has one would be asked for at the terminal.
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(self.cert, self.key, lambda: "")
        except (OSError, ValueError) as error:
            cause = (getattr(error, "reason", None) or type(error).__name__).lower().replace("_", " ")
            remedy = "give the PEM certificate with its chain and its own key, without a passphrase"
            raise PageError(f"the page's certificate {self.cert} and key {self.key}: {cause}; {remedy}") from error


def check_web(section: WebSection, file: str, folder: Path) -> Iterator[Problem]:
    """What is wrong with the section beyond its shape: beyond loopback it is TLS or nothing."""
    if (section.cert_file is None) != (section.key_file is None):
        yield Problem(file, "web", "cert_file and key_file go together", "give both, or neither")
    elif section.cert_file is None and not is_loopback(section.host):
        cause = f"{section.host} can be reached from beyond this machine, and passwords would cross the network openly"
        yield Problem(file, "web.host", cause, "give cert_file and key_file, or keep it on 127.0.0.1 behind a proxy")
    if section.host in _EVERY_ADDRESS and not section.names:
        cause = f"{section.host} is every address of this machine, and the page answers to the names it knows alone"
        yield Problem(file, "web.names", cause, 'write what people put into the browser, such as ["trial.hospital.cn"]')
    for key, name in (("cert_file", section.cert_file), ("key_file", section.key_file)):
        if name is not None and not (folder / name).is_file():
            yield Problem(file, f"web.{key}", f"there is no file {name}", "name the PEM file, relative to this one")


def web_of(section: WebSection, folder: Path) -> Web:
    """The section as the daemon uses it."""
    return Web(
        host=section.host,
        port=section.port,
        names=tuple(section.names),
        cert=None if section.cert_file is None else folder / section.cert_file,
        key=None if section.key_file is None else folder / section.key_file,
        idle_timeout_seconds=section.idle_timeout,
        session_timeout_seconds=section.session_timeout,
        lock_after=section.lock_after,
        lock_for_seconds=section.lock_for,
    )
