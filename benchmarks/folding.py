"""Fold-in of a user compared with implicit's own, on the same factors.

    python -m benchmarks.folding --models models --json folding.json

`recalculate_user` gets the same confidences, `1 + α·w`, and the same regularization, so that both solve the same
system. Both use one thread, and their calls alternate.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse
from threadpoolctl import threadpool_limits

from benchmarks.results import Result, command
from recsys.models.collaborative.als import ALSModel
from recsys.pipeline.recommender import Recommender

SIZES = (20, 200)
MAX_RATIO, MAX_ERROR = 0.5, 1e-5
Case = tuple[np.ndarray, np.ndarray, sparse.csr_matrix]


def cases(model: ALSModel, n_events: int, count: int) -> list[Case]:
    """Return users with `n_events` items, as arrays and as implicit's row of confidences."""
    rng = np.random.default_rng(n_events)
    warm = np.flatnonzero(np.abs(model.item_factors).sum(axis=1) > 0)
    users = []
    for _ in range(count):
        items = np.sort(rng.choice(warm, n_events, replace=False)).astype(np.int32)
        weight = rng.uniform(0.1, 3, n_events).astype(np.float32)
        shape = (1, len(model.item_factors))
        users.append((items, weight, sparse.csr_matrix((1 + model.alpha * weight, items, [0, n_events]), shape)))
    return users


def peer(model: ALSModel) -> AlternatingLeastSquares:
    """Return implicit's model with the bundle's factors."""
    factors = np.array(model.item_factors)
    regularization = float((np.diag(model.gram) - (factors.astype(np.float64) ** 2).sum(axis=0)).mean())
    solver = AlternatingLeastSquares(factors=factors.shape[1], regularization=regularization, num_threads=1)
    solver.item_factors, solver.user_factors = factors, np.zeros((1, factors.shape[1]), np.float32)
    return solver


def fold_in(model: ALSModel, solver: AlternatingLeastSquares, n_events: int, rounds: int) -> Result:
    """Measure the microseconds of both, and the largest difference of a factor."""
    users = cases(model, n_events, 50)
    solver.recalculate_user(0, users[0][2])  # fills its own tables
    own_s, implicit_s, error = [], [], 0.0
    for _ in range(rounds):
        for items, weight, row in users:
            started = time.perf_counter()
            found = model.fold_in(items, weight)
            halfway = time.perf_counter()
            expected = solver.recalculate_user(0, row)
            own_s.append(halfway - started)
            implicit_s.append(time.perf_counter() - halfway)
            error = max(error, float(np.abs(found - expected).max()))
    us, peer_us = float(np.median(own_s)) * 1e6, float(np.median(implicit_s)) * 1e6
    values = {"us": us, "implicit_us": peer_us, "ratio": us / peer_us, "max_error": error}
    return Result("fold-in", f"{n_events} events", values, {"ratio": ("<=", MAX_RATIO), "max_error": ("<=", MAX_ERROR)})


def measure(options: argparse.Namespace) -> list[Result]:
    """Measure all sizes."""
    model = Recommender.open(options.models).engine.als
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", RuntimeWarning)  # implicit asks for an environment variable
        solver = peer(model)
        return [fold_in(model, solver, size, options.fold_rounds) for size in SIZES]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a run."""
    parser.add_argument("--fold-rounds", type=int, default=20, help="of 50 users each")


if __name__ == "__main__":
    command("benchmarks.folding", __doc__, [add_options], measure)
