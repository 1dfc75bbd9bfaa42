"""The desk: what can be decided, and the deciding. Page and command line come through here alone.

A decision is proposed (checked, nothing written), shown with what it would change, and then made. It is an input of the
rules: what it changes is derived, never written by hand, and it is undone by another decision.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from adapter.model import Decision, Participant
from adapter.pipeline import Rulebook
from adapter.reprocess import Rehearsal, rehearse
from adapter.review import answers, choices, identities
from adapter.review.desk import DecisionRefused, Entry
from adapter.review.proposal import Given, Place, Proposal, concerned
from adapter.review.question import Question, of_results
from adapter.review.rows import marked
from adapter.rules.decided import READABLE, in_force, undone
from adapter.store import Store

_ANSWERS: Mapping[str, Callable[[Question], Proposal]] = {
    "map": answers.map_code,
    "dismiss": answers.dismiss,
    "accept_unit": answers.accept_unit,
    "accept_specimen": answers.accept_specimen,
    "map_status": answers.map_status,
    "take_back": answers.take_back,
    "choose": choices.choose_for,
    "accept_outside": choices.accept_outside,
    "sign_off": choices.sign_off_again,
    "confirm_identity": identities.confirm,
    "refuse_identity": identities.refuse,
    "merge_identity": identities.merge,
    "retry": identities.retry,
    **{f"say_{what}": partial(answers.say, what=what) for what in READABLE},
}


@dataclass(frozen=True, slots=True)
class Desk:
    """Where decisions are proposed and made: the store, the rules and the instant."""

    store: Store
    book: Rulebook
    at: datetime

    def propose(self, entry: Entry, action: str, given: Given) -> Proposal:
        """What answering an item in this way would be. Raises DecisionRefused where it is no answer to it."""
        if entry.state != "open" and action != "map":  # a code is mapped anew: the later decision counts
            text = marked("item {item} is not open; undo the decision that settled it to decide otherwise")
            raise DecisionRefused(text, item=entry.id)
        if action == "map" and len(entry.members) > 1:
            text = marked("entry {item} holds {count} codes; name one of them by its own id")
            raise DecisionRefused(text, item=entry.id, count=len(entry.members))
        if action not in answers.actions_of(entry):
            text = marked("item {item} is {reason}, and that is no answer to it; it is shown with those that are")
            raise DecisionRefused(text, item=entry.id, reason=entry.item.reason)
        return _ANSWERS[action](Question(self.store, self.book, self.at, entry, given))

    def choose(self, study_id: str, visit: str, endpoint: str, result: Place) -> Proposal:
        """Let another candidate stand as the value of a cell. Raises DecisionRefused where it cannot."""
        return choices.choose(self.store, self.book, self.at, (study_id, visit, endpoint), result)

    def take_back(self, study_id: str, result: Place) -> Proposal:
        """Let a result no longer stand; what comes in its place later does. Raises DecisionRefused."""
        rows = [r for r in self.store.results(study_id) if (r.inbox_id, r.locator) == result]
        if not rows or rows[0].endpoint is None:
            text = marked("{result} is no result of {study_id} for an endpoint")
            raise DecisionRefused(text, result=f"{result[0]}:{result[1]}", study_id=study_id)
        return of_results(self.store, "take_back", rows)

    def sign_off(self, study_id: str, visit: str) -> Proposal:
        """Confirm the values of a visit as they stand. Raises DecisionRefused where something is open."""
        return choices.sign_off(self.store, self.book.protocol, study_id, visit)

    def undo(self, decision_id: int) -> Proposal:
        """Take a decision back by another. Raises DecisionRefused where it erased bytes: nothing is left of them."""
        made = {decision.id: decision for decision in self.store.decisions()}
        found = made.get(decision_id)
        if found is None:
            raise DecisionRefused(marked("there is no decision {id}; the decisions are listed"), id=decision_id)
        if found.kind == "refuse_identity":
            text = marked("decision {id} erased the message's bytes; if it was right, have it sent again")
            raise DecisionRefused(text, id=decision_id)
        if decision_id in undone(made.values()):
            raise DecisionRefused(marked("decision {id} is undone already"), id=decision_id)
        first = found
        while first.kind == "undo":
            first = made[int(first.body["decision"])]
        body = {"decision": str(decision_id)}
        if "study_id" in first.body:
            body["study_id"] = first.body["study_id"]
        proposal = Proposal((("undo", body),), concerned(self.store, first.kind, first.body))
        if first.kind != "merge_identity":
            return proposal
        then = in_force((*made.values(), *proposal.as_if(list(made.values()), "")))
        change = identities.undone_merge(self.store, self.book, first, again=first in then)
        return Proposal(proposal.decisions, roster=change)

    def preview(self, proposal: Proposal) -> Rehearsal:
        """Exactly what would change; nothing is written. Raises NotDerivable."""
        change, enrolled = proposal.roster, list[Participant]()
        if change is not None and (person := self.store.participant(change.study_id)) is not None:
            enrolled = [change.of(person)]
        decided = proposal.as_if(self.store.decisions(), self.at.isoformat())
        return rehearse(self.store, self.book, self.at, enrolled=enrolled, decided=decided, scopes=proposal.scopes)

    def decide(self, proposal: Proposal, who: str, why: str, after: int | None = None) -> list[Decision]:
        """Make it: the decisions and what goes with them, in one transaction. Raises DecisionRefused without reason.

        ``after`` is how many decisions there were when it was shown: where somebody has decided since, it is refused.
        """
        if not why.strip():
            raise DecisionRefused(marked("a decision needs its reason; say why, for whoever reads the trail"))
        with self.store.write() as tx:
            if after is not None and len(tx.decisions()) != after:
                raise DecisionRefused(marked("somebody has decided something meanwhile; look again"))
            made = [tx.add_decision(kind, body, who, why, self.at) for kind, body in proposal.decisions]
            if (change := proposal.roster) is not None:
                person = tx.participant(change.study_id)
                if person is None:
                    raise DecisionRefused(marked("{study_id} is no longer on the roster"), study_id=change.study_id)
                tx.put_participant(change.of(person), who, why, self.at)
                for identifier in change.lost:
                    tx.remove_identifier(change.study_id, identifier, who, why, self.at)
            if proposal.erases is not None:
                tx.erase_raw(proposal.erases, who, why, self.at)
        return made
