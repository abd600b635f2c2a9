"""Calls that ask for lists in a body: one list, all lists of a page, and a given list in another order."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType
from starlette.exceptions import HTTPException

from recsys.core.ids import UNKNOWN
from recsys.core.placements import Anchor
from recsys.core.request import Recommendations, Request
from recsys.pipeline.pages import compose_page
from recsys.pipeline.pagination import first_page, next_page, read_token
from recsys.pipeline.recommend import RankedResult
from recsys.pipeline.rerank_items import rerank_items
from recsys.pipeline.score_breakdown import ScoreBreakdown, score_breakdown
from serving.api.request_models import (
    ListRequest,
    PageRequest,
    RankRequest,
    as_of_or_now,
    check_ids,
    check_placement,
    request_of,
)
from serving.http.body import Body
from serving.http.operation import Operation
from serving.http.parameters import Name, Nothing, Parameters
from serving.problems import shown
from serving.responses import ANSWER, ResponseMeta, Time, encode, merge_json, moment
from serving.runtime.app_context import AppContext
from serving.runtime.bundle_watcher import Snapshot
from serving.runtime.impressions import ImpressionPayload, shown_of, who_of

ALL_ANCHORS: Final[frozenset[Anchor]] = frozenset({"item", "user", "none"})

RANKED: Final = "rank"
"""What the log of impressions calls a given list in order."""


class OnePage(Parameters, frozen=True):
    """A page of the shop.

    Attributes:
        page: its name in the file of placements.
    """

    page: Name


class Explained(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an answer tells beside its list, if it was asked to.

    Attributes:
        explanations: for each item, in the order of the list, what its score is made of; only with `explain`.
    """

    explanations: tuple[ScoreBreakdown, ...] | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class PageList(Recommendations):
    """One list of a page.

    Attributes:
        placement: name of the list.
        model_version: the bundle that gave it.
        items: best first.
        fallback_used: whether the list is the fallback's, for want of anything known of the user or item.
        missing_ids: items of the question that the bundle does not know.
        head_share: share of the items that belong to the head that makes half of all purchases.
        local_hour: the hour of `as_of` where the user lives, 0 to 23.
        timezone: the zone that `local_hour` is in.
        recommendation_id: unique to this list; send it with later events, for attribution.
        titles: what to call the list, by language, as the file of placements has it.
        explanations: for each item, in the order of the list, what its score is made of; only with `explain`.
    """

    recommendation_id: str
    titles: dict[str, str]
    explanations: tuple[ScoreBreakdown, ...] | UnsetType = UNSET


class PageResponse(msgspec.Struct, frozen=True):
    """All lists of a page.

    Attributes:
        page: its name.
        as_of: the moment that the answer is for.
        model_version: the bundle that gave it.
        shelves: the lists, those that know most of this shopper first; none of them is empty.
    """

    page: str
    as_of: Time
    model_version: str
    shelves: tuple[PageList, ...]


class RankedItem(msgspec.Struct, frozen=True):
    """One item of a given list.

    Attributes:
        item_id: the shop's own id.
        score: what the list is ordered by; comparable within one answer only.
        rank: 1 for the first.
    """

    item_id: str
    score: float
    rank: int


class RankedItems(msgspec.Struct, frozen=True):
    """A given list in the order in which a shopper is likely to want it.

    Attributes:
        recommendation_id: unique to this answer; send it with later events, for attribution under the list `rank`.
        as_of: the moment that the answer is for.
        model_version: the bundle that gave it.
        items: all items, best first; those that are not known come last.
        missing_ids: items that the bundle does not know.
    """

    recommendation_id: str
    as_of: Time
    model_version: str
    items: tuple[RankedItem, ...]
    missing_ids: tuple[str, ...]


async def recommend_items(service: AppContext, call: Nothing, question: ListRequest) -> bytes:
    """List what one placement holds for a shopper, a session or a cart: the form that can say everything.

    `page_token` goes on where the page before ended, with no repeats and no gaps though events arrive in between.
    """
    return listed(service, service.state.snapshot(), question)


def listed(service: AppContext, snapshot: Snapshot, question: ListRequest) -> bytes:
    """The encoded list that a question asks for.

    Raises:
        RecsysError: naming the field that is wrong.
    """
    check_ids(question)
    as_of = as_of_or_now(service, question.as_of)
    check_placement(snapshot, question.placement, ALL_ANCHORS)
    request = request_of(snapshot, question, question.placement, as_of)
    if question.page_token is None:
        found, token = first_page(snapshot.recommender, request)
    else:
        page = read_token(question.page_token, snapshot.recommender)
        found, token = next_page(snapshot.recommender, request, page)
    body = page_response(service, snapshot, request, found, token)
    if not question.explain:
        return body
    return b"%b,%b" % (body[:-1], encode(Explained(score_breakdown(found)))[1:])


