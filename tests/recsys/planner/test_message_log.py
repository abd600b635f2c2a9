from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl

from recsys.core.schema import MESSAGES
from recsys.planner.message_log import MessageLog, choose_channels, no_messages

AT = datetime(2024, 5, 1, tzinfo=UTC)


def event(user_id: str, name: str, channel: str | None = "push", **more: object) -> dict[str, object]:
    return {"user_id": user_id, "event": f"message_{name}", "timestamp": AT, "channel": channel} | more


def log_of(*rows: dict[str, object]) -> MessageLog:
    return MessageLog.of(pl.DataFrame(rows, schema=MESSAGES))


def test_events_of_some_shoppers_in_their_order() -> None:
    log = log_of(event("c", "sent"), event("a", "sent"), event("a", "opened"), event("b", "sent"))
    mine = log.among(["x", "a", "zz", "c"])
    assert mine.select("user_id", "event", "position").rows() == [
        ("a", "message_sent", 1),
        ("a", "message_opened", 1),
        ("c", "message_sent", 3),
    ]
    assert log.among([]).is_empty()
    assert no_messages().among(["a"]).is_empty()


def test_an_event_id_counts_once() -> None:
    log = log_of(event("a", "sent", event_id="e"), event("a", "sent", event_id="e"), event("a", "sent"))
    assert len(log.events) == 2


def test_the_channel_is_that_of_the_opens_among_those_with_consent() -> None:
    opens = [event("a", name, "email") for name in ["sent"] * 5 + ["opened"] * 5]
    others = [event("b", "sent", channel) for channel in ("push", "email") for _ in range(5)]
    log = log_of(*opens, *others)
    users = ["a", "b", "c", "d"]
    agreed = np.array([[True, True], [True, True], [True, False], [False, False]])
    chosen = choose_channels(log, log.among(users), ("push", "email"), agreed)
    assert chosen.tolist() == [1, 1, 0, -1], "b: everyone's opens are those of the mail"
    nothing = no_messages()
    assert choose_channels(nothing, nothing.among(users), ("push", "email"), agreed).tolist() == [0, 0, 0, -1]


def test_a_channel_that_nobody_was_messaged_on_does_not_win_over_the_preferred_one() -> None:
    sent = [event(user, "sent") for user in ("a", "b") for _ in range(10)]
    log = log_of(*sent, event("b", "opened"))
    chosen = choose_channels(log, log.among(["a", "b"]), ("push", "email"), np.ones((2, 2), np.bool_))
    assert chosen.tolist() == [1, 0], "who never opened a push may like mail; who opened one stays"
