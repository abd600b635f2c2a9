"""The value of a changed list before it serves: the random lists of the log, replayed and weighed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from recsys.core.placements import Placement
from recsys.core.progress import Progress, silent
from recsys.drafts.random_lists import LoggedList, RandomLists, read_random_lists
from recsys.drafts.replay import NOT_REPRODUCED, Replay, replay_lists
from recsys.eventlog.identities import user_key
from recsys.eventlog.store import EventStore
from recsys.experiments.counterfactual import PolicyEstimate, ShownLists, estimate_policies, supported_share
from recsys.experiments.slots import MAX_RANK, draw_probabilities, slot_probabilities
from recsys.pipeline.recommender import Recommender

MAX_LISTS: Final = 5000
MIN_LISTS: Final = 100
MIN_REPRODUCED: Final = 0.5
SMALLEST_SUPPORT: Final = 0.005
"""Probability of an item at a position from which on a log of thousands of lists says something about it."""

MIN_SUPPORTED: Final = 0.9
MIN_EFFECTIVE: Final = 100.0


@dataclass(frozen=True)
class CounterfactualReport:
    """What a changed list would have earned, or why the log cannot say.

    Attributes:
        placement: the list.
        counts: lists of the log by what became of them: `used`, or why they were left out.
        support: share of the changed list's positions whose item the log has shown there often enough.
        estimates: clicks per list by estimator, the logged value first; empty if refused.
        refused: by estimator, why its value is not to be used.
        text, text_zh: one sentence.
    """

    placement: str
    counts: dict[str, int]
    support: float
    estimates: tuple[PolicyEstimate, ...]
    refused: dict[str, str]
    text: str
    text_zh: str


def counterfactual(
    recommender: Recommender,
    store: EventStore,
    name: str,
    changed: Placement,
    max_lists: int = MAX_LISTS,
    seed: int = 0,
    on_progress: Progress = silent,
) -> CounterfactualReport:
    """Estimate the clicks per list of a changed placement from the lists of the present one that the log has.

    Each list is replayed for its moment with both placements. A list that the replay does not reproduce, as its request
    had items or a filter, or items have sold out since, is left out; so are the lists of users without events, who all
    have one draw per day.

    Args:
        recommender: the current bundle with its placements and the live log.
        store: the live log.
        name: of the placement.
        changed: its changed definition.
        max_lists: lists that are replayed; a random sample of more.
        seed: of the sample.
        on_progress: gets the share that is done.
    """
    placement = recommender.placements[name]
    refused = refused_at_once(placement, changed)
    if refused is not None:
        return refused
    found = read_random_lists(recommender, store, name)
    chosen, replays = sample_lists(found, max_lists, seed), []
    for replayed in replay_lists(recommender, placement, changed, chosen):
        replays.append(replayed)
        on_progress("replay", len(replays) / len(chosen))
    return estimate_of(placement, changed, found, replays)


def refused_at_once(placement: Placement, changed: Placement) -> CounterfactualReport | None:
    """Return the report of a change that no log could carry, None for any other."""
    problem = _unusable(placement, changed)
    return None if problem is None else _refuse(placement.name, Counter(), 0.0, *problem)


def sample_lists(found: RandomLists, max_lists: int, seed: int = 0) -> list[LoggedList]:
    """Return at most `max_lists` random lists of the log, in its order."""
    order = np.random.default_rng(seed).permutation(len(found.lists))
    return [found.lists[each] for each in np.sort(order[:max_lists])]


def estimate_of(
    placement: Placement,
    changed: Placement,
    found: RandomLists,
    replayed: Iterable[tuple[LoggedList, Replay | str]],
    on_progress: Progress = silent,
) -> CounterfactualReport:
    """Weigh the clicks of replayed lists; see `counterfactual`.

    Args:
        placement: the present definition.
        changed: the changed one.
        found: what the log has.
        replayed: of a sample of these lists.
        on_progress: gets the share of the lists whose probabilities are computed.
    """
    name, counts = placement.name, Counter(found.left_out)
    replays: list[tuple[LoggedList, Replay]] = []
    n_tried = 0
    for shown, replay in replayed:
        n_tried += 1
        if isinstance(replay, Replay):
            replays.append((shown, replay))
        else:
            counts[replay] += 1
    counts["used"] = len(replays)
    if len(replays) < MIN_LISTS or len(replays) < MIN_REPRODUCED * n_tried:
        return _refuse(name, counts, 0.0, *_too_few(name, placement, counts))
    lists = _as_arrays(replays, found.clicked, placement.rotation, changed.rotation, on_progress)
    support = supported_share(lists, SMALLEST_SUPPORT)
    if support < MIN_SUPPORTED:
        return _refuse(
            name,
            counts,
            support,
            f"the log has explored only {support:.0%} of the changed list's positions (expected {MIN_SUPPORTED:.0%}):"
            " give the present list a stronger rotation for some days, or test the change on shoppers",
            f"日志只覆盖了新列表{support:.0%}的位置（至少需要{MIN_SUPPORTED:.0%}）：请先加大轮换强度运行几天，或直接做实验",
        )
    return _report(name, counts, support, estimate_policies(lists))


def _unusable(placement: Placement, changed: Placement) -> tuple[str, str] | None:
    """Why no log of a placement could carry the change."""
    if not placement.rotation:
        return (
            f"lists of {placement.name} are not drawn at random: give it a rotation, such as 0.3, and wait some days",
            f"{placement.name}没有随机轮换：请先设置rotation（例如0.3）并等待几天",
        )
    ways = (
        (placement, "present", "现有", "remove these rules while the log is collected", "收集日志期间请先去掉这些规则"),
        (changed, "changed", "新", "only an experiment can measure it", "只能用实验来衡量"),
    )
    for each, what, what_zh, way, way_zh in ways:
        if each.rotation and (rules := _rules_after_draw(each)):
            return (
                f"the {what} list is rearranged after the draw ({', '.join(rules)}), so the logged propensities are not"
                f" those of its positions: {way}",
                f"{what_zh}列表在随机抽取后又被重排（{'、'.join(rules)}），日志中的概率不是位置的概率：{way_zh}",
            )
    return None


def _rules_after_draw(placement: Placement) -> list[str]:
    names = ("diversity", "max_per_category", "tail_share", "promotions", "pins")
    return [name for name in names if getattr(placement, name)]


COUNTS_ZH: Final = {
    "of another bundle": "其他模型的",
    "of another variant": "其他实验组的",
    "not random": "非随机的",
    "later pages, or of nobody": "后续页或无用户的",
    "of users without events": "无行为用户的",
    NOT_REPRODUCED: "无法重放的",
    "used": "可用的",
}
"""Why lists are left out, in Chinese."""


def _as_arrays(
    replays: Sequence[tuple[LoggedList, Replay]],
    clicked: set[tuple[str, str]],
    logged: float,
    changed: float,
    on_progress: Progress,
) -> ShownLists:
    n, k = len(replays), max(len(shown.item_ids) for shown, _ in replays)
    clicks, logged_slot, target_slot, support = (np.zeros((n, k)) for _ in range(4))
    item, target_item = np.full((n, k), -1), np.full((n, k), -1)
    whole = np.ones((n, 2))
    shoppers: dict[str, int] = {}
    shopper = np.empty(n, np.int64)
    for row, (shown, replay) in enumerate(replays):
        on_progress("probabilities", row / n)
        width, n_target = len(shown.item_ids), len(replay.target_items)
        key = user_key(*(shown.user.get(name) for name in ("user_id", "visitor_id", "session_id"))) or ""
        shopper[row] = shoppers.setdefault(key, len(shoppers))
        clicks[row, :width] = [(shown.id, item_id) in clicked for item_id in shown.item_ids]
        item[row, :width], target_item[row, :n_target] = replay.shown, replay.target_items
        logged_slot[row, :width] = _slots(replay.logged, replay.n_logged, width, logged)
        target_slot[row, :width] = _slots(replay.target, replay.n_target, width, changed)
        support[row, :n_target] = _slots(replay.support_rank, replay.n_logged, width, logged)[:n_target]
        whole[row, 0] = draw_probabilities(np.array(replay.logged), replay.n_logged, logged).prod()
        whole[row, 1] = _list_probability(replay, changed)
    used = np.unique(np.concatenate([item[item >= 0], target_item[target_item >= 0]]))
    for rows in (item, target_item):
        rows[rows >= 0] = np.searchsorted(used, rows[rows >= 0])
    logged_slot = np.maximum(logged_slot, 1e-12)
    return ShownLists(clicks, item, whole[:, 0], whole[:, 1], logged_slot, target_slot, target_item, support, shopper)


def _slots(ranks: tuple[int, ...], n: int, k: int, rotation: float) -> Any:
    """Probability of each item at its position; items below `MAX_RANK` have that of the last rank computed."""
    table = slot_probabilities(n, k, rotation)
    index = np.array(ranks, np.int64)
    found = table[np.clip(index - 1, 0, min(len(table), MAX_RANK) - 1), np.arange(len(ranks))]
    return np.where(index > 0, found, 0.0)


def _list_probability(replay: Replay, rotation: float) -> float:
    ranks = np.array(replay.target)
    return float(draw_probabilities(ranks, replay.n_target, rotation).prod()) if (ranks > 0).all() else 0.0


def _too_few(name: str, placement: Placement, counts: Counter[str]) -> tuple[str, str]:
    shown = ", ".join(f"{count:,} {why}" for why, count in counts.items()) or "none"
    shown_zh = "，".join(f"{COUNTS_ZH[why]}{count:,}个" for why, count in counts.items()) or "没有"
    return (
        f"the log has too few random lists of {name} that can be replayed ({shown}; expected at least {MIN_LISTS}, and"
        f" half of those tried): keep rotation = {placement.rotation:g} for some days with the present bundle",
        f"日志中可重放的{name}随机列表太少（{shown_zh}；至少需要{MIN_LISTS}个，且占一半以上）：请用现有模型继续轮换几天",
    )


def _refuse(name: str, counts: Counter[str], support: float, text: str, text_zh: str) -> CounterfactualReport:
    return CounterfactualReport(
        name, dict(counts), support, (), {"all": text}, f"No estimate: {text}.", f"无法估计：{text_zh}。"
    )


def _report(
    name: str, counts: Counter[str], support: float, estimates: tuple[PolicyEstimate, ...]
) -> CounterfactualReport:
    """State the best estimate whose effective sample carries it."""
    refused: dict[str, str] = {
        each.estimator: f"its effective sample is {each.effective_sample:,.0f} lists, expected {MIN_EFFECTIVE:g}"
        for each in estimates
        if each.effective_sample < MIN_EFFECTIVE
    }
    usable = {each.estimator: each for each in estimates if each.estimator not in refused}
    best = usable.get("doubly_robust")
    if best is None:
        text = (
            f"the changed list is too unlike the logged ones ({refused['doubly_robust']}): collect more random lists,"
            " or test the change on shoppers"
        )
        text_zh = "新列表与日志中的列表差别太大，有效样本不足：请收集更多随机列表，或直接做实验"
        return CounterfactualReport(
            name, dict(counts), support, estimates, refused, f"No estimate: {text}.", f"无法估计：{text_zh}。"
        )
    logged = next(each for each in estimates if each.estimator == "logged")
    if best.low > logged.high:
        words, words_zh = "more clicks than", "高于"
    elif best.high < logged.low:
        words, words_zh = "fewer clicks than", "低于"
    else:
        words, words_zh = "about as many clicks as", "与现有列表相近，现有为"
    return CounterfactualReport(
        name,
        dict(counts),
        support,
        estimates,
        refused,
        f"The changed {name} would get {best.value:.3f} clicks per list ({best.low:.3f} to {best.high:.3f}), {words}"
        f" the present one ({logged.value:.3f}), by {counts['used']:,} lists worth {best.effective_sample:,.0f}.",
        f"修改后的{name}预计每个列表{best.value:.3f}次点击（{best.low:.3f}至{best.high:.3f}），{words_zh}{logged.value:.3f}，"
        f"依据{counts['used']:,}个列表（有效样本{best.effective_sample:,.0f}）。",
    )