def page_response(
    service: AppContext, snapshot: Snapshot, request: Request, found: RankedResult, token: str | None
) -> bytes:
    """An encoded page, noted as shown, with the token of the one that follows."""
    as_of = found.state.query.now
    ticket = record_impression(service, snapshot, request, found.recommendations, as_of)
    return merge_json(ResponseMeta(ticket, moment(as_of), token), encode(found.recommendations))


async def fill_page_of_shop(service: AppContext, call: OnePage, question: PageRequest) -> bytes:
    """Fill all lists of a page in one call, no item twice, those first that know most of this shopper.

    404 where the file of placements names no such page. Lists for an item are left out without `item_ids`.
    """
    check_ids(question)
    snapshot = service.state.snapshot()
    as_of = as_of_or_now(service, question.as_of)
    recommender = snapshot.recommender
    page = recommender.book.pages.get(call.page)
    if page is None:
        known = ", ".join(recommender.book.pages) or "none"
        raise HTTPException(404, f"there is no page {shown(call.page)!r}: there are {known}")
    requests = {name: request_of(snapshot, question, name, as_of) for name in page.placements}
    shelves = []
    for found in compose_page(recommender, page, requests.__getitem__):
        told = found.recommendations
        ticket = record_impression(service, snapshot, requests[told.placement], told, as_of)
        fields = {each.name: getattr(told, each.name) for each in dataclass_fields(Recommendations)}
        titles = dict(recommender.placements[told.placement].titles)
        why = score_breakdown(found) if question.explain else UNSET
        shelves.append(PageList(**fields, recommendation_id=ticket, titles=titles, explanations=why))
    return encode(PageResponse(page.name, moment(as_of), recommender.version, tuple(shelves)))


async def rank_items(service: AppContext, call: Nothing, question: RankRequest) -> bytes:
    """Order a given list of items by how likely a shopper takes each next.

    Nothing is left out: what is sold out has its place too, and what is not known comes last.
    """
    check_ids(question)
    snapshot = service.state.snapshot()
    as_of = as_of_or_now(service, question.as_of)
    recommender = snapshot.recommender
    request = Request(
        placement="",
        as_of=as_of,
        user_id=question.user_id,
        item_ids=tuple(question.item_ids),
        visitor_id=question.visitor_id,
        session_id=question.session_id,
        context=question.context,
    )
    ranked = rerank_items(recommender, request)
    items = tuple(RankedItem(item_id, score, rank) for rank, (item_id, score) in enumerate(ranked, 1))
    rows = recommender.current.items.rows(item.item_id for item in items).tolist()
    missing = tuple(item.item_id for item, row in zip(items, rows, strict=True) if row == UNKNOWN)
    ticket = service.tickets.next()
    ordered = ImpressionPayload(RANKED, recommender.version, fallback_used=False, items=msgspec.Raw(encode(items)))
    service.impressions.note(ticket, as_of, ordered, who_of(recommender.live, request))
    return encode(RankedItems(ticket, moment(as_of), recommender.version, items, missing))


def record_impression(
    service: AppContext, snapshot: Snapshot, request: Request, told: Recommendations, as_of: int
) -> str:
    """Note that a list is shown; returns the id that it goes by."""
    ticket = service.tickets.next()
    service.impressions.note(ticket, as_of, shown_of(told), who_of(snapshot.recommender.live, request))
    return ticket


OPERATIONS: Final = (
    Operation(
        "POST",
        "/v1/recommendations",
        Nothing,
        recommend_items,
        (*ANSWER, Explained),
        failures=(414, 422, 503),
        scope="recommend",
        body=Body(ListRequest),
    ),
    Operation(
        "POST",
        "/v1/pages/{page}",
        OnePage,
        fill_page_of_shop,
        (PageResponse,),
        failures=(404, 414, 422, 503),
        scope="recommend",
        body=Body(PageRequest),
    ),
    Operation(
        "POST",
        "/v1/rank",
        Nothing,
        rank_items,
        (RankedItems,),
        failures=(414, 422, 503),
        scope="recommend",
        body=Body(RankRequest),
    ),
)
