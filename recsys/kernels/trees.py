"""Gradient-boosted trees as arrays, and their sum for many rows: equal to LightGBM's to the last bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.core.errors import BundleError
from recsys.kernels.compiled import compiled

MAX_LEAVES: Final = 64
"""Leaves of a tree; a leaf is a bit of a word."""

BLOCK: Final = 2048
"""Rows that are walked at a time; their words stay in the fast caches."""

LARGEST: Final = 1e300
"""What LightGBM takes larger values for, infinite ones too."""

CATEGORICAL: Final = 1
DEFAULT_LEFT: Final = 2
MISSING_BITS: Final = 12
MISSING: Final = {0: "None", 4: "Zero", 8: "NaN"}
"""Bits of LightGBM's `decision_type`."""

DE_BRUIJN: Final = np.uint64(0x03F79D71B4CB0A89)
"""Multiplied by a power of two, its upper six bits tell which power it is (Leiserson, Prokop & Randall, 1998)."""


def _bit_numbers() -> npt.NDArray[np.int64]:
    table = np.empty(MAX_LEAVES, np.int64)
    for bit in range(MAX_LEAVES):
        table[((1 << bit) * int(DE_BRUIJN) % 2**64) >> 58] = bit
    return table


BIT_OF: Final = _bit_numbers()


