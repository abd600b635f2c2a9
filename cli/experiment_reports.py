"""The commands of `recsys experiments` that analyze and plan."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cli.documents import ExperimentFile, PlacementFile
from cli.options import DEFAULT_MODELS, AsJson, Models, parse_moment, wall_clock
from cli.output import progress, show_json, show_lines, show_table, tell
from recsys.core.errors import ConfigError

if TYPE_CHECKING:
    from recsys.experiments.analysis import ExperimentAnalysis, MetricEffect
    from recsys.experiments.baseline import MetricBaseline
    from recsys.experiments.counterfactual import PolicyEstimate
    from recsys.experiments.definitions import ExperimentDefinition
    from recsys.experiments.looks import DailyLook
    from recsys.experiments.verdict import Verdict

EFFECTS: Final = ("metric", "variant", "control", "treatment", "lift", "at any look", "p", "one look", "variance")
LOOKS: Final = ("day", "shoppers", "lift", "at any look", "p", "verdict")
ESTIMATES: Final = ("estimator", "clicks per list", "95 %", "effective lists", "largest weight", "not to be used")
POWERS: Final = ("share", "shoppers per variant and day", "days", "power after the longest duration")
SHARES: Final = (0.1, 0.2, 0.5, 1.0)
MAX_DAYS: Final = 180
"""Longest duration that is looked for."""

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the experiment.")]
LiveLog = Annotated[
    str,
    typer.Option(
        "--store", metavar="FILE", help="The live log of `recsys serve`: a file, or postgresql://user@host/name."
    ),
]
Tables = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Tables with older orders, for CUPED.", show_default="the log alone"),
]
Zone = Annotated[str, typer.Option(help="IANA zone of the shop, where receipt numbers restart; --data knows its own.")]


def register(commands: typer.Typer) -> None:
    """Add the commands."""
    commands.command("analyze")(analyze)
    commands.command("apply")(apply)
    commands.command("power")(power)
    commands.command("counterfactual")(counterfactual)
    commands.command("simulate")(simulate)


def analyze(
    file: ExperimentFile,
    name: Name,
    store: LiveLog,
    data: Tables = None,
    timezone: Zone = "UTC",
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Look back: what was known then.")] = None,
    daily: Annotated[bool, typer.Option("--daily", help="Show the verdict of each day.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare each variant with the control, and say in one sentence what to do."""
    from recsys.eventlog.opening import open_log
    from recsys.experiments.looks import daily_looks, look_at
    from recsys.experiments.state import read_experiments
    from training.experiments import load_log

    book = read_experiments(file)
    definition, retired = book.definition(name), book.state(name).retired
    with closing(open_log(store)) as log:
        found = load_log(log, name, data, timezone)
    if until is not None:
        found = found.until(parse_moment(until, "--until"))
    looks = daily_looks(definition, found, retired) if daily else []
    analysis, verdict = look_at(definition, found, retired)
    if as_json:
        days = [_look_row(definition, day, look) for day, look in enumerate(looks, 1)]
        whole = {"analysis": asdict(analysis), "verdict": asdict(verdict)}
        show_json(_finite(whole | ({"daily": [dict(zip(LOOKS, row, strict=True)) for row in days]} if daily else {})))
        return
    if looks:
        show_table(LOOKS, [_look_row(definition, day, look) for day, look in enumerate(looks, 1)])
    _show(definition, analysis, verdict)


def apply(file: ExperimentFile, name: Name, store: LiveLog, data: Tables = None, timezone: Zone = "UTC") -> None:
    """Analyze a running experiment and do what its rules say: retire losers, promote a winner; `undo` takes it back."""
    from recsys.core.timestamps import utc_text
    from recsys.eventlog.opening import open_log
    from recsys.experiments.looks import look_at
    from recsys.experiments.outcomes import shopper_table
    from recsys.experiments.rules import rule_changes
    from recsys.experiments.state import change_state, read_experiments
    from training.experiments import load_log

    book = read_experiments(file)
    definition, state = book.definition(name), book.state(name)
    if state.status != "running":
        raise ConfigError(f"{name!r} is {state.status}: the rules apply to a running experiment")
    with closing(open_log(store)) as log:
        found = load_log(log, name, data, timezone)
    _, verdict = look_at(definition, found, state.retired)
    changes = rule_changes(
        definition, shopper_table(found), verdict, utc_text(wall_clock().replace(microsecond=0)), state.retired
    )
    for change in changes:
        last = change_state(file, change).states.history[-1]
        tell(f"{name}: {last.command}: {last.why}")
    if changes:
        tell("`recsys experiments undo` takes the last change back")
    show_lines([verdict.text, verdict.text_zh])


