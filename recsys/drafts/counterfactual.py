"""The value of a changed list before it serves: the random lists of the log, replayed and weighed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from recsys.core.errors import FilterError, RequestError
from recsys.core.placements import ListVariant, Placement
from recsys.core.progress import Progress, silent
from recsys.core.request import Request
from recsys.eventlog.identities import user_key
from recsys.eventlog.store import READ_BATCH, EventStore, LogEntry, read_entries
from recsys.experiments.counterfactual import PolicyEstimate, ShownLists, estimate_policies, supported_share
from recsys.experiments.definitions import CONTROL, WINNERS
from recsys.experiments.outcomes import CLICKS
from recsys.experiments.slots import MAX_RANK, draw_probabilities, slot_probabilities
from recsys.pipeline.recommender import Recommender
from recsys.pipeline.resolve import resolve_request
from recsys.pipeline.stages import rank

MAX_LISTS: Final = 5000
MIN_LISTS: Final = 100
MIN_REPRODUCED: Final = 0.5
SMALLEST_SUPPORT: Final = 0.005
"""Probability of an item at a position from which on a log of thousands of lists says something about it."""

MIN_SUPPORTED: Final = 0.9
MIN_EFFECTIVE: Final = 100.0
ROTATION_STAGE: Final = "rotation"
NOT_REPRODUCED: Final = "not reproduced"
UNCHANGED: Final = (CONTROL, WINNERS)


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


@dataclass(frozen=True)
class LoggedList:
    """A random list of the log.

    Attributes:
        id: its `recommendation_id`.
        at: seconds since 1970.
        item_ids: in the order shown.
        user: its ids by column.
        log_seq: number of the last entry of the log that it was made with; None if the log does not have it.
    """

    id: str
    at: int
    item_ids: tuple[str, ...]
    user: dict[str, str]
    log_seq: int | None


@dataclass(frozen=True)
class Replay:
    """One list, replayed with both placements.

    Attributes:
        logged: ranks of the shown items before the draw, from 1.
        target: ranks of the same items with the changed placement, from 1; 0 for an item that it does not list.
        n_logged, n_target: numbers of items that were, and would be, ordered.
        target_items: the items that the changed placement shows, as rows.
        shown: rows of the shown items.
        support_rank: ranks, before the draw, of `target_items`; 0 for an item that could not be drawn.
    """

    logged: tuple[int, ...]
    target: tuple[int, ...]
    n_logged: int
    n_target: int
    target_items: tuple[int, ...]
    shown: tuple[int, ...]
    support_rank: tuple[int, ...]


class ReplayedOrder(NamedTuple):
    """A list that was made again.

    Attributes:
        rows: of its items.
        drawn_from: rows of all items in the order before the draw; None without a draw.
        user_key: of the draw; "" for users without events.
    """

    rows: list[int]
    drawn_from: list[int] | None
    user_key: str


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
    problem = _unusable(placement, changed)
    if problem is not None:
        return _refuse(name, Counter(), 0.0, *problem)
    found, counts = _random_lists(recommender, store, name)
    rng = np.random.default_rng(seed)
    chosen = [found[each] for each in np.sort(rng.permutation(len(found))[:max_lists])]
    replays: list[tuple[LoggedList, Replay]] = []
    for n_done, shown in enumerate(chosen):
        replay = _replay(recommender, placement, changed, shown)
        if isinstance(replay, Replay):
            replays.append((shown, replay))
        else:
            counts[replay] += 1
        on_progress("replay", (n_done + 1) / len(chosen))
    counts["used"] = len(replays)
    if len(replays) < MIN_LISTS or len(replays) < MIN_REPRODUCED * len(chosen):
        return _refuse(name, counts, 0.0, *_too_few(name, placement, counts))
    lists = _as_arrays(replays, _clicked(store), placement.rotation, changed.rotation)
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


def _random_lists(recommender: Recommender, store: EventStore, name: str) -> tuple[list[LoggedList], Counter[str]]:
    """The lists of the placement that were drawn at random with the current bundle, and the number of all others."""
    found, counts = [], Counter[str]()
    for entry in _entries(store, "impression"):
        body = entry.body
        if body.get("placement") != name or entry.key is None:
            continue
        items = body.get("items", ())
        user = {key: body[key] for key in ("user_id", "visitor_id", "session_id") if body.get(key) is not None}
        is_first = all(item.get("position") in (None, place) for place, item in enumerate(items, 1))
        if body.get("model_version") != recommender.version:
            counts["of another bundle"] += 1
        elif any(variant not in UNCHANGED for variant in (body.get("experiments") or {}).values()):
            counts["of another variant"] += 1
        elif not any(item.get("propensity") for item in items):
            counts["not random"] += 1
        elif not is_first or not user:
            counts["later pages, or of nobody"] += 1
        else:
            ids = tuple(str(item.get("item_id")) for item in items)
            found.append(LoggedList(entry.key, int(entry.at), ids, user, entry.made_with))
    return found, counts


def _replay(recommender: Recommender, placement: Placement, changed: Placement, shown: LoggedList) -> Replay | str:
    """Both orders of one list, or why it is left out: the replay must show what the log has."""
    logged = _order(recommender, placement, shown)
    if logged is not None and not logged.user_key:
        return "of users without events"
    if logged is None or logged.drawn_from is None or list(shown.item_ids) != _ids(recommender, logged.rows):
        return NOT_REPRODUCED
    target = _order(recommender, changed, shown)
    if target is None:
        return NOT_REPRODUCED
    base = logged.drawn_from
    order = target.rows if target.drawn_from is None else target.drawn_from
    k = len(shown.item_ids)
    rank_of, target_rank = ({row: n for n, row in enumerate(rows, 1)} for rows in (base, order))
    if not all(row in rank_of for row in logged.rows):
        return NOT_REPRODUCED  # it was filled with items that were not drawn
    return Replay(
        tuple(rank_of[row] for row in logged.rows),
        tuple(target_rank.get(row, 0) for row in logged.rows),
        len(base),
        len(order),
        tuple(order[:k]),
        tuple(logged.rows),
        tuple(rank_of.get(row, 0) for row in order[:k]),
    )


def _order(recommender: Recommender, placement: Placement, shown: LoggedList) -> ReplayedOrder | None:
    """The list that a placement gives for the moment of a logged one; None where the request is refused."""
    request = Request(
        placement.name,
        shown.at,
        limit=len(shown.item_ids),
        log_seq=shown.log_seq,
        variant=ListVariant(placement, {"replay": placement.name}),
        **shown.user,  # type: ignore[arg-type]
    )
    try:
        resolved, state = resolve_request(
            recommender.current, request, recommender.placements, recommender.live, recommender.masks
        )
    except (RequestError, FilterError):
        return None
    ranking = rank(resolved, state)
    before = next((each.before for each in ranking.records if each.stage == ROTATION_STAGE), None)
    drawn_from = None if before is None else before.tolist()
    return ReplayedOrder(ranking.item_idx.tolist(), drawn_from, state.query.user_key)


def _as_arrays(
    replays: Sequence[tuple[LoggedList, Replay]], clicked: set[tuple[str, str]], logged: float, changed: float
) -> ShownLists:
    n, k = len(replays), max(len(shown.item_ids) for shown, _ in replays)
    clicks, logged_slot, target_slot, support = (np.zeros((n, k)) for _ in range(4))
    item, target_item = np.full((n, k), -1), np.full((n, k), -1)
    whole = np.ones((n, 2))
    shoppers: dict[str, int] = {}
    shopper = np.empty(n, np.int64)
    for row, (shown, replay) in enumerate(replays):
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


def _clicked(store: EventStore) -> set[tuple[str, str]]:
    """Items of lists with a click that carries the list's id."""
    return {
        (entry.body["recommendation_id"], entry.body.get("item_id", ""))
        for entry in _entries(store, "event")
        if entry.body.get("event") in CLICKS and entry.body.get("recommendation_id") is not None
    }


def _entries(store: EventStore, kind: str) -> Iterator[LogEntry]:
    for entries in read_entries(store, READ_BATCH):
        yield from (stored.entry for stored in entries if stored.entry.entry_type == kind)


def _ids(recommender: Recommender, rows: list[int]) -> list[str]:
    ids = recommender.current.items.ids
    return [ids[row] for row in rows]


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
