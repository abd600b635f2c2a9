"""The calls of the API, to be tried: a form per call, and the same call for curl, Python and JavaScript."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from serving.api.routes import described
from serving.console.view import Content, Page, View

DEFAULT: Final = "GET /v1/users/{user_id}/recommendations"


async def try_it(view: View) -> Content:
    """Build the page."""
    document = described(view.api.app_context)
    calls = {
        f"{method.upper()} {path}": call
        for path, methods in document["paths"].items()
        for method, call in methods.items()
        if method in ("get", "post", "put", "patch", "delete")
    }
    name = view.value("call", DEFAULT)
    call = calls.get(name, calls[DEFAULT])
    name = name if name in calls else DEFAULT
    sample = view.api.app_context.watcher.snapshot().recommender.examples()
    known = {"user_id": sample.user_id, "item_id": sample.item_id, "limit": "5", "log": "false"}
    return {
        "names": list(calls),
        "name": name,
        "method": name.partition(" ")[0],
        "path": name.partition(" ")[2],
        "call": call,
        "fields": [_field(each, known) for each in call.get("parameters", ())],
        "body": _body(call, document),
    }


def _field(parameter: dict[str, Any], known: dict[str, str]) -> dict[str, Any]:
    schema = parameter.get("schema", {})
    is_required = parameter.get("required", False)
    value = known.get(parameter["name"], "") if is_required or parameter["name"] in ("limit", "log") else ""
    return {
        "name": parameter["name"],
        "in": parameter["in"],
        "required": is_required,
        "note": parameter.get("description", ""),
        "choices": schema.get("enum", ()),
        "value": value or schema.get("default", "") or "",
    }


def _body(call: dict[str, Any], document: dict[str, Any]) -> str | None:
    """Return an example of the body as JSON, None for a call without one."""
    content = call.get("requestBody", {}).get("content", {})
    for media_type, declared in content.items():
        example = declared.get("example")
        if example is not None:
            return example if isinstance(example, str) else msgspec.json.format(msgspec.json.encode(example)).decode()
        if media_type.startswith("application/json"):
            return "{}"
        return ""
    return None


PAGES: Final = (Page("try", try_it, "try.html", "try"),)
