"""Lists of the log, made again for their moments by the present placement and by a changed one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from recsys.core.errors import FilterError, RequestError
from recsys.core.placements import ListVariant, Placement
from recsys.core.request import Request
from recsys.drafts.random_lists import LoggedList
from recsys.pipeline.recommender import Recommender
from recsys.pipeline.resolve import resolve_request
from recsys.pipeline.stages import rank

ROTATION_STAGE: Final = "rotation"
NOT_REPRODUCED: Final = "not reproduced"


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


def replay_lists(
    recommender: Recommender, placement: Placement, changed: Placement, lists: Iterable[LoggedList]
) -> Iterator[tuple[LoggedList, Replay | str]]:
    """Yield each list of the log with its replay, or why it is left out; each step makes two lists.

    Args:
        recommender: the current bundle with the live log.
        placement: the present definition, which the lists were made by.
        changed: the changed one.
        lists: of the log.
    """
    for shown in lists:
        yield shown, _replay(recommender, placement, changed, shown)


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


def _ids(recommender: Recommender, rows: list[int]) -> list[str]:
    ids = recommender.current.items.ids
    return [ids[row] for row in rows]
