"""Calls about who a shopper is: ids that are one person, and the erasure of a person."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final

import msgspec
from starlette.exceptions import HTTPException

from recsys.bundles.registry import versions
from recsys.eventlog.identities import Identities
from recsys.eventlog.store import EventStore
from serving.api.catalog import ChangeAccepted, OneUser, log_change
from serving.http.body import Body, BodyId, wrong_ids
from serving.http.operation import Operation
from serving.http.parameters import Flag, Id, Parameters
from serving.problems import FieldError, InvalidRequestError, shown
from serving.responses import Time, encode, moment
from serving.runtime.app_context import AppContext

PATH: Final = "/v1/users/{user_id}"


class Merge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose history is to join the shopper's.

    Attributes:
        from: an id of a user or a visitor who is the same person.
    """

    from_id: BodyId = msgspec.field(name="from")


class Unmerge(Parameters, frozen=True):
    """A merge that is to be undone.

    Attributes:
        user_id: the shopper whom the other id was joined to.
        from: the other id.
    """

    user_id: Id
    from_id: Id = msgspec.field(name="from")


class ErasedUser(Parameters, frozen=True):
    """Who is to be erased.

    Attributes:
        user_id: the shopper.
        compact: whether to write the live log anew as well, which takes seconds a gigabyte, during which events wait.
    """

    user_id: Id
    compact: Flag = False


class RemainingCopies(msgspec.Struct, frozen=True):
    """What an erasure cannot reach, and until when.

    Attributes:
        what: where something of the shopper is still kept; no list is made from it.
        until: what ends it.
    """

    what: str
    until: str


class ErasureResult(msgspec.Struct, frozen=True):
    """The receipt of an erasure.

    Attributes:
        user_id: who was to be erased.
        erased_ids: all ids of theirs that were, `user_id` and those that were merged into it.
        at: when, by the server's clock; what is of before is refused from now on, however late it comes.
        seq: number of the last tombstone in the live log.
        removed: entries that are gone from the live log, by kind.
        linked: how many of them named nobody, but a session or a basket that the log had seen beside one of the ids.
        purged: whether their bytes are wiped from where they stood; if false, ask again.
        compacted: whether the log was written anew, so that no copy of them is left in unused parts of its file
            either; null if that was not asked for, and false if a reader stood in the way.
        remains: what is still kept elsewhere.
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


async def merge_user(service: AppContext, call: OneUser, merge: Merge) -> bytes:
    """Join another id's history to this shopper's: app and web, before and after log-in.

    Merges chain, and the latest of an id counts. 409 where this shopper is joined to the other id already, directly or
    through others: that would be a circle.
    """
    faults = wrong_ids([("from", merge.from_id)])
    if merge.from_id == call.user_id:
        faults = [FieldError("from", f"from is {shown(merge.from_id)!r}, the shopper's own id: expected another one")]
    if faults:
        raise InvalidRequestError(faults)
    return encode(await log_change(service, "merge", merge.from_id, {"into": call.user_id}))


async def unmerge_user(service: AppContext, call: Unmerge) -> bytes:
    """Undo a merge: what either id did is its own again.

    404 where the other id is not joined to this shopper, or is by now to another.
    """
    identities = await asyncio.to_thread(identities_of, service.store)
    if identities.merges.get(call.from_id) != call.user_id:
        told = f"{shown(call.from_id)!r} is not joined to {shown(call.user_id)!r}: nothing to undo"
        raise HTTPException(404, told)
    return encode(await log_change(service, "unmerge", call.from_id, {"into": call.user_id}))


async def erase_user(service: AppContext, call: ErasedUser) -> bytes:
    """Erase a shopper, with all ids that were merged into theirs: events, impressions and what was known of them.

    So is what was done unnamed in a session, or of a basket, that the live log has seen beside one of these ids.

    The answer is a receipt. What is of before the erasure is refused from then on, however late it comes; what the
    shopper does afterwards is a new life. To erase one who is not known is no error.
    """
    now, received_at = service.now(), service.clock.received_at()
    identities = await asyncio.to_thread(identities_of, service.store)
    erased = identities.aliases_of(call.user_id)
    receipt = await asyncio.to_thread(service.store.erase, erased, received_at, float(now))
    compacted = await asyncio.to_thread(service.store.compact) if call.compact else None
    remains = await asyncio.to_thread(lambda: tuple(_remains(service, compacted)))
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


def identities_of(store: EventStore) -> Identities:
    """Who was merged into whom, as the live log has it."""
    identities = Identities()
    for entry in (stored.entry for stored in store.read_types(("merge", "unmerge"))):
        if entry.key is not None and entry.entry_type == "merge":
            identities.merge(entry.key, entry.body["into"])
        elif entry.key is not None:
            identities.unmerge(entry.key)
    return identities


def _remains(service: AppContext, compacted: bool | None) -> Iterator[RemainingCopies]:
    yield RemainingCopies(
        "the live log's merges and tombstone: ids alone", "the tombstone stays, it keeps the shopper away"
    )
    yield RemainingCopies(
        "what was done in sessions or baskets that were never seen beside an id of theirs", "retention"
    )
    if not compacted:
        yield RemainingCopies(
            "copies in unused parts of the live log's file, where an earlier removal may have left any",
            "the next erasure with compact=true",
        )
    for version in versions(service.settings.models):
        yield RemainingCopies(
            f"bundle {version}", "it is pruned, once trainings have replaced it; the next has none of it"
        )
    yield RemainingCopies(
        "tables and exports outside of this server", "the next ingest from the live log, and the shop itself"
    )


OPERATIONS: Final = (
    Operation("DELETE", PATH, ErasedUser, erase_user, (ErasureResult,), failures=(414, 422, 503), scope="catalog"),
    Operation(
        "POST",
        f"{PATH}/merge",
        OneUser,
        merge_user,
        (ChangeAccepted,),
        failures=(409, 414, 422, 503),
        scope="catalog",
        body=Body(Merge),
    ),
    Operation(
        "DELETE",
        f"{PATH}/merge",
        Unmerge,
        unmerge_user,
        (ChangeAccepted,),
        failures=(404, 414, 422, 503),
        scope="catalog",
    ),
)
