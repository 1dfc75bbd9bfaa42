"""Every statement of the store, in SQL that SQLite and PostgreSQL both understand. Parameters are named.

The statements on the versioned tables are made from a table's own columns, for there is one column for each field of
its dataclass (``rows.py``).
"""

from __future__ import annotations

from collections.abc import Iterable

# --- trials -------------------------------------------------------------------------------------------------------

TRIAL_ADD = "INSERT INTO trials (trial) VALUES (:trial) ON CONFLICT DO NOTHING"
TRIAL_KNOWN = "SELECT 1 FROM trials WHERE trial = :trial"
GLOBAL_EPOCH = "SELECT global_epoch FROM trials WHERE trial = :trial"
GLOBAL_EPOCH_MOVE = "UPDATE trials SET global_epoch = global_epoch + 1 WHERE trial = :trial"
ROSTER_VERSION = "SELECT roster_version FROM trials WHERE trial = :trial"
ROSTER_VERSION_MOVE = "UPDATE trials SET roster_version = roster_version + 1 WHERE trial = :trial"

# --- audit --------------------------------------------------------------------------------------------------------

AUDIT_ADD = """
INSERT INTO audit (trial, seq, at, who, what, subject, old, new, why, prev, hash)
VALUES (:trial, :seq, :at, :who, :what, :subject, :old, :new, :why, :prev, :hash)"""
AUDIT_HEAD = "SELECT seq, hash FROM audit WHERE trial = :trial ORDER BY seq DESC LIMIT 1"
# What was looked at, taken out or repaired leaves the trial's data as they were.
AUDIT_LAST_CHANGE = """
SELECT at FROM audit WHERE trial = :trial AND what NOT IN (
    'exported', 'raw bytes shown', 'store reopened', 'identity viewed', 'signed in', 'signed out', 'sign-in refused',
    'password refused', 'page refused', 'form refused', 'account added', 'account changed')
ORDER BY seq DESC LIMIT 1"""
AUDIT_AFTER = """
SELECT seq, trial, at, who, what, subject, old, new, why, prev, hash FROM audit
WHERE trial = :trial AND seq > :after ORDER BY seq LIMIT :limit"""
# Of a subject the numbers are found first, in the index of subjects alone: asked for at once, SQLite reads the trail.
_OF_SUBJECT = "seq IN (SELECT seq FROM audit WHERE trial = :trial AND subject = :subject AND seq "
AUDIT_OF_SUBJECT_AFTER = f"""
SELECT seq, trial, at, who, what, subject, old, new, why, prev, hash FROM audit
WHERE trial = :trial AND {_OF_SUBJECT} > :after) ORDER BY seq LIMIT :limit"""
AUDIT_VALUES_OF = """
SELECT seq, trial, at, who, what, subject, old, new, why, prev, hash FROM audit
WHERE trial = :trial AND what = 'value changed' AND seq IN (
    SELECT seq FROM audit WHERE trial = :trial AND subject IN (
        SELECT study_id || ' ' || visit || ' ' || endpoint FROM selections WHERE trial = :trial AND scope = :study_id))
ORDER BY seq DESC LIMIT :limit"""
AUDIT_LATEST = """
SELECT seq, trial, at, who, what, subject, old, new, why, prev, hash FROM audit
WHERE trial = :trial AND seq < :before AND (:who IS NULL OR who = :who) ORDER BY seq DESC LIMIT :limit"""
AUDIT_LATEST_OF_SUBJECT = f"""
SELECT seq, trial, at, who, what, subject, old, new, why, prev, hash FROM audit
WHERE trial = :trial AND {_OF_SUBJECT} < :before) AND (:who IS NULL OR who = :who)
ORDER BY seq DESC LIMIT :limit"""

# --- inbox --------------------------------------------------------------------------------------------------------

