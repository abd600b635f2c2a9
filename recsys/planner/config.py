"""The settings of a push plan, and the TOML file that they are read from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from recsys.core.config.ranges import (
    SINGLE,
    UNIQUE,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Share,
    Text,
)
from recsys.core.config.toml_reader import Faults, fields_of, read_fields, read_toml
from recsys.core.errors import ConfigError
from recsys.core.placements import Placement

Hour = Annotated[int, Meta(ge=0, le=23)]
DailyCount = Annotated[int, Meta(ge=1, le=24)]
WeeklyCount = Annotated[int, Meta(ge=1, le=7 * 24)]
PastWeeks = Annotated[int, Meta(ge=1, le=104)]
Names = Annotated[tuple[Text, ...], Meta(extra={UNIQUE: True, SINGLE: True})]
ValueName = Literal["auto", "margin", "price", "orders"]
ConsentRule = Literal["auto", "opt_in", "opt_out"]

LISTS: Final = (
    "buy_again",
    "price_drop",
    "replenishment_due",
    "back_in_stock",
    "cart_left",
    "for_you",
    "discover",
    "long_tail",
)
"""Lists of a plan whose file names none, as far as they exist; those that take the least time first."""


@dataclass(frozen=True)
class CapConfig:
    """How much a shopper gets.

    Attributes:
        messages_per_week: messages in any seven days, over all lists and channels; those already sent count.
        messages_per_day: messages on one local day; those already sent count.
        messages_per_list: messages of one list in a plan.
        item_days: days within which no item is sent twice, on any channel.
    """

    messages_per_week: WeeklyCount = 3
    messages_per_day: DailyCount = 1
    messages_per_list: WeeklyCount = 2
    item_days: NonNegativeInt = 14


@dataclass(frozen=True)
class HourConfig:
    """When messages are sent, in the shopper's own time zone.

    Attributes:
        quiet_from: hour from which on nothing is sent.
        quiet_until: hour from which on messages are sent again; equal to `quiet_from` for no quiet hours.
        exploration: share of messages that are sent at a random hour, so that the gain of the others can be measured.
        half_life_days: age at which a visit counts half for the shopper's habit.
    """

    quiet_from: Hour = 21
    quiet_until: Hour = 8
    exploration: Share = 0.1
    half_life_days: PositiveFloat = 180.0

    def allowed(self) -> tuple[int, ...]:
        """Return the hours outside the quiet ones, ascending.

        >>> HourConfig(quiet_from=22, quiet_until=20).allowed()
        (20, 21)
        """
        n_quiet = (self.quiet_until - self.quiet_from) % 24
        return tuple(hour for hour in range(24) if (hour - self.quiet_from) % 24 >= n_quiet)


@dataclass(frozen=True)
class CalibrationConfig:
    """What the probabilities are learned from.

    Attributes:
        users: shoppers per past week that lists are made for.
        weeks: number of past horizons, the latest ones; each is compared with what followed.
    """

    users: PositiveInt = 1000
    weeks: PastWeeks = 3


@dataclass(frozen=True)
class PlanConfig:
    """The settings of a plan; every setting has a default.

    Attributes:
        lists: placements for users that the messages are made of; without any, those of `LISTS` that exist.
        channels: channels, the preferred one first; a user's `consent_<channel>` decides whether it may be used.
        consent: who may get messages on a channel: with `opt_in` the users whose `consent_<channel>` is true, with
            `opt_out` all but those who have another value; `auto` is `opt_in` for the channels that the users table of
            the bundle has a column of, else `opt_out`.
        items_per_message: largest number of items of a message.
        horizon_days: days within which a purchase counts for a message.
        holdout: share of shoppers who get no message, for as long as `key` stays the same.
        key: of the draws of the holdout and of random hours.
        value: what a purchase is worth: the item's `margin`, its `price`, or 1 (`orders`); `auto` is the margin if the
            catalog has one, else the price, else 1.
        min_expected_value: messages of a lower expected value are left out.
        max_skipped_value: share of the expected value that may be lost because lists are not made for shoppers for whom
            they are unlikely to win; 0 makes all lists for all.
    """

    lists: Names = ()
    channels: Annotated[tuple[Text, ...], Meta(min_length=1, extra={UNIQUE: True, SINGLE: True})] = ("push",)
    consent: ConsentRule = "auto"
    items_per_message: Annotated[int, Meta(ge=1, le=20)] = 3
    horizon_days: PositiveInt = 7
    holdout: Share = 0.01
    key: Text = "plan"
    value: ValueName = "auto"
    min_expected_value: NonNegativeFloat = 0.0
    max_skipped_value: Share = 0.03
    caps: CapConfig = field(default_factory=CapConfig)
    hours: HourConfig = field(default_factory=HourConfig)
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)


def read_plan(path: Path) -> PlanConfig:
    """Read a plan's TOML file; an empty file has all defaults.

    Raises:
        ConfigError: the file cannot be read, or a setting is unknown, of the wrong type or out of range.
    """
    return read_toml(path, parse_plan)


def parse_plan(document: Mapping[str, Any]) -> PlanConfig:
    """Read the settings of a parsed file.

    >>> parse_plan({"caps": {"messages_per_week": 2}}).caps.messages_per_week
    2
    >>> parse_plan({"caps": {"per_week": 2}})
    Traceback (most recent call last):
    recsys.core.errors.ConfigError: 'caps.per_week' (2) is not a known key: do you mean 'caps.messages_per_week'?
    """
    faults = Faults()
    config = PlanConfig(**read_fields(fields_of(PlanConfig), document, "", faults))
    faults.check()
    return config


def chosen_lists(config: PlanConfig, placements: Mapping[str, Placement]) -> tuple[str, ...]:
    """Return the names of the lists of a plan.

    Args:
        config: the plan.
        placements: the lists that exist, by name.

    Raises:
        ConfigError: a list of the plan does not exist or is not for a user, or no list is left.
    """
    faults = Faults()
    for_users = [name for name, placement in placements.items() if placement.anchor == "user"]
    for position, name in enumerate(config.lists):
        if name not in for_users:
            faults.unknown_name(f"lists[{position}]", name, for_users, "list for a user")
    faults.check()
    chosen = config.lists or _among(LISTS, for_users)
    if not chosen:
        raise ConfigError('no list is left: name some with lists = ["for_you"]')
    return chosen


def _among(names: Iterable[str], known: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name in set(known))
