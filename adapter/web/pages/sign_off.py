"""Signing off a visit: the values as they stand, the statement, and the password once more (21 CFR 11.50, 11.200).

What is signed is what was shown: where a value has become another meanwhile, it is shown again and not signed.
"""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.responses import Response

from adapter import labels
from adapter.model import Visit
from adapter.review.desk import DecisionRefused, queue
from adapter.rules.signing import fingerprints
from adapter.rules.table import table
from adapter.web.access import Role, confirm
from adapter.web.carried import seen
from adapter.web.page import Page, serve
from adapter.web.pages.enrolled import known
from adapter.web.signed import signed_visits


def show(page: Page) -> Response:
    """What would be signed."""
    return _visit(page)


def _visit(page: Page, *, failed: str | None = None, done: str | None = None, status: int = 200) -> Response:
    person, visit, protocol = known(page), _asked(page), page.config.protocol
    selections = page.store.selections(person.study_id)
    rows = [row for row in table(protocol, [person], selections, page.today, supporting=True) if row.visit == visit.id]
    ids = {i for s in selections if s.visit == visit.id and s.endpoint in protocol.analytes for i in s.open_items}
    signed = signed_visits(protocol, page.store.decisions(), selections, person.study_id)
    return page.render(
        "sign_off.html",
        labels=labels,
        status=status,
        person=person,
        visit=visit,
        rows=[row for row in rows if not protocol.analytes[row.endpoint].supporting],
        supporting=[row for row in rows if protocol.analytes[row.endpoint].supporting],
        questions=[entry for entry in queue(page.store) if ids & {m.item.id for m in entry.members}],
        signed=next(each for each in signed if each.visit == visit.id),
        meaning=_meaning(page, person.study_id, visit),
        seen=_seen(page, visit),
        failed=failed,
        done=done,
    )


def _asked(page: Page) -> Visit:
    """The visit of the path. Raises HTTPException where the protocol has none of this id."""
    found = next((v for v in page.config.protocol.visits if v.id == page.request.path_params["visit"]), None)
    if found is None:
        raise HTTPException(404)
    return found


def _meaning(page: Page, study_id: str, visit: Visit) -> str:
    """What the signature means: as it was read by whoever signs, so it is kept."""
    return page.say(
        "I have reviewed the values of {study_id} at {visit} against the source documents, and confirm them as they "
        "stand.",
        study_id=study_id,
        visit=page.say(visit.label),
    )


def _seen(page: Page, visit: Visit) -> str:
    cells = page.store.selections(page.request.path_params["study_id"])
    return seen(sorted(fingerprints(cell for cell in cells if cell.visit == visit.id).items()))


def sign(page: Page) -> Response:
    """Sign, where nothing is open, nothing has changed and the password is right."""
    person, visit = known(page), _asked(page)
    password = page.form.get("password")
    if not confirm(page.store, page.house.web, page.who, password if isinstance(password, str) else "", page.now):
        if page.store.visit(page.who.token_hash) is None:  # it failed too often: the session is over
            return page.redirect("sign_in")
        return _visit(page, failed=page.say("The password is wrong. Nothing is signed."), status=403)
    try:
        proposal = page.desk.sign_off(person.study_id, visit.id)
    except DecisionRefused:
        return _visit(page, failed=page.say("Nothing is signed: settle the open questions first."), status=409)
    if page.text("seen") != _seen(page, visit):  # asked last: verifying a password takes its time
        changed = page.say("A value changed since this was shown. Nothing is signed; look again.")
        return _visit(page, failed=changed, status=409)
    page.desk.decide(proposal, page.who.name, _meaning(page, person.study_id, visit))
    page.settle()
    return _visit(page, done=page.say("{visit} is signed off.", visit=page.say(visit.label)))


ROUTES = [
    serve("/roster/{study_id}/sign-off/{visit}", show, "sign_off", role=Role.DATA_MANAGER),
    serve("/roster/{study_id}/sign-off/{visit}", sign, "do_sign_off", role=Role.DATA_MANAGER, methods=("POST",)),
]
