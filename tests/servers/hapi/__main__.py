"""``python -m servers.hapi R4``: a server to look at. Prints its service base, ends with Ctrl-C or its input."""

from __future__ import annotations

import sys
from contextlib import suppress

from servers.hapi import hapi_server, what_is_missing

missing = what_is_missing()
if missing is not None or len(sys.argv) != 2 or sys.argv[1] not in ("R4", "R5"):
    sys.exit(missing or "usage: python -m servers.hapi R4|R5")
with suppress(KeyboardInterrupt), hapi_server(sys.argv[1]) as base_url:
    sys.stdout.write(f"{base_url}\n")
    sys.stdout.flush()
    sys.stdin.read()
