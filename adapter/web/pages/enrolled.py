"""One participant of the roster: what is known, correcting it, the infusion, the end of the observation, the identity.

What a change of the infusion date would move is shown before it is made, and made only as it was shown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime
from zoneinfo import ZoneInfo

from starlette.exceptions import HTTPException
from starlette.responses import Response

from adapter import labels
from adapter.model import Identifier, Participant
from adapter.reprocess import Rehearsal, rehearse
from adapter.review.roster import is_date, wrong_facts
from adapter.rules.match import sex_of
from adapter.rules.windows import infusion, window
from adapter.store import IdentifierTaken
from adapter.web.access import Role
from adapter.web.carried import seen
from adapter.web.moved import moved, visit_label
from adapter.web.page import Page, serve
from adapter.web.pages.roster import FORM_IS_OTHER, infused_text
from adapter.web.signed import signed_visits
from adapter.web.times import TimeRefused, time_of

ENDINGS = ("withdrawn", "died", "transplanted")
_ALWAYS = frozenset({"csrf", "reason"})
_REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class WindowMoves:
    """One visit's target and window before and after; "" where there is no infusion date."""

    label: str
    was: str
    becomes: str


def known(page: Page) -> Participant:
    """The participant of the path. Raises HTTPException where nobody of this study id is enrolled."""
    found = page.store.participant(page.request.path_params["study_id"])
    if found is None:
        raise HTTPException(404)
    return found


def show(page: Page) -> Response:
    """What is known of a participant, but for the identity."""
    return _one(page)


def _one(
    page: Page, *, failed: str | None = None, done: str | None = None, identity: Participant | None = None
) -> Response:
    person, protocol = known(page), page.config.protocol
    infused = infused_text(person.infused_at, protocol.timezone)
    day, _, time = infused.partition(" ")
    return page.render(
        "enrolled.html",
        labels=labels,
        status=422 if failed else 200,
        person=person,
        infused=infused,
        day=day,
        time=time,
        windows=_windows(page, None, person.infused_at),
        authorities=sorted(i.authority for i in person.identifiers),
        signed=signed_visits(protocol, page.store.decisions(), page.store.selections(person.study_id), person.study_id),
        endings=ENDINGS,
        identity=identity,
        failed=failed,
        done=done,
    )


# --- the infusion -----------------------------------------------------------------------------------------------------


def infuse(page: Page) -> Response:
    """Enter or correct the time of infusion: first what that moves, then, confirmed, the change."""
    if _is_other(page, "day", "time", "seen"):
        return _one(page, failed=page.say(FORM_IS_OTHER))
    person = known(page)
    try:
        entered = time_of(page.text("day"), page.text("time"), page.config.protocol.timezone) or None
    except TimeRefused as refused:
        return _one(page, failed=page.say(str(refused)))
    if _same(person.infused_at, entered):
        return _one(page, done=page.say("That is the time of infusion already; nothing changed."))
    rehearsal = rehearse(
        page.store,
        page.house.book(),
        page.now,
        infused={person.study_id: entered},
        scopes=[person.study_id],
    )
    moves = moved(page, rehearsal.changes)
    shown = seen(person.infused_at, entered, [str(move) for move in moves])
    failed = None
    if page.text("seen") == shown:
        if page.text("reason"):
            return _infused(page, person, entered)
        failed = page.say("Give the reason; it is kept in the trail.")
    elif page.text("seen"):
        failed = page.say("Something changed since this was shown. Look again.")
    return page.render(
        "infusion.html",
        status=422 if failed else 200,
        failed=failed,
        person=person,
        was=infused_text(person.infused_at, page.config.protocol.timezone),
        becomes=infused_text(entered, page.config.protocol.timezone),
        windows=_windows(page, person.infused_at, entered),
        moves=moves,
        counts=rehearsal.counts,
        reopened=_reopened(page, person.study_id, rehearsal),
        seen=shown,
    )


def _reopened(page: Page, study_id: str, rehearsal: Rehearsal) -> list[str]:
    """The visits that are signed off and would be open again."""
    protocol, decisions = page.config.protocol, page.store.decisions()
    would_be = [row for derived, _ in rehearsal.derived for row in derived.selections]
    before = signed_visits(protocol, decisions, page.store.selections(study_id), study_id)
    after = signed_visits(protocol, decisions, would_be, study_id)
    pairs = zip(before, after, strict=True)
    return [page.say(then.label) for now, then in pairs if now.state == "signed" != then.state]


def _infused(page: Page, person: Participant, entered: str | None) -> Response:
    with page.store.write() as tx:
        now = tx.participant(person.study_id)
        if now is None or now.infused_at != person.infused_at:
            return _one(page, failed=page.say("Somebody else changed it meanwhile. Look again."))
        tx.put_participant(replace(now, infused_at=entered), page.who.name, page.text("reason"), page.now)
    page.settle()
    return _one(page, done=page.say("The time of infusion is changed, and everything is aligned again."))


def _same(before: str | None, after: str | None) -> bool:
    """Equal as entered, or the same instant written with another offset."""
    if before == after or before is None or after is None or is_date(before) or is_date(after):
        return before == after
    return datetime.fromisoformat(before) == datetime.fromisoformat(after)


def _windows(page: Page, before: str | None, after: str | None) -> list[WindowMoves]:
    protocol = page.config.protocol
    return [
        WindowMoves(
            visit_label(page, visit.id),
            *(_window(page, visit.id, infused_at) for infused_at in (before, after)),
        )
        for visit in protocol.visits
    ]


