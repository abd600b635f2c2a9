"""The job that writes a push plan: one row per message, in shards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from recsys.bundles.registry import live_log_beside
from recsys.core.config.toml_reader import Faults, read_toml
from recsys.core.errors import ConfigError, DataError
from recsys.core.placements import Placement
from recsys.core.timestamps import to_seconds
from recsys.eventlog.opening import LogLocation
from recsys.experiments.assignment import RunningExperiment
from recsys.experiments.state import read_experiments
from recsys.pipeline.recommender import Recommender
from recsys.planner.audience import ChannelConsent, channel_consents, check_channels, plannable_users
from recsys.planner.config import PlanConfig, chosen_lists, read_plan
from recsys.planner.past_weeks import fit_plan
from recsys.planner.plan_file import LearnedPlan, best_sellers, read_plan_file, write_plan_file
from recsys.planner.plan_variants import PlanKey, variant_plans
from training.batch.formats import format_of
from training.batch.ids import read_ids
from training.batch.job import (
    BatchPlan,
    OnCount,
    bundle_folder,
    check_plan,
    digest_of,
    output_of,
    resumed,
    write_missing,
)
from training.batch.run import MESSAGES, PLAN, Run, RunInputs, ShardCounts, clear, prepared
from training.planning.shards import PlanOptions

ShowCount = Callable[[str], AbstractContextManager[OnCount]]
"""Shows the progress of something that is counted."""


def _silent(what: str) -> AbstractContextManager[OnCount]:
    return nullcontext(lambda done, total: None)


@dataclass(frozen=True)
class PlanRequest:
    """What is planned.

    Attributes:
        models: folder of bundles, or the folder of one bundle.
        plan: the plan's TOML file; None for the defaults.
        users: the shoppers, see `training.batch.ids.read_ids`; None for all of the bundle.
        data: folder of tables with earlier messages.
        as_of: aware moment of the lists; None for that of an interrupted run, else of the latest known event.
        placements: file of placements; None for the built-in ones.
        live_log: file of the live log, or address of its database; None for the file in the folder of bundles, if any.
        experiments: file of experiments, whose running ones may change the plan; None for none.
    """

    models: Path
    plan: Path | None = None
    users: Path | None = None
    data: Path | None = None
    as_of: datetime | None = None
    placements: Path | None = None
    live_log: LogLocation | None = None
    experiments: Path | None = None


@dataclass(frozen=True)
class PlanReport:
    """Counts of a plan.

    Attributes:
        model_version: the bundle.
        as_of: moment of the plan, seconds since 1970.
        lists: names of its lists.
        shoppers: shoppers that were asked for.
        messages: messages, those of the holdout included.
        held_out: shoppers of the holdout who would have had messages.
        without_message: shoppers for whom nothing is worth a message, or who agreed to no channel.
        refused: shoppers who opted out of personalization or were erased.
        shards, kept_shards: number of shards, and of those that an interrupted run had finished.
        unrecorded_consent: channels without a column of consent in the users table.
        consent: the rule of each channel, and the consents of its shoppers.
        consent_rules: the same in words.
        variants: shoppers with messages, those of the holdout left out, by experiment and variant.
        messages_by_list: messages of each list, of the plan and of its variants; 0 if no shopper has an item on the
            list, or another list is always worth more.
    """

    model_version: str
    as_of: int
    lists: tuple[str, ...]
    shoppers: int
    messages: int
    held_out: int
    without_message: int
    refused: int
    shards: int
    kept_shards: int
    unrecorded_consent: tuple[str, ...]
    consent: tuple[ChannelConsent, ...]
    consent_rules: tuple[str, ...]
    variants: dict[str, dict[str, int]]
    messages_by_list: dict[str, int]


def write_plan(
    request: PlanRequest,
    out: Path,
    batch: BatchPlan | None = None,
    progress: ShowCount = _silent,
) -> PlanReport:
    """Write the messages of some shoppers for the seven local days after the day of a moment.

    If the job is interrupted, the next one with the same inputs goes on at the same moment with what was learned. A
    shard exists completely or not at all, so that no message is missing and none is there twice.

    Args:
        request: what is planned.
        out: folder of the shards, with `run.json`, whose `is_complete` becomes true at the end, and `plan.json`, what
            the plan has learned.
        batch: how the shards are written.
        progress: shows the number of past lists that are learned from, then of shoppers that are planned.

    Raises:
        BundleError: there is no bundle to open.
        ConfigError: the plan or a setting is not valid, or `out` cannot be used.
        DataError: a file cannot be read, or a shopper cannot be planned.
    """
    batch = batch or BatchPlan()
    check_plan(batch)
    suffix, folder = output_of(out, batch.file_format)
    if folder != out:
        raise ConfigError(f"{out} is a file: name a folder for the shards of the plan")
    config = PlanConfig() if request.plan is None else read_plan(request.plan)
    recommender = Recommender.open(request.models, request.placements, request.live_log)
    lists = chosen_lists(config, recommender.placements)
    running, plans = _variants(request, recommender.placements)
    every = {config: lists, **{each: chosen_lists(each, recommender.placements) for each in plans.values()}}
    faults = Faults()
    for each in every:
        check_channels(recommender.engine, each, faults)
    faults.check()
    ids = _shoppers(recommender, request)
    used = dict.fromkeys(name for names in every.values() for name in names)
    settings = digest_of(
        repr(config), *(repr(recommender.placements[name]) for name in used), *map(repr, (*running, *plans.items()))
    )
    inputs = RunInputs(
        bundle=recommender.version,
        placement=settings,
        limit=config.caps.messages_per_week,
        as_of=recommender.latest if request.as_of is None else to_seconds(request.as_of),
        context={},
        ids=digest_of("user", *ids),
        shard_size=batch.shard_size,
        suffix=format_of(suffix).suffix,
        prefix=MESSAGES,
    )
    inputs = resumed(inputs, folder, request.as_of) if batch.resumes else inputs
    if not batch.resumes and folder.is_dir():
        clear(folder)
    run = prepared(folder, inputs)
    learned = _learned(run, recommender, every, config, plans, progress)
    log_path = request.live_log or live_log_beside(request.models)
    options = PlanOptions(
        bundle_folder(request.models, recommender),
        request.placements,
        log_path,
        request.data,
        learned,
        running,
        inputs.as_of,
    )
    with progress("shoppers") as on_count:
        counts, n_kept = write_missing(run, options.writer(recommender), options, ids, batch, on_count)
    run.complete()
    consent = channel_consents(recommender.engine, recommender.live, ids, config)
    return PlanReport(
        model_version=inputs.bundle,
        as_of=inputs.as_of,
        lists=lists,
        shoppers=len(ids),
        messages=sum(each.messages for each in counts),
        held_out=sum(each.held_out for each in counts),
        without_message=sum(each.empty for each in counts),
        refused=sum(each.erased for each in counts),
        shards=len(counts),
        kept_shards=n_kept,
        unrecorded_consent=tuple(each.channel for each in consent if not each.is_recorded),
        consent=consent,
        consent_rules=tuple(each.sentence(config.consent) for each in consent),
        variants=_counted(counts, plans),
        messages_by_list={name: sum(each.lists.get(name, 0) for each in counts) for name in used},
    )


def _shoppers(recommender: Recommender, request: PlanRequest) -> list[str]:
    if request.users is not None:
        return read_ids(request.users, "user")
    ids = plannable_users(recommender.engine, recommender.live)
    if not ids and (n_users := len(recommender.engine.users)):
        raise DataError(
            f"all {n_users:,} users of the bundle opted out of personalization or were erased, so that a plan is for "
            "nobody: correct the column personalization of the users table if that is not so"
        )
    if not ids:
        raise DataError("the bundle has no shopper who can be planned: train it with events that have a user_id")
    return ids


def _variants(
    request: PlanRequest, placements: Mapping[str, Placement]
) -> tuple[tuple[RunningExperiment, ...], dict[PlanKey, PlanConfig]]:
    """Return the running experiments that change the plan, and the plan of each of their variants."""
    if request.experiments is None:
        return (), {}
    book = read_experiments(request.experiments)
    running = tuple(each for each in book.running() if each.definition.has_plans)
    plan = {} if request.plan is None else read_toml(request.plan, dict)
    plans = {
        (each.definition.name, name): config
        for each in running
        for name, config in variant_plans(plan, each.definition, placements).items()
    }
    return running, plans


def _learned(
    run: Run,
    recommender: Recommender,
    every: Mapping[PlanConfig, tuple[str, ...]],
    config: PlanConfig,
    plans: Mapping[PlanKey, PlanConfig],
    progress: ShowCount,
) -> LearnedPlan:
    """Return what an interrupted run has learned, else learn it and keep it beside the shards."""
    path = run.folder / PLAN
    if path.is_file():
        return read_plan_file(path)
    with progress("past lists") as on_count:
        models = {each: fit_plan(recommender, each, lists, on_count) for each, lists in every.items()}
    variants: dict[str, dict[str, LearnedPlan]] = {}
    for (experiment, variant), each in plans.items():
        variants.setdefault(experiment, {})[variant] = LearnedPlan(each, every[each], models[each])
    items = best_sellers(recommender.engine)
    learned = LearnedPlan(config, every[config], models[config], items, variants)
    write_plan_file(path, learned)
    return learned


def _counted(counts: Sequence[ShardCounts], plans: Iterable[PlanKey]) -> dict[str, dict[str, int]]:
    """Return the shoppers with messages by experiment and variant."""
    found: dict[str, dict[str, int]] = {}
    for experiment, variant in plans:
        n_shoppers = sum(each.variants.get(experiment, {}).get(variant, 0) for each in counts)
        found.setdefault(experiment, {})[variant] = n_shoppers
    return found
