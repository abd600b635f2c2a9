from __future__ import annotations

import re

from tests.serving.console.conftest import Browser


def test_a_preview_is_the_list_of_the_api_and_is_not_counted_as_shown(browser: Browser) -> None:
    sample = browser.sample
    text = browser.get(f"/lists/for_you?user={sample.user_id}").text
    listed = re.findall(r'class="title" href="/console/items/([^"]+)"', text)
    path = f"/v1/users/{sample.user_id}/recommendations?placement=for_you&limit=12&log=false&fields=title"
    items = browser.client.get(path).json()["items"]
    assert len(listed) == len(items) > 0
    assert all(each["title"] in text for each in items if each.get("title") and each["title"].isascii())


def test_a_filter_narrows_the_preview_and_a_wrong_one_is_explained(browser: Browser) -> None:
    assert browser.get("/lists/for_you?filter=item_id%3D'nothing'").status_code == 200
    reply = browser.get("/lists/for_you?filter=price%20%3C%3C%203")
    assert reply.status_code == 422
    assert 'id="preview"' in reply.text


def test_a_list_for_items_begins_with_the_best_seller(browser: Browser) -> None:
    assert 'name="item"' in browser.get("/lists/similar").text
    assert 'name="item"' not in browser.get("/lists/for_you").text
