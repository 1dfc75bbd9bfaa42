"""Who may use the page: user add, list, disable, enable, password, role."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from adapter.cli.common import Session, by_option, echo, json_option, pass_session, print_json, print_table, reason
from adapter.store import Store

if TYPE_CHECKING:
    from adapter.web.access import Role

_ROLES = ("viewer", "coordinator", "data_manager", "administrator")
why_option = reason(default="on the command line")
stdin_option = click.option("--password-stdin", "from_stdin", is_flag=True, help="Read it from standard input, a line.")
generate_option = click.option("--generate", is_flag=True, help="Make one, and print it once.")


@click.group()
def user() -> None:
    """Who may sign in to the page: accounts with a role each.

    A viewer reads; a coordinator also decides, assesses and enrols; a data_manager also signs off and reads the trail;
    an administrator also has the accounts and the raw messages.
    """


@user.command("add")
@click.argument("name")
@click.option("--role", type=click.Choice(_ROLES), required=True)
@stdin_option
@generate_option
@by_option
@pass_session
def add(session: Session, name: str, role: str, from_stdin: bool, generate: bool, who: str) -> None:
    """Make an account. Its password is asked for twice; there is no default one.

    Its owner has to change it at the first sign-in, unless they made the account themselves: --by NAME.
    """
    from adapter.web import accounts

    with session.store() as store:
        if store.account(name) is not None:
            _refuse(f"there is an account {name} already; see `lab-adapter user list`")
        password = _password(from_stdin=from_stdin, generate=generate)
        _do(accounts.add, store, name, _role(role), password, who, session.now())
    echo(f"{name} may sign in as {role}")
    _tell(password, generated=generate, given=who != name)


@user.command("list")
@json_option
@pass_session
def list_(session: Session, as_json: bool) -> None:
    """List everyone who has or had an account."""
    with session.store() as store:
        rows = [
            {
                "name": each.name,
                "role": each.role,
                "created_at": each.created_at,
                "disabled_at": each.disabled_at,
                "must_change_password": each.password_is_given == 1,
                "locked_until": store.sign_ins(each.name).locked_until,
            }
            for each in store.accounts()
        ]
    if as_json:
        print_json(rows)
        return
    titles = ("name", "role", "since", "disabled", "must change password", "last locked until")
    shown = [{**row, "must_change_password": "yes" if row["must_change_password"] else ""} for row in rows]
    print_table(titles, [list(row.values()) for row in shown])


@user.command("password")
@click.argument("name")
@stdin_option
@generate_option
@by_option
@why_option
@pass_session
def password(session: Session, name: str, from_stdin: bool, generate: bool, who: str, why: str) -> None:
    """Give an account another password; it is signed out everywhere, and its lock is opened.

    Its owner has to change it at the next sign-in, unless they did this themselves: --by NAME.
    """
    from adapter.web import accounts

    with session.store() as store:
        _known(store, name)
        new = _password(from_stdin=from_stdin, generate=generate)
        _do(accounts.set_password, store, name, new, who, why, session.now())
    echo(f"{name} has a new password")
    _tell(new, generated=generate, given=who != name)


@user.command("role")
@click.argument("name")
@click.argument("role", type=click.Choice(_ROLES))
@by_option
@why_option
@pass_session
def role(session: Session, name: str, role: str, who: str, why: str) -> None:
    """Give an account another role; it is signed out everywhere."""
    from adapter.web import accounts

    with session.store() as store:
        _do(accounts.set_role, store, name, _role(role), who, why, session.now())
    echo(f"{name} is {role} now")


@user.command("disable")
@click.argument("name")
@by_option
@why_option
@pass_session
def disable(session: Session, name: str, who: str, why: str) -> None:
    """Keep an account from signing in. Nothing that it did is touched."""
    from adapter.web import accounts

    with session.store() as store:
        _do(accounts.disable, store, name, who, why, session.now())
    echo(f"{name} cannot sign in any more")


@user.command("enable")
@click.argument("name")
@by_option
@why_option
@pass_session
def enable(session: Session, name: str, who: str, why: str) -> None:
    """Let an account sign in again; a lock after failed sign-ins is opened too."""
    from adapter.web import accounts

    with session.store() as store:
        _do(accounts.enable, store, name, who, why, session.now())
    echo(f"{name} can sign in")


def _do(change: Any, *arguments: Any) -> None:
    """Make a change; what is refused is told as every other refusal of a command."""
    from adapter.web.access import PasswordRefused
    from adapter.web.accounts import AccountRefused

    try:
        change(*arguments)
    except (AccountRefused, PasswordRefused) as refused:
        _refuse(str(refused))


def _refuse(words: str) -> None:
    raise click.ClickException(words)


def _known(store: Store, name: str) -> None:
    if store.account(name) is None:
        _refuse(f"there is no account {name}; see `lab-adapter user list`")


def _role(word: str) -> Role:
    from adapter.web.access import Role

    return Role[word.upper()]


def _password(*, from_stdin: bool, generate: bool) -> str:
    if from_stdin and generate:
        raise click.UsageError("--password-stdin and --generate are two ways to the same; give one")
    if generate:
        from adapter.web.access import make_password

        return make_password()
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask for the password; use --password-stdin or --generate")
    found: str = click.prompt("Password", hide_input=True, confirmation_prompt="Once more", err=True)
    return found


def _tell(password: str, *, generated: bool, given: bool) -> None:
    if generated:
        echo(f"password: {password}")
        echo("It is shown this once.", err=True)
    if given:
        echo("Its owner has to change it at the first sign-in.", err=True)
