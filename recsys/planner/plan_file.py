"""The file of a plan that has learned: its settings, its lists and what was learned, for a job or a server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

import msgspec

from recsys.core.config.toml_reader import Faults
from recsys.core.errors import ConfigError
from recsys.core.files import atomic_write
from recsys.core.ids import UNKNOWN
from recsys.fitting.engine import Engine
from recsys.pipeline.recommender import Recommender
from recsys.planner.audience import check_channels
from recsys.planner.config import PlanConfig, parse_plan
from recsys.planner.past_weeks import PlanModel

N_ITEMS: Final = 32
MIN_KNOWN: Final = 0.5
"""Share of a plan's best sellers that the bundle of the same shop has: items stay in it as long as their events."""


class LearnedPlan(msgspec.Struct, frozen=True):
    """A plan that has learned.

    Attributes:
        config: its settings.
        lists: names of its lists.
        model: what it has learned.
        items: ids of items that sold most in the shop that it has learned from.
        variants: the same for variants that change the plan, by experiment and variant.
    """

    config: PlanConfig
    lists: tuple[str, ...]
    model: PlanModel
    items: tuple[str, ...] = ()
    variants: Mapping[str, Mapping[str, LearnedPlan]] = {}

    @property
    def every(self) -> tuple[LearnedPlan, ...]:
        """The plan and its variants."""
        return (self, *(plan for plans in self.variants.values() for plan in plans.values()))


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A `LearnedPlan` as JSON has it; the settings are read as strictly as those of the TOML file."""

    config: dict[str, Any]
    lists: tuple[str, ...]
    model: PlanModel
    items: tuple[str, ...] = ()
    variants: dict[str, dict[str, _Document]] = {}

    @classmethod
    def of(cls, plan: LearnedPlan) -> Self:
        """Return the document of a plan."""
        variants = {name: {key: cls.of(each) for key, each in plans.items()} for name, plans in plan.variants.items()}
        return cls(msgspec.to_builtins(plan.config), plan.lists, plan.model, plan.items, variants)  # type: ignore[arg-type]

    def plan(self) -> LearnedPlan:
        """Return the plan.

        Raises:
            ConfigError: a setting is invalid, or the lists are not those that were learned from.
        """
        if not len(self.lists) == len(self.model.calibration.curves) == len(self.model.rules):
            raise ConfigError("its lists are not those that were learned from")
        variants = {name: {key: each.plan() for key, each in plans.items()} for name, plans in self.variants.items()}
        return LearnedPlan(parse_plan(self.config), self.lists, self.model, self.items, variants)


def write_plan_file(path: Path, plan: LearnedPlan) -> None:
    """Write the file as a whole or not at all."""
    atomic_write(path, msgspec.json.format(msgspec.json.encode(_Document.of(plan)), indent=1))


def read_plan_file(path: Path) -> LearnedPlan:
    """Read the file that `recsys push plan` writes.

    Raises:
        ConfigError: it cannot be read, or does not contain a plan.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Document).plan()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}): `recsys push plan --out DIR` writes it") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, ConfigError) as error:
        raise ConfigError(f"{path} is not a plan ({error}): `recsys push plan --out DIR` writes one") from None


def best_sellers(engine: Engine) -> tuple[str, ...]:
    """Return the ids of up to `N_ITEMS` items that sold most, by which a shop is recognized."""
    return tuple(engine.items.ids[row] for row in engine.by_popularity[:N_ITEMS].tolist())


def check_plan_fits(plan: LearnedPlan, recommender: Recommender) -> None:
    """Check that a plan that has learned is one for an open bundle.

    Raises:
        ConfigError: a list does not exist, the plan was learned from another shop's items, or the bundle has the
            consent to other channels only.
    """
    faults = Faults()
    for_users = [name for name, placement in recommender.placements.items() if placement.anchor == "user"]
    for position, name in enumerate(dict.fromkeys(name for each in plan.every for name in each.lists)):
        if name not in for_users:
            faults.unknown_name(f"lists[{position}]", name, for_users, "list for a user")
    n_known = sum(recommender.engine.items.row(item_id) != UNKNOWN for item_id in plan.items)
    if n_known < MIN_KNOWN * len(plan.items):
        shown = ", ".join(plan.items[:3])
        expected = (
            f"the best sellers of the shop of {recommender.version}, which has {n_known} of these {len(plan.items)}"
        )
        faults.refuse("items", f"{shown}, …", expected)
    for each in plan.every:
        check_channels(recommender.engine, each.config, faults)
    try:
        faults.check()
    except ConfigError as error:
        remedy = "write it with `recsys push plan` and the models of this server"
        raise ConfigError(f"the push plan is not for {recommender.version}: {error}; {remedy}") from None
