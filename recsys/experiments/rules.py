"""Changes that follow from the rules of an experiment: losers are retired, winners promoted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import polars as pl

from recsys.experiments.assignment import planned_shares
from recsys.experiments.definitions import CONTROL, ExperimentDefinition
from recsys.experiments.transitions import Transition, promote, retire
from recsys.experiments.verdict import Verdict

MIN_EXPECTED_CLICKS: Final = 20.0
"""Clicks that a variant would have at the CTR of all variants together, before it is retired: chance then makes a
variant of that CTR a loser of the default rule once in ten million times."""


def losers(
    definition: ExperimentDefinition, shoppers: pl.DataFrame, retired: tuple[str, ...] = ()
) -> Mapping[str, str]:
    """Return the variants to retire, each with the reason: a CTR below the rule's share of that of all together.

    Args:
        definition: with the rule.
        shoppers: result of `recsys.experiments.outcomes.shopper_table`.
        retired: variants that are retired already.
    """
    rule = definition.settings.retire
    left = [name for name in planned_shares(definition, retired) if name != CONTROL]
    sums = shoppers.group_by("variant").agg(pl.col("clicks", "impressions").sum())
    counts = {variant: (clicks, shown) for variant, clicks, shown in sums.iter_rows()}
    all_clicks, all_shown = (sum(each[part] for each in counts.values()) for part in (0, 1))
    if not all_clicks:
        return {}
    campaign = all_clicks / all_shown
    found = {}
    for name in left:
        clicks, shown = counts.get(name, (0.0, 0.0))
        is_known = shown >= rule.min_impressions and shown * campaign >= MIN_EXPECTED_CLICKS
        if is_known and clicks / shown < rule.ctr_share * campaign:
            found[name] = (
                f"CTR {clicks / shown:.3%} is below {rule.ctr_share:.0%} of that of all variants, {campaign:.2%}"
            )
    return found if len(found) < len(left) else {}


def rule_changes(
    definition: ExperimentDefinition,
    shoppers: pl.DataFrame,
    verdict: Verdict,
    at: str,
    retired: tuple[str, ...] = (),
) -> list[Transition]:
    """Return what the rules change now: a winner is promoted where the definition says so, else losers are retired.

    Args:
        definition: with the rules.
        shoppers: result of `recsys.experiments.outcomes.shopper_table`.
        verdict: of the present look.
        at: RFC 3339, for the history.
        retired: variants that are retired already.
    """
    if verdict.decision == "ship" and definition.settings.promote_winner:
        return [promote(definition.name, verdict.variant, at, verdict.text)]
    gone = losers(definition, shoppers, retired)
    return [retire(definition.name, variant, at, why) for variant, why in gone.items()]
