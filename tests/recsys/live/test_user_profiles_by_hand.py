from __future__ import annotations

from typing import Any

import pytest

from recsys.core.schema import USERS
from recsys.live.user_profiles import UserProfiles
from tests.recsys.tiny_engine import tiny_engine
from tests.shop import table

KNOWN = [
    {"user_id": "u", "timezone": "Asia/Shanghai", "region": "湖北", "tags": ["gold"]},
    {"user_id": "shy", "personalization": False},
]


@pytest.fixture
def profiles() -> UserProfiles:
    return UserProfiles(tiny_engine(users_table=table(KNOWN, USERS)))


def given(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}


def test_what_the_bundle_knows_is_known(profiles: UserProfiles) -> None:
    assert given(profiles.of("u")) == KNOWN[0]
    assert (profiles.timezone("u"), profiles.is_opted_out("u")) == ("Asia/Shanghai", False)
    assert (profiles.timezone("shy"), profiles.is_opted_out("shy")) == (None, True)


def test_of_others_nothing_is_known(profiles: UserProfiles) -> None:
    assert profiles.of("stranger") == {}
    assert profiles.timezone("stranger") is None
    assert profiles.is_opted_out("stranger") is False


def test_changes_put_patch_and_delete(profiles: UserProfiles) -> None:
    profiles.apply("u", "user_patch", {"region": "上海", "attributes": {"size": "L"}})
    assert given(profiles.of("u")) == {**KNOWN[0], "region": "上海", "size": "L"}
    profiles.apply("u", "user_put", {"region": "北京"})
    assert profiles.of("u") == {"region": "北京"}
    assert profiles.timezone("u") is None
    profiles.apply("u", "user_delete", {})
    assert profiles.of("u") == {}
    profiles.apply("new", "user_patch", {"timezone": "America/New_York", "personalization": False})
    assert (profiles.timezone("new"), profiles.is_opted_out("new")) == ("America/New_York", True)


def test_a_deleted_user_does_not_come_back_from_the_bundle(profiles: UserProfiles) -> None:
    profiles.apply("shy", "user_delete", {})
    assert (profiles.of("shy"), profiles.is_opted_out("shy")) == ({}, False)


def test_an_erasure_forgets_all_but_the_wish_to_be_left_alone(profiles: UserProfiles) -> None:
    for user_id in ("u", "shy", "stranger"):
        profiles.erase(user_id)
    assert profiles.of("u") == profiles.of("stranger") == {}
    assert profiles.of("shy") == {"personalization": False}
    assert profiles.is_opted_out("shy")
    profiles.apply("u", "user_put", {"personalization": False, "region": "上海"})
    profiles.erase("u")
    assert profiles.of("u") == {"personalization": False}


@pytest.mark.parametrize("zone", ["Nowhere/None", "", "../etc/passwd", "\0", 8, None])
def test_a_zone_that_does_not_exist_is_the_shop_s(profiles: UserProfiles, zone: Any) -> None:
    profiles.apply("u", "user_patch", {"timezone": zone})
    assert profiles.timezone("u") is None


@pytest.mark.parametrize("wish", [True, None, "no", 0])
def test_only_a_plain_no_opts_out(profiles: UserProfiles, wish: Any) -> None:
    profiles.apply("u", "user_patch", {"personalization": wish})
    assert not profiles.is_opted_out("u")
