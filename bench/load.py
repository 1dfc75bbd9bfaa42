"""The load: messages of a laboratory over MLLP, sent and waited for, on one connection or many.

A process of its own, so that what it costs is not the server's, and a protocol of callbacks rather than streams, so
that it is not what is measured. It prints one JSON object: what was sent, what was answered, how long that took.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import count
from typing import Any

AUTHORITY = "NTCGH"
INFUSED_ON = date(2026, 1, 5)
STRANGERS_IN_TEN = {"participants": 0, "mixed": 9}
_DAYS = 200  # of results after the infusion: all three visits of the protocol, and the days between them
_END = b"\x1c\r"
_WARM_UP = 0.1  # of the time: answered and counted, but not timed

# Nine analytes of the trial and three that are none: what a liver panel with coagulation and a blood count sends.
_PANEL = (
    ("1742-6", "Alanine aminotransferase [Enzymatic activity/volume] in Serum or Plasma", "%(value)d", "U/L", "7-56"),
    ("1920-8", "Aspartate aminotransferase [Enzymatic activity/volume] in Serum or Plasma", "48", "U/L", "10-40"),
    ("6768-6", "Alkaline phosphatase [Enzymatic activity/volume] in Serum or Plasma", "131", "U/L", "44-147"),
    ("14631-6", "Bilirubin.total [Moles/volume] in Serum or Plasma", "34.2", "umol/L", "3.4-20.5"),
    ("61151-7", "Albumin [Mass/volume] in Serum or Plasma by BCG", "31.5", "g/L", "35-52"),
    ("5902-2", "Prothrombin time (PT)", "16.4", "s", "11.0-13.5"),
    ("6301-6", "INR in Platelet poor plasma by Coagulation assay", "1.42", "1", "0.8-1.2"),
    ("14682-9", "Creatinine [Moles/volume] in Serum or Plasma", "88", "umol/L", "53-97"),
    ("2951-2", "Sodium [Moles/volume] in Serum or Plasma", "137", "mmol/L", "136-145"),
    ("2324-2", "Gamma glutamyl transferase [Enzymatic activity/volume]", "96", "U/L", "8-61"),
    ("2885-2", "Protein [Mass/volume] in Serum or Plasma", "66", "g/L", "60-83"),
    ("777-3", "Platelets [#/volume] in Blood by Automated count", "84", "10*9/L", "150-400"),
)


def _template() -> bytes:
    sent = f"MSH|^~\\&|LIS|{AUTHORITY}|ADAPTER|TRIAL|%(day)s093000+0800||ORU^R01^ORU_R01|%(id)s|P|2.5.1"
    taken, reported = "%(day)s081500+0800", "%(day)s092500+0800"
    order = f"OBR|1|P%(id)s|F%(id)s|24325-3^Hepatic function panel^LN|||{taken}"
    segments = [
        sent + "||||||UNICODE UTF-8",
        f"PID|1||%(patient)s^^^{AUTHORITY}^MR||INVENTED^PATIENT||19700101|F",
        "PV1|1|I|HEPATOLOGY^12^3^" + AUTHORITY,
        "ORC|RE|P%(id)s|F%(id)s",
        order + "|" * 15 + reported + "|||F",
    ]
    for number, (code, name, value, unit, normal) in enumerate(_PANEL, 1):
        result = f"OBX|{number}|NM|{code}^{name}^LN||{value}|{unit}|{normal}|H|||F|||{taken}"
        segments.append(result + "|" + AUTHORITY + "^Central laboratory")
    segments.append("SPM|1|||SER^Serum^HL70487")
    return b"\x0b" + "".join(f"{segment}\r" for segment in segments).encode() + _END


_TEMPLATE = _template()


def enrolled(number: int) -> str:
    """The identifier of an enrolled participant, counted from one."""
    return f"E{number:06d}"


def messages(run: str, participants: int, shape: str) -> Iterator[tuple[bytes, bool, bytes]]:
    """MSH-10, whether it is a participant's, and the framed message; without end, each MSH-10 once.

    Of ten messages of the shape ``mixed`` nine are of people who are not enrolled.
    """
    strangers = STRANGERS_IN_TEN[shape]
    for number in count():
        is_enrolled = number % 10 >= strangers
        turn = number if not strangers else number // 10
        patient = enrolled(turn % participants + 1) if is_enrolled else f"S{number:06d}"
        day = INFUSED_ON + timedelta(days=1 + (turn // participants) * 7 % _DAYS)
        control_id = f"{run}{number:08d}".encode()
        content = {
            b"id": control_id,
            b"patient": patient.encode(),
            b"day": day.strftime("%Y%m%d").encode(),
            b"value": 20 + number % 100,
        }
        yield control_id, is_enrolled, _TEMPLATE % content


@dataclass(slots=True)
class Load:
    """What is to be sent, and what came of it. Times are those of ``time.monotonic``."""

    feed: Iterator[tuple[bytes, bool, bytes]]
    timed_from: float
    until: float
    interval: float  # seconds between two messages; 0: as soon as the one before is answered
    latencies: list[float] = field(default_factory=list)
    answered_at: dict[str, float] = field(default_factory=dict)  # only where a rate is asked for
    positive: int = 0
    enrolled_positive: int = 0
    negative: int = 0
    lost: int = 0

    def is_over(self, now: float) -> bool:
        """Whether it has taken its time; however slow the machine, not before one answer was timed or refused."""
        return now >= self.until and bool(self.latencies or self.negative)

    def answered(self, control_id: bytes, is_enrolled: bool, answer: bytes, sent_at: float, now: float) -> None:
        """Count one answer, and time it where the warm-up is over."""
        if b"\rMSA|AA|" + control_id not in answer:
            self.negative += 1
            return
        self.positive += 1
        self.enrolled_positive += is_enrolled
        if sent_at >= self.timed_from:
            self.latencies.append(now - sent_at)
        if self.interval and is_enrolled:
            self.answered_at[control_id.decode()] = now


class _Sender(asyncio.Protocol):
    """One connection. With ``fresh`` it sends one message only, for servers that close after each."""

    def __init__(self, load: Load, ended: asyncio.Future[None], *, fresh: bool) -> None:
        self._load = load
        self._ended = ended
        self._fresh = fresh
        self._loop = asyncio.get_running_loop()
        self._due = time.monotonic()
        self._received = b""
        self._waiting: tuple[bytes, bool] | None = None
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def data_received(self, received: bytes) -> None:
        now = time.monotonic()
        self._received += received
        if not self._received.endswith(_END) or self._waiting is None:
            return
        self._load.answered(*self._waiting, self._received, self._sent_at, now)
        self._received, self._waiting = b"", None
        if self._fresh or self._load.is_over(now):
            self._transport.close()
            return
        self._due += self._load.interval
        if self._load.interval and self._due > now:
            self._loop.call_later(self._due - now, self._send)
        else:
            self._send()

    def connection_lost(self, _: Exception | None) -> None:
        self._load.lost += self._waiting is not None
        if not self._ended.done():
            self._ended.set_result(None)

    def _send(self) -> None:
        control_id, is_enrolled, frame = next(self._load.feed)
        self._waiting = control_id, is_enrolled
        self._sent_at = time.monotonic()
        self._transport.write(frame)


async def _connection(port: int, load: Load, *, fresh: bool) -> None:
    loop = asyncio.get_running_loop()
    while True:
        ended: asyncio.Future[None] = loop.create_future()
        await loop.create_connection(lambda: _Sender(load, ended, fresh=fresh), "127.0.0.1", port)  # noqa: B023
        await ended
        if not fresh or load.is_over(time.monotonic()):
            return


def quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest of the ordered values that at least this share of them does not exceed (nearest rank)."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """Send for the time asked for; the numbers."""
    began = time.monotonic()
    timed_from = began + options.seconds * _WARM_UP
    load = Load(
        messages(options.run, options.participants, options.shape),
        timed_from,
        timed_from + options.seconds,
        options.connections / options.rate if options.rate else 0.0,
    )
    gc.freeze()
    gc.disable()  # a pause of the client's would be taken for the server's
    await asyncio.gather(*(_connection(options.port, load, fresh=options.fresh) for _ in range(options.connections)))
    elapsed = time.monotonic() - timed_from
    ordered = sorted(load.latencies)
    shares = {"p50": 0.5, "p99": 0.99, "max": 1.0} if ordered else {}
    return {
        "rate": len(ordered) / elapsed,
        "timed": len(ordered),
        "seconds": elapsed,
        "milliseconds": {name: quantile(ordered, share) * 1000 for name, share in shares.items()},
        "positive": load.positive,
        "enrolled_positive": load.enrolled_positive,
        "negative": load.negative,
        "lost": load.lost,
        "client_cpu_seconds": time.process_time(),
        "answered_at": load.answered_at,
    }


def main() -> None:
    """The command line of the load client."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rate", type=float, default=0.0, help="messages a second over all connections; 0: no pause")
    parser.add_argument("--shape", choices=sorted(STRANGERS_IN_TEN), default="participants")
    parser.add_argument("--participants", type=int, default=32)
    parser.add_argument("--run", default="B", help="how every MSH-10 begins")
    parser.add_argument("--fresh", action="store_true", help="a new connection for each message")
    print(json.dumps(asyncio.run(run(parser.parse_args()))))


if __name__ == "__main__":
    main()
