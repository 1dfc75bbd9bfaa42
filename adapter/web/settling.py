"""Deciding on a page: first exactly what a decision would change, then, confirmed with its reason, the decision.

What is made is what was shown: where that is no longer what would happen, it is shown again and nothing is made.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from starlette.responses import Response

from adapter import labels, words
from adapter.model import ResultRow
from adapter.reprocess import NotDerivable, Rehearsal
from adapter.retold import retold
from adapter.review.desk import DecisionRefused
from adapter.review.proposal import Place, Proposal
from adapter.review.rows import marked
from adapter.web.carried import seen
from adapter.web.course import fate, shown_time
from adapter.web.moved import moved
from adapter.web.page import Page

_IN_BETWEEN = marked("The rules are being changed at this moment. Try again in a minute.")
_CHANGED = marked("Something changed since this was shown. Look again.")
_NO_REASON = marked("Give the reason; it is kept in the trail.")
_MOST_SENTENCES = 20
_MOST_FATES = 20
#: Fields of every form that are no part of the answer.
_OWN = frozenset({"csrf", "reason", "seen", "confirm"})


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer on its way: what it is called, what it records, where its form goes and where one comes back to.

    ``about`` are the results that it is given for.
    """

    title: str
    records: Sequence[str]
    form: str
    back: str
    about: Collection[Place] = ()


@dataclass(frozen=True, slots=True)
class Fate:
    """What would become of one result."""

    row: ResultRow
    words: str
    chosen: bool


def settling(
    page: Page, answer: Answer, propose: Callable[[], Proposal], refused: Callable[[str], Response]
) -> Response:
    """The preview of what is proposed; confirmed, the decision and what it did. ``refused`` shows why it cannot be."""
    after = len(page.store.decisions())
    try:
        proposal = propose()
        found = page.desk.preview(proposal)
    except DecisionRefused as error:
        return refused(error.told(page.language.gettext))
    except NotDerivable as error:
        return refused(retold(str(error), page.language.gettext))
    if found.adopts:
        return refused(page.say(_IN_BETWEEN))
    moves = moved(page, found.changes)
    shown = seen(proposal.decisions, proposal.erases, [str(move) for move in moves], str(found.counts))
    failed = None
    if page.text("confirm"):
        if page.text("seen") != shown:
            failed = _CHANGED
        elif not page.text("reason"):
            failed = _NO_REASON
        else:
            return _decide(page, answer, proposal, found, after, refused)
    return page.render(
        "preview.html",
        status=200 if failed is None else 422,
        failed=None if failed is None else page.say(failed),
        answer=answer,
        recorded=_recorded(page, proposal),
        carried=[(name, value) for name, value in page.form.multi_items() if name not in _OWN],
        moves=moves,
        fates=_fates(page, found, answer.about),
        nothing=found.is_nothing and proposal.erases is None and proposal.roster is None,
        labels=labels,
        shown_time=shown_time,
        filled=_filled(found),
        counts=found.counts,
        erases=proposal.erases is not None,
        seen=shown,
    )


def _decide(
    page: Page,
    answer: Answer,
    proposal: Proposal,
    found: Rehearsal,
    after: int,
    refused: Callable[[str], Response],
) -> Response:
    moves = moved(page, found.changes)
    try:
        made = page.desk.decide(proposal, page.who.name, page.text("reason"), after)
    except DecisionRefused as error:
        return refused(error.told(page.language.gettext))
    done = page.settle()
    return page.render(
        "decided.html",
        done=done,
        answer=answer,
        recorded=_recorded(page, proposal),
        made=made,
        moves=moves,
        filled=_filled(found),
        counts=found.counts,
    )


def _recorded(page: Page, proposal: Proposal) -> list[str]:
    """What stands among the decisions afterwards, a sentence for each; of many the first."""
    return list(dict.fromkeys(decided(page, kind, body) for kind, body in proposal.decisions))[:_MOST_SENTENCES]


def decided(page: Page, kind: str, body: Mapping[str, str]) -> str:
    """What a decision says, as a sentence."""
    return words.decided(kind, body, page.language.gettext)


def _fates(page: Page, found: Rehearsal, about: Collection[Place]) -> list[Fate]:
    """What each result would be, where they are few: also where no value changes one sees what it was good for."""
    if len(about) > _MOST_FATES:
        return []
    fates = []
    for derived, _token in found.derived:
        placed = {(p.inbox_id, p.locator): p for p in derived.placements}
        items = {item.id: item for item in derived.items}
        for row in (*derived.results, *derived.ignored_rows):
            place = (row.inbox_id, row.locator)
            if place in about:
                candidate = placed.get(place)
                said = fate(row, candidate, items, derived.steps, page.language.gettext)
                fates.append(Fate(row, said, candidate is not None and candidate.chosen))
    return fates


def _filled(found: Rehearsal) -> int:
    """How many of the cells that change have a value then."""
    return sum(change.new is not None and change.new.value is not None for change in found.changes)


def place_of(text: str) -> Place | None:
    """A result as a form names it: the number of its message in the inbox, a blank, and where it stands in that."""
    inbox_id, _, locator = text.partition(" ")
    if inbox_id.isascii() and inbox_id.isdigit() and len(inbox_id) < 19 and locator:
        return int(inbox_id), locator
    return None


def places(page: Page) -> frozenset[Place]:
    """The results that a form names."""
    return frozenset(place for text in texts(page, "result") if (place := place_of(text)) is not None)


def texts(page: Page, name: str) -> list[str]:
    """Every value of a field that may be there more than once."""
    return [value for value in page.form.getlist(name) if isinstance(value, str)]
