"""Calls that change items and users: each is one entry of the live log."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any, Final

import msgspec
import polars as pl
from starlette.exceptions import HTTPException

from recsys.core.schema import ITEMS, USERS, typed_columns_of
from recsys.data.null_words import is_null_word
from recsys.eventlog.store import EntryType, LogEntry
from serving.api.attribute_types import wider_numbers, with_column_types
from serving.api.catalog_models import ItemFields, UserFields, given_fields
from serving.api.event_validation import word_fault
from serving.api.request_models import past_second
from serving.http.body import Body
from serving.http.fields import Id, Parameters
from serving.http.operation import Operation
from serving.problems import InvalidRequestError, shown
from serving.responses import encode
from serving.runtime.app_context import AppContext


class OneItem(Parameters, frozen=True):
    """One item of the catalog.

    Attributes:
        item_id: the item.
    """

    item_id: Id


class OneUser(Parameters, frozen=True):
    """One user.

    Attributes:
        user_id: the user.
    """

    user_id: Id


class ChangeAccepted(msgspec.Struct, frozen=True):
    """A change that is stored durably.

    Attributes:
        seq: number of the live log's last entry once the change is in it.
        kind: the type of its entry in the log.
        key: the id that it changes.
    """

    seq: int
    kind: str
    key: str


async def put_item(app_context: AppContext, call: OneItem, item: ItemFields) -> bytes:
    """Create or replace an item: a field that is not given becomes unknown.

    An existing item is replaced.
    """
    body = await _fields(app_context, item, keep_null=False)
    return encode(await log_change(app_context, "item_put", call.item_id, body))


async def patch_item(app_context: AppContext, call: OneItem, item: ItemFields) -> bytes:
    """Change the given fields of an item, and keep the others; null clears a field, or an attribute.

    An example is the price, or `available`. An unknown item is created with these fields.
    """
    body = await _fields(app_context, item, keep_null=True)
    return encode(await log_change(app_context, "item_patch", call.item_id, body))


async def delete_item(app_context: AppContext, call: OneItem) -> bytes:
    """Delete an item from the catalog: it is no longer listed. Its events are kept.

    Deleting an unknown item is not an error.
    """
    return encode(await log_change(app_context, "item_delete", call.item_id, {}))


async def put_user(app_context: AppContext, call: OneUser, user: UserFields) -> bytes:
    """Create or replace a user: a field that is not given becomes unknown.

    The user's events do not change. 409 if the user was erased in the meantime.
    """
    body = await _fields(app_context, user, keep_null=False)
    return encode(await log_change(app_context, "user_put", call.user_id, body))


async def patch_user(app_context: AppContext, call: OneUser, user: UserFields) -> bytes:
    """Change the given fields of a user, and keep the others; null clears a field, or an attribute.

    409 if the user was erased in the meantime.
    """
    body = await _fields(app_context, user, keep_null=True)
    return encode(await log_change(app_context, "user_patch", call.user_id, body))


NAMES: Final[dict[str, str]] = {
    "item_put": "item_id",
    "item_patch": "item_id",
    "user_put": "user_id",
    "user_patch": "user_id",
    "merge": "from",
}
"""Field of the key, by type of the changes whose key must be an id; what was stored before can always be removed."""


async def _fields(app_context: AppContext, fields: ItemFields | UserFields, *, keep_null: bool) -> dict[str, Any]:
    """Return the given fields in the log's form, attributes with the types of their columns.

    A column that only changes have made has the type of the first of them: filters depend on it.
    """
    is_item = isinstance(fields, ItemFields)
    if isinstance(fields, ItemFields) and isinstance(fields.updated_at, datetime):
        past_second(app_context, "updated_at", fields.updated_at, int(app_context.clock.received_at()))
    body = given_fields(fields, ITEMS if is_item else USERS, keep_null)
    if body.get("attributes"):
        columns = await _columns(app_context, is_item=is_item)
        fixed = typed_columns_of("items" if is_item else "users", body["attributes"])
        body["attributes"] = with_column_types(body["attributes"], columns | fixed)
    return body


async def _columns(app_context: AppContext, *, is_item: bool) -> dict[str, pl.DataType]:
    """Return the types of the columns that the tables and earlier changes have; none without a bundle."""
    snapshot = app_context.watcher.current
    if snapshot is None:
        return {}
    engine, live = snapshot.recommender.engine, snapshot.recommender.live
    if not is_item:
        return dict(engine.users_table.schema)
    if live is None:
        return dict(engine.items_table.schema)
    await asyncio.to_thread(app_context.watcher.up_to_date, snapshot)
    return wider_numbers(live.added_columns) | dict(engine.items_table.schema)


async def log_change(app_context: AppContext, entry_type: EntryType, key: str, body: dict[str, Any]) -> ChangeAccepted:
    """Store one change.

    Raises:
        HTTPException: 409 if it is older than an erasure of the user, or a merge that would close a circle.
        InvalidRequestError: an id is a word for nothing.
        StoreError: the change is not stored.
    """
    for name, found in (NAMES.get(entry_type), key), ("user_id", body.get("into") if entry_type == "merge" else None):
        if name is not None and found is not None and is_null_word(found, app_context.null_words):
            raise InvalidRequestError([word_fault(name, found)])
    entry = LogEntry(entry_type, key, float(app_context.now()), app_context.clock.received_at(), body)
    (outcome,) = await app_context.stored([entry])
    if outcome == "erased":
        raise HTTPException(409, f"{shown(key)!r} was erased after this change was sent: send it again")
    if outcome == "conflict":
        raise HTTPException(409, circle_detail(key, body["into"]))
    return ChangeAccepted(await asyncio.to_thread(app_context.store.last_seq), entry_type, key)


def circle_detail(key: str, into: str) -> str:
    """Return why an id cannot be merged into another."""
    return f"{shown(into)!r} is merged into {shown(key)!r} already: undo that merge first"


def _operation(
    method: str, parameters: type[Parameters], respond: Any, body: type[msgspec.Struct] | None
) -> Operation[Any]:
    is_item = parameters is OneItem
    return Operation(
        method,
        "/v1/items/{item_id}" if is_item else "/v1/users/{user_id}",
        parameters,
        respond,
        "catalog" if is_item else "users",
        (ChangeAccepted,),
        failures=(503,) if is_item else (409, 503),
        scope="catalog",
        body=None if body is None else Body(body),
    )


OPERATIONS: Final = (
    _operation("PUT", OneItem, put_item, ItemFields),
    _operation("PATCH", OneItem, patch_item, ItemFields),
    _operation("DELETE", OneItem, delete_item, None),
    _operation("PUT", OneUser, put_user, UserFields),
    _operation("PATCH", OneUser, patch_user, UserFields),
)
