"""The trail: who did what, when and why, and whether its chain is whole."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from starlette.responses import Response

from adapter import labels
from adapter.retold import retold
from adapter.review.trail import changes
from adapter.store import AuditRecord
from adapter.web.access import Role
from adapter.web.page import Page, serve

_A_PAGE = 100
_MOST_PROBLEMS = 50
_HEAD = re.compile("[0-9a-f]{64}")
_MOST_SEQ = 2**62


@dataclass(frozen=True, slots=True)
class Line:
    """One record as it is shown; ``at`` in the trial's time zone."""

    seq: int
    at: str
    who: str
    what: str
    subject: str
    why: str
    changes: list[str]


def show(page: Page) -> Response:
    """The last records, of one subject or by one person where asked, the newest first."""
    asked = page.request.query_params
    subject, who, before = asked.get("subject", "").strip(), asked.get("who", "").strip(), asked.get("before", "")
    start = min(int(before), _MOST_SEQ) if before.isascii() and before.isdigit() and len(before) < 20 else None
    found = page.store.latest_records(before=start, subject=subject or None, who=who or None, limit=_A_PAGE + 1)
    older = None
    if len(found) > _A_PAGE:
        older = "?" + urlencode({"subject": subject, "who": who, "before": found[_A_PAGE - 1].seq})
    return page.render(
        "trail.html",
        lines=[line(record, page.config.protocol.timezone, page.language.gettext) for record in found[:_A_PAGE]],
        subject=subject,
        who=who,
        older=older,
        paged=start is not None,
        timezone=page.config.protocol.timezone,
    )


def verify(page: Page) -> Response:
    """Recompute the chain, and look for a head that somebody noted."""
    head = page.request.query_params.get("head", "").strip()
    if head and not _HEAD.fullmatch(head):
        failed = page.say("That is no head: it is 64 hexadecimal digits, as this page shows them.")
        return page.render("trail_verified.html", status=422, found=None, failed=failed, problems=[], more=0)
    found = page.store.verify(head or None)
    return page.render(
        "trail_verified.html",
        found=found,
        failed=None,
        problems=[retold(each, page.language.gettext) for each in found.problems[:_MOST_PROBLEMS]],
        more=max(0, len(found.problems) - _MOST_PROBLEMS),
    )


def line(record: AuditRecord, timezone: str, _: Callable[[str], str]) -> Line:
    """A record as it is shown: what wrote itself in words is told in the reader's, what a person wrote as it is."""
    at = datetime.fromisoformat(record.at).astimezone(ZoneInfo(timezone)).isoformat(sep=" ", timespec="seconds")
    who, what, why = retold(record.who, _), retold(record.what, _), _why(record.why, _)
    return Line(record.seq, at, who, what, record.subject, why, changes(record))


def _why(why: str, _: Callable[[str], str]) -> str:
    """The reason; that of a value that changed is the name of a rule."""
    return retold(labels.rule(why, _), _)


ROUTES = [
    serve("/trail", show, "trail", role=Role.DATA_MANAGER),
    serve("/trail/verify", verify, "verify_trail", role=Role.DATA_MANAGER),
]
