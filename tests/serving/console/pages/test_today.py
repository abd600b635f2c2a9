from __future__ import annotations

import asyncio
from datetime import date
from typing import Any

import pytest

from serving.console.api import Api
from serving.console.pages.today import N_DAYS, OLD_DATA_S, OLD_MODEL_S, _attention, _by_placement, today
from serving.console.view import View
from serving.console.words import Words
from tests.serving.console.conftest import Browser


def test_the_page_states_how_old_models_and_data_are(browser: Browser) -> None:
    content = asyncio.run(today(View(Api(browser.client.app.state.app_context, None), Words("en"))))
    assert content["is_data_clock"]
    assert content["model_age_s"] >= 0
    assert len(content["attention"]) == 1, "the bundle of the tests is old"


@pytest.mark.parametrize(
    ("error", "model_age_s", "data_age_s", "n"),
    [(None, 0.0, 0.0, 0), ("refused", 0.0, 0.0, 1), (None, OLD_MODEL_S + 1.0, 0.0, 1), ("x", 1e9, OLD_DATA_S + 1.0, 3)],
)
def test_what_is_old_or_refused_needs_attention(
    error: str | None, model_age_s: float, data_age_s: float, n: int
) -> None:
    view = View(None, Words("zh"))  # type: ignore[arg-type]
    assert len(_attention(view, {"last_error": error}, model_age_s, data_age_s)) == n


def day(placement: str, when: str, lists: int, clicks: int, revenue: dict[str, float]) -> dict[str, Any]:
    counts = {"impressions": 10 * lists, "clicks": clicks, "carts": 1, "purchases": 1}
    return {"placement": placement, "day": when, "lists": lists, **counts, "revenue": revenue}


def test_days_are_summed_by_list() -> None:
    days = [
        day("a", "2026-01-02", 1, 1, {"CNY": 2.0}),
        day("b", "2026-01-02", 5, 0, {}),
        day("a", "2026-01-03", 2, 2, {"CNY": 1.0, "USD": 4.0}),
    ]
    first, second = _by_placement(days, date(2026, 1, 3))
    assert (first["name"], first["ctr"], first["by_day"][-2:]) == ("b", 0.0, [5, 0])
    assert (second["lists"], second["ctr"], dict(second["revenue"])) == (3, 0.1, {"CNY": 3.0, "USD": 4.0})
    assert second["by_day"] == [0] * (N_DAYS - 2) + [1, 2]
    assert _by_placement([], date(2026, 1, 3)) == []
