"""The roster: who is enrolled, enrolling one, and enrolling from a file. Identifiers are never listed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from starlette.responses import Response

from adapter import labels
from adapter.model import Participant
from adapter.reprocess import rehearse
from adapter.review.enrol import Plan, as_enrolled, enrol, plan, read_file, unheard_of
from adapter.review.roster import COLUMNS, is_date, read_person
from adapter.review.rows import RowsError, marked
from adapter.store import UNASSIGNED, IdentifierTaken
from adapter.web.access import Role
from adapter.web.carried import Carried, NoFile, carried, seen
from adapter.web.moved import Moved, moved
from adapter.web.page import Page, serve
from adapter.web.times import TimeRefused, time_of

_A_PAGE = 100
# What stands in the forms of the roster. There is no field for an arm or a route: the study is blinded.
_FIELDS = frozenset({"csrf", "study_id", "identifier", "authority", "day", "time", "birth_date", "sex", "reason"})
FORM_IS_OTHER = marked("The form brought a field that it does not have. Nothing was read: the study is blinded.")


# What a file calls a column is a field of the form, with a label.
_LABELS = {
    "study_id": ("study_id", marked("Study id")),
    "identifier": ("identifier", marked("The patient's number")),
    "authority": ("authority", marked("Its assigning authority")),
    "infused_at": ("day", marked("Infusion")),
    "birth_date": ("birth_date", marked("Birth date")),
    "sex": ("sex", marked("Sex")),
}


@dataclass(frozen=True, slots=True)
class Enrolled:
    """One line of the roster; times in the trial's time zone."""

    study_id: str
    infused: str
    ended_by: str | None
    ended_on: str
    authorities: str
    captured: int
    in_review: int


def show(page: Page) -> Response:
    """Who is enrolled, a page at a time; narrowed to study ids that hold a text where asked."""
    return _list(page)


