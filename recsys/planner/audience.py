"""Who may get messages: shoppers who did not opt out, on the channels that they agreed to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.core.config.toml_reader import Faults
from recsys.core.errors import ConfigError
from recsys.core.ids import UNKNOWN
from recsys.core.schema import CONSENT
from recsys.fitting.engine import Engine
from recsys.live.reachability import is_erased, unreachable_users
from recsys.live.view import LiveView
from recsys.planner.config import ConsentRule, PlanConfig

NO_VALUE: Final = -1
REFUSED: Final = 0
AGREED: Final = 1
UNREADABLE: Final = 2
"""Codes of a user's consent; a value that is neither true nor false is no consent."""

MAX_EXAMPLES: Final = 3


@dataclass(frozen=True)
class ChannelConsent:
    """Who may get messages on a channel, and why.

    Attributes:
        channel: its name.
        rule: `opt_in`: only who agreed; `opt_out`: all but who has another value.
        is_recorded: whether the users table of the bundle has the consent to it.
        agreed, refused, without_value, unreadable: shoppers of the plan by their value; an unreadable one is neither
            true nor false, and counts as a refusal.
        examples: some unreadable values, as JSON has them.
    """

    channel: str
    rule: ConsentRule
    is_recorded: bool
    agreed: int
    refused: int
    without_value: int
    unreadable: int
    examples: tuple[str, ...]

    def sentence(self, setting: ConsentRule) -> str:
        """Return who may get messages and why.

        Args:
            setting: `consent` of the plan.
        """
        name = f"{CONSENT}{self.channel}"
        n = self.agreed + self.refused + self.without_value + self.unreadable
        reason = f'consent = "{setting}"'
        if setting == "auto":
            reason = f"the users table has {'the' if self.is_recorded else 'no'} column {name}"
        if self.rule == "opt_in":
            others = f"{self.refused:,} refused, {self.without_value:,} have no value"
            text = f"only to the {self.agreed:,} of {n:,} shoppers whose {name} is true ({reason}; {others})"
        else:
            refused = self.refused + self.unreadable
            who = (
                f"all {n:,} shoppers, of whom none refused" if not refused else f"all but {refused:,} of {n:,} shoppers"
            )
            text = f"to {who} ({reason})"
        if setting == "auto" and not self.is_recorded:
            text += '; consent = "opt_in" in the plan requires it'
            if known := n - self.without_value:
                text += (
                    f"; {known:,} have a {name} by live changes, so that the next tables have the column, and it is "
                    'required from then on, unless the plan has consent = "opt_out"'
                )
        if self.unreadable:
            text += (
                f"; {self.unreadable:,} have a {name} that is neither true nor false ({', '.join(self.examples)}), "
                "which counts as a refusal"
            )
        return f"{self.channel}: {text}"


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


def rule_of(engine: Engine, config: PlanConfig, channel: str) -> ConsentRule:
    """Return `opt_in` or `opt_out`; live changes of single users do not decide on the rule of all."""
    if config.consent != "auto":
        return config.consent
    return "opt_in" if f"{CONSENT}{channel}" in engine.users_table.columns else "opt_out"


def check_channels(engine: Engine, config: PlanConfig, faults: Faults) -> None:
    """Record a fault if the users table has consents, but to none of the plan's channels, and the plan sets no rule."""
    known = [name.removeprefix(CONSENT) for name in engine.users_table.columns if name.startswith(CONSENT)]
    if config.consent == "auto" and known and not set(known) & set(config.channels):
        expected = (
            f"a channel whose consent the users table has ({', '.join(known)}), or the setting consent: opt_in writes "
            "to nobody without it, opt_out to all who did not refuse"
        )
        faults.refuse("channels", ", ".join(config.channels), expected)


def consents(
    engine: Engine, live: LiveView | None, user_ids: Sequence[str], config: PlanConfig
) -> npt.NDArray[np.bool_]:
    """Return on which channels of a plan each user may get messages.

    Args:
        engine: the bundle's models.
        live: the live view; None for a bundle alone.
        user_ids: the users.
        config: the plan.

    Returns:
        bool (n_users, n_channels).

    Raises:
        ConfigError: a column of consent is not of true and false.
    """
    may = np.zeros((len(user_ids), len(config.channels)), np.bool_)
    for n, channel in enumerate(config.channels):
        found = _values(engine, live, user_ids, channel)
        may[:, n] = found == AGREED
        if rule_of(engine, config, channel) == "opt_out":
            may[:, n] |= found == NO_VALUE
    return may


def channel_consents(
    engine: Engine, live: LiveView | None, user_ids: Sequence[str], config: PlanConfig
) -> tuple[ChannelConsent, ...]:
    """Count the consents of users, by channel of a plan.

    Raises:
        ConfigError: a column of consent is not of true and false.
    """
    found = []
    for channel in config.channels:
        is_recorded = f"{CONSENT}{channel}" in engine.users_table.columns
        values = _values(engine, live, user_ids, channel)
        agreed, refused, empty, wrong = (
            int((values == code).sum()) for code in (AGREED, REFUSED, NO_VALUE, UNREADABLE)
        )
        odd = [user_ids[n] for n in np.flatnonzero(values == UNREADABLE).tolist()] if live is not None else []
        examples = dict.fromkeys(_live_text(live, user_id, channel) for user_id in odd[:MAX_EXAMPLES])
        rule = rule_of(engine, config, channel)
        found.append(ChannelConsent(channel, rule, is_recorded, agreed, refused, empty, wrong, tuple(examples)))
    return tuple(found)


def _values(engine: Engine, live: LiveView | None, user_ids: Sequence[str], channel: str) -> npt.NDArray[np.int8]:
    """Return the code of each user's consent to a channel, int8 (n_users,); live changes replace the table."""
    name = f"{CONSENT}{channel}"
    if live is not None:
        user_ids = [live.identities.target(user_id) for user_id in user_ids]
    values = np.full(len(user_ids), NO_VALUE, np.int8)
    if name in engine.users_table.columns:
        column, rows = engine.users_table[name], engine.users.rows(user_ids)
        if column.null_count() < len(column) and column.dtype != pl.Boolean:
            examples = ", ".join(repr(value) for value in column.drop_nulls().unique(maintain_order=True).head(3))
            raise ConfigError(
                f"the users' column {name!r} has the type {column.dtype} (such as {examples}): expected true or false; "
                "write the tables again with `recsys ingest`, which reads yes and no too, and train"
            )
        if len(column):
            table = column.cast(pl.Int8).fill_null(NO_VALUE).to_numpy()
            values = np.where(rows == UNKNOWN, NO_VALUE, table[np.maximum(rows, 0)]).astype(np.int8)
    changed = set(live.profiles.changed) if live is not None else set()
    for position, user_id in enumerate(user_ids):
        if user_id in changed and live is not None:
            values[position] = _code(live.profiles.of(user_id).get(name))
    return values


def _live_text(live: LiveView | None, user_id: str, channel: str) -> str:
    value = None if live is None else live.profiles.of(live.identities.target(user_id)).get(f"{CONSENT}{channel}")
    return json.dumps(value, ensure_ascii=False, default=str)


def _code(value: Any) -> int:
    if value is None:
        return NO_VALUE
    return int(value) if isinstance(value, bool) else UNREADABLE
