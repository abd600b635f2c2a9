"""Where a training has its data from: the tables in this process, or another engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from recsys.data.dataset import Dataset, load_dataset
from recsys.fitting.engine import Engine
from recsys.fitting.parts import Parts


@dataclass(frozen=True)
class TrainingData:
    """The data of one training.

    Attributes:
        dataset: the shop, or a sample of its users.
        end: time of the last event of all users, seconds since 1970.
        rows: number of events, users and items.
        parts: where the events of all users are, if `dataset` has a sample of them.
        finish: adds to a fitted engine what it has of all users.
    """

    dataset: Dataset
    end: int
    rows: Mapping[str, int]
    parts: Parts | None = None
    finish: Callable[[Engine], Engine] = lambda engine: engine


Source = Callable[[Path, Path], AbstractContextManager[TrainingData]]
"""Opens a folder of tables; the second path is a folder for files of the training, which is removed after it."""


@contextmanager
def load_tables(data_dir: Path, work: Path) -> Iterator[TrainingData]:
    """Read a folder of tables into the memory of this process."""
    dataset = load_dataset(data_dir)
    rows = {"events": len(dataset.events), "users": len(dataset.users), "items": len(dataset.items)}
    yield TrainingData(dataset, dataset.end, rows)
