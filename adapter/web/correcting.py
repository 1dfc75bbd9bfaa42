"""Correcting somebody's entry of the roster: first exactly what that would change, then, confirmed, the correction.

What is made is what was shown: where that is no longer what would happen, it is shown again and nothing is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from starlette.responses import Response

from adapter.model import Identifier, Participant
from adapter.reprocess import NotDerivable, Rehearsal, rehearse
from adapter.retold import retold
from adapter.review.rows import marked
from adapter.rules.table import status_of_empty
from adapter.rules.windows import infusion, window
from adapter.store import IdentifierTaken
from adapter.web.carried import seen
from adapter.web.moved import moved, visit_label
from adapter.web.page import Page
from adapter.web.signed import signed_visits

#: Fields of every form that are no part of the correction.
_OWN = frozenset({"csrf", "reason", "seen"})
_NO_LONGER = marked("Not expected any more: {visits}.")
_AGAIN = marked("Expected again: {visits}.")
_GOES_ON = marked(
    "It is changed. The values that follow are still being worked out; the board shows them as they come."
)


@dataclass(frozen=True, slots=True)
class WindowMoves:
    """One visit's target and window before and after; "" where there is no infusion date."""

    label: str
    was: str
    becomes: str


@dataclass(frozen=True, slots=True)
class Correction:
    """What is to be another of a participant.

    ``route`` is where its form goes, ``title`` what its button does, ``records`` what it says, ``done`` what is said
    when it is made. ``gone`` is an identifier that is taken away; ``windows`` are shown where the infusion moves.
    """

    route: str
    title: str
    records: Sequence[str]
    done: str
    before: Participant
    after: Participant
    gone: Identifier | None = None
    windows: Sequence[WindowMoves] = ()

    @property
    def is_nothing(self) -> bool:
        """Whether everything is known already."""
        return self.before == self.after


def correcting(page: Page, made: Correction, answered: Callable[[str | None, str | None], Response]) -> Response:
    """The preview of a correction; confirmed, the correction. ``answered`` shows why it cannot be, or that it is done.

    An identifier can say of other participants' messages whose they are: then everybody's values are looked at.
    """
    taken = page.say("This number is another participant's already. Is it the same person?")
    study_id, added = made.before.study_id, set(made.after.identifiers) - set(made.before.identifiers)
    if any(added & set(other.identifiers) for other in page.store.participants() if other.study_id != study_id):
        return answered(taken, None)
    scopes = [study_id] if made.before.identifiers == made.after.identifiers else None
    try:
        found = rehearse(page.store, page.house.book(), page.now, enrolled=[made.after], scopes=scopes)
    except NotDerivable as error:
        return answered(retold(str(error), page.language.gettext), None)
    moves, reopened, expects = moved(page, found.changes), _reopened(page, study_id, found), _expects(page, made)
    carried = [(name, value) for name, value in page.form.multi_items() if name not in _OWN]
    # Who it is goes by the version of the roster: a sum of a birth date would tell it to whoever tries them all.
    shown = seen(made.route, found.roster_version, carried, [str(move) for move in moves], reopened, expects)
    failed = None
    if page.text("seen") == shown:
        if page.text("reason"):
            try:
                return _write(page, made, answered)
            except IdentifierTaken:
                return answered(taken, None)
        failed = page.say("Give the reason; it is kept in the trail.")
    elif page.text("seen"):
        failed = page.say("Something changed since this was shown. Look again.")
    return page.render(
        "correction.html",
        status=422 if failed else 200,
        failed=failed,
        made=made,
        carried=carried,
        moves=moves,
        counts=found.counts,
        reopened=reopened,
        expects=expects,
        seen=shown,
    )


def _reopened(page: Page, study_id: str, found: Rehearsal) -> list[str]:
    """The visits that are signed off and would be open again."""
    protocol, decisions = page.config.protocol, page.store.decisions()
    would_be = [row for derived, _ in found.derived if derived.study_id == study_id for row in derived.selections]
    before = signed_visits(protocol, decisions, page.store.selections(study_id), study_id)
    after = signed_visits(protocol, decisions, would_be, study_id)
    pairs = zip(before, after, strict=True)
    return [page.say(then.label) for now, then in pairs if now.state == "signed" != then.state]


def _expects(page: Page, made: Correction) -> list[str]:
    """Which visits are expected no longer, or again: cells without a value are nothing that moves."""
    before, after = _not_expected(page, made.before), _not_expected(page, made.after)
    found = ((_NO_LONGER, [v for v in after if v not in before]), (_AGAIN, [v for v in before if v not in after]))
    return [page.say(text, visits=page.say(", ").join(labels)) for text, labels in found if labels]


def _not_expected(page: Page, person: Participant) -> list[str]:
    protocol, found = page.config.protocol, []
    infused = infusion(person.infused_at, ZoneInfo(protocol.timezone))
    for visit in protocol.visits:
        days = None if infused is None else window(visit, infused.on)
        if status_of_empty(person, days, page.today) == "not_expected":
            found.append(visit_label(page, visit.id))
    return found


def _write(page: Page, made: Correction, answered: Callable[[str | None, str | None], Response]) -> Response:
    why = page.text("reason")
    with page.store.write() as tx:
        if tx.participant(made.before.study_id) != made.before:
            return answered(page.say("Somebody else changed it meanwhile. Look again."), None)
        tx.put_participant(made.after, page.who.name, why, page.now)
        if made.gone is not None:
            tx.remove_identifier(made.before.study_id, made.gone, page.who.name, why, page.now)
    # A number moves everybody's messages: in a large trial that is not done while somebody waits.
    return answered(None, made.done if page.settle() else page.say(_GOES_ON))
