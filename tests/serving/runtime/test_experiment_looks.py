"""The course of an experiment: kept until the log goes on, one at a time, within its time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from starlette.exceptions import HTTPException

from recsys.core.errors import ConfigError
from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.store import LogEntry
from recsys.experiments import looks
from recsys.experiments.definitions import ExperimentDefinition
from recsys.pipeline.recommender import Recommender
from serving.runtime import experiment_looks
from serving.runtime.experiment_looks import ExperimentCourse, ExperimentLooks
from tests.recsys.experiments.files import definition

AT = 1_719_800_000
DAY = 86_400


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(tmp_path / "store.sqlite")) as store:
        yield store


@pytest.fixture(scope="module")
def shop(shop_models: Path) -> Recommender:
    return Recommender.open(shop_models)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the experiments whose log was read."""
    names: list[str] = []
    read = experiment_looks.read_experiment_log

    def counting(store: Any, name: str, *given: Any, **named: Any) -> Any:
        names.append(name)
        return read(store, name, *given, **named)

    monkeypatch.setattr(experiment_looks, "read_experiment_log", counting)
    return names


def write(log: SqliteStore, n: int, days: int = 1, start: int = 0) -> None:
    body = {"placement": "for_you", "items": [{"item_id": "a"}]}
    log.append(
        [
            LogEntry(
                "impression",
                f"r{start + k}",
                at := AT + k * days * DAY / n,
                at,
                body | {"user_id": f"u{start + k}", "experiments": {"calm": ("control", "mixed")[k % 2]}},
            )
            for k in range(n)
        ]
    )


def course(found: ExperimentLooks, shop: Recommender, seconds: float = 30.0, **changes: Any) -> ExperimentCourse:
    return found.course(definition(**changes), (), shop, seconds)


def test_a_course_is_computed_anew_when_log_or_definition_have_changed(
    log: SqliteStore, shop: Recommender, counted: list[str]
) -> None:
    found = ExperimentLooks(lambda: log)
    empty = course(found, shop)
    assert (empty.n_exposures, empty.looks, empty.first_at, empty.is_complete) == (0, (), None, True)
    write(log, 40, 4)
    first = course(found, shop)
    assert course(found, shop) is first
    assert (first.n_exposures, len(first.looks), first.log_seq) == (40, 4, 40)
    assert sum(first.looks[-1].analysis.shoppers.values()) == 40
    assert len(counted) == 2
    assert course(found, shop, minimum_effect=0.2) is not first
    write(log, 2, 1, 100)
    assert course(found, shop).n_exposures == 42
    assert len(counted) == 4


def test_one_is_analyzed_at_a_time_and_what_is_kept_is_given_meanwhile(
    log: SqliteStore, shop: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(log, 10)
    found = ExperimentLooks(lambda: log)
    kept = course(found, shop)
    begun, go_on = threading.Event(), threading.Event()
    look_at = looks.look_at

    def slow(each: ExperimentDefinition, *given: Any) -> Any:
        begun.set()
        assert go_on.wait(20)
        return look_at(each, *given)

    monkeypatch.setattr(looks, "look_at", slow)
    other = threading.Thread(target=lambda: course(found, shop, minimum_effect=0.3))
    other.start()
    assert begun.wait(20)
    assert course(found, shop) is kept
    with pytest.raises(HTTPException, match="another experiment is being analyzed") as refused:
        course(found, shop, minimum_effect=0.4)
    assert refused.value.status_code == 503
    go_on.set()
    other.join()
    assert course(found, shop, minimum_effect=0.4).is_complete


def test_what_is_done_in_time_is_returned_and_not_kept(
    log: SqliteStore, shop: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(log, 40, 8)
    times = clock(monkeypatch)
    found = ExperimentLooks(lambda: log)
    look_at = looks.look_at

    def slow(*given: Any) -> Any:
        times[0] += 10
        return look_at(*given)

    monkeypatch.setattr(looks, "look_at", slow)
    part = course(found, shop, 15)
    assert (part.is_complete, len(part.looks)) == (False, 2)
    assert sum(part.looks[-1].analysis.shoppers.values()) == 40, "the whole log comes first"
    assert len(course(found, shop, 1000).looks) == 8


def test_a_log_that_cannot_be_read_in_time_is_said(
    log: SqliteStore, shop: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(log, 40)
    clock(monkeypatch, step=1.0)
    monkeypatch.setattr(experiment_looks, "BATCH", 10)
    found = ExperimentLooks(lambda: log)
    with pytest.raises(HTTPException, match=r"within 2 s \(75% of it was\)") as refused:
        course(found, shop, 2.5 - 0.5)
    assert refused.value.status_code == 503
    assert course(found, shop, 60).n_exposures == 40, "the next call may go on"


def test_a_failure_lets_the_next_call_go_on(log: SqliteStore, shop: Recommender) -> None:
    write(log, 10)
    for currency in ("EUR", "CNY"):
        body = {"event": "purchase", "item_id": "a", "user_id": "u1", "price": 1.0, "currency": currency}
        log.append([LogEntry("event", currency, AT + DAY, AT + DAY, body)])
    found = ExperimentLooks(lambda: log)
    for _ in range(2):
        with pytest.raises(ConfigError, match="CNY, EUR"):
            course(found, shop)


def clock(monkeypatch: pytest.MonkeyPatch, step: float = 0.0) -> list[float]:
    """Time that goes on by a step whenever it is read, and otherwise only if it is changed."""
    times = [0.0]

    def now() -> float:
        times[0] += step
        return times[0]

    class Stopped:
        monotonic: Callable[[], float] = staticmethod(now)

    monkeypatch.setattr(experiment_looks, "time", Stopped)
    return times
