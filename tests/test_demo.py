"""``make demo`` as a newcomer runs it: the page can be signed in to, and nothing is left of it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

CHECKOUT = Path(__file__).parents[1]


@contextmanager
def demo(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "adapter.demo", *arguments]
    environment = {**os.environ, "TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, cwd=CHECKOUT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)


def until(process: subprocess.Popen[str], words: str) -> str:
    """What it says up to the line that holds these words."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if words in line:
            return said
    raise AssertionError(said)


def test_the_demonstration_leaves_a_page_to_sign_in_to_and_ends_with_nothing_kept(tmp_path: Path):
    with demo(tmp_path) as process:
        said = until(process, "Ctrl+C ends the demonstration")
        assert "1056 cells were planned, 1056 are as planned" in said
        found = re.search(r"(http://127\.0\.0\.1:\d+/)\n  name      (\S+)\n  password  (\S+)\n", said)
        assert found is not None, said
        with httpx2.Client(base_url=found[1], follow_redirects=True) as browser:
            token = re.search(r'name="csrf" value="([^"]+)"', browser.get("/").text)
            assert token is not None
            board = browser.post("/sign-in", data={"csrf": token[1], "name": found[2], "password": found[3]})
            assert (board.url.path, "S-001" in board.text) == ("/", True)
            assert [browser.get(path).status_code for path in ("/review", "/roster", "/trail", "/accounts")] == [
                200
            ] * 4
        (folder,) = tmp_path.iterdir()
        assert found[3].encode() not in (folder / "trial.db").read_bytes() + (folder / "daemon.log").read_bytes()
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=60)[0]
    assert (process.returncode, rest.strip()) == (
        0,
        "the daemon was asked to end and ended with status 0; nothing is kept",
    )
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(found[1])


def test_asked_to_end_by_itself_it_says_where_the_page_was_and_no_password(tmp_path: Path):
    with demo(tmp_path, "--exit") as process:
        said = process.communicate(timeout=110)[0]
    assert process.returncode == 0, said
    assert re.search(
        r"^The page was at http://127\.0\.0\.1:\d+/; `make demo` without --exit stays for it\.$", said, re.M
    )
    assert "password" not in said
    assert list(tmp_path.iterdir()) == []


def test_ended_in_the_middle_it_ends_its_daemon_and_leaves_nothing(tmp_path: Path):
    with demo(tmp_path) as process:
        ports = re.findall(r"on port (\d+)", until(process, "the daemon is ready"))
        process.send_signal(signal.SIGTERM)
        rest = process.communicate(timeout=60)[0]
    assert (process.returncode, rest.strip()) == (1, "demo: ended before it was done")
    assert list(tmp_path.iterdir()) == []
    assert len(ports) == 3
    for port in ports:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", int(port))) != 0
