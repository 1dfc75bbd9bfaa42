"""The board: every participant, visit and endpoint at a glance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.responses import Response

from adapter import labels
from adapter.model import Participant
from adapter.rules.table import TableRow
from adapter.web.overview import (
    PEOPLE_ON_A_PAGE,
    SOON_DAYS,
    Overview,
    VisitOf,
    Wanted,
    endpoints_of,
    is_match,
    overview,
    rows_of,
    shows,
    standing,
)
from adapter.web.page import Page, serve

# A mark for each status, so that colour never stands alone.
MARKS: Mapping[str, str] = {
    "captured": "",
    "provisional": "○",
    "in_review": "?",
    "missing": "✕",
    "pending": "·",
    "not_expected": "–",
    labels.OUTSIDE: "↔",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell as it is shown; ``words`` are for those who hear the page, and for the pointer."""

    endpoint: str
    status: str
    text: str
    mark: str
    words: str
    match: bool


@dataclass(frozen=True, slots=True)
class Line:
    """One visit of one participant, in the board's columns."""

    visit: VisitOf
    standing: str  # of its window: open, closed, coming, unknown
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """One participant's lines."""

    study_id: str
    path: str
    remark: str
    lines: tuple[Line, ...]


def show_board(page: Page) -> Response:
    """The trial at a glance."""
    protocol, asked = page.config.protocol, page.request.query_params
    wanted = Wanted(*(asked.get(name, "").strip() for name in ("status", "visit", "endpoint", "study_id")))
    with page.store.at_one_instant():
        people = page.store.participants()
        states = page.store.cell_states([a.id for a in endpoints_of(protocol)])
    seen = overview(protocol, people, states, page.today, wanted)
    pages = max(1, -(-len(seen.found) // PEOPLE_ON_A_PAGE))
    number = _number(asked.get("page", ""), pages)
    shown = set(seen.found[(number - 1) * PEOPLE_ON_A_PAGE : number * PEOPLE_ON_A_PAGE])
    columns = [a for a in endpoints_of(protocol) if wanted.endpoint in ("", a.id)]
    return page.render(
        "board.html",
        wanted=wanted,
        seen=seen,
        blocks=_blocks(page, [p for p in people if p.study_id in shown], seen, wanted),
        columns=columns,
        endpoints=endpoints_of(protocol),
        visits=protocol.visits,
        marks=MARKS,
        statuses=(*labels.STATUSES, labels.OUTSIDE),
        labels=labels,
        enrolled=len(people),
        number=number,
        pages=pages,
        query={k: v for k, v in asked.items() if k != "page" and v},
        soon=SOON_DAYS,
    )


def _number(text: str, most: int) -> int:
    """The page asked for, if there is one of that number."""
    return min(max(1, int(text)), most) if text.isascii() and text.isdecimal() and len(text) < 9 else 1


def _blocks(page: Page, people: list[Participant], seen: Overview, wanted: Wanted) -> list[Block]:
    selections = page.store.selections_of([person.study_id for person in people])
    rows = rows_of(page.config.protocol, people, selections, page.today)
    of: dict[str, list[VisitOf]] = {}
    for visit in seen.visits:
        of.setdefault(visit.study_id, []).append(visit)
    return [
        Block(
            person.study_id,
            page.path("participant", study_id=person.study_id),
            _remark(page, person),
            tuple(
                _line(page, visit, rows[visit.study_id, visit.visit.id], wanted)
                for visit in of[person.study_id]
                if shows(visit, wanted)
            ),
        )
        for person in people
    ]


def _remark(page: Page, person: Participant) -> str:
    if person.ended_by is not None:
        return f"{labels.reason(person.ended_by, page.say)} {person.ended_on}"
    return "" if person.infused_at is not None else page.say("no infusion date yet")


def _line(page: Page, visit: VisitOf, rows: Mapping[str, TableRow], wanted: Wanted) -> Line:
    cells = [_cell(page, row, wanted) for row in rows.values() if wanted.endpoint in ("", row.endpoint)]
    return Line(visit, standing(visit.days, page.today), tuple(cells))


def _cell(page: Page, row: TableRow, wanted: Wanted) -> Cell:
    outside = labels.OUTSIDE in row.flags
    words = [labels.status(row.status, page.say), *(labels.flag(flag, page.say) for flag in row.flags)]
    marks = MARKS[row.status] + (MARKS[labels.OUTSIDE] if outside else "")
    text = ""
    if row.value_text is not None:
        grade = (row.score or {}).get("grade") or ""
        text = f"{labels.number(row.comparator, row.value_text)} {grade}".strip()
        words.insert(0, labels.number("", "", row.unit).strip())
        if row.open_items:
            words.append(page.say("with an open question"))
            marks += MARKS["in_review"]
        if "outside_query_limits" in row.flags:
            marks += "!"
    elif row.reason is not None and row.status in ("in_review", "missing"):
        words.append(labels.reason(row.reason, page.say))
    match = bool(wanted.status) and is_match(row.status, outside, wanted)
    return Cell(row.endpoint, row.status, text, marks, page.say(", ").join(filter(None, words)), match)


ROUTES = [serve("/", show_board, "board")]
