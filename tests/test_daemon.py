"""The daemon as hospital IT meets it: real process, real sockets, real signals, a real disk that is full."""

from __future__ import annotations

import resource
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from daemonrun import DaemonRun
from trialrun import eventually

from adapter.codecs.ack import Answer
from adapter.codecs.mllp import Decoder, Frame, encode

MAPPINGS = Path(__file__).parents[1] / "mappings"
CONFIG = f"""
[trial]
protocol = "{MAPPINGS / "nct06984497.toml"}"
[store]
url = "sqlite:///trial.db"
[[source]]
name = "lis"
kind = "mllp"
port = 0
authority = "NTCGH"
codes = "codes.toml"
ignore_types = ["ADT"]
max_frame_bytes = 4194304
[[source]]
name = "qc"
kind = "mllp"
port = 0
authority = "NTCGH"
on_no_patient = "accept"
"""
ROSTER = "study_id,identifier,authority,infused_at,birth_date,sex\nS-001,0012345,NTCGH,2026-01-05,,\n"


def oru(
    control_id: str = "M1",
    *,
    patient: str = "0012345^^^NTCGH",
    value: str = "35",
    head: str = "",
    code: str = "",
    msh: str = "|P|2.5.1",
    order: str = "A1",
    taken: str = "20260202",
    extra: str = "",
) -> bytes:
    observation = code or "1742-6^ALT^LN"
    return "\r".join(
        [
            f"MSH|^~\\&|LIS|NTCGH|ADAPTER|TRIAL|20260203080000||ORU^R01^ORU_R01|{control_id}{msh}{head}",
            f"PID|1||{patient}",
            f"OBR|1||{order}|LIVER|||{taken}",
            f"OBX|1|NM|{observation}||{value}|U/L|||||F{extra}",
            "",
        ]
    ).encode()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonRun]:
    """A daemon of a test's own."""
    with started(tmp_path) as run:
        yield run


@pytest.fixture(scope="module")
def one_for_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonRun]:
    """One daemon for the tests that only look at an answer."""
    with started(tmp_path_factory.mktemp("shared")) as run:
        yield run


@contextmanager
def started(tmp_path: Path) -> Iterator[DaemonRun]:
    (tmp_path / "config.toml").write_text(CONFIG, encoding="utf-8")
    (tmp_path / "codes.toml").write_text('[[code]]\ncode = "GPT"\nanalyte = "ALT"\n', encoding="utf-8")
    (tmp_path / "roster.csv").write_text(ROSTER, encoding="utf-8")
    run = DaemonRun(tmp_path)
    run.run("init", str(tmp_path))
    run.run("participants", "import", str(tmp_path / "roster.csv"))
    with run:
        run.start()
        yield run


def one(answers: list[Answer]) -> str:
    (answer,) = answers
    return answer.code


def value(run: DaemonRun, endpoint: str = "ALT", visit: str = "week-4") -> str | None:
    run.settled()
    return next(r["value_text"] for r in run.ask("values") if (r["endpoint"], r["visit"]) == (endpoint, visit))


def test_a_result_becomes_a_value_and_sigterm_ends_with_zero(daemon: DaemonRun):
    assert one(daemon.send("lis", oru())) == "AA"
    assert value(daemon) == "35"
    assert daemon.stop() == 0
    assert daemon.ask("status")["daemon"]["state"] == "stopped"


def test_status_says_what_matters(daemon: DaemonRun):
    daemon.send("lis", oru())
    daemon.send("lis", oru("M2", patient="999^^^NTCGH"))
    daemon.settled()
    eventually(lambda: daemon.ask("status")["sources"][0]["counts"] == {"accepted": 1, "stranger": 1})
    said = daemon.ask("status")
    assert said["inbox"] == {"pending": 0, "done": 1, "failed": 0}
    assert said["review"] == {"open": 0}
    assert (said["store"]["journal_mode"], said["store"]["synchronous"]) in {("delete", "EXTRA"), ("wal", "FULL")}
    assert said["store"]["wal_sound"] or said["store"]["journal_mode"] == "delete"
    assert (said["daemon"]["state"], said["store"]["trouble"]) == ("running", None)


