"""Calls that ask for lists in a body: one list, all lists of a page, and a given list in another order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from dataclasses import fields as dataclass_fields
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType, structs
from starlette.exceptions import HTTPException

from recsys.core.errors import RequestError
from recsys.core.ids import UNKNOWN
from recsys.core.request import Recommendations, Request
from recsys.pipeline.pages import compose_page, fill_lists
from recsys.pipeline.pagination import next_page, read_token, start_token
from recsys.pipeline.recommend import RankedResult
from recsys.pipeline.rerank_items import rerank_items
from recsys.pipeline.score_breakdown import ScoreBreakdown, score_breakdown
from serving.api.personal_lists import first_page
from serving.api.request_models import (
    ALL_ANCHORS,
    ListRequest,
    PageRequest,
    RankRequest,
    ShelvesRequest,
    are_few_lists,
    as_of_or_now,
    check_placement,
    has_no_filter,
    list_request,
    returned_fields,
    shelf_request,
)
from serving.api.user_variants import answering, variant_for
from serving.http.body import Body
from serving.http.fields import Name, NoParameters, Parameters
from serving.http.operation import Operation
from serving.problems import FieldError, InvalidRequestError, shown
from serving.responses import ANSWER, ResponseMeta, Time, encode, exposures_of, merge_json, moment
from serving.runtime.app_context import AppContext
from serving.runtime.auth import BROWSE
from serving.runtime.impressions import ImpressionPayload, impression_payload, user_columns
from serving.runtime.snapshot import Snapshot

RANKED: Final = "rank"
"""The placement of a given list in the log of impressions."""


class OnePage(Parameters, frozen=True):
    """A page of the shop.

    Attributes:
        page: its name in the file of placements.
    """

    page: Name


class ExplainedRecommendations(msgspec.Struct, frozen=True, omit_defaults=True):
    """A list, with the parts of its scores if the request asks for them.

    Attributes:
        explanations: for each item, in the order of the list, the parts of its score; only with `explain`.
    """

    explanations: tuple[ScoreBreakdown, ...] | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class PageList(Recommendations):
    """One list of a page.

    Attributes:
        recommendation_id: unique to this list; send it with later events, for attribution.
        titles: titles of the list by language, from the file of placements.
        explanations: for each item, in the order of the list, the parts of its score; only with `explain`.
        experiments: the user's variant by experiment; only where the list is in one.
    """

    recommendation_id: str
    titles: dict[str, str]
    explanations: tuple[ScoreBreakdown, ...] | UnsetType = UNSET
    experiments: dict[str, str] | UnsetType = UNSET


class PageResponse(msgspec.Struct, frozen=True):
    """All lists of a page.

    Attributes:
        page: its name.
        as_of: the moment that the response is for.
        model_version: the bundle that the lists are from.
        shelves: the lists, the most personal ones first; none of them is empty.
    """

    page: str
    as_of: Time
    model_version: str
    shelves: tuple[PageList, ...]


class Shelves(msgspec.Struct, frozen=True):
    """The lists of a page that the call described.

    Attributes:
        as_of: the moment that the response is for.
        model_version: the bundle that the lists are from.
        shelves: the lists, in the order of the call; a list may be empty.
    """

    as_of: Time
    model_version: str
    shelves: tuple[PageList, ...]


class RankedItem(msgspec.Struct, frozen=True):
    """One item of a given list.

    Attributes:
        item_id: the shop's own id.
        score: what the list is ordered by; comparable within one response only.
        rank: 1 for the first.
    """

    item_id: str
    score: float
    rank: int


class RankedItems(msgspec.Struct, frozen=True):
    """A given list in the order in which a user is likely to want its items.

    Attributes:
        recommendation_id: unique to this response; send it with later events, for attribution to the placement `rank`.
        as_of: the moment that the response is for.
        model_version: the bundle that the order is from.
        items: all items, each once, best first; unknown ones are last.
        missing_ids: items that the bundle does not know.
        experiments: the user's variant by experiment; only in an experiment of bundles.
    """

    recommendation_id: str
    as_of: Time
    model_version: str
    items: tuple[RankedItem, ...]
    missing_ids: tuple[str, ...]
    experiments: dict[str, str] | UnsetType = UNSET


def recommend_items(app_context: AppContext, call: NoParameters, body: ListRequest) -> bytes:
    """List the items of one placement for a user, a session or a cart: the form with all options.

    `page_token` continues after the page before, without repeats or gaps, even if events arrive in between.
    """
    return list_response(app_context, app_context.watcher.snapshot(), body)


def list_response(app_context: AppContext, snapshot: Snapshot, body: ListRequest) -> bytes:
    """Return the encoded list that a body asks for, from the bundle of the user's variant.

    Raises:
        RecsysError: names the field that is wrong.
    """
    snapshot = answering(app_context, snapshot, body.user_ids, body.page_token)
    as_of = as_of_or_now(app_context, body.as_of)
    check_placement(snapshot, body.placement, ALL_ANCHORS)
    request = list_request(snapshot, body, body.placement, as_of)
    recommender, seal = snapshot.recommender, app_context.page_seal()
    if body.page_token is None and not body.explain:
        return first_page(app_context, snapshot, request, log=body.log)
    if body.page_token is None:
        found = recommender.recommend_with_trace(request)
        token = start_token(recommender, request, found.recommendations, seal)
    else:
        found, token = next_page(recommender, request, read_token(body.page_token, recommender, seal), seal)
    response = page_response(app_context, snapshot, request, found, token, log=body.log)
    if not body.explain:
        return response
    return b"%b,%b" % (response[:-1], encode(ExplainedRecommendations(score_breakdown(found)))[1:])


def page_response(
    app_context: AppContext,
    snapshot: Snapshot,
    request: Request,
    found: RankedResult,
    token: str | None,
    *,
    log: bool,
) -> bytes:
    """Return an encoded page with the token of the next one; with `log`, record its impression."""
    as_of = found.state.query.now
    listed = found.recommendations
    recommendation_id = new_recommendation_id(app_context, snapshot, request, listed, as_of, log=log)
    meta = ResponseMeta(recommendation_id, moment(as_of), token, exposures_of(request))
    return merge_json(meta, encode(found.recommendations))


def fill_page_of_shop(app_context: AppContext, call: OnePage, body: PageRequest) -> bytes:
    """Fill all lists of a page in one call, no item twice, the most personal lists first.

    404 if the file of placements has no such page. Lists for an item are left out without `item_ids`.
    """
    snapshot = answering(app_context, app_context.watcher.snapshot(), body.user_ids)
    as_of = as_of_or_now(app_context, body.as_of)
    recommender = snapshot.recommender
    page = recommender.book.pages.get(call.page)
    if page is None:
        known = ", ".join(recommender.book.pages) or "none"
        raise HTTPException(404, f"there is no page {shown(call.page)!r}: there are {known}")
    requests = {name: list_request(snapshot, body, name, as_of) for name in page.placements}
    shelves = tuple(
        _shelf(app_context, snapshot, requests[found.recommendations.placement], found, body)
        for found in compose_page(recommender, page, requests.__getitem__)
    )
    return encode(PageResponse(page.name, moment(as_of), recommender.version, shelves))


def fill_shelves(app_context: AppContext, call: NoParameters, body: ShelvesRequest) -> bytes:
    """Fill several lists in one call, no item twice: a page that the call itself describes.

    Each list chooses among the items, and variants of products, that no list before it took. The response has the lists
    in the order of the call, empty ones too. A list that cannot be served is a 422 that names it, such as
    `shelves[1].placement`.
    """
    snapshot = answering(app_context, app_context.watcher.snapshot(), body.user_ids)
    as_of = as_of_or_now(app_context, body.as_of)
    fields = returned_fields(snapshot, body.fields)
    requests = [replace(each, fields=fields) for each in _shelf_requests(snapshot, body, as_of)]
    filled = zip(requests, fill_lists(snapshot.recommender, requests), strict=True)
    shelves = tuple(_shelf(app_context, snapshot, request, found, body) for request, found in filled)
    return encode(Shelves(moment(as_of), snapshot.recommender.version, shelves))


def _shelf_requests(snapshot: Snapshot, body: ShelvesRequest, as_of: int) -> list[Request]:
    """Return the library's requests.

    Raises:
        InvalidRequestError: names every list that cannot be served.
    """
    requests: list[Request] = []
    faults: list[FieldError] = []
    for number, shelf in enumerate(body.shelves):
        try:
            requests.append(shelf_request(snapshot, body, shelf, as_of))
        except InvalidRequestError as error:
            faults += (structs.replace(fault, field=f"shelves[{number}].{fault.field}") for fault in error.errors)
        except RequestError as error:
            faults.append(FieldError(f"shelves[{number}].{error.field}", str(error)))
    if faults:
        raise InvalidRequestError(faults)
    return requests


def _shelf(
    app_context: AppContext,
    snapshot: Snapshot,
    request: Request,
    found: RankedResult,
    body: PageRequest | ShelvesRequest,
) -> PageList:
    """Return one list of a page, with an id of its own; with `log`, it is recorded as shown."""
    listed = found.recommendations
    recommendation_id = new_recommendation_id(app_context, snapshot, request, listed, request.as_of, log=body.log)
    return PageList(
        **{each.name: getattr(listed, each.name) for each in dataclass_fields(Recommendations)},
        recommendation_id=recommendation_id,
        titles=dict(snapshot.recommender.placements[listed.placement].titles),
        explanations=score_breakdown(found) if isinstance(body, PageRequest) and body.explain else UNSET,
        experiments=exposures_of(request),
    )


def rank_items(app_context: AppContext, call: NoParameters, body: RankRequest) -> bytes:
    """Order a given list of items by how likely a user is to take each next.

    An id that is repeated counts once. No other item is left out: items that are sold out have a rank too, and unknown
    ones are last.
    """
    snapshot = answering(app_context, app_context.watcher.snapshot(), body.user_ids)
    as_of = as_of_or_now(app_context, body.as_of)
    recommender = snapshot.recommender
    variant = variant_for(snapshot, RANKED, body.user_ids)
    request = Request(
        placement="",
        as_of=as_of,
        user_id=body.user_id,
        item_ids=tuple(body.item_ids),
        visitor_id=body.visitor_id,
        session_id=body.session_id,
        context=body.context,
        variant=variant,
    )
    ranked = rerank_items(recommender, request)
    items = tuple(RankedItem(item_id, score, rank) for rank, (item_id, score) in enumerate(ranked, 1))
    rows = recommender.current.items.rows(item.item_id for item in items).tolist()
    missing = tuple(item.item_id for item, row in zip(items, rows, strict=True) if row == UNKNOWN)
    recommendation_id = app_context.id_generator.next()
    experiments = None if variant is None else dict(variant.exposures)
    raw = msgspec.Raw(encode(items))
    payload = ImpressionPayload(RANKED, recommender.version, fallback_used=False, items=raw, experiments=experiments)
    if body.log:
        user_ids = user_columns(snapshot.users, request)
        app_context.impressions.record(recommendation_id, as_of, payload, user_ids, snapshot.log_seq)
    exposures = exposures_of(request)
    return encode(RankedItems(recommendation_id, moment(as_of), recommender.version, items, missing, exposures))


def new_recommendation_id(
    app_context: AppContext,
    snapshot: Snapshot,
    request: Request,
    listed: Recommendations,
    shown_at: int,
    *,
    log: bool,
) -> str:
    """Return a new `recommendation_id` for a list; with `log`, record that the list is shown."""
    recommendation_id = app_context.id_generator.next()
    if log:
        user_ids = user_columns(snapshot.users, request)
        payload = impression_payload(listed, request.variant)
        app_context.impressions.record(recommendation_id, shown_at, payload, user_ids, snapshot.log_seq)
    return recommendation_id


OPERATIONS: Final = (
    Operation(
        "POST",
        "/v1/recommendations",
        NoParameters,
        recommend_items,
        "recommendations",
        (*ANSWER, ExplainedRecommendations),
        failures=(503,),
        scope="recommend",
        also=(BROWSE,),
        body=Body(ListRequest),
        is_short=has_no_filter,
    ),
    Operation(
        "POST",
        "/v1/pages/{page}",
        OnePage,
        fill_page_of_shop,
        "recommendations",
        (PageResponse,),
        failures=(404, 503),
        scope="recommend",
        also=(BROWSE,),
        body=Body(PageRequest),
        is_short=has_no_filter,
    ),
    Operation(
        "POST",
        "/v1/pages",
        NoParameters,
        fill_shelves,
        "recommendations",
        (Shelves,),
        failures=(503,),
        scope="recommend",
        also=(BROWSE,),
        body=Body(ShelvesRequest),
        is_short=are_few_lists,
        cost=lambda page: len(page.shelves),
    ),
    Operation(
        "POST",
        "/v1/rank",
        NoParameters,
        rank_items,
        "recommendations",
        (RankedItems,),
        failures=(503,),
        scope="recommend",
        also=(BROWSE,),
        body=Body(RankRequest),
        is_short=has_no_filter,
    ),
)