INBOX_ADD = """
INSERT INTO inbox (trial, source, kind, message_control_id, sha256, received_at, notes)
VALUES (:trial, :source, :kind, :message_control_id, :sha256, :received_at, :notes) ON CONFLICT DO NOTHING"""
INBOX_FIND = """
SELECT id FROM inbox WHERE trial = :trial AND source = :source AND kind = :kind
AND message_control_id = :message_control_id AND sha256 = :sha256"""
INBOX_SAME_CONTROL_ID = """
SELECT 1 FROM inbox WHERE trial = :trial AND source = :source AND kind = :kind
AND message_control_id = :message_control_id AND sha256 <> :sha256 LIMIT 1"""
RAW_ADD = "INSERT INTO inbox_raw (inbox_id, trial, raw) VALUES (:inbox_id, :trial, :raw)"
RAW_ERASE = "UPDATE inbox_raw SET raw = :nothing WHERE trial = :trial AND inbox_id = :inbox_id"
LINK_ADD = "INSERT INTO inbox_patients (trial, scope, inbox_id) VALUES (:trial, :scope, :inbox_id)"
LINKS_OF_MESSAGE = "SELECT scope FROM inbox_patients WHERE trial = :trial AND inbox_id = :inbox_id ORDER BY scope"
LINKS_OF_SCOPE = "SELECT inbox_id, state, ignored FROM inbox_patients WHERE trial = :trial AND scope = :scope"
LINK_SETTLE = """
UPDATE inbox_patients SET state = :state, ignored = :ignored
WHERE trial = :trial AND scope = :scope AND inbox_id = :inbox_id"""
LINKS_UNSETTLE = "UPDATE inbox_patients SET state = 'pending', ignored = '{}' WHERE trial = :trial"
IGNORED_OF_MESSAGE = "SELECT ignored FROM inbox_patients WHERE trial = :trial AND inbox_id = :inbox_id"
PENDING_OF_SCOPE = """
SELECT inbox_id FROM inbox_patients WHERE trial = :trial AND scope = :scope AND state = 'pending'
ORDER BY inbox_id LIMIT 1"""

_MESSAGE = """
SELECT inbox.id, source, kind, message_control_id, sha256, raw, received_at FROM inbox
JOIN inbox_raw ON inbox_raw.inbox_id = inbox.id """
MESSAGE = _MESSAGE + "WHERE inbox.trial = :trial AND inbox.id = :inbox_id"
MESSAGES_OF_SCOPE = (
    _MESSAGE
    + """JOIN inbox_patients ON inbox_patients.inbox_id = inbox.id
WHERE inbox_patients.trial = :trial AND scope = :scope ORDER BY inbox.id"""
)
_LINK_STATES = "SELECT inbox_id, scope, state FROM inbox_patients WHERE trial = :trial AND inbox_id "
LINK_STATES_OF_MESSAGE = _LINK_STATES + "= :inbox_id ORDER BY scope"
LINK_STATES_OF_SCOPE = (
    _LINK_STATES
    + """IN (SELECT inbox_id FROM inbox_patients WHERE trial = :trial AND scope = :scope)
ORDER BY inbox_id, scope"""
)
MESSAGE_NOTES = "SELECT notes FROM inbox WHERE trial = :trial AND id = :inbox_id"
# A message of several participants is pending until each is derived, and failed where it could not be read for one.
INBOX_COUNTS = """
SELECT state, COUNT(*) FROM (
    SELECT CASE WHEN SUM(CASE WHEN state = 'pending' THEN 1 ELSE 0 END) > 0 THEN 'pending'
                WHEN SUM(CASE WHEN state = 'failed' THEN 1 ELSE 0 END) > 0 THEN 'failed' ELSE 'done' END AS state
    FROM inbox_patients WHERE trial = :trial GROUP BY inbox_id
) AS messages GROUP BY state"""

COUNTER_ADD = """
INSERT INTO counters (trial, source, name, count) VALUES (:trial, :source, :name, :count)
ON CONFLICT (trial, source, name) DO UPDATE SET count = counters.count + excluded.count"""
COUNTERS = "SELECT name, count FROM counters WHERE trial = :trial AND source = :source ORDER BY name"
LAST_MESSAGE_SET = """
INSERT INTO last_messages (trial, source, last_message_at) VALUES (:trial, :source, :last_message_at)
ON CONFLICT (trial, source) DO UPDATE SET last_message_at = excluded.last_message_at
WHERE excluded.last_message_at > last_messages.last_message_at"""
LAST_MESSAGE = "SELECT last_message_at FROM last_messages WHERE trial = :trial AND source = :source"

