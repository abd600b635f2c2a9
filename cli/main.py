"""The `recsys` command: its parts, its exit codes and what it says when something is wrong."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Annotated, Final

import typer

from cli import attribution, bundles, data, evaluate, explain, keys, placements, recommend, serve, store, train, tune
from cli.output import tell
from recsys.core.errors import RecsysError, RequestError

WRONG_CALL: Final = 2
UNEXPECTED: Final = 1

logger = logging.getLogger(__name__)


def build_app() -> typer.Typer:
    """All commands, each module's under the names that it gives them."""
    app = typer.Typer(
        name="recsys",
        help="A recommendation engine that an online shop runs itself.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(_common)
    for family in (data, train, tune, evaluate, serve, recommend, explain, attribution):
        family.register(app)
    app.add_typer(bundles.app(), name="models")
    app.add_typer(placements.app(), name="placements")
    app.add_typer(keys.app(), name="keys")
    app.add_typer(store.app(), name="store")
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and leave with 0 when it is done, 2 when the input or the call is wrong, else 1.

    Args:
        arguments: words after `recsys`; those of the process if not given.
    """
    try:
        build_app()(args=None if arguments is None else list(arguments))
    except RecsysError as error:
        logger.debug("where it came from", exc_info=True)
        tell(f"recsys: {_told(error)}")
        sys.exit(WRONG_CALL)
    except (
        Exception
    ) as error:  # whatever it is, a person reads one line, and the code says that it is no fault of theirs
        logger.debug("where it came from", exc_info=True)
        tell(f"recsys: unexpected {type(error).__name__}: {error} (recsys --debug … says where)")
        sys.exit(UNEXPECTED)


def _common(
    debug: Annotated[
        bool, typer.Option("--debug", envvar="RECSYS_DEBUG", help="Show where an error came from.")
    ] = False,
) -> None:
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO, force=True)
    logger.setLevel(logging.DEBUG if debug else logging.INFO)


def _told(error: RecsysError) -> str:
    return f"{error.field}: {error}" if isinstance(error, RequestError) else str(error)
