"""The story of one value: from the number to its message, who else stood for it, and what people decided."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from starlette.exceptions import HTTPException
from starlette.responses import Response

from adapter import labels
from adapter.lineage import Excerpt, Trace, show_raw, trace
from adapter.review.proposal import Proposal
from adapter.web.access import Role
from adapter.web.course import shown_time, state
from adapter.web.page import Page, serve
from adapter.web.settling import Answer, places, settling
from adapter.web.times import local_time
from adapter.words import say


def show_cell(page: Page) -> Response:
    """All that the cell follows from."""
    return _story(page, _traced(page), None)


def show_bytes(page: Page) -> Response:
    """The same with what was sent, for an administrator; that it was shown stands in the trail."""
    found = _traced(page)
    cell = found.cell
    shown = show_raw(
        page.store,
        page.house.book(),
        found.places,
        administrator=page.may(Role.ADMINISTRATOR),
        who=page.who.name,
        why=f"story of {cell.study_id} {cell.visit} {cell.endpoint} on the page",
        at=page.now,
    )
    return _story(page, found, shown)


def choose(page: Page) -> Response:
    """Let another candidate stand: what that would change, and confirmed, the decision."""
    return _decide(page, "choose", page.say("Choose the result that stands"))


def take_back(page: Page) -> Response:
    """Let a result no longer stand: what that would change, and confirmed, the decision."""
    return _decide(page, "take_back", page.say("Take the result back"))


def _decide(page: Page, action: str, title: str) -> Response:
    found, named = _traced(page), places(page)
    cell = found.cell
    if len(named) != 1:
        return _story(page, found, None, page.say("Choose one of the results."))
    (place,) = named
    if place not in {(each.row.inbox_id, each.row.locator) for each in (*found.candidates, *found.beside)}:
        return _story(page, found, None, page.say("Choose one of the results."))
    facts = {"endpoint": cell.endpoint, "visit": cell.visit}
    names = {"study_id": cell.study_id, "visit": cell.visit, "endpoint": cell.endpoint}
    records = [say(f"answer_{action}", facts, page.language.gettext)]
    answer = Answer(title, records, page.path(action, **names), page.path("cell", **names), {place})

    def propose() -> Proposal:
        if action == "choose":
            return page.desk.choose(cell.study_id, cell.visit, cell.endpoint, place)
        return page.desk.take_back(cell.study_id, place)

    return settling(page, answer, propose, lambda why: _story(page, found, None, why))


def _traced(page: Page) -> Trace:
    names, _ = page.request.path_params, page.language.gettext
    found = trace(page.store, page.house.book(), names["study_id"], names["visit"], names["endpoint"], page.now, _)
    if found is None:
        raise HTTPException(404)
    return found


@dataclass(frozen=True, slots=True)
class Event:
    """A line of a cell's history: a decision of a person (its number), or a change of the value."""

    at: str
    who: str
    why: str
    decision: int | None = None
    words: str = ""
    old: str = ""
    new: str = ""


def _events(page: Page, found: Trace) -> list[Event]:
    """What people decided and how the value changed, in one order: of one instant the decision comes first."""
    zone, _ = page.config.protocol.timezone, page.language.gettext
    decided = [
        (datetime.fromisoformat(d.at), Event(local_time(d.at, zone), d.who, d.why, d.id, each.words))
        for each in found.decisions
        for d in [each.decision]
    ]
    changed = [
        (
            datetime.fromisoformat(each.at),
            Event(
                at=local_time(each.at, zone),
                who=labels.who(each.who, _),
                why=each.why,
                old=state(each.old, _),
                new=state(each.new, _),
            ),
        )
        for each in found.history
    ]
    return [event for _at, event in sorted((*decided, *changed), key=lambda pair: pair[0])]


def _story(page: Page, found: Trace, shown: list[Excerpt] | None, failed: str | None = None) -> Response:
    visit = next(v for v in page.config.protocol.visits if v.id == found.cell.visit)
    return page.render(
        "cell.html",
        status=200 if failed is None else 409,
        failed=failed,
        found=found,
        cell=found.cell,
        analyte=page.config.protocol.analytes[found.cell.endpoint],
        visit=visit,
        message=None if found.result is None else found.message(found.result.row.inbox_id),
        base=page.path("cell", study_id=found.cell.study_id, visit=visit.id, endpoint=found.cell.endpoint),
        shown=shown,
        labels=labels,
        events=_events(page, found),
        shown_time=shown_time,
        local_time=local_time,
        zone=page.config.protocol.timezone,
    )


_PATH = "/participants/{study_id}/{visit}/{endpoint}"
ROUTES = [
    serve(_PATH, show_cell, "cell"),
    serve(f"{_PATH}/choose", choose, "choose", role=Role.COORDINATOR, methods=("POST",)),
    serve(f"{_PATH}/take_back", take_back, "take_back", role=Role.COORDINATOR, methods=("POST",)),
    serve(f"{_PATH}/bytes", show_bytes, "cell_bytes", role=Role.ADMINISTRATOR, methods=("POST",)),
]
