"""Implicit ALS on a time-decayed, event-weighted matrix, with exact fold-in of users."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recsys.core.config.ranges import PositiveFloat, PositiveInt
from recsys.core.errors import DataError
from recsys.core.schema import EVENT_NAMES
from recsys.data.dataset import DAY_S
from recsys.kernels.folding import fold_user, fold_user_numpy
from recsys.kernels.history import sum_events
from recsys.models.collaborative.als_solver import factorize

N_WARM_ITERATIONS: Final = 5
"""Sweeps of a fit that begins with the factors of nearly the same matrix."""


@dataclass(frozen=True)
class EventWeights:
    """Weight of one event by event name; a purchase is the unit.

    Attributes:
        purchase: weight of a purchase.
        begin_checkout: weight of the start of a checkout.
        add_to_cart: weight of adding to the cart.
        add_to_wishlist: weight of adding to a wish list.
        view_item: weight of viewing an item's page.
        select_item: weight of selecting an item in a list.
        view_item_list: weight of seeing an item in a list.
        remove_from_cart: weight of removing from the cart.
        refund: weight of a refund.
    """

    purchase: float = 1.0
    begin_checkout: float = 0.6
    add_to_cart: float = 0.5
    add_to_wishlist: float = 0.4
    view_item: float = 0.15
    select_item: float = 0.1
    view_item_list: float = 0.0
    remove_from_cart: float = -0.4
    refund: float = -1.0

    def as_array(self) -> npt.NDArray[np.float32]:
        """Return the weights in the order of `schema.EVENT_NAMES`, float32 (n_event_types,)."""
        return np.array([getattr(self, name) for name in EVENT_NAMES], np.float32)


@dataclass(frozen=True)
class ALSConfig:
    """Settings of implicit ALS.

    Attributes:
        n_factors: length of a factor vector.
        regularization: weight of the penalty on the squares of the factors.
        alpha: confidence that one unit of event weight adds.
        n_iterations: sweeps over both sides.
        half_life_days: age in days, at the user's last event, at which an event has half its weight.
        event_weights: weight of one event, by event name.
    """

    n_factors: PositiveInt = 128
    regularization: PositiveFloat = 10.0
    alpha: PositiveFloat = 3.0
    n_iterations: PositiveInt = 15
    half_life_days: PositiveFloat = 45.0
    event_weights: EventWeights = field(default_factory=EventWeights)


@dataclass(frozen=True)
class ALSModel:
    """Item factors and the matrices that fold-in needs; a user's factors are computed from the history on request.

    Attributes:
        item_factors: float32 (n_items, n_factors), zero for items without events.
        gram: float32 (n_factors, n_factors), `YᵀY + λI`, in Fortran order.
        alpha: confidence that one unit of weight adds.
        half_life_days: age at the user's last event at which an event counts half, in days.
        event_weights: float32 (n_event_types,), weight of one event by code.
    """

    item_factors: npt.NDArray[np.float32]
    gram: npt.NDArray[np.float32]
    alpha: float
    half_life_days: float
    event_weights: npt.NDArray[np.float32]

    def fold_in(self, item_idx: npt.NDArray[np.int32], weight: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Solve for the factors of a user with the given items, exactly.

        `x = (YᵀY + λI + Yᵀ(C − I)Y)⁻¹ Yᵀ C p` with confidence `c = 1 + α|w|` and preference `p = [w > 0]`.

        Args:
            item_idx: int32 (n,), distinct rows.
            weight: float32 (n,), summed and decayed weights.

        Returns:
            float32 (n_factors,); zeros if no weight differs from 0.

        Raises:
            DataError: the factors are not finite.

        Reference:
            Hu, Koren & Volinsky (2008), Collaborative Filtering for Implicit Feedback Datasets, ICDM. Deviation:
            negative weights give a preference of 0 with a confidence above 1.

        >>> y = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
        >>> gram = np.asfortranarray(y.T @ y + np.eye(2, dtype=np.float32))
        >>> model = ALSModel(y, gram, alpha=1.0, half_life_days=45.0, event_weights=EventWeights().as_array())
        >>> model.fold_in(np.array([0], np.int32), np.array([1.0], np.float32)).round(3).tolist()
        [0.6669999957084656, 0.0]
        """
        known = weight != 0
        if not known.any():
            return np.zeros(self.item_factors.shape[1], np.float32)
        system = (self.item_factors[item_idx[known]], weight[known], self.gram.T, self._gram_inverse, self.alpha)
        solution, is_exact = fold_user(*system)
        if not is_exact:
            solution, is_exact = fold_user_numpy(*system)
        if not is_exact:
            raise DataError("the factors of a user are not finite: train the bundle again")
        return solution

    @cached_property
    def _gram_inverse(self) -> npt.NDArray[np.float32]:
        """Inverse of `gram`, computed in float64 as single precision loses digits."""
        return np.linalg.inv(self.gram.astype(np.float64)).astype(np.float32)

    def weights_of(
        self,
        item_idx: npt.NDArray[np.int32],
        kind: npt.NDArray[np.int8],
        age_s: npt.NDArray[np.int64],
        rating_weight: npt.NDArray[np.float32],
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Sum a user's events into distinct items and decayed weights, the input of `fold_in`.

        Args:
            item_idx: int32 (n,), the item of each event.
            kind: int8 (n,), code of each event's type.
            age_s: int64 (n,), age of each event at the user's last event in seconds, >= 0.
            rating_weight: float32 (n,), factor of each event, >= 0.

        Returns:
            Distinct items, int32, ascending, and their weights, float32; both empty without events.
        """
        rate = 1 / (self.half_life_days * DAY_S)
        found: tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]] = sum_events(
            item_idx, kind, age_s, rating_weight, self.event_weights, rate
        )
        return found


def fit_als(
    user_items: sparse.csr_matrix,
    config: ALSConfig,
    rng: np.random.Generator,
    *,
    n_threads: int = 0,
    start: npt.NDArray[np.float32] | None = None,
) -> ALSModel:
    """Factorize a weighted matrix.

    A fit that begins with the factors of nearly the same matrix takes `N_WARM_ITERATIONS` sweeps: its loss is then that
    of 15 sweeps from random factors, or less.

    Args:
        user_items: float32 CSR (n_users, n_items), from `weigh_events`; may be empty.
        config: settings.
        rng: source of the initial factors.
        n_threads: threads; 0 for one per core. The factors do not depend on it.
        start: float32 (n_items, n_factors), item factors to begin with; random ones if None.

    Returns:
        A model with finite factors; all factors are zero if the matrix has no entries.

    Raises:
        DataError: the factorization diverged.
    """
    n_items = user_items.shape[1]
    n_factors = config.n_factors
    factors = np.zeros((n_items, n_factors), np.float32)
    if user_items.nnz:
        weight = user_items.copy()
        weight.eliminate_zeros()
        settings = (n_factors, config.alpha, config.regularization, n_sweeps(config, start))
        factors = factorize(weight, *settings, rng, n_threads, start)[1]
    return als_model(factors, config)


def n_sweeps(config: ALSConfig, start: npt.NDArray[np.float32] | None) -> int:
    """Return the number of sweeps of a fit that begins with some item factors, None for random ones."""
    return config.n_iterations if start is None else min(config.n_iterations, N_WARM_ITERATIONS)


def als_model(factors: npt.NDArray[np.float32], config: ALSConfig) -> ALSModel:
    """Return the model of item factors, float32 (n_items, n_factors).

    Raises:
        DataError: they are not finite.
    """
    if not np.isfinite(factors).all():
        raise DataError(
            "the factorization diverged, expected finite factors: lower als.alpha or raise als.regularization"
        )
    gram = factors.T @ factors + config.regularization * np.eye(factors.shape[1], dtype=np.float32)
    return ALSModel(
        item_factors=factors,
        gram=np.asfortranarray(gram, np.float32),
        alpha=config.alpha,
        half_life_days=config.half_life_days,
        event_weights=config.event_weights.as_array(),
    )


def age_at_last_event(user_idx: npt.NDArray[np.int32], timestamp: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the age of each event at the last event of its user, so that a dormant user keeps a full profile.

    >>> age_at_last_event(np.array([0, 0, 1], np.int32), np.array([10, 30, 7])).tolist()
    [20, 0, 0]

    Args:
        user_idx: int32 (n,), -1 for anonymous events.
        timestamp: int64 (n,), seconds since 1970.

    Returns:
        int64 (n,), seconds, >= 0.
    """
    last = np.full(int(user_idx.max(initial=-1)) + 2, np.iinfo(np.int64).min)
    np.maximum.at(last, user_idx + 1, timestamp)
    return last[user_idx + 1] - timestamp


def weigh_events(
    user_idx: npt.NDArray[np.int32],
    item_idx: npt.NDArray[np.int32],
    kind: npt.NDArray[np.int8],
    age_s: npt.NDArray[np.int64],
    shape: tuple[int, int],
    config: ALSConfig,
    rating_weight: npt.NDArray[np.float32] | float = 1.0,
) -> sparse.csr_matrix:
    """Sum decayed event weights into a matrix: `w_ui = Σ rating_weight · weight(type) · 2^(−age/half_life)`.

    Args:
        user_idx: int32 (n,), -1 for anonymous events, which are left out.
        item_idx: int32 (n,), the item of each event.
        kind: int8 (n,), code of each event's type.
        age_s: int64 (n,), age of each event at the user's last event in seconds, >= 0.
        shape: numbers of users and items.
        config: settings.
        rating_weight: float32 (n,) or a number, factor of each event, >= 0.

    Returns:
        float32 CSR of `shape` without explicit zeros.
    """
    weight = rating_weight * config.event_weights.as_array()[kind] * np.exp2(-age_s / (config.half_life_days * DAY_S))
    named = user_idx >= 0
    coordinates = (user_idx[named], item_idx[named])
    matrix = sparse.csr_matrix((weight[named].astype(np.float32), coordinates), shape=shape)
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    return matrix
