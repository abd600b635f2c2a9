"""Sequence: which items people turn to around an item, and which they take after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

import numpy as np
import numpy.typing as npt
from msgspec import Meta
from scipy import sparse

from recsys.core.config.ranges import NonNegativeFloat, PositiveFloat, PositiveInt, Share
from recsys.core.ids import NO_ITEM
from recsys.core.schema import EVENT_NAMES
from recsys.data.dataset import NO_INTEREST, REFUND, Dataset
from recsys.data.event_columns import Events
from recsys.data.history import UserHistory
from recsys.kernels.history import weigh_recent_items
from recsys.kernels.top_rows import top_of_groups
from recsys.models.pairs.related_items import RelatedItems

LOOKS: Final = (EVENT_NAMES.index("view_item"), EVENT_NAMES.index("select_item"))
"""Events of people who look at an item."""

BLOCK_ROWS: Final = 4096
"""Rows of a walk that are computed at a time; bounds the memory."""


@dataclass(frozen=True)
class SequenceConfig:
    """Settings of the sequence model.

    Attributes:
        max_events: latest events that count, and others of the moment of the first of them; bounds the cost.
        window: events of one stream that are at most this many positions apart count as a pair; events of one moment,
            such as the items of one order, have no order and are no pair.
        distance_power: a pair at distance `d` weighs `d^−power`.
        half_life_share: age, as a share of the time that the events span, at which a pair counts half.
        backward_weight: weight of a step back from an item to an earlier one, relative to a step forward.
        n_steps: longest walk between two items.
        continuation: weight of a walk relative to one that is a step shorter.
        n_walked: strongest neighbors of each item that a walk may take.
        n_neighbors: items kept in each list.
        position_decay: a history's item weighs `exp(−p / decay)`, where `p` counts the later moments of the history.
        n_recent: latest distinct items of a history that count.
    """

    max_events: PositiveInt = 500_000
    window: PositiveInt = 10
    distance_power: NonNegativeFloat = 1.5
    half_life_share: PositiveFloat = 0.5
    backward_weight: Share = 0.7
    n_steps: Annotated[int, Meta(ge=1, le=4)] = 2
    continuation: Share = 0.5
    n_walked: PositiveInt = 50
    n_neighbors: PositiveInt = 100
    position_decay: PositiveFloat = 1.0
    n_recent: PositiveInt = 20


@dataclass(frozen=True)
class NeighborLists:
    """Neighbors of the items that have any, best first.

    Attributes:
        row_of: int32 (n_items,), number of each item's list, -1 for items without neighbors.
        lists: (n_known, n_neighbors), without numbers of baskets.
    """

    row_of: npt.NDArray[np.int32]
    lists: RelatedItems

    def sums(
        self,
        items: npt.NDArray[np.int32],
        weight: npt.NDArray[np.float32],
        allowed: npt.NDArray[np.bool_] | None = None,
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Return the neighbors of some items, and the sums of their weighted scores.

        Args:
            items: int32 (n,), rows of the catalog.
            weight: float32 (n,), factor of each item's scores.
            allowed: bool (n_items,), the only neighbors that count; None for all.

        Returns:
            Distinct rows, int32, in any order, and scores, float32, > 0.
        """
        row = self.row_of[items]
        known = row >= 0
        return self.lists.sums(row[known], weight[known], allowed, len(self.row_of))


