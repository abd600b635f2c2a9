"""Models of one shop that several steps need, each fitted once per configuration."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import cached_property
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recsys.data.catalog import Catalog, read_catalog
from recsys.data.dataset import Dataset
from recsys.fitting.engine import EngineConfig
from recsys.models.collaborative.als import ALSConfig, ALSModel, age_at_last_event, fit_als, weigh_events
from recsys.models.collaborative.ease import EASEModel, fit_ease
from recsys.models.content.content import ContentModel, fit_content
from recsys.models.pairs.copurchase import CopurchaseCounts, count_copurchase
from recsys.models.temporal.popularity import PopularityModel, fit_popularity

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
        self._n_events = 0

    def of(self, dataset: Dataset, config: ALSConfig) -> Factors | None:
        """Return the factors that a fit begins with, None for random ones."""
        first = self._factors
        is_near = first is not None and first.shape == (len(dataset.items), config.n_factors)
        return first if is_near and len(dataset.events) >= LARGE_EVENTS else None

    def keep(self, dataset: Dataset, factors: Factors) -> None:
        """Keep the factors of a fit, unless there was one of as many events before."""
        if len(dataset.events) > self._n_events:
            self._factors, self._n_events = factors, len(dataset.events)


class FitCache:
    """Models of a shop up to a moment, each fitted when it is first asked for.

    Args:
        dataset: the shop.
        now: moment from which ages count, seconds since 1970.
        content: the content of the catalog, where another fit has it already.
        first: the factors of an earlier fit.
    """

    def __init__(
        self, dataset: Dataset, now: int, content: ContentModel | None = None, first: FirstFactors | None = None
    ) -> None:
        self.dataset = dataset
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
            start = self.first.of(self.dataset, config.als)
            model = fit_user_factors(self.dataset, config.als, np.random.default_rng(config.seed), start)
            self.first.keep(self.dataset, model.item_factors)
            return model

        return self._once(config.als, fit)

    def ease(self, config: EngineConfig) -> EASEModel:
        """Return the linear model."""
        bought, features = count_target_events, self.content(config).features
        return self._once(config.ease, lambda: fit_ease(bought(self.dataset), config.ease, features))

    def popularity(self, config: EngineConfig) -> PopularityModel:
        """Return the sales of all items."""
        return self._once(config.popularity, lambda: fit_popularity(self.dataset, config.popularity, self.now))

    def copurchase_counts(self, config: EngineConfig) -> CopurchaseCounts:
        """Return what is counted about pairs of items; the same for settings that only order the lists."""
        content, settings = self.content(config), config.copurchase
        return self._once(
            settings.counted,
            lambda: count_copurchase(self.dataset, self.catalog, settings, self.now, content.pair_similarity),
        )

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


def fit_user_factors(
    dataset: Dataset, config: ALSConfig, rng: np.random.Generator, start: Factors | None = None
) -> ALSModel:
    """Fit ALS on the events of a shop, each weighted by its type and by its age at its user's last event."""
    events = dataset.events
    shape = (len(dataset.users), len(dataset.items))
    age_s = age_at_last_event(events.user_idx, events.timestamp)
    user_items = weigh_events(
        events.user_idx, events.item_idx, events.event_type, age_s, shape, config, events.rating_weight
    )
    return fit_als(user_items, config, rng, start=start)


def count_target_events(dataset: Dataset) -> sparse.csr_matrix:
    """Count how often each user bought each item, float32 CSR (n_users, n_items)."""
    bought = dataset.target_events
    bought = bought.take(bought.user_idx >= 0)
    shape = (len(dataset.users), len(dataset.items))
    return sparse.csr_matrix((np.ones(len(bought), np.float32), (bought.user_idx, bought.item_idx)), shape=shape)
