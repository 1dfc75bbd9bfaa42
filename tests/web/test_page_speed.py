"""What keeps the pages quick in a large trial: what they ask of the store does not grow with it."""

from __future__ import annotations

import re
import socket
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from typing import Any

import pytest
from webrun import Browser, WebRun

from adapter.model import Participant
from adapter.store import statements
from adapter.store.engine import Engine
from adapter.web.pages import ROUTES
from adapter.web.server import WebServer

NAMES = {"study_id": "S-001", "visit": "week-4", "endpoint": "ALT"}
PAGES = [
    (route.name, path)
    for route in ROUTES
    if "GET" in (route.methods or ())
    and not {"item_id:path", "decision_id"} & set(re.findall(r"{([^}]+)}", route.path))
    for path in [route.path.format(**NAMES)]
]


class Asked:
    """The statements that were run, on whichever connection."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.statements: list[str] = []
        run = Engine._execute

        def noted(engine: Engine, sql: str, parameters: Mapping[str, Any] = {}) -> sqlite3.Cursor:
            self.statements.append(sql)
            return run(engine, sql, parameters)

        monkeypatch.setattr(Engine, "_execute", noted)

    def by(self, browser: Browser, path: str) -> int:
        """How many one page runs."""
        self.statements.clear()
        assert browser.get(path).status_code == 200, path
        return len(self.statements)


def test_a_page_runs_as_many_statements_for_many_participants_as_for_few(web: WebRun, monkeypatch: pytest.MonkeyPatch):
    web.receive("complete-panel.hl7")
    browser, asked = web.sign_in("administrator"), Asked(monkeypatch)
    few = {name: asked.by(browser, path) for name, path in PAGES}
    with web.store.write() as tx:
        for n in range(150):
            tx.put_participant(Participant(f"T-{n:03}", infused_at="2026-01-05"), "test", "test", web.now)
    web.settler.settle(web.book)
    assert {name: asked.by(browser, path) for name, path in PAGES} == few
    assert few["board"] < 30


def plan_of(web: WebRun, sql: str, **parameters: Any) -> str:
    """How SQLite goes about a statement."""
    with closing(sqlite3.connect(web.config.store_path)) as database:
        rows = database.execute(f"EXPLAIN QUERY PLAN {sql}", {"trial": "NCT06984497", **parameters})
        return "\n".join(row[3] for row in rows)


@pytest.mark.parametrize(
    ("sql", "parameters"),
    [
        (statements.AUDIT_OF_SUBJECT_AFTER, {"subject": "S-001 week-4 ALT", "after": 0, "limit": 9}),
        (statements.AUDIT_LATEST_OF_SUBJECT, {"subject": "S-001", "before": 9, "who": None, "limit": 9}),
        (statements.AUDIT_VALUES_OF, {"study_id": "S-001", "limit": 9}),
    ],
    ids=["a cell's history", "the trail of a subject", "a participant's history"],
)
def test_the_history_of_one_is_found_without_reading_the_whole_trail(web: WebRun, sql: str, parameters: dict[str, Any]):
    plan = plan_of(web, sql, **parameters)
    assert "audit_of_subject" in plan
    assert "SEARCH audit USING PRIMARY KEY (trial=? AND seq=?)" in plan


def test_the_results_of_a_question_are_found_by_their_messages(web: WebRun):
    sql = statements.results_of_messages(["code"], ["scope"], 2)
    plan = plan_of(web, sql, inbox_id0=1, inbox_id1=2)
    assert "inbox_patients_of_message (inbox_id=?" in plan
    assert "(trial=? AND scope=? AND inbox_id=?)" in plan


def test_an_answer_is_not_kept_back_until_the_one_before_is_acknowledged(web: WebRun):
    """Nagle's algorithm with delayed acknowledgements costs 40 ms for each page (RFC 1122, 4.2.3.2 and 4.2.3.4)."""
    assert web.config.web is not None
    server = WebServer(web.app, web.config.web)
    server.listen()
    try:
        assert server._socket is not None
        assert server._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    finally:
        server.stop()
