from __future__ import annotations

import asyncio

import pytest

from serving.console.api import Api
from serving.console.pages.today import OLD_DATA_S, OLD_MODEL_S, _attention, today
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
