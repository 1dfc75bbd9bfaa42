"""A trial's folder that is filled in the test's process and asked through the command line, for the tests of trace."""

from __future__ import annotations

import importlib
import io
import json
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from trialrun import TrialRun

from adapter.cli.common import Session

commands = importlib.import_module("adapter.cli.main")  # the package names its function alike

CHECKOUT = Path(__file__).parents[1]
SITUATIONS = CHECKOUT / "fixtures" / "messages"
NOW = datetime(2026, 9, 1, 4, 0, tzinfo=UTC)  # every window of the one participant has closed
SOURCE = """
[[source]]
name = "{name}"
kind = "mllp"
port = 0
authority = "NTCGH"
authorities = {{ "urn:oid:1.2.3.4" = "NTCGH" }}
codes = "{codes}"
"""
CONFIG = f"""
[trial]
protocol = "{CHECKOUT / "mappings" / "nct06984497.toml"}"
timezone = "Asia/Shanghai"
[store]
url = "sqlite:///trial.db"
""" + "".join(SOURCE.format(name=name, codes=SITUATIONS / "codes.toml") for name in ("lis", "lis-b", "ehr"))
HEADER = r"MSH|^~\&|LIS|NTCGH|EDC|TRIAL|{at}||ORU^R01^ORU_R01|{id}|P|2.5.1||||||UNICODE UTF-8"


def message(
    *results: str, id: str = "M1", at: str = "20260203080000+0800", order: str = "L-1", reported: str = ""
) -> bytes:
    """One invented message of the one participant; each result is OBX-3 to OBX-6, status and day, divided by blanks."""
    lines = [HEADER.format(at=at, id=id), "PID|1||0012345^^^NTCGH^MR||Anren^Lan||19700314|F"]
    for number, result in enumerate(results, start=1):
        code, value, unit, status, day = result.split()
        lines.append(f"OBR|{number}||{order}-{number}|CHEM|||{day}|||||||||||||||{reported or at}|||F")
        lines.append(f"OBX|{number}|NM|{code}||{value}|{unit.replace('-', '')}|||||{status}")
    return "".join(f"{line}\r" for line in lines).encode()


class Site:
    """A trial's folder, filled in this process and asked through the command line."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch):
        self.config = folder / "config.toml"
        self.config.write_text(CONFIG, encoding="utf-8")
        self.store_path = folder / "trial.db"
        self.patch = patch
        self.now = NOW
        self.run = TrialRun(self.config, self.store_path, NOW)
        self.run.enrol(SITUATIONS / "roster.csv")

    def receives(self, what: str | bytes, source: str = "lis") -> None:
        """A situation of the fixtures by its name, or a message."""
        path = SITUATIONS / what if isinstance(what, str) else self.config.with_name("message.hl7")
        if isinstance(what, bytes):
            path.write_bytes(what)
        self.run.replay(path, source)

    def says(self, *arguments: str, status: int = 0) -> tuple[str, str]:
        """What a command prints, on standard output and on standard error."""
        out, err = io.StringIO(), io.StringIO()
        self.patch.setattr(commands, "Session", lambda path: Session(path, now=lambda: self.now))
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            commands.main(["-c", str(self.config), *arguments])
        assert (ended.value.code or 0) == status, (out.getvalue(), err.getvalue())
        assert "Traceback" not in err.getvalue()
        return out.getvalue(), err.getvalue()

    def traces(self, cell: str, *more: str, status: int = 0) -> Any:
        """The JSON of a trace."""
        return json.loads(self.says("trace", *cell.split(), "--json", *more, status=status)[0], parse_float=Decimal)

    def tells(self, cell: str, *more: str, status: int = 0) -> str:
        """What a terminal shows of a trace."""
        text, _ = self.says("trace", *cell.split(), *more, status=status)
        assert "None" not in text
        return text

    def trail(self) -> list[Any]:
        return self.run.store.audit_records()

    def decides(self, kind: str, **body: str) -> int:
        """A decision made by the trial nurse; its number."""
        with self.run.store.write() as tx:
            return tx.add_decision(kind, body, "trial nurse", "asked the laboratory", NOW).id
