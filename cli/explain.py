"""The command that explains why an item is not in a list."""

from __future__ import annotations

from typing import Annotated

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
from cli.output import show_json, show_lines, show_table
from recsys.core.request import DEFAULT_LIMIT, Request


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("explain")(explain)


def explain(
    item: Annotated[str, typer.Option(metavar="ID", help="The item to explain.")],
    models: Models = DEFAULT_MODELS,
    user: Annotated[str | None, typer.Option(metavar="ID", help="User of the list.")] = None,
    visitor: Visitor = None,
    session: Session = None,
    placement: Annotated[str, typer.Option(help="Name of the list.")] = "for_you",
    placements: PlacementFile = None,
    seed: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="For a list of related items: their item.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Number of items in the list.")] = DEFAULT_LIMIT,
    as_of: Annotated[
        str | None, typer.Option(help="Moment of the list, RFC 3339.", show_default="the latest known event")
    ] = None,
    filter_: FilterText = None,
    live_log: LiveLogBeside = None,
    region: Region = None,
    store: Store = None,
    channel: Channel = None,
    as_json: AsJson = False,
) -> None:
    """Report the stage at which an item left a list, and its rank in each source."""
    from recsys.core.errors import ConfigError
    from recsys.core.timestamps import to_seconds
    from recsys.pipeline.recommender import Recommender

    check_ids(user=user, visitor=visitor, session=session)
    recommender = Recommender.open(models, placements, live_log)
    chosen = recommender.placements.get(placement)
    if chosen is not None and chosen.anchor == "item" and not seed:
        raise ConfigError(f"--placement {placement} is a list for an item: add --seed ID")
    moment = to_seconds(parse_moment(as_of, "--as-of")) if as_of else recommender.latest
    context = context_of(region, store, channel)
    request = Request(
        placement,
        moment,
        limit,
        user,
        tuple(seed or ()),
        visitor,
        session,
        filter=recommender.filter(filter_),
        context=context,
    )
    why = recommender.explain(request, item)
    if as_json:
        show_json(why.to_dict())
        return
    show_lines([f"{recommender.title(item)}: {why.stage}: {why.text}", why.text_zh])
    standings = [(s.source, s.rank or "", s.score, s.n_found, s.quota or "all", s.cut_score) for s in why.sources]
    if standings:
        show_table(("source", "rank", "score", "found", "quota", "score at the cut"), standings)
    if why.effects:
        effects = [(e.feature, "unknown" if e.value is None else e.value, e.effect) for e in why.effects]
        show_table(("feature", "value", "effect"), effects)
