from __future__ import annotations

from typing import Any

import msgspec
import polars as pl
import pytest

from recsys.core.schema import EVENTS
from recsys.data.payloads import parse_payload
from serving.api.event_models import EVENT_SHAPES, Event, EventBatch, GA4Payload, RetailPayload, SegmentPayload
from tests.serving.api.test_event_validation import GA4, RETAIL, SEGMENT


def test_an_event_has_the_columns_of_the_table() -> None:
    assert set(Event.__struct_fields__) == set(EVENTS)
    _, schemas = msgspec.json.schema_components([Event])
    kinds = {pl.String: "string", pl.Float64: "number", pl.Int64: "integer", pl.Datetime: "string"}
    for name, schema in schemas["Event"]["properties"].items():
        option = next((each for each in schema.get("anyOf", ()) if each["type"] != "null"), schema)
        assert option["type"] == kinds[EVENTS[name].base_type()], name
        assert (option.get("format") == "date-time") == (EVENTS[name].base_type() is pl.Datetime), name
    assert schemas["Event"]["required"] == ["item_id", "event"]


@pytest.mark.parametrize(
    ("payload", "shape"),
    [(GA4, GA4Payload), (SEGMENT, SegmentPayload), (RETAIL, RetailPayload)],
    ids=["ga4", "segment", "retail"],
)
def test_payloads_fit_their_documented_shape(payload: dict[str, Any], shape: type[msgspec.Struct]) -> None:
    known = {field.encode_name for field in msgspec.structs.fields(shape)}
    assert msgspec.convert(payload, shape)
    assert set(payload) - {"context"} <= known, "a context is ignored"
    assert parse_payload(payload)


def test_a_batch_decodes_events_of_any_shape() -> None:
    batch = msgspec.convert({"events": [GA4, {"item_id": 1}, None, "x"]}, EventBatch)
    assert batch.events == [GA4, {"item_id": 1}, None, "x"]
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"events": []}, EventBatch)


def test_every_shape_has_a_name_of_its_own() -> None:
    assert len({shape.__name__ for shape in EVENT_SHAPES}) == len(EVENT_SHAPES) == 5
