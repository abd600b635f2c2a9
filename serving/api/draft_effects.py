"""Calls that show what a draft would do: its check, a preview of a list, and the difference for many shoppers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from itertools import chain
from typing import Annotated, Final

import msgspec
from msgspec import Meta
from starlette.exceptions import HTTPException

from recsys.core.errors import ConfigError
from recsys.core.request import Recommendations
from recsys.drafts.check import ListChange, changes_between, effects_of, lists_of_text
from recsys.drafts.columns import CatalogColumn, catalog_column
from recsys.drafts.difference import ListDifference, compare_lists, differences_of, sample_shoppers
from recsys.pipeline.recommender import Recommender
from recsys.rules.placement_registry import PlacementRegistry
from recsys.rules.rule_effects import RuleEffect, own_weights
from serving.api.changes import FAILURES, as_problems, field_errors, invalid_text
from serving.api.draft_models import OneDraft
from serving.api.request_models import MAX_SEED_ITEMS, Context, ListRequest, list_request
from serving.http.body import Body
from serving.http.fields import Filter, Id, Limit, MaxPrice, Name, NoParameters, Share, Timestamp
from serving.http.operation import Operation
from serving.problems import FieldError, InvalidRequestError, shown
from serving.responses import Time, encode, moment
from serving.runtime.app_context import AppContext
from serving.runtime.snapshot import Snapshot
from serving.runtime.turns import in_turns

MAX_AHEAD_S: Final = 5 * 366 * 86_400
"""How far after the server's clock a preview may be."""

MAX_SHOPPERS: Final = 1000
MAX_LISTS: Final = 10
CHECK_S: Final = 10.0


class DraftCheck(msgspec.Struct, frozen=True):
    """The check of a draft.

    Attributes:
        is_valid: whether it could be served.
        errors: everything that is wrong: the key, the value, and what is expected.
        changes: lists and pages that differ from those that are served; none while there are errors.
        rules: what each filter, promotion and pin keeps of the items that may be listed.
        own_weights: lists whose weights replace learned ones, with a sentence about it.
        is_complete: whether all rules were counted in time.
    """

    is_valid: bool
    errors: tuple[FieldError, ...]
    changes: tuple[ListChange, ...] = ()
    rules: tuple[RuleEffect, ...] = ()
    own_weights: dict[str, str] = {}
    is_complete: bool = True


class PreviewRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The list to preview, and whom it is for.

    Attributes:
        placement: the list.
        user_id: the user, if any.
        visitor_id: the visitor, if nobody is logged in.
        session_id: the session, if nothing else is known.
        item_ids: the item on the page, the cart, or the items of a session, oldest first.
        as_of: the moment, which may be in the future; the server's clock if not given.
        context: values that filters read as `context.…`.
        filter: which items may be listed, besides the placement's own filter.
        diversity: instead of the placement's.
        tail_share: instead of the placement's.
        max_total_price: instead of the placement's; for placements that list sets only.
        limit: number of items; the definitions' own if not given.
    """

    placement: Name
    user_id: Id | None = None
    visitor_id: Id | None = None
    session_id: Id | None = None
    item_ids: Annotated[list[Id], Meta(max_length=MAX_SEED_ITEMS)] = []
    as_of: Timestamp | None = None
    context: Context = {}
    filter: Filter | None = None
    diversity: Share | None = None
    tail_share: Share | None = None
    max_total_price: MaxPrice | None = None
    limit: Limit | None = None


@dataclass(frozen=True, slots=True)
class PreviewedList(Recommendations):
    """A list that does not count as shown.

    Attributes:
        titles: titles of the list by language.
    """

    titles: dict[str, str]

    @classmethod
    def of(cls, listed: Recommendations, titles: Mapping[str, str]) -> PreviewedList:
        """Return a list with its titles."""
        return cls(**{each.name: getattr(listed, each.name) for each in fields(Recommendations)}, titles=dict(titles))


class DraftPreview(msgspec.Struct, frozen=True):
    """A list by a draft, beside the list that is served.

    Attributes:
        as_of: the moment of both.
        model_version: the bundle.
        drafted: the list by the draft; null if the draft has no such list.
        served: the list that is served; null if there is no such list.
        entered: items of the draft's list that are not in the served one.
        left: items of the served list that are not in the draft's.
        titles: titles of all these items, by id.
    """

    as_of: Time
    model_version: str
    drafted: PreviewedList | None
    served: PreviewedList | None
    entered: tuple[str, ...]
    left: tuple[str, ...]
    titles: dict[str, str]


class DifferenceRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to compare.

    Attributes:
        placements: the lists; those that the draft changes if not given, at most 10.
        n_shoppers: number of shoppers, drawn at random from those with a history.
        as_of: the moment, which may be in the future; the server's clock if not given.
        limit: number of items of each list; the definitions' own if not given.
        seconds: how long the comparison may take; what is done by then is returned.
    """

    placements: Annotated[list[Name], Meta(max_length=MAX_LISTS)] | None = None
    n_shoppers: Annotated[int, Meta(ge=1, le=MAX_SHOPPERS)] = 200
    as_of: Timestamp | None = None
    limit: Limit | None = None
    seconds: Annotated[float, Meta(gt=0, le=60)] = 20.0


