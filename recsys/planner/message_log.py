"""What happened to earlier messages, by shopper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.core.schema import MESSAGES, OPENED, SENT
from recsys.data.message_repeats import distinct_messages

CHANNEL_STRENGTH = 10.0
"""Messages that everyone's open rate of a channel counts as."""


@dataclass(frozen=True)
class MessageLog:
    """Events of messages, sorted by shopper.

    Attributes:
        events: the columns of `schema.MESSAGES`, sorted by `user_id`.
        users: the different users, ascending, with `start` and `len` of their rows.
        open_rates: of each channel, over everyone.
    """

    events: pl.DataFrame
    users: pl.DataFrame
    open_rates: dict[str, float]

    @classmethod
    def of(cls, events: pl.DataFrame) -> MessageLog:
        """Sort events of messages, of the tables and of the live log; what is reported twice counts once."""
        events = distinct_messages(events.select(*MESSAGES)).sort("user_id", maintain_order=True)
        users = events.group_by("user_id", maintain_order=True).len()
        users = users.with_columns(start=pl.col("len").cum_sum() - pl.col("len"))
        n_sent, n_opened = (dict(_by_channel(events, name)) for name in (SENT, OPENED))
        rates = {name: (n_opened.get(name, 0) + 1) / (n + CHANNEL_STRENGTH) for name, n in n_sent.items()}
        return cls(events, users, rates)

    def among(self, user_ids: Sequence[str]) -> pl.DataFrame:
        """Return the events of some shoppers, with `position`, that of the shopper in `user_ids`."""
        wanted = pl.DataFrame({"user_id": user_ids}, {"user_id": pl.String}).with_row_index("position")
        if self.users.is_empty():
            return self.events.with_columns(position=pl.lit(0, pl.UInt32))
        at = self.users["user_id"].search_sorted(wanted["user_id"], "left")
        at = at.clip(0, len(self.users) - 1)
        found = pl.concat([wanted, self.users[at].rename({"user_id": "known"})], how="horizontal")
        found = found.filter(pl.col("known") == pl.col("user_id"))
        rows = found.select(row=pl.int_ranges("start", pl.col("start") + pl.col("len")), position="position")
        rows = rows.explode("row")
        return self.events[rows["row"]].with_columns(rows["position"])


def no_messages() -> MessageLog:
    """Return the log of a shop that has not sent any message."""
    return MessageLog.of(pl.DataFrame(schema=MESSAGES))


def _by_channel(events: pl.DataFrame, name: str) -> list[tuple[str, int]]:
    chosen = events.filter(pl.col("event") == name, pl.col("channel").is_not_null())
    return [(channel, n) for channel, n in chosen.group_by("channel").len().rows()]


def choose_channels(
    log: MessageLog, mine: pl.DataFrame, channels: Sequence[str], has_consent: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int64]:
    """Choose the channel of each shopper: the highest open rate `(opens + s·rate) / (sent + s)` of those with consent.

    A channel on which nobody got a message has the rate of the worst: nothing is known in its favor.

    Args:
        log: of everyone.
        mine: the events of the shoppers, as `MessageLog.among` returns them.
        channels: names, the preferred one first; it wins ties, as between channels without any message.
        has_consent: bool (n_users, n_channels).

    Returns:
        int64 (n_users,), positions in `channels`; -1 without consent to any.
    """
    n_users = len(has_consent)
    score = np.zeros((n_users, len(channels)))
    default = min(log.open_rates.values(), default=0.0)
    for n, channel in enumerate(channels):
        on_channel = mine.filter(pl.col("channel") == channel)
        n_sent, n_opened = (_per_user(on_channel.filter(pl.col("event") == name), n_users) for name in (SENT, OPENED))
        rate = log.open_rates.get(channel, default)
        score[:, n] = (n_opened + CHANNEL_STRENGTH * rate) / (n_sent + CHANNEL_STRENGTH)
    best = np.where(has_consent, score, -1.0).argmax(axis=1)
    return np.where(has_consent.any(axis=1), best, -1)


def _per_user(events: pl.DataFrame, n_users: int) -> npt.NDArray[np.int64]:
    return np.bincount(events["position"].to_numpy(), minlength=n_users)
