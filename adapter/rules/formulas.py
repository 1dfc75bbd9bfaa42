"""The published formulas of the scores: numbers in, whole points out (trial.md section 7).

Bilirubin and creatinine in mg/dL, albumin in g/dL, sodium in mmol/L, as the MELD papers have them; nothing is converted
here. With its inputs within their limits no formula falls below 6, the lowest score, so no code holds it there.

Sources: OPTN policy 9.1.D (policy notice of November 2015; the SAS macro ``meld`` of CU-Anschutz-DOS-CORP/sas-macros
follows it); Kim et al., Gastroenterology 2021;161:1887-1895; MSD Manual, Child-Turcotte-Pugh scoring system (2023),
after Pugh et al., Br J Surg 1973;60:646-649.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext

_AMPLE = Context(prec=40, rounding=ROUND_HALF_UP)  # so that a score does not depend on the caller's context
_TENTH = Decimal("0.1")
_HIGHEST = 40
_SODIUM = (Decimal(125), Decimal(137))

_Limits = tuple[Decimal, Decimal]


def meld(bilirubin: Decimal, inr: Decimal, creatinine: Decimal, *, dialysis: bool = False) -> int:
    """MELD(i), 6 to 40 (OPTN policy 9.1.D): rounded to tenths before times ten.

    Each input counts as 1.0 at least, creatinine as 4.0 at most and on dialysis (twice or more in the week before).
    """
    creatinine = _creatinine(creatinine, Decimal(4), dialysis)
    with localcontext(_AMPLE):
        raw = (
            Decimal("0.957") * _ln(creatinine)
            + Decimal("0.378") * _ln(bilirubin)
            + Decimal("1.120") * _ln(inr)
            + Decimal("0.643")
        )
        return min(int(raw.quantize(_TENTH) * 10), _HIGHEST)


def meld_na(bilirubin: Decimal, inr: Decimal, creatinine: Decimal, sodium: Decimal, *, dialysis: bool = False) -> int:
    """MELD with sodium, 6 to 40 (OPTN policy 9.1.D of January 2016): from the rounded MELD(i), only where above 11.

    Sodium counts as 125 to 137. At a MELD(i) of 40 the terms of sodium cancel out, and from below they never lead past
    it: no other limit is needed. Kim et al., N Engl J Med 2008;359:1018-1026 (CDISC's MELD02) is another formula.
    """
    initial = meld(bilirubin, inr, creatinine, dialysis=dialysis)
    if initial <= 11:
        return initial
    with localcontext(_AMPLE):
        lack = _SODIUM[1] - _within(sodium, _SODIUM)
        return _whole(initial + Decimal("1.32") * lack - Decimal("0.033") * initial * lack)


def meld_3_0(
    bilirubin: Decimal,
    inr: Decimal,
    creatinine: Decimal,
    sodium: Decimal,
    albumin: Decimal,
    *,
    female: bool,
    dialysis: bool = False,
) -> int:
    """MELD 3.0, 6 to 40 (Kim et al., Gastroenterology 2021;161:1887-1895; OPTN policy 9.1.D of July 2023), of an adult.

    Bilirubin, INR and creatinine count as 1.0 at least, creatinine as 3.0 at most and on dialysis, sodium as 125 to
    137, albumin as 1.5 to 3.5. As published, lower sodium lowers the score where bilirubin is above some 30.5 mg/dL,
    and lower albumin where creatinine is above some 2.75 mg/dL.
    """
    creatinine = _creatinine(creatinine, Decimal(3), dialysis)
    with localcontext(_AMPLE):
        lack = _SODIUM[1] - _within(sodium, _SODIUM)
        short = Decimal("3.5") - _within(albumin, (Decimal("1.5"), Decimal("3.5")))
        raw = (
            Decimal("1.33") * female
            + Decimal("4.56") * _ln(bilirubin)
            + Decimal("0.82") * lack
            - Decimal("0.24") * lack * _ln(bilirubin)
            + Decimal("9.09") * _ln(inr)
            + Decimal("11.14") * _ln(creatinine)
            + Decimal("1.85") * short
            - Decimal("1.83") * short * _ln(creatinine)
            + 6
        )
        return min(_whole(raw), _HIGHEST)


def _creatinine(measured: Decimal, most: Decimal, dialysis: bool) -> Decimal:
    return most if dialysis else min(measured, most)


def _ln(number: Decimal) -> Decimal:
    """The natural logarithm; what is below 1.0 counts as 1.0, so that none is negative."""
    return max(number, Decimal(1)).ln()


def _within(number: Decimal, limits: _Limits) -> Decimal:
    return min(max(number, limits[0]), limits[1])


def _whole(number: Decimal) -> int:
    return int(number.to_integral_value())


# --- Child-Pugh: 1 to 3 points for each of five items ---------------------------------------------------------------

# Those in mg/dL and in umol/L are published each for itself: converting either moves values across the other's line.
_BILIRUBIN: Mapping[str, _Limits] = {
    "mg/dL": (Decimal(2), Decimal(3)),
    "mg/L": (Decimal(20), Decimal(30)),
    "umol/L": (Decimal(34), Decimal(51)),
    "mmol/L": (Decimal("0.034"), Decimal("0.051")),
}
_ALBUMIN: Mapping[str, _Limits] = {
    "g/dL": (Decimal("2.8"), Decimal("3.5")),
    "g/L": (Decimal(28), Decimal(35)),
}
_INR = (Decimal("1.7"), Decimal("2.3"))
_PROLONGATION = (Decimal(4), Decimal(6))
_ASCITES = ("none", "mild", "moderate_severe")
_ENCEPHALOPATHY = ("none", "grade_1_2", "grade_3_4")


def bilirubin_points(number: Decimal, ucum: str) -> int:
    """1 below 2 mg/dL (34 umol/L), 3 above 3 mg/dL (51 umol/L), 2 between and on both (MSD Manual).

    ``ucum`` is the unit reported. Raises ValueError for one without cut-offs.
    """
    return _points(number, _cut_offs("bilirubin", _BILIRUBIN, ucum))


def albumin_points(number: Decimal, ucum: str) -> int:
    """1 above 3.5 g/dL (35 g/L), 3 below 2.8 g/dL (28 g/L), 2 between and on both (MSD Manual).

    Raises ValueError for a unit without cut-offs.
    """
    return 4 - _points(number, _cut_offs("albumin", _ALBUMIN, ucum))


def inr_points(number: Decimal) -> int:
    """1 below 1.7, 3 above 2.3, 2 between and on both (MSD Manual)."""
    return _points(number, _INR)


def pt_prolongation_points(seconds: Decimal) -> int:
    """Instead of INR, by the seconds beyond the control: 1 below 4, 3 above 6, 2 between and on both (MSD Manual)."""
    return _points(seconds, _PROLONGATION)


def ascites_points(text: str) -> int:
    """1 none, 2 mild (or controlled), 3 at least moderate (MSD Manual). Raises ValueError for another text."""
    return _grade("ascites", _ASCITES, text)


def encephalopathy_points(text: str) -> int:
    """1 none, 2 grade 1 or 2, 3 grade 3 or 4 (MSD Manual). Raises ValueError for another text."""
    return _grade("encephalopathy", _ENCEPHALOPATHY, text)


def child_pugh_class(total: int) -> str:
    """A for 5 or 6 points, B for 7 to 9, C for 10 to 15 (MSD Manual)."""
    return "A" if total <= 6 else "B" if total <= 9 else "C"


def _points(number: Decimal, cut_offs: _Limits) -> int:
    low, high = cut_offs
    return 1 if number < low else 2 if number <= high else 3


def _cut_offs(item: str, known: Mapping[str, _Limits], ucum: str) -> _Limits:
    if ucum not in known:
        raise ValueError(f"Child-Pugh has no cut-offs for {item} in {ucum!r}: give it in {', '.join(known)}")
    return known[ucum]


def _grade(item: str, known: tuple[str, ...], text: str) -> int:
    if text not in known:
        raise ValueError(f"Child-Pugh knows no {item} {text!r}: give one of {', '.join(known)}")
    return known.index(text) + 1
