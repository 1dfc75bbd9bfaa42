"""What every page shares: who asks, in which language, the store, and how an answer is made.

A page is a plain function of a :class:`Page` that returns a response; ``serve`` makes it an endpoint that lets in those
who may, checks the token of each form, and turns what was refused into a page that says so.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from jinja2 import Environment
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartParser
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive

from adapter import labels
from adapter.config import Config
from adapter.config_web import Web
from adapter.pipeline import Rulebook, Settler
from adapter.review.decide import Desk
from adapter.review.desk import DecisionRefused
from adapter.review.rows import marked
from adapter.store import Store, StoreError
from adapter.web.access import Caller, Role, caller_of, same
from adapter.web.language import Language, preferred

log = logging.getLogger(__name__)
COOKIE = "lab_adapter_session"
FORM_COOKIE = "lab_adapter_form"  # the token of forms before anybody has signed in
LANGUAGE_COOKIE = "lab_adapter_language"
MOST_BYTES = 4 * 1024 * 1024  # of one form: a roster or assessments of thousands of lines
MOST_BYTES_OF_A_STRANGER = 16 * 1024  # of a form that needs no sign-in: a name, a password, a language
MOST_LETTERS = 2_000  # of what a person writes into one field
_MOST_FIELDS = 5_000
_PATIENCE_SECONDS = 5.0
# A password may be anything; a file is a file on its way back; where to go is looked at when one goes there.
_AS_IT_IS = frozenset({"password", "old", "new", "again", "carried", "next"})
_WITH_A_GIVEN_PASSWORD = frozenset({"password", "change_password", "sign_out"})
# What is sent stays in memory: a file of identities is nowhere on a disk, not even in a temporary file.
MultiPartParser.spool_max_size = MOST_BYTES


@dataclass(frozen=True)
class House:
    """What the pages of one daemon share. ``config`` and ``book`` are asked for each time: SIGHUP changes them."""

    config: Callable[[], Config]
    book: Callable[[], Rulebook]
    now: Callable[[], datetime]
    wake: Callable[[], None]
    templates: Environment
    languages: Mapping[str, Language]

    @property
    def web(self) -> Web:
        """The section ``[web]`` in force."""
        web = self.config().web
        assert web is not None
        return web

    def open_store(self) -> Store:
        """A store for one request."""
        config = self.config()
        return Store.open(config.store_path, config.protocol.trial)


@dataclass
class Page:
    """One request: who asks for what, and everything needed to answer."""

    house: House
    request: Request
    store: Store
    caller: Caller | None
    language: Language
    now: datetime
    form: FormData = field(default_factory=FormData)

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self.house.config()

    @cached_property
    def desk(self) -> Desk:
        """Where decisions are proposed and made."""
        return Desk(self.store, self.house.book(), self.now)

    @property
    def today(self) -> date:
        """The day in the trial's time zone."""
        return self.now.astimezone(ZoneInfo(self.config.protocol.timezone)).date()

    @property
    def who(self) -> Caller:
        """The caller of a page that only those who signed in see."""
        assert self.caller is not None
        return self.caller

    def may(self, role: Role) -> bool:
        """Whether the caller has a role, or one above it."""
        return self.caller is not None and self.caller.role >= role

    def say(self, text: str, **facts: object) -> str:
        """A text in the caller's language; ``{name}`` in it is replaced by the fact of that name."""
        said = self.language.gettext(text)
        return said.format_map({name: str(fact) for name, fact in facts.items()}) if facts else said

    def sent(self, text: str | None) -> str:
        """A value as it was sent, if it is one; text that may say more an administrator sees among the bytes."""
        protocol = self.config.protocol
        units = {unit.casefold() for analyte in protocol.analytes.values() for unit in analyte.units}
        known = units.union(protocol.no_result_texts, protocol.no_result_words)
        return "" if text is None else labels.sent(text, self.language.gettext, known)

    def settle(self) -> bool:
        """Derive what a decision changed, so that the next page shows it; whether that is done.

        Where much waits, because a feed came in or the cause is a common one, the daemon goes on with it.
        """
        end = time.monotonic() + _PATIENCE_SECONDS
        settler, book = Settler(self.store, self.house.now, "adapter"), self.house.book()
        settler.settle(book, stop=lambda: time.monotonic() > end)
        self.house.wake()
        return self.store.dirty_count(book.ruleset, self.today) <= len(settler.stuck)

    def render(self, template: str, /, status: int = 200, **context: Any) -> Response:
        """A page from a template; ``page``, ``_``, ``say`` and ``Role`` are there in each."""
        made = self.house.templates.get_template(template).render(
            page=self,
            _=self.language.gettext,
            ngettext=self.language.ngettext,
            Role=Role,
            csrf=self.csrf,
            path=self.path,
            menu=menu,
            here=here,
            **context,
        )
        return HTMLResponse(made, status_code=status)

    def path(self, name: str, /, **parameters: Any) -> str:
        """Where a page is, by its route's name."""
        return str(self.request.app.url_path_for(name, **parameters))

    def redirect(self, name: str, /, **parameters: Any) -> Response:
        """To another page, by its route's name: the form is not sent again when that one is reloaded."""
        return RedirectResponse(self.path(name, **parameters), status_code=303)

    @property
    def here(self) -> str:
        """Where to come back to: the page that is being looked at. A form that was sent is not sent again."""
        url = self.request.url
        if self.request.method not in {"GET", "HEAD"}:
            return "/"
        return f"{url.path}?{url.query}" if url.query else url.path

    def put_cookie(self, response: Response, name: str, value: str, max_age: int | None = None) -> None:
        """A cookie that no script reads and no other site's request carries; under TLS it never leaves it."""
        secure = self.request.url.scheme == "https"
        response.set_cookie(name, value, max_age=max_age, httponly=True, samesite="strict", secure=secure)

    @cached_property
    def csrf(self) -> str:
        """The token that this caller's forms carry."""
        if self.caller is not None:
            return self.caller.csrf
        return self.request.cookies.get(FORM_COOKIE) or secrets.token_urlsafe(32)

    def text(self, name: str) -> str:
        """A field of the form, without blanks around it; "" where it is not there."""
        value = self.form.get(name)
        return value.strip() if isinstance(value, str) else ""


