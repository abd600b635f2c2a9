"""The best 50 items of every user compared with implicit's own `recommend`, on the same factors with the same filter.

    python -m benchmarks.top_items --models models --json top_items.json

Items that a user bought are left out. Both use every core, with BLAS at one thread, as implicit recommends. Their calls
alternate with a large matrix product by BLAS on all cores, the peak of the machine. `of_peak` is the rate that the full
product of all users and items would need, relative to that peak; it can exceed 1, as parts of the product are skipped.
The second row has vectors of equal length, none of which can be skipped for being short; its only goal is equal lists.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse
from threadpoolctl import threadpool_limits

from benchmarks.results import Goals, Result, command
from recsys.pipeline.recommender import Recommender
from recsys.retrieval.audience import purchase_matrix, user_factors
from recsys.search.batch_top_k import batch_top_k

N_LISTED = 50
PEAK_SIZE = 2048
GOALS: Goals = {"speedup": (">=", 1.5), "of_peak": (">=", 0.6)}
ROUNDING = 1e-5
"""Scores that differ by less, relative to the largest score of the list, are ties."""
Case = tuple[np.ndarray, np.ndarray, sparse.csr_matrix]


def of_one_length(vectors: np.ndarray) -> np.ndarray:
    """Scale vectors to length 1; zero vectors get a random direction."""
    drawn = np.random.default_rng(0).standard_normal(vectors.shape)
    directed = np.where(np.abs(vectors).sum(axis=1, keepdims=True) > 0, vectors, drawn)
    return (directed / np.linalg.norm(directed, axis=1, keepdims=True)).astype(np.float32)


def large_product() -> Callable[[], Any]:
    """Return a matrix product whose time gives the peak rate of BLAS in single precision."""
    square = np.random.default_rng(0).standard_normal((PEAK_SIZE, PEAK_SIZE)).astype(np.float32)
    return lambda: square @ square


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds of a call, and its result."""
    started = time.perf_counter()
    result = call()
    return time.perf_counter() - started, result


def compare(name: str, case: Case, rounds: int, goals: Goals) -> Result:
    """Measure both in turns: medians, the ratio per round, and the share of equal lists."""
    users, items, seen = case
    peer = AlternatingLeastSquares(factors=users.shape[1])
    peer.user_factors, peer.item_factors = users, items
    everyone, product = np.arange(len(users)), large_product()
    n_gflop, spent = 2e-9 * len(users) * items.size, []
    for _ in range(rounds):
        with threadpool_limits(1, "blas"):
            implicit_s, implicit = timed(lambda: peer.recommend(everyone, seen, N=N_LISTED))
        own_s, own = timed(lambda: batch_top_k(users, items, N_LISTED, seen))
        with threadpool_limits(len(os.sched_getaffinity(0)), "blas"):
            peak = 2e-9 * PEAK_SIZE**3 / min(timed(product)[0] for _ in range(3))
        spent.append((own_s, implicit_s, implicit_s / own_s, n_gflop / own_s / peak, n_gflop / implicit_s / peak, peak))
    middle = np.median(spent, axis=0).tolist()
    values = dict(
        zip(("s", "implicit_s", "speedup", "of_peak", "implicit_of_peak", "peak_gflops"), middle, strict=True)
    )
    values["same"] = agreement(own, implicit)
    return Result("top-items", name, values, {"same": (">=", 1.0), **goals})


def agreement(own: tuple[np.ndarray, np.ndarray], implicit: tuple[np.ndarray, np.ndarray]) -> float:
    """Compute the share of users whose lists have the same items, except for ties with the last one."""
    room = ROUNDING * np.abs(implicit[1]).max(axis=1)
    equal = (np.abs(own[1] - implicit[1]) <= room[:, None]).all(axis=1)
    for user in np.flatnonzero(equal):
        above = implicit[1][user] > implicit[1][user, -1] + room[user]
        equal[user] = set(implicit[0][user, above]) <= set(own[0][user])
    return float(equal.mean())


def measure(options: argparse.Namespace) -> list[Result]:
    """Measure the bundle's factors, and the same with equal lengths."""
    recommender = Recommender.open(options.models)
    engine, until = recommender.engine, recommender.data_end
    users, items, seen = user_factors(engine, until), np.array(engine.als.item_factors), purchase_matrix(engine, until)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # implicit asks for an environment variable
        return [
            compare(f"top {N_LISTED} of {len(users)} users", (users, items, seen), options.list_rounds, GOALS),
            compare("the same, vectors of one length", (users, of_one_length(items), seen), options.list_rounds, {}),
        ]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a run."""
    parser.add_argument("--list-rounds", type=int, default=7, help="of the lists of every user")


if __name__ == "__main__":
    command("benchmarks.top_items", __doc__, [add_options], measure)