def _window(page: Page, visit_id: str, infused_at: str | None) -> str:
    protocol = page.config.protocol
    infused = infusion(infused_at, ZoneInfo(protocol.timezone))
    if infused is None:
        return ""
    visit = next(v for v in protocol.visits if v.id == visit_id)
    target, first, last = window(visit, infused.on)
    return page.say("{target} ({first} to {last})", target=target, first=first, last=last)


# --- the end, and the identity ----------------------------------------------------------------------------------------


def end(page: Page) -> Response:
    """Record a withdrawal, death or transplantation, correct it, or take it back."""
    if _is_other(page, "ended_by", "ended_on"):
        return _one(page, failed=page.say(FORM_IS_OTHER))
    because, on = page.text("ended_by"), page.text("ended_on")
    if because not in (*ENDINGS, ""):
        return _one(page, failed=page.say("Choose what ended the observation."))
    if because and not is_date(on):
        return _one(page, failed=page.say("The day it ended is no date: write it as 2026-03-01."))
    ended_on = date.fromisoformat(on) if because else None
    if ended_on is not None and ended_on > page.today:
        return _one(page, failed=page.say("The day it ended lies in the future. Enter it when it has come."))
    return _change(page, lambda now: replace(now, ended_on=ended_on, ended_by=because or None))


def correct(page: Page) -> Response:
    """Correct what is checked against each message: birth date and sex; what is left empty stays."""
    if _is_other(page, "birth_date", "no_birth_date", "sex"):
        return _one(page, failed=page.say(FORM_IS_OTHER))
    birth_date, sex = page.text("birth_date"), page.text("sex")
    if list(wrong_facts("", birth_date, "" if sex == _REMOVED else sex)):
        return _one(page, failed=page.say("The birth date is no date, or the sex neither M nor F: write 1970-01-31."))

    def corrected(now: Participant) -> Participant:
        if birth_date or page.text("no_birth_date"):
            now = replace(now, birth_date=birth_date or None)
        return replace(now, sex=sex_of(sex)) if sex else now

    return _change(page, corrected)


def add_identifier(page: Page) -> Response:
    """A further number of the patient."""
    if _is_other(page, "identifier", "authority"):
        return _one(page, failed=page.say(FORM_IS_OTHER))
    number = Identifier(page.text("identifier"), page.text("authority"))
    if not number.value or not number.authority:
        return _one(page, failed=page.say("Give the number and its assigning authority."))
    return _change(page, lambda now: replace(now, identifiers=(*now.identifiers, number)))


def remove_identifier(page: Page) -> Response:
    """A number that is not the patient's after all."""
    if _is_other(page, "identifier", "authority"):
        return _one(page, failed=page.say(FORM_IS_OTHER))
    number = Identifier(page.text("identifier"), page.text("authority"))
    person = known(page)
    if number not in person.identifiers:
        return _one(page, failed=page.say("The participant has no such number of this authority."))
    if len(person.identifiers) == 1:
        return _one(page, failed=page.say("It is the only number: without one no result finds the participant."))
    return _change(page, lambda now: now, gone=number)


def _change(page: Page, change: Callable[[Participant], Participant], *, gone: Identifier | None = None) -> Response:
    """Write what is another and derive what follows; never without a reason."""
    why = page.text("reason")
    if not why:
        return _one(page, failed=page.say("Give the reason; it is kept in the trail."))
    try:
        with page.store.write() as tx:
            now = tx.participant(known(page).study_id)
            assert now is not None  # nobody is ever taken off the roster
            changed = tx.put_participant(change(now), page.who.name, why, page.now)
            if gone in now.identifiers and gone is not None:
                tx.remove_identifier(now.study_id, gone, page.who.name, why, page.now)
                changed = True
    except IdentifierTaken:
        return _one(page, failed=page.say("This number is another participant's already. Is it the same person?"))
    if not changed:
        return _one(page, done=page.say("That is known already; nothing changed."))
    page.settle()
    return _one(page, done=page.say("It is changed, and what follows from it is derived."))


def reveal(page: Page) -> Response:
    """The numbers, birth date and sex, once, to those who may; the trail says who looked."""
    person = known(page)
    with page.store.write() as tx:
        tx.record("identity viewed", person.study_id, who=page.who.name, at=page.now, why="asked for on the page")
    return _one(page, identity=person)


def _is_other(page: Page, *fields: str) -> bool:
    return not set(page.form.keys()) <= _ALWAYS | set(fields)


_MAY = Role.COORDINATOR
ROUTES = [
    serve("/roster/{study_id}", show, "enrolled"),
    serve("/roster/{study_id}/infusion", infuse, "infuse", role=_MAY, methods=("POST",)),
    serve("/roster/{study_id}/end", end, "end_observation", role=_MAY, methods=("POST",)),
    serve("/roster/{study_id}/facts", correct, "correct_facts", role=_MAY, methods=("POST",)),
    serve("/roster/{study_id}/identifier", add_identifier, "add_identifier", role=_MAY, methods=("POST",)),
    serve("/roster/{study_id}/identifier/remove", remove_identifier, "remove_identifier", role=_MAY, methods=("POST",)),
    serve("/roster/{study_id}/identity", reveal, "reveal_identity", role=_MAY, methods=("POST",)),
]
