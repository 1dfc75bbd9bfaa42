"""Making and changing accounts: the page and ``lab-adapter user`` go through these functions alone.

Whoever is refused is told why by AccountRefused or PasswordRefused; an account that is not there is a StoreError.
"""

from __future__ import annotations

import re
from datetime import datetime

from adapter.review.rows import marked
from adapter.store import Store, StoreError, Transaction
from adapter.web.access import Role, hash_password

_NAME = re.compile(r"[\w.@-]{1,60}")


class AccountRefused(Exception):
    """A change of an account that cannot be made: the text, in English, says why and what can be."""


def add(store: Store, name: str, role: Role, password: str, who: str, at: datetime) -> None:
    """Make an account. Raises AccountRefused, PasswordRefused.

    Here and below: a password that ``who`` is not the owner of has to be changed at the next sign-in.
    """
    if not _NAME.fullmatch(name):
        raise AccountRefused(marked("A name has up to 60 letters and digits, and . _ @ - between them; no blanks."))
    hashed = hash_password(password, name)
    with store.write() as tx:
        if tx.account(name) is not None:
            raise AccountRefused(marked("There is an account of this name already."))
        tx.add_account(name, role.word, hashed, who, at, given=who != name)


def set_password(store: Store, name: str, password: str, who: str, why: str, at: datetime) -> None:
    """Give an account another password; its sessions end and its lock is opened. Raises PasswordRefused."""
    _known(store, name)
    hashed = hash_password(password, name)
    with store.write() as tx:
        tx.change_account(name, who, why, at, password_hash=hashed, given=who != name)


def set_role(store: Store, name: str, role: Role, who: str, why: str, at: datetime) -> None:
    """Give an account another role; its sessions end. Raises AccountRefused."""
    with store.write() as tx:
        if role != Role.ADMINISTRATOR:
            _refuse_the_last(tx, name)
        tx.change_account(name, who, why, at, role=role.word)


def disable(store: Store, name: str, who: str, why: str, at: datetime) -> None:
    """Keep an account from signing in; its sessions end. Raises AccountRefused."""
    with store.write() as tx:
        _refuse_the_last(tx, name)
        tx.change_account(name, who, why, at, disabled=True)


def enable(store: Store, name: str, who: str, why: str, at: datetime) -> None:
    """Let an account sign in again; its lock is opened too."""
    with store.write() as tx:
        tx.change_account(name, who, why, at, disabled=False)


def _known(store: Store, name: str) -> None:
    if store.account(name) is None:
        raise StoreError(f"there is no account {name}; see `lab-adapter user list`")


def _refuse_the_last(tx: Transaction, name: str) -> None:
    """Asked within the transaction: two administrators who disable one another at the same time do not both succeed."""
    able = [a.name for a in tx.accounts() if a.role == Role.ADMINISTRATOR.word and a.disabled_at is None]
    if able == [name]:
        raise AccountRefused(marked("This is the last administrator; make another one first."))
