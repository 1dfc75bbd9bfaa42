"""The same decisions on the command line: found, understood, tried, made and undone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deskrun import message
from tracedsite import Site

from adapter.model import Reason

ALT = "S-001 week-4 ALT"
TWO_DAYS = message("1742-6^^LN 45 U/L F 20260202", "1742-6^^LN 51 U/L F 20260204")
CORRECTED = message("1742-6^^LN 46 U/L C 20260202", id="M2", at="20260301080000+0800")
SECOND_CORRECTED = message("1742-6^^LN 52 U/L C 20260204", id="M2", at="20260301080000+0800").replace(
    b"L-1-1", b"L-1-2"
)
BY = ("--reason", "told by the laboratory", "--by", "trial nurse")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    found = Site(tmp_path, monkeypatch)
    yield found
    found.run.close()


def asks(site: Site, *arguments: str) -> Any:
    return json.loads(site.says(*arguments, "--json")[0])


def item(site: Site, reason: str) -> str:
    (found,) = [each["id"] for each in asks(site, "review", "list") if each["reason"] == reason]
    return str(found)


def value(site: Site, cell: str) -> str | None:
    study_id, visit, endpoint = cell.split()
    rows = {(r["study_id"], r["visit"], r["endpoint"]): r for r in asks(site, "values", "--all")}
    found: str | None = rows[study_id, visit, endpoint]["value_text"]
    return found


def place(site: Site, reason: str, reported: str) -> str:
    """A result as `review show` names it."""
    (found,) = [r for r in asks(site, "review", "show", item(site, reason))["results"] if r["reported"] == reported]
    return str(found["result"])


# reason, what is received, the answer, what `review show` calls it, the value of ALT at week 4 or None
CASES = [
    ("unmapped_code", "unmapped-local-code.hl7", "--map ALT", "--map ANALYTE [--unit UNIT]", "40"),
    ("code_conflict", "code-conflict.hl7", "--analyte ALT", "--analyte ANALYTE", "40"),
    ("wrong_specimen", message("1742-6^^LN 40 U/L F 20260202") + b"SPM|1|||URN^Urine\r", "--accept", "--accept", "40"),
    ("unreadable_value", "thousands-separator.hl7", "--read-as 1234", "--read-as TEXT", "1234"),
    ("missing_unit", "missing-unit.hl7", "--unit U/L", "--unit UNIT", "40"),
    ("unknown_unit", "unit-of-another-dimension.hl7", "--unit U/L", "--unit UNIT", "40"),
    ("implausible_value", message("1742-6^^LN 99999 U/L F 20260202"), "--accept", "--accept", "99999"),
    ("missing_collection_time", "collected-in-a-month.hl7", "--collected 2026-02-02", "--collected TIME", "40"),
    ("implausible_time", "collected-in-the-far-future.hl7", "--collected 2026-02-02", "--collected TIME", "40"),
    ("unknown_status", "status-zero.hl7", "--status F", "--status CODE", "40"),
    ("conflicting_results", "two-values-of-one-observation.hl7", "--choose 1:OBX[2]", "--choose RESULT", "44"),
    ("conflicting_results", "two-values-of-one-observation.hl7", "--take-back --only 1:OBX[2]", "--take-back", "40"),
    ("window_missed", "day-before-window.hl7", "--accept", "--accept", "40"),
    ("identity_conflict", "other-birth-date.hl7", "--confirm", "--confirm [STUDY_ID]", "40"),
    ("identity_conflict", "other-birth-date.hl7", "--confirm S-001", "--confirm [STUDY_ID]", "40"),
    ("identity_merge", "merged-identifiers.hl7", "--merge", "--merge", None),
    ("unreadable_message", "undecodable-bytes.hl7", "--dismiss", "--dismiss", None),
    ("score_mismatch", "", "--dismiss", "--dismiss", None),
]
SCORE = message(
    "14631-6^^LN 68.4 umol/L F 20260202",
    "6301-6^^LN 1.8 1 F 20260202",
    "14682-9^^LN 88.4 umol/L F 20260202",
    "44760-7^^LN 31 {score} F 20260202",
)


@pytest.mark.parametrize(("reason", "received", "answer", "options", "becomes"), CASES, ids=lambda v: str(v)[:20])
def test_an_item_of_each_reason_is_found_understood_settled_and_undone(
    site: Site, reason: str, received: str | bytes, answer: str, options: str, becomes: str | None
):
    site.receives(received or SCORE)
    name, was = item(site, reason), value(site, ALT)
    shown = asks(site, "review", "show", name)
    assert shown["detail"]
    assert options in [each["options"] for each in shown["answers"]]
    assert options in site.says("review", "show", name)[0]
    resolve = ("review", "resolve", name, *answer.split())
    tried = asks(site, *resolve, "--dry-run")
    assert (tried["decisions"], tried["open"], asks(site, "review", "decisions")) == ([], True, [])
    done = asks(site, *resolve, *BY)
    assert (done["cells"], done["open"]) == (tried["cells"], False)
    assert value(site, ALT) == becomes
    if becomes is not None:
        (cell,) = [c for c in done["cells"] if (c["visit"], c["endpoint"]) == ("week-4", "ALT")]
        assert (cell["old"]["value_text"], cell["new"]["value_text"], bool(cell["why"])) == (was, becomes, True)
    assert name not in [each["id"] for each in asks(site, "review", "list")]
    for number in done["decisions"]:
        back = asks(site, "review", "undo", str(number), *BY)
    assert (item(site, reason), value(site, ALT)) == (name, was)
    if len(done["decisions"]) == 1:  # then the one undoing changes back what the one decision changed
        assert [(c["old"], c["new"]) for c in back["cells"]] == [(c["new"], c["old"]) for c in done["cells"]]
    told = asks(site, "review", "decisions")
    assert [(d["kind"] == "undo", d["in_force"]) for d in told] == [
        *[(False, False)] * len(done["decisions"]),
        *[(True, True)] * len(done["decisions"]),
    ]
    assert {(d["who"], d["why"]) for d in told} == {("trial nurse", "told by the laboratory")}
    assert site.run.store.verify().ok


def test_every_reason_has_its_case():
    assert {reason for reason, *_ in CASES} | {Reason.CHANGED_AFTER_CHOICE} == set(Reason)


def test_what_changed_after_a_choice_is_chosen_anew_and_that_is_undone(site: Site):
    site.receives(TWO_DAYS)
    asks(site, "review", "choose", *ALT.split(), "1:OBX[2]", *BY)
    site.receives(SECOND_CORRECTED)
    name, was = item(site, "changed_after_choice"), value(site, ALT)
    said = site.says("review", "show", name)[0]
    assert "was made on has changed since" in said
    assert "--choose RESULT" in said
    resolve = ("review", "resolve", name, "--choose", place(site, "changed_after_choice", "45"))
    tried = asks(site, *resolve, "--dry-run")
    done = asks(site, *resolve, *BY)
    assert (done["cells"], done["open"]) == (tried["cells"], False)
    assert (was, value(site, ALT)) == ("52", "45")
    asks(site, "review", "undo", str(done["decisions"][0]), *BY)
    assert (item(site, "changed_after_choice"), value(site, ALT)) == (name, was)


def test_a_message_of_another_person_is_erased_and_that_is_not_undone(site: Site):
    site.receives("other-birth-date.hl7")
    name = item(site, "identity_conflict")
    said = site.says("review", "resolve", name, "--refuse", *BY)[0]
    assert "is settled" in said
    assert said.endswith("decision 1; the message's bytes are erased\n")
    assert asks(site, "review", "show", name)["results"] == []
    _, err = site.says("review", "undo", "1", *BY, status=1)
    assert "erased the message's bytes" in err


def test_what_is_decided_is_told_in_words_with_how_to_take_it_back(site: Site):
    site.receives("unmapped-local-code.hl7")
    name = item(site, "unmapped_code")
    tried = site.says("review", "resolve", name, "--map", "ALT", "--dry-run")[0]
    assert "is then" in tried
    assert tried.endswith("nothing was written\n")
    done = site.says("review", "resolve", name, "--map", "ALT", *BY)[0]
    assert f"{name} is settled; results held: 2, cells changed: 1, of these now with a value: 1" in done
    assert "lab-adapter review undo 1 --reason TEXT" in done
    listed = site.says("review", "decisions")[0]
    assert "lis: the code GPT-D is ALT." in listed
    site.says("review", "undo", "1", *BY)
    assert "undone" in site.says("review", "decisions")[0]


def test_several_codes_that_resemble_nothing_are_dismissed_by_one_command(site: Site):
    site.receives(message("XX1 1 U/L F 20260202", "XX2 2 U/L F 20260202"))
    name = item(site, "unmapped_code")
    assert [each["options"] for each in asks(site, "review", "show", name)["answers"]] == ["--dismiss"]
    assert asks(site, "review", "resolve", name, "--dismiss", *BY)["decisions"] == [1, 2]
    assert asks(site, "review", "list") == []


def test_only_one_of_the_results_of_an_item_is_answered(site: Site):
    site.receives(message("1742-6^^LN 40 KE/ml F 20260202", "1742-6^^LN 51 KE/ml F 20260330"))
    name = item(site, "unknown_unit")
    assert "--unit UNIT --only RESULT" in [each["options"] for each in asks(site, "review", "show", name)["answers"]]
    only = ("--unit", "U/L", "--only", place(site, "unknown_unit", "40"))
    assert f"{name} is still open" in site.says("review", "resolve", name, *only, *BY)[0]
    assert (value(site, ALT), value(site, "S-001 week-12 ALT")) == ("40", None)


def test_a_candidate_is_chosen_taken_back_and_the_visit_signed_off(site: Site):
    site.receives(TWO_DAYS)
    trace = site.tells(ALT)
    assert "1:OBX[2]" in trace
    asks(site, "review", "choose", *ALT.split(), "1:OBX[2]", *BY)
    assert value(site, ALT) == "51"
    asks(site, "review", "take-back", "S-001", "1:OBX[2]", *BY)
    assert item(site, "changed_after_choice")
    asks(site, "review", "undo", "1", *BY)
    assert value(site, ALT) == "45"
    asks(site, "review", "sign-off", "S-001", "week-4", *BY)
    site.receives(CORRECTED)
    name = item(site, "changed_after_choice")
    assert asks(site, "review", "resolve", name, "--sign-off", *BY)["open"] is False
    assert asks(site, "review", "list") == []


WRONG = [
    (("resolve", "ITEM", *BY), 2, "say one of the answers"),
    (("resolve", "ITEM", "--dismiss", "--merge", *BY), 2, "say one of the answers"),
    (("resolve", "ITEM", "--dismiss"), 2, "--reason is missing"),
    (("resolve", "ITEM", "--dismiss", "--reason", " "), 2, "--reason is missing"),
    (("resolve", "ITEM", "--merge", *BY), 1, "is no answer to it; it is shown with those that are"),
    (("resolve", "ITEM", "--map", "MELDX", *BY), 1, "MELDX is no analyte"),
    (("resolve", "nope", "--dismiss", *BY), 1, "no review item nope"),
    (("choose", "S-001", "week-4", "ALT", "OBX[1]", *BY), 2, "write it as `review show` does: 12:OBX[3]"),
    (("choose", "S-404", "week-4", "ALT", "1:OBX[1]", *BY), 1, "no cell S-404 week-4 ALT"),
    (("take-back", "S-001", "9:OBX[1]", *BY), 1, "9:OBX[1] is no result of S-001"),
    (("sign-off", "S-001", "week-4", *BY), 1, "an open question"),
    (("undo", "7", *BY), 1, "no decision 7"),
]


@pytest.mark.parametrize(("arguments", "status", "words"), WRONG, ids=lambda v: str(v)[:40])
def test_what_cannot_be_decided_is_refused_in_words(site: Site, arguments: tuple[str, ...], status: int, words: str):
    site.receives("unmapped-local-code.hl7")
    name = item(site, "unmapped_code")
    _, err = site.says("review", *(name if each == "ITEM" else each for each in arguments), status=status)
    assert words in err
    assert asks(site, "review", "decisions") == []
