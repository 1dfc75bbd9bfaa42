"""One file for each part of the page; each gives its routes."""

from __future__ import annotations

from starlette.routing import Route

from adapter.web.pages import (
    account,
    assessments,
    board,
    cell,
    decisions,
    enrolled,
    help,
    item,
    participant,
    queue,
    roster,
    sign_off,
    trail,
    users,
)

ROUTES: list[Route] = [
    *account.ROUTES,
    *assessments.ROUTES,
    *board.ROUTES,
    *cell.ROUTES,
    *decisions.ROUTES,
    *enrolled.ROUTES,
    *help.ROUTES,
    *item.ROUTES,
    *participant.ROUTES,
    *queue.ROUTES,
    *roster.ROUTES,
    *sign_off.ROUTES,
    *trail.ROUTES,
    *users.ROUTES,
]
