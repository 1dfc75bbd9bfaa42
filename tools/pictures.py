"""``make pictures``: the pages as a person sees them, for the documents: docs/pictures/*.png.

A whole invented trial with a fixed seed, seen as of a fixed instant, on the real server, in Debian's Chromium: whoever
makes them again gets the same pictures, but for what changed in the pages.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from adapter.config import Config, load_config
from adapter.daemon import rulebook, screen_of
from adapter.model import Assessment
from adapter.pipeline import Settler
from adapter.replay import replay_file
from adapter.review.decide import Desk
from adapter.review.desk import queue
from adapter.review.proposal import Given
from adapter.review.roster import read_roster
from adapter.rules.match import Roster
from adapter.store import Store
from adapter.web import accounts
from adapter.web.access import Role
from adapter.web.app import create_app
from adapter.web.server import WebServer
from fixtures.feed.nouns import Feed
from fixtures.generator import generate, write

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
SEED = 7
NOW = datetime(2026, 6, 15, 2, 0, tzinfo=UTC)  # in the middle: windows that have closed, are open, are still to come
_NAME, _PASSWORD = "wang", "seven quiet herons"  # of a store that is gone when the pictures are made
_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_MOST_BYTES = 150_000
_WIDTH, _HEIGHT = 1280, 680


@dataclass(slots=True)
class Clock:
    """What time it is: each message's own while they come in, and then always the same."""

    now: datetime


class Trial:
    """The invented trial up to NOW: what came until then, and a little of what people did."""

    def __init__(self, folder: Path, feed: Feed) -> None:
        write(feed, folder)
        config = folder / "config.toml"
        config.write_text(config.read_text(encoding="utf-8") + "\n[web]\nport = 0\n", encoding="utf-8")
        self.config: Config = load_config(config)
        self.book = rulebook(self.config)
        self.clock = Clock(feed.messages[0].arrival - timedelta(days=1))
        self.store = Store.open(self.config.store_path, self.config.protocol.trial, create=True)
        self.settler = Settler(self.store, lambda: self.clock.now, "adapter")
        self._enrol(folder, feed)
        self._receive(folder, feed)
        self.clock.now = NOW
        self._assess(feed)
        self._decide()
        accounts.add(self.store, _NAME, Role.ADMINISTRATOR, _PASSWORD, _NAME, NOW)

    def _enrol(self, folder: Path, feed: Feed) -> None:
        left = {each.study_id: each for each in feed.ended if each.ended_on <= NOW.date()}
        with self.store.write() as tx:
            for person in read_roster((folder / "roster.csv").read_text(encoding="utf-8").splitlines(keepends=True)):
                gone = left.get(person.study_id)
                ended = replace(person, ended_on=gone.ended_on, ended_by=gone.why) if gone is not None else person
                tx.put_participant(ended, _NAME, "enrolled", self.clock.now)

    def _receive(self, folder: Path, feed: Feed) -> None:
        """Every message at its own time, settled week by week, so that there is a history."""
        files = sorted((folder / "messages").iterdir())
        came = [pair for pair in zip(feed.messages, files, strict=True) if pair[0].arrival <= NOW]
        roster = Roster(self.store.participants())
        doors = {s.name: screen_of(s, roster, self.config.protocol.timezone) for s in self.config.sources}
        for _, of_week in groupby(came, key=lambda pair: pair[0].arrival.isocalendar()[:2]):
            for message, file in of_week:
                self.clock.now = message.arrival
                replay_file(self.store, doors[message.source], file, message.arrival)
            self.settler.settle(self.book)

    def _assess(self, feed: Feed) -> None:
        with self.store.write() as tx:
            for each in feed.assessments:
                on = date.fromisoformat(each.assessed_on)
                if on <= NOW.date():
                    items = (each.ascites or None, each.encephalopathy or None, each.dialysis or None)
                    tx.add_assessment(Assessment(each.study_id, on, *items), _NAME, "entered", NOW)
        self.settler.settle(self.book)

    def _decide(self) -> None:
        """Somebody has begun with the queue."""
        desk = Desk(self.store, self.book, NOW)
        entry = next(each for each in queue(self.store) if each.item.reason == "wrong_specimen")
        desk.decide(desk.propose(entry, "dismiss", Given()), _NAME, "urine, says the laboratory")
        self.settler.settle(self.book)

    def page(self) -> WebServer:
        """The page of the trial, as of NOW."""
        assert self.config.web is not None
        return WebServer(create_app(lambda: self.config, lambda: self.book, lambda: NOW), self.config.web)

    def question(self, reason: str) -> str:
        """Where a question of the queue is that has a suggestion, and else the first of its reason."""
        found = [each for each in queue(self.store) if each.item.reason == reason]
        return f"/review/{max(found, key=lambda each: each.item.suggestion is not None).id}"

    def story(self) -> str:
        """Where the story of a captured value is for which most results stood."""
        cells = [s for s in self.store.selections() if s.status == "captured" and s.score is None]
        best = max(cells, key=lambda s: len(self.store.placements(s.study_id, s.visit, s.endpoint)))
        return f"/participants/{best.study_id}/{best.visit}/{best.endpoint}"


