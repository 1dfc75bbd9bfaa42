"""Bad days of a FHIR server: what goes wrong on the way, while the hospital goes on changing what it holds."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from email.utils import format_datetime

import simplejson
from fhir_peer import Asked, Clock, FhirPeer, Scripted, outcome, resource, serving
from fhir_server import FhirServer, fhir_server, observation

MOST_BYTES = 2**16
BUSY = ("429", "503", "503 until a date", "busy for longer than is waited")
CUT = ("cut", "cut in a chunk", "cut in its compression", "dropped")
NOT_THE_ANSWER = ("half of the JSON", "no JSON", "a login page", "another resource", "nested", "a bomb")
REFUSED = ("401", "403", "404", "500", "502", "504", "a parameter refused")
SIGN_IN = ("revoked", "expired", "no token", "token endpoint down")
LINKS = ("loop", "own link", "foreign link", "link out of the base", "foreign user")
REDIRECTS = ("redirect elsewhere", "post redirected elsewhere", "redirect in a circle", "redirect at home")
TIME_OUTS = ("slow", "silent")
KILLED = ("killed",)  # not the server but the program
KINDS = (*BUSY, *CUT, *NOT_THE_ANSWER, *REFUSED, *SIGN_IN, *LINKS, *REDIRECTS, *TIME_OUTS, *KILLED)
_BOMB = gzip.compress(b" " * (4 * MOST_BYTES))


def planned(seed: int) -> list[str]:
    """The faults of a seed: four kinds of a deck that is shuffled anew whenever it is through."""
    places = (divmod(seed * 4 + n, len(KINDS)) for n in range(4))
    return [random.Random(deck).sample(KINDS, len(KINDS))[place] for deck, place in places]


class Killed(BaseException):
    """The program is no more."""


@dataclass
class Hospital:
    """A FHIR server, its token endpoint, and a stranger's server that nothing may reach; all of them listen."""

    server: FhirServer
    issuer: FhirPeer
    stranger: FhirPeer

    @property
    def peer(self) -> FhirPeer:
        assert self.server.peer is not None
        return self.server.peer


@contextmanager
def hospital() -> Iterator[Hospital]:
    with ExitStack() as stack:
        server = stack.enter_context(fhir_server())
        yield Hospital(server, stack.enter_context(serving()), stack.enter_context(serving()))