def _list(page: Page, *, done: str | None = None, warnings: Sequence[str] = ()) -> Response:
    wanted = page.request.query_params.get("find", "").strip()
    asked = page.request.query_params.get("page", "")
    people = [p for p in page.store.participants() if wanted.casefold() in p.study_id.casefold()]
    last = max(1, -(-len(people) // _A_PAGE))
    at = max(1, min(int(asked[:9]), last)) if asked.isascii() and asked.isdigit() else 1
    return page.render(
        "roster.html",
        labels=labels,
        people=_lines(page, people[(at - 1) * _A_PAGE : at * _A_PAGE]),
        count=len(people),
        wanted=wanted,
        at=at,
        last=last,
        done=done,
        warnings=warnings,
    )


def _lines(page: Page, people: Sequence[Participant]) -> list[Enrolled]:
    """``people`` as lines, with how many endpoints of theirs have a value and how many wait for an answer."""
    counts = Counter[tuple[str, str]]()
    shown = [a.id for a in page.config.protocol.analytes.values() if not a.supporting]
    for study_id, _visit, _endpoint, status, _outside in page.store.cell_states(shown, [p.study_id for p in people]):
        counts[study_id, status] += 1
    return [
        Enrolled(
            p.study_id,
            infused_text(p.infused_at, page.config.protocol.timezone),
            p.ended_by,
            p.ended_on.isoformat() if p.ended_on else "",
            ", ".join(sorted({i.authority for i in p.identifiers})),
            counts[p.study_id, "captured"] + counts[p.study_id, "provisional"],
            counts[p.study_id, "in_review"],
        )
        for p in people
    ]


def infused_text(infused_at: str | None, timezone: str) -> str:
    """The date, or date and time, of an infusion as it is shown: in the trial's time zone; "" where there is none."""
    if infused_at is None or is_date(infused_at):
        return infused_at or ""
    at = datetime.fromisoformat(infused_at).astimezone(ZoneInfo(timezone)).replace(tzinfo=None)
    return at.isoformat(sep=" ", timespec="seconds" if at.second else "minutes")


# --- one participant --------------------------------------------------------------------------------------------------


def show_enrol(page: Page) -> Response:
    """The form to enrol one participant, and the one to choose a file."""
    return _enrol(page)


def do_enrol(page: Page) -> Response:
    """Enrol one participant; what came before is gone, what comes from now on counts."""
    if not set(page.form.keys()) <= _FIELDS:
        return _enrol(page, page.say(FORM_IS_OTHER))
    study_id = page.text("study_id")
    try:
        infused = time_of(page.text("day"), page.text("time"), page.config.protocol.timezone)
        person = read_person(
            study_id,
            page.text("identifier"),
            page.text("authority"),
            infused,
            page.text("birth_date"),
            page.text("sex"),
        )
        with page.store.write() as tx:
            if tx.participant(study_id) is not None:
                known = page.say("{study_id} is enrolled already; correct it there.", study_id=study_id)
                return _enrol(page, faults={"study_id": known})
            enrol(tx, [person], page.who.name, page.text("reason") or "enrolled", page.now)
    except TimeRefused as refused:
        return _enrol(page, faults={refused.field: page.say(str(refused))})
    except RowsError as error:
        return _enrol(page, faults=by_field(page, ((p.column, p.remedy) for p in error.problems)))
    except IdentifierTaken:
        taken = page.say("This number is another participant's already. Is it the same person?")
        return _enrol(page, faults={"identifier": taken})
    page.settle()
    said = page.say("{study_id} is enrolled, from the next message on.", study_id=study_id)
    return _list(page, done=said, warnings=unknown(page, [person]))


def unknown(page: Page, people: Sequence[Participant]) -> list[str]:
    """A warning for each assigning authority that nothing else here knows: misspelt, it never finds a result."""
    names, known = unheard_of(people, page.store.participants(), page.house.book().sources.values())
    text = marked(
        "No source is configured with the assigning authority {authority}, and nobody else has a number of it. Is it "
        "written right? Known are: {known}."
    )
    return [page.say(text, authority=name, known=", ".join(known)) for name in names]


def _enrol(page: Page, failed: str | None = None, faults: Mapping[str, str] | None = None) -> Response:
    return page.render(
        "enrol.html",
        status=422 if failed or faults else 200,
        failed=failed,
        faults=faults or {},
        authorities=sorted({s.authority for s in page.house.book().sources.values() if s.authority}),
        columns=COLUMNS,
    )


def by_field(page: Page, wrong: Iterable[tuple[str, str]]) -> dict[str, str]:
    """What to write instead of what was refused, by its field; ``wrong`` are columns with their remedies."""
    found = {}
    for column, remedy in wrong:
        field, label = _LABELS[column]
        found[field] = page.say(": ").join((page.say(label), page.say(remedy)))
    return found


def told(page: Page, error: RowsError) -> list[str]:
    """What is wrong with what was entered, in the caller's language."""
    return ["; ".join(problem.told(page.language.gettext)) for problem in error.problems]


# --- a file -----------------------------------------------------------------------------------------------------------


def import_(page: Page) -> Response:
    """What a file would change; then, when that was confirmed, the change."""
    try:
        file = carried(page)
        people = read_file(page.store, file.lines)
    except NoFile as error:
        return _enrol(page, page.say(str(error)))
    except RowsError as error:
        return page.render("import_refused.html", status=422, back="enrol", problems=error.problems)
    planned = plan(page.store, people)
    moves = _moves(page, planned, people)
    shown = seen([str(row) for row in planned.rows], [str(move) for move in moves])
    if page.text("seen") != shown:
        changed = page.say("Something changed since this was shown. Look again.") if page.text("seen") else None
        return _preview(page, file, people, planned, moves, shown, changed)
    why = page.text("reason")
    if not why:
        return _preview(
            page, file, people, planned, moves, shown, page.say("Give the reason; it is kept in the trail.")
        )
    with page.store.write() as tx:
        if plan(tx, people) != planned:
            tell = page.say("Something changed since this was shown. Look again.")
            return _preview(page, file, people, planned, moves, "", tell)
        count = enrol(tx, people, page.who.name, why, page.now)
    page.settle()
    return _list(page, done=page.say("{count} participants of the file were enrolled or changed.", count=count))


def _moves(page: Page, planned: Plan, people: Iterable[Participant]) -> list[Moved]:
    """The values of who is enrolled that other infusion dates, birth dates, sexes or more identifiers would change."""
    changed = {row.study_id for row in planned.rows if not row.is_new}
    enrolled = [as_enrolled(page.store, person) for person in people if person.study_id in changed]
    if not enrolled:
        return []
    scopes = {*changed, UNASSIGNED}
    return moved(page, rehearse(page.store, page.house.book(), page.now, enrolled=enrolled, scopes=scopes).changes)


def _preview(
    page: Page,
    file: Carried,
    people: Sequence[Participant],
    planned: Plan,
    moves: Sequence[Moved],
    shown: str,
    failed: str | None,
) -> Response:
    return page.render(
        "roster_import.html",
        status=422 if failed else 200,
        failed=failed,
        plan=planned,
        new=sum(row.is_new for row in planned.rows),
        warnings=unknown(page, people),
        moves=moves,
        packed=file.packed,
        seen=shown,
    )


ROUTES = [
    serve("/roster", show, "roster"),
    serve("/enrol", show_enrol, "enrol", role=Role.COORDINATOR),
    serve("/enrol", do_enrol, "do_enrol", role=Role.COORDINATOR, methods=("POST",)),
    serve("/enrol/file", import_, "import_roster", role=Role.COORDINATOR, methods=("POST",)),
]
