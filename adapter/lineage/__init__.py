"""From a number to its bytes: one cell of the endpoint table with all that it follows from.

The cell names its result, the result its message and its place there, the message its bytes, whose hash is recomputed.
The way back is gone too: the cell is derived again from the stored bytes and held against the one that is stored.
"""

from adapter.lineage.raw import RAW_SHOWN, Excerpt, RawRefused, show_raw
from adapter.lineage.told import Change, InputTold, MessageTold, ResultTold, RulesTold, Trace
from adapter.lineage.tracer import trace

__all__ = [
    "RAW_SHOWN",
    "Change",
    "Excerpt",
    "InputTold",
    "MessageTold",
    "RawRefused",
    "ResultTold",
    "RulesTold",
    "Trace",
    "show_raw",
    "trace",
]