def power(
    file: ExperimentFile,
    name: Name,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Tables whose last days give the traffic and the variation.")
    ] = None,
    store: Annotated[
        str | None, typer.Option(metavar="FILE", help="Live log of the running experiment, instead of --data.")
    ] = None,
    shoppers_per_day: Annotated[float | None, typer.Option(help="New shoppers of the shop per day.")] = None,
    rate: Annotated[float | None, typer.Option(help="Conversion, or another rate per shopper, in (0, 1).")] = None,
    variation: Annotated[
        float | None, typer.Option(help="Standard deviation over mean of the metric, instead of --rate.")
    ] = None,
    effect: Annotated[float | None, typer.Option(help="True lift.", show_default="the smallest effect")] = None,
    as_json: AsJson = False,
) -> None:
    """Plan the duration: the power under the rule of daily looks, by the share of shoppers."""
    from recsys.eventlog.opening import open_log
    from recsys.experiments.state import read_experiments
    from training.experiments import baseline_from_log, baseline_from_tables

    book = read_experiments(file)
    definition = book.definition(name)
    if data is not None:
        baseline = baseline_from_tables(data, definition)
    elif store is not None:
        with closing(open_log(store)) as log:
            baseline = baseline_from_log(book, log, name)
    else:
        baseline = _given_baseline(definition, shoppers_per_day, rate, variation)
    lift = definition.settings.minimum_effect if effect is None else effect
    rows = [_power_row(definition, baseline, share, lift) for share in SHARES]
    if as_json:
        plans = [dict(zip(POWERS, row, strict=True)) for row in rows]
        show_json(_finite({"baseline": asdict(baseline), "effect": lift, "plans": plans}))
        return
    value = "" if math.isnan(baseline.value) else f" {baseline.value:.4g}"
    show_lines(
        [
            f"{baseline.metric}{value}, variation {baseline.variation:.3g} per shopper,"
            f" {baseline.shoppers_per_day:,.0f} new shoppers per day, CUPED removes {baseline.variance_reduction:.0%};"
            f" a lift of {lift:+.1%} is to be found with {definition.settings.power:.0%}"
        ]
    )
    show_table(POWERS, rows)
    longest = definition.settings.max_days
    if not any(isinstance(row[2], int) and row[2] <= longest for row in rows):
        show_lines(
            [
                f"With no share of shoppers is a lift of {lift:+.1%} found within the {longest} days of max_days: raise"
                " minimum_effect or max_days, or choose a metric that varies less.",
                f"无论多少顾客参与，{longest}天（max_days）内都无法发现{lift:+.1%}的提升："
                "请调高minimum_effect或max_days，或选择波动更小的指标。",
            ]
        )


