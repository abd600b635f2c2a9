"""Measured costs, as sums that grow with the sizes of a shop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Annotated, Final

import msgspec
import numpy as np
from msgspec import Meta
from scipy.optimize import nnls

from recsys.core.errors import DataError

SIZES: Final = ("events", "items", "users")
FILE: Final = "costs.json"

Cost = Annotated[float, Meta(ge=0)]


class Curve(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A cost as `fixed + per_event * events + per_item * items + per_user * users`.

    Attributes:
        fixed: of any shop.
        per_event, per_item, per_user: what one more adds.
        error: the largest relative difference to a point that it was fitted to.
        largest: the largest measured sizes, of those that it grows with.
    """

    fixed: Cost
    per_event: Cost
    per_item: Cost
    per_user: Cost
    error: Cost
    largest: dict[str, float]

    def at(self, sizes: Mapping[str, float]) -> float:
        """Return the cost of a shop."""
        events, items, users = (sizes[name] for name in SIZES)
        return self.fixed + self.per_event * events + self.per_item * items + self.per_user * users

    def beyond(self, sizes: Mapping[str, float]) -> float:
        """Return how many times a shop is larger than the largest measured one, on its largest axis; 1 within."""
        return max(1.0, *(sizes[name] / size for name, size in self.largest.items()))


class Costs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The costs of one kind of machine.

    Attributes:
        machine: what it is.
        curves: `training, s` and `spark, s` of processor time, `training, MB` at the peak, `bundle, MB` on disk,
            `server, MB` of a process, and `for_you, ms` and `complementary, ms` of processor time of one list.
        constants: by name, with its unit.
    """

    machine: str
    curves: dict[str, Curve]
    constants: dict[str, Cost]


def fit(points: Sequence[Mapping[str, float]], name: str, by: Sequence[str] = SIZES) -> Curve:
    """Fit a cost to measured points, by least squares of the relative errors with coefficients of at least 0.

    Args:
        points: sizes by name, and the value of the cost, above 0; others are left out.
        name: of the cost.
        by: the sizes that it grows with.

    Raises:
        DataError: no point has the cost.
    """
    kept = [point for point in points if point.get(name, 0) > 0]
    if not kept:
        raise DataError(f"no point has {name!r}: give the results of `make curves`")
    values = np.array([point[name] for point in kept])
    sizes = np.array([[1.0, *(point[size] * (size in by) for size in SIZES)] for point in kept])
    scale = np.maximum(sizes.max(0), 1.0)  # else the terms differ by many orders of magnitude
    factors, _ = nnls(sizes / scale / values[:, None], np.ones(len(values)))
    fixed, per_event, per_item, per_user = map(float, factors / scale)
    error = float(np.abs(sizes @ (factors / scale) / values - 1).max())
    largest = {size: max(point[size] for point in kept) for size in by}
    return Curve(fixed, per_event, per_item, per_user, error, largest)


@cache
def measured_costs() -> Costs:
    """Return the costs that this release was measured with."""
    return msgspec.json.decode((resources.files(__package__) / FILE).read_bytes(), type=Costs)
