"""The OpenAPI document, drawn from the declarations that the calls are served by."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec

from recsys.core.placements import Placement
from recsys.core.request import Reason
from serving.http.body import JSON, Body
from serving.http.operation import Operation
from serving.http.parameters import Parameters
from serving.problems import MEDIA_TYPE as PROBLEM
from serving.problems import Problem

Json = dict[str, Any]

INFO = {
    "title": "recsys",
    "version": "1",
    "description": "Recommendations for an online shop. Ids are percent-encoded UTF-8; errors are RFC 9457 problems.",
}
SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key that has the scope of the call."},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same key in another header."},
}
_REF = "#/components/schemas/{name}"
_ATTRIBUTE = re.compile(r"^    (\w+): (.+(?:\n {8,}.+)*)", re.MULTILINE)


def document(
    operations: Iterable[Operation[Any]], placements: Mapping[str, Placement], with_keys: bool = False
) -> Json:
    """The document.

    Args:
        operations: the calls.
        placements: the lists that can be served now; none leaves the names open.
        with_keys: whether the server asks for keys.
    """
    schemas: Json = {}
    paths: Json = {}
    for operation in operations:
        described = _operation(operation, placements, schemas, with_keys)
        paths.setdefault(operation.path, {})[operation.method.lower()] = described
    components = {"schemas": schemas} | ({"securitySchemes": SECURITY_SCHEMES} if with_keys else {})
    return {"openapi": "3.1.0", "info": INFO, "paths": paths, "components": components}


def _operation(operation: Operation[Any], placements: Mapping[str, Placement], schemas: Json, with_keys: bool) -> Json:
    summary, _, description = (inspect.getdoc(operation.respond) or "").partition("\n\n")
    described: Json = {
        "operationId": operation.respond.__name__,
        "summary": summary,
        "description": description,
        "parameters": _parameters(operation, placements),
        "responses": {
            str(operation.status): {
                "description": "The answer.",
                "content": {operation.media_type: _answer(operation, schemas)},
            },
            **{str(status): _failure(status, schemas) for status in operation.statuses(with_keys)},
        },
    }
    if operation.body is not None:
        described["requestBody"] = _body(operation.body, schemas)
    if with_keys and operation.scope is not None:
        described["security"] = [{name: [operation.scope]} for name in SECURITY_SCHEMES]
    return described


def _body(body: Body[Any], schemas: Json) -> Json:
    name = body.struct.__name__
    schemas[name] = _schema(body.struct, schemas)
    content = {"schema": {"$ref": _REF.format(name=name)}}
    return {"required": True, "content": dict.fromkeys((body.media_type, *body.others), content)}


def _parameters(operation: Operation[Any], placements: Mapping[str, Placement]) -> list[Json]:
    names = operation.path_names
    schema = _schema(operation.parameters, {})
    parameters = [
        {
            "name": name,
            "in": "path" if name in names else "query",
            "required": name in schema.get("required", ()),
            "description": property_.pop("description"),
            "schema": _given(property_),
        }
        for name, property_ in schema.get("properties", {}).items()
    ]
    fitting = [each.name for each in placements.values() if each.anchor in operation.anchors]
    for parameter in parameters:
        if parameter["name"] == "placement" and fitting:
            parameter["schema"]["enum"] = fitting
    return parameters


def _given(schema: Json) -> Json:
    """A parameter that may be left out is not null where it is given."""
    options = [option for option in schema.get("anyOf", ()) if option != {"type": "null"}]
    return options[0] if options else schema


def _answer(operation: Operation[Any], schemas: Json) -> Json:
    if not operation.answer:
        return {"schema": {"type": "object" if operation.media_type == JSON else "string"}}
    parts = [_schema(part, schemas) for part in operation.answer]
    name = parts[-1]["title"]
    schemas[name] = {
        **parts[-1],
        "properties": {key: value for part in parts for key, value in part["properties"].items()},
        "required": [key for part in parts for key in part.get("required", ())],
        "additionalProperties": False,
    }
    return {"schema": {"$ref": _REF.format(name=name)}}


def _failure(status: int, schemas: Json) -> Json:
    schemas[Problem.__name__] = _schema(Problem, schemas)
    response: Json = {
        "description": HTTPStatus(status).phrase,
        "content": {PROBLEM: {"schema": {"$ref": _REF.format(name=Problem.__name__)}}},
    }
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        response["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        response["headers"] = {"WWW-Authenticate": {"description": "What is missing.", "schema": {"type": "string"}}}
    return response


def _schema(type_: type[Parameters] | type, schemas: Json) -> Json:
    """Schema of one type, each field with the description that the docstring gives; its parts go to `schemas`."""
    _, components = msgspec.json.schema_components([type_], schema_hook=schema_of, ref_template=_REF)
    described = {name: _described(schema) for name, schema in components.items()}
    own = described.pop(type_.__name__)
    schemas.update(described)
    return own


class ReasonResponse(msgspec.Struct, frozen=True):
    """The evidence that put an item into a list.

    Attributes:
        code: for programs, such as `bought_together`.
        text: for people, in English.
        values: the values that the texts state.
        text_zh: the text in Chinese.
    """

    code: str
    text: str
    values: dict[str, float | int | str]
    text_zh: str


def schema_of(type_: type) -> Json:
    """Returns the schema of a type that msgspec does not know; a `schema_hook`.

    Raises:
        NotImplementedError: the type is not part of a response.
    """
    if type_ is Reason:
        return msgspec.json.schema(ReasonResponse)["$defs"]["ReasonResponse"]
    raise NotImplementedError(f"{type_.__name__} has no schema")


def _described(schema: Json) -> Json:
    summary, _, rest = schema.get("description", "").partition("\n")
    texts = {name: " ".join(text.split()) for name, text in _ATTRIBUTE.findall(inspect.cleandoc("x\n" + rest))}
    properties = {
        name: {"description": texts[name], **value} if name in texts else value
        for name, value in schema.get("properties", {}).items()
    }
    return {**schema, "description": summary, "properties": properties}
