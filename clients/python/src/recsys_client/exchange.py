"""What the synchronous and the asynchronous client do alike: requests, answers, and lists without the engine."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, Final, TypeVar, cast

import httpx

from recsys_client.call import Call
from recsys_client.decoding import decode
from recsys_client.errors import ApiError, ClientError, UnreachableError
from recsys_client.models import ExplainedRecommendations, Recommendations, RecommendedItem
from recsys_client.retries import is_retried, retry_after_s

logger = logging.getLogger("recsys_client")

DEFAULT_LIMIT: Final = 20
FALLBACK_SOURCE: Final = "client_fallback"
SUCCESS: Final = 200

NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
"""Failures before the engine has got anything of a call."""

Fallback = Sequence[str] | Mapping[str, Sequence[str]]
T = TypeVar("T")


@dataclass(frozen=True)
class Failure:
    """An attempt that failed.

    Attributes:
        error: to raise if it is the last one.
        is_retried: whether the call may be sent again.
        retry_after: seconds that the engine asks to wait, None if it does not.
    """

    error: ClientError
    is_retried: bool
    retry_after: float | None = None


def headers_of(key: str | None) -> dict[str, str]:
    """Return the headers of every call."""
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    return headers if key is None else headers | {"Authorization": f"Bearer {key}"}


def read_answer(call: Call[T], response: httpx.Response) -> T | Failure:
    """Return the answer, or what is wrong."""
    if response.status_code != SUCCESS:
        retry_after = retry_after_s(response.headers.get("retry-after"))
        error = ApiError(response.status_code, _problem(response), retry_after)
        return Failure(error, is_retried(response.status_code, is_safe=call.is_safe), retry_after)
    try:
        return decode(call.answer, response.json())
    except ValueError as error:
        return Failure(
            ClientError(f"the answer of {call.method} {call.path} cannot be read: {error}"), is_retried=False
        )


def not_reached(call: Call[Any], error: httpx.TransportError) -> Failure:
    """Return the failure of an attempt without an answer."""
    reason = f"{call.method} {call.path}: {type(error).__name__}: {error}"
    return Failure(UnreachableError(reason), call.is_safe or isinstance(error, NOT_SENT))


def fallback_answer(call: Call[T], fallback: Fallback | None, error: ClientError) -> T | None:
    """Return the caller's own list in place of one that the engine cannot make now, None if there is none."""
    is_temporary = isinstance(error, UnreachableError) or (isinstance(error, ApiError) and error.is_temporary)
    if fallback is None or not is_temporary or call.answer not in (Recommendations, ExplainedRecommendations):
        return None
    placement = str(call.argument("placement") or "")
    item_ids = fallback.get(placement, fallback.get("", ())) if isinstance(fallback, Mapping) else fallback
    given = {call.argument("item_id"), *(call.argument("item_ids") or ())}
    listed = [item_id for item_id in dict.fromkeys(item_ids) if item_id not in given]
    logger.warning("the list %r is the fallback of this client: %s", placement, error)
    return cast("T", _list(call.answer, placement, listed[: int(call.argument("limit") or DEFAULT_LIMIT)]))


def _list(answer: Any, placement: str, item_ids: Sequence[str]) -> Any:
    items = [
        RecommendedItem(item_id=item_id, score=0.0, rank=rank, source=FALLBACK_SOURCE, reasons=[])
        for rank, item_id in enumerate(item_ids, start=1)
    ]
    known = {
        "recommendation_id": "",
        "as_of": datetime.now(UTC),
        "next_page_token": None,
        "placement": placement,
        "model_version": "",
        "items": items,
        "fallback_used": True,
        "missing_ids": [],
        "head_share": 0.0,
        "local_hour": 0,
        "timezone": "UTC",
    }
    return answer(**{each.name: known[each.name] for each in fields(answer) if each.name in known})


def _problem(response: httpx.Response) -> Mapping[str, Any]:
    try:
        found = json.loads(response.content)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"detail": response.text[:200] or response.reason_phrase}