@dataclass(frozen=True)
class SequenceModel:
    """Items around and after each item.

    Attributes:
        around: probability of each item on a short walk along pairs of neighboring events, in both directions.
        after: share of each item among the target events that follow the item.
        by_view: whether most of the events are views, so that items around each other are alternatives.
        config: the settings, which the weights of a history need.
    """

    around: NeighborLists
    after: NeighborLists
    by_view: bool
    config: SequenceConfig

    def recent_items(self, history: UserHistory) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Return the latest distinct items of a history, and their weights.

        Events of one moment, such as the items of one order, share a position. What was returned does not count.

        Args:
            history: events, oldest first.

        Returns:
            Rows, int32 (at most `n_recent`,), latest first, and weights, float32, that sum to 1; empty without events.
        """
        if REFUND in history.event_type:
            history = history.take(history.event_type != REFUND)
        return weigh_recent(history.item_idx, history.timestamp, self.config)


def weigh_recent(
    item_idx: npt.NDArray[np.int32], timestamp: npt.NDArray[np.int64], config: SequenceConfig
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Weigh the latest distinct items by their positions from the end; see `SequenceModel.recent_items`.

    >>> rows, weight = weigh_recent(np.array([4, 7, 4], np.int32), np.array([1, 2, 3]), SequenceConfig())
    >>> rows.tolist(), [round(each, 3) for each in weight.tolist()]
    ([4, 7], [0.731, 0.269])
    """
    latest = slice(-4 * config.n_recent, None)
    found: tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]] = weigh_recent_items(
        item_idx[latest], timestamp[latest], config.n_recent, config.position_decay
    )
    return found


def fit_sequence(dataset: Dataset, config: SequenceConfig) -> SequenceModel:
    """Count pairs of neighboring events in each stream, and walk along them.

    A stream is what one user does, or one session or basket without a user. With `P` the pairs in both directions,
    divided by the sum of each row, `around = P + c·P² + c²·P³ …`; pairs of one item with itself do not count.

    Args:
        dataset: the shop.
        config: settings.

    Returns:
        The model; all lists are empty if no stream has two items.

    Reference:
        Ludewig and Jannach (2018), Evaluation of Session-based Recommendation Algorithms, UMUAI 28 (sequential rules);
        Cooper et al. (2014), Random Walks in Recommender Systems, WWW (walks of few steps). Deviation: steps backward
        count too, as a visitor often returns.
    """
    return sequence_of(count_steps(dataset, config, latest_acts(dataset, config)), config)


@dataclass(frozen=True)
class StepCounts:
    """Weights of pairs of neighboring events; those of several groups of users can be added.

    Attributes:
        forward: float32 CSR (n_items, n_items), pairs (earlier item, later item).
        to_target: those whose later event is of the target type.
        n_acts: acts of people.
        n_looks: those of them that look at an item.
    """

    forward: sparse.csr_matrix
    to_target: sparse.csr_matrix
    n_acts: int
    n_looks: int


def latest_acts(dataset: Dataset, config: SequenceConfig) -> tuple[int, int]:
    """Return the times of the first and the last of the latest `max_events` acts of people, (0, 0) without any."""
    events = dataset.events
    when = events.timestamp[~np.isin(events.event_type, NO_INTEREST)][-config.max_events :]
    return (int(when[0]), int(when[-1])) if len(when) else (0, 0)


def count_steps(dataset: Dataset, config: SequenceConfig, span: tuple[int, int]) -> StepCounts:
    """Count the pairs in the streams of some users or of all; see `fit_sequence`.

    Args:
        dataset: the shop, or some of its users.
        config: settings.
        span: of the whole shop, as `latest_acts` returns it.
    """
    events, label = _streams(dataset, span[0])
    n_items = len(dataset.items)
    forward, to_target = _pairs((events, label), dataset.target_event, n_items, config, span)
    return StepCounts(forward, to_target, len(events), int(np.isin(events.event_type, LOOKS).sum()))


def sequence_of(counts: StepCounts, config: SequenceConfig) -> SequenceModel:
    """Return the model of the counts of all users; see `fit_sequence`."""
    forward = counts.forward
    step = _strongest((forward + config.backward_weight * forward.T).tocsr(), config.n_walked)
    return SequenceModel(
        around=_as_lists(_walk(_normalized(step), config), config.n_neighbors),
        after=_as_lists(_strongest(_normalized(counts.to_target), config.n_neighbors), config.n_neighbors),
        by_view=counts.n_looks > 0.5 * counts.n_acts,
        config=config,
    )


def _streams(dataset: Dataset, since: int) -> tuple[Events, npt.NDArray[np.int64]]:
    """Return the acts of people since a moment, stream by stream and oldest first, and the stream of each."""
    events = dataset.events
    events = events.take(np.flatnonzero(~np.isin(events.event_type, NO_INTEREST) & (events.timestamp >= since)))
    label = np.where(events.user_idx >= 0, events.user_idx, len(dataset.users) + events.basket_idx.astype(np.int64))
    order = np.argsort(label, kind="stable")
    return events.take(order), label[order]


