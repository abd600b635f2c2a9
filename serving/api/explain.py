"""The call that says why an item is not in a list."""

from __future__ import annotations

from typing import Final

import msgspec

from recsys.core.errors import UnknownItemError
from recsys.core.placements import Anchor
from recsys.core.request import Request
from recsys.pipeline.explain import FeatureContribution, SourceRank
from serving.api.request_models import as_of_or_now, check_placement, limit_of
from serving.http.operation import Operation
from serving.http.parameters import Condition, Id, Limit, Name, Parameters, Place, Timestamp, context_of
from serving.problems import FieldError, InvalidRequestError
from serving.responses import encode
from serving.runtime.app_context import AppContext

ALL_ANCHORS: Final[frozenset[Anchor]] = frozenset({"item", "user", "none"})


class ExplainParams(Parameters, frozen=True):
    """Which item, in which list.

    Attributes:
        item_id: the item that is asked about.
        user_id: whom the list is for, if anybody.
        placement: the list.
        seed_id: for a list beside an item: that item.
        limit: how many items the list has; the placement's own number if not given.
        as_of: the moment that the list is for; the server's clock if not given.
        filter: which items may be listed, beside what the placement says (docs/filters.md).
        region: where the shopper is: chooses among offers, and filters read it as `context.region`.
        store: the store that is shopped in: the same, `context.store`.
        channel: app, web, mini-program …: the same, `context.channel`.
    """

    item_id: Id
    user_id: Id | None = None
    placement: Name = "for_you"
    seed_id: Id | None = None
    limit: Limit | None = None
    as_of: Timestamp | None = None
    filter: Condition | None = None
    region: Place | None = None
    store: Place | None = None
    channel: Place | None = None


class ExplanationResponse(msgspec.Struct, frozen=True):
    """At which stage an item fell out of a list.

    Attributes:
        item_id: the item.
        placement: the list.
        stage: `listed`, `sold_out`, `sold_out_here` (by an offer), `filtered`, `no_candidate`, `removed`, `too_low` or
            `arranged_out`.
        text: the same for people, in English.
        text_zh: in Chinese.
        rule: the rule that removed it, null for other stages.
        rank: its rank among all items that could be listed, null where it is not among them.
        score: its score there.
        last_score: score of the last item of the list, null where the list is empty.
        distance: the difference to that score, 0 where the item is listed or above it.
        fallback_used: whether the list is the fallback's.
        sources: its rank in each source of the list.
        effects: the features that contribute most to the ranker's score, the largest first; none without a ranker.
    """

    item_id: str
    placement: str
    stage: str
    text: str
    text_zh: str
    rule: str | None
    rank: int | None
    score: float | None
    last_score: float | None
    distance: float | None
    fallback_used: bool
    sources: tuple[SourceRank, ...]
    effects: tuple[FeatureContribution, ...]


async def explain_item(service: AppContext, call: ExplainParams) -> bytes:
    """Say why an item is, or is not, in a list: the stage at which it fell out, and how far from the list it was.

    An item that is not known is 404.
    """
    snapshot = service.state.snapshot()
    recommender = snapshot.recommender
    check_placement(snapshot, call.placement, ALL_ANCHORS)
    if recommender.placements[call.placement].anchor == "item" and call.seed_id is None:
        message = f"placement {call.placement!r} is a list beside an item: name that item in seed_id"
        raise InvalidRequestError([FieldError("seed_id", message, None)])
    seeds = () if call.seed_id is None else (call.seed_id,)
    for item_id in (call.item_id, *seeds):
        if not recommender.knows_item(item_id):
            raise UnknownItemError(item_id)
    as_of, limit = as_of_or_now(service, call.as_of), limit_of(snapshot, call.placement, call.limit)
    context = context_of(region=call.region, store=call.store, channel=call.channel)
    chosen = recommender.filter(call.filter)
    request = Request(call.placement, as_of, limit, call.user_id, seeds, filter=chosen, context=context)
    return encode(recommender.explain(request, call.item_id).to_dict())


OPERATIONS: Final = (
    Operation(
        "GET",
        "/v1/explain",
        ExplainParams,
        explain_item,
        (ExplanationResponse,),
        failures=(404, 414, 422, 503),
        anchors=ALL_ANCHORS,
        scope="recommend",
    ),
)
