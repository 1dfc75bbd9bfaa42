"""The daemon: the one place where everything meets.

The event loop listens, screens and answers; the writer's thread commits; each FHIR source is polled in a thread of its
own; one more thread derives, and meets the others in the inbox only. A schedule wakes the pollers, wakes the deriver
when a day ends (windows close) and writes down what was counted.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from adapter.config import Config, ConfigError, Source, load_config, needs_restart
from adapter.config import ruleset as ruleset_of
from adapter.config_fhir import FhirIntake
from adapter.config_mllp import MllpIntake
from adapter.config_web import PageError, Web
from adapter.deriver import DRAIN_SECONDS, Deriver
from adapter.intake.door import Door
from adapter.intake.listener import Limits, Listener, ListenError
from adapter.intake.screen import Screen
from adapter.mappings import MappingError
from adapter.pipeline import Rulebook
from adapter.pulse import Pulse
from adapter.rules.derive import RULES_VERSION
from adapter.rules.match import Roster
from adapter.store import Store, Writer

if TYPE_CHECKING:
    from adapter.intake.poll_thread import PollThread
    from adapter.web.server import WebServer

log = logging.getLogger(__name__)

_TICK_SECONDS = 60
_COUNTERS_SECONDS = 5
_SWITCH_SECONDS = 0.0005


def utc_now() -> datetime:
    """The clock of the program; whoever needs another passes it in."""
    return datetime.now(UTC)


def rulebook(config: Config) -> Rulebook:
    """The protocol, the sources' rules and the name of both together."""
    name, body = ruleset_of(config, config.protocol, RULES_VERSION)
    return Rulebook(config.protocol, {s.name: s.rules for s in config.sources}, name, body)


class RosterInHand:
    """The roster that the doors screen by. Used on the event loop's thread alone."""

    def __init__(self, store: Store, config: Config) -> None:
        self._store = store
        self._config = config
        self._screens: dict[str, Screen] = {}
        self.version = -1
        self.reload()

    def reload(self) -> None:
        """Fetch the roster as it is now; the version first, so that a change in between is noticed again."""
        version = self._store.roster_version()
        roster = Roster(self._store.participants())
        self._screens = {s.name: screen_of(s, roster, self._config.protocol.timezone) for s in self._config.sources}
        self.version = version

    def reconfigure(self, config: Config) -> None:
        """Take another configuration's rules; ports and limits stay as they were opened."""
        self._config = config
        self.reload()

    def screen(self, source: str) -> Screen:
        """The door of one source."""
        return self._screens[source]


def screen_of(source: Source, roster: Roster, timezone: str, *, gated: bool = True) -> Screen:
    """The screen of a configured source; not gated for replay and explain, which ask no version or processing id."""
    intake = source.mllp
    if intake is None:
        return Screen(source.rules, roster, timezone)
    return Screen(
        source.rules,
        roster,
        timezone,
        gate=intake if gated else None,
        ignore_types=intake.ignore_types,
        nobody_is_fine=intake.on_no_patient == "accept",
    )


