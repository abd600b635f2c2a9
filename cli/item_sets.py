"""The command that shows sets of items that are bought together."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from cli.documents import PlacementFile
from cli.options import (
    DEFAULT_MODELS,
    AsJson,
    Channel,
    FilterText,
    LiveLogBeside,
    Models,
    Region,
    Session,
    Store,
    Visitor,
    check_ids,
    context_of,
    parse_moment,
)
from cli.output import show_json
from cli.recommend import show_list, to_plain
from recsys.core.errors import ConfigError, UnknownItemError
from recsys.core.request import Request

ITEM_SETS: Final = "item_sets"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("item-sets")(item_sets)


def item_sets(
    models: Models = DEFAULT_MODELS,
    item: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Sets with this item; repeat it for a cart.")
    ] = None,
    user: Annotated[str | None, typer.Option(metavar="ID", help="Sets that fit this user.")] = None,
    visitor: Visitor = None,
    session: Session = None,
    max_total_price: Annotated[float | None, typer.Option(help="Largest price of a set.")] = None,
    limit: Annotated[int | None, typer.Option(help="Number of sets.", show_default="of the list")] = None,
    as_of: Annotated[
        str | None, typer.Option(help="Moment of the list, RFC 3339.", show_default="the latest known event")
    ] = None,
    placement: Annotated[str, typer.Option(help="Name of the list.")] = ITEM_SETS,
    placements: PlacementFile = None,
    filter_: FilterText = None,
    live_log: LiveLogBeside = None,
    region: Region = None,
    store: Store = None,
    channel: Channel = None,
    as_json: AsJson = False,
) -> None:
    """Show sets of items that are bought together: of an item, for a user, or the best ones."""
    from recsys.core.timestamps import to_seconds
    from recsys.pipeline.recommender import Recommender

    moment = parse_moment(as_of, "--as-of") if as_of else None
    check_ids(user=user, visitor=visitor, session=session)
    recommender = Recommender.open(models, placements, live_log)
    known = recommender.placements.get(placement)
    if known is None or known.lists != "sets":
        fitting = ", ".join(each.name for each in recommender.placements.values() if each.lists == "sets")
        raise ConfigError(f"--placement is {placement!r}, expected a list of sets: {fitting}")
    seeds = tuple(item or ())
    if seeds and not any(map(recommender.knows_item, seeds)):
        raise UnknownItemError(seeds[0])
    request = Request(
        placement,
        recommender.latest if moment is None else to_seconds(moment),
        known.limit if limit is None else limit,
        user,
        seeds,
        visitor,
        session,
        filter=recommender.filter(filter_),
        context=context_of(region, store, channel),
        max_total_price=max_total_price,
    )
    answer = recommender.recommend_for(request)
    if as_json:
        show_json(to_plain(answer, request.as_of, recommender))
    else:
        show_list(answer, request.as_of, recommender, max_total_price)
