"""The pages of the growth reports: their parts, and how they are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from importlib import resources
from pathlib import Path
from typing import Final

from recsys.core.files import atomic_write
from training.extras import require_extra
from training.growth.alerts import Alert
from training.growth.reports import ShopFacts
from training.report.words import Words

GROWTH_TEMPLATE: Final = "growth.html.jinja"


@dataclass(frozen=True)
class Tile:
    """A figure at the top of a page."""

    name: str
    value: str
    note: str = ""
    is_alert: bool = False


@dataclass(frozen=True)
class Grid:
    """A table below a drawing; the first column has names."""

    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Section:
    """A part of a page: a title that states the finding, a drawing, and what it shows."""

    name: str
    title: str
    svg: str
    caption: str
    table: Grid = Grid()
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class ShownAlert:
    """An alert in the words of a page."""

    message: str
    remedy: str
    since: str


@dataclass(frozen=True)
class Page:
    """What a page shows, in this order."""

    title: str
    subtitle: str
    window: str
    tiles: tuple[Tile, ...]
    alerts_title: str
    alerts: tuple[ShownAlert, ...]
    sections: tuple[Section, ...]
    missing_title: str
    missing: tuple[str, ...]
    definitions_title: str
    definitions: tuple[str, ...]


def require_pages() -> None:
    """Check that a page can be written.

    Raises:
        ConfigError: a package of the extra is not installed.
    """
    require_extra("report", "jinja2")


def write_page(page: Page, words: Words, path: Path) -> None:
    """Write a page as one file that loads no other; equal figures give equal bytes.

    Raises:
        ConfigError: a package of the extra is not installed.
        OSError: the file cannot be written.
    """
    require_pages()
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    source = resources.files(__package__).joinpath(GROWTH_TEMPLATE).read_text(encoding="utf-8")
    atomic_write(path, environment.from_string(source).render(page=page, language=words.language) + "\n")


def page_of(
    title: str,
    words: Words,
    facts: ShopFacts,
    alerts: Sequence[Alert],
    *,
    tiles: Sequence[Tile],
    sections: Sequence[Section],
    missing: Sequence[str],
    definitions: Sequence[str],
) -> Page:
    """Put the parts of a page together."""
    observed, window = facts.observed, facts.window
    shown = tuple(_alert(alert, words) for alert in alerts)
    count = {0: words("alerts_none"), 1: words("alerts_one")}.get(len(shown), words("alerts_some", n=len(shown)))
    return Page(
        title=words(title),
        subtitle=words(
            "subtitle",
            first=words.day(observed.first),
            last=words.day(last_day(observed.end)),
            zone=facts.timezone,
            people=f"{facts.n_people:,}",
        ),
        window=words(
            "window_line", days=window.n_days, first=words.day(window.first), last=words.day(last_day(window.end))
        ),
        tiles=tuple(tiles),
        alerts_title=count,
        alerts=shown,
        sections=tuple(sections),
        missing_title=words("missing"),
        missing=tuple(missing),
        definitions_title=words("definitions"),
        definitions=tuple(definitions),
    )


def _alert(alert: Alert, words: Words) -> ShownAlert:
    message, remedy = words.alert(alert)
    return ShownAlert(message, remedy, words("since", day=words.day(alert.since)))


def last_day(end: date) -> date:
    """Return the day before the end of a span."""
    return end - timedelta(days=1)
