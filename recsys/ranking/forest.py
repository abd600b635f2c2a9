"""Regression trees asked for many rows at once, by bit masks instead of walks: what a ranker's speed rests on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

MAX_LEAVES: Final = 64
BLOCK: Final = 512
"""Rows that are asked at a time: their masks stay in the processor's cache."""

Masks = npt.NDArray[np.uint32] | npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Forest:
    """Trees as masks of the leaves that are left, one bit a leaf, from left to right.

    A test that fails clears the leaves of its left side; what is left of the leaves after all tests starts with the
    one that a walk from the root ends in. Which tests fail follows from the place of a value among the thresholds of
    its feature, so that one mask is kept for each place.

    Attributes:
        thresholds: of each feature, float64, ascending, distinct.
        masks: of each feature, (n_thresholds + 2, n_trees): a row for each place among them, and one for NaN.
        leaves: float64 (n_trees, n_bits), value of each leaf.

    Reference:
        Lucchese et al. (2015), QuickScorer, SIGIR; here one mask a place instead of one a test, as NumPy's price is by
        the call.
    """

    thresholds: tuple[npt.NDArray[np.float64], ...]
    masks: tuple[Masks, ...]
    leaves: npt.NDArray[np.float64]

    def predict(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Sums of the trees, float64 (n,); a walk gives the same up to the order of the additions (1e-12).

        Args:
            features: float32 (n, n_features).
        """
        blocks = [self._block(features[start : start + BLOCK]) for start in range(0, len(features), BLOCK)]
        return np.concatenate(blocks) if blocks else np.empty(0)

    def _block(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        shape = (len(features), len(self.leaves))
        left = np.full(shape, -1, self.masks[0].dtype.str.replace("u", "i")).view(self.masks[0].dtype)
        taken = np.empty_like(left)
        columns = np.ascontiguousarray(features.T, np.float64)
        # NaN sorts behind every number: its place is the last but one row, and is moved on to its own.
        is_missing = np.isnan(columns)
        for column, missing, thresholds, masks in zip(columns, is_missing, self.thresholds, self.masks, strict=True):
            if not len(thresholds):
                continue
            place = thresholds.searchsorted(column)
            place += missing
            if place[0] == place[-1] and (place == place[0]).all():
                left &= masks[place[0]]
            else:
                np.take(masks, place, axis=0, out=taken, mode="clip")
                left &= taken
        first = left & (~left + left.dtype.type(1))
        bits = first.astype(np.float32).view(np.int32) >> 23 if left.itemsize == 4 else _exponent(first)
        bits -= 127 if left.itemsize == 4 else 0
        bits += np.arange(shape[1], dtype=bits.dtype) * self.leaves.shape[1]
        total: npt.NDArray[np.float64] = self.leaves.ravel().take(bits).sum(axis=1)
        return total


def _exponent(powers: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    return ((powers.astype(np.float64).view(np.int64) >> 52) - 1023).astype(np.int32)


def read_forest(model: str) -> Forest | None:
    """Read LightGBM's text; None where it holds what masks cannot: too many leaves, categories, zeros for missing."""
    trees = list(_trees(model))
    n_leaves = max((len(tree["leaf_value"]) for tree in trees), default=0)
    kinds = {int(kind) for tree in trees for kind in tree.get("decision_type", [])}
    if not 2 <= n_leaves <= MAX_LEAVES or any(kind & 1 or kind >> 2 == 1 for kind in kinds):
        return None
    n_bits = 32 if n_leaves <= 32 else 64
    n_features = int(_value(model, "max_feature_idx")) + 1
    tests: list[list[tuple[float, bool, int, int]]] = [[] for _ in range(n_features)]
    leaves = np.zeros((len(trees), n_bits))
    for number, tree in enumerate(trees):
        order: list[int] = []
        cleared = {} if len(tree["leaf_value"]) == 1 else _cleared(tree, 0, order)[1]
        leaves[number, : len(tree["leaf_value"])] = np.array(tree["leaf_value"])[order or [0]]
        for node, mask in cleared.items():
            kind, threshold = int(tree["decision_type"][node]), tree["threshold"][node]
            # What is missing goes to its default side, or counts as zero where the tests know no missing values.
            fails = not kind & 2 if kind >> 2 == 2 else threshold < 0
            tests[int(tree["split_feature"][node])].append((threshold, fails, number, mask))
    columns = [_masks(of_feature, len(trees), n_bits) for of_feature in tests]
    return Forest(tuple(column[0] for column in columns), tuple(column[1] for column in columns), leaves)


def _masks(
    tests: list[tuple[float, bool, int, int]], n_trees: int, n_bits: int
) -> tuple[npt.NDArray[np.float64], Masks]:
    thresholds = np.unique([test[0] for test in tests])
    full = (1 << n_bits) - 1
    masks = np.full((len(thresholds) + 2, n_trees), full, np.uint32 if n_bits == 32 else np.uint64)
    for threshold, nan_fails, tree, cleared in tests:
        kept = masks.dtype.type(full & ~cleared)
        masks[int(thresholds.searchsorted(threshold)) + 1 : -1, tree] &= kept
        if nan_fails:
            masks[-1, tree] &= kept
    return thresholds, masks


def _cleared(tree: dict[str, list[float]], root: int, order: list[int]) -> tuple[int, dict[int, int]]:
    """The bits of all leaves under a node, and of each inner node the bits of its left side; fills `order`."""
    if root < 0:
        order.append(~root)
        return 1 << (len(order) - 1), {}
    left, of_left = _cleared(tree, int(tree["left_child"][root]), order)
    right, of_right = _cleared(tree, int(tree["right_child"][root]), order)
    return left | right, of_left | of_right | {root: left}


def _trees(model: str) -> Iterator[dict[str, list[float]]]:
    wanted = ("split_feature", "threshold", "decision_type", "left_child", "right_child", "leaf_value")
    for part in model.split("\nTree=")[1:]:
        lines = (line.partition("=") for line in part.split("\nend of trees")[0].splitlines())
        yield {name: [float(x) for x in values.split()] for name, _, values in lines if name in wanted}


def _value(model: str, name: str) -> str:
    return model.split(f"\n{name}=", 1)[1].split("\n", 1)[0]
