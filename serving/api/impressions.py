"""The report of lists that were sent: those of batches count as shown only then."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from recsys.core.request import MAX_LIMIT, Request
from recsys.eventlog.store import AppendOutcome, LogEntry
from recsys.live.view import LiveView
from serving.api.request_models import past_second
from serving.http.body import Body
from serving.http.fields import Id, Label, Name, NoParameters, Timestamp
from serving.http.operation import Operation
from serving.responses import encode, made_at
from serving.runtime.app_context import AppContext
from serving.runtime.impressions import user_columns

MAX_SENT: Final = 1000
MAX_EXPERIMENTS: Final = 100

Outcome = Literal["accepted", "duplicate", "conflict", "erased"]
OUTCOMES: Final[dict[AppendOutcome, Outcome]] = {
    "stored": "accepted",
    "duplicate": "duplicate",
    "conflict": "conflict",
    "erased": "erased",
}


class SentItem(msgspec.Struct, frozen=True):
    """An item of a list that was sent.

    Attributes:
        item_id: the shop's own id.
        rank: its position in the list, as in the response; its place among `items` if not given.
        score: as in the response.
        propensity: as in the response; 1 if not given.
    """

    item_id: Id
    rank: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    score: float | None = None
    propensity: Annotated[float, Meta(gt=0, le=1)] | None = None


class SentList(msgspec.Struct, frozen=True, kw_only=True):
    """A list that was sent; a whole response can be given, other fields are ignored.

    Attributes:
        recommendation_id: of the response.
        placement: as in the response.
        model_version: as in the response.
        fallback_used: as in the response.
        items: those that were sent, in their order.
        experiments: as in the response, for the analysis of experiments.
        sent_at: when; the server's clock if not given.
        user_id: the user, if known.
        visitor_id: the visitor, if nobody is logged in.
        session_id: the session, if nothing else is known.
    """

    recommendation_id: Id
    placement: Name
    model_version: Label = ""
    fallback_used: bool = False
    items: Annotated[list[SentItem], Meta(min_length=1, max_length=MAX_LIMIT)]
    experiments: Annotated[dict[Name, Name], Meta(max_length=MAX_EXPERIMENTS)] | None = None
    sent_at: Timestamp | None = None
    user_id: Id | None = None
    visitor_id: Id | None = None
    session_id: Id | None = None


class SentLists(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The lists that were sent.

    Attributes:
        impressions: one per list.
    """

    impressions: Annotated[list[SentList], Meta(min_length=1, max_length=MAX_SENT)]


class SentResults(msgspec.Struct, frozen=True):
    """What became of the lists.

    Attributes:
        results: one per list: `accepted`, it is durable and counts as shown; `duplicate`, it was reported before;
            `conflict`, its id is known with other content, and the first one is kept; `erased`, its user was erased
            after it was sent, or after this server had made it.
    """

    results: list[Outcome]


async def take_sent_lists(app_context: AppContext, call: NoParameters, body: SentLists) -> bytes:
    """Report that lists were sent, such as those of `POST /v1/batch` in a mail: from then on they count as shown.

    A list can be reported again: its `recommendation_id` counts once.
    """
    now, received_at = app_context.now(), app_context.clock.received_at()
    current = app_context.watcher.current
    live = None if current is None else current.recommender.live
    entries = [
        _entry(sent, _shown_at(app_context, index, sent, now), received_at, live)
        for index, sent in enumerate(body.impressions)
    ]
    outcomes = await app_context.stored(entries)
    app_context.telemetry.shown("logged", outcomes.count("stored"))
    return encode(SentResults([OUTCOMES[outcome] for outcome in outcomes]))


def _shown_at(app_context: AppContext, index: int, sent: SentList, now: int) -> int:
    """Return when a list was sent: within the times of events, as it is exported as one."""
    if sent.sent_at is None:
        return now
    earliest = app_context.settings.earliest_second
    return min(past_second(app_context, f"impressions[{index}].sent_at", sent.sent_at, now, earliest), now)


def _entry(sent: SentList, at: int, received_at: float, live: LiveView | None) -> LogEntry:
    request = Request(sent.placement, at, user_id=sent.user_id, visitor_id=sent.visitor_id, session_id=sent.session_id)
    body: dict[str, Any] = {
        "placement": sent.placement,
        "model_version": sent.model_version,
        "fallback_used": sent.fallback_used,
        "items": [_item(item, position) for position, item in enumerate(sent.items, 1)],
    }
    if sent.experiments:
        body["experiments"] = sent.experiments
    # The list is as old as its id: one from before an erasure of its user is refused, whenever it is reported.
    shown_at = min(made_at(sent.recommendation_id) or received_at, received_at)
    return LogEntry(
        "impression", sent.recommendation_id, float(at), shown_at, body | (user_columns(live, request) or {})
    )


def _item(item: SentItem, position: int) -> dict[str, Any]:
    found = {
        "item_id": item.item_id,
        "score": item.score,
        "propensity": None if item.propensity == 1 else item.propensity,
    }
    found["position"] = None if item.rank == position else item.rank
    return {name: value for name, value in found.items() if value is not None}


OPERATIONS: Final = (
    Operation(
        "POST",
        "/v1/impressions",
        NoParameters,
        take_sent_lists,
        "events",
        (SentResults,),
        failures=(503,),
        scope="events",
        body=Body(SentLists),
        cost=lambda sent: len(sent.impressions),
    ),
)
