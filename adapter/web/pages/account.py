"""Signing in and out, one's own password, the language."""

from __future__ import annotations

from starlette.responses import RedirectResponse, Response

from adapter.web.access import LEAST_PASSWORD, PasswordRefused, SignedIn, confirm, sign_in
from adapter.web.accounts import set_password
from adapter.web.page import COOKIE, FORM_COOKIE, LANGUAGE_COOKIE, Page, serve

_A_YEAR_SECONDS = 365 * 86_400


def show_sign_in(page: Page) -> Response:
    """The form to sign in."""
    asked = page.request.query_params
    return page.render("sign_in.html", failed=None, changed="changed" in asked, next=_safe(asked.get("next", "/")))


def do_sign_in(page: Page) -> Response:
    """Try a name and its password."""
    web = page.house.web
    went = sign_in(page.store, web, page.text("name"), str(page.form.get("password") or ""), page.now)
    target = _safe(page.text("next") or "/")
    if not isinstance(went, SignedIn):
        failed = (
            page.say("This name has failed too often and is locked for a while.")
            if went.locked
            else page.say("Name or password is wrong.")
        )
        return page.render("sign_in.html", status=403, failed=failed, changed=False, next=target)
    if page.caller is not None:
        with page.store.write() as tx:  # the browser forgets it, and so does the store
            tx.end_session(page.caller.token_hash)
    response = RedirectResponse(target, status_code=303)
    page.put_cookie(response, COOKIE, went.token, web.session_timeout_seconds)
    response.delete_cookie(FORM_COOKIE)
    return response


def sign_out(page: Page) -> Response:
    """End the session."""
    with page.store.write() as tx:
        tx.end_session(page.who.token_hash)
        tx.record("signed out", page.who.name, who=page.who.name, at=page.now, why="asked for")
    response = page.redirect("sign_in")
    response.delete_cookie(COOKIE)
    return response


def show_password(page: Page) -> Response:
    """The form to change one's own password."""
    return page.render("password.html", failed=None, least=LEAST_PASSWORD)


def change_password(page: Page) -> Response:
    """Change one's own password; every session of the account ends."""
    old, new = str(page.form.get("old") or ""), str(page.form.get("new") or "")
    if not confirm(page.store, page.house.web, page.who, old, page.now):
        return _password_again(page, page.say("The old password is wrong."))
    if new == old:
        return _password_again(page, page.say("The new password is the old one; take another."))
    if new != str(page.form.get("again") or ""):
        return _password_again(page, page.say("The two new passwords differ."))
    try:
        set_password(page.store, page.who.name, new, page.who.name, "changed by its owner", page.now)
    except PasswordRefused as refused:
        return _password_again(page, page.say(str(refused)))
    response = RedirectResponse(f"{page.path('sign_in')}?changed=1", status_code=303)
    response.delete_cookie(COOKIE)
    return response


def _password_again(page: Page, failed: str) -> Response:
    return page.render("password.html", status=422, failed=failed, least=LEAST_PASSWORD)


def choose_language(page: Page) -> Response:
    """Another language, for this browser."""
    response = RedirectResponse(_safe(page.text("next") or "/"), status_code=303)
    if page.text("language") in page.house.languages:
        page.put_cookie(response, LANGUAGE_COOKIE, page.text("language"), _A_YEAR_SECONDS)
    return response


def _safe(target: str) -> str:
    """A path of this page, and nothing that a browser could take for another host: it reads ``\\`` as ``/`` and skips
    control characters (WHATWG URL, 4.4)."""
    odd = "\\" in target or any(not c.isprintable() for c in target)
    return target if target.startswith("/") and not target.startswith("//") and not odd else "/"


ROUTES = [
    serve("/sign-in", show_sign_in, "sign_in", role=None),
    serve("/sign-in", do_sign_in, "do_sign_in", role=None, methods=("POST",)),
    serve("/sign-out", sign_out, "sign_out", methods=("POST",)),
    serve("/password", show_password, "password"),
    serve("/password", change_password, "change_password", methods=("POST",)),
    serve("/language", choose_language, "language", role=None, methods=("POST",)),
]
