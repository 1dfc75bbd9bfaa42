"""Which report of a result stands (trial.md section 6). Never the order of arrival: a function of the set of reports.

Of one FHIR resource the higher version stands, whatever it says. Else two reports compare by OBR-22 where both have it,
else by status (D, W over C over F over P), within one status by MSH-7. Comparing pair by pair is not always transitive
(one report without OBR-22 between two with it), so a report stands only if nothing beats it and everything else is
beaten by what is unbeaten; anything less is asked.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from adapter.model import Reason, Status, Step
from adapter.rules.interpret import FHIR_RESULT, Interpreted, Origin
from adapter.rules.status import FHIR
from adapter.rules.windows import compare

_RANK = {
    Status.PROVISIONAL: 0,
    Status.FINAL: 1,
    Status.CONFIRMS: 1,
    Status.NOT_DONE: 1,
    Status.CORRECTED: 2,
    Status.TAKES_BACK: 3,
}
# Holds in which it is not even known whose, what or which kind of report this is: such a report replaces nothing.
_APART = {Reason.IDENTITY_CONFLICT, Reason.UNKNOWN_STATUS, Reason.CODE_CONFLICT, Reason.UNMAPPED_CODE}
# A resource is named by its id, so that of these the code need not be known.
_RESOURCE_APART = {Reason.IDENTITY_CONFLICT, Reason.UNKNOWN_STATUS}
_VERSION_ID = re.compile(r"([A-Z][A-Za-z]+/[^/]+)/_history/([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class Stands:
    """One result: the report that stands, whether its value is final, and the reports it replaced.

    ``conflict`` holds the reports of which none can be said to stand; ``report`` is then the first of them.
    """

    report: Interpreted
    final: bool
    replaced: tuple[Interpreted, ...] = ()
    conflict: tuple[Interpreted, ...] = ()


def amend(reports: Iterable[Interpreted]) -> list[Stands]:
    """The results of one participant, in the order of their keys, each with the report that stands."""
    apart, groups = list[Stands](), defaultdict[Hashable, list[Interpreted]](list)
    for report in sorted(reports, key=lambda r: r.key):
        if _stands_apart(report):
            apart.append(Stands(report, final=False))
        else:
            groups[same_result_key(report)].append(report)
    for group in groups.values():
        results, loose = by_date(group)
        if loose:  # it corrects one of several results, and nothing says which: none of them can be trusted
            results = [[*loose, *(report for result in results for report in result)]]
        apart += [standing(result, in_doubt=bool(loose)) for result in results]
    return sorted(apart, key=lambda s: s.report.key)


@dataclass(frozen=True, slots=True)
class NewerVersion:
    """What replaces an older version of a FHIR resource: its message, and whether it takes the resource back."""

    message_control_id: str
    takes_back: bool


def replaced_versions(reports: Iterable[Interpreted], silent: Iterable[Origin] = ()) -> Mapping[str, NewerVersion]:
    """The reports, by their keys, of FHIR resources of which a higher version came (trial.md section 6).

    The version is that of the whole resource: a higher one replaces what it no longer holds, and replaces where it is
    itself held, unmapped, no endpoint or (``silent``) gives no result at all. A deletion that names no version replaces
    what was not updated after it.
    """
    resources = defaultdict[tuple[str, str], list[Interpreted]](list)
    highest: dict[tuple[str, str], tuple[int, NewerVersion]] = {}
    for report in sorted(reports, key=lambda r: r.key):
        if report.reported.order_number.startswith(FHIR_RESULT):
            resource = (report.origin.source, report.reported.order_number.removeprefix(FHIR_RESULT).partition("#")[0])
            resources[resource].append(report)
            if report.reported.version is not None:
                newer = NewerVersion(report.origin.message_control_id, _takes_back(report))
                _note(highest, resource, report.reported.version, newer)
    for origin in silent:
        named = _VERSION_ID.fullmatch(origin.message_control_id)
        if named is not None:
            newer = NewerVersion(origin.message_control_id, takes_back=False)
            _note(highest, (origin.source, named[1]), int(named[2]), newer)
    found: dict[str, NewerVersion] = {}
    for resource, versions in resources.items():
        found |= _replaced_in(versions, highest.get(resource))
    return found


def _note(
    highest: dict[tuple[str, str], tuple[int, NewerVersion]], resource: tuple[str, str], version: int, by: NewerVersion
) -> None:
    if resource not in highest or highest[resource][0] < version:
        highest[resource] = (version, by)


def _replaced_in(versions: Sequence[Interpreted], highest: tuple[int, NewerVersion] | None) -> dict[str, NewerVersion]:
    found = {}
    for report in versions:
        version = report.reported.version
        if highest is not None and version is not None and version < highest[0]:
            found[report.key] = highest[1]
    left = [r for r in versions if r.key not in found]
    for deletion in (r for r in left if _is_deletion(r)):
        others = [r for r in left if not _is_deletion(r)]
        later = [
            r for r in others if deletion.reported.version is None and compare(r.message_at, deletion.message_at) > 0
        ]
        if later:  # it was made anew after it had been deleted
            found[deletion.key] = NewerVersion(later[0].origin.message_control_id, takes_back=False)
        replaced = [r for r in others if r not in later]
        found |= {r.key: NewerVersion(deletion.origin.message_control_id, takes_back=True) for r in replaced}
    return found


def _is_deletion(report: Interpreted) -> bool:
    """Whether a report says that its resource was deleted: it takes back and names nothing that was measured."""
    return _takes_back(report) and not report.reported.codings


def _takes_back(report: Interpreted) -> bool:
    return FHIR.get(report.reported.status) == Status.TAKES_BACK


def _stands_apart(report: Interpreted) -> bool:
    if _is_of_resource(report):
        return report.reason in _RESOURCE_APART
    if report.reason == Reason.WRONG_SPECIMEN:  # another specimen is another result, unless it corrects this one
        return report.status != Status.CORRECTED
    return report.analyte is None or report.reason in _APART


def same_result_key(report: Interpreted) -> Hashable:
    """Source, participant, order number, analyte and OBX-4; without an order number the collection time.

    In FHIR the resource and component, whatever was measured.
    """
    sent = report.reported
    if _is_of_resource(report):
        return (report.origin.source, report.study_id, sent.order_number)
    what = (report.origin.source, report.study_id, report.analyte, sent.sub_id)
    if sent.order_number:
        return (*what, sent.order_number)
    if report.collected is None:
        return (*what, report.key)
    return (*what, report.collected.at or report.collected.on, report.collected.precision)


def by_date(group: Sequence[Interpreted]) -> tuple[list[list[Interpreted]], list[Interpreted]]:
    """Order numbers are reused: another collection date is another result, unless the report is a correction.

    Returns the results' reports, and the corrections of which it cannot be told what they correct: where a number
    stands for several dates, one that has none of those dates. A report without a date is of the one result there is.
    """
    dates = sorted({r.collected.on for r in group if r.collected and not _follows(r)})
    if len(dates) <= 1 or _is_of_resource(group[0]):  # a resource's id is never used again
        return [list(group)], []
    clusters: dict[date | None, list[Interpreted]] = {d: [] for d in dates}
    loose, undated = list[Interpreted](), list[list[Interpreted]]()
    for report in group:
        on = report.collected.on if report.collected else None
        if on in clusters:
            clusters[on].append(report)
        elif _follows(report):
            loose.append(report)
        else:
            undated.append([report])
    return [*clusters.values(), *undated], loose


def _is_of_resource(report: Interpreted) -> bool:
    return report.reported.order_number.startswith(FHIR_RESULT)


def _follows(report: Interpreted) -> bool:
    """Whether a report speaks of one that was sent before, so that its date may differ from that one's."""
    return report.status in (Status.CORRECTED, Status.TAKES_BACK, Status.CONFIRMS)


