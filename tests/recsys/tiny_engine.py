"""An engine of eight items whose every number is written down, so that what is asked of it can be worked out by hand.

Items `a` to `h` are rows 0 to 7. `a` and `b` are variants of one product; `a` and `b`, `c` and `d`, `e` and `f` share a
type; the first two types share a category; `g` and `h` have no type. A purchase repeats in a quarter of all cases, and
every interval is ten days.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recsys.core.schema import EVENT_NAMES, ITEMS, USERS
from recsys.data.catalog import Catalog
from recsys.data.dataset import DAY_S, PURCHASE
from recsys.data.history import NO_HISTORY, History, UserHistory
from recsys.fitting.engine import Engine, EngineConfig, FittedDataInfo
from recsys.models.collaborative.affinity import AffinityConfig, AffinityModel
from recsys.models.collaborative.als import ALSModel, EventWeights
from recsys.models.collaborative.ease import EASEModel
from recsys.models.content.content import ContentModel
from recsys.models.content.hybrid import FeatureWeights, HybridModel
from recsys.models.pairs.copurchase import CopurchaseModel
from recsys.models.pairs.purchase_order import ReversedTypePairs
from recsys.models.pairs.related_items import RelatedItems
from recsys.models.pairs.sequence import NeighborLists, SequenceConfig, SequenceModel
from recsys.models.temporal.kernels import N_STEPS, KernelModel
from recsys.models.temporal.popularity import PopularityModel
from recsys.models.temporal.repeat import RepeatConfig, RepeatModel
from recsys.models.temporal.rest import RestModel
from recsys.models.temporal.timeofday import TimeOfDayConfig, TimeOfDayModel
from recsys.retrieval.query import Query
from recsys.retrieval.user_state import UserState
from recsys.search.vector_index import FlatIndex
from tests.shop import table

NOW: Final = 1_700_000_000
N_ITEMS: Final = 8
VIEW: Final = EVENT_NAMES.index("view_item")
REFUND: Final = EVENT_NAMES.index("refund")

Pair = tuple[int, float]


def f32(*values: Any) -> npt.NDArray[np.float32]:
    return np.array(values, np.float32)


def i32(*values: int) -> npt.NDArray[np.int32]:
    return np.array(values, np.int32)


def related(*lists: tuple[Pair, ...], width: int = 3) -> RelatedItems:
    """Lists of (row, score), one an item; items past the last given have empty ones."""
    rows, scores = np.full((N_ITEMS, width), -1, np.int32), np.zeros((N_ITEMS, width), np.float32)
    for item, pairs in enumerate(lists):
        for place, (row, score) in enumerate(pairs):
            rows[item, place], scores[item, place] = row, score
    return RelatedItems(rows, scores, np.zeros((N_ITEMS, width), np.int32))


def neighbors(lists: dict[int, tuple[Pair, ...]], width: int = 3) -> NeighborLists:
    """Lists of (row, score) by item."""
    row_of = np.full(N_ITEMS, -1, np.int32)
    row_of[list(lists)] = np.arange(len(lists))
    rows, scores = np.full((len(lists), width), -1, np.int32), np.zeros((len(lists), width), np.float32)
    for row, pairs in enumerate(lists.values()):
        for place, (item, score) in enumerate(pairs):
            rows[row, place], scores[row, place] = item, score
    return NeighborLists(row_of, RelatedItems(rows, scores, np.zeros_like(rows)))


def tiny_engine(**changes: Any) -> Engine:
    """The engine; `changes` replace parts of it."""
    vectors = f32([1, 0], [0.5, 0.5], [0, 1], [-1, 0], [0.25, 0], [0.75, -0.5], [0, 0], [0.375, 0])
    similar = related(((1, 0.9), (2, 0.3), (7, 0.1)), ((0, 0.9),), ((3, 0.5), (0, 0.25)))
    engine = Engine(
        config=EngineConfig(),
        dataset_info=FittedDataInfo(timezone="UTC", target_event=PURCHASE, end=NOW),
        items_table=table([{"item_id": item_id} for item_id in "abcdefgh"], ITEMS),
        users_table=table([], USERS),
        catalog=Catalog(
            item_type=i32(0, 0, 1, 1, 2, 2, -1, -1),
            type_category=i32(0, 0, 1),
            type_names=("A > a", "A > c", "B > e"),
            group=i32(0, 0, -1, -1, -1, -1, -1, -1),
            price=f32(10, 12, 100, 90, 15, 20, np.nan, 5),
            available=np.ones(N_ITEMS, np.bool_),
        ),
        history=History.grouped(np.zeros(1, np.int64), NO_HISTORY),
        popularity=PopularityModel(
            share=f32(0.3, 0.2, 0.15, 0.1, 0.1, 0.05, 0.1, 0),
            trend=f32(1, 1, 4, 0.25, 1, 1, 1, 1),
            n_buyers=i32(30, 20, 16, 8, 4, 2, 0, 1),
            n_users=40,
            is_head=np.arange(N_ITEMS) < 2,
            momentum=np.ones((N_ITEMS, 3), np.float32),
        ),
        repeat=RepeatModel(
            interval_days=np.full(N_ITEMS, 10, np.float32),
            repeat_rate=f32(0.5, 0.1, 0.5, 0.5, 0.2, 0.5, 0.5, 0.5),
            repeat_share=0.25,
            kernels=KernelModel(
                curves=np.tile(np.linspace(1, 0.1, N_STEPS, dtype=np.float32), (4, 1)),
                curve_of=i32(1, 1, 2, 2, 3, 3, 0, 0),
                height=np.ones(N_ITEMS, np.float32),
            ),
            rest=RestModel(np.zeros(N_ITEMS, np.float32), np.zeros(3, np.bool_)),
            config=RepeatConfig(decay_days=7.0, decay_power=0.5, personal_shrinkage=2.0),
        ),
        als=ALSModel(
            item_factors=vectors,
            gram=np.asfortranarray(np.eye(2, dtype=np.float32)),
            alpha=1.0,
            half_life_days=10.0,
            event_weights=EventWeights().as_array(),
        ),
        content=ContentModel(sparse.csr_matrix((N_ITEMS, 1), dtype=np.float32), ("x",), f32(1), f32([1, 0]), vectors),
        hybrid=HybridModel(vectors, similar.item_idx, similar.score, FeatureWeights.prior(1)),
        affinity=AffinityModel(
            indptr=np.array([0, 2, 4, 6]),
            item_idx=i32(0, 1, 2, 3, 4, 5),
            share=f32(0.6, 0.4, 0.6, 0.4, 1, 0),
            item_type=i32(0, 0, 1, 1, 2, 2, -1, -1),
            config=AffinityConfig(),
        ),
        ease=EASEModel(
            row_of=i32(0, 1, 2, 3, -1, -1, -1, -1),
            items=i32(0, 1, 2, 3),
            neighbor=np.array([[2, 3], [2, -1], [-1, -1], [-1, -1]], np.int16),
            weight=f32([1, -1], [2, 0], [0, 0], [0, 0]),
        ),
        copurchase=CopurchaseModel(
            partners=related(((1, 0.5), (2, 0.25)), ((2, 0.5), (0, 0.5), (4, 0.125)), ((5, 1.0),)),
            bought_together=related(((1, 0.4), (4, 0.2)), (), ((4, 0.3), (1, 0.1), (5, 0.05))),
            complementary=related(((2, 0.4), (4, 0.2)), (), ((0, 0.7), (4, 0.1))),
            n_baskets=np.ones(N_ITEMS, np.int32),
            n_all=10,
            by_basket=True,
            is_paired_type=np.ones(3, np.bool_),
            reversed_pairs=ReversedTypePairs(sparse.csr_matrix((3, 3), dtype=np.bool_), 2.0),
        ),
        sequence=SequenceModel(
            around=neighbors({0: ((2, 0.5), (4, 0.25)), 2: ((3, 0.6),), 3: ((2, 0.4), (0, 0.2))}),
            after=neighbors({0: ((4, 0.75),), 3: ((5, 1.0),)}),
            by_view=True,
            config=SequenceConfig(),
        ),
        timeofday=TimeOfDayModel(
            lift=f32([0.5, 1.5], [1, 1], [4, 0.25], [1, 1], [2, 0.5], [1, 1], [0, 2], [9, 9]),
            bucket_share=f32(0.5, 0.5),
            bucket_of_hour=(np.arange(24) >= 12).astype(np.int8),
            is_fitted=True,
            config=TimeOfDayConfig(bucket_starts=(0, 12), personal_shrinkage=2.0),
        ),
        index=FlatIndex.build(vectors),
    )
    return replace(engine, **changes)


def history(*events: tuple[int, float] | tuple[int, float, int], hour: int = 9) -> UserHistory:
    """Events as (row, days before `NOW`) and the code of another event than a purchase; each is a basket of its own."""
    ordered = sorted(events, key=lambda event: -event[1])
    n = len(ordered)
    return UserHistory(
        i32(*(event[0] for event in ordered)),
        np.array([NOW - round(event[1] * DAY_S) for event in ordered], np.int64),
        np.array([event[2] if len(event) > 2 else PURCHASE for event in ordered], np.int8),
        np.arange(n, dtype=np.int32),
        np.full(n, hour, np.int8),
        np.ones(n, np.float32),
        np.zeros(n, np.float32),
    )


def state_of(
    *events: tuple[int, float] | tuple[int, float, int], engine: Engine | None = None, hour: int = 9, **asked: Any
) -> UserState:
    """The state of a shopper with these events at `NOW`, who asks at `hour`; `asked` are more fields of the query."""
    query = Query(user_idx=-1, now=NOW, hour=hour, bucket=int(hour >= 12), limit=5, history=history(*events), **asked)
    return UserState(tiny_engine() if engine is None else engine, query)


def allowed(*rows: int) -> npt.NDArray[np.bool_]:
    """A mask of these rows alone."""
    return np.isin(np.arange(N_ITEMS), rows)