# --- polled sources -----------------------------------------------------------------------------------------------

POLL_STATE = """
SELECT question, patient, asked_from, watermark, last_sweep_at FROM poll_states
WHERE trial = :trial AND source = :source AND study_id = :study_id"""
POLL_STATE_PUT = """
INSERT INTO poll_states (trial, source, study_id, question, patient, asked_from, watermark, last_sweep_at)
VALUES (:trial, :source, :study_id, :question, :patient, :asked_from, :watermark, :last_sweep_at)
ON CONFLICT (trial, source, study_id) DO UPDATE SET question = excluded.question, patient = excluded.patient,
    asked_from = excluded.asked_from, watermark = excluded.watermark, last_sweep_at = excluded.last_sweep_at"""
POLL_BEGUN = """
INSERT INTO polls (trial, source, last_poll_at) VALUES (:trial, :source, :at)
ON CONFLICT (trial, source) DO UPDATE SET last_poll_at = excluded.last_poll_at"""
POLL_SUCCEEDED = """
UPDATE polls SET last_success_at = :at, last_error = NULL WHERE trial = :trial AND source = :source"""
POLL_FAILED = "UPDATE polls SET last_error = :error WHERE trial = :trial AND source = :source"
POLL = "SELECT last_poll_at, last_success_at, last_error FROM polls WHERE trial = :trial AND source = :source"
# Nobody asks for the withdrawn any more: theirs would stand still for ever.
POLL_WATERMARK = """
SELECT MIN(watermark) FROM poll_states
JOIN participants ON participants.trial = poll_states.trial AND participants.study_id = poll_states.study_id
WHERE poll_states.trial = :trial AND source = :source AND (ended_by IS NULL OR ended_by <> 'withdrawn')"""
HELD_OF_SOURCE = """
SELECT message_control_id, sha256 FROM inbox
JOIN inbox_patients ON inbox_patients.inbox_id = inbox.id
WHERE inbox_patients.trial = :trial AND scope = :scope AND source = :source AND kind = :kind"""

# --- roster -------------------------------------------------------------------------------------------------------

_PARTICIPANT = """
SELECT participants.study_id, infused_at, ended_on, ended_by, birth_date, sex FROM participants
JOIN identities ON identities.trial = participants.trial AND identities.study_id = participants.study_id
WHERE participants.trial = :trial """
PARTICIPANTS = _PARTICIPANT + "ORDER BY participants.study_id"
PARTICIPANT = _PARTICIPANT + "AND participants.study_id = :study_id"
PARTICIPANT_PUT = """
INSERT INTO participants (trial, study_id, infused_at, ended_on, ended_by, added_at)
VALUES (:trial, :study_id, :infused_at, :ended_on, :ended_by, :added_at)
ON CONFLICT (trial, study_id) DO UPDATE
SET infused_at = excluded.infused_at, ended_on = excluded.ended_on, ended_by = excluded.ended_by"""
IDENTITY_PUT = """
INSERT INTO identities (trial, study_id, birth_date, sex) VALUES (:trial, :study_id, :birth_date, :sex)
ON CONFLICT (trial, study_id) DO UPDATE SET birth_date = excluded.birth_date, sex = excluded.sex"""
_IDENTIFIERS = "SELECT study_id, value, authority FROM identifiers WHERE trial = :trial AND removed_at IS NULL "
IDENTIFIERS = _IDENTIFIERS + "ORDER BY id"
IDENTIFIERS_OF_PARTICIPANT = _IDENTIFIERS + "AND study_id = :study_id ORDER BY id"
IDENTIFIER_HOLDER = _IDENTIFIERS + "AND value = :value AND authority = :authority"
IDENTIFIER_ADD = """
INSERT INTO identifiers (trial, study_id, value, authority, added_at)
VALUES (:trial, :study_id, :value, :authority, :added_at)"""
IDENTIFIER_REMOVE = """
UPDATE identifiers SET removed_at = :removed_at
WHERE trial = :trial AND study_id = :study_id AND value = :value AND authority = :authority AND removed_at IS NULL"""

