"""Units: known ones by a reviewed table, converted exactly (trial.md section 3)."""

from __future__ import annotations

import unicodedata
from decimal import Context, Decimal, Inexact

from adapter.model import Analyte, Protocol, UnitRow


def unit_row(text: str, analyte: Analyte, protocol: Protocol) -> UnitRow | None:
    """The row of a unit as sent: an alias of the analyte, else a general alias, else UCUM itself; None is unknown.

    Outer blanks and canonical composition (NFC) are all that is folded: case and compatibility forms carry meaning.
    """
    sent = unicodedata.normalize("NFC", text.strip())
    ucum = analyte.unit_aliases.get(sent) or protocol.unit_aliases.get(sent) or sent
    return analyte.units.get(ucum)


def find_unit(stated: tuple[str, ...], analyte: Analyte, protocol: Protocol) -> UnitRow | None:
    """The unit of OBX-6 in any of its parts; two parts that mean different factors are no unit at all."""
    rows = [row for text in stated if (row := unit_row(text, analyte, protocol)) is not None]
    return rows[0] if rows and all(row.factor == rows[0].factor for row in rows) else None


def convert(number: Decimal, row: UnitRow) -> Decimal:
    """``number`` in the analyte's unit, exactly. A factor of one leaves the decimals as they were sent.

    Raises decimal.Inexact never: the context has room for every digit of the product.
    """
    if row.factor == 1:
        return number
    room = len(number.as_tuple().digits) + len(row.factor.as_tuple().digits) + 1
    return Context(prec=room, traps=[Inexact]).multiply(number, row.factor)


def plain(number: Decimal) -> str:
    """The number as text without an exponent, its decimals kept: ``1.10``."""
    return format(number, "f")