@dataclass
class BadDay:
    """The faults of one seed, each given where it can be; and the witness of what was sent where.

    ``wrong`` names what the client must not have done.
    """

    of: Hospital
    chance: random.Random
    clock: Clock
    left: list[str]
    change: Callable[[], None]
    wrong: list[str] = field(default_factory=list)
    tokens: dict[str, float] = field(default_factory=dict)  # with the end of their life, on the monotonic clock
    not_before: float = 0.0
    over: bool = False
    steps_to_live: int = 0  # of the program, where it is to be killed
    _again: tuple[str, int] = ("", 0)
    _issuer_answers: list[Scripted] = field(default_factory=list)
    _issued: int = 0

    def __post_init__(self) -> None:
        # One that is revoked must not be replaced merely because its time is up.
        self.token_seconds = 200 if "expired" in self.left else 1_000_000

    def begin(self) -> None:
        self.of.server.before, self.of.server.instead = self._witness, self._spoil
        self.of.issuer.handler = self._issue
        lie = {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": observation("lie", "p0", "66")}]}
        self.of.stranger.handler = lambda _: Scripted(200, simplejson.dumps(lie, use_decimal=True).encode())
        for peer in (self.of.peer, self.of.issuer, self.of.stranger):
            peer.asked.clear()

    def end(self) -> None:
        """From now on the server answers, and the token endpoint too."""
        self.over, self._again = True, ("", 0)
        self._issuer_answers.clear()

    def step(self) -> bool:
        """Called by the program between two requests and after each commit: whether it is to end, which it never is."""
        if self.steps_to_live:
            self.steps_to_live -= 1
            if not self.steps_to_live:
                self.not_before = 0.0  # one that begins anew cannot know how long the server wanted to be left alone
                raise Killed
        return False

    def sent_astray(self) -> list[str]:
        """What came to the stranger's server, and each token in a place that is not the FHIR server's base."""
        found = [f"{asked.method} to the stranger" for asked in self.of.stranger.asked]
        for asked in self.of.issuer.asked:
            said = asked.headers.get("Authorization", "") + asked.target + asked.body.decode()
            found += ["a token to its issuer"] if any(token in said for token in self.tokens) else []
        for asked in self.of.peer.asked:
            if not asked.path.startswith("/fhir/") and asked.path != "/fhir":
                found.append("something out of the base")
            if any(token in asked.target + asked.body.decode() for token in self.tokens):
                found.append("a token in a URL or a form")
        return found

    # --- who may ask ------------------------------------------------------------------------------------------------

    def _witness(self, asked: Asked) -> Scripted | None:
        if self.clock.monotonic() < self.not_before:
            self.wrong.append("it was asked before its Retry-After")
        token = asked.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.tokens.get(token, 0.0) <= self.clock.monotonic():
            return outcome(401, "expired")
        if not self.over and self.chance.random() < 0.1:
            self.change()
            self.change()
        return None

    def _issue(self, asked: Asked) -> Scripted:
        if self._issuer_answers:
            return self._issuer_answers.pop()
        if not asked.headers.get("Authorization", "").startswith("Basic "):
            return Scripted(401, b'{"error": "invalid_client"}', content_type="application/json")
        self._issued += 1
        token = f"token-{self._issued}-of-many"
        self.tokens[token] = self.clock.monotonic() + self.token_seconds
        granted = {"access_token": token, "token_type": "Bearer", "expires_in": self.token_seconds}
        return resource(granted, content_type="application/json")

    # --- what goes wrong --------------------------------------------------------------------------------------------

    def _spoil(self, asked: Asked, answer: Scripted) -> Scripted:
        """Another answer than the right one, now and then; some come several times in a row."""
        kind, times = self._again
        if times:
            self._again = (kind, times - 1)
            return self._fault(kind, asked, answer) or answer
        # What is asked for once only, a further page or a member of a panel, is most easily lost.
        once = "_getpages" in asked.target or asked.path.startswith("/fhir/Observation/o")
        if self.over or self.chance.random() < (0.15 if once else 0.6):
            return answer
        for kind in self.left:
            spoilt = self._fault(kind, asked, answer)
            if spoilt is not None:
                self.left.remove(kind)
                self._again = (kind, self._times(kind) - 1)
                return spoilt
        return answer

    def _times(self, kind: str) -> int:
        if kind in ("silent", "expired", "redirect at home", "killed"):
            return 1
        return 6 if kind == "redirect in a circle" else self.chance.choice((1, 1, 2, 5))

    def _fault(self, kind: str, asked: Asked, answer: Scripted) -> Scripted | None:
        """What this fault makes of an answer; None where it cannot be."""
        groups: tuple[tuple[Sequence[str], Callable[[str, Asked, Scripted], Scripted | None]], ...] = (
            (BUSY, self._busy),
            (CUT, self._cut),
            (NOT_THE_ANSWER, self._not_the_answer),
            (REFUSED, self._refused),
            (SIGN_IN, self._sign_in),
            (LINKS, self._link),
            (REDIRECTS, self._redirect),
            (TIME_OUTS, self._time_out),
            (KILLED, self._kill),
        )
        return next(make(kind, asked, answer) for kinds, make in groups if kind in kinds)

    def _busy(self, kind: str, asked: Asked, answer: Scripted) -> Scripted | None:
        seconds = {"429": 3, "503": 0, "503 until a date": 30}.get(kind, 1_000)
        until = self.clock.now() + timedelta(seconds=seconds)
        after = format_datetime(until, usegmt=True) if "date" in kind else str(seconds)
        if seconds:
            # A date has no fractions of a second.
            self.not_before = self.clock.monotonic() + seconds - ("date" in kind)
        return Scripted(429 if kind == "429" else 503, headers={"Retry-After": after} if seconds else {})

    def _cut(self, kind: str, asked: Asked, answer: Scripted) -> Scripted | None:
        if kind == "dropped":
            return Scripted(drop=True)
        if kind == "cut in its compression":
            packed = gzip.compress(answer.body)
            headers = {**answer.headers, "Content-Encoding": "gzip"}
            return replace(answer, body=packed[: self.chance.randrange(1, len(packed))], headers=headers)
        return replace(answer, cut=self.chance.randrange(len(answer.body)), chunked="chunk" in kind)

    def _not_the_answer(self, kind: str, asked: Asked, answer: Scripted) -> Scripted | None:
        if kind == "half of the JSON":
            return replace(answer, body=answer.body[: self.chance.randrange(len(answer.body))])
        if kind == "a bomb":
            return Scripted(200, _BOMB, {"Content-Encoding": "gzip"})
        if kind == "a login page":
            return Scripted(200, b"<html>login</html>", content_type="text/html")
        other = {"no JSON": b"\x00\xff{]", "another resource": b'{"resourceType": "Basic"}', "nested": b"[" * 99_999}
        return Scripted(200, other[kind])

    def _refused(self, kind: str, asked: Asked, answer: Scripted) -> Scripted | None:
        if kind == "404" and asked.path.startswith("/fhir/Observation/o"):
            return None  # that would say that the resource is gone
        if kind == "a parameter refused":
            name = self.chance.choice(("category", "_include", "_lastUpdated", "date"))
            told = dict(asked.query)
            return outcome(400, "not-supported", f'Unknown search parameter "{name}"') if name in told else None
        code = {"401": "login", "403": "forbidden", "404": "not-found"}.get(kind, "exception")
        return outcome(int(kind), code)

    def _sign_in(self, kind: str, asked: Asked, answer: Scripted) -> Scripted | None:
        if kind == "expired":
            self.clock.pass_by(self.token_seconds)  # of this answer's own time; the next request needs another token
            return answer
        for token in self.tokens:
            self.tokens[token] = 0.0
        if kind == "no token":
            self._issuer_answers = [Scripted(400, b'{"error": "invalid_client"}', content_type="application/json")]
        elif kind == "token endpoint down":
            self._issuer_answers = [Scripted(503)] * self.chance.choice((1, 2, 3))
        return outcome(401, "expired")

    def _link(self, kind: str, asked: Asked, answer: Scripted) -> Scripted | None:
        if not (asked.path.startswith("/fhir/Observation") and b'"searchset"' in answer.body):
            return None
        here, elsewhere = self.of.peer, self.of.stranger
        link = {
            "loop": asked.target,
            "own link": f"{here.base_url}/Observation?_getpages=none",
            "foreign link": f"{elsewhere.origin}{asked.target}",
            "link out of the base": f"{here.origin}/elsewhere?_getpages=p0",
            "foreign user": f"{here.origin}@{elsewhere.origin.removeprefix('http://')}/fhir?_getpages=p0",
        }[kind]
        document = simplejson.loads(answer.body, use_decimal=True)
        document["link"] = [{"relation": "next", "url": link}]
        return Scripted(200, simplejson.dumps(document, use_decimal=True).encode())

    def _redirect(self, kind: str, asked: Asked, answer: Scripted) -> Scripted | None:
        if (asked.method == "POST") != kind.startswith("post"):
            return None
        origin = self.of.stranger.origin if "elsewhere" in kind else ""
        status = self.chance.choice((301, 302, 303, 307, 308))
        return Scripted(status, headers={"Location": f"{origin}{asked.target}"})

    def _time_out(self, kind: str, asked: Asked, answer: Scripted) -> Scripted | None:
        if kind == "silent":
            return Scripted(hang=True)
        self.clock.pass_by(400)
        return answer

    def _kill(self, kind: str, asked: Asked, answer: Scripted) -> Scripted | None:
        self.steps_to_live = self.chance.randrange(1, 6)
        return answer