# --- decisions and rulesets ---------------------------------------------------------------------------------------

DECISION_ADD = """
INSERT INTO decisions (trial, kind, body, who, at, why) VALUES (:trial, :kind, :body, :who, :at, :why)"""
DECISIONS = "SELECT id, kind, body, who, at, why FROM decisions WHERE trial = :trial ORDER BY id"
RULESET_ADD = "INSERT INTO rulesets (trial, id, body, adopted_at) VALUES (:trial, :id, :body, :adopted_at)"
RULESETS = "SELECT id, body, adopted_at FROM rulesets WHERE trial = :trial ORDER BY number"

# --- assessments --------------------------------------------------------------------------------------------------

ASSESSMENT_ADD = """
INSERT INTO assessments (trial, study_id, assessed_on, ascites, encephalopathy, dialysis, who, at, why)
VALUES (:trial, :study_id, :assessed_on, :ascites, :encephalopathy, :dialysis, :who, :at, :why)"""
_ASSESSMENTS = """
SELECT study_id, assessed_on, ascites, encephalopathy, dialysis, id, who, at, why FROM assessments
WHERE trial = :trial """
_IN_ORDER = "ORDER BY study_id, assessed_on, id"
ASSESSMENTS = _ASSESSMENTS + _IN_ORDER
ASSESSMENTS_OF_PARTICIPANT = _ASSESSMENTS + "AND study_id = :study_id " + _IN_ORDER

# --- what must be derived again -----------------------------------------------------------------------------------

SCOPE_ARRIVAL = """
INSERT INTO scopes (trial, scope, arrivals) VALUES (:trial, :scope, 1)
ON CONFLICT (trial, scope) DO UPDATE SET arrivals = scopes.arrivals + 1"""
SCOPE_MOVE = """
INSERT INTO scopes (trial, scope, epoch) VALUES (:trial, :scope, 1)
ON CONFLICT (trial, scope) DO UPDATE SET epoch = scopes.epoch + 1"""
SCOPE = """
SELECT epoch, applied, derived_epoch, derived_ruleset, derived_global_epoch FROM scopes
WHERE trial = :trial AND scope = :scope"""
SCOPES = "SELECT scope FROM scopes WHERE trial = :trial AND scope <> :codes ORDER BY scope"
SCOPE_DERIVED = """
INSERT INTO scopes (trial, scope, applied, derived_arrivals, derived_epoch, derived_global_epoch, derived_ruleset,
    derived_on)
VALUES (:trial, :scope, 1, :arrivals, :epoch, :global_epoch, :ruleset, :derived_on)
ON CONFLICT (trial, scope) DO UPDATE SET applied = scopes.applied + 1, derived_arrivals = excluded.derived_arrivals,
    derived_epoch = excluded.derived_epoch, derived_global_epoch = excluded.derived_global_epoch,
    derived_ruleset = excluded.derived_ruleset, derived_on = excluded.derived_on"""
SCOPES_UNDERIVE = """
UPDATE scopes SET applied = applied + 1, derived_arrivals = NULL, derived_epoch = NULL, derived_global_epoch = NULL,
    derived_ruleset = NULL, derived_on = NULL
WHERE trial = :trial"""
_DIRTY = """
FROM scopes WHERE trial = :trial AND scope <> :codes AND (
    derived_ruleset IS NULL OR derived_ruleset <> :ruleset OR derived_on <> :derived_on
    OR derived_arrivals <> arrivals OR derived_epoch <> epoch
    OR derived_global_epoch <> (SELECT global_epoch FROM trials WHERE trial = :trial)) """
