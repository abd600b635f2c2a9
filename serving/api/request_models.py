"""What callers ask for, in bodies: the fields of a question, and the library's request that it makes."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from recsys.core.placements import Anchor
from recsys.core.request import DEFAULT_LIMIT, MAX_LIMIT, Request
from recsys.filters.lexer import MAX_CHARACTERS
from recsys.pipeline.pagination import MAX_TOKEN_CHARS
from recsys.pipeline.rerank_items import MAX_RERANK_ITEMS
from serving.http.body import BodyId, wrong_ids
from serving.http.parameters import Timestamp
from serving.problems import MAX_ECHO, FieldError, InvalidRequestError
from serving.responses import moment
from serving.runtime.app_context import AppContext
from serving.runtime.bundle_watcher import Snapshot

MAX_ITEMS: Final = 100
MAX_CONTEXT: Final = 50
MAX_NAME: Final = 64
MAX_VALUE: Final = 256

Number = Annotated[int, Meta(ge=-(1 << 53), le=1 << 53)] | float
Word = Annotated[str, Meta(max_length=MAX_VALUE)]
ContextValue = Number | bool | Word | Annotated[list[Number | bool | Word], Meta(max_length=MAX_CONTEXT)] | None
Context = Annotated[
    dict[Annotated[str, Meta(min_length=1, max_length=MAX_NAME)], ContextValue], Meta(max_length=MAX_CONTEXT)
]
Items = Annotated[list[BodyId], Meta(max_length=MAX_ITEMS)]
Filter = Annotated[str, Meta(max_length=MAX_CHARACTERS)]
Share = Annotated[float, Meta(ge=0, le=1)]
BodyLimit = Annotated[int, Meta(ge=1, le=MAX_LIMIT)]
BodyName = Annotated[str, Meta(min_length=1, max_length=MAX_VALUE)]
Token = Annotated[str, Meta(min_length=1, max_length=MAX_TOKEN_CHARS)]


class PageRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom and what the lists of a page are for.

    Attributes:
        user_id: whom they are for, if known.
        visitor_id: whom they are for where nobody logged in.
        session_id: whom they are for where nothing else is known.
        item_ids: what is looked at, or lies in the cart; for a shopper of whom nothing else is known, what was just
            looked at.
        as_of: the moment that the answer is for; the server's clock if not given.
        context: what filters read as `context.…`.
        filter: which items may be listed, beside what the placement says (docs/filters.md).
        diversity: how much unlikeness counts against the score, instead of the placement's.
        tail_share: part of the places that goes to the tail, instead of the placement's.
        limit: how many items; the placement's own number if not given.
        explain: whether to tell the scores by source, and what the ranker saw, in `explanations` of each list.
    """

    user_id: BodyId | None = None
    visitor_id: BodyId | None = None
    session_id: BodyId | None = None
    item_ids: Items = []
    as_of: Timestamp | None = None
    context: Context = {}
    filter: Filter | None = None
    diversity: Share | None = None
    tail_share: Share | None = None
    limit: BodyLimit | None = None
    explain: bool = False


class ListRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which list, and whom and what it is for.

    Attributes:
        placement: the list.
        user_id: whom it is for, if known.
        visitor_id: whom it is for where nobody logged in.
        session_id: whom it is for where nothing else is known.
        item_ids: what is looked at, or lies in the cart; for a shopper of whom nothing else is known, what was just
            looked at.
        as_of: the moment that the answer is for; the server's clock if not given, and on later pages the first's.
        context: what filters read as `context.…`.
        filter: which items may be listed, beside what the placement says (docs/filters.md).
        diversity: how much unlikeness counts against the score, instead of the placement's.
        tail_share: part of the places that goes to the tail, instead of the placement's.
        limit: how many items; the placement's own number if not given. It may be another on each page.
        page_token: `next_page_token` of the page before; the other fields as for that.
        explain: whether to tell the scores by source, and what the ranker saw, in `explanations`.
    """

    placement: BodyName
    user_id: BodyId | None = None
    visitor_id: BodyId | None = None
    session_id: BodyId | None = None
    item_ids: Items = []
    as_of: Timestamp | None = None
    context: Context = {}
    filter: Filter | None = None
    diversity: Share | None = None
    tail_share: Share | None = None
    limit: BodyLimit | None = None
    page_token: Token | None = None
    explain: bool = False


class RankRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which items to order, and for whom.

    Attributes:
        item_ids: the items; doubled ones count once.
        user_id: whom they are for, if known.
        visitor_id: whom they are for where nobody logged in.
        session_id: whom they are for where nothing else is known.
        as_of: the moment that the answer is for; the server's clock if not given.
        context: where the request comes from: `region`, `store` and `channel` choose among offers.
    """

    item_ids: Annotated[list[BodyId], Meta(min_length=1, max_length=MAX_RERANK_ITEMS)]
    user_id: BodyId | None = None
    visitor_id: BodyId | None = None
    session_id: BodyId | None = None
    as_of: Timestamp | None = None
    context: Context = {}


Question = PageRequest | ListRequest | RankRequest


def check_ids(question: Question) -> None:
    """Look at what the declaration of an id does not say.

    Raises:
        InvalidRequestError: naming each id that cannot be one.
    """
    ids: list[tuple[str, Any]] = [(f"item_ids[{place}]", id_) for place, id_ in enumerate(question.item_ids)]
    ids += [(name, getattr(question, name)) for name in ("user_id", "visitor_id", "session_id")]
    if faults := wrong_ids(ids):
        raise InvalidRequestError(faults)


def request_of(snapshot: Snapshot, question: PageRequest | ListRequest, placement: str, as_of: int) -> Request:
    """The library's request for one list."""
    return Request(
        placement=placement,
        as_of=as_of,
        limit=limit_of(snapshot, placement, question.limit),
        user_id=question.user_id,
        item_ids=tuple(dict.fromkeys(question.item_ids)),
        visitor_id=question.visitor_id,
        session_id=question.session_id,
        filter=snapshot.recommender.filter(question.filter),
        context=question.context,
        diversity=question.diversity,
        tail_share=question.tail_share,
    )


def limit_of(snapshot: Snapshot, placement: str, given: int | None) -> int:
    """How many items: as asked for, else the placement's own number."""
    if given is not None:
        return given
    known = snapshot.recommender.placements.get(placement)
    return DEFAULT_LIMIT if known is None else known.limit


def as_of_or_now(service: AppContext, given: Timestamp | None) -> int:
    """The moment that an answer is for, seconds since 1970.

    Raises:
        InvalidRequestError: it is before 1970 or after the server's clock.
    """
    now = service.clock.now()
    if given is None:
        return now
    seconds = int(given.timestamp())
    latest = now + service.settings.future_tolerance_seconds
    if not 0 <= seconds <= latest:
        found, end = given.isoformat(), moment(now).isoformat()
        message = f"as_of is {found}: expected a time from 1970 to the server's clock, now at {end}"
        raise InvalidRequestError([FieldError("as_of", message, found)])
    return seconds


def check_placement(snapshot: Snapshot, name: str, anchors: frozenset[Anchor]) -> None:
    """Refuse a list that does not exist, or is for something else.

    Raises:
        InvalidRequestError: telling those that there are.
    """
    placements = snapshot.recommender.placements
    if name not in placements or placements[name].anchor not in anchors:
        shown = name[:MAX_ECHO]
        fitting = ", ".join(each.name for each in placements.values() if each.anchor in anchors)
        message = f"placement is {shown!r}: expected one of {fitting}"
        raise InvalidRequestError([FieldError("placement", message, shown)])
