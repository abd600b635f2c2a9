"""The command that searches for better settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import AsJson, ConfigFile, Data
from cli.output import progress, show_json, show_lines, show_table
from recsys.core.errors import ConfigError
from training.choices import DEFAULT_GATE_METRIC, DEFAULT_HOLDOUT_DAYS, GATE_METRIC_NAMES

if TYPE_CHECKING:
    from training.tune import Setting, TuneReport


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("tune")(tune)


def tune(
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="Write the settings here, as TOML for `recsys train --config`.")],
    config: ConfigFile = None,
    metric: Annotated[str, typer.Option(help=f"What decides: {', '.join(GATE_METRIC_NAMES)}.")] = DEFAULT_GATE_METRIC,
    minutes: Annotated[float, typer.Option(help="Minutes after which no trial starts.")] = 60.0,
    trials: Annotated[int | None, typer.Option(help="Trials after which none starts.")] = None,
    study: Annotated[Path | None, typer.Option(help="File of the search, to continue it later.")] = None,
    settings: Annotated[
        str | None,
        typer.Option(help="Settings with commas between: a known name, or name=low:high.", show_default="all known"),
    ] = None,
    holdout_days: Annotated[int, typer.Option(help="Length of the tuning window, in days.")] = DEFAULT_HOLDOUT_DAYS,
    seed: Annotated[int, typer.Option(help="Seed of the search.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Search for settings on the tuning window and write the best as a file for `recsys train`."""
    from training.config import read_config
    from training.tune import SPACE
    from training.tune import tune as run

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
    """Parse the settings to search: `name` or `name=low:high`, with commas between."""
    from training.tune import SPACE, Setting

    found = {}
    for part in text.split(","):
        name, _, span = (piece.strip() for piece in part.partition("="))
        if not span:
            if name not in SPACE:
                raise ConfigError(f"--settings: {name!r} has no default range: write {name}=low:high")
            found[name] = SPACE[name]
            continue
        try:
            low, high = (int(end) if end.strip().isdigit() else float(end) for end in span.split(":"))
        except ValueError:
            raise ConfigError(f"--settings: {part.strip()!r} is not a range, expected {name}=low:high") from None
        found[name] = Setting(low, high, log=low > 0)
    return found


def _show(report: TuneReport, out: Path) -> None:
    show_table(("setting", "best"), [(name, f"{value:.4g}") for name, value in report.changed.items()])
    base, best, change = report.base, report.best, report.difference
    show_lines(
        [
            f"{report.metric}: {best.value:.4f}, before {base.value:.4f}; difference {change.value:+.4f} "
            f"[{change.low:+.4f}, {change.high:+.4f}], {report.n_trials} trials, {report.n_failed} failed",
            f"{out}: "
            + ("the best settings" if report.is_better else "the original settings; no trial is significantly better"),
        ]
    )
