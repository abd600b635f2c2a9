"""Output of the commands: tables and JSON on standard output, progress and messages on standard error."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
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


@contextmanager
def count_progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show how many of some things are done, per second, and the time left: as a bar, else as a line per tenth."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain_count(what)
        return
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bars:
        task = bars.add_task(what, total=None, rate="")
        rate = _rates()
        yield lambda done, total: bars.update(task, completed=done, total=total, rate=f"{rate(done):,.0f}/s")


def _plain_count(what: str) -> Callable[[int, int], None]:
    rate, shown = _rates(), [-1.0]

    def tell_count(done: int, total: int) -> None:
        share, per_second = done / max(total, 1), rate(done)
        if share - shown[0] >= PLAIN_STEP or (share == 1 and shown[0] < 1):
            shown[0] = share
            left = f", {per_second:,.0f} per second, {(total - done) / per_second:,.0f} s left" if per_second else ""
            tell(f"{share:4.0%} {done:,} of {total:,} {what}{left}")

    return tell_count


def _rates() -> Callable[[int], float]:
    """Return a function from what is done to the number per second since its first call."""
    first: list[tuple[float, int]] = []

    def rate(done: int) -> float:
        if not first:
            first.append((time.monotonic(), done))
        seconds = time.monotonic() - first[0][0]
        return (done - first[0][1]) / seconds if seconds > 0 else 0.0

    return rate


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
