"""Pages of a list: a token holds the rest of it, so that no event in between repeats an item or leaves one out.

A list that is asked for more often than its second page has a shorter token: what it has told. The rest is worked out
for the same moment once the second page is asked for.
"""

from __future__ import annotations

import json
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Final

import numpy as np

from recsys.core.errors import RequestError
from recsys.core.ids import UNKNOWN
from recsys.core.request import Recommendations, Request
from recsys.fitting.engine import Engine
from recsys.pipeline.recommend import RankedResult, rank, to_recommendations
from recsys.pipeline.recommender import Recommender
from recsys.pipeline.resolve import find_placement, resolve
from recsys.reasons.labels import PINNED
from recsys.retrieval.query import Ranking
from recsys.retrieval.sources import CANDIDATE_SOURCES
from recsys.retrieval.user_state import UserState
from recsys.rules.rerank import BACKFILL_SOURCE

MAX_REST: Final = 500
"""Items beyond the first page that a token holds at most."""

MAX_TOKEN_CHARS: Final = 16_384
MAX_TOKEN_BYTES: Final = 1 << 18
DIGEST_BYTES: Final = 8
FIELD: Final = "page_token"
ALWAYS_TRUE: Final = frozenset({"popular", "popular_by_hour", BACKFILL_SOURCE})
"""Sources whose reasons hold of any item."""


@dataclass(frozen=True)
class PageState:
    """What a token says.

    Attributes:
        version: the bundle that the list is of.
        placement: name of the list.
        question: fingerprint of whom and what it is for.
        as_of: seconds since 1970: the moment that the whole list is for.
        n_told: items on the pages before.
        ranking: what is to come; of a `start` what was told.
        is_start: whether it is of a first page whose rest is not worked out yet.
    """

    version: str
    placement: str
    question: str
    as_of: int
    n_told: int
    ranking: Ranking
    is_start: bool = False


def start_token(recommender: Recommender, request: Request, told: Recommendations) -> str | None:
    """The token of the page that follows a list which was asked for alone, None where that is not full.

    Args:
        recommender: what answered.
        request: as it was answered.
        told: the answer.
    """
    n_told = len(told.items)
    if n_told < request.limit:
        return None
    rows = recommender.current.items.rows([item.item_id for item in told.items])
    ranking = Ranking(rows, np.zeros(n_told, np.float32), ("",) * n_told, told.fallback_used, {})
    question = request_fingerprint(request)
    rest = PageState(recommender.version, request.placement, question, request.as_of, n_told, ranking, is_start=True)
    return write_token(rest, recommender.current, len(recommender.engine.items))


def first_page(recommender: Recommender, request: Request) -> tuple[RankedResult, str | None]:
    """Answer a request; the second part is the token of the page that follows, None where there is none.

    Raises:
        RequestError: naming the field that cannot be served.
    """
    found = recommender.recommend_with_trace(replace(request, n_lookahead=MAX_REST))
    n_told = len(found.recommendations.items)
    rest = PageState(
        recommender.version, request.placement, request_fingerprint(request), request.as_of, n_told, found.rest
    )
    return found, write_token(rest, recommender.current, len(recommender.engine.items))


def next_page(recommender: Recommender, request: Request, token: str) -> tuple[RankedResult, str | None]:
    """The page that a token stands for, of `request.limit` items; what has sold out since is left out.

    The list is for the moment of its first page, and goes on in the order that it had then.

    Args:
        recommender: of the bundle that gave the first page.
        request: as for the first page, but for `limit`; its `as_of` is passed over.
        token: from the page before.

    Raises:
        RequestError: naming `page_token` if it is altered, or of another list, question or bundle.
    """
    engine = recommender.current
    rest = read_token(token, engine, len(recommender.engine.items))
    _check(rest, request, recommender.version)
    request = replace(request, as_of=rest.as_of)
    placement = find_placement(request, recommender.placements)
    engine = recommender.engine_for(request)
    asked = replace(request, limit=rest.n_told, n_lookahead=MAX_REST) if rest.is_start else request
    query, missing = resolve(engine, asked, placement, recommender.live, recommender.masks)
    state = UserState(engine, query)
    if rest.is_start:
        whole = rank(placement, state)
        ranking = whole.take(~np.isin(whole.item_idx, rest.ranking.item_idx))
    else:
        ranking = rest.ranking.take(engine.catalog.available[rest.ranking.item_idx])
    page = ranking.take(slice(request.limit))
    page = replace(page, source=_true_sources(state, page))
    told = to_recommendations(placement, state, page, recommender.version, missing, rest.n_told + 1)
    left = ranking.take(slice(request.limit, None))
    rest = replace(rest, n_told=rest.n_told + len(told.items), ranking=left, is_start=False)
    found = RankedResult(told, placement, state, rest.ranking)
    return found, write_token(rest, engine, len(recommender.engine.items))


