from __future__ import annotations

from typing import Any

import pytest

from recsys.core.schema import USERS
from recsys.live.user_profiles import UserProfiles
from tests.recsys.tiny_engine import tiny_engine
from tests.shop import table


@pytest.fixture
def profiles() -> UserProfiles:
    users = [
        {"user_id": "u", "timezone": "Asia/Shanghai", "region": "north"},
        {"user_id": "silent", "personalization": False, "region": "south"},
    ]
    return UserProfiles(tiny_engine(users_table=table(users, USERS)))


def test_without_changes_attributes_are_those_of_the_bundle(profiles: UserProfiles) -> None:
    assert profiles.of("u")["region"] == "north"
    assert profiles.of("u")["created_at"] is None
    assert (profiles.timezone("u"), profiles.timezone("silent")) == ("Asia/Shanghai", None)
    assert (profiles.is_opted_out("u"), profiles.is_opted_out("silent")) == (False, True)


def test_an_unknown_user_has_no_attributes_and_has_not_opted_out(profiles: UserProfiles) -> None:
    assert profiles.of("new") == {}
    assert profiles.timezone("new") is None
    assert not profiles.is_opted_out("new")


def test_a_patch_adds_a_put_replaces_and_a_delete_removes(profiles: UserProfiles) -> None:
    profiles.apply("u", "user_patch", {"region": "west", "attributes": {"tier": "gold"}})
    assert (profiles.of("u")["region"], profiles.of("u")["tier"]) == ("west", "gold")
    assert profiles.timezone("u") == "Asia/Shanghai"
    profiles.apply("u", "user_put", {"region": "east"})
    assert profiles.of("u") == {"region": "east"}
    assert profiles.timezone("u") is None
    profiles.apply("u", "user_delete", {})
    assert profiles.of("u") == {}


@pytest.mark.parametrize(("value", "expected"), [(False, True), (True, False), (None, False)])
def test_a_user_can_opt_out_and_in_again(profiles: UserProfiles, value: bool | None, expected: bool) -> None:
    for user_id in ("u", "silent", "new"):
        profiles.apply(user_id, "user_patch", {"personalization": value})
        assert profiles.is_opted_out(user_id) is expected


def test_an_erasure_keeps_an_opt_out_alone(profiles: UserProfiles) -> None:
    for user_id in ("u", "silent"):
        profiles.erase(user_id)
    assert profiles.of("u") == {}
    assert profiles.of("silent") == {"personalization": False}
    assert profiles.is_opted_out("silent")


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd", 8, None, ["UTC"]])
def test_an_unknown_zone_counts_as_none(profiles: UserProfiles, zone: Any) -> None:
    profiles.apply("u", "user_patch", {"timezone": zone})
    assert profiles.timezone("u") is None
