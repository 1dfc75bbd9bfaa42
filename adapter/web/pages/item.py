"""One question of the queue: what happened, what the laboratory sent, and the answers it can be given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from starlette.exceptions import HTTPException
from starlette.responses import Response

from adapter import labels
from adapter.lineage import Excerpt, show_raw
from adapter.model import Decision, Patient, Reason, Received, ResultRow, ReviewItem
from adapter.review.desk import DecisionRefused, Entry, cause_of, find, queue, results_of
from adapter.review.persons import people_in
from adapter.review.proposal import Given, Proposal, key_of
from adapter.review.question import Question
from adapter.rules import about
from adapter.rules.decided import undone
from adapter.rules.queue import OF_A_CELL
from adapter.web.access import Role
from adapter.web.answers import forms, records, title
from adapter.web.course import shown_time
from adapter.web.moved import told, visit_label
from adapter.web.page import Page, serve
from adapter.web.pages.decisions import may_undo, results_named
from adapter.web.pages.help import QUESTIONS
from adapter.web.settling import Answer, decided, places, settling, texts
from adapter.web.times import TimeRefused, local_time, time_of

MOST_RESULTS = 200
_OF_MESSAGES = frozenset({"identity_conflict", "identity_merge", "unreadable_message"})


@dataclass(frozen=True, slots=True)
class Compared:
    """One patient of a message beside a participant: (what, in the message, on the roster)."""

    study_id: str
    rows: Sequence[tuple[str, str, str]]


def show_item(page: Page) -> Response:
    """What is asked, the results that wait, and what it can be answered with."""
    return _item(page, _asked(page))


def _asked(page: Page) -> Entry:
    try:
        return find(page.store, page.request.path_params["item_id"])
    except DecisionRefused as error:
        raise HTTPException(404) from error


def _item(
    page: Page,
    entry: Entry,
    *,
    failed: str | None = None,
    people: Sequence[Compared] | None = None,
    shown: Sequence[Excerpt] | None = None,
) -> Response:
    results = results_of(page.store, entry)
    message = _message(page, entry)
    named = [] if message is None else list(message.study_ids)
    made = page.store.decisions()
    return page.render(
        "item.html",
        status=200 if failed is None else 422,
        failed=failed,
        entry=entry,
        happened=QUESTIONS.get(entry.item.reason),
        told=entry.told(page.language.gettext),
        results=results[:MOST_RESULTS],
        count=len(results),
        forms=forms(page, entry, results, named) if page.may(Role.COORDINATOR) else [],
        message=message,
        people=people,
        shown=shown,
        alike=sum(cause_of(each) == cause_of(entry) for each in queue(page.store)),
        decisions=about.about(made, _subject(page, entry, results, message, made)),
        gone=undone(made),
        decided=partial(decided, page),
        may_undo=partial(may_undo, page, made=made),
        cell=_cell(page, entry),
        labels=labels,
        shown_time=shown_time,
        visit_label=partial(visit_label, page),
        local_time=local_time,
        zone=page.config.protocol.timezone,
    )


def _message(page: Page, entry: Entry) -> Received | None:
    """The message that is asked about, where it is a message."""
    if entry.item.reason not in _OF_MESSAGES:
        return None
    try:
        return Question(page.store, page.house.book(), page.now, entry, Given()).message()
    except DecisionRefused:
        return None


def _subject(
    page: Page, entry: Entry, rows: Sequence[ResultRow], message: Received | None, made: Sequence[Decision]
) -> about.Subject:
    """By what a decision can be about this question: itself, what it is asked for, its results, message or cell."""
    item = entry.item
    # A result's name is made with its message's hash: asked for only of those that a decision can have named.
    named = {(source, locator) for each in made for source, _, locator in results_named(each)}
    return about.Subject(
        items={member.item.id for member in entry.members},
        keys={key_of(page.store, row) for row in rows if (row.source, row.locator) in named},
        hashes=frozenset() if message is None else {message.sha256},
        causes={cause for member in entry.members for cause in _causes(member.item, rows)},
        cell=(item.study_id, item.visit, item.endpoint) if item.reason in OF_A_CELL else None,
    )


def _causes(item: ReviewItem, rows: Sequence[ResultRow]) -> set[about.Cause]:
    """What a source sends that is asked about."""
    source = item.source or ""
    if item.reason == Reason.UNMAPPED_CODE:
        return {about.code(source, item.code or "", item.detail.get("system", ""))}
    if item.reason in {Reason.MISSING_UNIT, Reason.UNKNOWN_UNIT}:
        return {about.unit(row.source, row.code, row.code_system, row.reported_unit) for row in rows}
    if item.reason == Reason.UNKNOWN_STATUS:
        return {about.status(row.source, row.status) for row in rows}
    if item.reason == Reason.WRONG_SPECIMEN:
        return {about.specimen(source, item.detail.get("specimen", ""))}
    return set()


def _cell(page: Page, entry: Entry) -> str | None:
    """The value that the table has where a question is about a cell."""
    item = entry.item
    if item.reason not in OF_A_CELL or item.study_id is None or item.endpoint is None:
        return None
    rows = page.store.selections(item.study_id)
    return told(page, next((row for row in rows if (row.visit, row.endpoint) == (item.visit, item.endpoint)), None))


def answer_item(page: Page) -> Response:
    """An answer: what it would change, and confirmed, the decision."""
    entry, action = _asked(page), page.text("answer")
    held = results_of(page.store, entry)
    form = next((each for each in forms(page, entry, held, []) if each.action == action), None)
    if form is None:
        return _item(page, entry, failed=page.say("Choose one of the answers."))
    named = texts(page, "result")
    if len(places(page)) < len(set(named)) or (form.pick and not named):
        return _item(page, entry, failed=page.say("Choose one of the results."))
    try:
        given = _given(page, action)
    except TimeRefused as error:
        return _item(page, entry, failed=page.say(str(error)))
    path = page.path("item", item_id=entry.id)
    about_these = given.results or {(row.inbox_id, row.locator) for row in held}
    answer = Answer(title(action, entry, page), [records(page, entry, action)], path, path, about_these)

    def propose() -> Proposal:
        return page.desk.propose(entry, action, given)

    return settling(page, answer, propose, lambda why: _item(page, entry, failed=why))


def _given(page: Page, action: str) -> Given:
    text = page.text("text")
    if action == "say_collected_at":
        text = time_of(page.text("day"), page.text("time"), page.config.protocol.timezone)
    return Given(text, page.text("unit") or None, page.text("participant") or None, places(page))


def show_identity(page: Page) -> Response:
    """Whom the message speaks of, beside the roster, once, to those who may; the trail says who looked."""
    entry = _asked(page)
    message = _message(page, entry)
    source = None if message is None else page.house.book().sources.get(message.source)
    if message is None or source is None:
        return _item(page, entry, failed=page.say("There is no message whose patient could be shown."))
    with page.store.write() as tx:
        for study_id in message.study_ids:
            why = f"asked for on the page, for review item {entry.id}"
            tx.record("identity viewed", study_id, who=page.who.name, at=page.now, why=why)
    found = people_in(message, source)
    return _item(page, entry, people=[_compared(page, s, each) for each in found for s in message.study_ids])


def _compared(page: Page, study_id: str, patient: Patient) -> Compared:
    _, person = page.language.gettext, page.store.participant(study_id)
    sent = ", ".join(" ".join((i.value, *i.authorities)) for i in patient.identifiers)
    known = "" if person is None else ", ".join(f"{i.value} {i.authority}" for i in person.identifiers)
    rows = [
        (_("Numbers"), sent, known),
        (_("Birth date"), patient.birth_date, "" if person is None else person.birth_date or ""),
        (_("Sex"), patient.sex, "" if person is None else person.sex or ""),
    ]
    return Compared(study_id, rows)


def show_bytes(page: Page) -> Response:
    """What was sent, for an administrator; that it was shown stands in the trail."""
    entry = _asked(page)
    message = _message(page, entry)
    wanted = [(message.id, "")] if message is not None else _places(results_of(page.store, entry))
    why = f"review item {entry.id} on the page"
    at, who, may = page.now, page.who.name, page.may(Role.ADMINISTRATOR)
    return _item(
        page,
        entry,
        shown=show_raw(page.store, page.house.book(), wanted, administrator=may, who=who, why=why, at=at),
    )


def _places(rows: Sequence[ResultRow]) -> list[tuple[int, str]]:
    return [(row.inbox_id, row.locator) for row in rows[:10]]


_PATH = "/review/{item_id:path}"
ROUTES = [
    serve(f"{_PATH}/identity", show_identity, "item_identity", role=Role.COORDINATOR, methods=("POST",)),
    serve(f"{_PATH}/bytes", show_bytes, "item_bytes", role=Role.ADMINISTRATOR, methods=("POST",)),
    serve(_PATH, show_item, "item"),
    serve(_PATH, answer_item, "answer_item", role=Role.COORDINATOR, methods=("POST",)),
]
