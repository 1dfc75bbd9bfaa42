"""trial.md section 7: a thousand cases of each formula against an independent implementation, independent_scores.sql.

SQLite reckons in doubles, the formulas in decimals. They must agree wherever a sum lies further from a half than a
double's error; the sums that are a half exactly are in test_score_formulas.py.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import apsw

from adapter.rules import formulas

SQL = (Path(__file__).parent / "independent_scores.sql").read_text("utf-8")
EDGES = {
    "bilirubin": ("0", "0.1", "0.99", "1", "1.0", "1.01", "2.0", "3.0", "30.46", "30.47", "60"),
    "inr": ("0", "0.8", "0.99", "1.0", "1.01", "1.69", "1.7", "1.70", "1.71", "2.29", "2.3", "2.31", "12"),
    "creatinine": ("0", "0.5", "0.99", "1.0", "1.01", "2.99", "3.0", "3.01", "3.99", "4.0", "4.01", "14"),
    "sodium": ("100", "124.9", "125", "125.1", "126", "132.5", "136.9", "137", "137.0", "137.1", "160"),
    "albumin": ("0.9", "1.49", "1.5", "1.51", "1.7", "2.7", "2.79", "2.8", "2.80", "2.81", "3.49", "3.5", "3.51", "6"),
    "prolonged": ("-2", "0", "3.99", "4", "4.0", "4.01", "5.99", "6", "6.0", "6.01", "40"),
}
SPREAD = {
    "bilirubin": (0.2, 45),
    "inr": (0.7, 7),
    "creatinine": (0.3, 6),
    "sodium": (120, 142),
    "albumin": (1, 4.5),
    "prolonged": (-3, 12),
}
CUT_OFFS = {"mg/dL": ("2", "3"), "mg/L": ("20", "30"), "umol/L": ("34", "51"), "mmol/L": ("0.034", "0.051")}
ASCITES = ("none", "mild", "moderate_severe")
ENCEPHALOPATHY = ("none", "grade_1_2", "grade_3_4")
A_DOUBLE_IS_SURE = 1e-9  # so far from a half; fifteen digits of sums below 100 leave it an error far smaller
Case = Mapping[str, Any]


def drawn(rng: random.Random) -> Case:
    """One case, numbers as text: two in five at or beside a limit or a cut-off, the rest rather low than high."""
    case: dict[str, Any] = {}
    for name, edges in EDGES.items():
        least, most = SPREAD[name]
        anywhere = f"{least + (most - least) * rng.random() ** 2:.{rng.randrange(4)}f}"
        case[name] = rng.choice(edges) if rng.random() < 0.4 else anywhere
    case["unit"] = rng.choice(list(CUT_OFFS))
    low, high = map(Decimal, CUT_OFFS[case["unit"]])
    beside = rng.choice((low, high)) + low * rng.choice((-1, 0, 0, 1)) / 1000
    case["reported"] = str(beside if rng.random() < 0.4 else low * Decimal(f"{rng.uniform(0.2, 3):.3f}"))
    case["ascites"], case["encephalopathy"] = rng.choice(ASCITES), rng.choice(ENCEPHALOPATHY)
    return {**case, "female": rng.random() < 0.5, "dialysis": rng.random() < 0.15}


def in_sql(cases: list[Case]) -> list[dict[str, Any]]:
    """What the SQL says of each case, by the names of its columns."""
    columns = list(cases[0])
    types = ", ".join(f"{name} REAL" if name in {*EDGES, "reported"} else name for name in columns)
    database = apsw.Connection(":memory:")
    database.execute(f"CREATE TABLE given (n INTEGER PRIMARY KEY, {types})")
    marks = ", ".join("?" * len(columns))
    database.executemany(f"INSERT INTO given ({', '.join(columns)}) VALUES ({marks})", [[*c.values()] for c in cases])
    answer = database.execute(SQL)
    names = [column[0] for column in answer.get_description()]
    return [dict(zip(names, row, strict=True)) for row in answer]


def by_formula(case: Case) -> dict[str, Any]:
    """What the formulas say of a case, under the names of the SQL."""
    number = {name: Decimal(case[name]) for name in (*EDGES, "reported")}
    three, dialysis = (number["bilirubin"], number["inr"], number["creatinine"]), case["dialysis"]
    sodium, albumin = number["sodium"], number["albumin"]
    points = {
        "bilirubin_points": formulas.bilirubin_points(number["reported"], case["unit"]),
        "albumin_points": formulas.albumin_points(albumin, "g/dL"),
        "inr_points": formulas.inr_points(number["inr"]),
        "ascites_points": formulas.ascites_points(case["ascites"]),
        "encephalopathy_points": formulas.encephalopathy_points(case["encephalopathy"]),
    }
    return {
        "meld": formulas.meld(*three, dialysis=dialysis),
        "meld_na": formulas.meld_na(*three, sodium, dialysis=dialysis),
        "meld_3_0": formulas.meld_3_0(*three, sodium, albumin, female=case["female"], dialysis=dialysis),
        **points,
        "prolongation_points": formulas.pt_prolongation_points(number["prolonged"]),
        "class": formulas.child_pugh_class(sum(points.values())),
    }


def differences(cases: list[Case], theirs: list[dict[str, Any]]) -> list[tuple[Case, dict[str, Any], dict[str, Any]]]:
    pairs = [(case, by_formula(case), row) for case, row in zip(cases, theirs, strict=True)]
    return [(case, ours, row) for case, ours, row in pairs if {**ours, "from_half": row["from_half"]} != row]


def test_a_thousand_cases_of_each_formula_come_out_as_in_sql() -> None:
    rng = random.Random(9741)
    cases = [drawn(rng) for _ in range(1000)]
    theirs = in_sql(cases)
    assert min(row["from_half"] for row in theirs) > A_DOUBLE_IS_SURE
    assert differences(cases, theirs) == []
    for name in ("meld", "meld_na", "meld_3_0"):
        assert {7, 11, 12, 20, 30, 39, 40} <= {row[name] for row in theirs}
    assert {row["class"] for row in theirs} == {"A", "B", "C"}


def test_the_thousand_of_twenty_thousand_cases_where_rounding_is_closest_come_out_as_in_sql() -> None:
    rng = random.Random(1618)
    cases = [drawn(rng) for _ in range(20_000)]
    sure = [pair for pair in zip(cases, in_sql(cases), strict=True) if pair[1]["from_half"] > A_DOUBLE_IS_SURE]
    closest = sorted(sure, key=lambda pair: pair[1]["from_half"])[:1000]
    assert differences([case for case, _ in closest], [row for _, row in closest]) == []
