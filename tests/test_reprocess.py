"""A whole trial run once more under other rules: exactly what must change does, and the rest stands."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import asdict, astuple, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from trialrun import TrialRun

from adapter.intake.door import new_message
from adapter.intake.screen import Fate
from adapter.model import Decision
from adapter.reprocess import Counts, NotDerivable, Rehearsal, carry_out, rehearse
from adapter.store import StoreError, StoreUnavailable
from adapter.words import say_step
from fixtures.feed.plan import in_unit
from fixtures.generator import CellTruth, Planned, generate, write

MAPPINGS = Path(__file__).parents[1] / "mappings"
PROTOCOL = "mappings/nct06984497.toml"
WEEK_4 = "target_day = 28\nbefore_days = 7\nafter_days = 7"
NOW = datetime(2026, 12, 1, 4, 0, tzinfo=UTC)  # all windows but those of the late ones have closed
FEED = generate(13)  # of its seeds' one with results just outside week 4
CHARSETS = {"lis-a": "utf-8", "lis-b": "gb18030", "lis-c": "iso-8859-1"}
NEEDS = {  # what each score is computed from
    "MELD": ("TBIL", "INR", "CREA"),
    "MELD_NA": ("TBIL", "INR", "CREA", "NA"),
    "MELD_3_0": ("TBIL", "INR", "CREA", "NA", "ALB", "sex"),
    "CHILD_PUGH": ("TBIL", "ALB", "INR", "ascites", "encephalopathy"),
}
DRY_ALT = {"source": "lis-b", "code": "GPT-D", "system": "", "analyte": "ALT"}  # a code that nobody has mapped
Cell = tuple[str, str, str]

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a trial all of whose feed has come and was derived."""
    folder = tmp_path_factory.mktemp("whole")
    shutil.copytree(MAPPINGS, folder / "mappings")
    write(FEED, folder, protocol=folder / PROTOCOL)
    run = TrialRun(folder / "config.toml", folder / "trial.db", NOW)
    run.enrol(folder / "roster.csv", [astuple(each) for each in FEED.ended])  # type: ignore[misc]
    with run.store.write() as tx:
        screens = {source.name: run.screen(source.name) for source in run.config.sources}
        for sent in FEED.messages:
            screened, _ = screens[sent.source].look(sent.payload, sent.arrival)
            tx.add_messages([new_message(sent.source, m, sent.arrival) for m in screened if m.fate == Fate.ACCEPTED])
    carry_out(run.store, run.book, NOW, who="test", why="the first time")
    run.close()
    return folder


class Trial:
    """A copy of the whole trial, whose files can be changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run = self.opened()

    def opened(self) -> TrialRun:
        return TrialRun(self.folder / "config.toml", self.folder / "trial.db", NOW)

    def change(self, name: str, old: str, new: str) -> None:
        """Put other words into a file, and read all of them again."""
        path = self.folder / name
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, old
        path.write_text(text.replace(old, new), encoding="utf-8")
        self.run.close()
        self.run = self.opened()

    def rehearsed(self, **infused: str | None) -> Rehearsal:
        return rehearse(
            self.run.store, self.run.book, NOW, infused={k.replace("_", "-"): v for k, v in infused.items()}
        )

    def done(self) -> Rehearsal:
        return carry_out(self.run.store, self.run.book, NOW, who="nurse", why="as agreed")

    def widened(self) -> None:
        self.change(PROTOCOL, WEEK_4, WEEK_4.replace("7", "10"))

    def stored(self) -> dict[str, list[object]]:
        """All that is derived, as it stands."""
        store = self.run.store
        scopes = store.scopes()
        return {
            "results": [*store.results()],
            "placements": [row for scope in scopes for row in store.placements(scope)],
            "selections": [*store.selections()],
            "items": sorted((stored.item for stored in store.open_items()), key=lambda item: item.id),
        }


@pytest.fixture
def trial(whole: Path, tmp_path: Path) -> Iterator[Trial]:
    shutil.copytree(whole, tmp_path / "trial")
    found = Trial(tmp_path / "trial")
    yield found
    found.run.close()


def truth() -> dict[Cell, CellTruth]:
    return {(c.study_id, c.visit, c.endpoint): c for c in FEED.truth}


def observed(message: Planned) -> list[tuple[str, str, str]]:
    """OBX-3, the number in OBX-5 and OBX-6 of each OBX, by the delimiters that the message declares."""
    text = message.payload.decode(CHARSETS[message.source])
    rows = [row.split(text[3]) for row in re.split(r"[\r\n]+", text) if row.startswith("OBX")]
    return [(row[3], row[5].split(text[4])[-1], row[6] if len(row) > 6 else "") for row in rows]


def named(control_id: str) -> Planned:
    """The frame that a message came in, alone or in a batch."""
    return next(m for m in FEED.messages if control_id.encode() in m.payload)


def scores_of(cell: Cell) -> set[Cell]:
    """The scores that name an input otherwise once this one has its value: those for which no input is missing."""
    study_id, visit, endpoint = cell
    known_sex = {row.study_id for row in FEED.roster if row.sex}
    has = {
        e for (s, v, e), c in truth().items() if (s, v) == (study_id, visit) and c.status in ("captured", "in_review")
    }
    has |= {"sex"} if study_id in known_sex else set()
    return {(study_id, visit, s) for s, needs in NEEDS.items() if endpoint in needs and set(needs) <= has}


def values_of(found: Rehearsal) -> dict[Cell, str | None]:
    return {(c.study_id, c.visit, c.endpoint): c.new.value for c in found.changes if c.new is not None}


def changed(found: Rehearsal) -> dict[Cell, str | None]:
    return {(c.study_id, c.visit, c.endpoint): c.new.value for c in found.changes if c.new is not None}


def just_outside(visit: str) -> dict[Cell, str]:
    """The cells of a visit whose only result was planned a day outside its window, with that result's value."""
    found = {}
    for cell, told in truth().items():
        if told.reason == "window_missed" and cell[1] == visit:
            days = {"day_before_window", "day_after_window"}
            (message,) = [m for m in FEED.messages if m.kind in days and m.study_ids == (cell[0],)]
            ((_, number, unit),) = observed(message)
            found[cell] = in_unit(cell[2], number, unit)
    return found


