"""The command that checks a file of placements against a catalog."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cli.options import DEFAULT_MODELS, AsJson, Models
from cli.output import show_json, show_lines, show_table

if TYPE_CHECKING:
    from recsys.core.placements import Placement
    from recsys.pipeline.recommender import Recommender

COLUMNS: Final = ("placement", "for", "sources", "limit", "rules", "fallback")

File = Annotated[Path, typer.Argument(metavar="FILE", help="TOML file of placements.")]


def app() -> typer.Typer:
    """Build the commands of `recsys placements`."""
    commands = typer.Typer(help="Check a file of placements.", no_args_is_help=True)
    commands.callback()(_family)
    commands.command("check")(check)
    return commands


def _family() -> None:
    """Check a file of placements."""


def check(file: File, models: Models = DEFAULT_MODELS, as_json: AsJson = False) -> None:
    """Check a file as the server does, against the catalog of a bundle, and show its lists.

    Pinned items that are not in the catalog are reported. They are not an error: the next items move up.
    """
    from recsys.pipeline.recommender import Recommender

    recommender = Recommender.open(models, placements=file)
    placements = list(recommender.placements.values())
    unknown = {each.name: missing for each in placements if (missing := _unknown_pins(recommender, each))}
    if as_json:
        rows = [dict(zip(COLUMNS, _row(each), strict=True)) for each in placements]
        pages = {page.name: list(page.placements) for page in recommender.book.pages.values()}
        own = [each.name for each in placements if each.has_own_weights]
        show_json({"placements": rows, "pages": pages, "unknown_pins": unknown, "own_weights": own})
        return
    show_lines([f"{file} is valid for {recommender.version}"])
    show_table(COLUMNS, [_row(each) for each in placements])
    show_lines([f"page {page.name}: {', '.join(page.placements)}" for page in recommender.book.pages.values()])
    show_lines([f"{name} pins unknown items: {', '.join(ids)}" for name, ids in unknown.items()])
    show_lines(
        f"{each.name} has weights of its own: the learned weights and their comparison with simpler orders do not apply"
        for each in placements
        if each.has_own_weights
    )


def _row(placement: Placement) -> tuple[str, str, str, int, str, str]:
    sources = ", ".join(f"{name} {weight:g}" for name, weight in placement.sources.items())
    fallbacks = [*(" + ".join(each.sources) for each in placement.substitutes), placement.fallback]
    return (
        placement.name,
        placement.anchor,
        sources,
        placement.limit,
        _rules(placement),
        " → ".join(filter(None, fallbacks)),
    )


def _rules(placement: Placement) -> str:
    """List the rules of a placement in a few words."""
    values = {
        "filter": placement.filter,
        "boosts": len(placement.boosts),
        "pins": len(placement.pins),
        "promotions": len(placement.promotions),
        "diversity": placement.diversity,
        "max_per_category": placement.max_per_category,
        "tail_share": placement.tail_share,
        "freshness": placement.freshness.boost,
        "seen_days": placement.seen_days,
        "rotation": placement.rotation,
    }
    parts = [f"{name} {value:g}" if isinstance(value, int | float) else name for name, value in values.items() if value]
    return ", ".join(parts)


def _unknown_pins(recommender: Recommender, placement: Placement) -> list[str]:
    return [pin.item_id for pin in placement.pins if not recommender.knows_item(pin.item_id)]
