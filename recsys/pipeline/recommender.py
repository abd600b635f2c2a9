"""The Python API of a bundle, for offline scripts, jobs and the server."""

from __future__ import annotations

import math
import warnings
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from recsys.bundles.bundle import MANIFEST, Manifest, read_bundle
from recsys.bundles.registry import current_version, live_log_beside, placements_beside
from recsys.core.errors import BundleError, RequestError, UnknownItemError
from recsys.core.ids import UNKNOWN, checked_ids, not_text
from recsys.core.placements import Placement
from recsys.core.request import DEFAULT_LIMIT, Recommendations, RecommendedItem, Request
from recsys.core.timestamps import to_seconds
from recsys.core.topk import top_k
from recsys.data.offers import OffersKey
from recsys.eventlog.opening import LogLocation, open_log
from recsys.eventlog.store import EventStore, latest_time
from recsys.filters.filter import Filter
from recsys.fitting.engine import Engine
from recsys.live.reachability import unreachable_users
from recsys.live.view import LiveView
from recsys.pipeline.batch import recommend_batch
from recsys.pipeline.explain import Explanation, explain
from recsys.pipeline.offer_view import offer_context_key
from recsys.pipeline.recommend import RankedResult, recommend_with_trace
from recsys.pipeline.resolve import user_attributes
from recsys.pipeline.user_segments import all_segments, segments_of
from recsys.retrieval.audience import audience_scores
from recsys.retrieval.block_search import BlockSearch
from recsys.rules.loader import read_placements
from recsys.rules.masks import Masks
from recsys.rules.placement_registry import BUILT_IN, PlacementRegistry

MAX_SEEDS: Final = 100
"""Latest items of a session that count."""


@dataclass(frozen=True)
class SampleIds:
    """Ids that show the lists at their best.

    Attributes:
        user_id: a user with a long history, "" without users.
        item_id: the best seller, "" without items.
    """

    user_id: str
    item_id: str


