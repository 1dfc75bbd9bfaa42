"""All datasets of an export to SDTM."""

from __future__ import annotations

from adapter.export.laboratory import laboratory
from adapter.export.scores import scores
from adapter.export.state import State
from adapter.export.subjects import subjects
from adapter.export.terms import Terms
from adapter.export.variables import Dataset
from adapter.export.visits import visits


def tabulate(state: State, terms: Terms) -> list[Dataset]:
    """DM, SV, LB, RS and the supplemental qualifiers, where there are any."""
    lb, supplb = laboratory(state, terms)
    rs, supprs = scores(state, terms)
    supplemental = [each for each in (supplb, supprs) if each.rows]
    return [subjects(state, terms), visits(state, lb, rs), lb, rs, *supplemental]
