"""DM: the participants (SDTMIG 3.4, 5.2). No arm, for the study is blinded; no birth date, for it is an identity."""

from __future__ import annotations

from datetime import date

from adapter.export.state import State, Subject
from adapter.export.terms import Terms
from adapter.export.variables import DM, Cell, Dataset
from adapter.rules.match import sex_of


def subjects(state: State, terms: Terms) -> Dataset:
    """One record for each participant; the infusion is both the reference start and the first study treatment."""
    return Dataset(DM, tuple(_record(state, terms, subject) for subject in state.subjects))


def _record(state: State, terms: Terms, subject: Subject) -> dict[str, Cell]:
    person = subject.participant
    infused_at = None if subject.infused is None else subject.infused.text
    ended_on = None if person.ended_on is None else person.ended_on.isoformat()
    died = person.ended_by == "died"
    age = _age(person.birth_date, subject)
    return {
        "STUDYID": state.protocol.trial,
        "DOMAIN": "DM",
        "USUBJID": subject.usubjid,
        "SUBJID": person.study_id,
        "RFSTDTC": infused_at,
        "RFENDTC": ended_on,
        "RFXSTDTC": infused_at,
        "RFPENDTC": ended_on,
        "DTHDTC": ended_on if died else None,
        "DTHFL": "Y" if died else None,
        "SITEID": terms.study.site,
        "AGE": age,
        "AGEU": None if age is None else "YEARS",
        "SEX": sex_of(person.sex or "") or "U",
        "COUNTRY": terms.study.country,
    }


def _age(birth_date: str | None, subject: Subject) -> int | None:
    """Whole years on the day of infusion."""
    if birth_date is None or subject.infused is None:
        return None
    born, on = date.fromisoformat(birth_date), subject.infused.on
    return on.year - born.year - ((on.month, on.day) < (born.month, born.day))