def test_a_copy_is_acknowledged_again_and_changes_nothing(daemon: DaemonRun):
    first = daemon.send("lis", oru())
    head = None
    daemon.settled()
    head = daemon.ask("audit", "verify")["head"]
    again = daemon.send("lis", oru())
    assert [(a.code, a.message_control_id) for a in first] == [(a.code, a.message_control_id) for a in again]
    daemon.settled()
    assert daemon.ask("audit", "verify")["head"] == head
    assert daemon.ask("status")["inbox"]["done"] == 1


def test_the_same_control_id_with_other_content_is_processed(daemon: DaemonRun):
    daemon.send("lis", oru())
    assert one(daemon.send("lis", oru(value="36", order="A2", taken="20260201"))) == "AA"
    daemon.settled()
    assert daemon.ask("status")["inbox"]["done"] == 2


def test_who_is_enrolled_while_the_daemon_runs_counts_from_the_next_message_on(daemon: DaemonRun):
    late = oru("M7", patient="777^^^NTCGH")
    assert one(daemon.send("lis", late)) == "AA"
    daemon.run("participants", "add", "S-002", "--identifier", "777", "--authority", "NTCGH")
    assert daemon.ask("status")["inbox"]["done"] == 0
    assert one(daemon.send("lis", late)) == "AA"
    daemon.settled()
    assert daemon.ask("status")["inbox"]["done"] == 1


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (oru(msh="|T|2.5.1"), "AR"),
        (oru(msh="|P|2.9"), "AR"),
        (oru(msh="|P|"), "AA"),
        (oru().replace(b"ORU^R01^ORU_R01", b"ADT^A08"), "AA"),
        (oru().replace(b"ORU^R01^ORU_R01", b"ORM^O01"), "AR"),
        (oru().replace(b"ORU^R01^ORU_R01", b"ORU^R99"), "AR"),
        (oru(patient=""), "AE"),
        (oru().replace(b"PID|", b"ZID|"), "AE"),
        (b"hello world", "AR"),
        (oru(msh="|P|2.5.1", head="|||AL|NE"), "CA"),
        (oru(msh="|T|2.5.1", head="|||AL|NE"), "CR"),
        (oru(patient="", head="|||AL|NE"), "CE"),
        (oru(patient="999^^^NTCGH"), "AA"),
    ],
)
def test_the_acknowledgement_of(one_for_all: DaemonRun, payload: bytes, code: str):
    assert one(one_for_all.send("lis", payload)) == code


def test_a_message_without_a_patient_is_fine_where_the_source_says_so(daemon: DaemonRun):
    assert one(daemon.send("qc", oru(patient=""))) == "AA"
    assert daemon.ask("status")["inbox"] == {"pending": 0, "done": 0, "failed": 0}


def exchange(run: DaemonRun, *writes: bytes, expect: int) -> list[bytes]:
    """Raw bytes on a socket; the payloads of the first answers."""
    decoder, found = Decoder(2**24), list[bytes]()
    with socket.create_connection(("127.0.0.1", run.ports()["lis"]), timeout=20) as peer:
        for write in writes:
            peer.sendall(write)
        while len(found) < expect:
            received = peer.recv(65536)
            assert received, "closed before the answer"
            found += [e.payload for e in decoder.feed(received) if isinstance(e, Frame)]
    return found


def test_two_frames_in_one_write_are_answered_in_order(one_for_all: DaemonRun):
    daemon = one_for_all
    answers = exchange(daemon, encode(oru("A")) + encode(oru("B")), expect=2)
    assert [b"MSA|AA|A" in answers[0], b"MSA|AA|B" in answers[1]] == [True, True]


def test_cr_lf_between_frames_is_dropped(one_for_all: DaemonRun):
    daemon = one_for_all
    assert len(exchange(daemon, encode(oru("A")) + b"\r\n" + encode(oru("B")), expect=2)) == 2


def test_a_frame_byte_by_byte_is_a_frame(one_for_all: DaemonRun):
    daemon = one_for_all
    frame = encode(oru())
    assert b"MSA|AA|M1" in exchange(daemon, *[frame[i : i + 1] for i in range(len(frame))], expect=1)[0]


