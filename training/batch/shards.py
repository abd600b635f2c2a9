"""The lists of one shard: some ids of a batch, in one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from recsys.core.errors import DataError
from recsys.core.files import replacing
from recsys.core.request import Recommendations, Request
from recsys.eventlog.opening import LogLocation
from recsys.live.reachability import is_erased
from recsys.pipeline.recommender import Recommender
from recsys.retrieval.block_search import BlockSearch
from training.batch.formats import Responses, format_of
from training.batch.ids import Subject
from training.batch.run import ShardCounts


@dataclass(frozen=True)
class BatchRequest:
    """The list that every user or item gets.

    Attributes:
        placement: name of the list.
        limit: length of each list.
        as_of: aware moment of the lists; None for that of an interrupted run, else of the latest known event.
        placements: file of placements; None for the built-in ones.
        live_log: file of the live log, or address of its database; None for the file in the folder of bundles, if any.
        context: context of every request; `region`, `store` and `channel` select the offers.
        subject: what each list is for.
    """

    placement: str = "for_you"
    limit: int = 20
    as_of: datetime | None = None
    placements: Path | None = None
    live_log: LogLocation | None = None
    context: Mapping[str, str] = field(default_factory=dict)
    subject: Subject = "user"


@dataclass(frozen=True)
class Shard:
    """Some ids of a batch.

    Attributes:
        number: from 0.
        ids: of users or items.
        path: the file of their lists.
    """

    number: int
    ids: tuple[str, ...]
    path: Path


@dataclass(frozen=True)
class ShardWriter:
    """Makes the lists of shards, and writes them.

    Attributes:
        recommender: the open bundle.
        request: the list.
        as_of: its moment, seconds since 1970 UTC.
        search: keeps decoded vectors from one shard to the next.
    """

    recommender: Recommender
    request: BatchRequest
    as_of: int
    search: BlockSearch = field(default_factory=BlockSearch, repr=False)

    def write(self, shard: Shard) -> ShardCounts:
        """Write the file of a shard, completely or not at all, after reading the live log.

        Raises:
            DataError: a list cannot be made; the message names its user or item.
        """
        self.recommender.catch_up()
        reached = [id_ for id_ in shard.ids if not self.is_erased(id_)]
        responses = list(zip(reached, self._lists(reached), strict=True))
        with replacing(shard.path) as partial:
            write = format_of(shard.path.suffix).write
            write(responses, self.request.subject, self.recommender.title, partial)
        return _count(shard, responses)

    def is_erased(self, id_: str) -> bool:
        """Return whether an id is that of a user who was erased."""
        return self.request.subject == "user" and is_erased(self.recommender.live, id_)

    def _lists(self, ids: Sequence[str]) -> list[Recommendations]:
        requests = [self._request(id_) for id_ in ids]
        try:
            return list(self.recommender.recommend_batch(requests, self.search))
        except Exception:
            self._name_failing(ids, requests)
            raise

    def _request(self, id_: str) -> Request:
        request = self.request
        user_id, item_ids = (id_, ()) if request.subject == "user" else (None, (id_,))
        return Request(request.placement, self.as_of, request.limit, user_id, item_ids, context=request.context)

    def _name_failing(self, ids: Sequence[str], requests: Sequence[Request]) -> None:
        """Raise an error that names the id that a batch fails for, found by one request after the other."""
        for id_, request in zip(ids, requests, strict=True):
            try:
                self.recommender.recommend_for(request)
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"
                raise DataError(f"no list can be made for {self.request.subject} {id_!r} ({reason})") from error


def _count(shard: Shard, responses: Responses) -> ShardCounts:
    return ShardCounts(
        shard.number,
        items=sum(len(response.items) for _, response in responses),
        fallbacks=sum(response.fallback_used for _, response in responses),
        empty=sum(not response.items for _, response in responses),
        erased=len(shard.ids) - len(responses),
    )
