from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from recsys.core.errors import ConfigError
from recsys.eventlog.store import LogEntry, StoredEntry
from recsys.fitting.engine import Engine
from recsys.live.view import LiveView
from recsys.planner.audience import channel_consents, consents, may_be_planned, plannable_users, rule_of
from recsys.planner.config import PlanConfig
from tests.shop import ODD_USERS, OPTED_OUT

A, B, C = ODD_USERS[:3]
PLAN = PlanConfig(channels=("push", "email"))
OPT_IN, OPT_OUT = replace(PLAN, consent="opt_in"), replace(PLAN, consent="opt_out")


def with_consent(engine: Engine, **values: list) -> Engine:
    ids = engine.users_table["user_id"].to_list()
    columns = {name: [dict(zip((A, B, C), given, strict=True)).get(i) for i in ids] for name, given in values.items()}
    return replace(engine, users_table=engine.users_table.with_columns(**{n: pl.Series(v) for n, v in columns.items()}))


def live_with(engine: Engine, *changes: tuple[str, str, dict]) -> LiveView:
    live = LiveView(engine)
    live.apply([StoredEntry(n, LogEntry(kind, key, 0.0, 0.0, body)) for n, (kind, key, body) in enumerate(changes, 1)])  # type: ignore[arg-type]
    return live


def test_a_channel_without_a_column_may_be_used(shop_engine: Engine) -> None:
    assert consents(shop_engine, None, [A, "stranger"], PLAN).all()
    assert consents(shop_engine, None, [A, "stranger"], OPT_OUT).all()
    assert not consents(shop_engine, None, [A, "stranger"], OPT_IN).any()


def test_only_true_is_consent_where_it_is_recorded(shop_engine: Engine) -> None:
    engine = with_consent(shop_engine, consent_push=[True, False, None])
    users = [C, A, B, "stranger"]
    found = consents(engine, None, users, PLAN)
    assert found.tolist() == [[False, True], [True, True], [False, True], [False, True]]
    assert consents(engine, None, users, OPT_IN)[:, 0].tolist() == [False, True, False, False]
    assert consents(engine, None, users, OPT_OUT)[:, 0].tolist() == [True, True, False, True]


def test_a_column_without_any_value_is_recorded(shop_engine: Engine) -> None:
    for dtype in (pl.Boolean, pl.String, pl.Null):
        table = shop_engine.users_table.with_columns(consent_push=pl.lit(None, dtype))
        engine = replace(shop_engine, users_table=table)
        assert consents(engine, None, [A, "stranger"], PLAN).tolist() == [[False, True], [False, True]]


def test_live_changes_count(shop_engine: Engine) -> None:
    engine = with_consent(shop_engine, consent_push=[True, False, None])
    live = live_with(
        engine,
        ("user_patch", A, {"consent_push": False}),
        ("user_patch", B, {"consent_push": True}),
        ("user_put", "new", {"consent_email": True}),
        ("merge", "alias", {"into": B}),
    )
    found = consents(engine, live, [A, B, "new", "alias"], PLAN)
    assert found.tolist() == [[False, True], [True, True], [False, True], [True, True]]


@pytest.mark.parametrize("value", [True, False, "yes", 1, 0, ["push"]])
def test_a_live_value_is_about_its_user_alone(shop_engine: Engine, value: object) -> None:
    live = live_with(shop_engine, ("user_patch", A, {"consent_push": value}))
    assert rule_of(shop_engine, PLAN, "push") == "opt_out"
    assert consents(shop_engine, live, [A, B, "stranger"], PLAN)[:, 0].tolist() == [value is True, True, True]
    push, email = channel_consents(shop_engine, live, [A, B, "stranger"], PLAN)
    assert push.unreadable == (not isinstance(value, bool))
    said = push.sentence("auto")
    assert "the users table has no column consent_push" in said
    assert "1 have a consent_push by live changes" in said
    assert ("neither true nor false" in said) == (not isinstance(value, bool))
    assert "live changes" not in email.sentence("auto")


def test_the_rule_is_stated_with_counts(shop_engine: Engine) -> None:
    engine = with_consent(shop_engine, consent_push=[True, False, None])
    push, email = channel_consents(engine, None, [A, B, C, "stranger"], PLAN)
    assert (push.agreed, push.refused, push.without_value, push.unreadable) == (1, 1, 2, 0)
    assert push.sentence("auto") == (
        "push: only to the 1 of 4 shoppers whose consent_push is true (the users table has the column consent_push; "
        "1 refused, 2 have no value)"
    )
    assert email.sentence("auto") == (
        "email: to all 4 shoppers, of whom none refused (the users table has no column consent_email); "
        'consent = "opt_in" in the plan requires it'
    )
    assert 'consent = "opt_in"' in channel_consents(engine, None, [A], OPT_IN)[1].sentence("opt_in")


def test_values_that_are_unreadable_are_named(shop_engine: Engine) -> None:
    live = live_with(shop_engine, *(("user_patch", user, {"consent_push": v}) for user, v in ((A, "ja"), (B, 2))))
    push = channel_consents(shop_engine, live, [A, B], PLAN)[0]
    assert push.examples == ('"ja"', "2")
    assert '2 have a consent_push that is neither true nor false ("ja", 2)' in push.sentence("auto")


def test_a_column_of_another_type_is_refused(shop_engine: Engine) -> None:
    with pytest.raises(
        ConfigError, match=r"'consent_push' has the type String \(such as '(yes|no)', '(yes|no)'\).*recsys ingest"
    ):
        consents(with_consent(shop_engine, consent_push=["yes", "no", None]), None, [A], PLAN)


def test_who_opted_out_is_not_planned(shop_engine: Engine) -> None:
    assert not may_be_planned(shop_engine, None, OPTED_OUT)
    assert may_be_planned(shop_engine, None, A)
    assert may_be_planned(shop_engine, None, "stranger")
    live = live_with(shop_engine, ("user_patch", A, {"personalization": False}), ("erasure", B, {}))
    assert not may_be_planned(shop_engine, live, A)
    assert A not in plannable_users(shop_engine, live)
    assert OPTED_OUT not in plannable_users(shop_engine, None)
