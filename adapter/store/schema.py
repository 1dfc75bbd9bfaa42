"""The tables, as small migrations in order. ``PRAGMA user_version`` counts those a file has had.

``trial`` is a key in every table: several trials may share one file. Whoever may be identified stands apart:
``identities`` and ``identifiers`` hold the roster's, ``inbox_raw`` the bytes of messages; every other table speaks of
``study_id`` alone. Texts hold decimals, times and JSON; nothing is ever a float.

A version of a derived row counts from the audit record ``from_seq`` until ``ended_seq``; the current one has none.
"""

from __future__ import annotations

from collections.abc import Callable

from adapter.store.engine import Engine
from adapter.store.errors import NotAStore, StoreMissing
from adapter.store.sqlite import Database

_TRIALS = """
CREATE TABLE trials (
    trial TEXT NOT NULL PRIMARY KEY,
    global_epoch INTEGER NOT NULL DEFAULT 0,
    roster_version INTEGER NOT NULL DEFAULT 0
)"""

_AUDIT = """
CREATE TABLE audit (
    trial TEXT NOT NULL REFERENCES trials,
    seq INTEGER NOT NULL,
    at TEXT NOT NULL,
    who TEXT NOT NULL,
    what TEXT NOT NULL,
    subject TEXT NOT NULL,
    old TEXT,
    new TEXT,
    why TEXT NOT NULL,
    prev TEXT NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (trial, seq)
) WITHOUT ROWID"""

_ROSTER = """
CREATE TABLE participants (
    trial TEXT NOT NULL REFERENCES trials,
    study_id TEXT NOT NULL,
    infused_at TEXT,
    ended_on TEXT,
    ended_by TEXT,
    added_at TEXT NOT NULL,
    PRIMARY KEY (trial, study_id)
);
CREATE TABLE identities (
    trial TEXT NOT NULL,
    study_id TEXT NOT NULL,
    birth_date TEXT,
    sex TEXT,
    PRIMARY KEY (trial, study_id),
    FOREIGN KEY (trial, study_id) REFERENCES participants
);
CREATE TABLE identifiers (
    id INTEGER PRIMARY KEY,
    trial TEXT NOT NULL,
    study_id TEXT NOT NULL,
    value TEXT NOT NULL,
    authority TEXT NOT NULL,
    added_at TEXT NOT NULL,
    removed_at TEXT,
    FOREIGN KEY (trial, study_id) REFERENCES participants
);
CREATE UNIQUE INDEX identifiers_in_use ON identifiers (trial, authority, value) WHERE removed_at IS NULL;
CREATE INDEX identifiers_of_participant ON identifiers (trial, study_id)"""

_INBOX = """
CREATE TABLE inbox (
    id INTEGER PRIMARY KEY,
    trial TEXT NOT NULL REFERENCES trials,
    source TEXT NOT NULL,
    kind TEXT NOT NULL,
    message_control_id TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    received_at TEXT NOT NULL,
    notes TEXT NOT NULL,
    UNIQUE (trial, source, kind, message_control_id, sha256)
);
CREATE TABLE inbox_raw (
    inbox_id INTEGER PRIMARY KEY REFERENCES inbox,
    trial TEXT NOT NULL REFERENCES trials,
    raw BLOB NOT NULL
);
CREATE TABLE inbox_patients (
    trial TEXT NOT NULL REFERENCES trials,
    scope TEXT NOT NULL,
    inbox_id INTEGER NOT NULL REFERENCES inbox,
    state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'done', 'failed')),
    ignored TEXT NOT NULL DEFAULT '{}',
    PRIMARY KEY (trial, scope, inbox_id)
) WITHOUT ROWID;
CREATE INDEX inbox_patients_of_message ON inbox_patients (inbox_id);
CREATE TABLE counters (
    trial TEXT NOT NULL REFERENCES trials,
    source TEXT NOT NULL,
    name TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (trial, source, name)
);
CREATE TABLE last_messages (
    trial TEXT NOT NULL REFERENCES trials,
    source TEXT NOT NULL,
    last_message_at TEXT NOT NULL,
    PRIMARY KEY (trial, source)
)"""

_INPUTS = """
CREATE TABLE decisions (
    id INTEGER PRIMARY KEY,
    trial TEXT NOT NULL REFERENCES trials,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    who TEXT NOT NULL,
    at TEXT NOT NULL,
    why TEXT NOT NULL
);
CREATE INDEX decisions_of_trial ON decisions (trial, id);
CREATE TABLE rulesets (
    number INTEGER PRIMARY KEY,
    trial TEXT NOT NULL REFERENCES trials,
    id TEXT NOT NULL,
    body TEXT NOT NULL,
    adopted_at TEXT NOT NULL
);
CREATE INDEX rulesets_of_trial ON rulesets (trial, number);
CREATE TABLE scopes (
    trial TEXT NOT NULL REFERENCES trials,
    scope TEXT NOT NULL,
    arrivals INTEGER NOT NULL DEFAULT 0,
    epoch INTEGER NOT NULL DEFAULT 0,
    applied INTEGER NOT NULL DEFAULT 0,
    derived_arrivals INTEGER,
    derived_epoch INTEGER,
    derived_global_epoch INTEGER,
    derived_ruleset TEXT,
    derived_on TEXT,
    PRIMARY KEY (trial, scope)
)"""

