"""Past requests with known answers: their candidates, scores by source, features and labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from recsys.core.blas_threads import one_blas_thread
from recsys.core.placements import PLACEMENTS
from recsys.core.timestamps import NOON
from recsys.core.topk import is_among
from recsys.fitting.engine import Engine
from recsys.ranking.features import features
from recsys.ranking.holdout import PastRequest
from recsys.retrieval.query import Query
from recsys.retrieval.sources import generate
from recsys.retrieval.user_state import UserState

SOURCES = tuple(PLACEMENTS["for_you"].sources)
"""Sources that bring the candidates."""


@dataclass(frozen=True)
class Questions:
    """Candidates of past requests with their labels, one request after the other.

    Attributes:
        features: float32 (n, n_features).
        scores: float32 (n, n_sources), score of each source of `SOURCES`, divided by the source's best.
        taken_next: bool (n,), candidates in the first order after the request.
        taken_later: bool (n,), candidates taken within the horizon.
        is_known: bool (n,), candidates that the user had or saw before.
        is_tail: bool (n,), candidates outside the head.
        log_trend: float32 (n,), logarithm of the item's trend.
        log_buyers: float32 (n,), logarithm of the item's number of buyers, at least 0.
        log_lift: float32 (n,), logarithm of the item's lift at the hour of the answer; 0 if no hour is known.
        size: int64 (n_requests,), number of candidates of each request.
        user_idx: int64 (n_requests,), row of each request's user.
        n_items: int64 (n_requests,), distinct items of each history.
        n_next: int64 (n_requests,), items in the first order after the request.
        n_new: int64 (n_requests,), items taken within the horizon that were not known.
        n_tail: int64 (n_requests,), those of them outside the head.
    """

    features: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    taken_next: npt.NDArray[np.bool_]
    taken_later: npt.NDArray[np.bool_]
    is_known: npt.NDArray[np.bool_]
    is_tail: npt.NDArray[np.bool_]
    log_trend: npt.NDArray[np.float32]
    log_buyers: npt.NDArray[np.float32]
    log_lift: npt.NDArray[np.float32]
    size: npt.NDArray[np.int64]
    user_idx: npt.NDArray[np.int64]
    n_items: npt.NDArray[np.int64]
    n_next: npt.NDArray[np.int64]
    n_new: npt.NDArray[np.int64]
    n_tail: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.size)

    @property
    def request(self) -> npt.NDArray[np.int64]:
        """The request of each candidate, int64 (n,)."""
        return np.repeat(np.arange(len(self.size)), self.size)

    def take(self, requests: npt.NDArray[np.bool_]) -> Questions:
        """Return the chosen requests.

        Args:
            requests: bool (n_requests,).
        """
        rows = requests[self.request]
        return Questions(
            **{
                each.name: getattr(self, each.name)[requests if each.name in OF_REQUEST else rows]
                for each in fields(self)
            }
        )


OF_REQUEST = frozenset({"size", "user_idx", "n_items", "n_next", "n_new", "n_tail"})
"""Attributes with one value per request."""


def join_questions(parts: Sequence[Questions]) -> Questions:
    """Concatenate questions; there must be at least one part."""
    return Questions(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(Questions)))


def answer_requests(engine: Engine, requests: Sequence[PastRequest]) -> Questions | None:
    """Answer past requests by the models of their time; None without requests.

    Args:
        engine: models that were fitted without the answers.
        requests: the requests.
    """
    with one_blas_thread(), threadpool_limits(1, "openmp"):
        parts = [part for request in requests for part in _answer(engine, request)]
    return join_questions(parts) if parts else None


def _answer(engine: Engine, request: PastRequest) -> Iterator[Questions]:
    """Yield the candidates of one request; nothing where no source finds any."""
    hour = request.hour
    bucket = int(engine.timeofday.bucket_of_hour[hour if hour >= 0 else NOON])
    query = Query(-1, request.as_of, hour, bucket, 1, request.history, allowed=engine.listable["all"])
    state = UserState(engine, query)
    candidates = generate(SOURCES, state)
    rows = candidates.item_idx
    if not len(rows):
        return
    known = np.unique(request.known_history.item_idx)
    later = request.later[~is_among(request.later, known)]
    popularity = engine.popularity
    yield Questions(
        features=features(state, candidates),
        scores=np.column_stack([candidates.scores[name] for name in SOURCES]),
        taken_next=is_among(rows, request.next),
        taken_later=is_among(rows, request.later),
        is_known=is_among(rows, known),
        is_tail=engine.is_tail[rows],
        log_trend=np.log(popularity.trend[rows]),
        log_buyers=np.log(np.maximum(popularity.n_buyers[rows], 1)).astype(np.float32),
        log_lift=np.log(state.lift(rows)) if hour >= 0 else np.zeros(len(rows), np.float32),
        size=np.array([len(rows)]),
        user_idx=np.array([request.user_idx]),
        n_items=np.array([len(state.weighted_history[0])]),
        n_next=np.array([len(request.next)]),
        n_new=np.array([len(later)]),
        n_tail=np.array([int(engine.is_tail[later].sum())]),
    )
