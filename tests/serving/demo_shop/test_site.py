from __future__ import annotations

import json
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from recsys.core.errors import ConfigError
from serving.demo_shop.site import FOLDER, MAX_COOKIE_CHARS, MAX_FORM_BYTES, money
from serving.http.static import PAGE_HEADERS
from serving.runtime.settings import load_settings
from tests.serving.conftest import Client, client_of
from tests.shop import CASES, PHONES, WEEKLY_ITEM

HOME = "/demo-shop"
EVIL = '<script>window.hacked=1</script>"\' onload="x'


@pytest.fixture(scope="module")
def shop(shop_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    store = tmp_path_factory.mktemp("shop") / "store.sqlite"
    with client_of(shop_models, demo_shop=True, store=store) as client:
        yield client


def get(shop: Client, path: str, **headers: str) -> httpx.Response:
    shop.forget()
    return shop.request("GET", path, headers=headers)


def post(shop: Client, path: str, cookie: str = "", **form: str) -> httpx.Response:
    shop.forget()
    return shop.request("POST", path, data=form, headers={"Cookie": cookie})


def cookie_of(response: httpx.Response) -> str:
    return response.headers["set-cookie"].partition(";")[0]


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attrs for tag, attrs in self.tags if tag == name]


def product_path(item_id: str) -> str:
    return f"{HOME}/products/{quote(item_id, safe='')}"


PAGES = [HOME, f"{HOME}?department=none", product_path(PHONES[0]), product_path(WEEKLY_ITEM), f"{HOME}/basket"]


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_page_is_complete_in_both_languages(shop: Client, path: str, language: str) -> None:
    page = get(shop, path, **{"Accept-Language": f"{language}-XX,fr;q=0.5", "Cookie": "basket=i=case-3"})
    assert page.status_code == 200
    assert {name: page.headers[name] for name in PAGE_HEADERS} == PAGE_HEADERS
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["content-language"] == language
    tags = Tags(page.text)
    assert tags.all("html")[0]["lang"] == {"en": "en", "zh": "zh-CN"}[language]
    assert all(each["type"] == "module" and each["src"] for each in tags.all("script"))
    assert len(tags.all("h1")) == 1
    assert not tags.all("style")
    assert not [attrs for _, attrs in tags.tags if any(name.startswith("on") or name == "style" for name in attrs)]
    assert tags.all("rec-list")
    for each in (*tags.all("script"), *tags.all("link"), *tags.all("img")):
        url = each.get("src") or each.get("href") or ""
        assert url.startswith(("/", "data:"))
        assert url.startswith("data:") or shop.get(url).status_code == 200


def test_both_languages_have_the_same_texts() -> None:
    texts = json.loads((FOLDER / "texts.json").read_text(encoding="utf-8"))
    assert list(texts["en"]) == list(texts["zh"])
    assert all(text.strip() for each in texts.values() for text in each.values())


def test_a_chosen_language_is_kept(shop: Client) -> None:
    chosen = get(shop, f"{HOME}?lang=zh", **{"Accept-Language": "en"})
    assert chosen.headers["content-language"] == "zh"
    kept = get(shop, HOME, **{"Accept-Language": "en", "Cookie": cookie_of(chosen)})
    assert kept.headers["content-language"] == "zh"
    assert get(shop, f"{HOME}?lang=tlh").headers["content-language"] == "en"


def test_a_product_page_asks_for_what_goes_with_it(shop: Client) -> None:
    lists = Tags(get(shop, product_path(WEEKLY_ITEM)).text).all("rec-list")
    assert [(each["placement"], each.get("item")) for each in lists] == [
        ("complementary", WEEKLY_ITEM),
        ("similar", WEEKLY_ITEM),
        ("for_you", None),
    ]
    shelf = {"placement": "for_you", "filter": lists[2]["filter"], "limit": 100}
    answer = shop.request("POST", "/v1/pages", json={"shelves": [shelf]}).json()
    listed = [item["item_id"] for item in answer["shelves"][0]["items"]]
    assert listed
    assert WEEKLY_ITEM not in listed


def test_a_department_filters_its_lists(shop: Client) -> None:
    tags = Tags(get(shop, HOME).text)
    link = next(each["href"] for each in tags.all("a") if "department=" in str(each["href"]))
    lists = Tags(get(shop, str(link)).text).all("rec-list")
    body: dict[str, Any] = {"shelves": [{"placement": each["placement"], "filter": each["filter"]} for each in lists]}
    answer = shop.request("POST", "/v1/pages", json=body)
    assert answer.status_code == 200
    assert any(shelf["items"] for shelf in answer.json()["shelves"])


