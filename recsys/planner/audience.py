"""Who may get messages: shoppers who did not opt out, on the channels that they agreed to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.core.errors import ConfigError
from recsys.core.ids import UNKNOWN
from recsys.fitting.engine import Engine
from recsys.live.reachability import is_erased, unreachable_users
from recsys.live.view import LiveView

CONSENT = "consent_"
"""Prefix of the users' columns with the consent to a channel."""


def plannable_users(engine: Engine, live: LiveView | None) -> list[str]:
    """Return the users of the bundle that a plan may be made for, in the order of the bundle."""
    rows = np.flatnonzero(~unreachable_users(engine, live))
    return [engine.users.ids[row] for row in rows.tolist()]


def may_be_planned(engine: Engine, live: LiveView | None, user_id: str) -> bool:
    """Return whether a user has neither opted out of personalization nor been erased."""
    if live is not None:
        return not (live.profiles.is_opted_out(live.identities.target(user_id)) or is_erased(live, user_id))
    row = engine.users.row(user_id)
    return row == UNKNOWN or not engine.is_opted_out[row]


def channels_without_consent(engine: Engine, live: LiveView | None, channels: Sequence[str]) -> tuple[str, ...]:
    """Return the channels whose consent no user has a value of: the shop does not record it, and all may be used."""
    known = set(engine.users_table.columns)
    if live is not None:
        known |= {name for user_id in live.profiles.changed for name in live.profiles.of(user_id)}
    return tuple(channel for channel in channels if f"{CONSENT}{channel}" not in known)


def consents(
    engine: Engine, live: LiveView | None, user_ids: Sequence[str], channels: Sequence[str]
) -> npt.NDArray[np.bool_]:
    """Return which channels each user agreed to.

    Where a shop records the consent to a channel, only a true value is consent: an empty one is none.

    Args:
        engine: the bundle's models.
        live: the live view; None for a bundle alone.
        user_ids: the users.
        channels: names of the channels.

    Returns:
        bool (n_users, n_channels).

    Raises:
        ConfigError: a column of consent is not of true and false.
    """
    agreed = np.ones((len(user_ids), len(channels)), np.bool_)
    rows = engine.users.rows(user_ids)
    unrecorded = channels_without_consent(engine, live, channels)
    changed = set(live.profiles.changed) if live is not None else set()
    overridden = [n for n, user_id in enumerate(user_ids) if user_id in changed]
    for n, channel in enumerate(channels):
        name = f"{CONSENT}{channel}"
        if channel in unrecorded:
            continue
        agreed[:, n] = False
        if name in engine.users_table.columns:
            column = engine.users_table[name]
            if column.dtype not in (pl.Boolean, pl.Null):
                raise ConfigError(f"the users' column {name!r} has the type {column.dtype}: expected true or false")
            values = column.fill_null(False).cast(pl.Boolean).to_numpy()
            agreed[:, n] = (rows != UNKNOWN) & values[np.maximum(rows, 0)] if len(values) else False
        for position in overridden:
            agreed[position, n] = live is not None and live.profiles.of(user_ids[position]).get(name) is True
    return agreed
