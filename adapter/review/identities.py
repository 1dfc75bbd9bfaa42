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
from adapter.review.rows import marked
from adapter.store import Store


def confirm(question: Question) -> Proposal:
    """The message is this participant's, whatever it says that the roster does not."""
    message, item = question.message(), question.entry.item
    participant = question.given.participant or item.study_id
    if participant is None or participant not in message.study_ids:
        text = marked("say whose message item {item} is: it came as one of {named}, and of nobody else")
        raise DecisionRefused(text, item=question.entry.id, named=", ".join(message.study_ids))
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
        raise DecisionRefused(marked("item {item} is of nobody on the roster; dismiss it"), item=entry.id)
    merges = merges_in(question.message(), source)
    new = gained(merges, person, source)
    if not new:
        text = marked(
            "item {item}: the message names no identifier that {study_id} does not have; add the surviving one to the "
            "roster, then dismiss the item"
        )
        raise DecisionRefused(text, item=entry.id, study_id=person.study_id)
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
        text = marked(
            "decision {id} cannot be undone here: its message is no longer read as it was; correct the identifiers on "
            "the roster"
        )
        raise DecisionRefused(text, id=decision.id)
    meant = [named[place] for place in places]
    entered = tuple(as_entered(each, source) for each in meant)
    if again:
        _refuse_if_taken(store, person, meant, source)
        return RosterChange(study_id, gained=entered)
    if all(each in entered for each in person.identifiers):
        text = marked("{study_id} would be left without an identifier; add another one first")
        raise DecisionRefused(text, study_id=study_id)
    return RosterChange(study_id, lost=tuple(each for each in entered if each in person.identifiers))


def _refuse_if_taken(
    store: Store, person: Participant, identifiers: Iterable[PatientIdentifier], source: SourceRules
) -> None:
    others = [other for other in store.participants() if other.study_id != person.study_id]
    for each in identifiers:
        for holder in held_by(others, each, source):
            text = marked(
                "the identifier that survives is {holder}'s: {study_id} and {holder} would be one person; settle the "
                "roster first"
            )
            raise DecisionRefused(text, holder=holder, study_id=person.study_id)