@dataclass(frozen=True)
class Recommender:
    """Answers requests from one bundle; immutable, safe to share between threads.

    Attributes:
        engine: the bundle's models.
        manifest: facts about the bundle: its version, settings, fingerprints and metrics.
        live: the changes since the bundle was trained, None for the bundle alone.
        log: the live log that `catch_up` reads, None if the caller keeps `live` up to date.
        book: the placements.
        masks: compiled filters and masks, kept until the catalog changes.

    >>> engine = Recommender.open("models/shop")                                          # doctest: +SKIP
    >>> engine.recommend(["u1"], placement="for_you", limit=10)                      # doctest: +SKIP
    >>> engine.related(["i1"], placement="complementary", limit=10)                  # doctest: +SKIP
    """

    engine: Engine = field(repr=False)
    manifest: Manifest = field(repr=False)
    live: LiveView | None = field(default=None, repr=False)
    log: EventStore | None = field(default=None, repr=False, compare=False)
    book: PlacementRegistry = field(default_factory=lambda: BUILT_IN, repr=False)
    masks: Masks = field(default_factory=Masks, repr=False, compare=False)

    @classmethod
    def open(
        cls, models: Path | str, placements: Path | str | None = None, live_log: LogLocation | None = None
    ) -> Recommender:
        """Open the current bundle of a folder of bundles, or one bundle's own folder, with the changes of the live log.

        An item that was sold out, or a user who was erased, after the training is in no list.

        Args:
            models: the folder.
            placements: a TOML file; if not given, the one in the folder of bundles, else the built-in placements.
            live_log: file of the live log, or address of its database; if not given, the file in the folder, if any.

        Raises:
            BundleError: if there is none, or it is altered, truncated or of another schema version.
            ConfigError: naming everything that is wrong with the file of placements; `live_log` does not exist.
            StoreError: the live log cannot be opened or read.
        """
        bundle = cls.of_bundle(models, placements_beside(Path(models)) if placements is None else placements)
        path = live_log_beside(Path(models)) if live_log is None else live_log
        if path is None:
            return bundle
        live, log = LiveView(bundle.engine), open_log(path)
        weakref.finalize(live, log.close)
        recommender = replace(bundle, live=live, log=log)
        recommender.catch_up()
        return recommender

    @classmethod
    def of_bundle(cls, models: Path | str, placements: Path | str | None = None) -> Recommender:
        """Open a bundle alone, as it was trained; arguments and errors are those of `open`."""
        folder = Path(models)
        if folder.is_file():
            raise BundleError(f"{folder} is a file: give the folder of bundles, or the folder of one bundle")
        if not (folder / MANIFEST).is_file():
            version = current_version(folder)
            if version is None:
                raise BundleError(f"{folder} has no current bundle: run `recsys train --models {folder}` first")
            folder = folder / version
        engine, manifest = read_bundle(folder)
        book = BUILT_IN if placements is None else read_placements(Path(placements), engine.items_table.schema)
        return cls(engine, manifest, book=book)

    def catch_up(self) -> None:
        """Read the new entries of the live log, if this was opened with one; a few microseconds if there are none.

        The methods that return several lists call it; `recommend_for` does not.

        Raises:
            StoreError: the log cannot be read.
        """
        if self.live is not None and self.log is not None:
            self.live.catch_up(self.log)

    @property
    def current(self) -> Engine:
        """The models over the catalog with all changes."""
        return self.live.engine if self.live else self.engine

    @property
    def version(self) -> str:
        """Name of the bundle."""
        return self.manifest.version

    @property
    def data_end(self) -> int:
        """Seconds since 1970 UTC of the last event of the bundle; the time of its training without events."""
        return self.engine.dataset_info.end or to_seconds(datetime.fromisoformat(self.manifest.created_at))

    @property
    def latest(self) -> int:
        """Seconds since 1970 UTC of the latest event that is known, of the bundle or of the live log."""
        logged_until = None if self.log is None else latest_time(self.log)
        return self.data_end if logged_until is None else max(self.data_end, math.ceil(logged_until))

    @property
    def placements(self) -> Mapping[str, Placement]:
        """The lists that can be asked for, by name."""
        return self.book.placements

    def knows_item(self, item_id: str) -> bool:
        """Returns whether the catalog or the events have the item."""
        return self.current.item_row(item_id) != UNKNOWN

    def title(self, item_id: str) -> str:
        """Returns the title of an item, else its id."""
        row = self.current.item_row(item_id)
        return self.current.titles[row] if row != UNKNOWN else item_id

    def recommend_for(self, request: Request) -> Recommendations:
        """Returns the list of one request.

        Raises:
            RequestError: naming the field that cannot be served.
        """
        return self.recommend_with_trace(request).recommendations

    def recommend_with_trace(self, request: Request) -> RankedResult:
        """Returns the list of one request, with what explanations and later pages need.

        Raises:
            RequestError: naming the field that cannot be served.
        """
        return recommend_with_trace(self.current, request, self.version, self.live, self.placements, self.masks)

    def recommend_batch(
        self, requests: Iterable[Request], search: BlockSearch | None = None
    ) -> Iterator[Recommendations]:
        """Yields the list of each request; equal to `recommend_for`, and faster for many users.

        Args:
            requests: in any number.
            search: keeps decoded vectors from one batch to the next; a new one if not given.

        Raises:
            RequestError: naming the field that cannot be served.
        """
        return recommend_batch(self.current, requests, self.version, self.live, self.placements, self.masks, search)

    def answer(self, request: Request) -> Recommendations:
        """Deprecated alias of `recommend_for`, for one release."""
        warnings.warn("Recommender.answer is deprecated: call recommend_for", DeprecationWarning, stacklevel=2)
        return self.recommend_for(request)

    def full_answer(self, request: Request) -> RankedResult:
        """Deprecated alias of `recommend_with_trace`, for one release."""
        warnings.warn(
            "Recommender.full_answer is deprecated: call recommend_with_trace", DeprecationWarning, stacklevel=2
        )
        return self.recommend_with_trace(request)

    def filter(self, text: str | None) -> Filter | None:
        """Returns a filter for `Request.filter`, compiled for the current catalog; None for an empty text.

        Raises:
            FilterError: it cannot be parsed; the message gives the position.
        """
        return self.masks.compiled(text, self.current) if text else None

    @property
    def has_offers(self) -> bool:
        """Whether any offer is known."""
        return self.current.has_offers

    def offer_context_key(self, request: Request) -> OffersKey:
        """Returns the key of the offers that apply to a request; requests of one key see the same catalog."""
        return offer_context_key(
            self.current, request.context, request.as_of, lambda: user_attributes(self.current, request, self.live)
        )

    def explain(self, request: Request, item_id: str) -> Explanation:
        """Returns the stage at which an item left a list, and its distance from the list.

        Raises:
            UnknownItemError: if neither the bundle nor the live catalog has the item.
            RequestError: naming the field that cannot be served.
        """
        if not self.knows_item(item_id):
            raise UnknownItemError(item_id)
        return explain(self.recommend_with_trace(request), item_id)

    def recommend(
        self,
        user_ids: Iterable[str],
        placement: str = "for_you",
        limit: int = DEFAULT_LIMIT,
        as_of: datetime | None = None,
    ) -> list[list[RecommendedItem]]:
        """Returns one list of items per user.

        Args:
            user_ids: the shop's ids; unknown users get the fallback.
            placement: a list for users.
            limit: length of each list, 1 to 100.
            as_of: an aware moment; that of the latest known event if not given.
        """
        moment = self._moment(as_of)
        requests = [Request(placement, moment, limit, user_id=user_id) for user_id in checked_ids("user_ids", user_ids)]
        return [list(found.items) for found in self.recommend_batch(requests)]

    def for_sessions(
        self,
        sessions: Iterable[Sequence[str]],
        placement: str = "for_you",
        limit: int = DEFAULT_LIMIT,
        as_of: datetime | Sequence[datetime] | None = None,
    ) -> list[list[RecommendedItem]]:
        """Returns one list of items per anonymous session; equal to requests with `item_ids` and no person.

        Args:
            sessions: ids of the items of each session, oldest first; an id may occur several times, and unknown ids do
                not count. A session without a known item gets the fallback; a list for items needs at least one id. Of
                longer sessions the latest `MAX_SEEDS` ids count.
            placement: a list for users or for items.
            limit: length of each list, 1 to 100.
            as_of: an aware moment, or one per session; that of the latest known event if not given.

        Raises:
            RequestError: naming the argument that cannot be served.
        """
        asked = [checked_ids(f"sessions[{n}]", session) for n, session in enumerate(not_text("sessions", sessions))]
        if isinstance(as_of, datetime) or as_of is None:
            moments = [self._moment(as_of)] * len(asked)
        elif isinstance(as_of, Sequence):
            self.catch_up()
            moments = [self._moment(each) for each in as_of]
        else:
            raise RequestError("as_of", f"as_of is {as_of!r}: expected an aware datetime, or one per session")
        if len(moments) != len(asked):
            raise RequestError("as_of", f"as_of has {len(moments)} moments for {len(asked)} sessions: give one each")
        return [
            list(self.for_session(session, placement, limit, moment).items)
            for session, moment in zip(asked, moments, strict=True)
        ]

    def for_session(self, item_ids: Sequence[str], placement: str, limit: int, as_of: int) -> Recommendations:
        """Returns the list of one anonymous session at a moment in seconds since 1970; see `for_sessions`."""
        earlier, session = tuple(item_ids)[:-MAX_SEEDS], tuple(item_ids)[-MAX_SEEDS:]
        chosen = self.placements.get(placement)
        hides = chosen is not None and (chosen.anchor == "item" or chosen.own in ("drop", "drop_types"))
        exclude = tuple(dict.fromkeys(earlier)) if hides else ()
        return self.recommend_for(Request(placement, as_of, limit, item_ids=session, exclude=exclude))

    def related(
        self,
        item_ids: Iterable[str],
        placement: str = "complementary",
        limit: int = DEFAULT_LIMIT,
        user_id: str | None = None,
        as_of: datetime | None = None,
    ) -> list[list[RecommendedItem]]:
        """Returns one list of items per item.

        Raises:
            UnknownItemError: if the bundle does not know an item.
        """
        moment = self._moment(as_of)
        lists = []
        for item_id in checked_ids("item_ids", item_ids):
            if not self.knows_item(item_id):
                raise UnknownItemError(item_id)
            request = Request(placement, moment, limit, user_id=user_id, item_ids=(item_id,))
            lists.append(list(self.recommend_for(request).items))
        return lists

    def audience(
        self, item_ids: Iterable[str], limit: int = DEFAULT_LIMIT, as_of: datetime | None = None
    ) -> list[list[tuple[str, float]]]:
        """Returns the users most likely to want each item, for announcements of new items above all.

        Args:
            item_ids: the shop's ids.
            limit: largest number of users per item, >= 1.
            as_of: an aware moment; that of the latest known event if not given.

        Returns:
            For each item, ids of users and their scores, best first; without users who opted out, were erased or have
            no evidence.

        Raises:
            UnknownItemError: if the bundle does not know an item.
        """
        asked = checked_ids("item_ids", item_ids)
        rows = self.engine.item_rows(asked)
        if (rows == UNKNOWN).any():
            raise UnknownItemError(asked[int(np.argmax(rows == UNKNOWN))])
        scores = audience_scores(self.engine, rows, self._moment(as_of))
        scores[unreachable_users(self.engine, self.live)] = 0
        lists = []
        for column in scores.T:
            best = top_k(column, limit)
            lists.append(
                [(self.engine.users.ids[user], float(column[user])) for user in best[column[best] > 0].tolist()]
            )
        return lists

    def segments(self, as_of: datetime | None = None, user_ids: Iterable[str] | None = None) -> pl.DataFrame:
        """Returns one row per user who did not opt out: `user_id` and the columns of `schema.SEGMENTS`.

        Args:
            as_of: an aware moment; that of the latest known event if not given.
            user_ids: the shop's ids, of which unknown ones have no row; all users if not given.
        """
        moment = self._moment(as_of)
        if user_ids is None:
            return all_segments(self.engine, moment, self.live)
        return segments_of(self.engine, checked_ids("user_ids", user_ids), moment, self.live)

    def examples(self) -> SampleIds:
        """Returns a user with a longer history than nine in ten, and the best seller."""
        engine = self.engine
        named = np.flatnonzero(~unreachable_users(self.engine, self.live))
        lengths = engine.history.indptr[named + 1] - engine.history.indptr[named]
        order = named[lengths.argsort(kind="stable")]
        user_id = engine.users.ids[int(order[int(0.9 * (len(order) - 1))])] if len(order) else ""
        item_id = engine.items.ids[int(engine.by_popularity[0])] if len(engine.items) else ""
        return SampleIds(user_id, item_id)

    def warm_up(self) -> None:
        """Loads what the first requests need, so that they are as fast as later ones."""
        examples, moment = self.examples(), self.data_end
        if self.live is not None:
            self.live.warm_up()
        for name, placement in self.placements.items():
            item_ids = (examples.item_id,) if placement.anchor == "item" else ()
            if placement.anchor != "item" or examples.item_id:
                self.recommend_for(Request(name, moment, user_id=examples.user_id, item_ids=item_ids))

    def _moment(self, as_of: datetime | None) -> int:
        """Return the moment of the lists of one call, after reading the live log."""
        self.catch_up()
        if as_of is None:
            return self.latest
        if not isinstance(as_of, datetime):
            raise RequestError("as_of", f"as_of is {as_of!r}: expected an aware datetime, such as datetime.now(UTC)")
        return to_seconds(as_of)