# Least often derived first: a participant with a busy feed does not keep the others waiting.
DIRTY = "SELECT scope" + _DIRTY + "ORDER BY applied, scope LIMIT :limit"
DIRTY_COUNT = "SELECT COUNT(*)" + _DIRTY

# --- what is derived ----------------------------------------------------------------------------------------------

UNMAPPED = """
SELECT source, code, code_system, name, inbox_id, locator, message_control_id FROM results
WHERE trial = :trial AND ended_seq IS NULL AND reason = 'unmapped_code' AND item IS NOT NULL
ORDER BY source, code, code_system, inbox_id, locator"""
# What a message that is another person's leaves behind in what was derived from it, earlier versions included.
SCOPES_SENDING = """
SELECT DISTINCT scope FROM inbox JOIN inbox_raw ON inbox_raw.inbox_id = inbox.id
    JOIN inbox_patients ON inbox_patients.inbox_id = inbox.id
WHERE inbox.trial = :trial AND source = :source AND (instr(raw, :text) OR (kind = 'hl7v2' AND NOT instr(raw, :head)))"""
RESULTS_BLANK = """
UPDATE results SET reported = '', reported_unit = '', name = '', value = NULL, comparator = NULL, collected_at = NULL,
    reported_at = NULL, order_number = ''
WHERE trial = :trial AND inbox_id = :inbox_id"""
ITEMS_OF_RESULTS = "SELECT scope, id, results FROM review_items WHERE trial = :trial"
ITEM_BLANK = """
UPDATE review_items SET name = NULL, value_text = NULL, collected_at = NULL, detail = '{}'
WHERE trial = :trial AND scope = :scope AND id = :id"""
ITEM_CLOSE = """
UPDATE review_items SET state = 'closed', closed_at = :at WHERE trial = :trial AND scope = :scope AND id = :id"""
CELL_STATES = """
SELECT study_id, visit, endpoint, status, flags LIKE '%"outside_window"%' FROM selections
WHERE trial = :trial AND ended_seq IS NULL AND status <> 'empty' """
ITEMS_OPEN_COUNT = "SELECT COUNT(DISTINCT id) FROM review_items WHERE trial = :trial AND state = 'open'"


def listed(columns: Iterable[str]) -> str:
    """Column names for a statement. Quoted, for ``group`` and ``count`` are words of SQL."""
    return ", ".join(f'"{column}"' for column in columns)


def named(columns: Iterable[str]) -> str:
    """The parameters of the columns."""
    return ", ".join(f":{column}" for column in columns)


def among(column: str, count: int) -> str:
    """The condition that a column is one of so many values, the parameters ``scope0`` and on; it begins with AND."""
    return f'AND "{column}" IN ({named(f"{column}{n}" for n in range(count)) or "NULL"}) '


def _equal(columns: Iterable[str], separator: str) -> str:
    return separator.join(f'"{column}" = :{column}' for column in columns)


def current(table: str, columns: Iterable[str], where: str, order: Iterable[str]) -> str:
    """The current versions of a derived table; ``where`` begins with AND or is empty."""
    return (
        f"SELECT {listed(columns)} FROM {table} WHERE trial = :trial AND ended_seq IS NULL {where} "
        f"ORDER BY {listed(order)}"
    )


def results_of_messages(columns: Iterable[str], order: Iterable[str], count: int) -> str:
    """The current results of ``count`` messages, whosesoever they are; the parameters are those of :func:`among`."""
    return (
        f"SELECT {listed(columns)} FROM results WHERE trial = :trial AND ended_seq IS NULL AND (scope, inbox_id) IN ("
        f"SELECT scope, inbox_id FROM inbox_patients WHERE trial = :trial {among('inbox_id', count)}) "
        f"ORDER BY {listed(order)}"
    )


def selection_versions(columns: Iterable[str]) -> str:
    """Every version of one cell with the record that made it, the oldest first."""
    return (
        f"SELECT {listed(columns)}, from_seq, ended_seq, audit.at, audit.who, audit.why FROM selections "
        "JOIN audit ON audit.trial = selections.trial AND audit.seq = from_seq WHERE selections.trial = :trial "
        "AND study_id = :study_id AND visit = :visit AND endpoint = :endpoint ORDER BY from_seq"
    )


