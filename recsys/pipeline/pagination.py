"""Pages of a list: a token contains the rest of it, so that no event in between repeats an item or leaves one out.

A list whose second page is seldom requested has a shorter token: the items of its first page. The rest is computed for
the same moment when the second page is requested.
"""

from __future__ import annotations

import json
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from recsys.core.errors import RequestError
from recsys.core.ids import UNKNOWN
from recsys.core.request import Recommendations, Request
from recsys.pipeline.recommend import RankedResult, to_recommendations
from recsys.pipeline.recommender import Recommender
from recsys.pipeline.resolve import resolve_request
from recsys.pipeline.stages import rank
from recsys.reasons.labels import PINNED
from recsys.retrieval.query import Ranking
from recsys.retrieval.sources import CANDIDATE_SOURCES
from recsys.retrieval.user_state import UserState
from recsys.rules.rerank import BACKFILL_SOURCE

MAX_REST: Final = 500
"""Largest number of items after the first page."""

MAX_TOKEN_CHARS: Final = 16_384
MAX_TOKEN_BYTES: Final = 1 << 18
DIGEST_BYTES: Final = 8
FIELD: Final = "page_token"
HEAD_FIELDS: Final = ("version", "placement", "fingerprint", "as_of", "n_listed", "is_start")
ALWAYS_TRUE: Final = frozenset({"popular", "popular_by_hour", BACKFILL_SOURCE})
"""Sources whose reasons are true of any item."""


@dataclass(frozen=True)
class PageState:
    """The content of a page token.

    Attributes:
        version: name of the bundle.
        placement: name of the list.
        fingerprint: of the request; see `request_fingerprint`.
        as_of: seconds since 1970 UTC, the moment of the whole list.
        n_listed: number of items on the pages before.
        ranking: the items of the next pages; of a `start`, those of the first page.
        is_start: whether the first page was answered without computing the rest.
    """

    version: str
    placement: str
    fingerprint: str
    as_of: int
    n_listed: int
    ranking: Ranking
    is_start: bool = False


def start_token(recommender: Recommender, request: Request, page: Recommendations) -> str | None:
    """Returns the token of the page after a first page that was computed alone, None where that is not full.

    Args:
        recommender: the open bundle.
        request: of the first page.
        page: the first page.
    """
    n_listed = len(page.items)
    if n_listed < request.limit:
        return None
    rows = recommender.current.items.rows([item.item_id for item in page.items])
    listed = Ranking(rows, np.zeros(n_listed, np.float32), np.full(n_listed, "", np.object_), page.fallback_used)
    return write_token(_page_state(recommender, request, listed, n_listed, is_start=True), recommender)


def first_page(recommender: Recommender, request: Request) -> tuple[RankedResult, str | None]:
    """Returns the list of a request, and the token of the page that follows, None where there is none.

    Raises:
        RequestError: naming the field that is wrong.
    """
    found = recommender.recommend_with_trace(replace(request, n_lookahead=MAX_REST))
    state = _page_state(recommender, request, found.rest, len(found.recommendations.items))
    return found, write_token(state, recommender)


def next_page(recommender: Recommender, request: Request, page: PageState) -> tuple[RankedResult, str | None]:
    """Returns the page that a token stands for, of `request.limit` items, without items that have sold out since.

    The list is for the moment of its first page, and continues in the order that it had then.

    Args:
        recommender: of the bundle of the first page.
        request: as for the first page, except for `limit`; its `as_of` is ignored.
        page: from the token of the page before; see `read_token`.

    Raises:
        RequestError: naming `page_token` if it was issued for another list, request or bundle.
    """
    _check(page, request, recommender.version)
    asked = replace(request, as_of=page.as_of)
    if page.is_start:
        asked = replace(asked, limit=page.n_listed, n_lookahead=MAX_REST)
    placement, state = resolve_request(
        recommender.current, asked, recommender.placements, recommender.live, recommender.masks
    )
    if page.is_start:
        whole = rank(placement, state)
        left = whole.take(~np.isin(whole.item_idx, page.ranking.item_idx))
    else:
        left = page.ranking.take(state.engine.catalog.available[page.ranking.item_idx])
    listed, rest = left.split(request.limit)
    listed = replace(listed, source=_supported_sources(state, listed))
    found = to_recommendations(placement, state, listed, recommender.version, page.n_listed + 1)
    after = replace(page, n_listed=page.n_listed + len(found.items), ranking=rest, is_start=False)
    return RankedResult(found, placement, state, rest), write_token(after, recommender)


def _page_state(
    recommender: Recommender, request: Request, ranking: Ranking, n_listed: int, *, is_start: bool = False
) -> PageState:
    fingerprint = request_fingerprint(request)
    return PageState(
        recommender.version, request.placement, fingerprint, request.as_of, n_listed, ranking, is_start=is_start
    )


