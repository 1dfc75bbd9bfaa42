"""Five hundred bad days: whatever goes wrong, no value is ever wrong, none is lost, and no token is sent elsewhere."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from fhir_peer import Clock
from fhir_server import FhirServer, coded, observation, patient
from poll_faults import KINDS, MOST_BYTES, BadDay, Hospital, Killed, hospital, planned
from poll_run import NOW, PollRun, person

SEEDS = range(500)
AT_ONCE = 100  # the others take minutes, and come with the real servers
INFUSED_ON = date(2026, 1, 5)
VISITS = {"p0": ("week-4", 28), "p1": ("week-12", 84)}
# Each Observation holds one of these, or both as components; the last is a member of a panel and has no category.
PARTS = (("ALT",), ("AST", "ALP"), ("ALB",))
MEMBER = PARTS[-1]
LOINC = {"ALT": "1742-6", "AST": "1920-8", "ALP": "6768-6", "ALB": "1751-7"}
SIGN_IN = (
    '[source.auth]\nkind = "client_credentials"\nclient_id = "trial"\npassword_file = "secret"\ntoken_url = "{}"\n'
)

Cell = tuple[str, str, str]


class Ward:
    """What two participants' Observations are, and all that each cell has ever rightly been.

    A value is written once only, so that one that is shown tells when it was true.
    """

    def __init__(self, server: FhirServer, chance: random.Random) -> None:
        self.server = server
        self.chance = chance
        self.written = 0
        self.was: dict[Cell, list[str | None]] = {}
        self.seen: dict[Cell, int] = {}
        self.late: set[str] = set()  # resources of which only a sweep learns what became of them
        self.places: dict[str, tuple[str, tuple[str, ...]]] = {}
        for of in VISITS:
            server.put(patient(of, f"N-{of}"))
            self.places |= {f"o{of}-{n}": (of, parts) for n, parts in enumerate(PARTS)}
        self.was = {cell: [None] for name in self.places for cell in self._cells(name)}
        self.seen = dict.fromkeys(self.was, 0)
        for name in chance.sample(sorted(self.places), 5):
            self._write(name, "final")

    def change(self) -> None:
        """One Observation made, corrected, taken back, deleted, or made anew."""
        self.server.now += timedelta(minutes=self.chance.choice((1, 15, 40)))
        name = self.chance.choice(sorted(self.places))
        if self.server.current("Observation", name) is None:
            self._write(name, self.chance.choice(("final", "preliminary")))
        elif (what := self.chance.choice(("corrected", "entered-in-error", "delete"))) != "delete":
            self._write(name, what)
        else:
            self.server.delete("Observation", name)
            self._is_now(name, None, late=True)

    def _cells(self, name: str) -> list[Cell]:
        of, parts = self.places[name]
        return [(f"S-{of}", VISITS[of][0], part) for part in parts]

    def _write(self, name: str, status: str) -> None:
        of, parts = self.places[name]
        is_new = ("Observation", name) not in self.server.versions
        self.written += 1
        value = f"40.{self.written:03}"
        taken = (INFUSED_ON + timedelta(days=VISITS[of][1])).isoformat()
        content: dict[str, Any] = {"status": status, "effectiveDateTime": f"{taken}T08:00:00+08:00"}
        if len(parts) > 1:
            quantity = observation("", "", value)["valueQuantity"]
            content["component"] = [{"code": coded(LOINC[part]), "valueQuantity": quantity} for part in parts]
            self.server.put(observation(name, of, code=coded("24325-3"), valueQuantity=None, **content))
        elif parts == MEMBER:
            quantity = observation("", "", value)["valueQuantity"] | {"unit": "g/L", "code": "g/L"}
            content |= {"code": coded(LOINC[parts[0]]), "valueQuantity": quantity, "category": None}
            self.server.put(observation(name, of, **content))
            if is_new:
                members = [{"reference": f"Observation/{name}"}]
                panel = observation(f"o-{name}", of, code=coded("24323-8"), valueQuantity=None, hasMember=members)
                self.server.put(panel)
        else:
            self.server.put(observation(name, of, value, code=coded(LOINC[parts[0]]), **content))
        shown = "provisional" if status == "preliminary" else "captured"
        told = None if status == "entered-in-error" else f"{shown} {value}"
        self._is_now(name, told, late=parts == MEMBER and not is_new)

    def _is_now(self, name: str, told: str | None, *, late: bool) -> None:
        self.late = self.late | {name} if late else self.late - {name}
        for cell in self._cells(name):
            if self.was[cell][-1] != told:
                self.was[cell].append(told)

    # --- what the table may show ------------------------------------------------------------------------------------

    def check(self, shown: dict[Cell, str | None]) -> None:
        """Nothing is shown that was never true, nor anything older than what was shown before.

        So a value that was shown goes away only once the server has taken it back.
        """
        for cell, was in self.was.items():
            when = [n for n in range(self.seen[cell], len(was)) if was[n] == shown[cell]]
            assert when, (cell, was, self.seen[cell], shown[cell])
            self.seen[cell] = when[0]
        assert [cell for cell, told in shown.items() if told is not None and cell not in self.was] == []

    def truth(self, *, swept: bool) -> dict[Cell, str | None]:
        """What the server holds now; but for a sweep without what only a sweep finds."""
        names = [name for name in self.places if swept or name not in self.late]
        return {cell: self.was[cell][-1] for name in names for cell in self._cells(name)}


class FaultyRun(PollRun):
    """A run whose program may be killed, and whose time is that of its client."""

    def __init__(self, folder: Path, on: Hospital, day: BadDay) -> None:
        (folder / "secret").write_text("secret", encoding="utf-8")
        more = SIGN_IN.format(f"{on.issuer.origin}/token")
        super().__init__(folder, on.server, more=more)
        self.clock = day.clock
        self.day = day
        # The one time-out that takes real time is short only where it is met, and not alone decisive there.
        silent = "silent" in day.left
        self.limits = {
            "read_timeout_seconds": 0.25 if silent else 20.0,
            "max_tries": 2 if silent else day.chance.choice((1, 2, 6)),
            "max_body_bytes": MOST_BYTES,
        }
        for of in VISITS:
            self.put(person(f"S-{of}", f"N-{of}", INFUSED_ON.isoformat()))

    def later(self, minutes: int) -> None:
        self.clock.pass_by(60 * minutes)
        self.server.now += timedelta(minutes=minutes)

    def errors(self, *, sweep: bool = False) -> list[str]:
        """Poll, and begin anew where the program was killed."""
        try:
            poller = self.poller(now=self.clock.now, stop=self.day.step, stored=self.day.step)
            return poller.poll(sweep=sweep).errors
        except Killed:
            self.restart()
            return ["killed"]
        finally:
            self.now = self.clock.now()

    def shown(self) -> dict[Cell, str | None]:
        rows = self.table().items()
        return {key: None if row.value_text is None else f"{row.status} {row.value_text}" for key, row in rows}


@pytest.fixture(scope="module")
def on() -> Iterator[Hospital]:
    with hospital() as found:
        yield found


@pytest.fixture
def day_of(on: Hospital, tmp_path: Path) -> Iterator[Callable[[int], tuple[FaultyRun, Ward, BadDay]]]:
    runs = []

    def begin(seed: int) -> tuple[FaultyRun, Ward, BadDay]:
        chance = random.Random(seed)
        on.server.forget()
        on.server.page_size = chance.choice((1, 2))
        ward = Ward(on.server, chance)
        day = BadDay(on, chance, Clock(NOW), planned(seed), ward.change)
        run = FaultyRun(tmp_path, on, day)
        runs.append(run)
        day.begin()
        return run, ward, day

    yield begin
    for run in runs:
        run.close()


@pytest.mark.parametrize("seed", [n if n < AT_ONCE else pytest.param(n, marks=pytest.mark.real) for n in SEEDS])
def test_on_a_bad_day_no_value_is_wrong_none_is_lost_and_no_token_goes_astray(day_of, seed: int):
    run, ward, day = day_of(seed)
    if seed % 2:
        day.over = True
        assert run.errors() == []
        day.over = False
    for _ in range(20):
        for _ in range(day.chance.randrange(6)):
            ward.change()
        # Only a sweep and a first question search for the patient, and so by POST.
        run.errors(sweep=day.chance.random() < 0.15 or day.left == ["post redirected elsewhere"])
        ward.check(run.shown())
        assert run.reasons() == []
        run.later(day.chance.choice((10, 20, 300)))
        if not day.left and not day.steps_to_live:
            break
    assert (day.left, day.steps_to_live) == ([], 0), "each fault of the seed was met"

    day.end()
    run.later(20)
    for swept in (False, True):
        assert run.errors(sweep=swept) == []
        shown, truth = run.shown(), ward.truth(swept=swept)
        ward.check(shown)
        assert {cell: shown[cell] for cell in truth} == truth
    assert run.reasons() == []
    assert (day.sent_astray(), day.wrong) == ([], [])


def test_every_fault_comes_in_the_seeds_as_often_as_any_other():
    for seeds, least in ((SEEDS, 50), (SEEDS[:AT_ONCE], 10)):
        times = Counter(kind for seed in seeds for kind in planned(seed))
        assert set(times) == set(KINDS)
        assert min(times.values()) >= least
