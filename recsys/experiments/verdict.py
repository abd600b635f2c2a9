"""The verdict on an experiment in one sentence: ship a variant, stop, or go on for some days."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from recsys.experiments.analysis import ExperimentAnalysis, MetricEffect
from recsys.experiments.definitions import ExperimentSettings, Guardrail
from recsys.experiments.sequences import half_width

Decision = Literal["ship", "stop", "go_on"]

SAMPLE_RATIO_ALPHA: Final = 0.001
"""A p-value of the shares below this one means that assignment or logging is at fault."""

MAX_FACTOR: Final = 1000.0
"""Largest growth of the data that a forecast looks at."""

NAMES: Final[Mapping[str, tuple[str, str]]] = {
    "ctr": ("CTR", "点击率"),
    "conversion": ("conversion", "转化率"),
    "revenue_per_shopper": ("revenue per shopper", "人均销售额"),
    "average_order": ("average order", "客单价"),
}


@dataclass(frozen=True)
class Verdict:
    """What to do, and why.

    Attributes:
        decision: `ship`, `stop` or `go_on`.
        variant: the variant that it is about; "" for none in particular.
        days: days to go on for, None unless the decision is `go_on`.
        text, text_zh: one sentence in English and in Chinese.
    """

    decision: Decision
    variant: str
    days: int | None
    text: str
    text_zh: str


def judge(settings: ExperimentSettings, analysis: ExperimentAnalysis) -> Verdict:
    """Return the verdict of the rule that the power is computed for.

    In this order: stop if the shares of shoppers are not the planned ones; go on until each variant has its shoppers;
    ship the best variant that is better than the control, with no guardrail harmed beyond its margin; stop if no
    variant can be better by the smallest effect, or each harms a guardrail; stop after the longest duration; go on.

    Args:
        settings: metrics and rules.
        analysis: effects of the variants that are left.
    """
    if analysis.sample_ratio_p < SAMPLE_RATIO_ALPHA:
        return _wrong_shares(analysis)
    primary = [each for each in analysis.effects if each.metric == settings.primary]
    known = [each for each in primary if not math.isnan(each.lift)]
    if min(analysis.shoppers.values()) < settings.min_shoppers:
        return _too_few(settings, analysis)
    if not known:
        return _not_defined(settings, analysis)
    best = max(known, key=lambda each: each.lift)
    for effect in sorted(known, key=lambda each: -each.lift):
        if _is_better(settings, effect) and _is_harmless(settings, analysis, effect.variant):
            return _ship(settings, effect)
    left = [each for each in known if not _is_hopeless(settings, analysis, each)]
    if not left:
        return _hopeless(settings, analysis, best)
    best = max(left, key=lambda each: each.lift)
    if analysis.days >= settings.max_days:
        return _out_of_time(settings, analysis, best)
    return _go_on(settings, analysis, best)


def days_to_go(settings: ExperimentSettings, analysis: ExperimentAnalysis, effect: MetricEffect) -> int:
    """Return about how many more days the verdict takes if the lifts stay as they are, within the longest duration.

    The information grows with the days. The lift is decided when its sequence leaves 0, or lies below the smallest
    effect; a guardrail, when its sequence lies above or below its margin.
    """
    if not _is_better(settings, effect):
        return _days_until(settings, analysis, [(effect, 0.0), (effect, math.log1p(settings.minimum_effect))])
    found = ((analysis.effect(each.metric, effect.variant), each.margin) for each in settings.guardrails)
    open_guardrails = [(each, margin) for each, margin in found if each is not None and not each.low > -margin]
    waits = (_days_until(settings, analysis, [(each, math.log1p(-margin))]) for each, margin in open_guardrails)
    return max(waits, default=1)


def _days_until(
    settings: ExperimentSettings, analysis: ExperimentAnalysis, bounds: list[tuple[MetricEffect, float]]
) -> int:
    """Days until the sequence of one of some effects leaves its bound, on the scale of logarithms."""
    alpha = settings.alpha / max(len(analysis.shoppers) - 1, 1)
    scale = math.log1p(settings.minimum_effect)
    left = max(settings.max_days - analysis.days, 1.0)

    def is_decided(factor: float) -> bool:
        halves = ((each.log_error / math.sqrt(factor), abs(each.log_lift - bound)) for each, bound in bounds)
        return any(float(half_width(error, alpha, scale)) < room for error, room in halves)

    if not is_decided(MAX_FACTOR):
        return math.ceil(left)
    low, high = 1.0, MAX_FACTOR
    while high / low > 1.01:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if is_decided(middle) else (middle, high)
    return max(math.ceil(min(analysis.days * (high - 1), left)), 1)


def _is_better(settings: ExperimentSettings, effect: MetricEffect) -> bool:
    return effect.p_value < settings.alpha and effect.lift > 0


def _is_harmless(settings: ExperimentSettings, analysis: ExperimentAnalysis, variant: str) -> bool:
    """Whether each guardrail's loss is below its margin, by its confidence sequence."""
    found = [(guardrail, analysis.effect(guardrail.metric, variant)) for guardrail in settings.guardrails]
    return all(effect is not None and effect.low > -guardrail.margin for guardrail, effect in found)