def request_fingerprint(request: Request) -> str:
    """Returns a digest of everything that a list depends on besides its placement and moment."""
    user = (request.user_id, request.visitor_id, request.session_id)
    text = "" if request.filter is None else request.filter.text
    overrides = (text, sorted(request.context.items()), request.diversity, request.tail_share)
    whole = json.dumps([user, request.item_ids, overrides, request.exclude], default=str)
    return blake2b(whole.encode(errors="surrogatepass"), digest_size=DIGEST_BYTES).hexdigest()


def write_token(page: PageState, recommender: Recommender) -> str | None:
    """Returns a token as text, None where no item is left.

    Items of the bundle are written as rows, items that came after it as ids, since other processes may number those
    differently.
    """
    engine, n_fixed = recommender.current, recommender.engine.n_items
    ranking = page.ranking
    if not len(ranking.item_idx):
        return None
    is_new = ranking.item_idx >= n_fixed
    new_rows, names = ranking.item_idx[is_new], sorted(set(ranking.source.tolist()))
    rows = ranking.item_idx.copy()
    rows[is_new] = n_fixed + np.arange(len(new_rows))
    head = {name: getattr(page, name) for name in HEAD_FIELDS} | {
        "fallback_used": ranking.fallback_used,
        "sources": names,
        "by_chance": ranking.propensity is not None,
        "new": [engine.items.ids[row] for row in new_rows.tolist()],
        "n": len(rows),
    }
    sources = np.array([names.index(source) for source in ranking.source.tolist()], np.uint8)
    propensity = b"" if ranking.propensity is None else ranking.propensity.astype("<f4").tobytes()
    parts = (rows.astype("<i4").tobytes(), ranking.score.astype("<f4").tobytes(), sources.tobytes(), propensity)
    packed = zlib.compress(json.dumps(head).encode() + b"\n" + b"".join(parts), 1)
    return urlsafe_b64encode(_digest(packed) + packed).decode().rstrip("=")


def read_token(token: str, recommender: Recommender) -> PageState:
    """Returns the content of a token; see `write_token`. Items that are no longer known are left out.

    Raises:
        RequestError: naming `page_token` if it was not issued by this server, or was altered.
    """
    try:
        raw = urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
        digest, packed = raw[:DIGEST_BYTES], raw[DIGEST_BYTES:]
        if digest != _digest(packed):
            raise ValueError
        unpacker = zlib.decompressobj()
        head, _, body = unpacker.decompress(packed, MAX_TOKEN_BYTES).partition(b"\n")
        return _read_page(json.loads(head), body, recommender)
    except (ValueError, KeyError, TypeError, IndexError, zlib.error):
        raise _refused("is not a token of this server, or was altered") from None


def _read_page(head: dict[str, Any], body: bytes, recommender: Recommender) -> PageState:
    engine, n_fixed = recommender.current, recommender.engine.n_items
    n = int(head["n"])
    rows = np.frombuffer(body, "<i4", n).astype(np.int32)
    score = np.frombuffer(body, "<f4", n, 4 * n).astype(np.float32)
    sources = np.frombuffer(body, np.uint8, n, 8 * n)
    propensity = np.frombuffer(body, "<f4", n, 9 * n).astype(np.float64) if head["by_chance"] else None
    is_new = rows >= n_fixed
    rows[is_new] = engine.items.rows(head["new"])[rows[is_new] - n_fixed]
    names = np.array([head["sources"][number] for number in sources.tolist()], np.object_)
    ranking = Ranking(rows, score, names, bool(head["fallback_used"]), propensity)
    known = (rows != UNKNOWN) & (rows < engine.n_items)
    return PageState(**{name: head[name] for name in HEAD_FIELDS}, ranking=ranking.take(known))


def _check(page: PageState, request: Request, version: str) -> None:
    if page.placement != request.placement:
        raise _refused(f"was issued for placement {page.placement!r}, not for {request.placement!r}")
    if page.version != version:
        raise _refused(f"was issued for bundle {page.version}, and {version} is being served")
    if page.fingerprint != request_fingerprint(request):
        raise _refused("was issued for another user, other items, or another filter, context or override")


def _supported_sources(state: UserState, page: Ranking) -> npt.NDArray[np.object_]:
    """The sources of the items; one that has no evidence left for an item, after an erasure, is replaced."""
    pinned = {row for row, _ in state.query.overrides.pins}
    sources = page.source.tolist()
    found = {name: set(CANDIDATE_SOURCES[name](state)[0].tolist()) for name in {*sources} - ALWAYS_TRUE - {PINNED}}
    supported = [
        source if source in ALWAYS_TRUE or row in (pinned if source == PINNED else found[source]) else BACKFILL_SOURCE
        for row, source in zip(page.item_idx.tolist(), sources, strict=True)
    ]
    return np.array(supported, np.object_)


def _digest(packed: bytes) -> bytes:
    return blake2b(packed, digest_size=DIGEST_BYTES, person=b"recsys page").digest()


def _refused(why: str) -> RequestError:
    return RequestError(FIELD, f"page_token {why}: ask for the first page again, without it")
