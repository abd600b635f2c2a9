from __future__ import annotations

from recsys.core.request import Reason
from recsys.planner.later_reasons import WEAK, convincing, later_text
from recsys.reasons.messages import MESSAGES
from recsys.reasons.templates import BoundMessage, templates_for


def test_days_count_from_the_message() -> None:
    templates = templates_for("purchase", True, True)
    values = {"n_baskets": 3, "last_days_ago": 1}
    reason = Reason("bought_before", BoundMessage(templates, "bought_before", values), values)
    assert reason.text == later_text(reason, 0, "en") == "you bought it 3 times, last yesterday"
    assert later_text(reason, 4, "en") == "you bought it 3 times, last 5 days ago"
    assert later_text(reason, 1, "zh") == "您买过3次，最近一次是2天前"
    assert values["last_days_ago"] == 1


def test_what_was_due_is_overdue_later() -> None:
    templates = templates_for("purchase", True, True)
    values = {"due_in_days": 2, "overdue_days": -2, "spread_days": 1, "n_baskets": 4, "interval_days": 20.0}
    reason = Reason("replenishment_due", BoundMessage(templates, "replenishment_due", values | {"last_days_ago": 18}))
    assert later_text(reason, 0, "en") == "you bought it 18 days ago; due in 2 days"
    assert later_text(reason, 2, "en") == "you bought it 20 days ago; due about today"
    assert later_text(reason, 4, "en") == "you bought it 22 days ago; it may have run out"
    assert later_text(reason, 3, "zh") == "您21天前买过它，可能已经用完"


def test_other_messages_stay() -> None:
    class Plain:
        def text(self, locale: str) -> str:
            return f"in {locale}"

    assert later_text(Reason("plain", Plain()), 3, "zh") == "in zh"


def test_a_message_states_a_reason_that_convinces() -> None:
    plain, niche, popular, close = (Reason(code, None) for code in ("new", "niche", "popular", "close_to_yours"))  # type: ignore[arg-type]
    assert convincing([niche, close]) is close
    assert convincing([close, niche]) is close
    assert convincing([niche, popular]) is popular
    assert convincing([plain]) is plain
    assert {plain.code, niche.code, popular.code} < set(WEAK) <= {*MESSAGES["en"]}
