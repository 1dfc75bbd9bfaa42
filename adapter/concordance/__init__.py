"""Concordance: the table held against values that people entered by hand, cell by cell, and where each of ours is from.

Read the file (:mod:`entered`), compare (:mod:`compare`), count (:mod:`figures`), tell (:mod:`document`, :mod:`page`).
No store, no clock: all of it is given.
"""

from adapter.concordance.compare import Comparison, compare
from adapter.concordance.document import Document, Occasion, document
from adapter.concordance.entered import read_sheet
from adapter.concordance.nouns import BadRow, Entry, Finding, Ours, Sheet, SheetError
from adapter.concordance.page import page

__all__ = [
    "BadRow",
    "Comparison",
    "Document",
    "Entry",
    "Finding",
    "Occasion",
    "Ours",
    "Sheet",
    "SheetError",
    "compare",
    "document",
    "page",
    "read_sheet",
]
