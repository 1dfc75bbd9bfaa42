"""What every command shares: the configuration, the store, what is printed and how it is said that something failed."""

from __future__ import annotations

import getpass
import logging
import os
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click
import simplejson

from adapter.config import Config, load_config
from adapter.daemon import rulebook, utc_now
from adapter.labels import is_seen, printable
from adapter.pipeline import Rulebook, Settler
from adapter.pulse import read_pulse
from adapter.store import Store

DATA_IS_WRONG = 1
USAGE_IS_WRONG = 2
_SIGHUP = "the daemon runs by other mappings than the files hold; send it SIGHUP to take them over"
_REPROCESS = (
    "the files hold other mappings or rules than those in force, which stay; `lab-adapter reprocess --dry-run` shows "
    "what would change, `lab-adapter reprocess` takes them over"
)


@dataclass(slots=True)
class Session:
    """One run of the command. ``now`` is the only clock."""

    config_path: Path
    now: Callable[[], datetime] = utc_now
    _config: Config | None = None
    _noted: bool = False

    @property
    def config(self) -> Config:
        """The configuration, read when it is first asked for. Raises ConfigError."""
        if self._config is None:
            if not self.config_path.is_file():
                raise click.UsageError(
                    f"there is no configuration at {self.config_path}; run `lab-adapter init`, or name a file with -c"
                )
            self._config = load_config(self.config_path)
            logging.getLogger().setLevel(self._config.log_level)
        return self._config

    @property
    def book(self) -> Rulebook:
        """The rules of the configuration."""
        return rulebook(self.config)

    @property
    def today(self) -> date:
        """The day in the trial's time zone."""
        return self.now().astimezone(ZoneInfo(self.config.protocol.timezone)).date()

    @contextmanager
    def store(self) -> Iterator[Store]:
        """The store of the configuration. Raises StoreError."""
        with Store.open(self.config.store_path, self.config.protocol.trial) as store:
            yield store

    def settle(self, store: Store, *, adopt: bool = False) -> None:
        """Bring what is derived up to date, by the rules in force: beside the daemon where one runs.

        Where the files hold other rules than those in force nothing is derived, and standard error says what takes
        them over; the first are adopted at once. ``adopt`` is of commands that take them over themselves, because what
        they bring in is to be derived; a daemon that runs by other rules keeps them in force even so: two sets of rules
        taking turns would change values to and fro.
        """
        if self._differs(store):
            running = self.daemon_differs(store)
            if running or not adopt:
                self._note(_SIGHUP if running else _REPROCESS)
                return
        settler = Settler(store, self.now, "adapter")
        settler.settle(self.book)
        if settler.stuck:
            named = ", ".join(sorted(settler.stuck))
            echo(f"lab-adapter: NOT UP TO DATE, the rules failed on them; please report: {named}", err=True)

    def daemon_differs(self, store: Store) -> bool:
        """Whether a daemon runs by other rules than the files hold."""
        return self._differs(store) and read_pulse(self.config.store_path, self.now())["state"] == "running"

    def _differs(self, store: Store) -> bool:
        in_force = store.ruleset()
        return in_force is not None and in_force.id != self.book.ruleset

    def _note(self, note: str) -> None:
        """Said once, however often the command asks."""
        if not self._noted:
            echo(f"lab-adapter: {note}", err=True)
            self._noted = True


def account() -> str:
    """The account that runs the command."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


pass_session = click.make_pass_decorator(Session)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output, no more.")


def _seen(context: click.Context, parameter: click.Parameter, text: str) -> str:
    """What a record of the trail says is what whoever reads it sees."""
    if not all(map(is_seen, text)):
        raise click.BadParameter(
            "it holds characters that cannot be seen (line ends, control characters); leave them out"
        )
    return text


def _somebody(context: click.Context, parameter: click.Parameter, name: str) -> str:
    """A record of the trail names somebody."""
    if not name.strip():
        raise click.BadParameter("it is empty; write a name, or leave it out")
    return _seen(context, parameter, name.strip())


def reason(text: str = "Why; it is kept in the trail.", **more: Any) -> Callable[[Any], Any]:
    """The option that says why."""
    return click.option("--reason", "why", callback=_seen, help=text, **more)


by_option = click.option(
    "--by", "who", default=account, callback=_somebody, help="Who does it; default: the account that runs it."
)
reason_option = reason(required=True)


def echo(text: str = "", *, err: bool = False) -> None:
    """A line on standard output, or lines on standard error. What a laboratory or a person sent steers no terminal."""
    click.echo("\n".join(map(printable, text.split("\n"))) if err else printable(text), err=err)


def print_json(document: object) -> None:
    """One JSON document; a Decimal is the number it is, none of its decimals lost."""
    text = simplejson.dumps(document, use_decimal=True, ensure_ascii=False, indent=2, namedtuple_as_object=False)
    # simplejson escapes the C0 controls alone; what else cannot be seen is inside a string as well, or is a line's end.
    click.echo("".join(c if c == "\n" or is_seen(c) else simplejson.dumps(c)[1:-1] for c in text))


def print_table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns for a terminal; a Chinese character is two columns wide."""
    cells = [list(heads), *[["" if c is None else printable(str(c)) for c in row] for row in rows]]
    widths = [max(_width(row[n]) for row in cells) for n in range(len(heads))]
    for row in cells:
        padded = [text + " " * (width - _width(text)) for text, width in zip(row, widths, strict=True)]
        echo("  ".join(padded).rstrip())


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def progress(items: Sequence[Any], label: str) -> Any:
    """A progress bar on standard error; silent where that is no terminal."""
    return click.progressbar(items, label=label, file=sys.stderr, hidden=not sys.stderr.isatty())
