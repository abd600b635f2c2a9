from __future__ import annotations

from recsys.core.request import Reason
from recsys.planner.later_reasons import later_text
from recsys.reasons.templates import BoundMessage, templates_for


def test_days_count_from_the_message() -> None:
    templates = templates_for("purchase", True, True)
    values = {"n_baskets": 3, "last_days_ago": 1}
    reason = Reason("bought_before", BoundMessage(templates, "bought_before", values), values)
    assert reason.text == later_text(reason, 0, "en") == "you bought it 3 times, last yesterday"
    assert later_text(reason, 4, "en") == "you bought it 3 times, last 5 days ago"
    assert later_text(reason, 1, "zh") == "您买过3次，最近一次是2天前"
    assert values["last_days_ago"] == 1


def test_days_until_end_at_none_and_other_messages_stay() -> None:
    class Due:
        parts = ()

        def render(self, name: str, locale: str, values: dict) -> str:
            return f"{name} {values}"

    message = BoundMessage(Due(), "due", {"due_in_days": 2, "overdue_days": 1, "interval_days": 7})  # type: ignore[arg-type]
    assert (
        later_text(Reason("due", message), 3, "en") == "due {'due_in_days': 0, 'overdue_days': 4, 'interval_days': 7}"
    )

    class Plain:
        def text(self, locale: str) -> str:
            return f"in {locale}"

    assert later_text(Reason("plain", Plain()), 3, "zh") == "in zh"
