"""One call behind several HTTP layers, each an app that reads the call's fields and answers the same fixed bytes.

Annotations are evaluated here: FastAPI resolves those of a nested function only then.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Annotated, Any

import msgspec
from fastapi import Depends, FastAPI, Path, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.routing import Route

from recsys.core.request import MAX_LIMIT
from recsys.core.schema import MAX_ID_BYTES
from recsys.filters.lexer import MAX_CHARACTERS
from recsys.pipeline.pagination import MAX_TOKEN_CHARS
from serving.api.request_models import MAX_CONTEXT, MAX_CONTEXT_NAME, MAX_SEED_ITEMS, ListRequest
from serving.api.routes import OPERATIONS, ItemList
from serving.app import NO_TELEMETRY
from serving.http.fields import MAX_NAME_CHARS, NoParameters
from serving.http.operation import Route as OwnRoute
from serving.http.parameters import ParameterReader
from serving.http.validation import has_valid_ids, id_fields
from serving.problems import InvalidRequestError
from serving.runtime.app_context import AppContext
from serving.runtime.settings import Settings

ITEM_PATH = "/v1/items/{item_id}/recommendations"
LIST_PATH = "/v1/recommendations"
IDS = id_fields(ListRequest)

Id = Annotated[str, Field(min_length=1, max_length=MAX_ID_BYTES, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT)]
Condition = Annotated[str, Field(min_length=1, max_length=MAX_CHARACTERS)]
Place = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARS)]
Token = Annotated[str, Field(min_length=1, max_length=MAX_TOKEN_CHARS)]
Share = Annotated[float, Field(ge=0, le=1)]
Value = int | float | bool | Annotated[str, Field(max_length=MAX_NAME_CHARS)]
ContextValue = Value | Annotated[list[Value], Field(max_length=MAX_CONTEXT)] | None
Context = Annotated[
    dict[Annotated[str, Field(min_length=1, max_length=MAX_CONTEXT_NAME)], ContextValue], Field(max_length=MAX_CONTEXT)
]


class ItemQuery(BaseModel):
    """The fields of `ItemList` without the path's, as pydantic declares them."""

    model_config = ConfigDict(extra="forbid")

    placement: Annotated[str, Field(min_length=1)] = "complementary"
    user_id: Id | None = None
    limit: Limit | None = None
    as_of: AwareDatetime | None = None
    filter: Condition | None = None
    region: Place | None = None
    store: Place | None = None
    channel: Place | None = None
    page_token: Token | None = None


class ListBody(BaseModel):
    """The fields of `ListRequest`, as pydantic declares them."""

    model_config = ConfigDict(extra="forbid")

    placement: Place
    user_id: Id | None = None
    visitor_id: Id | None = None
    session_id: Id | None = None
    item_ids: Annotated[list[Id], Field(max_length=MAX_SEED_ITEMS)] = []
    as_of: AwareDatetime | None = None
    context: Context = {}
    filter: Annotated[str, Field(max_length=MAX_CHARACTERS)] | None = None
    diversity: Share | None = None
    tail_share: Share | None = None
    limit: Limit | None = None
    page_token: Token | None = None
    explain: bool = False


def _fixed(body: bytes) -> Response:
    return Response(body, media_type="application/json")


async def _refused(request: Request, error: Exception) -> Response:
    return Response(str(error), 422)


def _app() -> FastAPI:
    app = FastAPI(telemetry=NO_TELEMETRY)
    app.add_exception_handler(InvalidRequestError, _refused)
    app.add_exception_handler(msgspec.ValidationError, _refused)

    @app.get("/health/ready")
    async def ready() -> Response:
        return Response(b"{}")

    return app


def bare_path(body: bytes) -> FastAPI:
    """FastAPI: a path parameter without a rule, no query."""
    app = _app()

    @app.get(ITEM_PATH)
    async def answer(item_id: str) -> Response:
        return _fixed(body)

    return app


def query_model(body: bytes) -> FastAPI:
    """FastAPI: a query model that forbids unknown names."""
    app = _app()

    @app.get(ITEM_PATH)
    async def answer(
        item_id: Annotated[str, Path(min_length=1, max_length=MAX_ID_BYTES, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")],
        query: Annotated[ItemQuery, Query()],
    ) -> Response:
        return _fixed(body)

    return app


def reader_dependency(body: bytes) -> FastAPI:
    """FastAPI: our reader of parameters in a dependency."""
    app, reader = _app(), ParameterReader(ItemList, ["item_id"])

    async def read(request: Request) -> ItemList:
        return reader.read([request.path_params["item_id"].encode()], request.scope["query_string"])

    @app.get(ITEM_PATH)
    async def answer(call: Annotated[Any, Depends(read)]) -> Response:
        return _fixed(body)

    return app


def reader_route(body: bytes) -> FastAPI:
    """Starlette's `Route` with our reader of parameters."""
    app, reader = _app(), ParameterReader(ItemList, ["item_id"])

    async def answer(request: Request) -> Response:
        reader.read([request.path_params["item_id"].encode()], request.scope["query_string"])
        return _fixed(body)

    app.router.routes.insert(0, Route(ITEM_PATH, answer))
    return app


def body_model(body: bytes) -> FastAPI:
    """FastAPI: a body model that forbids unknown names."""
    app = _app()

    @app.post(LIST_PATH)
    async def answer(fields: ListBody) -> Response:
        return _fixed(body)

    return app


async def _decoded(request: Request) -> ListRequest:
    fields = msgspec.json.decode(await request.body(), type=ListRequest)
    if not has_valid_ids(fields, IDS):
        raise msgspec.ValidationError("not an id")
    return fields


def body_dependency(body: bytes) -> FastAPI:
    """FastAPI: msgspec decodes the body in a dependency."""
    app = _app()

    @app.post(LIST_PATH)
    async def answer(fields: Annotated[Any, Depends(_decoded)]) -> Response:
        return _fixed(body)

    return app


def body_route(body: bytes) -> FastAPI:
    """Starlette's `Route`: msgspec decodes the body in the endpoint."""
    app = _app()

    async def answer(request: Request) -> Response:
        await _decoded(request)
        return _fixed(body)

    app.router.routes.insert(0, Route(LIST_PATH, answer, methods=["POST"]))
    return app


def own_query(body: bytes) -> FastAPI:
    """The layer of our server: the declared parameters of a list for an item."""

    async def respond(app_context: AppContext, call: ItemList) -> bytes:
        return body

    return _own("GET", ITEM_PATH, respond)


def own_body(body: bytes) -> FastAPI:
    """The layer of our server: the declared body of a list."""

    async def respond(app_context: AppContext, call: NoParameters, fields: ListRequest) -> bytes:
        return body

    return _own("POST", LIST_PATH, respond)


def _own(method: str, path: str, respond: Callable[..., Awaitable[bytes]]) -> FastAPI:
    app = _app()
    operation = next(each for each in OPERATIONS if (each.method, each.path) == (method, path))
    app.router.routes.insert(0, OwnRoute(path, [replace(operation, respond=respond)], AppContext.of(Settings())))
    return app


QUERY_LAYERS = {
    "path": bare_path,
    "query-model": query_model,
    "query-dependency": reader_dependency,
    "query-route": reader_route,
    "query-own": own_query,
}
BODY_LAYERS = {
    "body-model": body_model,
    "body-dependency": body_dependency,
    "body-route": body_route,
    "body-own": own_body,
}
LAYERS: dict[str, Callable[[bytes], FastAPI]] = QUERY_LAYERS | BODY_LAYERS
