"""The store: schema and migrations, inbox, roster, decisions, what was derived, the review queue and the trail."""

from adapter.store.accounts import Account
from adapter.store.audit import genesis
from adapter.store.engine import wal_is_sound
from adapter.store.errors import IdentifierTaken, NotAStore, StoreError, StoreMissing, StoreUnavailable
from adapter.store.records import (
    CODES,
    UNASSIGNED,
    Added,
    AuditRecord,
    CellState,
    Counters,
    NewMessage,
    PollRecord,
    PollState,
    Ruleset,
    SelectionVersion,
    Snapshot,
    Standing,
    StoredItem,
    Token,
    Unmapped,
    Verification,
)
from adapter.store.rows import utc_text
from adapter.store.store import Store, Transaction
from adapter.store.writer import RosterMoved, Trouble, Writer

__all__ = [
    "CODES",
    "UNASSIGNED",
    "Account",
    "Added",
    "AuditRecord",
    "CellState",
    "Counters",
    "IdentifierTaken",
    "NewMessage",
    "NotAStore",
    "PollRecord",
    "PollState",
    "RosterMoved",
    "Ruleset",
    "SelectionVersion",
    "Snapshot",
    "Standing",
    "Store",
    "StoreError",
    "StoreMissing",
    "StoreUnavailable",
    "StoredItem",
    "Token",
    "Transaction",
    "Trouble",
    "Unmapped",
    "Verification",
    "Writer",
    "genesis",
    "utc_text",
    "wal_is_sound",
]
