"""The command that estimates what a shop needs."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import AsJson
from cli.output import show_json, show_table, tell
from recsys.core.errors import ConfigError

COLUMNS = ("part", "what", "estimate", "basis", "note")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("size")(size)


def size(
    events: Annotated[str, typer.Option(help="Events that a training reads, such as 5e7.")],
    items: Annotated[str, typer.Option(help="Items of the catalog.")],
    users: Annotated[str, typer.Option(help="Users with events.")],
    qps: Annotated[float, typer.Option(min=0, help="Lists per second at the busiest time.")] = 50.0,
    personal: Annotated[float, typer.Option(min=0, max=1, help="Share of the lists that are for a user.")] = 0.5,
    events_per_day: Annotated[str, typer.Option(help="New events per day.", show_default="events / 365")] = "",
    trainings_per_day: Annotated[float, typer.Option(min=0, help="Trainings per day.")] = 1.0,
    core_hour: Annotated[float, typer.Option(min=0, help="Price of a core for an hour.")] = 0.0,
    gb_hour: Annotated[float, typer.Option(min=0, help="Price of a GB of memory for an hour.")] = 0.0,
    disk_gb_month: Annotated[float, typer.Option(min=0, help="Price of a GB of disk for a month.")] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Estimate the processors, memory, disk and price of a shop, by measured costs; says what is extrapolated."""
    from training.sizing.costs import measured_costs
    from training.sizing.estimate import Prices, Shop, as_rows, estimates, measured_text

    shop = Shop(
        _number("--events", events),
        _number("--items", items),
        _number("--users", users),
        qps,
        personal,
        _number("--events-per-day", events_per_day) if events_per_day else None,
        trainings_per_day,
    )
    costs = measured_costs()
    found = estimates(shop, costs, Prices(core_hour, gb_hour, disk_gb_month))
    if as_json:
        show_json(as_rows(found))
        return
    show_table(
        COLUMNS,
        [
            (e.part, e.what, f"{e.value:,.3g}" if e.value < 1e4 else f"{e.value:,.0f}", measured_text(e.beyond), e.note)
            for e in found
        ],
    )
    tell(f"costs were measured on {costs.machine}; a faster machine needs less")


def _number(name: str, text: str) -> float:
    """Read a number of things, which may be written as `5e7` or `50_000_000`.

    Raises:
        ConfigError: it is none, or below 1.
    """
    try:
        value = float(text.replace(",", ""))
    except ValueError:
        value = 0.0
    if not 1 <= value <= 1e12:
        raise ConfigError(f"{name} is {text!r}, expected a number from 1 to 1e12, such as 5e7")
    return value
