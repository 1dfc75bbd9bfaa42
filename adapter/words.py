"""What people read, in one place: the sentence of each rule, reason and outcome.

Rules speak in names and facts (``Step``, ``ReviewItem.detail``); this page says them. Facts are of laboratory results
and of the protocol, never of a person.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from adapter import labels
from adapter.model import Step
from adapter.retold import retold

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
    "mapped_assessment": "The source's configuration says that {code} is an assessment of {item} ({row}).",
    "assessed": "The source's configuration reads the value as {value}.",
    "unknown_assessment": "The value “{text}” is none that the source's configuration lists for {item}.",
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
    # said by a person
    "person_analyte": "A person said that this result is {text} (decision {decision}).",
    "person_value": "A person read the value as {text} (decision {decision}).",
    "person_unit": "A person said that the unit is {text} (decision {decision}).",
    "person_status": "A person said that the status means {text} (decision {decision}).",
    "person_specimen": "A person confirmed that the specimen counts (decision {decision}).",
    "person_plausible": "A person confirmed a value outside what is held possible (decision {decision}).",
    "person_collected": "A person said that the specimen was taken at {text} (decision {decision}).",
    "person_taken_back": "A person took this result back (decision {decision}).",
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
    "candidate_score_is_computed": "Kept beside the score that is computed from the values of {visit}.",
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
    "changed_after_sign_off": "{visit} was signed off, and {endpoints} changed since.",
    "score_mismatch": "The laboratory reported another score for {endpoint} at {visit} than the values of that visit "
    "give ({computed}).",
    # why a value is another under other rules
    "reprocess_first_derived": "{where} is of a message that was not derived before.",
    "reprocess_counted": "{where} was ignored before; now it counts ({mapping}).",
    "reprocess_ignored": "{where} is ignored now ({rule}).",
    "reprocess_of_nobody": "{where} is no longer read as this participant's.",
    "reprocess_held": "{where} is held now: {reason}.",
    "reprocess_released": "{where} was held ({reason}); now it counts ({by}).",
    "reprocess_mapped": "{where} is {now} now ({mapping}), and was {was}.",
    "reprocess_collected": "{where} is taken to be collected at {now} now, and was at {was}.",
    "reprocess_into_window": "{where} lies in the window of {now} now; before: {was}.",
    "reprocess_outcome": "{where} is {now} now; before: {was}.",
    "reprocess_converted": "{where} is converted by {now} now, and was by {was}.",
    "reprocess_read": "{where} is read as {now} now, and was as {was}.",
    "reprocess_asked_for": "The protocol asks for this now.",
    "reprocess_asked_for_no_more": "The protocol asks for this no longer.",
    "reprocess_outdone": "{where} is a candidate still, and another goes before it now ({rule}).",
    "reprocess_in_review": "An open question could give the value: {reason}.",
    "reprocess_settled": "No open question could give the value any more; before: {reason}.",
    "reprocess_status": "The result counts as {now} now; before: {was}.",
    "reprocess_flags": "The value stands; its flags are “{now}” now, and were “{was}”.",
    "reprocess_inputs": "It is computed from other inputs: {inputs}.",
    "reprocess_formula": "It is computed otherwise now ({formula}).",
    "reprocess_stored": "By these rules and this roster it no longer follows from what was received.",
    "lineage_steps_of_other_rules": "Not told here: the files hold other rules than those it was derived by.",
    # what an export says of what is not there
    "not_done_no_result": "No result was received before the window of the visit closed.",
    "not_done_by_laboratory": "The laboratory reported that there is no result.",
    "not_done_not_accepted": "Results were received, and none was accepted ({reason}).",
    "not_done_score": "Not computed ({reason}).",
    "visit_without_results": "No laboratory result was received in the window of the visit.",
    "unmapped_group": "{codes} codes of this source resemble no endpoint; they can be dismissed together.",
    # from a number to its bytes
    "lineage_follows": "Derived again from the stored messages, by the rules in force, the same comes out.",
    "lineage_follows_not": "Derived again from the stored messages, by the rules in force, this comes out instead: "
    "{found}. Please report it.",
    "lineage_other_rules": "The files hold other rules than those it was derived by; by the files this would come out: "
    "{found}.",
    "lineage_moving": "What was received or decided just now is still being derived; ask again.",
    "note_same_control_id_other_content": "Another message of this source has the same control id and other content.",
    "formula_MELD_UNOS": "MELD(i) of UNOS, from bilirubin, INR and creatinine (OPTN policy 9.1.D).",
    "formula_MELD_NA": "MELD-Na, from MELD and sodium (OPTN policy 9.1.D of 2016).",
    "formula_MELD_3_0": "MELD 3.0, from bilirubin, INR, creatinine, sodium, albumin and sex (Kim and others, 2021).",
    "formula_CHILD_PUGH": "Points for bilirubin, albumin, clotting, ascites and encephalopathy, added (MSD Manual).",
    "score_dialysis_not_assessed": "Dialysis was not assessed; it counts as none.",
    # the queue
    "item_erased": "What this asked about was another person's and was erased.",
    "answer_map": "Every result of {source} with code {code} becomes one of this analyte, those already here included.",
    "answer_dismiss": "The question is closed for the results it holds now; none of them becomes a value.",
    "answer_dismiss_code": "These codes of {source} are none of the protocol's analytes; whatever comes by them is "
    "ignored, now and later.",
    "answer_accept_unit": "Whatever {source} sends as “{unit}” with code {code} means this unit, now and later.",
    "answer_accept_unit_without_unit": "Whatever {source} sends with code {code} and no unit is in this unit, now and "
    "later.",
    "answer_say_unit": "The unit of these results alone is this.",
    "answer_say_analyte": "These results alone are of this analyte.",
    "answer_say_value": "This one result reads so; what the laboratory sent is kept beside it.",
    "answer_say_plausible": "The value is right as it was sent, though it lies outside what is held possible.",
    "answer_say_specimen": "The specimen of these results alone is blood, serum or plasma.",
    "answer_accept_specimen": "What {source} calls “{specimen}” is blood, serum or plasma, now and later.",
    "answer_say_collected_at": "The specimen of these results was taken then.",
    "answer_say_status": "The status of these results alone means this one of table 0085.",
    "answer_map_status": "What {source} sends as status “{status}” means this one of table 0085, now and later.",
    "answer_map_status_without_status": "What {source} sends without a status has this one of table 0085, now and "
    "later.",
    "answer_choose": "This result is the value of {endpoint} at {visit}, whatever comes; a later change asks again.",
    "answer_take_back": "These results no longer stand; what the laboratory sends in their place does.",
    "answer_accept_outside": "This result is the value of {endpoint} at {visit}, marked as outside its window.",
    "answer_sign_off": "The values of {visit} are confirmed as they stand now.",
    "answer_confirm_identity": "The message is this participant's, whatever it says that the roster does not.",
    "answer_refuse_identity": "The message is another person's: its bytes are erased, which cannot be undone.",
    "answer_merge_identity": "{participant} is known by the surviving identifier too; the roster gains it.",
    "answer_retry": "The message is read once more.",
    "decided_map_code": "{source}: the code {code} is {analyte}.",
    "decided_dismiss_code": "{source}: the code {code} is none of the protocol's analytes.",
    "decided_accept_unit": "{source}: the unit “{sent}” of code {code} is {unit}.",
    "decided_accept_unit_without_sent": "{source}: code {code} without a unit is in {unit}.",
    "decided_map_status": "{source}: the status “{sent}” means {status}.",
    "decided_map_status_without_sent": "{source}: where no status is sent, it is {status}.",
    "decided_accept_specimen": "{source}: the specimen “{specimen}” is taken for blood, serum or plasma.",
    "decided_read_result": "A result was given its {what}: {to}.",
    "decided_read_result_plausible": "A result was confirmed as it was sent, though it lies outside what is possible.",
    "decided_read_result_specimen": "The specimen of a result was accepted as blood, serum or plasma.",
    "decided_take_back": "A result was taken back.",
    "decided_choose": "A candidate was chosen as the value of {endpoint} at {visit}.",
    "decided_accept_outside": "A result outside its window was accepted as the value of {endpoint} at {visit}.",
    "decided_confirm_identity": "The message was said to be of {participant}.",
    "decided_refuse_identity": "The message was said to be of another person.",
    "decided_merge_identity": "The merged identifiers were accepted for {participant}.",
    "decided_retry": "The message was to be read once more.",
    "decided_dismiss_item": "Question {item} was dismissed.",
    "decided_sign_off": "{visit} was signed off.",
    "decided_undo": "Decision {decision} was undone.",
    # the table against values entered by hand
    "compare_value_differs": "{entered} was entered; the value here is {here}, which would be entered as {as_entered}.",
    "compare_value_is_another": "{entered} was entered; the value here is {here}.",
    "compare_comparator_differs": "{entered} was entered; the value here is {here}: the comparator is another.",
    "compare_date_differs": "Entered as of {entered_on}; the value here was collected {collected}.",
    "compare_unit_unknown": "{endpoint} is not measured in “{unit}” here: {entered} cannot be compared with {here}.",
    "compare_no_unit": "No unit was entered, and none is assumed: {entered} cannot be compared with {here}.",
    "compare_only_here": "No value was entered; here it is {here}.",
    "compare_not_in_file": "The file does not list it; here it is {here}.",
    "compare_only_there": "{entered} was entered; here there is no value: {status}, {reason}.",
    "fits_unit": "In {unit} the number entered is the value here.",
    "fits_decimal_point": "With its decimal point moved by {places} the number entered is the value here.",
    "fits_exchanged_digits": "With the digits {first} and {second} exchanged the number entered is the value here.",
    "fits_factor": "They differ by less than a thousandth, as two conversion factors do.",
    "fits_candidate": "What was entered is another result of the visit: {where}.",
    "fits_other_visit": "What was entered is a result of {visit}: {where}.",
    "fits_superseded": "What was entered is a report (status {status}) that another has replaced since: {where}.",
    "fits_taken_back": "What was entered is a result that the laboratory has taken back: {where}.",
    "fits_unscheduled": "What was entered is a result outside every window: {where}.",
    "fits_baseline": "What was entered is the baseline: {where}.",
    "fits_held": "What was entered is a result that waits for an answer, {reason}: {where}.",
    "fits_endpoint": "The number entered is that of {endpoint} at {visit}: {value}.",
    "fits_report_date": "The date entered is that of the report, not of the collection.",
    "fits_day_and_month": "With day and month exchanged the date entered is that of the collection.",
    "fits_another_year": "Only the year of the date entered is another.",
    "fits_utc_date": "The date entered is that of the collection as UTC counts days.",
}


_SUGGESTION = "; its name resembles {suggestion}"


class _Facts(dict[str, str]):
    """A fact that was not given reads as nothing rather than fail a person's page."""

    def __missing__(self, key: str) -> str:
        return ""


