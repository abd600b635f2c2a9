from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.planner.send_time import HabitPrior, best_hours, choose_days, draw_hours, fit_prior, ranked_hours

NOBODY = np.array([-1, -1])


def test_the_posterior_by_hand() -> None:
    prior = HabitPrior(((0.9, 0.1), (0.5, 0.5)), 2.0)
    counts = np.array([[0.0, 0.0], [3.0, 1.0], [0.0, 0.0]])
    found = prior.of(counts, np.array([-1, -1, 0]))
    assert found == pytest.approx(np.array([[0.5, 0.5], [4 / 6, 2 / 6], [0.9, 0.1]]))
    assert prior.of(counts, np.array([5, -1, 0])) == pytest.approx(found), "an unknown segment is none"


def test_habits_of_shoppers_weaken_the_prior_and_noise_strengthens_it() -> None:
    rng = np.random.default_rng(0)
    own = np.stack([rng.multinomial(20, np.eye(24)[hour]) for hour in rng.integers(0, 24, 300)])
    alike = rng.multinomial(20, np.full(24, 1 / 24), 300)
    nobody = np.full(300, -1)
    assert fit_prior(own, nobody).strength < 2
    assert fit_prior(alike, nobody).strength > 100


def test_segments_have_their_own_prior_and_small_ones_lean_on_everyone() -> None:
    rng = np.random.default_rng(0)
    shares = np.array([[0.9, 0.1], [0.1, 0.9]])
    segment = rng.integers(0, 2, 400)
    counts = np.stack([rng.multinomial(5, shares[each]) for each in segment])
    prior = fit_prior(counts, segment, 3)
    assert prior.shares[0][0] == pytest.approx(0.9, abs=0.03)
    assert prior.shares[2] == pytest.approx(prior.shares[3]), "nobody is in the third segment"


def test_the_best_hour_is_within_an_hour_of_most_visits_and_allowed() -> None:
    shares = np.zeros((2, 24))
    shares[0, [23, 0, 1]] = 0.3, 0.2, 0.3
    shares[1, [9, 20]] = 0.4, 0.6
    assert best_hours(shares, tuple(range(24))).tolist() == [0, 19]
    assert best_hours(shares, (9, 10, 11, 22)).tolist() == [22, 9]


def test_messages_of_one_day_are_apart() -> None:
    shares = np.zeros((1, 24))
    shares[0, [9, 10, 19, 14]] = 0.4, 0.3, 0.2, 0.1
    assert ranked_hours(shares, tuple(range(8, 21)), 3)[0].tolist()[0] in (9, 10)
    found = ranked_hours(shares, tuple(range(8, 21)), 4)[0]
    assert np.diff(np.sort(found)).min() > 1
    assert ranked_hours(shares, (9,), 2).tolist() == [[9, 9]], "one hour is all there is"


def test_propensities_are_the_shares_of_the_hours() -> None:
    n, allowed = 200_000, (8, 9, 10, 20)
    draw = np.random.default_rng(0).random(n)
    drawn = draw_hours(np.full(n, 9), draw, allowed, 0.2)
    for hour in allowed:
        chosen = drawn.hour == hour
        assert chosen.mean() == pytest.approx(drawn.propensity[chosen][0], abs=0.004)
    assert draw_hours(np.array([9]), np.array([0.0]), allowed, 0.0).propensity.tolist() == [1.0]


def test_days_are_the_likeliest_that_the_caps_leave() -> None:
    shares = np.array([[0.1, 0.2, 0.3, 0.05, 0.05, 0.1, 0.2]] * 3)
    sent = np.zeros((3, 7), np.int64)
    sent[1, 6] = 2  # yesterday
    sent[2, 1] = 2  # six days ago: they leave the week after the plan's first day
    days = choose_days(shares, np.array([0, 0, 5]), sent, (2, 1))
    assert days[0].tolist() == [2, 1]
    assert days[1].tolist() == [6, -1], "yesterday's two leave the week on the plan's last day alone"
    assert days[2].tolist() == [4, 1]


def test_messages_that_expire_come_first_or_not_at_all() -> None:
    shares = np.array([[0.1, 0.2, 0.3, 0.05, 0.05, 0.1, 0.2]] * 2)
    latest = np.array([[7, 1, 0], [-1, 7, 7]])
    days = choose_days(shares, np.array([0, 0]), np.zeros((2, 7), np.int64), (3, 1), latest)
    assert days.tolist() == [[2, 1, 0], [-1, 2, 1]]


@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 2))
def test_no_week_and_no_day_is_fuller_than_the_caps(seed: int, per_week: int, per_day: int) -> None:
    rng = np.random.default_rng(seed)
    sent = rng.poisson(0.3, (5, 7))
    days = choose_days(rng.dirichlet(np.ones(7), 5), rng.integers(0, 7, 5), sent, (per_week, per_day))
    for user in range(5):
        planned = np.bincount(days[user][days[user] >= 0], minlength=7)
        load = np.concatenate([sent[user], planned])
        assert (planned <= per_day).all()
        for day in np.flatnonzero(planned):
            for start in range(day + 1, 8):
                assert load[start : start + 7].sum() <= per_week
        is_full = [
            load[7 + d] >= per_day or any(load[s : s + 7].sum() >= per_week for s in range(d + 1, d + 8))
            for d in range(7)
        ]
        assert all(is_full) or (days[user] >= 0).all(), "a free day is used"
