"""A health check of a folder of tables: what is in it, what is odd, and what it can feed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from recsys.errors import DataError
from recsys.schema import TABLES
from training.symptoms import (
    Baskets,
    Bots,
    Catalogue,
    Clock,
    Days,
    count_head,
    count_kinds,
    count_with_two,
    has_content,
    measure_baskets,
    measure_bots,
    measure_catalogue,
    measure_clock,
    measure_days,
    measure_repeats,
    share,
    with_person,
)
from training.verdicts import Facts, Feed, judge


@dataclass(frozen=True)
class DoctorReport:
    """What was found.

    Attributes:
        timezone: the shop's zone, by which days are told.
        rows: rows by table.
        users: different users in events.
        visitors: different visitors in events.
        items: different items in events.
        kinds: events by name, most frequent first.
        days: events by local day.
        catalogue: how the tables fit together.
        clock: skew and future times.
        bots: suspected ids.
        baskets: baskets by size.
        repeat_share: share of purchases of an item that the person had bought before, in [0, 1].
        duplicates: rows that the ingest left out because another says the same.
        rejects: all rows that the ingest left out, by table and reason.
        feeds: what the data can feed.
    """

    timezone: str
    rows: dict[str, int]
    users: int
    visitors: int
    items: int
    kinds: dict[str, int]
    days: Days
    catalogue: Catalogue
    clock: Clock
    bots: Bots
    baskets: Baskets
    repeat_share: float
    duplicates: int
    rejects: dict[str, dict[str, int]]
    feeds: tuple[Feed, ...]

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON values; days are ISO texts."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str))
        return plain


def examine(data_dir: Path, now: datetime | None = None) -> DoctorReport:
    """Examine a folder that `ingest` wrote.

    Args:
        data_dir: the folder of tables.
        now: aware; events later than this count as future. None counts none.

    Returns:
        The report; a folder of items alone has nothing in its events.

    Raises:
        DataError: there is no such folder, or a table in it cannot be read.
    """
    timezone = str(_json_file(data_dir / "dataset.json").get("timezone", "UTC"))
    tables = {name: _table(data_dir, name) for name in TABLES}
    events, items = tables["events"], tables["items"]
    report = data_dir / "report.json"
    ingested = _json_file(report) if report.exists() else {}
    who = with_person(events)
    days, baskets, repeat_share = (
        measure_days(events, timezone),
        measure_baskets(events),
        measure_repeats(who),
    )
    return DoctorReport(
        timezone=timezone,
        rows={name: frame.height for name, frame in tables.items() if _path(data_dir, name).exists()},
        users=events["user_id"].drop_nulls().n_unique(),
        visitors=events["visitor_id"].drop_nulls().n_unique(),
        items=events["item_id"].n_unique(),
        kinds=count_kinds(events),
        days=days,
        catalogue=measure_catalogue(events, items, tables["users"]),
        clock=measure_clock(events, now),
        bots=measure_bots(who, timezone),
        baskets=baskets,
        repeat_share=repeat_share,
        duplicates=sum(table.get("duplicates", 0) for table in ingested.values()),
        rejects={name: table["reasons"] for name, table in ingested.items() if table.get("reasons")},
        feeds=judge(_facts(events, items, who, days, baskets, repeat_share)),
    )


def _facts(
    events: pl.DataFrame,
    items: pl.DataFrame,
    who: pl.DataFrame,
    days: Days,
    baskets: Baskets,
    repeat_share: float,
) -> Facts:
    return Facts(
        events=events.height,
        purchases=int((events["event"] == "purchase").sum()),
        learners=count_with_two(who, "person", "item_id"),
        shared_items=count_with_two(who, "item_id", "person"),
        items=events["item_id"].n_unique(),
        catalogue=items.height,
        described=items.filter(has_content()).height,
        categorised=items.filter(pl.col("category").list.len() > 0).height,
        pair_baskets=baskets.pairs,
        repeat_share=repeat_share,
        finer_than_day=days.finer,
        head_items=count_head(events),
    )


def _json_file(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path.parent} holds no {path.name}; write the folder with `recsys ingest`") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); write the folder again with `recsys ingest`") from None
    if not isinstance(value, dict):
        raise DataError(f"{path} holds no object; write the folder again with `recsys ingest`")
    return value


def _path(data_dir: Path, name: str) -> Path:
    return data_dir / f"{name}.parquet"


def _table(data_dir: Path, name: str) -> pl.DataFrame:
    """The canonical columns of a table; no rows where the folder has none of that name."""
    path = _path(data_dir, name)
    if not path.exists():
        return pl.DataFrame(schema=TABLES[name])
    try:
        return pl.read_parquet(path, columns=list(TABLES[name]), glob=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        first = (str(error).splitlines() or [""])[0]
        raise DataError(f"{path} cannot be read ({first}); write the folder again with `recsys ingest`") from None


def render(report: DoctorReport) -> str:
    """The report for people: plain text in sections, one finding a line.

    Args:
        report: what `examine` found.

    Returns:
        Text that ends without a line break.
    """
    sections = {
        "What is there": _render_contents(report),
        "Days": _render_days(report),
        "What is odd": _render_oddities(report),
        "Left out by the ingest": _render_rejects(report),
        "What it can feed": [
            f"{feed.verdict:<4}  {', '.join(feed.lists)} ({feed.model}): {feed.why}" for feed in report.feeds
        ],
    }
    return "\n\n".join("\n".join([title, *(f"  {line}" for line in lines)]) for title, lines in sections.items())


def _render_contents(report: DoctorReport) -> list[str]:
    lines = [f"{name}: {count:,} rows" for name, count in report.rows.items()]
    lines.append(f"{report.users:,} users, {report.visitors:,} visitors and {report.items:,} items in events")
    lines += [f"{kind}: {count:,} events" for kind, count in report.kinds.items()]
    baskets = report.baskets
    if baskets.count:
        lines.append(f"{baskets.count:,} baskets, {baskets.single_share:.1%} of them of one item")
    lines.append(f"{report.repeat_share:.1%} of purchases are of an item that the person had bought before")
    return lines


def _render_days(report: DoctorReport) -> list[str]:
    days = report.days
    if days.first is None:
        return ["no event"]
    fine = "times of day are known" if days.finer else "dates only, no times of day"
    lines = [
        f"{days.first} to {days.last} ({report.timezone}); {fine}",
        f"{days.active:,} days with events, {days.silent:,} without; the median day has {days.median:,.0f}",
        f"busiest: {days.busiest} with {days.most:,}",
    ]
    return lines + [f"silent: {first} to {last}" for first, last in days.gaps]


def _render_oddities(report: DoctorReport) -> list[str]:
    catalogue, clock, bots = report.catalogue, report.clock, report.bots
    findings = (
        (catalogue.without_content, f"{catalogue.without_content:.1%} of the items have no content"),
        (
            catalogue.orphan_items,
            f"{catalogue.orphan_items:,} items of events are not in the items table "
            f"({share(catalogue.orphan_events, report.rows.get('events', 0)):.1%} of the events)",
        ),
        (catalogue.orphan_users, f"{catalogue.orphan_users:,} users of events are not in the users table"),
        (catalogue.never_bought, f"{catalogue.never_bought:,} items of the catalogue were never bought"),
        (clock.known, f"events arrive {clock.median_s:,.1f} s late (99 %: {clock.p99_s:,.1f} s)"),
        (clock.early, f"{clock.early:,} events were received before they happened: a clock is wrong"),
        (clock.future, f"{clock.future:,} events are in the future"),
        (bots.suspects, f"{bots.suspects:,} ids look like bots ({bots.events:,} events)"),
    )
    lines = [line for found, line in findings if found]
    lines += [f"suspected bot: {name}, {rate:,.0f} events a day" for name, rate in bots.busiest]
    return lines or ["nothing"]


def _render_rejects(report: DoctorReport) -> list[str]:
    lines = [
        f"{table}: {count:,} rows: {reason}"
        for table, reasons in report.rejects.items()
        for reason, count in reasons.items()
    ]
    return lines or ["nothing"]
