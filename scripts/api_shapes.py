"""The operations and schemas of the OpenAPI document that the clients are generated from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from recsys.rules.placement_registry import BUILT_IN
from serving.api.routes import OPERATIONS
from serving.http.openapi import document

TAGS: Final = ("recommendations", "events", "catalog", "users", "models", "experiments", "operations")
"""Groups of the calls that a shop's own programs make; the console's calls are not among them."""

JSON: Final = "application/json"
SAFE_POSTS: Final = ("recommendations", "events")
"""Groups whose POSTs can be sent again: lists change nothing, and events have ids."""

Schema = Mapping[str, Any]


@dataclass(frozen=True)
class ApiCall:
    """One call of the API.

    Attributes:
        name: `operationId`.
        method: of HTTP.
        path: with `{names}`.
        summary: its first sentence.
        parameters: of the path and the query, by name, with `in`, `required` and `schema`.
        body: schema of the body, None without one.
        answer: name of the schema of the answer.
        is_safe: whether it can be sent again after a failure that leaves open whether it was carried out.
    """

    name: str
    method: str
    path: str
    summary: str
    parameters: tuple[Schema, ...]
    body: Schema | None
    answer: str
    is_safe: bool

    def names(self, place: str) -> list[str]:
        """Return the names of the parameters in the path or in the query."""
        return [str(each["name"]) for each in self.parameters if each["in"] == place]


@dataclass(frozen=True)
class Api:
    """The API.

    Attributes:
        calls: in the order of the document.
        schemas: by name.
    """

    calls: tuple[ApiCall, ...]
    schemas: Mapping[str, Schema]

    @cached_property
    def answers(self) -> list[str]:
        """Names of the schemas of answers and their parts."""
        return self._reachable([call.answer for call in self.calls])

    @cached_property
    def inputs(self) -> list[str]:
        """Names of the schemas of the parts of bodies; the fields of a body itself are arguments."""
        return self._reachable(name for call in self.calls for name in _refs(self.fields_of(call)))

    def fields_of(self, call: ApiCall) -> Schema:
        """Return the fields of a call's body by name; empty for one that is not declared as an object."""
        reference = None if call.body is None else call.body.get("$ref")
        return {} if reference is None else self.schemas[name_of(reference)]["properties"]

    def required_of(self, call: ApiCall) -> list[str]:
        """Return the names of the fields that a call's body must have."""
        reference = None if call.body is None else call.body.get("$ref")
        return [] if reference is None else list(self.schemas[name_of(reference)].get("required", ()))

    def _reachable(self, names: Any) -> list[str]:
        found: dict[str, None] = {}
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found[name] = None
                waiting += _refs(self.schemas[name])
        return sorted(found)


def read_api() -> Api:
    """Return the API as the server declares it, with keys and without the names of a shop's placements."""
    api = document(OPERATIONS, BUILT_IN.placements, with_keys=True)
    return Api(tuple(_calls(api["paths"])), api["components"]["schemas"])


def name_of(reference: str) -> str:
    """Return the name of a schema from a reference to it."""
    return reference.rpartition("/")[2]


def _calls(paths: Mapping[str, Any]) -> Iterator[ApiCall]:
    for path, methods in paths.items():
        for method, found in methods.items():
            content = found["responses"]["200"]["content"].get(JSON, {})
            reference = content.get("schema", {}).get("$ref")
            bodies = found.get("requestBody", {}).get("content")
            if reference is None or found["tags"][0] not in TAGS or (bodies is not None and JSON not in bodies):
                continue
            yield ApiCall(
                found["operationId"],
                method.upper(),
                path,
                found["summary"],
                tuple(each for each in found["parameters"] if each["in"] in ("path", "query")),
                None if bodies is None else bodies[JSON]["schema"],
                name_of(reference),
                method != "post" or found["tags"][0] in SAFE_POSTS,
            )


def _refs(schema: Any) -> list[str]:
    if isinstance(schema, Mapping):
        own = [name_of(schema["$ref"])] if isinstance(schema.get("$ref"), str) else []
        return [*own, *(name for value in schema.values() for name in _refs(value))]
    return [name for value in schema for name in _refs(value)] if isinstance(schema, list | tuple) else []
