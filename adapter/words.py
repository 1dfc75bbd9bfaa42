"""What people read, in one place: the sentence of each rule, reason and outcome.

Rules speak in names and facts (``Step``, ``ReviewItem.detail``); this page says them. Facts are of laboratory results
and of the protocol, never of a person.
"""

from __future__ import annotations

from collections.abc import Mapping

from adapter.model import Step

_SENTENCES = {
    # read and mapped
    "read": "{locator} reports “{value}” under code {code}.",
    "mapped_loinc": "LOINC {code} is {analyte} ({row}).",
    "mapped_local": "The source's code map says that {code} is {analyte} ({row}).",
    "not_an_endpoint": "LOINC {code} is none of the protocol's analytes{why_said}; the result is ignored.",
    "dismissed_code": "The source's code map dismisses code {code}; the result is ignored.",
    "unmapped_code": "Nobody has said yet what the source's code {code} is{suggestion_said}.",
    "conditional_code": "LOINC {code} would be {suggestion}, but is accepted only where the setting conditional_codes "
    "lists it, or where you map it.",
    "local_codes_disagree": "The result carries two local codes that mean different things: {analytes}.",
    "loinc_codes_disagree": "The result carries two LOINC codes that mean different things: {analytes}.",
    "loinc_and_local_disagree": "LOINC {code} and the source's code map disagree on what this is: {analytes}.",
    # status
    "status": "{field} {code} gives its status.",
    "status_mapped": "The source's status map reads “{code}” as {as}.",
    "unknown_status": "The status “{code}” is none of table 0085's and the source's status map does not name it.",
    "no_status": "Neither OBX-11 nor OBR-25 says what the result's status is, and the source's status map is silent.",
    # value and unit
    "wrong_specimen": "The specimen is “{specimen}”; only blood, serum or plasma count.",
    "no_result": "The laboratory says there is no result (“{text}”).",
    "unreadable_value": "The value cannot be read: {why}.",
    "missing_unit": "No unit was sent, and the source's code map states none for this {analyte} code.",
    "unknown_unit": "The unit “{unit}” is not one that {analyte} is measured in here.",
    "unit": "The unit “{unit}” is {meant}; the number stays as it was reported.",
    "converted": "Converted from {from} by the factor {factor}: {value} {unit}.",
    "implausible_value": "The value lies outside what is possible for {analyte} ({min} to {max} {unit}).",
    "outside_query_limits": "The value lies outside the query limits for {analyte} ({min} to {max} {unit}); it is "
    "placed with a flag.",
    # time
    "collected": "{address} says that the specimen was taken at {text}; in the trial's time zone {at}.",
    "no_time": "No collection time was sent; the time of the report never stands in for it.",
    "time_too_coarse": "The collection time “{text}” does not name a day.",
    "unreadable_time": "The collection time in {address}, “{text}”, is no time.",
    "several_times": "The order names several specimens with different collection times ({address}).",
    "times_disagree": "The fields that state the collection time contradict each other ({address}).",
    "implausible_time": "The specimen would have been taken over a day after the message came ({at}).",
    # whole messages
    "message_identity_conflict": "The message contradicts the roster in {field}; its results are no values for now.",
    "message_unreadable_message": "The message cannot be read: {why}.",
    "message_names_several": "The message names more than one participant.",
    "message_names_nobody": "The roster has changed: the message names this participant no longer.",
    "message_identity_merge": "The hospital has merged patient identifiers, one of them of the roster.",
    # among others
    "confirmed_final": "A later report (status U) makes this preliminary result final.",
    "confirms_nothing": "The laboratory says that a result became final, but that result was never received.",
    "superseded": "Another report of the same result stands (message {by}).",
    "taken_back": "The laboratory has taken this result back (message {by}).",
    "takes_back": "The laboratory takes this result back.",
    "after_withdrawal": "Taken on or after the participant's withdrawal, or undated: excluded.",
    "after_death": "Dated on or after the participant's death: excluded.",
    "after_transplantation": "Taken on or after the participant's transplantation: excluded.",
    "baseline": "The last final result before infusion: the baseline.",
    "no_infusion_date": "There is no infusion date yet; it is aligned when that comes.",
    "unscheduled": "Day {day} after infusion lies in no visit's window: unscheduled.",
    "placed": "Day {day} after infusion lies in {visit}, {offset} days from its target.",
    "held": "Held for review: {reason}.",
    "candidate_chosen": "Chosen as the value of {endpoint} at {visit}.",
    "candidate_chosen_by_person": "Chosen by a person as the value of {endpoint} at {visit}.",
    "candidate_another_chosen_by_person": "A person chose another result for {endpoint} at {visit}.",
    "candidate_conflicting_results": "Not chosen: the results of {endpoint} at {visit} contradict each other.",
    "candidate_same_result_through_two_sources": "The same result came through another source; it counts once.",
    "candidate_preliminary": "Not chosen: preliminary, and there is a final result.",
    "candidate_farther_from_target": "Not chosen: another result lies nearer to the target of {visit}.",
    "candidate_earlier_date": "Not chosen: another result lies equally near and is of a later date.",
    "candidate_earlier_time": "Not chosen: another result of the same day was taken later.",
    "candidate_earlier_report": "Not chosen: another result of the same time was reported later.",
    "candidate_order_number": "Not chosen: equal in everything to another, which goes first by its order number.",
    # questions of a cell
    "conflicting_results": "Results of {endpoint} for {visit} with the same collection time, or of one order, differ.",
    "window_missed": "The window of {visit} has closed without a result of {endpoint}; this one lies {days} days from "
    "its target.",
    "changed_after_choice": "What the choice for {endpoint} at {visit} was made on has changed since.",
    "unmapped_group": "{codes} codes of this source resemble no endpoint; they can be dismissed together.",
}


class _Facts(dict[str, str]):
    """A fact that was not given reads as nothing rather than fail a person's page."""

    def __missing__(self, key: str) -> str:
        return ""


def say(rule: str, facts: Mapping[str, str]) -> str:
    """The sentence of a rule with its facts."""
    known = _Facts(facts)
    known["why_said"] = f" ({facts['why']})" if facts.get("why") else ""
    known["suggestion_said"] = f"; its name resembles {facts['suggestion']}" if facts.get("suggestion") else ""
    return _SENTENCES[rule].format_map(known)


def say_step(step: Step) -> str:
    """One step of an explanation as a sentence."""
    return say(step.rule, step.facts)


def knows(rule: str) -> bool:
    """Whether there is a sentence for a rule; a test asks this of every rule there is."""
    return rule in _SENTENCES
