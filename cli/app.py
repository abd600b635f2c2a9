"""The parts of the `recsys` command, its exit codes and error messages."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Annotated, Final

import typer

import recsys
from cli import (
    attribution,
    bundles,
    data,
    documents,
    evaluate,
    experiments,
    explain,
    item_sets,
    keys,
    placements,
    plan,
    recommend,
    report,
    segments,
    serve,
    shops,
    size,
    state,
    store,
    train,
    tune,
)
from cli.output import show_lines, tell
from recsys.core.errors import RecsysError, RequestError

WRONG_CALL: Final = 2
UNEXPECTED: Final = 1
INFORMATIVE: Final = ("cli", "recsys", "serving", "training", "uvicorn")
"""Loggers whose messages of level INFO are for people; those of other libraries are shown from WARNING on."""

logger = logging.getLogger(__name__)


def build_app() -> typer.Typer:
    """Build the app with all commands."""
    app = typer.Typer(
        name="recsys",
        help="A recommendation engine that an online shop runs itself.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_common)
    for family in (data, train, tune, evaluate, serve, recommend, item_sets, explain, segments, attribution, size):
        family.register(app)
    app.add_typer(report.app(), name="report")
    app.add_typer(bundles.app(), name="models")
    app.add_typer(placements.app(), name="placements")
    app.add_typer(plan.app(), name="push")
    app.add_typer(experiments.app(), name="experiments")
    app.add_typer(keys.app(), name="keys")
    app.add_typer(store.app(), name="store")
    app.add_typer(state.app(), name="state")
    app.add_typer(shops.app(), name="shops")
    return app


def run(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with 0 for success, 2 for a wrong input or call, 1 for any other error.

    Args:
        arguments: words after `recsys`; None for those of the process.
    """
    try:
        with documents.OPENED:
            build_app()(args=None if arguments is None else list(arguments))
    except RecsysError as error:
        logger.debug("traceback", exc_info=True)
        tell(f"recsys: {_message(error)}")
        sys.exit(WRONG_CALL)
    except Exception as error:  # one line for people; the exit code says that the call was not the cause
        logger.debug("traceback", exc_info=True)
        tell(f"recsys: unexpected {type(error).__name__}: {error} (`recsys --debug …` shows the traceback)")
        sys.exit(UNEXPECTED)


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        show_lines([f"recsys {recsys.__version__}"])
        raise typer.Exit


def _common(
    debug: Annotated[
        bool, typer.Option("--debug", envvar="RECSYS_DEBUG", help="Show the traceback of an error.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.WARNING, force=True)
    for name in INFORMATIVE:
        logging.getLogger(name).setLevel(logging.INFO)
    logger.setLevel(logging.DEBUG if debug else logging.INFO)


def _message(error: RecsysError) -> str:
    text = str(error)
    if isinstance(error, RequestError) and not text.startswith(error.field):
        return f"{error.field}: {text}"
    return text
