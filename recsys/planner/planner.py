"""The messages of some shoppers: from their lists to a table with one row per message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from recsys.core.request import RecommendedItem
from recsys.core.schema import MESSAGE_EVENTS, SENT, TIMESTAMP
from recsys.core.timestamps import MICROSECONDS, parse_iso
from recsys.data.dataset import DAY_S
from recsys.pipeline.recommender import Recommender
from recsys.planner.arbitration import NO_ITEM, CandidateLists, ChosenMessages, arbitrate
from recsys.planner.audience import consents
from recsys.planner.config import PlanConfig
from recsys.planner.draws import in_holdout, uniform_draws
from recsys.planner.habits import local_days, local_hours, local_weekdays
from recsys.planner.later_reasons import convincing, later_text
from recsys.planner.life_stages import life_stages
from recsys.planner.list_stages import list_stages
from recsys.planner.message_log import MessageLog, choose_channels, no_messages
from recsys.planner.past_weeks import CHUNK, PlanModel, last_value, list_features, n_places, rules_of
from recsys.planner.send_time import N_WEEKDAYS, Counts, choose_days, draw_hours, ranked_hours
from recsys.planner.shopper_lists import Searches, ShopperLists, ask_lists
from recsys.planner.worth import item_values, relative_prices

PLAN_COLUMNS: Final[Mapping[str, pl.DataType]] = MappingProxyType(
    {
        "user_id": pl.String(),
        "send_at": TIMESTAMP,
        "channel": pl.String(),
        "placement": pl.String(),
        "item_ids": pl.List(pl.String()),
        "reasons": pl.List(pl.String()),
        "reasons_zh": pl.List(pl.String()),
        "probability": pl.Float64(),
        "value": pl.Float64(),
        "expected_value": pl.Float64(),
        "expires_at": TIMESTAMP,
        "recommendation_id": pl.String(),
        "is_holdout": pl.Boolean(),
        "send_time_propensity": pl.Float64(),
        "experiment": pl.String(),
        "variant": pl.String(),
    }
)
"""Columns of a plan, one row per message."""


NEVER: Final = int(np.iinfo(np.int64).max) // MICROSECONDS
"""Expiry of a message that does not expire: seconds that still fit as microseconds."""


@dataclass(frozen=True)
class SendTimes:
    """When the messages of some shoppers are sent.

    Attributes:
        kept: bool (n_messages,), messages for which the caps leave a day.
        at: int64 (n_messages,), seconds since 1970.
        propensity: float64 (n_messages,), probability of the hour.
    """

    kept: npt.NDArray[np.bool_]
    at: npt.NDArray[np.int64]
    propensity: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Planner:
    """Plans the messages of shoppers for the seven local days after the day of a moment.

    Attributes:
        recommender: the open bundle.
        config: the plan.
        lists: names of its lists.
        model: what the plan has learned.
        as_of: the moment, seconds since 1970.
        log: what happened to earlier messages.
        searches: keeps decoded vectors from one call to the next.
        experiment, variant: that the shoppers are in; None for none.
    """

    recommender: Recommender
    config: PlanConfig
    lists: tuple[str, ...]
    model: PlanModel
    as_of: int
    log: MessageLog = field(default_factory=no_messages)
    searches: Searches = field(default_factory=dict, repr=False)
    experiment: str | None = None
    variant: str | None = None

    def plan(self, user_ids: Sequence[str]) -> pl.DataFrame:
        """Return the messages of some shoppers, `PLAN_COLUMNS`, in the order of the shoppers, the best first.

        Args:
            user_ids: shoppers that may be planned (`audience.may_be_planned`); one without consent to any channel has
                no message.
        """
        value, _ = item_values(self.recommender.current, self.config.value)
        parts = [self._plan(user_ids[n : n + CHUNK], value) for n in range(0, len(user_ids), CHUNK)]
        return pl.concat([pl.DataFrame(schema=PLAN_COLUMNS), *parts])

    def _plan(self, user_ids: Sequence[str], value: npt.NDArray[np.float64]) -> pl.DataFrame:
        config, live = self.config, self.recommender.live
        agreed = consents(self.recommender.engine, live, user_ids, config)
        reachable = np.flatnonzero(agreed.any(axis=1))
        user_ids = [user_ids[n] for n in reachable.tolist()]
        mine = self.log.among(user_ids).filter(pl.col("timestamp").dt.epoch("s") <= self.as_of)
        channel = choose_channels(self.log, mine, config.channels, agreed[reachable])
        if not user_ids:
            return pl.DataFrame(schema=PLAN_COLUMNS)

        def wants(lists: ShopperLists, n: int) -> npt.NDArray[np.bool_]:
            return self._wants(lists, n, value)

        lists = ask_lists(self.recommender, user_ids, self.lists, n_places(config), self.as_of, self.searches, wants)
        probability = self.model.calibration.item_probability(
            list_features(lists, self.as_of, relative_prices(self.recommender.current))
        )
        blocked, stages = self._are_resting(lists.item_idx, mine), list_stages(self.recommender, lists)
        if stages is not None:
            blocked |= stages.is_over
        candidates = CandidateLists(lists.item_idx, probability, blocked, None if stages is None else stages.of_item)
        chosen = arbitrate(candidates, value, self.model.calibration.message_probability, rules_of(config))
        version = self.recommender.version
        items = [
            lists.items(user, of, places, version)
            for user, of, places in zip(chosen.user.tolist(), chosen.list_idx.tolist(), chosen.places, strict=True)
        ]
        expires_at = np.fromiter(map(expiry, items), np.int64, len(items))
        times = self._send_times(user_ids, lists, chosen, expires_at, mine)
        kept = np.flatnonzero(times.kept)
        return self._rows(
            user_ids, [items[n] for n in kept.tolist()], chosen.take(kept), expires_at[kept], times, channel
        )

    def _wants(self, lists: ShopperLists, n: int, value: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """Return for whom a further list is likely to win a message: of whom nothing is known, it is the fallback."""
        calibration, visits = self.model.calibration, lists.visits
        is_known = np.bincount(visits.user, minlength=len(lists.item_idx)) > 0
        probability = calibration.item_probability(
            list_features(lists, self.as_of, relative_prices(self.recommender.current))
        )
        last, _ = last_value(lists.item_idx, probability, calibration, value, self.config)
        n_orders, days_since = visits.recent_orders(self.as_of), visits.days_since_order(self.as_of)
        return np.asarray(is_known & self.model.rules[n].wants(last, n_orders, days_since))

    def _are_resting(self, item_idx: npt.NDArray[np.int32], mine: pl.DataFrame) -> npt.NDArray[np.bool_]:
        """Return which items were sent to the shopper within the last `item_days`."""
        engine, since = self.recommender.current, self.as_of - self.config.caps.item_days * DAY_S
        sent = mine.filter(pl.col("event") == SENT, pl.col("timestamp").dt.epoch("s") > since)
        sent = sent.select("position", "item_ids").explode("item_ids").drop_nulls()
        if sent.is_empty():
            return np.zeros(item_idx.shape, np.bool_)
        rows = engine.item_rows(sent["item_ids"])
        keys = sent["position"].to_numpy().astype(np.int64) * engine.n_items + rows
        asked = np.arange(len(item_idx))[:, None, None] * engine.n_items + item_idx
        return np.isin(asked, keys[rows >= 0]) & (item_idx != NO_ITEM)

    def _send_times(
        self,
        user_ids: Sequence[str],
        lists: ShopperLists,
        chosen: ChosenMessages,
        expires_at: npt.NDArray[np.int64],
        mine: pl.DataFrame,
    ) -> SendTimes:
        config, n_users = self.config, len(user_ids)
        now = np.full(n_users, self.as_of)
        everyone, zones = np.arange(n_users), lists.timezones
        first_day = local_days(now, everyone, zones) + 1
        hours, weekdays = self._habits(user_ids, lists, mine)
        allowed, caps = config.hours.allowed(), config.caps
        by_place = ranked_hours(hours, allowed, caps.messages_per_day)
        best = by_place[:, 0]
        ends = _last_days(expires_at, best, chosen.user, first_day, zones)
        latest = np.full((n_users, caps.messages_per_week), -1)
        latest[chosen.user, chosen.order] = ends
        first_weekday = (local_weekdays(now, everyone, zones) + 1) % N_WEEKDAYS
        before = self._sent_before(lists, mine, first_day)
        days = choose_days(weekdays, first_weekday, before, (caps.messages_per_week, caps.messages_per_day), latest)
        day = days[chosen.user, chosen.order]
        kept = day >= 0
        user, day, ends = chosen.user[kept], day[kept], ends[kept]
        place = places_of_day(user, day)
        who = zip(user.tolist(), (first_day[user] + day).tolist(), place.tolist(), strict=True)
        names = (f"{user_ids[u]} {d}" if not n else f"{user_ids[u]} {d} {n}" for u, d, n in who)
        draws = uniform_draws(f"hour {config.key}", names)
        own = by_place[user, np.minimum(place, caps.messages_per_day - 1)]
        drawn = draw_hours(own, draws, allowed, config.hours.exploration)
        is_last = day == ends  # a random hour may be too late for it
        hour, propensity = np.where(is_last, best[user], drawn.hour), np.where(is_last, 1.0, drawn.propensity)
        return SendTimes(kept, _moments(first_day[user] + day, hour, user, zones), propensity)

    def _habits(self, user_ids: Sequence[str], lists: ShopperLists, mine: pl.DataFrame) -> tuple[Counts, Counts]:
        """Return the shares of hours and weekdays of each shopper, from visits and opens."""
        half_life, visits = self.config.hours.half_life_days, lists.visits
        stages = life_stages(self.recommender.engine, user_ids, self.as_of)
        hours, weekdays = visits.hours(self.as_of, half_life), visits.weekdays(self.as_of, half_life)
        opened = mine.filter(pl.col("event").is_in(MESSAGE_EVENTS), pl.col("event") != SENT)
        user = opened["position"].to_numpy().astype(np.int64)
        at = opened["timestamp"].dt.epoch("s").to_numpy()
        np.add.at(hours, (user, local_hours(at, user, lists.timezones)), 1.0)
        np.add.at(weekdays, (user, local_weekdays(at, user, lists.timezones)), 1.0)
        return self.model.hours.of(hours, stages), self.model.weekdays.of(weekdays, stages)

    def _sent_before(
        self, lists: ShopperLists, mine: pl.DataFrame, first_day: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """Count the messages sent on each of the seven days before the plan, the latest last, int64 (n_users, 7)."""
        sent = mine.filter(pl.col("event") == SENT)
        user = sent["position"].to_numpy().astype(np.int64)
        day = local_days(sent["timestamp"].dt.epoch("s").to_numpy(), user, lists.timezones) - first_day[user]
        recent = day >= -N_WEEKDAYS
        flat = user[recent] * N_WEEKDAYS + day[recent] + N_WEEKDAYS
        return np.bincount(flat, minlength=len(first_day) * N_WEEKDAYS).reshape(-1, N_WEEKDAYS)

    def _rows(
        self,
        user_ids: Sequence[str],
        items: Sequence[Sequence[RecommendedItem]],
        chosen: ChosenMessages,
        expires_at: npt.NDArray[np.int64],
        times: SendTimes,
        channel: npt.NDArray[np.int64],
    ) -> pl.DataFrame:
        config, version = self.config, self.recommender.version
        held_out = in_holdout(config.key, user_ids, config.holdout)
        users, lists = [user_ids[n] for n in chosen.user.tolist()], [self.lists[n] for n in chosen.list_idx.tolist()]
        ids = [[item.item_id for item in each] for each in items]
        days = (times.at // DAY_S).tolist()
        ahead = np.rint((times.at - self.as_of) / DAY_S).astype(int).tolist()
        columns: dict[str, Any] = {
            "user_id": users,
            "send_at": times.at * MICROSECONDS,
            "channel": [config.channels[n] for n in channel[chosen.user].tolist()],
            "placement": lists,
            "item_ids": ids,
            "reasons": _texts(items, ahead, "en"),
            "reasons_zh": _texts(items, ahead, "zh"),
            "probability": chosen.probability,
            "value": chosen.value,
            "expected_value": chosen.expected_value,
            "expires_at": np.minimum(expires_at, times.at + config.horizon_days * DAY_S) * MICROSECONDS,
            "recommendation_id": [
                message_id(user, name, version, day, item_ids)
                for user, name, day, item_ids in zip(users, lists, days, ids, strict=True)
            ],
            "is_holdout": held_out[chosen.user],
            "send_time_propensity": times.propensity,
            "experiment": [self.experiment] * len(users),
            "variant": [self.variant] * len(users),
        }
        return pl.DataFrame(
            [
                pl.Series(name, columns[name], pl.Int64 if dtype == TIMESTAMP else dtype).cast(dtype)
                for name, dtype in PLAN_COLUMNS.items()
            ]
        )


def _texts(items: Sequence[Sequence[RecommendedItem]], days: Sequence[int], locale: str) -> list[list[str]]:
    """Return one sentence per item of each message that is sent after some days."""
    return [
        [later_text(convincing(item.reasons), later, locale) for item in of_message]
        for of_message, later in zip(items, days, strict=True)
    ]


def places_of_day(user: npt.NDArray[np.int64], day: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the place of each message among those of the same user and day, from 0 on, in their order.

    >>> places_of_day(np.array([0, 0, 1, 0]), np.array([2, 2, 2, 3])).tolist()
    [0, 1, 0, 0]
    """
    order = np.lexsort((day, user))
    is_first = np.ones(len(order), np.bool_)
    is_first[1:] = (np.diff(user[order]) != 0) | (np.diff(day[order]) != 0)
    numbers = np.arange(len(order))
    places = np.empty(len(order), np.int64)
    places[order] = numbers - np.maximum.accumulate(np.where(is_first, numbers, 0))
    return places


