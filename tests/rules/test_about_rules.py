"""Which decisions are told of a question, a result or a cell."""

from __future__ import annotations

import pytest

from adapter.model import Decision
from adapter.rules import about
from adapter.rules.about import Subject

CODE = {"source": "lis", "code": "GPT", "system": "L"}
CELL = {"study_id": "S-001", "visit": "week-4", "endpoint": "ALT"}
MADE = [
    ("map_code", {**CODE, "analyte": "ALT"}),
    ("dismiss_code", CODE),
    ("accept_unit", {**CODE, "sent": "", "unit": "U/L"}),
    ("map_status", {"source": "lis", "sent": "0", "status": "F"}),
    ("accept_specimen", {"source": "lis", "specimen": " Serum2 "}),
    ("read_result", {"source": "lis", "study_id": "S-001", "results": "lis/aa/OBX[1]\nlis/aa/OBX[2]", "what": "value"}),
    ("take_back", {"source": "lis", "study_id": "S-001", "results": "lis/aa/OBX[2]"}),
    ("retry", {"source": "lis", "sha256": "aa"}),
    ("dismiss_item", {"item": "i1", "evidence": "e"}),
    ("choose", {**CELL, "result": "lis/aa/OBX[1]", "evidence": "e"}),
    ("sign_off", {"study_id": "S-001", "visit": "week-4", "cells": "{}"}),
]
SUBJECTS = {
    "map_code": Subject(causes={about.code("lis", "GPT", "L")}),
    "dismiss_code": Subject(causes={about.code("lis", "GPT", "L")}),
    "accept_unit": Subject(causes={about.unit("lis", "GPT", "L", "")}),
    "map_status": Subject(causes={about.status("lis", "0")}),
    "accept_specimen": Subject(causes={about.specimen("lis", "serum2")}),
    "read_result": Subject(keys={"lis/aa/OBX[1]"}),
    "take_back": Subject(keys={"lis/aa/OBX[2]"}),
    "retry": Subject(hashes={"aa"}),
    "dismiss_item": Subject(items={"i1"}),
    "choose": Subject(cell=("S-001", "week-4", "ALT")),
    "sign_off": Subject(cell=("S-001", "week-4", None)),
}
OTHERS = Subject(
    items={"i2"},
    keys={"lis/bb/OBX[1]", "other/aa/OBX[1]"},
    hashes={"bb"},
    causes={
        about.code("other", "GPT", "L"),
        about.code("lis", "GPT", ""),
        about.unit("lis", "GPT", "L", "U/L"),
        about.status("lis", "1"),
        about.specimen("other", "serum2"),
    },
    cell=("S-001", "week-12", "ALT"),
)


def made(*decisions: tuple[str, dict[str, str]]) -> list[Decision]:
    return [Decision(n, kind, body, "liu", "", "") for n, (kind, body) in enumerate(decisions, 1)]


@pytest.mark.parametrize("decision", MADE, ids=lambda d: d[0])
def test_a_decision_is_told_of_what_it_names_and_of_nothing_else(decision: tuple[str, dict[str, str]]) -> None:
    (one,) = made(decision)
    assert about.about([one], SUBJECTS[one.kind]) == [one]
    assert about.about([one], OTHERS) == []
    assert about.about([one], Subject()) == []
    assert about.about([one], Subject(decisions={1})) == [one]


def test_what_undoes_a_decision_is_told_with_it_and_what_undoes_that() -> None:
    of_it, other, back, again, others = made(
        MADE[0], MADE[3], ("undo", {"decision": "1"}), ("undo", {"decision": "3"}), ("undo", {"decision": "2"})
    )
    assert about.about([others, again, back, other, of_it], SUBJECTS["map_code"]) == [of_it, back, again]
