"""What orders the lists beside one item, by the next item of past visits: sources alone, their sum, or popularity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from recsys.core.placements import PLACEMENTS
from recsys.data.dataset import NO_INTEREST
from recsys.data.history import NO_HISTORY
from recsys.fitting.blend import NO_BLEND, Blend, BlendConfig
from recsys.fitting.engine import Engine
from recsys.ranking.holdout import Holdout
from recsys.retrieval.query import Query
from recsys.retrieval.sources import generate
from recsys.retrieval.user_state import UserState

ItemKind = Literal["alike", "viewed"]
Vector = npt.NDArray[np.float64]

LISTS: Final[Mapping[ItemKind, str]] = MappingProxyType({"alike": "similar", "viewed": "viewed_together"})
"""By kind of list: the placement."""

POPULAR: Final = "popular"
POPULARITY: Final = "popularity"
"""The source, and the name of the order by it alone."""

METRIC: Final = "hit_rate@10"
K: Final = 10
MAX_QUESTIONS: Final = 1500


@dataclass(frozen=True)
class NextItems:
    """Items of past visits, and the item that followed each.

    Attributes:
        seed: int32 (n,).
        answer: int32 (n,), another item.
    """

    seed: npt.NDArray[np.int32]
    answer: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.seed)


def draw_next(cut: Holdout, rng: np.random.Generator, n: int = MAX_QUESTIONS) -> NextItems:
    """Draw some steps from one item to the next in what one user, or one visit without a user, did later.

    Args:
        cut: the hold-out whose answers are asked for.
        rng: source of the draws.
        n: most steps.

    Returns:
        Steps to items that were known before; events of one moment have no order and are no step.
    """
    later = cut.answers.take(~np.isin(cut.answers.event_type, NO_INTEREST))
    label = np.where(later.user_idx >= 0, later.user_idx, len(cut.known.users) + later.basket_idx.astype(np.int64))
    order = np.lexsort((later.timestamp, label))
    label, item, when = label[order], later.item_idx[order], later.timestamp[order]
    is_known = np.bincount(cut.known.events.item_idx, minlength=len(cut.known.items)) > 0
    is_step = (label[1:] == label[:-1]) & (item[1:] != item[:-1]) & (when[1:] > when[:-1]) & is_known[item[1:]]
    step = np.flatnonzero(is_step)
    step = np.sort(rng.permutation(step)[:n])
    return NextItems(item[step], item[step + 1])


def compare_item_lists(kind: ItemKind, engine: Engine, questions: NextItems, now: int, config: BlendConfig) -> Blend:
    """Compare the orders of one kind of list; what is best on later visits serves.

    The orders are the weights of the placement, each source alone, and popularity, which cannot serve where the
    placement does not name it: what sells best replaces nothing.

    Args:
        kind: which list.
        engine: models of the hold-out, with the lists of the seeds.
        questions: steps from one item to the next.
        now: seconds since 1970.
        config: settings.

    Returns:
        The weights that serve; not fitted with fewer than `min_questions` steps.
    """
    if not config.enabled or len(questions) < config.min_questions:
        return NO_BLEND
    own = PLACEMENTS[LISTS[kind]].sources
    names = (*(name for name in own if name != POPULAR), POPULAR)
    alone = dict(zip((*(f"the source {name}" for name in names[:-1]), POPULARITY), np.eye(len(names)), strict=True))
    orders = {"placement weights": np.array([own.get(name, 0.0) for name in names])} | alone
    hits = _hits(engine, names, np.array(list(orders.values())), questions, now)
    value = dict(zip(orders, hits.mean(axis=0).tolist(), strict=True))
    best = max((name for name in value if name != POPULARITY or POPULAR in own), key=lambda name: value[name])
    weights = tuple(orders[best].tolist())
    return Blend(
        METRIC,
        best,
        len(questions),
        tuple(value),
        tuple(value.values()),
        sources=names,
        few=weights,
        many=weights,
        uses_ranker=False,
    )


def _hits(
    engine: Engine, names: tuple[str, ...], weights: Vector, questions: NextItems, now: int
) -> npt.NDArray[np.float64]:
    """Return 1 where an order has the answer among its first `K`, else 0; float64 (n_questions, n_orders)."""
    found = np.zeros((len(questions), len(weights)))
    for row, (seed, answer) in enumerate(zip(questions.seed.tolist(), questions.answer.tolist(), strict=True)):
        query = Query(-1, now, -1, 0, K, NO_HISTORY, seeds=np.array([seed], np.int32))
        candidates = generate(names, UserState(engine, query))
        position = int(candidates.item_idx.searchsorted(answer))
        if position == len(candidates.item_idx) or candidates.item_idx[position] != answer:
            continue
        scores = np.array([candidates.scores[name] for name in names], np.float64)
        scores[:, candidates.item_idx == seed] = 0
        of_order = weights @ scores
        better = of_order > of_order[:, position : position + 1]
        ties = (of_order == of_order[:, position : position + 1]) & (candidates.item_idx < answer)
        found[row] = (of_order[:, position] > 0) & ((better | ties).sum(axis=1) < K)
    return found
