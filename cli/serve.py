"""The command that runs the server."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import tell

if TYPE_CHECKING:
    from serving.server import Ready


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("serve")(serve)


def serve(
    models: Annotated[Path | None, typer.Option(help="Folder of bundles.", show_default="models")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.", show_default="8000")] = None,
    workers: Annotated[int | None, typer.Option(help="Number of worker processes.", show_default="1")] = None,
    clock: Annotated[
        str | None,
        typer.Option(help="wall: the present; data: starts at the end of the data.", show_default="wall"),
    ] = None,
    shops: Annotated[
        Path | None,
        typer.Option(help="Folder with a folder for each of many shops.", show_default="one shop"),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="The live log: a file, or postgresql://user@host/name.",
            show_default="store.sqlite in the folder of bundles",
        ),
    ] = None,
    state: Annotated[
        str | None,
        typer.Option(
            help="Where keys, placements and experiments are: files, or database, that of the live log.",
            show_default="files",
        ),
    ] = None,
    placements: Annotated[
        Path | None,
        typer.Option(
            help="TOML file of the shop's lists, read again when it changes.",
            show_default="placements.toml in the folder of bundles, else the built-in lists",
        ),
    ] = None,
    experiments: Annotated[
        Path | None,
        typer.Option(help="TOML file of experiments; see `recsys experiments`.", show_default="no experiments"),
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option(help="File of API keys, as `recsys keys create` writes it.", show_default="no keys"),
    ] = None,
    allowed_origins: Annotated[
        str | None,
        typer.Option(help="Origins whose pages may call the API, separated by commas.", show_default="none"),
    ] = None,
    demo_shop: Annotated[
        bool | None,
        typer.Option("--demo-shop", help="Serve a small shop made of the catalog at /demo-shop.", show_default="no"),
    ] = None,
) -> None:
    """Serve over HTTP until Ctrl-C; newer bundles are loaded without a pause.

    Each option is also an environment variable: RECSYS_MODELS, RECSYS_PORT and so on.
    """
    from recsys.bundles.registry import versions
    from serving.runtime.settings import load_settings
    from serving.server import run

    given = {"models": models, "host": host, "port": port, "workers": workers, "clock": clock}
    files = {
        "shops": shops,
        "store": store,
        "state": state,
        "placements": placements,
        "experiments": experiments,
        "keys": keys,
    }
    settings = load_settings(**given, **files, allowed_origins=allowed_origins, demo_shop=demo_shop)
    if settings.shops is not None:
        tell(f"the shops of {settings.shops} are served on http://{settings.host}:{settings.port}; Ctrl-C stops it")
    elif settings.models.is_dir() and not versions(settings.models):
        tell(
            f"there is no bundle in {settings.models} yet: calls are answered with 503 until"
            f" `recsys train --models {settings.models}` has made one"
        )
    run(settings, partial(_announce, pages=("/demo-shop",) if settings.demo_shop else ()))


def _announce(ready: Ready, pages: Sequence[str] = ()) -> None:
    tell(f"\n{ready.model_version} is served on {ready.url}; Ctrl-C stops it.{' Try:' * bool(ready.examples)}\n")
    for url in ready.examples:
        tell(f"  curl '{url}'")
    for page in pages:
        tell(f"  open {ready.url}{page} in a browser")
    tell("")
