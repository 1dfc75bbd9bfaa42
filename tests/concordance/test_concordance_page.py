"""The HTML report: it needs nothing else, runs nothing, and can be read by everybody."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from importlib.resources import files

import pytest
from concordance_samples import TODAY, in_review, ours, question, result, selected, sheet

from adapter.concordance import Occasion, compare, document, page

ALT = result("40")
MINE = ours(
    selected(ALT),
    selected(result("35", "AST", locator="OBX[2]")),
    selected(result("59.864", "TBIL", locator="OBX[3]")),
    selected(result("5", "ALP", comparator="<", locator="OBX[4]")),
    in_review("INR"),
    results=(ALT,),
    items=(question(),),
)
ROWS = (
    "S-001,week-4,ALT,41,U/L,2026-02-03",
    "S-001,week-4,AST,35,U/L,2026-02-02",
    "S-001,week-4,TBIL,3.5,<b>mg</b>,",
    "S-001,week-4,ALP,5,U/L,",
    "S-001,week-4,INR,1.2,,",
    "S-001,week-9,INR,1.2,,",
)


class Reader(HTMLParser):
    """Every element with its attributes, the text of each kind, and whether all that was opened was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.said: dict[str, list[str]] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in self.open:
            self.said.setdefault(tag, []).append(data)

    def text(self, tag: str) -> str:
        return " ".join("".join(self.said.get(tag, [])).split())


def report(*rows: str, mine=MINE) -> tuple[str, Reader]:
    found = compare(mine, sheet(*rows), sample=True)
    text = page(found, document(found, Occasion("entered & kept.csv", TODAY, "r1")))
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    return text, reader


def test_it_tells_counts_findings_and_bad_rows():
    _, reader = report(*ROWS)
    said = reader.text("main")
    assert "entered & kept.csv against the table" in said
    assert "41 U/L was entered; the value here is 40 U/L." in said
    assert "Ours: lis M1 OBX[1] “40 U/L”, 2026-02-02T08:15:00+08:00" in said
    assert "Line 7: visit is none of the protocol's; write one of week-4, week-12, week-24." in said
    for kind in ("value differs", "date differs", "unit unknown", "comparator differs", "only there"):
        assert kind in said


def test_nothing_in_it_is_from_elsewhere_and_nothing_runs():
    text, reader = report(*ROWS)
    assert {"script", "link", "img", "iframe", "object", "form"} & {tag for tag, _ in reader.elements} == set()
    for _, attributes in reader.elements:
        assert not {name for name in attributes if name.startswith("on")} | ({"src", "href", "style"} & set(attributes))
    assert re.search(r"url\(|@import|//", text) is None


def test_its_policy_allows_its_own_style_alone():
    text, reader = report(*ROWS)
    (policy,) = [a["content"] or "" for tag, a in reader.elements if a.get("http-equiv") == "Content-Security-Policy"]
    style = re.search("<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'"


def test_what_was_entered_is_text_and_never_markup():
    text, reader = report(*ROWS)
    assert "<b>" not in text
    assert "“<b>mg</b>”" in reader.text("main")


def test_every_picture_has_words_and_every_table_its_heads():
    _, reader = report(*ROWS)
    pictures = [attributes for tag, attributes in reader.elements if tag == "svg"]
    assert len(pictures) == 3 + 2  # bars of ALT, AST and ALP; ALP has no pair of numbers
    ids = {a["id"] for _, a in reader.elements if "id" in a}
    for each in pictures:
        assert each["role"] == "img"
        assert each.get("aria-label") or each.get("aria-labelledby") in ids
    assert {a.get("scope") for tag, a in reader.elements if tag == "th"} == {"col", "row"}


def test_what_agrees_and_what_does_not_have_different_shapes():
    _, reader = report("S-001,week-4,ALT,41,U/L,", "S-001,week-4,AST,35,U/L,2026-02-03")
    marks = [(tag, a["class"]) for tag, a in reader.elements if a.get("class") in ("same", "other")]
    assert sorted(marks) == [("circle", "same"), ("path", "other")]  # another day, but the same number: a circle


def test_a_file_that_names_nothing_gives_a_report_that_says_so():
    _, reader = report()
    assert "No pair of numbers could be compared." in reader.text("main")
    assert "None: both sides say the same." in reader.text("main")


STYLE = files("adapter.concordance").joinpath("templates/report.css").read_text(encoding="utf-8")


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_and_marks_stand_out_from_their_ground(theme: int):
    """WCAG 2.2, 1.4.3 (text, 4.5) and 1.4.11 (marks, 3)."""
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", STYLE.split(":root {")[1 + theme]))
    for ground in ("paper", "panel"):
        assert min(contrast(colours[name], colours[ground]) for name in ("ink", "quiet")) >= 4.5
    assert min(contrast(colours[name], colours["paper"]) for name in ("rule", "agree", "differ")) >= 3