@dataclass(slots=True)
class Camera:
    """A browser in which somebody is signed in, and where its pictures go."""

    browser: Browser
    url: str

    @contextmanager
    def desk(self, language: str = "en-US", width: int = _WIDTH, height: int = _HEIGHT) -> Iterator[Page]:
        """A page to look at."""
        size = {"width": width, "height": height}
        context = self.browser.new_context(locale=language, viewport=size, device_scale_factor=1)
        page = context.new_page()
        page.goto(self.url)
        page.locator("#name").fill(_NAME)
        page.locator("#password").fill(_PASSWORD)
        page.locator("#password").press("Enter")
        page.locator(".who a").wait_for()
        yield page
        context.close()

    def go(self, page: Page, path: str) -> Page:
        """A page by its path."""
        answer = page.goto(self.url.rstrip("/") + path)
        if answer is None or not answer.ok:
            raise SystemExit(f"pictures: {path} is not there")
        return page


def take(page: Page, name: str) -> None:
    """One picture of what the window shows."""
    path = PICTURES / f"{name}.png"
    page.screenshot(path=path, animations="disabled", caret="hide")
    size = path.stat().st_size
    print(f"{path.relative_to(PICTURES.parents[1])}  {size // 1000} kB")
    if size > _MOST_BYTES:
        raise SystemExit(f"pictures: {name} is larger than {_MOST_BYTES // 1000} kB; show less of the page")


def take_all(camera: Camera, trial: Trial) -> None:
    """Every picture of the documents."""
    with camera.desk() as page:
        take(page, "board")
        story = trial.story()
        camera.go(page, story.rsplit("/", 2)[0]).locator(".analyte").first.evaluate("each => each.scrollIntoView()")
        take(page, "participant")
        camera.go(page, story).locator("ol.steps").evaluate("each => each.previousElementSibling.scrollIntoView()")
        take(page, "story")
        take(camera.go(page, "/review"), "queue")
        take(camera.go(page, trial.question("unmapped_code")), "question")
        page.locator('form[data-answer="map"] button').click()
        page.locator("form[data-preview]").wait_for()
        take(page, "preview")
        page.set_viewport_size({"width": _WIDTH, "height": 600})
        take(camera.go(page, "/roster"), "roster")
    with camera.desk("zh-CN", height=600) as page:
        take(page, "board-zh")
    with camera.desk(width=360, height=740) as page:
        take(page, "board-narrow")


def main() -> None:
    """Make all of them anew."""
    program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if program is None:
        raise SystemExit(f"pictures: none of {', '.join(_PROGRAMS)} is there; on Debian: apt-get install chromium")
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="lab-adapter-pictures-") as folder:
        trial = Trial(Path(folder), generate(SEED))
        server = trial.page()
        server.listen()
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
                take_all(Camera(browser, server.url), trial)
                browser.close()
        finally:
            server.stop()
            trial.store.close()


if __name__ == "__main__":
    main()
