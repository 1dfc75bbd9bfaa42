"""One person at a real browser: what they click, and all that the page does besides what it was asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

from pagesite import PageSite, Person
from playwright.sync_api import BrowserContext, ConsoleMessage, Dialog, Locator, Page, Request, Response, expect

DECIDED = "Decided and done."


@dataclass
class Watch:
    """What no page may do, as it is seen in a context: talk in the console, open a dialog, ask other machines."""

    site: PageSite
    seen: list[str] = field(default_factory=list)

    def over(self, context: BrowserContext) -> None:
        context.on("console", self._console)
        context.on("weberror", lambda each: self.seen.append(f"error: {each.error}"))
        context.on("dialog", self._dialog)
        context.on("request", self._request)
        context.on("response", self._response)

    def _console(self, said: ConsoleMessage) -> None:
        # A page that is refused is told of as a resource that did not load; what is not a page is seen in _response.
        refused = said.text.startswith("Failed to load resource: the server responded with a status of 4")
        # Whoever types before the page has chosen a field for them keeps their own.
        faster = said.text == "Autofocus processing was blocked because a document already has a focused element."
        if said.type != "verbose" and not refused and not faster:  # verbose is advice to those who make pages
            self.seen.append(f"console {said.type}: {said.text}")

    def _dialog(self, dialog: Dialog) -> None:
        self.seen.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _request(self, request: Request) -> None:
        if not request.url.startswith((f"{self.site.url}/", "data:")):
            self.seen.append(f"asked elsewhere: {request.url}")

    def _response(self, response: Response) -> None:
        if response.status >= 500 or (response.status >= 400 and response.request.resource_type != "document"):
            self.seen.append(f"{response.status}: {response.url}")


@dataclass
class Desk:
    """A browser's page of one person, and the ways through it that several tests go."""

    site: PageSite
    page: Page
    watch: Watch

    def go(self, path: str) -> Page:
        """A page by its path; it is there, and not a refusal."""
        answer = self.page.goto(self.site.url + path)
        assert answer is not None
        assert answer.ok, f"{path}: {answer.status}"
        return self.page

    @property
    def path(self) -> str:
        """Where the browser is."""
        return urlsplit(self.page.url).path

    def sign_in(self, name: str, password: str) -> None:
        """Sign in by the form, and be in."""
        self.try_to_sign_in(name, password)
        expect(self.page.get_by_role("button", name="Sign out")).to_be_visible()

    def try_to_sign_in(self, name: str, password: str) -> None:
        """Fill in the form and send it."""
        if self.path != "/sign-in":
            self.page.goto(f"{self.site.url}/sign-in")
        self.page.get_by_label("Name").fill(name)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Sign in").click()

    # --- the board ------------------------------------------------------------------------------------------------

    def board_cell(self, person: Person, visit: str = "week-4", endpoint: str = "ALT") -> Locator:
        """The link of a cell, on the board narrowed to one participant by its form."""
        self.go("/")
        self.page.get_by_label("Study id").fill(person.study_id)
        self.page.get_by_role("search").get_by_role("button", name="Show").click()
        return self.page.locator(f'a[href="/participants/{person.study_id}/{visit}/{endpoint}"]')

    # --- the queue ------------------------------------------------------------------------------------------------

    def find_question(self, cause: str, about: str, person: Person | None) -> str:
        """From the menu to the queue, narrowed by its form, to the one question that says this; its path."""
        self.go("/")
        self.page.get_by_role("navigation", name="Pages").get_by_role("link", name="Review").click()
        self.page.get_by_label("Cause").select_option(label=cause)
        if person is not None:
            self.page.get_by_label("Participant").fill(person.study_id)
        self.page.get_by_role("button", name="Show", exact=True).click()
        self.page.get_by_role("cell").get_by_role("link", name=about).click()
        expect(self.page.get_by_role("heading", level=1)).to_contain_text(cause)
        expect(self.page.locator("p.big")).to_contain_text(about)
        return self.path

    def answer(self, action: str, fields: dict[str, str]) -> None:
        """Fill in one of the answers and look at what it would change."""
        form = self.page.locator(f'form[data-answer="{action}"]')
        for name, given in fields.items():
            found = form.locator(f'[name="{name}"]')
            if name == "result":
                form.get_by_label(given).check()
            elif found.evaluate("each => each.tagName") == "SELECT":
                found.select_option(given)
            else:
                found.fill(given)
        form.get_by_role("button").click()
        expect(self.page.get_by_text("Nothing is changed yet.")).to_be_visible()

    def confirm(self, why: str) -> list[int]:
        """Give the reason and do what was previewed; the decisions that were made."""
        self.page.get_by_label("Reason").fill(why)
        self.page.locator("form[data-preview]").get_by_role("button").click()
        expect(self.page.locator("p[role=status]")).to_have_text(DECIDED)
        self.page.wait_for_load_state()  # to the last of the links
        links = self.page.locator('main a[href^="/decisions/"]').all()
        return [int((link.get_attribute("href") or "").rpartition("/")[2]) for link in links]

    def undo(self, decision: int, why: str) -> list[int]:
        """From the menu to the decisions, to this one, and take it back."""
        self.page.get_by_role("navigation", name="Pages").get_by_role("link", name="Decisions").click()
        self.page.locator(f'main a[href="/decisions/{decision}"]').click()
        self.page.get_by_role("button", name="Take it back").click()
        expect(self.page.get_by_text("Nothing is changed yet.")).to_be_visible()
        return self.confirm(why)


class Opens(Protocol):
    """Opens a page in a browser of its own, in which an account of this role is signed in; "" is a stranger's."""

    def __call__(
        self, role: str = "coordinator", *, language: str = "en-US", script: bool = True, **more: Any
    ) -> Desk: ...
