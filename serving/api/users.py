"""The call that returns what is known about a user, with the user's segments."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any, Final

import msgspec
from starlette.exceptions import HTTPException

from recsys.core.schema import USERS
from recsys.core.timestamps import parse_timestamp
from recsys.live.view import LiveView
from recsys.pipeline.user_segments import segments_of
from serving.api.request_models import as_of_or_now
from serving.http.fields import Id, Parameters, Timestamp
from serving.http.operation import Operation
from serving.problems import shown
from serving.responses import Time, encode, moment
from serving.runtime.app_context import AppContext


class UserAtMoment(Parameters, frozen=True):
    """One user, at a moment.

    Attributes:
        user_id: the user.
        as_of: the moment of the segments; the server's clock if not given.
    """

    user_id: Id
    as_of: Timestamp | None = None


class UserSegments(msgspec.Struct, frozen=True):
    """Segments of a user (docs/segments.md); null for what is not known.

    Attributes:
        life_cycle: returning, lost, dormant, new_visitor, new_week, new_month, growing or active.
        is_high_value: whether the user is of high value.
        n_orders: number of orders.
        average_order: mean price of the orders.
        rfm_recency: score of the recency, 1 the lowest.
        rfm_frequency: score of the frequency.
        rfm_monetary: score of the money.
        discount_share: share of the lines that were bought below the list price.
        interests: categories that the user takes more of than others, the strongest first.
        habitual_hour: local hour of most visits.
        habitual_weekday: local day of most visits, 1 Monday to 7 Sunday.
        habitual_channel: channel of most visits.
        repeat_probability: probability of an order within the horizon of the settings.
        churn_probability: probability of none.
        lifetime_value: expected revenue.
        is_slowing: whether the user orders at most half as often as before.
    """

    life_cycle: str | None
    is_high_value: bool | None
    n_orders: int
    average_order: float | None
    rfm_recency: int | None
    rfm_frequency: int | None
    rfm_monetary: int | None
    discount_share: float | None
    interests: list[str] | None
    habitual_hour: int | None
    habitual_weekday: int | None
    habitual_channel: str | None
    repeat_probability: float | None
    churn_probability: float | None
    lifetime_value: float | None
    is_slowing: bool | None


class UserProfile(msgspec.Struct, frozen=True):
    """What is known about a user.

    Attributes:
        user_id: the user; the one that the id of the call is merged into, if it is merged.
        as_of: the moment of the segments.
        created_at: when the user was first known.
        timezone: IANA name of the user's time zone; null for the shop's.
        region: the user's region.
        tags: the user's properties.
        personalization: false for an opt-out; such a user has no segments.
        attributes: further columns that are known, by name.
        segments: the user's segments, live events included; null for a user who opted out.
    """

    user_id: str
    as_of: Time
    created_at: Time | None
    timezone: str | None
    region: str | None
    tags: list[str] | None
    personalization: bool
    attributes: dict[str, Any]
    segments: UserSegments | None


def get_user(app_context: AppContext, call: UserAtMoment) -> bytes:
    """Return the attributes and the segments of a user.

    404 if neither the tables nor the live log know the user, or the user was erased.
    """
    as_of = as_of_or_now(app_context, call.as_of)
    recommender = app_context.watcher.snapshot().recommender
    live = recommender.live or LiveView(recommender.engine)
    key = live.identities.target(call.user_id)
    columns = live.profiles.of(key)
    found = segments_of(recommender.engine, [key], as_of, live)
    is_out = live.profiles.is_opted_out(key)
    if not (is_out or len(found)):
        raise HTTPException(404, f"{shown(call.user_id)!r} is not a known user: send an event or attributes first")
    segments = None
    if len(found) and not is_out:
        row = found.row(0, named=True)
        segments = UserSegments(**{name: row[name] for name in UserSegments.__struct_fields__})
    return encode(_profile(key, as_of, columns, segments, is_out=is_out))


def _profile(
    key: str, as_of: int, columns: Mapping[str, Any], segments: UserSegments | None, *, is_out: bool
) -> UserProfile:
    return UserProfile(
        user_id=key,
        as_of=moment(as_of),
        created_at=_time(columns.get("created_at")),
        timezone=columns.get("timezone"),
        region=columns.get("region"),
        tags=columns.get("tags"),
        personalization=not is_out,
        attributes={name: value for name, value in columns.items() if name not in USERS and value is not None},
        segments=segments,
    )


def _time(value: Any) -> datetime | None:
    """Return a time of the tables or of the live log; null for a text that is no time."""
    if not isinstance(value, str | date):
        return None
    try:
        return parse_timestamp(value, UTC)
    except ValueError:
        return None


OPERATIONS: Final = (
    Operation(
        "GET",
        "/v1/users/{user_id}",
        UserAtMoment,
        get_user,
        "users",
        (UserProfile,),
        failures=(404, 503),
        scope="catalog",
        also=("view",),
    ),
)
