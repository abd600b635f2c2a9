from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from recsys.core.errors import ConfigError
from recsys.eventlog.store import LogEntry, StoredEntry
from recsys.fitting.engine import Engine
from recsys.live.view import LiveView
from recsys.planner.audience import channels_without_consent, consents, may_be_planned, plannable_users
from tests.shop import ODD_USERS, OPTED_OUT

A, B, C = ODD_USERS[:3]
CHANNELS = ("push", "email")


def with_consent(engine: Engine, **values: list) -> Engine:
    ids = engine.users_table["user_id"].to_list()
    columns = {name: [dict(zip((A, B, C), given, strict=True)).get(i) for i in ids] for name, given in values.items()}
    return replace(engine, users_table=engine.users_table.with_columns(**{n: pl.Series(v) for n, v in columns.items()}))


def live_with(engine: Engine, *changes: tuple[str, str, dict]) -> LiveView:
    live = LiveView(engine)
    live.apply([StoredEntry(n, LogEntry(kind, key, 0.0, 0.0, body)) for n, (kind, key, body) in enumerate(changes, 1)])  # type: ignore[arg-type]
    return live


def test_a_channel_without_a_column_may_be_used(shop_engine: Engine) -> None:
    assert consents(shop_engine, None, [A, "stranger"], CHANNELS).all()
    assert channels_without_consent(shop_engine, None, CHANNELS) == CHANNELS


def test_only_true_is_consent_where_it_is_recorded(shop_engine: Engine) -> None:
    engine = with_consent(shop_engine, consent_push=[True, False, None])
    found = consents(engine, None, [C, A, B, "stranger"], CHANNELS)
    assert found.tolist() == [[False, True], [True, True], [False, True], [False, True]]
    assert channels_without_consent(engine, None, CHANNELS) == ("email",)


def test_live_changes_count(shop_engine: Engine) -> None:
    engine = with_consent(shop_engine, consent_push=[True, False, None])
    live = live_with(
        engine,
        ("user_patch", A, {"consent_push": False}),
        ("user_patch", B, {"consent_push": True}),
        ("user_put", "new", {"consent_email": True}),
    )
    found = consents(engine, live, [A, B, "new"], CHANNELS)
    assert found.tolist() == [[False, False], [True, False], [False, True]]


def test_a_column_of_another_type_is_refused(shop_engine: Engine) -> None:
    with pytest.raises(ConfigError, match="'consent_push' has the type String: expected true or false"):
        consents(with_consent(shop_engine, consent_push=["yes", "no", None]), None, [A], CHANNELS)


def test_who_opted_out_is_not_planned(shop_engine: Engine) -> None:
    assert not may_be_planned(shop_engine, None, OPTED_OUT)
    assert may_be_planned(shop_engine, None, A)
    assert may_be_planned(shop_engine, None, "stranger")
    live = live_with(shop_engine, ("user_patch", A, {"personalization": False}), ("erasure", B, {}))
    assert not may_be_planned(shop_engine, live, A)
    assert A not in plannable_users(shop_engine, live)
    assert OPTED_OUT not in plannable_users(shop_engine, None)
