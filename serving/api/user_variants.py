"""The bundle that answers a user, and the variant of a list that the user gets."""

from __future__ import annotations

from recsys.core.placements import ListVariant
from recsys.eventlog.identities import user_key
from recsys.live.reachability import is_erased
from recsys.live.view import LiveView
from recsys.pipeline.pagination import token_version
from serving.runtime.app_context import AppContext
from serving.runtime.impressions import unit_of
from serving.runtime.snapshot import Snapshot

UserIds = tuple[str | None, str | None, str | None]
"""`user_id`, `visitor_id` and `session_id` of a call."""


def answering(
    app_context: AppContext, snapshot: Snapshot, user_ids: UserIds, page_token: str | None = None
) -> Snapshot:
    """Return the bundle that answers a call, up to date with the live log.

    It is that of the user's variant, for nobody in particular the current one; later pages stay with that of the first.

    Args:
        app_context: follows the live log.
        snapshot: the current bundle, with those of experiments beside it.
        user_ids: the user of the call.
        page_token: of the page before, None for a first page.

    Raises:
        RequestError: the token was not written by this server.
    """
    if not snapshot.others:
        return snapshot
    if page_token is None:
        version = bundle_for(snapshot, user_ids)
    else:
        version = token_version(page_token, app_context.page_seal())
    other = snapshot.others.get(version)
    return snapshot if other is None else app_context.watcher.up_to_date(other)


def bundle_for(snapshot: Snapshot, user_ids: UserIds) -> str:
    """Return the version of the bundle of a user's variant, "" for the current one."""
    variants = snapshot.recommender.book.variants
    return "" if variants is None else variants.bundle_of(_shopper(snapshot.users, user_ids))


def variant_for(snapshot: Snapshot, placement: str, user_ids: UserIds) -> ListVariant | None:
    """Return the variant of a list that experiments give to a user.

    None for nobody, for who has opted out or was erased, and on later pages of a list from before the user had another
    bundle.
    """
    variants = snapshot.recommender.book.variants
    if variants is None:
        return None
    variant = variants.choose(placement, _shopper(snapshot.users, user_ids))
    return variant if variant is not None and snapshot.answers(variant.bundle) else None


def _shopper(live: LiveView | None, user_ids: UserIds) -> str | None:
    """Return the root of a user's merged ids; None for nobody, and for who has opted out or was erased."""
    key = user_key(*user_ids)
    return None if key is None or is_erased(live, key) else unit_of(live, *user_ids)
