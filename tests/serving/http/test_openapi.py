from __future__ import annotations

from typing import Any

from serving.api.routes import OPERATIONS, ItemList, UserList
from tests.serving.conftest import Client

ITEM_PATH = "/v1/items/{item_id}/recommendations"
USER_PATH = "/v1/users/{user_id}/recommendations"


def document(client: Client) -> dict[str, Any]:
    told: dict[str, Any] = client.get("/openapi.json").json()
    return told


def parameters(client: Client, path: str) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in document(client)["paths"][path]["get"]["parameters"]}


def test_every_route_of_the_app_is_listed(client: Client) -> None:
    assert set(document(client)["paths"]) == {route.path for route in client.app.router.routes}  # type: ignore[attr-defined]
    assert document(client) == client.app.openapi()


def test_every_parameter_is_listed_and_told(client: Client) -> None:
    for path, struct in ((ITEM_PATH, ItemList), (USER_PATH, UserList)):
        listed = parameters(client, path)
        assert tuple(listed) == struct.__struct_fields__
        assert all(each["description"] for each in listed.values())
    assert [each["in"] for each in parameters(client, ITEM_PATH).values()] == ["path", *["query"] * 9]


def test_what_a_parameter_may_be(client: Client) -> None:
    listed = parameters(client, ITEM_PATH)
    assert listed["limit"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 100}
    assert listed["as_of"]["schema"] == {"type": "string", "format": "date-time"}
    assert listed["placement"]["schema"]["enum"] == ["complementary", "bought_together", "similar"]
    assert listed["item_id"]["schema"]["maxLength"] == 256
    assert "popular" in parameters(client, USER_PATH)["placement"]["schema"]["enum"]


def test_statuses_and_schemas(client: Client) -> None:
    told = document(client)
    responses = told["paths"][ITEM_PATH]["get"]["responses"]
    assert list(responses) == ["200", "404", "414", "422", "503"]
    assert list(told["paths"]["/v1/events"]["post"]["responses"]) == ["200", "408", "413", "414", "415", "422", "503"]
    assert list(responses["422"]["content"]) == ["application/problem+json"]
    answer = told["components"]["schemas"]["Recommendations"]
    assert list(answer["properties"])[:4] == ["recommendation_id", "as_of", "next_page_token", "placement"]
    assert all(each["description"] for each in answer["properties"].values())
    assert answer["properties"]["model_version"]["description"] == "the bundle that gave it."


def test_every_reference_has_its_schema(client: Client) -> None:
    told = document(client)
    text = client.get("/openapi.json").text
    named = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert named <= set(told["components"]["schemas"])


def test_every_operation_is_described() -> None:
    assert all(operation.respond.__doc__ for operation in OPERATIONS)
    assert len({operation.respond.__name__ for operation in OPERATIONS}) == len(OPERATIONS)
