"""Push plans that variants of experiments change: their settings, and the plan of each shopper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from recsys.core.errors import ConfigError
from recsys.core.placements import Placement
from recsys.experiments.assignment import OUTSIDE, RunningExperiment, variant_of
from recsys.experiments.definitions import ExperimentDefinition
from recsys.experiments.state import ExperimentBook
from recsys.pipeline.recommender import Recommender
from recsys.planner.config import PlanConfig, chosen_lists, parse_plan
from recsys.planner.message_log import MessageLog
from recsys.planner.plan_file import LearnedPlan
from recsys.planner.planner import Planner

PlanKey = tuple[str, str]
"""Experiment and variant; both "" for shoppers who are in none."""

OUTSIDE_OF_ALL: PlanKey = ("", "")


def variant_plans(
    plan: Mapping[str, Any], definition: ExperimentDefinition, placements: Mapping[str, Placement]
) -> dict[str, PlanConfig]:
    """Return the settings of each variant's plan: those of the plan, with the changed ones in their place.

    Args:
        plan: the parsed file of the plan.
        definition: of the experiment.
        placements: the lists that exist, by name.

    Raises:
        ConfigError: a changed setting is unknown, of the wrong type or out of range, or a list does not exist.
    """
    found = {}
    for variant in definition.variants:
        try:
            config = parse_plan(merged(plan, variant.plan))
            chosen_lists(config, placements)
            found[variant.name] = config
        except ConfigError as error:
            path = f"experiments.{definition.name}.variants.{variant.name}.plan"
            raise ConfigError(f"{path}: {error}") from None
    return found


def check_plans(book: ExperimentBook, placements: Mapping[str, Placement]) -> None:
    """Check the settings of all variants that change the push plan, as far as they do not depend on the plan.

    Args:
        book: the experiments.
        placements: the lists that exist, by name.

    Raises:
        ConfigError: a setting is unknown, of the wrong type or out of range, or a list does not exist.
    """
    for definition in book.file.experiments.values():
        variant_plans({}, definition, placements)


def merged(plan: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table with changed keys, also those of the tables in it.

    >>> merged({"value": "price", "caps": {"item_days": 9}}, {"caps": {"messages_per_week": 5}})
    {'value': 'price', 'caps': {'item_days': 9, 'messages_per_week': 5}}
    """
    whole = dict(plan)
    for key, value in changes.items():
        before = whole.get(key)
        is_table = isinstance(value, Mapping) and isinstance(before, Mapping)
        whole[key] = merged(before, value) if is_table else value  # type: ignore[arg-type]
    return whole


@dataclass(frozen=True)
class VariantPlanners:
    """The planners of all shoppers.

    Attributes:
        base: of shoppers who are in no experiment with the plan.
        running: experiments whose variants change the plan.
        variants: planners by experiment and variant.
    """

    base: Planner
    running: tuple[RunningExperiment, ...]
    variants: Mapping[PlanKey, Planner]

    def key(self, user_id: str) -> PlanKey:
        """Return the experiment and the variant that a shopper is in; only for those who may be planned."""
        live = self.base.recommender.live
        unit_id = user_id if live is None else live.identities.target(user_id)
        found = ((each.definition.name, variant_of(each, unit_id)) for each in self.running)
        return next((key for key in found if key[1] != OUTSIDE), OUTSIDE_OF_ALL)

    def of(self, user_id: str) -> Planner:
        """Return a shopper's planner.

        Raises:
            ConfigError: nothing was learned for the shopper's variant.
        """
        key = self.key(user_id)
        if key == OUTSIDE_OF_ALL:
            return self.base
        if key not in self.variants:
            raise ConfigError(
                f"the push plan has nothing for variant {key[1]!r} of experiment {key[0]!r}: write it again with"
                " `recsys push plan --experiments FILE`"
            )
        return self.variants[key]

    def groups(self, user_ids: Sequence[str]) -> list[tuple[Planner, list[str]]]:
        """Return the shoppers of each planner."""
        found: dict[int, tuple[Planner, list[str]]] = {}
        for user_id in user_ids:
            planner = self.of(user_id)
            found.setdefault(id(planner), (planner, []))[1].append(user_id)
        return list(found.values())


def planners(
    recommender: Recommender,
    plan: LearnedPlan,
    running: tuple[RunningExperiment, ...],
    as_of: int,
    log: MessageLog,
) -> VariantPlanners:
    """Return the planners of a plan that has learned, at a moment.

    Args:
        recommender: the open bundle.
        plan: with the variants that it has learned.
        running: experiments whose variants change the plan.
        as_of: seconds since 1970.
        log: what happened to earlier messages.
    """
    base = Planner(recommender, plan.config, plan.lists, plan.model, as_of, log)
    variants = {
        (name, key): replace(base, config=each.config, lists=each.lists, model=each.model, experiment=name, variant=key)
        for name, plans in plan.variants.items()
        for key, each in plans.items()
    }
    return VariantPlanners(base, running, variants)
