"""All operations of the server, among them the product pages' lists and the health checks."""

from __future__ import annotations

from typing import Any, Final

from recsys.core.errors import UnknownItemError
from recsys.core.placements import Anchor
from recsys.data.offers import NO_CONTEXT_VALUE, OfferScope
from recsys.pipeline.offer_view import NO_SCOPE
from recsys.pipeline.pagination import next_page, read_token, start_token
from serving.api import (
    audit,
    batch,
    catalog,
    catalog_map,
    catalog_search,
    collect,
    draft_effects,
    draft_estimates,
    drafts,
    events,
    experiment_analysis,
    experiments,
    explain,
    exposure,
    identity,
    impressions,
    keys,
    lists,
    personal_lists,
    placements,
    stats,
    theme_products,
    trainings,
    users,
    versions,
)
from serving.api.request_models import (
    ListQuery,
    as_of_or_now,
    check_placement,
    has_no_filter,
    limit_of,
)
from serving.api.user_variants import answering, bundle_for
from serving.http.fields import Id, Name, NoParameters, PageToken
from serving.http.openapi import document
from serving.http.operation import Operation
from serving.responses import ANSWER, Alive, Readiness, ResponseMeta, encode, merge_json, moment
from serving.runtime import telemetry
from serving.runtime.answer_cache import QUARTER_S, AnswerKey, CachedAnswer
from serving.runtime.app_context import AppContext
from serving.runtime.auth import BROWSE
from serving.runtime.impressions import impression_payload
from serving.runtime.snapshot import Snapshot

MINUTE_S: Final = 60

FOR_ITEM: Final[frozenset[Anchor]] = frozenset({"item", "any"})
FOR_USER: Final[frozenset[Anchor]] = frozenset({"user", "none", "any"})


class ItemList(ListQuery, frozen=True, kw_only=True):
    """A list for an item.

    Attributes:
        item_id: the item on the page.
        user_id: the user who views it, if known: items that they own already are left out.
        page_token: `next_page_token` of the page before; the other parameters, besides `limit`, as for that page.
    """

    item_id: Id
    placement: Name = "complementary"
    page_token: PageToken | None = None

    @property
    def is_cacheable(self) -> bool:
        """Whether the response is the same for everybody."""
        return not (self.user_id or self.filter is not None or self.page_token or self.max_total_price)


class UserList(ListQuery, frozen=True, kw_only=True):
    """A list for a user.

    Attributes:
        user_id: the user; an unknown one gets the fallback list.
        page_token: `next_page_token` of the page before; the other parameters, besides `limit`, as for that page.
    """

    user_id: Id
    placement: Name = "for_you"
    page_token: PageToken | None = None


def recommend_for_item(app_context: AppContext, call: ItemList) -> bytes:
    """List items that go with an item, or could replace it.

    An item that the bundle does not know is a 404. Without `user_id` and `filter` the list is the same for everybody.
    """
    snapshot = answering(app_context, app_context.watcher.snapshot(), call.user_ids, call.page_token)
    recommender = snapshot.recommender
    as_of = as_of_or_now(app_context, call.as_of)
    limit = limit_of(snapshot, call.placement, call.limit)
    check_placement(snapshot, call.placement, FOR_ITEM)
    request, seal = call.request(snapshot, as_of, (call.item_id,)), app_context.page_seal()
    if call.page_token is not None:
        page = next_page(recommender, request, read_token(call.page_token, recommender, seal), seal)
        return lists.page_response(app_context, snapshot, request, *page, log=call.log)
    if not recommender.knows_item(call.item_id):
        raise UnknownItemError(call.item_id)
    if not call.is_cacheable:
        return personal_lists.first_page(app_context, snapshot, request, log=call.log)
    state = snapshot.cache.state()
    found = recommender.recommend_for(request)
    named = recommender.current.items.rows((call.item_id, *(item.item_id for item in found.items)))
    token = start_token(recommender, request, found, seal)
    answer = CachedAnswer(encode(found), impression_payload(found, request.variant), token, tuple(named.tolist()))
    snapshot.cache.put(_answer_key(snapshot, call, as_of, limit), answer, state)
    return _item_response(app_context, as_of, answer, log=call.log)


def cached_for_item(app_context: AppContext, call: ItemList) -> bytes | None:
    """Return the response of `recommend_for_item` where it is cached, without waiting for its turn."""
    snapshot = app_context.watcher.snapshot_if_current() if call.is_cacheable else None
    if snapshot is None:
        return None
    as_of = as_of_or_now(app_context, call.as_of)
    limit = limit_of(snapshot, call.placement, call.limit)
    answer = snapshot.cache.get(_answer_key(snapshot, call, as_of, limit))
    return None if answer is None else _item_response(app_context, as_of, answer, log=call.log)


def _item_response(app_context: AppContext, as_of: int, answer: CachedAnswer, *, log: bool) -> bytes:
    recommendation_id = app_context.id_generator.next()
    if log:
        app_context.impressions.record(recommendation_id, as_of, answer.payload)
    return merge_json(ResponseMeta(recommendation_id, moment(as_of), answer.token), answer.body)


