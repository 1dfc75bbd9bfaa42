"""``compare`` on a whole trial: what was planned, entered by hand, rounded, in other units; and ten errors in it."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal, localcontext
from pathlib import Path
from random import Random
from typing import Any

import pytest
from daemonrun import DaemonRun, trial_of

from fixtures.feed.hospitals import FACTORS
from fixtures.feed.nouns import UNITS
from fixtures.generator import CellTruth, Feed, generate

TODAY = datetime.now(UTC).date()
COLUMNS = ("study_id", "visit", "endpoint", "value", "unit", "date")
LABELS = {"week-4": "Week 4", "week-12": "week 12", "week-24": "WEEK-24"}
FULL_WIDTH = {"<": "＜", ">": "＞", "<=": "≤", ">=": "≥"}
Cell = tuple[str, str, str]

pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True, slots=True)
class Typed:
    """One row as somebody types it."""

    cell: Cell
    value: str
    unit: str
    on: str

    @property
    def fields(self) -> tuple[str, ...]:
        return (*self.cell, self.value, self.unit, self.on)


@dataclass(frozen=True, slots=True)
class Trial:
    """A whole trial that was replayed, and what its table must hold."""

    feed: Feed
    run: DaemonRun


def replayed(seed: int, folder: Path) -> Trial:
    feed = generate(seed, messages=480, strangers=45, infusion_start=TODAY - timedelta(days=405))
    run = trial_of(feed, folder)
    for source in ("lis-a", "lis-b", "lis-c"):
        paths = sorted(map(str, (folder / "messages").glob(f"*-{source}-*.hl7")))
        # A feed holds messages that cannot be read: the exit status says so.
        subprocess.run(run.command("replay", *paths, "--source", source), check=False, capture_output=True)
    return Trial(feed, run)


@pytest.fixture(scope="module", params=[11, 4])
def trial(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trial:
    return replayed(request.param, tmp_path_factory.mktemp(f"seed-{request.param}"))


def typed(cell: CellTruth, rng: Random) -> Typed:
    """A planned value as somebody enters it: perhaps in another unit, rounded, and its day left out."""
    name = (cell.study_id, cell.visit, cell.endpoint)
    assert cell.value_text is not None
    assert cell.collected_on is not None
    on = str(cell.collected_on) if rng.random() < 0.8 else ""
    units = [unit for analyte, unit in FACTORS if analyte == cell.endpoint]
    comparator = cell.comparator or ""
    comparator = FULL_WIDTH[comparator] if comparator and rng.random() < 0.5 else comparator
    if not units or rng.random() < 0.5:
        unit = "" if cell.endpoint == "INR" else UNITS[cell.endpoint]
        return Typed(name, comparator + cell.value_text, unit, on)
    unit = rng.choice(units)
    with localcontext(prec=80):
        number = Decimal(cell.value_text) / FACTORS[cell.endpoint, unit]
        decimals = max(rng.randrange(4), 2 - number.adjusted())
        rounding = rng.choice((ROUND_HALF_UP, ROUND_HALF_EVEN))
        number = number.quantize(Decimal(1).scaleb(-decimals), rounding)
    return Typed(name, f"{comparator}{number:f}", unit, on)


def sheet_of(trial: Trial, rng: Random) -> dict[Cell, Typed]:
    """Every value and score that was planned, and empty rows where there is no value."""
    rows = {}
    for cell in trial.feed.truth:
        name = (cell.study_id, cell.visit, cell.endpoint)
        if cell.value_text is not None:
            rows[name] = typed(cell, rng)
        elif rng.random() < 0.5:
            rows[name] = Typed(name, "", "", "")
    for cell in trial.feed.scores:
        if cell.value_text is not None:
            name = (cell.study_id, cell.visit, cell.endpoint)
            rows[name] = Typed(name, cell.value_text, rng.choice(("", "score", "{score}")), "")
    return rows


def written(rows: Mapping[Cell, Typed], folder: Path, rng: Random) -> Path:
    """The rows as a file, in no order, as one spreadsheet or another saves them."""
    shuffled = list(rows.values())
    rng.shuffle(shuffled)
    text = io.StringIO()
    writer = csv.writer(text, delimiter=rng.choice(",;\t"), lineterminator=rng.choice(("\n", "\r\n")))
    writer.writerow(COLUMNS)
    for row in shuffled:
        study_id, visit, *rest = row.fields
        writer.writerow((study_id, LABELS[visit] if rng.random() < 0.5 else visit, *rest))
    path = folder / "entered.csv"
    path.write_text(text.getvalue(), encoding=rng.choice(("utf-8", "utf-8-sig")), newline="")
    return path


def compared(trial: Trial, path: Path, status: int) -> dict[str, Any]:
    return json.loads(trial.run.run("compare", str(path), "--json", status=status))


def test_what_was_planned_entered_with_roundings_and_other_units_agrees_everywhere(trial: Trial, tmp_path: Path):
    rng = Random(trial.feed.seed)
    rows = sheet_of(trial, rng)
    found = compared(trial, written(rows, tmp_path, rng), status=0)
    entered = sum(row.value != "" for row in rows.values())
    assert entered > 500
    assert (found["findings"], found["bad_rows"]) == ([], [])
    assert found["summary"]["agree"] == found["summary"]["compared"] == found["summary"]["entered"] == entered
    assert {row["endpoint"] for row in found["by_endpoint"]} == {"MELD", "CHILD_PUGH", *UNITS}


# --- ten errors ---------------------------------------------------------------------------------------------------


class Planter:
    """Takes cells of which nothing is wrong yet, and says what is to be found of each."""

    def __init__(self, trial: Trial, rows: dict[Cell, Typed], rng: Random) -> None:
        self.trial, self.rows, self.rng = trial, rows, rng
        self.planted: dict[Cell, tuple[str, str | None]] = {}
        self.truth = {(c.study_id, c.visit, c.endpoint): c for c in trial.feed.truth}

    def plant(
        self, kind: str, fits: str | None, endpoint: str | None, wrong: Callable[[CellTruth], Typed | None]
    ) -> None:
        """Replace one row by what ``wrong`` makes of it, where it makes something."""
        cells = [c for c in self.truth.values() if endpoint in (None, c.endpoint)]
        self.rng.shuffle(cells)
        for cell in cells:
            name = (cell.study_id, cell.visit, cell.endpoint)
            row = None if name in self.planted else wrong(cell)
            if row is not None:
                self.rows[name] = row
                self.planted[name] = (kind, fits)
                return
        raise AssertionError(f"no cell for {kind} {fits}")

    def plain(self, cell: CellTruth) -> Typed | None:
        """The right row of a cell that holds an exact number."""
        if cell.value_text is None or cell.comparator is not None:
            return None
        name = (cell.study_id, cell.visit, cell.endpoint)
        return Typed(name, cell.value_text, UNITS[cell.endpoint], str(cell.collected_on))

    def number_of(self, cell: CellTruth, **at: str) -> str | None:
        """The value of another cell of the same participant, where it is another."""
        other = self.truth[cell.study_id, at.get("visit", cell.visit), at.get("endpoint", cell.endpoint)]
        if other.value_text is None or other.comparator or cell.value_text is None or len(other.value_text) < 2:
            return None
        apart = abs(Decimal(other.value_text) - Decimal(cell.value_text))
        return other.value_text if apart > 1 else None


def plant_ten(trial: Trial, rows: dict[Cell, Typed], rng: Random) -> dict[Cell, tuple[str, str | None]]:
    p = Planter(trial, rows, rng)

    def point_moved(cell: CellTruth) -> Typed | None:
        row = p.plain(cell)
        return row and replace(row, value=f"{Decimal(row.value).scaleb(1):f}")

    def digits_exchanged(cell: CellTruth) -> Typed | None:
        row = p.plain(cell)
        if row is None or len(row.value) < 2 or row.value[1] in (row.value[0], "0") or not row.value[:2].isdecimal():
            return None
        return replace(row, value=row.value[1] + row.value[0] + row.value[2:])

    def unit_of_another_number(cell: CellTruth) -> Typed | None:
        row = p.plain(cell)
        return row and replace(row, value=f"{Decimal(row.value) / FACTORS['TBIL', 'mg/dL']:.2f}")

    def of_another_visit(cell: CellTruth) -> Typed | None:
        row, value = p.plain(cell), p.number_of(cell, visit="week-24") if cell.visit != "week-24" else None
        return replace(row, value=value) if row and value else None

    def of_another_endpoint(cell: CellTruth) -> Typed | None:
        row, value = p.plain(cell), p.number_of(cell, endpoint="AST")
        return replace(row, value=value) if row and value else None

    def a_day_off(cell: CellTruth) -> Typed | None:
        row = p.plain(cell)
        return row and replace(row, on=str(date.fromisoformat(row.on) + timedelta(days=rng.choice((-2, 3)))))

    def without_comparator(cell: CellTruth) -> Typed | None:
        if cell.comparator is None or cell.value_text is None:
            return None
        return Typed((cell.study_id, cell.visit, cell.endpoint), cell.value_text, UNITS[cell.endpoint], "")

    def in_per_cent(cell: CellTruth) -> Typed | None:
        row = p.plain(cell)
        return row and replace(row, unit="%")

    def emptied(cell: CellTruth) -> Typed | None:
        row = p.plain(cell)
        return row and replace(row, value="")

    def made_up(cell: CellTruth) -> Typed | None:
        name = (cell.study_id, cell.visit, cell.endpoint)
        return Typed(name, "37", "U/L", "") if cell.status in ("missing", "in_review") else None

    p.plant("value_differs", "fits_decimal_point", "PT", point_moved)
    p.plant("value_differs", "fits_exchanged_digits", "ALB", digits_exchanged)
    p.plant("value_differs", "fits_unit", "TBIL", unit_of_another_number)
    p.plant("value_differs", "fits_other_visit", "ALP", of_another_visit)
    p.plant("value_differs", "fits_endpoint", "ALT", of_another_endpoint)
    p.plant("date_differs", None, None, a_day_off)
    p.plant("comparator_differs", None, None, without_comparator)
    p.plant("unit_unknown", None, "PT", in_per_cent)
    p.plant("only_here", None, None, emptied)
    p.plant("only_there", None, "AST", made_up)
    return p.planted


def test_ten_planted_errors_are_found_and_no_other(trial: Trial, tmp_path: Path):
    for turn in range(3):
        rng = Random(f"{trial.feed.seed} {turn}")
        rows = sheet_of(trial, rng)
        planted = plant_ten(trial, rows, rng)
        assert len(planted) == 10
        found = compared(trial, written(rows, tmp_path, rng), status=1)
        told = {(f["study_id"], f["visit"], f["endpoint"]): f for f in found["findings"]}
        assert {cell: f["kind"] for cell, f in told.items()} == {cell: kind for cell, (kind, _) in planted.items()}
        assert found["bad_rows"] == []
        for cell, (_, fits) in planted.items():
            assert fits is None or fits in [fact["rule"] for fact in told[cell]["fits"]], (cell, told[cell])
        assert sum(row["value_differs"] for row in found["by_endpoint"]) == 5
        assert sum(row["value_differs"] for row in found["by_participant"]) == 5


def test_of_each_difference_it_is_told_where_our_value_is_from(trial: Trial, tmp_path: Path):
    rng = Random(trial.feed.seed)
    rows = sheet_of(trial, rng)
    planted = plant_ten(trial, rows, rng)
    messages = {c: t.message_ids for t in trial.feed.truth if (c := (t.study_id, t.visit, t.endpoint)) in planted}
    for each in compared(trial, written(rows, tmp_path, rng), status=1)["findings"]:
        cell, here = (each["study_id"], each["visit"], each["endpoint"]), each["here"]
        if each["kind"] == "only_there":
            assert (here["message_id"], here["value"]) == (None, None)
            assert here["status"] in ("missing", "pending", "in_review")
            assert len(here["open_items"]) == (1 if here["status"] == "in_review" else 0)
            continue
        assert here["message_id"] in messages[cell]
        assert here["locator"].startswith("OBX[")
        assert here["reported"] is not None
        assert " x " in here["conversion"]


# --- the command --------------------------------------------------------------------------------------------------


MESSAGES = Path(__file__).parents[1] / "fixtures" / "messages"


def site(folder: Path, *messages: str) -> DaemonRun:
    """One participant and a few messages."""
    run = DaemonRun(folder / "site")
    run.run("init", str(folder / "site"))
    run.run("participants", "import", str(MESSAGES / "roster.csv"))
    run.run("replay", *(str(MESSAGES / name) for name in messages))
    return run


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> DaemonRun:
    """ALT three times in week 12, bilirubin in mg/dL in week 4."""
    return site(tmp_path_factory.mktemp("small"), "bilirubin-in-mg-dl.hl7", "nearest-to-the-target.hl7")


def entered(folder: Path, *rows: str) -> str:
    path = folder / "entered.csv"
    path.write_text("\n".join((",".join(COLUMNS), *rows)), encoding="utf-8")
    return str(path)


def test_the_table_itself_has_no_finding(small: DaemonRun, tmp_path: Path):
    rows = [r for r in small.ask("values", "--all") if r["value_text"] is not None]
    assert len(rows) == 2
    names = ("study_id", "visit", "endpoint", "value_text", "unit", "collected_at")
    lines = [",".join(r[name] for name in names) for r in rows]
    found = json.loads(small.run("compare", entered(tmp_path, *lines), "--json", status=0))
    assert found["findings"] == []
    assert found["summary"]["agree"] == 2


def test_a_terminal_is_told_the_counts_each_finding_and_each_bad_row(small: DaemonRun, tmp_path: Path):
    file = entered(
        tmp_path,
        "S-001,week-4,TBIL,1.2,mg/dL,2026-02-02",
        "S-001,week-12,ALT,40,U/L,",
        "S-001,week-24,ALT,40,U/L,2026/2/2",
    )
    text = small.run("compare", file, status=1)
    assert "1 of 2 compared agree: 50.0 %, 95 % interval 9.5 to 90.5" in text
    assert "S-001 week-12 ALT (line 3): value differs" in text
    assert "here: lis H045 OBX[3] “60 U/L”" in text
    assert "What was entered is another result of the visit: lis H045 OBX[1]" in text
    assert "Not chosen: another result lies nearer to the target of week-12." in text
    assert "line 4: date is no date of ISO 8601; write it as 2026-02-02" in text


def test_a_sample_leaves_out_what_it_does_not_list(small: DaemonRun, tmp_path: Path):
    file = entered(tmp_path, "S-001,week-4,TBIL,1.2,mg/dL,")
    assert "only here" in small.run("compare", file, status=1)
    assert "only here" not in small.run("compare", file, "--sample", status=0)


def test_a_file_that_cannot_be_read_is_status_1_and_a_missing_one_status_2(small: DaemonRun, tmp_path: Path):
    nothing = tmp_path / "nothing.csv"
    nothing.write_bytes(b"")
    for arguments, status, said in (
        ([str(nothing)], 1, "line 1: the header is missing"),
        ([str(tmp_path / "absent.csv")], 2, "does not exist"),
        ([str(nothing), "--html", str(nothing)], 2, "give another"),
    ):
        done = subprocess.run(small.command("compare", *arguments), capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (status, "")
        assert said in done.stderr
        assert "Traceback" not in done.stderr


def test_the_html_report_is_written_whole_for_its_owner_and_replaces_the_last(small: DaemonRun, tmp_path: Path):
    report = tmp_path / "report.html"
    report.write_text("last week's")
    file = entered(tmp_path, "S-001,week-12,ALT,40,U/L,")
    found = json.loads(small.run("compare", file, "--sample", "--json", "--html", str(report), status=1))
    assert found["summary"]["value_differs"] == 1
    text = report.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert "lis H045 OBX[3]" in text
    assert report.stat().st_mode & 0o777 == 0o600
    assert sorted(p.name for p in tmp_path.iterdir()) == ["entered.csv", "report.html"]


def test_a_report_that_cannot_be_written_is_said(small: DaemonRun, tmp_path: Path):
    file = entered(tmp_path, "S-001,week-12,ALT,60,U/L,")
    arguments = ("compare", file, "--html", str(tmp_path / "nowhere" / "report.html"))
    done = subprocess.run(small.command(*arguments), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_value_that_the_laboratory_has_corrected_since_is_known_for_it(tmp_path: Path):
    run = site(tmp_path, "corrected-before-original.hl7")
    text = run.run("compare", entered(tmp_path, "S-001,week-4,ALT,47,U/L,2026-02-02"), status=1)
    assert "47 U/L was entered; the value here is 74 U/L." in text
    assert "a report (status F) that another has replaced since: lis C1 OBX[1], 2026-02-02T08:15:00+08:00" in text
    assert "With the digits 4 and 7 exchanged" in text


def test_a_value_that_waits_here_for_an_answer_is_known_for_it(tmp_path: Path):
    run = site(tmp_path, "missing-unit.hl7")
    text = run.run("compare", entered(tmp_path, "S-001,week-4,ALT,40,U/L,"), status=1)
    assert "40 U/L was entered; here there is no value: in_review, missing_unit." in text
    assert "No unit was sent, and the source's code map states none for this ALT code." in text
    assert "a result that waits for an answer, missing_unit: lis H030 OBX[1], 2026-02-02T08:15:00+08:00" in text


def test_a_file_without_rows_is_no_agreement(tmp_path: Path) -> None:
    run = DaemonRun(tmp_path / "site")
    run.run("init", str(tmp_path / "site"))
    empty = tmp_path / "empty.csv"
    empty.write_text("study_id,visit,endpoint,value,unit,date\n", encoding="utf-8")
    with pytest.raises(AssertionError, match="no row below its header"):
        run.run("compare", str(empty), "--sample")
