"""Calls about identity: ids that belong to one user, and the erasure of a user."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Final

import msgspec
from starlette.exceptions import HTTPException

from recsys.bundles.registry import versions
from recsys.core.errors import StoreError
from recsys.eventlog.store import EventStore
from serving.api.catalog import ChangeAccepted, OneUser, circle_detail, log_change
from serving.http.body import Body
from serving.http.fields import Id, Parameters
from serving.http.operation import Operation
from serving.problems import FieldError, InvalidRequestError, shown
from serving.responses import Time, encode, moment
from serving.runtime.app_context import AppContext

logger = logging.getLogger(__name__)

PATH: Final = "/v1/users/{user_id}"


class Merge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The id to merge into the user.

    Attributes:
        from: an id of the same person, of a user or a visitor.
    """

    from_id: Id = msgspec.field(name="from")


class Unmerge(Parameters, frozen=True):
    """A merge to undo.

    Attributes:
        user_id: the user that the other id was merged into.
        from: the other id.
    """

    user_id: Id
    from_id: Id = msgspec.field(name="from")


class ErasedUser(Parameters, frozen=True):
    """The user to erase.

    Attributes:
        user_id: the user.
        compact: whether to rewrite the live log as well, which takes seconds per gigabyte, while events wait.
    """

    user_id: Id
    compact: bool = False


class RemainingCopies(msgspec.Struct, frozen=True):
    """Copies that an erasure does not remove.

    Attributes:
        what: where data of the user is still stored; no list is made from it.
        until: what removes it.
    """

    what: str
    until: str


class ErasureResult(msgspec.Struct, frozen=True):
    """The receipt of an erasure.

    Attributes:
        user_id: the user.
        erased_ids: all ids of the user: `user_id` and those that are merged into it.
        at: time of the erasure, by the server's clock; older events are refused from now on, however late they arrive.
        seq: number of the last tombstone in the live log.
        removed: number of entries removed from the live log, by type.
        linked: how many of them had no user, but a session or a basket that the log has with one of the ids.
        purged: whether their bytes are overwritten; if false, because of a reader or an error of the disk, repeat the
            call.
        compacted: whether the log was rewritten, so that no copy is left in unused parts of its file either; null if
            not requested, false if a reader or an error of the disk prevented it.
        remains: copies that are stored elsewhere.
    """

    user_id: str
    erased_ids: tuple[str, ...]
    at: Time
    seq: int
    removed: dict[str, int]
    linked: int
    purged: bool
    compacted: bool | None
    remains: tuple[RemainingCopies, ...]


async def merge_user(app_context: AppContext, call: OneUser, merge: Merge) -> bytes:
    """Merge another id into this user, such as the visitor before the log-in: both histories become one.

    Merges form chains, and the latest merge of an id counts. 409 if this user is merged into the other id already,
    directly or through others: that would be a circle.
    """
    if merge.from_id == call.user_id:
        found = shown(merge.from_id)
        message = f"from is {found!r}, the user's own id: expected another one"
        raise InvalidRequestError([FieldError("from", message, found)])
    return encode(await _log_merge(app_context, merge.from_id, call.user_id))


async def merge_ids(app_context: AppContext, key: str, into: str) -> None:
    """Merge an id into a user, unless it is merged into that user already; trackers say so at every visit.

    Raises:
        HTTPException: 409 if the merge would close a circle, or an erasure is newer.
        InvalidRequestError: an id is a word for nothing.
        StoreError: the merge is not stored.
    """
    if not await asyncio.to_thread(app_context.merges.is_merged, key, into):
        await _log_merge(app_context, key, into)


async def _log_merge(app_context: AppContext, key: str, into: str) -> ChangeAccepted:
    if await asyncio.to_thread(app_context.merges.closes_circle, key, into):
        raise HTTPException(409, circle_detail(key, into))
    return await log_change(app_context, "merge", key, {"into": into})


