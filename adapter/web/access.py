"""Who may: passwords, sessions, roles, and the tokens that forms carry.

Passwords are kept as argon2id (RFC 9106) hashes; sessions are random tokens of 256 bits in a cookie that scripts and
other sites cannot use (HttpOnly, SameSite=Strict), kept as their SHA-256, ended by idleness and by age.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from adapter.config_web import Web
from adapter.review.rows import marked
from adapter.store import Account, Store, Transaction, utc_text

LEAST_PASSWORD = 12
MOST_PASSWORD = 1000
_LETTERS = "23456789abcdefghjkmnpqrstuvwxyz"
# RFC 9106's second recommended option, in one lane: the feed wants a core of its own.
_HASHER = PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=1)
_NOBODYS = _HASHER.hash(secrets.token_urlsafe())  # a name without an account takes as long to refuse as one with
_ONE_AT_A_TIME = threading.Lock()  # a flood of sign-ins takes 64 MiB and one core, and no more
_LEAST_TOUCH_SECONDS = 60


class Role(IntEnum):
    """What an account may do; each may also do what those below it may."""

    VIEWER = 1
    COORDINATOR = 2
    DATA_MANAGER = 3
    ADMINISTRATOR = 4

    @property
    def word(self) -> str:
        """As it is stored and told."""
        return self.name.lower()


class PasswordRefused(Exception):
    """A password that cannot be used: the text, in English, says what would be."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is signed in, and with which session; ``must_change`` the password first, for somebody else chose it."""

    name: str
    role: Role
    token_hash: str = field(repr=False)
    csrf: str = field(repr=False)
    must_change: bool = False


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A sign-in that succeeded: the cookie's token."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class NotSignedIn:
    """A sign-in that failed; ``locked`` where the name has failed too often lately."""

    locked: bool = False


def make_password() -> str:
    """A password that can be read aloud and typed: four groups of four, no letter that looks like another (79 bits)."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(4))


def hash_password(password: str, name: str) -> str:
    """The hash that is kept. Raises PasswordRefused."""
    if len(password) < LEAST_PASSWORD:
        raise PasswordRefused(marked("A password has at least 12 characters; a sentence is easy to remember."))
    if len(password) > MOST_PASSWORD:
        raise PasswordRefused(marked("A password has at most 1,000 characters."))
    if password.casefold() in name.casefold() * LEAST_PASSWORD or len(set(password)) < 5:
        raise PasswordRefused(marked("That is too easily guessed; take several words that do not belong together."))
    with _ONE_AT_A_TIME:
        return _HASHER.hash(password)


def is_password(password: str, password_hash: str | None) -> bool:
    """Whether a password is the one of a hash; it takes as long where there is none."""
    try:
        with _ONE_AT_A_TIME:
            _HASHER.verify(password_hash or _NOBODYS, password[: MOST_PASSWORD + 1])
        return password_hash is not None
    except (VerificationError, InvalidHashError):
        return False


def sign_in(store: Store, web: Web, name: str, password: str, now: datetime) -> SignedIn | NotSignedIn:
    """Try a name and its password; the trail says what came of it, and never the password."""
    account = store.account(name)
    good = is_password(password, account.password_hash if account is not None else None)
    token = secrets.token_urlsafe(32)
    with store.write() as tx:
        locked = _is_locked(tx, name, now)
        # What is true now counts: the account may have been changed while the password was being verified.
        if account is None or not good or locked or tx.account(name) != account or account.disabled_at is not None:
            return NotSignedIn(locked=_note_failure(tx, web, account, name, "sign-in refused", now))
        tx.forget_sessions(now - timedelta(seconds=web.session_timeout_seconds))
        tx.begin_session(name, hash_token(token), secrets.token_urlsafe(32), now)
        tx.record("signed in", name, who=name, at=now, why="name and password")
    return SignedIn(token)


def confirm(store: Store, web: Web, caller: Caller, password: str, now: datetime) -> bool:
    """Whether who is signed in knows the password: for what is signed, and for a new password.

    A wrong one counts as a failed sign-in; as many as lock the name end its sessions too.
    """
    account = store.account(caller.name)
    good = account is not None and is_password(password, account.password_hash)
    with store.write() as tx:
        if good:  # whoever knows it in a session that lives is not who failed elsewhere
            return True
        if _note_failure(tx, web, account, caller.name, "password refused", now):
            tx.end_sessions(caller.name)
    return False


def _is_locked(tx: Transaction, name: str, now: datetime) -> bool:
    until = tx.sign_ins(_counted_as(tx.account(name), name)).locked_until
    return until is not None and until > utc_text(now)


def _note_failure(tx: Transaction, web: Web, account: Account | None, name: str, what: str, now: datetime) -> bool:
    """Write down that a password was wrong; whether the name is locked now."""
    counted_as, locked = _counted_as(account, name), _is_locked(tx, name, now)
    why = "the name is locked" if locked else "wrong name or password"
    if not locked:
        before = tx.sign_ins(counted_as)
        failures = 1 + (before.failures if before.locked_until is None else 0)  # a lock that has passed begins anew
        until = now + timedelta(seconds=web.lock_for_seconds) if failures >= web.lock_after else None
        tx.note_failed_sign_in(counted_as, failures, until)
        locked = until is not None
    known = name if account is not None else "a name without an account"
    tx.record(what, known, who=known, at=now, why=why, new={"locked": locked})
    return locked


def _counted_as(account: Account | None, name: str) -> str:
    """The key of a name's failures. A name without an account may be a password in the wrong field: never kept."""
    return name if account is not None else f"sha256 {hash_token(name)}"


def caller_of(store: Store, web: Web, token: str | None, now: datetime) -> Caller | None:
    """Whose session a token is, if it has not ended by idleness, age or the account's end."""
    if not token:
        return None
    visit = store.visit(hash_token(token))
    account = None if visit is None else store.account(visit.name)
    if visit is None or account is None or account.disabled_at is not None:
        return None
    idle = (now - datetime.fromisoformat(visit.seen_at)).total_seconds()
    age = (now - datetime.fromisoformat(visit.began_at)).total_seconds()
    if idle > web.idle_timeout_seconds or age > web.session_timeout_seconds:
        with store.write() as tx:
            tx.end_session(hash_token(token))
        return None
    if idle > min(_LEAST_TOUCH_SECONDS, web.idle_timeout_seconds / 10):
        with store.write() as tx:
            tx.touch_session(hash_token(token), now)
    role, must_change = Role[account.role.upper()], account.password_is_given == 1
    return Caller(account.name, role, hash_token(token), visit.csrf, must_change)


def hash_token(token: str) -> str:
    """As a token is kept."""
    return hashlib.sha256(token.encode()).hexdigest()


def same(one: str, other: str) -> bool:
    """Whether two secrets are equal, in a time that does not say where they differ."""
    return hmac.compare_digest(one.encode(), other.encode())
