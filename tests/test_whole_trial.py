"""A whole trial's feed through the real daemon: undisturbed, and killed at random points; and what the store holds."""

from __future__ import annotations

import json
import random
import re
import sqlite3
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from daemonrun import DaemonRun, trial_of

from fixtures.generator import generate

TODAY = datetime.now(UTC).date()
FEED = generate(11, infusion_start=TODAY - timedelta(days=405))
KILLS = 5

pytestmark = pytest.mark.timeout(300)


def feed_it(run: DaemonRun, kill_at: frozenset[int] = frozenset()) -> Counter[str]:
    """Send every message in its order, killing the daemon after some of them; what was not answered is sent again."""
    answers: Counter[str] = Counter()
    run.start()

    def restart() -> None:
        run.kill()
        run.start()

    for number, message in enumerate(FEED.messages):
        if number in kill_at:
            assert run.process is not None
            run.process.kill()  # the sender notices by itself, on this message or the next
        found = run.send_until_answered(message.source, message.payload, restart)
        answers.update(a.code for a in found)
    run.settled()
    assert run.stop() == 0
    return answers


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> DaemonRun:
    run = trial_of(FEED, tmp_path_factory.mktemp("undisturbed"))
    with run:
        run.answers = feed_it(run)  # type: ignore[attr-defined]
    return run


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory: pytest.TempPathFactory) -> DaemonRun:
    run = trial_of(FEED, tmp_path_factory.mktemp("disturbed"))
    chosen = random.Random(5).sample(range(len(FEED.messages)), KILLS)
    with run:
        feed_it(run, frozenset(chosen))
    assert run.starts > KILLS
    return run


def rows(run: DaemonRun) -> dict[tuple[str, str, str], dict[str, Any]]:
    return {(r["study_id"], r["visit"], r["endpoint"]): r for r in run.ask("values", "--all")}


def test_the_table_is_exactly_what_was_planned(undisturbed: DaemonRun):
    table = rows(undisturbed)
    wrong = []
    for cell in (*FEED.truth, *FEED.scores):
        row = table[cell.study_id, cell.visit, cell.endpoint]
        found = (row["status"], row["value_text"], row["comparator"])
        if found != (cell.status_on(TODAY), cell.value_text, cell.comparator):
            wrong.append((cell, found))
        if cell.value_text is not None:
            assert row["message_id"] in (cell.message_ids or (None,))
            assert row["collected_at"][:10] == str(cell.collected_on)
            assert set(cell.flags) <= set(row["flags"])
        if row["status"] == "in_review":
            assert row["reason"] == cell.reason
            assert row["open_items"] >= 1
    assert wrong == []
    assert len(FEED.truth) == 32 * 3 * 9  # seven measured endpoints and two supporting analytes
    assert len(FEED.scores) == 32 * 3 * 2


def test_every_planted_fault_is_in_the_queue_and_nothing_else(undisturbed: DaemonRun):
    found = Counter(
        (
            q["reason"],
            q["study_id"],
            q["visit"],
            q["endpoint"] if q["visit"] else None,
            q["code"] if not q["study_id"] else None,
        )
        for q in undisturbed.ask("review", "list", "--each")
    )
    planted = Counter(
        (
            i.reason,
            i.study_id,
            i.visit,
            i.endpoint if i.visit else None,
            i.code if i.reason == "unmapped_code" else None,
        )
        for i in FEED.queue
    )
    # An identity that names two participants is of neither; its code is the result's.
    found = Counter({k if k[0] == "unmapped_code" else (*k[:4], None): n for k, n in found.items()})
    assert found == planted


def test_every_message_was_acknowledged_as_planned(undisturbed: DaemonRun):
    assert undisturbed.answers["AE"] == sum(m.answer == "AE" for m in FEED.messages)  # type: ignore[attr-defined]
    assert set(undisturbed.answers) == {"AA", "AE"}  # type: ignore[attr-defined]


def test_no_byte_of_a_stranger_is_in_any_file_of_the_store(undisturbed: DaemonRun, disturbed: DaemonRun):
    assert FEED.strangers
    for run in (undisturbed, disturbed):
        kept = [p for p in run.folder.iterdir() if p.name.startswith("trial.db") or p.suffix == ".log"]
        assert any(p.name == "trial.db" for p in kept)
        for path in kept:
            content = path.read_bytes()
            assert [s for s in FEED.strangers if s in content] == [], path.name


def test_no_identity_and_no_value_is_in_the_log(undisturbed: DaemonRun):
    said = "".join(p.read_text() for p in undisturbed.folder.glob("daemon-*.log"))
    numbers = {row.identifier for row in FEED.roster}
    assert [n for n in numbers if n in said] == []


def test_killed_five_times_the_table_and_the_queue_are_the_same(undisturbed: DaemonRun, disturbed: DaemonRun):
    assert rows(disturbed) == rows(undisturbed)
    queue = [
        [{k: v for k, v in q.items() if k != "opened_at"} for q in run.ask("review", "list", "--each")]
        for run in (undisturbed, disturbed)
    ]
    assert sorted(queue[0], key=lambda q: q["id"]) == sorted(queue[1], key=lambda q: q["id"])


def test_killed_five_times_the_trail_says_the_same(undisturbed: DaemonRun, disturbed: DaemonRun):
    """Apart from instants, ids, hashes and records of resends; of each subject in the same order."""

    def told(run: DaemonRun) -> dict[str, list[tuple[str, ...]]]:
        by_subject: dict[str, list[tuple[str, ...]]] = {}
        for record in run.ask("audit", "show"):
            without_ids = [re.sub(r'"inbox_id": ?\d+', '"inbox_id":0', record[k] or "") for k in ("old", "new")]
            said = (record["who"], record["what"], *without_ids, record["why"])
            by_subject.setdefault(record["subject"], []).append(said)
        return by_subject

    assert told(disturbed) == told(undisturbed)


def test_the_trail_is_whole(undisturbed: DaemonRun, disturbed: DaemonRun):
    for run in (undisturbed, disturbed):
        found = run.ask("audit", "verify")
        assert found["ok"]
        assert found["records"] > len(FEED.messages) // 2


def test_an_altered_record_of_the_trail_is_found(undisturbed: DaemonRun, tmp_path: Path):
    head = undisturbed.ask("audit", "verify")["head"]
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("config.toml", "codes-lis-b.toml", "codes-lis-c.toml"):
        text = (undisturbed.folder / name).read_text(encoding="utf-8")
        protocol = json.dumps(str(Path(__file__).parents[1] / "mappings" / "nct06984497.toml"))
        (copy / name).write_text(re.sub(r"protocol = .*", f"protocol = {protocol}", text), encoding="utf-8")
    (copy / "trial.db").write_bytes((undisturbed.folder / "trial.db").read_bytes())
    (copy / "trial.db").chmod(0o600)
    connection = sqlite3.connect(copy / "trial.db")
    connection.executescript("DROP TRIGGER IF EXISTS audit_no_delete; DROP TRIGGER IF EXISTS audit_no_update;")
    triggers = [r[0] for r in connection.execute("SELECT name FROM sqlite_master WHERE type='trigger'")]
    for name in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute("DELETE FROM audit WHERE seq = (SELECT MAX(seq) FROM audit)")
    connection.commit()
    connection.close()
    run = DaemonRun(copy)
    found = json.loads(run.run("audit", "verify", "--head", head, "--json", status=1))
    assert not found["ok"]


def test_store_files_are_for_their_owner_alone(undisturbed: DaemonRun):
    for path in undisturbed.folder.glob("trial.db*"):
        assert path.stat().st_mode & 0o777 == 0o600, path.name
