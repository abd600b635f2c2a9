"""Sessions: the next new item of a session from its first items, and baselines that know nothing but sequences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.core.ids import NO_ITEM
from recsys.core.metrics import Lists
from recsys.core.placements import PLACEMENTS
from recsys.core.progress import Progress, silent, track
from recsys.core.request import Request
from recsys.core.topk import top_k
from recsys.data.dataset import DAY_S, NO_INTEREST, Dataset
from recsys.data.incidence import incidence
from recsys.evaluation.splits import Window
from recsys.evaluation.tasks import ANONYMOUS, Task
from recsys.fitting.engine import Engine
from recsys.pipeline.resolve import resolve
from recsys.pipeline.stages import rank

FIRST_ITEMS: Final = (1, 2, 3, 5)
"""Numbers of distinct items that a session is asked after."""

MAX_QUESTIONS: Final = 2000
"""Most questions per number of items; of more, a random sample is asked."""

MAX_SEEDS: Final = 100
"""Latest items of a beginning that a request has, and the longest list that is asked for."""

RULE_WINDOW: Final = 10
N_NEIGHBORS: Final = 500
MAX_RECENT: Final = 2500
"""Latest sessions with an item that are compared."""

ITEM_DECAY: Final = 1.02
SPREAD: Final = 2.05
RECENCY_DAYS: Final = 5.0


@dataclass(frozen=True)
class SessionTask:
    """Beginnings of sessions, and the next item of each that is new to it.

    Attributes:
        task: the questions; each has one relevant item, and its seed is the latest item.
        beginnings: int32, the items of each beginning, oldest first; repeats allowed.
        n_items: int64 (n_questions,), distinct items of each beginning.
    """

    task: Task
    beginnings: tuple[npt.NDArray[np.int32], ...]
    n_items: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.beginnings)

    def of_length(self, n_items: int) -> SessionTask:
        """Return the questions after a number of distinct items."""
        chosen = np.flatnonzero(self.n_items == n_items)
        beginnings = tuple(self.beginnings[each] for each in chosen.tolist())
        return SessionTask(self.task.take(chosen), beginnings, self.n_items[chosen])


def next_new_item(dataset: Dataset, window: Window) -> SessionTask:
    """Ask after the first `FIRST_ITEMS` distinct items of each session in the window for the next one.

    A session is what one basket or visit holds, in order of time. Sessions of one moment have no order and are left
    out, and so are questions whose answer nobody met before the window.

    Args:
        dataset: the shop.
        window: the evaluated period.

    Returns:
        The questions, at most `MAX_QUESTIONS` per number of items; anonymous.
    """
    found = [question for session in _sessions(dataset, window) for question in _questions(*session)]
    known = np.zeros(len(dataset.items), np.bool_)
    known[dataset.until(window.start).events.item_idx] = True
    found = _drawn([question for question in found if known[question[1]]])
    answers = np.array([answer for _, answer, _, _ in found], np.int32)
    n = len(found)
    task = Task(
        user_idx=np.full(n, ANONYMOUS, np.int32),
        as_of=np.array([when for _, _, when, _ in found], np.int64),
        seed=np.array([beginning[-1] for beginning, _, _, _ in found], np.int32),
        relevant=incidence(np.arange(n), answers, (n, len(dataset.items))),
        hour=np.full(n, -1, np.int8),
    )
    lengths = np.array([n_items for _, _, _, n_items in found], np.int64)
    return SessionTask(task, tuple(beginning for beginning, _, _, _ in found), lengths)


Question = tuple[npt.NDArray[np.int32], int, int, int]
"""A beginning, the next new item, the moment of the request, and the number of distinct items."""


def _sessions(dataset: Dataset, window: Window) -> list[tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]]:
    events = dataset.events
    inside = (events.timestamp >= window.start) & (events.timestamp < window.stop)
    events = events.take(inside & ~np.isin(events.event_type, NO_INTEREST))
    order = np.argsort(events.basket_idx, kind="stable")
    starts = np.flatnonzero(np.diff(events.basket_idx[order])) + 1
    parts = [part for part in np.split(order, starts) if len(part) > 1]
    return [(events.item_idx[part], events.timestamp[part]) for part in parts]


def _questions(items: npt.NDArray[np.int32], when: npt.NDArray[np.int64]) -> list[Question]:
    _, first = np.unique(items, return_index=True)
    first = np.sort(first)
    return [
        (items[: first[n]], int(items[first[n]]), int(when[first[n] - 1]), n)
        for n in FIRST_ITEMS
        if n < len(first) and when[first[n]] > when[first[n] - 1]
    ]


def _drawn(questions: list[Question]) -> list[Question]:
    rng = np.random.default_rng(0)
    kept: list[Question] = []
    for n in FIRST_ITEMS:
        own = [question for question in questions if question[3] == n]
        chosen = np.sort(rng.permutation(len(own))[:MAX_QUESTIONS])
        kept.extend(own[each] for each in chosen.tolist())
    return kept


def session_lists(
    engine: Engine, sessions: SessionTask, placement: str, k: int, progress: Progress = silent
) -> npt.NDArray[np.int32]:
    """Return the lists that the engine serves, without the items of the session, as the baselines' are.

    Args:
        engine: models fitted before the window.
        sessions: the questions.
        placement: name of the list.
        k: length of a list, >= 1.
        progress: receives the progress.

    Returns:
        int32 (n_questions, k), -1 past the end of a short list.
    """
    chosen, ids = PLACEMENTS[placement], engine.items.ids
    lists = np.full((len(sessions), k), NO_ITEM, np.int32)
    for number in track(range(len(sessions)), placement, progress):
        beginning = sessions.beginnings[number][-MAX_SEEDS:]
        request = Request(
            placement,
            int(sessions.task.as_of[number]),
            limit=min(k + len(beginning), MAX_SEEDS),
            item_ids=tuple(ids[item] for item in beginning.tolist()),
        )
        rows = rank(chosen, resolve(engine, request, chosen)).item_idx
        rows = rows[~np.isin(rows, beginning)][:k]
        lists[number, : len(rows)] = rows
    return lists


class SessionBaselines:
    """Baselines over the sessions of the past.

    Args:
        dataset: the shop before the window.
        now: start of the window, seconds since 1970.

    Reference:
        Ludewig and Jannach (2018), Evaluation of Session-based Recommendation Algorithms, UMUAI 28 (rules);
        Garg et al. (2019), Sequence and Time Aware Neighborhood for Session-based Recommendations, SIGIR (VSTAN).
    """

    def __init__(self, dataset: Dataset, now: int) -> None:
        events = dataset.events.take(~np.isin(dataset.events.event_type, NO_INTEREST))
        order = np.argsort(events.basket_idx, kind="stable")
        self._n_items, self._now = len(dataset.items), now
        self._items, self._when = events.item_idx[order], events.timestamp[order]
        session = events.basket_idx[order]
        self._starts = np.flatnonzero(np.concatenate([session[:1] == session[:1], session[1:] != session[:-1]]))
        self._stops = np.append(self._starts[1:], len(session))
        self._session = np.repeat(np.arange(len(self._starts)), self._stops - self._starts)
        by_item = np.argsort(self._items, kind="stable")
        self._ends = np.concatenate([[0], np.cumsum(np.bincount(self._items, minlength=self._n_items))])
        self._sessions_of = self._session[by_item]
        self._size = np.bincount(
            np.unique(self._session.astype(np.int64) * self._n_items + self._items) // self._n_items
        )
        self._popularity = np.bincount(self._items, minlength=self._n_items).astype(np.float64)

    def popularity(self, beginning: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
        """Score items by their number of events."""
        return self._popularity.copy()

    def sequential_rules(self, beginning: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
        """Score items by how often they follow the latest one, `Σ 1 / distance`."""
        score = np.zeros(self._n_items)
        at = np.flatnonzero(self._items == beginning[-1])
        for distance in range(1, RULE_WINDOW + 1):
            later = at[at + distance < len(self._items)] + distance
            later = later[self._session[later] == self._session[later - distance]]
            np.add.at(score, self._items[later], 1 / distance)
        return score

    def association_rules(self, beginning: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
        """Score items by the number of sessions that they share with the latest one."""
        score = np.zeros(self._n_items)
        for session in np.unique(self._of(int(beginning[-1]))).tolist():
            score[np.unique(self._items[self._starts[session] : self._stops[session]])] += 1
        return score

    def vstan(self, beginning: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
        """Score items by the nearest sessions, weighted by position, recency and distance to the shared item."""
        weight = {item: np.exp(-(len(beginning) - 1 - n) / ITEM_DECAY) for n, item in enumerate(beginning.tolist())}
        alike: dict[int, float] = {}
        for item, own in weight.items():
            for session in np.unique(self._of(item))[-MAX_RECENT:].tolist():
                alike[session] = alike.get(session, 0.0) + own
        sessions = np.array(list(alike), np.int64)
        age_days = (self._now - self._when[self._stops[sessions] - 1]) / DAY_S if len(sessions) else np.empty(0)
        value = np.array(list(alike.values())) / np.sqrt(len(weight) * self._size[sessions])
        value *= np.exp(-age_days / RECENCY_DAYS)
        score = np.zeros(self._n_items)
        for best in top_k(value, N_NEIGHBORS).tolist():
            items = self._items[self._starts[sessions[best]] : self._stops[sessions[best]]]
            last = int(np.flatnonzero(np.isin(items, beginning))[-1])
            np.add.at(score, items, value[best] * np.exp(-np.abs(np.arange(len(items)) - last) / SPREAD))
        return score

    def lists(self, name: str, sessions: SessionTask, k: int, progress: Progress = silent) -> Lists:
        """Return the lists of one baseline, without the items of the session, int32 (n_questions, k)."""
        score_of = getattr(self, name)
        lists = np.full((len(sessions), k), NO_ITEM, np.int32)
        for number in track(range(len(sessions)), name, progress):
            score = score_of(sessions.beginnings[number])
            score[sessions.beginnings[number]] = 0
            best = top_k(score, k)
            best = best[score[best] > 0]
            lists[number, : len(best)] = best
        return lists

    def _of(self, item: int) -> npt.NDArray[np.int64]:
        return self._sessions_of[self._ends[item] : self._ends[item + 1]]


SESSION_BASELINES: Final = ("popularity", "sequential_rules", "association_rules", "vstan")
"""Names of the baselines."""
