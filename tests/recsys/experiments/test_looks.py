"""Looks at an experiment by day, whole first."""

from __future__ import annotations

from contextlib import closing
from itertools import islice, pairwise

import pytest

from recsys.eventlog.sqlite import SqliteStore
from recsys.experiments.looks import DailyLook, coarse_looks, daily_looks, look_at
from recsys.experiments.outcomes import ExperimentLog, read_experiment_log
from recsys.experiments.state import change_state
from recsys.experiments.transitions import start
from tests.recsys.experiments.files import definition, write_experiments
from tests.recsys.experiments.simulated_month import write_month

TEXT = "[experiments.calm.variants]\ncontrol = {}\nmixed = {placements.for_you = {diversity = 0.3}}\n"
N_DAYS = 9


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> ExperimentLog:
    folder = tmp_path_factory.mktemp("looks")
    path = write_experiments(folder, TEXT)
    change_state(path, start("calm", "2026-11-01T00:00:00Z", 1.0))
    write_month(folder / "store.sqlite", path, "calm", [1.0] * N_DAYS, {"control": 0.1, "mixed": 0.1}, 50)
    with closing(SqliteStore(folder / "store.sqlite")) as store:
        return read_experiment_log(store, "calm")


def shown(look: DailyLook) -> str:
    """The look as text, in which two nan are equal."""
    return repr((look.analysis, look.verdict))


def test_daily_looks_grow_to_the_whole(log: ExperimentLog) -> None:
    looks = daily_looks(definition(), log)
    totals = [sum(look.analysis.shoppers.values()) for look in looks]
    assert totals == [50 * day for day in range(1, N_DAYS + 1)]
    assert shown(looks[-1]) == repr(look_at(definition(), log))
    assert looks[-1].until > log.exposures["timestamp"][-1]


def test_each_earlier_look_is_that_of_its_time(log: ExperimentLog) -> None:
    for look in daily_looks(definition(), log)[:-1]:
        assert shown(look) == repr(look_at(definition(), log.until(look.until)))


def test_who_stops_early_has_the_whole_course(log: ExperimentLog) -> None:
    days = [int(look.analysis.days) for look in coarse_looks(definition(), log)]
    assert days[:2] == [N_DAYS - 1, 0], "all, then the farthest from it"
    for n in range(2, N_DAYS + 1):
        found = sorted(days[:n])
        assert max(later - earlier for earlier, later in pairwise(found)) <= 2 * -(-N_DAYS // n) + 2


@pytest.mark.parametrize("most", [1, 2, 4, 5, N_DAYS, 50])
def test_looks_are_bounded_and_evenly_spread(log: ExperimentLog, most: int) -> None:
    looks = sorted(coarse_looks(definition(), log, max_looks=most), key=lambda look: look.until)
    assert len(looks) <= most
    assert shown(looks[-1]) == repr(look_at(definition(), log))
    steps = {round((later.until - earlier.until).total_seconds() / 86_400) for earlier, later in pairwise(looks[:-1])}
    assert len(steps) <= 1


def test_retired_variants_are_not_looked_at(log: ExperimentLog) -> None:
    (look,) = islice(coarse_looks(definition(), log, ("mixed",)), 1)
    assert look.analysis.effects == ()
    assert look.analysis.others == {"mixed": look_at(definition(), log)[0].shoppers["mixed"]}
