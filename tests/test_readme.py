"""The documents against the program: what they show is run, what they name is there.

In a ``console`` block a line after ``$`` is run as it stands, in the order of README, operations, coordinator, and what
is shown below it must come out. ``...`` alone stands for any lines, within a line for any text.
"""

from __future__ import annotations

import importlib
import io
import os
import re
import shlex
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
from daemonrun import DaemonRun
from trialrun import eventually

from adapter.cli.common import Session
from adapter.model import Reason

commands = importlib.import_module("adapter.cli.main")  # the package names its function alike

CHECKOUT = Path(__file__).parents[1]
DOCUMENTS = ("README.md", "docs/operations.md", "docs/coordinator.md", "docs/data-manager.md", "docs/export.md")
NOW = datetime(2026, 9, 1, 4, 0, tzinfo=UTC)  # every window of the examples' participant has closed
WITH_THE_DAEMON = ("send", "status")


@dataclass(frozen=True, slots=True)
class Example:
    """One command of a document and the lines that are shown below it."""

    place: str
    command: str
    shown: tuple[str, ...]


def examples(document: str) -> Iterator[Example]:
    """Every command of the console blocks of a document."""
    place, command, shown, inside = "", None, list[str](), False
    for number, line in enumerate((CHECKOUT / document).read_text(encoding="utf-8").splitlines(), start=1):
        if line.startswith(("```", "$ ")):
            if command is not None:
                yield Example(place, command, tuple(shown))
            inside = line == "```console" or line.startswith("$ ")
            place, command, shown = f"{document}:{number}", line[2:] if line.startswith("$ ") else None, []
        elif inside:
            shown.append(line)


def comes_out(shown: tuple[str, ...], output: str) -> bool:
    """Whether an output is what is shown of it; blanks at the ends of lines do not count."""
    pattern = "".join(
        r"(?:.*\n)*" if line == "..." else re.escape(line.rstrip()).replace(r"\.\.\.", ".*") + r"\n" for line in shown
    )
    return re.fullmatch(pattern, "".join(f"{line.rstrip()}\n" for line in output.splitlines())) is not None


@dataclass(slots=True)
class Reader:
    """Somebody who types what the documents show, in a checkout of their own."""

    folder: Path
    patch: pytest.MonkeyPatch
    daemon: DaemonRun = field(init=False)

    def __post_init__(self) -> None:
        (self.folder / "fixtures").symlink_to(CHECKOUT / "fixtures")
        self.patch.chdir(self.folder)
        self.patch.setenv("PYTHONPATH", str(CHECKOUT))  # the daemon starts in that folder too
        self.daemon = DaemonRun(self.folder / "first-look")

    def types(self, example: Example) -> None:
        """Run one example and hold what comes out against what is shown."""
        program, *arguments = shlex.split(example.command)
        if program == "make":
            (target,) = arguments
            assert re.search(f"^{target}:", (CHECKOUT / "Makefile").read_text(), re.MULTILINE), example
        elif program == "export":
            name, value = arguments[0].split("=", 1)
            self.patch.setenv(name, os.path.expandvars(value))
        else:
            assert program == "lab-adapter", example
            self.runs(example, arguments)

    def runs(self, example: Example, arguments: list[str]) -> None:
        if arguments == ["run"]:
            self.daemon.start()
            assert comes_out(example.shown, self.daemon.log.read_text()), self.daemon.log.read_text()
            return
        if self.daemon.process is not None and arguments[0] in WITH_THE_DAEMON:
            port = self.daemon.ports()["lis"]
            arguments = [a.replace(":2575", f":{port}") for a in arguments]
            output = self.answer(arguments)
            if arguments[0] == "status":  # counts are written every few seconds
                eventually(lambda: "stranger" in self.answer(arguments))
                output = self.answer(arguments)
            assert comes_out(example.shown, output), f"{example.place}: {example.command}\n{output}"
            return
        if self.daemon.process is not None and self.daemon.process.poll() is None:
            assert self.daemon.stop() == 0
        output = self.answer(arguments, now=NOW)
        assert comes_out(example.shown, output), f"{example.place}: {example.command}\n{output}"
        if arguments[0] == "init":
            config = self.daemon.config
            config.write_text(config.read_text().replace("port = 2575", "port = 0"))  # that one may be taken here

    def answer(self, arguments: list[str], now: datetime | None = None) -> str:
        """What a terminal shows of a command that ends with 0."""
        terminal = io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            if now is not None:
                patch.setattr(commands, "Session", lambda path: Session(path, now=lambda: now))
            with redirect_stdout(terminal), redirect_stderr(terminal), pytest.raises(SystemExit) as ended:
                commands.main(arguments)
        assert not ended.value.code, (arguments, terminal.getvalue())
        return terminal.getvalue()


