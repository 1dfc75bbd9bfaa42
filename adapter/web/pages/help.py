"""The help: the trial's rules in words, its numbers from the protocol, and what every word on a page means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.responses import Response

from adapter import labels
from adapter.model import Analyte, Protocol, Reason
from adapter.review.rows import marked
from adapter.web.page import Page, serve

# As docs/coordinator.md says them; a test holds the two together.
STATUSES: Mapping[str, str] = {
    "captured": marked("a final result stands"),
    "provisional": marked("only a preliminary result so far"),
    "in_review": marked("no value, and an open question could give one"),
    "missing": marked("no value, and the window has closed"),
    "pending": marked("no value yet; the window is open or still to come, or there is no infusion date"),
    "not_expected": marked("withdrawn, died or transplanted before it (the reason says which)"),
}
FLAGS: Mapping[str, str] = {
    "outside_query_limits": marked("possible, but unusual: worth a look at the chart"),
    "same_result_through_two_sources": marked("came twice, counted once"),
    "outside_window": marked("accepted although it lies outside its window"),
    "chosen_by_person": marked("a coordinator chose it"),
    "read_by_person": marked("a person said something of the result that the laboratory did not"),
    "dialysis_not_assessed": marked(
        "a MELD: nobody has said whether the participant is on dialysis, and none is counted"
    ),
    "input_outside_window": marked("a score of which an input was accepted outside its window"),
}
NO_VALUE: Mapping[str, str] = {
    "no_result": marked("nothing usable has come"),
    "missing_input": marked("a score that lacks these inputs; ascites and encephalopathy are yours to enter"),
    "input_in_review": marked("a score whose input waits in the queue"),
    "provisional_input": marked("a score whose input is preliminary so far"),
    "inputs_too_far_apart": marked("a score whose laboratory inputs were taken too many days apart"),
    "undecided_input": marked("a score whose input has a < or > that leaves it open"),
}
# Each reason of the queue: what happened, and what to do.
QUESTIONS: Mapping[str, tuple[str, str]] = {
    Reason.UNMAPPED_CODE: (
        marked("nobody has said what this local code is"),
        marked("Map it to the analyte it is: once, for all results that carry it. Dismiss it where it is none."),
    ),
    Reason.CODE_CONFLICT: (
        marked("the codes of one result mean different endpoints"),
        marked("Ask the laboratory which is meant and say the analyte, or dismiss the result."),
    ),
    Reason.WRONG_SPECIMEN: (
        marked("urine, ascites and the like under a serum code"),
        marked("Accept the specimen where it is blood, serum or plasma under another name; else dismiss it."),
    ),
    Reason.UNREADABLE_VALUE: (
        marked("not one number: 1,234, 60~120"),
        marked("Ask for a correction, or say the value as the laboratory confirms it; else dismiss it."),
    ),
    Reason.MISSING_UNIT: (
        marked("no unit was sent"),
        marked("Say which unit this source means by this code: once, for all its results."),
    ),
    Reason.UNKNOWN_UNIT: (
        marked("a unit this analyte is not measured in"),
        marked("Ask the laboratory what it means, and say the unit for this source's code; else dismiss it."),
    ),
    Reason.IMPLAUSIBLE_VALUE: (
        marked("outside what is possible"),
        marked("Look at the chart. A correction settles it; confirm the value or say the right one, else dismiss it."),
    ),
    Reason.MISSING_COLLECTION_TIME: (
        marked("none, or only a month"),
        marked("Ask when the specimen was taken and give that time: the report's time never stands in for it."),
    ),
    Reason.IMPLAUSIBLE_TIME: (
        marked("taken over a day after the message came"),
        marked("Ask for a correction, or give the time at which the specimen was taken."),
    ),
    Reason.UNKNOWN_STATUS: (
        marked("a result status that is in no table"),
        marked("Ask the laboratory what it means, and say so: for this source once, or for these results alone."),
    ),
    Reason.CONFLICTING_RESULTS: (
        marked("different values for the same collection"),
        marked("Ask the laboratory which is right. Its correction settles it; or choose one, or take one back."),
    ),
    Reason.WINDOW_MISSED: (
        marked("the window is empty, and a result lies just outside"),
        marked("Accept that result as the value, marked as outside its window, or dismiss the question."),
    ),
    Reason.CHANGED_AFTER_CHOICE: (
        marked("what a choice or a sign-off was made on has changed since"),
        marked("Look at what changed; choose again or sign off again, or let it stand by dismissing the question."),
    ),
    Reason.SCORE_MISMATCH: (
        marked("the laboratory reported another score than the values of the visit give"),
        marked("Compare the inputs. The computed score stands; dismiss the question when you know why."),
    ),
    Reason.IDENTITY_CONFLICT: (
        marked("birth date or sex differ from the roster, or two participants match"),
        marked("Correct the roster where it is wrong. Else confirm the person, or refuse: then the bytes are erased."),
    ),
    Reason.IDENTITY_MERGE: (
        marked("the hospital merged patient numbers"),
        marked("Accept it, and the roster gains the surviving number; dismiss it where it is not this person."),
    ),
    Reason.UNREADABLE_MESSAGE: (
        marked("the message is damaged or in another character set"),
        marked("Ask hospital IT to send it again, or retry it after the source's settings were put right."),
    ),
}
FORMULAS: Mapping[str, str] = {
    "MELD_UNOS": marked("MELD by the UNOS formula, from bilirubin, INR and creatinine"),
    "MELD_NA": marked("MELD-Na (OPTN 2016), also from sodium"),
    "MELD_3_0": marked("MELD 3.0, also from sodium, albumin and sex"),
}


@dataclass(frozen=True, slots=True)
class Measured:
    """One analyte of the table: what it is called, its unit, the units that are converted, and its limits."""

    id: str
    label: str
    unit: str
    others: str
    hard: str
    query: str


def measured(protocol: Protocol) -> list[Measured]:
    """Everything that the protocol takes from a laboratory, in its order; scores are computed and stand apart."""
    return [_measured(each) for each in protocol.analytes.values() if not each.derived]


def _measured(each: Analyte) -> Measured:
    others = ", ".join(unit for unit in each.units if unit != each.unit)
    hard = "" if each.hard_min is None else f"{each.hard_min} – {each.hard_max}"
    query = "" if each.query_min is None else f"{each.query_min} – {each.query_max}"
    return Measured(each.id, each.label, each.unit, others, hard, query)


def show(page: Page) -> Response:
    """The rules in words."""
    protocol = page.config.protocol
    return page.render(
        "help.html",
        labels=labels,
        protocol=protocol,
        measured=measured(protocol),
        formula=FORMULAS[protocol.scores.meld],
        statuses=STATUSES,
        flags=FLAGS,
        no_value=NO_VALUE,
        questions=QUESTIONS,
    )


ROUTES = [serve("/help", show, "help")]
