"""A real FHIR server for the tests of polling: HAPI FHIR's JPA server, by Maven, with everything in memory.

Needs a JDK 17 or later and Maven, and once Maven Central. From a shell, in ``tests/``: ``python -m servers.hapi R4``.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_HERE = Path(__file__).parent
_JAVA = 17
_INSTALL = "install a JDK and Maven (on Debian: apt-get install default-jdk-headless maven)"
# Half of the time to its first answer goes into compiling; what is compiled quickly is quick enough for tests.
_OPTIONS = ("-Xmx2g", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")


def what_is_missing() -> str | None:
    """Why the server cannot be started here, and what to do about it; None where it can."""
    for tool in ("java", "javac", "mvn"):
        if shutil.which(tool) is None:
            return f"the HAPI FHIR server needs {tool}: {_INSTALL}"
    stated = subprocess.run(["javac", "-version"], capture_output=True, text=True, check=True).stdout.split()[-1]
    if int(stated.partition(".")[0]) < _JAVA:
        return f"the HAPI FHIR server needs Java {_JAVA} or later, not {stated}: {_INSTALL}"
    return None


@contextmanager
def hapi_server(release: str) -> Iterator[str]:
    """An empty server of a release (R4 or R5), for as long as the block lasts; its service base."""
    path = os.pathsep.join((str(_HERE), _classpath()))
    command = ["java", *_OPTIONS, "-cp", path, str(_HERE / "HapiServer.java"), release]
    with tempfile.TemporaryFile("w+") as words:
        server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=words, text=True)
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            ready = server.stdout.readline().strip()
            if not ready:
                words.seek(0)
                raise AssertionError(f"the HAPI FHIR server ended while starting: {words.read()}")
            yield ready
        finally:
            server.stdin.close()  # the end of its standard input ends it
            server.stdout.close()
            try:
                server.wait(timeout=30)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _classpath() -> str:
    """The jars in Maven's own repository; Maven is asked once for each state of ``pom.xml``."""
    pom = _HERE / "pom.xml"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trial-lab-adapter"
    kept = cache / f"hapi-{hashlib.sha256(pom.read_bytes()).hexdigest()[:16]}.classpath"
    if kept.is_file():
        found = kept.read_text()
        if all(Path(jar).is_file() for jar in found.split(os.pathsep)):
            return found
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        fresh = Path(folder) / kept.name
        wanted = ["dependency:build-classpath", "-DincludeScope=runtime", f"-Dmdep.outputFile={fresh}"]
        command = ["mvn", "-B", "-ntp", "-q", "-f", str(pom), *wanted]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"Maven failed: {done.stdout}{done.stderr}"
        fresh.rename(kept)  # whole or not at all
    return kept.read_text()
