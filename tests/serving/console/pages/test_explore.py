from __future__ import annotations

from urllib.parse import quote

from tests.serving.console.conftest import Browser


def test_a_user_has_a_history_lists_and_segments(browser: Browser) -> None:
    user = quote(browser.sample.user_id, safe="")
    text = browser.get(f"/users/{user}").text
    assert '<ol class="history">' in text
    assert "<option selected>for_you</option>" in text
    assert "<option selected>discover</option>" in browser.get(f"/users/{user}?list=discover").text
    assert "<option selected>for_you</option>" in browser.get(f"/users/{user}?list=none").text


def test_a_user_who_is_not_known_has_no_page(browser: Browser) -> None:
    assert browser.get("/users/nobody").status_code == 404


def test_words_find_items_and_the_beginning_of_an_id_finds_users(browser: Browser) -> None:
    sample = browser.sample
    text = browser.get(f"/explore?q={quote(sample.user_id[:-1], safe='')}").text
    assert f'href="/console/users/{quote(sample.user_id, safe="")}"' in text
    assert 'href="/console/items/' in browser.get("/explore").text


def test_why_an_item_is_listed_or_not(browser: Browser) -> None:
    sample = browser.sample
    item, user = (quote(each, safe="") for each in (sample.item_id, sample.user_id))
    text = browser.get(f"/why?item_id={item}&user_id={user}&placement=popular").text
    assert 'id="answer"' in text
    assert browser.get("/why").status_code == 422
    assert browser.get("/why?item_id=nothing").status_code == 404
