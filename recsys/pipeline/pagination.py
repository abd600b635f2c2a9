"""Pages of a list: a token contains the rest of it, so that no event in between repeats an item or leaves one out.

The token of a first page is shorter: it has the items of this page, since most pages are the only one. The rest is
computed for the same moment when the second page is requested.

Tokens are sealed: with a keyed BLAKE2b digest (RFC 7693), so that a server reads none that it has not written.
"""

from __future__ import annotations

import json
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from hmac import compare_digest
from struct import pack
from typing import Annotated, Final

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta, structs

from recsys.core.errors import RequestError
from recsys.core.ids import UNKNOWN
from recsys.core.request import Recommendations, Request
from recsys.core.topk import is_in
from recsys.pipeline.recommend import RankedResult, to_recommendations
from recsys.pipeline.recommender import Recommender
from recsys.pipeline.resolve import resolve_request
from recsys.pipeline.stages import rank
from recsys.reasons.labels import PINNED
from recsys.retrieval.query import NO_ITEMS, Mask, Ranking, Rows
from recsys.retrieval.sources import CANDIDATE_SOURCES
from recsys.retrieval.user_state import UserState
from recsys.rules.rerank import BACKFILL_SOURCE

MAX_REST: Final = 500
"""Largest number of items after the first page."""

MAX_TOKEN_CHARS: Final = 16_384
MAX_TOKEN_BYTES: Final = 1 << 18
COMPRESSED_FROM: Final = 1024
"""Bytes from which on tokens are compressed: it takes longer than all the rest of a first page's token."""

ZLIB: Final = b"x"
"""First byte of what is compressed (RFC 1950); the head of a token begins with another one."""

MAX_AGE_S: Final = 86_400
"""How long a token is valid, in seconds."""

FINGERPRINT_BYTES: Final = 8
SEAL_BYTES: Final = 16
KEY_BYTES: Final = 32
FIELD: Final = "page_token"
FOREIGN: Final = "is not a token of this server, or was altered"
Seq = Annotated[int, Meta(ge=-1, lt=2**62)]
Seconds = Annotated[int, Meta(ge=0, lt=2**40)]
Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
ALWAYS_TRUE: Final = frozenset({"popular", "popular_by_hour", BACKFILL_SOURCE})
"""Sources whose reasons are true of any item."""


@dataclass(frozen=True)
class PageSeal:
    """What tokens are sealed with.

    Attributes:
        key: secret bytes, the same in all workers of a server.
        now: the server's time, seconds since 1970 UTC.
    """

    key: bytes = field(repr=False)
    now: int

    def digest(self, packed: bytes) -> bytes:
        """Return the digest that only a holder of the key can make."""
        return blake2b(packed, digest_size=SEAL_BYTES, key=self.key, person=b"recsys page").digest()


