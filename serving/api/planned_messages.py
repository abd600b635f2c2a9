"""The messages of one shopper by the push plan of the server."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from recsys.planner.audience import may_be_planned
from serving.api.request_models import ListRequest, as_of_or_now
from serving.problems import FieldError, InvalidRequestError
from serving.responses import Time, encode
from serving.runtime.app_context import AppContext
from serving.runtime.plans import PUSH_PLAN
from serving.runtime.snapshot import Snapshot

OF_PLAN: Final = frozenset({"id", "log", "placement", "user_id", "as_of"})
"""Fields of a line that asks for messages."""


class PlannedMessage(msgspec.Struct, frozen=True):
    """One message of a push plan.

    Attributes:
        user_id: the shopper.
        send_at: when to send it.
        channel: on which channel.
        placement: the list of its items.
        item_ids: its items, best first.
        reasons: one sentence per item.
        reasons_zh: the same in Chinese.
        probability: that the shopper buys at least one of the items within the horizon.
        value: of the purchase.
        expected_value: probability × value.
        expires_at: when it is of no use any more.
        recommendation_id: send it with later events, for attribution.
        is_holdout: true: do not send it.
        send_time_propensity: probability of the hour.
        experiment: that the shopper is in with the plan, null for none; send it with `message_sent`.
        variant: of the shopper in it, null for none; send it with `message_sent`.
    """

    user_id: str
    send_at: Time
    channel: str
    placement: str
    item_ids: list[str]
    reasons: list[str]
    reasons_zh: list[str]
    probability: float
    value: float
    expected_value: float
    expires_at: Time
    recommendation_id: str
    is_holdout: bool
    send_time_propensity: float
    experiment: str | None
    variant: str | None


def is_plan(snapshot: Snapshot, body: ListRequest) -> bool:
    """Return whether a body asks for messages; a list of the shop with that name is a list."""
    return body.placement == PUSH_PLAN and PUSH_PLAN not in snapshot.recommender.placements


def messages_response(app_context: AppContext, snapshot: Snapshot, body: ListRequest) -> bytes:
    """Return the encoded messages of one user; none for a user who opted out.

    Raises:
        InvalidRequestError: there is no user, or a field that a plan does not have.
        RequestError: the server has no plan, or none for the user's variant.
    """
    faults = [] if body.user_id else [FieldError("user_id", "user_id is missing: a push plan is for a user")]
    faults += [
        FieldError(field.name, f"{field.name} is given: a push plan has its own settings")
        for field in msgspec.structs.fields(type(body))
        if field.name not in OF_PLAN and getattr(body, field.name) != _default(field)
    ]
    if faults or body.user_id is None:
        raise InvalidRequestError(faults)
    as_of = as_of_or_now(app_context, body.as_of)
    planner = app_context.plans.planner(snapshot, as_of, body.user_id)
    recommender = snapshot.recommender
    user_ids = [body.user_id] if may_be_planned(recommender.engine, recommender.live, body.user_id) else []
    return encode([PlannedMessage(**row) for row in planner.plan(user_ids).to_dicts()])


def _default(field: msgspec.structs.FieldInfo) -> Any:
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
