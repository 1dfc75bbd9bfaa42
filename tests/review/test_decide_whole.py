"""A whole trial settled item by item: each preview is what happens, and undone from the end nothing has happened."""

from __future__ import annotations

import shutil
from dataclasses import astuple
from datetime import UTC, datetime
from pathlib import Path

import pytest
from deskrun import DeskRun
from trialrun import TrialRun

from adapter.intake.door import new_message
from adapter.intake.screen import Fate
from adapter.model import Decision
from adapter.reprocess import carry_out
from adapter.review import desk
from adapter.review.answers import actions_of
from adapter.review.desk import Entry
from adapter.review.proposal import Given
from fixtures.generator import generate, write

NOW = datetime(2026, 12, 1, 4, 0, tzinfo=UTC)
FEED = generate(13)
TEXTS = {
    "map": "ALT",
    "say_analyte": "ALT",
    "say_value": "12.5",
    "say_collected_at": "2026-02-02",
    "map_status": "F",
    "say_status": "F",
}

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a trial all of whose feed has come and was derived."""
    folder = tmp_path_factory.mktemp("whole")
    shutil.copytree(Path(__file__).parents[2] / "mappings", folder / "mappings")
    write(FEED, folder, protocol=folder / "mappings" / "nct06984497.toml")
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


def opened(folder: Path) -> DeskRun:
    """The trial of a folder with its desk."""
    found = DeskRun.__new__(DeskRun)
    found.folder, found.run = folder, TrialRun(folder / "config.toml", folder / "trial.db", NOW)
    found.store = found.run.store
    return found


def filled_in(trial: DeskRun, entry: Entry, action: str) -> Given:
    """What a person might answer."""
    held = desk.results_of(trial.store, entry)
    text = TEXTS.get(action, "")
    if action in ("accept_unit", "say_unit"):
        analytes = trial.run.config.protocol.analytes
        text = analytes[held[0].endpoint or ""].unit
    one = action in ("choose", "take_back", "say_value")
    participant = next((row.study_id for row in held if row.study_id), None)
    if action == "confirm_identity" and participant is None:
        message = trial.store.message(held[0].inbox_id)
        participant = message.study_ids[0] if message is not None else None
    return Given(
        text, participant=participant, results=frozenset({(held[-1].inbox_id, held[-1].locator)} if one else ())
    )


def test_one_item_of_each_reason_of_a_trial_is_settled_and_all_of_it_undone(whole: Path, tmp_path: Path):
    shutil.copytree(whole, tmp_path / "trial")
    trial = opened(tmp_path / "trial")
    before = trial.derived()
    entries = {entry.item.reason: entry for entry in desk.queue(trial.store)}
    assert len(entries) > 8
    made = list[Decision]()
    for entry in entries.values():
        action = actions_of(entry)[0]
        given = filled_in(trial, entry, action)
        made += trial.decides(lambda e=entry, a=action, g=given: trial.desk.propose(e, a, g))
    still = {e.id for e in desk.queue(trial.store)}
    assert [e.item.reason for e in entries.values() if e.id in still] == ["unreadable_message"]  # as damaged as it was
    for decision in reversed(made):
        trial.undoes(decision)
    assert trial.derived() == before
    trial.close()
