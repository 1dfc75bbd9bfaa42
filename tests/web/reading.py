"""What somebody reads, or hears, of a page: its texts and the attributes that are told, but for what is given as sent.

As sent is what a laboratory or a person wrote (``class="sent"``), what names something to a program (``<code>``,
``<kbd>``), and whatever says that it is in another language.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

_TOLD = ("title", "aria-label", "placeholder", "alt")
_EMPTY = {"meta", "link", "input", "br", "img", "hr", "rect", "line", "circle", "path", "polyline"}
# A word stands alone: what is part of an id, a hash or a path is none.
_WORD = re.compile(r"(?<![A-Za-z0-9_.:/-])[A-Za-z]+(?:['’-][A-Za-z]+)*(?![A-Za-z0-9_:/-])")
_QUOTED = re.compile("“[^”]*”")


class Reader(HTMLParser):
    """Collects the texts of one page in ``texts``."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._open: list[tuple[str, bool]] = []

    @property
    def _as_sent(self) -> bool:
        return any(as_sent for _, as_sent in self._open)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        facts = dict(attrs)
        as_sent = tag in {"code", "kbd", "script", "style"} or bool("sent" in (facts.get("class") or "").split())
        as_sent |= tag != "html" and "lang" in facts
        if tag not in _EMPTY:
            self._open.append((tag, as_sent))
        if not as_sent and not self._as_sent:
            self.texts += [value for name in _TOLD if (value := facts.get(name))]

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if data.strip() and not self._as_sent:
            self.texts.append(" ".join(data.split()))


def texts(page: str) -> list[str]:
    """Everything on a page that is told in its reader's language."""
    reader = Reader()
    reader.feed(page)
    reader.close()
    return reader.texts


def words(text: str) -> list[str]:
    """The words of the Latin alphabet with a small letter in them, but for what is quoted as it was sent (“...”)."""
    return [word for word in _WORD.findall(_QUOTED.sub("", text)) if len(word) > 1 and not word.isupper()]


@dataclass
class Form:
    """One form that posts: its hidden fields, its buttons' names and values, and its other fields as they stand.

    ``suggested`` are those fields; where nothing is chosen yet it is the first that can be.
    """

    action: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[tuple[str, str]] = field(default_factory=list)
    suggested: dict[str, str] = field(default_factory=dict)


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[str] = []
        self._form: Form | None = None
        self._select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        facts = {name: value or "" for name, value in attrs}
        if tag == "a":
            self.links.append(facts.get("href", ""))
        if tag == "form":
            self._form = Form(facts.get("action", "")) if facts.get("method") == "post" else None
            self.forms += [] if self._form is None else [self._form]
        if self._form is None:
            return
        name, value = facts.get("name", ""), facts.get("value", "")
        if tag == "button" and name:
            self._form.buttons.append((name, value))
        elif tag == "input" and facts.get("type") == "hidden":
            self._form.fields[name] = value
        elif tag == "input" and name:
            self._form.suggested.setdefault(name, value)
        elif tag == "select":
            self._select = name
        elif tag == "option" and value and ("selected" in facts or self._select not in self._form.suggested):
            self._form.suggested[self._select] = value

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None


def _forms(page: str) -> _Forms:
    found = _Forms()
    found.feed(page)
    found.close()
    return found


def forms(page: str) -> list[Form]:
    """The forms of a page that post."""
    return _forms(page).forms


def links(page: str) -> list[str]:
    """Where a page leads, within the site and beyond its own fragments."""
    return [href for href in _forms(page).links if href.startswith("/")]
