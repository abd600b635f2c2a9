"""Fields that calls for lists share, in URLs and in bodies, and the library's request that they make."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated, Final, get_args

import msgspec
from msgspec import Meta

from recsys.core.placements import Anchor, ListVariant
from recsys.core.request import DEFAULT_LIMIT, Request
from recsys.pipeline.rerank_items import MAX_RERANK_ITEMS
from recsys.pipeline.resolve import find_placement
from serving.api.user_variants import UserIds, variant_for
from serving.http.fields import (
    MAX_FIELDS,
    FieldNames,
    FieldText,
    Filter,
    Id,
    Integer,
    Label,
    Limit,
    MaxPrice,
    Name,
    PageToken,
    Parameters,
    Share,
    Timestamp,
)
from serving.problems import FieldError, InvalidRequestError, shown
from serving.responses import moment
from serving.runtime.app_context import AppContext
from serving.runtime.snapshot import Snapshot

MAX_SEED_ITEMS: Final = 100
MAX_SHELVES: Final = 20
FEW_SHELVES: Final = 6
"""Lists of a page that are made in one turn of the event loop."""

MAX_CONTEXT: Final = 50
MAX_CONTEXT_NAME: Final = 64
ALL_ANCHORS: Final[frozenset[Anchor]] = frozenset(get_args(Anchor))

ContextEntry = Integer | float | bool | Label
ContextValue = ContextEntry | Annotated[list[ContextEntry], Meta(max_length=MAX_CONTEXT)] | None
Context = Annotated[
    dict[Annotated[str, Meta(min_length=1, max_length=MAX_CONTEXT_NAME)], ContextValue], Meta(max_length=MAX_CONTEXT)
]


class ListParameters(Parameters, frozen=True, kw_only=True):
    """Parameters of every call for one list.

    Attributes:
        placement: the list.
        user_id: the user that the list is for, if known.
        limit: number of items; the placement's own number if not given.
        as_of: the moment that the response is for; the server's clock if not given.
        filter: which items may be listed, besides the placement's own filter (docs/filters.md).
        max_total_price: largest price of a set, instead of the placement's; for placements that list sets only.
        region: the user's region: selects among offers, and filters read it as `context.region`.
        store: the store that the user shops in: the same, `context.store`.
        channel: app, web, mini-program …: the same, `context.channel`.
        log: whether the list is shown, and recorded as an impression; false for previews and tests.
    """

    placement: Name
    user_id: Id | None = None
    limit: Limit | None = None
    as_of: Timestamp | None = None
    filter: Filter | None = None
    max_total_price: MaxPrice | None = None
    region: Name | None = None
    store: Name | None = None
    channel: Name | None = None
    log: bool = True

    @property
    def user_ids(self) -> UserIds:
        """The ids of the user."""
        return self.user_id, None, None

    def request(self, snapshot: Snapshot, as_of: int, item_ids: tuple[str, ...] = ()) -> Request:
        """Return the library's request.

        Raises:
            RequestError: the filter is invalid.
        """
        places = (("region", self.region), ("store", self.store), ("channel", self.channel))
        variant = variant_for(snapshot, self.placement, self.user_ids)
        return Request(
            placement=self.placement,
            as_of=as_of,
            limit=limit_of(snapshot, self.placement, self.limit, variant),
            user_id=self.user_id,
            item_ids=item_ids,
            filter=snapshot.recommender.filter(self.filter),
            context={name: value for name, value in places if value is not None},
            variant=variant,
            max_total_price=self.max_total_price,
        )


class ListQuery(ListParameters, frozen=True, kw_only=True):
    """Parameters of a call that returns a list.

    Attributes:
        fields: columns of the catalog to return with each item, separated by commas, such as `title,price`.
    """

    fields: FieldText | None = None

    def request(self, snapshot: Snapshot, as_of: int, item_ids: tuple[str, ...] = ()) -> Request:
        """Return the library's request.

        Raises:
            RequestError: the filter is invalid, or a column may not be returned.
        """
        request = super().request(snapshot, as_of, item_ids)
        return request if self.fields is None else replace(request, fields=self.field_names(snapshot))

    def field_names(self, snapshot: Snapshot) -> tuple[str, ...]:
        """Return the names of the columns.

        Raises:
            InvalidRequestError: a column may not be returned, or there are too many.
        """
        return () if self.fields is None else returned_fields(snapshot, self.fields.split(","))


class UserContext(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Fields of every body that asks for items: the user, the moment and the context.

    Attributes:
        user_id: the user, if known.
        visitor_id: the visitor, if nobody is logged in.
        session_id: the session, if nothing else is known.
        as_of: the moment that the response is for; the server's clock if not given.
        context: values that filters read as `context.…`; `region`, `store` and `channel` also select among offers.
        log: whether the response is shown, and recorded as impressions; false for previews and tests.
    """

    user_id: Id | None = None
    visitor_id: Id | None = None
    session_id: Id | None = None
    as_of: Timestamp | None = None
    context: Context = {}
    log: bool = True

    @property
    def user_ids(self) -> UserIds:
        """The ids of the user."""
        return self.user_id, self.visitor_id, self.session_id


