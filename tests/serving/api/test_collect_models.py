from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from recsys.data.payloads import SHAPES as ALL_SHAPES
from serving.api.collect_models import BODIES, SHAPES, CollectResult, ShopifyPayload, Source, media_type_of
from serving.api.events import EventResult
from tests.recsys.data.test_shopify_pixel import VARIANT, event


def test_every_source_has_a_shape() -> None:
    assert set(SHAPES) == set(get_args(Source))
    assert set(SHAPES.values()) <= set(ALL_SHAPES)


def test_a_pixels_event_fits_its_documented_shape() -> None:
    payload = event("product_viewed", {"productVariant": VARIANT}, customer={"id": "7"})
    known = {field.encode_name for field in msgspec.structs.fields(ShopifyPayload)}
    assert msgspec.convert(payload, ShopifyPayload)
    assert set(payload) - {"context"} <= known, "a context is ignored"
    assert ShopifyPayload in BODIES


def test_results_have_the_fields_of_events_results() -> None:
    assert set(EventResult.__struct_fields__) < set(CollectResult.__struct_fields__)


@pytest.mark.parametrize(
    ("content_type", "media_type"),
    [
        (b"text/plain", "text/plain"),
        (b"Text/Plain; charset=utf-8", "text/plain"),
        (b"application/json", "application/json"),
        (b"text/html", "application/json"),
        (b"", "application/json"),
    ],
)
def test_plain_text_is_read_where_it_is_sent(content_type: bytes, media_type: str) -> None:
    assert media_type_of(((b"content-type", content_type),)) == media_type
