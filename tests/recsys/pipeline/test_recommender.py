from __future__ import annotations

import copy
import gc
import pickle
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from recsys import Recommender
from recsys.bundles.registry import CURRENT, LIVE_LOG, current_version
from recsys.core.errors import BundleError, ConfigError, RequestError, StoreError, UnknownItemError
from recsys.core.placements import PLACEMENTS
from recsys.core.request import Request
from recsys.eventlog.sqlite import SqliteStore
from recsys.eventlog.store import EntryType, LogEntry
from recsys.fitting.engine import Engine
from recsys.live.reachability import unreachable_users
from recsys.pipeline.recommend import recommend
from tests.recsys.degenerate import DEGENERATE, degenerate_engine
from tests.shop import CAMERAS, CARDS, ODD_USERS, ORPHANS, PHONES, SHELVES, VARIANTS, at, copied_models, moment


@pytest.fixture(scope="module")
def recommender(shop_models: Path) -> Recommender:
    return Recommender.open(shop_models)


def test_the_current_bundle_is_opened_or_the_one_named(recommender: Recommender, shop_models: Path) -> None:
    version = str(current_version(shop_models))
    assert recommender.version == version
    assert Recommender.open(str(shop_models / version)).version == version


def test_no_bundle_is_refused_with_the_remedy(tmp_path: Path, shop_models: Path) -> None:
    with pytest.raises(BundleError, match="recsys train"):
        Recommender.open(tmp_path)
    with pytest.raises(BundleError, match="recsys train"):
        Recommender.open(tmp_path / "nowhere")
    copied_models(shop_models, tmp_path / "models")
    (tmp_path / "models" / CURRENT).write_text("gone\n")
    with pytest.raises(BundleError, match="gone"):
        Recommender.open(tmp_path / "models")


def test_many_are_answered_as_one_by_one(recommender: Recommender) -> None:
    as_of = at(moment(100, 8))
    users = [*ODD_USERS, "a stranger"]
    lists = recommender.recommend(users, placement="time_of_day", limit=7, as_of=as_of)
    assert lists == [recommender.recommend([user], "time_of_day", 7, as_of)[0] for user in users]
    assert [len(items) for items in lists] == [7] * len(users)
    related = recommender.related(CAMERAS, limit=4)
    assert related == [recommender.related([camera], limit=4)[0] for camera in CAMERAS]
    assert recommender.recommend([]) == recommender.related([]) == []


def test_a_bundle_answers_as_the_engine_that_it_was_written_from(recommender: Recommender, shop_engine: Engine) -> None:
    for user_id, placement in zip(ODD_USERS, ("for_you", "discover", "long_tail", "buy_again", "popular"), strict=True):
        mine = recommender.recommend_for(Request(placement, recommender.data_end, user_id=user_id))
        assert mine == recommend(
            shop_engine, Request(placement, shop_engine.dataset_info.end, user_id=user_id), mine.model_version
        )


def test_without_a_moment_the_datas_end_is_meant(recommender: Recommender) -> None:
    assert recommender.recommend(ODD_USERS) == recommender.recommend(ODD_USERS, as_of=at(recommender.data_end))


def test_a_moment_without_a_zone_is_refused(recommender: Recommender) -> None:
    with pytest.raises(ConfigError, match="no zone"):
        recommender.recommend(ODD_USERS, as_of=datetime(2024, 5, 1))  # noqa: DTZ001 - the fault under test


def test_what_cannot_be_served_is_refused(recommender: Recommender) -> None:
    with pytest.raises(UnknownItemError, match="no/such"):
        recommender.related([CARDS[0], "no/such"])
    with pytest.raises(RequestError, match="at least one item"):
        recommender.recommend(ODD_USERS, placement="similar")
    with pytest.raises(RequestError, match="'x' is not a placement"):
        recommender.recommend(ODD_USERS, placement="x")
    with pytest.raises(RequestError, match="101"):
        recommender.recommend(ODD_USERS, limit=101)


def test_items_are_known_and_named(recommender: Recommender) -> None:
    assert recommender.knows_item(ORPHANS[1])
    assert not recommender.knows_item("orphan")
    assert recommender.title(PHONES[0]) == SHELVES["phones"].titles[PHONES[0]]
    assert recommender.title(ORPHANS[0]) == ORPHANS[0]
    assert recommender.title("not at all") == "not at all"
    assert set(recommender.placements) == set(PLACEMENTS)


def test_a_shopper_with_a_history_gets_items_beside_a_seed_too(recommender: Recommender) -> None:
    for item_id in VARIANTS:
        (items,) = recommender.related([item_id], placement="bought_together", user_id=ODD_USERS[1], limit=5)
        assert len(items) == 5


