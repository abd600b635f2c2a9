"""Stages that run one after another, with a record of the rows before and after each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace

from recsys.core.placements import Placement
from recsys.retrieval.query import Ranking, StageRecord
from recsys.retrieval.user_state import UserState
from recsys.rules.eligibility import rules_for

Run = Callable[[Placement, UserState, Ranking], Ranking]


@dataclass(frozen=True, slots=True)
class Stage:
    """A named step from one ranking to the next.

    Attributes:
        name: as explanations give it.
        run: takes the placement, the user's state and a ranking, and returns the next ranking.
    """

    name: str
    run: Run


def run_stages(stages: Iterable[Stage], placement: Placement, state: UserState, ranking: Ranking) -> Ranking:
    """Runs stages one after another, and records the rows before and after each in `Ranking.records`."""
    records = list(ranking.records)
    for stage in stages:
        before = ranking.item_idx
        ranking = stage.run(placement, state, ranking)
        records.append(StageRecord(stage.name, before, ranking.item_idx))
    return replace(ranking, records=tuple(records))


def apply_rules(placement: Placement, state: UserState, ranking: Ranking) -> Ranking:
    """Returns what all rules keep; each is a stage of its own in the records, though the rows are taken out once."""
    rows, records = ranking.item_idx, list(ranking.records)
    kept, before = np.ones(len(rows), np.bool_), rows
    for name, rule in rules_for(placement, state).items():
        is_kept = rule(placement, state, rows)
        after = before
        if not is_kept.all():
            kept &= is_kept
            after = rows[kept]
        records.append(StageRecord(name, before, after))
        before = after
    left = ranking if before is rows else ranking.take(kept)
    return replace(left, item_idx=before, records=tuple(records))
