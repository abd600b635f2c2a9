"""The command that shows one list, or writes one list per user to a file."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from zoneinfo import ZoneInfo

import msgspec
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
from cli.output import count_progress, show_json, show_lines, show_table
from recsys.core.errors import ConfigError, UnknownItemError
from recsys.core.request import DEFAULT_LIMIT, ItemSet, Recommendations, Request, to_wire

if TYPE_CHECKING:
    from recsys.core.placements import Anchor, Placement
    from recsys.pipeline.recommender import Recommender
    from training.batch import BatchReport
    from training.batch.ids import Subject

TOO_LITTLE: Final[dict[Anchor, str]] = {
    "item": "the sources of the list have nothing for this item at this moment",
    "user": "the sources of the list have nothing for this user at this moment",
    "none": "nothing is known yet",
    "any": "the sources of the list have nothing for this user or item at this moment",
}
"""Why a list is the fallback, by the anchor of the placement."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("recommend")(recommend)


def recommend(
    models: Models = DEFAULT_MODELS,
    user: Annotated[str | None, typer.Option(metavar="ID", help="User of the list.")] = None,
    visitor: Visitor = None,
    session: Session = None,
    item: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Item that is viewed; repeat it for a cart.")
    ] = None,
    placement: Annotated[
        str | None,
        typer.Option(help="Name of the list.", show_default="complementary for items, for_you for users"),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Number of items.", show_default=f"of the list, else {DEFAULT_LIMIT}")
    ] = None,
    as_of: Annotated[
        str | None, typer.Option(help="Moment of the list, RFC 3339.", show_default="the latest known event")
    ] = None,
    users: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Many lists, one per user: ids as text, CSV, Parquet …")
    ] = None,
    items: Annotated[Path | None, typer.Option(metavar="FILE", help="Many lists, one per item: ids likewise.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Output of many lists: a .parquet or .ndjson file, or a folder for shards."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Processes for many lists.", show_default="one per processor, fewer for few lists"),
    ] = None,
    shard_size: Annotated[int | None, typer.Option(help="Lists per shard.", show_default="1000")] = None,
    format_: Annotated[
        str | None,
        typer.Option("--format", help="Of the shards in a folder: parquet or ndjson.", show_default="parquet"),
    ] = None,
    resume: Annotated[
        bool, typer.Option(help="Keep the finished shards of an interrupted run with the same inputs.")
    ] = True,
    placements: PlacementFile = None,
    filter_: FilterText = None,
    live_log: LiveLogBeside = None,
    region: Region = None,
    store: Store = None,
    channel: Channel = None,
    as_json: AsJson = False,
) -> None:
    """Show one list with its reasons, or write one list per user of --users, or per item of --items, to --out."""
    from recsys.core.timestamps import to_seconds
    from recsys.pipeline.recommender import Recommender
    from training.batch import SHARD_SIZE, BatchPlan, BatchRequest, batch_recommend

    moment = parse_moment(as_of, "--as-of") if as_of else None
    context = context_of(region, store, channel)
    if any(path is not None for path in (users, items, out)):
        is_one = item or filter_ or any(id_ is not None for id_ in (user, visitor, session))
        if (users is None) == (items is None) or out is None or is_one:
            raise ConfigError(
                "--users FILE (or --items FILE) and --out PATH go together, without --user, --visitor, --session, "
                "--item and --filter"
            )
        name = placement or ("for_you" if users else "complementary")
        subject: Subject = "user" if users else "item"
        length = DEFAULT_LIMIT if limit is None else limit
        request = BatchRequest(name, length, moment, placements, live_log, context, subject)
        plan = BatchPlan(workers, SHARD_SIZE if shard_size is None else shard_size, format_, resume)
        with count_progress(f"{name} lists") as on_count:
            report = batch_recommend(models, users or items or Path(), out, request, plan, on_count)
        show_json(asdict(report)) if as_json else _show_push(report, out, subject)
        return
    if not resume or any(option is not None for option in (workers, shard_size, format_)):
        raise ConfigError("--workers, --shard-size, --format and --no-resume are for --users FILE or --items FILE")
    check_ids(user=user, visitor=visitor, session=session)
    recommender = Recommender.open(models, placements, live_log)
    seconds = recommender.latest if moment is None else to_seconds(moment)
    chosen = placement or ("complementary" if item else "for_you" if user or visitor or session else "popular")
    seeds = tuple(item or ())
    _check_anchor(recommender.placements.get(chosen), user or visitor or session, seeds)
    if seeds and not any(map(recommender.knows_item, seeds)):
        raise UnknownItemError(seeds[0])
    if limit is None:
        limit = known.limit if (known := recommender.placements.get(chosen)) else DEFAULT_LIMIT
    allowed = recommender.filter(filter_)
    one = Request(chosen, seconds, limit, user, seeds, visitor, session, filter=allowed, context=context)
    answer = recommender.recommend_for(one)
    if as_json:
        show_json(to_plain(answer, seconds, recommender))
    else:
        show_list(answer, seconds, recommender)


