from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from tests.training.report.pages import stands_alone
from training.growth.alerts import Alert
from training.growth.config import GrowthConfig
from training.growth.periods import Observation
from training.growth.reports import ShopFacts
from training.report.growth_page import Page, Section, Tile, last_day, page_of, write_page
from training.report.words import LANGUAGES, Language, Words

HOSTILE = "<script>alert('$x')</script> & 茶"
OBSERVED = Observation(date(2026, 3, 2), date(2026, 4, 1))
FACTS = ShopFacts(OBSERVED, OBSERVED.last(28), "UTC", "purchase", {}, 3, "CNY", 0, True, GrowthConfig())


def page(words: Words, *alerts: Alert) -> Page:
    section = Section("one", HOSTILE, "<svg></svg>", HOSTILE, lines=(HOSTILE,))
    return page_of(
        "growth_title", words, FACTS, alerts, tiles=[Tile(HOSTILE, "1")], sections=[section], missing=[], definitions=[]
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_hostile_text_is_shown_and_never_run(language: Language, tmp_path: Path) -> None:
    words = Words(language)
    write_page(page(words), words, tmp_path / "page.html")
    shown = stands_alone((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert sum(HOSTILE in each for each in shown.text) == 4
    assert words("alerts_none") in " ".join(shown.text)


def test_equal_figures_are_equal_bytes_and_a_page_is_replaced(tmp_path: Path) -> None:
    words = Words("en")
    for name in ("a", "b", "b"):
        write_page(page(words), words, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(("n", "title"), [(0, "No figure"), (1, "1 figure needs"), (2, "2 figures need")])
def test_alerts_are_counted_and_told(n: int, title: str, tmp_path: Path) -> None:
    alert = Alert("cart_loss", "", 0.4, 0.3, 99, date(2026, 3, 9))
    words = Words("en")
    found = page(words, *[alert] * n)
    assert found.alerts_title.startswith(title)
    write_page(found, words, tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8").count("since 9 Mar 2026") == n


def test_a_page_names_its_days_to_the_last_one() -> None:
    found = page(Words("en"))
    assert found.subtitle == "2 Mar 2026 to 31 Mar 2026 · UTC · 3 people"
    assert "28 days: 4 Mar 2026 to 31 Mar 2026" in found.window
    assert last_day(date(2026, 3, 1)) == date(2026, 2, 28)
    assert replace(found, tiles=()).tiles == ()
