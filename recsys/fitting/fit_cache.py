"""Models of one shop that several steps need, each fitted once per configuration."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import cached_property, partial
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from recsys.data.catalog import Catalog, read_catalog
from recsys.data.dataset import Dataset
from recsys.fitting.engine import EngineConfig
from recsys.fitting.parts import ACTS, Parts, WholeShop, count_item_buyers, count_target_events
from recsys.models.collaborative.als import ALSConfig, ALSModel
from recsys.models.collaborative.ease import EASEModel, Gram, ease_of, gram_of, known_items
from recsys.models.content.content import ContentModel, fit_content
from recsys.models.moments.festival_lifts import (
    FestivalCounts,
    FestivalLifts,
    count_festivals,
    festival_lifts_of,
    festival_spans,
)
from recsys.models.moments.first_orders import FirstOrderCounts, FirstOrders, count_first_orders, first_orders_of
from recsys.models.pairs.copurchase import (
    CopurchaseCounts,
    OrderPairCounts,
    UserPairCounts,
    copurchase_counts,
    count_order_pairs,
    count_pairs_of_users,
    wanted_of_users,
)
from recsys.models.pairs.sequence import SequenceModel, StepCounts, count_steps, sequence_of
from recsys.models.temporal.popularity import PopularityCounts, PopularityModel, count_popularity, popularity_of
from recsys.models.temporal.repeat import RepeatCounts, RepeatModel, count_repeats, fit_repeat
from recsys.models.temporal.timeofday import TimeOfDayModel, count_hours, timeofday_of

LARGE_EVENTS: Final = 5_000_000
"""Events from which on a shop is large: its factors are not fitted from random ones each time."""

Factors = npt.NDArray[np.float32]
T = TypeVar("T")


class FirstFactors:
    """The item factors of an earlier fit, the one of most events, which the later ones of a large shop begin with.

    The hold-outs of a shop and the whole differ by few events, and the settings that are tried change the factors
    little. The very first are those of a sample of the users.
    """

    def __init__(self) -> None:
        self._factors: Factors | None = None
        self._n_events = 0.0

    def of(self, parts: Parts, config: ALSConfig) -> Factors | None:
        """Return the factors that a fit begins with, None for random ones."""
        first, dataset = self._factors, parts.dataset
        is_near = first is not None and first.shape == (len(dataset.items), config.n_factors)
        return first if is_near and len(dataset.events) >= LARGE_EVENTS * parts.share else None

    def keep(self, parts: Parts, factors: Factors) -> None:
        """Keep the factors of a fit, unless there was one of as many events before."""
        n_events = len(parts.dataset.events) / parts.share
        if n_events > self._n_events:
            self._factors, self._n_events = factors, n_events


class FitCache:
    """Models of a shop up to a moment, each fitted when it is first asked for.

    Args:
        dataset: the shop.
        now: moment from which ages count, seconds since 1970.
        content: the content of the catalog, where another fit has it already.
        first: the factors of an earlier fit.
        parts: where the events of all users are, if `dataset` has a sample of them; else they are in `dataset`.
    """

    def __init__(
        self,
        dataset: Dataset,
        now: int,
        content: ContentModel | None = None,
        first: FirstFactors | None = None,
        parts: Parts | None = None,
    ) -> None:
        self.dataset = dataset
        self.parts: Parts = WholeShop(dataset) if parts is None else parts
        self.now = now
        self.first = FirstFactors() if first is None else first
        self._content = content
        self._fitted: dict[Any, Future[Any]] = {}
        self._lock = threading.Lock()

    @cached_property
    def catalog(self) -> Catalog:
        """The categories, types and prices of the items."""
        return read_catalog(self.dataset.catalog)

    def has_content(self, config: EngineConfig) -> bool:
        """Return whether the content is known already."""
        return self._content is not None or config.content in self._fitted

    def content(self, config: EngineConfig) -> ContentModel:
        """Return the content of the catalog."""
        if self._content is not None:
            return self._content
        rng = np.random.default_rng(config.seed)
        return self._once(config.content, lambda: fit_content(self.dataset.catalog, config.content, rng))

    def als(self, config: EngineConfig) -> ALSModel:
        """Return the factors."""

        def fit() -> ALSModel:
            start = self.first.of(self.parts, config.als)
            model = self.parts.factors(config.als, np.random.default_rng(config.seed), start)
            self.first.keep(self.parts, model.item_factors)
            return model

        return self._once(config.als, fit)

    def ease(self, config: EngineConfig) -> EASEModel:
        """Return the linear model."""

        def fit() -> EASEModel:
            n_buyers = self.parts.total(count_item_buyers, np.ndarray)
            known = known_items(n_buyers, config.ease.n_items)
            gram = self.parts.total(partial(_gram, known=known), Gram)
            return ease_of(gram, known, len(n_buyers), config.ease, self.content(config).features)

        return self._once(config.ease, fit)

    def popularity(self, config: EngineConfig) -> PopularityModel:
        """Return the sales of all items."""
        settings = config.popularity
        count = partial(count_popularity, config=settings, now=self.now)
        return self._once(settings, lambda: popularity_of(self.parts.total(count, PopularityCounts), settings))

    def repeat(self, config: EngineConfig) -> RepeatModel:
        """Return the repeat purchases."""
        counts = self.parts.total(count_repeats, RepeatCounts)
        return fit_repeat(self.dataset, self.catalog, config.repeat, counts)

    def timeofday(self, config: EngineConfig) -> TimeOfDayModel:
        """Return the hours of all items."""
        counts = self.parts.total(partial(count_hours, config=config.timeofday), np.ndarray)
        return timeofday_of(counts, self.catalog, config.timeofday)

    def sequence(self, config: EngineConfig) -> SequenceModel:
        """Return what people turn to around and after each item."""
        settings = config.sequence
        span = self.parts.span(ACTS, settings.max_events)
        counts = self.parts.total(partial(count_steps, config=settings, span=span), StepCounts)
        return sequence_of(counts, settings)

    def festival_lifts(self) -> FestivalLifts:
        """Return what sells before festivals."""
        spans = festival_spans(*self.parts.span((self.dataset.target_event,)))
        return festival_lifts_of(
            self.parts.total(partial(count_festivals, spans=spans), FestivalCounts), spans, self.catalog
        )

    def first_orders(self) -> FirstOrders:
        """Return what first orders contain."""
        return first_orders_of(self.parts.total(count_first_orders, FirstOrderCounts))

    def copurchase_counts(self, config: EngineConfig) -> CopurchaseCounts:
        """Return what is counted about pairs of items; the same for settings that only order the lists."""
        settings = config.copurchase

        def count() -> CopurchaseCounts:
            catalog, total = self.catalog, self.parts.total
            count_orders = partial(count_order_pairs, catalog=catalog, config=settings, now=self.now)
            orders = total(count_orders, OrderPairCounts)
            wanted = wanted_of_users(orders, settings)
            users = total(
                partial(count_pairs_of_users, catalog=catalog, config=settings, wanted=wanted), UserPairCounts
            )
            alike = self.content(config).pair_similarity
            return copurchase_counts(orders, users, catalog, settings, alike)

        return self._once(settings.counted, count)

    def begin(self, config: EngineConfig, pool: Executor) -> None:
        """Begin to fit the factors and the linear model in other threads: their solvers run beside Python.

        Args:
            config: the settings.
            pool: where they are fitted.
        """
        pool.submit(self.als, config)
        pool.submit(self.ease, config)

    def clear(self) -> None:
        """Forget the models, to free their memory."""
        self._fitted.clear()

    def _once(self, config: Any, fit: Callable[[], T]) -> T:
        """Return the model; a thread that asks while another one fits it waits."""
        with self._lock:
            fitted = self._fitted.get(config)
            is_new = fitted is None
            if fitted is None:
                fitted = self._fitted[config] = Future()
        if is_new:
            try:
                fitted.set_result(fit())
            except BaseException as error:
                fitted.set_exception(error)
        found: T = fitted.result()
        return found


def _gram(dataset: Dataset, known: npt.NDArray[np.int64]) -> Gram:
    return gram_of(count_target_events(dataset), known)
