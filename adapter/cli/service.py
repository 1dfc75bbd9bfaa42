"""Commands for hospital IT: init, check, run, status."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from adapter import daemon
from adapter.cli.common import DATA_IS_WRONG, Session, echo, json_option, pass_session, print_json, print_table
from adapter.config import load_config, shipped
from adapter.config_fhir import FhirIntake
from adapter.config_mllp import MllpIntake
from adapter.config_web import PageError, Web
from adapter.pulse import read_pulse
from adapter.store import PollRecord, Store, StoreError


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), default=Path())
@pass_session
def init(session: Session, directory: Path) -> None:
    """Write config.toml and mappings, create the store.

    In DIRECTORY, by default here. Overwrites nothing.
    """
    directory.mkdir(parents=True, exist_ok=True)
    target = directory / "config.toml"
    if target.exists():
        echo(f"{target} is there already and stays as it is")
    else:
        shutil.copyfile(shipped("config.example.toml"), target)
        echo(f"wrote {target}")
    mappings = directory / "mappings"
    if not mappings.exists():
        shutil.copytree(shipped("mappings"), mappings)
        echo(f"wrote {mappings}")
    config = load_config(target)
    known = config.store_path.exists()
    Store.open(config.store_path, config.protocol.trial, create=True).close()
    echo(f"{config.store_path} {'is there already and stays as it is' if known else 'is a new, empty store'}")
    named = "lab-adapter" if directory == Path() else f"lab-adapter -c {target}"
    echo(f"Next: look through {target}, then `{named} check` and `{named} participants import`.")


@click.command()
@click.option("--connect", is_flag=True, help="Also try the store, the ports and the servers.")
@pass_session
def check(session: Session, connect: bool) -> None:
    """Validate configuration and mappings.

    Every problem is named with file, key and what to write instead.
    """
    config = session.config
    for warning in config.warnings:
        echo(str(warning), err=True)
    problems = list(_connect(session)) if connect else []
    for problem in problems:
        echo(problem, err=True)
    if problems:
        raise SystemExit(DATA_IS_WRONG)
    analytes = [a.id for a in config.protocol.analytes.values()]
    echo(f"{config.path}: trial {config.protocol.trial}, {len(config.sources)} source(s), {', '.join(analytes)}: good")


def _connect(session: Session) -> Iterator[str]:
    """What cannot be reached: the store, the ports that the daemon would listen on, the servers it would ask."""
    config = session.config
    try:
        with session.store() as store:
            yield from (f"{config.store_path}: {problem}" for problem in store.integrity_problems())
    except StoreError as error:
        yield str(error)
    running = read_pulse(config.store_path, session.now())["state"] == "running"
    for source in config.sources:
        if source.mllp is not None and source.mllp.port != 0 and not running:
            yield from _cannot_listen(source.name, source.mllp)
        if source.fhir is not None:
            yield from _cannot_ask(source.name, source.fhir)
    if config.web is not None:
        yield from _cannot_serve(config.web, running=running)


def _cannot_serve(web: Web, *, running: bool) -> Iterator[str]:
    """Whether the page's certificate and port can be used; a daemon that runs has the port already."""
    try:
        web.check_certificate()
        if not running:
            web.open_port().close()
    except PageError as error:
        yield str(error)


def _cannot_listen(name: str, intake: MllpIntake) -> Iterator[str]:
    family = socket.AF_INET6 if ":" in intake.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((intake.host, intake.port))
        except OSError as error:
            place = f"{intake.host} port {intake.port}"
            yield f"source {name}: cannot listen on {place} ({error.strerror}); choose a free port"


def _cannot_ask(name: str, intake: FhirIntake) -> Iterator[str]:
    """Whether the secret is where it should be and the server says what it is; nobody is asked for."""
    from adapter.intake.fhir_client import FhirClient, FhirError
    from adapter.intake.poll_endpoint import endpoint_of

    try:
        with FhirClient(endpoint_of(name, intake)) as client:
            client.capability()
    except FhirError as error:
        yield f"source {name}: {error}"


@click.command()
@pass_session
def run(session: Session) -> None:
    """Run the daemon until SIGTERM. SIGHUP reads the mappings again."""
    session.config  # noqa: B018 - every problem of the configuration is told before anything is opened
    raise SystemExit(daemon.run(session.config_path))