def test_what_the_documents_show_is_what_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shown = [example for document in DOCUMENTS for example in examples(document)]
    assert len(shown) > 30
    reader = Reader(tmp_path, monkeypatch)
    try:
        for example in shown:
            reader.types(example)
    finally:
        reader.daemon.close()


def test_an_output_is_compared_line_by_line():
    assert comes_out(("a", "...", "z"), "a\nb\nc\nz\n")
    assert comes_out(("since ...", "b"), "since noon  \nb\n")
    assert not comes_out(("a",), "a\nb\n")
    assert not comes_out((), "a\n")


def inline(document: str) -> list[str]:
    """What a document sets as code within a line."""
    text = re.sub(r"```.*?```", "", (CHECKOUT / document).read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.findall(r"`([^`\n]+)`", text)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_and_options_named_in_passing_are_there(document: str):
    named = 0
    for code in inline(document):
        words = shlex.split(code.removeprefix("lab-adapter ").replace("'", ""))
        if len(words) < 2 or words[0] not in commands.cli.commands:
            continue
        command: click.Command = commands.cli
        while words and isinstance(command, click.Group):
            command = command.commands[words.pop(0)]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, code
        named += 1
    assert named


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_and_paths_lead_somewhere(document: str):
    text = (CHECKOUT / document).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        found = (CHECKOUT / document).parent / path if path else CHECKOUT / document
        assert found.is_file(), target
        if anchor:
            heads = re.findall(r"^#+ (.+)$", found.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in [head.lower().replace(" ", "-") for head in heads], target
    for code in inline(document):
        if re.match(r"(adapter|mappings|fixtures|docs)/", code):
            assert (CHECKOUT / code).exists(), code


def test_every_picture_is_shown_and_none_is_large():
    shown = {
        (CHECKOUT / document).parent / target
        for document in DOCUMENTS
        for target in re.findall(r"!\[[^]]+\]\(([^)]+)\)", (CHECKOUT / document).read_text(encoding="utf-8"))
    }
    kept = set((CHECKOUT / "docs" / "pictures").iterdir())
    assert shown == kept
    assert [path.name for path in kept if path.stat().st_size > 150_000] == []


def test_every_reason_status_and_flag_is_explained_to_the_coordinator():
    text = (CHECKOUT / "docs/coordinator.md").read_text(encoding="utf-8")
    statuses = ["captured", "provisional", "in_review", "missing", "pending", "not_expected"]
    rules = "".join((CHECKOUT / f"adapter/rules/{name}.py").read_text() for name in ("cells", "scores"))
    flags = set(re.findall(r'flags\.append\("(\w+)"\)', rules)) | {"dialysis_not_assessed"}
    assert {"outside_query_limits", "input_outside_window"} <= flags
    assert [name for name in (*Reason, *statuses, *flags, "no_result") if f"`{name}`" not in text] == []
    scores = ("missing_input", "input_in_review", "provisional_input", "inputs_too_far_apart", "undecided_input")
    assert all(f'"{name}' in rules for name in scores)
    assert [name for name in scores if f"`{name}: ...`" not in text] == []
