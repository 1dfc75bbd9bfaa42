"""How far polled sources have been asked.

No input of the rules: it leaves no record in the trail, and whatever of it is lost is only asked again.
"""

from __future__ import annotations

from datetime import datetime

from adapter.store import statements
from adapter.store.records import PollRecord, PollState
from adapter.store.rows import utc_text
from adapter.store.session import Reads, Writes


class PollReads(Reads):
    """Reading how far sources have been asked."""

    def poll_state(self, source: str, study_id: str) -> PollState | None:
        """How far a source has been asked for a participant; None where it never was."""
        row = self._row(statements.POLL_STATE, source=source, study_id=study_id)
        return None if row is None else PollState(*row)

    def poll_record(self, source: str) -> PollRecord:
        """When a source was last polled, and how that ended."""
        with self._engine.reading():
            row = self._row(statements.POLL, source=source)
            watermark = self._row(statements.POLL_WATERMARK, source=source)
        if row is None:
            return PollRecord()
        return PollRecord(row[0], row[1], row[2], None if watermark is None else watermark[0])

    def held_messages(self, source: str, kind: str, scope: str) -> set[tuple[str, str]]:
        """Control id and hash of every message of a participant that came from a source."""
        rows = self._rows(statements.HELD_OF_SOURCE, source=source, kind=kind, scope=scope)
        return {(control_id, sha256) for control_id, sha256 in rows}


class PollWrites(Writes, PollReads):
    """Writing how far sources have been asked."""

    def put_poll_state(self, source: str, study_id: str, state: PollState) -> None:
        """Note how far a source has been asked for a participant of the roster."""
        self._run(
            statements.POLL_STATE_PUT,
            source=source,
            study_id=study_id,
            question=state.question,
            patient=state.patient,
            asked_from=state.asked_from,
            watermark=state.watermark,
            last_sweep_at=state.last_sweep_at,
        )

    def poll_begun(self, source: str, at: datetime) -> None:
        """Note that a poll of a source begins."""
        self._run(statements.POLL_BEGUN, source=source, at=utc_text(at))

    def poll_succeeded(self, source: str, at: datetime) -> None:
        """Note that everything asked in a poll was answered and is stored."""
        self._run(statements.POLL_SUCCEEDED, source=source, at=utc_text(at))

    def poll_failed(self, source: str, error: str) -> None:
        """Note in words what kept a poll from being whole; what it did store stays."""
        self._run(statements.POLL_FAILED, source=source, error=error)