def say(rule: str, facts: Mapping[str, str], translate: Callable[[str], str] = str) -> str:
    """The sentence of a rule with its facts.

    ``translate`` gives the sentence in a language of the page, and facts that are names are told in words then; without
    it they stand as the command line and the files have them. A sentence can have another form for where a fact of it
    is empty, so that nothing is told in empty quotation marks.
    """
    rule = next((f"{rule}_without_{name}" for name, fact in facts.items() if not fact and _has_form(rule, name)), rule)
    known = _Facts(facts if translate is str else {name: _told(rule, name, facts, translate) for name in facts})
    known["why_said"] = f" ({known['why']})" if facts.get("why") else ""
    known["suggestion_said"] = translate(_SUGGESTION).format_map(known) if facts.get("suggestion") else ""
    return translate(_SENTENCES[rule]).format_map(known)


def _has_form(rule: str, name: str) -> bool:
    return f"{rule}_without_{name}" in _SENTENCES


def _told(rule: str, name: str, facts: Mapping[str, str], translate: Callable[[str], str]) -> str:
    """A fact in words. The same name can mean another thing to another rule."""
    fact = facts[name]
    naming = _OF_RULE.get((rule, name)) or _OF_EVERY_RULE.get(name)
    return fact if naming is None else naming(fact, translate)


