"""What an export is made of and from: each file with rows and SHA-256, the rules, the head of the trail, who, when."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from adapter import __version__
from adapter.export.state import State
from adapter.rules.derive import RULES_VERSION

NAME = "manifest.json"


@dataclass(frozen=True, slots=True)
class File:
    """One file of an export."""

    name: str
    rows: int
    content: bytes = field(repr=False)

    @property
    def sha256(self) -> str:
        """Of the content, in hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()


def manifest(
    state: State, format: str, files: Sequence[File], ruleset: str, terms: str | None, who: str, at: datetime
) -> dict[str, object]:
    """The manifest of an export. ``cells`` counts the table by status: what is not settled yet is not in SDTM."""
    return {
        "trial": state.protocol.trial,
        "format": format,
        "files": [{"name": f.name, "rows": f.rows, "sha256": f.sha256} for f in files],
        "made_at": at.isoformat(timespec="seconds"),
        "made_by": who,
        "as_of": state.today.isoformat(),
        "data_changed_at": state.changed_at.isoformat(timespec="seconds"),
        "cells": dict(sorted(Counter(cell.status for cell in state.cells).items())),
        "program": __version__,
        "rules_version": RULES_VERSION,
        "ruleset": ruleset,
        "mappings": state.protocol.fingerprint,
        "sdtm_terms": terms,
        "trail": {"records": state.records, "head": state.head},
    }


def recorded(document: Mapping[str, object]) -> dict[str, object]:
    """What the trail keeps of an export."""
    return {name: document[name] for name in ("format", "files", "as_of", "ruleset", "mappings", "sdtm_terms", "trail")}
