"""What the tests in a browser may rely on: Debian's Chromium, the daemon with its page, people who are signed in."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from browsing import Desk, Opens, Watch
from pagesite import PageSite, serving
from playwright.sync_api import Browser, expect, sync_playwright

HERE = Path(__file__).parent
_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_WAIT_MILLISECONDS = 20_000  # a machine may be busy; what is there is not waited for


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One browser for all tests; each opens contexts of its own in it."""
    program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if program is None:
        pytest.fail(f"no browser: none of {', '.join(_PROGRAMS)} is there; on Debian: apt-get install chromium")
    expect.set_options(timeout=_WAIT_MILLISECONDS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageSite]:
    """The one daemon, with an account of each role."""
    with serving(tmp_path_factory.mktemp("page")) as found:
        yield found


@pytest.fixture(scope="session")
def signed_in(site: PageSite, chromium: Browser) -> Callable[[str], Any]:
    """The cookies of each role, from one sign-in by the form."""
    kept: dict[str, Any] = {"": None}

    def cookies(role: str) -> Any:
        if role not in kept:
            context = chromium.new_context(locale="en-US")
            Desk(site, context.new_page(), Watch(site)).sign_in(role, site.account(role, role))
            kept[role] = context.storage_state()
            context.close()
        return kept[role]

    return cookies


@contextmanager
def opening(site: PageSite, chromium: Browser, signed_in: Callable[[str], Any]) -> Iterator[Opens]:
    contexts, watch = [], Watch(site)

    def opened(role: str = "coordinator", *, language: str = "en-US", script: bool = True, **more: Any) -> Desk:
        state = signed_in(role)
        context = chromium.new_context(locale=language, java_script_enabled=script, storage_state=state, **more)
        contexts.append(context)
        context.set_default_timeout(_WAIT_MILLISECONDS)
        watch.over(context)
        return Desk(site, context.new_page(), watch)

    yield opened
    for context in contexts:
        context.close()
    assert watch.seen == []


@pytest.fixture
def opens(site: PageSite, chromium: Browser, signed_in: Callable[[str], Any]) -> Iterator[Opens]:
    """Pages in contexts of their own. At the end none of them said, opened or asked for anything that it may not."""
    with opening(site, chromium, signed_in) as opens:
        yield opens


@pytest.fixture(scope="module")
def opens_for_all(site: PageSite, chromium: Browser, signed_in: Callable[[str], Any]) -> Iterator[Opens]:
    """The same for several tests of a module that only look."""
    with opening(site, chromium, signed_in) as opens:
        yield opens
