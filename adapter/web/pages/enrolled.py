"""One participant of the roster: what is known, correcting it, the infusion, the end of the observation, the identity.

What a correction would change is shown before it is made, and made only as it was shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from zoneinfo import ZoneInfo

from starlette.exceptions import HTTPException
from starlette.responses import Response

from adapter import labels
from adapter.model import Identifier, Participant
from adapter.review.roster import is_date, wrong_facts
from adapter.rules.match import sex_of
from adapter.rules.windows import infusion, window
from adapter.web.access import Role
from adapter.web.correcting import Correction, WindowMoves, correcting
from adapter.web.moved import visit_label
from adapter.web.page import Page, serve
from adapter.web.pages.roster import FORM_IS_OTHER, by_field, infused_text, unknown
from adapter.web.signed import signed_visits
from adapter.web.times import TimeRefused, time_of

ENDINGS = ("withdrawn", "died", "transplanted")
_ALWAYS = frozenset({"csrf", "reason"})
_REMOVED = "removed"


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
    page: Page,
    *,
    failed: str | None = None,
    faults: Mapping[str, str] | None = None,
    done: str | None = None,
    identity: Participant | None = None,
) -> Response:
    person, protocol = known(page), page.config.protocol
    infused = infused_text(person.infused_at, protocol.timezone)
    day, _, time = infused.partition(" ")
    refused = bool(failed or faults)

    def kept(name: str, otherwise: object = None) -> str:
        """What was typed into a form that was refused, else what is known."""
        return page.text(name) if refused and name in page.form else str(otherwise or "")

    return page.render(
        "enrolled.html",
        labels=labels,
        status=422 if refused else 200,
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
        faults=faults or {},
        kept=kept,
        done=done,
    )


# --- the infusion -----------------------------------------------------------------------------------------------------


def infuse(page: Page) -> Response:
    """Enter or correct the time of infusion."""
    if _is_other(page, "day", "time", "seen"):
        return _one(page, failed=page.say(FORM_IS_OTHER))
    person, zone = known(page), page.config.protocol.timezone
    try:
        entered = time_of(page.text("day"), page.text("time"), zone) or None
    except TimeRefused as refused:
        return _one(page, faults={refused.field: page.say(str(refused))})
    if _same(person.infused_at, entered):
        return _one(page, done=page.say("That is the time of infusion already; nothing changed."))
    was, becomes = (infused_text(at, zone) or page.say("not entered") for at in (person.infused_at, entered))
    said = page.say("{was} becomes {now}", was=was, now=becomes)
    return _correct(
        page,
        replace(person, infused_at=entered),
        "infuse",
        page.say("Change the time of infusion"),
        [f"{said} ({zone})"],
        done=page.say("The time of infusion is changed, and everything is aligned again."),
        windows=_windows(page, person.infused_at, entered),
    )


def _correct(
    page: Page,
    after: Participant,
    route: str,
    title: str,
    records: Sequence[str],
    *,
    done: str = "",
    gone: Identifier | None = None,
    windows: Sequence[WindowMoves] = (),
) -> Response:
    done = done or page.say("It is changed, and what follows from it is derived.")
    made = Correction(route, title, records, done, known(page), after, gone, windows)
    if made.is_nothing:
        return _one(page, done=page.say("That is known already; nothing changed."))
    return correcting(page, made, lambda failed, said: _one(page, failed=failed, done=said))


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
    if _is_other(page, "ended_by", "ended_on", "seen"):
        return _one(page, failed=page.say(FORM_IS_OTHER))
    because, on = page.text("ended_by"), page.text("ended_on")
    if because not in (*ENDINGS, ""):
        return _one(page, faults={"ended_by": page.say("Choose what ended the observation.")})
    if because and not is_date(on):
        return _one(page, faults={"ended_on": page.say("The day it ended is no date: write it as 2026-03-01.")})
    ended_on = date.fromisoformat(on) if because else None
    if ended_on is not None and ended_on > page.today:
        said = page.say("The day it ended lies in the future. Enter it when it has come.")
        return _one(page, faults={"ended_on": said})
    after = replace(known(page), ended_on=ended_on, ended_by=because or None)
    how = labels.reason(because, page.language.gettext)
    said = page.say("{how} on {day}", how=how, day=on) if because else page.say("The observation goes on.")
    return _correct(page, after, "end_observation", page.say("Record the end of the observation"), [said])


def correct(page: Page) -> Response:
    """Correct what is checked against each message: birth date and sex; what is left empty stays."""
    if _is_other(page, "birth_date", "no_birth_date", "sex", "seen"):
        return _one(page, failed=page.say(FORM_IS_OTHER))
    birth_date, sex, after = page.text("birth_date"), page.text("sex"), known(page)
    wrong = list(wrong_facts("", birth_date, "" if sex == _REMOVED else sex))
    if wrong:
        return _one(page, faults=by_field(page, ((column, remedy) for column, _, remedy in wrong)))
    said = []
    if birth_date or page.text("no_birth_date"):
        after = replace(after, birth_date=birth_date or None)
        said.append(page.say("The birth date becomes the one you wrote.") if birth_date else page.say("No birth date."))
    if sex:
        after = replace(after, sex=sex_of(sex))
        said.append(page.say("No sex.") if sex == _REMOVED else page.say("The sex becomes the one you chose."))
    return _correct(page, after, "correct_facts", page.say("Correct birth date and sex"), said)


def add_identifier(page: Page) -> Response:
    """A further number of the patient."""
    if _is_other(page, "identifier", "authority", "seen"):
        return _one(page, failed=page.say(FORM_IS_OTHER))
    person, number = known(page), Identifier(page.text("identifier"), page.text("authority"))
    if not number.value or not number.authority:
        wanted = page.say("Give the number and its assigning authority.")
        return _one(page, faults={"authority" if number.value else "identifier": wanted})
    after = replace(person, identifiers=tuple(dict.fromkeys((*person.identifiers, number))))
    said = [
        page.say("A number of {authority} is added.", authority=number.authority),
        *unknown(page, [replace(person, identifiers=(number,))]),
    ]
    return _correct(page, after, "add_identifier", page.say("Add the number"), said)


def remove_identifier(page: Page) -> Response:
    """A number that is not the patient's after all."""
    if _is_other(page, "identifier", "authority", "seen"):
        return _one(page, failed=page.say(FORM_IS_OTHER))
    number = Identifier(page.text("identifier"), page.text("authority"))
    person = known(page)
    if number not in person.identifiers:
        return _one(page, faults={"identifier": page.say("The participant has no such number of this authority.")})
    if len(person.identifiers) == 1:
        only = page.say("It is the only number: without one no result finds the participant.")
        return _one(page, faults={"identifier": only})
    after = replace(person, identifiers=tuple(each for each in person.identifiers if each != number))
    said = page.say("A number of {authority} is taken away.", authority=number.authority)
    return _correct(page, after, "remove_identifier", page.say("Remove the number"), [said], gone=number)


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