class PageRequest(UserContext, frozen=True, kw_only=True):
    """The user and the settings of the lists of a page.

    Attributes:
        item_ids: the item on the page, or the cart, or, for a user, the items just viewed; oldest
            first.
        filter: which items may be listed, besides the placements' own filters (docs/filters.md).
        diversity: weight of dissimilarity against the score, instead of the placement's.
        tail_share: share of the positions for the long tail, instead of the placement's.
        limit: number of items; the placement's own number if not given.
        explain: whether to return the parts of the scores, and the ranker's features, in `explanations` of each list.
        fields: columns of the catalog to return with each item, such as `title` and `price`.
    """

    item_ids: Annotated[list[Id], Meta(max_length=MAX_SEED_ITEMS)] = []
    filter: Filter | None = None
    diversity: Share | None = None
    tail_share: Share | None = None
    limit: Limit | None = None
    explain: bool = False
    fields: FieldNames = []


class ShelfRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One list of a page.

    Attributes:
        placement: the list.
        item_ids: the item on the page, or the cart, or, for a user, the items just viewed; oldest first.
        filter: which items may be listed, besides the placement's own filter (docs/filters.md).
        limit: number of items; the placement's own number if not given.
    """

    placement: Name
    item_ids: Annotated[list[Id], Meta(max_length=MAX_SEED_ITEMS)] = []
    filter: Filter | None = None
    limit: Limit | None = None


class ShelvesRequest(UserContext, frozen=True, kw_only=True):
    """The lists of a page, and the user that they are for.

    Attributes:
        shelves: the lists, in the order in which they choose their items.
        fields: columns of the catalog to return with each item, such as `title` and `price`.
    """

    shelves: Annotated[list[ShelfRequest], Meta(min_length=1, max_length=MAX_SHELVES)]
    fields: FieldNames = []


def has_no_filter(*given: msgspec.Struct) -> bool:
    """Return whether a call is without a filter of its own: one of a caller may take seconds over a large catalog."""
    return all(getattr(each, "filter", None) is None for each in given)


def are_few_lists(call: msgspec.Struct, body: ShelvesRequest) -> bool:
    """Return whether a page has few lists, all of them without a filter of the caller."""
    return len(body.shelves) <= FEW_SHELVES and has_no_filter(*body.shelves)


class ListRequest(PageRequest, frozen=True, kw_only=True):
    """The list, its user and its settings.

    Attributes:
        placement: the list.
        as_of: the moment that the response is for; the server's clock if not given, on later pages the first page's.
        limit: number of items; the placement's own number if not given. Pages may differ in it.
        page_token: `next_page_token` of the page before; the other fields as for that page.
        max_total_price: largest price of a set, instead of the placement's; for placements that list sets only.
        explain: whether to return the parts of the scores, and the ranker's features, in `explanations`.
    """

    placement: Name
    page_token: PageToken | None = None
    max_total_price: MaxPrice | None = None


class RankRequest(UserContext, frozen=True, kw_only=True):
    """The items to order, and the user.

    Attributes:
        item_ids: the items; repeated ones count once.
    """

    item_ids: Annotated[list[Id], Meta(min_length=1, max_length=MAX_RERANK_ITEMS)]


def list_request(snapshot: Snapshot, body: PageRequest, placement: str, as_of: int) -> Request:
    """Return the library's request for one list.

    Raises:
        RequestError: the filter is invalid.
    """
    variant = variant_for(snapshot, placement, body.user_ids)
    return Request(
        placement=placement,
        as_of=as_of,
        limit=limit_of(snapshot, placement, body.limit, variant),
        user_id=body.user_id,
        item_ids=tuple(body.item_ids),
        visitor_id=body.visitor_id,
        session_id=body.session_id,
        filter=snapshot.recommender.filter(body.filter),
        context=body.context,
        diversity=body.diversity,
        tail_share=body.tail_share,
        variant=variant,
        max_total_price=body.max_total_price if isinstance(body, ListRequest) else None,
        fields=returned_fields(snapshot, body.fields),
    )


def shelf_request(snapshot: Snapshot, body: ShelvesRequest, shelf: ShelfRequest, as_of: int) -> Request:
    """Return the library's request for one list of a page that the call describes.

    Raises:
        InvalidRequestError: there is no such placement, or a column may not be returned.
        RequestError: the filter is invalid, or the list needs an item.
    """
    check_placement(snapshot, shelf.placement, ALL_ANCHORS)
    variant = variant_for(snapshot, shelf.placement, body.user_ids)
    request = Request(
        placement=shelf.placement,
        as_of=as_of,
        limit=limit_of(snapshot, shelf.placement, shelf.limit, variant),
        user_id=body.user_id,
        item_ids=tuple(shelf.item_ids),
        visitor_id=body.visitor_id,
        session_id=body.session_id,
        filter=snapshot.recommender.filter(shelf.filter),
        context=body.context,
        variant=variant,
    )
    find_placement(request, snapshot.recommender.placements)
    return request


def returned_fields(snapshot: Snapshot, names: Iterable[str]) -> tuple[str, ...]:
    """Return the columns of items that a call asks for, each once.

    Raises:
        InvalidRequestError: a column may not be returned, or there are too many.
    """
    given = tuple(dict.fromkeys(names))
    if len(given) > MAX_FIELDS:
        message = f"fields has {len(given)} names: expected at most {MAX_FIELDS}"
        raise InvalidRequestError([FieldError("fields", message)])
    for name in given:
        if name not in snapshot.item_fields:
            found, known = shown(name), ", ".join(snapshot.item_fields)
            message = (
                f"fields contains {found!r}: expected some of {known}; RECSYS_ITEM_FIELDS names the shop's own columns"
                " that may be returned"
            )
            raise InvalidRequestError([FieldError("fields", message, found)])
    return given


def limit_of(snapshot: Snapshot, placement: str, given: int | None, variant: ListVariant | None = None) -> int:
    """Return the number of items: as given, else that of the user's variant, else the placement's own."""
    if given is not None:
        return given
    if variant is not None and variant.placement is not None:
        return variant.placement.limit
    known = snapshot.recommender.placements.get(placement)
    return DEFAULT_LIMIT if known is None else known.limit


def as_of_or_now(app_context: AppContext, given: Timestamp | None) -> int:
    """Return the moment that a response is for, seconds since 1970.

    Raises:
        InvalidRequestError: it is before 1970 or after the server's clock.
    """
    now = app_context.clock.now()
    return now if given is None else past_second(app_context, "as_of", given, now)


def past_second(app_context: AppContext, field: str, given: Timestamp, now: int, earliest: int = 0) -> int:
    """Return a time of a request, seconds since 1970.

    Args:
        app_context: has the tolerance of clocks that are ahead.
        field: where the request has the time.
        given: the time.
        now: the clock that it may not be after, seconds since 1970.
        earliest: the earliest time, seconds since 1970.

    Raises:
        InvalidRequestError: it is before the earliest time or after the clock.
    """
    seconds = int(given.timestamp())
    if not earliest <= seconds <= now + app_context.settings.future_tolerance_seconds:
        found, start, end = given.isoformat(), moment(earliest).date(), moment(now).isoformat()
        message = f"{field} is {found}: expected a time from {start} to the server's clock, now at {end}"
        raise InvalidRequestError([FieldError(field, message, found)])
    return seconds


def check_placement(snapshot: Snapshot, name: str, anchors: frozenset[Anchor]) -> None:
    """Refuse a list that does not exist, or has another anchor.

    Raises:
        InvalidRequestError: names the lists that exist.
    """
    placements = snapshot.recommender.placements
    if name not in placements or placements[name].anchor not in anchors:
        found = shown(name)
        fitting = ", ".join(each.name for each in placements.values() if each.anchor in anchors)
        message = f"placement is {found!r}: expected one of {fitting}"
        raise InvalidRequestError([FieldError("placement", message, found)])
