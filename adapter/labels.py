"""The words of the pages for what scripts know by its name: statuses, outcomes, flags, reasons, kinds of decision.

Each function takes the language's ``gettext``; a name without a word here is shown as it is.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Container

Say = Callable[[str], str]

# In the order of the board: what stands, what waits, what is lost.
STATUSES = ("captured", "provisional", "in_review", "missing", "pending", "not_expected")
OUTSIDE = "outside_window"


_STATUS_WORDS = {
    "captured": "captured",
    "provisional": "provisional",
    "in_review": "in review",
    "missing": "missing",
    "pending": "pending",
    "not_expected": "not expected",
    OUTSIDE: "outside its window",
}


def status(name: str, _: Say) -> str:
    """What a cell of the table is called."""
    return _(_STATUS_WORDS[name]) if name in _STATUS_WORDS else name


_OUTCOMES = {
    "placed": "in a window",
    "unscheduled": "unscheduled",
    "baseline": "baseline",
    "held": "held",
    "ignored": "ignored",
    "taken_back": "taken back",
    "not_done": "not done",
    "superseded": "replaced",
}


def outcome(name: str, _: Say) -> str:
    """What became of a result."""
    return _(_OUTCOMES[name]) if name in _OUTCOMES else name


_FLAGS = {
    OUTSIDE: "outside its window",
    "outside_query_limits": "outside the query limits",
    "input_outside_window": "an input lies outside its window",
    "dialysis_not_assessed": "dialysis not assessed, counts as none",
    "same_result_through_two_sources": "came through two sources",
    "chosen_by_person": "chosen by a person",
    "read_by_person": "read by a person",
}


def flag(name: str, _: Say) -> str:
    """What a value is marked with."""
    return _(_FLAGS[name]) if name in _FLAGS else name


def flags(names: str, _: Say) -> str:
    """Several of them, with commas between."""
    return _(", ").join(flag(name.strip(), _) for name in names.split(","))


_REASONS = {
    # of a question
    "unmapped_code": "unknown code",
    "code_conflict": "contradicting codes",
    "wrong_specimen": "wrong specimen",
    "unreadable_value": "unreadable value",
    "missing_unit": "missing unit",
    "unknown_unit": "unknown unit",
    "implausible_value": "implausible value",
    "missing_collection_time": "missing collection time",
    "implausible_time": "implausible time",
    "unknown_status": "unknown status",
    "conflicting_results": "contradicting results",
    "window_missed": "window missed",
    "changed_after_choice": "changed after a choice",
    "score_mismatch": "another score was reported",
    "identity_conflict": "identity in doubt",
    "identity_merge": "identities merged",
    "unreadable_message": "unreadable message",
    # of a cell without a value
    "no_result": "no result was received",
    "missing_input": "an input is missing",
    "input_in_review": "an input is in review",
    "provisional_input": "an input is provisional",
    "inputs_too_far_apart": "the inputs were taken too far apart",
    "undecided_input": "an input with a comparator leaves it open",
    "not_done": "the laboratory reported no result",
    "not_assessed": "not assessed",
    "missing": "missing",
    "in_review": "in review",
    "provisional": "provisional",
    "withdrawn": "withdrawn",
    "died": "died",
    "transplanted": "transplanted",
}


def reason(name: str, _: Say) -> str:
    """Why there is no value, or what a question is about; what follows a colon are the names it speaks of."""
    first, colon, rest = name.partition(": ")
    word = _REASONS.get(first)
    if word is None:
        return name
    return because(_(word), listed(rest, _), _) if colon else _(word)


def because(what: str, why: str, _: Say) -> str:
    """Two texts, of which the second explains the first."""
    return _("{what}: {why}").format(what=what, why=why)


def listed(names: str, _: Say) -> str:
    """Names of a list, each as it is called: analytes by their ids, what is assessed in words."""
    return _(", ").join(item(name.strip(), _) for name in names.split(","))


_VISIT = re.compile(r"week-([0-9]{1,4})")


def visit(name: str, _: Say) -> str:
    """A visit of the table where only its id is at hand."""
    week = _VISIT.fullmatch(name)
    return outcome(name, _) if week is None else _("Week {n}").format(n=week[1])


_RULES = {
    "chosen": "chosen",
    "chosen_by_person": "chosen by a person",
    "not_an_endpoint": "none of the protocol's analytes",
    "dismissed_code": "the code is dismissed",
    "after_withdrawal": "taken after the withdrawal",
    "after_death": "taken after the death",
    "after_transplantation": "taken after the transplantation",
    "preliminary": "preliminary",
    "farther_from_target": "farther from the target",
    "earlier_date": "of an earlier day",
    "earlier_time": "taken earlier",
    "earlier_report": "reported earlier",
    "order_number": "by its order number",
    "another_chosen_by_person": "a person chose another",
    "score_is_computed": "the score is computed",
    "same_result_through_two_sources": "came through two sources",
    "confirms_nothing": "it confirms a result that was never received",
}


def rule(name: str, _: Say) -> str:
    """Why a result is ignored, or a candidate not chosen, in short."""
    return _(_RULES[name]) if name in _RULES else reason(name, _)


_READINGS = {
    "analyte": "analyte",
    "value": "value",
    "unit": "unit",
    "status": "status",
    "specimen": "accepted specimen",
    "plausible": "confirmation",
    "collected_at": "collection time",
}


def read(name: str, _: Say) -> str:
    """What a person may say of a single result."""
    return _(_READINGS[name]) if name in _READINGS else name


_DECISIONS = {
    "map_code": "map a code",
    "dismiss_code": "dismiss a code",
    "accept_unit": "accept a unit",
    "map_status": "map a status",
    "accept_specimen": "accept a specimen",
    "read_result": "read a result",
    "take_back": "take back a value",
    "choose": "choose a candidate",
    "accept_outside": "accept a value outside its window",
    "confirm_identity": "confirm an identity",
    "refuse_identity": "refuse an identity",
    "merge_identity": "merge identifiers",
    "retry": "read a message again",
    "dismiss_item": "dismiss a question",
    "sign_off": "sign off a visit",
    "undo": "undo a decision",
}


def decision(name: str, _: Say) -> str:
    """What kind of decision it is."""
    return _(_DECISIONS[name]) if name in _DECISIONS else name


_FACTS = {
    "source": "Source",
    "code": "Code",
    "system": "Code system",
    "analyte": "Analyte",
    "unit": "Unit",
    "sent": "Sent",
    "status": "Status",
    "specimen": "Specimen",
    "study_id": "Participant",
    "participant": "Participant",
    "visit": "Visit",
    "endpoint": "Endpoint",
    "result": "Result",
    "results": "Result",
    "what": "What of it",
    "to": "As",
    "sha256": "Message (SHA-256)",
    "item": "Question",
    "decision": "Decision",
}


def fact(name: str, _: Say) -> str:
    """What a decision names."""
    return _(_FACTS[name]) if name in _FACTS else name


def row(name: str, _: Say) -> str:
    """A row of the mappings, as the files number it, or the decision that stands in the place of one."""
    parts, word = name.split(", "), "decision "
    return ", ".join(_("decision {id}").format(id=p.removeprefix(word)) if p.startswith(word) else p for p in parts)


_ITEMS = {
    "ascites": "ascites",
    "encephalopathy": "encephalopathy",
    "dialysis": "dialysis",
    "sex": "sex",
    "as on the roster": "as on the roster",
    "not_assessed": "not assessed",
    "none": "none",
    "mild": "mild",
    "moderate_severe": "moderate or severe",
    "grade_1_2": "grade 1 or 2",
    "grade_3_4": "grade 3 or 4",
    "yes": "yes",
    "no": "no",
}


def item(name: str, _: Say) -> str:
    """An input of a score that no laboratory measures, or the value it was assessed with."""
    return _(_ITEMS[name]) if name in _ITEMS else name


_ROLES = {
    "viewer": "Viewer",
    "coordinator": "Coordinator",
    "data_manager": "Data manager",
    "administrator": "Administrator",
}


def role(name: str, _: Say) -> str:
    """What a role is called."""
    return _(_ROLES[name]) if name in _ROLES else name


def who(name: str, _: Say) -> str:
    """Who it was: a person by the name of their account, or what the program did by its own rules."""
    return _("the adapter") if name == "adapter" else name


def formula(name: str) -> str:
    """A score's formula by the name it is published under."""
    return {"MELD_UNOS": "MELD (UNOS)", "MELD_NA": "MELD-Na", "MELD_3_0": "MELD 3.0"}.get(name, name.replace("_", " "))