class Daemon:
    """Listeners, pollers, writer and deriver of one configuration."""

    def __init__(self, config: Config, *, now: Callable[[], datetime] = utc_now) -> None:
        self._config = self._started = config
        self._now = now
        self._store = Store.open(config.store_path, config.protocol.trial)
        self._pulse = Pulse(config.store_path, now)
        self._writer = Writer(lambda: Store.open(config.store_path, config.protocol.trial), now=now)
        self._roster = RosterInHand(self._store, config)
        self._deriver = Deriver(config, rulebook(config), now)
        listened = {s.name: s.mllp for s in config.sources if s.mllp is not None}
        self._doors = {name: self._door(name) for name in listened}
        self._deriver.count(self._doors)
        self._listeners = [self._listener(name, intake) for name, intake in listened.items()]
        self._pollers = [self._poller(s, s.fhir) for s in config.sources if s.fhir is not None]
        self._schedule = BackgroundScheduler(timezone=UTC, daemon=True)
        self._web = None if config.web is None else self._page(config.web)

    def _page(self, web: Web) -> WebServer:
        from adapter.web.app import create_app  # as above: only those who have the page pay for it
        from adapter.web.server import WebServer

        return WebServer(
            create_app(lambda: self._config, lambda: self._deriver.book, self._now, self._deriver.wake), web
        )

    def _door(self, source: str) -> Door:
        return Door(source, self._roster, self._writer, self._now, self._deriver.wake)

    def _poller(self, source: Source, intake: FhirIntake) -> PollThread:
        from adapter.intake.poll_thread import PollThread  # a third of a second that only those pay who poll

        config = self._config
        return PollThread(
            source.rules,
            intake,
            config.protocol,
            lambda: Store.open(config.store_path, config.protocol.trial),
            now=self._now,
            stored=self._deriver.wake,
        )

    def _listener(self, name: str, intake: MllpIntake) -> Listener:
        return Listener(
            name,
            intake.host,
            intake.port,
            allow_from=intake.allow_from,
            answer=self._doors[name].answer,
            limits=Limits(
                intake.max_frame_bytes,
                intake.idle_timeout_seconds,
                intake.frame_timeout_seconds,
                intake.max_connections,
            ),
        )

    async def run(self) -> int:
        """Serve until SIGTERM or SIGINT; the exit status."""
        loop, ending = asyncio.get_running_loop(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ending.set)
        loop.add_signal_handler(signal.SIGHUP, self._reread)
        self._deriver.start()
        try:
            for listener in self._listeners:
                await listener.start()
            if self._web is not None:
                self._web.listen()
            self._schedule.add_job(self._deriver.wake, "interval", seconds=_TICK_SECONDS, id="day", coalesce=True)
            self._schedule.add_job(self._beat, "interval", seconds=_COUNTERS_SECONDS, id="pulse", coalesce=True)
            self._schedule_polls()
            self._schedule.start()
            self._beat()
            print("ready", file=sys.stderr, flush=True)  # noqa: T201 - the promise of interface.md, not a log line
            await ending.wait()
            return 0
        except (ListenError, PageError) as error:
            log.error("%s", error)
            return 1
        finally:
            await self._end()

    def _schedule_polls(self) -> None:
        """One job for each poller. What fell due while the daemon was down is made up once, at the start."""
        intakes = {s.name: s.fhir for s in self._config.sources}
        for poller in self._pollers:
            intake = intakes[poller.source]
            assert intake is not None
            last = self._store.poll_record(poller.source).last_poll_at
            poller.start()
            self._schedule.add_job(
                poller.wake,
                poll_trigger(intake, self._config.protocol.timezone),
                id=_job_id(poller.source),
                next_run_time=next_poll(intake, self._config.protocol.timezone, last, self._now()),
                max_instances=1,
                coalesce=True,
                misfire_grace_time=None,
            )

    async def _end(self) -> None:
        """Answer what has arrived whole, derive what was stored, write down what was counted."""
        log.info("ending: listeners are drained")
        if self._web is not None:
            await asyncio.to_thread(self._web.stop)
        for poller in self._pollers:
            poller.stop()
        await asyncio.gather(*(listener.drain(DRAIN_SECONDS) for listener in self._listeners))
        if self._schedule.running:
            self._schedule.shutdown(wait=True)
        await asyncio.to_thread(self._wait_for_pollers)
        await asyncio.to_thread(self._writer.close)
        await asyncio.to_thread(self._deriver.stop)
        self._store.close()
        self._pulse.ended()

    def _wait_for_pollers(self) -> None:
        """The page that is being asked for is stored, if it comes in time; else it is asked for again."""
        deadline = time.monotonic() + DRAIN_SECONDS
        for poller in self._pollers:
            if poller.is_alive():
                poller.join(max(0.0, deadline - time.monotonic()))

    def _reread(self) -> None:
        """SIGHUP: mappings and rules anew. What is wrong with them is logged, and the old ones stay in force."""
        try:
            config = load_config(self._config.path)
        except (ConfigError, MappingError) as error:
            log.error("SIGHUP: nothing was taken over.\n%s", error)
            return
        for source, settings in needs_restart(self._started, config).items():
            log.warning("SIGHUP: source %s: only the next start takes over %s", source, ", ".join(settings))
        known = {(s.name, s.kind): s for s in config.sources}
        config = replace(config, sources=tuple(known.get((s.name, s.kind), s) for s in self._config.sources))
        if config.web != self._config.web:
            log.warning("SIGHUP: [web] is taken over at the next start only")
            config = replace(config, web=self._config.web)
        self._config = config
        self._roster.reconfigure(config)
        rules = {s.name: s.rules for s in config.sources}
        for poller in self._pollers:
            poller.use(rules[poller.source], config.protocol)
        self._deriver.use(rulebook(config))
        log.info("SIGHUP: mappings were read again")

    def _beat(self) -> None:
        """What ``status`` shows of a running daemon, outside the store: it must be readable when that fails."""
        trouble = self._writer.trouble
        listeners = {}
        for listener in self._listeners:
            listeners[listener.name] = {"port": listener.port, **asdict(listener.counters)}
        self._pulse.beat(
            listeners,
            pollers={poller.source: self._said_of(poller) for poller in self._pollers},
            store_trouble=None if trouble is None else {"since": trouble.since.isoformat(), "cause": trouble.cause},
            reopenings=self._writer.reopenings,
            deriving=self._deriver.trouble,
            stuck=self._deriver.stuck,
            web=None if self._web is None else {"url": self._web.url},
        )
        if any(door.last_message_at for door in self._doors.values()):
            self._deriver.wake()

    def _said_of(self, poller: PollThread) -> dict[str, object]:
        job = self._schedule.get_job(_job_id(poller.source))
        due = None if job is None or job.next_run_time is None else job.next_run_time.astimezone(UTC).isoformat()
        return {"polling": poller.polling, "next_run_at": due, "trouble": poller.trouble}