def test_gb18030_is_kept_as_the_right_text(daemon: DaemonRun):
    text = oru(code="ZZZ^丙氨酸氨基转移酶^L", head="||||||GB 18030-2000").decode()
    assert one(daemon.send("lis", text.encode("gb18030"))) == "AA"
    daemon.settled()
    (item,) = daemon.ask("review", "list")
    assert (item["code"], item["name"], item["suggestion"]) == ("ZZZ", "丙氨酸氨基转移酶", "ALT")


def test_a_field_of_a_mebibyte_is_taken_and_one_beyond_the_limit_refused(one_for_all: DaemonRun):
    daemon = one_for_all
    small = oru("S", extra="\rNTE|1||" + "x" * 2**20)
    large = oru("L", extra="\rNTE|1||" + "x" * (5 * 2**20))
    assert one(daemon.send("lis", small)) == "AA"
    (answer,) = daemon.send("lis", large)
    assert (answer.code, answer.message_control_id) == ("AR", "L")


def test_a_refusal_names_segment_field_and_code(one_for_all: DaemonRun):
    daemon = one_for_all
    answer = exchange(daemon, encode(oru(patient="")), expect=1)[0]
    assert b"ERR||PID^1^3|101^Required field missing^HL70357|E" in answer
    assert b"MSH|^~\\&|ADAPTER|TRIAL|LIS|NTCGH|" in answer


def test_a_batch_is_taken_whole_or_not_at_all(daemon: DaemonRun):
    good, bad = oru("B1"), oru("B2", patient="")
    batch = b"BHS|^~\\&|LIS|NTCGH|ADAPTER|TRIAL|2026||||B9\r" + good + bad + b"BTS|2\r"
    answers = daemon.send("lis", batch)
    assert [a.code for a in answers] == ["AR", "AE"]
    assert daemon.ask("status")["inbox"]["done"] == 0
    whole = b"BHS|^~\\&|LIS|NTCGH|ADAPTER|TRIAL|2026||||B9\r" + good + oru("B3", value="36", order="A7") + b"BTS|2\r"
    raw = exchange(daemon, encode(whole), expect=1)[0]
    assert raw.startswith(b"BHS|")
    assert raw.count(b"MSA|AA|") == 2
    daemon.settled()
    assert daemon.ask("status")["inbox"]["done"] == 2


def test_an_acknowledgement_is_never_answered(one_for_all: DaemonRun):
    daemon = one_for_all
    ack = b"MSH|^~\\&|LIS|NTCGH|ADAPTER|TRIAL|2026||ACK^R01|Z1|P|2.5.1\rMSA|AA|X\r"
    answers = exchange(daemon, encode(ack) + encode(oru("N")), expect=1)
    assert b"MSA|AA|N" in answers[0]


def test_sighup_reads_the_mappings_again_and_what_was_held_follows(daemon: DaemonRun):
    daemon.send("lis", oru(code="SGPT-X^^L"))
    daemon.settled()
    assert [q["code"] for q in daemon.ask("review", "list")] == ["SGPT-X"]
    codes = daemon.folder / "codes.toml"
    codes.write_text(codes.read_text() + '[[code]]\ncode = "SGPT-X"\nanalyte = "ALT"\n')
    before = daemon.ask("status")["rules"]["in_force"]
    daemon.signal(signal.SIGHUP)
    eventually(lambda: daemon.ask("status")["rules"]["in_force"] != before)
    eventually(lambda: value(daemon) == "35")
    assert daemon.ask("review", "list") == []


def test_mappings_changed_under_a_running_daemon_wait_for_sighup(daemon: DaemonRun):
    daemon.send("lis", oru(code="SGPT-X^^L"))
    daemon.settled()
    before = daemon.ask("status")["rules"]["in_force"]
    codes = daemon.folder / "codes.toml"
    codes.write_text(codes.read_text() + '[[code]]\ncode = "SGPT-X"\nanalyte = "ALT"\n')
    assert value(daemon) is None
    said = daemon.ask("status")["rules"]
    assert (said["in_force"], said["configured"] != before) == (before, True)