def menu(page: Page) -> list[tuple[str, str]]:
    """The pages that a caller may go to: the name of each route, and what it is called."""
    if page.caller is None or page.caller.must_change:
        return []
    _ = page.language.gettext
    pages = [
        ("board", _("Board"), Role.VIEWER),
        ("queue", _("Review"), Role.VIEWER),
        ("roster", _("Roster"), Role.VIEWER),
        ("decisions", _("Decisions"), Role.VIEWER),
        ("trail", _("Trail"), Role.DATA_MANAGER),
        ("users", _("Accounts"), Role.ADMINISTRATOR),
        ("help", _("Help"), Role.VIEWER),
    ]
    return [(name, label) for name, label, role in pages if page.may(role)]


def here(page: Page, name: str) -> bool:
    """Whether the caller is on this page, or on one beneath it."""
    at, path = page.path(name), page.request.url.path
    return path == at or (at != "/" and path.startswith(f"{at}/"))


View = Callable[[Page], Response]
Answered = TypeVar("Answered", bound=Response | None)


def serve(
    path: str, view: View, name: str, *, role: Role | None = Role.VIEWER, methods: tuple[str, ...] = ("GET",)
) -> Route:
    """A route. ``role`` None is for pages that need no sign-in. Each page that writes is a POST with a token."""

    async def endpoint(request: Request) -> Response:
        house: House = request.app.state.house
        try:
            if request.method == "POST" and role is not None:  # nothing is read of a form that would be refused
                refused = await run_in_threadpool(
                    _answer, house, request, FormData(), lambda page: _refused(page, name, role)
                )
                if refused is not None:
                    return refused
                request.state.is_known = True  # adapter.web.patience waits longer for it
            async with _form(request, MOST_BYTES_OF_A_STRANGER if role is None else MOST_BYTES) as form:
                return await run_in_threadpool(
                    _answer, house, request, form, lambda page: _checked(page, view, name, role)
                )
        except HTTPException:
            raise
        except ClientDisconnect:
            return Response(status_code=400)  # to nobody
        except Exception as error:  # whatever it is, nobody is shown it, and what it held is not logged
            log.error("%s in the page %s, at %s", type(error).__name__, name, _place(error))
            words = _language(house, request).gettext(
                "The page failed. Look whether it was done before you do it again, and please report the time."
            )
            return _trouble(house, request, words, 500)

    return Route(path, endpoint, name=name, methods=list(methods))


async def not_served(request: Request, error: Exception) -> Response:
    """The answer to what no page answers: a path that there is not, a method, a form that is no form or too large."""
    assert isinstance(error, HTTPException)
    house: House = request.app.state.house

    def said(page: Page) -> Response:
        return page.render("refused.html", status=error.status_code, why=page.say(_WORDS.get(error.status_code, _ODD)))

    response = await run_in_threadpool(_answer, house, request, FormData(), said)
    response.headers.update(error.headers or {})
    return response


_FAILED = marked("The page failed. Look whether it was done before you do it again, and please report the time.")
_NO_STORE = marked("The store cannot be used at the moment. Try again in a minute, and look first whether it was done.")
_ODD = marked("The browser sent something that cannot be understood.")
_ODD_FIELD = marked("A field holds characters that cannot be seen, or more than {n} letters. Write it again.")
_WORDS = {
    404: marked("There is no such page."),
    405: marked("This page cannot be used in this way. Go back and use its buttons."),
    413: marked("That is too large."),
}


