"""A report's status by tables 0085 (OBX-11) and 0123 (OBR-25), as trial.md section 6 reads them."""

from __future__ import annotations

from collections.abc import Mapping

from adapter.model import Status, Step

OBX_11 = {
    **dict.fromkeys("PRSI", Status.PROVISIONAL),
    **dict.fromkeys("FV", Status.FINAL),
    **dict.fromkeys("CA", Status.CORRECTED),
    "U": Status.CONFIRMS,
    **dict.fromkeys("DW", Status.TAKES_BACK),
    **dict.fromkeys("XNO", Status.NOT_DONE),
}
OBR_25 = {
    **dict.fromkeys("APR", Status.PROVISIONAL),
    "F": Status.FINAL,
    "C": Status.CORRECTED,
    **dict.fromkeys("IOSXYZ", Status.NOT_DONE),
}
FHIR = {
    "registered": Status.PROVISIONAL,
    "preliminary": Status.PROVISIONAL,
    "final": Status.FINAL,
    "corrected": Status.CORRECTED,
    "amended": Status.CORRECTED,
    "entered-in-error": Status.TAKES_BACK,
    "cancelled": Status.NOT_DONE,
}


def status_of(
    observation: str, order: str, status_map: Mapping[str, str], *, fhir: bool = False
) -> tuple[Status | None, Step]:
    """The status of one result, None where nobody knows it. OBX-11 beats OBR-25; the source's map fills gaps only.

    ``fhir`` says which table ``observation`` is of: FHIR's words are none of table 0085's codes, nor the other way.
    """
    if fhir and observation in FHIR:
        return FHIR[observation], Step("status", {"field": "status", "code": observation})
    if not fhir and observation in OBX_11:
        return OBX_11[observation], Step("status", {"field": "OBX-11", "code": observation})
    if not observation and order in OBR_25:
        return OBR_25[order], Step("status", {"field": "OBR-25", "code": order})
    sent = observation or order
    mapped = OBX_11.get(status_map.get(sent, ""))
    if mapped is not None:
        return mapped, Step("status_mapped", {"code": sent, "as": status_map[sent]})
    return None, Step("unknown_status", {"code": sent}) if sent else Step("no_status")