class DraftDifference(msgspec.Struct, frozen=True):
    """What a draft changes for a sample of shoppers.

    Attributes:
        as_of: the moment of all lists.
        model_version: the bundle.
        n_shoppers: number of shoppers that were drawn.
        is_complete: whether all lists were compared in time.
        changes: all lists and pages that the draft changes.
        lists: what changes, by list.
    """

    as_of: Time
    model_version: str
    n_shoppers: int
    is_complete: bool
    changes: tuple[ListChange, ...]
    lists: tuple[ListDifference, ...]


class ColumnList(msgspec.Struct, frozen=True):
    """The columns of the catalog.

    Attributes:
        n_items: number of items.
        columns: what filters can read, with frequent values.
        is_complete: whether all columns were read in time.
    """

    n_items: int
    columns: tuple[CatalogColumn, ...]
    is_complete: bool


async def check_draft(app_context: AppContext, call: OneDraft) -> bytes:
    """Check a draft: everything that is wrong with it, what it changes, and what its rules keep of the catalog."""
    snapshot = app_context.watcher.snapshot()
    try:
        book = await asyncio.to_thread(_book, app_context, call.draft, snapshot)
    except ConfigError as error:
        return encode(DraftCheck(False, field_errors(error)))
    placements = list(book.placements.values())
    recommender = snapshot.recommender
    engine, latest = recommender.current, app_context.now()
    steps = chain.from_iterable(effects_of(each, engine, latest) for each in placements if each.has_rules)
    rules, is_complete = await in_turns(app_context.lists, steps, CHECK_S)
    changes = tuple(changes_between(recommender.book, book))
    return encode(DraftCheck(True, (), changes, tuple(rules), own_weights(placements), is_complete))


async def preview_draft(app_context: AppContext, call: OneDraft, body: PreviewRequest) -> bytes:
    """Make one list by a draft, beside the one that is served: for a user, a session or an item, at any moment.

    Neither counts as shown.
    """
    snapshot = app_context.watcher.snapshot()
    book = await asyncio.to_thread(valid_book, app_context, call.draft, snapshot)
    as_of = _moment(app_context, body.as_of)
    return await app_context.lists.run(lambda: encode(_preview(app_context, snapshot, book, body, as_of)))


async def compare_draft(app_context: AppContext, call: OneDraft, body: DifferenceRequest) -> bytes:
    """Compare the lists of many shoppers by a draft with those that are served: who and what gains and loses.

    The lists are made between the requests of others; a worker compares one draft at a time.
    """
    if app_context.comparing.locked():
        raise HTTPException(503, "another draft is being compared: try again later", {"Retry-After": "5"})
    async with app_context.comparing:
        snapshot = app_context.watcher.snapshot()
        book = await asyncio.to_thread(valid_book, app_context, call.draft, snapshot)
        return encode(await _difference(app_context, snapshot, book, body))


async def list_columns(app_context: AppContext, call: NoParameters) -> bytes:
    """List the columns of the catalog with their frequent values, for who writes filters."""
    recommender = app_context.watcher.snapshot().recommender
    items = recommender.current.items_table
    steps = (catalog_column(items[name]) for name in items.schema)
    columns, is_complete = await in_turns(app_context.lists, steps, CHECK_S)
    return encode(ColumnList(recommender.current.n_items, tuple(columns), is_complete))


def _book(app_context: AppContext, draft_id: str, snapshot: Snapshot) -> PlacementRegistry:
    """Return the lists of a draft."""
    with as_problems():
        draft = app_context.history.draft(draft_id)
    schema = snapshot.recommender.current.items_table.schema
    return lists_of_text(draft.text.encode(), "the draft", app_context.state.experiments, schema)