@asynccontextmanager
async def _form(request: Request, most: int) -> AsyncIterator[FormData]:
    """The form of a POST of so many bytes; a file that came with it is closed when it was answered."""
    if request.method != "POST":
        yield FormData()
        return
    bounded = Request(request.scope, _bounded(request.receive, most))
    try:
        if int(request.headers.get("content-length", "0")) > most:
            raise HTTPException(413)
        form = await bounded.form(max_files=1, max_fields=_MOST_FIELDS, max_part_size=MOST_BYTES)
        for _, text in form.multi_items():
            if isinstance(text, str):
                text.encode()
    except (LookupError, ValueError) as error:  # a character set that there is not, or characters that are none
        raise HTTPException(400) from error
    try:
        yield form
    finally:
        await form.close()


def _bounded(receive: Receive, most: int) -> Receive:
    """A body larger than that is refused as it comes in: Starlette bounds parts alone."""
    taken = 0

    async def receive_bounded() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > most:
            raise HTTPException(413)
        return message

    return receive_bounded


def _answer(house: House, request: Request, form: FormData, answer: Callable[[Page], Answered]) -> Answered | Response:
    language = _language(house, request)
    try:
        with house.open_store() as store:
            now = house.now()
            caller = caller_of(store, house.web, request.cookies.get(COOKIE), now)
            page = Page(house, request, store, caller, language, now, form)
            response = answer(page)
            if response is not None and caller is None and FORM_COOKIE not in request.cookies:
                page.put_cookie(response, FORM_COOKIE, page.csrf)
            return response
    except StoreError as error:
        log.error("%s", error)
        words = language.gettext(
            "The store cannot be used at the moment. Try again in a minute, and look first whether it was done."
        )
        return _trouble(house, request, words, 503)


def _refused(page: Page, name: str, role: Role | None) -> Response | None:
    """The answer to a caller whom this page is not for, or not now; None to one whom it is for."""
    if role is None:
        return None
    if page.caller is None:
        return _stranger(page)
    if page.who.must_change and name not in _WITH_A_GIVEN_PASSWORD:
        return page.redirect("password")  # of a form, nothing is done
    if not page.may(role):
        _record_refusal(page, name, "page refused", f"needs the role {role.word}")
        return page.render("refused.html", status=403, why=page.say("Your role does not allow this."))
    return None


def _checked(page: Page, view: View, name: str, role: Role | None) -> Response:
    refused = _refused(page, name, role)
    if refused is not None:
        return refused
    if page.request.method == "POST" and not _token_is_good(page):
        if page.caller is not None:
            _record_refusal(page, name, "form refused", "the form carried no token of this session")
        return page.render(
            "refused.html", status=403, why=page.say("This form is no longer valid. Load the page again.")
        )
    if any(map(_is_odd, page.form.multi_items())):
        return page.render("refused.html", status=422, why=page.say(_ODD_FIELD, n=MOST_LETTERS))
    try:
        return view(page)
    except DecisionRefused as why:
        return page.render("refused.html", status=409, why=why.told(page.language.gettext))


def _is_odd(field: tuple[str, Any]) -> bool:
    """Whether a field could deceive who reads it in the trail."""
    name, text = field
    if not isinstance(text, str) or name in _AS_IT_IS:
        return False
    return len(text) > MOST_LETTERS or not all(map(labels.is_seen, text))


def _stranger(page: Page) -> Response:
    if page.request.method == "POST":
        return page.render("refused.html", status=403, why=page.say("Your session has ended. Sign in again."))
    return RedirectResponse(f"{page.path('sign_in')}?{urlencode({'next': page.here})}", status_code=303)


def _token_is_good(page: Page) -> bool:
    if page.caller is None and FORM_COOKIE not in page.request.cookies:
        return False
    return same(page.text("csrf"), page.csrf)


def _record_refusal(page: Page, name: str, what: str, why: str) -> None:
    """By the name of its route: what else stands in the address may be a number or a name of somebody."""
    asked = {"page": name, "role": page.who.role.word}
    with page.store.write() as tx:
        tx.record(what, page.who.name, who=page.who.name, at=page.now, why=why, new=asked)


def _trouble(house: House, request: Request, text: str, status: int) -> Response:
    """A page that needs neither the store nor anything else that may have failed."""
    language = _language(house, request)
    words = language.gettext(text)
    made = house.templates.get_template("trouble.html").render(words=words, language=language, status=status)
    return HTMLResponse(made, status_code=status)


def _place(error: Exception) -> str:
    """The file and line where it was raised: where to look, and nothing of what was being shown."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "?" if trace is None else f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"


def _language(house: House, request: Request) -> Language:
    chosen = request.cookies.get(LANGUAGE_COOKIE, "")
    if chosen in house.languages:
        return house.languages[chosen]
    return preferred(request.headers.get("accept-language", ""), house.languages)
