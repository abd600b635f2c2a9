from __future__ import annotations

import pytest

from recsys.eventlog.store import EntryType, LogEntry, StoredEntry
from recsys.fitting.engine import Engine
from recsys.live.reachability import is_erased, unreachable_users
from recsys.live.view import LiveView
from tests.shop import OPTED_OUT, PHONES, USERS_WITH_HISTORY

USER, OTHER = USERS_WITH_HISTORY[:2]
LATER = 4e9


def entry(entry_type: EntryType, key: str | None, at: float = LATER, **body: object) -> LogEntry:
    return LogEntry(entry_type, key, at, at, body)


@pytest.fixture
def live(shop_engine: Engine) -> LiveView:
    return LiveView(shop_engine)


def apply(live: LiveView, *entries: LogEntry) -> None:
    live.apply(StoredEntry(live.seq + n, each) for n, each in enumerate(entries, 1))


def bought(user_id: str, at: float) -> LogEntry:
    return entry("event", None, at, event="purchase", user_id=user_id, item_id=PHONES[0])


def test_a_user_is_erased_until_a_new_life_begins(live: LiveView) -> None:
    assert not is_erased(live, USER)
    apply(live, entry("erasure", USER), entry("erasure", OTHER))
    assert (is_erased(live, USER), is_erased(live, OTHER), is_erased(live, "unknown")) == (True, True, False)
    apply(live, bought(USER, LATER - 1))
    assert is_erased(live, USER)
    apply(live, bought(USER, LATER + 1), entry("user_patch", OTHER, region="north"))
    assert not is_erased(live, USER)
    assert not is_erased(live, OTHER)
    assert not is_erased(None, USER)


def test_an_opt_out_that_an_erasure_keeps_is_no_new_life(live: LiveView) -> None:
    apply(live, entry("erasure", OPTED_OUT))
    assert is_erased(live, OPTED_OUT)


def test_who_was_erased_or_opted_out_is_unreachable(live: LiveView, shop_engine: Engine) -> None:
    row = shop_engine.users.row
    alone = unreachable_users(shop_engine, None)
    assert (alone == (shop_engine.is_opted_out | ~shop_engine.is_named)).all()
    apply(live, entry("erasure", USER), bought(USER, LATER + 1), entry("user_patch", OTHER, personalization=False))
    apply(live, entry("user_patch", OPTED_OUT, personalization=True), entry("user_put", "new", region="north"))
    found = unreachable_users(shop_engine, live)
    assert (found[row(USER)], found[row(OTHER)]) == (True, True)
    assert found[row(OPTED_OUT)] == (not shop_engine.is_named[row(OPTED_OUT)])
    assert found.sum() <= alone.sum() + 2