def counterfactual(
    file: ExperimentFile,
    name: Name,
    variant: Annotated[str, typer.Argument(metavar="VARIANT", help="Name of the variant.")],
    store: LiveLog,
    models: Models = DEFAULT_MODELS,
    placements: PlacementFile = None,
    max_lists: Annotated[int, typer.Option(min=1, help="Lists that are replayed; a sample of more.")] = 5000,
    as_json: AsJson = False,
) -> None:
    """Estimate what a variant would earn before it serves, from lists that a rotation has drawn at random."""
    from dataclasses import replace

    from recsys.drafts.counterfactual import counterfactual as estimate
    from recsys.eventlog.opening import open_log
    from recsys.experiments.state import read_experiments
    from recsys.pipeline.recommender import Recommender
    from recsys.rules.variant_loader import read_with_experiments

    recommender = Recommender.open(models, live_log=store)
    book = read_with_experiments(placements, file, recommender.current.items_table.schema)
    recommender = replace(recommender, book=book)
    definition = read_experiments(file).definition(name).variant(variant)
    if definition is not None and definition.bundle:
        raise ConfigError(f"{variant!r} is the bundle {definition.bundle}: only the experiment itself can measure it")
    found = {} if book.variants is None else book.variants.variants
    changed = {list_: placement for (each, key, list_), placement in found.items() if (each, key) == (name, variant)}
    if not changed:
        known = ", ".join(sorted({f"{each} {key}" for each, key, _ in found})) or "none"
        raise ConfigError(f"{name!r} has no variant {variant!r} that changes a list: there are {known}")
    with closing(open_log(store)) as log, progress() as on_progress:
        reports = [
            estimate(recommender, log, list_, placement, max_lists, on_progress=on_progress)
            for list_, placement in changed.items()
        ]
    if as_json:
        show_json(_finite([asdict(report) for report in reports]))
        return
    for report in reports:
        if report.estimates:
            show_table(ESTIMATES, [_estimate_row(each, report.refused) for each in report.estimates])
        show_lines([report.text, report.text_zh])


def simulate(
    file: ExperimentFile,
    name: Name,
    store: Annotated[str, typer.Option(metavar="FILE", help="A log of made-up shoppers alone, made if it is missing.")],
    days: Annotated[int, typer.Option(min=1, max=366, help="Days to add.")] = 7,
    shoppers_per_day: Annotated[int, typer.Option(min=1, max=100_000, help="New shoppers per day.")] = 2000,
    ctr: Annotated[float, typer.Option(min=0.0, max=1.0, help="Click probability of an item in the control.")] = 0.05,
    lift: Annotated[
        list[str] | None,
        typer.Option(metavar="VARIANT=LIFT", help="Effect of a variant on the primary metric, such as b=0.15."),
    ] = None,
) -> None:
    """Add days of made-up shoppers to a log, to learn the analysis or to try an experiment's settings."""
    from recsys.eventlog.opening import create_log, log_name
    from recsys.experiments.state import read_experiments
    from training.simulated_experiment import simulate_days

    running = read_experiments(file).as_running(name)
    if not running.share:
        raise ConfigError(f"{name!r} has no shoppers yet: start it with `recsys experiments start {file} {name}`")
    primary = running.definition.settings.primary
    lifts = _lifts(running.definition, lift or (), 1 / ctr - 1 if primary == "ctr" and ctr else math.inf)
    rates = {name: ctr * (1 + each) if primary == "ctr" else ctr for name, each in lifts.items()}
    spending = {
        name: (1.0, 1 + each) if primary == "average_order" else (1 + each, 1.0)
        for name, each in lifts.items()
        if primary != "ctr"
    }
    with closing(create_log(store)) as log:
        n_days = simulate_days(log, running, days, shoppers_per_day, rates, spending)
    show_lines(
        [f"{log_name(store)} has {n_days} days of made-up shoppers, the last {days} with {running.share:.0%} in {name}"]
    )


def _lifts(definition: ExperimentDefinition, texts: Iterable[str], largest: float) -> dict[str, float]:
    """Return the effect of each variant on the primary metric."""
    lifts = dict.fromkeys((each.name for each in definition.variants), 0.0)
    for text in texts:
        variant, _, effect = text.rpartition("=")
        try:
            lifts[variant] = float(effect)
        except ValueError:
            lifts[variant] = math.nan
        if len(lifts) > len(definition.variants) or not -1 <= lifts[variant] <= largest or math.isinf(lifts[variant]):
            names = " or ".join(f"{each.name}=0.15" for each in definition.variants)
            raise ConfigError(f"--lift is {text!r}: expected {names}, at least -1, for click probabilities up to 1")
    return lifts


def _estimate_row(estimate: PolicyEstimate, refused: dict[str, str]) -> tuple[object, ...]:
    return (
        estimate.estimator,
        estimate.value,
        f"{estimate.low:.4g} to {estimate.high:.4g}",
        round(estimate.effective_sample),
        estimate.largest_weight,
        refused.get(estimate.estimator),
    )


