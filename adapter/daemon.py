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
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
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
from adapter.intake.door import Door
from adapter.intake.listener import Limits, Listener, ListenError
from adapter.intake.screen import Screen
from adapter.mappings import MappingError
from adapter.pipeline import Rulebook, Settler
from adapter.pulse import Pulse
from adapter.rules.derive import RULES_VERSION
from adapter.rules.match import Roster
from adapter.store import Store, StoreError, Writer

if TYPE_CHECKING:
    from adapter.intake.poll_thread import PollThread

log = logging.getLogger(__name__)

WHO = "adapter"
DRAIN_SECONDS = 20.0
_TICK_SECONDS = 60
_COUNTERS_SECONDS = 5
_RETRY_SECONDS = 2.0
_SWITCH_SECONDS = 0.0005
_QUIET_SECONDS = 0.005
_GIVES_WAY = 20  # times in a row: a feed that never pauses slows deriving down and does not stop it


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


class Deriver(threading.Thread):
    """Derives whenever it is woken. It ends by itself when told to stop, what it was at being finished."""

    def __init__(self, config: Config, now: Callable[[], datetime]) -> None:
        super().__init__(name="deriver", daemon=True)
        self._config = config
        self._now = now
        self._book = rulebook(config)
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._doors: Mapping[str, Door] = {}
        self._written: dict[str, Counter[str]] = {}
        self._deadline: float | None = None
        self._seen = 0
        self._settler: Settler | None = None
        self.trouble: str | None = None

    @property
    def stuck(self) -> list[str]:
        """Participants that a defect of the rules keeps from being derived; their values are of before."""
        return sorted(self._settler.stuck) if self._settler is not None else []

    def wake(self) -> None:
        """There is something to derive."""
        self._woken.set()

    def use(self, book: Rulebook) -> None:
        """Derive by other rules from now on."""
        self._book = book
        self.wake()

    def count(self, doors: Mapping[str, Door]) -> None:
        """The doors whose counts are written down beside the derivation."""
        self._doors = doors

    def stop(self) -> None:
        """Finish what is pending, within the time for draining, then end. What is left is derived at the next start."""
        self._deadline = time.monotonic() + DRAIN_SECONDS
        self._stopping.set()
        self.wake()
        self.join()

    def run(self) -> None:
        """The thread's life: a store of its own, opened again after it failed."""
        while not self._stopping.is_set():
            try:
                with Store.open(self._config.store_path, self._config.protocol.trial) as store:
                    self._work(store)
            except Exception as error:  # whatever it is, the feed goes on and deriving is tried again
                cause = str(error) if isinstance(error, StoreError) else f"{type(error).__name__} in the deriver"
                if self.trouble is None:
                    log.error("deriving stands still: %s", cause)
                self.trouble = cause
                self._stopping.wait(_RETRY_SECONDS)

    def _work(self, store: Store) -> None:
        settler = Settler(store, self._now, WHO)
        self._settler = settler
        while True:
            self._woken.clear()
            ending = self._stopping.is_set()
            settler.settle(self._book, stop=self._gives_way_or_ends)
            self._write_counts(store)
            if self.trouble is not None:
                log.info("deriving goes on")
                self.trouble = None
            if ending:
                return
            self._woken.wait()

    def _gives_way_or_ends(self) -> bool:
        """Before each step: whoever waits for an acknowledgement goes first. True where the time for draining is up."""
        for _ in range(_GIVES_WAY):
            answered = sum(door.counts.total() for door in self._doors.values())
            if answered == self._seen:
                break
            self._seen = answered
            self._stopping.wait(_QUIET_SECONDS)
        return self._deadline is not None and time.monotonic() > self._deadline

    def _write_counts(self, store: Store) -> None:
        """The doors only ever count up, so what is new is a difference, whichever thread counts meanwhile."""
        for name, door in self._doors.items():
            seen, written = Counter(door.counts), self._written.setdefault(name, Counter())
            if seen != written:
                with store.write() as tx:
                    tx.add_counters(name, seen - written, door.last_message_at)
                self._written[name] = seen


class Daemon:
    """Listeners, pollers, writer and deriver of one configuration."""

    def __init__(self, config: Config, *, now: Callable[[], datetime] = utc_now) -> None:
        self._config = self._started = config
        self._now = now
        self._store = Store.open(config.store_path, config.protocol.trial)
        self._pulse = Pulse(config.store_path, now)
        self._writer = Writer(lambda: Store.open(config.store_path, config.protocol.trial), now=now)
        self._roster = RosterInHand(self._store, config)
        self._deriver = Deriver(config, now)
        listened = {s.name: s.mllp for s in config.sources if s.mllp is not None}
        self._doors = {name: self._door(name) for name in listened}
        self._deriver.count(self._doors)
        self._listeners = [self._listener(name, intake) for name, intake in listened.items()]
        self._pollers = [self._poller(s, s.fhir) for s in config.sources if s.fhir is not None]
        self._schedule = BackgroundScheduler(timezone=UTC, daemon=True)

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
            self._schedule.add_job(self._deriver.wake, "interval", seconds=_TICK_SECONDS, id="day", coalesce=True)
            self._schedule.add_job(self._beat, "interval", seconds=_COUNTERS_SECONDS, id="pulse", coalesce=True)
            self._schedule_polls()
            self._schedule.start()
            self._beat()
            print("ready", file=sys.stderr, flush=True)  # noqa: T201 - the promise of interface.md, not a log line
            await ending.wait()
            return 0
        except ListenError as error:
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
