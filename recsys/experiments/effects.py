"""Effects of a variant on means and ratios of means, by the delta method, with adjustment by a covariate (CUPED).

All functions work over leading axes, so many looks or simulations are computed at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtr, stdtrit

Floats = npt.NDArray[np.float64]

N_COLUMNS = 4
"""Columns of a metric: numerator, denominator, and the same two of its covariate."""


@dataclass(frozen=True)
class MetricMoments:
    """Sample moments of the four columns of a metric in one group of shoppers.

    A mean has a denominator of ones; without a covariate its numerator is 0 and its denominator 1.

    Attributes:
        n: number of shoppers, float64 (...).
        mean: float64 (..., 4).
        covariance: sample covariances with divisor `n − 1`, float64 (..., 4, 4).
    """

    n: Floats
    mean: Floats
    covariance: Floats


@dataclass(frozen=True)
class EffectEstimate:
    """The effect of a variant on one metric; arrays over the leading axes of the moments.

    Attributes:
        n_control, n_treatment: numbers of shoppers.
        control, treatment: the metric in each group, adjusted by the covariate if there is one.
        difference: `treatment − control`.
        difference_error: standard error of the difference.
        log_ratio: `ln(treatment / control)`; nan where one of them is not positive.
        log_ratio_error: standard error of the logarithm of the ratio.
        variance_reduction: share of the variance that the covariate removes, in [0, 1].
    """

    n_control: Floats
    n_treatment: Floats
    control: Floats
    treatment: Floats
    difference: Floats
    difference_error: Floats
    log_ratio: Floats
    log_ratio_error: Floats
    variance_reduction: Floats
    _variances: tuple[Floats, Floats]

    @property
    def lift(self) -> Floats:
        """The relative effect `treatment / control − 1`."""
        return np.exp(self.log_ratio) - 1

    def difference_interval(self, level: float = 0.95) -> tuple[Floats, Floats]:
        """Return Welch's interval of the difference: right for one look that was planned beforehand."""
        half = self._quantile(level, *self._variances) * self.difference_error
        return self.difference - half, self.difference + half

    def lift_interval(self, level: float = 0.95) -> tuple[Floats, Floats]:
        """Return the interval of the relative effect for one planned look, from the logarithm of the ratio."""
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = (self._variances[0] / self.control**2, self._variances[1] / self.treatment**2)
            factor = np.exp(self._quantile(level, *relative) * self.log_ratio_error)
            ratio = np.exp(self.log_ratio)
        return ratio / factor - 1, ratio * factor - 1

    def p_value(self) -> Floats:
        """Return the two-sided p-value of Welch's t-test of the difference, for one planned look."""
        with np.errstate(divide="ignore", invalid="ignore"):
            degrees = welch_degrees(*self._variances, self.n_control, self.n_treatment)
            return 2 * stdtr(degrees, -np.abs(self.difference) / self.difference_error)

    def _quantile(self, level: float, control: Floats, treatment: Floats) -> Floats:
        degrees = welch_degrees(control, treatment, self.n_control, self.n_treatment)
        return stdtrit(degrees, (1 + level) / 2)


def metric_columns(
    numerator: npt.ArrayLike,
    denominator: npt.ArrayLike | None = None,
    covariate: npt.ArrayLike | None = None,
    covariate_denominator: npt.ArrayLike | None = None,
) -> Floats:
    """Return the columns of a metric, float64 (n_shoppers, 4).

    Args:
        numerator: of each shopper, (n_shoppers,).
        denominator: of each shopper; None for a mean per shopper.
        covariate: of each shopper, from before the experiment; None for none.
        covariate_denominator: of each shopper; None for a mean.
    """
    first = np.asarray(numerator, np.float64)
    ones = np.ones(len(first))
    columns = (
        first,
        ones if denominator is None else denominator,
        np.zeros(len(first)) if covariate is None else covariate,
        ones if covariate_denominator is None else covariate_denominator,
    )
    return np.stack([np.asarray(each, np.float64) for each in columns], axis=1)


