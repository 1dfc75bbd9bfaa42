"""The group that holds every command, and the last line of defence: no traceback ever reaches a user."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import NoReturn

import click

from adapter import __version__
from adapter.cli import (
    assess,
    compare,
    export,
    feed,
    poll,
    queue,
    reprocess,
    roster,
    service,
    settle,
    table,
    trace,
    trail,
    user,
)
from adapter.cli.common import DATA_IS_WRONG, USAGE_IS_WRONG, Session, echo
from adapter.mappings import ProblemsError
from adapter.pulse import AnotherDaemon
from adapter.reprocess import NotDerivable
from adapter.review.desk import DecisionRefused
from adapter.review.rows import RowsError
from adapter.store import StoreError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "-c",
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    default=lambda: os.environ.get("LAB_ADAPTER_CONFIG") or "config.toml",
    help="The configuration; default: $LAB_ADAPTER_CONFIG, then ./config.toml.",
)
@click.version_option(__version__, prog_name="lab-adapter")
@click.pass_context
def cli(context: click.Context, config_path: Path) -> None:
    """A hospital's laboratory feed in, a trial's endpoint table out.

    Exit status: 0 done, 1 something is wrong with the data or the state, 2 wrong usage or configuration.
    """
    context.obj = Session(Path(config_path))


for command in (
    service.init,
    service.check,
    service.run,
    service.status,
    roster.participants,
    assess.assess,
    feed.replay,
    feed.explain,
    feed.send,
    poll.poll,
    queue.review,
    table.values,
    trace.trace,
    compare.compare,
    reprocess.reprocess,
    export.export,
    trail.audit,
    user.user,
):
    cli.add_command(command)
for command in (settle.resolve, settle.undo, settle.choose, settle.take_back, settle.sign_off):
    queue.review.add_command(command)


def main(arguments: list[str] | None = None) -> None:
    """Run the command and exit with its status."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("apscheduler").setLevel(logging.WARNING)
    try:
        cli.main(args=arguments, prog_name="lab-adapter")
    except ProblemsError as error:
        _fail(str(error), USAGE_IS_WRONG)
    except (StoreError, RowsError, DecisionRefused, AnotherDaemon, NotDerivable) as error:
        _fail(str(error), DATA_IS_WRONG)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read the output has gone
        sys.exit(DATA_IS_WRONG)
    except OSError as error:
        if error.filename is None:
            _fail_as_a_defect(error)
        _fail(f"{error.filename}: {(error.strerror or type(error).__name__).lower()}", DATA_IS_WRONG)
    except Exception as error:
        _fail_as_a_defect(error)


def _fail_as_a_defect(error: Exception) -> NoReturn:
    """A defect of ours: say where it is, not what was being read."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace is not None else "?"
    _fail(f"the program itself failed ({type(error).__name__} at {place}); please report this line", DATA_IS_WRONG)


def _fail(words: str, status: int) -> NoReturn:
    echo(f"lab-adapter: {words}", err=True)
    sys.exit(status)
