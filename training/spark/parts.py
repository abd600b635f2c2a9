"""A shop whose events are in Spark: the counts of its parts, added."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from recsys.data.dataset import Dataset
from recsys.fitting.parts import Parts
from recsys.models.collaborative.als import ALSConfig, ALSModel
from training.spark.factors import fit_factors
from training.spark.kept import Found, find_kept
from training.spark.pieces import BLOCK_ROWS, sum_of
from training.spark.records import Frame, Record

if TYPE_CHECKING:
    from pyspark import RDD

T = TypeVar("T")


@dataclass(frozen=True)
class SparkParts:
    """A shop in parts that Spark has.

    Attributes:
        records: the parts.
        frame: what they have in common.
        n_users: number of users of each part, by its number.
        dataset: the shop's users, or a sample of them.
        share: share of the users that `dataset` has.
        kept: counts of all events that are known already.
    """

    records: RDD[Record]
    frame: Frame
    n_users: dict[int, int]
    dataset: Dataset
    share: float
    kept: Found = field(default_factory=dict)

    def until(self, dataset: Dataset, cutoff: int) -> Parts:
        """See `recsys.fitting.parts.Parts`."""
        return replace(self, dataset=dataset, frame=replace(self.frame, cutoff=cutoff), kept={})

    def total(self, count: Callable[[Dataset], T], kind: type[T]) -> T:
        """See `recsys.fitting.parts.Parts`."""
        found: T | None = find_kept(self.kept, count)
        if found is not None:
            return found
        n_blocks = self.frame.n_items // BLOCK_ROWS + 1
        return sum_of(self.records, partial(_count, frame=self.frame, count=count), kind, n_blocks)

    def span(self, kinds: tuple[int, ...], latest: int | None = None) -> tuple[int, int]:
        """See `recsys.fitting.parts.Parts`."""
        times = self.records.map(partial(_times, frame=self.frame, kinds=kinds, latest=latest))
        found = times.reduce(partial(_latest, latest=latest))
        return (int(found.min()), int(found.max())) if len(found) else (0, 0)

    def factors(self, config: ALSConfig, rng: np.random.Generator, start: npt.NDArray[np.float32] | None) -> ALSModel:
        """See `recsys.fitting.parts.Parts`."""
        return fit_factors(self.records, self.frame, self.n_users, config, rng, start)


def _count(record: Record, frame: Frame, count: Callable[[Dataset], Any]) -> Any:
    return count(frame.dataset(record))


def _times(record: Record, frame: Frame, kinds: tuple[int, ...], latest: int | None) -> npt.NDArray[np.int64]:
    """Return the times of the latest events of some types, or of the first and the last one."""
    events = frame.dataset(record).events
    when = events.timestamp[np.isin(events.event_type, kinds)]
    return when[[0, -1]] if latest is None and len(when) else when[-(latest or 1) :]


def _latest(one: npt.NDArray[np.int64], other: npt.NDArray[np.int64], latest: int | None) -> npt.NDArray[np.int64]:
    both = np.concatenate([one, other])
    if latest is None:
        return np.array([both.min(), both.max()]) if len(both) else both
    return both if len(both) <= latest else np.partition(both, len(both) - latest)[-latest:]