def _check_anchor(placement: Placement | None, user: str | None, seeds: tuple[str, ...]) -> None:
    """Refuse a list without its user or item; an unknown placement is refused later."""
    if placement is None:
        return
    if placement.anchor == "item" and not seeds:
        raise ConfigError(f"--placement {placement.name} is a list for an item: add --item ID")
    if placement.anchor == "user" and user is None:
        instead = " instead of --item" if seeds else ""
        raise ConfigError(
            f"--placement {placement.name} is a list for a user: add --user ID{instead}, or --visitor or --session"
        )


def show_list(
    answer: Recommendations, seconds: int, recommender: Recommender, max_total_price: float | None = None
) -> None:
    """Show the facts of a list, and its items or sets as a table; without any set, the largest price is named."""
    local = datetime.fromtimestamp(seconds, ZoneInfo(answer.timezone))
    facts = [
        f"{answer.placement} by {answer.model_version}",
        f"as of {local.isoformat()} ({answer.local_hour} h in {answer.timezone})",
        f"head share {answer.head_share:.0%}",
        f"fallback: {TOO_LITTLE[recommender.placements[answer.placement].anchor]}" if answer.fallback_used else "",
        f"unknown items: {', '.join(answer.missing_ids)}" if answer.missing_ids else "",
    ]
    show_lines(["; ".join(filter(None, facts))])
    if isinstance(answer.sets, tuple):
        _show_sets(answer.sets, recommender, max_total_price)
        return
    rows = [
        (
            item.rank,
            item.item_id,
            recommender.title(item.item_id),
            item.score,
            item.source,
            "; ".join(reason.text for reason in item.reasons),
        )
        for item in answer.items
    ]
    if rows:
        show_table(("rank", "item", "title", "score", "source", "reasons"), rows)
    else:
        show_lines(["the list is empty: no item is known for it"])


def _show_sets(sets: tuple[ItemSet, ...], recommender: Recommender, max_total_price: float | None) -> None:
    """Show sets, one per row."""
    rows = [
        (
            each.rank,
            ", ".join(item.item_id for item in each.items),
            " + ".join(recommender.title(item.item_id) for item in each.items),
            each.support,
            f"{each.lift:,.1f}",
            None if each.total_price is None else f"{each.total_price:,.2f}",
            "; ".join(reason.text for reason in each.reasons),
        )
        for each in sets
    ]
    if rows:
        show_table(("rank", "items", "titles", "support", "lift", "total price", "reasons"), rows)
    else:
        bound = "" if max_total_price is None else f" that costs at most {max_total_price:g} (--max-total-price)"
        show_lines([f"the list is empty: no set is known for it{bound}"])


def to_plain(answer: Recommendations, seconds: int, recommender: Recommender) -> dict[str, Any]:
    """Return the response as over HTTP, with the titles."""
    plain = msgspec.to_builtins(answer, enc_hook=to_wire)
    for item in (*plain["items"], *(item for each in plain.get("sets", ()) for item in each["items"])):
        item["title"] = recommender.title(item["item_id"])
    return {**plain, "as_of": datetime.fromtimestamp(seconds, UTC).isoformat()}


def _show_push(report: BatchReport, out: Path, subject: Subject) -> None:
    moment = datetime.fromtimestamp(report.as_of, UTC).isoformat()
    details = [
        f"{report.fallbacks:,} got the fallback list",
        f"{report.empty:,} lists are empty",
        f"{report.erased:,} were erased and have no list" if report.erased else "",
        f"{report.kept_shards:,} of {report.shards:,} shards are from an interrupted run" if report.kept_shards else "",
    ]
    show_lines(
        [
            f"{out} is written by {report.model_version}, as of {moment}: {report.items:,} items for "
            f"{report.users:,} {subject}s; {', '.join(filter(None, details))}"
        ]
    )
