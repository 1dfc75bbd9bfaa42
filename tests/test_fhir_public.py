"""Public resources of FHIR written by others, through ``explain`` as a user runs it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from test_fhir_files import CONFIG
from trialrun import TrialRun

from adapter.cli import main
from adapter.model import Identifier, Participant

SHARED = Path(__file__).parents[2] / "shared" / "data" / "fhir"
PUBLIC = sorted(p for p in SHARED.rglob("*") if p.is_file()) if SHARED.is_dir() else []
ENDS = {"placed", "unscheduled", "baseline", "held", "ignored", "taken_back", "not_done", "superseded"}


@pytest.fixture
def run(tmp_path: Path) -> Iterator[TrialRun]:
    (tmp_path / "config.toml").write_text(CONFIG, encoding="utf-8")
    trial = TrialRun(tmp_path / "config.toml", tmp_path / "trial.db")
    yield trial
    trial.close()


# By eye from the files: how many results of each of ALT, AST, ALP, TBIL and ALB a file holds (none of them holds PT or
# INR), and of some results what was sent, what comes out of it, and why it is held.
COUNTS = {
    "google-fhir-uscore/3.0.0/package/Observation-serum-total-bilirubin.json": (0, 0, 0, 1, 0),
    "hl7-r4-examples/Bundle-72ac8493-52ac-41bd-8d5d-7258c289b5ea.json": (14, 14, 14, 14, 14),
    "hl7-r5-examples/Bundle-72ac8493-52ac-41bd-8d5d-7258c289b5ea.json": (14, 14, 14, 14, 14),
    "smart-sample-patients/custom-data/argonaut-lab-data.json": (1, 1, 1, 1, 1),
    "smart-synthea/R4/SYNTHEA/Stan_Steuber_55c7667e-0fd3-40ff-91a4-27ffa2b19438.json": (4, 4, 4, 4, 4),
    "smart-synthea/R4/SYNTHEA/Thanh_Considine_b7a86b8b-bbf8-4107-96e6-76a948fba0e8.json": (5, 5, 5, 5, 5),
    "smart-synthea/R4/SYNTHEA/Tom_Goodwin_e20de9eb-6f2d-4871-a43f-bbede53293ed.json": (1, 1, 1, 1, 1),
    "smart-synthea/STU-3/SMART/patient-8888804.fhir-bundle.01.json": (4, 4, 4, 4, 4),
    "smart-synthea/STU-3/SMART/patient-8888804.fhir-bundle.json": (2, 2, 2, 2, 2),
}
SEEN = {
    "Observation/serum-total-bilirubin": ("TBIL", "8.6", "mg/dL", "147.0944", None),
    "Observation/o10-3": ("TBIL", "7", "umol/L", "7", "missing_collection_time"),
    "Observation/o12-3": ("ALP", "108", "U/L", "108", "missing_collection_time"),
    "Observation/o14-4": ("ALT", "263", "U/L", "263", "missing_collection_time"),
    "Observation/o15-3": ("AST", "30", "U/L", "30", "missing_collection_time"),
    "Observation/o21-5": ("ALB", "39", "g/L", "39", "missing_collection_time"),
    "Observation/argonaut-lab-10": ("ALB", "4.2", "g/dL", "42.0", "unreadable_message"),  # category is no array
    "Observation/argonaut-lab-13": ("ALT", "18", "mmol/L", None, "unreadable_message"),
    "Observation/b16abd1b-3584-4d66-9c8a-6da29a159cd3": (
        "ALB",
        "5.317202728458568",
        "g/dL",
        "53.172027284585680",
        None,
    ),
    "Observation/32b9faad-d18e-43f4-a737-ea857ba63150": (
        "TBIL",
        "0.24356788032973162",
        "mg/dL",
        "4.16598502515972962848",
        None,
    ),
    "Observation/73c103f0-9343-4a1f-b279-893d372d1a74": ("ALT", "37.4481458071471", "U/L", "37.4481458071471", None),
    "Observation/smart-3320-lab": ("TBIL", "0.4", "mg/dL", None, "unknown_status"),  # its status is "unknown"
}


@pytest.mark.shared
@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", PUBLIC, ids=lambda p: p.relative_to(SHARED).as_posix())
def test_a_public_file_goes_through_without_a_traceback(path: Path, run: TrialRun):
    run.put(Participant("S-001", (Identifier("x", "NTCGH"),), infused_at="2026-01-05"))
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main(["-c", str(run.config.path), "explain", str(path), "--as", "S-001", "--json"])
    assert ended.value.code in (0, 1, None), err.getvalue()
    reports = json.loads(out.getvalue())
    assert reports
    accepted_codes = {c for c, rows in run.config.protocol.loinc.items() for row in rows if row.kind == "accept"}
    counted = Counter[str]()
    for report in reports:
        assert report["outcome"] in ("accepted", "ignored", "unreadable")
        for result in report["results"]:
            assert result["outcome"] in ENDS
            assert result["steps"]
            if result["code"] in accepted_codes:
                assert result["endpoint"] is not None
                assert result["value_text"] is not None or result["outcome"] in ("held", "not_done", "taken_back")
                counted[result["endpoint"]] += 1
            if result["locator"] in SEEN:
                names = ("endpoint", "reported", "reported_unit", "value_text", "reason")
                assert tuple(result[name] for name in names) == SEEN[result["locator"]]
    name = path.relative_to(SHARED).as_posix()
    assert tuple(counted[e] for e in ("ALT", "AST", "ALP", "TBIL", "ALB")) == COUNTS.get(name, (0, 0, 0, 0, 0))
    assert (counted["PT"], counted["INR"]) == (0, 0)
    assert run.store.inbox_counts() == {"pending": 0, "done": 0, "failed": 0}
