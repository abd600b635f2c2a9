from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.training.growth.planted import START, event, write_tables
from tests.training.report.pages import stands_alone
from training.growth.config import GrowthConfig
from training.growth.life_cycles import StageFigures
from training.growth.reports import RetentionReport, retention_report
from training.report.growth_page import write_page
from training.report.retention_page import retention_page
from training.report.words import LANGUAGES, Language, Words


def shop(folder: Path, *, channels: bool = True) -> RetentionReport:
    """Every day one starts, in one of two channels; two of three return after nine days."""
    rows: list[dict[str, Any]] = []
    for n in range(200):
        columns = {"channel": f"<b>{n % 4 // 2}</b>"} if channels else {}
        rows.append(event(f"u{n}", "purchase", n, **columns))
        rows += [event(f"u{n}", "purchase", n + 9, **columns)] * (n % 3 > 0)
    return retention_report(write_tables(folder, rows), GrowthConfig(), until=(START + timedelta(days=199)).date())


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> RetentionReport:
    return shop(tmp_path_factory.mktemp("shop"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_stands_alone_and_states_its_findings(
    report: RetentionReport, language: Language, tmp_path: Path
) -> None:
    words = Words(language)
    write_page(retention_page(report, words), words, tmp_path / "page.html")
    shown = stands_alone((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert shown.ids == [
        *("cohorts-month", "cohorts-week", "cohorts-day", "ages", "repurchase", "balance", "churn"),
    ]
    assert shown.tags.count("svg") == 7
    assert "<b>0</b>" in shown.text, "the name of a curve"


def test_the_findings_in_words(report: RetentionReport) -> None:
    titles = {each.name: each.title for each in retention_page(report, Words("en")).sections}
    found = report.cohorts["month"].by_age[1].value
    assert titles["cohorts-month"].startswith(f"{100 * found:.1f}% of new customers order again")
    assert titles["repurchase"] == "Half of the customers order again within 9 days"
    latest = report.balance[-1]
    assert f"{latest.after:,} in" in titles["balance"]


def test_ten_people_of_a_week_have_a_page(tmp_path: Path) -> None:
    rows = [event(f"u{n}", "purchase", n % 7) for n in range(10)]
    report = retention_report(write_tables(tmp_path / "shop", rows), GrowthConfig())
    page = retention_page(report, Words("en"))
    assert {each.name for each in page.sections} == {"cohorts-week", "cohorts-day"}
    assert page.sections[0].title == "No week cohort is old enough yet"
    assert any("shorter than 90 days" in line for line in page.missing)


def test_visits_of_sessions_are_told_as_such(tmp_path: Path) -> None:
    rows = [event("", "view_item", n, user_id=None, session_id=f"s{n}") for n in range(20)]
    report = retention_report(write_tables(tmp_path / "shop", rows), GrowthConfig())
    page = retention_page(report, Words("en"))
    assert page.sections == (), "nobody can come back"
    missing = " ".join(page.missing)
    assert "each session counts as a person" in missing
    assert "who comes back to look at something" in missing


def test_a_till_without_people_has_an_empty_page(tmp_path: Path) -> None:
    rows = [event("", "purchase", n, user_id=None, basket_id=f"b{n}") for n in range(20)]
    report = retention_report(write_tables(tmp_path / "shop", rows), GrowthConfig())
    page = retention_page(report, Words("en"))
    assert page.sections == ()
    assert [tile.value for tile in page.tiles] == ["0"]


def test_life_cycles_are_shown_where_they_are_known(report: RetentionReport) -> None:
    found = (StageFigures("active", 30, 3, 1, 0.25, 900.0), StageFigures("new_week", 10, 0, 0, None, None))
    section = retention_page(replace(report, life_cycles=found), Words("en")).sections[-1]
    assert section.title == "75.0% of the people are in the stage: active"
    assert section.table.rows == (
        ("active", "30", "3", "1", "25.0%", "900"),
        ("new, first week", "10", "0", "0", "", ""),
    )


def test_half_may_never_return(tmp_path: Path) -> None:
    rows = [event(f"u{n}", "purchase", 30 + n / 10) for n in range(100)]
    rows += [event(f"u{n}", "purchase", 35 + n / 10) for n in range(20)]
    rows += [event("x", "purchase", day) for day in (0, 200)]
    report = retention_report(write_tables(tmp_path / "shop", rows), GrowthConfig())
    titles = {each.name: each.title for each in retention_page(report, Words("en")).sections}
    assert titles["repurchase"] == "20.0% order again within 90 days"
