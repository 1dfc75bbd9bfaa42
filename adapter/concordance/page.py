"""The comparison as one HTML file that needs nothing else: no script, no font, no picture from elsewhere.

Its policy forbids whatever it does not hold itself (Content-Security-Policy Level 3, a hash for the one style sheet).
"""

from __future__ import annotations

import base64
import hashlib

from adapter.concordance.compare import Comparison
from adapter.concordance.document import Document, origin_said
from adapter.concordance.nouns import KINDS
from adapter.concordance.pictures import HEIGHT, WIDTH, bland_altman, minus


def page(found: Comparison, told: Document) -> str:
    """The report for people, of a comparison and of what :func:`document` makes of it."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("adapter.concordance"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(kinds=KINDS, origin_said=origin_said, width=WIDTH, height=HEIGHT)
    environment.filters["minus"] = minus
    style = environment.get_template("report.css").render()
    pictures = []
    for row in told["by_endpoint"]:
        pairs = [pair for pair in found.pairs if pair.cell[2] == row["endpoint"]]
        pictures.append((row, bland_altman(row["endpoint"], row["unit"], pairs)))
    return environment.get_template("report.html").render(
        told=told,
        pictures=pictures,
        style=style,
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
    )
