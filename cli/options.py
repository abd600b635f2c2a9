"""Options that several commands share, and the parsers of their values."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import typer

from recsys.core.errors import ConfigError
from recsys.core.timestamps import EARLIEST, LATEST, parse_iso

Models = Annotated[Path, typer.Option("--models", help="Folder of bundles.")]
Data = Annotated[Path, typer.Option("--data", help="Folder of tables, as `recsys ingest` writes it.")]
LiveLogBeside = Annotated[
    str | None,
    typer.Option(
        "--live-log",
        metavar="FILE",
        help="The live log, with what has changed since the training: a file, or postgresql://user@host/name.",
        show_default="store.sqlite in the folder of bundles, if there is one",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON instead of tables.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="TOML file of settings.")]

Region = Annotated[str | None, typer.Option(metavar="NAME", help="Region of the request, for offers and filters.")]
Store = Annotated[str | None, typer.Option(metavar="NAME", help="Store of the request.")]
Channel = Annotated[str | None, typer.Option(metavar="NAME", help="Channel of the request.")]

Visitor = Annotated[
    str | None, typer.Option("--visitor", metavar="ID", help="Visitor of the list, where there is no user.")
]
Session = Annotated[
    str | None, typer.Option("--session", metavar="ID", help="Session of the list, where there is neither.")
]
FilterText = Annotated[
    str | None, typer.Option("--filter", metavar="CONDITION", help="Items that may be listed, such as 'price < 20'.")
]
DEFAULT_MODELS = Path("models")

AGE_UNITS: Final = {"d": "days", "h": "hours"}
MAX_AGE: Final = timedelta(days=18_250)


def parse_moment(text: str, option: str) -> datetime:
    """Parse an aware moment in RFC 3339, from `EARLIEST` on and before `LATEST`.

    Raises:
        ConfigError: with the name of the option.
    """
    try:
        moment = parse_iso(text)
    except ValueError as error:
        raise ConfigError(f"{option} is {text!r}, {error}") from None
    if not EARLIEST <= moment < LATEST:
        raise ConfigError(f"{option} is {text!r}, expected a time from 1970 to {LATEST.year - 1}, by UTC")
    return moment


def parse_age(text: str, option: str) -> timedelta:
    """Parse an age such as `400d` (days) or `36h` (hours), up to `MAX_AGE`.

    Raises:
        ConfigError: with the name of the option.
    """
    found = re.fullmatch(r"(\d{1,6}(?:\.\d{1,9})?)([dh])", text)
    age = timedelta(**{AGE_UNITS[found[2]]: float(found[1])}) if found else None
    if age is None or age > MAX_AGE:
        raise ConfigError(f"{option} is {text!r}, expected days or hours, at most {MAX_AGE.days}d: 400d or 36h")
    return age


def context_of(region: str | None, store: str | None, channel: str | None) -> dict[str, str]:
    """Build the `context` of a request from the options that are set.

    Raises:
        ConfigError: with the name of the option that is empty.
    """
    named = {"region": region, "store": store, "channel": channel}
    for key, name in named.items():
        if name is not None and not name.strip():
            raise ConfigError(f"--{key} is {name!r}, expected a name")
    return {key: name for key, name in named.items() if name is not None}


def check_ids(**ids: str | None) -> None:
    """Refuse blank ids, by the name of their options.

    Raises:
        ConfigError: with the name of the option.
    """
    for option, value in ids.items():
        if value is not None and not value.strip():
            raise ConfigError(f"--{option} is {value!r}, expected the id of a {option}")


def wall_clock() -> datetime:
    """Return the present moment; only commands read the clock."""
    return datetime.now(UTC)
