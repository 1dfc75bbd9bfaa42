"""The help: every word that a page can say is explained, in the words of the coordinator's guide."""

from __future__ import annotations

import html
from dataclasses import replace
from decimal import Decimal

import pytest
from webrun import CHECKOUT, WebRun

from adapter import labels
from adapter.model import Protocol, Reason
from adapter.web.pages import help as page

GUIDE = (CHECKOUT / "docs" / "coordinator.md").read_text(encoding="utf-8")


def guide(name: str) -> str | None:
    """What the guide says of a word, in its tables; None where it is silent."""
    for line in GUIDE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and cells[0].split(":")[0].strip("`") == name:
            return cells[1].replace("`", "")
    return None


@pytest.mark.parametrize("name", list(page.STATUSES))
def test_the_page_explains_a_status_in_the_guides_words(name: str) -> None:
    assert page.STATUSES[name] == guide(name)


@pytest.mark.parametrize("reason", [*Reason])
def test_every_reason_of_the_queue_is_explained_and_says_what_to_do(web: WebRun, reason: Reason) -> None:
    happened, helps = page.QUESTIONS[reason]
    said = html.unescape(web.sign_in("viewer").get("/help").text)
    assert happened in said
    assert helps in said
    assert guide(reason) in (happened, None)


def test_every_status_of_the_board_is_explained() -> None:
    assert set(page.STATUSES) == set(labels.STATUSES)


@pytest.mark.parametrize("name", [*page.FLAGS, *page.NO_VALUE])
def test_what_is_explained_has_a_name_of_its_own_on_the_page(name: str) -> None:
    said = (labels.flag if name in page.FLAGS else labels.reason)(name, str)
    assert said != name


def test_windows_units_and_limits_are_those_of_the_protocol(web: WebRun) -> None:
    said = html.unescape(web.sign_in("viewer").get("/help").text)
    assert "Asia/Shanghai" in said
    for visit in web.config.protocol.visits:
        assert f'{visit.label}</th><td class="number">{visit.target_day}</td>' in said
    bilirubin = next(each for each in page.measured(web.config.protocol) if each.id == "TBIL")
    assert (bilirubin.unit, bilirubin.hard) == ("umol/L", "0 – 1500")
    assert "mg/dL" in bilirubin.others
    assert bilirubin.hard in said
    assert bilirubin.others in said


def with_scores(protocol: Protocol) -> Protocol:
    return replace(
        protocol, scores=replace(protocol.scores, clotting="PT", pt_control=Decimal("12.5"), meld="MELD_3_0")
    )


def test_the_settings_of_the_scores_are_those_of_the_protocol(web: WebRun) -> None:
    web.config = replace(web.config, protocol=with_scores(web.config.protocol))
    said = html.unescape(web.sign_in("viewer").get("/help").text)
    assert "MELD 3.0, also from sodium" in said
    assert "a control of 12.5 s" in said
    assert "more than 2 days apart" in said


def test_a_stranger_reads_no_help(web: WebRun) -> None:
    assert web.browser().get("/help", follow_redirects=False).status_code == 303
