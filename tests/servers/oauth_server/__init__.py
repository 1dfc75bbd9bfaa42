"""A real OAuth 2 server for the tests of signing in: npm's oidc-provider, installed by its lock file and kept.

Needs Node.js 20 or later with npm, and once the npm registry.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
_FILES = ("package.json", "package-lock.json", "server.mjs")
_NODE = 20


@dataclass(frozen=True)
class OAuthServer:
    """Where a running server is."""

    issuer: str
    token_url: str
    jwks_url: str


def what_is_missing() -> str | None:
    """Why the server cannot be started here; None where it can."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return "Node.js and npm are not installed"
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return None if int(version.lstrip("v").split(".")[0]) >= _NODE else f"Node.js is {version}, not {_NODE} or later"


@contextmanager
def oauth_server(
    clients: Mapping[str, Mapping[str, Any]], *, audience: str, scopes: Sequence[str], ttl_seconds: int = 300
) -> Iterator[OAuthServer]:
    """A server that knows these clients by their public keys (a JWK set each), for as long as the block lasts.

    Its access tokens are JWTs, signed with RS256, for ``audience``.
    """
    told = {"clients": clients, "scopes": list(scopes), "audience": audience, "ttl": ttl_seconds}
    server = subprocess.Popen(
        ["node", str(_installed() / "server.mjs"), json.dumps(told)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with server:  # closes its pipes and waits for it: the end of its standard input ends it
        assert server.stdout is not None
        ready = server.stdout.readline()
        if not ready:
            raise AssertionError(f"the OAuth server ended while starting: {server.communicate()[1]}")
        yield OAuthServer(**json.loads(ready))
        server.communicate()


def _installed() -> Path:
    """The folder with the server and its packages; made once for each state of the three files."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trial-lab-adapter"
    state = hashlib.sha256(b"".join((_HERE / name).read_bytes() for name in _FILES)).hexdigest()
    folder = cache / f"oauth-server-{state[:16]}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as fresh:
        for name in _FILES:
            shutil.copy(_HERE / name, fresh)
        install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        done = subprocess.run(install, cwd=fresh, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"npm ci failed: {done.stderr}"
        made = Path(fresh) / "made"
        made.mkdir()
        for name in (*_FILES, "node_modules"):
            (Path(fresh) / name).rename(made / name)
        try:
            made.rename(folder)  # whole or not at all
        except OSError:
            assert folder.is_dir()  # another run was quicker
    return folder
