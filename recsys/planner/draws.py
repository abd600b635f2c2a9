"""Random draws that depend on nothing but a key and an id, so that every process and every run makes the same ones."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

import numpy as np
import numpy.typing as npt

DIGEST_BYTES: Final = 8


def uniform_draws(key: str, ids: Iterable[str]) -> npt.NDArray[np.float64]:
    """Return a number in [0, 1) per id: the first 53 bits of BLAKE2b, keyed by the hash of `key`.

    Args:
        key: of the draw; other keys give independent draws.
        ids: any ids.

    Returns:
        float64 (n_ids,), uniform over ids.

    >>> uniform_draws("plan", ["u1", "u2"]).round(3).tolist() == uniform_draws("plan", ["u1", "u2"]).round(3).tolist()
    True
    """
    secret = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=32).digest()
    digests = b"".join(
        blake2b(id_.encode("utf-8", "surrogatepass"), key=secret, digest_size=DIGEST_BYTES).digest() for id_ in ids
    )
    return (np.frombuffer(digests, "<u8") >> np.uint64(11)) / float(1 << 53)


def in_holdout(key: str, ids: Iterable[str], share: float) -> npt.NDArray[np.bool_]:
    """Return which ids are in the permanent holdout, bool (n_ids,); a larger share keeps all of a smaller one."""
    return uniform_draws(f"holdout {key}", ids) < share
