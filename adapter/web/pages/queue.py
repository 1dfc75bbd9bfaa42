"""The review queue: what waits for an answer, grouped by its cause; questions of one cause settled at one stroke."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial

from starlette.responses import Response

from adapter import labels
from adapter.review.answers import ACTIONS, actions_of
from adapter.review.desk import Entry, cause_of, find, queue
from adapter.review.proposal import Given, Proposal, together
from adapter.web.access import Role
from adapter.web.answers import records, title
from adapter.web.moved import visit_label
from adapter.web.page import Page, serve
from adapter.web.settling import Answer, settling, texts
from adapter.web.times import local_time

_MOST_OF_EACH = 20  # of each cause, where every cause is shown
_MOST = 100  # of the one cause that is asked for
#: Answers that need nothing filled in, and hold for what is asked now: safe for many questions at once.
BULK = ("dismiss", "retry")


@dataclass(frozen=True, slots=True)
class Line:
    """Questions that one answer settles: the first of them, and how many messages and results they are about."""

    entry: Entry
    alike: int
    results: int


@dataclass(frozen=True, slots=True)
class Cause:
    """The questions of one reason: the lines that are shown of how many, and the results that wait for them."""

    reason: str
    count: int
    results: int
    lines: list[Line]
    bulk: list[str]


def show_queue(page: Page) -> Response:
    """The open questions, each cause together; the causes that hold most results first."""
    return _queue(page)


def _queue(page: Page, failed: str | None = None) -> Response:
    asked = page.request.query_params
    entries = queue(page.store)
    sources = sorted({e.item.source for e in entries if e.item.source})
    found = [e for e in entries if _is_wanted(e, asked.get("source", ""), asked.get("participant", "").strip())]
    reason, start = asked.get("reason", ""), _number(asked.get("from", ""))
    causes = by_cause(found)
    if reason:
        causes = [cause for cause in causes if cause.reason == reason]
    shown, first = (_MOST, start) if reason else (_MOST_OF_EACH, 0)
    return page.render(
        "queue.html",
        status=200 if failed is None else 409,
        failed=failed,
        causes=[_cut(cause, first, shown) for cause in causes],
        all=len(entries),
        reasons=sorted({e.item.reason for e in entries}),
        sources=sources,
        chosen={"reason": reason, "source": asked.get("source", ""), "participant": asked.get("participant", "")},
        first=first,
        most=shown,
        labels=labels,
        visit_label=partial(visit_label, page),
        local_time=local_time,
    )


def _is_wanted(entry: Entry, source: str, participant: str) -> bool:
    return source in ("", entry.item.source) and participant in ("", entry.item.study_id)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0


def by_cause(entries: Iterable[Entry]) -> list[Cause]:
    """Entries of one reason together, in the order of how many results wait for their answer."""
    causes: dict[str, dict[tuple[str, ...], list[Entry]]] = {}
    for entry in entries:
        causes.setdefault(entry.item.reason, {}).setdefault(cause_of(entry), []).append(entry)
    made = []
    for reason, alike in causes.items():
        lines = [Line(each[0], len(each), sum(e.count for e in each)) for each in alike.values()]
        bulk = [action for action in BULK if action in ACTIONS.get(reason, ())]
        made.append(Cause(reason, len(lines), sum(line.results for line in lines), lines, bulk))
    return sorted(made, key=lambda cause: (-cause.results, cause.reason))


def _cut(cause: Cause, first: int, most: int) -> Cause:
    return replace(cause, lines=cause.lines[first : first + most])


def settle_many(page: Page) -> Response:
    """One answer to several questions, shown and confirmed like one."""
    action, ids = page.text("answer"), texts(page, "item")
    if action not in BULK or not ids:
        return _queue(page, page.say("Choose the questions first."))
    named = [find(page.store, each) for each in dict.fromkeys(ids)]
    entries = [alike for each in named for alike in _alike(page, each)]
    able = [entry for entry in entries if action in actions_of(entry)]
    if len(able) < len(entries) or len({entry.item.reason for entry in entries}) > 1:
        return _queue(page, page.say("Questions of one cause only are settled together."))
    answer = Answer(
        page.say("{what}: {n} questions", what=title(action, entries[0], page), n=len(entries)),
        list(dict.fromkeys(records(page, entry, action) for entry in entries))[:10],
        page.path("settle_many"),
        page.path("queue"),
    )

    def propose() -> Proposal:
        return together([page.desk.propose(entry, action, Given()) for entry in entries])

    return settling(page, answer, propose, lambda why: _queue(page, why))


def _alike(page: Page, entry: Entry) -> list[Entry]:
    """The open questions of the line that an entry stands for; a code of a group stands for itself alone."""
    cause = cause_of(entry)
    return [each for each in queue(page.store) if cause_of(each) == cause] or [entry]


ROUTES = [
    serve("/review", show_queue, "queue"),
    serve("/review", settle_many, "settle_many", role=Role.COORDINATOR, methods=("POST",)),
]