_Naming = Callable[[str, Callable[[str], str]], str]
_OF_EVERY_RULE: Mapping[str, _Naming] = {
    "visit": labels.visit,
    "reason": labels.reason,
    "rule": labels.rule,
    "why": retold,
    "what": labels.read,
    "item": labels.item,
    "inputs": labels.listed,
    "analytes": labels.listed,
    "formula": lambda name, _: labels.formula(name),
    "mapping": labels.row,
    "row": labels.row,
    "by": labels.row,
}
_OF_RULE: Mapping[tuple[str, str], _Naming] = {
    ("read", "value"): labels.sent,
    ("no_result", "text"): labels.sent,
    ("unknown_assessment", "text"): labels.sent,
    ("unreadable_time", "text"): labels.sent,
    ("time_too_coarse", "text"): labels.sent,
    ("assessed", "value"): labels.item,
    ("person_value", "text"): labels.item,
    ("decided_read_result", "to"): labels.item,
    ("reprocess_outcome", "was"): labels.outcome,
    ("reprocess_outcome", "now"): labels.outcome,
    ("reprocess_into_window", "was"): labels.outcome,
    ("reprocess_status", "was"): labels.status,
    ("reprocess_status", "now"): labels.status,
    ("reprocess_flags", "was"): labels.flags,
    ("reprocess_flags", "now"): labels.flags,
}


def decided(kind: str, body: Mapping[str, str], translate: Callable[[str], str] = str) -> str:
    """What a decision says; one of a kind that is not known (of a newer version) by its name."""
    for rule in (f"decided_{kind}_{body.get('what')}", f"decided_{kind}"):
        if rule in _SENTENCES:
            return say(rule, body, translate)
    return kind


def say_step(step: Step, translate: Callable[[str], str] = str) -> str:
    """One step of an explanation as a sentence."""
    return say(step.rule, step.facts, translate)


def knows(rule: str) -> bool:
    """Whether there is a sentence for a rule; a test asks this of every rule there is."""
    return rule in _SENTENCES


def sentences() -> list[str]:
    """Every text of this file that a page can show, for the catalogue; what only a comparison says is in English."""
    elsewhere = ("compare_", "fits_", "not_done_", "visit_")
    shown = [text for rule, text in _SENTENCES.items() if not rule.startswith(elsewhere)]
    return [*shown, _SUGGESTION]
