"""One participant: facts, visits, a plot for each analyte with every result beneath it, scores, history."""

from __future__ import annotations

from functools import partial
from zoneinfo import ZoneInfo

from starlette.responses import Response

from adapter import labels
from adapter.pipeline import derive_snapshot
from adapter.rules.match import Roster
from adapter.rules.table import table
from adapter.rules.windows import infusion, window
from adapter.web.course import Known, courses, history
from adapter.web.moved import visit_label
from adapter.web.overview import standing
from adapter.web.page import Page, serve
from adapter.web.pages.board import MARKS
from adapter.web.pages.enrolled import known as enrolled
from adapter.web.pages.roster import infused_text
from adapter.web.signed import signed_visits

_MOST_CHANGES = 60


def show_participant(page: Page) -> Response:
    """All that is known of one participant's values. An identity is shown on the roster's page alone, on request."""
    person, store, protocol = enrolled(page), page.store, page.config.protocol
    study_id = person.study_id
    with store.at_one_instant():
        snapshot, roster = store.snapshot(study_id), Roster(store.participants())
        selections, placements, results = (
            store.selections(study_id),
            store.placements(study_id),
            store.results(study_id),
        )
        items = {s.item.id: s.item for s in store.open_items()}
        changes = store.value_changes(study_id, _MOST_CHANGES)
    derived = derive_snapshot(snapshot, roster, page.house.book(), page.today)
    rows = list(table(protocol, [person], selections, page.today, supporting=True))
    # Another formula of a score stands beside it and has no cell, and so no story, of its own.
    shown = {r.endpoint for r in rows}
    known = Known(protocol, person, results, placements, items, derived.steps)
    infused = infusion(person.infused_at, ZoneInfo(protocol.timezone))
    days = {v.id: None if infused is None else window(v, infused.on) for v in protocol.visits}
    return page.render(
        "participant.html",
        person=person,
        infused=infused,
        infused_at=infused_text(person.infused_at, protocol.timezone),
        visits=protocol.visits,
        days=days,
        standing=standing,
        endpoints=[a for a in protocol.analytes.values() if not a.supporting],
        cells={(r.visit, r.endpoint): r for r in rows},
        signed={s.visit: s for s in signed_visits(protocol, snapshot.decisions, selections, study_id)},
        assessments=snapshot.assessments,
        courses=courses(known, rows, page.say),
        scores=[r for r in rows if r.score is not None],
        changes=list(history(changes, shown, protocol.timezone, page.say)),
        marks=MARKS,
        labels=labels,
        visit_label=partial(visit_label, page),
        zone=protocol.timezone,
    )


ROUTES = [serve("/participants/{study_id}", show_participant, "participant")]
