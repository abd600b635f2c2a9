"""The call that estimates the clicks of a draft's list from the random lists of the live log, before it serves."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping
from typing import Annotated, Final

import msgspec
from msgspec import Meta
from starlette.exceptions import HTTPException

from recsys.core.placements import Placement
from recsys.core.progress import Progress
from recsys.drafts.counterfactual import (
    MIN_LISTS,
    CounterfactualReport,
    estimate_of,
    refused_at_once,
    sample_lists,
)
from recsys.drafts.random_lists import read_random_lists
from recsys.drafts.replay import replay_lists
from recsys.experiments.counterfactual import PolicyEstimate
from serving.api.changes import FAILURES
from serving.api.draft_effects import valid_book
from serving.api.draft_models import OneDraft
from serving.http.body import Body
from serving.http.fields import Name
from serving.http.operation import Operation
from serving.problems import FieldError, InvalidRequestError, shown
from serving.responses import encode
from serving.runtime.app_context import AppContext
from serving.runtime.turns import in_turns

BATCH: Final = 500
"""Entries to read at a time: few, as lists wait for a thread that decodes them."""

MAX_LISTS: Final = 5000
WORDS: Final = {"log": "reading of the live log", "probabilities": "weighing of the lists"}


class EstimateRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The list to estimate.

    Attributes:
        placement: a list that is served, and that the draft changes.
        max_lists: lists of the log that are made again by both definitions; a random sample of more.
        seconds: how long it may take: of the lists, those that are made again by then count.
    """

    placement: Name
    max_lists: Annotated[int, Meta(ge=MIN_LISTS, le=MAX_LISTS)] = 1000
    seconds: Annotated[float, Meta(ge=1, le=60)] = 20.0


class ClickEstimate(msgspec.Struct, frozen=True):
    """The clicks per list by one estimator.

    Attributes:
        estimator: `logged` for the list that served; `ips`, `self_normalized`, `slate` or `doubly_robust` for the
            draft's; see `recsys.experiments.counterfactual`.
        value: clicks per list; null where it cannot be computed.
        low: lower end of the 95 % interval.
        high: its upper end.
        effective_lists: number of lists that the weighted ones are worth.
        refused: why the value is not to be used; null if it may be.
    """

    estimator: str
    value: float | None
    low: float | None
    high: float | None
    effective_lists: float | None
    refused: str | None


class DraftEstimate(msgspec.Struct, frozen=True):
    """What a draft's list would have earned on the moments of the lists in the log, or why the log cannot say.

    Attributes:
        placement: the list.
        model_version: the bundle.
        text: one sentence with the result, or the reason and what to do.
        text_zh: the same in Chinese.
        lists: lists of the log, by what became of them: `used`, or why they were left out.
        supported_share: share of the positions of the draft's lists whose item the log has shown there often enough.
        estimates: clicks per list, those of the list that served first; empty if the log cannot say.
        is_complete: whether all chosen lists were made again in time.
    """

    placement: str
    model_version: str
    text: str
    text_zh: str
    lists: dict[str, int]
    supported_share: float
    estimates: tuple[ClickEstimate, ...]
    is_complete: bool


async def estimate_draft(app_context: AppContext, call: OneDraft, body: EstimateRequest) -> bytes:
    """Estimate the clicks per list of a draft's placement from the lists that its rotation has drawn at random.

    Lists of the live log are made again for their moments, by the placement that is served and by the draft, between
    the requests of others; the clicks are weighed by how likely each item was drawn for its position. A placement
    without rotation has no such lists: the response then says so. A worker compares one draft at a time.
    """
    if app_context.comparing.locked():
        raise HTTPException(503, "another draft is being compared: try again later", {"Retry-After": "5"})
    async with app_context.comparing:
        snapshot = app_context.watcher.snapshot()
        recommender = snapshot.recommender
        book = await asyncio.to_thread(valid_book, app_context, call.draft, snapshot)
        present = _placement(recommender.placements, body.placement, "served")
        if present.lists == "sets":
            message = f"placement {body.placement!r} lists sets, which no rotation draws: name a list of items"
            raise InvalidRequestError([FieldError("placement", message, body.placement)])
        changed = _placement(book.placements, body.placement, "in the draft")
        report, is_complete = refused_at_once(present, changed), True
        if report is None:
            deadline = time.monotonic() + body.seconds
            on_progress = _time_check(body.seconds, deadline)
            found = await asyncio.to_thread(
                read_random_lists, recommender, app_context.store, body.placement, BATCH, on_progress
            )
            steps = replay_lists(recommender, present, changed, sample_lists(found, body.max_lists))
            replays, is_complete = await in_turns(app_context.lists, steps, max(deadline - time.monotonic(), 0.0))
            if not is_complete and len(replays) < MIN_LISTS:
                raise HTTPException(
                    503, f"only {len(replays)} lists were made again within {body.seconds:g} s: allow more `seconds`"
                )
            report = await asyncio.to_thread(estimate_of, present, changed, found, replays, on_progress)
        return encode(_answer(report, snapshot.version, is_complete=is_complete))


def _placement(known: Mapping[str, Placement], name: str, where: str) -> Placement:
    if name not in known:
        found = shown(name)
        message = f"placement {found!r} is not {where}: expected one of {', '.join(known)}"
        raise InvalidRequestError([FieldError("placement", message, found)])
    return known[name]


def _time_check(seconds: float, deadline: float) -> Progress:
    """Return what ends the work with a 503 when its time is over."""

    def check(stage: str, share: float = 0.0) -> None:
        if share < 1 and time.monotonic() > deadline:
            raise HTTPException(
                503,
                f"the {WORDS[stage]} was not complete within {seconds:g} s ({share:.0%} of it was): allow more"
                " `seconds`, or run `recsys experiments counterfactual` on the machine of the log",
            )

    return check


def _answer(report: CounterfactualReport, version: str, *, is_complete: bool) -> DraftEstimate:
    every = "all" in report.refused
    estimates = () if every else tuple(_estimate(each, report.refused) for each in report.estimates)
    return DraftEstimate(
        report.placement,
        version,
        report.text,
        report.text_zh,
        report.counts,
        report.support,
        estimates,
        is_complete,
    )


def _estimate(found: PolicyEstimate, refused: dict[str, str]) -> ClickEstimate:
    value, low, high, effective = (
        each if math.isfinite(each) else None for each in (found.value, found.low, found.high, found.effective_sample)
    )
    return ClickEstimate(found.estimator, value, low, high, effective, refused.get(found.estimator))


OPERATIONS: Final = (
    Operation(
        "POST",
        "/v1/drafts/{draft}/estimate",
        OneDraft,
        estimate_draft,
        "placements",
        (DraftEstimate,),
        failures=FAILURES,
        scope="view",
        body=Body(EstimateRequest),
    ),
)
