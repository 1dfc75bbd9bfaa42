"""The page on a real store, asked as a browser asks it: a trial's folder, an account of each role, a clock that stands.

``run.sign_in("coordinator")`` gives a browser in which that account is signed in; ``run.browser()`` a stranger's.
``browser.submit(path, **fields)`` sends a form with the token that its page would have put into it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from httpx2 import Response
from starlette.testclient import TestClient
from trialrun import TrialRun

from adapter.review.decide import Desk
from adapter.review.proposal import Proposal
from adapter.web.access import Role, hash_password, hash_token
from adapter.web.app import create_app
from adapter.web.page import COOKIE, FORM_COOKIE

CHECKOUT = Path(__file__).parents[2]
SITUATIONS = CHECKOUT / "fixtures" / "messages"
PASSWORD = "seven quiet herons"
CONFIG = f"""
[trial]
protocol = "{CHECKOUT / "mappings" / "nct06984497.toml"}"
timezone = "Asia/Shanghai"
[store]
url = "sqlite:///trial.db"
[[source]]
name = "lis"
kind = "mllp"
port = 0
authority = "NTCGH"
authorities = {{ "urn:oid:1.2.3.4" = "NTCGH" }}
codes = "{SITUATIONS / "codes.toml"}"
[web]
port = 0
"""


class Browser(TestClient):
    """One browser: its cookies, and the forms it sends. It follows redirects unless told not to."""

    def __init__(self, run: WebRun, language: str = "en", host: str = "127.0.0.1") -> None:
        super().__init__(run.app, base_url=f"http://{host}", headers={"accept-language": language})
        self.run = run

    @property
    def token(self) -> str:
        """The token that the forms of this browser carry at the moment; "" where it has seen none."""
        visit = self.run.store.visit(hash_token(self.cookies.get(COOKIE) or ""))
        return visit.csrf if visit is not None else self.cookies.get(FORM_COOKIE) or ""

    def submit(self, path: str, /, follow_redirects: bool = True, **fields: Any) -> Response:
        """A form as its page sends it; ``csrf=...`` sends another token than the page's."""
        return self.post(path, data={"csrf": self.token, **fields}, follow_redirects=follow_redirects)


class WebRun(TrialRun):
    """A small trial with its page. The accounts are named as their roles are, all with the one password."""

    def __init__(self, folder: Path, config: str = CONFIG, **more: Any) -> None:
        (folder / "config.toml").write_text(config, encoding="utf-8")
        super().__init__(folder / "config.toml", folder / "trial.db", **more)
        self.woken = 0
        self.app = create_app(lambda: self.config, lambda: self.book, lambda: self.now, self._wake)
        with self.store.write() as tx:
            for role in Role:
                tx.add_account(role.word, role.word, _hashed(role.word), "test", self.now)

    def _wake(self) -> None:
        self.woken += 1

    def browser(self, language: str = "en") -> Browser:
        """A browser of somebody who has not signed in."""
        return Browser(self, language)

    def sign_in(self, name: str, password: str = PASSWORD, language: str = "en") -> Browser:
        """A browser in which an account is signed in."""
        browser = self.browser(language)
        browser.get("/sign-in")
        answer = browser.submit("/sign-in", follow_redirects=False, name=name, password=password)
        assert answer.status_code == 303, answer.text
        return browser

    def trail(self) -> list[tuple[str, str, str]]:
        """What the trail says: who, what, of what."""
        return [(r.who, r.what, r.subject) for r in self.store.audit_records()]

    def desk_decides(self, propose: Callable[[Desk], Proposal]) -> None:
        """What somebody decided elsewhere."""
        at = Desk(self.store, self.book, self.now)
        at.decide(propose(at), "somebody", "because")
        self.settler.settle(self.book)

    def receive(self, what: str | bytes, source: str = "lis") -> None:
        """A situation of the fixtures by its name, or a message's bytes, through the pipeline and settled."""
        path = SITUATIONS / what if isinstance(what, str) else self.config.path.with_name("message.hl7")
        if isinstance(what, bytes):
            path.write_bytes(what)
        self.replay(path, source)


@cache
def _hashed(name: str) -> str:
    """Hashing takes long on purpose; once for all tests of a process is enough."""
    return hash_password(PASSWORD, name)
