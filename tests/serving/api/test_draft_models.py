"""Drafts as calls answer them."""

from __future__ import annotations

import msgspec

from recsys.drafts.records import Draft
from serving.api.draft_models import draft_info

DRAFT = Draft("0" * 12, "t", "b", "x = 1", "Mei", "one", "two", "Li", activate_at=0)


def test_a_draft_is_stale_once_the_placements_have_changed() -> None:
    assert not draft_info(DRAFT, "b").is_stale
    assert draft_info(DRAFT, "c").is_stale


def test_lists_have_no_texts() -> None:
    assert draft_info(DRAFT, "b").toml == "x = 1"
    encoded = msgspec.to_builtins(draft_info(DRAFT, "b", with_text=False))
    assert "toml" not in encoded
    assert encoded["activate_at"] == "1970-01-01T00:00:00Z"
