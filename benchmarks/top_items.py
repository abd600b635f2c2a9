"""The best 50 items of every user against implicit's own `recommend`, on the same factors and with the same filter.

    python -m benchmarks.top_items --models models --json top_items.json

What a user bought is left out. Both use every core, each with BLAS at one thread, which is what implicit asks for and
is the faster for it. Their calls take turns with a large product by BLAS at all cores, the machine's peak: `of_peak` is
the rate at which the full product of all users and items would have had to run; what is left out of it may make that
more than 1. The second row has vectors of one length, of which none can be left out for being short; it has no goals
but the same lists.
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

from benchmarks.figures import Figure, Goals, command
from recsys.pipeline.recommender import Recommender
from recsys.retrieval.audience import purchase_matrix, user_factors
from recsys.search.batch_top_k import batch_top_k

N_LISTED = 50
PEAK_SIZE = 2048
GOALS: Goals = {"speedup": (">=", 1.5), "of_peak": (">=", 0.6)}
ROUNDING = 1e-5
"""Scores that differ by less, relative to the largest of the list, are ties."""
Case = tuple[np.ndarray, np.ndarray, sparse.csr_matrix]


def of_one_length(vectors: np.ndarray) -> np.ndarray:
    """The same directions; a random one where there is none."""
    drawn = np.random.default_rng(0).standard_normal(vectors.shape)
    directed = np.where(np.abs(vectors).sum(axis=1, keepdims=True) > 0, vectors, drawn)
    return (directed / np.linalg.norm(directed, axis=1, keepdims=True)).astype(np.float32)


def large_product() -> Callable[[], Any]:
    """A product whose time tells the rate of single precision that BLAS reaches with all cores."""
    square = np.random.default_rng(0).standard_normal((PEAK_SIZE, PEAK_SIZE)).astype(np.float32)
    return lambda: square @ square


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what came of it."""
    started = time.perf_counter()
    result = call()
    return time.perf_counter() - started, result


def compare(name: str, given: Case, rounds: int, goals: Goals) -> Figure:
    """Both in turns: the median of either, of the ratios of a round, and how far the lists agree."""
    users, items, seen = given
    peer = AlternatingLeastSquares(factors=users.shape[1])
    peer.user_factors, peer.item_factors = users, items
    everyone, product = np.arange(len(users)), large_product()
    n_gflop, spent = 2e-9 * len(users) * items.size, []
    for _ in range(rounds):
        with threadpool_limits(1, "blas"):
            theirs_s, theirs = timed(lambda: peer.recommend(everyone, seen, N=N_LISTED))
        ours_s, ours = timed(lambda: batch_top_k(users, items, N_LISTED, seen))
        with threadpool_limits(len(os.sched_getaffinity(0)), "blas"):
            peak = 2e-9 * PEAK_SIZE**3 / min(timed(product)[0] for _ in range(3))
        spent.append((ours_s, theirs_s, theirs_s / ours_s, n_gflop / ours_s / peak, n_gflop / theirs_s / peak, peak))
    middle = np.median(spent, axis=0).tolist()
    values = dict(
        zip(("s", "implicit_s", "speedup", "of_peak", "implicit_of_peak", "peak_gflops"), middle, strict=True)
    )
    values["same"] = agreement(ours, theirs)
    return Figure("top-items", name, values, {"same": (">=", 1.0), **goals})


def agreement(ours: tuple[np.ndarray, np.ndarray], theirs: tuple[np.ndarray, np.ndarray]) -> float:
    """Share of users whose lists hold the same items, but for those that tie with the last."""
    room = ROUNDING * np.abs(theirs[1]).max(axis=1)
    equal = (np.abs(ours[1] - theirs[1]) <= room[:, None]).all(axis=1)
    for user in np.flatnonzero(equal):
        above = theirs[1][user] > theirs[1][user, -1] + room[user]
        equal[user] = set(theirs[0][user, above]) <= set(ours[0][user])
    return float(equal.mean())


def measure(options: argparse.Namespace) -> list[Figure]:
    """The bundle's factors, and the same of one length."""
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
    """What can be said of a run."""
    parser.add_argument("--list-rounds", type=int, default=7, help="of the lists of every user")


if __name__ == "__main__":
    command("benchmarks.top_items", __doc__, [add_options], measure)
