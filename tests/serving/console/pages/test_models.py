from __future__ import annotations

from recsys.bundles.registry import current_version
from tests.serving.console.conftest import Browser


def test_the_active_bundle_cannot_be_activated_again(browser: Browser) -> None:
    settings = browser.client.app.state.app_context.settings
    text = browser.get("/models").text
    assert str(current_version(settings.models)) in text
    assert "/activate" not in text


def test_a_bundle_that_does_not_exist_is_not_activated(browser: Browser) -> None:
    assert browser.post("/models/none/activate", {}).status_code == 404
