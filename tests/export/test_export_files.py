"""The bytes: transport files, Dataset-JSON by CDISC's schema, and CSV that a spreadsheet does not change."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import jsonschema
import pyreadstat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.export import csv_files
from adapter.export.csv_files import Table, csv_file, spreadsheet_file, tables
from adapter.export.dataset_json import json_file
from adapter.export.variables import LB, Dataset
from adapter.export.xpt import transport_file
from tests.export.exporting import CHANGED_AT, datasets, read_xpt, state_of
from tests.rules.laboratory import on, reported, understood

TRIAL = "NCT06984497"


def some() -> dict[str, Dataset]:
    return datasets(
        state_of(understood(reported("1.10", code="6301-6", unit="1")), understood(reported("<5"), message="M2"))
    )


@pytest.mark.shared
@pytest.mark.parametrize("name", ["DM", "SV", "LB", "RS", "SUPPLB"])
def test_dataset_json_is_what_cdiscs_schema_says(name: str, shared_data: Path):
    schema = json.loads((shared_data / "schemas/dataset.schema.json").read_text(encoding="utf-8"))
    document = json.loads(json_file(some()[name], TRIAL, CHANGED_AT))
    jsonschema.Draft201909Validator(schema).validate(document)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft201909Validator(schema).validate({**document, "records": "many"})


def test_dataset_json_keeps_the_decimals_of_a_number():
    assert b", 1.10, " in json_file(some()["LB"], TRIAL, CHANGED_AT)


def test_a_dataset_without_records_is_a_document_and_a_file_too():
    empty = Dataset(LB, ())
    assert json.loads(json_file(empty, TRIAL, CHANGED_AT))["rows"] == []
    assert pyreadstat_rows(transport_file(empty, CHANGED_AT)) == 0


def pyreadstat_rows(content: bytes) -> int:
    frame, _ = pyreadstat.read_xport(io.BytesIO(content))
    return len(frame)


def test_a_transport_file_has_the_names_labels_and_lengths_of_its_dataset():
    dataset = some()["LB"]
    _, meta = pyreadstat.read_xport(io.BytesIO(transport_file(dataset, CHANGED_AT)))
    assert (meta.table_name, meta.file_label) == ("LB", "Laboratory Test Results")
    assert meta.column_names == [v.name for v in LB.variables]
    assert meta.column_labels == [v.label for v in LB.variables]
    assert [meta.variable_storage_width[v.name] for v in LB.variables] == [dataset.length(v) for v in LB.variables]


def test_a_transport_file_is_of_version_5_in_ascii():
    content = transport_file(some()["LB"], CHANGED_AT)
    assert content.startswith(b"HEADER RECORD*******LIBRARY HEADER RECORD!!!!!!!")
    assert len(content) % 80 == 0


def test_the_times_of_files_are_those_of_the_last_change_of_the_data():
    content = transport_file(some()["LB"], CHANGED_AT)
    assert content.count(b"31AUG26:04:05:06") == 4
    document = json.loads(json_file(some()["LB"], TRIAL, CHANGED_AT))
    assert document["datasetJSONCreationDateTime"] == document["dbLastModifiedDateTime"] == "2026-08-31T04:05:06Z"


def test_a_file_made_twice_is_the_same_byte_for_byte_wherever_the_time_was_read():
    elsewhere = CHANGED_AT.astimezone(timezone(timedelta(hours=8)))
    for dataset in some().values():
        assert transport_file(dataset, CHANGED_AT) == transport_file(dataset, elsewhere)
        assert json_file(dataset, TRIAL, CHANGED_AT) == json_file(dataset, TRIAL, elsewhere)


def test_another_change_of_the_data_is_another_file():
    later = datetime(2027, 1, 1, tzinfo=UTC)
    assert transport_file(some()["DM"], CHANGED_AT) != transport_file(some()["DM"], later)


def test_a_number_that_no_binary_holds_exactly_comes_back_as_the_same_double():
    (row,) = [r for r in read_xpt(transport_file(some()["LB"], CHANGED_AT)) if r["LBTESTCD"] == "INR" and r["LBSTRESC"]]
    assert (row["LBSTRESC"], row["LBSTRESN"]) == ("1.10", 1.1)


# --- CSV ----------------------------------------------------------------------------------------------------------

HOSTILE = [
    "1751-7",
    "+1",
    "=cmd|' /C calc'!A1",
    "@SUM(A1)",
    "-1+1",
    "0012",
    "\t=1+1",
    "1E5",
    "3/4",
    "a\r\nb",
    '"',
    "'x",
    "1.10",
    " 7",
    "TRUE",
    "2026-02-02",
]


def table_of(*texts: str) -> Table:
    return Table("t", ("text",), tuple({"text": text} for text in texts))


def cells(content: bytes) -> list[str]:
    """One column as a reader of CSV sees it, its head left out."""
    return [row[0] if row else "" for row in csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))][1:]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_spreadsheet_is_given_a_text_that_it_cannot_take_for_anything_else(text: str):
    (cell,) = cells(spreadsheet_file(table_of(text)))
    assert cell == f"'{text}"


@pytest.mark.parametrize("text", ["0", "12", "-3", "1.5", "20.5248", "0.25"])
def test_a_plain_number_stays_a_number_in_a_spreadsheet(text: str):
    assert cells(spreadsheet_file(table_of(text))) == [text]


def test_a_number_with_more_digits_than_a_spreadsheet_keeps_is_a_text_there():
    assert cells(spreadsheet_file(table_of("1234567890123456"))) == ["'1234567890123456"]


@given(st.lists(st.text(alphabet=st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), min_size=1)))
def test_nothing_is_lost_in_either_file(texts: list[str]):
    assert cells(csv_file(table_of(*texts))) == texts
    assert [cell.removeprefix("'") for cell in cells(spreadsheet_file(table_of(*texts)))] == texts


def test_the_analysis_file_holds_each_text_as_it_is():
    assert cells(csv_file(table_of(*HOSTILE))) == HOSTILE
    assert not csv_file(table_of("x")).startswith(b"\xef\xbb\xbf")
    assert spreadsheet_file(table_of("x")).startswith(b"\xef\xbb\xbf")


def read(state) -> dict[str, list[dict[str, str]]]:
    return {t.name: list(csv.DictReader(io.StringIO(csv_file(t).decode(), newline=""))) for t in tables(state)}


def test_each_value_is_one_row_with_where_it_is_stored():
    sent = understood(reported("<5", taken=on(28)))
    found = [r for r in read(state_of(sent))["values"] if (r["visit"], r["endpoint"]) == ("week-4", "ALT")]
    (row,) = found
    assert (row["status"], row["comparator"], row["value"], row["unit"]) == ("captured", "<", "5", "U/L")
    assert row["stored_at"] == f"{sent.origin.inbox_id} OBX[1]"
    assert len(read(state_of(sent))["values"]) == 3 * 11


def test_each_candidate_says_why_it_was_not_chosen():
    chosen = understood(reported("40", taken=on(28), order="filler:A"))
    lost = understood(reported("50", taken=on(31), order="filler:B"), message="M2")
    found = [(r["value"], r["rank"], r["chosen"], r["why"]) for r in read(state_of(chosen, lost))["candidates"]]
    assert found == [("40", "1", "yes", "chosen"), ("50", "2", "no", "farther_from_target")]
    assert read(state_of(chosen, lost))["candidates"][1]["why_in_words"].startswith(
        "Not chosen: another result lies nearer"
    )


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A1", "ZHANG SAN 1961-07-29", "@SUM(A1)", "1,234"])
def test_a_text_that_was_not_read_as_a_number_stays_in_the_store(text: str):
    state = state_of(understood(reported(text)))
    (row,) = read(state)["candidates"]
    assert (row["outcome"], row["reason"], row["reported"]) == ("held", "unreadable_value", "")
    assert text not in csv_file(tables(state)[1]).decode()


def test_of_a_result_that_may_be_another_persons_nothing_is_told_but_that_it_waits():
    state = state_of(understood(reported("40")))
    held = [replace(r, outcome="held", reason="identity_conflict", item="i1") for r in state.results]
    (row,) = read(replace(state, results=held))["candidates"]
    assert {name for name, cell in row.items() if cell} == {
        "study_id", "outcome", "reason", "source", "stored_at", "review_item", "ruleset",
    }  # fmt: skip


def test_no_column_is_of_an_arm_a_route_or_an_identity():
    names = (*csv_files.VALUES, *csv_files.CANDIDATES)
    assert [n for n in names if re.search("arm|route|birth|identifier|message|order", n)] == []
