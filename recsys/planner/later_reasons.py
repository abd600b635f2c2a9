"""The reason that a message states, in the words of the moment at which it is sent: days count from then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from recsys.core.request import Reason
from recsys.moments.habits import due_message
from recsys.reasons.templates import BoundMessage

GROWING: Final = ("days_ago", "overdue_days")
"""Ends of the names of values that count the days since something."""

SHRINKING: Final = ("due_in_days",)
"""Ends of the names of values that count the days until something."""

REPLENISHMENT: Final = "replenishment_"
"""Begin of the messages that are others once the time has passed."""


WEAK: Final = ("new", "niche", "hour", "popular")
"""Codes of reasons that convince nobody as the only sentence about an item, the weakest first."""


def convincing(reasons: Sequence[Reason]) -> Reason:
    """Return the reason that a message states: the first that is not weak, else the least weak one.

    Args:
        reasons: of one item, at least one.
    """
    strong = (reason for reason in reasons if reason.code not in WEAK)
    return next(strong, None) or max(reasons, key=lambda reason: WEAK.index(reason.code))


def later_text(reason: Reason, days: int, locale: str) -> str:
    """Return the text of a reason for the shopper, as it reads some days later, if nothing else happens.

    Args:
        reason: as of the moment of its list.
        days: from then, >= 0.
        locale: such as `en`.
    """
    message = reason.message
    if isinstance(message, BoundMessage):
        values, name = _later(message.values, days), message.name
        if name.startswith(REPLENISHMENT):
            name = due_message(values["due_in_days"], values["spread_days"])
        return BoundMessage(message.templates, name, values).shopper_text(locale)
    return message.text(locale)


def _later(values: Mapping[str, Any], days: int) -> dict[str, Any]:
    def moved(name: str, value: Any) -> Any:
        if name.endswith(GROWING):
            return value + days
        return value - days if name.endswith(SHRINKING) else value

    return {name: moved(name, value) for name, value in values.items()}
