"""The file of a plan that has learned: its settings, its lists and what was learned, for a job or a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from recsys.core.errors import ConfigError
from recsys.core.files import atomic_write
from recsys.planner.config import PlanConfig, parse_plan
from recsys.planner.past_weeks import PlanModel


class LearnedPlan(msgspec.Struct, frozen=True):
    """A plan that has learned.

    Attributes:
        config: its settings.
        lists: names of its lists.
        model: what it has learned.
    """

    config: PlanConfig
    lists: tuple[str, ...]
    model: PlanModel


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A `LearnedPlan` as JSON has it; the settings are read as strictly as those of the TOML file."""

    config: dict[str, Any]
    lists: tuple[str, ...]
    model: PlanModel


def write_plan_file(path: Path, plan: LearnedPlan) -> None:
    """Write the file as a whole or not at all."""
    document = _Document(msgspec.to_builtins(plan.config), plan.lists, plan.model)
    atomic_write(path, msgspec.json.format(msgspec.json.encode(document), indent=1))


def read_plan_file(path: Path) -> LearnedPlan:
    """Read the file that `recsys push plan` writes.

    Raises:
        ConfigError: it cannot be read, or does not contain a plan.
    """
    try:
        document = msgspec.json.decode(path.read_bytes(), type=_Document)
        n_lists = len(document.lists)
        if not n_lists == len(document.model.calibration.curves) == len(document.model.rules):
            raise ConfigError("its lists are not those that were learned from")
        return LearnedPlan(parse_plan(document.config), document.lists, document.model)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}): `recsys push plan --out DIR` writes it") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, ConfigError) as error:
        raise ConfigError(f"{path} is not a plan ({error}): `recsys push plan --out DIR` writes one") from None
