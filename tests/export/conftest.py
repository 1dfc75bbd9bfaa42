from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest

from adapter.model import Assessment
from adapter.replay import replay_file
from fixtures.generator import generate, write
from tests.trialrun import TrialRun

FEED = generate(17)
NOW = datetime(2026, 12, 1, 4, 0, tzinfo=UTC)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrialRun]:
    """A whole invented trial, with what its clinicians assessed on each visit's target day."""
    folder = tmp_path_factory.mktemp("whole")
    write(FEED, folder)
    run = TrialRun(folder / "config.toml", folder / "trial.db", NOW)
    run.enrol(folder / "roster.csv", [(e.study_id, e.ended_on, e.why) for e in FEED.ended])
    for path in sorted((folder / "messages").iterdir()):
        replay_file(run.store, run.screen("-".join(path.name.split("-")[1:3])), path, NOW)
    with run.store.write() as tx:
        for number, person in enumerate(tx.participants()):
            if person.infused_at is not None:
                for visit in run.config.protocol.visits:
                    on = date.fromisoformat(person.infused_at[:10]) + timedelta(days=visit.target_day)
                    ascites = ("none", "mild", "moderate_severe")[number % 3]
                    assessed = Assessment(person.study_id, on, ascites, "none", (None, "no")[number % 2])
                    tx.add_assessment(assessed, "test", "test", NOW)
    run.settler.settle(run.book)
    yield run
    run.close()
