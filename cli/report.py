"""The commands that report growth: `recsys report retention` and `recsys report growth`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, cast

import typer

from cli.documents import PlacementFile
from cli.options import ConfigFile, Data
from cli.output import progress, show_lines
from recsys.core.errors import ConfigError

if TYPE_CHECKING:
    from datetime import date

    from training.growth.reports import GrowthReport, RetentionReport
    from training.report.growth_page import Page
    from training.report.words import Language, Words

LANGUAGE_NAMES: Final = ("en", "zh")

ModelsOfReport = Annotated[
    Path | None, typer.Option("--models", help="Folder of bundles, for the segments, the head and the placements.")
]
Out = Annotated[Path | None, typer.Option("--out", help="Write the report as one HTML page; needs the extra `report`.")]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write the figures as JSON.")]
Alerts = Annotated[
    Path | None, typer.Option("--alerts", help="Append one line of JSON per alert, for the webhooks of a monitor.")
]
ChosenLanguage = Annotated[str, typer.Option("--language", help="en or zh.")]
Until = Annotated[
    str | None,
    typer.Option("--until", metavar="DAY", help="The last complete day.", show_default="found in the data"),
]
Log = Annotated[
    str | None,
    typer.Option("--log", metavar="FILE", help="The live log of `recsys serve`, for what lists showed and sold."),
]


def app() -> typer.Typer:
    """Build the commands of `recsys report`."""
    commands = typer.Typer(help="Report growth: funnels, retention, revenue, lists.", no_args_is_help=True)
    commands.command("retention")(retention)
    commands.command("growth")(growth)
    return commands


def retention(
    data: Data,
    models: ModelsOfReport = None,
    out: Out = None,
    json_file: JsonFile = None,
    alerts: Alerts = None,
    language: ChosenLanguage = "en",
    until: Until = None,
    config: ConfigFile = None,
) -> None:
    """Report who comes back: cohorts, repurchase, churn."""
    from training.config import read_config
    from training.growth.reports import retention_report
    from training.report.retention_page import retention_page

    words = _words(language)
    _check(out, json_file, alerts)
    settings, last = read_config(config).report, _day(until)
    with progress() as on_progress:
        report = retention_report(data, settings, models=models, until=last, progress=on_progress)
    page = retention_page(report, words)
    show_lines([f"- {section.title}" for section in page.sections])
    _write("retention", report, page, words, out, json_file, alerts)


def growth(
    data: Data,
    models: ModelsOfReport = None,
    log: Log = None,
    placements: PlacementFile = None,
    out: Out = None,
    json_file: JsonFile = None,
    alerts: Alerts = None,
    language: ChosenLanguage = "en",
    until: Until = None,
    config: ConfigFile = None,
) -> None:
    """Report the funnel, revenue by channel and placement, and the exposure of the long tail and of new items."""
    from training.config import read_config
    from training.growth.reports import growth_report
    from training.report.sales_page import growth_page

    words = _words(language)
    _check(out, json_file, alerts)
    if placements is not None and models is None:
        raise ConfigError("--placements needs --models: placements are checked against the catalog of a bundle")
    settings, last = read_config(config).report, _day(until)
    with progress() as on_progress:
        report = growth_report(
            data, settings, models=models, log=log, placements=placements, until=last, progress=on_progress
        )
    page = growth_page(report, words)
    show_lines([f"- {section.title}" for section in page.sections])
    _write("growth", report, page, words, out, json_file, alerts)


def _words(language: str) -> Words:
    from training.report.words import Words

    if language not in LANGUAGE_NAMES:
        raise ConfigError(f"--language is {language!r}, expected {' or '.join(LANGUAGE_NAMES)}")
    return Words(cast("Language", language))


def _check(*paths: Path | None) -> None:
    from training.report.growth_page import require_pages

    for path in filter(None, paths):
        if not path.absolute().parent.is_dir():
            raise ConfigError(f"{path} cannot be written: its folder does not exist")
        if path.is_dir():
            raise ConfigError(f"{path} cannot be written: it is a folder; name a file")
        if not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
            raise ConfigError(f"{path} cannot be written: the permission is missing")
    if paths[0] is not None:
        require_pages()


def _day(text: str | None) -> date | None:
    from datetime import date

    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--until is {text!r}, expected a day such as 2026-11-27") from None


def _write(
    name: Literal["retention", "growth"],
    report: GrowthReport | RetentionReport,
    page: Page,
    words: Words,
    out: Path | None,
    json_file: Path | None,
    alerts: Path | None,
) -> None:
    """Write what was asked for, and name the files."""
    import json

    from recsys.core.files import atomic_write
    from training.growth.alerts import alert_rows, append_alerts
    from training.growth.reports import as_json
    from training.report.growth_page import last_day, write_page

    rows = alert_rows(
        name, last_day(report.facts.observed.end), report.alerts, [words.alert(each) for each in report.alerts]
    )
    show_lines([f"! {row['message']} · {row['since']} · {row['remedy']}" for row in rows])
    if json_file is not None:
        figures = as_json(report) | {"alerts": rows}
        atomic_write(json_file, json.dumps(figures, ensure_ascii=False, indent=1) + "\n")
        show_lines([f"figures: {json_file}"])
    if out is not None:
        write_page(page, words, out)
        show_lines([f"report: {out}"])
    if alerts is not None:
        append_alerts(alerts, rows)
        show_lines([f"{len(rows)} alerts: {alerts}"])
