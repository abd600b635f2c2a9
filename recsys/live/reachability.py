"""Users that lists may be made for on their own: those who were not erased and did not opt out."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.core.ids import UNKNOWN
from recsys.core.schema import PERSONALIZATION
from recsys.fitting.engine import Engine
from recsys.live.view import LiveView

FOREVER: Final = int(np.iinfo(np.int64).max)


def is_erased(live: LiveView | None, user_id: str) -> bool:
    """Return whether a user was erased, and nothing of a later life is known.

    Args:
        live: the live view; None for a bundle alone, which knows no erasure.
        user_id: the shop's id.
    """
    if live is None or live.identities.erased_at(user_id) == -math.inf:
        return False
    key = live.identities.target(user_id)
    has_attributes = any(name != PERSONALIZATION for name in live.profiles.of(key))
    return not (has_attributes or len(live.history(key, FOREVER)))


def unreachable_users(engine: Engine, live: LiveView | None) -> npt.NDArray[np.bool_]:
    """Return which of the bundle's users are unnamed, opted out or were ever erased.

    A later life of an erased user is not in the bundle.

    Args:
        engine: the bundle's models.
        live: the live view; None for a bundle alone.

    Returns:
        A mask of shape (n_users,).
    """
    unreachable = engine.is_opted_out | ~engine.is_named
    if live is not None:
        for user_id in (*live.profiles.changed, *live.identities.erasures):
            if (row := engine.users.row(user_id)) != UNKNOWN:
                was_erased = user_id in live.identities.erasures
                unreachable[row] = not engine.is_named[row] or was_erased or live.profiles.is_opted_out(user_id)
    return unreachable
