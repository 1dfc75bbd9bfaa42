"""A CSV that is shown before it is taken: first what it would change, then, when that was confirmed, the change.

Between the two nothing is kept here: the file goes back to whoever sent it, in the form that confirms, on a page that
no browser stores (``Cache-Control: no-store``), so that no identity lies on a disk for a file that nobody confirmed.
What comes back is read and checked as if it had come for the first time; ``seen`` says what was shown, and where that
is no longer what would be done it is shown anew.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from starlette.datastructures import UploadFile

from adapter.review.rows import NOT_UTF_8, RowsError, marked
from adapter.web.page import Page

MOST_BYTES = 1_000_000  # more than ten thousand rows; written in base64 it fits a form
_NO_FILE = marked("Choose a file first.")
_TOO_LARGE = marked("The file is larger than a megabyte: divide it.")


class NoFile(Exception):
    """No file that could be read: the text, in English, says why and what can be done."""


@dataclass(frozen=True, slots=True)
class Carried:
    """A file's lines, and the field by which it comes back."""

    lines: Sequence[str] = field(repr=False)
    packed: str = field(repr=False)


def carried(page: Page) -> Carried:
    """The file of a form: chosen just now, or brought back. Raises NoFile, and RowsError where it is no UTF-8."""
    chosen = page.form.get("file")
    if isinstance(chosen, UploadFile) and chosen.filename:
        raw = chosen.file.read(MOST_BYTES + 1)
    else:
        raw = _unpacked(page.text("carried"))
    if not raw:
        raise NoFile(_NO_FILE)
    if len(raw) > MOST_BYTES:
        raise NoFile(_TOO_LARGE)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RowsError([NOT_UTF_8]) from error
    return Carried(list(io.StringIO(text, newline="")), base64.b64encode(raw).decode())


def _unpacked(packed: str) -> bytes:
    try:
        return base64.b64decode(packed, validate=True)
    except (binascii.Error, ValueError):
        return b""


def seen(*shown: object) -> str:
    """A name for what was shown, the same for the same."""
    return hashlib.sha256(json.dumps(shown, default=repr).encode()).hexdigest()
