"""What: the endpoint of a code (trial.md section 2). LOINC by the value sets, local codes by the source's code map.

Names never map. They only suggest, and ``suggest`` is for the coordinator's eyes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from adapter.model import CodeRow, Coding, Protocol, Reason, Step

LOINC_SYSTEMS = {"ln", "loinc", "2.16.840.1.113883.6.1", "urn:oid:2.16.840.1.113883.6.1", "http://loinc.org"}
LOINC = "LN"  # however a sender wrote the system, this is its name from here on
_PUNCTUATION = re.compile(r"[\s()（）\[\]【】_\-.,:：*#★▲/]+")
IGNORED_LOINC = "not_an_endpoint"
IGNORED_LOCAL = "dismissed_code"


@dataclass(frozen=True, slots=True)
class Mapped:
    """What a result's codes say: an analyte, or a hold, or the rule that ignores it.

    ``could_be`` names the analytes that a held result might turn out to be; ``code`` is the coding shown to people.
    """

    code: Coding
    analyte: str | None = None
    reason: Reason | None = None
    ignored: str | None = None
    could_be: tuple[str, ...] = ()
    row: str | None = None
    unit: str | None = None
    steps: tuple[Step, ...] = ()


class CodeMap:
    """One source's local codes: its file's rows, and people's decisions, which win."""

    def __init__(self, rows: Iterable[CodeRow], decided: Iterable[CodeRow] = ()):
        self._rows: dict[tuple[str, str | None], CodeRow] = {}
        for row in (*rows, *decided):
            self._rows[row.code, row.system] = row

    def find(self, coding: Coding) -> CodeRow | None:
        """The row of this code. One that names a system asks for that too, and goes before one that does not."""
        return self._rows.get((coding.code, coding.system)) or self._rows.get((coding.code, None))


def is_loinc(coding: Coding) -> bool:
    """Whether the coding's system is LOINC: ``LN``, ``LOINC``, its OID or its URL."""
    return coding.system.strip().casefold() in LOINC_SYSTEMS


def map_codes(codings: tuple[Coding, ...], codes: CodeMap, protocol: Protocol) -> Mapped:
    """The endpoint of a result's codings, or why there is none."""
    loinc = [Coding(c.code, c.name, LOINC) for c in codings if c.code and is_loinc(c)]
    local = [c for c in codings if not (c.code and is_loinc(c))]
    rows = [row for c in local if c.code and (row := codes.find(c)) is not None]
    said = {row.analyte for row in rows}
    shown = (loinc or [c for c in local if c.code] or local or [Coding("")])[0]
    if loinc:
        return _with_loinc(shown, loinc, rows, codes, protocol)
    if len(said) > 1:
        return _conflict(shown, {a for a in said if a}, "local_codes_disagree")
    if not rows:
        guess = next((g for c in local if (g := suggest(protocol, c.code, c.name))), None)
        step = Step("unmapped_code", {"code": shown.code or shown.name, "suggestion": guess or ""})
        return Mapped(shown, reason=Reason.UNMAPPED_CODE, could_be=(guess,) if guess else (), steps=(step,))
    row = rows[0]
    shown = next(c for c in local if codes.find(c) is row)
    if row.analyte is None:
        return Mapped(shown, ignored=IGNORED_LOCAL, row=row.row, steps=(Step("dismissed_code", {"code": row.code}),))
    step = Step("mapped_local", {"code": row.code, "analyte": row.analyte, "row": row.row})
    return Mapped(shown, row.analyte, row=row.row, unit=row.unit, steps=(step,))


def _with_loinc(shown: Coding, loinc: list[Coding], rows: list[CodeRow], codes: CodeMap, protocol: Protocol) -> Mapped:
    decided = [row for c in loinc if (row := codes.find(c)) is not None]
    found = [row for c in loinc for row in protocol.loinc.get(c.code, ()) if row.kind != "deny"]
    conditional = [r for r in found if r.kind == "conditional" and r.code not in protocol.conditional_codes]
    accepted = {r.analyte for r in found if r not in conditional} | {r.analyte for r in decided if r.analyte}
    said = {row.analyte for row in rows}
    denied = {row.analyte for c in loinc for row in protocol.loinc.get(c.code, ()) if row.kind == "deny"}
    if len(accepted) > 1 or accepted & denied:
        return _conflict(shown, accepted, "loinc_codes_disagree")
    if not accepted and conditional and not decided:
        meant = conditional[0]
        shown = next(c for c in loinc if c.code == meant.code)
        step = Step("conditional_code", {"code": meant.code, "suggestion": meant.analyte})
        return Mapped(shown, reason=Reason.UNMAPPED_CODE, could_be=(meant.analyte,), steps=(step,))
    analyte = next(iter(accepted), None)
    if said and said != {analyte}:
        return _conflict(shown, {a for a in (analyte, *said) if a}, "loinc_and_local_disagree")
    unit = next((row.unit for row in (*rows, *decided) if row.unit), None)
    if analyte is None:
        why = next((r.why for c in loinc for r in protocol.loinc.get(c.code, ()) if r.kind == "deny"), "")
        return Mapped(shown, ignored=IGNORED_LOINC, steps=(Step("not_an_endpoint", {"code": shown.code, "why": why}),))
    named = [(r.code, r.row) for r in decided if r.analyte == analyte]
    code, row_name = (named + [(r.code, r.row) for r in found if r.analyte == analyte])[0]
    shown = next(c for c in loinc if c.code == code)
    step = Step("mapped_loinc", {"code": code, "analyte": analyte, "row": row_name})
    return Mapped(shown, analyte, row=row_name, unit=unit, steps=(step,))


def _conflict(shown: Coding, could_be: set[str], how: str) -> Mapped:
    step = Step(how, {"code": shown.code, "analytes": ", ".join(sorted(could_be)) or "none"})
    return Mapped(shown, reason=Reason.CODE_CONFLICT, could_be=tuple(sorted(could_be)), steps=(step,))


def suggest(protocol: Protocol, code: str, name: str) -> str | None:
    """The analyte that a code or a name resembles, for a person to judge; the longest resembling name wins.

    A short mnemonic must be the whole code or name; a longer one may be part of it. What a protocol lists as
    another thing's name (``not_names``: 凝血酶时间 for PT) resembles nothing.
    """
    texts = [t for t in (_bare(code), _bare(name)) if t]
    best: tuple[int, str] | None = None
    for analyte in protocol.analytes.values():
        for text in texts:
            if any(_resembles(text, _bare(n)) for n in analyte.not_names):
                break
        else:
            lengths = [len(n) for n in map(_bare, analyte.names) for t in texts if _resembles(t, n)]
            if lengths and (best is None or max(lengths) > best[0]):
                best = (max(lengths), analyte.id)
    return best[1] if best else None


def _resembles(text: str, name: str) -> bool:
    if not name:
        return False
    return text == name or (len(name) >= (3 if not name.isascii() else 6) and name in text)


def _bare(text: str) -> str:
    return _PUNCTUATION.sub("", text).casefold()


def decided_rows(decisions: Iterable[Mapping[str, str]], source: str) -> tuple[CodeRow, ...]:
    """Code decisions of one source as rows of its code map; a later decision replaces an earlier one."""
    return tuple(
        CodeRow(
            code=body["code"],
            analyte=body.get("analyte") or None,
            system=body.get("system", ""),  # exactly as sent: a code without a system decides for none that has one
            unit=body.get("unit") or None,
            row=body["row"],
        )
        for body in decisions
        if body["source"] == source
    )