def valid_book(app_context: AppContext, draft_id: str, snapshot: Snapshot) -> PlacementRegistry:
    """Return the lists of a draft.

    Raises:
        InvalidRequestError: names everything that is wrong with it.
    """
    try:
        return _book(app_context, draft_id, snapshot)
    except ConfigError as error:
        raise invalid_text(error) from None


def _preview(
    app_context: AppContext, snapshot: Snapshot, book: PlacementRegistry, body: PreviewRequest, as_of: int
) -> DraftPreview:
    snapshot = app_context.watcher.up_to_date(snapshot)
    by_draft = replace(snapshot, recommender=replace(snapshot.recommender, book=book))
    if body.placement not in {**book.placements, **snapshot.recommender.placements}:
        found, known = shown(body.placement), ", ".join(book.placements)
        raise InvalidRequestError([FieldError("placement", f"placement is {found!r}: expected one of {known}", found)])
    drafted, served = (_list(each, body, as_of) for each in (by_draft, snapshot))
    new, old = ([] if each is None else [item.item_id for item in each.items] for each in (drafted, served))
    return DraftPreview(
        moment(as_of),
        snapshot.version,
        drafted,
        served,
        tuple(item_id for item_id in new if item_id not in old),
        tuple(item_id for item_id in old if item_id not in new),
        {item_id: snapshot.recommender.title(item_id) for item_id in (*new, *old)},
    )


def _list(snapshot: Snapshot, body: PreviewRequest, as_of: int) -> PreviewedList | None:
    placement = snapshot.recommender.placements.get(body.placement)
    if placement is None:
        return None
    given = {name: getattr(body, name) for name in body.__struct_fields__}
    request = list_request(snapshot, ListRequest(**given, log=False), body.placement, as_of)
    return PreviewedList.of(snapshot.recommender.recommend_for(request), placement.titles)


async def _difference(
    app_context: AppContext, snapshot: Snapshot, book: PlacementRegistry, body: DifferenceRequest
) -> DraftDifference:
    as_of, recommender = _moment(app_context, body.as_of), snapshot.recommender
    changes = changes_between(recommender.book, book)
    changed = [each.name for each in changes if not each.is_page]
    known = {**book.placements, **recommender.placements}
    names = changed[:MAX_LISTS] if body.placements is None else list(dict.fromkeys(body.placements))
    unknown = [name for name in names if name not in known]
    if unknown:
        found = shown(unknown[0])
        message = f"placements has {found!r}: expected some of {', '.join(known)}"
        raise InvalidRequestError([FieldError("placements", message, found)])
    sample = await app_context.lists.run(lambda: sample_shoppers(recommender, body.n_shoppers, as_of), is_patient=True)

    def served() -> Recommender:
        return app_context.watcher.up_to_date(snapshot).recommender

    def drafted() -> Recommender:
        return replace(recommender, book=book)

    steps = compare_lists(served, drafted, names, sample, as_of, body.limit)
    pairs, is_complete = await in_turns(app_context.lists, steps, body.seconds)
    lists = await app_context.lists.run(lambda: differences_of(pairs, recommender.current, as_of), is_patient=True)
    return DraftDifference(
        moment(as_of), snapshot.version, len(sample.user_ids), is_complete, tuple(changes), tuple(lists)
    )


def _moment(app_context: AppContext, given: Timestamp | None) -> int:
    """Return the moment of a list that nobody sees, which may be in the future."""
    now = app_context.now()
    seconds = now if given is None else int(given.timestamp())
    if not 0 <= seconds <= now + MAX_AHEAD_S:
        found = str(given)
        message = f"as_of is {found}: expected a time from 1970 to five years after the server's clock"
        raise InvalidRequestError([FieldError("as_of", message, found)])
    return seconds


def _effect(method: str, name: str, respond: object, answer: type, body: type | None) -> Operation[OneDraft]:
    return Operation(
        method,
        f"/v1/drafts/{{draft}}/{name}",
        OneDraft,
        respond,  # type: ignore[arg-type]
        "placements",
        (answer,),
        failures=FAILURES,
        scope="view",
        body=None if body is None else Body(body),
    )


OPERATIONS: Final = (
    _effect("GET", "check", check_draft, DraftCheck, None),
    _effect("POST", "preview", preview_draft, DraftPreview, PreviewRequest),
    _effect("POST", "difference", compare_draft, DraftDifference, DifferenceRequest),
    Operation(
        "GET",
        "/v1/catalog/columns",
        NoParameters,
        list_columns,
        "console",
        (ColumnList,),
        failures=(503,),
        scope="view",
    ),
)
