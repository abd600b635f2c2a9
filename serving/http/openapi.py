"""The OpenAPI document, made from the declarations of the operations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from inspect import cleandoc
from typing import Any

import msgspec
from msgspec import inspect

from recsys.core.placements import Placement
from recsys.core.request import Reason, ReasonResponse
from serving.http.body import JSON, Body
from serving.http.fields import OpenQuery
from serving.http.operation import LISTS, STALE, Operation
from serving.problems import MEDIA_TYPE as PROBLEM
from serving.problems import Problem

Json = dict[str, Any]

INFO = {
    "title": "recsys",
    "version": "1",
    "description": "Recommendations for an online shop. Ids are percent-encoded UTF-8; errors are RFC 9457 problems.",
}
SERVERS = [{"url": "/"}]
SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key that has the scope of the call."},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same key in another header."},
}
RATE_LIMIT = {
    "RateLimit": {
        "description": "If the key is limited: what is left (`r`), and seconds until there is more (`t`).",
        "schema": {"type": "string"},
    },
    "RateLimit-Policy": {
        "description": "If the key is limited: its limits, calls (`q`) in seconds (`w`).",
        "schema": {"type": "string"},
    },
}
_REF = "#/components/schemas/{name}"
_ATTRIBUTE = re.compile(r"^    (\w+): (.+(?:\n {8,}.+)*)", re.MULTILINE)


def document(
    operations: Iterable[Operation[Any]], placements: Mapping[str, Placement], with_keys: bool = False
) -> Json:
    """Return the document.

    Args:
        operations: the calls.
        placements: the lists that can be served now; if there are none, their names are left open.
        with_keys: whether the server requires keys.
    """
    operations = tuple(operations)
    schemas = _schemas(operations)
    paths: Json = {}
    for operation in operations:
        described = _operation(operation, placements, schemas, with_keys)
        paths.setdefault(operation.path, {})[operation.method.lower()] = described
    for operation in operations:
        schemas |= _answer_schema(operation, schemas)
    inlined = {part.__name__ for operation in operations for part in (operation.parameters, *operation.answer[:-1])}
    named = {operation.answer[-1].__name__ for operation in operations if operation.answer}
    schemas = {name: schema for name, schema in schemas.items() if name not in inlined - named}
    return {
        "openapi": "3.1.0",
        "info": INFO,
        "servers": SERVERS,
        "tags": [{"name": name} for name in dict.fromkeys(operation.tag for operation in operations)],
        "paths": paths,
        "components": {"schemas": schemas, "headers": RATE_LIMIT, "securitySchemes": SECURITY_SCHEMES},
    }


def _operation(operation: Operation[Any], placements: Mapping[str, Placement], schemas: Json, with_keys: bool) -> Json:
    summary, _, description = cleandoc(operation.respond.__doc__ or "").partition("\n\n")
    described: Json = {
        "operationId": operation.respond.__name__,
        "tags": [operation.tag],
        "summary": summary,
        "description": description,
        "parameters": _parameters(operation, placements, schemas[operation.parameters.__name__]),
        "responses": {
            "200": {"description": "The response.", "content": {operation.media_type: {"schema": _answer(operation)}}},
            **{str(status): _failure(status) for status in operation.statuses},
        },
    }
    if operation.tag == LISTS:
        stale = {"description": "Seconds for which the live log could not be read.", "schema": {"type": "integer"}}
        _add_headers(described, {STALE: stale})
    if operation.version_header:
        _add_version(described, operation)
    if operation.body is not None:
        described["requestBody"] = _body(operation.body)
    if operation.scope is not None:
        scopes = (operation.scope, *operation.also)
        _add_headers(described, {name: {"$ref": f"#/components/headers/{name}"} for name in RATE_LIMIT})
        described["security"] = [{name: [scope]} for scope in scopes for name in SECURITY_SCHEMES]
        if not with_keys:
            described["security"].append({})
    return described


def _add_version(described: Json, operation: Operation[Any]) -> None:
    """Add the header with the caller's version, and that with the version of the answer."""
    is_change = operation.version_header == "If-Match"
    what = "The ETag of what is changed." if is_change else "The ETag that the caller has."
    text = {"type": "string"}
    described["parameters"].append(
        {
            "name": operation.version_header,
            "in": "header",
            "required": is_change,
            "description": what,
            "schema": text,
        }
    )
    _add_headers(described, {"ETag": {"description": "The version.", "schema": text}})
    if not is_change:
        described["responses"]["304"] = {"description": "The caller has this version."}


def _add_headers(described: Json, headers: Json) -> None:
    """Add headers of the response."""
    described["responses"]["200"].setdefault("headers", {}).update(headers)