def standing(reports: Sequence[Interpreted], *, in_doubt: bool = False) -> Stands:
    """Which of several reports of one result stands; ``in_doubt`` says that none can be told to."""
    confirms = [r for r in reports if r.kind == "confirms"]
    others = [r for r in reports if r.kind != "confirms"]
    if not others:
        return _lone_confirmation(confirms)
    others = _confirmed(others, confirms)
    unbeaten = [r for r in others if not any(beats(o, r) for o in others)]
    settled = all(r in unbeaten or any(beats(u, r) for u in unbeaten) for r in others)
    if in_doubt or not unbeaten or not settled or len({_content(r) for r in unbeaten}) > 1:
        asked = tuple(unbeaten if unbeaten and settled and not in_doubt else others)
        keys = {r.key for r in asked}
        return Stands(asked[0], final=False, replaced=tuple(r for r in reports if r.key not in keys), conflict=asked)
    report = max(unbeaten, key=lambda r: (_RANK[_status(r)], _said_at(r), _taken(r), r.key))
    final = _status(report) != Status.PROVISIONAL
    return Stands(report, final, tuple(r for r in reports if r.key != report.key))


def _confirmed(others: Sequence[Interpreted], confirms: Sequence[Interpreted]) -> list[Interpreted]:
    """U makes final the preliminary report that stood when it was said; a preliminary sent after it changes nothing."""
    final: dict[str, Interpreted] = {}
    for said in confirms:
        before = [r for r in others if not _after(r, said)]
        before = before or [r for r in others if compare(r.issued, said.issued) <= 0]
        stood = [r for r in before if not any(beats(o, r) for o in before)]
        if len({_content(r) for r in stood}) == 1:
            for report in stood:
                if _status(report) == Status.PROVISIONAL:
                    steps = (*report.steps, Step("confirmed_final"))
                    final[report.key] = replace(report, status=Status.FINAL, steps=steps)
    return [final.get(r.key, r) for r in others]


