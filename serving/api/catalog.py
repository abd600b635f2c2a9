"""Calls that change the catalogue and what is known of shoppers: each is one entry of the live log."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
from starlette.exceptions import HTTPException

from recsys.core.schema import ITEMS, USERS
from recsys.eventlog.store import EntryType, LogEntry
from serving.api.catalog_models import ItemFields, UserFields, given_fields
from serving.http.body import Body
from serving.http.operation import Operation
from serving.http.parameters import Id, Parameters
from serving.problems import shown
from serving.responses import encode
from serving.runtime.app_context import AppContext


class OneItem(Parameters, frozen=True):
    """One item of the catalogue.

    Attributes:
        item_id: the item.
    """

    item_id: Id


class OneUser(Parameters, frozen=True):
    """One shopper.

    Attributes:
        user_id: the shopper.
    """

    user_id: Id


class ChangeAccepted(msgspec.Struct, frozen=True):
    """A change that is durable.

    Attributes:
        seq: number of the live log up to which the change is in it.
        kind: what it is in the log.
        key: the id that it is about.
    """

    seq: int
    kind: str
    key: str


async def put_item(service: AppContext, call: OneItem, item: ItemFields) -> bytes:
    """Put an item into the catalogue, whole: what is not given is not known of it.

    An item that is there already is replaced.
    """
    return encode(await log_change(service, "item_put", call.item_id, given_fields(item, ITEMS, keep_null=False)))


async def patch_item(service: AppContext, call: OneItem, item: ItemFields) -> bytes:
    """Change the given fields of an item, and leave the others; null clears a field, or an attribute.

    A price, say, or that it is sold out. Of an item that is not known yet it is the first that is.
    """
    return encode(await log_change(service, "item_patch", call.item_id, given_fields(item, ITEMS, keep_null=True)))


async def delete_item(service: AppContext, call: OneItem) -> bytes:
    """Take an item out of the catalogue: no list has it any more. What shoppers did with it stays.

    To take out one that is not there is no error.
    """
    return encode(await log_change(service, "item_delete", call.item_id, {}))


async def put_user(service: AppContext, call: OneUser, user: UserFields) -> bytes:
    """Say what is known of a shopper, whole: what is not given is not known.

    What they did is not touched. 409 where an erasure came in between.
    """
    return encode(await log_change(service, "user_put", call.user_id, given_fields(user, USERS, keep_null=False)))


async def patch_user(service: AppContext, call: OneUser, user: UserFields) -> bytes:
    """Change the given fields of a shopper, and leave the others; null clears a field, or an attribute.

    409 where an erasure came in between.
    """
    return encode(await log_change(service, "user_patch", call.user_id, given_fields(user, USERS, keep_null=True)))


async def log_change(service: AppContext, kind: EntryType, key: str, body: dict[str, Any]) -> ChangeAccepted:
    """Store one change.

    Raises:
        HTTPException: 409 if it is of before an erasure of the shopper, or a merge that would close a circle.
        StoreError: it is not stored.
    """
    entry = LogEntry(kind, key, float(service.now()), service.clock.received_at(), body)
    (outcome,) = await service.stored([entry])
    if outcome == "erased":
        raise HTTPException(409, f"{shown(key)!r} was erased just now, and this change is of before: send it again")
    if outcome == "conflict":
        into = shown(body["into"])
        raise HTTPException(409, f"{into!r} is joined to {shown(key)!r} already: undo that merge first")
    return ChangeAccepted(await asyncio.to_thread(service.store.last_seq), kind, key)


def _operation(method: str, of: type[Parameters], respond: Any, takes: type[msgspec.Struct] | None) -> Operation[Any]:
    is_item = of is OneItem
    return Operation(
        method,
        "/v1/items/{item_id}" if is_item else "/v1/users/{user_id}",
        of,
        respond,
        (ChangeAccepted,),
        failures=(414, 422, 503) if is_item else (409, 414, 422, 503),
        scope="catalog",
        body=None if takes is None else Body(takes),
    )


OPERATIONS: Final = (
    _operation("PUT", OneItem, put_item, ItemFields),
    _operation("PATCH", OneItem, patch_item, ItemFields),
    _operation("DELETE", OneItem, delete_item, None),
    _operation("PUT", OneUser, put_user, UserFields),
    _operation("PATCH", OneUser, patch_user, UserFields),
)
