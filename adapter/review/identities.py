"""Answers about whose a message is: confirmed, refused, merged; and a message that is read once more."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from adapter.model import Decision, Participant, PatientIdentifier, SourceRules
from adapter.pipeline import Rulebook
from adapter.review.desk import DecisionRefused
from adapter.review.merges import as_entered, gained, held_by, merges_in, surviving
from adapter.review.proposal import Proposal, RosterChange
from adapter.review.question import Question
from adapter.store import Store


def confirm(question: Question) -> Proposal:
    """The message is this participant's, whatever it says that the roster does not."""
    message, item = question.message(), question.entry.item
    participant = question.given.participant or item.study_id
    if participant is None or participant not in message.study_ids:
        named = ", ".join(message.study_ids)
        raise DecisionRefused(
            f"say whose message item {question.entry.id} is: it came as one of {named}, and of nobody else"
        )
    return question.of_message("confirm_identity", participant=participant)


def refuse(question: Question) -> Proposal:
    """The message is another person's: its bytes are erased."""
    return replace(question.of_message("refuse_identity"), erases=question.message().id)


def retry(question: Question) -> Proposal:
    """The message is read once more."""
    return question.of_message("retry")


def merge(question: Question) -> Proposal:
    """The hospital merged two identities of this participant: the roster gains the identifiers that survive."""
    entry, source = question.entry, question.source_rules
    person = question.store.participant(entry.item.study_id or "")
    if person is None:
        raise DecisionRefused(f"item {entry.id} is of nobody on the roster; dismiss it")
    merges = merges_in(question.message(), source)
    new = gained(merges, person, source)
    if not new:
        raise DecisionRefused(
            f"item {entry.id}: the message names no identifier that {person.study_id} does not have; add the surviving "
            "one with `lab-adapter participants update`, then dismiss the item"
        )
    _refuse_if_taken(question.store, person, new, source)
    # By their places in the message: the trail holds no identifier.
    named = surviving(merges)
    places = ",".join(str(named.index(each)) for each in new)
    proposal = question.of_message("merge_identity", participant=person.study_id, gained=places)
    change = RosterChange(person.study_id, gained=tuple(as_entered(each, source) for each in new))
    return replace(proposal, scopes=None, roster=change)


def undone_merge(store: Store, book: Rulebook, decision: Decision, *, again: bool) -> RosterChange:
    """What undoing a merge is to the roster: it loses what it gained; ``again`` it gains it, that being undone."""
    study_id = decision.body["participant"]
    person, source = store.participant(study_id), book.sources.get(decision.body["source"])
    messages = [m for m in store.received(study_id) if m.sha256 == decision.body["sha256"]]
    named = surviving(merges_in(messages[0], source)) if messages and source is not None else []
    places = [int(place) for place in decision.body["gained"].split(",")]
    if person is None or source is None or max(places) >= len(named):
        raise DecisionRefused(
            f"decision {decision.id} cannot be undone here: its message is no longer read as it was; correct the "
            "identifiers with `lab-adapter participants update`"
        )
    meant = [named[place] for place in places]
    entered = tuple(as_entered(each, source) for each in meant)
    if again:
        _refuse_if_taken(store, person, meant, source)
        return RosterChange(study_id, gained=entered)
    if all(each in entered for each in person.identifiers):
        raise DecisionRefused(f"{study_id} would be left without an identifier; add another one first")
    return RosterChange(study_id, lost=tuple(each for each in entered if each in person.identifiers))


def _refuse_if_taken(
    store: Store, person: Participant, identifiers: Iterable[PatientIdentifier], source: SourceRules
) -> None:
    others = [other for other in store.participants() if other.study_id != person.study_id]
    for each in identifiers:
        for holder in held_by(others, each, source):
            raise DecisionRefused(
                f"the identifier that survives is {holder}'s: {person.study_id} and {holder} would be one person; "
                "settle the roster first"
            )
