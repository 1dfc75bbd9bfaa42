"""What the store raises. Each message names the place, the cause and the remedy, and never a value of a patient."""

from __future__ import annotations

import sqlite3


class StoreError(Exception):
    """The store cannot be used as asked."""


class StoreMissing(StoreError):
    """There is no store at this place, or it does not hold this trial yet."""


class NotAStore(StoreError):
    """The file at this place is something else, or was written by a newer version of this program."""


class StoreUnavailable(StoreError):
    """The disk, its file system or another process kept the store from reading or committing.

    ``cause`` is what SQLite said. After a failed commit the rows are *perhaps* stored: a COMMIT whose fsync failed can
    still be there after a crash. Nothing positive may be answered; what is sent again then is a duplicate.
    """

    def __init__(self, message: str, cause: str) -> None:
        super().__init__(message)
        self.cause = cause


class IdentifierTaken(StoreError):
    """A patient identifier is already that of another participant of the trial."""


_REMEDIES = {
    "SQLITE_FULL": "free space on its disk",
    "SQLITE_BUSY": "another process holds it; let that end, or stop it",
    "SQLITE_LOCKED": "another process holds it; let that end, or stop it",
    "SQLITE_READONLY": "let the account of this program write the file and its folder",
    "SQLITE_CANTOPEN": "let the account of this program write the file and its folder",
    "SQLITE_PERM": "let the account of this program write the file and its folder",
    "SQLITE_AUTH": "let the account of this program write the file and its folder",
    "SQLITE_IOERR": "look at its disk and file system",
    "SQLITE_CORRUPT": "stop the program, keep the file, and restore the last backup",
    "SQLITE_NOTADB": "stop the program, keep the file, and restore the last backup",
}


def translated(error: sqlite3.Error, place: str) -> StoreError:
    """A driver's error in our words. A broken constraint is a :class:`StoreError`, all else that SQLite reports
    while running a statement a :class:`StoreUnavailable`. SQLite's own texts name tables and columns, never values."""
    cause = str(error)
    if isinstance(error, sqlite3.IntegrityError | sqlite3.DataError):
        return StoreError(f"{place}: the store refused a row ({cause}); nothing of that transaction was written")
    name = getattr(error, "sqlite_errorname", None) or ""
    remedy = next((words for prefix, words in _REMEDIES.items() if name.startswith(prefix)), "see SQLite's words")
    return StoreUnavailable(f"{place}: the store cannot be used now ({cause}); {remedy}", cause)