_DERIVED = """
CREATE TABLE results (
    trial TEXT NOT NULL REFERENCES trials,
    scope TEXT NOT NULL,
    inbox_id INTEGER NOT NULL REFERENCES inbox,
    locator TEXT NOT NULL,
    study_id TEXT NOT NULL,
    source TEXT NOT NULL,
    message_control_id TEXT NOT NULL,
    code TEXT NOT NULL,
    code_system TEXT NOT NULL,
    name TEXT NOT NULL,
    reported TEXT NOT NULL,
    reported_unit TEXT NOT NULL,
    status TEXT NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT,
    rule TEXT NOT NULL,
    endpoint TEXT,
    value TEXT,
    comparator TEXT,
    unit TEXT,
    collected_at TEXT,
    visit TEXT,
    mapping TEXT,
    conversion TEXT,
    order_number TEXT NOT NULL,
    reported_at TEXT,
    item TEXT,
    ruleset TEXT NOT NULL,
    from_seq INTEGER NOT NULL,
    ended_seq INTEGER,
    PRIMARY KEY (trial, scope, inbox_id, locator, from_seq)
);
CREATE UNIQUE INDEX results_current ON results (trial, scope, inbox_id, locator) WHERE ended_seq IS NULL;
CREATE INDEX results_unmapped ON results (trial, source, code, code_system)
    WHERE ended_seq IS NULL AND reason = 'unmapped_code';
CREATE TABLE placements (
    trial TEXT NOT NULL REFERENCES trials,
    scope TEXT NOT NULL,
    study_id TEXT NOT NULL,
    visit TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    inbox_id INTEGER NOT NULL REFERENCES inbox,
    locator TEXT NOT NULL,
    rank INTEGER NOT NULL,
    chosen INTEGER NOT NULL,
    why TEXT NOT NULL,
    from_seq INTEGER NOT NULL,
    ended_seq INTEGER,
    PRIMARY KEY (trial, scope, visit, endpoint, inbox_id, locator, from_seq)
);
CREATE UNIQUE INDEX placements_current ON placements (trial, scope, visit, endpoint, inbox_id, locator)
    WHERE ended_seq IS NULL;
CREATE TABLE selections (
    trial TEXT NOT NULL REFERENCES trials,
    scope TEXT NOT NULL,
    study_id TEXT NOT NULL,
    visit TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    status TEXT NOT NULL,
    reason TEXT,
    value TEXT,
    comparator TEXT,
    unit TEXT,
    flags TEXT NOT NULL,
    collected_at TEXT,
    day_offset INTEGER,
    source TEXT,
    message_id TEXT,
    inbox_id INTEGER,
    locator TEXT,
    open_items TEXT NOT NULL,
    ruleset TEXT NOT NULL,
    from_seq INTEGER NOT NULL,
    ended_seq INTEGER,
    PRIMARY KEY (trial, scope, visit, endpoint, from_seq)
);
CREATE UNIQUE INDEX selections_current ON selections (trial, scope, visit, endpoint) WHERE ended_seq IS NULL;
CREATE TABLE review_items (
    trial TEXT NOT NULL REFERENCES trials,
    scope TEXT NOT NULL,
    id TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'closed')),
    opened_at TEXT NOT NULL,
    closed_at TEXT,
    reason TEXT NOT NULL,
    study_id TEXT,
    source TEXT,
    code TEXT,
    name TEXT,
    value_text TEXT,
    unit TEXT,
    collected_at TEXT,
    message_id TEXT,
    count INTEGER NOT NULL,
    detail TEXT NOT NULL,
    visit TEXT,
    endpoint TEXT,
    suggestion TEXT,
    evidence TEXT NOT NULL,
    results TEXT NOT NULL,
    "group" TEXT,
    PRIMARY KEY (trial, scope, id)
);
CREATE INDEX review_items_open ON review_items (trial, opened_at) WHERE state = 'open'"""

# A patient's reference is the server's own number and no identifier of the roster; still it stands in no other table.
_POLLS = """
CREATE TABLE poll_states (
    trial TEXT NOT NULL,
    source TEXT NOT NULL,
    study_id TEXT NOT NULL,
    question TEXT NOT NULL,
    patient TEXT,
    asked_from TEXT,
    watermark TEXT,
    last_sweep_at TEXT,
    PRIMARY KEY (trial, source, study_id),
    FOREIGN KEY (trial, study_id) REFERENCES participants
);
CREATE TABLE polls (
    trial TEXT NOT NULL REFERENCES trials,
    source TEXT NOT NULL,
    last_poll_at TEXT NOT NULL,
    last_success_at TEXT,
    last_error TEXT,
    PRIMARY KEY (trial, source)
)"""

