from __future__ import annotations

from typing import Any

import pytest

from serving.api.routes import OPERATIONS, ItemList, UserList
from serving.http.openapi import document
from serving.http.operation import Route
from tests.serving.conftest import Client

ITEM_PATH = "/v1/items/{item_id}/recommendations"
USER_PATH = "/v1/users/{user_id}/recommendations"


@pytest.fixture
def openapi(client: Client) -> dict[str, Any]:
    body: dict[str, Any] = client.get("/openapi.json").json()
    return body


def parameters(openapi: dict[str, Any], path: str) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in openapi["paths"][path]["get"]["parameters"]}


def operations(openapi: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for path in openapi["paths"].values() for operation in path.values()]


def test_every_route_of_the_app_is_listed(client: Client, openapi: dict[str, Any]) -> None:
    assert set(openapi["paths"]) == {each.path for each in client.app.router.routes if isinstance(each, Route)}
    assert openapi == client.app.openapi()
    assert openapi["servers"] == [{"url": "/"}]


def test_every_parameter_is_listed_and_described(openapi: dict[str, Any]) -> None:
    for path, struct in ((ITEM_PATH, ItemList), (USER_PATH, UserList)):
        listed = parameters(openapi, path)
        assert set(listed) == set(struct.__struct_fields__)
        assert all(each["description"] for each in listed.values())
    assert [each["in"] for each in parameters(openapi, ITEM_PATH).values()] == ["path", *["query"] * 12]
    assert "fallback" in parameters(openapi, USER_PATH)["user_id"]["description"]


def test_schemas_of_parameters(openapi: dict[str, Any]) -> None:
    listed = parameters(openapi, ITEM_PATH)
    assert listed["limit"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 100}
    assert listed["as_of"]["schema"] == {"type": "string", "format": "date-time"}
    of_items = ["complementary", "bought_together", "similar", "viewed_together", "item_sets"]
    assert listed["placement"]["schema"]["enum"] == of_items
    assert listed["item_id"]["schema"]["maxLength"] == 256
    assert (listed["item_id"]["required"], listed["limit"]["required"]) == (True, False)
    assert "popular" in parameters(openapi, USER_PATH)["placement"]["schema"]["enum"]


def test_statuses_and_schemas(openapi: dict[str, Any]) -> None:
    responses = openapi["paths"][ITEM_PATH]["get"]["responses"]
    assert list(responses) == ["200", "401", "403", "404", "414", "422", "429", "431", "503"]
    of_events = openapi["paths"]["/v1/events"]["post"]["responses"]
    assert list(of_events) == ["200", "401", "403", "408", "413", "414", "415", "422", "429", "431", "503"]
    assert list(openapi["paths"]["/health/live"]["get"]["responses"]) == ["200", "414", "422", "431"]
    assert list(responses["429"]["headers"]) == ["Retry-After", "RateLimit", "RateLimit-Policy"]
    assert {"RateLimit", "RateLimit-Policy", "Recsys-Stale"} == set(responses["200"]["headers"])
    assert "headers" not in openapi["paths"]["/health/live"]["get"]["responses"]["200"]
    assert set(openapi["components"]["headers"]) == {"RateLimit", "RateLimit-Policy"}
    assert list(responses["422"]["content"]) == ["application/problem+json"]
    answer = openapi["components"]["schemas"]["Recommendations"]
    first = ["recommendation_id", "as_of", "next_page_token", "experiments", "placement"]
    assert list(answer["properties"])[:5] == first
    assert "experiments" not in answer["required"]
    explained = openapi["components"]["schemas"]["ExplainedRecommendations"]
    assert list(explained["properties"]) == [*answer["properties"], "explanations"]
    assert "explanations" not in explained["required"]


def test_every_field_of_every_schema_is_described(openapi: dict[str, Any]) -> None:
    for name, schema in openapi["components"]["schemas"].items():
        for field, property_ in schema.get("properties", {}).items():
            assert property_.get("description"), f"{name}.{field}"


def test_every_schema_is_referred_to_and_every_reference_has_a_schema(client: Client, openapi: dict[str, Any]) -> None:
    text = client.get("/openapi.json").text
    named = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert named == set(openapi["components"]["schemas"])


def test_events_and_results_of_a_batch_have_named_schemas(openapi: dict[str, Any]) -> None:
    schemas = openapi["components"]["schemas"]
    options = schemas["EventBatch"]["properties"]["events"]["items"]["anyOf"]
    names = ["Event", "MessageEvent", "GA4Payload", "SegmentPayload", "RetailPayload"]
    assert [option.get("$ref") for option in options[:5]] == [f"#/components/schemas/{name}" for name in names]
    assert schemas["BatchResponseLine"]["properties"]["answer"]["$ref"].endswith("/ExplainedRecommendations")


def test_every_operation_is_described_and_tagged(openapi: dict[str, Any]) -> None:
    assert all(operation["summary"] for operation in operations(openapi))
    assert len({operation["operationId"] for operation in operations(openapi)}) == len(OPERATIONS)
    tags = [tag["name"] for tag in openapi["tags"]]
    assert {tag for operation in operations(openapi) for tag in operation["tags"]} == set(tags)
    assert len(tags) == len(set(tags))


@pytest.mark.parametrize("with_keys", [False, True])
def test_keys_are_described_and_required_only_where_they_are(with_keys: bool) -> None:
    openapi = document(OPERATIONS, {}, with_keys)
    assert set(openapi["components"]["securitySchemes"]) == {"bearer", "apiKey"}
    secured = openapi["paths"]["/v1/events"]["post"]["security"]
    assert secured == [{"bearer": ["events"]}, {"apiKey": ["events"]}] + ([] if with_keys else [{}])
    assert "security" not in openapi["paths"]["/health/live"]["get"]
