"""A file of experiments for tests, and its book."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recsys.experiments.definitions import ExperimentDefinition, parse_experiments
from recsys.experiments.state import ExperimentBook, StateFile

EXPERIMENTS = """
[holdout]
share = 0.05

[layers.home]
salt = "2026"

[experiments.calm]
layer = "home"
part = [0.0, 0.5]
primary = "revenue_per_shopper"
guardrails = [{metric = "conversion", margin = 0.03}]

[experiments.calm.variants.control]
[experiments.calm.variants.mixed]
placements.for_you = {diversity = 0.3}
[experiments.calm.variants.short]
placements.for_you = {limit = 5}

[experiments.tail]
layer = "home"
part = [0.5, 1.0]
variants.control = {weight = 3}
variants.more = {weight = 1, placements.for_you = {tail_share = 0.3}}

[experiments.pairs.variants]
control = {}
own = {placements.complementary = {own = "keep"}}
"""


def write_experiments(folder: Path, text: str = EXPERIMENTS) -> Path:
    path = folder / "experiments.toml"
    path.write_text(text, encoding="utf-8")
    return path


def definition(**changes: Any) -> ExperimentDefinition:
    """An experiment `calm` of two variants with changed keys."""
    table = {"variants": {"control": {}, "mixed": {"placements": {"for_you": {"diversity": 0.3}}}}, **changes}
    return parse_experiments({"experiments": {"calm": table}}).experiments["calm"]


def book_of(**tables: Any) -> ExperimentBook:
    return ExperimentBook(parse_experiments(tables), StateFile())
