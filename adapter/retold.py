"""Texts of parts that speak English alone (codecs, store, trail), said again in the reader's language.

Such a part writes a text once, into a message's fault or into a record that nobody alters; a page that shows it finds
it here by its form. What no form fits is shown as it was written: it is a person's or a laboratory's.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from adapter import labels

# ``{name}`` stands for what the text was written with.
FORMS = (
    # where a fault lies
    "the document",
    "byte {n}",
    "line {n} ({segment}), byte {m}",
    "line {n}, column {m}",
    "line {n}, byte {m}",
    "line {n}",
    "record {n}",
    # what is the matter with a message
    "No MSH segment was found",
    "{field} is not a field separator",
    "{field} is empty: no encoding characters",
    "{field} does not hold encoding characters",
    "{field} uses one character for two purposes",
    "MSH-18 names a character set that is not known",
    "the bytes are not of the character set {name}",
    "it is larger than {n} MiB",
    "the bytes are not UTF-8",
    "it is not a JSON object",
    "the text is not JSON",
    "a number has too many digits",
    "a number's exponent is beyond reading",
    "{name} is no number of JSON",
    "an object gives one name twice",
    "an escape names half a character",
    "it is nested deeper than {n}",
    "it is not a Bundle of FHIR",
    "it is not a resource of FHIR: there is no resourceType",
    "it holds several Observations",
    "it holds neither an Observation nor a Patient",
    "it holds a resource that FHIR does not know",
    "there are more than {n}",
    "is given twice",
    "is not an object",
    "gives its resource twice",
    "is a Bundle within too many others",
    "is required and missing",
    "is no element of this release of FHIR",
    "is not of the type that FHIR gives it",
    "does not have the form that FHIR asks",
    "is not valid",
    "the reader failed",
    "source {source} is no longer in the configuration",
    # what is the matter with a value
    "the text is not one number with a decimal point",
    "several values where one belongs",
    "several values in one field",
    "several components where one number belongs",
    "both a value and a reason why there is none",
    "data type {kind} holds no number",
    "{kind} holds no number",
    "the comparator is none that a number is read with",
    "the number is too large or too small to be a result",
    "what stands in its place is no number",
    "a ratio or a range is not one number",
    "SN.1 is not a comparator",
    "a coded value with a code and a text",
    # what is the matter with the rules, or with the trail
    "{scope} cannot be derived: {error} in the rules; nothing was changed, please report this line",
    "put in between; the chain counts in whole numbers",
    "put in before the first record",
    "record {n} before it is missing",
    "records {n} to {m} are missing",
    "altered; its content does not give its hash",
    "does not follow the record before it",
    "the head noted earlier is not in the chain: its end was cut off, or the chain was written anew",
    # what a record of the trail is of
    "received",
    "bytes erased",
    "raw bytes shown",
    "derived",
    "derived rows cleared",
    "value changed",
    "score computed anew",
    "review item opened",
    "review item reopened",
    "review item closed",
    "decided",
    "ruleset adopted",
    "reprocessed",
    "exported",
    "participant enrolled",
    "participant changed",
    "assessed",
    "assessment corrected",
    "assessment taken back",
    "identity viewed",
    "signed in",
    "signed out",
    "sign-in refused",
    "password refused",
    "page refused",
    "form refused",
    "account added",
    "account changed",
    "store reopened",
    # by whom
    "a name without an account",
    # why, where no person was asked
    "a message of a participant",
    "derived from what was received",
    "mappings or rules differ from those in force",
    "mappings or rules were changed",
    "no result",
    "computed",
    "it failed",
    "entered",
    "enrolled",
    "withdrawn",
    "name and password",
    "wrong name or password",
    "the name is locked",
    "asked for",
    "asked for on the page",
    "asked for on the page, for review item {item}",
    "review item {item} on the page",
    "story of {cell} on the page",
    "trace of {cell}",
    "export {format}",
    "needs the role {role}",
    "the form carried no token of this session",
    "changed by its owner",
    "an administrator added it",
    "on the page",
    "on the command line",
)


def retold(text: str, translate: Callable[[str], str]) -> str:
    """A text in the language of ``translate``; one that begins with a place, ``place: what is the matter``, too."""
    if (said := _fitted(text, translate)) is not None:
        return said
    place, colon, rest = text.partition(": ")
    if colon and (said := _fitted(rest, translate)) is not None:
        where = _fitted(place, translate) or place
        return translate("{place}: {fault}").format(place=where, fault=said)
    return text


def _fitted(text: str, translate: Callable[[str], str]) -> str | None:
    if text in _PLAIN:
        return translate(text)
    for form, pattern in _PATTERNS:
        if found := pattern.fullmatch(text):
            facts = {name: labels.role(fact, translate) for name, fact in found.groupdict().items()}
            return translate(form).format_map(facts)
    return None


_PLAIN = frozenset(form for form in FORMS if "{" not in form)
_PATTERNS = tuple(
    (form, re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^:;]+?)", re.escape(form)))) for form in FORMS if "{" in form
)