def message_id(user_id: str, placement: str, version: str, day: int, item_ids: Sequence[str]) -> str:
    """Return the `recommendation_id` of a message; the same message has the same one when the job runs again."""
    content = msgspec.json.encode([user_id, placement, version, day, item_ids])
    return blake2b(content, digest_size=16).hexdigest()


def expiry(items: Iterable[RecommendedItem]) -> int:
    """Return when the first item of a message expires, seconds since 1970; `NEVER` where none does."""
    times = [item.expires_at for item in items if item.expires_at]
    return min((int(parse_iso(time).timestamp()) for time in times), default=NEVER)


def _last_days(
    expires_at: npt.NDArray[np.int64],
    best: npt.NDArray[np.int64],
    user: npt.NDArray[np.int64],
    first_day: npt.NDArray[np.int64],
    timezones: Sequence[str],
) -> npt.NDArray[np.int64]:
    """Return the last day of the plan on which the shopper's best hour is before the message expires, -1 for none.

    Messages that do not expire within the plan have a day after its last one.
    """
    found = np.full(len(user), N_WEEKDAYS)
    ending = np.flatnonzero(expires_at != NEVER)
    at, whose = expires_at[ending], user[ending]
    day = local_days(at, whose, timezones) - first_day[whose]
    is_late = local_hours(at, whose, timezones) <= best[whose]
    found[ending] = np.clip(day - is_late, -1, N_WEEKDAYS)
    return found


def _moments(
    day: npt.NDArray[np.int64], hour: npt.NDArray[np.int64], user: npt.NDArray[np.int64], timezones: Sequence[str]
) -> npt.NDArray[np.int64]:
    """Return the moment of each local day (days since 1970) and hour; an hour that a clock change skips is the next."""
    names, zone_of_user = np.unique(np.array(timezones, np.object_).astype(str), return_inverse=True)
    if not len(user):
        return np.empty(0, np.int64)
    slots = np.stack([zone_of_user[user], day, hour], axis=1)
    distinct, of = np.unique(slots, axis=0, return_inverse=True)
    epoch = datetime(1970, 1, 1)  # noqa: DTZ001
    at = [
        int((epoch + timedelta(days=d, hours=h)).replace(tzinfo=ZoneInfo(str(names[zone]))).astimezone(UTC).timestamp())
        for zone, d, h in distinct.tolist()
    ]
    return np.array(at, np.int64)[of.ravel()]
