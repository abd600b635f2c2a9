"""The command that looks for better settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import AsJson, ConfigFile, Data
from cli.output import progress, show_json, show_lines, show_table
from recsys.core.errors import ConfigError
from training.config import read_config
from training.gate import GATE_METRICS
from training.tune import SPACE, Setting, TuneReport
from training.tune import tune as run


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("tune")(tune)


def tune(
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="Write the settings here, a TOML that `train --config` takes.")],
    config: ConfigFile = None,
    metric: Annotated[str, typer.Option(help=f"What decides: {', '.join(GATE_METRICS)}.")] = "next_basket.recall@10",
    minutes: Annotated[float, typer.Option(help="Time after which no further trial begins.")] = 60.0,
    trials: Annotated[int | None, typer.Option(help="Trials after which none begins.")] = None,
    study: Annotated[Path | None, typer.Option(help="File that keeps the search, to go on with later.")] = None,
    settings: Annotated[
        str | None,
        typer.Option(help="Which, by comma: a known name, or name=low:high. All known if not given."),
    ] = None,
    holdout_days: Annotated[int, typer.Option(help="Length of the tuning window, in days.")] = 28,
    seed: Annotated[int, typer.Option(help="Of the search.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Search for settings on the tuning window, and write the best as a file for `recsys train`."""
    for path in (out, study):
        if path is not None and not path.absolute().parent.is_dir():
            raise ConfigError(f"{path} cannot be written: its folder does not exist")
    with progress() as on_progress:
        report = run(
            data,
            read_config(config).engine,
            metric=metric,
            holdout_days=holdout_days,
            settings=SPACE if settings is None else parse_settings(settings),
            minutes=minutes,
            trials=trials,
            study_file=study,
            seed=seed,
            progress=on_progress,
        )
    out.write_text(report.toml(), encoding="utf-8")
    show_json(report.to_dict()) if as_json else _show(report, out)


def parse_settings(text: str) -> dict[str, Setting]:
    """Settings to look for, from `name` or `name=low:high`, by comma."""
    found = {}
    for part in text.split(","):
        name, _, span = (piece.strip() for piece in part.partition("="))
        if not span:
            if name not in SPACE:
                raise ConfigError(f"--settings: {name!r} has no range of its own: write {name}=low:high")
            found[name] = SPACE[name]
            continue
        try:
            low, high = (int(end) if end.strip().isdigit() else float(end) for end in span.split(":"))
        except ValueError:
            raise ConfigError(f"--settings: {part.strip()!r} is no range, expected {name}=low:high") from None
        found[name] = Setting(low, high, log=low > 0)
    return found


def _show(report: TuneReport, out: Path) -> None:
    show_table(("setting", "best"), [(name, f"{value:.4g}") for name, value in report.changed.items()])
    base, best, less = report.base, report.best, report.difference
    show_lines(
        [
            f"{report.metric}: {best.value:.4f}, before {base.value:.4f}; difference {less.value:+.4f} "
            f"[{less.low:+.4f}, {less.high:+.4f}], {report.n_trials} trials, {report.n_failed} failed",
            f"{out}: "
            + ("the best settings" if report.is_better else "the settings before; none is better clear of zero"),
        ]
    )
