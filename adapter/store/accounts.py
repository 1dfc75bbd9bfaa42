"""Who may use the page: accounts, their sessions, and how often a sign-in failed.

A password is kept as its argon2id hash, a session as the SHA-256 of its token: whoever reads the file can use neither.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from adapter.store import statements
from adapter.store.audit import AuditWrites
from adapter.store.errors import StoreError
from adapter.store.rows import utc_text
from adapter.store.session import Reads


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who may sign in. ``role`` is viewer, coordinator, data_manager or administrator.

    ``password_is_given``: somebody else chose it, so two people know it until its owner takes another.
    """

    name: str
    role: str
    password_hash: str = field(repr=False)
    created_at: str
    disabled_at: str | None = None
    password_is_given: int = 0  # 1 or 0, as SQLite keeps it


@dataclass(frozen=True, slots=True)
class SignIns:
    """Failed sign-ins of a name since the last that succeeded; until when it is locked (ISO 8601, UTC)."""

    failures: int = 0
    locked_until: str | None = None


@dataclass(frozen=True, slots=True)
class Visit:
    """A session: whose it is, the token its forms carry, when it began and was last used (ISO 8601, UTC)."""

    name: str
    csrf: str = field(repr=False)
    began_at: str
    seen_at: str


class AccountReads(Reads):
    """Reading accounts."""

    def accounts(self) -> list[Account]:
        """Everyone who has or had an account, by name."""
        return [Account(*row) for row in self._rows(statements.ACCOUNTS)]

    def account(self, name: str) -> Account | None:
        """One account, or None."""
        row = self._row(statements.ACCOUNT, name=name)
        return None if row is None else Account(*row)

    def sign_ins(self, name: str) -> SignIns:
        """How often a name failed to sign in; of a name without an account too, so that nobody learns which exist."""
        row = self._row(statements.SIGN_INS, name=name)
        return SignIns() if row is None else SignIns(*row)

    def visit(self, token_hash: str) -> Visit | None:
        """The session of a token, or None where it has ended or never was."""
        row = self._row(statements.WEB_SESSION, token_hash=token_hash)
        return None if row is None else Visit(*row)


class AccountWrites(AuditWrites, AccountReads):
    """Writing accounts."""

    def add_account(
        self, name: str, role: str, password_hash: str, who: str, at: datetime, *, given: bool = False
    ) -> None:
        """Make an account; ``given`` where its password is not its owner's. Raises :class:`StoreError`."""
        if self.account(name) is not None:
            raise StoreError(f"there is an account {name} already; see `lab-adapter user list`")
        self._insert(
            statements.ACCOUNT_ADD,
            name=name,
            role=role,
            password_hash=password_hash,
            password_is_given=int(given),
            created_at=utc_text(at),
        )
        self.record("account added", name, who=who, at=at, why="an administrator added it", new={"role": role})

    def change_account(
        self,
        name: str,
        who: str,
        why: str,
        at: datetime,
        *,
        role: str | None = None,
        password_hash: str | None = None,
        given: bool = False,
        disabled: bool | None = None,
    ) -> None:
        """Change a role or a password, disable or enable an account; its sessions end. Raises :class:`StoreError`.

        ``given``, of a new password: its owner did not choose it.
        """
        before = self.account(name)
        if before is None:
            raise StoreError(f"there is no account {name}; see `lab-adapter user list`")
        disabled_at = before.disabled_at if disabled is None else (utc_text(at) if disabled else None)
        self._run(
            statements.ACCOUNT_PUT,
            name=name,
            role=role or before.role,
            password_hash=password_hash or before.password_hash,
            password_is_given=before.password_is_given if password_hash is None else int(given),
            disabled_at=disabled_at,
        )
        self.end_sessions(name)
        self._run(statements.SIGN_INS_FORGET, name=name)
        old = {"role": before.role, "disabled": before.disabled_at is not None}
        new = {"role": role or before.role, "disabled": disabled_at is not None}
        changes = ["password changed"] if password_hash is not None else []
        self.record("account changed", name, who=who, at=at, why=why, old=old, new={**new, "changes": changes})

    def note_failed_sign_in(self, name: str, failures: int, locked_until: datetime | None) -> None:
        """Write down that a sign-in failed."""
        until = None if locked_until is None else utc_text(locked_until)
        self._run(statements.SIGN_INS_PUT, name=name, failures=failures, locked_until=until)

    def begin_session(self, name: str, token_hash: str, csrf: str, at: datetime) -> None:
        """A sign-in that succeeded."""
        self._run(statements.SIGN_INS_FORGET, name=name)
        began_at = utc_text(at)
        self._insert(statements.WEB_SESSION_ADD, token_hash=token_hash, name=name, csrf=csrf, began_at=began_at)

    def touch_session(self, token_hash: str, at: datetime) -> None:
        """The session was used."""
        self._run(statements.WEB_SESSION_TOUCH, token_hash=token_hash, seen_at=utc_text(at))

    def end_session(self, token_hash: str) -> None:
        """The session ends."""
        self._run(statements.WEB_SESSION_END, token_hash=token_hash)

    def forget_sessions(self, began_before: datetime) -> None:
        """The sessions that are too old to be used again are not kept."""
        self._run(statements.WEB_SESSIONS_FORGET, began_before=utc_text(began_before))

    def end_sessions(self, name: str) -> None:
        """Every session of an account ends."""
        self._run(statements.WEB_SESSIONS_END, name=name)