def test_a_wider_window_changes_exactly_the_values_whose_only_results_lay_just_outside(trial: Trial):
    expected = just_outside("week-4")
    scores = {score for cell in expected for score in scores_of(cell)}
    assert (len(expected), len(scores)) == (3, 2)
    trial.widened()
    found = trial.rehearsed()
    listed = changed(found)
    assert listed.keys() == expected.keys() | scores
    assert {cell: listed[cell] for cell in expected} == expected
    for change in found.changes:
        assert change.old is not None
        assert change.new is not None
        assert (change.old.status, change.old.value) == ("in_review", None)
        if (change.study_id, change.visit, change.endpoint) in expected:
            assert (change.old.reason, change.new.status) == ("window_missed", "captured")
            assert "lies in the window of week-4 now; before: unscheduled." in say_step(change.why)
        else:
            assert say_step(change.why).startswith("It is computed from other inputs: ")
    assert found.counts == Counts(values=5, results=3, opened=0, closed=3)


def test_what_is_shown_is_what_is_done_and_the_second_time_nothing_is(trial: Trial):
    trial.widened()
    before = {(s.study_id, s.visit, s.endpoint): s for s in trial.run.store.selections()}
    open_before = trial.run.store.open_count()
    shown = trial.rehearsed()
    done = trial.done()
    assert (done.changes, done.counts) == (shown.changes, shown.counts)
    after = {(s.study_id, s.visit, s.endpoint): s for s in trial.run.store.selections()}
    for change in shown.changes:
        cell = (change.study_id, change.visit, change.endpoint)
        assert (before[cell], after[cell]) == (change.old, change.new)
    others = after.keys() - {(c.study_id, c.visit, c.endpoint) for c in shown.changes}
    assert [c for c in others if (after[c].status, after[c].value) != (before[c].status, before[c].value)] == []
    assert {s.ruleset for s in after.values()} == {trial.run.book.ruleset}
    assert trial.run.store.open_count() == open_before - shown.counts.closed
    head = trial.run.store.head()
    stored = (trial.folder / "trial.db").read_bytes()
    again = trial.done()
    assert (again.changes, again.is_nothing, again.adopts) == ((), True, False)
    assert trial.run.settler.settle(trial.run.book) == 0
    assert trial.run.store.head() == head
    assert (trial.folder / "trial.db").read_bytes() == stored


def test_a_rehearsal_writes_nothing(trial: Trial):
    trial.widened()
    before = {path.name: path.read_bytes() for path in trial.folder.glob("trial.db*")}
    assert trial.rehearsed().changes
    assert {path.name: path.read_bytes() for path in trial.folder.glob("trial.db*")} == before