def _harmed(settings: ExperimentSettings, analysis: ExperimentAnalysis, variant: str) -> Guardrail | None:
    """The first guardrail that is certainly harmed beyond its margin."""
    for guardrail in settings.guardrails:
        effect = analysis.effect(guardrail.metric, variant)
        if effect is not None and effect.high < -guardrail.margin:
            return guardrail
    return None


def _is_hopeless(settings: ExperimentSettings, analysis: ExperimentAnalysis, effect: MetricEffect) -> bool:
    return effect.high < settings.minimum_effect or _harmed(settings, analysis, effect.variant) is not None


def _wrong_shares(analysis: ExperimentAnalysis) -> Verdict:
    counts = ", ".join(f"{name} {count:,}" for name, count in analysis.shoppers.items())
    return Verdict(
        "stop",
        "",
        None,
        f"Stop: the shares of shoppers are not the planned ones ({counts}; p = {analysis.sample_ratio_p:.2g}), so"
        " assignment or logging is at fault and no result can be used.",
        f"停止：各组人数与计划比例不符（{counts}；p = {analysis.sample_ratio_p:.2g}），分流或日志有误，结果不可用。",
    )


def _too_few(settings: ExperimentSettings, analysis: ExperimentAnalysis) -> Verdict:
    fewest = min(analysis.shoppers.values())
    rate = fewest / max(analysis.days, 1.0)
    missing = max(settings.min_shoppers - fewest, 1)
    left = max(settings.max_days - analysis.days, 1.0)
    days = max(math.ceil(min(missing / rate, left)), 1) if rate else math.ceil(left)
    if not fewest:
        return Verdict(
            "go_on",
            "",
            days,
            f"Go on: one variant has no shopper yet, and the first verdict needs {settings.min_shoppers:,} of each.",
            f"继续：有一组还没有顾客，每组至少{settings.min_shoppers:,}人才能下结论。",
        )
    return Verdict(
        "go_on",
        "",
        days,
        f"Go on for about {_days(days)}: the smallest variant has {fewest:,} shoppers, and the first verdict needs"
        f" {settings.min_shoppers:,} of each.",
        f"继续约{days}天：人数最少的一组只有{fewest:,}人，每组至少{settings.min_shoppers:,}人才能下结论。",
    )