def _pairs(
    stream: tuple[Events, npt.NDArray[np.int64]],
    target_event: int,
    n_items: int,
    config: SequenceConfig,
    span: tuple[int, int],
) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Return the weights of pairs (earlier item, later item), and of those whose later event is of the target type."""
    events, label = stream
    item, when, is_target = events.item_idx, events.timestamp, events.event_type == target_event
    parts: list[tuple[npt.NDArray[np.int64], int]] = []
    for distance in range(1, min(config.window, len(label) - 1) + 1):
        paired = (label[distance:] == label[:-distance]) & (item[distance:] != item[:-distance])
        parts.append((np.flatnonzero(paired & (when[distance:] != when[:-distance])), distance))
    first = np.concatenate([np.empty(0, np.int64), *(start for start, _ in parts)])
    distances = np.repeat([distance for _, distance in parts], [len(start) for start, _ in parts]).astype(np.int64)
    second, weight = first + distances, distances.astype(np.float64) ** -config.distance_power
    length = max(span[1] - span[0], 1)
    weight = weight * np.exp2(-(span[1] - when[second]) / (config.half_life_share * length))
    weight = weight.astype(np.float32)
    to_target = is_target[second]
    shape = (n_items, n_items)
    return (
        sparse.csr_matrix((weight, (item[first], item[second])), shape=shape),
        sparse.csr_matrix((weight[to_target], (item[first[to_target]], item[second[to_target]])), shape=shape),
    )


def _normalized(pairs: sparse.csr_matrix) -> sparse.csr_matrix:
    """Divide each row by its sum."""
    total = np.asarray(pairs.sum(axis=1)).ravel()
    return (sparse.diags_array((1 / np.maximum(total, 1e-12)).astype(np.float32)) @ pairs).tocsr()


def _walk(step: sparse.csr_matrix, config: SequenceConfig) -> sparse.csr_matrix:
    """Sum the walks from each item, without those that end where they began; the strongest ones, largest first."""
    blocks = []
    for start in range(0, step.shape[0], BLOCK_ROWS):
        last = total = step[start : start + BLOCK_ROWS]
        for length in range(1, config.n_steps):
            last = _strongest((last @ step).tocsr(), 2 * config.n_neighbors)
            total = total + config.continuation**length * last
        total = total.tocsr()
        total.data[np.repeat(np.arange(start, start + total.shape[0]), np.diff(total.indptr)) == total.indices] = 0
        blocks.append(_strongest(total, config.n_neighbors))
    return sparse.vstack(blocks, format="csr") if blocks else step


def _as_lists(pairs: sparse.csr_matrix, width: int) -> NeighborLists:
    """Write the entries of each row, in their order, into lists of the rows that have any."""
    known = np.flatnonzero(np.diff(pairs.indptr)).astype(np.int32)
    row_of = np.full(pairs.shape[0], NO_ITEM, np.int32)
    row_of[known] = np.arange(len(known))
    item_idx, score = np.full((len(known), width), NO_ITEM, np.int32), np.zeros((len(known), width), np.float32)
    row = np.repeat(row_of, np.diff(pairs.indptr))
    position = np.arange(len(row)) - np.repeat(pairs.indptr[:-1], np.diff(pairs.indptr))
    item_idx[row, position], score[row, position] = pairs.indices, pairs.data
    return NeighborLists(row_of, RelatedItems(item_idx, score, np.broadcast_to(np.int32(0), score.shape)))


def _strongest(matrix: sparse.csr_matrix, n_kept: int) -> sparse.csr_matrix:
    """Keep the `n_kept` largest positive entries of each row, largest first; equal ones by column."""
    kept, ends = top_of_groups(matrix.data, matrix.indices, matrix.indptr, n_kept)
    return sparse.csr_matrix(
        (matrix.data[kept], matrix.indices[kept], ends.astype(matrix.indptr.dtype)), shape=matrix.shape
    )
