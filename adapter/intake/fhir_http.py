"""One bounded HTTP exchange with a FHIR server or its token endpoint, and its repetition after a passing trouble.

Nothing here logs, and no error repeats a URL, a body or the words of an OperationOutcome: each may name a patient.
"""

from __future__ import annotations

import json
import logging
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http.client import HTTPException

import requests
from requests.utils import get_environ_proxies
from urllib3.exceptions import HTTPError

from adapter.intake.fhir_address import origin_of, resolved
from adapter.intake.fhir_settings import FhirEndpoint, MutualTls

#: What passes by itself: too many requests, a gateway or server that is restarting or busy (RFC 9110, RFC 6585).
RETRIED_STATUSES = frozenset({429, 502, 503, 504})
JSON_TYPES = frozenset({"application/fhir+json", "application/json", "application/json+fhir"})

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 5
_CHUNK_BYTES = 64 * 1024
_FIRST_WAIT_SECONDS = 1.0
_MAX_WAIT_SECONDS = 60.0

# urllib3 writes whole URLs into its log, warnings included, and a URL holds a patient's reference.
logging.getLogger("urllib3").setLevel(logging.CRITICAL)


class FhirError(Exception):
    """A FHIR server, its token endpoint or their settings are in trouble: where, why, and what to do.

    ``transient``: it may pass by itself. ``status``: that of the answer, None where there was none. ``retry_at``: the
    server does not want to be asked again before. ``unsupported_parameter``: the server says that it does not know a
    search parameter; ``parameter`` is its name, or empty where the server does not say which.
    """

    def __init__(
        self,
        place: str,
        cause: str,
        remedy: str,
        *,
        transient: bool = False,
        status: int | None = None,
        retry_at: datetime | None = None,
        unsupported_parameter: bool = False,
        parameter: str = "",
    ) -> None:
        super().__init__(f"{place}: {cause}; {remedy}")
        self.place = place
        self.cause = cause
        self.remedy = remedy
        self.transient = transient
        self.status = status
        self.retry_at = retry_at
        self.unsupported_parameter = unsupported_parameter
        self.parameter = parameter


@dataclass(frozen=True, slots=True)
class Ask:
    """One request; with a ``form`` it is a POST. ``place`` names it in errors, without an identity."""

    place: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    form: tuple[tuple[str, str], ...] | None = field(default=None, repr=False)

    @property
    def method(self) -> str:
        """``GET``, or ``POST`` where there is a form."""
        return "GET" if self.form is None else "POST"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. ``document`` is the body's JSON, its numbers as text; None where an error has none."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    document: object = field(repr=False)

    def instant(self, header: str) -> datetime | None:
        """A header that holds an HTTP date (RFC 9110, 5.6.7); None where it is absent or cannot be read."""
        return _http_date(self.headers.get(header, ""))


