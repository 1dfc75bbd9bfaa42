"""What a question can be answered with, as forms: what each is called, what it records, and what is filled in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from adapter import labels
from adapter.model import Protocol, Reason, ResultRow, Status
from adapter.review.answers import actions_of, words_of
from adapter.review.desk import Entry
from adapter.rules.assess import ITEMS
from adapter.rules.status import OBX_11
from adapter.web.page import Page
from adapter.words import say

Option = tuple[str, str]  # what a form sends, and what a person reads


@dataclass(frozen=True, slots=True)
class Form:
    """One answer to one question.

    ``field`` is what is filled in: ``choice`` or ``person`` (among ``options``), ``value``, ``time`` or nothing.
    ``pick`` says whether results are named: ``one``, ``some`` or none of them. ``picked`` is what is suggested.
    """

    action: str
    title: str
    records: str
    field: str = ""
    label: str = ""
    options: Sequence[Option] = ()
    picked: str = ""
    units: Sequence[str] = ()
    pick: str = ""


def forms(page: Page, entry: Entry, rows: Sequence[ResultRow], people: Sequence[str]) -> list[Form]:
    """Every form of a question, the likeliest first. ``people`` are those whom its message may be of."""
    actions = actions_of(entry)
    if entry.state != "open":  # a code is mapped anew: the later decision counts
        actions = tuple(action for action in actions if action == "map")
    return [_form(page, entry, action, rows, people) for action in actions if action != "sign_off"]


def title(action: str, entry: Entry, page: Page) -> str:
    """What an answer is called: what its button does."""
    _ = page.language.gettext
    if action == "dismiss" and entry.item.reason == Reason.UNMAPPED_CODE:
        return _("Dismiss the codes") if len(entry.members) > 1 else _("Dismiss the code")
    words = {
        "map": _("Map the code"),
        "dismiss": _("Dismiss the question"),
        "accept_unit": _("Say what the unit means"),
        "accept_specimen": _("Accept the specimen"),
        "map_status": _("Say what the status means"),
        "say_analyte": _("Say what was measured"),
        "say_value": _("Say what the value reads"),
        "say_unit": _("Say the unit of these results alone"),
        "say_status": _("Say the status of these results alone"),
        "say_specimen": _("Accept the specimen of these results alone"),
        "say_plausible": _("Confirm the value"),
        "say_collected_at": _("Give the collection time"),
        "take_back": _("Take the result back"),
        "choose": _("Choose the result that stands"),
        "accept_outside": _("Accept it outside its window"),
        "sign_off": _("Sign off again"),
        "confirm_identity": _("Confirm the identity"),
        "refuse_identity": _("Refuse the identity"),
        "merge_identity": _("Merge the identifiers"),
        "retry": _("Read it once more"),
    }
    return words[action]


def records(page: Page, entry: Entry, action: str) -> str:
    """The sentence that says what an answer records."""
    return say(*words_of(entry, action), page.language.gettext)


def _form(page: Page, entry: Entry, action: str, rows: Sequence[ResultRow], people: Sequence[str]) -> Form:
    _, protocol = page.language.gettext, page.config.protocol
    made = Form(action, title(action, entry, page), records(page, entry, action), pick=_pick(action, rows))

    def asks(field: str, label: str, options: Sequence[Option] = (), picked: str = "") -> Form:
        units = sorted({unit for a in protocol.analytes.values() for unit in a.units}) if action == "map" else ()
        return Form(action, made.title, made.records, field, label, options, picked, units, made.pick)

    if action in {"map", "say_analyte"}:
        return asks("choice", _("Analyte"), _analytes(page, action, entry), entry.item.suggestion or "")
    if action in {"accept_unit", "say_unit"}:
        units = _units(protocol, rows)
        return asks("choice", _("Unit"), [(u, u) for u in units], units[0] if len(units) == 1 else "")
    if action in {"map_status", "say_status"}:
        known = [
            (code, f"{code} {_meant(code, page)}" + _(" ({what})").format(what=_status(status, page)))
            for code, status in OBX_11.items()
        ]
        return asks("choice", _("Status"), known)
    if action == "say_value":
        values = ITEMS.get(rows[0].endpoint or "") if rows else None
        if values is not None:
            return asks("choice", _("Value"), [(each, labels.item(each, _)) for each in values])
        return asks("value", _("One number, as 12.5 or <5"))
    if action == "say_collected_at":
        return asks("time", "")
    if action == "confirm_identity":
        alone = people[0] if len(people) == 1 else ""
        return asks("person", _("Participant"), [(each, each) for each in people], alone)
    return made


def _analytes(page: Page, action: str, entry: Entry) -> list[Option]:
    """What a code, or one result, may be: of a contradiction first those that it names."""
    _, protocol = page.language.gettext, page.config.protocol
    named = [each.strip() for each in entry.item.detail.get("analytes", "").split(",")]
    known = [a for a in protocol.analytes.values() if action == "map" or a.id in named]
    return [(each.id, labels.because(each.id, _(each.label), _)) for each in known or protocol.analytes.values()]


def _units(protocol: Protocol, rows: Sequence[ResultRow]) -> list[str]:
    """The units that every one of the analytes is measured in."""
    known = [list(protocol.analytes[a].units) for r in rows if (a := r.endpoint or "") in protocol.analytes]
    return [unit for unit in (known[0] if known else []) if all(unit in units for units in known)]


def _pick(action: str, rows: Sequence[ResultRow]) -> str:
    if action == "choose":
        return "one"
    if len(rows) < 2 or action in {"map", "dismiss"}:
        return ""
    if action in {"say_value", "accept_outside"}:
        return "one"
    return "some" if action.startswith("say_") or action == "take_back" else ""


def _meant(code: str, page: Page) -> str:
    """What table 0085 says of a code of OBX-11, in short; several of them are one status to the rules."""
    _ = page.language.gettext
    return {
        "P": _("preliminary result"),
        "R": _("entered, not verified"),
        "S": _("partial result"),
        "I": _("specimen in the laboratory, result pending"),
        "F": _("final result"),
        "V": _("verified result"),
        "C": _("correction that replaces a final result"),
        "A": _("amendment of a result"),
        "U": _("status changed to final, result as before"),
        "D": _("deletes the result"),
        "W": _("the result was wrong, as of another patient"),
        "X": _("no result can be obtained"),
        "N": _("not asked for"),
        "O": _("order detail, no result"),
    }[code]


def _status(status: Status, page: Page) -> str:
    _ = page.language.gettext
    words: Mapping[Status, str] = {
        Status.PROVISIONAL: _("preliminary"),
        Status.FINAL: _("final"),
        Status.CORRECTED: _("corrected"),
        Status.CONFIRMS: _("confirms the preliminary result as final"),
        Status.TAKES_BACK: _("takes the result back"),
        Status.NOT_DONE: _("no result"),
    }
    return words[status]
