"""Sales channels as numbers."""

from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from recsys.data.channels import MAX_CHANNELS, NO_CHANNEL, channel_codes, frequent_channels
from tests.recsys.segments.histories import shop_of

NAMES = st.lists(st.none() | st.sampled_from(["app", "web", "门店", ""]), max_size=20)


@given(NAMES)
def test_codes_name_the_same_channels(names: list[str | None]) -> None:
    column = pl.Series(names, dtype=pl.String)
    channels = frequent_channels(column)
    codes = channel_codes(column, channels).tolist()
    assert [None if code == NO_CHANNEL else channels[code] for code in codes] == names
    counts = [names.count(name) for name in channels]
    assert counts == sorted(counts, reverse=True)


def test_a_column_of_ids_is_cut() -> None:
    column = pl.Series([f"c{number}" for number in range(MAX_CHANNELS + 5)])
    channels = frequent_channels(column)
    assert len(channels) == MAX_CHANNELS
    assert (channel_codes(column, channels) == NO_CHANNEL).sum() == 5


def test_events_have_channels_weekdays_and_pieces() -> None:
    dataset = shop_of([[3, 2]], channel="app")
    assert dataset.channels == ("app",)
    assert dataset.events.channel.tolist() == [0, 0, 0]
    days = dataset.events.timestamp // 86_400
    assert dataset.events.weekday.tolist() == ((days + 3) % 7 + 1).tolist()
    assert shop_of([[3]]).events.channel.tolist() == [NO_CHANNEL, NO_CHANNEL]