def test_a_changed_factor_changes_the_values_that_it_converted(trial: Trial):
    """Bilirubin in mg/dL, by the molar mass of another table."""
    expected = {}
    for cell, told in truth().items():
        rows = [row for name in told.message_ids for row in observed(named(name))]
        units = {unit for code, _, unit in rows if re.search("TBIL|1975-2|14631-6|总胆", code)}
        if cell[2] == "TBIL" and told.value_text is not None and "mg/dL" in units:
            expected[cell] = Decimal(told.value_text) / Decimal("17.104") * Decimal("17.1")
    assert len(expected) > 10
    row = 'factor = "17.104"\nsource = "bilirubin C33H36N4O6, molar mass 584.66 g/mol: 10000 / 584.66 = 17.104"\n'
    row += 'example = { from = "2.5", to = "42.76" }'
    trial.change("mappings/units.toml", row, row.replace("17.104", "17.1").replace("42.76", "42.75"))
    found = trial.rehearsed()
    measured = {cell: value for cell, value in changed(found).items() if cell[2] not in NEEDS}
    assert {cell: Decimal(value or "") for cell, value in measured.items()} == expected
    assert {cell[:2] for cell in changed(found)} == {cell[:2] for cell in expected}
    told = [say_step(c.why) for c in found.changes if c.endpoint == "TBIL"]
    assert all("is converted by TBIL mg/dL x 17.1 now, and was by TBIL mg/dL x 17.104." in why for why in told)
    assert found.counts.opened == found.counts.closed == 0


def test_a_code_taken_out_of_the_map_holds_every_value_that_came_by_it(trial: Trial):
    expected = {
        cell
        for cell, told in truth().items()
        if cell[2] == "ALP" and told.value_text is not None and "lis-b" in {named(m).source for m in told.message_ids}
    }
    assert len(expected) > 10
    open_before = trial.run.store.open_count()
    trial.change("codes-lis-b.toml", '[[code]]\ncode = "AKP"\nname = "碱性磷酸酶"\nanalyte = "ALP"\n', "")
    found = trial.rehearsed()
    had = {(c.study_id, c.visit, c.endpoint): c for c in found.changes if c.old is not None and c.old.value is not None}
    assert had.keys() == expected
    for change in had.values():
        assert change.new is not None
        if change.old is not None and change.old.flags:  # it came through lis-a too
            assert (change.new.status, change.new.source, change.new.flags) == ("captured", "lis-a", ())
        else:
            assert (change.new.status, change.new.reason) == ("in_review", "unmapped_code")
            assert say_step(change.why).endswith(" is held now: unmapped_code.")
    assert {c.endpoint for c in found.changes} == {"ALP"}
    trial.done()
    (asked,) = [s.item for s in trial.run.store.open_items() if s.item.code == "AKP"]
    assert asked.count >= len(expected)
    assert trial.run.store.open_count() == open_before + found.counts.opened - found.counts.closed


def test_another_infusion_date_is_tried_on_one_participant_alone(trial: Trial):
    """Three days later: what lay more than its tolerance less three days before the target is outside."""
    study_id, infused_at = next(
        (row.study_id, row.infused_at)
        for row in FEED.roster
        if {t.status for c, t in truth().items() if c[0] == row.study_id} == {"captured"}
    )
    tolerance = {"week-4": 7, "week-12": 14, "week-24": 14}
    expected = {
        cell
        for cell, told in truth().items()
        if cell[0] == study_id and told.day_offset is not None and abs(told.day_offset - 3) > tolerance[cell[1]]
    }
    later = datetime.fromisoformat(infused_at) + timedelta(days=3)
    found = trial.rehearsed(**{study_id.replace("-", "_"): later.date().isoformat()})
    assert {cell for cell in changed(found) if cell[2] not in NEEDS} == expected
    assert {cell[0] for cell in changed(found)} <= {study_id}
    assert found.participants[study_id].infused_at == later.date().isoformat()
    assert trial.rehearsed().is_nothing


def test_a_decision_is_tried_before_it_is_made(trial: Trial):
    """The dry chemistry's code is ALT: told as it then is, for all and for those that it concerns alone."""
    store = trial.run.store
    before, open_before = {(s.study_id, s.visit, s.endpoint): s for s in store.selections()}, store.open_count()
    decided = [Decision(1, "map_code", DRY_ALT, "nurse", "", "as agreed")]
    tried = rehearse(store, trial.run.book, NOW, decided=decided)
    assert (tried.counts.closed, bool(tried.changes)) == (1, True)
    concerned = {row.study_id for row in store.results() if row.code == "GPT-D"}
    assert {change.study_id for change in tried.changes} <= concerned
    alone = rehearse(store, trial.run.book, NOW, decided=decided, scopes=concerned)
    assert (alone.changes, alone.counts) == (tried.changes, tried.counts)
    with store.write() as tx:
        tx.add_decision("map_code", DRY_ALT, "nurse", "as agreed", NOW)
    trial.run.settler.settle(trial.run.book)
    after = {(s.study_id, s.visit, s.endpoint): s for s in store.selections()}
    assert {cell for cell in after if after[cell].value != before[cell].value} == {
        (c.study_id, c.visit, c.endpoint) for c in tried.changes
    }
    assert store.open_count() == open_before + tried.counts.opened - tried.counts.closed


