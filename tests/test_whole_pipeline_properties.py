"""The whole way, from bytes to the table, under any feed: what must hold whatever a laboratory sends, in any order."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st
from trialrun import TrialRun

from adapter.intake.door import new_message
from adapter.intake.screen import Fate
from adapter.model import Identifier, Participant, Received
from adapter.pipeline import derive_scope
from adapter.rules.match import Roster
from adapter.store import UNASSIGNED

CONFIG = Path(__file__).parents[1] / "fixtures" / "messages" / "config.toml"
EXAMPLES = 20  # each writes one or two stores to the disk
NOW = datetime(2026, 9, 1, 4, 0, tzinfo=UTC)
ROSTER = (
    Participant("S-001", (Identifier("0012345", "NTCGH"),), "2026-01-05", "1970-03-14", "F"),
    Participant("S-002", (Identifier("0067890", "NTCGH"),), "2026-01-05T10:00:00+08:00"),
    Participant("S-003", (Identifier("0011111", "NTCGH"),), "2026-01-05", None, None, date(2026, 2, 4), "withdrawn"),
)
SCOPES = (*(p.study_id for p in ROSTER), UNASSIGNED)
STRANGE = "ZQXJ"  # in every stranger's name, number, order and note, and nowhere else
STRANGER = f"{STRANGE}77"


def segment(name: str, **fields: str) -> str:
    """A segment from its numbered fields: ``segment("OBX", f3="GPT")``."""
    last = max((int(key[1:]) for key in fields), default=0)
    return "|".join((name, *(fields.get(f"f{n}", "") for n in range(1, last + 1))))


TIMES = [
    "",
    "20260104",
    "20260120",
    "20260202",
    "202602020830",
    "20260202083000",
    "20260203",
    "202602100900",
    "20260401",
]
TIMES += ["2026", "20270101", "202602021900-0500"]
CODES = [
    "1742-6^^LN",
    "1742-6^^LN^1968-7^^LN",
    "GPT^^L",
    "TB^^L",
    "1975-2^^LN",
    "1968-7^^LN",
    "1783-0^^LN",
    "1751-7^^LN",
]
CODES += ["ZZ9^unheard_of^L", "XALT^ALT^L", "^ALT", "GPT^^L^1975-2^^LN"]
times = st.sampled_from(TIMES)
observations = st.builds(
    lambda code, value, unit, status, sub_id, taken: segment(
        "OBX", f2="ST", f3=code, f4=sub_id, f5=value, f6=unit, f11=status, f14=taken
    ),
    st.sampled_from(CODES),
    st.sampled_from(["35", "36", "<36", "1,234", "", "haemolysed", "350000", '""', "12"]),
    st.sampled_from(["U/L", "U/L", "umol/L", "mg/dL", "g/L", "", "furlong"]),
    st.sampled_from([*"PFFFCDXU0", ""]),
    st.sampled_from(["", "", "1"]),
    times,
)
specimens = st.builds(lambda kind, taken: segment("SPM", f4=kind, f17=taken), st.sampled_from(["SER", "", "UR"]), times)
orders = st.builds(
    lambda number, taken, issued, status, source, body: "\r".join(
        (segment("OBR", f3=number, f7=taken, f15=source, f22=issued, f25=status), *body)
    ),
    st.sampled_from(["A1", "A2", ""]),
    times,
    st.sampled_from(["", "", "20260203090000", "20260203100000"]),
    st.sampled_from(["", "F", "P"]),
    st.sampled_from(["", "", "SER", "UR"]),
    st.lists(st.one_of(observations, observations, specimens), min_size=1, max_size=4),
)
patients = st.sampled_from(
    [
        segment("PID", f3="0012345^^^NTCGH"),
        segment("PID", f3="0012345^^^NTCGH", f7="19700314", f8="F"),
        segment("PID", f3="0012345^^^NTCGH", f7="19710314"),
        segment("PID", f3="0067890"),
        segment("PID", f3="0011111"),
        segment("PID", f3="0012345~0067890"),
        segment("PID", f3="0011111~0067890"),
        segment("PID", f3=f"{STRANGER}^^^NTCGH", f5=STRANGE, f7="19700314"),
        segment("PID", f3="0012345^^^ELSEWHERE", f5=STRANGE),
    ]
)


def group_of(patient: str, placed: Sequence[str]) -> str:
    body = "\r".join(placed)
    if STRANGE in patient:
        body = body.replace("OBR|||", f"OBR|||{STRANGE}").replace("OBX|", f"NTE|||{STRANGE}\rOBX|")
    return f"{patient}\r{body}"


groups = st.builds(group_of, patients, st.lists(orders, min_size=1, max_size=2))
contents = st.builds(
    lambda sent, version, patient_groups, spoilt: (sent, version, "\r".join(patient_groups), spoilt),
    st.sampled_from(["20260203080000", "20260203090000", "20260203"]),
    st.sampled_from(["2.3", "2.5.1"]),
    st.lists(groups, min_size=1, max_size=2),
    st.sampled_from([b"", b"", b"", b"", b"", b"\xff"]),
)


@st.composite
def feeds(draw: st.DrawFn) -> list[tuple[str, bytes]]:
    """Messages with their source: some of them sent again, as they were or under another control id."""
    sent = []
    for number, (at, version, body, spoilt) in enumerate(draw(st.lists(contents, min_size=1, max_size=5))):
        source = draw(st.sampled_from(["lis", "lis", "lis-utc"]))
        for name in draw(st.sampled_from([["m"], ["m"], ["m", "m"], ["m", "again"]])):
            header = f"MSH|^~\\&|LAB||||{at}||ORU^R01|{name}{number}|P|{version}\r"
            sent.append((source, header.encode() + body.encode() + spoilt + b"\r"))
    return sent


@contextmanager
def trial() -> Iterator[TrialRun]:
    with tempfile.TemporaryDirectory() as folder:
        run = TrialRun(CONFIG, Path(folder) / "trial.db", NOW)
        try:
            with run.store.write() as tx:
                for person in ROSTER:
                    tx.put_participant(person, "test", "test", NOW)
            yield run
        finally:
            run.close()


def receive(run: TrialRun, source: str, payload: bytes) -> None:
    """One payload as the door takes it."""
    screened, _ = run.screen(source).look(payload, NOW)
    kept = [new_message(source, m, NOW) for m in screened if m.fate == Fate.ACCEPTED]
    with run.store.write() as tx:
        tx.add_messages(kept)


def messages_of(run: TrialRun) -> list[Received]:
    """Every message that was kept, once."""
    return list({m.id: m for scope in SCOPES for m in run.store.received(scope)}.values())


def current(run: TrialRun) -> dict[str, list[object]]:
    """Every current row and open question; a message by its content, never by when it came."""
    names = {m.id: (m.source, m.sha256) for m in messages_of(run)}
    results = [{**asdict(r), "inbox_id": names[r.inbox_id]} for r in run.store.results()]
    placements = [
        {**asdict(r), "inbox_id": names[r.inbox_id]} for p in ROSTER for r in run.store.placements(p.study_id)
    ]
    selections = [{**asdict(r), "inbox_id": names.get(r.inbox_id or 0)} for r in run.store.selections()]
    items = []
    for stored in run.store.open_items():
        listed = sorted((*names[inbox_id], locator) for inbox_id, locator in stored.item.results)
        # Of a code in many messages the first to come is shown.
        first = stored.item.message_id if stored.item.reason != "unmapped_code" else None
        items.append({**asdict(stored.item), "results": listed, "message_id": first, "evidence": ""})
    found = {"results": results, "placements": placements, "selections": selections, "items": items}
    return {name: sorted(rows, key=repr) for name, rows in found.items()}  # type: ignore[arg-type]


@settings(max_examples=EXAMPLES)
@given(feeds(), st.randoms(use_true_random=False))
def test_the_order_of_arrival_changes_no_row_and_no_question(feed, random):
    shuffled = list(feed)
    random.shuffle(shuffled)
    with trial() as run, trial() as other:
        for message in feed:
            receive(run, *message)
            run.settler.settle(run.book)
        for message in shuffled:
            receive(other, *message)
        other.settler.settle(other.book)
        assert current(run) == current(other)
        assert list(run.table().values()) == list(other.table().values())


@settings(max_examples=EXAMPLES)
@given(feeds())
def test_what_is_derived_can_be_deleted_and_derived_again(feed):
    with trial() as run:
        for message in feed:
            receive(run, *message)
            run.settler.settle(run.book)
        before = current(run)
        with run.store.write() as tx:
            tx.clear_derived("test", "to derive it again", NOW)
        assert run.store.results() == []
        run.settler.settle(run.book)
        assert current(run) == before


@settings(max_examples=EXAMPLES)
@given(feeds())
def test_message_by_message_comes_to_the_same_as_all_at_once(feed):
    with trial() as run:
        for message in feed:
            receive(run, *message)
            run.settler.settle(run.book)
        roster = Roster(run.store.participants())
        for scope in SCOPES:
            messages = run.store.received(scope)
            at_once = derive_scope(scope, messages, roster, run.book, run.store.decisions(), NOW.date())
            placements = run.store.placements(scope)
            assert set(at_once.results) == set(run.store.results(scope))
            cells = {(s.visit, s.endpoint): s for s in at_once.selections}
            assert cells == {(s.visit, s.endpoint): s for s in run.store.selections(scope)}
            assert set(at_once.placements) == set(placements)


@settings(max_examples=EXAMPLES)
@given(feeds())
def test_every_result_that_was_kept_is_placed_held_or_ignored_by_a_named_rule(feed):
    with trial() as run:
        for message in feed:
            receive(run, *message)
        run.settler.settle(run.book)
        rows = run.store.results()
        for message in messages_of(run):
            told = [r for r in rows if r.inbox_id == message.id]
            ignored = run.store.ignored(message.id)
            assert len(told) + sum(ignored.values()) == message.raw.count(b"\rOBX|"), message.message_control_id
            assert all(ignored)
            assert not message.failed
        open_ids = {stored.item.id for stored in run.store.open_items()}
        assert [r for r in rows if r.outcome == "held" and r.item not in open_ids] == []
        assert run.settler.stuck == {}


@settings(max_examples=EXAMPLES)
@given(feeds())
def test_no_byte_of_a_stranger_reaches_the_disk(feed):
    with trial() as run:
        folder = run.config.store_path.parent
        for message in feed:
            receive(run, *message)
        run.settler.settle(run.book)
        for path in folder.iterdir():
            assert STRANGE.encode() not in path.read_bytes()


@settings(max_examples=EXAMPLES)
@given(feeds())
def test_the_same_feed_sent_once_more_changes_nothing(feed):
    with trial() as run:
        for message in feed:
            receive(run, *message)
        run.settler.settle(run.book)
        before = current(run)
        for message in feed:
            receive(run, *message)
        assert run.settler.settle(run.book) == 0
        assert current(run) == before


def cells_of(run: TrialRun, study_id: str) -> list[tuple[object, ...]]:
    return [(s.visit, s.endpoint, s.status, s.value, s.comparator) for s in run.store.selections(study_id)]


_WITHOUT_RESULTS = (
    b"MSH|^~\\&|LAB||||20260203080000||ORU^R01|m0|P|2.3\rPID|||0012345^^^NTCGH\rOBR|||A1||||20260104||||||||||||||||||F\r"
    b"SPM||||SER|||||||||||||20260401\rPID|||0011111\rOBR|||A1||||||||||||||||||||||\rSPM||||SER|||||||||||||\xff\r"
)


@settings(max_examples=EXAMPLES)
@given(feeds())
@example([("lis", _WITHOUT_RESULTS)])
def test_a_withdrawn_participants_later_results_are_kept_nowhere(feed):
    """Nor where the withdrawal is entered after they came: then they are kept and excluded."""
    with trial() as run, trial() as late:
        late.put(replace(ROSTER[2], ended_on=None, ended_by=None))
        for message in feed:
            receive(run, *message)
            receive(late, *message)
        late.put(ROSTER[2])
        for each in (run, late):
            each.settler.settle(each.book)
        assert cells_of(run, "S-003") == cells_of(late, "S-003")
        assert all("after_withdrawal" not in run.store.ignored(m.id) for m in run.store.received("S-003"))
