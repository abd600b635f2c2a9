"""One bundle that is being served: opened, warmed, and with the live log beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

from threadpoolctl import threadpool_limits

from recsys.bundles.bundle import read_manifest
from recsys.core.schema import ITEMS
from recsys.live.view import LiveView
from recsys.pipeline.recommender import Recommender, SampleIds
from recsys.rules.placement_registry import PlacementRegistry
from serving.runtime.answer_cache import AnswerCache
from serving.runtime.settings import Settings

WARM_UP_ROUNDS: Final = 3
NO_OTHERS: Final[Mapping[str, Snapshot]] = MappingProxyType({})


class ExampleCalls:
    """Paths of calls that work with a bundle; they never name a user who was erased or has opted out.

    Args:
        recommender: the library over the bundle.
    """

    def __init__(self, recommender: Recommender) -> None:
        self._recommender = recommender
        self._sample = recommender.examples()

    def paths(self) -> tuple[str, ...]:
        """Return the paths, of another user if that of the last call has left."""
        if self._has_left(self._sample.user_id):
            self._sample = self._recommender.examples()
        return _paths(self._sample)

    def _has_left(self, user_id: str) -> bool:
        live = self._recommender.live
        return live is not None and (user_id in live.identities.erasures or live.profiles.is_opted_out(user_id))


@dataclass(frozen=True)
class Snapshot:
    """One bundle that is being served; a request uses one snapshot from start to end.

    Attributes:
        version: the bundle's name in `CURRENT`.
        recommender: the library over the bundle and, if there is a live log, its later entries.
        cache: encoded responses of this bundle that are equal for all users.
        personal: encoded responses for users.
        examples: calls that work with it.
        log_seq: number of the last entry of the live log that a request can count on; None without a log.
        item_fields: columns of items that lists may return.
        others: of the current bundle, by version those that are served beside it for variants of experiments.
        assigned_by: of such another bundle, the live view of the current one, which decides who is in which variant;
            None for the current bundle.
    """

    version: str
    recommender: Recommender
    cache: AnswerCache
    personal: AnswerCache
    examples: ExampleCalls
    log_seq: int | None = None
    item_fields: tuple[str, ...] = field(default=tuple(ITEMS))
    others: Mapping[str, Snapshot] = field(default_factory=lambda: NO_OTHERS, repr=False)
    assigned_by: LiveView | None = field(default=None, repr=False)

    @property
    def users(self) -> LiveView | None:
        """The live view that knows who is who and who has opted out, the same for all bundles; None without a log."""
        return self.recommender.live if self.assigned_by is None else self.assigned_by

    def is_visitor(self, key: str) -> bool:
        """Return whether an id is that of a visitor, or of nobody; False without a live view."""
        return self.users is not None and self.users.is_visitor(key)

    @property
    def served(self) -> Iterator[Snapshot]:
        """This bundle and the others."""
        yield self
        yield from self.others.values()

    def answers(self, bundle: str) -> bool:
        """Return whether this is the bundle that a variant names, "" for the current one."""
        return bundle == self.version or (not bundle and self.assigned_by is None)

    def beside(self, others: Mapping[str, Snapshot]) -> Snapshot:
        """Return this snapshot as the current one, with others beside it."""
        users = self.recommender.live
        beside = {version: replace(each, others=NO_OTHERS, assigned_by=users) for version, each in others.items()}
        return replace(self, others=MappingProxyType(beside), assigned_by=None)

    def with_book(self, settings: Settings, book: PlacementRegistry) -> Snapshot:
        """Return the snapshot with other lists, and with empty caches if they are not the same."""
        if self.recommender.book is book:
            return self
        recommender = replace(self.recommender, book=book)
        cache, personal = new_caches(settings, recommender.live)
        return replace(self, recommender=recommender, cache=cache, personal=personal)

    def with_log_seq(self) -> Snapshot:
        """Return the snapshot with the number of the last entry of the log that its view has by now."""
        live = self.recommender.live
        return self if live is None else replace(self, log_seq=live.seq)


def open_snapshot(settings: Settings, version: str) -> Snapshot:
    """Open a bundle, with a view of the live log that has not read any entry yet.

    Raises:
        BundleError: the bundle is missing, altered or of another schema version.
    """
    folder = settings.models / version
    read_manifest(folder)  # a folder without one would be taken for a folder of bundles
    recommender = Recommender.of_bundle(folder)
    limit_threads(settings)
    live = LiveView(recommender.engine, in_background=True)
    recommender = replace(recommender, live=live)
    fields = (*ITEMS, *(name for name in settings.item_fields if name not in ITEMS))
    return Snapshot(version, recommender, *new_caches(settings, live), ExampleCalls(recommender), item_fields=fields)


def new_caches(settings: Settings, live: LiveView | None) -> tuple[AnswerCache, AnswerCache]:
    """Return empty caches of a snapshot: of responses that are equal for all users, and of those for users."""
    return AnswerCache(settings.cache_mb << 20, live), AnswerCache(settings.personal_cache_mb << 20, live)


def warm_up(recommender: Recommender) -> None:
    """Map the bundle's pages into memory and fill its lazy tables."""
    for _ in range(WARM_UP_ROUNDS):
        recommender.warm_up()


def _paths(examples: SampleIds) -> tuple[str, ...]:
    item, user = quote(examples.item_id, safe=""), quote(examples.user_id, safe="")
    item_paths = (f"/v1/items/{item}/recommendations?placement=complementary",)
    user_paths = tuple(f"/v1/users/{user}/recommendations?placement={name}" for name in ("long_tail", "time_of_day"))
    return (item_paths if item else ()) + (user_paths if user else ())


def limit_threads(settings: Settings) -> None:
    """Limit the threads of BLAS and OpenMP; OpenMP has one limit for each thread that calls it."""
    threadpool_limits(settings.threads)