def request_fingerprint(request: Request) -> str:
    """Fingerprint of all that a list depends on beside its placement and moment."""
    who = (request.user_id, request.visitor_id, request.session_id)
    overrides = (request.filter, sorted(request.context.items()), request.diversity, request.tail_share)
    told = json.dumps([who, request.item_ids, overrides, request.exclude], default=str)
    return blake2b(told.encode(errors="surrogatepass"), digest_size=DIGEST_BYTES).hexdigest()


def write_token(rest: PageState, engine: Engine, n_fixed: int) -> str | None:
    """A token as text, None where nothing is left.

    Rows of the bundle are told as they are, items that came after it by their ids: another process may number those
    differently.

    Args:
        rest: what it says.
        engine: what the rows are of.
        n_fixed: items of the bundle itself.
    """
    ranking = rest.ranking
    if not len(ranking.item_idx):
        return None
    is_new = ranking.item_idx >= n_fixed
    new_rows, names = ranking.item_idx[is_new], sorted(set(ranking.source))
    rows = ranking.item_idx.copy()
    rows[is_new] = n_fixed + np.arange(len(new_rows))
    head = {
        "version": rest.version,
        "placement": rest.placement,
        "question": rest.question,
        "as_of": rest.as_of,
        "n_told": rest.n_told,
        "is_start": rest.is_start,
        "fallback_used": ranking.fallback_used,
        "sources": names,
        "by_chance": ranking.propensity is not None,
        "new": [engine.items.ids[row] for row in new_rows.tolist()],
        "n": len(rows),
    }
    sources = np.array([names.index(source) for source in ranking.source], np.uint8)
    chance = b"" if ranking.propensity is None else ranking.propensity.astype("<f4").tobytes()
    parts = (rows.astype("<i4").tobytes(), ranking.score.astype("<f4").tobytes(), sources.tobytes(), chance)
    packed = zlib.compress(json.dumps(head).encode() + b"\n" + b"".join(parts), 1)
    return urlsafe_b64encode(_digest(packed) + packed).decode().rstrip("=")


def read_token(token: str, engine: Engine, n_fixed: int) -> PageState:
    """What a token says; see `write_token`. Items that are no longer known are left out.

    Raises:
        RequestError: naming `page_token` if it is not as it was given.
    """
    try:
        raw = urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
        digest, packed = raw[:DIGEST_BYTES], raw[DIGEST_BYTES:]
        if digest != _digest(packed):
            raise ValueError
        unpacker = zlib.decompressobj()
        head_line, _, body = unpacker.decompress(packed, MAX_TOKEN_BYTES).partition(b"\n")
        return _rest_of(json.loads(head_line), body, engine, n_fixed)
    except (ValueError, KeyError, TypeError, IndexError, zlib.error):
        raise _refused("is not a token of this server, or was altered") from None


def _rest_of(head: dict[str, Any], body: bytes, engine: Engine, n_fixed: int) -> PageState:
    n = int(head["n"])
    rows = np.frombuffer(body, "<i4", n).astype(np.int32)
    score = np.frombuffer(body, "<f4", n, 4 * n).astype(np.float32)
    sources = np.frombuffer(body, np.uint8, n, 8 * n)
    chance = np.frombuffer(body, "<f4", n, 9 * n).astype(np.float64) if head["by_chance"] else None
    is_new = rows >= n_fixed
    rows[is_new] = engine.items.rows(head["new"])[rows[is_new] - n_fixed]
    ranking = Ranking(
        item_idx=rows,
        score=score,
        source=tuple(head["sources"][place] for place in sources.tolist()),
        fallback_used=bool(head["fallback_used"]),
        removed={},
        propensity=chance,
    )
    known = (rows != UNKNOWN) & (rows < len(engine.items))
    names = {name: head[name] for name in ("version", "placement", "question", "as_of", "n_told", "is_start")}
    return PageState(**names, ranking=ranking.take(known))


def _check(rest: PageState, request: Request, version: str) -> None:
    if rest.placement != request.placement:
        raise _refused(f"goes on with placement {rest.placement!r}, not with {request.placement!r}")
    if rest.version != version:
        raise _refused(f"is of bundle {rest.version}, and {version} is being served")
    if rest.question != request_fingerprint(request):
        raise _refused("goes on with a list for another user, other items, or another filter, context or dial")


def _true_sources(state: UserState, page: Ranking) -> tuple[str, ...]:
    """Sources of items; a source that has nothing more to say of one, after an erasure say, speaks no more for it."""
    pinned = {row for row, _ in state.query.overrides.pins}
    found = {
        name: set(CANDIDATE_SOURCES[name](state)[0].tolist()) for name in set(page.source) - ALWAYS_TRUE - {PINNED}
    }
    return tuple(
        source if source in ALWAYS_TRUE or row in (pinned if source == PINNED else found[source]) else BACKFILL_SOURCE
        for row, source in zip(page.item_idx.tolist(), page.source, strict=True)
    )


def _digest(packed: bytes) -> bytes:
    return blake2b(packed, digest_size=DIGEST_BYTES, person=b"recsys page").digest()


def _refused(why: str) -> RequestError:
    return RequestError(FIELD, f"page_token {why}: ask for the first page again, without it")