def _answer_key(snapshot: Snapshot, call: ItemList, as_of: int, limit: int) -> AnswerKey:
    scope = OfferScope(
        call.region or NO_CONTEXT_VALUE, call.store or NO_CONTEXT_VALUE, call.channel or NO_CONTEXT_VALUE
    )
    recommender, offers = snapshot.recommender, NO_SCOPE
    if recommender.has_offers:
        offers = recommender.offer_context_key(call.request(snapshot, as_of, (call.item_id,)))
    placement = recommender.placements.get(call.placement)
    period = MINUTE_S if placement is not None and placement.changes_by_minute else QUARTER_S
    return AnswerKey(call.placement, call.item_id, limit, as_of // period, scope, offers, call.field_names(snapshot))


def recommend_for_user(app_context: AppContext, call: UserList) -> bytes:
    """List items that a user is likely to want.

    A user that the bundle does not know is not an error: the response is the fallback list, with `fallback_used`.
    """
    snapshot = answering(app_context, app_context.watcher.snapshot(), call.user_ids, call.page_token)
    as_of = as_of_or_now(app_context, call.as_of)
    check_placement(snapshot, call.placement, FOR_USER)
    recommender = snapshot.recommender
    request, seal = call.request(snapshot, as_of), app_context.page_seal()
    if call.page_token is not None:
        page = next_page(recommender, request, read_token(call.page_token, recommender, seal), seal)
        return lists.page_response(app_context, snapshot, request, *page, log=call.log)
    return personal_lists.first_page(app_context, snapshot, request, log=call.log)


def cached_for_user(app_context: AppContext, call: UserList) -> bytes | None:
    """Return the response of `recommend_for_user` where it is cached, without waiting for its turn."""
    if call.filter is not None or call.page_token is not None:
        return None  # a filter may have to be compiled
    snapshot = app_context.watcher.snapshot_if_current()
    if snapshot is None or not snapshot.personal.is_enabled:
        return None
    placement = snapshot.recommender.placements.get(call.placement)
    if placement is None or placement.anchor not in FOR_USER:
        return None
    other = snapshot.others.get(bundle_for(snapshot, call.user_ids)) if snapshot.others else None
    if other is not None and not app_context.watcher.is_current(other):
        return None
    snapshot = other or snapshot
    request = call.request(snapshot, as_of_or_now(app_context, call.as_of))
    return personal_lists.cached_page(app_context, snapshot, request, log=call.log)


async def live(app_context: AppContext, call: NoParameters) -> bytes:
    """Report that the process is running, with or without a bundle."""
    return encode(Alive("live"))


def ready(app_context: AppContext, call: NoParameters) -> bytes:
    """Report the bundle that is being served and the server's time.

    Without a bundle, or if no list can be made, the response is a 503 with the reason. If keys are required, there are
    no examples: this call is open to all, and they name a user.
    """
    snapshot = app_context.watcher.check_lists()
    version, now = snapshot.recommender.version, moment(app_context.clock.now())
    examples = snapshot.examples.paths() if app_context.keys is None else ()
    watcher, clock = app_context.watcher, app_context.clock
    return encode(Readiness(version, now, clock.kind, watcher.last_error, examples, watcher.stale_seconds))


async def metrics(app_context: AppContext, call: NoParameters) -> bytes:
    """Return the server's metrics in the text format of Prometheus."""
    return app_context.telemetry.exposition()


async def openapi(app_context: AppContext, call: NoParameters) -> bytes:
    """Return this document, with the placements that can be served now."""
    return encode(described(app_context))


def described(app_context: AppContext) -> dict[str, Any]:
    """Return the OpenAPI document of all operations, as they are served now."""
    return document(OPERATIONS, app_context.watcher.placements, with_keys=app_context.keys is not None)


OPERATIONS: Final = (
    Operation(
        "GET",
        "/v1/items/{item_id}/recommendations",
        ItemList,
        recommend_for_item,
        "recommendations",
        ANSWER,
        failures=(404, 503),
        anchors=FOR_ITEM,
        scope="recommend",
        also=(BROWSE,),
        cached=cached_for_item,
        is_short=has_no_filter,
    ),
    Operation(
        "GET",
        "/v1/users/{user_id}/recommendations",
        UserList,
        recommend_for_user,
        "recommendations",
        ANSWER,
        failures=(503,),
        anchors=FOR_USER,
        scope="recommend",
        cached=cached_for_user,
        is_short=has_no_filter,
    ),
    Operation("GET", "/health/live", NoParameters, live, answer=(Alive,)),
    Operation("GET", "/health/ready", NoParameters, ready, answer=(Readiness,), failures=(503,), is_urgent=True),
    Operation("GET", "/metrics", NoParameters, metrics, media_type=telemetry.MEDIA_TYPE, scope="recommend"),
    Operation("GET", "/openapi.json", NoParameters, openapi),
    *lists.OPERATIONS,
    *theme_products.OPERATIONS,
    *explain.OPERATIONS,
    *batch.OPERATIONS,
    *events.OPERATIONS,
    *collect.OPERATIONS,
    *impressions.OPERATIONS,
    *catalog.OPERATIONS,
    *users.OPERATIONS,
    *identity.OPERATIONS,
    *versions.OPERATIONS,
    *trainings.OPERATIONS,
    *experiments.OPERATIONS,
    *experiment_analysis.OPERATIONS,
    *keys.OPERATIONS,
    *placements.OPERATIONS,
    *drafts.OPERATIONS,
    *draft_effects.OPERATIONS,
    *draft_estimates.OPERATIONS,
    *audit.OPERATIONS,
    *stats.OPERATIONS,
    *exposure.OPERATIONS,
    *catalog_search.OPERATIONS,
    *catalog_map.OPERATIONS,
)
