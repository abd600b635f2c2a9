"""What the commands say: tables and JSON on standard output, progress and messages on standard error."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from training.ingest.ingest import Progress as OnProgress

PIPED_WIDTH: Final = 500
"""Columns of a table that goes to a file or another program."""

PLAIN_STEP: Final = 0.1
"""Share of a stage after which a line is written where there is no terminal to draw a bar on."""


def show_json(value: Any) -> None:
    """Write plain values as JSON."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> None:
    """Write rows under a header; numbers stand to the right, None is left blank."""
    kept = [list(row) for row in rows]
    table = Table(title=title, title_justify="left", header_style="bold", pad_edge=False, box=None)
    for place, column in enumerate(columns):
        is_number = any(isinstance(row[place], int | float) for row in kept)
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
    """A bar on a terminal, else a line a stage."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task("starting", total=1.0)
        yield lambda stage, share: bars.update(task, description=stage, completed=share)


def _plain() -> OnProgress:
    told: dict[str, float] = {}

    def tell_stage(stage: str, share: float) -> None:
        if stage not in told or share - told[stage] >= PLAIN_STEP:
            told[stage] = share
            tell(f"{share:4.0%} {stage}")

    return tell_stage


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PIPED_WIDTH)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