def poll_trigger(intake: FhirIntake, timezone: str, *, jitter: bool = True) -> BaseTrigger:
    """When a source is polled: at its interval, or by its crontab in the trial's time zone."""
    seconds = intake.jitter_seconds if jitter else None
    if intake.poll_cron is None:
        return IntervalTrigger(seconds=intake.poll_every_seconds or 1, timezone=UTC, jitter=seconds)
    minute, hour, day, month, weekday = intake.poll_cron.split()
    return CronTrigger(
        minute=minute, hour=hour, day=day, month=month, day_of_week=weekday, timezone=ZoneInfo(timezone), jitter=seconds
    )


def next_poll(intake: FhirIntake, timezone: str, last: str | None, now: datetime) -> datetime:
    """When a source is polled first after a start: now, unless its last poll is not that long ago."""
    if last is None:
        return now
    last_at = datetime.fromisoformat(last)
    due = last_at + timedelta(seconds=intake.poll_every_seconds or 0)
    if intake.poll_cron is not None:
        due = (
            poll_trigger(intake, timezone, jitter=False).get_next_fire_time(None, last_at + timedelta(seconds=1)) or now
        )
    return max(due, now)


def _job_id(source: str) -> str:
    return f"poll {source}"


def run(path: Path | str) -> int:
    """``lab-adapter run``: the exit status. Raises ConfigError, MappingError, StoreError before anything is opened."""
    # Each time a thread that answers waits for the one that derives it waits this long, Python's default being 5 ms.
    sys.setswitchinterval(_SWITCH_SECONDS)
    daemon = Daemon(load_config(path))
    return asyncio.run(daemon.run())