def version_add(table: str, columns: Iterable[str]) -> str:
    """Insert the version of a derived row that counts from ``seq``."""
    return (
        f"INSERT INTO {table} (trial, scope, {listed(columns)}, from_seq) "
        f"VALUES (:trial, :scope, {named(columns)}, :seq)"
    )


def version_end(table: str, key: Iterable[str]) -> str:
    """End the current version of a derived row at ``seq``."""
    return (
        f"UPDATE {table} SET ended_seq = :seq "
        f"WHERE trial = :trial AND scope = :scope AND ended_seq IS NULL AND {_equal(key, ' AND ')}"
    )


def item_put(columns: Iterable[str]) -> str:
    """Open a review item, or bring one up to date; the instant it was first opened stays."""
    columns = list(columns)
    changes = ", ".join(f'"{column}" = excluded."{column}"' for column in columns if column != "id")
    return (
        f"INSERT INTO review_items (trial, scope, state, opened_at, {listed(columns)}) "
        f"VALUES (:trial, :scope, 'open', :at, {named(columns)}) "
        f"ON CONFLICT (trial, scope, id) DO UPDATE SET state = 'open', closed_at = NULL, {changes}"
    )


def items(columns: Iterable[str], where: str) -> str:
    """Review items, the longest open first; ``where`` begins with AND or is empty."""
    return (
        f"SELECT scope, state, opened_at, closed_at, {listed(columns)} FROM review_items "
        f"WHERE trial = :trial {where} ORDER BY opened_at, id, scope"
    )


def emptied(table: str) -> str:
    """Delete what was derived, so that it can be derived again."""
    return f"DELETE FROM {table} WHERE trial = :trial"


# --- accounts -----------------------------------------------------------------------------------------------------

_ACCOUNT = """
SELECT name, role, password_hash, created_at, disabled_at, password_is_given FROM accounts WHERE trial = :trial """
ACCOUNTS = _ACCOUNT + "ORDER BY name"
ACCOUNT = _ACCOUNT + "AND name = :name"
ACCOUNT_ADD = """
INSERT INTO accounts (trial, name, role, password_hash, password_is_given, created_at)
VALUES (:trial, :name, :role, :password_hash, :password_is_given, :created_at)"""
ACCOUNT_PUT = """
UPDATE accounts
SET role = :role, password_hash = :password_hash, password_is_given = :password_is_given, disabled_at = :disabled_at
WHERE trial = :trial AND name = :name"""
SIGN_INS = "SELECT failures, locked_until FROM sign_ins WHERE trial = :trial AND name = :name"
SIGN_INS_PUT = """
INSERT INTO sign_ins (trial, name, failures, locked_until) VALUES (:trial, :name, :failures, :locked_until)
ON CONFLICT (trial, name) DO UPDATE SET failures = excluded.failures, locked_until = excluded.locked_until"""
SIGN_INS_FORGET = "DELETE FROM sign_ins WHERE trial = :trial AND name = :name"
WEB_SESSION = "SELECT name, csrf, began_at, seen_at FROM web_sessions WHERE trial = :trial AND token_hash = :token_hash"
WEB_SESSION_ADD = """
INSERT INTO web_sessions (trial, token_hash, name, csrf, began_at, seen_at)
VALUES (:trial, :token_hash, :name, :csrf, :began_at, :began_at)"""
WEB_SESSION_TOUCH = "UPDATE web_sessions SET seen_at = :seen_at WHERE trial = :trial AND token_hash = :token_hash"
WEB_SESSION_END = "DELETE FROM web_sessions WHERE trial = :trial AND token_hash = :token_hash"
WEB_SESSIONS_FORGET = "DELETE FROM web_sessions WHERE trial = :trial AND began_at < :began_before"
WEB_SESSIONS_END = "DELETE FROM web_sessions WHERE trial = :trial AND name = :name"
