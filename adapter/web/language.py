"""English and Simplified Chinese: gettext catalogues, one for each language but the source's own."""

from __future__ import annotations

import gettext as standard
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_LOCALES = Path(__file__).parent / "locale"
NAMES = {"en": "English", "zh": "简体中文"}
TAGS = {"en": "en", "zh": "zh-Hans"}


@dataclass(frozen=True, slots=True)
class Language:
    """A language of the page. ``code`` names it in the cookie, ``tag`` in the document (BCP 47)."""

    code: str
    tag: str
    name: str
    _catalogue: standard.NullTranslations

    def gettext(self, text: str) -> str:
        """A text in this language; the English one where the catalogue lacks it."""
        return self._catalogue.gettext(text) if text else ""  # to gettext the empty text is its own header

    def ngettext(self, one: str, many: str, count: int) -> str:
        """The same for a text that depends on a number."""
        return self._catalogue.ngettext(one, many, count)


def languages() -> Mapping[str, Language]:
    """Every language of the page, by its code."""
    found = {}
    for code, name in NAMES.items():
        catalogue = standard.translation("adapter", _LOCALES, [code], fallback=code == "en")
        found[code] = Language(code, TAGS[code], name, catalogue)
    return found


def preferred(accepted: str, known: Mapping[str, Language]) -> Language:
    """The language of an Accept-Language header (RFC 9110, 12.5.4); English where it names none of the page's.

    Whoever asks for Chinese of any region is given the Simplified Chinese that there is.
    """
    weighed = []
    for wanted in accepted.split(","):
        tag, _, weight = wanted.partition(";")
        code = tag.strip().lower().partition("-")[0]
        if code in known and (weighs := _weight(weight)) > 0:
            weighed.append((weighs, code))
    return known[max(weighed, key=lambda each: each[0])[1]] if weighed else known["en"]


def _weight(text: str) -> float:
    name, _, value = text.strip().partition("=")
    if not name:
        return 1.0
    try:
        return float(value) if name.strip().lower() == "q" else 0.0
    except ValueError:
        return 0.0