def test_a_failure_in_the_middle_leaves_nothing_of_it(trial: Trial):
    trial.widened()
    before, head = trial.stored(), trial.run.store.head()
    trial.run.store._engine.database.execute(
        "CREATE TEMP TRIGGER fails BEFORE INSERT ON main.audit WHEN NEW.what = 'reprocessed' "
        "BEGIN SELECT RAISE(ABORT, 'no more'); END"
    )
    with pytest.raises(StoreError, match="no more"):
        trial.done()
    assert (trial.stored(), trial.run.store.head()) == (before, head)
    assert trial.rehearsed().adopts


def test_rules_that_fail_are_told_with_the_participant_and_change_nothing(trial: Trial):
    head = trial.run.store.head()
    with pytest.raises(NotDerivable, match=r"^S-001 cannot be derived: ValueError in the rules"):
        trial.rehearsed(S_001="no date")
    assert trial.run.store.head() == head


@pytest.mark.parametrize("what", ["roster", "decisions"])
def test_what_moves_meanwhile_is_derived_again(trial: Trial, what: str):
    """A participant whose turn is yet to come, by the roster that was read; all, when they have had theirs."""
    trial.widened()
    store = trial.run.store
    last = max(row.study_id for row in store.results() if row.outcome == "placed")
    moves = [""] * (len(store.scopes()) - 1) + ["decisions"] if what == "decisions" else ["roster"]

    def advance() -> None:
        move = moves.pop(0) if moves else ""
        if move == "roster":
            person = store.participant(last)
            assert person is not None
            trial.run.put(replace(person, infused_at="2024-01-01"))
        elif move == "decisions":
            with store.write() as tx:
                tx.add_decision("map_code", DRY_ALT, "nurse", "as agreed", NOW)

    carry_out(store, trial.run.book, NOW, who="nurse", why="as agreed", advance=advance)
    assert trial.rehearsed().is_nothing


def test_a_store_that_keeps_moving_is_left_as_it_is(trial: Trial):
    trial.widened()
    before, dates = trial.stored(), iter(range(10_000))

    def advance() -> None:
        person = trial.run.store.participant("S-001")
        assert person is not None
        trial.run.put(replace(person, infused_at=(datetime(2025, 1, 1) + timedelta(next(dates))).date().isoformat()))

    with pytest.raises(StoreUnavailable, match="nothing was changed"):
        carry_out(trial.run.store, trial.run.book, NOW, who="nurse", why="as agreed", advance=advance)
    assert trial.stored() == before


def test_it_is_in_the_trail_once_with_who_why_and_how_much(trial: Trial):
    trial.widened()
    seq = trial.run.store.audit_records()[-1].seq
    counts = trial.done().counts
    told = trial.run.store.audit_records(after=seq)
    assert {record.who for record in told} == {"nurse"}
    (record,) = [r for r in told if r.what == "reprocessed"]
    assert record.why == "as agreed"
    assert json.loads(record.new or "") == {**asdict(counts), "ruleset": trial.run.book.ruleset}
    cells = {r.subject for r in told if r.what == "value changed"}
    assert {" ".join(cell) for cell in just_outside("week-4")} <= cells
    assert len(cells) < 20  # what only stands under other rules now is no change of a value
    assert trial.run.store.verify().ok


def test_derived_from_nothing_message_by_message_the_store_is_the_same(trial: Trial):
    """The trial's rows were derived all at once."""
    before = trial.stored()
    with trial.run.store.write() as tx:
        tx.clear_derived("test", "to derive it again", NOW)
    assert trial.stored() == {name: [] for name in before}
    trial.run.settler.settle(trial.run.book)
    assert trial.stored() == before


def test_a_row_that_was_altered_by_hand_is_found_and_put_right(trial: Trial):
    cell = next(c for c, told in truth().items() if told.status == "captured" and c[2] == "ALT")
    before = trial.stored()
    connection = sqlite3.connect(trial.folder / "trial.db")
    connection.execute(
        "UPDATE selections SET value = '1' WHERE study_id = ? AND visit = ? AND endpoint = ? AND ended_seq IS NULL",
        cell,
    )
    connection.commit()
    connection.close()
    (change,) = trial.rehearsed().changes
    assert (change.study_id, change.visit, change.endpoint) == cell
    assert say_step(change.why) == "By these rules and this roster it no longer follows from what was received."
    trial.done()
    assert trial.stored() == before
