"""The page's catalogue of messages: what the sources say, what the .po says of it in Chinese, and the .mo made of that.

``make messages`` takes up new texts (to be translated in the .po by hand), drops those that are gone and compiles. It
guesses nothing: a text that was changed is another text. Nothing in the files depends on the day or the machine.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from jinja2 import Environment, nodes

from adapter import labels
from adapter.retold import FORMS
from adapter.web.app import templates
from adapter.words import sentences

CHECKOUT = Path(__file__).parents[1]
PO = CHECKOUT / "adapter" / "web" / "locale" / "zh" / "LC_MESSAGES" / "adapter.po"
MO = PO.with_suffix(".mo")
_PAGES = CHECKOUT / "adapter" / "web"
_PYTHON = (
    "adapter/labels.py",
    "adapter/retold.py",
    "adapter/lineage/*.py",
    "adapter/review/*.py",
    "adapter/web/**/*.py",
)
_PROTOCOL = ("mappings/analytes.toml", "mappings/nct06984497.toml")
_KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2), "marked": None, "translate": None}
_ON_PAGES = {**_KEYWORDS, "say": None}  # elsewhere ``say`` is given a rule and not a text
_HEADERS = [
    ("Project-Id-Version", "trial-lab-adapter"),
    ("Language", "zh"),
    ("Plural-Forms", "nplurals=1; plural=0;"),
    ("MIME-Version", "1.0"),
    ("Content-Type", "text/plain; charset=utf-8"),
    ("Content-Transfer-Encoding", "8bit"),
]

Text = str | tuple[str, str]  # a tuple: one and many
Found = tuple[str, Text]  # in which file, and what


class _Same(Catalog):
    """A catalogue whose header is the same whoever makes it, and when."""

    @property
    def mime_headers(self) -> list[tuple[str, str]]:  # type: ignore[override]
        return _HEADERS


def found() -> Iterator[Found]:
    """Every text that a page can show."""
    environment = templates()
    for path in sorted((_PAGES / "templates").glob("*.html")):
        for text in in_template(environment, path.read_text(encoding="utf-8")):
            yield _named(path), text
    for pattern in _PYTHON:
        for path in sorted(CHECKOUT.glob(pattern)):
            keywords = _ON_PAGES if path.is_relative_to(_PAGES) else _KEYWORDS
            with path.open("rb") as file:
                for _, text, _, _ in extract("python", file, keywords):
                    yield _named(path), text if isinstance(text, str) else (text[0], text[1])
    yield from (("adapter/labels.py", text) for text in labels.texts())
    yield from (("adapter/words.py", text) for text in sentences())
    yield from (("adapter/retold.py", text) for text in FORMS)
    for name in _PROTOCOL:
        with (CHECKOUT / name).open("rb") as file:
            yield from ((name, text) for text in _labels(tomllib.load(file)))


def in_template(environment: Environment, source: str) -> Iterator[Text]:
    """The texts of one template: what ``_``, ``page.say``, ``gettext`` and ``ngettext`` are given."""
    for call in environment.parse(source).find_all(nodes.Call):
        name = call.node.name if isinstance(call.node, nodes.Name) else getattr(call.node, "attr", "")
        given = [each.value if isinstance(each, nodes.Const) else None for each in call.args]
        if name == "ngettext" and isinstance(given[0], str) and isinstance(given[1], str):
            yield given[0], given[1]
        elif name in {"_", "say", "gettext"} and given and isinstance(given[0], str):
            yield given[0]


def _labels(table: dict[str, Any]) -> Iterator[str]:
    """What a protocol calls itself, its visits and its analytes."""
    for name, value in table.items():
        if name in {"label", "title"} and isinstance(value, str):
            yield value
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict):
                yield from _labels(each)


def _named(path: Path) -> str:
    return path.relative_to(CHECKOUT).as_posix()


def known(po: Path = PO) -> Catalog:
    """The .po as it is."""
    with po.open("rb") as file:
        return read_po(file, locale="zh")


def merged(before: Catalog) -> Catalog:
    """Every text that is found, with the translation that it has."""
    made = _Same(locale="zh", header_comment=before.header_comment, charset="utf-8", fuzzy=False)
    for place, text in found():
        stands = before.get(text if isinstance(text, str) else text[0])
        made.add(text, stands.string if stands is not None and not stands.fuzzy else "", locations=[(place, None)])
    return made


def po_of(catalogue: Catalog) -> bytes:
    """The .po of a catalogue."""
    file = BytesIO()
    write_po(file, catalogue, width=120, include_lineno=False)
    return file.getvalue()


def mo_of(catalogue: Catalog) -> bytes:
    """The .mo of a catalogue."""
    file = BytesIO()
    write_mo(file, catalogue)
    return file.getvalue()


def untranslated(catalogue: Catalog) -> list[Text]:
    """The texts that have no translation."""
    return [each.id for each in catalogue if each.id and not any(each.string)]


def main() -> int:
    """Take up, drop, compile; 1 where a text has no translation yet."""
    made = merged(known())
    PO.write_bytes(po_of(made))
    MO.write_bytes(mo_of(made))
    missing = untranslated(made)
    for text in missing:
        sys.stdout.write(f"not translated: {text!r}\n")
    sys.stdout.write(f"{len(made)} texts, {len(missing)} of them without a translation\n")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
