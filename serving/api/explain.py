"""The call that explains why an item is, or is not, in a list."""

from __future__ import annotations

from typing import Final

import msgspec

from recsys.core.errors import UnknownItemError
from recsys.pipeline.explain import FeatureContribution, SourceRank
from serving.api.request_models import ALL_ANCHORS, ListParameters, as_of_or_now, check_placement
from serving.api.user_variants import answering
from serving.http.fields import Id, Name
from serving.http.operation import Operation
from serving.problems import FieldError, InvalidRequestError
from serving.responses import encode
from serving.runtime.app_context import AppContext


class ExplainParams(ListParameters, frozen=True, kw_only=True):
    """The item and the list.

    Attributes:
        item_id: the item to explain.
        seed_id: the item that the list is for, if its placement is anchored to an item.
    """

    item_id: Id
    placement: Name = "for_you"
    seed_id: Id | None = None


class ExplanationResponse(msgspec.Struct, frozen=True):
    """The stage at which an item was removed from a list.

    Attributes:
        item_id: the item.
        placement: the list.
        stage: `listed`, `sold_out`, `sold_out_here` (by an offer), `filtered`, `no_candidate`, `removed`, `too_low` or
            `arranged_out`; `closed` outside the window of the list.
        text: the stage in words, in English.
        text_zh: the same in Chinese.
        rule: the rule that removed the item, null for other stages.
        rank: its rank among all items that could be listed, null if it is not among them.
        score: its score there.
        last_score: score of the last item of the list, null if the list is empty.
        distance: the difference to that score, 0 if the item is listed or above it.
        fallback_used: whether the list is the fallback list.
        sources: its rank in each source of the list.
        effects: the features that contribute most to the ranker's score, the largest first; empty without a ranker.
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


def explain_item(app_context: AppContext, call: ExplainParams) -> bytes:
    """Explain why an item is, or is not, in a list: the stage that removed it, and its distance from the list.

    An unknown item is a 404.
    """
    snapshot = answering(app_context, app_context.watcher.snapshot(), call.user_ids)
    recommender = snapshot.recommender
    check_placement(snapshot, call.placement, ALL_ANCHORS)
    if recommender.placements[call.placement].anchor == "item" and call.seed_id is None:
        message = f"placement {call.placement!r} is a list for an item: give that item in seed_id"
        raise InvalidRequestError([FieldError("seed_id", message, None)])
    seeds = () if call.seed_id is None else (call.seed_id,)
    for item_id in (call.item_id, *seeds):
        if not recommender.knows_item(item_id):
            raise UnknownItemError(item_id)
    request = call.request(snapshot, as_of_or_now(app_context, call.as_of), seeds)
    return encode(recommender.explain(request, call.item_id).to_dict())


OPERATIONS: Final = (
    Operation(
        "GET",
        "/v1/explain",
        ExplainParams,
        explain_item,
        "recommendations",
        (ExplanationResponse,),
        failures=(404, 503),
        anchors=ALL_ANCHORS,
        scope="recommend",
    ),
)