def test_sighup_with_a_mistake_in_the_mappings_leaves_the_old_ones_in_force(daemon: DaemonRun):
    codes = daemon.folder / "codes.toml"
    good = codes.read_text()
    codes.write_text('[[code]]\ncode = "X"\nanalyte = "NOPE"\n')
    daemon.signal(signal.SIGHUP)
    eventually(lambda: "nothing was taken over" in daemon.log.read_text())
    codes.write_text(good)
    assert one(daemon.send("lis", oru(code="GPT^^L"))) == "AA"
    assert value(daemon) == "35"


def test_a_full_disk_is_never_acknowledged_positively_and_the_store_comes_back(daemon: DaemonRun):
    assert one(daemon.send("lis", oru("BEFORE"))) == "AA"
    daemon.settled()
    assert daemon.process is not None
    soft, hard = resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (32 * 1024, hard))
    for n in range(3):
        assert one(daemon.send("lis", oru(f"FULL{n}", order=f"F{n}", taken="20260203"))) == "AR"
        assert one(daemon.send("lis", oru(f"S{n}", patient="999^^^NTCGH"))) == "AR"
    eventually(lambda: daemon.ask("status")["store"]["trouble"])
    resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (soft, hard))
    eventually(lambda: one(daemon.send("lis", oru("AFTER", order="A9", taken="20260127"))) == "AA")
    eventually(lambda: daemon.ask("status")["store"]["trouble"] is None)
    assert one(daemon.send("lis", oru("FULL0", order="F0", taken="20260203"))) == "AA"
    daemon.settled()
    assert value(daemon) == "35"
    assert daemon.ask("audit", "verify")["ok"]


def test_mapping_a_code_once_places_every_held_result(daemon: DaemonRun):
    for n in range(3):
        daemon.send(
            "lis", oru(f"M{n}", code="GPT-NEW^谷丙转氨酶^", value=str(30 + n), order=f"A{n}", taken=f"2026020{n + 1}")
        )
    daemon.settled()
    (item,) = daemon.ask("review", "list")
    assert (item["reason"], item["count"], item["suggestion"]) == ("unmapped_code", 3, "ALT")
    cells = daemon.ask("review", "resolve", item["id"], "--map", "ALT", "--reason", "the laboratory's letter")["cells"]
    assert [c["value_text"] for c in cells] == ["31"]
    assert daemon.ask("review", "list") == []
    daemon.send("lis", oru("M9", code="GPT-NEW^谷丙转氨酶^", value="39", order="A9", taken="20260330"))
    assert value(daemon, visit="week-12") == "39"


def test_dismissing_needs_a_reason_and_closes_the_item(daemon: DaemonRun):
    daemon.send("lis", oru(value="1,234"))
    daemon.settled()
    (item,) = daemon.ask("review", "list")
    daemon.run("review", "resolve", item["id"], "--dismiss", status=2)
    daemon.run(
        "review", "resolve", item["id"], "--dismiss", "--reason", "typed wrong, repeated next day", "--by", "nurse"
    )
    assert daemon.ask("review", "list") == []
    row = next(r for r in daemon.ask("values") if (r["endpoint"], r["visit"]) == ("ALT", "week-4"))
    assert (row["status"], row["reason"]) == ("missing", "unreadable_value")
    decided = [r for r in daemon.ask("audit", "show") if r["who"] == "nurse"]
    assert [r["why"] for r in decided] == ["typed wrong, repeated next day"]


def test_there_is_one_daemon_for_a_store(daemon: DaemonRun):
    done = subprocess.run(daemon.command("run"), capture_output=True, text=True, check=False)
    assert (done.returncode, "another daemon" in done.stderr) == (1, True)
    assert daemon.ask("status")["daemon"]["state"] == "running"
    daemon.kill()
    daemon.start()
    assert one(daemon.send("lis", oru())) == "AA"


def test_two_daemons_cannot_listen_on_one_port(daemon: DaemonRun, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("second")
    text = CONFIG.replace("port = 0", f"port = {daemon.ports()['lis']}", 1)
    (folder / "config.toml").write_text(text, encoding="utf-8")
    (folder / "codes.toml").write_text("", encoding="utf-8")
    second = DaemonRun(folder)
    second.run("init", str(folder))
    done = subprocess.run(second.command("run"), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "cannot listen" in done.stderr
    assert "Traceback" not in done.stderr
