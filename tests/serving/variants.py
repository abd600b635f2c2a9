"""A folder of two bundles whose lists differ, and an experiment of them, for tests of bundles as variants."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from recsys.bundles.bundle import Provenance, write_bundle
from recsys.experiments.state import change_state
from recsys.experiments.transitions import start
from recsys.fitting.engine import Engine, Rankers
from tests.recsys.experiments.files import write_experiments
from tests.shop import copied_models

AT = "2026-11-01T00:00:00Z"
USERS = tuple(f"u{n:03d}" for n in range(5, 35))


class TwoBundles(NamedTuple):
    """A folder of bundles and a file of experiments.

    Attributes:
        models: the folder.
        current: its current bundle.
        new: another one, that of the variant `new`.
        file: its experiment `newer` is a draft.
    """

    models: Path
    current: str
    new: str
    file: Path

    def run(self, control: str = "", share: float = 1.0) -> None:
        """Start the experiment, of the current bundle unless another one is given."""
        write_experiments(self.file.parent, text_of(self.new, control))
        change_state(self.file, start("newer", AT, share))


def text_of(new: str, control: str = "") -> str:
    named = f'{{bundle = "{control}"}}' if control else "{}"
    return f'[experiments.newer.variants]\ncontrol = {named}\nnew = {{bundle = "{new}"}}\n'


def write_plain(engine: Engine, models: Path, day: int) -> str:
    """Write a bundle without rankers; return its version."""
    plain = replace(engine, rankers=Rankers())
    return write_bundle(plain, models, Provenance(datetime(2024, 7, day, tzinfo=UTC), "again", {})).version


def two_bundles(shop_models: Path, engine: Engine, folder: Path) -> TwoBundles:
    models = copied_models(shop_models, folder / "models")
    current = (models / "CURRENT").read_text().strip()
    new = write_plain(engine, models, 3)
    return TwoBundles(models, current, new, write_experiments(folder, text_of(new)))


def item_ids(answer: Any) -> list[str]:
    return [item["item_id"] for item in answer["items"]]
