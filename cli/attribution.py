"""The command that reports what users did with the lists that a server returned."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import AsJson
from cli.output import show_json, show_lines, show_table

if TYPE_CHECKING:
    from recsys.core.metrics import Interval
    from recsys.evaluation.attribution import Attribution

COLUMNS = ("placement", "model", "lists", "impressions", "clicks", "carts", "purchases", "ctr", "conversion", "revenue")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("attribution")(attribution)


def attribution(
    store: Annotated[
        str,
        typer.Option(metavar="FILE", help="The live log of `recsys serve`: a file, or postgresql://user@host/name."),
    ],
    window_days: Annotated[float, typer.Option(help="Days after a list in which an event counts for it.")] = 7.0,
    timezone: Annotated[
        str, typer.Option(help="IANA zone of the shop, where receipt numbers restart every day.")
    ] = "UTC",
    as_json: AsJson = False,
) -> None:
    """Report clicks, carts, purchases and revenue of the lists that were shown, by placement and model."""
    from contextlib import closing

    from recsys.evaluation.attribution import attribution as attribute
    from recsys.eventlog.opening import open_log

    with closing(open_log(store)) as log:
        report = attribute(log, window_days, timezone)
    show_json(asdict(report)) if as_json else _show(report)


def _show(report: Attribution) -> None:
    rows = [
        (
            *(each.placement, each.model_version, each.lists, each.impressions, each.clicks, each.carts),
            *(each.purchases, _share(each.ctr), _share(each.conversion), _money(each.revenue)),
        )
        for each in report.yields
    ]
    if rows:
        show_table(COLUMNS, rows)
    else:
        show_lines(["the live log has no list that was shown"])
    show_lines(
        [
            f"events up to {report.window_days:g} days after a list; {report.late:,} came later, and"
            f" {report.unmatched:,} name a list that is not in the log or did not show the item"
        ]
    )


def _share(interval: Interval) -> str:
    return f"{interval.value:.2%} [{interval.low:.2%}, {interval.high:.2%}]"


def _money(revenue: dict[str, float]) -> str:
    return ", ".join(f"{amount:,.2f} {currency}".strip() for currency, amount in revenue.items())
