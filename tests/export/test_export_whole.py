"""A whole trial's export: each rule of SDTMIG 3.4 for DM, SV, LB and RS that can be asked without CDISC's service."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import date
from decimal import Decimal

import pytest

from adapter.export.csv_files import csv_file, tables
from adapter.export.dataset_json import json_file
from adapter.export.state import State, read_state
from adapter.export.tabulate import tabulate
from adapter.export.variables import Dataset
from adapter.export.xpt import transport_file
from tests.export.conftest import FEED
from tests.export.exporting import TERMS, layout_of, read_json, read_xpt
from tests.trialrun import TrialRun

pytestmark = pytest.mark.timeout(300)

DOMAINS = ("DM", "SV", "LB", "RS")
# What SDTMIG 3.4 requires (never null) and expects (a column, null or not) of each dataset.
SUPP = ("STUDYID RDOMAIN USUBJID QNAM QLABEL QVAL QORIG", "IDVAR IDVARVAL QEVAL")
CORE = {
    "DM": (
        "STUDYID DOMAIN USUBJID SUBJID SITEID SEX COUNTRY",
        (
            "RFSTDTC RFENDTC RFXSTDTC RFXENDTC RFICDTC RFPENDTC DTHDTC DTHFL AGE AGEU RACE "
            "ARMCD ARM ACTARMCD ACTARM ARMNRS ACTARMUD"
        ),
    ),
    "SV": ("STUDYID DOMAIN USUBJID VISITNUM", "SVPRESP SVOCCUR SVSTDTC SVENDTC"),
    "LB": (
        "STUDYID DOMAIN USUBJID LBSEQ LBTESTCD LBTEST",
        (
            "LBCAT LBORRES LBORRESU LBORNRLO LBORNRHI LBSTRESC LBSTRESN LBSTRESU LBSTNRLO LBSTNRHI LBNRIND LBSPEC "
            "LBLOBXFL VISITNUM LBDTC"
        ),
    ),
    "RS": ("STUDYID DOMAIN USUBJID RSSEQ RSTESTCD RSTEST", "RSCAT RSORRES RSSTRESC VISITNUM RSDTC"),
    "SUPPLB": SUPP,
    "SUPPRS": SUPP,
}
BLINDED = {"ARMCD", "ARM", "ACTARMCD", "ACTARM", "ARMNRS", "ACTARMUD"}
DTC = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?[+-]\d\d:\d\d)?")


@pytest.fixture(scope="module")
def state(whole: TrialRun) -> State:
    return read_state(whole.store, whole.book.protocol, whole.book.sources, whole.now.date())


@pytest.fixture(scope="module")
def made(state: State) -> dict[str, Dataset]:
    return {dataset.layout.name: dataset for dataset in tabulate(state, TERMS)}


def records(made: dict[str, Dataset], *names: str) -> Iterator[tuple[str, dict[str, object]]]:
    """Every record of the datasets named, each variable there."""
    for name in names or made:
        for row in made[name].rows:
            yield name, {v.name: row.get(v.name) for v in made[name].layout.variables}


def test_the_trial_gives_every_dataset_its_records(made: dict[str, Dataset]):
    assert list(made) == ["DM", "SV", "LB", "RS", "SUPPLB", "SUPPRS"]
    assert len(made["DM"].rows) == 32
    assert len(made["LB"].rows) > 500
    assert {row["RSTESTCD"] for row in made["RS"].rows} > {"MELD0101", "MELDNA", "MELD30", "CPS0106", "CPS0107"}


@pytest.mark.parametrize("name", CORE)
def test_what_is_required_is_there_and_never_null_cg0014(made: dict[str, Dataset], name: str):
    required = CORE[name][0].split()
    for _, row in records(made, name):
        assert [variable for variable in required if row[variable] in (None, "")] == []


@pytest.mark.parametrize("name", CORE)
def test_what_is_expected_is_a_variable_but_for_the_arms_cg0016(made: dict[str, Dataset], name: str):
    there = {v.name for v in made[name].layout.variables}
    assert set(CORE[name][1].split()) - there == (BLINDED if name == "DM" else set())


def test_names_and_labels_are_no_longer_than_allowed(made: dict[str, Dataset]):
    for dataset in made.values():
        for variable in dataset.layout.variables:
            assert re.fullmatch("[A-Z][A-Z0-9]{0,7}", variable.name)
            assert 0 < len(variable.label) <= 40
        assert len(dataset.layout.label) <= 40


def test_texts_are_ascii_of_at_most_200_characters_without_blanks_around_them(made: dict[str, Dataset]):
    texts = [cell for _, row in records(made) for cell in row.values() if isinstance(cell, str)]
    assert texts
    assert [t for t in texts if not re.fullmatch(r"[!-~]([ -~]{0,198}[!-~])?", t)] == []


def test_study_domain_and_subject_are_in_every_record(made: dict[str, Dataset]):
    known = {row["USUBJID"] for row in made["DM"].rows}
    assert len(known) == len(made["DM"].rows)
    for name, row in records(made):
        assert row["STUDYID"] == "NCT06984497"
        assert row["USUBJID"] in known
        if name in DOMAINS:
            assert row["DOMAIN"] == name


@pytest.mark.parametrize("name", ["LB", "RS"])
def test_sequence_numbers_are_unique_within_a_participant(made: dict[str, Dataset], name: str):
    counted = Counter((row["USUBJID"], row[f"{name}SEQ"]) for row in made[name].rows)
    assert set(counted.values()) == {1}


@pytest.mark.parametrize("name", ["DM", "SV", "LB", "RS", "SUPPLB", "SUPPRS"])
def test_the_keys_tell_every_record_apart(made: dict[str, Dataset], name: str):
    keys = made[name].layout.keys
    counted = Counter(tuple(row.get(key) for key in keys) for row in made[name].rows)
    assert [key for key, count in counted.items() if count > 1] == []


def test_dates_are_iso_8601(made: dict[str, Dataset]):
    found = [c for _, row in records(made) for n, c in row.items() if n.endswith("DTC") and c is not None]
    assert len(found) > 500
    assert [text for text in found if not DTC.fullmatch(str(text))] == []


def test_study_days_count_from_the_day_of_the_reference_start_which_is_one_cg0006(made: dict[str, Dataset]):
    starts = {row["USUBJID"]: row["RFSTDTC"] for row in made["DM"].rows}
    asked = 0
    for name, row in records(made, "LB", "RS", "SV"):
        for day, dtc in ((f"{name}DY", f"{name}DTC"), ("SVSTDY", "SVSTDTC"), ("SVENDY", "SVENDTC")):
            if row.get(dtc) is None:
                assert row.get(day) is None
                continue
            start = starts[row["USUBJID"]]
            if start is None:
                assert row[day] is None
                continue
            days = (date.fromisoformat(str(row[dtc])[:10]) - date.fromisoformat(str(start)[:10])).days
            assert row[day] == (days + 1 if days >= 0 else days) != 0
            asked += 1
    assert asked > 500


@pytest.mark.parametrize("name", ["LB", "RS"])
def test_what_is_not_done_has_a_reason_and_no_result(made: dict[str, Dataset], name: str):
    found = [row for _, row in records(made, name) if row[f"{name}STAT"] is not None]
    assert found
    for row in found:
        assert row[f"{name}STAT"] == "NOT DONE"
        assert row[f"{name}REASND"]
        assert [row[f"{name}{it}"] for it in ("ORRES", "STRESC", "STRESN")] == [None] * 3


@pytest.mark.parametrize("name", ["LB", "RS"])
def test_what_was_done_has_a_result_and_no_reason(made: dict[str, Dataset], name: str):
    for _, row in records(made, name):
        if row[f"{name}STAT"] is None:
            assert row[f"{name}STRESC"] is not None
            assert row[f"{name}REASND"] is None
            assert row[f"{name}DTC"] is not None
            assert (row[f"{name}ORRES"] is None) == (row.get(f"{name}DRVFL") == "Y")


@pytest.mark.parametrize("name", ["LB", "RS"])
def test_the_number_is_the_text_and_stands_wherever_the_text_is_a_number(made: dict[str, Dataset], name: str):
    for _, row in records(made, name):
        text, number = row[f"{name}STRESC"], row[f"{name}STRESN"]
        if number is not None:
            assert Decimal(str(text)) == number
        elif text is not None:
            assert re.match("[<>A-C]", str(text))


@pytest.mark.parametrize("name", ["LB", "RS"])
def test_one_short_name_has_one_name_and_category(made: dict[str, Dataset], name: str):
    named: dict[object, set[object]] = {}
    for row in made[name].rows:
        named.setdefault(row[f"{name}TESTCD"], set()).add((row[f"{name}TEST"], row[f"{name}CAT"]))
        assert re.fullmatch("[A-Z_][A-Z0-9_]{0,7}", str(row[f"{name}TESTCD"]))
        assert len(str(row[f"{name}TEST"])) <= 40
    assert {len(each) for each in named.values()} == {1}
    assert len({test for each in named.values() for test in each}) == len(named)


def test_a_standard_unit_is_one_for_each_test(made: dict[str, Dataset]):
    units: dict[object, set[object]] = {}
    for _, row in records(made, "LB"):
        if row["LBSTRESC"] is not None:
            units.setdefault(row["LBTESTCD"], set()).add(row["LBSTRESU"])
    assert {len(each) for each in units.values()} == {1}
    assert units["INR"] == {None}


def test_a_visit_has_one_number_name_and_planned_day(made: dict[str, Dataset]):
    planned = {(row["VISITNUM"], row["VISIT"], row["VISITDY"]) for _, row in records(made, "SV", "LB", "RS")}
    assert planned == {(None, None, None), (1, "WEEK 4", 29), (2, "WEEK 12", 85), (3, "WEEK 24", 169)}


def test_every_visit_of_a_record_is_in_sv(made: dict[str, Dataset]):
    visits = {(row["USUBJID"], row["VISITNUM"]) for row in made["SV"].rows}
    for _, row in records(made, "LB", "RS"):
        assert row["VISITNUM"] is None or (row["USUBJID"], row["VISITNUM"]) in visits


def test_a_visit_ends_no_earlier_than_it_began(made: dict[str, Dataset]):
    for _, row in records(made, "SV"):
        assert (row["SVSTDTC"] or "") <= (row["SVENDTC"] or "")
        assert (row["SVOCCUR"] == "Y") == (row["SVSTDTC"] is not None)


def test_every_visit_is_a_planned_one_cg0653_cg0654_cg0658(made: dict[str, Dataset]):
    for _, row in records(made, "SV"):
        assert (row["SVPRESP"], row["VISITDY"] is None) == ("Y", False)
        assert row["SVOCCUR"] in ("Y", "N", None)


def test_the_last_observation_before_exposure_is_one_of_each_test_and_not_after_it(made: dict[str, Dataset]):
    starts = {row["USUBJID"]: row["RFXSTDTC"] for row in made["DM"].rows}
    flagged = [row for _, row in records(made, "LB") if row["LBLOBXFL"] is not None]
    assert flagged
    counted = Counter((row["USUBJID"], row["LBTESTCD"]) for row in flagged)
    assert set(counted.values()) == {1}
    for row in flagged:
        assert row["LBLOBXFL"] == "Y"
        assert str(row["LBDTC"])[:10] <= str(starts[row["USUBJID"]])[:10]


def test_flags_are_y_or_nothing(made: dict[str, Dataset]):
    for _, row in records(made):
        assert {cell for name, cell in row.items() if name.endswith("FL")} <= {"Y", None}


def test_a_death_has_its_flag_and_its_date_together(made: dict[str, Dataset]):
    for _, row in records(made, "DM"):
        assert (row["DTHFL"] is None) == (row["DTHDTC"] is None)
        assert (row["AGE"] is None) == (row["AGEU"] is None)
        assert row["SEX"] in ("M", "F", "U")


@pytest.mark.parametrize("name", ["LB", "RS"])
def test_a_supplemental_qualifier_is_of_a_record_that_is_there(made: dict[str, Dataset], name: str):
    parents = {(row["USUBJID"], str(row[f"{name}SEQ"])) for row in made[name].rows}
    labels: dict[object, set[object]] = {}
    for _, row in records(made, f"SUPP{name}"):
        assert (row["RDOMAIN"], row["IDVAR"]) == (name, f"{name}SEQ")
        assert (row["USUBJID"], row["IDVARVAL"]) in parents
        assert row["QVAL"]
        assert row["QORIG"]
        labels.setdefault(row["QNAM"], set()).add(row["QLABEL"])
    assert {len(each) for each in labels.values()} == {1}


def test_every_captured_laboratory_value_is_a_flagged_record_and_nothing_else_is(
    state: State, made: dict[str, Dataset]
):
    named = {id: test.testcd for id, test in TERMS.test.items()}
    table = {
        (
            f"NCT06984497-{c.study_id}",
            state.visits[c.visit][0],
            named[c.endpoint],
            f"{c.comparator or ''}{c.value_text}",
        )
        for c in state.cells
        if c.status == "captured" and c.endpoint in named
    }
    selected = {(q["USUBJID"], q["IDVARVAL"]) for q in made["SUPPLB"].rows if q["QNAM"] == "LBSELFL"}
    flagged = [r for r in made["LB"].rows if (r["USUBJID"], str(r["LBSEQ"])) in selected]
    assert {(r["USUBJID"], r["VISITNUM"], r["LBTESTCD"], r["LBSTRESC"]) for r in flagged} == table
    assert len(flagged) == len(table) > 300


def test_no_identity_is_in_any_file(state: State, made: dict[str, Dataset]):
    files = [transport_file(d, state.changed_at) for d in made.values()]
    files += [json_file(d, "NCT06984497", state.changed_at) for d in made.values()]
    files += [csv_file(table) for table in tables(state)]
    everything = b"\n".join(files)
    for row in FEED.roster:
        assert row.identifier.encode() not in everything
        assert not row.birth_date or row.birth_date.encode() not in everything
    assert not [m.control_id for m in FEED.messages if re.search(rf"\b{m.control_id}\b".encode(), everything)]
    assert not [stranger for stranger in FEED.strangers if stranger in everything]


@pytest.mark.parametrize("name", ["DM", "SV", "LB", "RS", "SUPPLB", "SUPPRS"])
def test_transport_file_and_dataset_json_read_by_others_are_equal(state: State, made: dict[str, Dataset], name: str):
    xpt = read_xpt(transport_file(made[name], state.changed_at))
    document = json_file(made[name], "NCT06984497", state.changed_at)
    assert read_json(document) == xpt
    assert len(xpt) == len(made[name].rows) == json.loads(document)["records"]
    assert list(layout_of(document)) == list(xpt[0])
