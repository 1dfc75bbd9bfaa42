"""Invented messages, a line for each result."""

from __future__ import annotations

HEADER = r"MSH|^~\&|LIS|NTCGH|EDC|TRIAL|{at}||ORU^R01^ORU_R01|{id}|P|2.5.1||||||UNICODE UTF-8"


def message(
    *results: str,
    id: str = "M1",
    at: str = "20260203080000+0800",
    order: str = "L-1",
    number: str = "0012345^^^NTCGH^MR",
    who: str = "19700314|F",
) -> bytes:
    """One invented message; each result is OBX-3 to OBX-6, status and day, divided by blanks, "-" for nothing."""
    lines = [HEADER.format(at=at, id=id), f"PID|1||{number}||Anren^Lan||{who}"]
    for n, result in enumerate(results, start=1):
        code, value, unit, status, day = (each.strip("-") for each in result.split())
        lines.append(f"OBR|{n}||{order}-{n}|CHEM|||{day}|||||||||||||||{at}|||")
        lines.append(f"OBX|{n}|NM|{code}||{value}|{unit}|||||{status}")
    return "".join(f"{line}\r" for line in lines).encode()
