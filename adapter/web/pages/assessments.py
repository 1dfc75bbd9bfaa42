"""What clinicians assessed of a participant: every version of it, entering and correcting, one day or a file.

They are inputs of the scores: what was saved is answered with the scores that are another since.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from starlette.responses import Response

from adapter import labels
from adapter.model import Assessment, SelectionRow
from adapter.retold import retold
from adapter.review.assessments import COLUMNS, Plan, enter, plan, read_entry, read_file
from adapter.review.rows import RowsError
from adapter.rules.assess import ITEMS
from adapter.web.access import Role
from adapter.web.carried import Carried, NoFile, carried, seen
from adapter.web.moved import Moved, scores_moved
from adapter.web.page import Page, serve
from adapter.web.pages.enrolled import known
from adapter.web.pages.roster import FORM_IS_OTHER, told

_FIELDS = frozenset({"csrf", "assessed_on", "reason", *ITEMS})


@dataclass(frozen=True, slots=True)
class Version:
    """One entry as it is shown; ``at`` in the trial's time zone. ``state``: stands, replaced or taken_back."""

    entry: Assessment
    at: str
    why: str
    state: str


def show(page: Page) -> Response:
    """Every entry of a participant, and the form for another."""
    return _one(page)


def _one(
    page: Page,
    *,
    failed: Sequence[str] = (),
    done: str | None = None,
    scores: Sequence[Moved] | None = None,
    conflict: bool = False,
) -> Response:
    person = known(page)
    return page.render(
        "assessments.html",
        labels=labels,
        status=422 if failed else 200,
        person=person,
        versions=_versions(page, person.study_id),
        items=ITEMS,
        given={name: page.text(name) for name in _FIELDS} if failed else dict.fromkeys(_FIELDS, ""),
        failed=failed,
        conflict=conflict,
        done=done,
        scores=scores,
    )


def _versions(page: Page, study_id: str) -> list[Version]:
    """The newest day first, within a day the newest entry."""
    zone, standing = ZoneInfo(page.config.protocol.timezone), {each.id for each in page.store.assessments(study_id)}
    entries = page.store.assessments(study_id, every=True)
    last = {each.assessed_on: each.id for each in entries}
    found = []
    for each in sorted(entries, key=lambda e: (e.assessed_on, e.id), reverse=True):
        at = datetime.fromisoformat(each.at).astimezone(zone).isoformat(sep=" ", timespec="minutes")[:16]
        state = "stands" if each.id in standing else "taken_back" if last[each.assessed_on] == each.id else "replaced"
        found.append(Version(each, at, retold(each.why, page.language.gettext), state))
    return found


def add(page: Page) -> Response:
    """Enter one day's assessment, whole; where one stands it is corrected, which needs a reason."""
    person = known(page)
    if not set(page.form.keys()) <= _FIELDS:
        return _one(page, failed=[page.say(FORM_IS_OTHER)])
    items = {name: page.text(name) or None for name in ITEMS}
    try:
        entry = read_entry(person.study_id, page.text("assessed_on"), items, [person], page.today)
        if not any(items.values()) and plan(page.store, [entry]).unchanged:
            return _one(page, failed=[page.say("Say what was assessed: at least one of the three.")])
        before = page.store.selections(person.study_id)
        planned = plan(page.store, [entry])
        if planned.corrections and not page.text("reason"):
            return _one(
                page, failed=[each.told(page.language.gettext)[0] for each in planned.corrections], conflict=True
            )
        done = enter(page.store, [entry], who=page.who.name, why=page.text("reason"), at=page.now)
    except RowsError as error:
        return _one(page, failed=told(page, error))
    if done.unchanged:
        return _one(page, done=page.say("That stands already; nothing changed."))
    page.settle()
    said = page.say("The assessment of {day} is entered.", day=entry.assessment.assessed_on)
    return _one(page, done=said, scores=scores_moved(page, before, page.store.selections(person.study_id)))


# --- a file -----------------------------------------------------------------------------------------------------------


def show_import(page: Page) -> Response:
    """The form to choose a file."""
    return _choose(page)


def _choose(page: Page, failed: str | None = None, done: str | None = None, scores: Sequence[Moved] = ()) -> Response:
    status = 422 if failed else 200
    return page.render(
        "assessments_file.html",
        labels=labels,
        status=status,
        failed=failed,
        done=done,
        scores=scores,
        columns=COLUMNS,
        items=ITEMS,
    )


def import_(page: Page) -> Response:
    """What a file would enter and correct; then, when that was confirmed, the entries."""
    try:
        file = carried(page)
        entries = read_file(file.lines, page.store.participants(), page.today)
        planned = plan(page.store, entries)
        shown = seen(file.packed, str(planned))
        if page.text("seen") != shown:
            changed = page.say("Something changed since this was shown. Look again.") if page.text("seen") else None
            return _preview(page, file, planned, shown, changed)
        if planned.corrections and not page.text("reason"):
            why = page.say("The file corrects what stands: give the reason; it is kept in the trail.")
            return _preview(page, file, planned, shown, why)
        concerned = {entry.assessment.study_id for entry in entries}
        before = _cells(page, concerned)
        done = enter(page.store, entries, who=page.who.name, why=page.text("reason"), at=page.now)
    except NoFile as error:
        return _choose(page, failed=page.say(str(error)))
    except RowsError as error:
        return page.render("import_refused.html", status=422, back="assessments_file", problems=error.problems)
    page.settle()
    said = page.say("{new} entered, {corrected} corrected.", new=len(done.new), corrected=len(done.corrections))
    return _choose(page, done=said, scores=scores_moved(page, before, _cells(page, concerned)))


def _cells(page: Page, people: set[str]) -> list[SelectionRow]:
    return [row for study_id in sorted(people) for row in page.store.selections(study_id)]


def _preview(page: Page, file: Carried, planned: Plan, shown: str, failed: str | None) -> Response:
    return page.render(
        "assessments_import.html",
        labels=labels,
        status=422 if failed else 200,
        failed=failed,
        plan=planned,
        items=ITEMS,
        packed=file.packed,
        seen=shown,
    )


_MAY = Role.COORDINATOR
ROUTES = [
    serve("/roster/{study_id}/assessments", show, "assessments"),
    serve("/roster/{study_id}/assessments", add, "add_assessment", role=_MAY, methods=("POST",)),
    serve("/assessments/file", show_import, "assessments_file", role=_MAY),
    serve("/assessments/file", import_, "import_assessments", role=_MAY, methods=("POST",)),
]