def _lone_confirmation(confirms: Sequence[Interpreted]) -> Stands:
    """U without any stored report: a final value exists that was never sent to us; a person should know."""
    last = max(confirms, key=lambda r: (_said_at(r), _taken(r), r.key))
    step = Step("confirms_nothing")
    held = replace(
        last, kind="held", reason=Reason.UNREADABLE_VALUE, rule="confirms_nothing", steps=(*last.steps, step)
    )
    return Stands(held, final=False, replaced=tuple(r for r in confirms if r.key != last.key))


def beats(a: Interpreted, b: Interpreted) -> bool:
    """Whether report ``a`` stands over report ``b``."""
    by_issue = compare(a.issued, b.issued)
    if by_issue:
        return by_issue > 0
    rank = _RANK[_status(a)] - _RANK[_status(b)]
    return rank > 0 if rank else compare(a.message_at, b.message_at) > 0


def _after(a: Interpreted, b: Interpreted) -> bool:
    """Whether ``a`` was said later than ``b``: by OBR-22 where both have it, else by MSH-7."""
    return (compare(a.issued, b.issued) or compare(a.message_at, b.message_at)) > 0


def _status(report: Interpreted) -> Status:
    return report.status if report.status is not None else Status.PROVISIONAL


def _content(report: Interpreted) -> Hashable:
    """What two equal reports must agree in: value, comparator and unit, or the text that could not be read."""
    if report.kind == "value":
        return ("value", report.number, report.comparator, report.assessed)
    if report.kind == "held":
        return ("held", report.reported.value.shown, report.reported.units, report.reason)
    return (report.kind,)


def _said_at(report: Interpreted) -> str:
    at = report.issued or report.message_at
    return "" if at is None else f"{at.on.isoformat()} {at.at.isoformat() if at.at else ''}"


def _taken(report: Interpreted) -> str:
    """Of two equal reports the one that says when the specimen was taken says more."""
    return report.collected.text if report.collected else ""