# Numbers with what stands around them: comparators, separators, intervals, powers, in either width.
_NUMERIC = re.compile(r"[0-9０-９<>=≤≥＜＞﹤﹥~～–—−\-+±.,:;/%％^*()×xXEe'’·，。：；（）．／－＋]*")


def sent(text: str, _: Say, known: Container[str] = ()) -> str:
    """What was sent as a value, where it is numbers or ``known`` words (casefolded).

    Other text can name a person, an arm or a route (raw messages may mention either): then only how long it is.
    """
    if text.casefold().strip() in known or all(_NUMERIC.fullmatch(w) or w.casefold() in known for w in text.split()):
        return text
    return _("a text of {n} characters").format(n=len(text))


def is_seen(char: str) -> bool:
    """Whether a character can be seen, or is a space: none that steers a terminal or turns the reading direction."""
    return char.isprintable() or unicodedata.category(char) == "Zs"


def printable(text: str) -> str:
    """A text as a terminal is given it: what cannot be seen is written out, so that nothing that was sent steers it."""
    return text if text.isprintable() else "".join(c if is_seen(c) else repr(c)[1:-1] for c in text)


def number(comparator: object, value: object, unit: object = "") -> str:
    """A value with its comparator and its unit; what has none (a ratio, a score) has no unit shown."""
    bare = not unit or unit == "1" or str(unit).startswith("{")  # an annotation of UCUM, as of a score
    return f"{comparator or ''}{value}{'' if bare else f' {unit}'}"


def texts() -> list[str]:
    """Every word of this file, for the catalogue."""
    tables = (_STATUS_WORDS, _OUTCOMES, _FLAGS, _RULES, _READINGS, _DECISIONS, _FACTS, _ITEMS, _ROLES, _REASONS)
    return [word for table in tables for word in table.values()]