async def unmerge_user(app_context: AppContext, call: Unmerge) -> bytes:
    """Undo a merge: each id has its own history again.

    404 if the other id is not merged into this user, or has been merged into another since.
    """
    if not await asyncio.to_thread(app_context.merges.is_merged, call.from_id, call.user_id):
        detail = f"{shown(call.from_id)!r} is not merged into {shown(call.user_id)!r}: there is nothing to undo"
        raise HTTPException(404, detail)
    return encode(await log_change(app_context, "unmerge", call.from_id, {"into": call.user_id}))


async def erase_user(app_context: AppContext, call: ErasedUser) -> bytes:
    """Erase a user, with all ids that are merged into it: events, impressions and the user's fields.

    Anonymous entries are erased too if the live log has their session or basket with one of these ids.

    The response is a receipt. Events from before the erasure are refused from then on, however late they arrive; later
    ones belong to a new user. The ids of erased events stay refused. Erasing an unknown user is not an error. 503 if
    nothing could be erased, such as on a full disk: free space and repeat the call.
    """
    now, received_at = app_context.now(), app_context.clock.received_at()
    erased = await asyncio.to_thread(app_context.merges.aliases_of, call.user_id)
    receipt = await asyncio.to_thread(app_context.store.erase, erased, received_at, float(now))
    compacted = await asyncio.to_thread(_compact, app_context.store) if call.compact else None
    remains = await asyncio.to_thread(
        lambda: tuple(_remains(app_context, is_purged=receipt.purged, compacted=compacted))
    )
    return encode(
        ErasureResult(
            user_id=call.user_id,
            erased_ids=erased,
            at=moment(now),
            seq=receipt.seq,
            removed=receipt.removed,
            linked=receipt.linked,
            purged=receipt.purged,
            compacted=compacted,
            remains=remains,
        )
    )


def _compact(store: EventStore) -> bool:
    """Rewrite the log; a failure here does not undo the erasure, whose receipt is already written."""
    try:
        return store.compact()
    except StoreError as error:
        logger.warning("the live log is not compacted: %s", error)
        return False


def _remains(app_context: AppContext, *, is_purged: bool, compacted: bool | None) -> Iterator[RemainingCopies]:
    settings = app_context.settings
    yield RemainingCopies(
        "the live log's merges and tombstone, ids alone, and digests of the ids of erased events",
        "never: they keep old events away",
    )
    days = settings.keep_events_days
    yield RemainingCopies(
        "events in sessions or baskets that were never seen with an id of the user",
        "`recsys store prune`, this server keeps events forever" if days is None else f"{days:g} days after the event",
    )
    if not is_purged:
        yield RemainingCopies("removed entries in the live log's files", "this call is repeated")
    if not compacted:
        yield RemainingCopies(
            "copies in unused parts of the live log's file, if an earlier removal has left any",
            "`recsys store compact`, or the next erasure with compact=true",
        )
    for version in versions(settings.models):
        yield RemainingCopies(
            f"bundle {version}",
            "it is deleted; a bundle of tables from `recsys ingest --from-store` does not contain the user",
        )
    yield RemainingCopies(
        "backups of the live log, if there are any",
        "they are deleted; `recsys store restore` over this log erases the user again",
    )
    yield RemainingCopies(
        "tables and exports outside of this server",
        "they are deleted; `recsys ingest --from-store` writes tables without the user's earlier events",
    )


OPERATIONS: Final = (
    Operation("DELETE", PATH, ErasedUser, erase_user, "users", (ErasureResult,), failures=(503,), scope="catalog"),
    Operation(
        "POST",
        f"{PATH}/merge",
        OneUser,
        merge_user,
        "users",
        (ChangeAccepted,),
        failures=(409, 503),
        scope="catalog",
        body=Body(Merge),
    ),
    Operation(
        "DELETE",
        f"{PATH}/merge",
        Unmerge,
        unmerge_user,
        "users",
        (ChangeAccepted,),
        failures=(404, 503),
        scope="catalog",
    ),
)