@click.command()
@json_option
@pass_session
def status(session: Session, as_json: bool) -> None:
    """Say how daemon, inbox, queue, store and sources are."""
    with session.store() as store:
        document = _status(session, store)
    if as_json:
        print_json(document)
        return
    inbox, said = document["inbox"], document["daemon"]
    echo(f"daemon    {_daemon(said)}")
    rules = document["rules"]
    if said["state"] == "running" and rules["in_force"] not in (None, rules["configured"]):
        echo("          by other mappings than the files hold; SIGHUP lets it take them over")
    if said.get("store_trouble"):
        trouble = said["store_trouble"]
        echo(f"          NOTHING IS STORED since {trouble['since']}: {trouble['cause']}")
    if said.get("deriving"):
        echo(f"          deriving stands still: {said['deriving']}")
    if said.get("stuck"):
        echo(f"          NOT UP TO DATE, the rules failed on them; please report: {', '.join(said['stuck'])}")
    if document["web"] is not None:
        echo(f"page      {document['web']['url']}")
    echo(f"inbox     {inbox['pending']} pending, {inbox['done']} done, {inbox['failed']} failed")
    echo(f"review    {document['review']['open']} open")
    described = document["store"]
    mode = f"journal {described['journal_mode']}, synchronous {described['synchronous']}"
    echo(f"store     SQLite {described['sqlite_version']}, {mode}")
    rows = [
        (s["name"], s["kind"], s["last_message_at"], ", ".join(f"{n} {k}" for k, n in s["counts"].items()))
        for s in document["sources"]
    ]
    print_table(("source", "kind", "last message", "counted"), rows)
    polled = [s for s in document["sources"] if s["kind"] == "fhir"]
    if polled:
        names = ("name", "last_success_at", "lag_seconds", "watermark", "next_run_at")
        heads = ("polled", "last success", "lag (s)", "watermark", "next run")
        print_table(heads, [[s[name] for name in names] for s in polled])
    for s in polled:
        if s["last_error"]:
            echo(f"source {s['name']}: {s['last_error']}")


def _daemon(said: Mapping[str, Any]) -> str:
    if said["state"] == "running":
        return f"running, since {said['started_at']}"
    if said["state"] == "silent":
        return f"silent: it ended without saying so, or hangs; last heard at {said['beat_at']}"
    return str(said["state"])


def _status(session: Session, store: Store) -> dict[str, Any]:
    config = session.config
    pulse = read_pulse(config.store_path, session.now())
    listeners, pollers, web = pulse.pop("listeners", {}), pulse.pop("pollers", {}), pulse.pop("web", None)
    sources = []
    for source in config.sources:
        counted = store.counters(source.name)
        found: dict[str, Any] = {"name": source.name, "kind": source.kind}
        if source.mllp is not None:
            found["host"] = source.mllp.host
            found["port"] = listeners.get(source.name, {}).get("port", source.mllp.port)
            found["connections"] = listeners.get(source.name)
        if source.fhir is not None:
            found["base_url"] = source.fhir.base_url
            found |= _polls(store.poll_record(source.name), pollers.get(source.name, {}), session.now())
        found |= {"last_message_at": counted.last_message_at, "counts": dict(counted.counts)}
        sources.append(found)
    current = store.ruleset()
    return {
        "trial": config.protocol.trial,
        "inbox": store.inbox_counts(),
        "sources": sources,
        "review": {"open": store.open_count()},
        "store": {**store.describe(), "path": str(config.store_path), "trouble": pulse.get("store_trouble")},
        "web": None if config.web is None else web or {"url": config.web.url(config.web.port)},
        "daemon": pulse,
        "rules": {
            "in_force": current.id if current is not None else None,
            "configured": session.book.ruleset,
            "adopted_at": current.adopted_at if current is not None else None,
        },
        "audit": {"head": store.head()},
    }


def _polls(record: PollRecord, said: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """How far a source has been asked: what the store knows, and what the running daemon says of the next poll."""
    success = record.last_success_at
    lag = None if success is None else max(0, int((now - datetime.fromisoformat(success)).total_seconds()))
    return {
        "last_poll_at": record.last_poll_at,
        "last_success_at": success,
        "lag_seconds": lag,
        "watermark": record.watermark,
        "next_run_at": said.get("next_run_at"),
        "polling": said.get("polling", False),
        "last_error": said.get("trouble") or record.last_error,
    }