@pytest.mark.parametrize("path", ["products/none", "products/", "pictures/none", "products/..%2f..%2fetc%2fpasswd"])
def test_what_is_not_in_the_catalog_is_a_404(shop: Client, path: str) -> None:
    assert get(shop, f"{HOME}/{path}").status_code == 404


def test_a_basket_is_filled_emptied_and_bought(shop: Client) -> None:
    cookie = ""
    for item_id in (PHONES[0], WEEKLY_ITEM, CASES[0], PHONES[0]):
        added = post(shop, f"{HOME}/basket", cookie, add=item_id)
        assert (added.status_code, added.headers["location"]) == (303, f"{HOME}/basket")
        cookie = cookie_of(added)
        assert "HttpOnly" in added.headers["set-cookie"]
        assert "SameSite=lax" in added.headers["set-cookie"]
    page = get(shop, f"{HOME}/basket", Cookie=cookie)
    lists = Tags(page.text).all("rec-list")
    assert json.loads(lists[0]["items"] or "") == [WEEKLY_ITEM, CASES[0], PHONES[0]]
    cookie = cookie_of(post(shop, f"{HOME}/basket", cookie, remove=WEEKLY_ITEM))
    assert '<b id="count">2</b>' in get(shop, HOME, Cookie=cookie).text
    bought = post(shop, f"{HOME}/basket", cookie, buy="1")
    assert bought.headers["location"] == f"{HOME}/basket?bought=1"
    assert '<b id="count">0</b>' in get(shop, bought.headers["location"], Cookie=cookie_of(bought)).text


def test_a_basket_fits_into_a_cookie(shop: Client) -> None:
    cookie = ""
    for n in range(12):
        cookie = cookie_of(post(shop, f"{HOME}/basket", cookie, add=f"{n}" + "茶" * 80))
    assert len(cookie) <= MAX_COOKIE_CHARS + len("basket=") + 2
    assert get(shop, f"{HOME}/basket", Cookie=cookie).status_code == 200


@pytest.mark.parametrize("cookie", ["basket=%FF%FE", "basket=x", "basket=i=%00", "consent=x; lang=<x>", 'basket="i=a'])
def test_a_cookie_of_somebody_else_breaks_nothing(shop: Client, cookie: str) -> None:
    page = get(shop, f"{HOME}/basket", Cookie=cookie)
    assert page.status_code == 200
    assert Tags(page.text).all("html")[0]["data-rec-consent"] == "unasked"


def test_consent_is_asked_for_given_and_taken_back(shop: Client) -> None:
    for answer in ("granted", "denied", "unasked"):
        cookie = cookie_of(post(shop, f"{HOME}/consent", consent=answer))
        page = Tags(get(shop, HOME, Cookie=cookie).text)
        assert page.all("html")[0]["data-rec-consent"] == answer
    assert "set-cookie" not in post(shop, f"{HOME}/consent", consent="perhaps").headers


def test_forms_of_other_sites_and_large_ones_are_refused(shop: Client) -> None:
    for site, status in (("cross-site", 403), ("same-site", 403), ("same-origin", 303)):
        answer = shop.request("POST", f"{HOME}/basket", data={"add": "x"}, headers={"Sec-Fetch-Site": site})
        assert answer.status_code == status
    assert post(shop, f"{HOME}/basket", add="x" * MAX_FORM_BYTES).status_code == 413


def test_texts_of_the_catalog_are_escaped(shop: Client) -> None:
    fields = {"title": EVIL, "brand": EVIL, "tags": [EVIL], "category": [EVIL]}
    assert shop.request("PATCH", f"/v1/items/{PHONES[1]}", json=fields).status_code == 200
    for path, cookie in ((product_path(PHONES[1]), ""), (f"{HOME}/basket", f"basket=i={PHONES[1]}")):
        page = get(shop, path, Cookie=cookie)
        assert "<script>window" not in page.text
        assert EVIL in unescape(page.text)
        assert not [attrs for _, attrs in Tags(page.text).tags if "onload" in attrs]


def test_prices_are_written_plainly() -> None:
    assert money(1234.5, "USD") == "1,234.50 USD"
    assert money(0.0, None) == "0.00"
    assert money(None, "USD") == ""


def test_the_shop_is_closed_without_a_bundle(tmp_path: Path) -> None:
    with client_of(tmp_path, demo_shop=True) as client:
        page = client.get(HOME)
        assert (page.status_code, page.headers["content-type"]) == (503, "text/html; charset=utf-8")


def test_the_shop_is_off_unless_asked_for_and_with_keys(client: Client) -> None:
    assert client.get(HOME).status_code == 404
    with pytest.raises(ConfigError, match="demo shop calls the API without a key"):
        load_settings(demo_shop=True, keys=Path("keys.json"))
