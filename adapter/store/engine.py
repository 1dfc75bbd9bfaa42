"""One connection to one SQLite file: how it is opened, what is asserted of it, and how transactions begin and end.

Everything that is SQLite's alone is here and in ``schema.py``. The rest of the store speaks to :class:`Engine` in the
statements of ``statements.py``, so that another database is another engine.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from adapter.store.errors import NotAStore, StoreError, StoreMissing, StoreUnavailable, translated
from adapter.store.sqlite import Database
from adapter.store.turns import turns_at

BUSY_TIMEOUT_SECONDS = 30.0
APPLICATION_ID = 0x544C4142  # "TLAB", the file's own mark of whose it is (sqlite.org/pragma.html#pragma_application_id)
SYNCHRONOUS = {0: "OFF", 1: "NORMAL", 2: "FULL", 3: "EXTRA"}

Parameters = Mapping[str, Any]
Row = tuple[Any, ...]


def wal_is_sound(version: tuple[int, int, int]) -> bool:
    """Whether this SQLite is free of the WAL-reset bug (sqlite.org/wal.html, "the WAL-reset bug").

    From 3.7.0 to 3.51.2 two connections that write or checkpoint at the same instant can corrupt a WAL database; the
    repair is in 3.51.3 and was carried back to 3.50.7 and 3.44.6. Before 3.7.0 there was no WAL to be unsound.
    """
    if version < (3, 7, 0) or version >= (3, 51, 3):
        return True
    return any(version[:2] == fixed[:2] and version >= fixed for fixed in ((3, 50, 7), (3, 44, 6)))


class Engine:
    """A connection, used by the one thread that opened it. Reads are fetched whole; no cursor leaves this class."""

    def __init__(self, connection: sqlite3.Connection, path: Path, mode_repaired_from: str | None) -> None:
        self._connection = connection
        self._path = path
        self._turns = turns_at(path)
        self._depth = 0
        self._wal = False
        self.mode_repaired_from = mode_repaired_from
        # Recursive triggers let the append-only triggers see what REPLACE would delete.
        self.database = Database(connection, recursive_triggers=True, execute_plugins=False)

    @classmethod
    def open(cls, path: Path, *, create: bool) -> Engine:
        """Open the file at ``path``, or make it where ``create`` says so.

        Raises :class:`StoreMissing`, :class:`NotAStore`, :class:`StoreUnavailable` or :class:`StoreError`.
        """
        path = path.resolve()
        if create:
            _create_private_file(path)
        repaired = _private_regular_file(path)
        try:
            connection = sqlite3.connect(
                path.as_uri() + "?mode=rw",  # never let SQLite create it: its mode would be the umask's
                uri=True,
                timeout=BUSY_TIMEOUT_SECONDS,
                isolation_level=None,
                cached_statements=256,
            )
        except sqlite3.Error as error:
            raise translated(error, str(path)) from None
        try:
            engine = cls(connection, path, repaired)
            engine._refuse_what_is_not_ours()
            engine._make_durable()
        except BaseException as error:
            connection.close()
            if isinstance(error, sqlite3.Error):
                raise translated(error, str(path)) from None
            raise
        return engine

    def close(self) -> None:
        """Close the connection; an open transaction is rolled back. Closing twice is nothing."""
        self._connection.close()

    # --- statements ---------------------------------------------------------------------------------------------

    def rows(self, sql: str, parameters: Parameters) -> list[Row]:
        """All rows of a query, fetched whole."""
        with self.reading():
            found = self._execute(sql, parameters)
            try:
                return found.fetchall()
            except sqlite3.Error as error:  # a damaged page is met while rows are fetched
                raise translated(error, str(self._path)) from error

    def run(self, sql: str, parameters: Parameters) -> int:
        """Run a statement that changes rows, within :meth:`writing`; how many it changed."""
        return self._execute(sql, parameters).rowcount

    def insert(self, sql: str, parameters: Parameters) -> int:
        """Insert one row into a table that numbers its rows; the number, or 0 where ON CONFLICT left it out."""
        cursor = self._execute(sql, parameters)
        return cursor.lastrowid or 0 if cursor.rowcount == 1 else 0

    def _execute(self, sql: str, parameters: Parameters = {}) -> sqlite3.Cursor:  # noqa: B006 - never changed
        try:
            return self._connection.execute(sql, parameters)
        except sqlite3.ProgrammingError:
            raise  # a closed store, another thread, a wrong statement: a fault of this program
        except sqlite3.Error as error:
            raise translated(error, str(self._path)) from None

    # --- transactions -------------------------------------------------------------------------------------------

    @contextmanager
    def reading(self) -> Iterator[None]:
        """A block that sees one state of the database; within :meth:`writing`, that transaction's own.

        In rollback mode a reader blocks the commit and a commit the reader, so readers take their turn too.
        """
        if self._depth:
            yield
            return
        if self._wal or self._turns.mine:
            with self._transaction("BEGIN"):
                yield
            return
        with self._turns.held(BUSY_TIMEOUT_SECONDS) as got:
            self._refuse_unless(got)
            with self._transaction("BEGIN"):
                yield

    @contextmanager
    def writing(self) -> Iterator[None]:
        """BEGIN IMMEDIATE, the block, COMMIT; ROLLBACK where either raises.

        Raises :class:`StoreUnavailable` where the write lock does not come or the commit fails, and
        :class:`StoreError` where this thread is within a transaction already.
        """
        if self._depth or self._turns.mine:
            raise StoreError(f"{self._path}: this thread is within a transaction already; end that one first")
        with self._turns.held(BUSY_TIMEOUT_SECONDS) as got:
            self._refuse_unless(got)
            with self._transaction("BEGIN IMMEDIATE"):
                yield

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """A part of :meth:`writing` that is undone alone where it raises."""
        self._execute("SAVEPOINT part")
        try:
            yield
        except BaseException:
            # A disk that is full can have ended the whole transaction, savepoints included.
            if self._connection.in_transaction:
                self._execute("ROLLBACK TO part")
                self._execute("RELEASE part")
            raise
        self._execute("RELEASE part")

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        self._execute(begin)
        self._depth = 1
        try:
            yield
            if not self._connection.in_transaction:
                raise StoreUnavailable(f"{self._path}: SQLite ended the transaction by itself", "transaction lost")
            self._execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        finally:
            self._depth = 0

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            try:
                self._connection.execute("ROLLBACK")
            except sqlite3.Error:
                # What failed first is what is told. A connection that cannot even roll back is of no further use:
                # closing it leaves the rollback to the journal and the next opener.
                self._connection.close()

    def _refuse_unless(self, got: bool) -> None:
        if not got:
            cause = f"no turn within {BUSY_TIMEOUT_SECONDS:g} s"
            raise StoreUnavailable(f"{self._path}: another thread holds the store ({cause}); let that end", cause)

    # --- what is asserted of the file ---------------------------------------------------------------------------

    def schema_version(self) -> int:
        """The number of migrations this file has had (``PRAGMA user_version``)."""
        return int(self._pragma("user_version"))

    def set_schema_version(self, version: int) -> None:
        """Note the number of migrations, within the transaction that runs them."""
        self._execute(f"PRAGMA user_version = {version:d}")
        self._execute(f"PRAGMA application_id = {APPLICATION_ID}")

    def describe(self) -> dict[str, Any]:
        """What ``status`` says of the engine, read back from SQLite where SQLite knows it."""
        return {
            "kind": "sqlite",
            "sqlite_version": sqlite3.sqlite_version,
            "wal_sound": wal_is_sound(sqlite3.sqlite_version_info),
            "journal_mode": str(self._pragma("journal_mode")),
            "synchronous": SYNCHRONOUS[int(self._pragma("synchronous"))],
            "schema_version": self.schema_version(),
            "mode_repaired_from": self.mode_repaired_from,
        }

    def integrity_problems(self) -> list[str]:
        """What SQLite finds wrong with the file and its foreign keys; empty where nothing is. Reads the whole file."""
        found = [str(row[0]) for row in self.rows("PRAGMA integrity_check", {}) if row[0] != "ok"]
        orphans = self.rows("PRAGMA foreign_key_check", {})
        return found + [f"a row of {row[0]} refers to a row of {row[2]} that is not there" for row in orphans]

    def _pragma(self, name: str) -> Any:
        return self._execute(f"PRAGMA {name}").fetchone()[0]

    def _refuse_what_is_not_ours(self) -> None:
        try:
            mark = int(self._pragma("application_id"))
        except StoreUnavailable as error:
            if "not a database" not in error.cause:
                raise
            raise NotAStore(f"{self._path}: the file is not an SQLite database; name another in [store] url") from None
        tables = self.database.table_names()
        if mark != APPLICATION_ID and (tables or mark):
            raise NotAStore(f"{self._path}: the database is another program's; name another file in [store] url")

    def _make_durable(self) -> None:
        """Choose the journal and the syncs by which a commit survives power loss, and read them back.

        A new file gets the mode that is best with this library; an existing one keeps its mode unless that is WAL and
        this library's WAL is unsound, for a mode must not change under processes that have the file open.
        """
        self._execute("PRAGMA mmap_size = 0")
        self._execute("PRAGMA secure_delete = ON")
        self._execute("PRAGMA foreign_keys = ON")
        self._execute("PRAGMA trusted_schema = OFF")
        self._execute("PRAGMA temp_store = MEMORY")  # no identity in a temporary file
        sound = wal_is_sound(sqlite3.sqlite_version_info)
        mode = str(self._pragma("journal_mode"))
        new = self.schema_version() == 0
        wanted = "wal" if sound and (new or mode == "wal") else "delete"
        if mode != wanted:
            mode = str(self._pragma(f"journal_mode = {wanted}"))
        if mode != wanted:
            raise StoreError(
                f"{self._path}: the journal is {mode} and cannot be changed to {wanted}, which SQLite "
                f"{sqlite3.sqlite_version} needs to be safe; stop every other process that has the store open"
            )
        self._wal = mode == "wal"
        level = 2 if self._wal else 3
        self._execute(f"PRAGMA synchronous = {level}")
        if int(self._pragma("synchronous")) != level:
            raise StoreError(f"{self._path}: this SQLite does not take synchronous={SYNCHRONOUS[level]}; use another")


def _create_private_file(path: Path) -> None:
    """Make an empty file with mode 0600 whatever the umask, and make its name in the folder durable."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    except OSError as error:
        raise StoreError(f"{path}: the store cannot be created ({error.strerror}); look at its folder") from None
    try:
        os.fchmod(descriptor, 0o600)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _private_regular_file(path: Path) -> str | None:
    """See to it that the file and what SQLite keeps beside it are the owner's alone; the mode that was too wide.

    SQLite gives journal, WAL and shared memory the mode of the database itself, not that of the umask.
    """
    repaired = None
    for each in (path, *(path.with_name(path.name + suffix) for suffix in ("-journal", "-wal", "-shm"))):
        try:
            status = each.stat()
        except FileNotFoundError:
            if each == path:
                raise StoreMissing(f"{path}: there is no store; run lab-adapter init") from None
            continue
        except OSError as error:
            raise StoreError(f"{each}: the store cannot be looked at ({error.strerror})") from None
        if not stat.S_ISREG(status.st_mode):
            raise NotAStore(f"{each}: this is not a regular file; name another in [store] url")
        if (mode := stat.S_IMODE(status.st_mode)) & ~0o600:
            try:
                each.chmod(0o600)
            except OSError:
                raise StoreError(f"{each}: others may read it (mode {mode:04o}); chmod 600 it as its owner") from None
            repaired = f"{mode:04o}"
    return repaired
