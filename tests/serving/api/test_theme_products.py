from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from serving.api.theme_products import MAX_PRODUCTS, PLACEMENTS, number_or_text
from tests.serving.conftest import Client, client_of
from tests.serving.runtime.test_impressions import flushed
from tests.shop import PHONES, VARIANTS

PATH = "/recommendations/products.json"


@pytest.fixture
def shop(shop_models: Path, tmp_path: Path) -> Iterator[Client]:
    with client_of(shop_models, store=tmp_path / "store.sqlite") as client:
        yield client


def ask(shop: Client, product_id: str, more: str = "") -> dict[str, Any]:
    response = shop.get(f"{PATH}?product_id={quote(product_id, safe='')}{more}")
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


@pytest.mark.parametrize("intent", PLACEMENTS)
def test_the_products_are_those_of_the_placement(shop: Client, intent: str) -> None:
    products = ask(shop, PHONES[0], f"&intent={intent}&limit=4")["products"]
    path = f"/v1/items/{PHONES[0]}/recommendations?limit=4&log=false&placement={PLACEMENTS[intent]}"  # type: ignore[index]
    items = [item["item_id"] for item in shop.get(path).json()["items"]]
    assert [product["id"] for product in products] == [VARIANTS.get(item_id, item_id) for item_id in items]
    assert products


def test_a_product_has_the_fields_of_the_catalog(shop: Client) -> None:
    (case,) = ask(shop, PHONES[0], "&intent=complementary&limit=1")["products"]
    fields = {
        "title": "Case",
        "price": 12.34,
        "list_price": 20,
        "brand": "Hull",
        "category": ["Phones", "Cases"],
        "tags": ["soft"],
        "attributes": {"handle": "case/1", "image": "//cdn.example/case.jpg", "description": "<b>soft</b>"},
    }
    changed = shop.request("PUT", f"/v1/items/{quote(case['id'], safe='')}", json=fields)
    assert changed.status_code == 200, changed.text
    answer = ask(shop, PHONES[0], "&intent=complementary&limit=10")
    product = next(each for each in answer["products"] if each["id"] == case["id"])
    assert (product["title"], product["vendor"], product["type"], product["tags"]) == (
        "Case",
        "Hull",
        "Cases",
        ["soft"],
    )
    assert (product["price"], product["price_min"], product["price_max"]) == (1234, 1234, 1234)
    assert (product["compare_at_price"], product["available"], product["price_varies"]) == (2000, True, False)
    assert (product["handle"], product["description"]) == ("case/1", "<b>soft</b>")
    assert product["images"] == [product["featured_image"]] == ["//cdn.example/case.jpg"]
    url = urlsplit(product["url"])
    assert url.path == "/products/case%2F1"
    tracking = {name: value for name, (value,) in parse_qs(url.query).items()}
    assert tracking["pr_rec_id"] == answer["recommendation_id"]
    assert (tracking["pr_ref_pid"], tracking["pr_rec_pid"]) == (PHONES[0], case["id"])


def test_variants_are_one_product(shop: Client) -> None:
    white = {"title": "White", "price": 99.5, "item_group_id": "phone-2"}
    assert shop.request("PATCH", "/v1/items/phone-2-white", json=white).status_code == 200
    products = ask(shop, PHONES[0], "&limit=10")["products"]
    assert len({product["id"] for product in products}) == len(products)
    phone = next(product for product in products if product["id"] == "phone-2")
    assert {variant["id"] for variant in phone["variants"]} == {"phone-2-black", "phone-2-white"}
    assert phone["price_varies"] is True
    assert phone["price_min"] == min(variant["price"] for variant in phone["variants"])
    by_group = ask(shop, "phone-2")
    assert by_group["products"]
    assert "phone-2" not in {product["id"] for product in by_group["products"]}


def test_a_list_counts_as_shown_unless_it_is_a_preview(shop: Client) -> None:
    answer = ask(shop, PHONES[0], "&user_id=u010")
    ask(shop, PHONES[0], "&log=false")
    (entry,) = flushed(shop)
    assert entry.key == answer["recommendation_id"]
    assert (entry.body["placement"], entry.body["user_id"]) == ("similar", "u010")


@pytest.mark.parametrize(
    ("item_id", "found"), [("700", 700), ("007", "007"), ("9" * 20, "9" * 20), ("²", "²"), ("", ""), ("a1", "a1")]
)
def test_ids_that_are_numbers_are_numbers(item_id: str, found: int | str) -> None:
    assert number_or_text(item_id) == found


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ("?product_id=nothing", 404, None),
        ("", 422, "product_id"),
        ("?product_id=phone-1&limit=0", 422, "limit"),
        (f"?product_id=phone-1&limit={MAX_PRODUCTS + 1}", 422, "limit"),
        ("?product_id=phone-1&intent=best", 422, "intent"),
        ("?product_id=phone-1&section_id=related", 422, "section_id"),
    ],
)
def test_wrong_calls_are_refused(shop: Client, query: str, status: int, field: str | None) -> None:
    response = shop.get(f"{PATH}{query}")
    assert response.status_code == status, response.text
    errors = response.json().get("errors") or []
    assert [error["field"] for error in errors if field] == ([] if field is None else [field])


def test_products_are_found_after_a_change_of_the_catalog(shop: Client) -> None:
    item = quote(PHONES[1], safe="")
    assert shop.request("PATCH", f"/v1/items/{item}", json={"price": 1.0}).status_code == 200
    group = VARIANTS.get(PHONES[0], PHONES[0])
    assert ask(shop, group)["products"]
    assert shop.get(f"{PATH}?product_id=nothing").status_code == 404