class _Session(requests.Session):
    """A session that leaves redirects to its caller: its own look at one would read the body without a limit."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        return None


class Transport:
    """Sends requests to a FHIR server and its token endpoint, one at a time, within the limits of its settings.

    Proxies are taken from the environment; ``.netrc`` and authorities named there are not.
    """

    def __init__(
        self,
        settings: FhirEndpoint,
        *,
        sleep: Callable[[float], None],
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._sleep = sleep
        self._now = now
        self._monotonic = monotonic
        self._random = random
        self._verify = _checked_authorities(settings)
        self._certificate = _checked_certificate(settings)
        self._session = _Session()
        self._session.trust_env = False

    def close(self) -> None:
        """Close the connections that are kept open."""
        self._session.close()

    def send(self, make: Callable[[], Ask]) -> Answer:
        """Send a request until it is answered or its tries or its time are used up.

        ``make`` is called for each try, so that each has a token that still holds and an assertion of its own. Raises
        :class:`FhirError`; answers of :data:`RETRIED_STATUSES` are raised, all others returned.
        """
        began = self._monotonic()
        tries = 0
        while True:
            ask = make()
            tries += 1
            try:
                answer = self._send_once(ask)
                if answer.status not in RETRIED_STATUSES:
                    return answer
                trouble = self._busy(ask, answer)
            except FhirError as error:
                if not error.transient:
                    raise
                trouble = error
            wait_seconds = self._wait_seconds(tries, trouble.retry_at)
            spent_seconds = self._monotonic() - began
            if tries >= self._settings.max_tries or spent_seconds + wait_seconds > self._settings.max_retry_seconds:
                raise trouble
            self._sleep(wait_seconds)

    def _busy(self, ask: Ask, answer: Answer) -> FhirError:
        after = answer.headers.get("Retry-After", "").strip()
        retry_at = _http_date(after)
        if re.fullmatch(r"[0-9]{1,7}", after):
            retry_at = self._now() + timedelta(seconds=int(after))
        return FhirError(
            ask.place,
            f"the server is busy or unavailable (HTTP {answer.status})",
            "it is asked again later; if this lasts, ask those who run the server",
            transient=True,
            status=answer.status,
            retry_at=retry_at,
        )

    def _wait_seconds(self, tries: int, retry_at: datetime | None) -> float:
        """Twice as long after each try, between half of it and the whole; never less than the server asks for."""
        longest = min(_MAX_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2.0 ** min(tries - 1, 10))
        wait_seconds = longest * (0.5 + self._random() / 2)
        if retry_at is None:
            return wait_seconds
        return max(wait_seconds, (retry_at - self._now()).total_seconds())

    def _send_once(self, ask: Ask) -> Answer:
        """One try, redirects within the origin followed. Raises FhirError."""
        deadline = self._monotonic() + self._settings.page_timeout_seconds
        url = ask.url
        for _ in range(_MAX_REDIRECTS + 1):
            answer = self._exchange(ask, url, deadline)
            if answer.status not in _REDIRECTS:
                return answer
            url = self._redirected(ask, url, answer)
        raise FhirError(
            ask.place, f"more than {_MAX_REDIRECTS} redirects", "set base_url to the address where the server answers"
        )

    def _redirected(self, ask: Ask, url: str, answer: Answer) -> str:
        target = resolved(answer.headers.get("Location", ""), url)
        origin = None if target is None else origin_of(target)
        if ask.method != "GET":
            cause = f"the server redirects a POST (HTTP {answer.status})"
        elif target is None or origin is None or origin != origin_of(url):
            cause = f"the server redirects to another origin ({origin or 'not an address'})"
        else:
            return target
        remedy = "nothing was sent there; set the address in the configuration to where the server answers"
        raise FhirError(ask.place, cause, remedy, status=answer.status)

    def _exchange(self, ask: Ask, url: str, deadline: float) -> Answer:
        settings = self._settings
        try:
            request = requests.Request(ask.method, url, headers={**ask.headers, "Accept-Encoding": "gzip"})
            request.data = [] if ask.form is None else list(ask.form)
            prepared = self._session.prepare_request(request)
            # requests writes the URL anew before sending it
            if prepared.url is None or origin_of(prepared.url) != origin_of(url):
                raise requests.exceptions.InvalidURL
            with self._session.send(
                prepared,
                stream=True,
                timeout=(settings.connect_timeout_seconds, settings.read_timeout_seconds),
                allow_redirects=False,
                verify=self._verify,
                cert=self._certificate,
                proxies=get_environ_proxies(prepared.url),
            ) as response:
                body = self._body(ask, response, deadline)
        except (requests.RequestException, HTTPError, OSError, UnicodeError) as error:
            raise _transport_error(ask, error) from None
        document = _document(ask, response, body) if response.status_code not in _REDIRECTS else None
        return Answer(response.status_code, response.headers, body, document)

    def _body(self, ask: Ask, response: requests.Response, deadline: float) -> bytes:
        """The decompressed body; as soon as a limit is passed, FhirError."""
        limit = self._settings.max_body_bytes
        body = bytearray()
        # read1 gives what has come; read would wait for a whole chunk from a server that sends a byte a minute.
        while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
            body += chunk
            if len(body) > limit:
                cause = f"the answer is larger than {limit} bytes after decompression"
                raise FhirError(ask.place, cause, "lower page_size or raise max_body_bytes")
            if self._monotonic() > deadline:
                cause = f"the answer was not complete within {self._settings.page_timeout_seconds:g} s"
                raise FhirError(ask.place, cause, "lower page_size or raise page_timeout", transient=True)
        return bytes(body)


def _document(ask: Ask, response: requests.Response, body: bytes) -> object:
    """The JSON of a body. Of an error's answer None where it holds none, for then its status says all."""
    is_success = response.status_code < 300
    content_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if content_type not in JSON_TYPES:
        if not is_success:
            return None
        cause = "the answer is not JSON by its Content-Type"
        raise FhirError(ask.place, cause, "check that the address is a FHIR server's and that it can give JSON")
    try:
        # Numbers stay text: none is needed here, and int() refuses those of more than 4,300 digits.
        document: object = json.loads(body, parse_int=str, parse_float=str)
    except ValueError:
        if not is_success:
            return None
        cause = f"the answer is not JSON, or was cut short after {len(body)} bytes"
        remedy = "it is asked again; if this lasts, ask those who run the server"
        raise FhirError(ask.place, cause, remedy, transient=True, status=response.status_code) from None
    except RecursionError:
        if not is_success:
            return None
        cause = "the answer is nested too deeply"
        raise FhirError(ask.place, cause, "ask those who run the server") from None
    return document