@pytest.mark.parametrize("shop", DEGENERATE)
def test_any_shop_has_examples_and_warms_up(shop: str, recommender: Recommender) -> None:
    small = Recommender(degenerate_engine(shop), recommender.manifest)
    examples = small.examples()
    assert (examples.user_id == "") == unreachable_users(small.engine, None).all()
    assert small.knows_item(examples.item_id)
    small.warm_up()


def test_names_of_0_1_warn_and_work(recommender: Recommender) -> None:
    request = Request("popular", recommender.data_end, 3)
    with pytest.warns(DeprecationWarning, match="recommend_for"):
        assert recommender.answer(request) == recommender.recommend_for(request)
    with pytest.warns(DeprecationWarning, match="recommend_with_trace"):
        assert recommender.full_answer(request).recommendations == recommender.recommend_for(request)


def test_a_filter_as_text_is_refused_with_the_remedy(recommender: Recommender) -> None:
    text: Any = "price > 0"
    request = Request("popular", recommender.data_end, 3, filter=text)
    with pytest.raises(RequestError, match=r"Recommender\.filter") as caught:
        recommender.recommend_for(request)
    assert caught.value.field == "filter"
    assert recommender.recommend_for(Request("popular", recommender.data_end, 3, filter=recommender.filter(text))).items


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"user_ids": "u001"}, "user_ids"),
        ({"user_ids": [5]}, "user_ids"),
        ({"user_ids": ["u001"], "limit": 0}, "limit"),
        ({"user_ids": ["u001"], "as_of": "2024-01-01"}, "as_of"),
        ({"user_ids": ["u001"], "placement": "nothing"}, "placement"),
    ],
)
def test_a_wrong_argument_is_named(recommender: Recommender, arguments: dict[str, Any], field: str) -> None:
    with pytest.raises(RequestError, match=field) as caught:
        recommender.recommend(**arguments)
    assert caught.value.field == field


def test_items_as_one_text_are_refused(recommender: Recommender) -> None:
    for call in (recommender.related, recommender.audience):
        with pytest.raises(RequestError, match="expected a list of ids"):
            call(CAMERAS[0])


def test_a_recommender_is_shown_in_short(recommender: Recommender) -> None:
    assert len(repr(recommender)) < 200


def test_lists_can_be_pickled_and_copied(recommender: Recommender) -> None:
    """Jobs of several processes pass them on; the texts are the same afterwards."""
    found = recommender.recommend([ODD_USERS[0]], limit=3)[0]
    for again in (pickle.loads(pickle.dumps(found)), copy.deepcopy(found)):
        assert again == found
        assert [(r.text, r.text_zh) for i in again for r in i.reasons] == [
            (r.text, r.text_zh) for i in found for r in i.reasons
        ]


def test_a_file_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(BundleError, match="is a file"):
        Recommender.open(tmp_path / "x")


def test_sessions_are_requests_with_items_and_no_person(recommender: Recommender) -> None:
    moment = datetime.fromtimestamp(recommender.data_end, UTC)
    sessions = [["phone-1"], ["phone-1", "case-3", "phone-1"], ["nobody", "card-64"]]
    for placement in ("for_you", "discover", "similar", "viewed_together"):
        found = recommender.for_sessions(sessions, placement, 5, moment)
        for session, listed in zip(sessions, found, strict=True):
            request = Request(placement, recommender.data_end, 5, item_ids=tuple(session))
            assert listed == list(recommender.recommend_for(request).items)


def test_a_session_without_a_known_item_gets_the_fallback(recommender: Recommender) -> None:
    unknown = recommender.for_session(["nobody"], "for_you", 5, recommender.data_end)
    assert unknown.fallback_used
    assert len(unknown.items) == 5
    assert unknown.missing_ids == ("nobody",)
    assert not recommender.for_session(["phone-1"], "for_you", 5, recommender.data_end).fallback_used


def test_sessions_may_have_a_moment_each(recommender: Recommender) -> None:
    moment = datetime.fromtimestamp(recommender.data_end, UTC)
    both = recommender.for_sessions([["phone-1"], ["card-64"]], limit=3, as_of=[moment, moment])
    assert both == recommender.for_sessions([["phone-1"], ["card-64"]], limit=3)
    with pytest.raises(RequestError, match="give one each"):
        recommender.for_sessions([["phone-1"]], as_of=[moment, moment])
    with pytest.raises(RequestError, match="expected an aware datetime"):
        recommender.for_sessions([["phone-1"]], as_of=5)  # type: ignore[arg-type]
    with pytest.raises(RequestError, match="sessions"):
        recommender.for_sessions("phone-1")
    with pytest.raises(RequestError, match=r"sessions\[0\]"):
        recommender.for_sessions(["phone-1"])