def _body(body: Body[Any]) -> Json:
    content = {"schema": _ref(body.struct) if body.schema is None else dict(body.schema)}
    return {"required": body.required, "content": dict.fromkeys((body.media_type, *body.alternatives), content)}


def _parameters(operation: Operation[Any], placements: Mapping[str, Placement], schema: Json) -> list[Json]:
    if operation.parameters is OpenQuery:
        return []
    names = operation.path_names
    parameters = [
        {
            "name": name,
            "in": "path" if name in names else "query",
            "required": name in schema.get("required", ()),
            "description": property_["description"],
            "schema": _not_null(property_),
        }
        for name, property_ in schema.get("properties", {}).items()
    ]
    fitting = [each.name for each in placements.values() if each.anchor in operation.anchors]
    for parameter in parameters:
        if parameter["name"] == "placement" and fitting:
            parameter["schema"] = {**parameter["schema"], "enum": fitting}
    return sorted(parameters, key=lambda parameter: parameter["in"] != "path")


def _not_null(schema: Json) -> Json:
    """Return the schema of a parameter: it may be left out, but is not null."""
    options = [option for option in schema.get("anyOf", ()) if option != {"type": "null"}]
    plain: Json = options[0] if options else schema
    return {name: value for name, value in plain.items() if name != "description"}


def _answer(operation: Operation[Any]) -> Json:
    if not operation.answer:
        return {"type": "object" if operation.media_type == JSON else "string"}
    return _ref(operation.answer[-1])


def _answer_schema(operation: Operation[Any], schemas: Json) -> Json:
    """Return the schema of a response, named like the last of the types that it has the fields of."""
    if not operation.answer:
        return {}
    parts = [schemas[part.__name__] for part in operation.answer]
    merged = {
        **parts[-1],
        "properties": {key: value for part in parts for key, value in part["properties"].items()},
        "required": list(dict.fromkeys(key for part in parts for key in part.get("required", ()))),
        "additionalProperties": False,
    }
    return {operation.answer[-1].__name__: merged}


def _failure(status: int) -> Json:
    if status == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:  # refused before anything of the request is known
        return {"description": HTTPStatus(status).phrase}
    response: Json = {"description": HTTPStatus(status).phrase, "content": {PROBLEM: {"schema": _ref(Problem)}}}
    if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
        response["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        response["headers"] = {"WWW-Authenticate": {"description": "What is missing.", "schema": {"type": "string"}}}
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        response["headers"] |= {name: {"$ref": f"#/components/headers/{name}"} for name in RATE_LIMIT}
    return response


def _ref(type_: type) -> Json:
    return {"$ref": _REF.format(name=type_.__name__)}


def _schemas(operations: Iterable[Operation[Any]]) -> Json:
    """Return the schemas of all declared types by name, fields with the descriptions of the types' docstrings."""
    types: set[type] = {Problem, ReasonResponse}
    for operation in operations:
        types |= {operation.parameters, *operation.answer}
        if operation.body is not None:
            types |= {*operation.body.parts}
            if operation.body.schema is None:
                types.add(operation.body.struct)
    ordered = sorted(types, key=lambda type_: type_.__name__)
    _, components = msgspec.json.schema_components(ordered, schema_hook=_schema_hook, ref_template=_REF)
    components = msgspec.json.decode(msgspec.json.encode(components))  # defaults are tuples
    classes = {cls.__name__: cls for type_ in inspect.multi_type_info(ordered) for cls in _classes(type_)}
    return {name: _described(schema, classes[name]) for name, schema in components.items()}


def _schema_hook(type_: type) -> Json:
    """Return the schema of a type that msgspec does not know."""
    if type_ is Reason:
        return _ref(ReasonResponse)
    raise NotImplementedError(f"{type_.__name__} has no schema")


def _classes(part: Any) -> Iterator[type]:
    """Yield the declared classes in a type."""
    if isinstance(part, (inspect.StructType, inspect.DataclassType)):
        yield part.cls
    if isinstance(part, (inspect.Type, inspect.Field)):
        for name in part.__struct_fields__:
            yield from _classes(getattr(part, name))
    elif isinstance(part, tuple):
        for each in part:
            yield from _classes(each)


def _described(schema: Json, cls: type) -> Json:
    texts: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        found = _ATTRIBUTE.findall(cleandoc(base.__dict__.get("__doc__") or ""))
        texts |= {name: " ".join(text.split()) for name, text in found}
    properties = {
        name: {**value, "description": texts[name]} if name in texts else value
        for name, value in schema.get("properties", {}).items()
    }
    return {**schema, "description": cleandoc(cls.__doc__ or "").partition("\n")[0], "properties": properties}
