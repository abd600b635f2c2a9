"""The command that checks a file of placements against a catalog."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cli.options import DEFAULT_MODELS, AsJson, Models
from cli.output import show_json, show_lines, show_table

if TYPE_CHECKING:
    from recsys.core.placements import Placement

COLUMNS: Final = ("placement", "for", "sources", "order", "limit", "rules", "fallback")

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

    What each filter, promotion and pin keeps is reported. Nothing kept is not an error: pinned items that may not be
    listed are replaced by the next ones.
    """
    from recsys.drafts.check import effects_of, order_of
    from recsys.pipeline.recommender import Recommender
    from recsys.rules.rule_effects import UNKNOWN_ITEM, own_weights

    recommender = Recommender.open(models, placements=file)
    placements = list(recommender.placements.values())
    engine, latest = recommender.current, recommender.latest
    effects = [effect for each in placements for effect in effects_of(each, engine, latest)]
    own, orders = own_weights(placements), {each.name: order_of(each, engine) for each in placements}
    if as_json:
        rows = [dict(zip(COLUMNS, _row(each, orders[each.name]), strict=True)) | _values(each) for each in placements]
        pages = {page.name: list(page.placements) for page in recommender.book.pages.values()}
        unknown: dict[str, list[str]] = {}
        for effect in effects:
            if effect.why == UNKNOWN_ITEM:
                unknown.setdefault(effect.placement, []).append(effect.subject)
        rules = [asdict(effect) for effect in effects]
        show_json(
            {"placements": rows, "pages": pages, "rules": rules, "unknown_pins": unknown, "own_weights": list(own)}
        )
        return
    show_lines([f"{file} is valid for {recommender.version}"])
    show_table(COLUMNS, [_row(each, orders[each.name]) for each in placements])
    show_lines([f"page {page.name}: {', '.join(page.placements)}" for page in recommender.book.pages.values()])
    show_lines(effect.sentence() for effect in effects)
    show_lines(own.values())


def _values(placement: Placement) -> dict[str, bool | float | str]:
    return {"rests": placement.rests, "new_share": placement.new_share, "blend": placement.blend}


def _row(placement: Placement, order: str) -> tuple[str, str, str, str, int, str, str]:
    sources = ", ".join(f"{name} {weight:g}" for name, weight in placement.sources.items())
    fallbacks = [*(" + ".join(each.sources) for each in placement.substitutes), placement.fallback]
    return (
        placement.name,
        placement.anchor,
        sources,
        order,
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
        "rests": placement.rests,
        "new_share": placement.new_share,
        "blend": placement.blend,
    }
    return ", ".join(_rule(name, value) for name, value in values.items() if value)


def _rule(name: str, value: object) -> str:
    if value is True or name == "filter":
        return name
    return f"{name} {value:g}" if isinstance(value, int | float) else f"{name} {value}"