_ASSESSMENTS = """
CREATE TABLE assessments (
    id INTEGER PRIMARY KEY,
    trial TEXT NOT NULL,
    study_id TEXT NOT NULL,
    assessed_on TEXT NOT NULL,
    ascites TEXT,
    encephalopathy TEXT,
    dialysis TEXT,
    who TEXT NOT NULL,
    at TEXT NOT NULL,
    why TEXT NOT NULL,
    FOREIGN KEY (trial, study_id) REFERENCES participants
);
CREATE INDEX assessments_of_participant ON assessments (trial, study_id, assessed_on);
ALTER TABLE selections ADD COLUMN score TEXT NOT NULL DEFAULT 'null';
ALTER TABLE results ADD COLUMN final INTEGER NOT NULL DEFAULT 0;
ALTER TABLE results ADD COLUMN sent_unit TEXT;
ALTER TABLE results ADD COLUMN in_doubt INTEGER NOT NULL DEFAULT 0;
CREATE INDEX audit_of_subject ON audit (trial, subject, seq)"""

_ACCOUNTS = """
CREATE TABLE accounts (
    trial TEXT NOT NULL REFERENCES trials,
    name TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('viewer', 'coordinator', 'data_manager', 'administrator')),
    password_hash TEXT NOT NULL,
    password_is_given INTEGER NOT NULL CHECK (password_is_given IN (0, 1)),
    created_at TEXT NOT NULL,
    disabled_at TEXT,
    PRIMARY KEY (trial, name)
);
CREATE TABLE sign_ins (
    trial TEXT NOT NULL REFERENCES trials,
    name TEXT NOT NULL,
    failures INTEGER NOT NULL,
    locked_until TEXT,
    PRIMARY KEY (trial, name)
);
CREATE TABLE web_sessions (
    trial TEXT NOT NULL REFERENCES trials,
    token_hash TEXT NOT NULL,
    name TEXT NOT NULL,
    csrf TEXT NOT NULL,
    began_at TEXT NOT NULL,
    seen_at TEXT NOT NULL,
    PRIMARY KEY (trial, token_hash),
    FOREIGN KEY (trial, name) REFERENCES accounts
)"""

_ONLY_ADDED = """
CREATE TRIGGER {table}_is_never_changed BEFORE UPDATE ON {table}
BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END;
CREATE TRIGGER {table}_is_never_deleted BEFORE DELETE ON {table}
BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"""

# A record is added at the end or not at all, with INSERT OR REPLACE too.
_AUDIT_ONLY_GROWS = """
CREATE TRIGGER audit_grows_at_its_end BEFORE INSERT ON audit
WHEN EXISTS (SELECT 1 FROM audit WHERE trial = NEW.trial AND seq >= NEW.seq)
BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END"""


def _first_tables(database: Database) -> None:
    """The tables of version 0.1."""
    for statements in (_TRIALS, _AUDIT, _ROSTER, _INBOX, _INPUTS, _DERIVED):
        for statement in statements.split(";\n"):
            database.execute(statement)
    for table in ("audit", "decisions", "rulesets"):
        _only_added(database, table)
    database.execute(_AUDIT_ONLY_GROWS)


def _only_added(database: Database, table: str) -> None:
    for trigger in _ONLY_ADDED.format(table=table).split("END;\n"):
        database.execute(trigger if trigger.endswith("END") else trigger + "END")


def _poll_tables(database: Database) -> None:
    """How far each polled source has been asked."""
    for statement in _POLLS.split(";\n"):
        database.execute(statement)


def _score_tables(database: Database) -> None:
    """What clinicians assessed, and what a computed value was computed from."""
    for statement in _ASSESSMENTS.split(";\n"):
        database.execute(statement)
    _only_added(database, "assessments")


def _account_tables(database: Database) -> None:
    """Who may use the page."""
    for statement in _ACCOUNTS.split(";\n"):
        database.execute(statement)


MIGRATIONS: tuple[Callable[[Database], None], ...] = (_first_tables, _poll_tables, _score_tables, _account_tables)


def migrate(engine: Engine, place: str, *, create: bool) -> None:
    """Bring the file to the newest schema: every missing migration, all in one transaction. Twice is nothing.

    Raises :class:`StoreMissing` for an empty file that ``create`` does not let it fill, and :class:`NotAStore` for a
    file of a newer version of this program.
    """
    if _missing(engine, place, create=create) == 0:
        return
    with engine.writing():
        # Asked again under the lock: another process may have been here in between.
        missing = _missing(engine, place, create=create)
        for migration in MIGRATIONS[len(MIGRATIONS) - missing :]:
            migration(engine.database)
        engine.set_schema_version(len(MIGRATIONS))


def _missing(engine: Engine, place: str, *, create: bool) -> int:
    version = engine.schema_version()
    if version > len(MIGRATIONS):
        raise NotAStore(
            f"{place}: the store has schema {version}, this program knows {len(MIGRATIONS)}; install the newer version"
        )
    if version == 0 and not create:
        raise StoreMissing(f"{place}: the store is empty; run lab-adapter init")
    return len(MIGRATIONS) - version
