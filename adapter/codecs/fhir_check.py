"""Whether a resource is what its release of FHIR allows, by fhir.resources.

R4 (4.0.1) is read with the models of R4B (4.3.0): Observation, Specimen and Patient have the same elements in both
(R4B 2.9, "R4B changes"). The library's words are not repeated, since some quote what was sent: a fault here names the
element and says in our own words what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Any

from adapter.codecs.fhir_json import Fault, Tree

RELEASES = {"R4": "4.0.1", "R4B": "4.3.0", "R5": "5.0.0"}
_CHECKED = ("Observation", "Specimen")
_ELEMENT = re.compile(r"_?[A-Za-z][A-Za-z0-9]{0,63}")
_LIBRARY_OWN = {"root", "resource_type"}  # what the library puts into a place and FHIR does not know
_WORDS = (
    (re.compile(r".*missing"), "is required and missing"),
    (re.compile(r"extra_forbidden"), "is no element of this release of FHIR"),
    (re.compile(r".*_type|model_validation_format|.*wrong-resource-type"), "is not of the type that FHIR gives it"),
    (re.compile(r".*pattern.*|.*parsing.*|value_error|.*too_(?:long|short)"), "does not have the form that FHIR asks"),
)


def release_of(version: str) -> str | None:
    """``R4``, ``R4B`` or ``R5`` of such a name or of a version number (``4.0.1``); None for any other."""
    for release, number in RELEASES.items():
        if version == release or f"{version}.".startswith(f"{number.rpartition('.')[0]}."):
            return release
    return None


def check(resource: Tree, release: str | None, place: str) -> tuple[Fault, ...]:
    """What keeps an Observation or a Specimen from being valid; other resources are not asked.

    Where no release is known, being valid in R4 or in R5 is enough.
    """
    kind = resource.get("resourceType")
    if kind not in _CHECKED:
        return ()
    found = _faults(resource, kind, release or "R4", place)
    if found and release is None and not _faults(resource, kind, "R5", place):
        return ()
    return found


@cache
def _model(release: str, kind: str) -> Any:
    # The imports take most of a second, which only those pay who read FHIR.
    if release == "R5":
        from fhir.resources import observation as r5_observation
        from fhir.resources import specimen as r5_specimen

        return r5_observation.Observation if kind == "Observation" else r5_specimen.Specimen
    from fhir.resources.R4B import observation, specimen

    return observation.Observation if kind == "Observation" else specimen.Specimen


def _faults(resource: Tree, kind: str, release: str, place: str) -> tuple[Fault, ...]:
    try:
        _model(release, kind).model_validate(resource)
    except Exception as error:  # KeyError and TypeError too: the library's way of saying no to what it does not know
        listed = getattr(error, "errors", None)
        if not callable(listed):
            return (Fault(place, "it holds a resource that FHIR does not know"),)
        return tuple(
            dict.fromkeys(Fault(_where(place, each["loc"]), _words(each["type"])) for each in listed(include_url=False))
        )
    return ()


def _where(place: str, path: Iterable[object]) -> str:
    """The element as FHIRPath writes it, counted from 1 like our locators: ``component[2].valueQuantity``."""
    named = ""
    for part in path:
        if isinstance(part, int):
            named += f"[{part + 1}]"
        elif str(part) not in _LIBRARY_OWN:
            named += f".{part if _ELEMENT.fullmatch(str(part)) else '(an element)'}"
    return f"{place}{named}"


def _words(kind: str) -> str:
    return next((words for pattern, words in _WORDS if pattern.fullmatch(kind)), "is not valid")
