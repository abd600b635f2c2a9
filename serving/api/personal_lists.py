"""First pages for users, given again within a minute while nothing about the user has changed.

Each response has its own `recommendation_id` and its own impression.
"""

from __future__ import annotations

from typing import Final

from recsys.core.placements import Placement
from recsys.core.request import Request
from recsys.eventlog.identities import user_key
from recsys.moments.registry import MOMENTS
from recsys.pipeline.offer_view import NO_SCOPE
from recsys.pipeline.pagination import request_fingerprint, start_token
from serving.responses import ResponseMeta, encode, exposures_of, merge_json, moment
from serving.runtime.answer_cache import CachedAnswer, LiveState, PersonalKey
from serving.runtime.app_context import AppContext
from serving.runtime.impressions import impression_payload, user_columns
from serving.runtime.snapshot import Snapshot

MINUTE_S: Final = 60


def first_page(app_context: AppContext, snapshot: Snapshot, request: Request, *, log: bool) -> bytes:
    """Return the encoded first page of a list for a user, from the cache where it is still right.

    Raises:
        RecsysError: names the field that is wrong.
    """
    known = cached_page(app_context, snapshot, request, log=log)
    if known is not None:
        return known
    state, recommender = snapshot.personal.state(), snapshot.recommender
    found = recommender.recommend_for(request)
    token = start_token(recommender, request, found, app_context.page_seal())
    answer = CachedAnswer(encode(found), impression_payload(found, request.variant), token, log_seq=snapshot.log_seq)
    _keep(snapshot, request, [item.item_id for item in found.items], answer, state)
    return _response(app_context, snapshot, request, answer, log=log)


def cached_page(app_context: AppContext, snapshot: Snapshot, request: Request, *, log: bool) -> bytes | None:
    """Return the encoded first page where it is cached and still right; any thread may call it."""
    key = _key(snapshot, request)
    answer = None if key is None else snapshot.personal.get(key, request.as_of)
    return None if answer is None else _response(app_context, snapshot, request, answer, log=log)


def _keep(snapshot: Snapshot, request: Request, item_ids: list[str], answer: CachedAnswer, state: LiveState) -> None:
    key, live = _key(snapshot, request), snapshot.recommender.live
    if key is None:
        return
    if live is not None and key.user is not None:
        end = (key.minute + 1) * MINUTE_S - 1
        answer = answer._replace(span=live.quiet_span(key.user, request.as_of, end))
    named = snapshot.recommender.current.items.rows((*request.item_ids, *item_ids)).tolist()
    placement = _placement(snapshot, request)
    answer = answer._replace(
        rows=tuple(row for row in named if row >= 0), follows_catalog=placement is not None and _is_of_moment(placement)
    )
    snapshot.personal.put(key, answer, state)


def _key(snapshot: Snapshot, request: Request) -> PersonalKey | None:
    """Return the key of a request, None for one whose list may be another one each time."""
    recommender, placement = snapshot.recommender, _placement(snapshot, request)
    if not snapshot.personal.is_enabled or placement is None or _is_random(placement) or request.explain:
        return None
    return PersonalKey(
        request.placement,
        request.limit,
        user_key(request.user_id, request.visitor_id, request.session_id),
        request.as_of // MINUTE_S,
        request_fingerprint(request),
        recommender.offer_context_key(request) if recommender.has_offers else NO_SCOPE,
        () if request.variant is None else tuple(sorted(request.variant.exposures.items())),
    )


def _placement(snapshot: Snapshot, request: Request) -> Placement | None:
    changed = None if request.variant is None else request.variant.placement
    return snapshot.recommender.placements.get(request.placement) if changed is None else changed


def _is_of_moment(placement: Placement) -> bool:
    """Return whether a list is of what has just changed, such as a price."""
    return not MOMENTS.keys().isdisjoint(placement.sources) or any(map(_is_of_moment, placement.substitutes))


def _is_random(placement: Placement) -> bool:
    return bool(placement.rotation) or any(map(_is_random, placement.substitutes))


def _response(
    app_context: AppContext, snapshot: Snapshot, request: Request, answer: CachedAnswer, *, log: bool
) -> bytes:
    recommendation_id = app_context.id_generator.next()
    if log:
        user_ids = user_columns(snapshot.users, request)
        app_context.impressions.record(recommendation_id, request.as_of, answer.payload, user_ids, answer.log_seq)
    meta = ResponseMeta(recommendation_id, moment(request.as_of), answer.token, exposures_of(request))
    return merge_json(meta, answer.body)
