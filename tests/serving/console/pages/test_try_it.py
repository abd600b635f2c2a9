from __future__ import annotations

import re
from urllib.parse import quote

from serving.api.routes import OPERATIONS
from tests.serving.console.conftest import Browser


def test_every_call_of_the_api_can_be_tried(browser: Browser) -> None:
    offered = set(re.findall(r"<option(?: selected)?>([A-Z]+ /[^<]+)</option>", browser.get("/try").text))
    assert offered == {f"{each.method} {each.path}" for each in OPERATIONS}
    for operation in OPERATIONS:
        reply = browser.get(f"/try?call={quote(f'{operation.method} {operation.path}')}")
        assert reply.status_code == 200
        assert f'data-path="{operation.path}"' in reply.text
        assert ("data-body" in reply.text) == (operation.body is not None)


def test_an_unknown_call_is_the_first_one(browser: Browser) -> None:
    assert 'data-path="/v1/users/{user_id}/recommendations"' in browser.get("/try?call=x").text
