"""The calls that the server answers."""

from __future__ import annotations

from typing import Any, Final

from recsys.core.errors import UnknownItemError
from recsys.core.placements import Anchor
from recsys.core.request import Request
from recsys.data.offers import NO_CONTEXT_VALUE, OfferScope
from recsys.pipeline.offer_view import NO_SCOPE
from recsys.pipeline.pagination import next_page, read_token, start_token
from recsys.pipeline.recommender import Recommender
from serving.api import batch, catalog, events, explain, identity, lists, versions
from serving.api.request_models import as_of_or_now, check_placement, limit_of
from serving.http.openapi import document
from serving.http.operation import Operation
from serving.http.parameters import (
    Condition,
    Id,
    Limit,
    Name,
    Nothing,
    PageToken,
    Parameters,
    Place,
    Timestamp,
    context_of,
)
from serving.responses import ANSWER, Alive, Readiness, ResponseMeta, encode, merge_json, moment
from serving.runtime import telemetry
from serving.runtime.answer_cache import QUARTER_S, AnswerKey, CachedAnswer
from serving.runtime.app_context import AppContext
from serving.runtime.impressions import shown_of, who_of

FOR_ITEM: Final[frozenset[Anchor]] = frozenset({"item"})
FOR_USER: Final[frozenset[Anchor]] = frozenset({"user", "none"})


class ItemList(Parameters, frozen=True):
    """A list that stands beside an item.

    Attributes:
        item_id: the item that is looked at.
        placement: the list.
        user_id: who looks at it, if known: what they own already is left out.
        limit: how many items; the placement's own number if not given.
        as_of: the moment that the answer is for; the server's clock if not given.
        filter: which items may be listed, beside what the placement says (docs/filters.md).
        region: where the shopper is: chooses among offers, and filters read it as `context.region`.
        store: the store that is shopped in: the same, `context.store`.
        channel: app, web, mini-program …: the same, `context.channel`.
        page_token: `next_page_token` of the page before; the others as for that, but for `limit`.
    """

    item_id: Id
    placement: Name = "complementary"
    user_id: Id | None = None
    limit: Limit | None = None
    as_of: Timestamp | None = None
    filter: Condition | None = None
    region: Place | None = None
    store: Place | None = None
    channel: Place | None = None
    page_token: PageToken | None = None


class UserList(Parameters, frozen=True):
    """A list for a user.

    Attributes:
        user_id: whom the list is for; one that is unknown gets the fallback's list.
        placement: the list.
        limit: how many items; the placement's own number if not given.
        as_of: the moment that the answer is for; the server's clock if not given.
        filter: which items may be listed, beside what the placement says (docs/filters.md).
        region: where the shopper is: chooses among offers, and filters read it as `context.region`.
        store: the store that is shopped in: the same, `context.store`.
        channel: app, web, mini-program …: the same, `context.channel`.
        page_token: `next_page_token` of the page before; the others as for that, but for `limit`.
    """

    user_id: Id
    placement: Name = "for_you"
    limit: Limit | None = None
    as_of: Timestamp | None = None
    filter: Condition | None = None
    region: Place | None = None
    store: Place | None = None
    channel: Place | None = None
    page_token: PageToken | None = None


