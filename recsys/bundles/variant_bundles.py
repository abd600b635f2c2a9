"""Bundles that variants of experiments name: checked and pinned before an experiment starts."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from recsys.bundles.bundle import verify
from recsys.bundles.registry import pin, pinned, versions
from recsys.core.errors import BundleError, ConfigError
from recsys.experiments.state import ExperimentBook

MAX_VARIANT_BUNDLES: Final = 2
"""Bundles that all running experiments may name together, unless the server is set to another number."""


def admit_bundles(
    models: Path | None, before: ExperimentBook, after: ExperimentBook, limit: int = MAX_VARIANT_BUNDLES
) -> None:
    """Check the bundles of the experiments that a change starts, and pin them so that no clean-up removes them.

    Args:
        models: the folder of bundles; None if it is not known.
        before: the book before the change.
        after: the changed book.
        limit: bundles that all running experiments may name together.

    Raises:
        ConfigError: a bundle does not exist, is altered or of another schema version; there are too many; or the folder
            is not known or cannot be written.
    """
    running = after.running()
    started = [each for each in running if each.bundles and before.state(each.definition.name).status != "running"]
    if not started:
        return
    needed = frozenset[str]().union(*(each.bundles for each in running))
    names = " and ".join(repr(each.definition.name) for each in started)
    if models is None:
        raise ConfigError(f"cannot start {names}: its variants name bundles; give their folder with --models")
    if len(needed) > limit:
        raise ConfigError(
            f"cannot start {names}: the running experiments would name {len(needed)} bundles, expected at most {limit}:"
            f" stop another experiment, or set RECSYS_MAX_VARIANT_BUNDLES to {len(needed)}"
        )
    for experiment in started:
        path = f"experiments.{experiment.definition.name}.variants"
        for variant in experiment.definition.variants:
            if variant.bundle in experiment.bundles:
                _check(models, f"{path}.{variant.name}.bundle", variant.bundle)
    try:
        pin(models, needed.union(pinned(models)))
    except (BundleError, OSError) as error:
        raise ConfigError(f"cannot start {names}: its bundles cannot be kept from clean-up ({error})") from None


def _check(models: Path, path: str, version: str) -> None:
    known = versions(models)
    if version not in known:
        there = ", ".join(known) or "none"
        raise ConfigError(f"{path!r} is {version!r}, which {models} does not have: there are {there}")
    try:
        verify(models / version)
    except BundleError as error:
        raise ConfigError(f"{path!r} is {version!r}, which cannot be served: {error}") from None
