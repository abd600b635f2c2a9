"""Output of the commands: tables and JSON on standard output, progress and messages on standard error."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import typer

from recsys.core.progress import Progress as OnProgress

if TYPE_CHECKING:
    from rich.console import Console

PIPED_WIDTH: Final = 500
"""Width in characters of a table that is written to a file or a pipe."""

PLAIN_STEP: Final = 0.1
"""Progress between two lines, where there is no terminal for a progress bar."""


def show_json(value: Any) -> None:
    """Write plain values as JSON."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> None:
    """Write rows under a header; numbers are right-aligned, None is blank."""
    from rich.table import Table

    kept = [list(row) for row in rows]
    table = Table(title=title, title_justify="left", header_style="bold", pad_edge=False, box=None)
    for position, column in enumerate(columns):
        is_number = any(isinstance(row[position], int | float) for row in kept)
        table.add_column(column, justify="right" if is_number else "left", overflow="fold")
    for row in kept:
        table.add_row(*(_cell(value) for value in row))
    _console().print(table, markup=False)


def show_lines(lines: Iterable[str]) -> None:
    """Write lines of text as they are."""
    for line in lines:
        typer.echo(line)


def tell(message: str) -> None:
    """Write a message for people to standard error."""
    typer.echo(message, err=True)


@contextmanager
def progress() -> Iterator[OnProgress]:
    """Show progress as a bar on a terminal, else as one line per stage."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task("starting", total=1.0)
        yield lambda stage, share=0.0: bars.update(task, description=stage, completed=share)


def _plain() -> OnProgress:
    shown: dict[str, float] = {}

    def tell_stage(stage: str, share: float = 0.0) -> None:
        if stage not in shown or share - shown[stage] >= PLAIN_STEP:
            shown[stage] = share
            tell(f"{share:4.0%} {stage}")

    return tell_stage


def _console() -> Console:
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PIPED_WIDTH)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