def test_what_is_in_a_session_never_stands_beside_it(recommender: Recommender) -> None:
    session = ["phone-1", "case-3", "charger-1"]
    for placement in ("viewed_together", "similar", "discover"):
        (listed,) = recommender.for_sessions([session], placement, 50)
        assert not {item.item_id for item in listed} & set(session), placement


def test_items_beyond_the_latest_hundred_stay_out_too(recommender: Recommender) -> None:
    session = [*CAMERAS, *(["phone-1", "case-3"] * 60)]
    for placement in ("viewed_together", "discover"):
        (listed,) = recommender.for_sessions([session], placement, 50)
        assert not {item.item_id for item in listed} & set(session), placement


@pytest.fixture
def followed(shop_models: Path, tmp_path: Path) -> Iterator[tuple[Recommender, SqliteStore]]:
    """A recommender with the live log beside its bundles, and that log."""
    models = tmp_path / "models"
    copied_models(shop_models, models)
    with closing(SqliteStore(models / LIVE_LOG)) as log:
        yield Recommender.open(models), log


def change(entry_type: EntryType, key: str | None, at: float = 4e9, **body: object) -> LogEntry:
    return LogEntry(entry_type, key, at, at, body)


def test_what_is_sold_out_or_erased_after_the_training_is_in_no_list(
    followed: tuple[Recommender, SqliteStore], recommender: Recommender
) -> None:
    engine, log = followed
    user, phone = ODD_USERS[0], PHONES[0]
    assert engine.recommend(ODD_USERS) == recommender.recommend(ODD_USERS)
    sold_out = [engine.recommend([user])[0][0].item_id, *(item.item_id for item in engine.related([phone])[0][:3])]
    moment = engine.latest
    log.append([change("item_patch", item_id, available=False) for item_id in sold_out])
    log.erase([user], 4e9)
    lists = [*engine.recommend(ODD_USERS), *engine.related([phone]), *engine.for_sessions([[phone]])]
    assert not {item.item_id for items in lists for item in items} & set(sold_out)
    assert engine.recommend([user], as_of=at(moment)) == engine.recommend(["a stranger"], as_of=at(moment))
    audience = engine.audience(PHONES, limit=1000)
    assert any(user == each for users in recommender.audience(PHONES, limit=1000) for each, _ in users)
    assert not any(user == each for users in audience for each, _ in users)
    assert engine.examples().user_id != user


def test_the_moment_of_lists_is_that_of_the_latest_known_event(
    followed: tuple[Recommender, SqliteStore], recommender: Recommender
) -> None:
    engine, log = followed
    assert engine.latest == engine.data_end == recommender.latest
    log.append([LogEntry("event", None, engine.data_end + 99.5, 0.0, {"event": "view_item", "item_id": PHONES[0]})])
    assert engine.latest == engine.data_end + 100
    log.append([LogEntry("event", None, 1.0, 0.0, {"event": "view_item", "item_id": PHONES[0]})])
    assert engine.latest == engine.data_end + 100


def test_a_live_log_is_named_or_that_beside_a_single_bundle(
    followed: tuple[Recommender, SqliteStore], tmp_path: Path, shop_models: Path
) -> None:
    _, log = followed
    log.append([change("item_patch", PHONES[0], available=False)])
    path = tmp_path / "models" / LIVE_LOG
    bundle = tmp_path / "models" / str(current_version(shop_models))
    for opened in (Recommender.open(bundle), Recommender.open(shop_models, live_log=path)):
        assert opened.live is not None
        assert opened.live.seq == 1
    assert Recommender.of_bundle(tmp_path / "models").live is None
    with pytest.raises(ConfigError, match=r"none\.sqlite does not exist"):
        Recommender.open(shop_models, live_log=tmp_path / "none.sqlite")


def test_the_log_is_closed_with_the_last_recommender_that_reads_it(
    followed: tuple[Recommender, SqliteStore], shop_models: Path, tmp_path: Path
) -> None:
    opened = Recommender.open(shop_models, live_log=tmp_path / "models" / LIVE_LOG)
    log, copied = opened.log, replace(opened)
    assert log is not None
    del opened
    gc.collect()
    copied.recommend([ODD_USERS[0]])
    del copied
    gc.collect()
    with pytest.raises(StoreError):
        log.last_seq()