def moments_of(columns: Floats) -> MetricMoments:
    """Return the moments of the columns of a metric.

    Args:
        columns: float64 (n_shoppers, 4), at least two rows.

    >>> moments_of(metric_columns([1.0, 2.0, 3.0])).mean.tolist()
    [2.0, 1.0, 0.0, 1.0]
    """
    n = np.asarray(float(len(columns)))
    return MetricMoments(n, columns.mean(axis=0), np.cov(columns, rowvar=False))


def pooled(control: MetricMoments, treatment: MetricMoments) -> MetricMoments:
    """Return the moments of two groups taken as one."""
    n = control.n + treatment.n
    share = (treatment.n / n)[..., None]
    mean = (1 - share) * control.mean + share * treatment.mean
    apart = treatment.mean - control.mean
    between = (control.n * treatment.n / n)[..., None, None] * apart[..., :, None] * apart[..., None, :]
    within = (control.n - 1)[..., None, None] * control.covariance
    within = within + (treatment.n - 1)[..., None, None] * treatment.covariance
    return MetricMoments(n, mean, (within + between) / (n - 1)[..., None, None])


def compare_variants(control: MetricMoments, treatment: MetricMoments) -> EffectEstimate:
    """Estimate the effect of a variant on a metric.

    The metric is the ratio of means `r = mean(numerator) / mean(denominator)`. Its variance is that of
    `(numerator − r·denominator) / mean(denominator)`. With a covariate `x`, both values are
    `r − b·(x − x̄)` with `b = cov(r, x) / var(x)` and the mean `x̄` of all shoppers.

    Args:
        control: moments of the control group.
        treatment: moments of the other group, of the same shape.

    Returns:
        The effect; nan where a group has fewer than two shoppers or the mean of a denominator is 0.

    Reference:
        Deng, Xu, Kohavi & Walker (2013), Improving the sensitivity of online controlled experiments by utilizing
        pre-experiment data, WSDM. Deng, Knoblich & Lu (2018), Applying the delta method in metric analytics, KDD.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        everyone = pooled(control, treatment)
        value_x, variance_x = _ratio(everyone, 2), _covariance(everyone, 2, 2)
        slope = np.where(variance_x > 0, _covariance(everyone, 0, 2) / np.where(variance_x > 0, variance_x, 1), 0.0)
        values = [_ratio(each, 0) - slope * (_ratio(each, 2) - value_x) for each in (control, treatment)]
        variances = [
            _covariance(each, 0, 0) + slope**2 * _covariance(each, 2, 2) - 2 * slope * _covariance(each, 0, 2)
            for each in (control, treatment)
        ]
        plain = _covariance(everyone, 0, 0)
        reduction = slope**2 * variance_x / np.where(plain > 0, plain, 1)
        errors = variances[0] / control.n, variances[1] / treatment.n
        positive = (values[0] > 0) & (values[1] > 0)
        log_ratio = np.log(np.where(positive, values[1] / values[0], np.nan))
        log_error = np.sqrt(errors[0] / values[0] ** 2 + errors[1] / values[1] ** 2)
    return EffectEstimate(
        control.n,
        treatment.n,
        values[0],
        values[1],
        values[1] - values[0],
        np.sqrt(errors[0] + errors[1]),
        log_ratio,
        log_error,
        np.clip(reduction, 0.0, 1.0),
        (variances[0], variances[1]),
    )


def welch_degrees(control: Floats, treatment: Floats, n_control: Floats, n_treatment: Floats) -> Floats:
    """Return Welch's degrees of freedom for two variances and numbers of observations."""
    first, second = control / n_control, treatment / n_treatment
    return (first + second) ** 2 / (first**2 / (n_control - 1) + second**2 / (n_treatment - 1))


def _ratio(moments: MetricMoments, first: int) -> Floats:
    return moments.mean[..., first] / moments.mean[..., first + 1]


def _covariance(moments: MetricMoments, left: int, right: int) -> Floats:
    """Covariance of two ratios by the delta method; `left` and `right` are the columns of their numerators."""
    ratio_left, ratio_right = _ratio(moments, left), _ratio(moments, right)
    cov = moments.covariance
    whole = (
        cov[..., left, right]
        - ratio_right * cov[..., left, right + 1]
        - ratio_left * cov[..., left + 1, right]
        + ratio_left * ratio_right * cov[..., left + 1, right + 1]
    )
    return whole / (moments.mean[..., left + 1] * moments.mean[..., right + 1])
