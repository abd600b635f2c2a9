from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from starlette.exceptions import HTTPException

from serving.console.api import Api
from serving.problems import InvalidRequestError
from serving.runtime.auth import new_key
from tests.serving.console.conftest import Browser

VIEWER = new_key("a", ("recommend",), datetime(2026, 1, 1, tzinfo=UTC))[0]
LIST = "/v1/users/{user_id}/recommendations"


def api(browser: Browser, key: object = None) -> Api:
    return Api(browser.client.app.state.app_context, key)  # type: ignore[arg-type]


@pytest.mark.parametrize("user_id", ["u/1 %", "纸 巾+&=?"])
def test_a_call_gives_what_the_http_call_gives(browser: Browser, user_id: str) -> None:
    found = asyncio.run(api(browser).get(LIST, user_id=user_id, placement="for_you", limit=3, log="false"))
    assert found["placement"] == "for_you"
    assert found["fallback_used"]
    assert len(found["items"]) == 3


def test_a_call_is_checked_as_over_http(browser: Browser) -> None:
    with pytest.raises(InvalidRequestError, match="limit is 0"):
        asyncio.run(api(browser).get(LIST, user_id="u", limit=0))
    with pytest.raises(InvalidRequestError, match="unknown parameter"):
        asyncio.run(api(browser).get(LIST, user_id="u", colour="red"))


def test_a_key_opens_what_its_scopes_allow(browser: Browser) -> None:
    own = api(browser, VIEWER)
    assert own.allows("recommend")
    assert not own.allows("admin")
    assert asyncio.run(own.get(LIST, user_id="u", log="false"))["items"]
    with pytest.raises(HTTPException) as caught:
        asyncio.run(own.call("POST", "/v1/models/{version}/activate", {"version": "x"}))
    assert caught.value.status_code == 403