def _http_date(text: str) -> datetime | None:
    try:
        instant = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    return instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)


# --- what went wrong below HTTP -----------------------------------------------------------------------------------


def _transport_error(ask: Ask, error: Exception) -> FhirError:
    """The trouble in words of the system's; those of requests and urllib3 hold the URL."""
    root: BaseException = error
    # No further than these: what a caller was handling when it asked is part of the chain too.
    while isinstance(below := root.__cause__ or root.__context__, (OSError, HTTPError, HTTPException)):
        root = below
    words = (root.strerror if isinstance(root, OSError) else None) or type(root).__name__
    if isinstance(root, ssl.SSLCertVerificationError):
        cause = f"the server's certificate is not trusted ({root.verify_message})"
        return FhirError(ask.place, cause, "check ca_bundle, the certificate's host name and its dates")
    if isinstance(root, ssl.SSLError):
        words = f"TLS: {root.reason or type(root).__name__}"
    if isinstance(error, requests.exceptions.ConnectTimeout):
        cause = "no connection in time"
    elif isinstance(root, TimeoutError) or isinstance(error, requests.exceptions.Timeout):
        cause = "no answer in time"
    elif isinstance(error, requests.ConnectionError):
        cause = f"no connection, or it broke ({words})"
    elif isinstance(error, HTTPError):
        cause = f"the answer broke off or could not be decompressed ({words})"
    else:
        return FhirError(ask.place, f"it cannot be asked ({words})", "check the address and files in the configuration")
    return FhirError(ask.place, cause, "check that the server runs and can be reached from here", transient=True)


def _checked_authorities(settings: FhirEndpoint) -> str | bool:
    if settings.ca_bundle is None:
        return True
    try:
        ssl.create_default_context(cafile=str(settings.ca_bundle))
    except (OSError, ValueError) as error:
        words = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
        cause = f"the authorities cannot be read ({words})"
        raise FhirError("ca_bundle", cause, "name a readable PEM file of certificates") from None
    return str(settings.ca_bundle)


def _checked_certificate(settings: FhirEndpoint) -> tuple[str, str] | None:
    if not isinstance(settings.auth, MutualTls):
        return None
    files = (str(settings.auth.certificate_file), str(settings.auth.key_file))
    try:
        # An empty passphrase: OpenSSL would ask a terminal for the one of a locked key.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(*files, password="")
    except (OSError, ValueError) as error:
        words = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
        cause = f"the client certificate or its key cannot be read ({words})"
        raise FhirError("auth", cause, "name readable PEM files that belong together, the key unlocked") from None
    return files