@dataclass(frozen=True)
class Forest:
    """The trees of a ranker, one inner node after the other.

    A row that turns right at a node cannot end in a leaf on the left of it. Of the leaves that remain after all nodes
    of a tree, in their order from left to right, the row ends in the first. No node waits for another, so a processor
    compares many rows at a time.

    Attributes:
        feature: int32 (n_nodes,), the column that is compared.
        threshold: float32 (n_nodes,), rows of at most this value turn left.
        nan_goes_left: bool (n_nodes,), whether a row without a value turns left.
        remaining: uint64 (n_nodes,), a bit for each leaf that a row which turns right may end in, the leftmost the
            lowest.
        start: int64 (n_trees + 1,), the nodes of tree `t` are those from `start[t]` to `start[t + 1]`.
        value: float64 (n_trees, MAX_LEAVES), value of each leaf, 0 past the end.

    Reference:
        Lucchese et al. (2015), QuickScorer: a Fast Algorithm to Rank Documents with Additive Ensembles of Regression
        Trees, SIGIR. Deviation: nodes in the order of the trees, and many rows at a time, as rows are few.
    """

    feature: npt.NDArray[np.int32]
    threshold: npt.NDArray[np.float32]
    nan_goes_left: npt.NDArray[np.bool_]
    remaining: npt.NDArray[np.uint64]
    start: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]

    @classmethod
    def read(cls, model: str) -> Forest:
        """Read the trees of a model in LightGBM's text format, without LightGBM, whose import takes a second.

        Args:
            model: as `Booster.model_to_string` writes it, version 4.

        Raises:
            BundleError: a tree has more than `MAX_LEAVES` leaves, or compares in another way than by thresholds.
        """
        nodes: list[tuple[int, np.float32, bool, int]] = []
        starts, values = [0], []
        for text in model.partition("\nend of trees\n")[0].split("\nTree=")[1:]:
            tree = _Tree(dict(line.split("=", 1) for line in text.splitlines() if "=" in line))
            leaves: list[float] = []
            _read_node(tree, 0 if tree.left else ~0, nodes, leaves)
            if len(leaves) > MAX_LEAVES:
                raise BundleError(f"a tree of the ranker has {len(leaves)} leaves, at most {MAX_LEAVES} are read")
            starts.append(len(nodes))
            values.append(leaves + [0.0] * (MAX_LEAVES - len(leaves)))
        feature, threshold, nan_goes_left, remaining = zip(*nodes, strict=True) if nodes else ((), (), (), ())
        return cls(
            np.array(feature, np.int32),
            np.array(threshold, np.float32),
            np.array(nan_goes_left, np.bool_),
            np.array(remaining, np.uint64),
            np.array(starts, np.int64),
            np.array(values, np.float64).reshape(-1, MAX_LEAVES),
        )

    def predict(self, columns: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Return the sum of the trees for each row, float64 (n,).

        Args:
            columns: float32 (n_features, n), NaN where a value is not known.
        """
        trees = (self.feature, self.threshold, self.nan_goes_left, self.remaining, self.start, self.value)
        if columns.shape[1] <= BLOCK:
            total: npt.NDArray[np.float64] = sum_trees(np.ascontiguousarray(columns), *trees)
            return total
        blocks = (columns[:, start : start + BLOCK] for start in range(0, max(columns.shape[1], 1), BLOCK))
        return np.concatenate([sum_trees(np.ascontiguousarray(block), *trees) for block in blocks])


class _Tree:
    """One tree of the text format: columns of inner nodes; `~leaf` stands for a leaf among their children."""

    def __init__(self, lines: Mapping[str, str]) -> None:
        def column(name: str) -> list[str]:
            return lines.get(name, "").split()

        self.value = list(map(float, column("leaf_value")))
        self.feature = list(map(int, column("split_feature")))
        self.threshold = list(map(float, column("threshold")))
        self.decision = list(map(int, column("decision_type")))
        self.left, self.right = list(map(int, column("left_child"))), list(map(int, column("right_child")))


def _read_node(tree: _Tree, node: int, nodes: list[tuple[int, np.float32, bool, int]], leaves: list[float]) -> int:
    """Append a node and all below it, leftmost first; returns a bit for each of its leaves."""
    if node < 0:
        leaves.append(tree.value[~node])
        return 1 << (len(leaves) - 1)
    decision, threshold = tree.decision[node], tree.threshold[node]
    missing = MISSING.get(decision & MISSING_BITS, "other values")
    if decision & CATEGORICAL or missing == "Zero":
        kind = "==" if decision & CATEGORICAL else "<="
        raise BundleError(
            f"a tree of the ranker compares by {kind!r}, with missing values as {missing!r}; expected '<=', and"
            " 'NaN' or 'None'"
        )
    place = len(nodes)
    nodes.append((0, np.float32(0), False, 0))
    left = _read_node(tree, tree.left[node], nodes, leaves)
    right = _read_node(tree, tree.right[node], nodes, leaves)
    # LightGBM takes a missing value as 0 where training saw none.
    nan_goes_left = bool(decision & DEFAULT_LEFT) if missing == "NaN" else threshold >= 0
    nodes[place] = (tree.feature[node], _rounded_down(threshold), nan_goes_left, ~left & (2**MAX_LEAVES - 1))
    return left | right


def _rounded_down(threshold: float) -> np.float32:
    """Return the largest number of single precision that is no larger: the values that are compared have no other."""
    if threshold >= LARGEST:
        return np.float32(np.inf)
    with np.errstate(over="ignore"):
        rounded = np.float32(threshold)
        return np.nextafter(rounded, np.float32(-np.inf)) if float(rounded) > threshold else rounded


def sum_trees_numpy(
    columns: npt.NDArray[np.float32],
    feature: npt.NDArray[np.int32],
    threshold: npt.NDArray[np.float32],
    nan_goes_left: npt.NDArray[np.bool_],
    remaining: npt.NDArray[np.uint64],
    start: npt.NDArray[np.int64],
    value: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Compute `Forest.predict` by operations on whole columns; the arguments are its arrays."""
    total = np.zeros(columns.shape[1])
    for tree in range(len(start) - 1):
        words = np.full(columns.shape[1], ~np.uint64(0))
        for node in range(start[tree], start[tree + 1]):
            column = columns[feature[node]]
            turns_left = ~(column > threshold[node]) if nan_goes_left[node] else column <= threshold[node]
            words &= np.where(turns_left, ~np.uint64(0), remaining[node])
        first = words & (~words + np.uint64(1))
        total += value[tree, BIT_OF[(first * DE_BRUIJN) >> np.uint64(58)]]
    return total


@compiled("f4:: i4: f4: bool: u8: i8: f8::", otherwise=sum_trees_numpy)
def sum_trees(columns, feature, threshold, nan_goes_left, remaining, start, value):  # type: ignore[no-untyped-def]
    """Compute the same node by node; see `sum_trees_numpy`."""
    n = columns.shape[1]
    total, words = np.zeros(n), np.empty(n, np.uint64)
    every, one, shift = ~np.uint64(0), np.uint64(1), np.uint64(58)
    for tree in range(len(start) - 1):
        words[:] = every
        for node in range(start[tree], start[tree + 1]):
            column, bound, kept = feature[node], threshold[node], remaining[node]
            if nan_goes_left[node]:
                for row in range(n):
                    words[row] &= kept if columns[column, row] > bound else every
            else:
                for row in range(n):
                    words[row] &= every if columns[column, row] <= bound else kept
        for row in range(n):
            first = words[row] & (~words[row] + one)
            total[row] += value[tree, BIT_OF[(first * DE_BRUIJN) >> shift]]
    return total
