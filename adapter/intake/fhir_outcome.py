"""What a refused request means: the status and the codes of an OperationOutcome, never its words.

A server's diagnostics quote the request and the resource, so they may name a patient; they are searched for the
names of the search parameters that were sent, and dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from adapter.intake.fhir_http import Answer, FhirError

# Without these there is nothing to ask: a server that does not know them cannot be polled.
_ESSENTIAL = frozenset({"patient", "subject", "identifier"})
_REFUSING_STATUSES = frozenset({400, 405, 422, 501})
# OperationOutcome.issue.code by which servers refuse a parameter that they do not know; HAPI says "processing".
_REFUSING_CODES = frozenset(
    {"not-supported", "invalid", "processing", "structure", "value", "code-invalid", "not-found"}
)
# The value set issue-type (R4, R5). What else a server writes there is not repeated.
_ISSUE_TYPE = """
    invalid structure required value invariant security login unknown expired forbidden suppressed processing
    not-supported duplicate multiple-matches not-found deleted too-long code-invalid extension too-costly
    business-rule conflict limited-filter transient lock-error no-store exception timeout incomplete throttled
    informational success
"""
_ISSUE_CODES = frozenset(_ISSUE_TYPE.split())

_REMEDIES = {
    401: "check the source's auth settings, and this machine's clock",
    403: "let the client be allowed system/Patient.rs and system/Observation.rs (older servers: .read)",
    404: "check that base_url is the service base of a FHIR server",
    405: "check that the server allows this interaction; some allow a search by GET alone (search_by_get)",
}


def refusal(place: str, answer: Answer, parameter: str | None = None) -> FhirError:
    """The error that an answer other than 200 is. ``parameter`` as :func:`named_parameter` gives it."""
    codes = ", ".join(dict.fromkeys(_codes(answer)))
    cause = f"the server refuses (HTTP {answer.status}{'; ' + codes if codes else ''})"
    if answer.status >= 500:
        cause = f"the server failed (HTTP {answer.status})"
    remedy = _REMEDIES.get(answer.status, "ask those who run the server; their log has the reason")
    unsupported = parameter is not None and parameter not in _ESSENTIAL
    if parameter is not None:
        cause += f"; it does not support the search parameter {parameter or '(which one, it does not say)'}"
    return FhirError(
        place,
        cause,
        remedy,
        transient=answer.status >= 500 and not unsupported,
        status=answer.status,
        unsupported_parameter=unsupported,
        parameter=parameter or "",
    )


def named_parameter(answer: Answer, names: Sequence[str]) -> str | None:
    """Which of the parameters sent the server does not support; empty where it does not say, None if it is not that.

    Servers list those they know after the one that they do not, so the first that they name is meant. That "patient"
    is meant has to stand in quotes, for a refusal is often about a patient.
    """
    codes = set(_codes(answer))
    if answer.status not in _REFUSING_STATUSES or codes.isdisjoint(_REFUSING_CODES):
        return None
    words = "\n".join(_words(answer))
    found: list[tuple[int, str]] = []
    for name in {name.partition(":")[0] for name in names}:
        before, after = ("[\"'`]", "[\"'`]") if name in _ESSENTIAL else (r"(?<![\w-])", r"(?![\w-])")
        match = re.search(before + re.escape(name) + after, words)
        if match is not None:
            found.append((match.start(), name))
    if found:
        return min(found)[1]
    return "" if names and "not-supported" in codes else None


def _issues(answer: Answer) -> Iterator[dict[str, Any]]:
    document = answer.document
    if isinstance(document, dict) and document.get("resourceType") == "OperationOutcome":
        issues = document.get("issue")
        for issue in issues if isinstance(issues, list) else ():
            if isinstance(issue, dict):
                yield issue


def _codes(answer: Answer) -> Iterator[str]:
    for issue in _issues(answer):
        code = issue.get("code")
        if isinstance(code, str) and code in _ISSUE_CODES:
            yield code


def _words(answer: Answer) -> Iterator[str]:
    for issue in _issues(answer):
        details = issue.get("details")
        yield str(issue.get("diagnostics", ""))
        yield str(details.get("text", "")) if isinstance(details, dict) else ""
        for place in ("expression", "location"):
            named = issue.get(place)
            yield " ".join(map(str, named)) if isinstance(named, list) else ""
