"""sqlite-utils without what it loads along.

It imports numpy and pandas where they are installed, to know the types of columns that nothing here ever passes. An
export needs them; every start of the daemon and of every command would pay for them.
"""

from __future__ import annotations

import sys

_HIDDEN = [name for name in ("numpy", "pandas") if name not in sys.modules]
for _name in _HIDDEN:
    sys.modules[_name] = None  # type: ignore[assignment]  # Python's way to say that an import of it fails
try:
    from sqlite_utils import Database
finally:
    for _name in _HIDDEN:
        del sys.modules[_name]

__all__ = ["Database"]