class TokenHead(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The fields of a token before its arrays.

    Attributes:
        version, placement, fingerprint, as_of, n_listed, log_seq, is_start: as in `PageState`.
        issued_at: when the token was written, seconds since 1970 UTC.
        fallback_used: as in `Ranking`.
        has_propensity: whether there is an array of propensities.
        sources: names of the sources that the array of sources counts in.
        new_ids: ids of items that came after the bundle.
        n: number of items.
    """

    version: str
    placement: str
    fingerprint: str
    as_of: Seconds
    n_listed: Count
    log_seq: Seq | None
    is_start: bool
    issued_at: Seconds
    fallback_used: bool
    has_propensity: bool
    sources: Annotated[tuple[str, ...], Meta(max_length=255)]
    new_ids: Annotated[tuple[str, ...], Meta(max_length=MAX_REST)]
    n: Annotated[int, Meta(ge=1, le=MAX_REST)]


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
        log_seq: number of the last entry of the live log that the first page was made with; None without a log.
        is_start: whether the first page was answered without computing the rest.
    """

    version: str
    placement: str
    fingerprint: str
    as_of: int
    n_listed: int
    ranking: Ranking
    log_seq: int | None = None
    is_start: bool = False


def start_token(recommender: Recommender, request: Request, page: Recommendations, seal: PageSeal) -> str | None:
    """Returns the token of the page after a first page, None where that is not full; sets have no further pages.

    Args:
        recommender: the open bundle.
        request: of the first page.
        page: the first page.
        seal: for the token.
    """
    n_listed = len(page.items)
    if not n_listed or n_listed < request.limit or recommender.placements[request.placement].lists == "sets":
        return None
    row_of, n_fixed = recommender.current.items.row, recommender.engine.n_items
    rows, new_ids = list[int](), list[str]()
    for item in page.items:
        row = row_of(item.item_id)
        if row >= n_fixed:
            row = n_fixed + len(new_ids)
            new_ids.append(item.item_id)
        rows.append(row)
    state = page_state(recommender, request, NO_ITEMS, n_listed, is_start=True)
    head = _head(state, seal, page.fallback_used, False, ("",), tuple(new_ids), n_listed)
    no_scores_and_sources = bytes(5 * n_listed)  # those of a first page are not read
    return _sealed(head, pack(f"<{n_listed}i", *rows) + no_scores_and_sources, seal)


def next_page(
    recommender: Recommender, request: Request, page: PageState, seal: PageSeal
) -> tuple[RankedResult, str | None]:
    """Returns the page that a token stands for, of `request.limit` items.

    Items that have sold out since, and items that the request's filter no longer lets through, are left out.

    The list is for the moment of its first page, and continues in the order that it had then.

    Args:
        recommender: of the bundle of the first page.
        request: as for the first page, except for `limit`; its `as_of` is ignored.
        page: from the token of the page before; see `read_token`.
        seal: for the token of the page after.

    Raises:
        RequestError: naming `page_token` if it was issued for another list, request or bundle.
    """
    _check(page, request, recommender.version)
    asked = replace(request, as_of=page.as_of)
    if page.is_start:
        asked = replace(asked, limit=page.n_listed, n_lookahead=MAX_REST, log_seq=page.log_seq)
    placement, state = resolve_request(
        recommender.current, asked, recommender.placements, recommender.live, recommender.masks
    )
    if page.is_start:
        whole = rank(placement, state)
        left = whole.take(~is_in(whole.item_idx, page.ranking.item_idx))
    else:
        left = page.ranking.take(_can_be_listed(state, page.ranking.item_idx))
    listed, rest = left.split(request.limit)
    listed = structs.replace(listed, source=_supported_sources(state, listed))
    found = to_recommendations(placement, state, listed, recommender.version, page.n_listed + 1)
    after = replace(page, n_listed=page.n_listed + len(found.items), ranking=rest, is_start=False)
    return RankedResult(found, placement, state, rest), write_token(after, recommender, seal)


def _can_be_listed(state: UserState, rows: Rows) -> Mask:
    is_available: Mask = state.engine.catalog.available[rows]
    return is_available if state.query.allowed is None else is_available & state.query.allowed[rows]


def page_state(
    recommender: Recommender, request: Request, ranking: Ranking, n_listed: int, *, is_start: bool = False
) -> PageState:
    """Returns the content of the token of a request's list after its first `n_listed` items."""
    fingerprint = request_fingerprint(request)
    log_seq = None if recommender.live is None else recommender.live.seq
    return PageState(
        recommender.version, request.placement, fingerprint, request.as_of, n_listed, ranking, log_seq, is_start
    )


def request_fingerprint(request: Request) -> str:
    """Returns a digest of everything that a list depends on besides its placement and moment."""
    user = (request.user_id, request.visitor_id, request.session_id)
    text = "" if request.filter is None else request.filter.text
    settings = (request.diversity, request.tail_share, request.max_total_price)
    overrides = (text, sorted(request.context.items()), *settings)
    whole = json.dumps([user, request.item_ids, overrides, request.exclude, *request.fields], default=str)
    return blake2b(whole.encode(errors="surrogatepass"), digest_size=FINGERPRINT_BYTES).hexdigest()


def write_token(page: PageState, recommender: Recommender, seal: PageSeal) -> str | None:
    """Returns a token as text, None where no item is left.

    Items of the bundle are written as rows, items that came after it as ids, since other processes may number those
    differently.
    """
    engine, n_fixed = recommender.current, recommender.engine.n_items
    ranking = page.ranking.take(slice(MAX_REST))
    if not len(ranking.item_idx):
        return None
    is_new = ranking.item_idx >= n_fixed
    new_rows, names = ranking.item_idx[is_new], sorted(set(ranking.source.tolist()))
    rows = ranking.item_idx.copy()
    rows[is_new] = n_fixed + np.arange(len(new_rows))
    new_ids = tuple(engine.items.ids[row] for row in new_rows.tolist())
    has_propensity = ranking.propensity is not None
    head = _head(page, seal, ranking.fallback_used, has_propensity, tuple(names), new_ids, len(rows))
    sources = np.array([names.index(source) for source in ranking.source.tolist()], np.uint8)
    propensity = b"" if ranking.propensity is None else ranking.propensity.astype("<f4").tobytes()
    parts = (rows.astype("<i4").tobytes(), ranking.score.astype("<f4").tobytes(), sources.tobytes(), propensity)
    return _sealed(head, b"".join(parts), seal)


def _head(
    page: PageState,
    seal: PageSeal,
    fallback_used: bool,
    has_propensity: bool,
    sources: tuple[str, ...],
    new_ids: tuple[str, ...],
    n: int,
) -> TokenHead:
    """The fields of a token; see `TokenHead`."""
    return TokenHead(
        page.version,
        page.placement,
        page.fingerprint,
        page.as_of,
        page.n_listed,
        page.log_seq,
        page.is_start,
        seal.now,
        bool(fallback_used),
        has_propensity,
        sources,
        new_ids,
        n,
    )


def _sealed(head: TokenHead, arrays: bytes, seal: PageSeal) -> str:
    packed = msgspec.json.encode(head) + b"\n" + arrays
    if len(packed) >= COMPRESSED_FROM:
        packed = zlib.compress(packed, 1)
    return _as_text(seal.digest(packed) + packed)


def token_version(token: str, seal: PageSeal) -> str:
    """Returns the version of the bundle of a token's first page, which its other pages must be from.

    Raises:
        RequestError: naming `page_token` if it was not written with this key, was altered, or is too old.
    """
    return _opened(token, seal)[0].version


def read_token(token: str, recommender: Recommender, seal: PageSeal) -> PageState:
    """Returns the content of a token; see `write_token`. Items that are no longer known are left out.

    Raises:
        RequestError: naming `page_token` if it was not written with this key, was altered, or is too old.
    """
    fields, body = _opened(token, seal)
    try:
        ranking = _read_ranking(fields, body, recommender)
    except (ValueError, IndexError):
        raise _refused(FOREIGN) from None
    return PageState(
        fields.version,
        fields.placement,
        fields.fingerprint,
        fields.as_of,
        fields.n_listed,
        ranking,
        fields.log_seq,
        fields.is_start,
    )


def _opened(token: str, seal: PageSeal) -> tuple[TokenHead, bytes]:
    """Returns the head of a token and its arrays, unread."""
    try:
        raw = urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
        digest, packed = raw[:SEAL_BYTES], raw[SEAL_BYTES:]
        is_canonical = _as_text(raw) == token  # decoding ignores the unused bits of the last character, and other signs
        if not is_canonical or not compare_digest(digest, seal.digest(packed)):
            raise ValueError
        if packed[:1] == ZLIB:
            packed = zlib.decompressobj().decompress(packed, MAX_TOKEN_BYTES)
        head, _, body = packed.partition(b"\n")
        fields = msgspec.json.decode(head, type=TokenHead)
    except (ValueError, zlib.error):
        raise _refused(FOREIGN) from None
    if seal.now - fields.issued_at > MAX_AGE_S:
        raise _refused(f"has expired: it is valid for {MAX_AGE_S // 3600} hours")
    return fields, body


def _as_text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")


def _read_ranking(head: TokenHead, body: bytes, recommender: Recommender) -> Ranking:
    """Returns the arrays of a token.

    Raises:
        ValueError, IndexError: they do not fit the head.
    """
    engine, n_fixed, n = recommender.current, recommender.engine.n_items, head.n
    rows = np.frombuffer(body, "<i4", n).astype(np.int32)
    score = np.frombuffer(body, "<f4", n, 4 * n).astype(np.float32)
    sources = np.frombuffer(body, np.uint8, n, 8 * n)
    propensity = np.frombuffer(body, "<f4", n, 9 * n).astype(np.float64) if head.has_propensity else None
    is_new = rows >= n_fixed
    rows[is_new] = engine.items.rows(head.new_ids)[rows[is_new] - n_fixed]
    names = np.array([head.sources[number] for number in sources.tolist()], np.object_)
    known = (rows > UNKNOWN) & (rows < engine.n_items)
    return Ranking(rows, score, names, head.fallback_used, propensity).take(known)


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


def _refused(why: str) -> RequestError:
    return RequestError(FIELD, f"page_token {why}: ask for the first page again, without it")