def _not_defined(settings: ExperimentSettings, analysis: ExperimentAnalysis) -> Verdict:
    """There are enough shoppers, but the metric of a group is 0, so that no lift is defined."""
    name, name_zh = NAMES[settings.primary]
    if analysis.days >= settings.max_days:
        text = f"Stop: after {analysis.days:.0f} days a group still has no {name} above 0, so that no lift is defined."
        return Verdict("stop", "", None, text, f"停止：{analysis.days:.0f}天后仍有一组的{name_zh}为0，无法计算提升。")
    days = max(math.ceil(settings.max_days - analysis.days), 1)
    return Verdict(
        "go_on",
        "",
        days,
        f"Go on for at most {_days(days)}: {name} of a group is 0 so far, so that no lift is defined.",
        f"继续最多{days}天：有一组的{name_zh}目前为0，无法计算提升。",
    )


def _ship(settings: ExperimentSettings, effect: MetricEffect) -> Verdict:
    guarded = ", and no guardrail is harmed" * bool(settings.guardrails)
    guarded_zh = "，护栏指标未受损" * bool(settings.guardrails)
    name, name_zh = NAMES[effect.metric]
    return Verdict(
        "ship",
        effect.variant,
        None,
        f"Ship {effect.variant}: {name} is {effect.lift:.1%} higher than in the control ({_range(effect)}){guarded}.",
        f"上线{effect.variant}：{name_zh}比对照组高{effect.lift:.1%}（{_range_zh(effect)}）{guarded_zh}。",
    )


def _hopeless(settings: ExperimentSettings, analysis: ExperimentAnalysis, best: MetricEffect) -> Verdict:
    name, name_zh = NAMES[best.metric]
    harmed = _harmed(settings, analysis, best.variant)
    if harmed is not None:
        loss, loss_zh = NAMES[harmed.metric]
        why = f"{best.variant} lowers {loss} by more than the {harmed.margin:.0%} that are acceptable"
        why_zh = f"{best.variant}使{loss_zh}下降超过可接受的{harmed.margin:.0%}"
    elif best.high < 0:
        why = f"{name} is {-best.lift:.1%} lower with {best.variant} than in the control ({_range(best)})"
        why_zh = f"{best.variant}的{name_zh}比对照组低{-best.lift:.1%}（{_range_zh(best)}）"
    else:
        why = f"no variant can raise {name} by {settings.minimum_effect:.0%}; {best.variant}: {_range(best)}"
        why_zh = f"没有变体能让{name_zh}提高{settings.minimum_effect:.0%}；{best.variant}：{_range_zh(best)}"
    return Verdict("stop", best.variant, None, f"Stop: {why}.", f"停止：{why_zh}。")


def _out_of_time(settings: ExperimentSettings, analysis: ExperimentAnalysis, best: MetricEffect) -> Verdict:
    name, name_zh = NAMES[best.metric]
    return Verdict(
        "stop",
        best.variant,
        None,
        f"Stop: after {analysis.days:.0f} days no effect on {name} was found; {best.variant}: {_range(best)}.",
        f"停止：{analysis.days:.0f}天后仍未发现对{name_zh}的影响；{best.variant}：{_range_zh(best)}。",
    )


def _go_on(settings: ExperimentSettings, analysis: ExperimentAnalysis, best: MetricEffect) -> Verdict:
    days = days_to_go(settings, analysis, best)
    name, name_zh = NAMES[best.metric]
    open_guardrails = _is_better(settings, best)
    why = "a guardrail is not decided yet" if open_guardrails else "the lift is not decided yet"
    why_zh = "护栏指标尚无结论" if open_guardrails else "尚无结论"
    return Verdict(
        "go_on",
        best.variant,
        days,
        f"Go on for about {_days(days)}: {why}; {name} of {best.variant} is {best.lift:+.1%} so far ({_range(best)}).",
        f"继续约{days}天：{why_zh}；{best.variant}的{name_zh}目前{best.lift:+.1%}（{_range_zh(best)}）。",
    )


def _days(days: int) -> str:
    return "1 day" if days == 1 else f"{days} days"


def _range(effect: MetricEffect) -> str:
    return f"between {effect.low:+.1%} and {effect.high:+.1%} at any look"


def _range_zh(effect: MetricEffect) -> str:
    return f"任意时刻有效的区间{effect.low:+.1%}至{effect.high:+.1%}"