async def recommend_for_item(service: AppContext, call: ItemList) -> bytes:
    """List what goes with an item, or could replace it.

    An item that the bundle does not know is 404. Without `user_id` and `filter` the list is the same for everybody.
    """
    snapshot = service.state.snapshot()
    recommender = snapshot.recommender
    as_of = as_of_or_now(service, call.as_of)
    limit = limit_of(snapshot, call.placement, call.limit)
    is_alike = call.user_id is None and call.filter is None and call.page_token is None
    key, held, who = None, None, None
    if is_alike:
        where = OfferScope(
            call.region or NO_CONTEXT_VALUE, call.store or NO_CONTEXT_VALUE, call.channel or NO_CONTEXT_VALUE
        )
        standing = (
            recommender.offer_context_key(_beside_item(recommender, call, as_of, limit))
            if recommender.has_offers
            else NO_SCOPE
        )
        key = AnswerKey(call.placement, call.item_id, limit, as_of // QUARTER_S, where, standing)
        held = snapshot.cache.get(key)
    if held is None:
        check_placement(snapshot, call.placement, FOR_ITEM)
        request = _beside_item(recommender, call, as_of, limit)
        if call.page_token is not None:
            page = read_token(call.page_token, recommender)
            return lists.page_response(service, snapshot, request, *next_page(recommender, request, page))
        if not recommender.knows_item(call.item_id):
            raise UnknownItemError(call.item_id)
        answer = recommender.recommend_for(request)
        held = CachedAnswer(encode(answer), shown_of(answer), start_token(recommender, request, answer))
        if key is not None:
            snapshot.cache.put(key, held)
        elif call.user_id is not None:
            who = who_of(recommender.live, request)
    ticket = service.tickets.next()
    service.impressions.note(ticket, as_of, held.shown, who)
    return merge_json(ResponseMeta(ticket, moment(as_of), held.token), held.body)


def _beside_item(recommender: Recommender, call: ItemList, as_of: int, limit: int) -> Request:
    context, chosen = (
        context_of(region=call.region, store=call.store, channel=call.channel),
        recommender.filter(call.filter),
    )
    return Request(call.placement, as_of, limit, call.user_id, (call.item_id,), filter=chosen, context=context)


async def recommend_for_user(service: AppContext, call: UserList) -> bytes:
    """List what a user is likely to want.

    A user that the bundle does not know is no error: the fallback's list comes, and `fallback_used` says so.
    """
    snapshot = service.state.snapshot()
    as_of = as_of_or_now(service, call.as_of)
    check_placement(snapshot, call.placement, FOR_USER)
    limit = limit_of(snapshot, call.placement, call.limit)
    context = context_of(region=call.region, store=call.store, channel=call.channel)
    recommender = snapshot.recommender
    chosen = recommender.filter(call.filter)
    request = Request(call.placement, as_of, limit, call.user_id, filter=chosen, context=context)
    if call.page_token is not None:
        page = read_token(call.page_token, recommender)
        return lists.page_response(service, snapshot, request, *next_page(recommender, request, page))
    answer = snapshot.recommender.recommend_for(request)
    ticket = lists.record_impression(service, snapshot, request, answer, as_of)
    token = start_token(snapshot.recommender, request, answer)
    return merge_json(ResponseMeta(ticket, moment(as_of), token), encode(answer))


async def live(service: AppContext, call: Nothing) -> bytes:
    """Say that the process answers, with or without a bundle."""
    return encode(Alive("live"))


async def ready(service: AppContext, call: Nothing) -> bytes:
    """Say which bundle is being served and what time it is for the server.

    Without a bundle the answer is 503 and says why. Where keys are asked for there are no examples: this call is open
    to all, and they name a shopper.
    """
    snapshot = service.state.snapshot()
    version, now = snapshot.recommender.version, moment(service.clock.now())
    examples = snapshot.examples if service.keys is None else ()
    return encode(Readiness(version, now, service.clock.kind, service.state.last_error, examples))


async def metrics(service: AppContext, call: Nothing) -> bytes:
    """Give the server's figures in the text format of Prometheus."""
    return service.telemetry.exposition()


async def openapi(service: AppContext, call: Nothing) -> bytes:
    """Give this document, with the placements that can be served now."""
    return encode(described(service))


def described(service: AppContext) -> dict[str, Any]:
    """The OpenAPI document of all calls, as they are served now."""
    return document(OPERATIONS, service.state.placements, with_keys=service.keys is not None)


OPERATIONS: Final = (
    Operation(
        "GET",
        "/v1/items/{item_id}/recommendations",
        ItemList,
        recommend_for_item,
        ANSWER,
        failures=(404, 414, 422, 503),
        anchors=FOR_ITEM,
        scope="recommend",
    ),
    Operation(
        "GET",
        "/v1/users/{user_id}/recommendations",
        UserList,
        recommend_for_user,
        ANSWER,
        failures=(414, 422, 503),
        anchors=FOR_USER,
        scope="recommend",
    ),
    Operation("GET", "/health/live", Nothing, live, (Alive,)),
    Operation("GET", "/health/ready", Nothing, ready, (Readiness,), failures=(414, 422, 503)),
    Operation("GET", "/metrics", Nothing, metrics, media_type=telemetry.MEDIA_TYPE, scope="recommend"),
    Operation("GET", "/openapi.json", Nothing, openapi),
    *lists.OPERATIONS,
    *explain.OPERATIONS,
    *batch.OPERATIONS,
    *events.OPERATIONS,
    *catalog.OPERATIONS,
    *identity.OPERATIONS,
    *versions.OPERATIONS,
)
