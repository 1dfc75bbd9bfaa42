"""The accounts: who may use the page, for administrators."""

from __future__ import annotations

from collections.abc import Callable

from starlette.responses import Response

from adapter import labels
from adapter.review.rows import marked
from adapter.store import StoreError
from adapter.web import accounts
from adapter.web.access import LEAST_PASSWORD, PasswordRefused, Role
from adapter.web.page import Page, serve

_WHY = "on the page"


def show(page: Page) -> Response:
    """Everyone who has or had an account, and the forms."""
    return _list(page)


def add(page: Page) -> Response:
    """Make an account with a password, which is told to its owner, who has to change it."""
    return _change(
        page,
        lambda name: accounts.add(page.store, name, _role(page), _password(page), page.who.name, page.now),
        page.say("The account {name} is there.", name=page.text("name")),
    )


def set_role(page: Page) -> Response:
    """Give an account another role."""
    return _change(
        page,
        lambda name: accounts.set_role(page.store, name, _role(page), page.who.name, _WHY, page.now),
        page.say("{name} has another role.", name=page.text("name")),
    )


def set_password(page: Page) -> Response:
    """Give somebody who forgot theirs a new password."""
    return _change(
        page,
        lambda name: accounts.set_password(page.store, name, _password(page), page.who.name, _WHY, page.now),
        page.say("{name} has a new password.", name=page.text("name")),
    )


def disable(page: Page) -> Response:
    """Keep somebody from signing in; what they did stays theirs."""
    return _change(
        page,
        lambda name: accounts.disable(page.store, name, page.who.name, _WHY, page.now),
        page.say("{name} cannot sign in any more.", name=page.text("name")),
    )


def enable(page: Page) -> Response:
    """Let somebody sign in again."""
    return _change(
        page,
        lambda name: accounts.enable(page.store, name, page.who.name, _WHY, page.now),
        page.say("{name} can sign in again.", name=page.text("name")),
    )


def _change(page: Page, change: Callable[[str], None], done: str) -> Response:
    try:
        change(page.text("name"))
    except (accounts.AccountRefused, PasswordRefused) as refused:
        return _list(page, failed=page.say(str(refused)), status=422)
    except StoreError:
        if page.store.account(page.text("name")) is not None:
            raise
        return _list(page, failed=page.say("There is no account of this name."), status=422)
    if page.store.visit(page.who.token_hash) is None:  # it was one's own
        return page.redirect("sign_in")
    return _list(page, done=done)


def _list(page: Page, *, done: str | None = None, failed: str | None = None, status: int = 200) -> Response:
    return page.render(
        "users.html",
        status=status,
        accounts=page.store.accounts(),
        roles=role_names(page),
        least=LEAST_PASSWORD,
        done=done,
        failed=failed,
    )


def role_names(page: Page) -> dict[str, str]:
    """Each role as it is stored, and what it is called."""
    return {role.word: labels.role(role.word, page.language.gettext) for role in Role}


def _role(page: Page) -> Role:
    word = page.text("role")
    found = next((role for role in Role if role.word == word), None)
    if found is None:
        raise accounts.AccountRefused(marked("Choose a role."))
    return found


def _password(page: Page) -> str:
    return str(page.form.get("password") or "")


ROUTES = [
    serve("/accounts", show, "users", role=Role.ADMINISTRATOR),
    serve("/accounts", add, "add_account", role=Role.ADMINISTRATOR, methods=("POST",)),
    serve("/accounts/role", set_role, "set_role", role=Role.ADMINISTRATOR, methods=("POST",)),
    serve("/accounts/password", set_password, "set_password", role=Role.ADMINISTRATOR, methods=("POST",)),
    serve("/accounts/disable", disable, "disable_account", role=Role.ADMINISTRATOR, methods=("POST",)),
    serve("/accounts/enable", enable, "enable_account", role=Role.ADMINISTRATOR, methods=("POST",)),
]