def _power_row(
    definition: ExperimentDefinition, baseline: MetricBaseline, share: float, lift: float
) -> tuple[object, ...]:
    from recsys.experiments.power import daily_power, first_day

    plan, settings = baseline.plan(definition, share), definition.settings
    daily = daily_power(plan, lift, max(MAX_DAYS, settings.max_days))
    days = first_day(daily, settings.power) or f"over {len(daily)}"
    return (f"{share:.0%}", round(plan.shoppers_per_day[1]), days, f"{daily[settings.max_days - 1]:.0%}")


def _given_baseline(
    definition: ExperimentDefinition, shoppers_per_day: float | None, rate: float | None, variation: float | None
) -> MetricBaseline:
    from recsys.experiments.baseline import MetricBaseline
    from recsys.experiments.power import rate_variation

    if shoppers_per_day is None or (rate is None) == (variation is None):
        raise ConfigError(
            "the past is not known: name --data or --store, or --shoppers-per-day with either --rate or --variation"
        )
    for option, value in (("--shoppers-per-day", shoppers_per_day), ("--variation", variation)):
        if value is not None and not 0 < value < math.inf:
            raise ConfigError(f"{option} is {value:g}, expected a finite number above 0")
    if rate is not None and not 0 < rate < 1:
        raise ConfigError(f"--rate is {rate:g}, expected a number between 0 and 1")
    metric = definition.settings.primary
    spread = rate_variation(rate) if rate is not None else float(variation or 0)
    return MetricBaseline(metric, math.nan if rate is None else rate, spread, 0.0, shoppers_per_day, 0.0)


def _show(definition: ExperimentDefinition, analysis: ExperimentAnalysis, verdict: Verdict) -> None:
    counts = ", ".join(f"{name} {count:,}" for name, count in analysis.shoppers.items())
    show_lines(
        [
            f"{analysis.experiment}: {analysis.days:.1f} days, shoppers: {counts}; {analysis.crossed:,} saw several"
            f" variants; planned shares p = {analysis.sample_ratio_p:.2g}"
        ]
    )
    for name, count in analysis.others.items():
        why = "is retired" if definition.variant(name) else "is not in the file of experiments"
        tell(f"{count:,} shoppers do not count: their variant {name!r} {why}")
    show_table(EFFECTS, [_effect_row(each) for each in analysis.effects])
    show_lines([verdict.text, verdict.text_zh])


def _effect_row(effect: MetricEffect) -> tuple[object, ...]:
    return (
        effect.metric,
        effect.variant,
        effect.control,
        effect.treatment,
        _known("{:+.1%}", effect.lift),
        _known("{:+.1%} to {:+.1%}", effect.low, effect.high),
        _known("{:.2g}", effect.p_value),
        _known("{:+.1%} to {:+.1%}", effect.fixed_low, effect.fixed_high),
        f"{-effect.variance_reduction:.0%}" if effect.variance_reduction else None,
    )


def _known(form: str, *values: float) -> str | None:
    """Write numbers; None, blank in tables, where one is not defined, as an effect on a control without any."""
    return None if any(map(math.isnan, values)) else form.format(*values)


def _look_row(definition: ExperimentDefinition, day: int, look: DailyLook) -> tuple[object, ...]:
    """The best variant's primary effect of one day, with the verdict."""
    found = [each for each in look.analysis.effects if each.metric == definition.settings.primary]
    best = max(found, key=lambda each: -math.inf if math.isnan(each.lift) else each.lift, default=None)
    shown = ("", "", "") if best is None else _effect_row(best)[4:7]
    days = "" if look.verdict.days is None else f", about {look.verdict.days} d"
    what = f"{look.verdict.decision.replace('_', ' ')} {look.verdict.variant}".strip() + days
    return (day, sum(look.analysis.shoppers.values()), *shown, what)


def _finite(value: Any) -> Any:
    """Replace nan, which JSON does not have, by null."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
