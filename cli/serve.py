"""The command that serves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.output import tell
from serving.runtime.settings import load_settings
from serving.server import Ready, run


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("serve")(serve)


def serve(
    models: Annotated[Path | None, typer.Option(help="Folder of the bundles.", show_default="models")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.", show_default="8000")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that answer.", show_default="1")] = None,
    clock: Annotated[
        str | None,
        typer.Option(help="wall: today; data: starts at the end of the data and runs on.", show_default="wall"),
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(help="File of the live log.", show_default="store.sqlite in the folder of the bundles"),
    ] = None,
    placements: Annotated[
        Path | None,
        typer.Option(
            help="TOML file of the shop's lists; read again when it changes.", show_default="what is built in"
        ),
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option(help="File of the callers' keys, as `recsys keys create` writes it.", show_default="no keys"),
    ] = None,
) -> None:
    """Answer over HTTP until Ctrl-C; newer bundles are taken up without a pause.

    What is not given comes from the environment: RECSYS_MODELS, RECSYS_PORT and so on.
    """
    given = {"models": models, "host": host, "port": port, "workers": workers, "clock": clock}
    run(load_settings(**given, store=store, placements=placements, keys=keys), _announce)


def _announce(ready: Ready) -> None:
    tell(f"\n{ready.model_version} is being served on {ready.url}; Ctrl-C stops it.{' Try:' * bool(ready.examples)}\n")
    for url in ready.examples:
        tell(f"  curl '{url}'")
    tell("")
